"""The Bayeux protocol as a pure table: after this reply or this failure, what comes next.

A :class:`Session` is a frozen value that holds the one command now outstanding; :func:`answered`
and :func:`failed` return the next session and what the owner has to be told. Nothing here performs
I/O, waits or reads a clock: moments (monotonic seconds) and chance are arguments.

So there is exactly one command at a time: handshake, subscribe each channel, connect, connect, ...
Source: GWS contract 2.6 to 2.11; cometd-client section 2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from http import HTTPStatus
from typing import NamedTuple, TypeAlias

from imbot.bayeux.replies import (
    LONG_POLLING,
    MAX_ADVICE_MS,
    NETWORK_DELAY_S,
    Advice,
    Message,
    ack_number,
    error_code,
    error_of,
    is_ended,
    is_successful,
    is_unknown_client,
    offers_ack,
    reconnect_of,
)
from imbot.errors import Fault, FaultClass
from imbot.model import GoodPoll
from imbot.ports import Random

#: As often in a row an answer is asked for again that came and cannot be read. The server would
#: send it for ever, so then the Bayeux session begins anew, with a gap.
MAX_UNREADABLE = 3
#: A connect that is not to be held is answered at once, and a lost answer missed as soon; unless so
#: many were, and the server seems to hold it nevertheless.
MAX_UNHELD_FAILURES = 3
#: The longest back-off [C]; a ``Retry-After`` may ask for more, up to MAX_ADVICE_MS.
MAX_BACKOFF_S = 60.0
#: The first back-off; doubled six times the sum stays below maxInterval, so ack keeps its worth.
FIRST_BACKOFF_S = 0.1
#: Of the batch that a resumption begins with, everything is kept.
_ALL = 2**63
#: The first re-handshake is spread over so much ...
FIRST_REHANDSHAKE_S = 0.2
#: ... the next ones wait at least so long ...
NEXT_REHANDSHAKE_S = 1.0
#: ... as long as they follow within so much.
REHANDSHAKE_CALM_S = 60.0


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel that is wanted.

    Attributes:
        name: Its name, for example ``/v2/me/im-sessions``.
        required: Whether the subscription is worth nothing without it.
    """

    name: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class BayeuxResume:
    """What a process leaves to the next so that it can go on with the same Bayeux session.

    Attributes:
        client_id: The Bayeux client id.
        ack: Number of the last batch kept; None when the ack extension is off.
        good: The last good poll, from which a gap counts; None for unknown.
        pending: Channels that were still to be subscribed.
        gap_cause: Why messages since then may be lost already, whatever is acknowledged; empty
            when they cannot.
    """

    client_id: str
    ack: int | None = None
    good: GoodPoll | None = field(default=None, compare=False)
    pending: tuple[Channel, ...] = ()
    gap_cause: str = ""


class Do(StrEnum):
    """What to do next."""

    HANDSHAKE = "handshake"
    SUBSCRIBE = "subscribe"
    CONNECT = "connect"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Command:
    """The one thing to do next.

    Attributes:
        do: What to send; STOP sends nothing any more and leaves the rest to the owner.
        delay_s: Seconds to wait before.
        timeout_s: Seconds to wait for the answer.
        channel: The channel to subscribe; empty otherwise.
        hold: Whether the server may hold the connect; if not it is asked to answer at once.
        fault: Why to stop; None otherwise.
    """

    do: Do
    delay_s: float = 0.0
    timeout_s: float = NETWORK_DELAY_S
    channel: str = ""
    hold: bool = True
    fault: Fault | None = None


# What the owner is told -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Down:
    """The subscription is broken, and not just for one lost poll."""

    cause: str


@dataclass(frozen=True, slots=True)
class Up:
    """The subscription works again after a Down."""


