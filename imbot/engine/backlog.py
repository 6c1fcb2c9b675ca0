"""Lets events wait for their turn: so many in memory, and all that are more in the store.

Rules may be slower than what other parties say. First GWS keeps what it has not sent yet, for the
poll that would fetch it is held back a little; longer than CometD's maxInterval allows that cannot
be. What comes all the same is in the journal already, and is read from there when its turn comes,
in the order in which it came. Source: reliability I13.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog

from imbot.engine.lanes import Lanes, Release, Work, lane_of
from imbot.model import Event, SessionKey
from imbot.ports import Store

#: Events that wait in memory, in all and of one session.
IN_MEMORY, OF_ONE_SESSION = 10_000, 1_000

#: So many are read from the store at a time.
CHUNK = 20

#: Seconds that a poll is held back while too many wait. With what a snapshot may take it stays
#: below maxInterval (10 s), after which GWS forgets the subscription.
HOLD_S = 3.0

log = structlog.get_logger()


class Stages(Protocol):
    """What an event goes through; the flow is one."""

    async def take(self, event: Event) -> Sequence[Work]:
        """Take an event up to the last stage; return its runs, to be carried on in its lane."""
        ...


@dataclass(slots=True)
class _InStore:
    """Events of one session that wait in the store.

    Attributes:
        since: The event to go on from; it has been taken already, unless it is the first.
        waiting: How many wait.
        is_first: Whether none has been taken.
    """

    since: str
    waiting: int
    is_first: bool = True


class Backlog:
    """The events that wait.

    Args:
        lanes: Where those in memory wait.
        store: Where the others do.
        stages: What each goes through.
    """

    def __init__(self, lanes: Lanes, store: Store, stages: Stages) -> None:
        self._lanes = lanes
        self._store = store
        self._stages = stages
        self._in_store: dict[SessionKey, _InStore] = {}
        self._holds_back = False

    @property
    def in_store(self) -> int:
        """How many events wait in the store."""
        return sum(each.waiting for each in self._in_store.values())

    @property
    def reasons(self) -> list[str]:
        """What is to be told about it; nothing while all is well."""
        if not (in_store := self.in_store):
            return []
        waiting = self._lanes.waiting + in_store
        return [f"rules are slower than what comes: {waiting} events wait, {in_store} in the store"]

    def add(self, event: Event) -> None:
        """Let an event that has been given to the store wait for its turn."""
        key = lane_of(event)
        if (in_store := self._in_store.get(key)) is not None:
            in_store.waiting += 1
        elif key.session_id and self._is_full(key):
            if not self._in_store:
                log.warning("events.in_store", waiting=self._lanes.waiting)
            self._in_store[key] = _InStore(event.id, 1)
            self._lanes.add(key, partial(self._fetch, key))
        else:
            self._lanes.add(key, self._work(event))

    def hold_back(self) -> None:
        """Fetch nothing more: what waits in the store is taken up by the next start."""
        self._holds_back = True

    async def make_room(self, events: Iterable[Event]) -> None:
        """Return when there is room for more of the sort, or after a while."""
        if self._lanes.waiting < OF_ONE_SESSION and not self._in_store:
            return  # then no lane holds as many
        keys = {lane_of(event) for event in events}
        if not any(map(self._is_full, keys)):
            return
        try:
            async with asyncio.timeout(HOLD_S):
                while any(map(self._is_full, keys)):
                    await self._lanes.progress()
        except TimeoutError:
            pass

    def _is_full(self, key: SessionKey) -> bool:
        """Whether no more of this session should come."""
        lanes = self._lanes
        is_crowded = lanes.waiting >= IN_MEMORY or lanes.waiting_in(key) >= OF_ONE_SESSION
        return is_crowded or key in self._in_store

    def _work(self, event: Event) -> Work:
        async def work(_release: Release) -> Sequence[Work]:
            return await self._stages.take(event)

        return work

    async def _fetch(self, key: SessionKey, _release: Release) -> Sequence[Work]:
        """Return the next events that wait in the store, and what fetches those behind them."""
        in_store = self._in_store[key]
        if self._holds_back:
            return ()
        most = CHUNK + (not in_store.is_first)
        found = await self._store.events_from(in_store.since, most)
        events = found if in_store.is_first else found[1:]
        in_store.waiting -= len(events)
        work = [self._work(event) for event in events]
        if events and in_store.waiting > 0:
            in_store.since, in_store.is_first = events[-1].id, False
            return (*work, partial(self._fetch, key))
        del self._in_store[key]
        if not self._in_store:
            log.info("events.caught_up")
        return work
