"""Matches → plan: which rules run and which are suppressed, and each run's next step. Pure.

Every decision is taken here, before anything acts: so ``explain`` and tests can show it. A run's
later steps depend on the results of its earlier ones; each is decided right before it acts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from imbot.durations import format_duration
from imbot.engine.matching import rule_scope
from imbot.errors import PermanentError
from imbot.model import JSON, Event, Outcome, OutcomeKind, Reason, Scope, Step, Suppressed
from imbot.records import RunState
from imbot.rulebook.expressions import Expression
from imbot.rulebook.schema import (
    Act,
    Branch,
    End,
    Instruction,
    Jump,
    Let,
    Log,
    Mode,
    OnceScope,
    Rule,
    Stop,
)
from imbot.rulebook.scope import MISSING, Senses

# The plan of an event -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """A rule that will run for an event.

    Attributes:
        rule: The rule.
        event: The event.
        run_id: ``event id/rule id``.
        key: What runs of the rule take turns by.
        once_scope: Where its once mark is set; None without ``once``.
    """

    rule: Rule
    event: Event
    run_id: str
    key: str
    once_scope: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What one event leads to: the runs in order, and what matched and does not run."""

    event: Event
    starts: tuple[Start, ...] = ()
    suppressed: tuple[Suppressed, ...] = ()


class Limits(Protocol):
    """What planning must know of the past."""

    def marked(self, rule_id: str, scope: str) -> bool:
        """Whether the rule has acted, acts or may have acted within this scope."""
        ...

    def busy(self, rule_id: str, key: str) -> bool:
        """Whether a run of the rule with this key goes on."""
        ...

    def loop(self, event: Event) -> str:
        """Why replies must stop in the event's session; empty when they need not."""
        ...


def plan(event: Event, candidates: Sequence[Start], now: datetime, limits: Limits) -> Plan:
    """Return which of the matching rules run for the event, in order, and why others do not."""
    starts: list[Start] = []
    suppressed: list[Suppressed] = []
    for start, reasons in judged(candidates, now, limits):
        if (reason := next(reasons, None)) is None:
            starts.append(start)
        else:
            suppressed.append(reason)
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
    return Start(
        rule=rule,
        event=event,
        run_id=f"{event.id}/{rule.id}",
        key=run_key(rule, event, scope, senses),
        once_scope=once_scope(rule, event, scope, senses),
    )


def run_key(rule: Rule, event: Event, scope: Scope, senses: Senses) -> str:
    """Return what runs of the rule take turns by: the rule's key, else session, else agent."""
    if rule.key is not None and (value := rule.key.value(scope, senses)) not in (None, MISSING):
        return str(value)
    key = event.session_key
    return f"agent {event.agent}" if key is None else f"session {key.agent}/{key.session_id}"


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


def suppressions(
    start: Start, now: datetime, limits: Limits, *, ended_by: str = ""
) -> Iterator[Suppressed]:
    """Yield why the rule does not run although it matched; nothing when it runs.

    Args:
        start: The run that it would be.
        now: The moment.
        limits: What has happened before.
        ended_by: The rule above it that was final; empty for none.
    """
    rule, event = start.rule, start.event

    def because(reason: Reason, detail: str) -> Suppressed:
        return Suppressed(rule.id, reason, detail)

    if ended_by:
        yield because(Reason.FINAL, f"{ended_by} is final")
    if rule.shadow:
        yield because(Reason.SHADOW, "shadow: true")
    if late := lateness(start, now):
        yield because(Reason.MAX_AGE, late)
    if start.once_scope is not None and limits.marked(rule.id, start.once_scope):
        yield because(Reason.ONCE, f"done for {start.once_scope}")
    if rule.loop_guard and rule.replies and (loop := limits.loop(event)):
        yield because(Reason.LOOP, loop)
    if rule.mode is Mode.SINGLE and limits.busy(rule.id, start.key):
        yield because(Reason.MODE, f"a run for {start.key} goes on, mode single")


def _text(expression: Expression, scope: Scope, senses: Senses) -> str:
    value = expression.value(scope, senses)
    return "" if value is MISSING else str(value)


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


