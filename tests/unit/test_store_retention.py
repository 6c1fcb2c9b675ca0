"""What is forgotten and what never is."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from imbot.records import (
    EffectState,
    EventHandled,
    EventSeen,
    GapSeen,
    OnceMarked,
    OrderGiven,
    OrderKind,
    OrderTaken,
    Retention,
    RunState,
)
from imbot.store.database import open_store
from imbot.store.queries import Views
from imbot.store.retention import CHUNK_ROWS
from tests.unit.store_samples import (
    T0,
    StoppedClock,
    event,
    groups,
    intent,
    message,
    run,
    seen,
    verdict,
)

OLD = T0 - timedelta(days=31)
TABLES = ("events", "runs", "effects", "sessions", "gaps", "once_marks", "orders")


@pytest.fixture
def store():
    return open_store("sqlite://", clock=StoppedClock(), base=Path(), executor="inline")


async def counts(store):
    """Return how many rows each table has."""

    def count(database):
        execute = database.connection.exec_driver_sql
        return {table: execute(f"SELECT count(*) FROM {table}").scalar() for table in TABLES}  # noqa: S608  our own names

    return await store._writer.carry_out(count)


def ended(number=1, at=OLD, state=EffectState.CONFIRMED):
    """Return a whole run that ended then."""
    effect = intent(number, at=at)
    return [
        EventSeen(event(number, at=at)),
        EventHandled(f"bot1-{number}", at, ("greet",)),
        run(number, RunState.DONE, at=at),
        effect,
        verdict(effect, state, at=at),
    ]


NEWEST = [EventSeen(event(9000)), EventHandled("bot1-9000", T0)]


async def test_what_ended_long_ago_is_forgotten(store):
    gap = GapSeen("bot1", ("s1",), "lost", OLD, OLD)
    await store.commit([*ended(), seen(completed_at=OLD, first_seen_at=OLD), gap, *NEWEST])

    assert await store.forget(Retention()) == 4

    assert await counts(store) == dict.fromkeys(TABLES, 0) | {"events": 1}


async def test_what_ended_lately_is_kept(store):
    at = T0 - timedelta(days=29)
    gap = GapSeen("bot1", ("s1",), "lost", OLD, at)
    await store.commit([*ended(at=at), seen(completed_at=at, first_seen_at=OLD), gap, *NEWEST])

    assert await store.forget(Retention()) == 0
    assert await store.forget(Retention(history=timedelta(days=28))) == 4


@pytest.mark.parametrize(
    "state", [EffectState.SENDING, EffectState.UNKNOWN, EffectState.PARKED], ids=str
)
async def test_an_open_effect_keeps_all_that_explains_it(store, state):
    """A parked reply waits for a person, however long that takes."""
    await store.commit([*ended(state=state), seen(completed_at=OLD, first_seen_at=OLD), *NEWEST])
    before = await counts(store)

    assert await store.forget(Retention()) == 0

    assert await counts(store) == before


async def test_an_open_run_and_an_open_session_are_kept(store):
    waiting = [EventSeen(event(1, session_id=None, at=OLD)), EventHandled("bot1-1", OLD)]
    waiting += [run(1, RunState.WAITING, at=OLD)]
    said = [EventSeen(message(2, "hi", at=OLD)), EventHandled("bot1-2", OLD)]
    undecided = [EventSeen(event(3, session_id="s3", at=OLD))]
    await store.commit([*waiting, *said, *undecided, seen(first_seen_at=OLD), *NEWEST])

    assert await store.forget(Retention()) == 0


async def test_the_newest_event_stays_so_that_ids_go_on(store):
    """Else an id would be given twice, and a parked effect mistaken for a new one."""
    await store.commit([*ended(1), *ended(2)])

    await store.forget(Retention())

    assert (await store.recover(T0)).last_event_number == 2
    assert (await counts(store))["events"] == 1


async def test_once_marks_go_by_their_own_age(store):
    days = [timedelta(days=n) for n in (399, 401)]
    await store.commit([OnceMarked("r", f"s{age.days}", "run", T0 - age) for age in days])

    assert await store.forget(Retention()) == 1

    assert set(await store.marked([("r", "s399"), ("r", "s401")])) == {("r", "s399")}


async def test_marks_of_a_session_go_with_what_was_done_in_it(store):
    """A greeting leaves one for each session: after a year they would be most of the store."""
    names = [
        "session bot1/s1",
        "throttle session bot1/s1",
        "shadow session bot1/s1",
        "shadow throttle session bot1/s1",
    ]
    others = ["participant 3001", "session bot1/s2"]
    marks = [OnceMarked("greet", name, "bot1-1/greet", OLD) for name in names + others]
    await store.commit([*ended(1), *marks, *NEWEST])

    await store.forget(Retention())

    left = await store.marked([("greet", name) for name in names + others])
    assert set(left) == {("greet", name) for name in others}


@pytest.mark.parametrize("completed_at", [None, T0])
async def test_marks_of_a_session_that_is_open_or_hardly_over_stay(store, completed_at):
    """It would be greeted again."""
    mark = OnceMarked("greet", "session bot1/s1", "bot1-1/greet", OLD)
    session = seen("s1", first_seen_at=OLD, completed_at=completed_at)
    await store.commit([*ended(1), session, mark, *NEWEST])

    await store.forget(Retention())

    assert set(await store.marked([("greet", "session bot1/s1")]))


async def test_an_order_is_kept_until_it_is_taken_up(store):
    given = OrderGiven("e", OrderKind.DROP, "ann", OLD)
    await store.commit([given, given, OrderTaken(1, OLD), *NEWEST])

    assert await store.forget(Retention()) == 1

    assert [order.number for order in await store.orders()] == [2]


async def test_much_is_forgotten_a_little_at_a_time(store):
    """A commit must never wait for the whole of it."""
    number = CHUNK_ROWS * 2 + 1
    await store.commit([change for n in range(number) for change in ended(n)] + NEWEST)
    begun = []
    await store._writer.carry_out(
        lambda database: database._raw.set_trace_callback(
            lambda sql: begun.append(sql) if sql.startswith("BEGIN") else None
        )
    )

    assert await store.forget(Retention()) == number * 2

    assert len(begun) == 4
    assert (await counts(store))["effects"] == 0


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(groups)
async def test_forgetting_never_changes_what_a_start_finds(calls):
    """But for sessions completed before what is kept began."""
    store = open_store("sqlite://", clock=StoppedClock(), base=Path(), executor="inline")
    for _, some in calls:
        await store.commit(some)
    before = await store.recover(T0)
    parked = await store._writer.carry_out(lambda database: Views(database).parked())

    await store.forget(Retention(history=timedelta(days=1)))

    after = await store.recover(T0)
    assert replace(after, sessions=()) == replace(before, sessions=())
    assert await store._writer.carry_out(lambda database: Views(database).parked()) == parked
    await store.close()
