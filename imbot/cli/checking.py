"""``imbot check``: every mistake in rule files, one per line, on standard output."""

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from imbot.cli.output import print_problems
from imbot.config import DEFAULT_FILE, load_settings
from imbot.loading import Wanted, make_rulebook, plugin_settings, rule_secrets
from imbot.pluginhost import PluginSettings, check_plugins, find_plugins
from imbot.problems import Severity

#: Where rules are looked for when nothing names them.
_DEFAULT_RULES = Path("rules")


def check(paths: Sequence[Path], config: Path | None, *, strict: bool) -> int:
    """Check rule files; return 0, or 1 with an error (with ``strict``, a warning) among them.

    Without a settings file every standard plugin counts as installed, and hosts are not checked.
    """
    base = Path()
    if config is None and not DEFAULT_FILE.exists():
        wanted = Wanted(find_plugins(PluginSettings(), with_options=False))
        paths = paths or [_DEFAULT_RULES]
    else:
        loaded = load_settings(config, environment=os.environ)
        settings = loaded.settings
        plugins = asyncio.run(check_plugins(find_plugins(plugin_settings(settings, loaded.base))))
        secrets = frozenset(rule_secrets(settings, os.environ))
        allow = settings.http.allow
        wanted = Wanted(plugins, secrets, allow, settings.timezone, settings.country)
        if not paths:
            paths, base = settings.rules, loaded.base
    _book, problems = make_rulebook(paths, base, wanted, today=datetime.now(UTC).date())
    errors = print_problems(problems)
    warnings = sum(problem.severity is Severity.WARNING for problem in problems)
    return 1 if errors or (strict and warnings) else 0
