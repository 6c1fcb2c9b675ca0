"""A rule out of the document that the store keeps of it, whatever became of its files."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from imbot.errors import RulebookError
from imbot.model import JSON
from imbot.plugin import Action
from imbot.problems import Severity
from imbot.rulebook.calendarreading import ReadFile
from imbot.rulebook.loader import Reader, RuleFile, Settings
from imbot.rulebook.schema import Rule
from imbot.rulebook.versions import hash_of

#: Stands in the document of a rule that is in shadow because the settings say so.
_SHADOW = "shadow"


def in_shadow(rule: Rule) -> Rule:
    """Return the rule in shadow, although its file does not say so: another version of it."""
    if rule.shadow:
        return rule
    document = {**json.loads(rule.source), _SHADOW: True}
    return replace(
        rule,
        shadow=True,
        version=hash_of([rule.version, _SHADOW]),
        source=json.dumps(document, ensure_ascii=True),
    )


def compile_stored(source: str, actions: Mapping[str, Action[Any]], *, today: date) -> Rule:
    """Return the rule of a :attr:`Rule.source`, the same as it was: version, steps and places.

    Its order among others is not known any more, nor what the settings say of secrets and hosts.

    Args:
        source: As a rule had it.
        actions: What its steps may name.
        today: The date; decides nothing about the rule.

    Raises:
        RulebookError: It cannot be compiled any more, for example because a plugin is gone.
    """
    document = json.loads(source)
    files = [_file(piece) for piece in document["pieces"]]
    settings = Settings(
        secrets=None,
        allowed_hosts=None,
        timezone=document["timezone"],
        country=document["country"],
        today=today,
        rules_are_all=False,
    )
    reader = Reader(actions, {}, settings)
    rules = reader.read(files)
    errors = [each for each in reader.problems() if each.severity is Severity.ERROR]
    if errors:
        raise RulebookError(errors)
    return in_shadow(rules[0]) if document.get(_SHADOW) else rules[0]


def _file(piece: Mapping[str, JSON]) -> RuleFile:
    """Return a rule file in which what it holds stands on its old lines."""
    # The first line of the text is the key above what it holds.
    above = "\n" * max(piece["line"] - 2, 0)
    return RuleFile(piece["path"], above + piece["text"], _reading(piece["beside"]))


def _reading(texts: Mapping[str, str]) -> ReadFile:
    return texts.__getitem__
