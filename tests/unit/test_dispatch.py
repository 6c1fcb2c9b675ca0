"""Dispatch: kept before acted on, in order within a session, side by side across sessions."""

import asyncio
from datetime import timedelta

import pytest

from imbot.engine.tasks import Tasks
from imbot.errors import StoreError
from imbot.model import (
    Batch,
    ConnectionChange,
    ConnectionNotice,
    FaultNotice,
    GoodPoll,
    ImSession,
    MessageNotice,
    SessionNotice,
    SnapshotNotice,
    Subscription,
)
from imbot.records import (
    AckSeen,
    EchoSeen,
    EffectState,
    EventHandled,
    EventSeen,
    GapSeen,
    Intent,
    SubscriptionEnded,
    SubscriptionKept,
    Verdict,
)
from imbot.testing.house import CUSTOMER, build
from imbot.testing.memory_store import MemoryStore

pytestmark = pytest.mark.looptime

ECHO = """
version: 1
rules:
  - id: echo
    trigger: {message: any}
    mode: queue
    do:
      - reply: "{{ message.text }}!"
"""


async def test_a_batch_is_kept_before_it_is_acted_on():
    """The wire may ask for the next only when this one cannot be lost."""
    store = MemoryStore()
    house = build(ECHO, store=store)
    session = ImSession("s1", "Talking", {}, (CUSTOMER,))

    await house.dispatch.accept(
        Batch("bot1", (SessionNotice(session, house.clock.now()),), "c1", 7)
    )

    kinds = [type(change) for change in store.durable]
    assert EventSeen in kinds
    assert AckSeen("bot1", "c1", 7) in store.durable
    assert house.said() == []


async def test_nothing_goes_out_until_the_batch_is_kept():
    """What an event leads to is written behind it, so that one commit may keep both."""
    store = MemoryStore()
    house = build(ECHO, store=store)
    await house.state("Talking")
    kept, commit = asyncio.Event(), store.commit

    async def commit_slowly(changes):
        store.note(changes)
        await kept.wait()
        await commit(())

    store.commit = commit_slowly
    accepting = asyncio.ensure_future(house.say("hi"))
    await asyncio.sleep(1)

    assert house.said() == []
    assert not accepting.done()
    kept.set()
    await accepting
    assert house.said() == ["hi!"]
    kinds = [type(change) for change in store.durable]
    assert kinds.index(EventHandled, kinds.index(EventSeen)) < kinds.index(Intent)


async def test_what_cannot_be_kept_is_not_acted_on():
    """A full disk stops the bot, not its memory."""
    store = MemoryStore()
    house = build(ECHO, store=store)
    await house.state("Talking")
    store.broken = "disk full"

    with pytest.raises(StoreError):
        await house.say("hi")

    assert house.said() == []


async def test_an_empty_batch_writes_nothing():
    """Most polls bring nothing."""
    store = MemoryStore()
    house = build(ECHO, store=store)

    await house.dispatch.accept(Batch("bot1", ()))

    assert store.durable == []


async def test_messages_of_one_session_are_answered_in_order():
    """Answers must not overtake each other."""
    house = build(ECHO)
    await house.state("Talking")
    notices = [MessageNotice("s1", str(n), house.clock.now()) for n in range(20)]

    await house.hear(*notices)
    await house.settle()

    assert house.said() == [f"{n}!" for n in range(20)]


async def test_a_slow_session_does_not_hold_up_another():
    """Sessions are served side by side."""
    house = build(ECHO, agents=("bot1", "bot2"))
    await house.state("Talking", "s1")
    await house.state("Talking", "s2", agent="bot2")
    house.gws["bot1"].hangs = True

    await house.hear(MessageNotice("s1", "a", house.clock.now()))
    await house.hear(MessageNotice("s2", "b", house.clock.now()), agent="bot2")
    await house.tasks.drain(0.1)

    assert house.said("bot2") == ["b!"]
    await house.tasks.cancel()


@pytest.mark.parametrize(("sender", "answers"), [("3002", 1), ("1001", 0), ("bot1", 0)])
async def test_a_sender_is_trusted_over_the_text(sender, answers):
    """Where notifications say who spoke, nobody guesses."""
    house = build(ECHO)
    await house.state("Talking")

    await house.hear(MessageNotice("s1", "hi", house.clock.now(), sender=sender))
    await house.settle()

    assert len(house.said()) == answers


async def test_the_other_partys_words_are_no_echo_when_the_sender_says_so():
    """They may repeat what we said."""
    store = MemoryStore()
    house = build(ECHO, store=store)
    await house.state("Talking")
    await house.say("hi")

    await house.hear(MessageNotice("s1", "hi!", house.clock.now(), sender="3002"))
    await house.settle()

    assert house.said() == ["hi!", "hi!!"]
    assert not [change for change in store.durable if isinstance(change, EchoSeen)]


async def test_an_error_notification_starts_no_rule():
    """It is told in the log."""
    house = build(ECHO)

    await house.hear(FaultNotice("(no text)", house.clock.now(), device_path="/devices/1"))
    await house.settle()

    assert house.sights == []


@pytest.mark.parametrize("waits", ["", ", {wait: 1h}"], ids=["over", "goes-on"])
@pytest.mark.parametrize("session_id", ["s1", None])
async def test_an_error_notification_is_told_with_what_it_is_likely_about(session_id, waits):
    """Who asks what became of a reply hears it; an error without a session is the only one's."""
    rules = f"version: 1\nrules: [{{id: r, trigger: {{state: Talking}}, do: [reply: hi{waits}]}}]"
    house = build(rules)
    await house.state("Talking")

    await house.hear(FaultNotice("not registered", house.clock.now(), session_id))
    await house.store.commit(())

    last = [c for c in house.store.durable if isinstance(c, Verdict)][-1]
    assert (last.effect_id, last.state) == ("bot1:1/r/0/im1", EffectState.ACCEPTED)
    assert last.detail == "GWS reports an error: not registered"


