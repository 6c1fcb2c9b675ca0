"""While logged in: gaps are answered by a snapshot, silence is noticed, invitations accepted."""

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from imbot.errors import Fault, FaultClass, TemporaryError
from imbot.gws.service import MAX_MENDS
from imbot.gws.status import AgentState
from imbot.model import ConnectionNotice, SessionNotice, SnapshotNotice
from tests.unit.gws_fakes import changed, good_poll, ok, refused, reply, rig, session

pytestmark = pytest.mark.looptime
LIST = "GET /api/v2/me/im-sessions"
ME = "GET /api/v2/me"
DENIED = refused(20, "Access denied", 403)
RINGING = session(state="Alerting", capabilities=["Answer", "Complete"])


async def test_a_snapshot_that_fails_is_tried_again_and_the_news_waits_for_it():
    """Only the snapshot tells which sessions began in the gap, and so are concerned."""
    async with rig() as bot:
        await bot.up()
        bot.gws.answer_next(LIST, *(reply(503, "busy") for _ in range(3)))
        since = bot.agent._clock.now()
        await bot.bayeux.listener.gap("poll lost", good_poll(since))
        await bot.until(lambda: bot.taken.of(SnapshotNotice))

        assert [type(notice) for notice in bot.taken.notices] == [ConnectionNotice, SnapshotNotice]
        assert bot.gws.count(LIST) == 4
        assert bot.agent.status.gaps == 1
        assert bot.taken.notices[1].since == since


async def test_a_feature_switched_off_in_service_ends_the_login():
    async with rig() as bot:
        await bot.up()
        bot.gws.answer_next(LIST, reply(404, "<html>"))
        await bot.until(lambda: bot.agent.status.state is AgentState.FAILED)


async def test_a_login_lost_is_noticed_by_the_keep_alive():
    """CometD goes on without JSESSIONID while every operation would fail."""
    async with rig() as bot:
        await bot.up()
        bot.gws.answer_next(LIST, DENIED)
        await bot.until(lambda: bot.gws.count(ME) == 1, 70)
        await bot.until(lambda: bot.agent.is_up)


async def test_the_keep_alive_is_cheap_and_silent_while_all_is_well():
    """One GET a minute, and nothing for the engine to do."""
    async with rig(resync_s=60.0) as bot:
        bot.gws.sessions = [session()]
        await bot.up()
        for _ in range(20):
            await asyncio.sleep(30)
            await bot.bayeux.say(changed(session()))
        assert 9 <= bot.gws.count(LIST) <= 11
        assert bot.taken.of(SnapshotNotice) == bot.taken.of(ConnectionNotice) == []


@pytest.mark.parametrize(
    ("told", "listed", "word"),
    [
        ([], [session("NEW")], "NEW is new"),
        ([session("S1")], [], "S1 is over"),
        ([session("S1", "Alerting")], [session("S1")], "S1 is Talking"),
    ],
)
async def test_a_subscription_that_went_silent_is_found_and_renewed_within_90_s(told, listed, word):
    """Subscribed, polling, no events: nothing else would ever tell."""
    async with rig() as bot:
        await bot.up()
        for one in told:
            await bot.bayeux.say(changed(one))
        heard_at = bot.agent._clock.now()
        bot.gws.sessions = listed
        await bot.until(lambda: len(bot.bayeuxes) == 2, 90)
        await bot.until(lambda: bot.agent.is_up)

        lost, gap, restored = bot.taken.of(ConnectionNotice)
        assert [lost.change, gap.change, restored.change] == ["lost", "gap", "restored"]
        assert word in lost.reason
        if told:  # whatever was said since then may be lost, however well polls were answered
            assert gap.at - timedelta(seconds=gap.gap_s) == heard_at
        assert [one.id for one in bot.taken.of(SnapshotNotice)[-1].sessions] == [
            one["id"] for one in listed
        ]


