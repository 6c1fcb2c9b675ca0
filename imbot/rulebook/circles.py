"""Rules that start each other in a circle, and so never come to rest.

They do so by the user data that they write, by the sessions that they begin and by the hooks that
they call. A rule that starts itself is told by the checks of one rule; at run time the loop guard
ends what goes round in one session.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from imbot.model import SessionState
from imbot.problems import Problem
from imbot.rulebook.contradictions import contradiction, terms
from imbot.rulebook.facts import Truthy
from imbot.rulebook.findings import warning
from imbot.rulebook.origins import METHODS
from imbot.rulebook.schema import (
    Act,
    Rule,
    StateTrigger,
    Trigger,
    UserdataTrigger,
    WebhookTrigger,
)
from imbot.rulebook.stepchecks import is_ruled_out, user_data_written
from imbot.rulebook.values import Literal, Mapped, templates_in

#: More rules that start others are not looked through.
_MOST_RULES = 200
_HOOK = re.compile(r"/hooks/([A-Za-z0-9][A-Za-z0-9_.-]*)/?$")
_BEGUN = Truthy(("session", "mine"))


@dataclass(frozen=True, slots=True)
class _Written:
    """A key of the user data is written; the value is None where it is not written out."""

    key: str
    value: str | None


@dataclass(frozen=True, slots=True)
class _Begun:
    """A session is begun."""


@dataclass(frozen=True, slots=True)
class _Called:
    """A hook is called."""

    hook: str


_Cause: TypeAlias = _Written | _Begun | _Called


def circles(rules: Sequence[Rule]) -> Iterator[Problem]:
    """Yield a problem for each circle of rules, at the first of them."""
    able = [rule for rule in rules if rule.once is None and not rule.shadow]
    causes = {rule.id: frozenset(_causes(rule)) for rule in able}
    able = [rule for rule in able if causes[rule.id] and _may_be_started(rule)][:_MOST_RULES]
    after = _starts(able, causes)
    told: set[str] = set()
    for rule in able:
        circle = _back_to(rule.id, after)
        if len(circle) > 1 and not told & set(circle):
            told |= set(circle)
            what = f"these rules start each other: {' → '.join((*circle, rule.id))}"
            cure = "leave 'own: true' out of one, narrow its 'when', or add 'once'"
            yield warning(rule.place, "rule-circle", what, cure)


def _causes(rule: Rule) -> Iterator[_Cause]:
    """Yield what a rule does that may start another."""
    for step in rule.program.instructions:
        if not isinstance(step, Act):
            continue
        for key, value in user_data_written(step):
            yield _Written(key, value)
        if step.action == "initiate":
            yield _Begun()
        if step.action == "http":
            yield from map(_Called, _hooks_called(step))


def _starts(
    rules: Sequence[Rule], causes: Mapping[str, frozenset[_Cause]]
) -> Mapping[str, list[str]]:
    """Return the rules that each rule starts by what it does."""
    found: dict[str, list[str]] = defaultdict(list)
    for rule in rules:
        for other in rules:
            if any(_starts_by(cause, other, causes[other.id]) for cause in causes[rule.id]):
                found[rule.id].append(other.id)
    return found


def _starts_by(cause: _Cause, rule: Rule, its_own: frozenset[_Cause]) -> bool:
    """Whether a rule may be started by what another does."""
    match cause:
        case _Written(key=key, value=value):
            is_watched = any(_watches(trigger, key) for trigger in rule.triggers)
            return is_watched and (value is None or not is_ruled_out(rule, key, value))
        case _Begun():
            # Two rules that begin sessions are told one by one, as what starts itself.
            is_told = _Begun() in its_own
            is_awaited = any(_greets(trigger) for trigger in rule.triggers)
            return is_awaited and not is_told and contradiction([*terms(rule), _BEGUN]) is None
        case _Called(hook=hook):
            return any(isinstance(t, WebhookTrigger) and t.name == hook for t in rule.triggers)


def _watches(trigger: Trigger, key: str) -> bool:
    """Whether a trigger fires also when our own hand writes a key."""
    return (
        isinstance(trigger, UserdataTrigger)
        and trigger.own
        and (trigger.keys is None or key in trigger.keys)
    )


def _may_be_started(rule: Rule) -> bool:
    """Whether anything that rules do may start a rule."""
    return any(
        isinstance(each, WebhookTrigger)
        or _greets(each)
        or (isinstance(each, UserdataTrigger) and each.own)
        for each in rule.triggers
    )


def _greets(trigger: Trigger) -> bool:
    """Whether a trigger fires on a session that has begun."""
    if not isinstance(trigger, StateTrigger):
        return False
    return trigger.to is None or not trigger.to <= {SessionState.ALERTING}


def _hooks_called(step: Act) -> Iterator[str]:
    """Yield the hook that a request calls, if it is one of imbot's."""
    args = step.args
    if isinstance(args, Literal):
        given: Mapping[str, object] = args.value if isinstance(args.value, dict) else {}
    else:
        given = dict(args.entries) if isinstance(args, Mapped) else {}
    for value in (given[method] for method in METHODS if method in given):
        template = next(templates_in(value), None)
        written = value.value if isinstance(value, Literal) else value
        address = str(written) if template is None else template.source.text
        if (found := _HOOK.search(address)) is not None:
            yield found[1]


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
