"""What is written down: the changes that the store keeps, and what it gives back after a stop.

Every write is one of these frozen values; the store applies a group of them as one transaction.
So a fake store is a list, and a replay is a loop. They are named tuples, for several are made for
every event, and a frozen dataclass takes more than twice as long. Moments are aware and in UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, TypeAlias

from imbot.meaning import Meant
from imbot.model import (
    JSON,
    Event,
    GoodPoll,
    ImSession,
    SessionKey,
    Subscription,
    Suppressed,
)


class EffectState(Meant):
    """The life of one effect in the ledger.

    SENDING → ACCEPTED → CONFIRMED; FAILED surely never happened, and may be tried again; UNKNOWN
    may have happened and waits for its proof; PARKED waits for a person; CANCELLED and EXPIRED are
    given up for good. SHADOW is never sent: a rule in shadow would.
    """

    SENDING = "sending", "It is written down, and on its way."
    ACCEPTED = "accepted", "GWS, or another peer, took it."
    CONFIRMED = "confirmed", "Its echo proves it."
    FAILED = "failed", "It surely never happened."
    UNKNOWN = "unknown", "It may have happened, and waits for its proof."
    PARKED = "parked", "It waits for a person."
    CANCELLED = "cancelled", "It is given up: its session was over, or a person or another's work."
    EXPIRED = "expired", "It could not be carried out before it was too old."
    SHADOW = "shadow", "It is never sent: a rule in shadow would have."


class RunState(Meant):
    """The life of one run of a rule."""

    RUNNING = "running", "Its steps are being done."
    WAITING = "waiting", "It waits: for a time, for something to happen, or for its turn."
    DONE = "done", "Its last step is over."
    STOPPED = "stopped", "A `stop` ended it; or it is in shadow and would need an answer."
    FAILED = "failed", "A step failed, and no `on_error` of the step went on."
    CANCELLED = "cancelled", "The session was over, or a newer run took its place."


class EventSeen(NamedTuple):
    """An event, written before anything that it leads to."""

    event: Event


class EventHandled(NamedTuple):
    """The decision about an event: which rules run, and which matched and do not."""

    event_id: str
    at: datetime
    rule_ids: tuple[str, ...] = ()
    suppressed: tuple[Suppressed, ...] = ()


class Strand(NamedTuple):
    """One of the places where a run stands; branches of ``parallel`` have one each.

    Attributes:
        pc: Index of its next instruction; no two strands of a run have the same.
        due_at: When it goes on if nothing happens before; None when only that which it waits for.
        waits: Whether it waits, and so holds nothing but this.
        forks: Indices of the Forks whose branches it stands in, the innermost last.
        attempts: How often the step here was tried already.
    """

    pc: int = 0
    due_at: datetime | None = None
    waits: bool = False
    forks: tuple[int, ...] = ()
    attempts: int = 0


class RunSeen(NamedTuple):
    """Where a run of a rule stands; the newest one of a run id wins.

    Attributes:
        run_id: ``event id/rule id``; a rule runs at most once for one event.
        event_id: The event that started it.
        rule_id: Its rule.
        rule_version: Hash of the rule as it was when the run began.
        key: What runs of this rule take turns by.
        state: Its life.
        pc: Index of the next instruction.
        bound: Names bound so far, as plain values.
        at: When it came to stand there.
        session: The session it acts on (after ``initiate`` a new one); None without one.
        detail: Why it ended, for people.
        due_at: When a WAITING run goes on; None otherwise.
        attempts: How often the step at ``pc`` was tried already.
        strands: Where it stands if that is more than ``pc``; empty for this one place.
        cancelled: Why only steps marked ``even_if_completed`` are still due; empty before.
        in_shadow: Whether it only writes down what it would do, for as long as it goes on.
    """

    run_id: str
    event_id: str
    rule_id: str
    rule_version: str
    key: str
    state: RunState
    pc: int
    at: datetime
    bound: Mapping[str, JSON] = {}
    session: SessionKey | None = None
    detail: str = ""
    due_at: datetime | None = None
    attempts: int = 0
    strands: tuple[Strand, ...] = ()
    cancelled: str = ""
    in_shadow: bool = False


class OnceMarked(NamedTuple):
    """A rule has acted, or may have, within this scope; it does not act there again."""

    rule_id: str
    scope: str
    run_id: str
    at: datetime


class MarksLost(NamedTuple):
    """What rules have done once in this session is not known any more: all of it counts as done.

    Attributes:
        session: The session; with an empty id the agent, of which all such sessions are known.
        at: When that was found.
    """

    session: SessionKey
    at: datetime


class OnceTakenBack(NamedTuple):
    """No effect of the run was or may have been carried out: the scope is free again."""

    rule_id: str
    scope: str


class Intent(NamedTuple):
    """An effect that is about to be sent, or would be.

    Attributes:
        effect_id: ``event/rule/pc/n``: n-th call through a door of the step at pc.
        run_id: Its run.
        agent: The agent that acts; empty for effects outside GWS.
        session_id: The session acted on; empty without one.
        rule_id: Its rule.
        action: Action name as written in the rule, for example ``reply``.
        operation: What goes out: a GWS operation name, or ``POST https://host``.
        payload: What it carries, with secrets cut.
        echo: Normalised text whose echo will confirm it; None when no echo can come.
        at: When it was decided.
        attempt: 1 for the first.
        epoch: Fencing token of the agent's owner; 0 on one machine.
        in_shadow: Whether it is never sent: a rule in shadow would have.
        before: What stood in the user data where it writes, by key, null for nothing, when it was
            first tried; None for what writes none.
    """

    effect_id: str
    run_id: str
    agent: str
    session_id: str
    rule_id: str
    action: str
    operation: str
    payload: JSON
    at: datetime
    echo: str | None = None
    attempt: int = 1
    epoch: int = 0
    in_shadow: bool = False
    before: JSON = None


class Verdict(NamedTuple):
    """What became of an effect."""

    effect_id: str
    state: EffectState
    at: datetime
    detail: str = ""
    result: JSON = None


class OrderKind(Meant):
    """What a person decides about a parked effect."""

    RESEND = "resend", "It is sent again, whatever became of it before."
    DROP = "drop", "It is given up for good."


class Audited(NamedTuple):
    """Somebody did something through the admin API, or tried to.

    Attributes:
        at: When.
        who: The name of their token; empty where they showed none that is known.
        role: What it is good for.
        address: Where they asked from.
        request: Method, path and body, without anything secret.
        status: The HTTP status of the answer.
    """

    at: datetime
    who: str
    role: str
    address: str
    request: str
    status: int


class OrderGiven(NamedTuple):
    """A person has decided about a parked effect; the imbot of this store is to carry it out.

    Attributes:
        effect_id: The effect.
        kind: What is to be done.
        by: Who says so: the user of the operating system.
        at: When it was said.
    """

    effect_id: str
    kind: OrderKind
    by: str
    at: datetime


class OrderTaken(NamedTuple):
    """An order was taken up: from now on it is not carried out again, whatever happens.

    Attributes:
        number: The order's.
        at: When.
        refused: Why nothing was done; empty when it was.
    """

    number: int
    at: datetime
    refused: str = ""


class EchoSeen(NamedTuple):
    """The text of an effect came back: the proof that it was said."""

    effect_id: str
    at: datetime


class EchoesLearnt(NamedTuple):
    """What was found out about the echoes of this GWS; the newest one wins.

    Attributes:
        longest_s: The longest time that one took.
        are_heard: Whether one ever came.
        are_missing: Whether GWS, by all that was seen, sends none.
    """

    longest_s: float = 0.0
    are_heard: bool = False
    are_missing: bool = False


class SessionSeen(NamedTuple):
    """An IM session as it stands; the newest one of a key wins.

    Attributes:
        agent: Our agent.
        session: The session.
        first_seen_at: When imbot first saw it.
        seen_at: When it was shown like this.
        mine: Whether our own ``initiate`` began it.
        talking_at: When it was first seen Talking; None before.
        completed_at: When it was over; None while it lives.
    """

    agent: str
    session: ImSession
    first_seen_at: datetime
    seen_at: datetime
    mine: bool = False
    talking_at: datetime | None = None
    completed_at: datetime | None = None


class GapSeen(NamedTuple):
    """Messages to these sessions may have been lost between two moments."""

    agent: str
    session_ids: tuple[str, ...]
    reason: str
    started_at: datetime
    ended_at: datetime


class AckSeen(NamedTuple):
    """The Bayeux acknowledgement number up to which this agent's batches are kept.

    Attributes:
        agent: Our agent.
        client_id: The Bayeux client id that the number belongs to.
        ack: The number; None when the extension is off.
        good: From when on messages can be lost should nobody go on; None for unknown.
    """

    agent: str
    client_id: str
    ack: int | None
    good: GoodPoll | None = None


class SubscriptionKept(NamedTuple):
    """How another process can go on with this agent's subscription; the newest one wins."""

    agent: str
    subscription: Subscription


