"""Matches → plan: which rules run for an event, and which are suppressed. Pure.

Every decision is taken here, before anything acts: so ``explain`` and tests can show it.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

from imbot.durations import format_duration
from imbot.engine.matching import rule_scope
from imbot.model import SHADOW_PREFIX, Event, Reason, Scope, Suppressed
from imbot.rulebook.schema import Mode, OnceScope, Rule
from imbot.rulebook.scope import MISSING, Senses

#: So many runs may lead to an event, each by what it did: rules that set each other off end here.
DEEPEST = 8

# The plan of an event -------------------------------------------------------------------------


class Start(NamedTuple):
    """A rule that will run for an event.

    Attributes:
        rule: The rule.
        event: The event.
        run_id: ``event id/rule id``.
        key: What runs of the rule take turns by.
        once_scope: Where its once mark is set; None without ``once``.
        throttle_scope: Where the mark of its last run is set; None without ``throttle``.
        in_shadow: Whether it only writes down what it would do.
    """

    rule: Rule
    event: Event
    run_id: str
    key: str
    once_scope: str | None = None
    throttle_scope: str | None = None
    in_shadow: bool = False


class Plan(NamedTuple):
    """What one event leads to.

    Attributes:
        event: The event.
        starts: The runs in order, those in shadow among them.
        suppressed: The rules that matched and do not run, or in shadow.
    """

    event: Event
    starts: tuple[Start, ...] = ()
    suppressed: tuple[Suppressed, ...] = ()


class Limits(Protocol):
    """What planning must know of the past."""

    def marked(self, rule_id: str, scope: str) -> bool:
        """Whether the rule has acted, acts or may have acted within this scope."""
        ...

    def marked_at(self, rule_id: str, scope: str) -> datetime | None:
        """When a mark was set; None when it is not."""
        ...

    def busy(self, rule_id: str, key: str) -> int:
        """How many runs of the rule with this key go on, or wait."""
        ...

    def spent(self, rule: Rule, event: Event) -> str:
        """Which budget allows the rule no more effects now; empty while all do."""
        ...

    def off(self, rule: Rule) -> str:
        """Who switched the rule off; empty when nobody did."""
        ...

    def halted(self) -> str:
        """Why nothing may be done at all; empty while it may."""
        ...

    def broken(self, rule: Rule) -> str:
        """Why the rule's breaker is open; empty while it is not."""
        ...

    def loop(self, event: Event) -> str:
        """Why replies must stop in the event's session; empty when they need not."""
        ...

    def quiet(self, event: Event) -> str:
        """Why replies are held back, for a person types; empty when nobody does."""
        ...


def plan(event: Event, candidates: Sequence[Start], now: datetime, limits: Limits) -> Plan:
    """Return which of the matching rules run for the event, in order, and why others do not."""
    starts: list[Start] = []
    suppressed: list[Suppressed] = []
    for start, reasons in judged(candidates, now, limits):
        if (reason := next(reasons, None)) is not None:
            suppressed.append(reason)
        if reason is None or reason.reason is Reason.SHADOW:
            starts.append(start)
    return Plan(event, tuple(starts), tuple(suppressed))


def judged(
    candidates: Sequence[Start], now: datetime, limits: Limits
) -> Iterator[tuple[Start, Iterator[Suppressed]]]:
    """Yield each candidate with every reason why it does not run, the deciding one first."""
    ended_by = ""
    for start in candidates:
        rule = start.rule
        yield start, suppressions(start, now, limits, ended_by=ended_by)
        if rule.final and not rule.shadow:
            ended_by = ended_by or rule.id


def start_of(rule: Rule, event: Event, scope: Scope, senses: Senses) -> Start:
    """Return the run that a rule would make of an event that starts it."""
    scope = rule_scope(scope, rule)
    key = run_key(rule, event, scope, senses)
    start = Start(
        rule=rule,
        event=event,
        run_id=f"{event.id}/{rule.id}",
        key=key,
        once_scope=once_scope(rule, event, scope, senses),
        throttle_scope=throttle_scope(rule, key, scope, senses),
    )
    return _apart(start) if rule.shadow else start


def _apart(start: Start) -> Start:
    """Return the run in shadow: what it did live is not asked for, nor the other way round."""

    def apart(scope: str | None) -> str | None:
        return None if scope is None else f"{SHADOW_PREFIX}{scope}"

    return start._replace(
        key=f"{SHADOW_PREFIX}{start.key}",
        once_scope=apart(start.once_scope),
        throttle_scope=apart(start.throttle_scope),
        in_shadow=True,
    )


def run_key(rule: Rule, event: Event, scope: Scope, senses: Senses) -> str:
    """Return what runs of the rule take turns by: its key, else session, agent, or rule."""
    if rule.key is not None and (value := rule.key.value(scope, senses)) not in (None, MISSING):
        return str(value)
    key = event.session_key
    if key is not None:
        return f"session {key.agent}/{key.session_id}"
    return f"agent {event.agent}" if event.agent else f"rule {rule.id}"


