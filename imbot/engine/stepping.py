"""The steps of a run, one strand at a time: where it stands → the next step, a pause, or the end.

Pure. A run's later steps depend on the results of its earlier ones; each is decided right before
it is carried out.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from imbot.durations import LONGEST_S, parse_duration
from imbot.engine.matching import rule_scope
from imbot.engine.planning import Start
from imbot.engine.shadow import ALL_KNOWN, Shaded, UnansweredError, Unknown
from imbot.engine.standing import (
    Standing,
    error_name,
    frame_name,
    names_at,
    with_all_names,
    with_names,
    without_frames,
)
from imbot.errors import PermanentError
from imbot.model import JSON, Outcome, OutcomeKind, Scope, Step
from imbot.records import RunState, Strand
from imbot.rulebook.expressions import Expression
from imbot.rulebook.schema import (
    Act,
    Branch,
    End,
    Enter,
    Fork,
    Instruction,
    Join,
    Jump,
    Leave,
    Let,
    Log,
    Rule,
    Stop,
    Value,
    Wait,
    WaitFor,
)
from imbot.rulebook.scope import MISSING, Missing, Senses

#: Ends of a step after which the next one is due.
_GOES_ON = frozenset({OutcomeKind.DONE, OutcomeKind.WITHHELD, OutcomeKind.SHADOW})


class Next(NamedTuple):
    """The step that a strand carries out, where the run stands with it, and lines to log before."""

    step: Step
    act: Act
    pc: int
    standing: Standing
    logs: tuple[str, ...] = ()


class Paused(NamedTuple):
    """A strand has come to where nothing is to be carried out now.

    Attributes:
        standing: Where the run stands: the strand waits, has come to branches, or has ended.
    """

    standing: Standing
    logs: tuple[str, ...] = ()


class Postponed(NamedTuple):
    """A step has failed and is to be tried again, at its time.

    Attributes:
        until: When.
        attempts: How often it was tried already.
    """

    until: datetime
    attempts: int


class Over(NamedTuple):
    """The run has ended."""

    state: RunState
    detail: str
    standing: Standing
    logs: tuple[str, ...] = ()


def next_step(
    start: Start,
    standing: Standing,
    scope: Scope,
    senses: Senses,
    *,
    pc: int,
    since: datetime | None = None,
    unknown: Unknown = ALL_KNOWN,
) -> Next | Paused | Over:
    """Follow the rule's program with one strand to its next action, to a pause, or to the end.

    Args:
        start: The run.
        standing: Where it stands.
        scope: What rules see now, without vars and bound names.
        senses: The senses of this moment.
        pc: Where the strand stands.
        since: From when a wait that it comes to counts; None for now.
        unknown: Results without which it cannot go on; only in shadow there are any.
    """
    base = rule_scope(scope, start.rule)
    instructions = start.rule.program.instructions
    walk = _Walk(start, standing, pc, base, senses, unknown)
    while True:
        instruction = instructions[walk.pc]
        try:
            if (found := walk.go(instruction, since or senses.now())) is not None:
                return found
        except UnansweredError as error:
            return _cannot_go_on(error, walk.standing, tuple(walk.logs))
        except PermanentError as error:
            failure = "permanent", str(error)
            failed = _after_failure(start.rule, walk.standing, walk.pc, instruction, *failure)
            if isinstance(failed, Over):
                return failed._replace(logs=tuple(walk.logs))
            logs, walk = walk.logs, _Walk(start, *failed, base, senses, unknown)
            walk.logs = logs


def after(
    start: Start, standing: Standing, planned: Next, outcome: Outcome
) -> tuple[Standing, int] | Over:
    """Return where the run and the strand stand after a step, or the run's end."""
    pc, act, program = planned.pc, planned.act, start.rule.program
    bound = standing.bound
    if outcome.kind is OutcomeKind.CANCELLED:
        standing = standing._replace(cancelled=standing.cancelled or outcome.detail)
    elif outcome.kind not in _GOES_ON:
        failure = outcome.error_kind, outcome.detail
        return _after_failure(start.rule, standing, pc, act, *failure)
    elif act.bind is not None and outcome.kind is OutcomeKind.DONE:
        bound = with_names(program, pc, bound, {act.bind: outcome.result})
    reached = standing.moved(pc, Strand(pc + 1, forks=standing.forks_at(pc)), bound=bound)
    is_end = isinstance(program.instructions[pc + 1], End)
    return _end(reached, ()) if is_end else (reached, pc + 1)


