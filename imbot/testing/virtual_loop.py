"""An event loop whose time is a number: hours pass as soon as nobody has anything left to do.

It knows no sockets and no threads: what would go to a thread is done at once, and what only the
world outside could bring never comes. So the same program does the same things in the same order
every time it runs.
"""

import asyncio
from collections.abc import Callable
from typing import Any


class VirtualLoop(asyncio.BaseEventLoop):
    """Made for :class:`asyncio.Runner`; its time begins at 0."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = self  # asyncio waits for the world, and for its next timer, by this
        self._seconds = 0.0
        self._until_quiet: list[asyncio.Future[None]] = []

    def time(self) -> float:
        """Return the seconds that have passed."""
        return self._seconds

    def quiet(self) -> "asyncio.Future[None]":
        """Return what is done once everything is done that takes no time."""
        waiting = self.create_future()
        self._until_quiet.append(waiting)
        return waiting

    def select(self, timeout: float | None = None) -> tuple[()]:
        """Let the time pass in which nothing happens.

        Raises:
            RuntimeError: Nothing will ever happen again.
        """
        if timeout is not None and timeout <= 0:
            return ()
        if self._until_quiet:
            waiting, self._until_quiet = self._until_quiet, []
            for one in waiting:
                if not one.done():
                    one.set_result(None)
            return ()
        if timeout is None:
            raise RuntimeError("nothing can happen any more: everybody waits for somebody else")
        self._seconds += timeout
        return ()

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

    def _process_events(self, events: object) -> None:
        """Do nothing: there is nothing outside that could bring any."""

    def _write_to_self(self) -> None:
        """Do nothing: nobody sleeps who would have to be woken."""