@dataclass(frozen=True, slots=True)
class Gap:
    """The subscription works, but messages since the last good connect was sent may be lost.

    It is over with the first good connect after all is subscribed: what comes up from now on
    waits for the next one. Moments are monotonic, see :class:`GoodPoll`.
    """

    cause: str
    asked_at: float
    good_at: float


@dataclass(frozen=True, slots=True)
class Warned:
    """Something is refused or odd, and the session goes on."""

    fault: Fault


Report: TypeAlias = Down | Up | Gap | Warned


class Session(NamedTuple):
    """Where one Bayeux session stands.

    Attributes:
        channels: Every channel wanted, whatever the server last said about it.
        command: The one command outstanding.
        asked_at: Monotonic moment at which the last good connect was sent; at first of the
            opening, or that of the process before.
        good_at: Monotonic moment at which it was answered.
        client_id: From the last handshake; None before.
        ack: Number of the last batch kept; None when the ack extension is off.
        kept: How many messages of that batch are kept.
        alive_at: Monotonic moment at which the server had, or may have had, the client id.
        advice: The server's wishes.
        pending: Channels still to be subscribed, the outstanding one first.
        is_open: Whether a connect ever succeeded; before that any failure stops.
        is_resumed: Whether the client id is one of an earlier process.
        is_down: Whether the owner was told so.
        gap_cause: Why messages may have been lost since ``good_at``; empty when they cannot.
        failures: Failures in a row since the last good connect.
        rehandshakes: Re-handshakes that followed each other within a minute.
        rehandshook_at: Monotonic moment of the last one.
    """

    channels: tuple[Channel, ...]
    command: Command
    asked_at: float
    good_at: float
    client_id: str | None = None
    ack: int | None = None
    kept: int = 0
    alive_at: float = -math.inf
    advice: Advice = Advice()
    pending: tuple[Channel, ...] = ()
    is_open: bool = False
    is_resumed: bool = False
    is_down: bool = False
    gap_cause: str = ""
    failures: int = 0
    rehandshakes: int = 0
    rehandshook_at: float = -math.inf

    @property
    def is_sound(self) -> bool:
        """Whether the last connect was good, and nothing can have been lost since."""
        return self.is_open and not self.failures and not self.gap_cause


class Turn(NamedTuple):
    """The session after an answer or a failure, and what to tell the owner, in order."""

    session: Session
    reports: tuple[Report, ...] = ()


class Chance(NamedTuple):
    """When the command was sent, when it is now, and the dice."""

    asked_at: float
    now: float
    random: Random

    def upto(self, ceiling: float) -> float:
        """Return a number from 0 to ``ceiling``: full jitter."""
        return self.random.random() * ceiling


class Share(NamedTuple):
    """Which of the messages of one reply are to be taken, and what they are kept under.

    What was there before is told by its position and never by what it says: the client id, the
    number of its batch, and its place among the others.

    Attributes:
        skip: The first so many came before.
        ack: The number of the batch that is kept once the others are; None for as before.
        kept: How many messages of that batch are kept then.
        fault: Why the server's numbers cannot be trusted any more; empty while they can.
    """

    skip: int = 0
    ack: int | None = None
    kept: int = 0
    fault: str = ""


#: Nothing came, or there are no numbers.
NOTHING = Share()


def share_of(session: Session, reply: Message, count: int) -> Share:
    """Return which of the ``count`` messages that came with a reply are new.

    Without the ack extension all are. With it they come with connects only, each batch with a
    number higher than the last; what rides on another reply has no number and came never before.

    Args:
        session: Where the session stood.
        reply: The meta message that answered its command; empty when none did.
        count: How many messages came with it.
    """
    last = session.ack
    if last is None or session.command.do is not Do.CONNECT:
        return NOTHING
    number = ack_number(reply)
    if number is None:
        missing = f"{count} messages came without a number to acknowledge" if count else ""
        return Share(fault=missing)
    if number < last:
        back = f"the numbers to acknowledge went back from {last} to {number}"
        return Share(skip=count, fault=back)
    if number == last:
        return Share(min(session.kept, count), last, max(session.kept, count))
    return Share(0, number, count)