# The steps of a run ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands.

    Attributes:
        pc: Index of the next instruction.
        bound: Names bound so far, with the error of the last failed step as ``error``.
        failing: The error that sent the run into the rule's ``on_error``; empty before.
        cancelled: Why only steps marked ``even_if_completed`` are still due; empty before.
    """

    pc: int = 0
    bound: Mapping[str, JSON] = field(default_factory=dict)
    failing: str = ""
    cancelled: str = ""


@dataclass(frozen=True, slots=True)
class Next:
    """The step to carry out, where the run stands with it, and lines to log before."""

    step: Step
    act: Act
    standing: Standing
    logs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Over:
    """The run has ended."""

    state: RunState
    detail: str
    standing: Standing
    logs: tuple[str, ...] = ()


def next_step(start: Start, standing: Standing, scope: Scope, senses: Senses) -> Next | Over:
    """Follow the rule's program from where the run stands to its next action, or its end.

    Args:
        start: The run.
        standing: Where it stands.
        scope: What rules see now, without vars and bound names.
        senses: The senses of this moment.
    """
    base = rule_scope(scope, start.rule)
    logs: list[str] = []
    while True:
        instruction = start.rule.program.instructions[standing.pc]
        seen = {**base, **standing.bound}
        try:
            match instruction:
                case Act() if not standing.cancelled or instruction.even_if_completed:
                    step = _step(start, standing.pc, instruction, seen, senses)
                    return Next(step, instruction, standing, tuple(logs))
                case Stop(reason=reason):
                    detail = str(reason.render(seen, senses))
                    return Over(RunState.STOPPED, detail, standing, tuple(logs))
                case End():
                    return _end(standing, logs)
                case Log(text=text) if not standing.cancelled:
                    logs.append(str(text.render(seen, senses)))
                    standing = replace(standing, pc=standing.pc + 1)
                case _:
                    standing = _follow(instruction, standing, base, senses)
        except PermanentError as error:
            after = _after_failure(start.rule, standing, instruction, "permanent", str(error))
            if isinstance(after, Over):
                return replace(after, logs=tuple(logs))
            standing = after


def after(start: Start, standing: Standing, act: Act, outcome: Outcome) -> Standing | Over:
    """Return where the run stands after a step, or its end."""
    bound, cancelled = standing.bound, standing.cancelled
    if outcome.kind is OutcomeKind.CANCELLED:
        cancelled = outcome.detail
    elif outcome.kind not in (OutcomeKind.DONE, OutcomeKind.WITHHELD):
        return _after_failure(start.rule, standing, act, outcome.error_kind, outcome.detail)
    elif act.bind is not None and outcome.kind is OutcomeKind.DONE:
        bound = {**bound, act.bind: outcome.result}
    reached = Standing(standing.pc + 1, bound, standing.failing, cancelled)
    is_end = isinstance(start.rule.program.instructions[reached.pc], End)
    return _end(reached, []) if is_end else reached


def _step(start: Start, pc: int, act: Act, scope: Scope, senses: Senses) -> Step:
    return Step(
        key=f"{start.run_id}/{pc}",
        action=act.action,
        args=act.args.render(scope, senses),
        timeout_s=act.timeout_s,
        place=str(act.place),
    )


def _follow(instruction: Instruction, standing: Standing, base: Scope, senses: Senses) -> Standing:
    """Return where the run stands after an instruction that does nothing outside of it."""
    match instruction:
        case Let():
            return _bind(instruction, standing, base, senses)
        case Branch(test=test, otherwise=otherwise):
            holds = test.holds({**base, **standing.bound}, senses)
            return replace(standing, pc=standing.pc + 1 if holds else otherwise)
        case Jump(to=to):
            return replace(standing, pc=to)
        case _:
            return replace(standing, pc=standing.pc + 1)


def _bind(let: Let, standing: Standing, base: Scope, senses: Senses) -> Standing:
    bound = dict(standing.bound)
    for name, source in let.values:
        scope = {**base, **bound}
        if isinstance(source, Expression):
            value = source.value(scope, senses)
        else:
            value = source.render(scope, senses)
        if value is MISSING:
            bound.pop(name, None)
        else:
            bound[name] = value
    return replace(standing, pc=standing.pc + 1, bound=bound)


def _end(standing: Standing, logs: list[str]) -> Over:
    if standing.cancelled:
        return Over(RunState.CANCELLED, standing.cancelled, standing, tuple(logs))
    state = RunState.FAILED if standing.failing else RunState.DONE
    return Over(state, standing.failing, standing, tuple(logs))


def _after_failure(
    rule: Rule, standing: Standing, instruction: object, kind: str, message: str
) -> Standing | Over:
    """Return where a run goes on after a step has failed for good.

    A step's own ``on_error`` goes on with the next step; the rule's ends the run as failed.
    """
    path = getattr(instruction, "path", "")
    error = {"kind": kind, "message": message, "step": path}
    bound = {**standing.bound, "error": error}
    if isinstance(instruction, Act) and instruction.on_error is not None:
        return replace(standing, pc=instruction.on_error, bound=bound)
    if rule.program.on_error is not None and not standing.failing:
        failing = f"{path}: {message}"
        return replace(standing, pc=rule.program.on_error, bound=bound, failing=failing)
    return Over(RunState.FAILED, standing.failing or f"{path}: {message}", standing)
