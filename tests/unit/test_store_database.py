"""The store on SQLite: files, locks, versions, and what happens when the disk says no."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from imbot.errors import ConfigError, StoreError, StoreFullError
from imbot.records import EventSeen, OnceMarked, RunSeen, RunState, Strand
from imbot.store.columns import decode_plain, encode_plain, encode_text
from imbot.store.connection import IN_MEMORY, Database, explained
from imbot.store.database import open_store, store_path
from imbot.store.migrations import MIGRATIONS, migrate, version_of
from imbot.store.rows import event_number
from imbot.store.statements import Statements
from imbot.store.sums import summed_tables, sums_of
from imbot.store.writer import TURNS
from tests.unit.store_samples import T0, StoppedClock, after, event, intent, message, run, seen

URL = "sqlite:///store.db"


@pytest.fixture(params=["inline", "thread"])
def opened(request, tmp_path):
    """Return what opens the store in the test's folder."""

    def open_again(url=URL):
        return open_store(url, clock=StoppedClock(), base=tmp_path, executor=request.param)

    return open_again


def changed(path, *statements):
    """Change a closed store behind imbot's back."""
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


# Where it is ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///imbot.db", "/base/imbot.db"),
        ("sqlite:///a b/ü%.db", "/base/a b/ü%.db"),
        ("sqlite:////var/lib/imbot.db", "/var/lib/imbot.db"),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
    ],
)
def test_a_url_names_a_file_beside_the_settings_or_memory(url, path):
    assert store_path(url, Path("/base")) == (Path(path) if path else None)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://me:secret@db/imbot", "PostgreSQL, which comes in a later version"),
        ("postgres://db/imbot", "PostgreSQL"),
        ("mysql://db/imbot", "unknown scheme 'mysql'"),
        ("sqlite+aiosqlite:///x.db", "unknown scheme"),
        ("sqlite://host/x.db", "a host"),
        ("sqlite:///x?.db", "a query"),
        ("imbot.db", "is no URL"),
        ("", "is no URL"),
    ],
)
def test_a_url_that_names_no_store_is_a_mistake_in_the_settings(url, words):
    with pytest.raises(ConfigError, match=words) as caught:
        store_path(url, Path("/base"))

    assert "sqlite:///FILE.db" in str(caught.value)
    assert "secret" not in str(caught.value)


def keeps_room(store):
    return store._database._reserve is not None


async def test_only_its_owner_may_read_it(opened, tmp_path):
    """It holds what customers said."""
    store = opened()
    await store.commit([EventSeen(event())])

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}

    assert modes == dict.fromkeys(
        ["store.db", "store.db-wal", "store.db-shm", "store.db.lock", "store.db.tip"]
        + (["store.db.reserve"] if keeps_room(store) else []),
        0o600,
    )
    await store.close()


async def test_a_second_imbot_is_refused_and_told_which_is_the_first(opened):
    store = opened()
    with pytest.raises(StoreError, match=rf"another imbot uses it \(process {os.getpid()}\)"):
        opened()
    await store.close()

    await opened().close()


async def test_a_lock_without_a_name_is_a_lock_too(opened, tmp_path):
    store = opened()
    (tmp_path / "store.db.lock").write_text("")

    with pytest.raises(StoreError, match="another imbot uses it; stop"):
        opened()
    await store.close()


def test_a_folder_that_is_not_there_is_named(opened, tmp_path):
    with pytest.raises(StoreError, match=r"nowhere/x\.db.*No such file.*folder exists"):
        opened("sqlite:///nowhere/x.db")

    (tmp_path / "dir.db").mkdir()
    with pytest.raises(StoreError, match="cannot be opened"):
        opened("sqlite:///dir.db")


def test_a_file_that_is_no_database_is_left_alone(opened, tmp_path):
    (tmp_path / "store.db").write_text("dear diary " * 100)

    for _ in range(2):  # the lock is free again
        with pytest.raises(StoreError, match="not a database; move it away"):
            opened()

    assert (tmp_path / "store.db").read_text().startswith("dear diary")