# The table ------------------------------------------------------------------------------------


def opening(
    channels: Sequence[Channel],
    *,
    good_at: float,
    asked_at: float | None = None,
    now: float | None = None,
    resume: BayeuxResume | None = None,
) -> Session:
    """Return a session about to handshake or, given what an earlier one left, about to go on.

    It polls, after it has subscribed what the earlier one had not.

    Args:
        channels: What to subscribe.
        good_at: Now, or when the earlier one's last good connect was answered.
        asked_at: When that was sent.
        now: Now, when ``good_at`` is not: the server may have remembered until a moment ago.
        resume: What the earlier one left.
    """
    asked_at = good_at if asked_at is None else asked_at
    session = Session(tuple(channels), Command(Do.HANDSHAKE), asked_at, good_at)
    if resume is None:
        return session
    unacknowledged = "resumed without acknowledgements" if resume.ack is None else ""
    resumed = session._replace(
        client_id=resume.client_id,
        ack=resume.ack,
        kept=_ALL,
        alive_at=good_at if now is None else now,
        pending=resume.pending,
        is_resumed=True,
        gap_cause=resume.gap_cause or unacknowledged,
    )
    return _subscribing(resumed)


def answered(
    session: Session,
    reply: Message,
    *,
    metas: Sequence[Message],
    share: Share = NOTHING,
    at: Chance,
) -> Turn:
    """Return what follows from the reply to the outstanding command.

    Args:
        session: Where the session stood.
        reply: The meta message that answers the command.
        metas: Every meta message that came with it, itself included.
        share: Which of the messages that came with it were taken.
        at: When the command went out and this came.
    """
    session, warnings = _advised(session, metas)
    if share.ack is not None:
        session = session._replace(ack=share.ack, kept=share.kept)
    do = session.command.do
    if do is not Do.HANDSHAKE and is_ended(metas):
        return _stopped(session, _ended_fault(reply))
    if share.fault:
        after, reports = _rehandshaking(session, Fault(FaultClass.SERVER, text=share.fault), at)
    else:
        after, reports = _AFTER[do](session, reply, at)
    return Turn(after, (*warnings, *_repeats(share), *reports))


def failed(session: Session, fault: Fault, *, share: Share = NOTHING, at: Chance) -> Turn:
    """Return what follows when the outstanding command failed, or got no Bayeux answer at all.

    HTTP 401 and 403 stop: logging in is the owner's. A lost poll is a possible gap unless the
    server still has what it sent (ack on, same client id). The client id is tried again until the
    server must have forgotten it; then comes a handshake.
    """
    needs_login = fault.fault_class in {FaultClass.AUTH, FaultClass.CSRF}
    if needs_login or not (session.is_open or session.is_resumed):
        return _stopped(session, fault)
    if share.fault:
        return _rehandshaking(session, Fault(FaultClass.SERVER, text=share.fault), at)
    is_unreadable = fault.http_status == HTTPStatus.OK
    warnings = (Warned(fault),) if is_unreadable else ()
    if is_unreadable and session.ack is not None and session.failures + 1 >= MAX_UNREADABLE:
        after, reports = _rehandshaking(session, fault, at)
        return Turn(after, (*warnings, *reports))
    session, reports = _in_trouble(session, str(fault), at)
    reports = (*warnings, *reports)
    delay_s = _backoff_s(session, fault, at)
    expires_at = session.alive_at + session.advice.window_s
    if session.command.do is not Do.CONNECT or at.now + delay_s >= expires_at:
        return Turn(_handshaking(session, str(fault), delay_s), reports)
    if session.ack is None:
        session = session._replace(gap_cause=session.gap_cause or str(fault))
    return Turn(_connecting(session, hold=False, delay_s=delay_s), reports)


