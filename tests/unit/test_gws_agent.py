"""One agent's life: in, out, in again, and operations that outlast a lost login."""

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from imbot.errors import (
    AmbiguousError,
    Fault,
    FaultClass,
    PermanentError,
    StoreError,
    TemporaryError,
)
from imbot.gws.agent import UNSOUND_S
from imbot.gws.settings import OnStop
from imbot.gws.status import AgentState
from imbot.model import (
    ConnectionChange,
    ConnectionNotice,
    SessionNotice,
    SnapshotNotice,
)
from imbot.ports import AgentFacts
from tests.unit.gws_fakes import (
    EPOCH,
    URL,
    changed,
    device,
    devices_changed,
    good_poll,
    ok,
    refused,
    reply,
    rig,
    session,
)

pytestmark = pytest.mark.looptime
DENIED = refused(20, "Access denied", 403)
ME = "GET /api/v2/me"


def changes(taken):
    """Return what was told of the connection."""
    return [notice.change for notice in taken.of(ConnectionNotice)]


# Start ----------------------------------------------------------------------------------------


async def test_an_agent_starts_in_the_order_of_the_contract():
    """Subscribed before it logs in to its place, so that nothing is missed."""
    async with rig(agent={"agent_state": "NotReady"}) as bot:
        bot.gws.sessions = [session()]
        bot.begin()
        await bot.until(lambda: bot.agent.is_up)

        assert [repr(call) for call in bot.gws.calls] == [
            "GET /api/v2/diagnostics/version",
            ME,
            "GET /api/v2/me/devices",
            "StartContactCenterSession",
            "GET /api/v2/me/devices",
            "NotReady",
            "GET /api/v2/me/im-sessions",
        ]
        assert bot.bayeux.url == URL + "/api/v2/notifications"
        assert bot.bayeux.opened_with["X-CSRF-TOKEN"] == "token-1"
        required = {channel.name for channel in bot.bayeux.channels if channel.required}
        assert required == {"/v2/me/im-sessions", "/v2/me/devices"}
        (snapshot,) = bot.taken.notices
        assert [one.id for one in snapshot.sessions] == ["S1"]
        assert snapshot.since == snapshot.asked_at <= snapshot.at
        assert bot.agent.facts == AgentFacts("bot1", "Robin Bot", "1001")
        status = bot.agent.status
        assert (status.state, status.device_path, status.gaps) == (AgentState.UP, "/devices/D1", 0)


async def test_an_agent_that_is_not_run_is_stopped():
    async with rig() as bot:
        assert not bot.agent.is_up
        assert bot.agent.status.state is AgentState.STOPPED
        assert bot.agent.facts == AgentFacts("bot1")


async def test_gws_need_not_tell_its_version():
    async with rig() as bot:
        bot.gws.answer_next("GET /api/v2/diagnostics/version", TemporaryError("refused"))
        await bot.up()


async def test_the_version_of_gws_is_told_once():
    """Not at each of a hundred tries on a bad morning."""
    with capture_logs() as logged:
        async with rig() as bot:
            bot.gws.answer_next(ME, *(reply(503, "<html>busy") for _ in range(3)))
            bot.begin()
            await bot.until(lambda: bot.agent.is_up)
            assert bot.gws.count("GET /api/v2/diagnostics/version") == 4
    told = [entry["version"] for entry in logged if entry["event"] == "gws.version"]
    assert told == ["8.5.202.96"]


@pytest.mark.parametrize(
    ("answer", "cure"),
    [
        (TemporaryError("x", fault=Fault(FaultClass.TRANSPORT)), "check gws.url, and whether GWS"),
        (reply(404, "not here"), "this is no answer of GWS; check gws.url"),
        (reply(200, "<html>nginx"), "this is no answer of GWS; check gws.url"),
        (reply(302, ""), "login page, which only people can use; give the agent auth.cookies"),
    ],
)
async def test_what_is_not_gws_is_told_with_where_to_look_and_tried_again_soon(answer, cure):
    """A wrong URL and a proxy before a GWS that restarts look the same."""
    async with rig() as bot:
        bot.gws.answer_next(ME, answer)
        bot.begin()
        await bot.until(lambda: bot.agent.status.state is AgentState.WAITING)

        assert cure in bot.agent.status.cause
        await bot.until(lambda: bot.agent.is_up, 60)


