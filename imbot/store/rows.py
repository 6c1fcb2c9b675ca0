"""Between records and the values of their columns, both ways; no SQL and no I/O here.

What is empty is kept as NULL: there is nothing to encode then.
"""

import hmac
from collections.abc import Mapping
from typing import Any, TypeAlias

from imbot.model import (
    JSON,
    Event,
    EventKind,
    GoodPoll,
    ImSession,
    Participant,
    Reason,
    SessionKey,
    Subscription,
    Suppressed,
)
from imbot.records import (
    AckSeen,
    Audited,
    EchoesLearnt,
    EchoSeen,
    Effect,
    EffectState,
    EventHandled,
    EventSeen,
    GapSeen,
    Intent,
    MarksLost,
    OnceMarked,
    OnceTakenBack,
    Order,
    OrderGiven,
    OrderKind,
    OrderTaken,
    RuleSeen,
    RunSeen,
    RunState,
    SessionSeen,
    Strand,
    SubscriptionEnded,
    SubscriptionKept,
    TimerGone,
    TimerSet,
    Verdict,
)
from imbot.store.columns import decode_plain, encode_plain

#: Column name to value, before encoding or after decoding.
Row: TypeAlias = Mapping[Any, Any]

#: Stands for every rule in a once mark; no rule has such an id.
EVERY_RULE = "*"

#: The key under which is kept what is known about echoes.
ECHOES = "echoes"

#: So many digits fit a 64-bit column whatever they are.
_MOST_DIGITS = 18


def event_number(event_id: str) -> int:
    """Return the number that an event id ends in; 0 when it ends in none."""
    digits = event_id[len(event_id.rstrip("0123456789")) :]
    return int(digits) if 0 < len(digits) <= _MOST_DIGITS else 0


def session_to_plain(session: ImSession) -> dict[str, JSON]:
    """Return the session as plain values; what it has none of is left out."""
    plain: dict[str, JSON] = {"id": session.id, "state": session.state}
    if session.user_data:
        plain["user_data"] = dict(session.user_data)
    if session.participants:
        plain["participants"] = [participant.facts() for participant in session.participants]
    if session.capabilities is not None:
        plain["capabilities"] = session.capabilities
    if session.aliases:
        plain["aliases"] = session.aliases
    return plain


def session_from_plain(plain: Mapping[str, Any]) -> ImSession:
    """Return the session that :func:`session_to_plain` was given."""
    capabilities = plain.get("capabilities")
    return ImSession(
        id=plain["id"],
        state=plain["state"],
        user_data=plain.get("user_data", {}),
        participants=tuple(Participant(**facts) for facts in plain.get("participants", ())),
        capabilities=None if capabilities is None else tuple(capabilities),
        aliases=tuple(plain.get("aliases", ())),
    )


def from_event_seen(change: EventSeen) -> Row:
    """Return the columns of an event."""
    event = change.event
    session = event.session
    return {
        "id": event.id,
        "number": event_number(event.id),
        "agent": event.agent,
        "session_id": "" if session is None else session.id,
        "kind": event.kind.value,
        "at": event.at,
        "received_at": event.received_at,
        "resync": event.resync,
        "own": event.own,
        "session": None if session is None else session_to_plain(session),
        "fields": dict(event.fields) or None,
        "depth": event.depth or None,
    }


def to_event(row: Row) -> Event:
    """Return the event of a row."""
    session = row["session"]
    return Event(
        id=row["id"],
        kind=EventKind(row["kind"]),
        at=row["at"],
        received_at=row["received_at"],
        agent=row["agent"],
        session=None if session is None else session_from_plain(session),
        fields=row["fields"] or {},
        resync=row["resync"],
        own=row["own"],
        depth=row["depth"] or 0,
    )


def from_event_handled(change: EventHandled) -> Row:
    """Return the columns that a decision sets."""
    return {
        "id_": change.event_id,
        "handled_at": change.at,
        "rule_ids": change.rule_ids or None,
        "suppressed": [(why.rule_id, why.reason, why.detail) for why in change.suppressed] or None,
    }


def to_suppressed(plain: JSON) -> tuple[Suppressed, ...]:
    """Return what the column ``suppressed`` holds."""
    return tuple(Suppressed(rule, Reason(reason), detail) for rule, reason, detail in plain or ())


def from_run_seen(change: RunSeen) -> Row:
    """Return the columns of a run."""
    session = change.session
    return {
        "run_id": change.run_id,
        "event_id": change.event_id,
        "rule_id": change.rule_id,
        "rule_version": change.rule_version,
        "key": change.key,
        "state": change.state.value,
        "pc": change.pc,
        "attempt": change.attempts,
        "began_at": change.at,
        "at": change.at,
        "due_at": change.due_at,
        "bound": dict(change.bound) or None,
        "agent": None if session is None else session.agent,
        "session_id": None if session is None else session.session_id,
        "detail": change.detail,
        "strands": [_from_strand(strand) for strand in change.strands] or None,
        "cancelled": change.cancelled or None,
        "in_shadow": change.in_shadow or None,
    }


