"""Commands that show what is in force: settings, plugins, rules."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from imbot.cli.output import print_problems, print_table
from imbot.cli.plugins import load_plugins
from imbot.cli.settings import load, load_and_warn
from imbot.config import masked
from imbot.loading import Wanted, require_rulebook, rule_secrets
from imbot.rulebook.schema import Rule
from imbot.yamlfile import dump


def config(path: Path | None, options: Sequence[str]) -> int:
    """Print the settings in force as YAML, secrets masked; warnings go to standard error."""
    print(dump(masked(load_and_warn(path, options).settings)), end="")
    return 0


def plugins(path: Path | None, *, as_json: bool) -> int:
    """List the plugins; return 1 when one that should work does not."""
    loaded = load_plugins(load(path))
    print_problems(loaded.warnings, to_stderr=True)
    found = loaded.found
    rows = [
        (one.name, one.status, tuple(action.name for action in one.actions), one.reason, one.origin)
        for one in found
    ]
    columns = ("plugin", "status", "actions", "reason", "from")
    print_table("Plugins", columns, rows, as_json=as_json)
    return 1 if any(one.is_broken for one in found) else 0


def rules(path: Path | None, *, as_json: bool) -> int:
    """List the rules in the order in which they are looked at."""
    loaded = load(path)
    settings = loaded.settings
    wanted = Wanted.by(settings, load_plugins(loaded), rule_secrets(settings, os.environ))
    book = require_rulebook(loaded, wanted, today=datetime.now(UTC).date())
    print_problems(book.warnings, to_stderr=True)
    rows = [
        (
            rule.id,
            tuple(trigger.kind for trigger in rule.triggers),
            rule.priority,
            _flags(rule),
            str(rule.place),
            rule.description,
        )
        for rule in book.rules
    ]
    columns = ("rule", "trigger", "priority", "flags", "place", "description")
    print_table("Rules", columns, rows, as_json=as_json)
    return 0


def _flags(rule: Rule) -> tuple[str, ...]:
    flags = {"disabled": not rule.enabled, "shadow": rule.shadow, "final": rule.final}
    return tuple(flag for flag, is_set in flags.items() if is_set)
