"""``imbot check``: every mistake in rule files, one per line, on standard output."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from imbot.cli.output import print_problems
from imbot.cli.settings import load_and_warn, load_plugins
from imbot.config import DEFAULT_FILE
from imbot.loading import Wanted, make_rulebook, rule_paths, rule_secrets
from imbot.pluginhost import PluginSettings, find_plugins
from imbot.problems import Severity

#: Where rules are looked for when nothing names them.
_DEFAULT_RULES = Path("rules")


def check(paths: Sequence[Path], config: Path | None, *, strict: bool) -> int:
    """Check rule files; return 0, or 1 with an error (with ``strict``, a warning) among them.

    Without a settings file every standard plugin counts as installed, and hosts are not checked.
    """
    if config is None and not DEFAULT_FILE.exists():
        wanted = Wanted(find_plugins(PluginSettings(), with_options=False))
        paths = paths or [_DEFAULT_RULES]
    else:
        loaded = load_and_warn(config)
        settings = loaded.settings
        secrets = rule_secrets(settings, os.environ)
        wanted = Wanted.by(settings, load_plugins(loaded), secrets)
        paths = paths or rule_paths(loaded)
    _book, problems = make_rulebook(paths, wanted, today=datetime.now(UTC).date())
    print_problems(problems)
    counted = problems if strict else [p for p in problems if p.severity is Severity.ERROR]
    return 1 if counted else 0
