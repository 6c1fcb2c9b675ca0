"""The story of a session for people: what happened, was decided and was done, a line each."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from imbot.admin.telling import carried, is_mere_mark, told
from imbot.engine.standing import errors_in
from imbot.model import Reason
from imbot.records import Effect, GapSeen, Order, RunState
from imbot.store.views import EffectView, EventView, SessionHistory


class Line(NamedTuple):
    """When, what kind of thing, and what."""

    at: datetime
    what: str
    details: str


def timeline(history: SessionHistory, *, with_ids: bool = False) -> Iterator[Line]:
    """Yield what happened in a session: events, decisions, effects, ends of runs, gaps."""
    for seen in history.events:
        yield from _event(seen, f" {seen.event.id}" if with_ids else "")
    for view in history.effects:
        yield from _effect(view)
    for order in history.orders:
        yield from _ordered(order, history)
    for each in history.runs:
        run = each.run
        detail = f": {run.detail}" if run.detail else ""
        if run.due_at is not None and run.state is RunState.WAITING:
            detail += f" until {clock(run.due_at)}"
        shadow = "in shadow " if run.in_shadow else ""
        for error in errors_in(run.bound):
            failed = f"{error['step']} failed, {error['kind']}: {error['message']}"
            yield Line(run.at, f"run {run.rule_id}", f"{failed}; its on_error went on")
        yield Line(run.at, f"run {run.rule_id}", f"{shadow}{run.state}{detail}")
    for gap in history.view.gaps:
        yield Line(gap.started_at, "gap", f"{lasted(gap)}, messages may be lost: {gap.reason}")


def _event(seen: EventView, named: str) -> Iterator[Line]:
    event = seen.event
    if is_mere_mark(event):
        return
    own = "own " if event.own else ""
    yield Line(event.received_at, f"{own}{event.kind}{named}", told(event))
    if seen.handled_at is None:
        yield Line(event.received_at, "rule", "not decided yet")
        return
    for rule_id in seen.rule_ids:
        yield Line(seen.handled_at, f"rule {rule_id}", "runs")
    for no in seen.suppressed:
        if no.reason is Reason.SHADOW:
            yield Line(seen.handled_at, f"rule {no.rule_id}", f"runs in shadow: {no.detail}")
        else:
            why = f"{no.reason}, {no.detail}"
            yield Line(seen.handled_at, f"rule {no.rule_id}", f"does not run: {why}")


def _effect(view: EffectView) -> Iterator[Line]:
    effect = view.effect
    intent = effect.intent
    if intent.in_shadow:
        what = f"{intent.action} of {intent.rule_id}"
        yield Line(intent.at, what, f"shadow: would {_would(effect)}")
        return
    answer = "" if view.answer_s is None else f" after {_ms(view.answer_s)}"
    echo = "" if view.echo_s is None else f", echo after {_ms(view.echo_s)}"
    detail = f": {effect.detail}" if effect.detail else _begun(effect)
    told_so = f"{carried(effect.intent)} {effect.state}{answer}{echo}{detail}".strip()
    yield Line(intent.at, f"{intent.action} of {intent.rule_id}", told_so)


def _ordered(order: Order, history: SessionHistory) -> Iterator[Line]:
    given, taken = order.given, order.taken
    of = [one.effect for one in history.effects if one.effect.intent.effect_id == given.effect_id]
    what = f"{of[0].intent.action} of {of[0].intent.rule_id}" if of else given.effect_id
    yield Line(given.at, what, f"{given.kind} ordered by {given.by}")
    if taken is not None:
        became = f"refused: {taken.refused}" if taken.refused else "taken up"
        yield Line(taken.at, what, f"{given.kind} ordered by {given.by} {became}")


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
