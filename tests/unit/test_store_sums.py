"""Checksums of rows: whatever is written, and in whatever order, its sums are right."""

import asyncio
import sqlite3
import tempfile
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imbot.store import schema
from imbot.store.connection import IN_MEMORY, Database
from imbot.store.database import open_store
from imbot.store.migrations import migrate
from imbot.store.statements import Statements
from imbot.store.sums import Sum, checksum, resummed, summed_tables, sums_of
from tests.unit.store_samples import StoppedClock, changes, groups

#: What may change without a sum: it decides nothing, or is judged elsewhere.
UNSUMMED = {"meta", "orders", "quarantine"}


def wrong(connection):
    """Return the rows whose sums are not those of their values."""
    found = []
    for table in summed_tables():
        for each in sums_of(table):
            columns = ", ".join(f'"{name}"' for name in (each.name, *each.columns))
            rows = connection.execute(f"SELECT {columns} FROM {table.name}")  # noqa: S608  names of ours
            found += [
                (each.label, values)
                for kept, *values in rows
                if kept != checksum(each.form, tuple(values))
            ]
    return found


def test_every_column_that_decides_is_covered_once():
    """A new column is covered by itself; leaving one out must be a decision."""
    for table in schema.METADATA.sorted_tables:
        sums = sums_of(table)
        covered = [name for each in sums for name in each.columns]
        keys = set(schema.key_of(table))
        others = {c.name for c in table.c} - {each.name for each in sums} - {"seq"}

        assert bool(sums) != (table.name in UNSUMMED)
        assert not sums or set(covered) == others
        assert len(set(covered) - keys) == len([name for name in covered if name not in keys])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(changes, max_size=12))
def test_whatever_is_written_its_sums_are_right(written):
    """One statement that sets a column without its sum would have good rows thrown out."""
    database = Database(IN_MEMORY)
    migrate(database)

    database.write(Statements(database.dialect).writes(written))

    assert wrong(database._raw) == []
    database.close()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(groups)
def test_what_sql_sums_is_what_is_written(given_groups):
    """An older store is summed by SQLite, a row of today by Python."""

    async def write(folder):
        store = open_store("sqlite:///x.db", clock=StoppedClock(), base=folder, executor="inline")
        for _, group in given_groups:
            await store.commit(group)
        await store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(write(Path(folder)))
        database = Database(str(Path(folder) / "x.db"))
        for table in summed_tables():
            whole = sa.select(table)
            was = database.connection.execute(whole).fetchall()
            database._raw.execute(resummed(table))
            assert database.connection.execute(whole).fetchall() == was
        database.close()


@given(
    st.lists(st.none() | st.integers() | st.text(), min_size=1, max_size=5).map(tuple),
    st.data(),
)
def test_one_flipped_bit_changes_the_sum(values, data):
    form = Sum("sum", "t.sum", tuple("abcde"[: len(values)])).form
    place = data.draw(st.integers(0, len(values) - 1))
    value = values[place]
    if isinstance(value, str) and value:
        kept = bytearray(value.encode("utf-8", "replace"))
        kept[data.draw(st.integers(0, len(kept) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        other = kept.decode("utf-8", "surrogateescape")
        values = (*values[:place], value.encode("utf-8", "replace").decode(), *values[place + 1 :])
    else:
        other = (value or 0) ^ (1 << data.draw(st.integers(0, 62))) if value != "" else "\x01"

    changed = (*values[:place], other, *values[place + 1 :])

    assert checksum(form, changed) != checksum(form, values)


def test_a_sum_is_the_same_for_ever():
    """What is on disk was summed by whatever Python was there then."""
    form = Sum("sum", "t.sum", ("a", "b", "c")).form

    assert checksum(form, ("ä\udcff", 2**62, None)) == 3623905003


def test_an_update_must_set_all_that_its_sum_covers(monkeypatch):
    events = schema.events.c
    half = sa.update(schema.events).where(events.id == sa.bindparam("id_")).values(
        handled_at=sa.bindparam("handled_at"), handled_sum=sa.bindparam("handled_sum")
    )  # fmt: skip
    monkeypatch.setattr("imbot.store.statements._decide_event", lambda: half)
    database = Database(IN_MEMORY)

    with pytest.raises(TypeError, match=r"events\.handled_sum: not all that it covers is set"):
        Statements(database.dialect)
    database.close()


def test_a_store_without_the_function_is_still_a_database(tmp_path):
    """Other tools may read it: nothing of the schema asks for what only imbot has."""
    database = Database(str(tmp_path / "x.db"))
    migrate(database)
    database.close()

    connection = sqlite3.connect(tmp_path / "x.db")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