async def test_an_agent_tries_until_gws_is_there():
    """A bot that starts before its server must not need a person."""
    async with rig() as bot:
        bot.gws.answer_next(ME, *(reply(503, "<html>busy") for _ in range(5)))
        bot.begin()
        await bot.until(lambda: bot.agent.status.state is AgentState.WAITING)

        assert "HTTP 503: <html>busy" in bot.agent.status.cause
        assert not bot.agent.is_up
        await bot.until(lambda: bot.agent.is_up)
        assert len(bot.gws.doors) == 6
        assert all(door.is_closed for door in bot.gws.doors[:-1])
        assert changes(bot.taken) == []


async def test_wrong_credentials_are_tried_three_times_and_then_rarely():
    """Accounts are locked after a few refusals, for people too."""
    async with rig(lockout_s=300.0) as bot:
        bot.gws.answer_next(ME, *(DENIED for _ in range(5)))
        bot.begin()
        await bot.until(lambda: bot.agent.status.state is AgentState.LOCKED)
        assert bot.gws.count(ME) == 3
        assert "check user and password" in bot.agent.status.cause
        await asyncio.sleep(299)
        assert bot.gws.count(ME) == 3
        await bot.until(lambda: bot.agent.is_up)
        assert bot.gws.count(ME) == 6


@pytest.mark.parametrize(
    ("features", "user", "cause"),
    [
        ([{"id": "api-voice"}], {}, "lacks the feature api-voice-instant-messaging"),
        ([], {"changePasswordOnFirstLogin": True}, "new password"),
    ],
)
async def test_what_only_an_administrator_can_mend_is_tried_rarely(features, user, cause):
    async with rig() as bot:
        bot.gws.features, bot.gws.user_more = features, user
        bot.begin()
        await bot.until(lambda: bot.agent.status.state is AgentState.FAILED)
        assert cause in bot.agent.status.cause
        await asyncio.sleep(250)
        assert bot.gws.count(ME) == 1


async def test_a_feature_that_is_off_is_not_taken_for_no_sessions():
    """404 on the collection; an empty snapshot would end every session."""
    async with rig() as bot:
        bot.gws.answer_next("GET /api/v2/me/im-sessions", reply(404, "<html>"))
        bot.begin()
        await bot.until(lambda: bot.agent.status.state is AgentState.FAILED)
        assert bot.taken.notices == []


async def test_an_agent_waits_for_its_turn_to_log_in_and_leaves_it_to_the_next():
    """A thousand that log in at once on a slow machine expire before they poll."""
    async with rig() as bot:
        async with bot.admission.login():
            bot.begin()
            await asyncio.sleep(1000)
            assert bot.gws.calls == []

        await bot.until(lambda: bot.agent.is_up)
        async with asyncio.timeout(1), bot.admission.login():
            pass


async def test_a_login_that_fails_leaves_its_turn_to_the_next():
    async with rig() as bot:
        bot.gws.answer_next(ME, DENIED)
        bot.begin()
        await bot.until(lambda: bot.agent.status.state is AgentState.WAITING)
        async with asyncio.timeout(1), bot.admission.login():
            pass


async def test_an_agent_that_waits_for_its_turn_can_be_stopped():
    async with rig() as bot, bot.admission.login():
        bot.begin()
        await asyncio.sleep(1)
        await bot.agent.stop()
        assert bot.gws.calls == []


async def test_a_login_that_hangs_is_given_up():
    async with rig() as bot:
        bot.gws.answer_next(ME, lambda _: asyncio.sleep(1000, ok()))
        bot.begin()
        await bot.until(lambda: bot.agent.status.state is AgentState.WAITING)
        assert "more than 60 s" in bot.agent.status.cause
        await bot.until(lambda: bot.agent.is_up)


async def test_a_subscription_that_fails_is_a_failed_login():
    async with rig() as bot:
        bot.bayeuxes.failures.append(PermanentError("denied"))
        bot.begin()
        await bot.until(lambda: bot.agent.status.state is AgentState.FAILED)
        assert bot.bayeux.goodbye is False