async def test_a_damaged_file_is_no_store(opened, tmp_path):
    store = opened()
    await store.commit([EventSeen(event(number)) for number in range(200)])
    await store.close()
    path = tmp_path / "store.db"
    content = bytearray(path.read_bytes())
    content[5000:-5000] = b"\xff" * (len(content) - 10000)
    path.write_bytes(content)

    with pytest.raises(StoreError, match="damaged"):
        await opened().recover(T0)


# Versions ---------------------------------------------------------------------------------------

ADD_COLUMN = ["ALTER TABLE events ADD COLUMN colour TEXT"]


def test_an_older_store_is_changed_step_by_step_and_keeps_its_rows(tmp_path):
    database = Database(str(tmp_path / "store.db"))
    migrate(database)
    database.write(Statements(database.dialect).writes([EventSeen(event())]))

    migrate(database, [*MIGRATIONS, ADD_COLUMN, ["UPDATE events SET colour = 'red'"]])

    assert version_of(database) == 1 + len(MIGRATIONS) + 2
    assert database.connection.exec_driver_sql("SELECT colour FROM events").scalar() == "red"
    database.close()


def test_an_old_store_ends_up_with_the_tables_of_a_new_one(tmp_path):
    """Whoever comes from the first version must not miss a column."""
    old, new = Database(str(tmp_path / "old.db")), Database(str(tmp_path / "new.db"))
    migrate(new)
    migrate(old)
    for statement in UNDO:
        old.connection.exec_driver_sql(statement)
    migrate(old)

    assert tables_of(old) == tables_of(new)
    old.close()
    new.close()


#: Makes the tables those of version 2 again.
UNDO_TO_2 = [
    "DROP INDEX runs_by_rule",
    "DROP TABLE quarantine",
    *(
        f"ALTER TABLE {table.name} DROP COLUMN {each.name}"
        for table in summed_tables()
        for each in sums_of(table)
    ),
    "DROP TABLE audit",
    'ALTER TABLE effects DROP COLUMN "before"',
    "DROP TABLE subscriptions",
    "ALTER TABLE acks DROP COLUMN asked_at",
    "ALTER TABLE acks DROP COLUMN answered_at",
    "DROP TABLE orders",
    "ALTER TABLE events DROP COLUMN depth",
    "ALTER TABLE runs DROP COLUMN in_shadow",
    "UPDATE meta SET value = '2' WHERE key = 'schema_version'",
]

#: Makes the tables those of version 1 again.
UNDO = [
    *UNDO_TO_2,
    "DROP TABLE timers",
    "ALTER TABLE runs DROP COLUMN strands",
    "ALTER TABLE runs DROP COLUMN cancelled",
    "UPDATE meta SET value = '1' WHERE key = 'schema_version'",
]


async def test_what_waits_in_a_store_of_the_second_version_goes_on_where_it_stood(opened, tmp_path):
    """Its strands did not say how often a step was tried; no start could read them."""
    strands = (Strand(1, T0, waits=True, forks=(3, 7)), Strand(9, forks=(3,)))
    store = opened()
    waiting = RunSeen(
        "bot1-1/r", "bot1-1", "r", "v1", "k", RunState.WAITING, 0, T0, strands=strands
    )
    await store.commit([EventSeen(event(1)), waiting])
    await store.close()
    changed(
        tmp_path / "store.db",
        "UPDATE runs SET strands = replace(strands, 'true,0,', 'true,')",
        "UPDATE runs SET strands = replace(strands, 'false,0,', 'false,')",
        *UNDO_TO_2,
    )

    ((found, _),) = (await opened().recover(T0)).runs

    assert found == waiting


def tables_of(database):
    inspector = sa.inspect(database.connection)
    return {
        table: [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(table)]
        for table in inspector.get_table_names()
    }


