"""An event loop whose time is a number: hours pass as soon as nobody has anything left to do.

It knows no sockets and no threads: what would go to a thread is done at once, and what only the
world outside could bring never comes. So the same program does the same things in the same order
every time it runs.
"""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable
from contextvars import Context
from datetime import datetime, timedelta
from typing import Any, TypeVarTuple

_Args = TypeVarTuple("_Args")

#: Timers no further apart than this are of one moment: sums of seconds are not exact.
_MOMENT_S = 1e-9


class VirtualLoop(asyncio.BaseEventLoop):
    """Made for :class:`asyncio.Runner`; its time begins at 0.

    Everything that asyncio does by a loop it does by these: what is to be called soon, what later,
    and one round after the other. Timers of one moment go off in the order in which they were set.

    Attributes:
        seconds: How many have passed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self._soon: deque[asyncio.Handle] = deque()
        self._later: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = itertools.count()
        self._until_quiet: list[asyncio.Future[None]] = []

    def time(self) -> float:
        """Return the seconds that have passed."""
        return self.seconds

    def quiet(self) -> "asyncio.Future[None]":
        """Return what is done once everything is done that takes no time."""
        waiting = self.create_future()
        self._until_quiet.append(waiting)
        return waiting

    def call_soon(
        self, callback: Callable[[*_Args], object], *args: *_Args, context: Context | None = None
    ) -> asyncio.Handle:
        """Let this be called in the next round."""
        handle = asyncio.Handle(callback, args, self, context)
        self._soon.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self,
        delay: float,
        callback: Callable[[*_Args], object],
        *args: *_Args,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Let this be called so many seconds from now."""
        return self.call_at(self.seconds + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Args], object],
        *args: *_Args,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Let this be called when so many seconds have passed."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._later, (when, next(self._numbers), handle))
        return handle

    def _run_once(self) -> None:
        """Do one round: what is due now, or after the time in which nothing happens."""
        soon = self._soon
        while not self._take_due():
            self._pass_time()
        for _ in range(len(soon)):
            handle = soon.popleft()
            if not handle._cancelled:  # noqa: SLF001  what asyncio's own loops do with it
                handle._run()  # noqa: SLF001

    def _take_due(self) -> bool:
        """Let the timers that are due be called soon; return whether anything is to be called."""
        later, until = self._later, self.seconds + _MOMENT_S
        while later and (later[0][0] <= until or later[0][2]._cancelled):  # noqa: SLF001  see above
            handle = heapq.heappop(later)[2]
            if not handle._cancelled:  # noqa: SLF001
                self._soon.append(handle)
        return bool(self._soon)

    def _pass_time(self) -> None:
        """Tell who waits for it that nothing happens now; else let the time pass.

        Raises:
            RuntimeError: Nothing will ever happen again.
        """
        if self._until_quiet:
            waiting, self._until_quiet = self._until_quiet, []
            for one in waiting:
                if not one.done():
                    one.set_result(None)
        elif self._later:
            self.seconds = self._later[0][0]
        else:
            raise RuntimeError("nothing can happen any more: everybody waits for somebody else")

    def run_in_executor(
        self, executor: object, func: Callable[..., Any], *args: object
    ) -> "asyncio.Future[Any]":
        """Call the function now."""
        del executor
        called = self.create_future()
        try:
            called.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  it is raised where the caller waits
            called.set_exception(error)
        return called


class VirtualClock:
    """The time of such a loop as the world's; many ask at one moment.

    Args:
        loop: The loop.
        start: The moment at which its time begins.
    """

    def __init__(self, loop: VirtualLoop, start: datetime) -> None:
        self._loop = loop
        self._start = start
        self._told_s = 0.0
        self._told = start

    def now(self) -> datetime:
        """Return the moment."""
        seconds = self._loop.seconds
        if seconds != self._told_s:
            self._told_s, self._told = seconds, self._start + timedelta(seconds=seconds)
        return self._told

    def monotonic(self) -> float:
        """Return the loop's seconds."""
        return self._loop.seconds

    async def sleep(self, seconds: float) -> None:
        """Return after so many of the loop's seconds."""
        await asyncio.sleep(seconds)
