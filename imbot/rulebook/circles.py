"""Rules that start each other in a circle, and so never come to rest.

They do so by the user data that they write, by the sessions that they begin and by the webhooks
that they call. A rule that starts itself is told by the checks of one rule; at run time the loop
guard ends what goes round in one session.
"""

import re
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
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
from imbot.rulebook.values import Literal, Mapped, templates_in
from imbot.rulebook.written import is_ruled_out, user_data_written

#: More rules that start others are not looked through.
_MOST_RULES = 200
_WEBHOOK = re.compile(r"/hooks/([A-Za-z0-9][A-Za-z0-9_.-]*)/?$")
_MINE = Truthy(("session", "mine"))


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
    """A webhook is called."""

    webhook: str


_Cause: TypeAlias = _Written | _Begun | _Called


def circles(rules: Sequence[Rule]) -> Iterator[Problem]:
    """Yield a problem for each circle of rules, at the first of them."""
    able = [rule for rule in rules if rule.once is None and not rule.shadow]
    causes = {rule.id: frozenset(_causes(rule)) for rule in able}
    able = [rule for rule in able if causes[rule.id] and _hears(rule)][:_MOST_RULES]
    after = _starts(able, causes)
    told: set[str] = set()
    for rule in able:
        circle = _back_to(rule.id, after)
        if len(circle) > 1 and not told & set(circle):
            told |= set(circle)
            what = f"these rules start each other: {' → '.join((*circle, rule.id))}"
            cure = "leave 'own: true' out of one, narrow its 'when', or add 'once'"
            yield warning(rule.place, "rule-circle", what, cure)


def _hears(rule: Rule) -> bool:
    """Whether anything that rules do may start a rule."""
    return any(True for trigger in rule.triggers for _ in _heard(trigger))


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
            yield from map(_Called, _webhooks_called(step))


def _starts(
    rules: Sequence[Rule], causes: Mapping[str, frozenset[_Cause]]
) -> Mapping[str, list[str]]:
    """Return the rules that each rule starts by what it does."""
    listening: dict[Hashable, list[Rule]] = defaultdict(list)
    for rule in rules:
        for heard in dict.fromkeys(heard for each in rule.triggers for heard in _heard(each)):
            listening[heard].append(rule)
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for rule in rules:
        for cause in causes[rule.id]:
            for other in (each for said in _said(cause) for each in listening[said]):
                if _is_possible(cause, other, causes[other.id]):
                    found[rule.id][other.id] = None
    return {rule: list(others) for rule, others in found.items()}


def _said(cause: _Cause) -> tuple[Hashable, ...]:
    """Return what rules may listen for of what another does."""
    match cause:
        case _Written(key=key):
            return ("userdata", key), ("userdata", None)
        case _Begun():
            return ("session",)
        case _Called(webhook=webhook):
            return (("webhook", webhook),)


def _heard(trigger: Trigger) -> Iterator[Hashable]:
    """Yield what a trigger listens for of what rules do; None is any key of the user data."""
    match trigger:
        case UserdataTrigger(keys=keys, own=True):
            yield from (("userdata", key) for key in keys or (None,))
        case StateTrigger(to=to) if to is None or not to <= {SessionState.ALERTING}:
            yield "session"
        case WebhookTrigger(name=name):
            yield "webhook", name
        case _:
            pass


def _is_possible(cause: _Cause, rule: Rule, its_own: frozenset[_Cause]) -> bool:
    """Whether the ``when`` of a rule leaves it possible that it is started so."""
    match cause:
        case _Written(key=key, value=value):
            return value is None or not is_ruled_out(rule, key, value)
        case _Begun():
            # Two rules that begin sessions are told one by one, as what starts itself.
            return _Begun() not in its_own and contradiction([*terms(rule), _MINE]) is None
        case _Called():
            return True


def _webhooks_called(step: Act) -> Iterator[str]:
    """Yield the webhook that a request calls, if it is one of imbot's."""
    args = step.args
    if isinstance(args, Literal):
        given: Mapping[str, object] = args.value if isinstance(args.value, dict) else {}
    else:
        given = dict(args.entries) if isinstance(args, Mapped) else {}
    for value in (given[method] for method in METHODS if method in given):
        template = next(templates_in(value), None)
        written = value.value if isinstance(value, Literal) else value
        address = str(written) if template is None else template.source.text
        if (found := _WEBHOOK.search(address)) is not None:
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