def test_a_step_that_fails_changes_nothing(tmp_path):
    database = Database(str(tmp_path / "store.db"))
    migrate(database)

    with pytest.raises(StoreError, match="no such table"):
        migrate(database, [*MIGRATIONS, [*ADD_COLUMN, "DROP TABLE missing"]])

    assert version_of(database) == 1 + len(MIGRATIONS)
    assert "colour" not in {
        c["name"] for c in sa.inspect(database.connection).get_columns("events")
    }
    database.close()


async def test_a_newer_store_is_refused(opened, tmp_path):
    await opened().close()
    changed(tmp_path / "store.db", "UPDATE meta SET value = '99' WHERE key = 'schema_version'")

    with pytest.raises(StoreError, match=r"version 99 .* newer imbot"):
        opened()


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE songs (title TEXT)"],
        [f"CREATE TABLE {name} (key TEXT, value TEXT)" for name in ("meta", "events", "runs")],
    ],
)
def test_a_database_of_another_program_is_refused(opened, tmp_path, statements):
    changed(tmp_path / "store.db", *statements)

    with pytest.raises(StoreError, match="another program"):
        opened()


# What it refuses and what breaks it -------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        run(1, bound={"x": object()}),
        run(1, bound={"x": float("nan")}),
        run(1, at=T0.replace(tzinfo=None)),
        OnceMarked("r", 7, "run", T0),
        "no change",
    ],
)
async def test_what_cannot_be_written_is_refused_to_its_giver_alone(opened, change):
    store = opened()
    with pytest.raises(StoreError, match="cannot be written"):
        await store.commit([EventSeen(event(1)), change])
    with pytest.raises(StoreError, match="cannot be written"):
        store.note([change])

    await store.commit([EventSeen(event(2))])

    assert [e.id for e in (await store.recover(T0)).events] == ["bot1-2"]
    await store.close()


async def test_a_full_disk_stops_everything_and_loses_nothing_that_was_promised(opened):
    """Fail-stop: better to stand still than to act on what will be forgotten."""
    store = opened()
    await store.commit([EventSeen(event(1))])
    await store._writer.carry_out(
        lambda database: database.connection.exec_driver_sql("PRAGMA max_page_count = 1").close()
    )
    fill = [EventSeen(message(number, "x" * 2000)) for number in range(2, 100)]

    waiters = [asyncio.ensure_future(store.commit(fill[n::3])) for n in range(3)]
    errors = await asyncio.gather(*waiters, return_exceptions=True)

    assert [(type(error), "the disk is full" in str(error)) for error in errors] == [
        (StoreFullError, True)
    ] * 3
    with pytest.raises(StoreError, match="the disk is full"):
        await store.commit([])
    with pytest.raises(StoreError, match="the disk is full"):
        store.note([])
    with pytest.raises(StoreError, match="the disk is full"):
        await store.close()
    again = opened()
    assert [e.id for e in (await again.recover(T0)).events] == ["bot1-1"]
    await again.close()


async def test_a_note_that_cannot_be_kept_is_told_to_the_next_caller(opened):
    store = opened()
    await store._writer.carry_out(
        lambda database: database.connection.exec_driver_sql("PRAGMA query_only = 1").close()
    )
    store.note([EventSeen(event())])

    async def note_on():
        while True:
            store.note([])
            await asyncio.sleep(0.01)

    with pytest.raises(StoreError, match="may not be written to"):
        await asyncio.wait_for(note_on(), 5)
    store.abandon()


async def test_a_mistake_in_a_task_leaves_nobody_waiting(opened):
    store = opened()

    with pytest.raises(StoreError, match="ZeroDivisionError"):
        await store._writer.carry_out(lambda _: 1 // 0)
    with pytest.raises(StoreError, match="ZeroDivisionError"):
        await store.commit([])
    store.abandon()


async def test_who_queues_behind_an_error_is_told(tmp_path):
    store = open_store(URL, clock=StoppedClock(), base=tmp_path)
    hold, held = threading.Event(), threading.Event()

    def fail(_):
        held.set()
        hold.wait(5)
        raise ZeroDivisionError

    first = asyncio.ensure_future(store._writer.carry_out(fail))
    await asyncio.to_thread(held.wait, 5)
    second = asyncio.ensure_future(store.commit([]))
    await asyncio.sleep(0)
    hold.set()

    errors = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(error) for error in errors] == [StoreError, StoreError]
    store.abandon()


