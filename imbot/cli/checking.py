"""``imbot check``: every mistake in rule files, one per line, on standard output."""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from imbot.cli.formats import Shape
from imbot.cli.output import one_line
from imbot.cli.plugins import load_plugins
from imbot.cli.settings import load
from imbot.config import DEFAULT_FILE, Loaded
from imbot.errors import ConfigError
from imbot.loading import Wanted, make_rulebook, placed, rule_paths, rule_secrets
from imbot.pluginhost import PluginSettings, find_plugins
from imbot.problemcodes import MEANINGS
from imbot.problems import Problem, Severity

#: Where rules are looked for when nothing names them.
_DEFAULT_RULES = Path("rules")


def check(
    paths: Sequence[Path], config: Path | None, *, strict: bool, shape: Shape = "text"
) -> int:
    """Check rule files; return 0, or 1 with an error (with ``strict``, a warning) among them.

    Without settings, or with wrong ones, every standard plugin counts as installed, and hosts are
    not checked.
    """
    loaded, problems = _settings(config)
    if loaded is None:
        wanted = Wanted(find_plugins(PluginSettings(), with_options=False))
        paths = paths or ([] if problems else [_DEFAULT_RULES])
    else:
        plugins = load_plugins(loaded)
        problems += loaded.placed(plugins.warnings)
        wanted = Wanted.by(loaded.settings, plugins, rule_secrets(loaded.settings, os.environ))
        paths = paths or rule_paths(loaded)
    _book, found = make_rulebook(paths, wanted, today=datetime.now(UTC).date())
    problems += found if loaded is None else placed(found, loaded)
    for problem in problems:
        print(_written(problem, shape))
    counted = problems if strict else [p for p in problems if p.severity is Severity.ERROR]
    return 1 if counted else 0


def _written(problem: Problem, shape: Shape) -> str:
    """Return a mistake on one line."""
    if shape == "json":
        place = problem.place
        facts = {"path": place.path, "line": place.line, "column": place.column}
        facts |= {"severity": problem.severity, "code": problem.code, "what": problem.what}
        return json.dumps(facts | {"cure": problem.cure, "means": MEANINGS.get(problem.code, "")})
    return one_line(problem.annotation if shape == "github" else problem)


def _settings(config: Path | None) -> tuple[Loaded | None, list[Problem]]:
    """Return the settings, None where there are none that can be used, and what is wrong there."""
    if config is None and not DEFAULT_FILE.exists():
        return None, []
    try:
        loaded = load(config)
    except ConfigError as error:
        return None, list(error.problems)
    return loaded, list(loaded.warnings)
