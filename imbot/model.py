"""The values that flow through imbot: Notice → Event → Plan(Step…) → Outcome → Record.

Nothing here performs I/O, reads a clock or changes after it is made.
Moments are aware datetimes in UTC; durations are seconds; mappings are to be read only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

from imbot.errors import FaultClass
from imbot.meaning import Meant

#: A decoded JSON value. Recursive aliases cost more at every door than they catch.
JSON: TypeAlias = Any

#: What rules see: names to plain values (text, number, bool, None, datetime, list, dict).
Scope: TypeAlias = dict[str, Any]


class SessionKey(NamedTuple):
    """An IM session as imbot knows it: the pair of our agent and GWS' ``imSession.id``.

    Two agents of ours may hold the two ends of one call; each end is a session of its own.
    """

    agent: str
    session_id: str


class SessionState(StrEnum):
    """The documented states of an IM session, in the order they are passed. Source: [D SEED-2]."""

    INITIATING = "Initiating"
    ALERTING = "Alerting"
    TALKING = "Talking"
    COMPLETED = "Completed"


@dataclass(frozen=True, slots=True)
class Participant:
    """The other party, in GWS' own field names. Source: contract 1.10 [D].

    Every field may be empty; ``phoneNumber`` is the one to send to.
    """

    phoneNumber: str = ""  # noqa: N815  the wire's and the rule author's spelling
    digits: str = ""
    e164Number: str = ""  # noqa: N815
    formattedPhoneNumber: str = ""  # noqa: N815

    def facts(self) -> dict[str, str]:
        """Return what rules see as ``participant``."""
        return {
            "phoneNumber": self.phoneNumber,
            "digits": self.digits,
            "e164Number": self.e164Number,
            "formattedPhoneNumber": self.formattedPhoneNumber,
        }


@dataclass(frozen=True, slots=True)
class ImSession:
    """One agent-to-agent conversation, as the last notification or snapshot showed it.

    Attributes:
        id: The canonical id (``imSession.id``).
        state: A :class:`SessionState` value, or an unknown state as GWS wrote it.
        user_data: Attached data; empty when GWS sent none.
        participants: The other parties; may be empty while Initiating.
        capabilities: Operations GWS lists; None when no list came. Advisory.
        aliases: Other ids under which notifications may name this session.
    """

    id: str
    state: str
    user_data: Mapping[str, JSON] = field(default_factory=dict)
    participants: tuple[Participant, ...] = ()
    capabilities: tuple[str, ...] | None = None
    aliases: tuple[str, ...] = ()

    @property
    def is_completed(self) -> bool:
        """Whether the session is over; nothing brings it back."""
        return self.state == SessionState.COMPLETED


# What the wires report, in order, one agent at a time -----------------------------------------


@dataclass(frozen=True, slots=True)
class SessionNotice:
    """A notification (or operation reply) that showed a session.

    Attributes:
        session: The session as shown.
        at: Server time where given, else the time of receipt.
        notification_type: ``StatusChange``, ``AttachedDataChanged`` or whatever GWS wrote.
    """

    session: ImSession
    at: datetime
    notification_type: str = "StatusChange"


@dataclass(frozen=True, slots=True)
class MessageNotice:
    """Somebody said something in a session; possibly we ourselves (an echo).

    Attributes:
        session_id: Last segment of ``imSessionPath``; may be an alias.
        text: What was said.
        at: Server time where given, else the time of receipt.
        sender: Number or name of the speaker where the notification carries one, else None.
    """

    session_id: str
    text: str
    at: datetime
    sender: str | None = None


@dataclass(frozen=True, slots=True)
class SnapshotNotice:
    """All sessions of the agent, read by GET: what is absent is over.

    Attributes:
        sessions: Every session GWS listed.
        at: When the GET was answered.
        asked_at: When the GET was sent; what was seen later than this is newer than the snapshot.
        since: The last moment at which the subscription was known to be whole; the age of an
            event first seen here counts from then.
    """

    sessions: tuple[ImSession, ...]
    at: datetime
    asked_at: datetime
    since: datetime


class ConnectionChange(Meant):
    """What happened to an agent's event subscription."""

    LOST = "lost", "It broke; what happens meanwhile is heard later, or never."
    RESTORED = "restored", "It is back."
    GAP = "gap", "It is back, and messages of the time between may have been lost."


