"""Views for people: what is and was, read beside a running imbot, never written."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from imbot.errors import StoreError
from imbot.model import SHADOW_PREFIX, EventKind, SessionKey
from imbot.plugin import Operation
from imbot.records import (
    Audited,
    EchoesLearnt,
    Effect,
    EffectState,
    GapSeen,
    Order,
    RuleSeen,
    RunState,
    SessionSeen,
)
from imbot.store import rows
from imbot.store.connection import Database
from imbot.store.database import store_path
from imbot.store.migrations import require_current
from imbot.store.schema import (
    EFFECT_IS_PARKED,
    EFFECT_IS_SHADOW,
    RUN_IS_LIVE,
    RUN_IS_OPEN,
    audit,
    effects,
    events,
    gaps,
    meta,
    once_marks,
    orders,
    rule_versions,
    runs,
    sessions,
)
from imbot.store.sessionviews import session_views, sessions_seen
from imbot.store.views import (
    EffectView,
    EventView,
    ParkedView,
    RuleView,
    RunView,
    SessionHistory,
    SessionView,
)

#: Rows that are looked up by one statement; SQLite allows 32,766 bound values.
_IDS_AT_ONCE = 500


class Views:
    """Reads one store; a context manager that closes it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> Self:
        """Return the views."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the store."""
        self.close()

    def close(self) -> None:
        """Close the store."""
        self._database.close()

    def sessions(
        self,
        limit: int = 50,
        *,
        agent: str | None = None,
        state: str | None = None,
        number: str | None = None,
    ) -> tuple[SessionView, ...]:
        """Return the sessions seen last, newest first, of one agent or in one state if asked.

        Args:
            limit: How many at most.
            agent: Of this agent of ours.
            state: In this state.
            number: With another party whose number has these digits in it.
        """
        statement = sa.select(sessions).order_by(sessions.c.first_seen_at.desc())
        if agent is not None:
            statement = statement.where(sessions.c.agent == agent)
        if state is not None:
            statement = statement.where(sessions.c.state == state)
        if number is None:
            return self._views(self._found(statement.limit(limit)))
        return self._views(islice(self._with_number(statement, number), limit))

    def _with_number(self, statement: sa.Select[Any], number: str) -> Iterator[rows.Row]:
        """Yield the sessions in which another party has such a number."""
        digits = "".join(filter(str.isdecimal, number))
        as_text = sa.type_coerce(sessions.c.session, sa.Text)
        with self._database.explaining():
            # Closed at the latest with this generator: what is half read keeps the log from ending.
            wanted = statement.where(as_text.contains(digits))
            with self._database.connection.execute(wanted) as found:
                for row in found.mappings():
                    parties = row["session"].get("participants", ())
                    if any(digits in str(value) for party in parties for value in party.values()):
                        yield row

    def audit(self, limit: int = 50) -> tuple[Audited, ...]:
        """Return what people did through the admin API, newest first."""
        statement = sa.select(audit).order_by(audit.c.seq.desc()).limit(limit)
        return tuple(map(rows.to_audited, self._found(statement)))

    def session(self, session_id: str, *, agent: str | None = None) -> tuple[SessionHistory, ...]:
        """Return the history of this session with each agent of ours that held an end of it."""
        statement = sa.select(sessions).where(sessions.c.session_id == session_id)
        if agent is not None:
            statement = statement.where(sessions.c.agent == agent)
        return tuple(self._history(view) for view in self._views(self._found(statement)))

    def event(self, event_id: str) -> EventView | None:
        """Return an event by its id; None when the store has none."""
        found = self._found(sa.select(events).where(events.c.id == event_id))
        return _event_view(found[0]) if found else None

    def events(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        session_id: str | None = None,
    ) -> tuple[EventView, ...]:
        """Return the events that were received in a time, of one session if asked, oldest first."""
        statement = sa.select(events).order_by(events.c.seq)
        if since is not None:
            statement = statement.where(events.c.received_at >= since)
        if until is not None:
            statement = statement.where(events.c.received_at < until)
        if session_id is not None:
            statement = statement.where(events.c.session_id == session_id)
        return tuple(map(_event_view, self._found(statement)))

    def echoes(self) -> EchoesLearnt | None:
        """Return what was learnt about the echoes of GWS; None before anything was."""
        found = self._found(sa.select(meta.c.value).where(meta.c.key == rows.ECHOES))
        return rows.to_echoes_learnt(found[0]["value"]) if found else None

    def origin(self, key: SessionKey) -> EventView | None:
        """Return the event for which the bot began a session; None when it did not begin it."""
        statement = sa.select(effects.c.run_id, effects.c.result).where(
            effects.c.agent == key.agent, effects.c.operation == Operation.INITIATE.value
        )
        for row in self._found(statement.order_by(effects.c.seq)):
            if isinstance(row["result"], Mapping) and row["result"].get("id") == key.session_id:
                return self.event(row["run_id"].rpartition("/")[0])
        return None

    def said(self, key: SessionKey, event_id: str) -> tuple[str, ...]:
        """Return what the other party had said in a session up to an event and with it."""
        this = sa.select(events.c.seq).where(events.c.id == event_id).scalar_subquery()
        statement = (
            sa.select(events.c.fields)
            .where(
                *_in_session(events, key),
                events.c.kind == EventKind.MESSAGE.value,
                events.c.seq <= this,
            )
            .order_by(events.c.seq)
        )
        return tuple((row["fields"] or {}).get("text", "") for row in self._found(statement))

    def session_seen(self, key: SessionKey) -> SessionSeen | None:
        """Return a session as it stands; None when the store has none."""
        found = self._found(sa.select(sessions).where(*_in_session(sessions, key)))
        return rows.to_session_seen(found[0]) if found else None

    def marks(
        self, rule_ids: Iterable[str], before: datetime
    ) -> Mapping[tuple[str, str], datetime]:
        """Return the marks of these rules that were set before a moment, and when."""
        statement = sa.select(once_marks).where(
            once_marks.c.rule_id.in_(list(rule_ids)), once_marks.c.at < before
        )
        return {(row["rule_id"], row["scope"]): row["at"] for row in self._found(statement)}

    def running(self, at: datetime) -> tuple[tuple[str, str], ...]:
        """Return the runs that had begun before a moment and ended after it: rule id and key."""
        statement = sa.select(runs.c.rule_id, runs.c.key).where(
            runs.c.began_at < at, RUN_IS_OPEN | (runs.c.at > at)
        )
        return tuple((row["rule_id"], row["key"]) for row in self._found(statement))

    def spent(self, key: SessionKey | None, at: datetime) -> Mapping[str, tuple[int, int]]:
        """Return the effects of each rule in a session, and within the minute before a moment.

        Those that were never sent stand under the rule's id with ``SHADOW_PREFIX`` before it.
        """
        lately = effects.c.at > at - timedelta(minutes=1)
        in_session = sa.false() if key is None else sa.and_(*_in_session(effects, key))
        statement = (
            sa.select(
                effects.c.rule_id,
                EFFECT_IS_SHADOW.label("in_shadow"),
                sa.func.count().filter(in_session).label("session"),
                sa.func.count().filter(lately).label("minute"),
            )
            .where(effects.c.at < at, in_session | lately)
            .group_by(effects.c.rule_id, EFFECT_IS_SHADOW)
        )
        return {
            f"{SHADOW_PREFIX if row['in_shadow'] else ''}{row['rule_id']}": (
                row["session"],
                row["minute"],
            )
            for row in self._found(statement)
        }

    def versions(self, event_id: str) -> Mapping[str, str]:
        """Return the versions of the rules that ran for an event, by rule id."""
        statement = sa.select(runs.c.rule_id, runs.c.rule_version).where(
            runs.c.event_id == event_id
        )
        return {row["rule_id"]: row["rule_version"] for row in self._found(statement)}

    def rule_seen(self, rule_id: str, version: str) -> RuleSeen | None:
        """Return a rule as it was in one version; None when the store has none."""
        statement = sa.select(rule_versions).where(
            rule_versions.c.rule_id == rule_id, rule_versions.c.version == version
        )
        found = self._found(statement)
        return (
            None if not found else RuleSeen(version, rule_id, found[0]["path"], found[0]["source"])
        )

    def parked(self) -> tuple[Effect, ...]:
        """Return every effect that waits for a person, oldest first."""
        return tuple(view.effect for view in self._effects_where(EFFECT_IS_PARKED))

    def parked_views(self, limit: int | None = None) -> tuple[ParkedView, ...]:
        """Return the effects that wait for a person with what is known of them, oldest first.

        Args:
            limit: How many at most; None for all.
        """
        return self._parked(EFFECT_IS_PARKED, limit=limit)

    def failed_views(self, limit: int = 50) -> tuple[ParkedView, ...]:
        """Return the effects that failed with what is known of them, newest first."""
        newest = (
            sa.select(effects.c.seq)
            .where(effects.c.state == EffectState.FAILED.value)
            .order_by(effects.c.seq.desc())
            .limit(limit)
        )
        return self._parked(effects.c.seq.in_(newest))[::-1]

    def effect(self, effect_id: str) -> ParkedView | None:
        """Return an effect by its id, parked or not; None when the store has none."""
        return next(iter(self._parked(effects.c.effect_id == effect_id)), None)

    def _parked(
        self, clause: sa.ColumnElement[bool], *, limit: int | None = None
    ) -> tuple[ParkedView, ...]:
        found = self._effects_where(clause, limit=limit)
        seen = sessions_seen(self._found, {_session_of(one) for one in found})
        orders_of = self._orders([one.effect.intent.effect_id for one in found])
        return tuple(
            ParkedView(
                one,
                seen.get(_session_of(one)),
                tuple(orders_of[one.effect.intent.effect_id]),
            )
            for one in found
        )

    def _orders(self, effect_ids: Sequence[str]) -> Mapping[str, Sequence[Order]]:
        """Return the orders about effects, oldest first."""
        found: dict[str, list[Order]] = defaultdict(list)
        for start in range(0, len(effect_ids), _IDS_AT_ONCE):
            some = effect_ids[start : start + _IDS_AT_ONCE]
            statement = sa.select(orders).where(orders.c.effect_id.in_(some))
            for row in self._found(statement.order_by(orders.c.seq)):
                found[row["effect_id"]].append(rows.to_order(row))
        return found

    def gaps(self, limit: int = 50) -> tuple[GapSeen, ...]:
        """Return the gaps, newest first."""
        statement = sa.select(gaps).order_by(gaps.c.ended_at.desc()).limit(limit)
        return tuple(rows.to_gap(row) for row in self._found(statement))

    def rules(self, rule_ids: Collection[str] | None = None) -> tuple[RuleView, ...]:
        """Return every rule that ran, in shadow not counted, by its id; only these, if given."""
        count, last_at = sa.func.count(), sa.func.max(runs.c.at, type_=runs.c.at.type)
        by_state = (
            sa.select(runs.c.rule_id, runs.c.state, count.label("runs"), last_at.label("last_at"))
            .where(RUN_IS_LIVE)
            .group_by(runs.c.rule_id, runs.c.state)
        )
        if rule_ids is not None and len(rule_ids) <= _IDS_AT_ONCE:
            by_state = by_state.where(runs.c.rule_id.in_(rule_ids))
        found = self._found(by_state.order_by(runs.c.rule_id, runs.c.state))
        return tuple(
            _rule_view(rule_id, list(rows_of))
            for rule_id, rows_of in groupby(found, itemgetter("rule_id"))
        )

    def _found(self, statement: sa.Select[Any]) -> Sequence[rows.Row]:
        with self._database.explaining():
            return self._database.connection.execute(statement).mappings().all()

    def _views(self, found: Iterable[rows.Row]) -> tuple[SessionView, ...]:
        return session_views(self._found, [rows.to_session_seen(row) for row in found])

    def _effects(self, key: SessionKey) -> tuple[EffectView, ...]:
        return self._effects_where(*_in_session(effects, key))

    def _effects_on_none(self, key: SessionKey) -> tuple[EffectView, ...]:
        """Return the effects on no session of the runs that a session's events began."""
        of_events = sa.select(events.c.id).where(*_in_session(events, key))
        of_runs = sa.select(runs.c.run_id).where(runs.c.event_id.in_(of_events))
        return self._effects_where(effects.c.session_id == "", effects.c.run_id.in_(of_runs))

    def _effects_where(
        self, *clauses: sa.ColumnElement[bool], limit: int | None = None
    ) -> tuple[EffectView, ...]:
        statement = sa.select(effects).where(*clauses).order_by(effects.c.seq).limit(limit)
        return tuple(
            EffectView(rows.to_effect(row), row["settled_at"], row["echo_at"])
            for row in self._found(statement)
        )

    def _history(self, view: SessionView) -> SessionHistory:
        key = SessionKey(view.seen.agent, view.seen.session.id)
        held = (*self._effects(key), *self._effects_on_none(key))
        orders_of = self._orders([one.effect.intent.effect_id for one in held])
        return SessionHistory(
            view,
            events=self._events(key),
            runs=self._runs(key),
            effects=held,
            orders=tuple(order for some in orders_of.values() for order in some),
        )

    def _events(self, key: SessionKey) -> tuple[EventView, ...]:
        statement = sa.select(events).where(*_in_session(events, key)).order_by(events.c.seq)
        return tuple(map(_event_view, self._found(statement)))

    def _runs(self, key: SessionKey) -> tuple[RunView, ...]:
        """Return the runs that an event of the session began, and those that acted on it."""
        of_events = sa.select(events.c.id).where(*_in_session(events, key))
        of_effects = sa.select(effects.c.run_id).where(*_in_session(effects, key))
        statement = sa.select(runs).where(
            runs.c.event_id.in_(of_events) | runs.c.run_id.in_(of_effects)
        )
        found = self._found(statement.order_by(runs.c.seq))
        return tuple(RunView(rows.to_run(row), row["began_at"]) for row in found)


