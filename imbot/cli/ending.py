"""Ends the process in time, although tasks or threads of somebody's plugin do not end.

By then imbot's own work is over: the store is closed, and whatever goes on could not be ended by
anybody. Python would wait for it for ever.
"""

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import structlog

#: Seconds that tasks, and then threads, get to end.
LEFT_S = 2.0

log = structlog.get_logger()


class Ending:
    """Whether everything has ended that was begun on an event loop.

    Attributes:
        is_whole: Whether nothing goes on.
    """

    def __init__(self) -> None:
        self.is_whole = True

    async def after(self, work: Coroutine[Any, Any, int]) -> int:
        """Return what the work returns, once what it has left behind is over or out of time."""
        executor = ThreadPoolExecutor(thread_name_prefix="imbot-aside")
        asyncio.get_running_loop().set_default_executor(executor)
        try:
            return await work
        finally:
            await self._end_tasks()
            self._end_threads(executor)

    async def _end_tasks(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            _done, left = await asyncio.wait(left, timeout=LEFT_S)
        if left:
            self.is_whole = False
            names = sorted(task.get_name() for task in left)
            log.warning("imbot.tasks_left", tasks=len(left), names=names[:10])

    def _end_threads(self, executor: ThreadPoolExecutor) -> None:
        ending = threading.Thread(target=executor.shutdown, daemon=True)
        ending.start()
        ending.join(LEFT_S)
        if ending.is_alive():
            self.is_whole = False
            log.warning("imbot.threads_left")


def leave(code: int) -> NoReturn:
    """End the process now, with all that was written."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
