"""The story of a session: what happened, was decided and was done, a line each.

A line has words for people, and beside them what a program needs to draw it.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from imbot.admin.telling import carried, is_mere_mark, said, told
from imbot.engine.standing import errors_in
from imbot.meaning import Meant
from imbot.model import Event, EventKind, Reason
from imbot.records import Effect, GapSeen, Order, RunSeen, RunState
from imbot.store.views import EffectView, EventView, SessionHistory


class LineKind(Meant):
    """What a line of a story is about."""

    MESSAGE = "message", "The other party said something."
    EVENT = "event", "Something else happened."
    OWN = "own", "Our own write came back as an event."
    UNDECIDED = "undecided", "The event was not decided yet."
    RAN = "ran", "The event made the rule run."
    SHADOWED = "shadowed", "The event made the rule run in shadow."
    SUPPRESSED = "suppressed", "The rule matched the event and did not run."
    UNMATCHED = "unmatched", "The rule did not match the event; told only when asked why."
    LEAF = "leaf", "A part of the rule's `when`, with its value; told only when asked why."
    EFFECT = "effect", "The rule had something done, or would have in shadow."
    ORDER = "order", "A person decided about a parked effect, or that was carried out."
    RUN = "run", "Where the run of the rule stands: it ended, or it waits."
    RESCUED = "rescued", "A step of the run failed, and its `on_error` went on."
    AWAITED = "awaited", "What the run waits for; told only when asked why."
    GAP = "gap", "Messages may have been lost from here on."


class Line(NamedTuple):
    """When, what kind of thing, and what; then what of that programs can use.

    Attributes:
        at: When.
        what: The kind of thing, in words for people.
        details: What, in words for people.
        kind: What the line is about.
        rule: The id of the rule that it is about; empty for none.
        event: The id of the event that happened, was decided or led to it; empty for none.
        effect: The id of the effect that it is about; empty for none.
        state: Where the effect or the run stands; empty for other lines.
        text: What was said by the other party or by us, whole; empty for other lines.
        became: What became of an effect, without what it carries; empty for other lines.
    """

    at: datetime
    what: str
    details: str
    kind: LineKind
    rule: str = ""
    event: str = ""
    effect: str = ""
    state: str = ""
    text: str = ""
    became: str = ""


def timeline(history: SessionHistory, *, with_ids: bool = False) -> Iterator[Line]:
    """Yield what happened in a session: events, decisions, effects, ends of runs, gaps."""
    for seen in history.events:
        yield from _event(seen, f" {seen.event.id}" if with_ids else "")
    for view in history.effects:
        yield from _effect(view)
    for order in history.orders:
        yield from _ordered(order, history)
    for each in history.runs:
        yield from _run(each.run)
    for gap in history.view.gaps:
        told_so = f"{lasted(gap)}, messages may be lost: {gap.reason}"
        yield Line(gap.started_at, "gap", told_so, LineKind.GAP)


def _event(seen: EventView, named: str) -> Iterator[Line]:
    event = seen.event
    if is_mere_mark(event):
        return
    own = "own " if event.own else ""
    happened = Line(event.received_at, f"{own}{event.kind}{named}", told(event), _kind_of(event))
    text = event.fields["text"] if event.kind is EventKind.MESSAGE else ""
    yield happened._replace(event=event.id, text=text)
    if seen.handled_at is None:
        undecided = LineKind.UNDECIDED
        yield Line(event.received_at, "rule", "not decided yet", undecided, event=event.id)
        return
    for rule_id in seen.rule_ids:
        yield _decided(seen, rule_id, LineKind.RAN, "runs")
    for no in seen.suppressed:
        if no.reason is Reason.SHADOW:
            yield _decided(seen, no.rule_id, LineKind.SHADOWED, f"runs in shadow: {no.detail}")
        else:
            why = f"does not run: {no.reason}, {no.detail}"
            yield _decided(seen, no.rule_id, LineKind.SUPPRESSED, why)


def _kind_of(event: Event) -> LineKind:
    if event.own:
        return LineKind.OWN
    return LineKind.MESSAGE if event.kind is EventKind.MESSAGE else LineKind.EVENT


def _decided(seen: EventView, rule_id: str, kind: LineKind, told_so: str) -> Line:
    at = seen.event.received_at if seen.handled_at is None else seen.handled_at
    return Line(at, f"rule {rule_id}", told_so, kind, rule_id, seen.event.id)


def _run(run: RunSeen) -> Iterator[Line]:
    what, about = f"run {run.rule_id}", (run.rule_id, run.event_id)
    for error in errors_in(run.bound):
        failed = f"{error['step']} failed, {error['kind']}: {error['message']}"
        yield Line(run.at, what, f"{failed}; its on_error went on", LineKind.RESCUED, *about)
    detail = f": {run.detail}" if run.detail else ""
    if run.due_at is not None and run.state is RunState.WAITING:
        detail += f" until {clock(run.due_at)}"
    shadow = "in shadow " if run.in_shadow else ""
    stands = Line(run.at, what, f"{shadow}{run.state}{detail}", LineKind.RUN, *about)
    yield stands._replace(state=run.state.value)


def _effect(view: EffectView) -> Iterator[Line]:
    effect = view.effect
    if effect.intent.in_shadow:
        yield _done(effect.intent.at, effect, f"shadow: would {_would(effect)}")
        return
    answer = "" if view.answer_s is None else f" after {_ms(view.answer_s)}"
    echo = "" if view.echo_s is None else f", echo after {_ms(view.echo_s)}"
    detail = f": {effect.detail}" if effect.detail else _begun(effect)
    became = f"{effect.state}{answer}{echo}{detail}"
    told_so = f"{carried(effect.intent)} {became}".strip()
    yield _done(effect.intent.at, effect, told_so)._replace(text=said(effect.intent), became=became)


def _done(at: datetime, effect: Effect, told_so: str) -> Line:
    intent = effect.intent
    return Line(
        at,
        f"{intent.action} of {intent.rule_id}",
        told_so,
        LineKind.EFFECT,
        rule=intent.rule_id,
        event=intent.run_id.rpartition("/")[0],
        effect=intent.effect_id,
        state=effect.state.value,
    )


def _ordered(order: Order, history: SessionHistory) -> Iterator[Line]:
    given, taken = order.given, order.taken
    of = [one.effect for one in history.effects if one.effect.intent.effect_id == given.effect_id]
    told_so = f"{given.kind} ordered by {given.by}"
    ordered = Line(given.at, given.effect_id, told_so, LineKind.ORDER, effect=given.effect_id)
    if of:
        ordered = _done(given.at, of[0], told_so)._replace(kind=LineKind.ORDER, state="")
    yield ordered
    if taken is not None:
        became = f"refused: {taken.refused}" if taken.refused else "taken up"
        yield ordered._replace(at=taken.at, details=f"{told_so} {became}")


def _begun(effect: Effect) -> str:
    """Return which session an effect began; nothing for any other."""
    result = effect.result
    if not isinstance(result, dict) or "agent" not in result:
        return ""
    return f": session {result['id']} of {result['agent']}"


def named(effect: Effect) -> str:
    """Return an effect in a few words."""
    return f"{effect.intent.action} {carried(effect.intent)}".strip()


def _would(effect: Effect) -> str:
    """Return what a rule in shadow would do, in words."""
    intent = effect.intent
    to = f" {intent.operation}" if "://" in intent.operation else ""
    return f"{intent.action}{to} {carried(effect.intent) if intent.payload else ''}".strip()


def lasted(gap: GapSeen) -> str:
    """Return how long a gap lasted."""
    return f"{(gap.ended_at - gap.started_at).total_seconds():.1f} s"


def clock(at: datetime) -> str:
    """Return the time of day where imbot runs."""
    return f"{at.astimezone():%H:%M:%S}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
