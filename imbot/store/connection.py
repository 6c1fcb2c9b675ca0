"""The door to SQLite: opens the one file, runs transactions, says in words what went wrong."""

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from imbot.errors import StoreDamagedError, StoreError, StoreFullError
from imbot.store.reserve import Reserve
from imbot.store.statements import Write
from imbot.store.sums import teach
from imbot.store.tip import Tip

#: The path that stands for a database that vanishes when it is closed.
IN_MEMORY = ":memory:"
#: How long another program (a backup, ``imbot sessions``) may hold the file before we give up.
_BUSY_TIMEOUT_S = 5.0
#: What SQLite raises; what it says of a damaged file may be no text at all.
_REFUSALS = (sqlite3.Error, UnicodeDecodeError)

_COUNT_FROM_NOTHING = "INSERT OR IGNORE INTO meta (key, value) VALUES ('commits', '0')"
_COMMITS = "SELECT value FROM meta WHERE key = 'commits'"
_COUNT = "UPDATE meta SET value = ? WHERE key = 'commits'"
_KEY_FROM_NOTHING = (
    "INSERT OR IGNORE INTO meta (key, value) VALUES ('pseudonyms', lower(hex(randomblob(16))))"
)
_KEY = "SELECT value FROM meta WHERE key = 'pseudonyms'"
_NOTE_ERASED = "INSERT OR IGNORE INTO meta (key, value) VALUES ('erased', 'marks')"
_ANY_ERASED = "SELECT 1 FROM meta WHERE key = 'erased'"
#: The write-ahead log is cut back to this size after a checkpoint.
_WAL_BYTES = 64 * 1024 * 1024

#: So often a transaction waits that long for its turn; what another program does ends some time.
_BUSY_TIMES = 6

#: Opens a file as SQLite does; a test may hand back what fails when it is told to.
Connect: TypeAlias = Callable[..., sqlite3.Connection]

_CAUSES: Mapping[str, tuple[type[StoreError], str]] = {
    "SQLITE_FULL": (StoreFullError, "the disk is full; free space, then start again"),
    "SQLITE_IOERR": (
        StoreError,
        "reading or writing the disk failed; check the disk, then start again",
    ),
    "SQLITE_BUSY": (
        StoreError,
        "another program keeps it locked; end that program, then start again",
    ),
    "SQLITE_LOCKED": (
        StoreError,
        "another program keeps it locked; end that program, then start again",
    ),
    "SQLITE_READONLY": (
        StoreError,
        "it may not be written to; check its owner and permissions",
    ),
    "SQLITE_CANTOPEN": (
        StoreError,
        "it cannot be opened; check that its folder exists and may be written to",
    ),
    "SQLITE_PERM": (StoreError, "it may not be opened; check its owner and permissions"),
    "SQLITE_AUTH": (StoreError, "it may not be opened; check its owner and permissions"),
    "SQLITE_NOTADB": (
        StoreDamagedError,
        "it is not a database; move it away or name another store",
    ),
    "SQLITE_CORRUPT": (StoreDamagedError, "it is damaged; restore a backup"),
}


def explained(error: Exception, path: str) -> StoreError:
    """Return what a database error means, for people."""
    cause: BaseException | None = error
    if isinstance(error, sa.exc.DBAPIError):
        cause = error.orig
    kind, meaning = _CAUSES.get(_code(cause), (StoreError, "the database refused"))
    return kind(f"store {path}: {meaning} ({cause})")


def _code(error: BaseException | None) -> str:
    """Return the name of SQLite's error code; of an extended one the part that names the cause."""
    if isinstance(error, UnicodeDecodeError):
        return "SQLITE_CORRUPT"
    if isinstance(error, OSError):
        return "SQLITE_FULL" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "SQLITE_CANTOPEN"
    # Extended codes are spelt SQLITE_IOERR_WRITE and so on.
    return "_".join(getattr(error, "sqlite_errorname", "").split("_")[:2])