def _from_strand(strand: Strand) -> list[JSON]:
    return [strand.pc, strand.due_at, strand.waits, strand.attempts, *strand.forks]


def _to_strand(plain: JSON) -> Strand:
    pc, due_at, waits, attempts, *forks = plain
    return Strand(pc, due_at, waits, tuple(forks), attempts)


def to_run(row: Row) -> RunSeen:
    """Return the run of a row."""
    return RunSeen(
        run_id=row["run_id"],
        event_id=row["event_id"],
        rule_id=row["rule_id"],
        rule_version=row["rule_version"],
        key=row["key"],
        state=RunState(row["state"]),
        pc=row["pc"],
        at=row["at"],
        bound=row["bound"] or {},
        session=None if row["agent"] is None else SessionKey(row["agent"], row["session_id"]),
        detail=row["detail"],
        due_at=row["due_at"],
        attempts=row["attempt"],
        strands=tuple(_to_strand(plain) for plain in row["strands"] or ()),
        cancelled=row["cancelled"] or "",
        in_shadow=bool(row["in_shadow"]),
    )


def from_once_marked(change: OnceMarked) -> Row:
    """Return the columns of a once mark."""
    return {
        "rule_id": change.rule_id,
        "scope": change.scope,
        "run_id": change.run_id,
        "at": change.at,
    }


def from_marks_lost(change: MarksLost) -> Row:
    """Return the columns of the mark of every rule in a session."""
    return {
        "rule_id": EVERY_RULE,
        "scope": encode_plain([*change.session]),
        "run_id": "",
        "at": change.at,
    }


def to_marks_lost(row: Row) -> SessionKey:
    """Return the session of a mark of every rule."""
    return SessionKey(*decode_plain(row["scope"]))


def hidden_scope(scope: str, key: bytes) -> str:
    """Return what stands for the scope of a once mark that named somebody who was erased."""
    return f"erased {hmac.digest(key, scope.encode('utf-8', 'replace'), 'sha256').hex()}"


def from_once_taken_back(change: OnceTakenBack) -> Row:
    """Return what names the once mark."""
    return {"rule_id": change.rule_id, "scope": change.scope}


def from_intent(change: Intent) -> Row:
    """Return the columns of an effect that is about to be sent."""
    return {
        "effect_id": change.effect_id,
        "run_id": change.run_id,
        "agent": change.agent,
        "session_id": change.session_id,
        "rule_id": change.rule_id,
        "action": change.action,
        "operation": change.operation,
        "state": (EffectState.SHADOW if change.in_shadow else EffectState.SENDING).value,
        "payload": change.payload,
        "before": change.before,
        "echo": change.echo,
        "at": change.at,
        "attempt": change.attempt,
        "epoch": change.epoch,
        "detail": "",
    }


def to_effect(row: Row) -> Effect:
    """Return the effect of a row."""
    intent = Intent(
        effect_id=row["effect_id"],
        run_id=row["run_id"],
        agent=row["agent"],
        session_id=row["session_id"],
        rule_id=row["rule_id"],
        action=row["action"],
        operation=row["operation"],
        payload=row["payload"],
        at=row["at"],
        echo=row["echo"],
        attempt=row["attempt"],
        epoch=row["epoch"],
        in_shadow=row["state"] == EffectState.SHADOW,
        before=row["before"],
    )
    return Effect(intent, EffectState(row["state"]), row["result"], row["detail"])


def from_verdict(change: Verdict) -> Row:
    """Return the columns that a verdict sets."""
    return {
        "effect_id_": change.effect_id,
        "state_": change.state.value,
        "settled_at": change.at,
        "result": change.result,
        "detail": change.detail,
    }


def from_audited(change: Audited) -> Row:
    """Return the columns of what somebody did."""
    return change._asdict()


def to_audited(row: Row) -> Audited:
    """Return what somebody did."""
    return Audited(*(row[name] for name in Audited._fields))


def from_order_given(change: OrderGiven) -> Row:
    """Return the columns of an order."""
    return {
        "effect_id": change.effect_id,
        "kind": change.kind.value,
        "ordered_by": change.by,
        "at": change.at,
        "refused": "",
    }


def from_order_taken(change: OrderTaken) -> Row:
    """Return the columns that taking an order up sets."""
    return {"seq_": change.number, "taken_at": change.at, "refused": change.refused}


def to_order(row: Row, effect: Effect | None = None) -> Order:
    """Return the order of a row."""
    given = OrderGiven(row["effect_id"], OrderKind(row["kind"]), row["ordered_by"], row["at"])
    at = row["taken_at"]
    taken = None if at is None else OrderTaken(row["seq"], at, row["refused"])
    return Order(row["seq"], given, taken, effect)


