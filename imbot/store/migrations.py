"""Brings the tables of a store to the version that this imbot knows.

A new store gets the newest tables at once; an older one is changed step by step, each step one
transaction, so that a kill between or in steps leaves a store that starts again.
"""

import zlib
from collections.abc import Sequence
from typing import TypeAlias

import sqlalchemy as sa

from imbot.errors import StoreDamagedError, StoreError
from imbot.store import schema
from imbot.store.connection import Database
from imbot.store.sums import resummed, summed_tables

#: The statements that change one version into the next.
Migration: TypeAlias = Sequence[str]

#: From version 1 to 2, from 2 to 3, ...; what is released is never edited.
MIGRATIONS: tuple[Migration, ...] = (
    (
        "ALTER TABLE runs ADD COLUMN strands TEXT",
        "ALTER TABLE runs ADD COLUMN cancelled TEXT",
        """CREATE TABLE timers (id TEXT NOT NULL, kind TEXT NOT NULL, due_at BIGINT NOT NULL,
        agent TEXT NOT NULL, session_id TEXT NOT NULL, payload TEXT, PRIMARY KEY (id))""",
    ),
    (
        "ALTER TABLE runs ADD COLUMN in_shadow BOOLEAN",
        # A strand tells how often its step was tried behind whether it waits, its only truth value.
        """UPDATE runs SET strands = replace(replace(strands, 'true', 'true,0'), 'false', 'false,0')
        WHERE strands IS NOT NULL""",
    ),
    (
        "ALTER TABLE events ADD COLUMN depth BIGINT",
        """CREATE TABLE orders (seq INTEGER NOT NULL, effect_id TEXT NOT NULL, kind TEXT NOT NULL,
        ordered_by TEXT NOT NULL, at BIGINT NOT NULL, taken_at BIGINT, refused TEXT NOT NULL,
        PRIMARY KEY (seq))""",
        "CREATE INDEX ix_orders_effect_id ON orders (effect_id)",
        "CREATE INDEX orders_waiting ON orders (seq) WHERE taken_at IS NULL",
    ),
    (
        *(
            f"ALTER TABLE {table} ADD COLUMN {name} BIGINT"
            for table, names in {
                "events": ("sum", "handled_sum"),
                "runs": ("sum", "stand_sum"),
                "effects": ("sum", "state_sum", "settled_sum", "echo_sum"),
                **dict.fromkeys(("sessions", "once_marks", "timers", "gaps", "acks"), ("sum",)),
                "rule_versions": ("sum",),
            }.items()
            for name in names
        ),
        """CREATE TABLE quarantine (seq INTEGER NOT NULL, table_name TEXT NOT NULL,
        "key" TEXT NOT NULL, "row" TEXT NOT NULL, reason TEXT NOT NULL, at BIGINT NOT NULL,
        PRIMARY KEY (seq))""",
        "CREATE INDEX ix_quarantine_at ON quarantine (at)",
    ),
    (
        "ALTER TABLE acks ADD COLUMN asked_at BIGINT",
        "ALTER TABLE acks ADD COLUMN answered_at BIGINT",
        """CREATE TABLE subscriptions (agent TEXT NOT NULL, url TEXT NOT NULL,
        client_id TEXT NOT NULL, gap_cause TEXT NOT NULL, acknowledges BOOLEAN NOT NULL,
        since BIGINT, pending TEXT,
        cookies TEXT, tokens TEXT, sum BIGINT, PRIMARY KEY (agent))""",
    ),
    ('ALTER TABLE effects ADD COLUMN "before" TEXT',),
    (
        """CREATE TABLE audit (seq INTEGER NOT NULL, at BIGINT NOT NULL, who TEXT NOT NULL,
        role TEXT NOT NULL, address TEXT NOT NULL, request TEXT NOT NULL, status BIGINT NOT NULL,
        sum BIGINT, PRIMARY KEY (seq))""",
        "CREATE INDEX ix_audit_at ON audit (at)",
    ),
    (
        """CREATE INDEX runs_by_rule ON runs (rule_id, state, at, in_shadow)
        WHERE in_shadow IS NULL""",
    ),
)

