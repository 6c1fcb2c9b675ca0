"""The hot writes: each kind of change is one SQLAlchemy statement, compiled once.

A change becomes compiled SQL and a tuple of values before it is queued, so that what cannot be
written is refused to the caller who gave it and harms nobody else.
"""

from collections.abc import Callable, Container, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from imbot.errors import StoreError
from imbot.records import (
    AckSeen,
    Audited,
    Change,
    EchoesLearnt,
    EchoSeen,
    EffectState,
    EventHandled,
    EventSeen,
    GapSeen,
    Intent,
    MarksLost,
    OnceMarked,
    OnceTakenBack,
    OrderGiven,
    OrderTaken,
    RuleSeen,
    RunSeen,
    SessionSeen,
    SubscriptionEnded,
    SubscriptionKept,
    TimerGone,
    TimerSet,
    Verdict,
)
from imbot.store import rows, schema
from imbot.store.columns import encoder
from imbot.store.sums import Sum, checksum, sums_of

_C = TypeVar("_C")
_Statement: TypeAlias = sa.Insert | sa.Update | sa.Delete


class Write(NamedTuple):
    """One row to write: compiled SQL and what to bind."""

    sql: str
    values: tuple[Any, ...]


class Statements:
    """Every change's statement, compiled for one database dialect."""

    def __init__(self, dialect: sa.Dialect) -> None:
        self._dialect = dialect
        self._writers: dict[type[Any], Callable[[Any], Write]] = {}
        self._add(EventSeen, _insert_event(), rows.from_event_seen)
        self._add(EventHandled, _decide_event(), rows.from_event_handled)
        self._add(RunSeen, _upsert_run(), rows.from_run_seen)
        self._add(OnceMarked, _upsert(schema.once_marks), rows.from_once_marked)
        self._add(MarksLost, _upsert(schema.once_marks), rows.from_marks_lost)
        self._add(OnceTakenBack, _delete_mark(), rows.from_once_taken_back)
        self._add(Intent, _upsert_effect(), rows.from_intent)
        self._add(Verdict, _settle_effect(), rows.from_verdict)
        self._add(Audited, _insert(schema.audit), rows.from_audited)
        self._add(OrderGiven, _insert_order(), rows.from_order_given)
        self._add(OrderTaken, _take_order(), rows.from_order_taken)
        self._add(EchoSeen, _confirm_effect(), rows.from_echo_seen)
        self._add(EchoesLearnt, _upsert(schema.meta), rows.from_echoes_learnt)
        self._add(SessionSeen, _upsert(schema.sessions), rows.from_session_seen)
        self._add(GapSeen, _insert(schema.gaps), rows.from_gap_seen)
        self._add(AckSeen, _upsert(schema.acks), rows.from_ack_seen)
        self._add(SubscriptionKept, _upsert(schema.subscriptions), rows.from_subscription_kept)
        self._add(SubscriptionEnded, _delete_subscription(), rows.from_subscription_ended)
        self._add(TimerSet, _upsert(schema.timers), rows.from_timer_set)
        self._add(TimerGone, _delete_timer(), rows.from_timer_gone)
        self._add(RuleSeen, _upsert(schema.rule_versions), rows.from_rule_seen)

    def writes(self, changes: Sequence[Change]) -> list[Write]:
        """Return what writes these changes, in their order.

        Raises:
            StoreError: A value in them cannot be written; then none of them may be.
        """
        try:
            return [self._writers[type(change)](change) for change in changes]
        except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
            kinds = ", ".join(sorted({type(change).__name__ for change in changes}))
            raise StoreError(f"store: one of {kinds} cannot be written: {error}") from error

    def _add(
        self, kind: type[_C], statement: _Statement, columns: Callable[[_C], rows.Row]
    ) -> None:
        compiled = statement.compile(dialect=self._dialect)
        if compiled.positiontup is None:
            raise TypeError(f"{self._dialect.name}: its driver does not bind by position")
        sql, sums = str(compiled), {each.name: each for each in sums_of(_table_of(statement))}
        names = [name for name in compiled.positiontup if name not in sums]
        values_of = _getter(names)
        encoders = [encoder(compiled.binds[name].type) for name in names]
        summed = [name for name in compiled.positiontup if name in sums]
        covered = [_covered(sums[name], names, statement) for name in summed]
        # Sums come last here, and in SQL where their columns stand.
        in_order = _getter([[*names, *summed].index(name) for name in compiled.positiontup])

        def write(change: _C) -> Write:
            bound = [
                value if value is None or encode is None else encode(value)
                for value, encode in zip(values_of(columns(change)), encoders, strict=True)
            ]
            bound += [checksum(form, take(bound)) for form, take in covered]
            return Write(sql, in_order(bound))

        self._writers[kind] = write


def _table_of(statement: _Statement) -> sa.Table:
    table = statement.table
    if not isinstance(table, sa.Table):
        raise TypeError(f"{statement}: it writes no table")
    return table


