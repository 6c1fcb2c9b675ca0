"""A store that knows what is parked: whoever parks something, everything goes by here.

So no way of giving up is forgotten: each parked effect is told in the log once, counts in
``/health``, and people's orders are looked for while there is any. How long a commit takes is
shown, too.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import structlog

from imbot.clock import Clock
from imbot.engine.watching import Kept, Parked, Watcher, unwatched
from imbot.model import Event
from imbot.ports import Condition, Store
from imbot.records import (
    Change,
    EchoSeen,
    EffectState,
    Intent,
    Order,
    Recovered,
    Retention,
    Verdict,
)

log = structlog.get_logger()

#: Python 3.11 calls a function for each look at a member, and every event comes by here.
_PARKED = EffectState.PARKED

#: Changes after which an effect waits for a person no more, unless the first parks it.
_SETTLING = (Verdict, EchoSeen, Intent)


class Tally:
    """Passes on what :class:`imbot.ports.Store` promises; counts on the way.

    Args:
        store: Keeps everything.
        clock: Tells how long that takes.
        watch: Is shown each commit, and each effect that is parked.

    Attributes:
        parked: The ids of the effects that wait for a person.
    """

    def __init__(self, store: Store, clock: Clock, watch: Watcher = unwatched) -> None:
        self.parked: set[str] = set()
        self._store = store
        self._clock = clock
        self._watch = watch
        self._noted = 0
        self._any = asyncio.Event()

    async def any_parked(self) -> None:
        """Return once something waits for a person."""
        await self._any.wait()

    @property
    def condition(self) -> Condition:
        """How the store is doing."""
        return self._store.condition

    async def commit(self, changes: Sequence[Change]) -> None:
        """Return when these changes, and all noted before, are durable."""
        noted, self._noted = self._noted, 0
        begun = self._clock.monotonic()
        await self._store.commit(changes)
        self._watch(Kept(noted + len(changes), self._clock.monotonic() - begun))
        self._count(changes)

    def note(self, changes: Sequence[Change]) -> None:
        """Take these changes; they are durable soon."""
        self._store.note(changes)
        self._noted += len(changes)
        self._count(changes)

    async def marked(self, marks: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], datetime]:
        """Return which of these (rule id, scope) pairs are marked, and since when."""
        return await self._store.marked(marks)

    async def recover(self, now: datetime) -> Recovered:
        """Return what was unfinished."""
        found = await self._store.recover(now)
        self.parked |= found.parked
        self._tell()
        return found

    async def events_from(self, event_id: str, most: int) -> Sequence[Event]:
        """Return an event and those of its session that came after it."""
        return await self._store.events_from(event_id, most)

    async def orders(self) -> Sequence[Order]:
        """Return what people have decided and nobody has taken up, oldest first."""
        return await self._store.orders()

    async def forget(self, what: Retention) -> int:
        """Delete what ended too long ago; return how many rows."""
        return await self._store.forget(what)

    async def close(self) -> None:
        """Make everything durable and close."""
        await self._store.close()

    def _count(self, changes: Iterable[Change]) -> None:
        # Every event comes by here, and hardly any finds or leaves something parked.
        for change in changes:
            if isinstance(change, Verdict) and change.state is _PARKED:
                self._park(change)
            elif self.parked and isinstance(change, _SETTLING):
                self.parked.discard(change.effect_id)
                self._tell()

    def _park(self, change: Verdict) -> None:
        if change.effect_id not in self.parked:
            log.warning("effect.parked", effect=change.effect_id, cause=change.detail)
            self._watch(Parked(change.effect_id))
        self.parked.add(change.effect_id)
        self._tell()

    def _tell(self) -> None:
        if self.parked:
            self._any.set()
        else:
            self._any.clear()
