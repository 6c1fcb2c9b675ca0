"""What is parked is counted where everything goes by."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from imbot.engine.tally import Tally
from imbot.engine.watching import Kept, Parked
from imbot.records import (
    EchoSeen,
    EffectState,
    OnceMarked,
    OrderGiven,
    OrderKind,
    Recovered,
    Retention,
)
from imbot.testing.memory_store import MemoryStore
from imbot.testing.time import LoopClock
from tests.unit.store_samples import T0, intent, verdict

pytestmark = pytest.mark.looptime

LOST, OTHER = intent(1), intent(2)
PARKED = verdict(LOST, EffectState.PARKED, detail="no echo came")


async def test_what_is_parked_counts_until_it_is_not():
    """However it is settled: sent again, confirmed by a late echo, or dropped."""
    for settled in (
        LOST,
        EchoSeen(LOST.effect_id, T0),
        verdict(LOST, EffectState.CONFIRMED),
    ):
        tally = Tally(MemoryStore(), LoopClock())
        await tally.commit([LOST, OTHER])
        tally.note([PARKED])
        assert tally.parked == {LOST.effect_id}
        tally.note([settled])
        assert tally.parked == set()


async def test_each_parked_effect_is_told_once():
    """Whoever watches the log learns of every one, whatever gave it up."""
    tally = Tally(MemoryStore(), LoopClock())
    with capture_logs() as logs:
        tally.note([LOST, PARKED, PARKED])

    assert logs == [
        {
            "event": "effect.parked",
            "log_level": "warning",
            "effect": LOST.effect_id,
            "cause": "no echo came",
        }
    ]


async def test_a_commit_is_shown_with_all_that_it_kept():
    """A disk that grows slow is seen before agents lose their subscriptions for it."""

    class SlowStore(MemoryStore):
        async def commit(self, changes):
            await asyncio.sleep(0.25)
            await super().commit(changes)

    seen = []
    tally = Tally(SlowStore(), LoopClock(), seen.append)
    tally.note([OTHER])
    await tally.commit([LOST, PARKED])
    await tally.commit([])

    assert seen == [Kept(3, 0.25), Parked(LOST.effect_id), Kept(0, 0.25)]


async def test_a_start_counts_what_was_parked_before():
    store = MemoryStore()
    await store.commit([LOST, PARKED])
    tally = Tally(store.reopened(), LoopClock())
    found = await tally.recover(T0)

    assert tally.parked == found.parked == {LOST.effect_id}
    await asyncio.wait_for(tally.any_parked(), 1)


async def test_nobody_is_woken_while_nothing_is_parked():
    """Looking for orders costs nothing then."""
    tally = Tally(MemoryStore(), LoopClock())
    await tally.recover(T0)
    waiting = asyncio.create_task(tally.any_parked())
    tally.note([LOST, OnceMarked("r", "s", "run", T0), verdict(LOST, EffectState.ACCEPTED)])
    await asyncio.sleep(1)
    assert not waiting.done()
    tally.note([PARKED])
    await waiting


async def test_everything_else_is_passed_on():
    store = MemoryStore()
    tally = Tally(store, LoopClock())
    await tally.commit([OnceMarked("r", "s", "run", T0)])
    await tally.commit([OrderGiven("e", OrderKind.DROP, "ann", T0)])

    assert await tally.marked([("r", "s")]) == {("r", "s"): T0}
    assert [order.given.by for order in await tally.orders()] == ["ann"]
    assert await tally.forget(Retention()) == 0
    assert await tally.recover(T0) == Recovered()
    await tally.close()
    assert store.broken


@given(
    st.lists(
        st.tuples(st.sampled_from([LOST, OTHER]), st.sampled_from([*EffectState, None])),
        max_size=12,
    )
)
def test_it_counts_what_the_store_would_find(steps):
    """The count and a restart agree."""

    async def play():
        store = MemoryStore()
        tally = Tally(store, LoopClock())
        for one, state in steps:
            # What is confirmed stays so, and the ledger does not park it.
            if state is EffectState.CONFIRMED:
                continue
            await tally.commit([one if state is None else verdict(one, state)] if state else [one])
        known = {one.effect_id for one, state in steps if state is None}
        found = await store.recover(T0)
        assert tally.parked & known == found.parked & tally.parked

    asyncio.run(play())