def _covered(
    checked: Sum, names: Sequence[str], statement: _Statement
) -> tuple[str, Callable[[list[Any]], tuple[Any, ...]]]:
    """Return the form of a sum, and what takes its values from those that are bound.

    A new row has NULL in the columns that are not bound; of a row that is there nobody knows.
    """
    places = {name.removesuffix("_"): place for place, name in enumerate(names)}
    if isinstance(statement, sa.Update) and not places.keys() >= set(checked.columns):
        raise TypeError(f"{checked.label}: not all that it covers is set by {statement}")
    form = checked.form % tuple("%s" if name in places else None for name in checked.columns)
    return form, _getter([places[name] for name in checked.columns if name in places])


def _getter(keys: Sequence[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what takes the values of these keys, of one key too as a tuple."""
    if len(keys) > 1:
        return itemgetter(*keys)
    (only,) = keys
    return lambda of: (of[only],)


def _insert(table: sa.Table, *, without: Container[str] = ()) -> sqlite.Insert:
    """Return an insert of all columns but ``seq`` and these, which stay NULL."""
    columns = [c for c in table.c if c.name != "seq" and c.name not in without]
    return sqlite.insert(table).values({c.name: _bind(c) for c in columns})


def _bind(column: sa.Column[Any], name: str | None = None) -> sa.BindParameter[Any]:
    return sa.bindparam(name or column.name, type_=column.type)


def _upsert(
    table: sa.Table, *, key: str = "", keep: Container[str] = (), without: Container[str] = ()
) -> sqlite.Insert:
    """Return an insert; where the key is known already, the row is replaced but for ``keep``."""
    keys = [key] if key else [c.name for c in table.primary_key]
    insert = _insert(table, without=without)
    replaced = [c.name for c in table.c if c.name not in {"seq", *keys} and c.name not in keep]
    return insert.on_conflict_do_update(
        index_elements=keys, set_={name: insert.excluded[name] for name in replaced}
    )


def _insert_event() -> sqlite.Insert:
    insert = _insert(schema.events, without={"handled_at", "rule_ids", "suppressed"})
    return insert.on_conflict_do_nothing(index_elements=["id"])


def _decide_event() -> sa.Update:
    events = schema.events.c
    decided = (events.handled_at, events.rule_ids, events.suppressed, events.handled_sum)
    return (
        sa.update(schema.events)
        .where(events.id == _bind(events.id, "id_"))
        .values({column: _bind(column) for column in decided})
    )


def _upsert_run() -> sqlite.Insert:
    # What the run id says, or a run keeps for life, is not written again: less index work.
    fixed = {"event_id", "rule_id", "rule_version", "key", "began_at", "in_shadow", "sum"}
    return _upsert(schema.runs, key="run_id", keep=fixed)


def _delete_mark() -> sa.Delete:
    marks = schema.once_marks.c
    return sa.delete(schema.once_marks).where(
        marks.rule_id == _bind(marks.rule_id), marks.scope == _bind(marks.scope)
    )


def _delete_timer() -> sa.Delete:
    timers = schema.timers.c
    return sa.delete(schema.timers).where(timers.id == _bind(timers.id, "id_"))


def _delete_subscription() -> sa.Delete:
    held = schema.subscriptions.c
    return sa.delete(schema.subscriptions).where(held.agent == _bind(held.agent, "agent_"))


def _upsert_effect() -> sqlite.Insert:
    # What the last attempt came to is forgotten: NULL again, as in a new row.
    without = {"settled_at", "echo_at", "result"}
    return _upsert(schema.effects, key="effect_id", without=without)


def _settle_effect() -> sa.Update:
    effects = schema.effects.c
    # GWS may send the echo before it answers the request: the proof outlives any later verdict.
    proven = effects.state == sa.literal_column(f"'{EffectState.CONFIRMED}'")
    return (
        sa.update(schema.effects)
        .where(effects.effect_id == _bind(effects.effect_id, "effect_id_"))
        .values(
            state=sa.case((proven, effects.state), else_=_bind(effects.state, "state_")),
            state_sum=sa.case((proven, effects.state_sum), else_=_bind(effects.state_sum)),
            settled_at=_bind(effects.settled_at),
            result=_bind(effects.result),
            detail=_bind(effects.detail),
            settled_sum=_bind(effects.settled_sum),
        )
    )


def _insert_order() -> sqlite.Insert:
    return _insert(schema.orders, without={"taken_at"})


def _take_order() -> sa.Update:
    orders = schema.orders.c
    return (
        sa.update(schema.orders)
        .where(orders.seq == _bind(orders.seq, "seq_"))
        .values(taken_at=_bind(orders.taken_at), refused=_bind(orders.refused))
    )


def _confirm_effect() -> sa.Update:
    effects = schema.effects.c
    return (
        sa.update(schema.effects)
        .where(effects.effect_id == _bind(effects.effect_id, "effect_id_"))
        .values(
            state=_bind(effects.state),
            state_sum=_bind(effects.state_sum),
            echo_at=_bind(effects.echo_at),
            echo_sum=_bind(effects.echo_sum),
        )
    )
