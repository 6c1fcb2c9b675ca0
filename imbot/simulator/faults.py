"""The fault knobs: what the simulated GWS does wrong, how often, and to whom.

A knob says *when*; what then happens is written where it happens (world, bayeux, gate, rest).
"""

from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum
from random import Random
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Knob(BaseModel):
    """When one fault strikes: by chance, or the next so many times.

    Written ``true``, a probability, or an object with these fields.

    Attributes:
        probability: Chance per occasion, 0 to 1.
        next: Strikes at the next so many occasions, whatever the probability.
        only: Names of requests that it is limited to: an ``operationName``, ``GET``, or a Bayeux
            channel such as ``/meta/connect``. Empty means every occasion.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    probability: float = Field(default=0.0, ge=0, le=1)
    next: int = Field(default=0, ge=0)
    only: tuple[str, ...] = ()

    @property
    def is_set(self) -> bool:
        """Return whether it can ever strike."""
        return self.next > 0 or self.probability > 0


def _spelled_out(value: object) -> object:
    return {"probability": float(value)} if isinstance(value, bool | int | float) else value


#: A knob that never strikes.
OFF = Knob()

_Knob = Annotated[Knob, BeforeValidator(_spelled_out)]


class Faults(BaseModel):
    """Every knob, and the numbers that go with some of them. The default is a well-behaved GWS."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # What notifications look like.
    state_space: _Knob = Field(default=OFF, description="state with a leading space: ' Talking'")
    ids_differ: _Knob = Field(default=OFF, description="new IM sessions: id, path and uri disagree")
    no_envelope: _Knob = Field(default=OFF, description="event without the data envelope")
    data_text: _Knob = Field(default=OFF, description="data is JSON inside a string")
    message_object: _Knob = Field(
        default=OFF, description="message is an object with text and from"
    )
    # When they come.
    notification_before_reply: _Knob = Field(
        default=OFF, description="event before the POST's reply"
    )
    no_echo: _Knob = Field(default=OFF, description="the sender gets no copy of its message")
    late_echo: _Knob = Field(default=OFF, description="the sender's copy comes late_echo_s later")
    duplicate_echo: _Knob = Field(default=OFF, description="the sender's copy comes twice")
    # REST operations.
    error_message: _Knob = Field(
        default=OFF,
        description="operation refused: HTTP 500, statusCode 4, and a text-less ErrorMessage",
    )
    error_after: _Knob = Field(default=OFF, description="done, then HTTP 500 statusCode 4")
    drop_after: _Knob = Field(default=OFF, description="done, then the connection is dropped")
    hang_after: _Knob = Field(default=OFF, description="done, then silence for hang_s")
    login_partial: _Knob = Field(default=OFF, description="login answers 7: partial_channel failed")
    login_failed: _Knob = Field(default=OFF, description="login answers HTTP 500 statusCode 4")
    # Any request, REST or CometD.
    error_before: _Knob = Field(default=OFF, description="HTTP 500 statusCode 4, nothing done")
    drop_before: _Knob = Field(default=OFF, description="connection dropped, nothing done")
    session_lost: _Knob = Field(
        default=OFF, description="403 statusCode 20: HTTP session invalidated"
    )
    csrf_rotated: _Knob = Field(default=OFF, description="the CSRF token changes before this POST")
    unavailable: _Knob = Field(default=OFF, description="HTTP 503, nothing done")
    html_502: _Knob = Field(default=OFF, description="HTTP 502 with HTML, nothing done")
    lb_cookie: _Knob = Field(
        default=OFF, description="a new load-balancer cookie, needed from then on"
    )
    hang: _Knob = Field(default=OFF, description="silence for hang_s, nothing done, then dropped")
    slow_drip: _Knob = Field(
        default=OFF, description="the reply comes byte by byte, one per drip_s"
    )
    # Bayeux.
    handshake_denied: _Knob = Field(default=OFF, description="403::Handshake denied, advice none")
    unknown_client_connect: _Knob = Field(default=OFF, description="session gone: 402 on connect")
    unknown_client_subscribe: _Knob = Field(
        default=OFF, description="session gone: 402 on subscribe, without advice"
    )
    event_in_subscribe_reply: _Knob = Field(
        default=OFF, description="an event rides before the subscribe reply"
    )
    poll_reply_lost: _Knob = Field(
        default=OFF, description="events taken from the queue, then the connection is closed"
    )
    poll_cut: _Knob = Field(default=OFF, description="a held poll's connection is closed")
    multiple_clients: _Knob = Field(
        default=OFF, description="connect at once, advice multiple-clients"
    )
    unknown_client_403: _Knob = Field(
        default=OFF, description="session gone: 403::Unknown client on connect, without advice"
    )
    event_dropped: _Knob = Field(default=OFF, description="an event is told to nobody, silently")
    batch_twice: _Knob = Field(
        default=OFF, description="the events of a poll come again, under the same ack number"
    )
    answer_twice: _Knob = Field(
        default=OFF, description="the answer to the last poll comes again, id and all"
    )
    ack_back: _Knob = Field(default=OFF, description="the ack number goes back to 1")
    ack_object: _Knob = Field(
        default=OFF, description="ack as an object: enabled with a handshake, batch with a connect"
    )
    other_client: _Knob = Field(
        default=OFF, description="a connect reply names another client, its events are not ours"
    )
    long_interval: _Knob = Field(
        default=OFF, description="a connect reply advises 60 s between polls"
    )
    # How IM sessions come about.
    straight_to_talking: _Knob = Field(default=OFF, description="no Initiating or Alerting before")
    alerting_answer: _Knob = Field(
        default=OFF, description="Alerting with an accept capability; waits for that operation"
    )
    not_answered: _Knob = Field(
        default=OFF, description="the called side refuses: Completed at once"
    )
    several_devices: bool = Field(default=False, description="a second capable device")

    accept_operation: str = Field(default="Answer", description="name of the accept operation")
    auto_answer_s: float = Field(default=0.0, ge=0, description="Alerting lasts this long")
    late_echo_s: float = Field(default=0.5, ge=0, description="how late a late echo is")
    early_notice_s: float = Field(default=0.02, ge=0, description="event ahead of the reply by")
    hang_s: float = Field(default=60.0, ge=0, description="how long a hang lasts")
    drip_s: float = Field(default=0.05, ge=0, description="pause between the bytes of a drip")
    cut_after_s: float = Field(default=30.0, ge=0, description="when a poll is cut")
    partial_channel: Literal["voice", "multimedia"] = Field(
        default="voice", description="channel that fails when login answers 7"
    )


