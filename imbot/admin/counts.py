"""How often each rule in force ran, was suppressed, or missed; watched, and kept in memory only.

The store knows which runs there were; what did not happen is nowhere but here.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from imbot.clock import Clock
from imbot.engine.planning import Plan
from imbot.engine.watching import Adopted, Decided, Sight
from imbot.model import ALL_RULES, Event, EventKind, Reason
from imbot.rulebook.schema import Rule, UserdataTrigger

#: What a trigger can wait for at the least: a kind, and whether our own write made the event.
_Sort: TypeAlias = tuple[EventKind, bool]


@dataclass(frozen=True, slots=True)
class RuleCount:
    """What became of the events that a rule could have been about.

    These are the events of a kind that one of its triggers waits for (of user data that imbot
    itself wrote only with ``own: true``), decided while this version of the rule was in force; but
    for those of a session that brings too many to ask any rule. Each of them is counted once.

    Attributes:
        since: When this version of the rule came into force: a start, or a reload.
        hits: Events for which it ran.
        shadow_hits: Events for which it ran in shadow.
        suppressed: Events that it matched and did not run for, by the word of the deciding reason.
        misses: All the others: no trigger of it held, or its ``when`` did not.
    """

    since: datetime
    hits: int = 0
    shadow_hits: int = 0
    suppressed: Mapping[str, int] = field(default_factory=dict)
    misses: int = 0


@dataclass(slots=True)
class _Tally:
    """What is counted of one rule.

    Attributes:
        version: Of the rule, and whether it is enabled.
        sorts: What it waits for.
        since: When it came into force.
        before: How many events of these sorts had been decided by then.
    """

    version: tuple[str, bool]
    sorts: frozenset[_Sort]
    since: datetime
    before: int
    hits: int = 0
    shadow_hits: int = 0
    suppressed: Counter[Reason] = field(default_factory=Counter)

    @property
    def met(self) -> int:
        """Events that the rule matched."""
        return self.hits + self.shadow_hits + self.suppressed.total()


class Counts:
    """Counts what it sees decided; an event costs as much as there are rules that it matched.

    Args:
        clock: Tells since when it is counted.
        rules: Those in force.
    """

    def __init__(self, clock: Clock, rules: Iterable[Rule]) -> None:
        self._clock = clock
        self._decided: Counter[_Sort] = Counter()
        self._tallies: dict[str, _Tally] = {}
        self._adopt(rules)

    def watch(self, sight: Sight) -> None:
        """Count what was seen."""
        match sight:
            case Decided(plan):
                self._count(plan)
            case Adopted(book):
                self._adopt(book.rules)
            case _:
                pass

    def of(self, rule_id: str) -> RuleCount:
        """Return what was counted of a rule; nothing of one that is not in force."""
        if (tally := self._tallies.get(rule_id)) is None:
            return RuleCount(self._clock.now())
        return RuleCount(
            tally.since,
            tally.hits,
            tally.shadow_hits,
            {reason.value: often for reason, often in tally.suppressed.items()},
            self._decided_of(tally.sorts) - tally.before - tally.met,
        )

    def _count(self, plan: Plan) -> None:
        if any(no.rule_id == ALL_RULES for no in plan.suppressed):
            return  # nobody looked which rules it matches
        sort = _sort_of(plan.event)
        self._decided[sort] += 1
        for start in plan.starts:
            if (tally := self._met(start.rule.id, sort)) is None:
                continue
            if start.in_shadow:
                tally.shadow_hits += 1
            else:
                tally.hits += 1
        for no in plan.suppressed:
            if no.reason is Reason.SHADOW:
                continue  # it is among the starts
            if (tally := self._met(no.rule_id, sort)) is not None:
                tally.suppressed[no.reason] += 1

    def _met(self, rule_id: str, sort: _Sort) -> _Tally | None:
        """Return where a match counts; None for one of an older version that was still decided."""
        tally = self._tallies.get(rule_id)
        return tally if tally is not None and sort in tally.sorts else None

    def _adopt(self, rules: Iterable[Rule]) -> None:
        self._tallies = {rule.id: self._kept(rule) or self._begun(rule) for rule in rules}

    def _kept(self, rule: Rule) -> _Tally | None:
        tally = self._tallies.get(rule.id)
        return tally if tally is not None and tally.version == _version_of(rule) else None

    def _begun(self, rule: Rule) -> _Tally:
        sorts = frozenset(_sorts_of(rule))
        return _Tally(_version_of(rule), sorts, self._clock.now(), self._decided_of(sorts))

    def _decided_of(self, sorts: Iterable[_Sort]) -> int:
        return sum(self._decided[sort] for sort in sorts)


def _version_of(rule: Rule) -> tuple[str, bool]:
    return rule.version, rule.enabled


def _sort_of(event: Event) -> _Sort:
    return event.kind, event.own


def _sorts_of(rule: Rule) -> Iterator[_Sort]:
    """Yield what the rule waits for; nothing for one that is not enabled."""
    for trigger in rule.triggers if rule.enabled else ():
        yield trigger.kind, False
        if isinstance(trigger, UserdataTrigger) and trigger.own:
            yield trigger.kind, True
