"""Order and completeness of what one wire hands over."""

import asyncio

import pytest
from structlog.testing import capture_logs

from imbot.bayeux.session import BayeuxResume
from imbot.errors import Fault, FaultClass, TemporaryError
from imbot.model import (
    ConnectionNotice,
    FaultNotice,
    MessageNotice,
    SessionNotice,
    SnapshotNotice,
)
from tests.unit.gws_fakes import (
    changed,
    device,
    devices_changed,
    good_poll,
    ok,
    reply,
    rig,
    said,
    session,
)

pytestmark = pytest.mark.looptime
LIST = "GET /api/v2/me/im-sessions"


def kinds(taken):
    """Return the kinds of notices taken in, in order."""
    return [type(notice) for notice in taken.notices]


async def test_one_reply_is_one_batch_with_its_ack():
    """Events, echoes and ack number are one transaction."""
    async with rig() as bot:
        await bot.up()
        await bot.bayeux.say(changed(session()), said("hi"), ack=7)

        (batch,) = bot.taken.batches
        assert (batch.agent, batch.client_id, batch.ack) == ("bot1", "client-1", 7)
        assert kinds(bot.taken) == [SessionNotice, MessageNotice]


async def test_a_reply_about_nothing_is_handed_over_only_for_its_ack():
    async with rig() as bot:
        await bot.up()
        await bot.bayeux.say(devices_changed(device("Ready")), 5, "x", None)
        assert bot.taken.batches == []
        await bot.bayeux.say(devices_changed(device("Ready")), ack=3)
        assert [batch.ack for batch in bot.taken.batches] == [3]


async def test_a_gap_is_told_with_a_snapshot_before_what_comes_later():
    """2.10: subscribe, GET, apply the snapshot, and only then what was queued."""
    async with rig() as bot:
        await bot.up()
        bot.gws.sessions = [session("S2")]
        since = bot.agent._clock.now()
        await asyncio.sleep(3)
        await bot.bayeux.listener.gap("poll lost", good_poll(since, held_s=20))
        await bot.bayeux.say(said("later", "S2"))

        assert kinds(bot.taken) == [ConnectionNotice, SnapshotNotice, MessageNotice]
        gap, snapshot, _ = bot.taken.notices
        assert (gap.change, gap.reason, gap.gap_s) == ("gap", "poll lost", 23.0)
        assert snapshot.since == since
        assert bot.agent.status.gaps == 1
        assert [len(batch.notices) for batch in bot.taken.batches] == [2, 1]


async def test_notifications_do_not_wait_for_ever_for_a_snapshot():
    """A poll that is not answered within maxInterval ends the Bayeux session."""
    async with rig() as bot:
        await bot.up()
        bot.gws.answer_next(LIST, lambda _: asyncio.sleep(9, ok()))
        begun = asyncio.get_running_loop().time()
        await bot.bayeux.listener.gap("poll lost", good_poll(bot.agent._clock.now()))
        await bot.bayeux.say(changed(session()))

        assert asyncio.get_running_loop().time() - begun == pytest.approx(4, abs=0.1)
        assert kinds(bot.taken) == [SessionNotice]


async def test_a_gap_during_a_snapshot_brings_another_one():
    """The first may have been read before the messages were lost."""
    async with rig() as bot:
        await bot.up()
        bot.gws.answer_next(LIST, lambda _: asyncio.sleep(2, ok()))
        first = bot.agent._clock.now()
        await bot.bayeux.listener.gap("one", good_poll(first))
        await asyncio.sleep(1)
        await bot.bayeux.listener.gap("two", good_poll(bot.agent._clock.now()))
        await bot.until(lambda: len(bot.taken.of(SnapshotNotice)) == 2, limit_s=5.0)

        assert [notice.since for notice in bot.taken.of(SnapshotNotice)] == [first, first]
        assert kinds(bot.taken) == [
            ConnectionNotice,
            ConnectionNotice,
            SnapshotNotice,
            SnapshotNotice,
        ]


async def test_down_and_up_are_told_once_each_with_a_snapshot():
    async with rig() as bot:
        await bot.up()
        listener = bot.bayeux.listener
        await listener.up()
        await listener.down("HTTP 503")
        await listener.down("HTTP 502")
        await asyncio.sleep(7)
        await listener.up()
        await listener.gap("HTTP 503", good_poll(bot.agent._clock.now(), held_s=8))
        await bot.until(lambda: bot.taken.of(SnapshotNotice), limit_s=5.0)

        lost, restored, gap = bot.taken.of(ConnectionNotice)
        assert (lost.change, lost.reason, lost.gap_s) == ("lost", "HTTP 503", 0.0)
        assert (restored.change, restored.gap_s) == ("restored", pytest.approx(7))
        assert (gap.change, gap.gap_s) == ("gap", pytest.approx(8))
        assert len(bot.taken.of(SnapshotNotice)) == 1
        assert bot.agent.is_up


async def test_the_agent_is_not_back_before_its_login_is_through():
    """Subscribed is not yet logged in to the place."""
    async with rig() as bot:
        bot.gws.answer_next("StartContactCenterSession", lambda _: asyncio.sleep(5, ok()))
        bot.begin()
        await bot.until(lambda: bot.gws.count("StartContactCenterSession"))
        await bot.bayeux.listener.up()

        assert not bot.agent.is_up
        assert bot.taken.batches == []


