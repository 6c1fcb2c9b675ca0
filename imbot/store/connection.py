"""The door to SQLite: opens the one file, runs transactions, says in words what went wrong."""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from imbot.errors import StoreError
from imbot.store.statements import Write
from imbot.store.sums import teach

#: The path that stands for a database that vanishes when it is closed.
IN_MEMORY = ":memory:"
#: How long another program (a backup, ``imbot sessions``) may hold the file before we give up.
_BUSY_TIMEOUT_S = 5.0
#: The write-ahead log is cut back to this size after a checkpoint.
_WAL_BYTES = 64 * 1024 * 1024

_CAUSES = {
    "SQLITE_FULL": "the disk is full; free space, then start again",
    "SQLITE_IOERR": "reading or writing the disk failed; check the disk, then start again",
    "SQLITE_BUSY": "another program keeps it locked; end that program, then start again",
    "SQLITE_LOCKED": "another program keeps it locked; end that program, then start again",
    "SQLITE_READONLY": "it may not be written to; check its owner and permissions",
    "SQLITE_CANTOPEN": "it cannot be opened; check that its folder exists and may be written to",
    "SQLITE_PERM": "it may not be opened; check its owner and permissions",
    "SQLITE_AUTH": "it may not be opened; check its owner and permissions",
    "SQLITE_NOTADB": "it is not a database; move it away or name another store",
    "SQLITE_CORRUPT": "it is damaged; move it away and restore a backup",
}


def explained(error: Exception, path: str) -> StoreError:
    """Return what a database error means, for people."""
    cause: BaseException | None = error
    if isinstance(error, sa.exc.DBAPIError):
        cause = error.orig
    # Extended codes are spelt SQLITE_IOERR_WRITE and so on; their first part names the cause.
    name = "_".join(getattr(cause, "sqlite_errorname", "").split("_")[:2])
    meaning = _CAUSES.get(name, "the database refused")
    return StoreError(f"store {path}: {meaning} ({cause})")


class Database:
    """One open connection, to be used by one thread at a time.

    Attributes:
        path: The file, or ``:memory:``, as messages name it.
        connection: For reading, and for statements that are not hot.
    """

    def __init__(self, path: str, *, read_only: bool = False) -> None:
        """Open the file.

        Raises:
            StoreError: It cannot be opened or is no database.
        """
        self.path = path
        try:
            self._raw = _connect(path, read_only=read_only)
        except (sqlite3.Error, OSError) as error:
            raise explained(error, path) from error
        self._engine = sa.create_engine(
            "sqlite://",
            creator=lambda: self._raw,
            poolclass=StaticPool,
            isolation_level="AUTOCOMMIT",
        )
        self.connection = self._engine.connect()

    @property
    def dialect(self) -> sa.Dialect:
        """The dialect that statements are compiled for."""
        return self._engine.dialect

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Turn database errors into StoreError.

        Raises:
            StoreError: The database refused.
        """
        try:
            yield
        except (sqlite3.Error, sa.exc.SQLAlchemyError, OverflowError) as error:
            raise explained(error, self.path) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all of the block durable, or nothing of it.

        Raises:
            StoreError: The database refused.
        """
        with self.explaining():
            self._raw.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._raw.execute("COMMIT")
            finally:
                # Some errors end the transaction by themselves; a rollback would then fail too.
                if self._raw.in_transaction:
                    self._raw.execute("ROLLBACK")

    def write(self, writes: Iterable[Write]) -> None:
        """Carry out these writes in their order, as one transaction.

        Raises:
            StoreError: None of them took place.
        """
        with self.transaction():
            execute = self._raw.cursor().execute
            for sql, values in writes:
                execute(sql, values)

    def close(self) -> None:
        """Close the file; an unfinished transaction is undone."""
        self.connection.close()
        self._engine.dispose()
        self._raw.close()


def _connect(path: str, *, read_only: bool) -> sqlite3.Connection:
    in_memory = path == IN_MEMORY
    if not in_memory and not read_only:
        # SQLite would make it readable to all; its -wal and -shm take over these permissions.
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    raw = sqlite3.connect(
        path if in_memory else f"{Path(path).as_uri()}?mode={'ro' if read_only else 'rw'}",
        timeout=_BUSY_TIMEOUT_S,
        isolation_level=None,
        # Opened by the thread that starts imbot, from then on used by the writer's alone.
        check_same_thread=False,
        uri=not in_memory,
    )
    try:
        _configure(raw, read_only=read_only)
    except sqlite3.Error:
        raw.close()
        raise
    return raw


def _configure(raw: sqlite3.Connection, *, read_only: bool) -> None:
    if read_only:
        raw.execute("PRAGMA query_only=ON")
        # Reading the schema finds out whether this is a database at all.
        raw.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        return
    teach(raw)
    raw.execute("PRAGMA journal_mode=WAL")
    raw.execute("PRAGMA synchronous=FULL")
    raw.execute(f"PRAGMA journal_size_limit={_WAL_BYTES}")
