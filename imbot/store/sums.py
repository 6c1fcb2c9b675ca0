"""Checksums of rows: what tells a row that the disk changed from one that imbot wrote.

SQLite keeps no checksums: about half of all flipped bits pass its own checks with other content. A
sum covers columns that are always written together, and the key of their row, as they are bound;
so a statement that sets some columns of a row sets their sum with them and needs no other column.
"""

import sqlite3
import zlib
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from imbot.store import schema

#: The name under which SQL computes a sum: its label, and the values that it covers.
FUNCTION = "imbot_sum"

_SEPARATOR = "\x1f"


class Sum(NamedTuple):
    """One checksum of the rows of a table.

    Attributes:
        name: The column that holds it.
        label: The table and that column, which are summed too: no sum passes for another.
        columns: What it covers, in order.
    """

    name: str
    label: str
    columns: tuple[str, ...]

    @property
    def form(self) -> str:
        """What :func:`checksum` takes with the values of the columns."""
        return _form(self.label, len(self.columns))


def checksum(form: str, values: tuple[Any, ...]) -> int:
    """Return the sum of values as SQLite keeps them: texts, whole numbers, None."""
    # Bytes that are no UTF-8 come out of a damaged row only; they have a sum like any others.
    return zlib.crc32((form % values).encode("utf-8", "surrogateescape"))


@cache
def sums_of(table: sa.Table) -> tuple[Sum, ...]:
    """Return the sums of a table's rows; none where a row decides nothing."""
    named = {c.name: c.info[schema.COVERED] for c in table.c if schema.COVERED in c.info}
    elsewhere = {name for columns in named.values() for name in columns}
    rest = [c.name for c in table.c if not {c.name} & (named.keys() | elsewhere | {"seq"})]
    key = schema.key_of(table)
    return tuple(
        Sum(name, f"{table.name}.{name}", (*key, *(each for each in covers if each not in key)))
        for name, covers in ((name, columns or rest) for name, columns in named.items())
    )


def summed_tables() -> Iterator[sa.Table]:
    """Yield every table whose rows have sums."""
    return (table for table in schema.METADATA.sorted_tables if sums_of(table))


def teach(connection: sqlite3.Connection) -> None:
    """Let statements on this connection compute sums."""
    connection.create_function(FUNCTION, -1, _computed, deterministic=True)


def resummed(table: sa.Table) -> str:
    """Return the statement that sums every row of a table anew, whatever is in it."""
    sums = ", ".join(
        f"{each.name} = {FUNCTION}('{each.label}', {', '.join(map(_quoted, each.columns))})"
        for each in sums_of(table)
    )
    return f"UPDATE {table.name} SET {sums}"  # noqa: S608  names of ours


def is_as_written(table: sa.Table) -> sa.ColumnElement[bool]:
    """Return whether all sums of a row are right."""
    return sa.and_(
        *(
            table.c[each.name]
            == sa.Function(
                FUNCTION,
                sa.literal_column(f"'{each.label}'"),
                *(sa.literal_column(f'{table.name}."{name}"') for name in each.columns),
                type_=sa.BigInteger(),
            )
            for each in sums_of(table)
        )
    )


def _computed(label: str, *values: Any) -> int:  # noqa: ANN401  what the columns hold
    return checksum(_form(label, len(values)), values)


@cache
def _form(label: str, count: int) -> str:
    return label + f"{_SEPARATOR}%s" * count


def _quoted(name: str) -> str:
    return f'"{name}"'
