"""Loads rule texts with the standard plugins, for the tests of the loader and its parts."""

from datetime import date

from imbot.pluginhost import PluginSettings, find_plugins
from imbot.rulebook.loader import RuleFile, load_rulebook

ACTIONS = find_plugins(PluginSettings(), with_options=False).actions
SETTINGS = {
    "secrets": frozenset({"CRM_URL"}),
    "allowed_hosts": ["https://crm.example", "https://a.example"],
    "timezone": "Europe/Berlin",
    "country": "DE",
    "today": date(2026, 3, 1),
    "unavailable": {
        "fax.send": "the plugin fax is disabled",
        "pager": "plugin pager: failed to load: ImportError: No module named 'beeper'",
    },
}


def load(*texts, actions=ACTIONS, **settings):
    """Return the rulebook, or None, and the problems as text."""
    files = [RuleFile(f"f{number or ''}.yaml", text) for number, text in enumerate(texts)]
    book, problems = load_rulebook(files, actions, **{**SETTINGS, **settings})
    return book, [str(problem) for problem in problems]


def rule(body, *, rule_id="r", trigger="{state: Talking}", **settings):
    """Return the one rule of a text that begins after its trigger; no problem is allowed."""
    head = f"version: 1\nrules:\n  - id: {rule_id}\n    trigger: {trigger}\n"
    book, problems = load(head + body, **settings)
    assert problems == []
    return book.rules[0]


def steps(body, **settings):
    """Return the instructions of a rule whose ``do`` is the text."""
    return rule("    do:\n" + body, **settings).program.instructions