class SubscriptionEnded(NamedTuple):
    """Nobody can go on with this agent's subscription."""

    agent: str


class TimerSet(NamedTuple):
    """Something is due at a moment; a later one of the same id takes its place.

    Attributes:
        id: ``run id/pc`` of a wait; else its kind and what is waited for, such as
            ``idle agent/session/seconds`` or ``schedule`` and its identity.
        kind: ``run``, ``idle``, ``schedule`` or ``calendar``; ``closed`` for a calendar that an
            operator closed, which is never due.
        due_at: When.
        agent: Of the session it belongs to; empty without one.
        session_id: The session it belongs to; empty without one.
        payload: What whoever set it needs when it is due.
    """

    id: str
    kind: str
    due_at: datetime
    agent: str = ""
    session_id: str = ""
    payload: JSON = None


class TimerGone(NamedTuple):
    """The timer was fired or is not needed any more."""

    id: str


class RuleSeen(NamedTuple):
    """A rule version that runs refer to, with its source, so that history can be explained."""

    version: str
    rule_id: str
    path: str
    source: str


Change: TypeAlias = (
    EventSeen
    | EventHandled
    | RunSeen
    | OnceMarked
    | MarksLost
    | OnceTakenBack
    | Intent
    | Verdict
    | Audited
    | OrderGiven
    | OrderTaken
    | EchoSeen
    | EchoesLearnt
    | SessionSeen
    | GapSeen
    | AckSeen
    | SubscriptionKept
    | SubscriptionEnded
    | TimerSet
    | TimerGone
    | RuleSeen
)