async def test_a_notification_on_its_way_is_no_silence():
    """GWS lists a session a moment before it tells of it."""
    async with rig() as bot:
        await bot.up()
        bot.gws.sessions = [session("NEW")]
        await bot.until(lambda: bot.gws.count(LIST) == 1)
        await asyncio.sleep(1)
        await bot.bayeux.say(changed(session("NEW")))
        await asyncio.sleep(200)

        assert len(bot.bayeuxes) == 1


async def test_while_the_subscription_is_down_differences_are_no_surprise():
    async with rig() as bot:
        await bot.up()
        await bot.bayeux.listener.down("HTTP 503")
        bot.gws.sessions = [session("NEW")]
        await asyncio.sleep(200)

        assert len(bot.bayeuxes) == 1


async def test_a_poller_that_died_unnoticed_is_replaced():
    async with rig() as bot:
        await bot.up()
        await bot.until(lambda: len(bot.bayeuxes) == 2, 400)

        assert bot.taken.of(ConnectionNotice)[0].reason == "no poll was answered for 300 s"


async def test_a_keep_alive_that_fails_for_now_is_just_tried_again():
    async with rig() as bot:
        await bot.up()
        bot.gws.answer_next(LIST, TemporaryError("refused"))
        await asyncio.sleep(130)

        assert bot.gws.count(LIST) == 2
        assert bot.agent.is_up


async def test_news_of_the_services_bring_the_proof_forward():
    """The shape of that notification is not documented; that there is one says enough."""
    async with rig() as bot:
        await bot.up()
        await bot.bayeux.say({"channel": "/notifications/services", "data": {"odd": 1}})
        await bot.until(lambda: bot.gws.count(LIST) == 1, 1)


# A lost HTTP session --------------------------------------------------------------------------


@pytest.mark.parametrize("fault_class", [FaultClass.AUTH, FaultClass.CSRF])
async def test_a_refused_poll_renews_the_http_session_and_keeps_the_bayeux_session(fault_class):
    """With acknowledgements nothing is lost then, so nothing is told."""
    async with rig() as bot:
        await bot.up()
        bot.gws.csrf = ("X-CSRF-TOKEN", "token-2")
        await bot.bayeux.listener.refused(Fault(fault_class, http_status=403))
        await bot.until(lambda: len(bot.bayeux.resumes) == 2, 1)
        await bot.until(lambda: bot.agent.is_up, 1)

        assert (len(bot.gws.doors), len(bot.bayeuxes)) == (1, 1)
        assert bot.bayeux.resumes[1].client_id == "client-1"
        assert bot.bayeux.opened_with["X-CSRF-TOKEN"] == "token-2"
        assert bot.taken.notices == []


async def test_a_subscription_that_was_down_is_restored_by_it():
    async with rig() as bot:
        await bot.up()
        await bot.bayeux.listener.down("HTTP 503")
        await bot.bayeux.listener.refused(Fault(FaultClass.AUTH, http_status=401))
        await bot.until(lambda: bot.agent.is_up, 5)
        await bot.until(lambda: bot.taken.of(SnapshotNotice), 5)

        assert [notice.change for notice in bot.taken.of(ConnectionNotice)] == ["lost", "restored"]


async def test_what_comes_with_the_first_poll_does_not_wait_for_who_is_polling():
    """The one that would read the snapshot is the one that opens."""
    async with rig() as bot:
        await bot.up()
        listener, opened = bot.bayeux.listener, bot.bayeux.open

        async def open_with_news(*, resume=None):
            await bot.bayeux.say(changed(session()))
            await opened(resume=resume)

        bot.bayeux.open = open_with_news
        await listener.gap("poll lost", good_poll(bot.agent._clock.now()))
        await listener.refused(Fault(FaultClass.CSRF, http_status=403))
        await bot.until(lambda: len(bot.taken.notices) == 3, 2)

        assert isinstance(bot.taken.notices[0], SessionNotice)


