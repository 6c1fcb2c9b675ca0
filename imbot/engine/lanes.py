"""Work in lanes: in order within one, side by side across them.

Whoever is about to wait long releases its lane, and the others in it go on beside. What the work
is, nobody knows here.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeAlias

import structlog

from imbot.errors import StoreError
from imbot.model import Event, SessionKey

log = structlog.get_logger()

#: Lets the others in the lane go on; more than once is as good as once.
Release: TypeAlias = Callable[[], None]

#: What is done in a lane. It may return what is to be done there right after it; once it has
#: released the lane, nothing.
Work: TypeAlias = Callable[[Release], Awaitable[Iterable["Work"] | None]]


def lane_of(event: Event) -> SessionKey:
    """Return what events are kept in order by: their session, or their agent without one.

    Those without an agent are by what brought them; a slow schedule keeps no hook waiting.
    """
    if event.session_key is not None:
        return event.session_key
    if event.agent:
        return SessionKey(event.agent, "")
    fields = event.fields
    source = fields.get("schedule") or fields.get("calendar") or fields.get("name") or ""
    return SessionKey("", f"{event.kind} {source}")


class Lanes:
    """The lanes in which something is done, or waits for its turn.

    Attributes:
        waiting: How many pieces of work wait.
    """

    def __init__(self, spawn: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        self._spawn = spawn
        self._waiting: dict[SessionKey, deque[Work]] = {}
        self._moved = asyncio.Event()
        self.waiting = 0

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._waiting)

    def add(self, key: SessionKey, work: Work) -> None:
        """Let the work be done after what its lane holds already."""
        self.waiting += 1
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = deque((work,))
            self._spawn(self._serve(key))
        else:
            waiting.append(work)

    def waiting_in(self, key: SessionKey) -> int:
        """Return how many pieces of work wait in one lane."""
        return len(self._waiting.get(key, ()))

    async def progress(self) -> None:
        """Return when another piece of work has been begun."""
        self._moved.clear()
        await self._moved.wait()

    def beside(self, work: Work) -> None:
        """Let the work be done in no lane."""
        self._spawn(self._alone(work))

    async def _serve(self, key: SessionKey) -> None:
        """Do one lane's work until it is empty, or somebody releases it."""
        waiting, is_released = self._waiting[key], False

        def release() -> None:
            nonlocal is_released
            if not is_released:
                is_released = True
                self._spawn(self._serve(key))

        try:
            while waiting and not is_released:
                work = waiting.popleft()
                self.waiting -= 1
                self._moved.set()
                then = await _done(work, release)
                self.waiting += len(then)
                waiting.extendleft(reversed(then))
        finally:
            if not is_released:
                del self._waiting[key]

    async def _alone(self, work: Work) -> None:
        await _done(work, lambda: None)


async def _done(work: Work, release: Release) -> tuple[Work, ...]:
    """Do one piece of work; what goes wrong with it must not stop the next."""
    try:
        return tuple(await work(release) or ())
    except StoreError:
        raise
    except Exception:  # the top of a task: whatever it is, the other events go on
        log.exception("event.failed")
        return ()