def _repeats(share: Share) -> tuple[Report, ...]:
    if not share.skip:
        return ()
    text = f"{share.skip} messages that are kept already came again"
    return (Warned(Fault(FaultClass.SERVER, text=text)),)


def _advised(session: Session, metas: Sequence[Message]) -> Turn:
    before = session.advice
    # A new Bayeux session begins without the wishes of the old one, a rival's interval above all.
    advice = Advice() if session.command.do is Do.HANDSHAKE else before
    for meta in metas:
        advice = advice.merged(meta.get("advice"))
    if advice is not before:
        session = session._replace(advice=advice)
    if not advice.is_rivalled or before.is_rivalled:
        return Turn(session)
    text = "another Bayeux client uses the same cookies, so the server slows the polls down"
    return Turn(session, (Warned(Fault(FaultClass.CONFLICT, text=text)),))


def _after_handshake(session: Session, reply: Message, at: Chance) -> Turn:
    if not is_successful(reply):
        fault = _fault_of(reply)
        is_denied = fault.fault_class is FaultClass.AUTH
        return _stopped(session, fault) if is_denied else failed(session, fault, at=at)
    client_id = reply.get("clientId")
    if not isinstance(client_id, str) or not client_id:
        text = "/meta/handshake succeeded without a clientId"
        return failed(session, Fault(FaultClass.SERVER, text=text), at=at)
    offered = reply.get("supportedConnectionTypes", [LONG_POLLING])
    if not isinstance(offered, list) or LONG_POLLING not in offered:
        text = f"the server offers {offered!r:.200} and not {LONG_POLLING}"
        return _stopped(session, Fault(FaultClass.INPUT, text=text))
    begun = session._replace(
        client_id=client_id,
        ack=0 if offers_ack(reply) else None,
        kept=0,
        pending=session.channels,
        is_resumed=False,
    )
    return Turn(_subscribing(begun))


def _after_subscribe(session: Session, reply: Message, at: Chance) -> Turn:
    channel, *rest = session.pending
    advanced = _subscribing(session._replace(pending=tuple(rest)))
    if is_successful(reply):
        return Turn(advanced)
    if is_unknown_client(reply):
        return _rehandshaking(session, _fault_of(reply), at)
    refusal = Fault(FaultClass.PERMISSION, text=f"{channel.name}: {error_of(reply)}")
    if not channel.required:
        return Turn(advanced, (Warned(refusal),))
    after, reports = failed(session, refusal, at=at)
    return Turn(after, (Warned(refusal), *reports) if session.is_open else reports)


def _after_connect(session: Session, reply: Message, at: Chance) -> Turn:
    match _verdict(reply, denied=Do.HANDSHAKE):
        case Do.STOP:
            return _stopped(session, _ended_fault(reply))
        case Do.HANDSHAKE:
            return _rehandshaking(session, _fault_of(reply), at)
        case _ if is_successful(reply):
            return _after_good_connect(session, at)
        case _:
            return failed(session, _fault_of(reply), at=at)


def _after_good_connect(session: Session, at: Chance) -> Turn:
    reports: tuple[Report, ...] = (Up(),) if session.is_down else ()
    if session.gap_cause:
        reports = (*reports, Gap(session.gap_cause, session.asked_at, session.good_at))
    good = session._replace(
        asked_at=at.asked_at,
        good_at=at.now,
        alive_at=at.now,
        is_open=True,
        is_down=False,
        gap_cause="",
        failures=0,
        command=_connect(session.advice, hold=True, delay_s=session.advice.interval_ms / 1000),
    )
    return Turn(good, reports)


_AFTER = {
    Do.HANDSHAKE: _after_handshake,
    Do.SUBSCRIBE: _after_subscribe,
    Do.CONNECT: _after_connect,
}