def postponed(standing: Standing, pc: int, later: Postponed) -> Standing:
    """Return where the run stands when the step here waits to be tried again."""
    forks = standing.forks_at(pc)
    strand = Strand(pc, later.until, waits=True, forks=forks, attempts=later.attempts)
    return standing.moved(pc, strand)


def resumed(start: Start, standing: Standing, pc: int, result: JSON = None) -> Standing:
    """Return where the run stands when the wait here is over; a step is to be tried again.

    Args:
        start: The run.
        standing: Where it stands, with a strand that waits here.
        pc: Where.
        result: What a ``wait_for`` came to; None when nothing is bound.
    """
    instruction, bound = start.rule.program.instructions[pc], standing.bound
    forks = standing.forks_at(pc)
    if isinstance(instruction, Act):
        return standing.moved(pc, Strand(pc, forks=forks, attempts=standing.attempts_at(pc)))
    if isinstance(instruction, WaitFor) and instruction.bind is not None and result is not None:
        bound = with_names(start.rule.program, pc, bound, {instruction.bind: result})
    return standing.moved(pc, Strand(pc + 1, forks=forks), bound=bound)


def cancelled(start: Start, standing: Standing, why: str) -> Standing:
    """Return where the run stands once only its steps marked ``even_if_completed`` are due.

    Its waits are over, but for those marked so too that end by themselves.
    """
    standing = standing._replace(cancelled=standing.cancelled or why)
    for strand in standing.waiting:
        wait = start.rule.program.instructions[strand.pc]
        stays = isinstance(wait, Act | Wait | WaitFor) and wait.even_if_completed
        if not stays or strand.due_at is None:
            standing = standing.moved(strand.pc, Strand(strand.pc + 1, forks=strand.forks))
    return standing


class _Walk:
    """One strand on its way through the program."""

    def __init__(
        self,
        start: Start,
        standing: Standing,
        pc: int,
        base: Scope,
        senses: Senses,
        unknown: Unknown,
    ) -> None:
        self.pc = pc
        self.logs: list[str] = []
        self._start = start
        self._program = start.rule.program
        self._begun = standing
        self._begun_at = pc
        self._forks = standing.forks_at(pc)
        self._bound = standing.bound
        self._base = base
        self._senses = senses
        self._unknown = unknown

    @property
    def standing(self) -> Standing:
        """Where the run stands with it."""
        if self.pc == self._begun_at and self._bound is self._begun.bound:
            return self._begun
        return self._with(Strand(self.pc, forks=self._forks))

    def go(self, instruction: Instruction, now: datetime) -> Next | Paused | Over | None:
        """Do one instruction; return what it leads out to, None to go on."""
        is_due = not self._begun.cancelled
        to = self.pc + 1
        match instruction:
            case Act() if is_due or instruction.even_if_completed:
                step = _step(self._start, self.pc, instruction, self._seen(), self._senses)
                return Next(step, instruction, self.pc, self.standing, tuple(self.logs))
            case Let() | Enter() | Leave():
                self._bind(instruction)
            case Branch(test=test, otherwise=otherwise):
                to = to if test.holds(self._seen(), self._senses) else otherwise
            case Jump():
                to = instruction.to
            case Log(text=text) if is_due or instruction.even_if_completed:
                self.logs.append(str(text.render(self._seen(), self._senses)))
            case Stop() | End():
                return self._over(instruction)
            case Fork() | Join() | Wait() | WaitFor():
                return self._strands(instruction, now)
            case Act() | Log():
                pass  # Not due any more.
        self.pc = to
        return None

    def _over(self, instruction: Stop | End) -> Over:
        if isinstance(instruction, End):
            return _end(self.standing, tuple(self.logs))
        detail = str(instruction.reason.render(self._seen(), self._senses))
        return Over(RunState.STOPPED, detail, self.standing, tuple(self.logs))

    def _strands(self, instruction: Fork | Join | Wait | WaitFor, now: datetime) -> Paused | None:
        """Begin, end or hold up strands; return None to go on with this one."""
        match instruction:
            case Fork(branches=branches):
                forks = (*self._forks, self.pc)
                return self._paused(*[Strand(branch, forks=forks) for branch in branches])
            case Join(fork=fork, join=join):
                if not self._begun.is_last_in(fork):
                    return self._paused()
                self._forks, self.pc = self._forks[:-1], join
            case _:
                if (strand := self._wait(instruction, now)) is not None:
                    return self._paused(strand)
                self.pc += 1
        return None

    def _paused(self, *strands: Strand) -> Paused:
        return Paused(self._with(*strands), tuple(self.logs))

    def _with(self, *strands: Strand) -> Standing:
        return self._begun.moved(self._begun_at, *strands, bound=self._bound)

    def _seen(self, names: Mapping[str, JSON] | None = None) -> Scope:
        if names is None:
            names = names_at(self._program, self.pc, self._bound)
        seen = {**self._base, **names}
        return Shaded(seen, self._unknown) if self._unknown else seen

    def _wait(self, wait: Wait | WaitFor, now: datetime) -> Strand | None:
        """Return the strand as it waits; None when there is nothing to wait for."""
        over = bool(self._begun.cancelled)
        if over and not wait.even_if_completed:
            return None
        if isinstance(wait, Wait):
            limit_s: float | None = _seconds(wait, self._seen(), self._senses)
        else:
            limit_s = wait.timeout_s
        if limit_s is None:
            # What is over says nothing more.
            return None if over else Strand(self.pc, waits=True, forks=self._forks)
        if limit_s <= 0:
            return None
        due_at = now + timedelta(seconds=limit_s)
        return Strand(self.pc, due_at, waits=True, forks=self._forks)

    def _bind(self, instruction: Let | Enter | Leave) -> None:
        """Bind names, or open or close a block's own."""
        match instruction:
            case Let(values=values):
                names = dict(names_at(self._program, self.pc, self._bound))
                for name, source in values:
                    _put(names, name, self._value(source, self._seen(names)))
                self._bound = with_all_names(self._program, self.pc, self._bound, names)
            case Enter(inputs=inputs):
                seen, own = self._seen(), dict[str, JSON]()
                for name, source in inputs:
                    _put(own, name, self._value(source, seen))
                self._bound = {**self._bound, frame_name(self.pc): own}
            case Leave(enter=enter):
                left = frame_name(enter)
                self._bound = {name: v for name, v in self._bound.items() if name != left}

    def _value(self, source: Expression | Value, scope: Scope) -> JSON | Missing:
        """Return a value; once a run is cancelled, what it is made of may never have been bound."""
        try:
            if isinstance(source, Expression):
                return source.value(scope, self._senses)
            return source.render(scope, self._senses)
        except PermanentError:
            if not self._begun.cancelled:
                raise
            return MISSING