def from_echo_seen(change: EchoSeen) -> Row:
    """Return the columns that an echo sets."""
    return {
        "effect_id_": change.effect_id,
        "state": EffectState.CONFIRMED.value,
        "echo_at": change.at,
    }


def from_echoes_learnt(change: EchoesLearnt) -> Row:
    """Return the columns of what is known about echoes."""
    return {"key": ECHOES, "value": encode_plain(list(change))}


def to_echoes_learnt(value: str) -> EchoesLearnt:
    """Return what is known about echoes, as it is kept."""
    return EchoesLearnt(*decode_plain(value))


def from_session_seen(change: SessionSeen) -> Row:
    """Return the columns of a session."""
    return {
        "agent": change.agent,
        "session_id": change.session.id,
        "state": change.session.state,
        "session": session_to_plain(change.session),
        "mine": change.mine,
        "first_seen_at": change.first_seen_at,
        "seen_at": change.seen_at,
        "talking_at": change.talking_at,
        "completed_at": change.completed_at,
    }


def to_session_seen(row: Row) -> SessionSeen:
    """Return the session of a row."""
    return SessionSeen(
        agent=row["agent"],
        session=session_from_plain(row["session"]),
        first_seen_at=row["first_seen_at"],
        seen_at=row["seen_at"],
        mine=row["mine"],
        talking_at=row["talking_at"],
        completed_at=row["completed_at"],
    )


def from_gap_seen(change: GapSeen) -> Row:
    """Return the columns of a gap."""
    return {
        "agent": change.agent,
        "reason": change.reason,
        "session_ids": change.session_ids,
        "started_at": change.started_at,
        "ended_at": change.ended_at,
    }


def to_gap(row: Row) -> GapSeen:
    """Return the gap of a row."""
    return GapSeen(
        agent=row["agent"],
        session_ids=tuple(row["session_ids"]),
        reason=row["reason"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
    )


def from_ack_seen(change: AckSeen) -> Row:
    """Return the columns of an acknowledgement."""
    good = change.good
    return {
        "agent": change.agent,
        "client_id": change.client_id,
        "ack": change.ack,
        "asked_at": None if good is None else good.asked_at,
        "answered_at": None if good is None else good.answered_at,
    }


def to_ack_seen(row: Row) -> AckSeen:
    """Return the acknowledgement of a row."""
    asked_at, answered_at = row["asked_at"], row["answered_at"]
    good = None if asked_at is None or answered_at is None else GoodPoll(asked_at, answered_at)
    return AckSeen(row["agent"], row["client_id"], row["ack"], good)


def from_subscription_kept(change: SubscriptionKept) -> Row:
    """Return the columns of a subscription."""
    held = change.subscription
    return {
        "agent": change.agent,
        "url": held.url,
        "client_id": held.client_id,
        "gap_cause": held.gap_cause,
        "acknowledges": held.acknowledges,
        "since": held.since,
        "pending": held.pending or None,
        "cookies": held.cookies or None,
        "tokens": dict(held.tokens) or None,
    }


def to_subscription(row: Row) -> Subscription:
    """Return the subscription of a row."""
    return Subscription(
        url=row["url"],
        client_id=row["client_id"],
        acknowledges=row["acknowledges"],
        since=row["since"],
        gap_cause=row["gap_cause"],
        pending=tuple(row["pending"] or ()),
        cookies=tuple(tuple(cookie) for cookie in row["cookies"] or ()),
        tokens=row["tokens"] or {},
    )


def from_subscription_ended(change: SubscriptionEnded) -> Row:
    """Return what names the subscription."""
    return {"agent_": change.agent}


def from_timer_set(change: TimerSet) -> Row:
    """Return the columns of a timer."""
    return {
        "id": change.id,
        "kind": change.kind,
        "due_at": change.due_at,
        "agent": change.agent,
        "session_id": change.session_id,
        "payload": change.payload,
    }


def to_timer(row: Row) -> TimerSet:
    """Return the timer of a row."""
    return TimerSet(
        id=row["id"],
        kind=row["kind"],
        due_at=row["due_at"],
        agent=row["agent"],
        session_id=row["session_id"],
        payload=row["payload"],
    )


def from_timer_gone(change: TimerGone) -> Row:
    """Return what names the timer."""
    return {"id_": change.id}


def from_rule_seen(change: RuleSeen) -> Row:
    """Return the columns of a rule version."""
    return {
        "rule_id": change.rule_id,
        "version": change.version,
        "path": change.path,
        "source": change.source,
    }


def to_rule_seen(row: Row) -> RuleSeen:
    """Return the rule version of a row."""
    return RuleSeen(row["version"], row["rule_id"], row["path"], row["source"])
