"""Fires what is due: one heap, and one wake-up for the earliest in it.

It keeps to the clock on the wall, so nothing drifts. Rows are written by whoever sets a timer;
here is only what the memory needs of them.
"""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from imbot.clock import Clock
from imbot.records import TimerSet

#: When a row is due that only keeps something.
NEVER = datetime(9999, 1, 1, tzinfo=UTC)

#: What is due for longer than this was missed: imbot was down, or its machine asleep.
LATE = timedelta(seconds=60)

#: What was missed is fired at this distance: at most 50 a second.
LATE_APART_S = 0.02

#: The longest sleep: so soon it is noticed that somebody has set the clock.
LONGEST_SLEEP_S = 60.0

#: Entries without a timer that the heap may hold beside as many as there are timers.
_LEFTOVERS = 64


class _Entry(NamedTuple):
    """A place in the heap; it counts only as long as its timer is set."""

    due_at: datetime
    number: int
    timer: TimerSet


class Timers:
    """What is to be fired, by id.

    What was missed is fired one by one, the oldest first, and keeps nothing else waiting: what is
    overdue at the start, and what is due for long because the machine slept or its clock was set.

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
        self._missed: deque[TimerSet] = deque()
        self._missed_free_at_s = 0.0
        self._is_on = False
        self._over: asyncio.Future[None] | None = None
        self._wake_up: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Return how many are set."""
        return len(self._set)

    @property
    def waiting(self) -> list[TimerSet]:
        """What is set, soonest first."""
        return sorted(self._set.values(), key=lambda timer: timer.due_at)

    def get(self, timer_id: str) -> TimerSet | None:
        """Return the timer of this id; None when none is set."""
        return self._set.get(timer_id)

    def set(self, timer: TimerSet) -> None:
        """Let it be fired when it is due, instead of any other of its id."""
        self._set[timer.id] = timer
        if self._is_on:
            self._push(timer)

    def cancel(self, timer_id: str) -> bool:
        """Let it not be fired; return whether it was set."""
        return self._set.pop(timer_id, None) is not None

    def start(self) -> "asyncio.Future[None]":
        """Begin to fire; return what ends only by what ``fire`` raises."""
        self._over = asyncio.get_running_loop().create_future()
        self._is_on = True
        now = self._clock.now()
        for timer in sorted(self._set.values(), key=lambda timer: timer.due_at):
            if timer.due_at < now:
                self._missed.append(timer)
            else:
                self._push(timer)
        self._sleep()
        return self._over

    async def close(self) -> None:
        """Fire nothing any more; what is set stays for the next start."""
        self._stop()
        if self._over is not None:
            self._over.cancel()

    def _stop(self) -> None:
        self._is_on = False
        self._heap.clear()
        self._missed.clear()
        self._sleep()

    # The heap ---------------------------------------------------------------------------------

    def _push(self, timer: TimerSet) -> None:
        heapq.heappush(self._heap, _Entry(timer.due_at, next(self._numbers), timer))
        if len(self._heap) > 2 * len(self._set) + _LEFTOVERS:
            self._heap = [entry for entry in self._heap if self._counts(entry.timer)]
            heapq.heapify(self._heap)
        if self._heap[0].timer is timer:
            self._sleep()

    def _counts(self, timer: TimerSet) -> bool:
        return self._set.get(timer.id) is timer

    def _earliest(self) -> _Entry | None:
        """Return the first entry that counts; those before it are dropped."""
        while self._heap and not self._counts(self._heap[0].timer):
            heapq.heappop(self._heap)
        return self._heap[0] if self._heap else None

    # The wake-up ------------------------------------------------------------------------------

    def _sleep(self) -> None:
        """Wake up when the first is due; not at all without one."""
        if self._wake_up is not None:
            self._wake_up.cancel()
            self._wake_up = None
        loop = asyncio.get_running_loop()
        pauses_s = [LONGEST_SLEEP_S]
        if (first := self._earliest()) is not None:
            pauses_s.append((first.due_at - self._clock.now()).total_seconds())
        if self._missed:
            pauses_s.append(self._missed_free_at_s - loop.time())
        if len(pauses_s) > 1:
            self._wake_up = loop.call_later(max(min(pauses_s), 0.0), self._serve)

    def _serve(self) -> None:
        """Fire the first if it is due; others that are due too do not keep the loop waiting."""
        self._wake_up = None
        try:
            if (timer := self._take_due()) is not None:
                self._fire(timer)
        except Exception as error:  # noqa: BLE001  whoever started it is told
            self._stop()
            if self._over is not None:
                self._over.set_exception(error)
        if self._wake_up is None:
            self._sleep()

    def _take_due(self) -> TimerSet | None:
        """Return the next that may be fired, which is not set any more; None when none may."""
        now = self._clock.now()
        while (first := self._earliest()) is not None and first.due_at <= now:
            heapq.heappop(self._heap)
            if now - first.due_at <= LATE:
                return self._set.pop(first.timer.id)
            self._missed.append(first.timer)
        return self._take_missed()

    def _take_missed(self) -> TimerSet | None:
        now_s = asyncio.get_running_loop().time()
        while self._missed and self._missed_free_at_s <= now_s:
            timer = self._missed.popleft()
            if self._counts(timer):
                self._missed_free_at_s = now_s + LATE_APART_S
                return self._set.pop(timer.id)
        return None