def _rehandshaking(session: Session, fault: Fault, at: Chance) -> Turn:
    """Return the session about to handshake anew: at once, unless that was tried just now."""
    if not (session.is_open or session.is_resumed):
        return _stopped(session, fault)
    session, reports = _in_trouble(session, str(fault), at)
    if at.now - session.rehandshook_at >= REHANDSHAKE_CALM_S:
        again = 0
        delay_s = at.upto(FIRST_REHANDSHAKE_S)
    else:
        again = session.rehandshakes + 1
        delay_s = NEXT_REHANDSHAKE_S + at.upto(_doubled(NEXT_REHANDSHAKE_S, again))
    paced = session._replace(rehandshakes=again, rehandshook_at=at.now + delay_s)
    return Turn(_handshaking(paced, str(fault), delay_s), reports)


def _in_trouble(session: Session, cause: str, at: Chance) -> Turn:
    """Count one more failure; a poll that the next attempt makes good is not worth a Down."""
    failures = session.failures + 1
    is_stale = at.now - session.good_at >= session.advice.window_s
    is_down = session.is_down or (session.is_open and (failures > 1 or is_stale))
    reports = (Down(cause),) if is_down and not session.is_down else ()
    return Turn(session._replace(failures=failures, is_down=is_down), reports)


# The next command -----------------------------------------------------------------------------


def _handshaking(session: Session, cause: str, delay_s: float) -> Session:
    command = Command(Do.HANDSHAKE, delay_s)
    return session._replace(command=command, gap_cause=session.gap_cause or cause)


def _subscribing(session: Session) -> Session:
    if not session.pending:
        return _connecting(session, hold=False)
    return session._replace(command=Command(Do.SUBSCRIBE, channel=session.pending[0].name))


def _connecting(session: Session, *, hold: bool, delay_s: float = 0.0) -> Session:
    command = _connect(session.advice, hold=hold, delay_s=delay_s)
    if not hold and session.failures < MAX_UNHELD_FAILURES:
        command = replace(command, timeout_s=NETWORK_DELAY_S)
    return session._replace(command=command)


def _connect(advice: Advice, *, hold: bool, delay_s: float) -> Command:
    return Command(Do.CONNECT, delay_s, advice.poll_timeout_s, hold=hold)


def _stopped(session: Session, fault: Fault) -> Turn:
    return Turn(session._replace(command=Command(Do.STOP, fault=fault)))


def _backoff_s(session: Session, fault: Fault, at: Chance) -> float:
    asked_s = min(fault.retry_after_s or 0.0, MAX_ADVICE_MS / 1000)
    return max(at.upto(_doubled(FIRST_BACKOFF_S, session.failures - 1)), asked_s)


def _doubled(first_s: float, times: int) -> float:
    return min(MAX_BACKOFF_S, first_s * 2.0 ** min(times, 20))


# What a reply means for the session -----------------------------------------------------------


def _verdict(reply: Message, *, denied: Do) -> Do:
    """Return CONNECT to go on or to retry, HANDSHAKE, or STOP.

    An advice this client does not know is never acted on: the owner decides. Where the reply gives
    no advice its error's number decides; ``denied`` is what 401 and 403 then mean.
    """
    reconnect = reconnect_of(reply)
    if reconnect not in {None, "retry", "handshake"}:
        return Do.STOP
    if reconnect == "handshake" or is_unknown_client(reply):
        return Do.HANDSHAKE
    if reconnect is None and error_code(reply) in {"401", "403"}:
        return denied
    return Do.CONNECT


def _fault_of(reply: Message) -> Fault:
    is_denied = _verdict(reply, denied=Do.STOP) is Do.STOP
    fault_class = FaultClass.AUTH if is_denied else FaultClass.SERVER
    return Fault(fault_class, text=f"{reply.get('channel')}: {error_of(reply)}")


def _ended_fault(reply: Message) -> Fault:
    reason = f"{error_of(reply)}, advice.reconnect {reconnect_of(reply)!r:.50}"
    return Fault(FaultClass.AUTH, text=f"the server ended the Bayeux session: {reason}")
