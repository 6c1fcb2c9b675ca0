"""What a start reads back: everything unfinished, found by partial indices and not by age."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from imbot.model import Event, EventKind, SessionKey
from imbot.records import EchoesLearnt, Order, Recovered, SessionSeen
from imbot.store import rows
from imbot.store.schema import (
    EFFECT_IS_PARKED,
    EFFECT_IS_SHADOW,
    EFFECT_IS_UNSETTLED,
    EFFECT_MAY_ECHO,
    EVENT_IS_UNDECIDED,
    ORDER_IS_WAITING,
    RUN_IS_OPEN,
    SESSION_IS_OPEN,
    SESSION_IS_OVER,
    acks,
    effects,
    events,
    meta,
    once_marks,
    orders,
    quarantine,
    rule_versions,
    runs,
    sessions,
    subscriptions,
    timers,
)
from imbot.store.sums import is_as_written

#: Sessions completed longer ago are not given back: nothing late is heard of them any more.
COMPLETED_KEPT = timedelta(days=1)
#: At most so many completed sessions of each agent are given back.
COMPLETED_PER_AGENT = 100
#: Effects begun within this time are given back; budgets count by the minute.
LATELY = timedelta(minutes=1)
#: Where it stands when the store before this one was last written, if that one was damaged.
LOST_SINCE = "lost_since"
#: Marks looked up by one statement; SQLite allows 32,766 bound values.
_MARKS_AT_ONCE = 500

#: Asked every second while something is parked: whether somebody has ordered anything.
ANY_ORDER = str(sa.select(sa.literal_column("1")).where(ORDER_IS_WAITING))


def recover(connection: sa.Connection, now: datetime) -> Recovered:
    """Return what was unfinished; see :class:`imbot.records.Recovered`."""

    def found(statement: sa.Select[Any]) -> list[rows.Row]:
        return list(connection.execute(statement).mappings())

    kept, said = found(_open_sessions()) + found(_completed_sessions(now)), found(_said())
    return Recovered(
        events=tuple(rows.to_event(row) for row in found(_undecided_events())),
        runs=tuple(
            (rows.to_run(row), rows.to_event(_event_of(row))) for row in found(_open_runs())
        ),
        effects=tuple(rows.to_effect(row) for row in found(_unfinished_effects())),
        sessions=tuple(sorted(map(rows.to_session_seen, kept), key=_session_order)),
        said=_by_session(said),
        heard_at={row["agent"]: row["received_at"] for row in said},
        timers=tuple(rows.to_timer(row) for row in found(_timers())),
        rules=tuple(rows.to_rule_seen(row) for row in found(_versions_of_open_runs())),
        spent={
            (row["rule_id"], SessionKey(row["agent"], row["session_id"])): row["effects"]
            for row in found(_spent())
        },
        lately=tuple((row["rule_id"], row["at"]) for row in found(_begun_since(now - LATELY))),
        parked=frozenset(
            connection.scalars(sa.select(effects.c.effect_id).where(EFFECT_IS_PARKED))
        ),
        acks={row["agent"]: rows.to_ack_seen(row) for row in found(sa.select(acks))},
        subscriptions={
            row["agent"]: rows.to_subscription(row) for row in found(sa.select(subscriptions))
        },
        echoes=_echoes(connection),
        last_event_number=_last_number(connection),
        marks_lost=frozenset(map(rows.to_marks_lost, found(_marks_lost()))),
        lost_since=_lost_since(connection),
    )


def _last_number(connection: sa.Connection) -> int:
    """Return a number that no event had, or the highest that one had."""
    last = connection.scalar(sa.select(sa.func.max(events.c.number))) or 0
    # The newest may be among those that were damaged, and its number must not be given again.
    lost = sa.select(sa.func.count()).where(quarantine.c.table_name == events.name)
    return last + (connection.scalar(lost) or 0)


def _echoes(connection: sa.Connection) -> EchoesLearnt | None:
    text = connection.scalar(sa.select(meta.c.value).where(meta.c.key == rows.ECHOES))
    return None if text is None else rows.to_echoes_learnt(text)


def _marks_lost() -> sa.Select[Any]:
    return sa.select(once_marks.c.scope).where(once_marks.c.rule_id == rows.EVERY_RULE)


def _lost_since(connection: sa.Connection) -> datetime | None:
    text = connection.scalar(sa.select(meta.c.value).where(meta.c.key == LOST_SINCE))
    return None if text is None else datetime.fromisoformat(text)


def marked(
    connection: sa.Connection,
    marks: Sequence[tuple[str, str]],
    now: datetime,
    *,
    key: bytes = b"",
) -> dict[tuple[str, str], datetime]:
    """Return which of these (rule id, scope) pairs are marked, and since when.

    One that is not as it was written is marked as of now: that forbids the most.

    Args:
        connection: To the store.
        marks: The pairs.
        now: The moment.
        key: Decides what stands for scopes that were erased; empty where none ever was.
    """
    found: dict[tuple[str, str], datetime] = {}
    if key:
        hidden = {(rule, rows.hidden_scope(scope, key)): (rule, scope) for rule, scope in marks}
        for mark, since in marked(connection, [*hidden], now).items():
            found[hidden[mark]] = since
    pair = sa.tuple_(once_marks.c.rule_id, once_marks.c.scope)
    for start in range(0, len(marks), _MARKS_AT_ONCE):
        some = marks[start : start + _MARKS_AT_ONCE]
        at = sa.case((is_as_written(once_marks), once_marks.c.at))
        statement = sa.select(once_marks.c.rule_id, once_marks.c.scope, at)
        for rule_id, scope, since in connection.execute(statement.where(pair.in_(some))):
            found[rule_id, scope] = since or now
    return found


def waiting_orders(connection: sa.Connection) -> tuple[Order, ...]:
    """Return the orders that nobody has taken up, oldest first, each with its effect."""
    statement = sa.select(orders).where(ORDER_IS_WAITING).order_by(orders.c.seq)
    found = connection.execute(statement).mappings().all()
    if not found:
        return ()
    wanted = effects.c.effect_id.in_({row["effect_id"] for row in found})
    held = map(rows.to_effect, connection.execute(sa.select(effects).where(wanted)).mappings())
    by_id = {effect.intent.effect_id: effect for effect in held}
    return tuple(rows.to_order(row, by_id.get(row["effect_id"])) for row in found)


def events_from(connection: sa.Connection, event_id: str, most: int) -> tuple[Event, ...]:
    """Return an event and those of its session that came after it, in order; only so many."""
    first = sa.select(events.c.seq, events.c.agent, events.c.session_id).where(
        events.c.id == event_id
    )
    if (found := connection.execute(first).first()) is None:
        return ()
    seq, agent, session_id = found
    behind = (
        sa.select(events)
        .where(events.c.agent == agent, events.c.session_id == session_id, events.c.seq >= seq)
        .order_by(events.c.seq)
        .limit(most)
    )
    return tuple(rows.to_event(row) for row in connection.execute(behind).mappings())


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


def _timers() -> sa.Select[Any]:
    return sa.select(timers).order_by(timers.c.due_at, timers.c.id)


def _versions_of_open_runs() -> sa.Select[Any]:
    of_open_runs = sa.select(runs.c.rule_id, runs.c.rule_version).where(RUN_IS_OPEN)
    version = sa.tuple_(rule_versions.c.rule_id, rule_versions.c.version)
    return (
        sa.select(rule_versions)
        .where(version.in_(of_open_runs))
        .order_by(rule_versions.c.rule_id, rule_versions.c.version)
    )


def _spent() -> sa.Select[Any]:
    rule_and_session = effects.c.rule_id, effects.c.agent, effects.c.session_id
    return (
        sa.select(*rule_and_session, sa.func.count().label("effects"))
        .where(_is_in_open_session(effects), ~EFFECT_IS_SHADOW)
        .group_by(*rule_and_session)
    )


def _begun_since(moment: datetime) -> sa.Select[Any]:
    # From the newest row backwards: no index by time is needed, and no old row is looked at.
    last_before = (
        sa.select(effects.c.seq)
        .where(effects.c.at <= moment)
        .order_by(effects.c.seq.desc())
        .limit(1)
        .scalar_subquery()
    )
    return (
        sa.select(effects.c.rule_id, effects.c.at)
        .where(effects.c.seq > sa.func.coalesce(last_before, 0), ~EFFECT_IS_SHADOW)
        .order_by(effects.c.seq)
    )


def _unfinished_effects() -> sa.Select[Any]:
    of_open_runs = sa.select(runs.c.run_id).where(RUN_IS_OPEN)
    unfinished = sa.union(
        sa.select(effects.c.seq).where(effects.c.run_id.in_(of_open_runs)),
        sa.select(effects.c.seq).where(_is_in_open_session(effects), EFFECT_MAY_ECHO),
        sa.select(effects.c.seq).where(EFFECT_IS_UNSETTLED),
    )
    return sa.select(effects).where(effects.c.seq.in_(unfinished)).order_by(effects.c.seq)


def _is_in_open_session(table: sa.Table) -> sa.ColumnElement[bool]:
    still_open = sa.select(sessions.c.agent, sessions.c.session_id).where(SESSION_IS_OPEN)
    return sa.tuple_(table.c.agent, table.c.session_id).in_(still_open)


def _open_sessions() -> sa.Select[Any]:
    return sa.select(sessions).where(SESSION_IS_OPEN)


def _completed_sessions(now: datetime) -> sa.Select[Any]:
    place = sa.func.row_number().over(
        partition_by=sessions.c.agent, order_by=sessions.c.completed_at.desc()
    )
    recent = (
        sa.select(sessions, place.label("place"))
        .where(SESSION_IS_OVER, sessions.c.completed_at >= now - COMPLETED_KEPT)
        .subquery()
    )
    return sa.select(recent).where(recent.c.place <= COMPLETED_PER_AGENT)


def _session_order(seen: SessionSeen) -> tuple[datetime, str, str]:
    # Asked to sort, SQLite would rather walk through every session by the index of that order.
    return seen.first_seen_at, seen.agent, seen.session.id


def _said() -> sa.Select[Any]:
    is_said = events.c.kind == EventKind.MESSAGE.value
    return (
        sa.select(events.c.agent, events.c.session_id, events.c.fields, events.c.received_at)
        .where(_is_in_open_session(events), is_said)
        .order_by(events.c.seq)
    )


def _by_session(said: Sequence[rows.Row]) -> dict[SessionKey, tuple[str, ...]]:
    texts: dict[SessionKey, list[str]] = defaultdict(list)
    for row in said:
        texts[SessionKey(row["agent"], row["session_id"])].append(
            (row["fields"] or {}).get("text", "")
        )
    return {key: tuple(spoken) for key, spoken in texts.items()}