async def test_a_renewal_that_hangs_or_fails_takes_another_login():
    async with rig() as bot:
        await bot.up()
        bot.gws.answer_next(ME, lambda _: asyncio.sleep(1000, ok()))
        await bot.bayeux.listener.refused(Fault(FaultClass.AUTH, http_status=403))
        await bot.until(lambda: len(bot.gws.doors) == 2, 70)
        await bot.until(lambda: bot.agent.is_up)


async def test_an_http_session_that_never_lasts_takes_another_login():
    """Renewing for ever, without a pause, would be an attack."""
    async with rig() as bot:
        await bot.up()
        for _ in range(MAX_MENDS):
            await bot.bayeux.listener.refused(Fault(FaultClass.AUTH, http_status=403))
            await bot.until(lambda: bot.agent._feed.refusal is None and bot.agent.is_up)
        assert len(bot.gws.doors) == 1
        await bot.bayeux.listener.refused(Fault(FaultClass.AUTH, http_status=403))
        await bot.until(lambda: len(bot.gws.doors) == 2)


# Invitations ----------------------------------------------------------------------------------


async def test_an_invitation_is_accepted_by_the_name_gws_gives():
    async with rig() as bot:
        await bot.up()
        await bot.bayeux.say(changed(RINGING))
        await bot.bayeux.say(changed(RINGING))
        await bot.until(bot.gws.names)
        await asyncio.sleep(5)

        assert [call.path for call in bot.gws.calls if call.operation == "Answer"] == [
            "/api/v2/me/im-sessions/S1"
        ]


async def test_an_invitation_without_such_a_name_is_left_alone_and_told():
    """Else the party waits for a bot that will never answer, and nobody knows."""
    with capture_logs() as logged:
        async with rig(alerting_s=2.0) as bot:
            await bot.up()
            await bot.bayeux.say(changed(session(state="Alerting")))
            await asyncio.sleep(1.9)
            assert rings_on(logged) == []
            await asyncio.sleep(20)
            await bot.bayeux.say(changed(session(state="Alerting")))
            await asyncio.sleep(20)

            assert bot.gws.names() == []
    assert rings_on(logged) == [("warning", "bot1", "S1")]


async def test_an_invitation_that_gws_answers_itself_is_not_told():
    with capture_logs() as logged:
        async with rig() as bot:
            await bot.up()
            await bot.bayeux.say(changed(session(state="Alerting")))
            await bot.bayeux.say(changed(session()))
            await asyncio.sleep(20)
    assert rings_on(logged) == []


def rings_on(logged):
    found = [entry for entry in logged if entry["event"] == "agent.rings_on"]
    return [(entry["log_level"], entry["agent"], entry["session"]) for entry in found]


@pytest.mark.parametrize("answer", [ok(), refused(10, "invalid operation"), refused(2)])
async def test_a_configured_operation_is_tried_once_whatever_comes_of_it(answer):
    async with rig(on_alerting="AcceptIM", alerting_s=2.0) as bot:
        await bot.up()
        bot.gws.answer_next("AcceptIM", answer)
        await bot.bayeux.say(changed(session(state="Alerting")))
        await asyncio.sleep(1)
        assert bot.gws.names() == []
        await asyncio.sleep(10)
        await bot.bayeux.say(changed(session(state="Alerting")))
        await asyncio.sleep(10)

        assert bot.gws.names() == ["AcceptIM"]


async def test_an_invitation_outlasts_a_lost_login():
    """403 proves that nothing was done; the snapshot after the login shows that it still rings."""
    async with rig() as bot:
        await bot.up()
        bot.gws.sessions = [RINGING]
        bot.gws.answer_next("Answer", DENIED)
        await bot.bayeux.say(changed(RINGING))
        await bot.until(lambda: bot.gws.count("Answer") == 2, 30)

        assert bot.gws.count(ME) == 1