def once_scope(rule: Rule, event: Event, scope: Scope, senses: Senses) -> str | None:
    """Return within what the rule acts once, as the mark names it; None without ``once``."""
    if rule.once is None:
        return None
    kind, by = rule.once.scope, rule.once.by
    if kind is OnceScope.EXPRESSION and by is not None:
        value = by.value(scope, senses)
        if value not in (None, MISSING):
            return f"value {value}"
        kind = OnceScope.SESSION
    key, number = event.session_key, _number(event)
    if kind is OnceScope.SESSION or not number:
        return f"session {event.agent}/{key.session_id if key else ''}"
    if kind is OnceScope.PARTICIPANT:
        return f"participant {number}"
    day = senses.now().astimezone(ZoneInfo(senses.timezone)).date()
    return f"day {day} {number}"


def throttle_scope(rule: Rule, key: str, scope: Scope, senses: Senses) -> str | None:
    """Return within what the rule runs so seldom, as the mark names it; None without throttle."""
    if rule.throttle is None:
        return None
    by = rule.throttle.by
    value = None if by is None else by.value(scope, senses)
    return f"throttle {key if value in (None, MISSING) else f'value {value}'}"


def suppressions(
    start: Start, now: datetime, limits: Limits, *, ended_by: str = ""
) -> Iterator[Suppressed]:
    """Yield why the rule does not run although it matched; nothing when it runs.

    One in shadow runs if that is the only reason; it comes last.

    Args:
        start: The run that it would be.
        now: The moment.
        limits: What has happened before.
        ended_by: The rule above it that was final; empty for none.
    """
    rule = start.rule

    def because(reason: Reason, detail: str) -> Suppressed:
        return Suppressed(rule.id, reason, detail)

    yield from _switched_off(rule, limits)
    if ended_by:
        yield because(Reason.FINAL, f"{ended_by} is final")
    if start.event.depth > DEEPEST:
        yield because(Reason.CHAIN, f"{start.event.depth} runs led to it, each by what it did")
    if late := lateness(start, now):
        yield because(Reason.MAX_AGE, late)
    if start.once_scope is not None and limits.marked(rule.id, start.once_scope):
        yield because(Reason.ONCE, f"done for {start.once_scope}")
    if rule.replies:
        yield from _hushed(start, limits)
    if throttled := _throttled(start, now, limits):
        yield because(Reason.THROTTLE, throttled)
    yield from _held_back(start, limits)
    if crowded := _crowded(start, limits):
        yield because(Reason.MODE, crowded)
    if rule.shadow:
        yield because(Reason.SHADOW, "shadow: true, nothing is sent")


def _switched_off(rule: Rule, limits: Limits) -> Iterator[Suppressed]:
    """Yield what people have switched off: everything, and this rule."""
    if halted := limits.halted():
        yield Suppressed(rule.id, Reason.HALTED, halted)
    if off := limits.off(rule):
        yield Suppressed(rule.id, Reason.OFF, off)


def _hushed(start: Start, limits: Limits) -> Iterator[Suppressed]:
    """Yield why nothing may be said in the event's session."""
    rule, event = start.rule, start.event
    if rule.loop_guard and (loop := limits.loop(event)):
        yield Suppressed(rule.id, Reason.LOOP, loop)
    if quiet := limits.quiet(event):
        yield Suppressed(rule.id, Reason.QUIET, quiet)


def _held_back(start: Start, limits: Limits) -> Iterator[Suppressed]:
    """Yield which budget is spent, and why the rule's breaker is open."""
    rule = start.rule
    if spent := limits.spent(rule, start.event):
        yield Suppressed(rule.id, Reason.BUDGET, spent)
    if broken := limits.broken(rule):
        yield Suppressed(rule.id, Reason.BREAKER, broken)


def _crowded(start: Start, limits: Limits) -> str:
    """Return why the runs that go on leave no place for another; empty when they do."""
    rule, key = start.rule, start.key
    if rule.mode is Mode.SINGLE and limits.busy(rule.id, key):
        return f"a run for {key} goes on, mode single"
    most = rule.max_runs if rule.mode is Mode.PARALLEL else None
    if most is not None and (runs := limits.busy(rule.id, key)) >= most:
        return f"{runs} runs for {key} go on, mode parallel, max {most}"
    return ""


def _throttled(start: Start, now: datetime, limits: Limits) -> str:
    """Return why it is too soon for another run; empty when it is not."""
    throttle, scope = start.rule.throttle, start.throttle_scope
    if throttle is None or scope is None:
        return ""
    ran_at = limits.marked_at(start.rule.id, scope)
    # Far in the future is a mark of a clock that was put back since: it says nothing any more.
    ago_s = throttle.within_s if ran_at is None else abs((now - ran_at).total_seconds())
    if ago_s >= throttle.within_s:
        return ""
    told = f"it ran {format_duration(round(ago_s, 3))} ago"
    by = scope.removeprefix(SHADOW_PREFIX)[9:]
    return f"{told}, once within {format_duration(throttle.within_s)} for {by}"


def lateness(start: Start, now: datetime) -> str:
    """Return why the event is too old for the rule; empty when it is not."""
    limit_s = start.rule.max_age_s
    age_s = (now - start.event.received_at).total_seconds()
    if limit_s is None or age_s <= limit_s:
        return ""
    told = format_duration(round(age_s, 3))
    return f"the event was received {told} ago, more than {format_duration(limit_s)}"


def _number(event: Event) -> str:
    participants = event.session.participants if event.session else ()
    return participants[0].digits or participants[0].phoneNumber if participants else ""
