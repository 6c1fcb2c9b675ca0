"""What a start reads back: everything unfinished, found by partial indices and not by age."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from imbot.model import EventKind, SessionKey
from imbot.records import Recovered
from imbot.store import rows
from imbot.store.schema import (
    EFFECT_IS_UNSETTLED,
    EFFECT_MAY_ECHO,
    EVENT_IS_UNDECIDED,
    RUN_IS_OPEN,
    SESSION_IS_OPEN,
    SESSION_IS_OVER,
    effects,
    events,
    once_marks,
    runs,
    sessions,
)

#: Sessions completed longer ago are not given back: nothing late is heard of them any more.
COMPLETED_KEPT = timedelta(days=1)
#: At most so many completed sessions of each agent are given back.
COMPLETED_PER_AGENT = 100
#: Marks looked up by one statement; SQLite allows 32,766 bound values.
_MARKS_AT_ONCE = 500


def recover(connection: sa.Connection, now: datetime) -> Recovered:
    """Return what was unfinished; see :class:`imbot.records.Recovered`."""

    def found(statement: sa.Select[Any]) -> list[rows.Row]:
        return list(connection.execute(statement).mappings())

    return Recovered(
        events=tuple(rows.to_event(row) for row in found(_undecided_events())),
        runs=tuple(
            (rows.to_run(row), rows.to_event(_event_of(row))) for row in found(_open_runs())
        ),
        effects=tuple(rows.to_effect(row) for row in found(_unfinished_effects())),
        sessions=tuple(rows.to_session_seen(row) for row in found(_sessions(now))),
        said=_by_session(found(_said())),
        last_event_number=connection.scalar(sa.select(sa.func.max(events.c.number))) or 0,
    )


def marked(
    connection: sa.Connection, marks: Sequence[tuple[str, str]]
) -> frozenset[tuple[str, str]]:
    """Return which of these (rule id, scope) pairs are marked."""
    found: set[tuple[str, str]] = set()
    pair = sa.tuple_(once_marks.c.rule_id, once_marks.c.scope)
    for start in range(0, len(marks), _MARKS_AT_ONCE):
        some = marks[start : start + _MARKS_AT_ONCE]
        statement = sa.select(once_marks.c.rule_id, once_marks.c.scope).where(pair.in_(some))
        found.update((rule_id, scope) for rule_id, scope in connection.execute(statement))
    return frozenset(found)


def _undecided_events() -> sa.Select[Any]:
    return sa.select(events).where(EVENT_IS_UNDECIDED).order_by(events.c.seq)


def _open_runs() -> sa.Select[Any]:
    event = [column.label(f"event_{column.name}_") for column in events.c]
    return (
        sa.select(runs, *event)
        .join(events, events.c.id == runs.c.event_id)
        .where(RUN_IS_OPEN)
        .order_by(runs.c.seq)
    )


def _event_of(row: rows.Row) -> rows.Row:
    return {column.name: row[f"event_{column.name}_"] for column in events.c}


def _unfinished_effects() -> sa.Select[Any]:
    of_open_runs = sa.select(effects.c.seq).join(runs, runs.c.run_id == effects.c.run_id)
    in_open_sessions = sa.select(effects.c.seq).join(
        sessions,
        (sessions.c.agent == effects.c.agent) & (sessions.c.session_id == effects.c.session_id),
    )
    unfinished = sa.union(
        of_open_runs.where(RUN_IS_OPEN),
        in_open_sessions.where(SESSION_IS_OPEN, EFFECT_MAY_ECHO),
        sa.select(effects.c.seq).where(EFFECT_IS_UNSETTLED),
    )
    return sa.select(effects).where(effects.c.seq.in_(unfinished)).order_by(effects.c.seq)


def _sessions(now: datetime) -> sa.Select[Any]:
    newest = sa.func.row_number().over(
        partition_by=sessions.c.agent, order_by=sessions.c.completed_at.desc()
    )
    recent = (
        sa.select(sessions.c.agent, sessions.c.session_id, newest.label("place"))
        .where(SESSION_IS_OVER, sessions.c.completed_at >= now - COMPLETED_KEPT)
        .subquery()
    )
    kept = sa.select(recent.c.agent, recent.c.session_id).where(
        recent.c.place <= COMPLETED_PER_AGENT
    )
    still_open = sa.select(sessions.c.agent, sessions.c.session_id).where(SESSION_IS_OPEN)
    key = sessions.c.agent, sessions.c.session_id
    return (
        sa.select(sessions)
        .where(sa.tuple_(*key).in_(sa.union_all(still_open, kept)))
        .order_by(sessions.c.first_seen_at, *key)
    )


def _said() -> sa.Select[Any]:
    return (
        sa.select(events.c.agent, events.c.session_id, events.c.fields)
        .join(
            sessions,
            (sessions.c.agent == events.c.agent) & (sessions.c.session_id == events.c.session_id),
        )
        .where(SESSION_IS_OPEN, events.c.kind == EventKind.MESSAGE.value)
        .order_by(events.c.seq)
    )


def _by_session(said: Sequence[rows.Row]) -> dict[SessionKey, tuple[str, ...]]:
    texts: dict[SessionKey, list[str]] = defaultdict(list)
    for row in said:
        texts[SessionKey(row["agent"], row["session_id"])].append(row["fields"].get("text", ""))
    return {key: tuple(spoken) for key, spoken in texts.items()}