# Again ----------------------------------------------------------------------------------------


async def test_a_refused_subscription_logs_in_again_with_new_cookies():
    """The gap reaches from the last good poll; the device is still logged in, so it stays so."""
    async with rig() as bot:
        await bot.up()
        await asyncio.sleep(30)
        answered_at = bot.agent._clock.now() - timedelta(seconds=1)
        good = bot.bayeux.last_good = good_poll(answered_at, held_s=29)
        await bot.bayeux.listener.refused(Fault(FaultClass.AUTH, text="402"))
        await bot.until(lambda: not bot.agent.is_up)
        await bot.until(lambda: bot.agent.is_up)

        assert len(bot.gws.doors) == len(bot.bayeuxes) == 2
        assert bot.bayeuxes[0].goodbye is False
        assert bot.gws.names() == []
        lost, gap, restored, snapshot = bot.taken.notices
        assert [lost.change, gap.change, restored.change] == ["lost", "gap", "restored"]
        assert "refused" in lost.reason
        assert snapshot.since == answered_at
        assert gap.gap_s == pytest.approx((gap.at - good.asked_at).total_seconds())
        assert 0 < restored.gap_s < gap.gap_s
        assert bot.agent.status.gaps == 1


async def test_a_first_login_that_listened_and_then_failed_leaves_a_gap():
    """It heard of sessions, and nobody listened until the next login."""
    async with rig() as bot:
        bot.gws.answer_next("StartContactCenterSession", refused(4, "no place"))
        bot.begin()
        await bot.until(lambda: bot.agent.is_up)
        first, second = bot.bayeuxes

        gap, snapshot = bot.taken.notices
        assert (gap.change, "no place" in gap.reason) == (ConnectionChange.GAP, True)
        assert gap.at - timedelta(seconds=gap.gap_s) == first.last_good.asked_at
        assert snapshot.since < second.last_good.asked_at < gap.at


async def test_logins_that_never_listened_leave_no_gap():
    async with rig() as bot:
        bot.bayeuxes.failures.append(TemporaryError("HTTP 503"))
        bot.begin()
        await bot.until(lambda: bot.agent.is_up)

        assert bot.taken.of(ConnectionNotice) == []


async def test_an_agent_that_was_logged_out_elsewhere_logs_in_again():
    async with rig() as bot:
        await bot.up()
        bot.gws.devices = [device("LoggedOut")]
        await bot.bayeux.say(devices_changed(device("LoggedOut")))
        await bot.until(lambda: not bot.agent.is_up)
        await bot.until(lambda: bot.agent.is_up)

        assert bot.gws.names() == ["StartContactCenterSession"]


async def test_logins_that_do_not_last_are_spread_ever_wider():
    """A server that throws us out at once must not be hammered."""
    async with rig() as bot:
        await bot.up()
        begun = asyncio.get_running_loop().time()
        for _ in range(8):
            await bot.until(lambda: bot.agent.is_up)
            await bot.bayeux.listener.refused(Fault(FaultClass.AUTH))
            await bot.until(lambda: not bot.agent.is_up)
        await bot.until(lambda: bot.agent.is_up)

        assert asyncio.get_running_loop().time() - begun > 60


async def test_a_lost_http_session_is_renewed_under_an_operation():
    """JSESSIONID loss: 403 with statusCode 20 proves that nothing was done; it is done once."""
    async with rig() as bot:
        await bot.up()
        bot.gws.answer_next("SendMessage", DENIED)
        bot.gws.csrf = ("X-CSRF-TOKEN", "token-2")

        await bot.agent.send_message("S1", "hi", destination="3002")

        assert bot.gws.count("SendMessage") == 2
        assert (bot.gws.count(ME), len(bot.gws.doors)) == (1, 1)
        sent = bot.gws.calls[-1]
        assert (sent.body["devicePath"], sent.headers["X-CSRF-TOKEN"]) == ("/devices/D1", "token-2")


