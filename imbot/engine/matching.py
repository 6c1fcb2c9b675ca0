"""Event and rulebook → the rules that it starts. Pure."""

from collections.abc import Sequence

from imbot.model import Event, Scope
from imbot.rulebook.index import Index
from imbot.rulebook.schema import Rule
from imbot.rulebook.scope import Senses


def rule_scope(scope: Scope, rule: Rule) -> Scope:
    """Return the scope with the rule's own constants in it."""
    return {**scope, "vars": rule.vars} if rule.vars else scope


def match(event: Event, index: Index, scope: Scope, senses: Senses) -> Sequence[Rule]:
    """Return the rules that the event starts, in rulebook order."""
    return [
        one.rule
        for one in index.candidates(event, scope)
        if one.when is None or one.when.holds(rule_scope(scope, one.rule), senses)
    ]
