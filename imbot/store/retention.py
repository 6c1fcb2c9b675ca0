"""Forgets what has ended long ago, a little at a time, so that commits never wait long.

What is open stays whatever its age: runs that go on, effects that are sending, unknown or parked,
sessions that are not Completed, and everything these need.
"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from imbot.model import SHADOW_PREFIX
from imbot.records import Retention
from imbot.store.connection import Database
from imbot.store.schema import (
    EFFECT_IS_PARKED,
    EFFECT_IS_UNSETTLED,
    EVENT_IS_UNDECIDED,
    ORDER_IS_WAITING,
    RUN_IS_ENDED,
    SESSION_IS_OPEN,
    SESSION_IS_OVER,
    audit,
    effects,
    events,
    gaps,
    once_marks,
    orders,
    quarantine,
    runs,
    sessions,
)

#: Rows of one kind deleted by one transaction: about 10 ms.
CHUNK_ROWS = 500


_EFFECT_IS_OPEN = EFFECT_IS_UNSETTLED | EFFECT_IS_PARKED

_RUN_IS_OVER = (
    RUN_IS_ENDED,
    ~sa.exists().where(effects.c.run_id == runs.c.run_id, _EFFECT_IS_OPEN),
)

_EVENT_IS_SPENT = (
    ~EVENT_IS_UNDECIDED,
    # The newest number says where new event ids go on from.
    events.c.number < sa.select(sa.func.max(events.c.number)).scalar_subquery(),
    ~sa.exists().where(runs.c.event_id == events.c.id),
    ~sa.exists().where(
        sessions.c.agent == events.c.agent,
        sessions.c.session_id == events.c.session_id,
        SESSION_IS_OPEN,
    ),
)

_SESSION_IS_GONE = (
    SESSION_IS_OVER,
    ~sa.exists().where(
        effects.c.agent == sessions.c.agent,
        effects.c.session_id == sessions.c.session_id,
        _EFFECT_IS_OPEN,
    ),
)


def forget(database: Database, retention: Retention, now: datetime) -> int:
    """Delete the next few rows that are too old; return how many, 0 when none are left.

    Raises:
        StoreError: The database refused.
    """
    before = now - retention.history
    marks_before = now - retention.marks
    with database.transaction():
        connection = database.connection
        return (
            _forget_runs(connection, before)
            + _forget(
                connection, events, _old(events.c.received_at, before).where(*_EVENT_IS_SPENT)
            )
            + _forget(
                connection, sessions, _old(sessions.c.completed_at, before).where(*_SESSION_IS_GONE)
            )
            + _forget(connection, audit, _old(audit.c.at, before))
            + _forget(connection, orders, _old(orders.c.at, before).where(~ORDER_IS_WAITING))
            + _forget(connection, gaps, _old(gaps.c.ended_at, before))
            + _forget(connection, quarantine, _old(quarantine.c.at, before))
            + _forget(connection, once_marks, _old(once_marks.c.at, marks_before))
        )


def _old(moment: sa.Column[datetime], before: datetime) -> sa.Select[Any]:
    """Return the first rows whose moment is before that one, by their primary keys."""
    key = moment.table.primary_key
    return sa.select(*key).where(moment < before).order_by(moment).limit(CHUNK_ROWS)


def _forget_runs(connection: sa.Connection, before: datetime) -> int:
    old = _old(runs.c.at, before).where(*_RUN_IS_OVER).with_only_columns(runs.c.run_id)
    run_ids = list(connection.scalars(old))
    _forget_marks(connection, run_ids, before)
    connection.execute(sa.delete(effects).where(effects.c.run_id.in_(run_ids)))
    return connection.execute(sa.delete(runs).where(runs.c.run_id.in_(run_ids))).rowcount


def _forget_marks(connection: sa.Connection, run_ids: list[str], before: datetime) -> None:
    """Delete the marks that runs have set for their session alone, once that is long over.

    Nothing happens there any more; other marks go by their own age.
    """
    same = (sessions.c.agent == events.c.agent, sessions.c.session_id == events.c.session_id)
    is_recent = SESSION_IS_OPEN | (sessions.c.completed_at >= before)
    of_sessions = (
        sa.select(runs.c.rule_id, events.c.agent, events.c.session_id)
        .join(events, events.c.id == runs.c.event_id)
        .where(runs.c.run_id.in_(run_ids), events.c.session_id != "")
        .where(~sa.exists().where(*same, is_recent))
    )
    marks = [
        (rule_id, f"{prefix}{kind} {agent}/{session_id}")
        for rule_id, agent, session_id in connection.execute(of_sessions)
        for prefix in ("", SHADOW_PREFIX)
        for kind in ("session", "throttle session")
    ]
    pair = sa.tuple_(once_marks.c.rule_id, once_marks.c.scope)
    connection.execute(sa.delete(once_marks).where(pair.in_(marks)))


def _forget(connection: sa.Connection, table: sa.Table, old: sa.Select[Any]) -> int:
    key = sa.tuple_(*table.primary_key)
    return connection.execute(sa.delete(table).where(key.in_(old))).rowcount