async def test_operations_that_lose_the_login_together_renew_it_once():
    async with rig() as bot:
        await bot.up()
        bot.gws.answer_next("UpdateUserData", *(DENIED for _ in range(5)))

        await asyncio.gather(
            *(bot.agent.update_user_data(f"S{number}", {"a": "b"}) for number in range(5))
        )

        assert bot.gws.count("UpdateUserData") == 10
        assert (bot.gws.count(ME), len(bot.gws.doors)) == (1, 1)


async def test_a_login_that_can_not_be_renewed_is_made_anew():
    """With new cookies: the old ones may be the trouble."""
    async with rig() as bot:
        await bot.up()
        bot.gws.answer_next("Complete", DENIED)
        bot.gws.answer_next(ME, DENIED)

        await bot.agent.complete("S1")

        assert len(bot.gws.doors) == 2
        assert changes(bot.taken) == ["lost", "gap", "restored"]


async def test_an_http_session_that_is_lost_again_at_once_is_no_good():
    async with rig() as bot:
        await bot.up()
        bot.gws.answer_next("Complete", DENIED, DENIED)

        with pytest.raises(TemporaryError):
            await bot.agent.complete("S1")
        await bot.until(lambda: len(bot.gws.doors) == 2)


async def test_another_error_at_the_second_try_is_just_that():
    async with rig() as bot:
        await bot.up()
        bot.gws.answer_next("UpdateUserData", DENIED, refused(10))

        with pytest.raises(PermanentError):
            await bot.agent.update_user_data("S1", {"a": "b"})
        assert len(bot.gws.doors) == 1


async def test_a_refusal_of_a_login_that_is_history_costs_no_other_login():
    """Its answer came late; the new login may be all right."""
    async with rig() as bot:
        await bot.up()
        bot.gws.answer_next("Complete", lambda _: asyncio.sleep(8, DENIED))
        task = asyncio.create_task(bot.agent.complete("S1"))
        await bot.until(lambda: bot.gws.count("Complete"))
        await bot.bayeux.listener.refused(Fault(FaultClass.AUTH))
        await task

        assert len(bot.gws.doors) == 2
        assert bot.gws.count("Complete") == 2


async def test_a_redirect_of_an_operation_renews_the_login_and_stays_in_doubt():
    """It may have been done; the engine decides."""
    async with rig() as bot:
        await bot.up()
        bot.gws.answer_next("SendMessage", reply(302, "login"))

        with pytest.raises(AmbiguousError):
            await bot.agent.send_message("S1", "hi", destination="3002")
        await bot.until(lambda: len(bot.gws.doors) == 2)

        assert bot.gws.count("SendMessage") == 1


async def test_a_csrf_token_that_changes_costs_no_login():
    async with rig() as bot:
        await bot.up()
        bot.gws.csrf = ("X-CSRF-TOKEN", "token-2")

        await bot.agent.delete_user_data("S1", "k")
        await bot.agent.attach_user_data("S1", {"k": "v"})

        assert len(bot.gws.doors) == 1
        assert bot.bayeux.headers()["X-CSRF-TOKEN"] == "token-2"


async def test_a_csrf_token_refused_twice_means_that_the_cookie_is_gone():
    async with rig() as bot:
        await bot.up()
        bot.gws.answer_next("Complete", *(reply(403, "invalid csrf token") for _ in range(2)))

        await bot.agent.complete("S1")

        assert bot.gws.count("Complete") == 3
        assert bot.gws.count(ME) == 2


async def test_an_operation_does_not_wait_for_ever():
    async with rig(ready_timeout_s=5.0) as bot:
        bot.gws.answer_next(ME, *(reply(503, "busy") for _ in range(50)))
        bot.begin()
        await asyncio.sleep(1)

        with pytest.raises(TemporaryError, match=r"agent bot1 is not logged in: .*HTTP 503"):
            await bot.agent.complete("S1")


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        (refused(2), TemporaryError),
        (refused(6, status=404), PermanentError),
        (refused(18), PermanentError),
    ],
)
async def test_a_conflict_is_surfaced_and_the_sessions_are_read_again(answer, raised):
    """What we believed of the session was wrong; that is mended before the next regular look."""
    async with rig() as bot:
        await bot.up()
        bot.gws.answer_next("SendMessage", answer)

        with pytest.raises(raised):
            await bot.agent.send_message("S1", "hi", destination="3002")
        await bot.until(lambda: bot.taken.of(SnapshotNotice), limit_s=5.0)


