"""Runs actions that are not imbot's own, each with a deadline that holds.

An action that is out of time is cancelled; one that goes on all the same is closed where it stands
and given up. What it has begun beside itself may live on even then, and is counted: of an action of
which several do so, no more is begun until they end. Source: reliability R5.
"""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Generator, Mapping
from contextlib import suppress
from types import coroutine
from typing import Any, TypeVar

import structlog

T = TypeVar("T")

#: Seconds that a cancelled action gets to tidy up.
GRACE_S = 2.0

#: So many of one action that cannot be ended are enough.
AT_MOST = 3

log = structlog.get_logger()


class Strangers:
    """The actions that go on although they were ended."""

    def __init__(self) -> None:
        self._undead: defaultdict[str, set[asyncio.Future[Any]]] = defaultdict(set)

    async def run(self, action: str, limit_s: float, work: Coroutine[Any, Any, T]) -> T:
        """Return what the work returns; it is done in this task, and most is done at once.

        Raises:
            TimeoutError: It was not done within so many seconds. It is over then, or given up.
            RuntimeError: It asked for the process to end.
        """
        until_s = asyncio.get_running_loop().time() + limit_s
        try:
            waits_for = work.send(None)
        except StopIteration as done:
            found: T = done.value
            return found
        except SystemExit as error:
            raise _refused(error) from error
        patience = _Patience()
        try:
            async with asyncio.timeout_at(until_s):
                return await _driven(work, waits_for, patience)
        finally:
            patience.end()
            if patience.is_over:
                self._give_up(action, patience.waits_for)

    def why_not(self, action: str) -> str:
        """Return why no more of an action is to be begun; empty when it may be."""
        undead = len(self._undead.get(action, ()))
        return f"{undead} runs of {action} cannot be ended" if undead >= AT_MOST else ""

    def told(self) -> Mapping[str, int]:
        """Return how many runs of which action cannot be ended."""
        return {action: len(left) for action, left in self._undead.items()}

    def _give_up(self, action: str, left: asyncio.Future[Any] | None) -> None:
        log.warning("action.ignores_cancellation", action=action, seconds=GRACE_S)
        if not isinstance(left, asyncio.Task) or left.done():
            return  # nobody wakes what waits for it any more
        self._undead[action].add(left)
        left.add_done_callback(lambda _left: self._forget(action, left))

    def _forget(self, action: str, left: asyncio.Future[Any]) -> None:
        self._undead[action].discard(left)
        if not self._undead[action]:
            del self._undead[action]
        if not left.cancelled():
            left.exception()  # who waited for it has gone on


class _Patience:
    """How long a cancelled action may still take.

    Attributes:
        is_over: Whether it has been given up.
        waits_for: What it waited for then.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._alarm: asyncio.TimerHandle | None = None
        self._is_spent = False
        self.is_over = False
        self.waits_for: asyncio.Future[Any] | None = None

    def has_ended(self, waits_for: asyncio.Future[Any] | None) -> bool:
        """Take note of a cancellation; return whether it is one too many."""
        if self._alarm is None:
            self._alarm = self._loop.call_later(GRACE_S, self._spend)
        elif self._is_spent:
            self.is_over, self.waits_for = True, waits_for
            if self._task is not None:
                self._task.uncancel()
        return self.is_over

    def end(self) -> None:
        """Take back the alarm."""
        if self._alarm is not None:
            self._alarm.cancel()

    def _spend(self) -> None:
        self._is_spent = True
        if self._task is not None:
            self._task.cancel()


@coroutine
def _driven(
    work: Coroutine[Any, Any, T], waits_for: asyncio.Future[Any] | None, patience: _Patience
) -> Generator[Any, Any, T]:
    """Carry the work on from where it waits, as ``await`` does, but for what patience has an end.

    Raises:
        asyncio.CancelledError: It was cancelled, and ended or was given up.
    """
    while True:
        thrown: BaseException | None = None
        try:
            yield from _until(waits_for, patience)
        except asyncio.CancelledError as error:
            if patience.is_over:
                # Whatever it makes of that, nobody wakes it any more.
                with suppress(RuntimeError):
                    work.close()
                raise
            thrown = error
        try:
            waits_for = work.send(None) if thrown is None else work.throw(thrown)
        except StopIteration as done:
            found: T = done.value
            return found
        except SystemExit as error:
            raise _refused(error) from error


def _until(
    waits_for: asyncio.Future[Any] | None, patience: _Patience
) -> Generator[Any, None, None]:
    """Return when what the work waits for is over; a cancellation is passed on to that first.

    It is waited for through a future of our own: a task that ignores its cancellation would keep
    whoever waits for it from ever hearing of another.
    """
    if waits_for is None:
        try:
            yield None
        except asyncio.CancelledError:
            patience.has_ended(None)
            raise
        return
    waits_for._asyncio_future_blocking = False  # noqa: SLF001  as a task does that takes it up
    while not waits_for.done():
        ours = waits_for.get_loop().create_future()
        wake = _waker(ours)
        waits_for.add_done_callback(wake)
        try:
            yield from ours
        except asyncio.CancelledError:
            waits_for.remove_done_callback(wake)
            if patience.has_ended(waits_for):
                raise
            waits_for.cancel()


def _waker(ours: asyncio.Future[None]) -> Any:  # noqa: ANN401  a callback, as asyncio takes it
    def wake(_over: asyncio.Future[Any]) -> None:
        if not ours.done():
            ours.set_result(None)

    return wake


def _refused(error: SystemExit) -> RuntimeError:
    """Return what becomes of a wish to end the process: no plugin does that."""
    return RuntimeError(f"it wants the process to end ({error.code})")