def _in_session(table: sa.Table, key: SessionKey) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.agent == key.agent, table.c.session_id == key.session_id


def _session_of(view: EffectView) -> SessionKey:
    return SessionKey(view.effect.intent.agent, view.effect.intent.session_id)


def _event_view(row: rows.Row) -> EventView:
    return EventView(
        rows.to_event(row),
        row["handled_at"],
        tuple(row["rule_ids"] or ()),
        rows.to_suppressed(row["suppressed"]),
    )


def _rule_view(rule_id: str, by_state: Sequence[rows.Row]) -> RuleView:
    return RuleView(
        rule_id,
        {RunState(row["state"]): row["runs"] for row in by_state},
        max(row["last_at"] for row in by_state),
    )


def open_views(url: str, *, base: Path) -> Views:
    """Open a store for reading; an imbot that writes it is not disturbed.

    Args:
        url: As :func:`imbot.store.database.open_store` takes it.
        base: The folder that a relative path starts from.

    Raises:
        ConfigError: The URL names no store that imbot knows.
        StoreError: There is none, it cannot be read, or it is older or newer than this imbot.
    """
    database = Database(str(existing_path(url, base)), read_only=True)
    try:
        require_current(database)
    except BaseException:
        database.close()
        raise
    return Views(database)


def existing_path(url: str, base: Path) -> Path:
    """Return the file of a store that is there already.

    Raises:
        ConfigError: The URL names no store that imbot knows.
        StoreError: There is none.
    """
    path = store_path(url, base)
    if path is None:
        raise StoreError("store: one in memory can only be seen by the imbot that holds it")
    if not path.exists():
        raise StoreError(f"store {path}: there is none yet; `imbot run` makes it")
    return path
