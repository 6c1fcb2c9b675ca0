"""Whether facts can all hold: what makes a rule never run, and two rules never meet.

Only what is certain counts; nothing here reads files or knows the steps of a rule.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

from imbot.rulebook.facts import (
    NEVER,
    Equals,
    Fact,
    NotEquals,
    Other,
    Range,
    Refuted,
    Steps,
    Truthy,
)
from imbot.rulebook.facts import TextTest as Part
from imbot.rulebook.schema import MessageTrigger, Rule, TextTest
from imbot.rulebook.texttests import folded, passes

_SAID: Final[Steps] = ("message", "text")


def terms(rule: Rule) -> tuple[Fact, ...]:
    """Return the facts that a rule's ``when`` demands; none without a ``when``."""
    facts = () if rule.when is None else rule.when.tests
    if rule.when is not None and "vars" in rule.when.names_used:
        # The same words mean the same only with the same constants.
        constants = repr(sorted(rule.vars.items()))
        return (*(fact for fact in facts if isinstance(fact, Equals)), Other(f"{facts}{constants}"))
    return facts


def contradiction(facts: Iterable[Fact]) -> str | None:
    """Return why facts cannot all hold; None where they may."""
    by_path: dict[Steps, list[Fact]] = defaultdict(list)
    held, refuted = set[Fact](), set[Fact]()
    for fact in facts:
        if fact == NEVER:
            return "its 'when' never holds"
        plain = fact.fact if isinstance(fact, Refuted) else fact
        (refuted if isinstance(fact, Refuted) else held).add(plain)
        if not isinstance(plain, Other):
            by_path[plain.path].append(fact)
    if refuted & held:
        return "its 'when' wants the same to be so and not so"
    for path, about in by_path.items():
        if _clash(about):
            return f"'{'.'.join(map(str, path))}' cannot be all that its 'when' wants"
    return None


def _clash(facts: Sequence[Fact]) -> bool:
    """Whether no value fits all facts about one path."""
    spans = [fact for fact in facts if isinstance(fact, Range)]
    if any(_is_empty(one, other) for one in spans for other in spans):
        return True
    equal = [fact.values for fact in facts if isinstance(fact, Equals)]
    if not equal:
        return False
    values = frozenset.intersection(*equal)
    return not any(all(_allows(fact, value) for fact in facts) for value in values)


def _is_empty(one: Range, other: Range) -> bool:
    """Whether nothing lies above the low bound of one range and below the high one of another."""
    low, high = one.low, other.high
    if low is None or high is None or one.numeric is not other.numeric:
        return False
    if isinstance(low, str) is not isinstance(high, str):
        return True
    return bool(low > high or (low == high and (one.low_open or other.high_open)))


def _allows(fact: Fact, value: Any) -> bool:  # noqa: ANN401  a literal of any type
    """Whether a literal value leaves a fact possible."""
    match fact:
        case NotEquals(values=values) | Refuted(fact=Equals(values=values)):
            return value not in values
        case Refuted(fact=NotEquals(values=values)):
            return value in values
        case Truthy():
            return bool(value)
        case Refuted(fact=Truthy()):
            return not value
        case Range(numeric=False):
            return _lies_in(fact, value)
        case _:
            return True


def _lies_in(span: Range, value: Any) -> bool:  # noqa: ANN401  as above
    try:
        above = span.low is None or (value > span.low if span.low_open else value >= span.low)
        below = span.high is None or (value < span.high if span.high_open else value <= span.high)
    except TypeError:
        return False
    return bool(above and below)


# What was said ---------------------------------------------------------------------------------


def may_pass(trigger: MessageTrigger, facts: Iterable[Fact]) -> bool:
    """Whether some message passes a trigger's test for which facts hold; False is certain."""
    about = [fact for fact in facts if isinstance(fact, Equals | Part)]
    about = [fact for fact in about if fact.path == _SAID]
    for fact in about:
        if isinstance(fact, Equals):
            words = (value for value in fact.values if isinstance(value, str))
            if not any(passes(trigger, value) for value in words):
                return False
        elif not any(_fit(trigger.test, folded(text), fact) for text in trigger.texts or ("",)):
            return False
    return True


def _fit(test: TextTest, text: str, fact: Part) -> bool:
    """Whether a message may pass a test with a text while it has the part that a fact demands."""
    part = folded(fact.text)
    if test is TextTest.EQUALS:
        whole = {"startswith": text.startswith, "endswith": text.endswith}
        return fact.kind == "matches" or whole.get(fact.kind, text.__contains__)(part)
    if test is TextTest.STARTSWITH and fact.kind == "startswith":
        return text.startswith(part) or part.startswith(text)
    return True