_FIRST = 1
_VERSION = "schema_version"
_SCHEMA_SUM = "schema_sum"


class ForeignStoreError(StoreError):
    """The file is a database, and none of imbot's."""


class OlderStoreError(StoreError):
    """The store is of an earlier imbot; the next start brings it up to date."""


def migrate(database: Database, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Make the tables those of the newest version.

    Raises:
        StoreError: The store is newer than this imbot, is not imbot's, or refused a change.
    """
    newest = _FIRST + len(migrations)
    version = version_of(database)
    if version == 0:
        _create(database, newest)
    else:
        _refuse_newer(database, version, newest)
        for step in range(version, newest):
            _change(database, migrations[step - 1], to=step + 1, is_last=step + 1 == newest)


def version_of(database: Database) -> int:
    """Return the version of the store's tables; 0 for an empty file.

    Raises:
        StoreError: The database belongs to another program, or cannot be read.
    """
    with database.explaining():
        names = sa.inspect(database.connection).get_table_names()
        if not names:
            return 0
        if {"meta", "events", "runs"} <= set(names):
            version = database.connection.scalar(
                sa.select(schema.meta.c.value).where(schema.meta.c.key == _VERSION)
            )
            if version is not None and version.isdecimal():
                return int(version)
    raise ForeignStoreError(
        f"store {database.path}: it is a database of another program; name another store"
    )


def require_current(database: Database) -> None:
    """Refuse a store whose tables are not those that this imbot reads.

    Raises:
        OlderStoreError: The store is empty, or older than this imbot.
        StoreError: It is newer than this imbot, or is not imbot's.
    """
    version, newest = version_of(database), _FIRST + len(MIGRATIONS)
    _refuse_newer(database, version, newest)
    if version < newest:
        raise OlderStoreError(
            f"store {database.path}: its tables have version {version} and this imbot reads "
            f"version {newest}; start `imbot run` once, which brings it up to date"
        )


def _refuse_newer(database: Database, version: int, newest: int) -> None:
    if version > newest:
        raise StoreError(
            f"store {database.path}: its tables have version {version} and this imbot knows "
            f"versions up to {newest}; use the newer imbot that wrote it"
        )


def _create(database: Database, version: int) -> None:
    with database.transaction():
        schema.METADATA.create_all(database.connection)
        database.connection.execute(sa.insert(schema.meta).values(key=_VERSION, value=str(version)))
        _seal(database)


def _change(database: Database, migration: Migration, *, to: int, is_last: bool) -> None:
    with database.transaction():
        for statement in migration:
            database.connection.exec_driver_sql(statement)
        # A step may change what sums cover; which sums there are says the newest version only.
        for table in summed_tables() if is_last else ():
            database.connection.exec_driver_sql(resummed(table))
        database.connection.execute(
            sa.update(schema.meta).where(schema.meta.c.key == _VERSION).values(value=str(to))
        )
        _seal(database)


def _seal(database: Database) -> None:
    """Write down the sum of what the tables and indices are: a wrong word there is no error."""
    database.connection.execute(sa.delete(schema.meta).where(schema.meta.c.key == _SCHEMA_SUM))
    row = {"key": _SCHEMA_SUM, "value": str(_schema_sum(database))}
    database.connection.execute(sa.insert(schema.meta).values(row))


def require_sealed(database: Database) -> None:
    """Refuse a store whose tables and indices are not those that imbot made.

    Raises:
        StoreDamagedError: They are others.
        StoreError: They cannot be read.
    """
    with database.explaining():
        kept = database.connection.scalar(
            sa.select(schema.meta.c.value).where(schema.meta.c.key == _SCHEMA_SUM)
        )
    if kept != str(_schema_sum(database)):
        raise StoreDamagedError(f"store {database.path}: its tables are not those that imbot made")


def _schema_sum(database: Database) -> int:
    with database.reading_anything() as execute:
        told = list(execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name"))
    return zlib.crc32(repr(told).encode("utf-8", "surrogateescape"))
