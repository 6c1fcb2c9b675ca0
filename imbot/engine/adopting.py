"""Puts a rulebook in force: at the start, and another one later, all at once.

Runs under way keep the rule that they began with. Marks, turns and budgets go by the id of a rule,
breakers by its version, timers by what rules wait for; so rules that stay do not notice.
"""

from imbot.engine.agenda import Agenda
from imbot.engine.flow import Flow
from imbot.engine.watching import Adopted
from imbot.records import RuleSeen
from imbot.rulebook.index import Index
from imbot.rulebook.schema import Rulebook


def adopt(book: Rulebook, index: Index, flow: Flow, agenda: Agenda) -> None:
    """Let events from now on meet these rules.

    Args:
        book: The rules.
        index: Made of them.
        flow: The stages.
        agenda: Its calendars are those that rules see.

    Raises:
        StoreError: The store failed.
    """
    flow.store.note([*rules_seen(book), *agenda.adopt(book)])
    flow.runs.past.breakers.adopt(book.rules)
    flow.index = index
    flow.view.asked_once = asked_once(book)
    flow.watch(Adopted(book))


def rules_seen(book: Rulebook) -> list[RuleSeen]:
    """Return what is to be kept of the rules, so that runs can end on the version they began."""
    return [RuleSeen(rule.version, rule.id, rule.place.path, rule.source) for rule in book.rules]


def asked_once(book: Rulebook) -> frozenset[str]:
    """Return the rules whose marks ``once_done()`` may ask for; none when nobody asks."""
    if not any("once_done(" in rule.source for rule in book.rules):
        return frozenset()
    return frozenset(rule.id for rule in book.rules if rule.once is not None)