class Database:
    """One open connection, to be used by one thread at a time.

    Attributes:
        path: The file, or ``:memory:``, as messages name it.
        connection: For reading, and for statements that are not hot.
    """

    def __init__(
        self, path: str, *, read_only: bool = False, connect: Connect = sqlite3.connect
    ) -> None:
        """Open the file.

        Raises:
            StoreError: It cannot be opened or is no database.
        """
        self.path = path
        #: What keeps transactions waiting, for people; empty for nothing.
        self.trouble = ""
        #: Why nothing new may be begun: only room that was kept for it lets the rest be written.
        self.full = ""
        #: How many rows of it are in quarantine.
        self.quarantined = 0
        self._reserve: Reserve | None = None
        self._tip: Tip | None = None
        self._commits = 0
        try:
            self._raw = _connect(path, connect, read_only=read_only)
        except (*_REFUSALS, OSError) as error:
            raise explained(error, path) from error
        self._engine = sa.create_engine(
            "sqlite://",
            creator=lambda: self._raw,
            poolclass=StaticPool,
            isolation_level="AUTOCOMMIT",
        )
        try:
            with self.explaining():
                self.connection = self._engine.connect()
        except StoreError:
            self._raw.close()
            raise

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
        except (*_REFUSALS, sa.exc.SQLAlchemyError, OverflowError) as error:
            raise explained(error, self.path) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all of the block durable, or nothing of it.

        Raises:
            StoreError: The database refused.
        """
        with self.explaining():
            self._begin()
            try:
                yield
                if self._tip is not None:
                    self._raw.execute(_COUNT, (str(self._commits + 1),))
                self._raw.execute("COMMIT")
            finally:
                # Some errors end the transaction by themselves; a rollback would then fail too.
                if self._raw.in_transaction:
                    self._raw.execute("ROLLBACK")
            if self._tip is not None:
                self._commits += 1
                self._tip.write(self._commits)

    def write(self, writes: Sequence[Write]) -> None:
        """Carry out these writes in their order, as one transaction.

        Where the disk is full, they take up the room that was kept; see ``full``.

        Raises:
            StoreError: None of them took place.
        """
        try:
            self._write(writes)
        except StoreFullError as error:
            if self._reserve is None or not self._reserve.release():
                raise
            self.full = str(error)
            self._write(writes)

    def _write(self, writes: Sequence[Write]) -> None:
        with self.transaction():
            execute = self._raw.cursor().execute
            for sql, values in writes:
                execute(sql, values)

    def _begin(self) -> None:
        for _ in range(_BUSY_TIMES - 1):
            try:
                self._raw.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if _code(error) != "SQLITE_BUSY":
                    raise
                self.trouble = str(explained(error, self.path))
            else:
                self.trouble = ""
                return
        self._raw.execute("BEGIN IMMEDIATE")

    def keep_room(self, reserve: Reserve) -> None:
        """Give this room up once the disk is full, and at the end."""
        self._reserve = reserve

    def tell(self, tip: Tip) -> None:
        """Count commits from now on, and tell beside the store how many there were.

        Nobody else counts them meanwhile: who opens a store to run with it has locked it.

        Raises:
            StoreDamagedError: There were more than the store has.
            StoreError: The database refused.
        """
        with self.explaining():
            self._raw.execute(_COUNT_FROM_NOTHING)
            ((commits,),) = self._raw.execute(_COMMITS)
        self._commits = int(commits) if str(commits).isdecimal() else 0
        missing = tip.read() - self._commits
        if missing > 0:
            raise StoreDamagedError(
                f"store {self.path}: the last {missing} commits are missing; its -wal file was "
                "lost or damaged, or an older copy was put in its place"
            )
        self._tip = tip

    def pseudonym_key(self) -> bytes:
        """Return what decides the pseudonyms of this store; it is drawn once.

        Raises:
            StoreError: The database refused.
        """
        with self.explaining():
            self._raw.execute(_KEY_FROM_NOTHING)
            ((key,),) = self._raw.execute(_KEY)
        return str(key).encode()

    def note_erased(self) -> None:
        """Have the store know that scopes of once marks were erased, so that they are looked for.

        Raises:
            StoreError: The database refused.
        """
        with self.explaining():
            self._raw.execute(_NOTE_ERASED)

    def key_of_erased(self) -> bytes:
        """Return what decides the scopes that stand for erased ones; empty where there are none.

        Raises:
            StoreError: The database refused.
        """
        with self.explaining():
            return self.pseudonym_key() if self.has(_ANY_ERASED) else b""

    @contextmanager
    def reading_anything(self) -> Iterator[Callable[[str], sqlite3.Cursor]]:
        """Give what carries out statements; bytes that are no text come as surrogates.

        Raises:
            StoreError: The database refused.
        """
        self._raw.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
        try:
            with self.explaining():
                yield self._raw.execute
        finally:
            self._raw.text_factory = str

    def has(self, sql: str) -> bool:
        """Return whether a query finds anything; a twentieth of the cost of asking for it all."""
        return self._raw.execute(sql).fetchone() is not None

    def close(self) -> None:
        """Close the file; an unfinished transaction is undone."""
        self.connection.close()
        self._engine.dispose()
        self._raw.close()
        tip, self._tip = self._tip, None
        if tip is not None:
            tip.close()
        if self._reserve is not None:
            self._reserve.release()


def _connect(path: str, connect: Connect, *, read_only: bool) -> sqlite3.Connection:
    in_memory = path == IN_MEMORY
    if not in_memory and not read_only:
        # SQLite would make it readable to all; its -wal and -shm take over these permissions.
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    raw = connect(
        path if in_memory else f"{Path(path).as_uri()}?mode={'ro' if read_only else 'rw'}",
        timeout=_BUSY_TIMEOUT_S,
        isolation_level=None,
        # Opened by the thread that starts imbot, from then on used by the writer's alone.
        check_same_thread=False,
        uri=not in_memory,
    )
    try:
        _configure(raw, read_only=read_only)
    except _REFUSALS:
        raw.close()
        raise
    return raw


def _configure(raw: sqlite3.Connection, *, read_only: bool) -> None:
    teach(raw)
    if read_only:
        raw.execute("PRAGMA query_only=ON")
        # Reading the schema finds out whether this is a database at all.
        raw.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        return
    raw.execute("PRAGMA journal_mode=WAL")
    raw.execute("PRAGMA synchronous=FULL")
    raw.execute(f"PRAGMA journal_size_limit={_WAL_BYTES}")