# Initiate -------------------------------------------------------------------------------------


async def initiate(bot, to="16001"):
    """Begin an initiate, and return its task once it was sent."""
    task = asyncio.create_task(bot.agent.initiate(to, {"k": "v"}))
    await bot.until(lambda: bot.gws.count("InitiateIMSession"))
    return task


async def test_an_initiated_session_is_found_by_its_participant():
    async with rig() as bot:
        await bot.up()
        task = await initiate(bot, "+16 001")
        await bot.bayeux.say(changed(session("OTHER", "Alerting", "3002")))
        await bot.bayeux.say(changed(session("MINE", "Initiating", "16001")))

        assert await task == "MINE"
        sent = bot.gws.calls[0].body
        assert (sent["devicePath"], sent["userData"]) == ("/devices/D1", {"k": "v"})


async def test_row_19_the_session_may_show_before_the_answer():
    """The slot is open before the POST."""
    async with rig() as bot:
        await bot.up()

        async def announced_first(_):
            await bot.bayeux.say(changed(session("MINE", "Talking", "16001")))
            return ok()

        bot.gws.answer_next("InitiateIMSession", announced_first)

        assert await bot.agent.initiate("16001", {}) == "MINE"


async def test_a_number_written_in_another_way_is_ours_once_gws_accepted():
    """One session per agent: a new one that does not ring is the one."""
    async with rig() as bot:
        await bot.up()
        task = await initiate(bot)
        await asyncio.sleep(1)
        await bot.bayeux.say(changed(session("MINE", "Talking", "0049891234")))

        assert await task == "MINE"


async def test_a_session_nobody_announced_is_found_by_asking():
    async with rig() as bot:
        await bot.up()
        task = await initiate(bot)
        bot.gws.sessions = [session("MINE", "Talking", "16001"), session("OLD", "Completed")]

        assert await task == "MINE"
        assert [one.session.id for one in bot.taken.of(SessionNotice)] == ["MINE"]


@pytest.mark.parametrize("answer", [ok(), AmbiguousError("reset"), reply(502, "<html>")])
async def test_an_initiate_that_shows_no_session_is_in_doubt(answer):
    """It is never sent twice."""
    async with rig(resync_s=600.0) as bot:
        await bot.up()
        bot.gws.answer_next("InitiateIMSession", answer)

        with pytest.raises(AmbiguousError):
            await bot.agent.initiate("16001", {})
        assert bot.gws.count("InitiateIMSession") == 1


async def test_an_initiate_in_doubt_is_settled_by_its_session():
    async with rig() as bot:
        await bot.up()
        bot.gws.answer_next("InitiateIMSession", AmbiguousError("reset"))
        task = await initiate(bot)
        await bot.bayeux.say(changed(session("MINE", "Talking", "16001")))

        assert await task == "MINE"


async def test_an_initiate_stays_in_doubt_when_nobody_can_be_asked():
    async with rig(initiate_timeout_s=1.0) as bot:
        await bot.up()
        bot.gws.answer_next("GET /api/v2/me/im-sessions", TemporaryError("refused"))

        with pytest.raises(AmbiguousError, match="accepted, but no session"):
            await bot.agent.initiate("16001", {})


async def test_row_17_a_second_session_is_busy():
    """The answer says "Invalid state": one session per agent."""
    async with rig() as bot:
        await bot.up()
        bot.gws.sessions = [session("S1", "Talking", "3002")]
        bot.gws.answer_next("InitiateIMSession", refused(2, "Invalid state"))

        with pytest.raises(TemporaryError, match="busy with another session") as caught:
            await bot.agent.initiate("16001", {})
        assert caught.value.fault.status_code == 2


async def test_glare_adopts_the_session_of_the_other_party():
    """Both sides initiated at the same moment: it is the session we wanted."""
    async with rig() as bot:
        await bot.up()
        bot.gws.sessions = [session("THEIRS", "Talking", "16001")]
        bot.gws.answer_next("InitiateIMSession", refused(2, "Invalid state"))

        assert await bot.agent.initiate("16001", {}) == "THEIRS"
        assert bot.taken.of(SessionNotice)[0].session.id == "THEIRS"


