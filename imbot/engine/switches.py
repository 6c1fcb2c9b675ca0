"""What people have switched while imbot serves: all effects off, a rule off, in shadow, or live.

Kept as timers that are never due, as closed calendars are, so that a restart changes nothing. The
rule files stay as they are: a switch lies over a rule until it is taken away.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from imbot.engine.timers import NEVER
from imbot.records import Change, TimerGone, TimerSet
from imbot.rulebook.schema import Budget, Rule

#: The kinds of the rows that keep the switches.
HALTED, SWITCHED = "halted", "switched"


@dataclass(frozen=True, slots=True)
class Halt:
    """All effects are stopped.

    Attributes:
        by: Who stopped them.
        at: When.
        why: In their words; empty for none.
    """

    by: str
    at: datetime
    why: str = ""

    def __str__(self) -> str:
        """Tell it to people."""
        because = f": {self.why}" if self.why else ""
        return f"all effects were stopped by {self.by} at {self.at:%Y-%m-%d %H:%M:%SZ}{because}"


@dataclass(frozen=True, slots=True)
class RuleSwitch:
    """What lies over a rule.

    Attributes:
        by: Who switched it.
        at: When.
        is_off: Whether it does not run.
        shadow: Whether it runs in shadow; None as its file says.
        budget: In the place of its own; None for its own.
    """

    by: str
    at: datetime
    is_off: bool = False
    shadow: bool | None = None
    budget: Budget | None = None


class Switches:
    """The switches, as they stand.

    Attributes:
        halt: Who stopped all effects; None while nobody has.
        rules: What lies over rules, by their ids.
    """

    def __init__(self) -> None:
        self.halt: Halt | None = None
        self.rules: Mapping[str, RuleSwitch] = {}

    def restore(self, rows: Iterable[TimerSet]) -> None:
        """Switch as it was when imbot was last stopped."""
        for row in rows:
            if row.kind == HALTED:
                self.halt = Halt(**row.payload)
            elif row.kind == SWITCHED:
                self.rules = {**self.rules, row.payload["rule"]: _switch(row.payload)}

    def stop(self, halt: Halt | None) -> list[Change]:
        """Stop all effects, or let them go on; return what must be kept of it."""
        self.halt = halt
        if halt is None:
            return [TimerGone(HALTED)]
        payload = {"by": halt.by, "at": halt.at, "why": halt.why}
        return [TimerSet(HALTED, HALTED, NEVER, payload=payload)]

    def switch(self, rule_id: str, to: RuleSwitch | None) -> list[Change]:
        """Lay a switch over a rule, or take it away; return what must be kept of it."""
        others = {each: switch for each, switch in self.rules.items() if each != rule_id}
        self.rules = others if to is None else {**others, rule_id: to}
        row_id = f"{SWITCHED} {rule_id}"
        if to is None:
            return [TimerGone(row_id)]
        return [TimerSet(row_id, SWITCHED, NEVER, payload={"rule": rule_id, **_plain(to)})]

    def why_halted(self) -> str:
        """Return why nothing may be done; empty while it may."""
        return "" if self.halt is None else str(self.halt)

    def why_off(self, rule_id: str) -> str:
        """Return who switched a rule off; empty when nobody did."""
        switch = self.rules.get(rule_id)
        if switch is None or not switch.is_off:
            return ""
        return f"switched off by {switch.by} at {switch.at:%Y-%m-%d %H:%M:%SZ}"

    def over(self, rule: Rule) -> Rule:
        """Return a rule as it runs: with what lies over it."""
        switch = self.rules.get(rule.id)
        if switch is None:
            return rule
        return replace(
            rule,
            shadow=rule.shadow if switch.shadow is None else switch.shadow,
            budget=switch.budget or rule.budget,
            # Nobody waits behind a rule that does not run.
            final=rule.final and not switch.is_off,
        )


def _plain(switch: RuleSwitch) -> dict[str, Any]:
    budget = switch.budget
    return {
        "by": switch.by,
        "at": switch.at,
        "is_off": switch.is_off,
        "shadow": switch.shadow,
        "budget": None if budget is None else [budget.per_session, budget.per_minute],
    }


def _switch(plain: Mapping[str, Any]) -> RuleSwitch:
    budget = plain["budget"]
    return RuleSwitch(
        plain["by"],
        plain["at"],
        is_off=plain["is_off"],
        shadow=plain["shadow"],
        budget=None if budget is None else Budget(*budget),
    )
