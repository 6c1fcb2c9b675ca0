"""How often rules ran is counted now and then, not for each who looks."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from imbot.admin.runcounts import RunCounts
from imbot.errors import StoreError
from imbot.records import RunState
from imbot.store.views import RuleView
from imbot.testing.time import LoopClock

pytestmark = pytest.mark.looptime

NOW = datetime(2026, 1, 5, tzinfo=UTC)


class SlowReader:
    """A store in which counting takes two seconds; it can fail, too."""

    def __init__(self):
        self.often = 0
        self.fails = False

    async def look(self, look):
        await asyncio.sleep(2)
        if self.fails:
            raise StoreError("store: the disk is gone")
        self.often += 1
        return look(SimpleNamespace(rules=lambda: [RuleView("r", {RunState.DONE: 1}, NOW)]))


async def test_counting_takes_at_most_a_hundredth_of_the_time():
    """A page of rules is asked for with each event; a store has millions of runs."""
    reader = SlowReader()
    counts = RunCounts(SimpleNamespace(reader=reader, clock=LoopClock()))
    for _ in range(420):
        assert set(await counts.counted()) == {"r"}
        await asyncio.sleep(1)
    assert reader.often == 3, "at 0, 200 and 400 s"


async def test_what_cannot_be_read_is_told_and_asked_again():
    reader = SlowReader()
    counts = RunCounts(SimpleNamespace(reader=reader, clock=LoopClock()))
    reader.fails = True
    with pytest.raises(StoreError):
        await counts.counted()
    reader.fails = False
    assert set(await counts.counted()) == {"r"}
