"""Breakers: what fails time after time is not done again and again, but tried once a minute.

A failure is a step that was given up, failed or parked, however often it was tried before and
whatever its ``on_error`` did then: that many attempts at one moment say no more than one. A step
that was withheld or cancelled says nothing, nor does one that failed only because the session was
not there any more, or not in that state. Each step of a rule is counted by itself, for the success
of one must not hide that another never works.

With five failures in a row the breaker opens. Where an ``on_error`` says what to do instead, the
rule runs on and only the step fails, at once; else the rule is held back. Each minute it lets one
run through, the trial; it closes when the step succeeds, or the trial of a rule that was held back
ends well without having come to it. A changed rule begins with a closed breaker. Each rule that
fails has a row, so a restart forgets nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil

import structlog

from imbot.clock import Clock
from imbot.durations import format_duration
from imbot.engine.planning import Start
from imbot.errors import FaultClass
from imbot.model import Outcome, OutcomeKind, Step
from imbot.ports import Store
from imbot.records import RunState, TimerGone, TimerSet
from imbot.rulebook.schema import Act, Rule

log = structlog.get_logger()

#: So many failures of a step, one after another, open the breaker of its rule.
IN_A_ROW = 5

#: Seconds that an open breaker lets nothing through after a failure, or the beginning of a trial.
PAUSE_S = 60.0

#: The kind of the rows that keep failures; they are never fired.
BREAKER = "breaker"

#: So much of an error is kept.
_ERROR_CHARACTERS = 200

#: The session's trouble, not the action's.
_OF_SESSION = frozenset({FaultClass.GONE, FaultClass.CONFLICT})

_GIVEN_UP = frozenset({OutcomeKind.FAILED, OutcomeKind.PARKED})
_GONE_WELL = frozenset({OutcomeKind.DONE, OutcomeKind.SHADOW})
_ENDED_WELL = frozenset({RunState.DONE, RunState.STOPPED})


@dataclass(frozen=True, slots=True)
class _Failing:
    """A step that has not succeeded since it failed: its action, how often, and the last error."""

    action: str
    times: int = 0
    error: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it has failed too often in a row."""
        return self.times >= IN_A_ROW

    def __str__(self) -> str:
        """Return what is told of it."""
        return f"{self.action} failed {self.times} times in a row, last: {self.error}"


@dataclass(slots=True)
class _Breaker:
    """What is known of a rule of which a step has failed.

    Attributes:
        rule_id: The rule.
        version: Its version.
        tried_at: When a step last failed, or a trial began.
        opened_at: Since when it is open; None while it is closed.
        steps: The steps that fail, by their index in the program.
        trial: The run that may close it; empty for none.
        has_acted: Whether an action of the trial has succeeded.
        has_failed: Whether a step has failed since the trial began.
    """

    rule_id: str
    version: str
    tried_at: datetime
    opened_at: datetime | None = None
    steps: dict[int, _Failing] = field(default_factory=dict)
    trial: str = ""
    has_acted: bool = False
    has_failed: bool = False

    def holding_back(self, rule: Rule) -> _Failing | None:
        """Return the step that holds the rule back, the one that failed most; None if none does."""
        failing = [at for pc, at in self.steps.items() if at.is_open and not _is_covered(rule, pc)]
        return max(failing, key=lambda step: step.times, default=None)

    def row(self) -> TimerSet:
        """Return the row that keeps it."""
        payload = {
            "rule": self.rule_id,
            "version": self.version,
            "tried_at": self.tried_at,
            "opened_at": self.opened_at,
            "steps": [[pc, at.action, at.times, at.error] for pc, at in self.steps.items()],
        }
        due_at = self.tried_at + timedelta(seconds=PAUSE_S)
        return TimerSet(_row_id(self.version), BREAKER, due_at, payload=payload)