async def test_a_warning_is_only_logged():
    async with rig() as bot:
        await bot.up()
        with capture_logs() as logged:
            await bot.bayeux.listener.warning(Fault(FaultClass.PERMISSION, text="denied"))

        assert [entry["event"] for entry in logged] == ["bayeux.warning"]
        assert bot.taken.batches == []


async def test_an_error_notification_is_handed_over():
    async with rig() as bot:
        await bot.up()
        error = {"messageType": "ErrorMessage", "devicePath": "/devices/D1"}
        await bot.bayeux.say({"channel": "/v2/me/devices", "data": error})

        assert kinds(bot.taken) == [FaultNotice]


# Unknown sessions -----------------------------------------------------------------------------


async def test_a_message_of_an_unknown_session_comes_after_the_session():
    """9.4: GET the sessions, then dispatch; the message may precede the StatusChange."""
    async with rig() as bot:
        await bot.up()
        bot.gws.sessions = [session("S8"), session("S9", path="/im-sessions/alias")]
        await bot.bayeux.say(said("a", "S9"), said("b", "alias"), said("c", "S9"))
        await bot.bayeux.say(said("d", "alias"))

        assert kinds(bot.taken) == [
            SessionNotice,
            MessageNotice,
            SessionNotice,
            MessageNotice,
            MessageNotice,
            MessageNotice,
        ]
        assert bot.taken.notices[0].session.id == "S9"
        assert bot.gws.count(LIST) == 2


async def test_a_message_of_a_session_shown_just_before_needs_no_question():
    async with rig() as bot:
        await bot.up()
        await bot.bayeux.say(changed(session("S9")), said("a", "S9"))

        assert bot.gws.count(LIST) == 0


async def test_a_session_that_gws_does_not_list_is_asked_for_once():
    """A stray id must not cost a GET for each message."""
    async with rig() as bot:
        await bot.up()
        for text in "abc":
            await bot.bayeux.say(said(text, "NOBODY"))

        assert bot.gws.count(LIST) == 1
        assert kinds(bot.taken) == [MessageNotice] * 3


@pytest.mark.parametrize(
    "answer", [TemporaryError("refused"), reply(503, "busy"), lambda _: asyncio.sleep(60, ok())]
)
async def test_a_message_is_not_lost_because_gws_does_not_answer(answer):
    async with rig() as bot:
        await bot.up()
        bot.gws.answer_next(LIST, answer)
        await bot.bayeux.say(said("a", "S9"))

        assert kinds(bot.taken) == [MessageNotice]


@pytest.mark.parametrize("listed", ["Talking", "Alerting", None])
async def test_who_speaks_talks(listed):
    """Its notification may be lost; no reply is possible in a session that only rings."""
    async with rig() as bot:
        await bot.up()
        await bot.bayeux.say(changed(session(state="Alerting")))
        bot.gws.sessions = [] if listed is None else [session(state=listed)]
        await bot.bayeux.say(said("hi"), said("again"), ack=1)

        shown = [notice.session.state for notice in bot.taken.of(SessionNotice)]
        assert shown == ["Alerting", "Talking"]
        assert kinds(bot.taken)[1:] == [SessionNotice, MessageNotice, MessageNotice]
        assert len(bot.taken.batches) == 2


async def test_what_was_heard_without_a_break_is_a_proof():
    """An unknown reply whose echo did not come was not said, if the agent heard all since."""
    async with rig() as bot:
        assert bot.agent.hearing is None
        await bot.up()
        began = bot.agent.hearing.since
        await asyncio.sleep(30)
        assert bot.agent.hearing.through < bot.agent._clock.now()
        await bot.bayeux.say(said("hi"), ack=1)
        assert bot.agent.hearing == (began, bot.bayeux.last_good.asked_at)

        await bot.bayeux.listener.gap("poll lost", bot.bayeux.last_good)
        assert bot.agent.hearing.since == bot.agent._clock.now()
        await bot.bayeux.listener.down("no route")
        assert bot.agent.hearing is None


async def test_another_login_is_another_stretch():
    async with rig() as bot:
        await bot.up()
        began = bot.agent.hearing.since
        await bot.bayeux.listener.refused(Fault(FaultClass.AUTH, text="ended"))
        await asyncio.sleep(0.01)
        assert bot.agent.hearing is None
        await bot.until(lambda: bot.agent.is_up)
        assert bot.agent.hearing.since > began


async def test_without_numbers_what_a_failed_poll_may_have_lost_is_kept_with_the_next_reply():
    """Nothing is sent again, and the process may end before the gap is told."""
    async with rig() as bot:
        await bot.up()
        await bot.bayeux.say(said("hi"))
        bot.bayeux.is_sound = False
        bot.bayeux.export = lambda: BayeuxResume("client-1", gap_cause="lost")
        await bot.bayeux.say(said("again"))
        sound, doubtful = bot.taken.batches[-2:]
        assert sound.subscription is None
        assert doubtful.subscription.gap_cause == "lost"
