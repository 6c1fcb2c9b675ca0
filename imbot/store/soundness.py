"""What a store must pass before anything is acted on, and what becomes of one that does not."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
import structlog

from imbot.errors import StoreDamagedError, StoreError
from imbot.store import schema
from imbot.store.checking import BadRow, check
from imbot.store.connection import Database
from imbot.store.migrations import ForeignStoreError, migrate, require_sealed
from imbot.store.quarantine import count, mend
from imbot.store.recovery import LOST_SINCE
from imbot.store.statements import Statements
from imbot.store.tip import Tip, tip_path

log = structlog.get_logger()


def make_sound(database: Database, path: Path, now: datetime) -> None:
    """Bring the tables up to date, check what is in them, and put bad rows into quarantine.

    Raises:
        StoreDamagedError: It is not as imbot left it, and cannot be mended.
        StoreError: It is another program's, or a newer imbot's, or the disk refused.
    """
    tip = Tip(path)
    try:
        migrate(database)
        require_sealed(database)
        database.tell(tip)
        _look_through(database, now)
    except StoreError as error:
        if tip.read() and _puzzles(error):
            raise StoreDamagedError(f"{error}; restore a backup") from error
        raise


def _look_through(database: Database, now: datetime) -> None:
    count(database)
    found = check(database)
    if found.rows or found.indices:
        mend(database, found, Statements(database.dialect), now)
        log.error("store.quarantined", rows=len(found.rows), keys=told(found.rows))


def told(rows: Iterable[BadRow]) -> list[str]:
    """Return what names bad rows in the log: of many the first."""
    return sorted({f"{row.table} {' '.join(row.key)}" for row in rows})[:20]


def _puzzles(error: StoreError) -> bool:
    """Whether a store of ours can only say so because something in it is not as it was."""
    cause = error.__cause__
    cause = cause.orig if isinstance(cause, sa.exc.DBAPIError) else cause
    is_refused = getattr(cause, "sqlite_errorname", "") == "SQLITE_ERROR"
    return isinstance(error, ForeignStoreError) or is_refused


def refuse_other_names(path: Path) -> None:
    """Refuse a store that has two names: another imbot, or SQLite itself, may come by the other.

    Raises:
        StoreError: It has.
    """
    try:
        links = path.stat().st_nlink
    except OSError:
        return
    if links > 1 and path.is_file():
        raise StoreError(
            f"store {path}: the file has another name, too (a hard link); remove one of them"
        )


def is_there(path: Path) -> bool:
    """Return whether anything is left of a store; what a person removed is gone wholly."""
    return any(path.with_name(path.name + suffix).exists() for suffix in ("", "-wal"))


def forget_tip(path: Path) -> None:
    """Let a new store begin where another one was."""
    tip_path(path).unlink(missing_ok=True)


def put_aside(path: Path, now: datetime, *, why: str = "damaged") -> Path:
    """Rename a store with all that is beside it; return where its file is from now on.

    Args:
        path: The store's file.
        now: The moment.
        why: What it is called behind the name that it had.

    Raises:
        StoreError: That cannot be done.
    """
    aside = path.with_name(f"{path.name}.{why}-{now.astimezone(UTC):%Y%m%dT%H%M%S}")
    try:
        for suffix in ("-wal", "-shm", ""):
            beside = path.with_name(path.name + suffix)
            if beside.exists():
                beside.replace(aside.with_name(aside.name + suffix))
        tip_path(path).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"store {path}: it cannot be put aside ({error.strerror})") from error
    return aside


def bring_back(aside: Path, path: Path) -> None:
    """Undo :func:`put_aside`.

    Raises:
        OSError: That cannot be done.
    """
    for suffix in ("-wal", "-shm", ""):
        beside = aside.with_name(aside.name + suffix)
        if beside.exists():
            beside.replace(path.with_name(path.name + suffix))


def last_written(path: Path) -> datetime:
    """Return when a store was last written."""
    files = [path.with_name(path.name + suffix) for suffix in ("", "-wal")]
    return datetime.fromtimestamp(max(each.stat().st_mtime for each in files if each.exists()), UTC)


def begin_after(database: Database, lost_since: datetime) -> None:
    """Write into a new store that what there was before it is lost.

    Raises:
        StoreError: The database refused.
    """
    with database.transaction():
        database.connection.execute(
            sa.insert(schema.meta).values(key=LOST_SINCE, value=lost_since.isoformat())
        )
