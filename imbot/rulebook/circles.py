"""Rules that start each other in a circle by the user data that they write.

A rule that starts itself is told by the checks of one rule; the loop guard ends both at run time.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from imbot.problems import Problem
from imbot.rulebook.findings import warning
from imbot.rulebook.schema import Act, Rule, UserdataTrigger
from imbot.rulebook.stepchecks import is_ruled_out, user_data_written

#: More rules that watch what rules write are not looked through.
_MOST_RULES = 200


def circles(rules: Sequence[Rule]) -> Iterator[Problem]:
    """Yield a problem for each circle of rules, at the first of them."""
    able = [rule for rule in rules if rule.once is None and not rule.shadow and _watches(rule)]
    after = _starts(able[:_MOST_RULES])
    told: set[str] = set()
    for rule in able[:_MOST_RULES]:
        circle = _back_to(rule.id, after)
        if len(circle) > 1 and not told & set(circle):
            told |= set(circle)
            what = f"these rules start each other: {' → '.join((*circle, rule.id))}"
            cure = "leave 'own: true' out of one, or add 'once'"
            yield warning(rule.place, "rule-circle", what, cure)


def _watches(rule: Rule) -> list[UserdataTrigger]:
    """Return what starts a rule also by our own hand."""
    return [t for t in rule.triggers if isinstance(t, UserdataTrigger) and t.own]


def _starts(rules: Sequence[Rule]) -> Mapping[str, list[str]]:
    """Return the rules that each rule starts by what it writes."""
    found: dict[str, list[str]] = defaultdict(list)
    for rule in rules:
        acts = (step for step in rule.program.instructions if isinstance(step, Act))
        written = dict.fromkeys(pair for act in acts for pair in user_data_written(act))
        for other in rules:
            if any(_starts_by(key, value, other) for key, value in written):
                found[rule.id].append(other.id)
    return found


def _starts_by(key: str, value: str | None, rule: Rule) -> bool:
    """Whether a rule may be started when this is written."""
    if not any(trigger.keys is None or key in trigger.keys for trigger in _watches(rule)):
        return False
    return value is None or not is_ruled_out(rule, key, value)


def _back_to(first: str, after: Mapping[str, list[str]]) -> tuple[str, ...]:
    """Return the shortest way from a rule back to it, through the others; empty without one."""
    ways: list[tuple[str, ...]] = [(first,)]
    seen = {first}
    while ways:
        longer: list[tuple[str, ...]] = []
        for way in ways:
            for rule in after.get(way[-1], ()):
                if rule == first and len(way) > 1:
                    return way
                if rule not in seen:
                    seen.add(rule)
                    longer.append((*way, rule))
        ways = longer
    return ()
