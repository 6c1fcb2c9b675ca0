"""What every store promises; the one in memory and the one on SQLite keep it alike."""

import asyncio
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from imbot.errors import StoreError
from imbot.model import GoodPoll, Reason, SessionKey, Subscription, Suppressed
from imbot.records import (
    AckSeen,
    EchoSeen,
    Effect,
    EffectState,
    EventHandled,
    EventSeen,
    GapSeen,
    OnceMarked,
    OnceTakenBack,
    Order,
    OrderGiven,
    OrderKind,
    OrderTaken,
    Recovered,
    RuleSeen,
    RunState,
    Strand,
    SubscriptionEnded,
    SubscriptionKept,
    TimerGone,
    TimerSet,
)
from imbot.store.database import open_store
from imbot.testing.memory_store import MemoryStore
from tests.unit.store_samples import (
    T0,
    StoppedClock,
    after,
    changes,
    event,
    groups,
    intent,
    message,
    run,
    seen,
    verdict,
)


class Shelf:
    """Opens the same store again and again, in one of its makes."""

    def __init__(self, make, folder):
        self.make = make
        self.folder = folder
        self.memory = None

    def open(self):
        if self.make == "memory":
            self.memory = self.memory.reopened() if self.memory else MemoryStore()
            return self.memory
        url = "sqlite:///store.db"
        return open_store(url, clock=StoppedClock(), base=self.folder, executor=self.make)


@pytest.fixture(params=["memory", "inline", "thread"])
def shelf(request, tmp_path):
    return Shelf(request.param, tmp_path)


async def recovered(shelf, changes, *, now=T0):
    """Return what a start finds after these changes and a crash."""
    store = shelf.open()
    await store.commit(changes)
    store.abandon()
    store = shelf.open()
    found = await store.recover(now)
    await store.close()
    return found


async def test_a_new_store_has_nothing_unfinished(shelf):
    assert await recovered(shelf, []) == Recovered()


async def test_an_event_comes_back_as_it_was_until_it_is_decided(shelf):
    first = event(7, reason="ä", seconds=1.5, previous=None)
    second = event(9, session_id=None)
    why = (Suppressed("r", Reason.ONCE, "since yesterday"),)
    done = [EventSeen(event(8)), EventHandled("bot1-8", T0, ("greet",), why)]

    found = await recovered(shelf, [EventSeen(first), *done, EventSeen(second)])

    assert found.events == (first, second)
    assert found.last_event_number == 9


async def test_an_event_seen_twice_stays_the_first(shelf):
    found = await recovered(shelf, [EventSeen(event(1, at=T0)), EventSeen(event(1, at=after(5)))])

    assert found.events == (event(1, at=T0),)


async def test_an_event_comes_back_with_what_led_to_it(shelf):
    """A chain of rules that set each other off is not begun anew by a restart."""
    deep = replace(event(1), depth=3)

    found = await recovered(shelf, [EventSeen(deep)])

    assert found.events == (deep,)


async def test_parked_effects_are_told_by_their_ids(shelf):
    parked, said = intent(1), intent(2)
    verdicts = [verdict(parked, EffectState.PARKED), verdict(said, EffectState.ACCEPTED)]

    found = await recovered(shelf, [parked, said, *verdicts])

    assert found.parked == {parked.effect_id}


async def test_an_order_waits_with_its_effect_until_it_is_taken_up(shelf):
    """Also over a restart: what a person decided is done, and done once."""
    parked = intent(1)
    resend = OrderGiven(parked.effect_id, OrderKind.RESEND, "ann", after(1))
    drop = OrderGiven("nobody's", OrderKind.DROP, "bob", after(2))
    store = shelf.open()
    await store.commit([parked, verdict(parked, EffectState.PARKED, detail="no echo")])
    await store.commit([resend, drop])
    store.abandon()

    store = shelf.open()
    first, second = await store.orders()
    effect = Effect(parked, EffectState.PARKED, detail="no echo")
    assert (first, second) == (Order(1, resend, None, effect), Order(2, drop))
    store.note([OrderTaken(1, after(3)), OrderTaken(2, after(3), "there is no such effect")])

    assert await store.orders() == ()
    await store.close()