class Breakers:
    """The breakers of all rules; most have none, for nothing of them has failed.

    Args:
        clock: Tells when.
        store: Keeps the failures.
    """

    def __init__(self, clock: Clock, store: Store) -> None:
        self._clock = clock
        self._store = store
        self._breakers: dict[str, _Breaker] = {}

    def __len__(self) -> int:
        """Return of how many rules a step has failed."""
        return len(self._breakers)

    def why_not(self, rule: Rule) -> str:
        """Return why the rule is held back, with all that decides it; empty while it is not."""
        breaker = self._breakers.get(rule.version)
        worst = None if breaker is None else breaker.holding_back(rule)
        if breaker is None or worst is None or not (since := self._open(breaker)):
            return ""
        open_s, left_s = since
        until = f"open for {open_s}, one run is tried in {left_s}"
        return f"{worst}; {until} and closes it if it succeeds"

    def told(self) -> dict[str, str]:
        """Return why breakers are open, by rule id; no error, for it may quote a message."""
        return {
            each.rule_id: self._told(each) for each in self._breakers.values() if each.opened_at
        }

    def refuses(self, start: Start, pc: int) -> str:
        """Return why a step is to fail at once, into its ``on_error``; empty when it is not.

        When the pause is over its run becomes the trial.
        """
        breaker = self._breakers.get(start.rule.version)
        failing = None if breaker is None else breaker.steps.get(pc)
        if breaker is None or failing is None or not failing.is_open:
            return ""
        if breaker.trial == start.run_id or not _is_covered(start.rule, pc):
            return ""
        if not (since := self._open(breaker)):
            self._try(breaker, start)
            return ""
        open_s, left_s = since
        return f"the breaker is open: {failing}; open for {open_s}, it is tried again in {left_s}"

    def begin(self, start: Start) -> None:
        """Take note of a run that begins: of a rule that was held back, it is the trial."""
        breaker = self._breakers.get(start.rule.version)
        if breaker is not None and breaker.holding_back(start.rule) is not None:
            self._try(breaker, start)

    def note(self, start: Start, pc: int, step: Step, outcome: Outcome) -> None:
        """Take note of how a step of a run ended; one that was not tried says nothing."""
        if outcome.fault_class in _OF_SESSION:
            return
        if outcome.kind in _GIVEN_UP and outcome.attempts:
            self._failed(start.rule, pc, step, outcome)
        elif outcome.kind in _GONE_WELL:
            self._succeeded(start, pc)

    def end(self, start: Start, state: RunState) -> None:
        """Take note of how a run ended: a trial that acted and failed nowhere closes."""
        breaker = self._breakers.get(start.rule.version)
        if breaker is None or breaker.trial != start.run_id:
            return
        if state in _ENDED_WELL and breaker.has_acted and not breaker.has_failed:
            self._close(breaker)

    def restore(self, rows: Iterable[TimerSet], rules: Iterable[Rule]) -> None:
        """Take back what was known before a restart of the rules that are in force now."""
        for row in rows:
            if row.kind == BREAKER:
                breaker = _of_row(row)
                self._breakers[breaker.version] = breaker
        self.adopt(rules)

    def adopt(self, rules: Iterable[Rule]) -> None:
        """Forget the rules, and versions of rules, that are not in force any more."""
        in_force = {rule.version for rule in rules}
        gone = [version for version in self._breakers if version not in in_force]
        for version in gone:
            del self._breakers[version]
        if gone:
            self._store.note([TimerGone(_row_id(version)) for version in gone])

    def _open(self, breaker: _Breaker) -> tuple[str, str] | None:
        """Return for how long it is open, and will be; None when a run may be tried."""
        now = self._clock.now()
        left_s = PAUSE_S - (now - breaker.tried_at).total_seconds()
        # With more than the whole pause left, somebody has set the clock back.
        if breaker.opened_at is None or not 0 < left_s <= PAUSE_S:
            return None
        open_s = max((now - breaker.opened_at).total_seconds(), 0.0)
        return _told(open_s), _told(left_s)

    def _told(self, breaker: _Breaker) -> str:
        worst = max(breaker.steps.values(), key=lambda step: step.times)
        since = self._open(breaker)
        until = (
            f"open for {since[0]}, tried again in {since[1]}" if since else "tried when next due"
        )
        return f"{worst.action} failed {worst.times} times in a row; {until}"

    def _try(self, breaker: _Breaker, start: Start) -> None:
        """Let the run be the trial."""
        breaker.tried_at, breaker.trial = self._clock.now(), start.run_id
        breaker.has_acted = breaker.has_failed = False
        self._store.note([breaker.row()])

    def _failed(self, rule: Rule, pc: int, step: Step, outcome: Outcome) -> None:
        now = self._clock.now()
        fresh = _Breaker(rule.id, rule.version, now)
        breaker = self._breakers.setdefault(rule.version, fresh)
        times = breaker.steps.get(pc, _Failing(step.action)).times + 1
        error = outcome.detail[:_ERROR_CHARACTERS]
        breaker.steps[pc] = failing = _Failing(step.action, times, error)
        breaker.tried_at, breaker.has_failed = now, True
        if failing.is_open:
            breaker.opened_at = breaker.opened_at or now
            log.warning(
                "rule.breaker_open",
                rule=rule.id,
                action=step.action,
                place=step.place,
                failures=times,
                cause=error,
                pause_s=PAUSE_S,
            )
        self._store.note([breaker.row()])

    def _succeeded(self, start: Start, pc: int) -> None:
        breaker = self._breakers.get(start.rule.version)
        if breaker is None:
            return
        breaker.has_acted = breaker.has_acted or breaker.trial == start.run_id
        if breaker.steps.pop(pc, None) is None:
            return
        still_open = any(step.is_open for step in breaker.steps.values())
        if not breaker.steps or (breaker.opened_at and not still_open):
            self._close(breaker)
        else:
            self._store.note([breaker.row()])

    def _close(self, breaker: _Breaker) -> None:
        """Forget what failed."""
        del self._breakers[breaker.version]
        self._store.note([TimerGone(_row_id(breaker.version))])
        if breaker.opened_at is not None:
            log.info("rule.breaker_closed", rule=breaker.rule_id)


def _is_covered(rule: Rule, pc: int) -> bool:
    """Whether an ``on_error`` says what to do instead of a step: its own, or the rule's."""
    act, on_error = rule.program.instructions[pc], rule.program.on_error
    has_own = isinstance(act, Act) and act.on_error is not None
    return has_own or (on_error is not None and pc < on_error)


def _row_id(version: str) -> str:
    return f"{BREAKER} {version}"


def _of_row(row: TimerSet) -> _Breaker:
    known = row.payload
    return _Breaker(
        known["rule"],
        known["version"],
        known["tried_at"],
        known["opened_at"],
        {pc: _Failing(action, times, error) for pc, action, times, error in known["steps"]},
    )


def _told(seconds: float) -> str:
    return format_duration(ceil(seconds))
