"""Finds what is wrong with a store: its structure, its indices, and rows that are not as written.

Nothing is changed here. A store of some hundred megabytes is looked at whole; of a larger one, what
a start goes on with and what came last, so that a start stays quick. The rest is looked at later,
a part at a time (:class:`Sweep`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa

from imbot.errors import StoreDamagedError
from imbot.jsontext import encode_json
from imbot.store import schema
from imbot.store.connection import Database
from imbot.store.sums import checksum, summed_tables, sums_of

#: A structure of up to so many pages is checked with all of its indices: about a second.
WHOLE_PAGES = 32_768
#: One of up to so many pages without.
QUICK_PAGES = 4 * WHOLE_PAGES
#: So many rows of each table, the newest, are checked at a start.
NEWEST_ROWS = 30_000
#: So many rows are checked by one step of a sweep: about 10 ms.
SWEPT_ROWS = 1000

#: What SQLite tells of an index that building it anew mends.
_ABOUT_INDEX = re.compile(
    r"(row \d+ missing from|wrong # of entries in|non-unique entry in|"
    r"rowid not at end-of-record for row \d+ of) index|"
    r"row \d+ .*values differ from index|NULL value in \w+\.\w+\Z"
)

#: Columns that nobody is shown: who has them is logged in.
_SECRET = frozenset({"cookies", "tokens"})

_OPEN_RUNS = sa.select(schema.runs.c.run_id).where(schema.RUN_IS_OPEN)

#: Rows that a start goes on with, however old they are.
_NEEDED: Mapping[str, sa.ColumnElement[bool]] = {
    "events": schema.EVENT_IS_UNDECIDED
    | schema.events.c.id.in_(sa.select(schema.runs.c.event_id).where(schema.RUN_IS_OPEN)),
    "runs": schema.RUN_IS_OPEN,
    "effects": schema.EFFECT_IS_UNSETTLED
    | schema.EFFECT_IS_PARKED
    | schema.effects.c.run_id.in_(_OPEN_RUNS),
    "sessions": schema.SESSION_IS_OPEN,
}


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row whose content is not what imbot wrote.

    Attributes:
        table: Its table.
        rowid: Where it stands there.
        values: What is in it now, by column.
        wrong: The sums that are not right.
    """

    table: str
    rowid: int
    values: Mapping[str, Any]
    wrong: Sequence[str]

    @property
    def shown(self) -> str:
        """What is in it as JSON, for people; what opens doors is left out."""
        shown = {
            name: str(value)
            for name, value in self.values.items()
            if value is not None and name not in _SECRET
        }
        return encode_json(shown).decode("utf-8", "replace")

    @property
    def key(self) -> tuple[str, ...]:
        """What names the row, as it stands there now."""
        names = schema.key_of(schema.METADATA.tables[self.table]) or ("seq",)
        return tuple(str(self.values[name]) for name in names)


class Findings(NamedTuple):
    """What is wrong, as far as it can be mended.

    Attributes:
        rows: Rows that are not as written.
        indices: What SQLite says about indices.
        is_whole: Whether all of the store was looked at.
    """

    rows: Sequence[BadRow]
    indices: Sequence[str]
    is_whole: bool = True


def check(database: Database) -> Findings:
    """Return what is wrong.

    Raises:
        StoreDamagedError: The structure is damaged; what is in the store cannot be relied on.
        StoreError: It cannot be read.
    """
    structure, is_whole = _structure(database)
    grave = [told for told in structure if not _ABOUT_INDEX.match(told)]
    if grave:
        raise StoreDamagedError(f"store {database.path}: it is damaged ({grave[0]})")
    rows: list[BadRow] = []
    for table in summed_tables():
        if structure and _has_lost_rows(database, table):
            raise StoreDamagedError(f"store {database.path}: rows of {table.name} are missing")
        found, is_all = _newest(database, table)
        rows += found
        is_whole = is_whole and is_all
    return Findings(rows, structure, is_whole)


def _structure(database: Database) -> tuple[list[str], bool]:
    """Return what SQLite says of the structure, and whether it looked at all of it."""
    with database.reading_anything() as execute:
        ((pages,),) = execute("PRAGMA page_count")
        if pages > QUICK_PAGES:
            return [], False
        is_whole = pages <= WHOLE_PAGES
        told = execute(f"PRAGMA {'integrity_check' if is_whole else 'quick_check'}(100)")
        # A damaged tree is told on several lines, the first of which says whose it is.
        lines = [line for (text,) in told for line in text.splitlines()]
    return [each for each in lines if each != "ok" and not each.startswith("***")], is_whole