async def test_a_run_comes_back_where_it_stood_with_its_event(shelf):
    waiting = run(1, RunState.WAITING, at=after(2), due_at=after(60), attempts=2, detail="busy")
    changes = [EventSeen(event(1)), run(1), waiting, run(2, RunState.DONE), run(3)]

    found = await recovered(shelf, changes)

    assert found.runs == ((waiting, event(1)),)


async def test_each_strand_of_a_run_comes_back_where_it_stood(shelf):
    """Branches wait each for their own moment, and a cancelled run stays cancelled."""
    strands = (Strand(4, after(60), waits=True, forks=(1, 3)), Strand(9, forks=(1,)))
    split = run(1, RunState.RUNNING, strands=strands, cancelled="session s1 completed")

    found = await recovered(shelf, [EventSeen(event(1)), run(1), split])

    assert found.runs == ((split, event(1)),)


async def test_events_of_a_session_are_read_from_one_on_in_their_order(shelf):
    """What waits in the store is taken as it came, and no other session's with it."""
    store = shelf.open()
    store.note([EventSeen(event(1)), EventSeen(event(2, session_id="s2")), EventSeen(event(3))])
    store.note([EventSeen(event(4)), EventSeen(event(5))])

    assert await store.events_from("bot1-3", 2) == (event(3), event(4))
    assert await store.events_from("bot1-1", 9) == (event(1), event(3), event(4), event(5))
    assert await store.events_from("bot1-9", 2) == ()
    await store.close()


async def test_timers_come_back_in_the_order_in_which_they_are_due(shelf):
    late, early = TimerSet("b", "run", after(9), "bot1", "s1", {"pc": 3}), TimerSet("a", "x", T0)
    moved, gone = TimerSet("c", "idle", after(-5)), TimerSet("d", "idle", T0)
    before = TimerSet("c", "idle", after(50))

    found = await recovered(shelf, [late, before, early, gone, moved, TimerGone("d")])

    assert found.timers == (moved, early, late)


async def test_what_each_rule_has_begun_in_open_sessions_is_counted(shelf):
    """A budget for a session holds over a restart; another attempt is no other effect."""
    over = seen("s2", completed_at=after(-5))
    begun = [intent(1, 0), intent(1, 0), intent(1, 1), intent(2, rule_id="bye")]

    found = await recovered(shelf, [seen("s1"), over, *begun, intent(3, session_id="s2")])

    key = SessionKey("bot1", "s1")
    assert found.spent == {("greet", key): 2, ("bye", key): 1}


async def test_effects_of_the_last_minute_come_back_with_their_rules_and_moments(shelf):
    """A budget for a minute holds over a restart, in sessions that are over and in none."""
    begun = [
        intent(1, at=after(-61)),
        intent(2, at=after(-59), session_id=""),
        intent(3, at=after(-2), rule_id="bye"),
        intent(3, at=after(-1), rule_id="bye", attempt=2),
    ]

    found = await recovered(shelf, begun)

    assert found.lately == (("greet", after(-59)), ("bye", after(-1)))


async def test_the_versions_of_open_runs_come_back_and_no_others(shelf):
    """A run goes on with the rule as it was when it began."""
    first, last = RuleSeen("v1", "greet", "r.yaml", "old"), RuleSeen("v1", "greet", "r.yaml", "new")
    others = [RuleSeen("v2", "greet", "r.yaml", "x"), RuleSeen("v1", "bye", "r.yaml", "x")]
    ended = run(2, RunState.DONE, rule_id="bye")

    found = await recovered(shelf, [EventSeen(event(1)), first, *others, last, run(1), ended])

    assert found.rules == (last,)


async def test_moments_in_bound_names_survive(shelf):
    """``vars`` may bind a moment, and a restart must not turn it into text."""
    began = run(1, bound={"since": T0, "list": [T0, {"a": T0 + timedelta(days=1)}]})

    found = await recovered(shelf, [EventSeen(event(1)), began])

    assert found.runs[0][0] == began


@pytest.mark.parametrize(
    ("state", "is_found"),
    [
        (None, True),
        (EffectState.UNKNOWN, True),
        (EffectState.ACCEPTED, True),
        (EffectState.PARKED, True),
        (EffectState.FAILED, False),
        (EffectState.CONFIRMED, False),
    ],
)
async def test_an_effect_is_unfinished_while_its_echo_may_come(shelf, state, is_found):
    """An echo not awaited would be taken for the other party's words."""
    settled = [] if state is None else [verdict(intent(), state, detail="why", result=[1])]

    found = await recovered(shelf, [seen("s1"), intent(), *settled])

    assert [effect.intent for effect in found.effects] == ([intent()] if is_found else [])
    if state is not None and is_found:
        assert (found.effects[0].detail, found.effects[0].result) == ("why", [1])


