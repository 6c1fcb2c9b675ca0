"""What a start makes of what the last one left."""

from datetime import timedelta

from imbot.engine.recovering import left_behind
from imbot.store.database import open_store
from tests.unit.store_samples import T0, StoppedClock, seen

LONG_AGO = T0 - timedelta(days=40)
BEFORE = T0 - timedelta(days=30)


def test_sessions_of_an_agent_that_is_gone_are_over_after_a_while():
    """Nobody will tell of their end, and they would be read at each start for ever."""
    old, recent = seen("s1", first_seen_at=LONG_AGO), seen("s2", first_seen_at=T0)

    (over,) = left_behind([old, recent], {"bot2"}, BEFORE)

    assert over.session.id == "s1"
    assert over.session.is_completed
    assert over.completed_at == LONG_AGO


def test_sessions_of_agents_that_are_there_stay_and_so_does_what_is_over():
    completed = seen("s2", completed_at=LONG_AGO)

    assert left_behind([seen("s1", first_seen_at=LONG_AGO)], {"bot1"}, BEFORE) == []
    assert left_behind([completed], {"bot2"}, BEFORE) == []


async def test_the_store_does_not_give_them_back_any_more(tmp_path):
    store = open_store("sqlite:///s.db", clock=StoppedClock(), base=tmp_path, executor="inline")
    await store.commit([seen("s1", first_seen_at=LONG_AGO)])
    found = await store.recover(T0)
    await store.commit(left_behind(found.sessions, {"bot2"}, BEFORE))

    assert (await store.recover(T0)).sessions == ()
    await store.close()