async def test_who_waits_when_the_store_is_abandoned_is_told(tmp_path):
    store = open_store(URL, clock=StoppedClock(), base=tmp_path)
    hold, held = threading.Event(), threading.Event()

    def busy(_):
        held.set()
        hold.wait(5)

    first = asyncio.ensure_future(store._writer.carry_out(busy))
    await asyncio.to_thread(held.wait, 5)
    second = asyncio.ensure_future(store.commit([EventSeen(event())]))
    await asyncio.sleep(0)
    threading.Timer(0.2, hold.set).start()  # abandoned while the writer is still busy
    store.abandon()

    await first
    with pytest.raises(StoreError, match="closed"):
        await second
    assert (await open_store(URL, clock=StoppedClock(), base=tmp_path).recover(T0)).events == ()


def test_a_loop_that_is_gone_holds_up_nobody(tmp_path):
    """The answer to a dead loop and the one to a living loop may be due in one group."""
    store = open_store(URL, clock=StoppedClock(), base=tmp_path)
    hold, held = threading.Event(), threading.Event()

    def busy(_):
        held.set()
        hold.wait(5)

    async def leave():
        first = asyncio.ensure_future(store._writer.carry_out(busy))
        await asyncio.to_thread(held.wait, 5)
        second = asyncio.ensure_future(store.commit([]))
        await asyncio.sleep(0)
        first.cancel()
        second.cancel()

    async def close():
        closing = asyncio.ensure_future(store.close())
        await asyncio.sleep(0)
        hold.set()
        await asyncio.wait_for(closing, 5)

    asyncio.run(leave())
    asyncio.run(close())


KILLED = """
import asyncio, pathlib, sys
from imbot.store.database import open_store
from tests.unit.store_samples import StoppedClock, event, EventSeen

async def main():
    store = open_store("sqlite:///store.db", clock=StoppedClock(), base=pathlib.Path(sys.argv[1]))
    async def commit(n):
        await store.commit([EventSeen(event(n))])
        print(n, flush=True)
    for start in range(0, 100000, 7):
        await asyncio.gather(*map(commit, range(start, start + 7)))

asyncio.run(main())
"""


