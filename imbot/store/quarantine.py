"""Takes bad rows out of a store, keeps what is in them for people, and draws the safe consequence.

What a row forbade stays forbidden, and what it might have allowed is not done: a run of which an
effect cannot be read never goes on, a mark that cannot be read counts as set, and where an event or
a session cannot be read, the session has a gap.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from imbot.errors import StoreDamagedError
from imbot.model import JSON, SessionKey
from imbot.records import (
    Change,
    EffectState,
    GapSeen,
    MarksLost,
    OnceMarked,
    RunState,
    TimerGone,
    TimerSet,
    Verdict,
)
from imbot.store import rows
from imbot.store.checking import BadRow, Findings, check
from imbot.store.columns import encode_text
from imbot.store.connection import Database
from imbot.store.schema import (
    EFFECT_IS_UNSETTLED,
    METADATA,
    RUN_IS_OPEN,
    effects,
    events,
    key_of,
    runs,
)
from imbot.store.schema import quarantine as kept
from imbot.store.statements import Statements

_DAMAGED = "a row of it in the store was damaged"

#: An effect in one of these states is not over, unless its run goes on with it.
_UNDONE = (EffectState.SENDING, EffectState.UNKNOWN, EffectState.FAILED)

#: When what people switched is due.
_NEVER = datetime(9999, 12, 31, tzinfo=UTC)

#: The key of a row as the index has it, by table and place; None where it has none.
_Keys = Mapping[tuple[str, int], tuple[str, ...]]


def mend(database: Database, found: Findings, statements: Statements, now: datetime) -> None:
    """Put these rows into quarantine, build every index anew, and write down what follows.

    Raises:
        StoreDamagedError: That does not mend it; nothing is changed then.
        StoreError: The database refused; nothing is changed then.
    """
    keys = _indexed_keys(database, found.rows)
    with database.transaction():
        with database.reading_anything() as execute:
            # A row whose index says otherwise could not be deleted.
            execute("PRAGMA writable_schema = ON")
            for row in found.rows:
                execute(f"DELETE FROM {row.table} WHERE rowid = {row.rowid}")  # noqa: S608  names and numbers of ours
            execute("PRAGMA writable_schema = OFF")
            execute("REINDEX")
        _keep(database, found.rows, keys, now)
        for sql, values in statements.writes(list(_consequences(database, found.rows, keys, now))):
            database.connection.exec_driver_sql(sql, values)
        left = check(database)
        if left.rows or left.indices:
            raise StoreDamagedError(f"store {database.path}: it is damaged and cannot be mended")
    count(database)


def _indexed_keys(database: Database, bad: Iterable[BadRow]) -> _Keys:
    """Return what the index says these rows are, which may be right where the row is not."""
    found: dict[tuple[str, int], tuple[str, ...]] = {}
    for table in {row.table for row in bad}:
        names = key_of(METADATA.tables[table])
        if not names:
            continue
        places = {row.rowid for row in bad if row.table == table}
        columns = ", ".join(f'"{name}"' for name in names)
        with database.reading_anything() as execute:
            for rowid, *key in execute(
                f"SELECT rowid, {columns} FROM {table} INDEXED BY sqlite_autoindex_{table}_1"  # noqa: S608  names of ours
            ):
                if rowid in places:
                    found[table, rowid] = tuple(map(str, key))
    return found


def _keep(database: Database, bad: Iterable[BadRow], keys: _Keys, now: datetime) -> None:
    for row in bad:
        key = keys.get((row.table, row.rowid), row.key)
        database.connection.execute(
            sa.insert(kept).values(
                table_name=row.table,
                key=encode_text(" ".join(key)),
                row=encode_text(row.shown),
                reason=f"wrong {', '.join(row.wrong)}",
                at=now,
            )
        )


def _switched(timer_id: str, now: datetime) -> TimerSet | None:
    """Return what stays of a switch: closed, stopped, off; None where it was none."""
    kind, _, name = timer_id.partition(" ")
    by = {"by": "imbot", "at": now}
    payloads: dict[str, JSON] = {
        "closed": {"calendar": name},
        "halted": {**by, "why": _DAMAGED},
        "switched": {**by, "rule": name, "is_off": True, "shadow": None, "budget": None},
    }
    payload = payloads.get(kind)
    return None if payload is None else TimerSet(timer_id, kind, _NEVER, payload=payload)


def _consequences(
    database: Database, bad: Sequence[BadRow], keys: _Keys, now: datetime
) -> Iterator[Change]:
    """Yield what must be written once these rows are gone."""
    for row in bad:
        both = dict.fromkeys((keys.get((row.table, row.rowid), row.key), row.key))
        match row.table:
            case "once_marks":
                yield from (OnceMarked(rule, scope, "", now) for rule, scope in both)
            case "sessions":
                for session_id, agent in both:
                    yield MarksLost(SessionKey(agent, session_id), now)
                    yield _gap(agent, session_id, now)
            case "events":
                yield _gap(str(row.values["agent"]), str(row.values["session_id"]), now)
            case "timers":
                for (timer_id,) in both:
                    if (switch := _switched(timer_id, now)) is not None:
                        yield switch
            case _:
                pass  # what else there was is missed where it is asked for
    yield from _ended_runs(database, bad, keys, now)
    for (effect_id,) in database.connection.execute(
        sa.select(effects.c.effect_id).where(
            EFFECT_IS_UNSETTLED, effects.c.run_id.not_in(sa.select(runs.c.run_id))
        )
    ):
        yield Verdict(effect_id, EffectState.PARKED, now, _DAMAGED)


def _gap(agent: str, session_id: str, now: datetime) -> GapSeen:
    return GapSeen(agent, (session_id,) if session_id else (), _DAMAGED, now, now)


def _ended_runs(
    database: Database, bad: Iterable[BadRow], keys: _Keys, now: datetime
) -> Iterator[Change]:
    """Yield what ends the runs that cannot go on; what they were doing waits for a person."""
    connection = database.connection
    doomed: sa.ColumnElement[bool] = runs.c.event_id.not_in(sa.select(events.c.id))
    for row in bad:
        if row.table == "effects":
            doomed |= _of_effect(connection, row, keys.get((row.table, row.rowid), row.key))
    for run in connection.execute(sa.select(runs).where(RUN_IS_OPEN, doomed)).mappings():
        seen = rows.to_run(run)
        undone = sa.select(effects.c.effect_id).where(
            effects.c.run_id == seen.run_id, effects.c.state.in_(_UNDONE)
        )
        for effect_id in connection.scalars(undone):
            yield Verdict(effect_id, EffectState.PARKED, now, _DAMAGED)
        yield seen._replace(state=RunState.CANCELLED, at=now, detail=_DAMAGED, due_at=None)
        yield from (TimerGone(f"{seen.run_id}/{strand.pc}") for strand in seen.strands)
        yield TimerGone(f"{seen.run_id}/{seen.pc}")


def _of_effect(
    connection: sa.Connection, row: BadRow, key: tuple[str, ...]
) -> sa.ColumnElement[bool]:
    """Return which runs may be the one of an effect: any, if neither of its ids tells."""
    ids: list[Any] = [encode_text(each) for each in {*key, *row.key}]
    told = [runs.c.run_id == encode_text(str(row.values["run_id"]))]
    told += [sa.literal(each).startswith(runs.c.run_id + "/", autoescape=False) for each in ids]
    found = sa.or_(*told)
    known = connection.scalar(sa.select(sa.func.count()).select_from(runs).where(found))
    return found if known else sa.true()


def count(database: Database) -> None:
    """Let the database know how many of its rows are in quarantine."""
    with database.explaining():
        statement = sa.select(sa.func.count()).select_from(kept)
        database.quarantined = database.connection.scalar(statement) or 0