async def test_an_error_about_what_was_heard_back_is_only_logged():
    """It cannot be about that."""
    house = build("version: 1\nrules: [{id: r, trigger: {state: Talking}, do: [reply: hi]}]")
    await house.state("Talking")
    await house.say("hi")

    await house.hear(FaultNotice("not registered", house.clock.now(), "s1"))
    await house.store.commit(())

    assert [c.detail for c in house.store.durable if isinstance(c, Verdict)] == [""]


async def test_a_gap_is_kept_with_the_sessions_it_may_concern():
    """Supervisors ask whether something was missed."""
    store = MemoryStore()
    house = build(ECHO, store=store)
    await house.state("Talking")

    await house.connection(ConnectionChange.GAP)

    (gap,) = [change for change in store.durable if isinstance(change, GapSeen)]
    assert gap.session_ids == ("s1",)
    assert gap.ended_at - gap.started_at == timedelta(seconds=3)


async def test_a_gap_concerns_whoever_was_there_meanwhile_and_nobody_else():
    """The reply that ends a gap may end a session too; what was said in it before is lost."""
    store = MemoryStore()
    house = build(ECHO, store=store)
    skewed = house.clock.now() - timedelta(hours=1)
    for name in ("earlier", "ended", "live"):
        await house.state("Talking", name)
    await house.state("Completed", "earlier")
    await asyncio.sleep(10)
    await house.hear(SessionNotice(ImSession("ended", "Completed"), skewed))

    now = house.clock.now()
    gap = ConnectionNotice(ConnectionChange.GAP, now, "HTTP 503", 5.0)
    sessions = (ImSession("live", "Talking"), ImSession("begun", "Talking"))
    await house.hear(gap, SnapshotNotice(sessions, now, now, now - timedelta(seconds=4)))

    (seen,) = [change for change in store.durable if isinstance(change, GapSeen)]
    assert sorted(seen.session_ids) == ["begun", "ended", "live"]


async def test_a_bug_in_one_event_does_not_stop_the_next(monkeypatch):
    """The daemon lives on, and says what happened."""
    house = build(ECHO)
    await house.state("Talking")
    flow = house.dispatch._flow
    original, failed = type(flow).take, []

    async def take(self, event):
        if not failed:
            failed.append(event)
            raise ZeroDivisionError("a bug")
        return await original(self, event)

    monkeypatch.setattr(type(flow), "take", take)
    await house.hear(*(MessageNotice("s1", t, house.clock.now()) for t in ("a", "b")))
    await house.settle()

    assert house.said() == ["b!"]


async def test_a_failed_store_ends_the_engine():
    """Nothing may be promised any more."""
    store = MemoryStore()
    house = build(ECHO, store=store)
    await house.state("Talking")
    store_note = store.note

    def note(changes):
        if isinstance(changes[0], EventHandled):
            store.broken = "disk full"
        store_note(changes)

    store.note = note
    await house.hear(MessageNotice("s1", "a", house.clock.now()))
    await asyncio.wait([house.tasks.failed])

    assert isinstance(house.tasks.failed.result(), StoreError)


async def test_drain_gives_up_after_its_limit():
    """A stop does not wait for ever."""
    tasks = Tasks()
    tasks.spawn(asyncio.sleep(100))

    assert not await tasks.drain(1)
    await tasks.cancel()
    assert await tasks.drain(1)


async def test_what_another_process_needs_is_kept_with_the_batch():
    """A number without its client, or a client without the moment of a gap, would be no use."""
    store = MemoryStore()
    house = build(ECHO, store=store)
    now = house.clock.now()
    good, held = GoodPoll(now, now), Subscription("http://gws", "c1", acknowledges=True)

    await house.dispatch.accept(Batch("bot1", (), "c1", 7, good, held))
    assert store.durable[-2:] == [SubscriptionKept("bot1", held), AckSeen("bot1", "c1", 7, good)]

    await house.dispatch.accept(Batch("bot1", (), is_farewell=True))
    assert store.durable[-1] == SubscriptionEnded("bot1")


@pytest.mark.parametrize(
    ("is_unbroken", "told_s", "reasons"),
    [
        (False, None, ["imbot was not running"]),
        (False, 10, ["imbot was not running", "402"]),
        (False, 100, ["402"]),
        (True, None, []),
    ],
)
async def test_the_time_between_two_processes_is_told_once_unless_nothing_was_lost(
    is_unbroken, told_s, reasons
):
    """Who goes on with the subscription of the process before lost nothing where GWS keeps it."""
    store = MemoryStore()
    house = build(ECHO, store=store)
    await house.state("Talking")
    await asyncio.sleep(60)
    again = build(ECHO, store=store.reopened())
    await again.dispatch.recover(again.book.rules)
    now = again.clock.now()
    gap = () if told_s is None else (ConnectionNotice(ConnectionChange.GAP, now, "402", told_s),)
    live = ImSession("s1", "Talking", {}, (CUSTOMER,))

    if is_unbroken:
        await again.dispatch.accept(Batch("bot1", (), is_unbroken=True))
    for notices in (gap, ()):
        snapshot = SnapshotNotice((live,), now, now, now)
        await again.dispatch.accept(Batch("bot1", (*notices, snapshot)))

    gaps = [change for change in again.store.durable if isinstance(change, GapSeen)]
    assert [gap.reason for gap in gaps] == reasons