@dataclass(frozen=True, slots=True)
class Effect:
    """An effect as the ledger has it: its intent and what became of it."""

    intent: Intent
    state: EffectState
    result: JSON = None
    detail: str = ""


class Order(NamedTuple):
    """An order as the store has it.

    Attributes:
        number: Grows with time.
        given: What is to be done, by whom and since when.
        taken: When it was taken up, and why nothing was done; None before.
        effect: The effect as it stood when the order was read; None if the store has it no more.
    """

    number: int
    given: OrderGiven
    taken: OrderTaken | None = None
    effect: Effect | None = None


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what has ended is kept.

    Attributes:
        history: Runs with their effects, events, sessions and gaps.
        marks: Once marks; with a mark gone a rule may act again in that scope.
    """

    history: timedelta = timedelta(days=30)
    marks: timedelta = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was unfinished when the store was last closed or killed.

    Attributes:
        events: Events without a decision, oldest first.
        runs: Runs that had not ended, oldest first, with the event each began with.
        effects: Effects of those runs, and every effect whose echo is still awaited.
        sessions: Sessions not Completed, and those completed most recently (at most 100 an agent).
        said: What the other party said in the sessions not Completed, oldest first.
        heard_at: When each agent last heard any of it; until then no message was lost.
        timers: Everything that is or was due, in order.
        rules: The rule versions that runs which had not ended began with.
        spent: How many effects each rule has begun in each session not Completed.
        lately: The rule and the moment of each effect begun within the last minute, oldest first.
        parked: The ids of the effects that wait for a person.
        acks: What was last acknowledged, by agent.
        subscriptions: What each agent can go on with.
        echoes: What is known about the echoes of this GWS; None before anything is.
        last_event_number: The highest number used in event ids; new ids go on from there.
        marks_lost: Sessions of which nobody knows what rules have done in them.
        lost_since: When the store before this one was last written, if that one was damaged.
    """

    events: tuple[Event, ...] = ()
    runs: tuple[tuple[RunSeen, Event], ...] = ()
    effects: tuple[Effect, ...] = ()
    sessions: tuple[SessionSeen, ...] = ()
    said: Mapping[SessionKey, tuple[str, ...]] = field(default_factory=dict)
    heard_at: Mapping[str, datetime] = field(default_factory=dict)
    timers: tuple[TimerSet, ...] = ()
    rules: tuple[RuleSeen, ...] = ()
    spent: Mapping[tuple[str, SessionKey], int] = field(default_factory=dict)
    lately: tuple[tuple[str, datetime], ...] = ()
    parked: frozenset[str] = frozenset()
    acks: Mapping[str, AckSeen] = field(default_factory=dict)
    subscriptions: Mapping[str, Subscription] = field(default_factory=dict)
    echoes: EchoesLearnt | None = None
    last_event_number: int = 0
    marks_lost: frozenset[SessionKey] = frozenset()
    lost_since: datetime | None = None
