"""Rules beside each other: one that an earlier one hides, two that answer the same event.

Each rule is compared only with those that wait for the same.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, TypeAlias

from imbot.model import SessionState
from imbot.problems import Problem
from imbot.rulebook.contradictions import contradiction, terms
from imbot.rulebook.facts import Equals, Fact, Steps
from imbot.rulebook.findings import error, warning
from imbot.rulebook.schema import (
    CalendarTrigger,
    ConnectionTrigger,
    IdleTrigger,
    MessageTrigger,
    Rule,
    ScheduleTrigger,
    StateTrigger,
    TextTest,
    Trigger,
    UserdataTrigger,
    WebhookTrigger,
)
from imbot.rulebook.sessionstates import STATE
from imbot.rulebook.stepchecks import Running
from imbot.rulebook.texttests import key_of

#: What a trigger waits for, cut into parts that are the same or not.
_Edge: TypeAlias = tuple[Any, ...]

#: Nobody reads more than a few warnings about one rule, and a crowd must not slow the check.
_MOST_COMPARED = 100


def problems_between(running: Sequence[Running]) -> Iterator[Problem]:
    """Yield each rule that an earlier one hides, or that answers what an earlier one answers."""
    crowds: dict[_Edge, _Crowd] = defaultdict(_Crowd)
    for later in running:
        edges = [edge for trigger in later.rule.triggers for edge in _edges(trigger)]
        hiding = [_hiding(later.rule, edge, crowds) for edge in edges]
        if all(hiding) and hiding[0] is not None:
            yield _unreachable(later.rule, hiding[0])
            continue
        if (found := _answered_before(later, edges, crowds)) is not None:
            yield found
        for edge in dict.fromkeys(edges):
            crowds[edge].add(later)


def _edges(trigger: Trigger) -> list[_Edge]:  # noqa: PLR0911  one case per trigger
    """Return what a trigger waits for; None in an edge stands for anything."""
    match trigger:
        case StateTrigger(to=to, before=before):
            states = sorted(to) if to is not None else list(SessionState)
            return [
                ("state", to, each) for to in states for each in sorted(before or ()) or (None,)
            ]
        case UserdataTrigger(keys=keys, own=own):
            return [("userdata", key, own) for key in sorted(keys or ()) or (None,)]
        case ConnectionTrigger(changes=changes):
            return [("connection", change) for change in sorted(changes)]
        case MessageTrigger(test=TextTest.ANY):
            return [("message", None)]
        case MessageTrigger(test=test, texts=texts):
            return [("message", key_of(test, text)) for text in texts]
        case IdleTrigger(after_s=after_s):
            return [("idle", after_s)]
        case CalendarTrigger(calendar=calendar, opens=opens, offset_s=offset_s):
            return [("calendar", calendar, opens, offset_s)]
        case ScheduleTrigger(identity=identity):
            return [("schedule", identity)]
        case WebhookTrigger(name=name):
            return [("webhook", name)]


def _wider(edge: _Edge) -> list[_Edge]:
    """Return the edge itself and those that hold whenever it does."""
    match edge:
        case ("state", to, _):
            return [edge, ("state", to, None)]
        case ("userdata", key, own):
            return [
                ("userdata", k, o) for k in (key, None) for o in ((True,) if own else (False, True))
            ]
        case ("message", _):
            return [edge, ("message", None)]
        case _:
            return [edge]


class _Crowd:
    """Earlier rules on one edge, filed by one equality of each, so that few must be compared."""

    def __init__(self) -> None:
        self._finals: dict[frozenset[Fact], Rule] = {}
        self._plain: list[Running] = []
        self._filed: dict[Steps, dict[Any, list[Running]]] = defaultdict(lambda: defaultdict(list))

    def add(self, each: Running) -> None:
        """Add a rule."""
        rule = each.rule
        if rule.shadow:
            return
        if rule.final:
            self._finals.setdefault(frozenset(terms(rule)), rule)
        elif each.answers:
            equal = _equalities(rule)
            if not equal:
                self._plain.append(each)
            for value in equal[0].values if equal else ():
                self._filed[equal[0].path][value].append(each)

    def hiding(self, rule: Rule) -> Rule | None:
        """Return a final rule that holds whenever ``rule`` does."""
        facts = frozenset(terms(rule))
        return next((final for demands, final in self._finals.items() if demands <= facts), None)

    def beside(self, rule: Rule) -> Iterator[Running]:
        """Yield the rules that reply and may hold together with ``rule``."""
        yield from self._plain
        equal = {fact.path: fact.values for fact in _equalities(rule)}
        for path, by_value in self._filed.items():
            for value in equal.get(path, by_value):
                yield from by_value.get(value, ())


def _equalities(rule: Rule) -> list[Equals]:
    """Return the equalities of a rule, the session's state last: it tells little."""
    equal = [fact for fact in terms(rule) if isinstance(fact, Equals)]
    return sorted(equal, key=lambda fact: fact.path == STATE)


def _hiding(rule: Rule, edge: _Edge, crowds: Mapping[_Edge, _Crowd]) -> Rule | None:
    """Return a final rule that stops every event of one edge before it comes to ``rule``."""
    around = (crowds[wider] for wider in _wider(edge) if wider in crowds)
    return next((final for crowd in around if (final := crowd.hiding(rule)) is not None), None)


def _unreachable(rule: Rule, final: Rule) -> Problem:
    what = (
        f"the rule '{rule.id}' can never run: "
        f"'{final.id}' ({final.place}) is final and holds whenever it does"
    )
    return error(rule.place, "never-runs", what, "give it a higher priority, or narrow the other")


def _answered_before(
    later: Running, edges: Sequence[_Edge], crowds: Mapping[_Edge, _Crowd]
) -> Problem | None:
    """Return the problem of an event that an earlier rule answers, too."""
    if later.rule.shadow or not later.answers:
        return None
    facts = terms(later.rule)
    around = (crowds[edge].beside(later.rule) for edge in edges if edge in crowds)
    doubtful: Rule | None = None
    for earlier in islice(chain.from_iterable(around), _MOST_COMPARED):
        demands = terms(earlier.rule)
        if set(demands) <= set(facts) and earlier.surely_says and later.surely_says:
            return _double(earlier.rule, later.rule, is_certain=True)
        if doubtful is None and contradiction([*demands, *facts]) is None:
            doubtful = earlier.rule
    return None if doubtful is None else _double(doubtful, later.rule, is_certain=False)


def _double(earlier: Rule, later: Rule, *, is_certain: bool) -> Problem:
    verb = "both reply" if is_certain else "may both reply"
    what = f"'{later.id}' and '{earlier.id}' ({earlier.place}) {verb} to the same event"
    cure = "set 'final: true' on the earlier one, or narrow 'when'"
    report = error if is_certain else warning
    return report(later.place, "double-reply", what, cure)
