"""The store on a database: what :class:`imbot.ports.Store` promises, kept in one SQLite file."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

import sqlalchemy as sa

from imbot.clock import Clock
from imbot.errors import ConfigError
from imbot.problems import Place, Problem
from imbot.records import Change, Order, Recovered, Retention
from imbot.store import recovery, retention
from imbot.store.connection import IN_MEMORY, Database
from imbot.store.lock import StoreLock
from imbot.store.migrations import migrate
from imbot.store.statements import Statements
from imbot.store.writer import InlineWriter, ThreadWriter, Writer

#: Where the writes happen: on a thread of their own, or in the caller's turn of the event loop.
Executor: TypeAlias = Literal["thread", "inline"]


class SqlStore:
    """Keeps changes in one database through one writer."""

    def __init__(
        self, database: Database, *, clock: Clock, executor: Executor, lock: StoreLock | None
    ) -> None:
        self._statements = Statements(database.dialect)
        self._writer: Writer = (
            InlineWriter(database) if executor == "inline" else ThreadWriter(database)
        )
        self._clock = clock
        self._lock = lock

    async def commit(self, changes: Sequence[Change]) -> None:
        """Return when these changes, and all noted before, are durable.

        Raises:
            StoreError: They are not, and nothing may be promised on them.
        """
        await self._writer.carry_out(None, self._statements.writes(changes))

    def note(self, changes: Sequence[Change]) -> None:
        """Take these changes; they are durable with the next commit, at the latest 50 ms later.

        Raises:
            StoreError: An earlier write failed; the store takes nothing more.
        """
        self._writer.note(self._statements.writes(changes))

    async def marked(self, marks: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], datetime]:
        """Return which of these (rule id, scope) pairs are marked, and since when.

        Raises:
            StoreError: They cannot be read.
        """
        found: Mapping[tuple[str, str], datetime] = await self._writer.carry_out(
            lambda database: recovery.marked(database.connection, marks)
        )
        return found

    async def recover(self, now: datetime) -> Recovered:
        """Return what was unfinished, to be called once before anything is written.

        Raises:
            StoreError: It cannot be read.
        """
        recovered: Recovered = await self._writer.carry_out(
            lambda database: recovery.recover(database.connection, now)
        )
        return recovered

    async def orders(self) -> Sequence[Order]:
        """Return what people have decided and nobody has taken up, oldest first.

        Raises:
            StoreError: It cannot be read.
        """
        found: Sequence[Order] = await self._writer.carry_out(
            lambda database: recovery.waiting_orders(database.connection)
        )
        return found

    async def forget(self, what: Retention) -> int:
        """Delete what ended too long ago, between the commits of others; return how many rows.

        Raises:
            StoreError: The database refused.
        """
        now, rows = self._clock.now(), 0
        while some := await self._writer.carry_out(
            lambda database: retention.forget(database, what, now)
        ):
            rows += some
        return rows

    async def close(self) -> None:
        """Make everything durable and close.

        Raises:
            StoreError: An earlier write failed: something that was taken is lost.
        """
        try:
            await self._writer.close()
        finally:
            self._unlock()

    def abandon(self) -> None:
        """Close as a crash would: what is not yet durable is lost."""
        self._writer.abandon()
        self._unlock()

    def _unlock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()


def open_store(url: str, *, clock: Clock, base: Path, executor: Executor = "thread") -> SqlStore:
    """Open the store for writing; a new one is made, an older one brought up to date.

    Args:
        url: ``sqlite:///relative.db``, ``sqlite:////absolute.db``, or ``sqlite://`` in memory.
        clock: Tells how old things are.
        base: The folder that a relative path starts from.
        executor: ``inline`` writes in the caller's turn of the event loop, for virtual time.

    Raises:
        ConfigError: The URL names no store that imbot knows.
        StoreError: It cannot be opened, another imbot uses it, or a newer one wrote it.
    """
    path = store_path(url, base)
    with ExitStack() as undo:
        lock = None
        if path is not None:
            lock = StoreLock(path)
            undo.callback(lock.release)
        database = Database(IN_MEMORY if path is None else str(path))
        undo.callback(database.close)
        migrate(database)
        undo.pop_all()
    return SqlStore(database, clock=clock, executor=executor, lock=lock)


def store_path(url: str, base: Path) -> Path | None:
    """Return the file that a store URL names; None for a store in memory.

    Raises:
        ConfigError: The URL names no store that imbot knows.
    """
    try:
        parts = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise _refused("is no URL") from None
    if parts.drivername.startswith("postgres"):
        raise _refused("names PostgreSQL, which comes in a later version")
    if parts.drivername != "sqlite":
        raise _refused(f"has the unknown scheme '{parts.drivername}'")
    if parts.host or "?" in url:
        raise _refused("has a host or a query, which a file has not")
    if parts.database in {None, "", IN_MEMORY}:
        return None
    return base.absolute() / str(parts.database)


def _refused(what: str) -> ConfigError:
    cure = "write sqlite:///FILE.db, from the settings' folder, or sqlite:////FOLDER/FILE.db"
    return ConfigError([Problem(Place("store"), "store-url", f"the store {what}", cure)])
