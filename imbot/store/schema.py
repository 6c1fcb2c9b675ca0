"""The tables: one definition, for SQLite now and for other databases by another URL.

Rows of agents and sessions carry (agent, session_id), effects the epoch of the agent's owner.
``seq`` columns keep the order in which rows first came. The partial indices keep a start fast
whatever the age of the store; a query finds them only by the very same words, hence the
``*_IS_*`` expressions.
"""

import sqlalchemy as sa

from imbot.records import EffectState, RunState
from imbot.store.columns import Json, Moment, Text

METADATA = sa.MetaData()


def _seq() -> sa.Column[int]:
    # SQLite gives an INTEGER PRIMARY KEY for nothing; elsewhere 32 bits would run out.
    return sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)


#: Under this key a column of a checksum tells what it covers; nothing stands for all the rest.
COVERED = "covered"


def _sum(name: str = "sum", *covered: str) -> sa.Column[int]:
    """Return the column of a checksum; see :mod:`imbot.store.sums`."""
    return sa.Column(name, sa.BigInteger, info={COVERED: covered})


def key_of(table: sa.Table) -> tuple[str, ...]:
    """Return the columns by which imbot knows a row: the only unique one, or the primary key."""
    unique = tuple(column.name for column in table.c if column.unique)
    return unique or tuple(c.name for c in table.primary_key if c.name != "seq")


def _words(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, Text, nullable=False) for name in names]


def _literally(column: sa.Column[str], *states: str) -> sa.ColumnElement[bool]:
    """Return the test with its values spelt out, so that a partial index can serve it."""
    return column.in_([sa.literal_column(f"'{state}'") for state in states])


def _where(name: str, condition: sa.ColumnElement[bool], *columns: sa.Column[str]) -> sa.Index:
    return sa.Index(name, *columns, sqlite_where=condition, postgresql_where=condition)


meta = sa.Table(
    "meta",
    METADATA,
    sa.Column("key", Text, primary_key=True),
    *_words("value"),
)

events = sa.Table(
    "events",
    METADATA,
    _seq(),
    sa.Column("id", Text, nullable=False, unique=True),
    sa.Column("number", sa.BigInteger, nullable=False, index=True),
    *_words("agent", "session_id", "kind"),
    sa.Column("at", Moment, nullable=False),
    sa.Column("received_at", Moment, nullable=False, index=True),
    sa.Column("resync", sa.Boolean, nullable=False),
    sa.Column("own", sa.Boolean, nullable=False),
    sa.Column("session", Json),
    sa.Column("fields", Json),
    sa.Column("handled_at", Moment),
    sa.Column("rule_ids", Json),
    sa.Column("suppressed", Json),
    sa.Column("depth", sa.BigInteger),
    _sum(),
    _sum("handled_sum", "handled_at", "rule_ids", "suppressed"),
    sa.Index("events_by_session", "agent", "session_id"),
)
EVENT_IS_UNDECIDED = events.c.handled_at.is_(None)
_where("events_undecided", EVENT_IS_UNDECIDED, events.c.seq)

runs = sa.Table(
    "runs",
    METADATA,
    _seq(),
    sa.Column("run_id", Text, nullable=False, unique=True),
    sa.Column("event_id", Text, nullable=False, index=True),
    *_words("rule_id", "rule_version", "key", "state"),
    sa.Column("pc", sa.BigInteger, nullable=False),
    sa.Column("attempt", sa.BigInteger, nullable=False),
    sa.Column("began_at", Moment, nullable=False),
    sa.Column("at", Moment, nullable=False),
    sa.Column("due_at", Moment),
    sa.Column("bound", Json),
    sa.Column("agent", Text),
    sa.Column("session_id", Text),
    *_words("detail"),
    sa.Column("strands", Json),
    sa.Column("cancelled", Text),
    sa.Column("in_shadow", sa.Boolean),
    _sum(),
    _sum(
        "stand_sum",
        *("state", "pc", "attempt", "at", "due_at", "bound", "agent", "session_id"),
        *("detail", "strands", "cancelled"),
    ),
)
RUN_IS_OPEN = _literally(runs.c.state, RunState.RUNNING, RunState.WAITING)
RUN_IS_ENDED = _literally(
    runs.c.state, RunState.DONE, RunState.STOPPED, RunState.FAILED, RunState.CANCELLED
)
_where("runs_open", RUN_IS_OPEN, runs.c.seq)
_where("runs_ended", RUN_IS_ENDED, runs.c.at)
RUN_IS_LIVE = runs.c.in_shadow.is_(None)
# All that is asked when runs are counted, the condition itself too: no row of theirs is read then.
_where("runs_by_rule", RUN_IS_LIVE, runs.c.rule_id, runs.c.state, runs.c.at, runs.c.in_shadow)