class FaultKind(StrEnum):
    """The name of a knob; one member per knob of :class:`Faults`."""

    STATE_SPACE = "state_space"
    IDS_DIFFER = "ids_differ"
    NO_ENVELOPE = "no_envelope"
    DATA_TEXT = "data_text"
    MESSAGE_OBJECT = "message_object"
    NOTIFICATION_BEFORE_REPLY = "notification_before_reply"
    NO_ECHO = "no_echo"
    LATE_ECHO = "late_echo"
    DUPLICATE_ECHO = "duplicate_echo"
    ERROR_MESSAGE = "error_message"
    ERROR_BEFORE = "error_before"
    ERROR_AFTER = "error_after"
    DROP_BEFORE = "drop_before"
    DROP_AFTER = "drop_after"
    HANG_AFTER = "hang_after"
    LOGIN_PARTIAL = "login_partial"
    LOGIN_FAILED = "login_failed"
    SESSION_LOST = "session_lost"
    CSRF_ROTATED = "csrf_rotated"
    UNAVAILABLE = "unavailable"
    HTML_502 = "html_502"
    LB_COOKIE = "lb_cookie"
    HANG = "hang"
    SLOW_DRIP = "slow_drip"
    HANDSHAKE_DENIED = "handshake_denied"
    UNKNOWN_CLIENT_CONNECT = "unknown_client_connect"
    UNKNOWN_CLIENT_SUBSCRIBE = "unknown_client_subscribe"
    EVENT_IN_SUBSCRIBE_REPLY = "event_in_subscribe_reply"
    POLL_REPLY_LOST = "poll_reply_lost"
    POLL_CUT = "poll_cut"
    MULTIPLE_CLIENTS = "multiple_clients"
    UNKNOWN_CLIENT_403 = "unknown_client_403"
    EVENT_DROPPED = "event_dropped"
    BATCH_TWICE = "batch_twice"
    ANSWER_TWICE = "answer_twice"
    ACK_BACK = "ack_back"
    ACK_OBJECT = "ack_object"
    OTHER_CLIENT = "other_client"
    LONG_INTERVAL = "long_interval"
    STRAIGHT_TO_TALKING = "straight_to_talking"
    ALERTING_ANSWER = "alerting_answer"
    NOT_ANSWERED = "not_answered"


class _Setting:
    """One :class:`Faults` in force, with what is left of its ``next`` counts."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        knobs: Mapping[FaultKind, Knob] = {kind: getattr(faults, kind) for kind in FaultKind}
        self._set = {kind: knob for kind, knob in knobs.items() if knob.is_set}
        self._left = {kind: knob.next for kind, knob in self._set.items() if knob.next}

    def strikes(self, kind: FaultKind, name: str, random: Random) -> bool:
        knob = self._set.get(kind)
        if knob is None or (knob.only and name not in knob.only):
            return False
        if self._left.get(kind, 0) > 0:
            self._left[kind] -= 1
            return True
        return knob.probability > 0 and random.random() < knob.probability


class FaultBox:
    """The faults in force, for everybody and per agent; an agent's own are tried first.

    Attributes:
        struck: How often each kind has struck.
        on_strike: Called with kind, agent and request name whenever one strikes.
    """

    def __init__(self, faults: Faults, random: Random) -> None:
        self._random = random
        self._everybody = _Setting(faults)
        self._by_agent: dict[str, _Setting] = {}
        self.struck: Counter[FaultKind] = Counter()
        self.on_strike: Callable[[FaultKind, str, str], None] = lambda _kind, _agent, _name: None

    def of(self, agent: str = "") -> Faults:
        """Return the faults of this agent: its own if it has any, else everybody's."""
        return self._by_agent.get(agent, self._everybody).faults

    def replace(self, faults: Faults | None, agent: str = "") -> None:
        """Put these in force, counts anew; for one agent None takes its own away."""
        if not agent:
            self._everybody = _Setting(faults or Faults())
        elif faults is None:
            self._by_agent.pop(agent, None)
        else:
            self._by_agent[agent] = _Setting(faults)

    def strikes(self, kind: FaultKind, agent: str = "", name: str = "") -> bool:
        """Return whether this fault strikes now; a ``next`` count is used up by asking."""
        own = self._by_agent.get(agent)
        struck = (own is not None and own.strikes(kind, name, self._random)) or (
            self._everybody.strikes(kind, name, self._random)
        )
        if struck:
            self.struck[kind] += 1
            self.on_strike(kind, agent, name)
        return struck