def _put(names: dict[str, JSON], name: str, value: JSON | Missing) -> None:
    if value is MISSING:
        names.pop(name, None)
    else:
        names[name] = value


def _step(start: Start, pc: int, act: Act, scope: Scope, senses: Senses) -> Step:
    return Step(
        key=f"{start.run_id}/{pc}",
        action=act.action,
        args=act.args.render(scope, senses),
        timeout_s=act.timeout_s,
        place=str(act.place),
    )


def _seconds(wait: Wait, scope: Scope, senses: Senses) -> float:
    """Return how long is to be waited.

    Raises:
        PermanentError: A template gave no duration.
    """
    given = wait.seconds
    if isinstance(given, int | float):
        return given
    value = given.render(scope, senses)
    if isinstance(value, int | float) and not isinstance(value, bool) and value <= LONGEST_S:
        return value
    try:
        return parse_duration(str(value))
    except ValueError as error:
        raise PermanentError(f"{wait.place}: {error}") from error


def _cannot_go_on(needed: UnansweredError, standing: Standing, logs: tuple[str, ...]) -> Over:
    return Over(RunState.STOPPED, f"in shadow: it would need {needed}", standing, logs)


def _end(standing: Standing, logs: tuple[str, ...]) -> Over:
    if standing.cancelled:
        return Over(RunState.CANCELLED, standing.cancelled, standing, logs)
    state = RunState.FAILED if standing.failing else RunState.DONE
    return Over(state, standing.failing, standing, logs)


def _after_failure(
    rule: Rule, standing: Standing, pc: int, instruction: object, kind: str, message: str
) -> tuple[Standing, int] | Over:
    """Return where a run and its strand go on after a step has failed for good.

    A step's own ``on_error`` goes on with the next step; the rule's ends every strand, and the run
    as failed.
    """
    program, path = rule.program, getattr(instruction, "path", "")
    error = {"kind": kind, "message": message, "step": path}
    if isinstance(instruction, Act) and (to := instruction.on_error) is not None:
        bound = with_names(program, to, standing.bound, {error_name(path): error})
        return standing.moved(pc, Strand(to, forks=standing.forks_at(pc)), bound=bound), to
    if (to := program.on_error) is not None and not standing.failing:
        bound = {**without_frames(standing.bound), "error": error}
        failing = f"{path}: {message}"
        return Standing((Strand(to),), bound, failing, standing.cancelled), to
    return Over(RunState.FAILED, standing.failing or f"{path}: {message}", standing)