def _has_lost_rows(database: Database, table: sa.Table) -> bool:
    """Whether an index knows of rows that are not there: what it is of is what is damaged."""
    whole = "SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = '{}' AND {}"
    is_whole = "(sql IS NULL OR sql NOT LIKE '% WHERE %')"
    with database.reading_anything() as execute:
        for (name,) in execute(whole.format(table.name, is_whole)).fetchall():
            lost = execute(
                f"SELECT rowid FROM {table.name} INDEXED BY {name} "  # noqa: S608  names of ours
                f"EXCEPT SELECT rowid FROM {table.name} NOT INDEXED LIMIT 1"
            )
            if lost.fetchone() is not None:
                return True
    return False


def _newest(database: Database, table: sa.Table) -> tuple[list[BadRow], bool]:
    """Return the bad ones of a table's newest rows and of those that a start needs."""
    first, last = _first_and_last(database, table)
    found = list(bad_rows(database, table, f"rowid > {last - NEWEST_ROWS}"))
    if first > last - NEWEST_ROWS:
        return found, True
    if (needed := _NEEDED.get(table.name)) is not None:
        literally = needed.compile(dialect=database.dialect, compile_kwargs={"literal_binds": True})
        found += bad_rows(database, table, f"rowid <= {last - NEWEST_ROWS} AND ({literally})")
    return found, False


def _first_and_last(database: Database, table: sa.Table) -> tuple[int, int]:
    with database.reading_anything() as execute:
        ends = [
            execute(f"SELECT {end}(rowid) FROM {table.name} NOT INDEXED").fetchone()[0]  # noqa: S608  words of ours
            for end in ("min", "max")
        ]
    return ends[0] or 0, ends[1] or 0


def bad_rows(database: Database, table: sa.Table, where: str) -> Iterator[BadRow]:
    """Yield the rows that are not as written, of those of which this is true."""
    names = [column.name for column in table.c]
    sums = [
        (each.name, names.index(each.name), each.form, _taker(each.columns, names))
        for each in sums_of(table)
    ]
    columns = ", ".join(f'{table.name}."{name}"' for name in names)
    with database.reading_anything() as execute:
        # An index may be what is wrong, and what it tells of a row is not in the row.
        for rowid, *row in execute(
            f"SELECT {table.name}.rowid, {columns} FROM {table.name} NOT INDEXED WHERE {where}"  # noqa: S608  words of ours
        ):
            wrong = [
                name for name, place, form, take in sums if checksum(form, take(row)) != row[place]
            ]
            if wrong:
                yield BadRow(table.name, rowid, dict(zip(names, row, strict=True)), wrong)


def _taker(columns: Sequence[str], names: Sequence[str]) -> Any:  # noqa: ANN401  an itemgetter
    """Return what takes the columns of a row as a tuple, be it one."""
    places = [names.index(name) for name in columns]
    if len(places) == 1:
        return lambda row: (row[places[0]],)
    return itemgetter(*places)


class Sweep:
    """Goes through all rows, some at a time; starts over once it is through."""

    def __init__(self) -> None:
        self._tables: list[sa.Table] = []
        self._after = 0

    def step(self, database: Database) -> tuple[list[BadRow], bool]:
        """Return the bad ones of the next rows, and whether those were the last.

        Raises:
            StoreError: They cannot be read.
        """
        if not self._tables:
            self._tables, self._after = list(summed_tables()), -(2**62)
        table, first = self._tables[0], self._after
        last = self._last(database, table, first)
        if last is None:
            del self._tables[0]
            self._after = -(2**62)
            return [], not self._tables
        self._after = last
        return list(bad_rows(database, table, f"rowid > {first} AND rowid <= {last}")), False

    @staticmethod
    def _last(database: Database, table: sa.Table, after: int) -> int | None:
        """Return the last of the next rows."""
        with database.reading_anything() as execute:
            ((last,),) = execute(
                "SELECT max(rowid) FROM (SELECT rowid FROM "  # noqa: S608  words of ours
                f"{table.name} NOT INDEXED WHERE rowid > {after} ORDER BY rowid LIMIT {SWEPT_ROWS})"
            )
        return None if last is None else int(last)