@dataclass(frozen=True, slots=True)
class ConnectionNotice:
    """The agent's subscription broke, came back, or may have lost messages.

    Attributes:
        change: Which of the three.
        at: When imbot knew.
        reason: The cause, for people.
        gap_s: Seconds during which messages may have been lost; 0 for LOST.
    """

    change: ConnectionChange
    at: datetime
    reason: str = ""
    gap_s: float = 0.0


@dataclass(frozen=True, slots=True)
class FaultNotice:
    """GWS reported an error by notification. Source: contract 2.5 ErrorMessage [O]."""

    text: str
    at: datetime
    session_id: str | None = None
    device_path: str | None = None


Notice: TypeAlias = SessionNotice | MessageNotice | SnapshotNotice | ConnectionNotice | FaultNotice


@dataclass(frozen=True, slots=True)
class GoodPoll:
    """The last poll that was answered well, by the wall clock.

    Attributes:
        asked_at: When it was sent. Its reply brought whatever the server had for us by then, so
            nothing older can be lost any more: here a gap begins. What came up later, even while
            the reply was on its way, goes with a server that forgets the client id.
        answered_at: When it was answered: how old a thing is at most that was not there before.
    """

    asked_at: datetime
    answered_at: datetime


@dataclass(frozen=True, slots=True)
class Subscription:
    """An agent's event subscription, as another process could go on with it.

    Attributes:
        url: The GWS that it is held with.
        client_id: The Bayeux client id.
        acknowledges: Whether GWS sends again what was not acknowledged.
        since: Since when nothing can have been lost; None for not sure.
        gap_cause: Why messages may be lost that no gap tells of yet; empty when they cannot.
        pending: Channels that were still to be subscribed.
        cookies: Its cookies, as :class:`imbot.cookies.Cookies` takes them.
        tokens: The headers that a POST needs, a CSRF token most likely.
    """

    url: str
    client_id: str
    acknowledges: bool
    since: datetime | None = None
    gap_cause: str = ""
    pending: tuple[str, ...] = ()
    cookies: tuple[tuple[JSON, ...], ...] = field(default=(), repr=False)
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one reply of the wire brought for one agent, in order.

    Attributes:
        agent: Our agent's user name.
        notices: What it brought; may be empty.
        client_id: Bayeux client id; None when the batch came from a GET.
        ack: Bayeux acknowledgement number; None when the extension is off.
        good: From when on messages can be lost should this process die now; None for untold.
        subscription: What another process needs to go on; None for as told before.
        is_unbroken: Whether the agent goes on from an earlier process, and nothing was lost.
        is_farewell: Whether nobody can go on: the agent has logged out.
    """

    agent: str
    notices: tuple[Notice, ...]
    client_id: str | None = None
    ack: int | None = None
    good: GoodPoll | None = None
    subscription: Subscription | None = None
    is_unbroken: bool = False
    is_farewell: bool = False


# What rules are about -------------------------------------------------------------------------


class EventKind(StrEnum):
    """What can start a rule."""

    STATE = "state"
    MESSAGE = "message"
    USERDATA = "userdata"
    CONNECTION = "connection"
    IDLE = "idle"
    CALENDAR = "calendar"
    SCHEDULE = "schedule"
    WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True)
class Event:
    """The one kind of thing that starts a rule.

    Attributes:
        id: Unique in the store; names the agent and grows with time.
        kind: What happened.
        at: When it happened: server time where given.
        received_at: From when its age counts: the receipt, or by resync the last good poll before.
        agent: Our agent's user name; empty for schedules, calendars and webhooks.
        session: The session as it stood right after; None when the event has none.
        fields: What this kind adds: ``previous`` (state), ``text`` (message), ``changed``
            (userdata: key to ``{"old", "new"}``, absent side missing), ``reason`` and ``seconds``
            and ``change`` (connection), ``idle`` in seconds (idle), ``calendar``, ``edge`` and
            ``offset_s`` (calendar), ``schedule``, its identity (schedule), with ``scheduled_at``
            in both, ``name`` and ``body`` (webhook).
        resync: Whether it was seen by a snapshot and not by a notification.
        own: Whether our own write made it; only userdata events can be.
        depth: How many runs led to it one after another, each by what it did: 0 for what came
            from outside.
        session_key: The pair that orders, marks and echoes are kept by; None without a session.
    """

    id: str
    kind: EventKind
    at: datetime
    received_at: datetime
    agent: str
    session: ImSession | None = None
    fields: Mapping[str, JSON] = field(default_factory=dict)
    resync: bool = False
    own: bool = False
    depth: int = 0
    session_key: SessionKey | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        key = None if self.session is None else SessionKey(self.agent, self.session.id)
        object.__setattr__(self, "session_key", key)


# What imbot decided and did -------------------------------------------------------------------


class Reason(Meant):
    """Why a rule whose trigger and condition held does not run, or a step is not carried out."""

    ONCE = "once", "The rule has acted, acts, or may have acted within the scope of its `once`."
    MAX_AGE = "max_age", "The event was received longer ago than the rule's `max_age`."
    FINAL = "final", "A rule above it, whose trigger and `when` held, is `final`."
    MODE = "mode", "A run of the rule with the same key goes on, and `mode` allows no other."
    THROTTLE = "throttle", "The rule ran less than `once_within` ago."
    BUDGET = "budget", "The effects that the rule, the session or the daemon may have are used up."
    BREAKER = "breaker", "A step of the rule failed five times in a row; one run a minute is tried."
    LOOP = "loop", "Two bots seem to answer each other, and the loop guard stops this one."
    STATE = "state", "In the session's state GWS does not carry the operation out."
    CAPABILITY = "capability", "GWS does not list the operation for this session."
    CALENDAR = "calendar", "A calendar that `when` asks is closed, or open."
    DISABLED = "disabled", "The rule has `enabled: false`."
    SHADOW = "shadow", "The rule runs and nothing is sent: it or its file, or the settings say so."
    CHAIN = "chain", "More than eight rules have set each other off, and the chain is cut here."
    FLOOD = "flood", "The session brings more than anybody can type; no rule is asked for a while."
    OFF = "off", "A person switched the rule off while imbot serves."
    HALTED = "halted", "A person stopped all effects; nothing is done until they let them go on."
    QUIET = "quiet", "A person types under the bot's name, and so the bot holds back."


#: Stands for the id of a rule where none was asked.
ALL_RULES = "*"

#: Before the keys and scopes of a rule in shadow, so that it is counted apart from itself live.
SHADOW_PREFIX = "shadow "


@dataclass(frozen=True, slots=True)
class Suppressed:
    """One rule matched and does not run, or in shadow: why, with the value that decided."""

    rule_id: str
    reason: Reason
    detail: str


class OutcomeKind(Meant):
    """How a step ended."""

    DONE = "done", "It was carried out."
    WITHHELD = "withheld", "It could not have succeeded, and was not tried."
    SHADOW = "shadow", "It is written down what it would have done; the rule is in shadow."
    FAILED = "failed", "It was surely not done; `on_error` may do something else."
    PARKED = "parked", "Nobody knows whether it was done, or it was given up; a person decides."
    CANCELLED = "cancelled", "The session, or the run, was over before it."


class Step(NamedTuple):
    """One call of one action, fully rendered: nothing is left to decide.

    Attributes:
        key: ``event/rule/pc``; with the number of the call inside the action it names an effect.
        action: Registered action name, for example ``reply``.
        args: Rendered arguments, plain values.
        timeout_s: Seconds before the call is given up; None for the action's own deadline.
        place: ``path:line:col`` of the step in its rule file.
    """

    key: str
    action: str
    args: JSON
    timeout_s: float | None = None
    place: str = ""


class Outcome(NamedTuple):
    """How one step ended; every step gets exactly one.

    Attributes:
        step_key: The step's key.
        kind: How it ended.
        detail: Why, for people; empty when done.
        result: What the action returned, as plain values; None without a result.
        error_kind: ``temporary``, ``ambiguous`` or ``permanent`` when it failed or was parked.
        attempts: How often it was tried.
        fault_class: What kind of trouble GWS said it was; None when it said nothing.
    """

    step_key: str
    kind: OutcomeKind
    detail: str = ""
    result: JSON = None
    error_kind: str = ""
    attempts: int = 1
    fault_class: FaultClass | None = None
