"""The journal: the store's group commit with many who wait, beside SQLite's own best.

The yardstick is one connection that writes rows of the same size in transactions of a hundred, also
with every commit on disk; nobody waits for a single row there.
"""

import asyncio
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from benchmarks.measuring import US, Rounds
from benchmarks.report import Goal, Result, Table, cell, times
from benchmarks.workload import cases
from imbot.clock import SystemClock
from imbot.jsontext import encode_json
from imbot.model import Event
from imbot.records import EventSeen
from imbot.store.database import SqlStore, open_store

_IN_A_TRANSACTION = 100


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: rows, who wait for theirs at once, rounds."""

    rows: int = 10_000
    waiters: tuple[int, ...] = (1, 16, 128)
    rounds: int = 5


QUICK = Effort(rows=2000, rounds=2)


def run(effort: Effort = Effort(), *, seed: int = 1) -> Result:
    """Measure."""
    rounds = Rounds()
    events = [case.event for case in cases(1000, effort.rows, seed=seed)]
    with TemporaryDirectory(prefix="imbot-bench-") as folder:
        for number in range(effort.rounds):
            _yardstick(Path(folder) / f"direct{number}.db", events, rounds)
            for waiters in effort.waiters:
                name = f"store{number}-{waiters}.db"
                few = events[: effort.rows if waiters > 1 else effort.rows // 10]
                uvloop.run(_store(Path(folder), name, few, rounds, waiters))
    return Result("journal", [_table(rounds, effort)], _goals(rounds, effort), rounds)


def commits_s(path: Path, count: int) -> list[float]:
    """Return the seconds that each of so many commits of one row takes: what the disk is like."""
    connection = _direct(path)
    found = []
    for number in range(count):
        began = time.perf_counter()
        connection.execute("INSERT INTO events VALUES (?, '', '', '')", [str(number)])
        found.append(time.perf_counter() - began)
    connection.close()
    return found


def _direct(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE events (id TEXT PRIMARY KEY, agent TEXT, at TEXT, body TEXT)")
    return connection


def _yardstick(path: Path, events: list[Event], rounds: Rounds) -> None:
    connection = _direct(path)
    cpu, began = time.process_time(), time.perf_counter()
    for start in range(0, len(events), _IN_A_TRANSACTION):
        some = events[start : start + _IN_A_TRANSACTION]
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO events VALUES (?, ?, ?, ?)",
            [(event.id, event.agent, event.at.isoformat(), _body(event)) for event in some],
        )
        connection.execute("COMMIT")
    _note(rounds, "direct", len(events), cpu, began)
    connection.close()


def _body(event: Event) -> bytes:
    session = event.session
    data = {} if session is None else session.user_data
    return encode_json({"kind": event.kind.value, "userData": data, "fields": event.fields})


async def _store(
    folder: Path, name: str, events: list[Event], rounds: Rounds, waiters: int
) -> None:
    store = open_store(f"sqlite:///{name}", clock=SystemClock(), base=folder)
    seen = [EventSeen(event) for event in events]
    cpu, began = time.process_time(), time.perf_counter()
    await asyncio.gather(*(_write(store, seen[at::waiters]) for at in range(waiters)))
    _note(rounds, f"store/{waiters}", len(events), cpu, began)
    await store.close()


async def _write(store: SqlStore, rows: list[EventSeen]) -> None:
    """Write one row after the other, each once the one before is on disk."""
    for row in rows:
        await store.commit([row])


def _note(rounds: Rounds, name: str, rows: int, cpu: float, began: float) -> None:
    rounds.add(f"{name}/rate", rows / (time.perf_counter() - began))
    rounds.add(f"{name}/cpu", (time.process_time() - cpu) * US / rows)


def _table(rounds: Rounds, effort: Effort) -> Table:
    names = {f"store/{n}": f"imbot's store, {n} waiting" for n in effort.waiters}
    names = {"direct": "sqlite3, 100 rows a transaction", **names}
    rows = [
        [
            title,
            cell(rounds.spread(f"{name}/rate")),
            cell(rounds.spread(f"{name}/cpu")),
            times(rounds.ratio(f"{name}/cpu", "direct/cpu")),
        ]
        for name, title in names.items()
    ]
    return Table(
        "Journal: SQLite, WAL, synchronous=FULL",
        ("writer", "rows/s, wall", "µs CPU per row", "CPU against sqlite3"),
        rows,
    )


def _goals(rounds: Rounds, effort: Effort) -> list[Goal]:
    rate = rounds.spread(f"store/{max(effort.waiters)}/rate").median
    return [Goal("rows/s, group commit", 20_000, rate, at_least=True)]
