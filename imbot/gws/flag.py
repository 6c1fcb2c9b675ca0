"""A flag that tasks can wait for: what :class:`asyncio.Event` does, in a tenth of its memory.

An agent keeps four of these, and a daemon a thousand agents. An event holds a deque, which takes
room for 64 who wait; here hardly ever more than one does.
"""

import asyncio


class Flag:
    """Up or down; whoever waits goes on when it is raised."""

    __slots__ = ("_is_up", "_waiting")

    def __init__(self) -> None:
        self._is_up = False
        self._waiting: tuple[asyncio.Future[None], ...] = ()

    def is_set(self) -> bool:
        """Return whether it is up."""
        return self._is_up

    def set(self) -> None:
        """Raise it; whoever waits now goes on, even if it is lowered again at once."""
        self._is_up = True
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    def clear(self) -> None:
        """Lower it."""
        self._is_up = False

    async def wait(self) -> None:
        """Return once it is up."""
        if self._is_up:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting += (waiter,)
        try:
            await waiter
        finally:
            self._waiting = tuple(one for one in self._waiting if one is not waiter)
