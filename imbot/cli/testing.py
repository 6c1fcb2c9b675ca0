"""``imbot test``: rules against their tests, in virtual time, the same every time."""

import gc
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from imbot.cli.formats import Shape
from imbot.cli.output import complain, one_line, painted, print_problems
from imbot.cli.plugins import load_plugins
from imbot.config import DEFAULT_FILE, Loaded, load_settings
from imbot.engine.acting import Habits
from imbot.errors import ConfigError
from imbot.loading import Wanted, plugin_settings, rule_paths, rule_secrets
from imbot.logs import configure_logs
from imbot.pluginhost import PluginSettings, find_plugins
from imbot.testing import reporting
from imbot.testing.rule_tests import Given, Report, rules_among, run_tests, test_files

_COLOURS = {"ok  ": "green", "FAIL": "red", "    -": "red", "    +": "yellow"}


class _Environment(dict[str, str]):
    """The environment, with something for every variable that it lacks: tests need no secret."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        return name


def run(
    paths: Sequence[Path],
    config: Path | None,
    *,
    word: str,
    coverage: bool,
    junit: Path | None,
    shape: Shape,
) -> int:
    """Play the tests; return 0 when all have passed, 1 when not, 2 when there is none."""
    paths = paths or [Path()]
    for missing in (path for path in paths if not path.exists()):
        complain(f"{missing}: there is no such file; name test files, or folders of them")
        return 2
    configure_logs("error", "text")
    try:
        given = _given(paths, config)
    except ConfigError as error:
        print_problems(error.problems, to_stderr=True)
        return 1
    files = list(dict.fromkeys(test_files(paths)))
    # What is loaded by now stays: the collector need not look through it test after test.
    gc.freeze()
    try:
        report = run_tests(files, given, word=word, with_coverage=coverage)
    finally:
        gc.unfreeze()
    if not report.results and not report.problems:
        _complain_of_nothing(files, word)
        return 2
    _print(report, shape)
    if junit is not None:
        junit.write_text(reporting.as_junit(report), encoding="utf-8")
    return 0 if report.has_passed else 1


def _given(paths: Sequence[Path], config: Path | None) -> Given:
    """Return what the tests are run with, by the settings where there are some.

    Raises:
        ConfigError: With every mistake in the settings.
    """
    rules = rules_among(paths)
    if config is None and not DEFAULT_FILE.exists():
        found = find_plugins(PluginSettings(), with_options=False)
        return Given(Wanted(found), rules=rules)
    loaded = load_settings(config, environment=_Environment(os.environ))
    settings = loaded.settings
    wanted = Wanted.by(settings, load_plugins(loaded), rule_secrets(settings, os.environ))
    return Given(
        wanted=replace(wanted, shadow=False),  # a test is about what the rules do
        plugins=plugin_settings(loaded),
        habits=_habits(loaded),
        rules=rules or tuple(map(str, rule_paths(loaded))),
    )


def _habits(loaded: Loaded) -> Habits:
    settings = loaded.settings
    return Habits(
        strict_capabilities=settings.gws.strict_capabilities,
        message_limit_bytes=settings.delivery.message_bytes,
        reason_key=settings.delivery.reason_key,
    )


def _complain_of_nothing(files: Sequence[Path], word: str) -> None:
    if files:
        complain(f"no test's name holds '{word}'")
    else:
        complain("no test file; name one such as rules.test.yaml, or a folder that holds some")


def _print(report: Report, shape: Shape) -> None:
    if shape == "text":
        for line in reporting.as_text(report):
            colour = next((c for sign, c in _COLOURS.items() if line.startswith(sign)), "")
            print(painted(one_line(line), colour))
        return
    if shape == "json":
        for line in reporting.as_json(report):
            print(line)
        return
    for line in reporting.as_github(report):
        print(one_line(line))