async def test_a_session_that_was_there_before_is_not_begun_anew():
    """A rule would say its first words a second time to whom it talks with already."""
    async with rig() as bot:
        bot.gws.sessions = [session("S1", "Talking", "16001")]
        await bot.up()
        await bot.until(lambda: bot.taken.of(SnapshotNotice))
        bot.gws.answer_next("InitiateIMSession", refused(2, "Invalid state"))

        with pytest.raises(TemporaryError, match="busy with another session"):
            await bot.agent.initiate("16001", {})


async def test_two_initiates_at_once_are_one_too_many():
    """With two slots nobody knows whose the new session is."""
    async with rig() as bot:
        await bot.up()
        task = await initiate(bot)
        with pytest.raises(TemporaryError, match="busy"):
            await bot.agent.initiate("16002", {})
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        bot.gws.answer_next("InitiateIMSession", refused(4, "Device 'N' is not registered."))
        with pytest.raises(TemporaryError, match="not registered"):
            await bot.agent.initiate("16002", {})


# Stop -----------------------------------------------------------------------------------------


async def test_stopping_says_goodbye_in_order():
    """The logout is last: it ends the HTTP session."""
    async with rig() as bot:
        await bot.up()
        bot.gws.sessions = [session()]
        await bot.bayeux.say(changed(session()))
        await bot.stop()

        assert bot.bayeux.goodbye is True
        assert bot.gws.names() == ["EndContactCenterSession"]
        assert bot.gws.doors[0].is_closed
        assert bot.agent.status.state is AgentState.STOPPED
        with pytest.raises(TemporaryError, match="not logged in"):
            await bot.agent.complete("S1")


async def test_a_login_can_be_kept_for_a_fast_restart():
    async with rig(on_stop=OnStop.KEEP) as bot:
        await bot.up()
        await bot.stop()

        assert bot.bayeux.goodbye is False
        assert bot.gws.names() == []


async def test_sessions_can_be_completed_before_leaving():
    """And their end is waited for, bounded."""
    async with rig(on_stop=OnStop.COMPLETE) as bot:
        await bot.up()
        await bot.bayeux.say(changed(session()))
        stopping = asyncio.create_task(bot.stop())
        await bot.until(lambda: bot.gws.count("Complete"))
        await asyncio.sleep(1)
        assert bot.gws.names() == ["Complete"]
        await bot.bayeux.say(changed(session(state="Completed")))
        await stopping

        assert bot.gws.names() == ["Complete", "EndContactCenterSession"]


async def test_a_server_that_hangs_does_not_hold_a_stop_up():
    async with rig(on_stop=OnStop.COMPLETE) as bot:
        await bot.up()
        await bot.bayeux.say(changed(session()))
        for name in ("Complete", "EndContactCenterSession"):
            bot.gws.answer_next(name, lambda _: asyncio.sleep(1000, ok()))
        begun = asyncio.get_running_loop().time()
        await bot.stop()

        assert asyncio.get_running_loop().time() - begun <= 10


async def test_stopping_in_the_middle_of_a_login_ends_it():
    async with rig() as bot:
        bot.gws.answer_next("StartContactCenterSession", lambda _: asyncio.sleep(20, ok()))
        bot.begin()
        await bot.until(lambda: bot.gws.count("StartContactCenterSession"))
        await bot.stop()

        assert bot.gws.names()[-1] == "EndContactCenterSession"


async def test_stopping_between_two_logins_needs_nothing():
    async with rig() as bot:
        bot.gws.answer_next(ME, DENIED)
        bot.begin()
        await bot.until(lambda: bot.agent.status.state is AgentState.WAITING)
        await bot.stop()
        await bot.stop()

        assert bot.gws.names() == []


async def test_a_life_that_begins_after_the_stop_ends_at_once():
    async with rig() as bot:
        await bot.stop()
        await asyncio.wait_for(bot.agent.run(), 1)

        assert bot.agent.status.state is AgentState.STOPPED


