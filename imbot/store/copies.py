"""Copies of a store: one made beside a running imbot, one put in a store's place.

What a copy does not know of was perhaps done: all that was under way when it was made is given up
when it is put back, and in sessions that may have begun since, no ``once`` rule acts.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from imbot.errors import StoreDamagedError, StoreError
from imbot.records import (
    Change,
    EffectState,
    EventHandled,
    Recovered,
    RunState,
    SubscriptionEnded,
    TimerGone,
    Verdict,
)
from imbot.store import rows, schema
from imbot.store.checking import Sweep, check
from imbot.store.connection import Database
from imbot.store.lock import StoreLock
from imbot.store.migrations import migrate, require_sealed, version_of
from imbot.store.queries import existing_path
from imbot.store.recovery import LOST_SINCE, recover
from imbot.store.soundness import bring_back, forget_tip, is_there, put_aside
from imbot.store.statements import Statements

#: Why what was under way is given up, for people.
_WHY = "its store was restored from a copy"

#: So many pages are copied before somebody else may write, and before progress is told.
_PAGES_AT_ONCE = 2_000

#: What people switched stays so. Every other timer is set anew from the moment of the start: what
#: was due since the copy was made has perhaps been done.
_LASTING = frozenset({"closed", "halted", "switched"})

_UNDONE = frozenset({EffectState.SENDING, EffectState.UNKNOWN, EffectState.FAILED})

#: Told how many pages are copied, and of how many.
Progress = Callable[[int, int], None]


def back_up(url: str, copy: Path, *, base: Path, tell: Progress) -> int:
    """Copy a store, whether an imbot works on it or not; return the size of the copy in bytes.

    The copy is checked, row by row, before it gets its name: whoever has it can rely on it.

    Args:
        url: As :func:`imbot.store.database.open_store` takes it.
        copy: Where to; nothing may be there.
        base: The folder that a relative path of the URL starts from.
        tell: Told how far it is.

    Raises:
        ConfigError: The URL names no store that imbot knows.
        StoreDamagedError: The store is damaged, or rows in it are not as they were written.
        StoreError: There is no store, the copy is there already or cannot be written.
    """
    path = existing_path(url, base)
    if copy.exists():
        raise StoreError(f"{copy} is there already; name another file, or remove that one")
    making = copy.with_name(f"{copy.name}.part")
    try:
        _copy_pages(path, making, tell)
        _require_sound(making)
        size = making.stat().st_size
        making.replace(copy)
    except OSError as error:
        raise StoreError(f"{copy} cannot be written ({error.strerror})") from error
    finally:
        with suppress(OSError):
            making.unlink(missing_ok=True)
    return size


def restore(copy: Path, path: Path, now: datetime) -> Path | None:
    """Put a copy in the place of a store; return what the store before it is called now.

    Args:
        copy: What :func:`back_up` made; it stays as it is.
        path: The store's file.
        now: The moment.

    Raises:
        StoreDamagedError: The copy is damaged.
        StoreError: The copy is no store of imbot's or a newer one's, an imbot works on the store,
            or the disk refused. Then the store is as it was.
    """
    lock = StoreLock(path)
    fresh = path.with_name(f"{path.name}.restoring")
    try:
        fresh.unlink(missing_ok=True)
        shutil.copyfile(copy, fresh)
        fresh.chmod(0o600)
        _require_sound(fresh)
        _give_up_what_was_under_way(fresh, now)
        _sync(fresh)
        before = put_aside(path, now, why="replaced") if is_there(path) else None
        forget_tip(path)
        try:
            fresh.replace(path)
        except OSError:
            if before is not None:
                bring_back(before, path)
            raise
        _sync(path.parent)
    except OSError as error:
        told = error.strerror or error
        raise StoreError(f"{copy} cannot be put in the place of {path} ({told})") from error
    finally:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        lock.release()
    return before


def _copy_pages(path: Path, to: Path, tell: Progress) -> None:
    """Copy a database that others may write to; what they write meanwhile is in the copy."""
    to.unlink(missing_ok=True)
    os.close(os.open(to, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        source, target = _opened(f"{path.as_uri()}?mode=ro"), _opened(to.as_uri())
        try:
            source.backup(
                target,
                pages=_PAGES_AT_ONCE,
                progress=lambda _status, left, pages: tell(pages - left, pages),
            )
            # One file, without a log beside it that could be forgotten.
            target.execute("PRAGMA journal_mode = DELETE")
        finally:
            source.close()
            target.close()
    except sqlite3.Error as error:
        raise StoreError(f"store {path}: it cannot be copied to {to.parent} ({error})") from error
    _sync(to)


def _opened(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True)


def _require_sound(copy: Path) -> None:
    """Look at every row of a copy.

    Raises:
        StoreDamagedError: Some are not as they were written.
        StoreError: It is no store of ours, or a newer one's.
    """
    database = Database(str(copy))
    try:
        if not version_of(database):
            raise StoreError(f"{copy}: nothing is in it; name what `imbot backup` wrote")
        migrate(database)
        require_sealed(database)
        bad, sweep, is_over = list(check(database).rows), Sweep(), False
        while not is_over:
            some, is_over = sweep.step(database)
            bad += some
    finally:
        database.close()
    if bad:
        raise StoreDamagedError(
            f"{copy}: {bad[0].table} {' '.join(bad[0].key)} is not as it was written; "
            "`imbot store check` tells all"
        )


def _give_up_what_was_under_way(path: Path, now: datetime) -> None:
    """End what was open, and write down since when the store knows nothing.

    Raises:
        StoreError: The database refused.
    """
    database = Database(str(path))
    try:
        statements = Statements(database.dialect)
        with database.transaction():
            found = recover(database.connection, now)
            for sql, values in statements.writes(list(_ends(found, now))):
                database.connection.exec_driver_sql(sql, values)
            refused = sa.update(schema.orders).where(schema.ORDER_IS_WAITING)
            database.connection.execute(refused.values(taken_at=now, refused=_WHY))
            _forget_everything_since(database.connection, _last_known(database.connection, now))
        with database.explaining():
            database.connection.exec_driver_sql("PRAGMA journal_mode = DELETE")
    finally:
        database.close()


def _ends(found: Recovered, now: datetime) -> Iterator[Change]:
    for event in found.events:
        yield EventHandled(event.id, now)
    for seen, _ in found.runs:
        yield seen._replace(state=RunState.CANCELLED, at=now, due_at=None, detail=_WHY)
    for effect in found.effects:
        if effect.state in _UNDONE:
            yield Verdict(effect.intent.effect_id, EffectState.PARKED, now, _WHY)
    for timer in found.timers:
        if timer.kind not in _LASTING:
            yield TimerGone(timer.id)
    for agent in found.subscriptions:
        yield SubscriptionEnded(agent)


def _last_known(connection: sa.Connection, now: datetime) -> datetime:
    """Return when the store was last written to, as far as its rows tell."""
    moments = (
        connection.scalar(sa.select(sa.func.max(column)))
        for column in (schema.events.c.received_at, schema.effects.c.at, schema.runs.c.at)
    )
    return max((moment for moment in moments if moment is not None and moment < now), default=now)


def _forget_everything_since(connection: sa.Connection, moment: datetime) -> None:
    meta, marks = schema.meta, schema.once_marks
    # Agents of which it was settled before what is lost; it is to be settled anew.
    lost = connection.scalars(sa.select(marks.c.scope).where(marks.c.rule_id == rows.EVERY_RULE))
    whole = [scope for scope in lost if not rows.to_marks_lost({"scope": scope}).session_id]
    connection.execute(
        sa.delete(marks).where(marks.c.rule_id == rows.EVERY_RULE, marks.c.scope.in_(whole))
    )
    connection.execute(sa.delete(meta).where(meta.c.key == LOST_SINCE))
    connection.execute(sa.insert(meta).values(key=LOST_SINCE, value=moment.isoformat()))


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