async def test_kill_9_loses_nothing_that_was_promised(tmp_path):
    """And the lock of the dead holds nobody up."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as child:  # noqa: S603 ASYNC220  our own interpreter
        promised = [child.stdout.readline() for _ in range(100)]
        child.kill()
        promised += child.stdout.read().splitlines()

    store = open_store(URL, clock=StoppedClock(), base=tmp_path, executor="inline")
    kept = {e.id for e in (await store.recover(T0)).events}
    await store.close()

    assert {f"bot1-{number.strip()}" for number in promised} <= kept


# Values and causes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event_id", "number"),
    [("bot1-17", 17), ("bot1/0042", 42), ("bot", 0), ("a" + "9" * 30, 0), ("x-١٢", 0), ("", 0)],
)
def test_the_number_of_an_event_id_is_what_it_ends_in(event_id, number):
    assert event_number(event_id) == number


@given(st.text(st.characters()))
def test_any_text_can_be_bound(text):
    """One lone surrogate in a message must not stop the store."""
    encoded = encode_text(text)

    assert encoded.encode().decode() == encoded
    assert encode_text(encoded) == encoded


def test_a_lone_surrogate_is_replaced_wherever_it_stands():
    assert encode_text("a\ud800ü") == "a\ufffdü"
    assert decode_plain(encode_plain({"k": "a\ud800"})) == {"k": "a\ufffd"}


def test_what_looks_like_a_moment_of_ours_stays_what_it_is():
    """A peer may send anything in user data, and a start must not stumble over it."""
    for odd in ({"\ufdd0at": "soon"}, {"\ufdd0at": 7}, {"\ufdd0at": "x", "y": 1}, ["\ufdd0at"]):
        assert decode_plain(encode_plain(odd)) == odd


def test_what_could_not_be_read_back_is_not_written():
    deep = []
    for _ in range(150):
        deep = [deep]

    with pytest.raises(ValueError, match="nests deeper"):
        encode_plain(deep)


def test_a_cause_that_is_not_known_is_passed_on():
    assert "the database refused (what)" in str(explained(RuntimeError("what"), "x"))


def test_a_database_whose_driver_binds_by_name_needs_other_statements():
    from sqlalchemy.dialects import sqlite

    with pytest.raises(TypeError, match="bind by position"):
        Statements(sqlite.dialect(paramstyle="named"))


async def test_a_start_is_quick_however_old_the_store():
    """Each statement of a start must go by an index, never through a whole table."""
    database = Database(IN_MEMORY)
    migrate(database)
    plans = []

    @sa.event.listens_for(database._engine, "before_cursor_execute")
    def explain(_connection, cursor, statement, parameters, _context, _many):
        cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        # How far a limited one goes is measured by the next test.
        plans.extend(row[3] for row in cursor.fetchall() if "LIMIT" not in statement)

    from imbot.store import recovery

    recovery.recover(database.connection, T0)
    recovery.marked(database.connection, [("a", "b")], T0)
    recovery.waiting_orders(database.connection)
    database.close()

    assert plans
    tables = {"events", "runs", "effects", "sessions", "once_marks", "orders"}
    small = (
        "events_undecided",
        "runs_open",
        "sessions_open",
        "effects_unsettled",
        "effects_parked",
        "orders_waiting",
    )
    scans = [p for p in plans if p.startswith("SCAN") and p.split()[1] in tables]
    assert [plan for plan in scans if not plan.endswith(small)] == []


def test_a_start_looks_at_no_effect_of_long_ago():
    """Those of the last minute are at the end; nothing before them is touched."""
    few, many = _work_of_a_start(50), _work_of_a_start(5000)

    assert few == many


def _work_of_a_start(old_effects):
    """Return how many instructions SQLite carries out for a start."""
    from imbot.store import recovery, rows, schema

    database = Database(IN_MEMORY)
    migrate(database)
    begun = [intent(n, at=after(-600), session_id="over") for n in range(old_effects)]
    begun += [intent(n + old_effects, at=after(-n), session_id="over") for n in range(20, 0, -1)]
    done = {"state": "confirmed"}
    with database.transaction():
        written = [rows.from_intent(each) | done for each in begun]
        database.connection.execute(sa.insert(schema.effects), written)
    work = 0

    def count():
        nonlocal work
        work += 1

    database._raw.set_progress_handler(count, 1)
    found = recovery.recover(database.connection, T0)
    database.close()
    assert len(found.lately) == 20
    return work


async def test_a_group_is_one_transaction(opened):
    store = opened()
    begun = []
    await store._writer.carry_out(
        lambda database: database._raw.set_trace_callback(
            lambda sql: begun.append(sql) if sql.startswith("BEGIN") else None
        )
    )
    store.note([EventSeen(event(1)), seen()])

    await store.commit([EventSeen(event(2)), intent()])

    assert len(begun) == 1
    await store.close()


async def test_what_follows_at_once_goes_into_the_same_transaction(tmp_path):
    """An event and the intent of its reply: one wait for the disk, not two."""
    store = open_store(URL, clock=StoppedClock(), base=tmp_path)
    begun = []
    await store._writer.carry_out(
        lambda database: database._raw.set_trace_callback(
            lambda sql: begun.append(sql) if sql.startswith("BEGIN") else None
        )
    )
    first = asyncio.ensure_future(store.commit([EventSeen(event(1))]))
    for _ in range(TURNS):
        await asyncio.sleep(0)

    await asyncio.gather(first, store.commit([intent()]))

    assert len(begun) == 1
    await store.close()
