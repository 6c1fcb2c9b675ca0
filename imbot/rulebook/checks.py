"""What is wrong with a rulebook whose every part is right.

Rules that can never run, steps that can never act, rules that start themselves, two that answer the
same event. An error only where it is certain; what is merely likely is a warning. Nothing here
reads files.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from imbot.model import SessionState
from imbot.plugin import Action
from imbot.problems import Place, Problem
from imbot.rulebook.circles import circles
from imbot.rulebook.contradictions import contradiction, may_pass, terms
from imbot.rulebook.facts import Equals, Fact, Range, Truthy
from imbot.rulebook.findings import error
from imbot.rulebook.overlaps import problems_between
from imbot.rulebook.schema import (
    CalendarTrigger,
    ConnectionTrigger,
    IdleTrigger,
    MessageTrigger,
    Rule,
    StateTrigger,
    Trigger,
    UserdataTrigger,
    WebhookTrigger,
)
from imbot.rulebook.sessionstates import STATE
from imbot.rulebook.stepchecks import Running


def problems_of(
    rules: Sequence[Rule],
    actions: Mapping[str, Action[Any]],
    *,
    conditions: Mapping[str, Place] = MappingProxyType({}),
) -> list[Problem]:
    """Return what is wrong with rules that are right by themselves.

    Args:
        rules: In the order in which they are looked at.
        actions: What their steps name.
        conditions: Rule id to where its ``when`` stands.
    """
    live = [rule for rule in rules if rule.enabled]
    dead = {
        rule.id: problem
        for rule in live
        if (problem := _never_runs(rule, conditions.get(rule.id, rule.place))) is not None
    }
    running = [Running(rule, actions) for rule in live if rule.id not in dead]
    problems = list(dead.values())
    for each in running:
        problems.extend(each.problems())
    problems.extend(problems_between(running))
    problems.extend(circles([each.rule for each in running]))
    # What is wrong with a block is found wherever it is called.
    return list(dict.fromkeys(problems))


# A rule that can never run --------------------------------------------------------------------


def _never_runs(rule: Rule, place: Place) -> Problem | None:
    """Return why no event ever starts a rule; its condition stands at ``place``."""
    facts = terms(rule)
    if (clash := contradiction(facts)) is not None:
        what = f"the rule '{rule.id}' can never run: {clash}"
        return error(place, "never-runs", what, "mend 'when', or set 'enabled: false'")
    if all(_rules_out(facts, each) for each in rule.triggers):
        what = f"the rule '{rule.id}' can never run: its 'when' rules its trigger out"
        return error(place, "never-runs", what, "make the two agree")
    return None


def _rules_out(facts: Sequence[Fact], trigger: Trigger) -> bool:
    """Whether facts cannot all hold where a trigger does."""
    if isinstance(trigger, MessageTrigger) and not may_pass(trigger, facts):
        return True
    return contradiction([*facts, *_facts_of_trigger(trigger)]) is not None


def _facts_of_trigger(trigger: Trigger) -> Iterator[Fact]:
    """Yield what is so whenever a trigger holds."""
    yield Equals(("event", "kind"), frozenset({trigger.kind.value}))
    match trigger:
        case StateTrigger(to=to, before=before):
            if to is not None:
                yield Equals(STATE, to)
            if before is not None:
                yield Equals(("event", "previous"), before)
        case ConnectionTrigger(changes=changes):
            yield Equals(("event", "change"), frozenset(change.value for change in changes))
        case IdleTrigger(after_s=after_s):
            yield Equals(STATE, frozenset({SessionState.TALKING}))
            yield Range(("event", "idle"), low=after_s)
        case UserdataTrigger(keys=frozenset() as keys) if len(keys) == 1:
            yield Truthy(("event", "changed", *keys))
        case CalendarTrigger(calendar=calendar, edge=edge):
            yield Equals(("event", "calendar"), frozenset({calendar}))
            yield Equals(("event", "edge"), frozenset({edge}))
        case WebhookTrigger(name=name):
            yield Equals(("event", "name"), frozenset({name}))
        case _:
            pass
