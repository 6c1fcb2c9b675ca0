"""Event and rulebook → matches. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from imbot.model import Event, Scope
from imbot.rulebook.index import Index
from imbot.rulebook.schema import Rule
from imbot.rulebook.scope import Senses


class Match(NamedTuple):
    """One rule whose trigger and condition hold for one event; made for every match."""

    rule: Rule
    event: Event


def rule_scope(scope: Scope, rule: Rule) -> Scope:
    """Return the scope with the rule's own constants in it."""
    return {**scope, "vars": rule.vars} if rule.vars else scope


def match(event: Event, index: Index, scope: Scope, senses: Senses) -> Sequence[Match]:
    """Return one match for each rule that the event starts, in rulebook order."""
    return [
        Match(rule, event)
        for rule in index.candidates(event, scope)
        if rule.when is None
        or rule.when.holds(rule_scope(scope, rule) if rule.vars else scope, senses)
    ]