@pytest.mark.parametrize("echo", [None, "Hello"])
async def test_no_echo_is_awaited_in_a_completed_session(shelf, echo):
    over = seen("s1", completed_at=after(-5))
    parked = intent(n=1, echo=echo)

    found = await recovered(
        shelf, [over, parked, verdict(parked, EffectState.PARKED), intent(n=2, echo=echo)]
    )

    assert [effect.state for effect in found.effects] == [EffectState.SENDING]


async def test_all_effects_of_an_open_run_come_back(shelf):
    done = intent(1, 0)
    changes = [EventSeen(event(1)), run(1), done, verdict(done, EffectState.FAILED)]

    found = await recovered(shelf, changes)

    assert [effect.state for effect in found.effects] == [EffectState.FAILED]


async def test_an_echo_outlives_a_later_verdict(shelf):
    """GWS may send the echo before it answers the request."""
    order = [
        EventSeen(event(1)),
        run(1),
        intent(),
        EchoSeen(intent().effect_id, T0),
        verdict(intent(), EffectState.UNKNOWN, detail="timeout"),
    ]

    found = await recovered(shelf, order)

    assert found.effects[0].state is EffectState.CONFIRMED


async def test_a_new_attempt_begins_anew(shelf):
    again = intent(attempt=2)

    found = await recovered(
        shelf, [intent(), verdict(intent(), EffectState.FAILED, detail="no", result=1), again]
    )

    (effect,) = found.effects
    assert (effect.intent, effect.state, effect.detail, effect.result) == (
        again,
        EffectState.SENDING,
        "",
        None,
    )


async def test_open_sessions_and_the_last_completed_ones_come_back(shelf):
    changes = [seen(f"old{n}", completed_at=after(n - 1000)) for n in range(105)]
    changes += [seen("ancient", completed_at=T0 - timedelta(days=2))]
    changes += [seen("open", first_seen_at=T0 - timedelta(days=40), mine=True, talking_at=T0)]

    found = await recovered(shelf, changes)

    assert found.sessions[0] == changes[-1]
    assert {s.session.id for s in found.sessions[1:]} == {f"old{n}" for n in range(5, 105)}


async def test_the_newest_of_a_session_wins_whichever_agent(shelf):
    newest = seen("s1", mine=True)

    found = await recovered(shelf, [seen("s1"), newest, seen("s1", agent="bot2")])

    assert found.sessions == (newest, seen("s1", agent="bot2"))


async def test_what_was_said_in_open_sessions_comes_back_in_order(shelf):
    texts = [EventSeen(message(n, f"text {n}")) for n in (1, 2, 3)]
    over = [seen("s2", completed_at=T0), EventSeen(message(4, "x", session_id="s2"))]

    found = await recovered(shelf, [seen("s1"), *texts, *over, EventSeen(event(5))])

    assert found.said == {SessionKey("bot1", "s1"): ("text 1", "text 2", "text 3")}
    assert found.heard_at == {"bot1": message(3, "").received_at}


async def test_an_agent_can_go_on_with_its_newest_subscription(shelf):
    """Cookies and tokens included: without them GWS takes nobody for the same client."""
    good = GoodPoll(T0 - timedelta(seconds=30), T0)
    jar = (("gws", "/", "JSESSIONID", "JSESSIONID=x", False, None),)
    held = Subscription(
        "http://gws",
        "c2",
        acknowledges=True,
        since=T0,
        gap_cause="402",
        pending=("/a",),
        cookies=jar,
        tokens={"X-CSRF": "t"},
    )
    changes = [
        SubscriptionKept("bot1", replace(held, client_id="c1")),
        AckSeen("bot1", "c1", 3),
        SubscriptionKept("bot1", held),
        AckSeen("bot1", "c2", 4, good),
        SubscriptionKept("bot2", held),
        SubscriptionEnded("bot2"),
    ]

    found = await recovered(shelf, changes)

    assert found.subscriptions == {"bot1": held}
    assert found.acks == {"bot1": AckSeen("bot1", "c2", 4, good)}
    assert "JSESSIONID" not in repr(found)


