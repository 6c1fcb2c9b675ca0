"""What moves, told to the pages that are open: server-sent events, the same to everybody.

An event tells which topics moved; a page asks for what it shows of them itself. While nobody looks,
nothing is worked out.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from imbot.admin.dashboard.moves import EVERY_SESSION, Moves
from imbot.clock import Clock
from imbot.jsontext import encode_json

#: How often it is looked what moved: no page is further behind than this and its own request.
TICK_S = 0.75

#: Something is told at least so often, so that whoever is gone is noticed.
_TOLD_EVERY_TICKS = 20

#: So many topics are kept for a page that reads nothing.
_TOPICS = 500

#: The topic of what every page shows.
CONDITION = "condition"


class Condition(NamedTuple):
    """How imbot is doing, on every page.

    Attributes:
        status: As ``/health`` tells it.
        reasons: Why it is not ready.
        agents: How many agents there are.
        agents_up: How many of them are logged in and subscribed.
        parked: Effects that wait for a person.
        halted: Who stopped all effects, and why; empty while they are not.
    """

    status: str
    reasons: Sequence[str] = ()
    agents: int = 0
    agents_up: int = 0
    parked: int = 0
    halted: str = ""


class _Looker:
    """A page that is open: it is told what moved since it was told last.

    The first event comes at once, for nobody knows what moved since the page was made. One that
    does not read what it is told is told in the end that all sessions moved, and not which.

    Args:
        whose: The name of the token of whoever looks.
    """

    def __init__(self, whose: str) -> None:
        self.whose = whose
        self._waiting = asyncio.Event()
        self._moved: set[str] = set()
        self.tell({CONDITION})

    def tell(self, moved: set[str]) -> None:
        """Let it know that these topics moved."""
        self._moved |= moved
        if len(self._moved) > _TOPICS:
            self._moved = {each for each in self._moved if not each.startswith("session:")}
            self._moved.add(EVERY_SESSION)
        self._waiting.set()

    async def next_event(self) -> bytes:
        """Return the next server-sent event."""
        await self._waiting.wait()
        self._waiting.clear()
        moved, self._moved = self._moved, set()
        return b"data: " + encode_json({"moved": sorted(moved)}) + b"\n\n"


class Live:
    """Tells pages what moved.

    Args:
        clock: Time.
        moves: Notes what moves.
        condition: Says how imbot is doing, in few words; asked once for all who look.
    """

    def __init__(self, clock: Clock, moves: Moves, condition: Callable[[], Condition]) -> None:
        self._clock = clock
        self._moves = moves
        self._condition = condition
        self._lookers: set[_Looker] = set()
        self._ticking: asyncio.Task[None] | None = None

    def opened(self, whose: str) -> int:
        """Return how many pages are open of those who log in with a token of this name."""
        return sum(looker.whose == whose for looker in self._lookers)

    @contextmanager
    def open(self, whose: str) -> Iterator[Callable[[], Awaitable[bytes]]]:
        """Look while the block runs; what is given waits for the next event and returns it.

        Args:
            whose: The name of the token of whoever looks.
        """
        looker = _Looker(whose)
        self._lookers.add(looker)
        if self._ticking is None or self._ticking.done():
            self._ticking = asyncio.create_task(self._tick())
        try:
            yield looker.next_event
        finally:
            self._lookers.discard(looker)

    async def close(self) -> None:
        """End it."""
        if self._ticking is not None:
            self._ticking.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticking

    async def _tick(self) -> None:
        """Tell everybody who looks what moved, until nobody does."""
        self._moves.are_wanted = True
        self._moves.take()
        before, ticks = self._condition(), 0
        while self._lookers:
            await self._clock.sleep(TICK_S)
            now, moved = self._condition(), self._moves.take()
            if now != before:
                moved.add(CONDITION)
            before, ticks = now, ticks + 1
            if moved or ticks % _TOLD_EVERY_TICKS == 0:
                for looker in self._lookers:
                    looker.tell(moved)
        self._moves.are_wanted = False
