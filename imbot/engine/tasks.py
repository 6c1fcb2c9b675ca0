"""The tasks of the engine: each has an owner, and none fails unnoticed."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

log = structlog.get_logger()

#: Seconds that cancelled tasks get to end.
CANCEL_S = 5.0


class Tasks:
    """Owns the engine's tasks; one that fails stops the engine, for it may have lost its place.

    Attributes:
        failed: Resolved with the error of the first task that failed.
    """

    def __init__(self) -> None:
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._running: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def drain(self, limit_s: float) -> bool:
        """Wait until every task is over, at most so long; return whether all are."""
        until = asyncio.get_running_loop().time() + limit_s
        while self._running:
            left_s = until - asyncio.get_running_loop().time()
            if left_s <= 0:
                return False
            await asyncio.wait(self._running, timeout=left_s)
        return True

    async def cancel(self) -> None:
        """End every task now."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=CANCEL_S)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        log.error("engine.failed", error=str(error), exc_info=error)
        if not self.failed.done():
            self.failed.set_result(error)
