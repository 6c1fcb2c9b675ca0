"""Runs actions that are not imbot's own: each in a task of its own, with a deadline that holds.

An action that is out of time is cancelled; one that goes on all the same is closed where it stands
and given up. What it has begun beside itself may live on even then, and is counted: of an action of
which several do so, no more is begun until they end. Source: reliability R5.
"""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Mapping
from contextlib import suppress
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
        self._undead: defaultdict[str, set[asyncio.Task[Any]]] = defaultdict(set)

    async def run(self, action: str, limit_s: float, work: Coroutine[Any, Any, T]) -> T:
        """Return what the work returns.

        Raises:
            TimeoutError: It was not done within so many seconds. It is over then, or given up.
        """
        task = asyncio.create_task(_kept_in(work), name=f"action {action}")
        try:
            await asyncio.wait([task], timeout=limit_s)
            is_late = not task.done()
        finally:
            if not task.done():
                await self._end(action, task)
        if is_late and (not task.done() or task.cancelled() or _was_closed(task)):
            raise TimeoutError
        return task.result()

    def why_not(self, action: str) -> str:
        """Return why no more of an action is to be begun; empty when it may be."""
        undead = len(self._undead.get(action, ()))
        return f"{undead} runs of {action} cannot be ended" if undead >= AT_MOST else ""

    def told(self) -> Mapping[str, int]:
        """Return how many runs of which action cannot be ended."""
        return {action: len(tasks) for action, tasks in self._undead.items()}

    async def _end(self, action: str, task: asyncio.Task[Any]) -> None:
        task.cancel()
        await asyncio.wait([task], timeout=GRACE_S)
        if task.done():
            return
        work = task.get_coro()
        log.warning("action.ignores_cancellation", action=action, seconds=GRACE_S)
        self._undead[action].add(task)
        task.add_done_callback(lambda _task: self._forget(action, task))
        # Whatever it makes of that, nobody wakes it any more.
        with suppress(RuntimeError):
            if work is not None:
                work.close()
        task.cancel()
        await asyncio.wait([task], timeout=0)

    def _forget(self, action: str, task: asyncio.Task[Any]) -> None:
        self._undead[action].discard(task)
        if not self._undead[action]:
            del self._undead[action]
        if not task.cancelled():
            task.exception()  # who waited for it has gone on


async def _kept_in(work: Coroutine[Any, Any, T]) -> T:
    """Return what the work returns; no plugin ends the process."""
    try:
        return await work
    except SystemExit as error:
        raise RuntimeError(f"it wants the process to end ({error.code})") from error


def _was_closed(task: asyncio.Task[Any]) -> bool:
    """Whether a task failed because its work was closed under it."""
    return isinstance(task.exception(), RuntimeError) and "already awaited" in str(task.exception())
