"""The store on a database: what :class:`imbot.ports.Store` promises, kept in one SQLite file."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

import sqlalchemy as sa
import structlog

from imbot.clock import Clock
from imbot.errors import ConfigError, StoreDamagedError, StoreFullError
from imbot.model import Event
from imbot.ports import Condition
from imbot.problems import Place, Problem
from imbot.records import Change, Order, Recovered, Retention
from imbot.store import recovery, retention
from imbot.store.checking import Findings, Sweep
from imbot.store.connection import IN_MEMORY, Connect, Database
from imbot.store.lock import StoreLock
from imbot.store.migrations import migrate
from imbot.store.quarantine import mend
from imbot.store.reserve import Reserve
from imbot.store.soundness import (
    begin_after,
    forget_tip,
    is_there,
    last_written,
    make_sound,
    put_aside,
    refuse_other_names,
    told,
)
from imbot.store.statements import Statements
from imbot.store.writer import InlineWriter, ThreadWriter, Writer

log = structlog.get_logger()

#: Where the writes happen: on a thread of their own, or in the caller's turn of the event loop.
Executor: TypeAlias = Literal["thread", "inline"]

#: What is done with a store that is damaged and cannot be mended.
OnDamage: TypeAlias = Literal["stop", "fresh"]


class SqlStore:
    """Keeps changes in one database through one writer.

    Attributes:
        pseudonym_key: Decides the pseudonyms of persons; the store keeps it.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        executor: Executor,
        lock: StoreLock | None,
        pseudonym_key: bytes = b"",
        key_of_erased: bytes = b"",
    ) -> None:
        self.pseudonym_key = pseudonym_key
        self._key_of_erased = key_of_erased
        self._statements = Statements(database.dialect)
        self._writer: Writer = (
            InlineWriter(database) if executor == "inline" else ThreadWriter(database)
        )
        self._database = database
        self._clock = clock
        self._lock = lock

    async def commit(self, changes: Sequence[Change]) -> None:
        """Return when these changes, and all noted before, are durable.

        Raises:
            StoreError: They are not, and nothing may be promised on them.
        """
        if self._database.full:
            raise StoreFullError(self._database.full)
        await self._writer.carry_out(None, self._statements.writes(changes))

    @property
    def condition(self) -> Condition:
        """How it is doing."""
        database = self._database
        return Condition(database.full or database.trouble, database.quarantined)

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
            lambda database: recovery.marked(
                database.connection, marks, self._clock.now(), key=self._key_of_erased
            )
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

    async def events_from(self, event_id: str, most: int) -> Sequence[Event]:
        """Return an event and those of its session that came after it, in order; only so many.

        Raises:
            StoreError: They cannot be read.
        """
        found: Sequence[Event] = await self._writer.carry_out(
            lambda database: recovery.events_from(database.connection, event_id, most)
        )
        return found

    async def orders(self) -> Sequence[Order]:
        """Return what people have decided and nobody has taken up, oldest first.

        Raises:
            StoreError: It cannot be read.
        """
        found: Sequence[Order] = await self._writer.carry_out(
            lambda database: (
                recovery.waiting_orders(database.connection)
                if database.has(recovery.ANY_ORDER)
                else ()
            )
        )
        return found

    async def forget(self, what: Retention) -> int:
        """Delete what ended too long ago, between the commits of others; return how many rows.

        What stays is checked, some of it at a time; bad rows are put into quarantine.

        Raises:
            StoreDamagedError: It is damaged and cannot be mended.
            StoreError: The database refused.
        """
        now, rows = self._clock.now(), 0
        while some := await self._writer.carry_out(
            lambda database: retention.forget(database, what, now)
        ):
            rows += some
        await self._sweep()
        return rows

    async def _sweep(self) -> None:
        sweep, now, is_over = Sweep(), self._clock.now(), False
        while not is_over:
            found, is_over = await self._writer.carry_out(sweep.step)
            if found:
                findings = Findings(found, ())
                mending = partial(mend, found=findings, statements=self._statements, now=now)
                await self._writer.carry_out(mending)
                log.error("store.quarantined", rows=len(found), keys=told(found))

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


def open_store(
    url: str,
    *,
    clock: Clock,
    base: Path,
    executor: Executor = "thread",
    on_damage: OnDamage = "stop",
    connect: Connect = sqlite3.connect,
) -> SqlStore:
    """Open the store for writing; a new one is made, an older one brought up to date.

    What is in it is checked first, as far as a quick start allows; rows that are not as they were
    written are put into quarantine.

    Args:
        url: ``sqlite:///relative.db``, ``sqlite:////absolute.db``, or ``sqlite://`` in memory.
        clock: Tells how old things are.
        base: The folder that a relative path starts from.
        executor: ``inline`` writes in the caller's turn of the event loop, for virtual time; no
            room is kept on the disk then.
        on_damage: ``fresh`` puts a store that cannot be mended aside and begins a new one.
        connect: Opens the file.

    Raises:
        ConfigError: The URL names no store that imbot knows.
        StoreFullError: There is no room for it.
        StoreDamagedError: It is not as imbot left it, and cannot be mended.
        StoreError: It cannot be opened, another imbot uses it, or a newer one wrote it.
    """
    path = store_path(url, base)
    if path is None:
        database = Database(IN_MEMORY, connect=connect)
        migrate(database)
        return SqlStore(database, clock=clock, executor=executor, lock=None)
    path = path.resolve()  # who names it by a link means the same store
    refuse_other_names(path)
    with ExitStack() as undo:
        lock = StoreLock(path)
        undo.callback(lock.release)
        if not is_there(path):
            forget_tip(path)
        try:
            database = _opened(path, connect, clock, keeps_room=executor == "thread")
        except StoreDamagedError as error:
            if on_damage != "fresh":
                raise
            lost_since = min(last_written(path), clock.now())
            kept = put_aside(path, clock.now())
            log.error("store.fresh", cause=str(error), kept=str(kept))  # noqa: TRY400  the cause tells enough
            database = _opened(path, connect, clock, keeps_room=executor == "thread")
            undo.callback(database.close)
            begin_after(database, lost_since)
        else:
            undo.callback(database.close)
        key, erased = database.pseudonym_key(), database.key_of_erased()
        undo.pop_all()
    return SqlStore(
        database,
        clock=clock,
        executor=executor,
        lock=lock,
        pseudonym_key=key,
        key_of_erased=erased,
    )


def _opened(path: Path, connect: Connect, clock: Clock, *, keeps_room: bool) -> Database:
    with ExitStack() as undo:
        reserve = Reserve(path) if keeps_room else None
        if reserve is not None:
            undo.callback(reserve.release)
        database = Database(str(path), connect=connect)
        undo.callback(database.close)
        make_sound(database, path, clock.now())
        if reserve is not None:
            database.keep_room(reserve)
        undo.pop_all()
    return database


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
