"""Work that must be done within a time, and often is at once.

``asyncio.timeout`` sets an alarm and takes it back; here there is one only for work that waits.
"""

import asyncio
from collections.abc import Coroutine, Generator
from functools import partial
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def within(limit_s: float, work: Coroutine[Any, Any, T]) -> T:
    """Return what the work returns; it is done in this task.

    Raises:
        TimeoutError: It was not done within so many seconds; it was cancelled then.
    """
    until_s = asyncio.get_running_loop().time() + limit_s
    try:
        waits_for = work.send(None)
    except StopIteration as done:
        found: T = done.value
        return found
    async with asyncio.timeout_at(until_s):
        return await _rest_of(work, waits_for)


@coroutine
def _rest_of(work: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:  # noqa: ANN401  as asyncio has it
    """Wait for what the work waits for already, and for the rest of it, as ``await`` does."""
    while True:
        try:
            given = yield waits_for
        except BaseException as error:  # noqa: BLE001  it is raised where the work waits
            go_on = partial(work.throw, error)
        else:
            go_on = partial(work.send, given)
        try:
            waits_for = go_on()
        except StopIteration as done:
            found: T = done.value
            return found