async def test_marks_are_seen_at_once_and_can_be_taken_back(shelf):
    store = shelf.open()
    store.note([OnceMarked("a", "s", "r", T0), OnceMarked("b", "s", "r", after(1))])
    pairs = [("a", "s"), ("b", "s"), ("a", "t")]
    assert await store.marked(pairs) == {("a", "s"): T0, ("b", "s"): after(1)}

    await store.commit([OnceTakenBack("a", "s")])

    assert set(await store.marked(pairs)) == {("b", "s")}
    assert set(await store.marked([(f"r{n}", "s") for n in range(2000)] + pairs)) == {("b", "s")}
    assert await store.marked([]) == {}
    await store.close()


async def test_a_commit_makes_what_was_noted_before_durable(shelf):
    store = shelf.open()
    store.note([EventSeen(event(1))])
    await store.commit([])
    store.abandon()

    store = shelf.open()
    assert (await store.recover(T0)).events == (event(1),)
    await store.close()


async def test_close_makes_notes_durable_and_ends_the_store(shelf):
    store = shelf.open()
    store.note([EventSeen(event(1)), GapSeen("bot1", ("s1",), "lost poll", T0, T0)])
    store.note([AckSeen("bot1", "c", 2**70), RuleSeen("v1", "greet", "r.yaml", "rule: greet")])
    await store.close()
    await store.close()

    with pytest.raises(StoreError, match="closed"):
        store.note([])
    with pytest.raises(StoreError, match="closed"):
        await store.commit([])
    store = shelf.open()
    assert (await store.recover(T0)).events == (event(1),)
    await store.close()


async def test_concurrent_commits_keep_the_order_of_the_calls(shelf):
    store = shelf.open()

    async def commit(number):
        await store.commit([EventSeen(event(number)), seen("s1", first_seen_at=after(number))])

    await asyncio.gather(*(commit(number) for number in range(300)))

    found = await store.recover(T0)
    assert [e.id for e in found.events] == [f"bot1-{number}" for number in range(300)]
    assert found.sessions[0].first_seen_at == after(299)
    await store.close()


async def test_a_waiter_that_goes_away_harms_nobody(shelf):
    store = shelf.open()
    gone = asyncio.ensure_future(store.commit([EventSeen(event(1))]))
    stays = asyncio.ensure_future(store.commit([EventSeen(event(2))]))
    await asyncio.sleep(0)
    gone.cancel()

    await stays

    assert len((await store.recover(T0)).events) == 2
    await store.close()


@pytest.mark.looptime
@pytest.mark.parametrize("make", ["memory", "inline"])
@pytest.mark.parametrize(("waited_s", "is_kept"), [(0.04, False), (0.06, True)])
async def test_a_note_is_durable_after_50_ms_and_not_before(tmp_path, make, waited_s, is_kept):
    shelf = Shelf(make, tmp_path)
    store = shelf.open()
    store.note([EventSeen(event(1))])
    await asyncio.sleep(waited_s)
    store.abandon()
    await asyncio.sleep(0.1)

    found = await shelf.open().recover(T0)

    assert bool(found.events) is is_kept


@settings(max_examples=30, suppress_health_check=list(HealthCheck), deadline=None)
@given(groups)
async def test_any_changes_then_a_crash_leave_at_least_what_was_committed(calls):
    """Both stores must agree on every sequence, and neither may lose a commit or reorder."""
    with tempfile.TemporaryDirectory() as folder:
        memory, inline = Shelf("memory", None), Shelf("inline", Path(folder))
        stores = [memory.open(), inline.open()]
        for store in stores:
            for is_commit, some in calls:
                if is_commit:
                    await store.commit(some)
                else:
                    store.note(some)
            store.abandon()
        in_memory, on_disk = memory.open(), inline.open()
        try:
            assert await on_disk.recover(T0) == await in_memory.recover(T0)
        finally:
            on_disk.abandon()

    last = max((n for n, (is_commit, _) in enumerate(calls) if is_commit), default=-1)
    assert in_memory.durable == [change for _, some in calls[: last + 1] for change in some]


@settings(max_examples=20, deadline=None)
@given(changes)
async def test_any_single_change_can_be_written(change):
    store = open_store("sqlite://", clock=StoppedClock(), base=Path(), executor="inline")

    await store.commit([change])

    await store.close()
