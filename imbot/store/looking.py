"""Looks through a store beside a running imbot: what is wrong in it, and what is in quarantine."""

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from imbot.store.checking import BadRow, Sweep, check
from imbot.store.connection import Database
from imbot.store.migrations import require_current, require_sealed
from imbot.store.queries import existing_path
from imbot.store.schema import quarantine


class Shown(NamedTuple):
    """A bad row as people see it.

    Attributes:
        table: Its table.
        key: What names it.
        values: What is in it, as JSON.
        reason: Which of its sums are wrong.
        at: When it was put into quarantine; None where it still stands.
    """

    table: str
    key: str
    values: str
    reason: str
    at: datetime | None = None


class Seen(NamedTuple):
    """What is wrong with a store.

    Attributes:
        damaged: Rows that are not as they were written; the next start puts them into quarantine.
        quarantined: Rows that were put there, oldest first.
        indices: What SQLite says about indices.
    """

    damaged: tuple[Shown, ...]
    quarantined: tuple[Shown, ...]
    indices: tuple[str, ...]


def look(url: str, *, base: Path) -> Seen:
    """Return what is wrong with a store, all of it looked at; an imbot on it is not disturbed.

    Args:
        url: As :func:`imbot.store.database.open_store` takes it.
        base: The folder that a relative path starts from.

    Raises:
        ConfigError: The URL names no store that imbot knows.
        StoreDamagedError: Its structure is damaged.
        StoreError: There is none, it cannot be read, or it is older or newer than this imbot.
    """
    database = Database(str(existing_path(url, base)), read_only=True)
    try:
        require_current(database)
        require_sealed(database)
        found = check(database)
        return Seen(_all_bad(database), _quarantined(database), tuple(found.indices))
    finally:
        database.close()


def _all_bad(database: Database) -> tuple[Shown, ...]:
    sweep, bad, is_over = Sweep(), list[BadRow](), False
    while not is_over:
        some, is_over = sweep.step(database)
        bad += some
    return tuple(_shown(row) for row in bad)


def _shown(row: BadRow) -> Shown:
    return Shown(row.table, " ".join(row.key), row.shown, f"wrong {', '.join(row.wrong)}")


def _quarantined(database: Database) -> tuple[Shown, ...]:
    with database.explaining():
        found = database.connection.execute(sa.select(quarantine).order_by(quarantine.c.seq))
        return tuple(
            Shown(row["table_name"], row["key"], row["row"], row["reason"], row["at"])
            for row in found.mappings()
        )
