"""What moves, told to the pages that are open: server-sent events, the same to everybody.

An event tells which topics moved, how imbot is doing and whether all effects are stopped; a page
asks for what moved itself. While nobody looks, nothing is worked out.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from imbot.clock import Clock
from imbot.engine.watching import Acted, Decided, Echoed, Ended, Happened, Sight
from imbot.jsontext import encode_json
from imbot.model import SessionKey

#: How often it is looked what moved: no page is further behind than this and its own request.
TICK_S = 0.5

#: So many sessions are named; where more moved at once, all did.
_SESSIONS_NAMED = 200

#: Something is told at least so often, so that whoever is gone is noticed.
_TOLD_EVERY_TICKS = 20


class Condition(NamedTuple):
    """How imbot is doing, on every page.

    Attributes:
        status: As ``/health`` tells it.
        reasons: Why it is not ready.
        agents: How many agents there are.
        agents_up: How many of them are logged in and subscribed.
        sessions: Sessions in progress.
        parked: Effects that wait for a person.
        halted: Who stopped all effects, and why; empty while they are not.
    """

    status: str
    reasons: Sequence[str]
    agents: int
    agents_up: int
    sessions: int
    parked: int
    halted: str


@dataclass(slots=True, eq=False)
class _Looker:
    """A page that is open; what it was not yet told."""

    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    moved: set[str] = field(default_factory=set)


class Live:
    """Tells pages what moved.

    Args:
        clock: Time.
        condition: Says how imbot is doing, in few words; asked once for all who look.
    """

    def __init__(self, clock: Clock, condition: Callable[[], Condition]) -> None:
        self._clock = clock
        self.condition = condition
        self._told: Condition | None = None
        self._moved: set[str] = set()
        self._lookers: set[_Looker] = set()
        self._ticking: asyncio.Task[None] | None = None

    def watch(self, sight: Sight) -> None:
        """Note what moves with what was seen."""
        if not self._lookers:
            return
        match sight:
            case Happened(event):
                self._note(event.session_key)
            case Decided(plan):
                self._moved.add("rules")
                self._note(plan.event.session_key)
            case Acted(start, _, _) | Ended(start, _):
                self._moved.add("rules")
                self._note(start.event.session_key)
            case Echoed(_, session):
                self._note(session)
            case _:
                pass

    def _note(self, session: SessionKey | None) -> None:
        self._moved.add("sessions")
        if session is not None:
            self._moved.add(f"session:{session.session_id}")

    @property
    def looking(self) -> int:
        """How many pages are open."""
        return len(self._lookers)

    @contextmanager
    def open(self) -> Iterator[Callable[[], Awaitable[bytes]]]:
        """Look while the block runs; what is returned waits for the next event and returns it."""
        looker = _Looker()
        looker.waiting.set()  # the first event tells how things stand
        self._lookers.add(looker)
        if self._ticking is None or self._ticking.done():
            self._ticking = asyncio.create_task(self._tick())
        try:
            yield lambda: self._next(looker)
        finally:
            self._lookers.discard(looker)

    async def close(self) -> None:
        """End it."""
        if self._ticking is not None:
            self._ticking.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticking

    async def _next(self, looker: _Looker) -> bytes:
        await looker.waiting.wait()
        looker.waiting.clear()
        moved, looker.moved = looker.moved, set()
        now = self.condition() if self._told is None else self._told
        body = encode_json({"moved": sorted(moved), "now": now._asdict()})
        return b"data: " + body + b"\n\n"

    async def _tick(self) -> None:
        ticks = 0
        while self._lookers:
            await self._clock.sleep(TICK_S)
            ticks += 1
            now, moved = self.condition(), self._moved
            self._moved = set()
            if sum(topic.startswith("session:") for topic in moved) > _SESSIONS_NAMED:
                moved = {topic for topic in moved if ":" not in topic} | {"session:*"}
            if now != self._told:
                moved |= {"condition"}
            self._told = now
            if moved or ticks % _TOLD_EVERY_TICKS == 0:
                for looker in self._lookers:
                    looker.moved |= moved
                    looker.waiting.set()
        self._told = None
