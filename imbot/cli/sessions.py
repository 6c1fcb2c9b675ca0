"""``imbot sessions``: what sessions there are and were, and the story of one; from the store."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

from imbot.cli.output import complain, print_table
from imbot.cli.settings import load
from imbot.cli.telling import carried, is_mere_mark, told
from imbot.engine.standing import errors_in
from imbot.model import Reason
from imbot.records import Effect, GapSeen, Order, RunState
from imbot.store.queries import open_views
from imbot.store.views import EffectView, EventView, SessionHistory, SessionView

_COLUMNS = (
    *("agent", "session", "number", "state", "began", "ended"),
    *("messages", "replies", "parked", "gaps"),
)


def sessions(
    session: str | None, path: Path | None, *, agent: str | None, limit: int, as_json: bool
) -> int:
    """List the sessions, or show one as a timeline; return 1 when there is no such session."""
    loaded = load(path)
    with open_views(loaded.settings.store, base=loaded.base) as views:
        if session is None:
            found = views.sessions(limit=limit, agent=agent)
            print_table("Sessions", _COLUMNS, map(_row, found), as_json=as_json)
            return 0
        histories = views.session(session, agent=agent)
    for history in histories:
        print_timeline(history, timeline(history), as_json=as_json)
    if not histories:
        whose = f" of {agent}" if agent else ""
        complain(f"there is no session {session}{whose} in {loaded.settings.store}")
    return 0 if histories else 1


def _row(view: SessionView) -> tuple[object, ...]:
    seen = view.seen
    return (
        seen.agent,
        seen.session.id,
        view.number,
        seen.session.state,
        seen.first_seen_at,
        seen.completed_at,
        view.messages,
        view.replies,
        tuple(f"{_named(effect)}: {effect.detail}" for effect in view.parked),
        tuple(f"{_lasted(gap)} from {_clock(gap.started_at)}: {gap.reason}" for gap in view.gaps),
    )


# One session ----------------------------------------------------------------------------------

#: When, what kind of thing, and what.
Line: TypeAlias = tuple[datetime, str, str]


def print_timeline(history: SessionHistory, story: Iterable[Line], *, as_json: bool) -> None:
    """Print a session's story in the order of time."""
    seen = history.view.seen
    title = f"Session {seen.session.id} of {seen.agent}, {history.view.number or 'number unknown'}"
    # Sorting keeps the order of what happened at the same moment: events, rules, effects.
    lines = sorted(story, key=lambda line: line[0])
    rows = [(at, seen.agent, what, details) for at, what, details in lines]
    print_table(title, ("when", "agent", "what", "details"), rows, as_json=as_json)


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
            detail += f" until {_clock(run.due_at)}"
        shadow = "in shadow " if run.in_shadow else ""
        for error in errors_in(run.bound):
            failed = f"{error['step']} failed, {error['kind']}: {error['message']}"
            yield run.at, f"run {run.rule_id}", f"{failed}; its on_error went on"
        yield run.at, f"run {run.rule_id}", f"{shadow}{run.state}{detail}"
    for gap in history.view.gaps:
        yield gap.started_at, "gap", f"{_lasted(gap)}, messages may be lost: {gap.reason}"


def _event(seen: EventView, named: str) -> Iterator[Line]:
    event = seen.event
    if is_mere_mark(event):
        return
    own = "own " if event.own else ""
    yield event.received_at, f"{own}{event.kind}{named}", told(event)
    if seen.handled_at is None:
        yield event.received_at, "rule", "not decided yet"
        return
    for rule_id in seen.rule_ids:
        yield seen.handled_at, f"rule {rule_id}", "runs"
    for no in seen.suppressed:
        if no.reason is Reason.SHADOW:
            yield seen.handled_at, f"rule {no.rule_id}", f"runs in shadow: {no.detail}"
        else:
            yield seen.handled_at, f"rule {no.rule_id}", f"does not run: {no.reason}, {no.detail}"


def _effect(view: EffectView) -> Iterator[Line]:
    effect = view.effect
    intent = effect.intent
    if intent.in_shadow:
        yield intent.at, f"{intent.action} of {intent.rule_id}", f"shadow: would {_would(effect)}"
        return
    answer = "" if view.answer_s is None else f" after {_ms(view.answer_s)}"
    echo = "" if view.echo_s is None else f", echo after {_ms(view.echo_s)}"
    detail = f": {effect.detail}" if effect.detail else _begun(effect)
    told_so = f"{carried(effect.intent)} {effect.state}{answer}{echo}{detail}".strip()
    yield intent.at, f"{intent.action} of {intent.rule_id}", told_so


def _ordered(order: Order, history: SessionHistory) -> Iterator[Line]:
    given, taken = order.given, order.taken
    of = [one.effect for one in history.effects if one.effect.intent.effect_id == given.effect_id]
    what = f"{of[0].intent.action} of {of[0].intent.rule_id}" if of else given.effect_id
    yield given.at, what, f"{given.kind} ordered by {given.by}"
    if taken is not None:
        became = f"refused: {taken.refused}" if taken.refused else "taken up"
        yield taken.at, what, f"{given.kind} ordered by {given.by} {became}"


def _begun(effect: Effect) -> str:
    """Return which session an effect began; nothing for any other."""
    result = effect.result
    if not isinstance(result, dict) or "agent" not in result:
        return ""
    return f": session {result['id']} of {result['agent']}"


def _named(effect: Effect) -> str:
    return f"{effect.intent.action} {carried(effect.intent)}".strip()


def _would(effect: Effect) -> str:
    """Return what a rule in shadow would do, in words."""
    intent = effect.intent
    to = f" {intent.operation}" if "://" in intent.operation else ""
    return f"{intent.action}{to} {carried(effect.intent) if intent.payload else ''}".strip()


def _lasted(gap: GapSeen) -> str:
    return f"{(gap.ended_at - gap.started_at).total_seconds():.1f} s"


def _clock(at: datetime) -> str:
    return f"{at.astimezone():%H:%M:%S}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
