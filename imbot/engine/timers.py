"""Fires what is due: one heap, one task that wakes up for the earliest.

It keeps to the clock on the wall, so nothing drifts. Rows are written by whoever sets a timer;
here is only what the memory needs of them.
"""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from imbot.clock import Clock
from imbot.records import TimerSet

#: When a row is due that only keeps something.
NEVER = datetime(9999, 1, 1, tzinfo=UTC)

#: What fell due before the start is fired at this distance: at most 50 a second.
LATE_APART = timedelta(milliseconds=20)

#: The longest sleep: so soon it is noticed that somebody has set the clock.
LONGEST_SLEEP_S = 60.0

#: Entries without a timer that the heap may hold beside as many as there are timers.
_LEFTOVERS = 64


class _Entry(NamedTuple):
    """A place in the heap; it counts only as long as its timer is set."""

    fires_at: datetime
    number: int
    timer: TimerSet


class Timers:
    """What is to be fired, by id.

    What a store gave back is set before the start: of it the overdue are fired one by one, the
    oldest first, and keep nothing else waiting.

    Args:
        clock: Tells the time.
        fire: Is given each timer when it is due, and not any more set; must not wait.
    """

    def __init__(self, clock: Clock, fire: Callable[[TimerSet], None]) -> None:
        self._clock = clock
        self._fire = fire
        self._set: dict[str, TimerSet] = {}
        self._heap: list[_Entry] = []
        self._numbers = itertools.count()
        self._earlier = asyncio.Event()
        self._began_at: datetime | None = None
        self._late_at: datetime | None = None
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Return how many are set."""
        return len(self._set)

    def get(self, timer_id: str) -> TimerSet | None:
        """Return the timer of this id; None when none is set."""
        return self._set.get(timer_id)

    def set(self, timer: TimerSet) -> None:
        """Let it be fired when it is due, instead of any other of its id."""
        self._set[timer.id] = timer
        if self._began_at is not None:
            self._push(timer, self._began_at)

    def cancel(self, timer_id: str) -> bool:
        """Let it not be fired; return whether it was set."""
        return self._set.pop(timer_id, None) is not None

    def start(self) -> asyncio.Task[None]:
        """Begin to fire; return the task, which ends only by what ``fire`` raises."""
        self._began_at = self._clock.now()
        for timer in sorted(self._set.values(), key=lambda timer: timer.due_at):
            self._push(timer, self._began_at)
        self._task = asyncio.get_running_loop().create_task(self._serve())
        return self._task

    async def close(self) -> None:
        """Fire nothing any more; what is set stays for the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    # The heap ---------------------------------------------------------------------------------

    def _push(self, timer: TimerSet, began_at: datetime) -> None:
        fires_at = timer.due_at
        if fires_at < began_at:
            fires_at = self._next_late()
        heapq.heappush(self._heap, _Entry(fires_at, next(self._numbers), timer))
        if self._heap[0].timer is timer:
            self._earlier.set()
        if len(self._heap) > 2 * len(self._set) + _LEFTOVERS:
            self._heap = [entry for entry in self._heap if self._counts(entry)]
            heapq.heapify(self._heap)

    def _next_late(self) -> datetime:
        """Return when the next overdue one may be fired."""
        now = self._clock.now()
        free_at = now if self._late_at is None else max(now, self._late_at + LATE_APART)
        self._late_at = free_at
        return free_at

    def _counts(self, entry: _Entry) -> bool:
        return self._set.get(entry.timer.id) is entry.timer

    def _earliest(self) -> _Entry | None:
        """Return the first entry that counts; those before it are dropped."""
        while self._heap and not self._counts(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0] if self._heap else None

    # The wake-up ------------------------------------------------------------------------------

    async def _serve(self) -> None:
        while True:
            self._earlier.clear()
            while (timer := self._take_due()) is not None:
                self._fire(timer)
                await asyncio.sleep(0)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._earlier.wait()

    def _take_due(self) -> TimerSet | None:
        """Return the next that is due, which is not set any more; None when none is."""
        first = self._earliest()
        if first is None or first.fires_at > self._clock.now():
            return None
        heapq.heappop(self._heap)
        return self._set.pop(first.timer.id)

    def _pause_s(self) -> float | None:
        """Return the seconds to sleep; None until something is set."""
        if (first := self._earliest()) is None:
            return None
        left_s = (first.fires_at - self._clock.now()).total_seconds()
        return min(left_s, LONGEST_SLEEP_S)
