"""The store of the simulation: the product's own on one SQLite database, with a disk that is slow.

A commit takes a moment, and what comes meanwhile is written together by the next. What is committed
outlives a crash, and what is not does not. The database is in memory and used by one life after the
other: SQLite's own part of a crash is tested with real processes and files.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from functools import cache
from random import Random
from typing import Any

from imbot.clock import Clock
from imbot.errors import StoreError
from imbot.records import Order
from imbot.store.connection import IN_MEMORY, Database
from imbot.store.database import SqlStore
from imbot.store.migrations import migrate
from imbot.store.statements import Statements, Write
from imbot.store.writer import NOTE_DELAY_S, Task

#: What a statement writes, as schedules name it.
_PARTS = (
    ("INSERT INTO events", "batch"),
    ("INSERT INTO effects", "intent"),
    ("echo_at", "echo"),
    ("UPDATE effects", "verdict"),
)


class Disk:
    """One database, empty again for each schedule; one for a whole process, for it is slow to make.

    Attributes:
        database: The database.
    """

    def __init__(self) -> None:
        self.database = Database(IN_MEMORY)
        migrate(self.database)
        self._empty = self.raw.serialize()
        self.statements = Statements(self.database.dialect)

    @property
    def raw(self) -> sqlite3.Connection:
        """The connection, for reading what is kept."""
        return self.database._raw

    def clear(self) -> None:
        """Forget everything."""
        self.raw.deserialize(self._empty)


class SimulatedStore(SqlStore):
    """The product's store, whose writer goes by virtual time."""

    def __init__(self, disk: Disk, writer: "SimulatedWriter", clock: Clock) -> None:
        self._database = disk.database
        self._statements = disk.statements
        self._writer = writer
        self._clock = clock
        self._lock = None
        self.pseudonym_key = self._key_of_erased = b""

    async def orders(self) -> Sequence[Order]:
        """Return what people have decided: nobody is there, and imbot asks every second."""
        return ()


class SimulatedWriter:
    """Group commit as :class:`imbot.store.writer.ThreadWriter` does it, in virtual time.

    Args:
        disk: Where to write.
        chance: Says how long a commit takes.
        reach: Is told each step that a crash can be at; returns whether the process lives on.
        later: Does something after so many seconds, whoever lives.
    """

    def __init__(
        self,
        disk: Disk,
        chance: Random,
        reach: Callable[[str], bool],
        later: Callable[..., None],
    ) -> None:
        self._disk = disk
        self._chance = chance
        self._reach = reach
        self._later = later
        self._rows: list[Write] = []
        self._asks: list[tuple[Task | None, asyncio.Future[Any]]] = []
        self._is_writing = False
        self._is_flush_due = False
        self._ended = ""

    def note(self, rows: Sequence[Write]) -> None:
        """Take rows that nobody waits for."""
        self._refuse_if_ended()
        self._rows.extend(rows)
        if not self._is_flush_due:
            self._is_flush_due = True
            self._later(NOTE_DELAY_S, self._flush)

    async def carry_out(self, task: Task | None, rows: Sequence[Write] = ()) -> Any:
        """Write these rows and all before, then return what the task returns."""
        self._refuse_if_ended()
        self._rows.extend(rows)
        done = asyncio.get_running_loop().create_future()
        self._asks.append((task, done))
        self._begin()
        return await done

    async def close(self) -> None:
        """Write what waits and end."""
        if not self._ended:
            await self.carry_out(None)
            self.abandon()

    def abandon(self) -> None:
        """End as a crash does: what is not written is lost."""
        self._ended = "store: it is closed"
        self._rows, self._asks = [], []

    def _refuse_if_ended(self) -> None:
        if self._ended:
            raise StoreError(self._ended)

    def _flush(self) -> None:
        self._is_flush_due = False
        self._begin()

    def _begin(self) -> None:
        """Begin to write, unless it does."""
        if not self._is_writing and (self._rows or self._asks) and not self._ended:
            self._is_writing = True
            self._later(self._chance.uniform(0.0005, 0.006), self._commit)

    def _commit(self) -> None:
        """Write all that has come until now."""
        self._is_writing = False
        rows, self._rows = self._rows, []
        asks, self._asks = self._asks, []
        parts = [f"{part} commit" for part in dict.fromkeys(_part(row.sql) for row in rows) if part]
        if self._ended or not all(self._reach(f"before {part}") for part in parts):
            return
        if rows:
            self._disk.database.write(rows)
        if not all(self._reach(f"after {part}") for part in parts):
            return
        for task, done in asks:
            result = task(self._disk.database) if task is not None else None
            if not done.done():
                done.set_result(result)
        self._begin()


@cache
def _part(sql: str) -> str:
    """Return what a statement writes; empty for nothing that a schedule names."""
    return next((part for words, part in _PARTS if words in sql), "")
