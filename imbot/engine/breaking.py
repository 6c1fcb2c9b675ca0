"""Breakers: a rule whose action fails time after time is held back, and tried once a minute.

A failure is a step that was given up, failed or parked, however often it was tried before and
whatever its ``on_error`` did then: that many attempts at one moment say no more than one. A step
that was withheld or cancelled says nothing. Each step of a rule is counted by itself, for the
success of one must not hide that another never works.

With five failures in a row the breaker opens. Each minute it lets one run through, the trial; it
closes when the step succeeds, or the trial ends well without having come to that step. A changed
rule begins with a closed breaker. Each rule that fails has a row, so a restart forgets nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil

import structlog

from imbot.clock import Clock
from imbot.durations import format_duration
from imbot.engine.planning import Start
from imbot.model import Outcome, OutcomeKind, Step
from imbot.ports import Store
from imbot.records import RunState, TimerGone, TimerSet
from imbot.rulebook.schema import Rule

log = structlog.get_logger()

#: So many failures of a step, one after another, open the breaker of its rule.
IN_A_ROW = 5

#: Seconds that an open breaker lets nothing through after a failure, or the beginning of a trial.
PAUSE_S = 60.0

#: The kind of the rows that keep failures; they are never fired.
BREAKER = "breaker"

#: So much of an error is kept.
_ERROR_CHARACTERS = 200

_GIVEN_UP = frozenset({OutcomeKind.FAILED, OutcomeKind.PARKED})
_GONE_WELL = frozenset({OutcomeKind.DONE, OutcomeKind.SHADOW})
_ENDED_WELL = frozenset({RunState.DONE, RunState.STOPPED})


@dataclass(frozen=True, slots=True)
class _Failing:
    """A step that has not succeeded since it failed: its action, how often, and the last error."""

    action: str
    times: int = 0
    error: str = ""


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
    """

    rule_id: str
    version: str
    tried_at: datetime
    opened_at: datetime | None = None
    steps: dict[int, _Failing] = field(default_factory=dict)
    trial: str = ""
    has_acted: bool = False

    @property
    def worst(self) -> _Failing:
        """The step that has failed most often."""
        return max(self.steps.values(), key=lambda step: step.times)

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

    def why_not(self, rule: Rule) -> str:
        """Return why the rule is held back, with all that decides it; empty while it is not."""
        breaker = self._breakers.get(rule.version)
        if breaker is None or breaker.opened_at is None:
            return ""
        now, worst = self._clock.now(), breaker.worst
        left_s = PAUSE_S - (now - breaker.tried_at).total_seconds()
        # With more than the whole pause left, somebody has set the clock back.
        if not 0 < left_s <= PAUSE_S:
            return ""
        open_s = max((now - breaker.opened_at).total_seconds(), 0.0)
        failed = f"{worst.action} failed {worst.times} times in a row, last: {worst.error}"
        until = f"open for {_told(open_s)}, one run is tried in {_told(left_s)}"
        return f"{failed}; {until} and closes it if it succeeds"

    def begin(self, start: Start) -> None:
        """Take note of a run that begins: while the breaker is open, it is the trial."""
        breaker = self._breakers.get(start.rule.version)
        if breaker is not None and breaker.opened_at is not None:
            breaker.tried_at = self._clock.now()
            breaker.trial, breaker.has_acted = start.run_id, False
            self._store.note([breaker.row()])

    def note(self, start: Start, pc: int, step: Step, outcome: Outcome) -> None:
        """Take note of how a step of a run ended."""
        if outcome.kind in _GIVEN_UP:
            self._failed(start.rule, pc, step, outcome)
        elif outcome.kind in _GONE_WELL:
            self._succeeded(start, pc)

    def end(self, start: Start, state: RunState) -> None:
        """Take note of how a run ended: a trial that acted and failed nowhere closes."""
        breaker = self._breakers.get(start.rule.version)
        if breaker is None or breaker.trial != start.run_id:
            return
        if state in _ENDED_WELL and breaker.has_acted:
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

    def _failed(self, rule: Rule, pc: int, step: Step, outcome: Outcome) -> None:
        now = self._clock.now()
        fresh = _Breaker(rule.id, rule.version, now)
        breaker = self._breakers.setdefault(rule.version, fresh)
        times = breaker.steps.get(pc, _Failing(step.action)).times + 1
        error = outcome.detail[:_ERROR_CHARACTERS]
        breaker.steps[pc] = _Failing(step.action, times, error)
        breaker.tried_at, breaker.trial = now, ""
        if times >= IN_A_ROW:
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
        if not breaker.steps or (breaker.opened_at and breaker.worst.times < IN_A_ROW):
            self._close(breaker)
        else:
            self._store.note([breaker.row()])

    def _close(self, breaker: _Breaker) -> None:
        """Forget what failed."""
        del self._breakers[breaker.version]
        self._store.note([TimerGone(_row_id(breaker.version))])
        if breaker.opened_at is not None:
            log.info("rule.breaker_closed", rule=breaker.rule_id)


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