async def test_a_stop_does_not_wait_for_ever():
    """Something below may hang that nobody thought of."""
    async with rig() as bot:
        await bot.up()

        async def hang(*, goodbye):
            assert goodbye in {True, False}
            for _ in range(30):
                try:
                    await asyncio.sleep(1)
                except asyncio.CancelledError:
                    continue

        bot.bayeux.close = hang
        begun = asyncio.get_running_loop().time()
        await bot.agent.stop()

        assert asyncio.get_running_loop().time() - begun == pytest.approx(10, abs=0.1)


async def test_a_cancelled_life_hangs_up():
    async with rig() as bot:
        await bot.up()
        bot.life.cancel()
        await asyncio.gather(bot.life, return_exceptions=True)

        assert bot.life.cancelled()
        assert bot.bayeux.goodbye is False
        assert bot.gws.doors[0].is_closed


async def test_a_broken_store_ends_the_life():
    """What can not be kept must not be acknowledged, nor acted on."""
    async with rig() as bot:
        await bot.up()
        bot.taken.error = StoreError("disk full")
        with pytest.raises(StoreError):
            await bot.bayeux.say(changed(session()))
        with pytest.raises(StoreError):
            await bot.life

        assert bot.bayeux.goodbye is False
        assert not bot.agent.is_up


async def test_a_store_that_breaks_at_the_login_ends_the_life():
    async with rig() as bot:
        bot.taken.error = StoreError("disk full")
        bot.begin()
        with pytest.raises(StoreError):
            await bot.life


async def test_a_time_out_that_is_not_ours_is_not_taken_for_a_stop():
    """A mistake must not look like an orderly end."""
    async with rig() as bot:
        bot.taken.error = TimeoutError("a mistake")
        bot.begin()
        with pytest.raises(TimeoutError, match="a mistake"):
            await bot.life

        assert bot.gws.names() == ["StartContactCenterSession"]


async def test_a_lost_subscription_shows_in_the_status():
    async with rig() as bot:
        await bot.up()
        await asyncio.sleep(5)
        await bot.bayeux.listener.down("HTTP 503")
        status = bot.agent.status

        assert (status.state, status.cause) == (AgentState.LOST, "HTTP 503")
        assert (status.since - EPOCH).total_seconds() == pytest.approx(5, abs=0.2)
        assert not bot.agent.is_up
        assert changes(bot.taken) == [ConnectionChange.LOST]


# What a message waits for -------------------------------------------------------------------------


async def test_what_is_said_waits_a_little_until_the_subscription_is_sound():
    """Its echo would be lost, and nobody could tell whether it was said."""
    async with rig() as bot:
        await bot.up()
        began_at = asyncio.get_running_loop().time()
        await bot.agent.until_sound()
        assert asyncio.get_running_loop().time() == began_at

        bot.bayeux.is_sound = False
        waiting = asyncio.create_task(bot.agent.until_sound())
        await asyncio.sleep(3)
        assert not waiting.done()
        bot.bayeux.is_sound = True
        await asyncio.sleep(0.3)
        assert waiting.done()


async def test_what_is_said_does_not_wait_for_long():
    """The other party waits, too."""
    async with rig() as bot:
        await bot.up()
        bot.bayeux.is_sound = False

        async with asyncio.timeout(UNSOUND_S + 1):
            await bot.agent.until_sound()
        waiting = asyncio.create_task(bot.agent.until_sound())
        await asyncio.sleep(1)
        await bot.agent.stop()
        await asyncio.sleep(0.3)
        assert waiting.done()


async def test_a_moment_that_is_to_be_heard_through_is_told_to_the_subscription():
    async with rig() as bot:
        bot.agent.hear_through(EPOCH)  # nobody listens yet, and nothing is asked of anybody
        await bot.up()
        bot.agent.hear_through(EPOCH)

        assert bot.bayeux.through == [EPOCH]


async def test_a_silence_begins_when_the_last_words_were_asked_for():
    """The reply that brought them may have been made long before it was read."""
    async with rig() as bot:
        await bot.up()
        await asyncio.sleep(60)
        bot.bayeux.held_s = 20.0
        asked_at = bot.agent._clock.now() - timedelta(seconds=20)
        await bot.bayeux.say(changed(session("S1")))
        bot.agent._feed.note_silence()

        assert bot.agent._feed._cut.asked_at == asked_at