effects = sa.Table(
    "effects",
    METADATA,
    _seq(),
    sa.Column("effect_id", Text, nullable=False, unique=True),
    sa.Column("run_id", Text, nullable=False, index=True),
    *_words("agent", "session_id", "rule_id", "action", "operation", "state"),
    sa.Column("payload", Json),
    sa.Column("echo", Text),
    sa.Column("at", Moment, nullable=False),
    sa.Column("attempt", sa.BigInteger, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("settled_at", Moment),
    sa.Column("echo_at", Moment),
    sa.Column("result", Json),
    *_words("detail"),
    _sum(),
    _sum("state_sum", "state"),
    _sum("settled_sum", "settled_at", "result", "detail"),
    _sum("echo_sum", "echo_at"),
    sa.Column("before", Json),
    sa.Index("effects_by_session", "agent", "session_id"),
)
EFFECT_IS_UNSETTLED = _literally(effects.c.state, EffectState.SENDING, EffectState.UNKNOWN)
EFFECT_IS_PARKED = _literally(effects.c.state, EffectState.PARKED)
EFFECT_IS_SHADOW = _literally(effects.c.state, EffectState.SHADOW)
EFFECT_MAY_ECHO = effects.c.echo.is_not(None) & _literally(
    effects.c.state, EffectState.ACCEPTED, EffectState.PARKED
)
_where("effects_unsettled", EFFECT_IS_UNSETTLED, effects.c.seq)
_where("effects_parked", EFFECT_IS_PARKED, effects.c.seq)

sessions = sa.Table(
    "sessions",
    METADATA,
    # The session first: people look a session up without naming the agent.
    sa.Column("session_id", Text, primary_key=True),
    sa.Column("agent", Text, primary_key=True),
    *_words("state"),
    sa.Column("session", Json, nullable=False),
    sa.Column("mine", sa.Boolean, nullable=False),
    sa.Column("first_seen_at", Moment, nullable=False, index=True),
    sa.Column("seen_at", Moment, nullable=False),
    sa.Column("talking_at", Moment),
    sa.Column("completed_at", Moment),
    _sum(),
)
SESSION_IS_OPEN = sessions.c.completed_at.is_(None)
SESSION_IS_OVER = sessions.c.completed_at.is_not(None)
_where("sessions_open", SESSION_IS_OPEN, sessions.c.agent)
_where("sessions_over", SESSION_IS_OVER, sessions.c.completed_at)

once_marks = sa.Table(
    "once_marks",
    METADATA,
    sa.Column("rule_id", Text, primary_key=True),
    sa.Column("scope", Text, primary_key=True),
    *_words("run_id"),
    sa.Column("at", Moment, nullable=False, index=True),
    _sum(),
)

timers = sa.Table(
    "timers",
    METADATA,
    sa.Column("id", Text, primary_key=True),
    *_words("kind"),
    sa.Column("due_at", Moment, nullable=False),
    *_words("agent", "session_id"),
    sa.Column("payload", Json),
    _sum(),
)

gaps = sa.Table(
    "gaps",
    METADATA,
    _seq(),
    *_words("agent", "reason"),
    sa.Column("session_ids", Json, nullable=False),
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("ended_at", Moment, nullable=False, index=True),
    _sum(),
)

acks = sa.Table(
    "acks",
    METADATA,
    sa.Column("agent", Text, primary_key=True),
    *_words("client_id"),
    # JSON, because the peer chooses the number and a column would refuse a huge one.
    sa.Column("ack", Json),
    _sum(),
    sa.Column("asked_at", Moment),
    sa.Column("answered_at", Moment),
)

#: What is in it is as secret as a password while GWS remembers it; nothing shows it.
subscriptions = sa.Table(
    "subscriptions",
    METADATA,
    sa.Column("agent", Text, primary_key=True),
    *_words("url", "client_id", "gap_cause"),
    sa.Column("acknowledges", sa.Boolean, nullable=False),
    sa.Column("since", Moment),
    sa.Column("pending", Json),
    sa.Column("cookies", Json),
    sa.Column("tokens", Json),
    _sum(),
)

orders = sa.Table(
    "orders",
    METADATA,
    _seq(),
    sa.Column("effect_id", Text, nullable=False, index=True),
    *_words("kind", "ordered_by"),
    sa.Column("at", Moment, nullable=False),
    sa.Column("taken_at", Moment),
    *_words("refused"),
)
ORDER_IS_WAITING = orders.c.taken_at.is_(None)
_where("orders_waiting", ORDER_IS_WAITING, orders.c.seq)

audit = sa.Table(
    "audit",
    METADATA,
    _seq(),
    sa.Column("at", Moment, nullable=False, index=True),
    *_words("who", "role", "address", "request"),
    sa.Column("status", sa.BigInteger, nullable=False),
    _sum(),
)

rule_versions = sa.Table(
    "rule_versions",
    METADATA,
    sa.Column("rule_id", Text, primary_key=True),
    sa.Column("version", Text, primary_key=True),
    *_words("path", "source"),
    _sum(),
)

quarantine = sa.Table(
    "quarantine",
    METADATA,
    _seq(),
    *_words("table_name", "key", "row", "reason"),
    sa.Column("at", Moment, nullable=False, index=True),
)
