"""Reads rule files from disk and makes a rulebook of them, with the plugins in force."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from imbot.config import secret_folders
from imbot.engine.acting import Installed
from imbot.errors import RulebookError
from imbot.pluginhost import Plugins, PluginSettings
from imbot.problems import Place, Problem, Severity
from imbot.rulebook.loader import TEST_SUFFIXES, RuleFile, load_rulebook
from imbot.rulebook.schema import Rulebook
from imbot.settings import Settings

_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a rulebook is checked against.

    Attributes:
        plugins: The plugins, for their actions.
        secrets: Names of the secrets; None without settings.
        allowed_hosts: Origins that http may reach; None without settings.
        timezone: The zone of days.
        country: Of numbers without a country code.
    """

    plugins: Plugins
    secrets: frozenset[str] | None = None
    allowed_hosts: tuple[str, ...] | None = None
    timezone: str = "UTC"
    country: str = "DE"


def rule_files(paths: Iterable[Path], base: Path) -> tuple[list[RuleFile], list[Problem]]:
    """Return every rule file that the paths name, folders in the order of their names.

    Files that test rules are left out. A path that cannot be read is a problem.
    """
    files: list[RuleFile] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            files += _read(path, base)
        except OSError as error:
            cure = "name a rule file, or a folder of rule files"
            what = f"cannot be read: {error.strerror or error}"
            problems.append(Problem(Place(str(path)), "no-rules", what, cure))
    return files, problems


def _read(path: Path, base: Path) -> Iterator[RuleFile]:
    full = path if path.is_absolute() else base / path
    if not full.is_dir():
        yield RuleFile(str(path), full.read_bytes())
        return
    for found in sorted(full.iterdir()):
        if found.suffix in _SUFFIXES and not found.name.endswith(TEST_SUFFIXES):
            yield RuleFile(str(path / found.name), found.read_bytes())


def make_rulebook(
    paths: Iterable[Path], base: Path, wanted: Wanted, *, today: date
) -> tuple[Rulebook | None, list[Problem]]:
    """Return the rulebook of these files, None with an error among them, and every problem."""
    files, unread = rule_files(paths, base)
    book, problems = load_rulebook(
        files,
        wanted.plugins.actions,
        secrets=wanted.secrets,
        allowed_hosts=wanted.allowed_hosts,
        timezone=wanted.timezone,
        country=wanted.country,
        today=today,
        unavailable=wanted.plugins.unavailable,
    )
    return (None if unread else book), [*unread, *problems]


def require_rulebook(paths: Iterable[Path], base: Path, wanted: Wanted, *, today: date) -> Rulebook:
    """Return the rulebook of these files.

    Raises:
        RulebookError: With every error in them.
    """
    book, problems = make_rulebook(paths, base, wanted, today=today)
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    if book is None or errors:
        raise RulebookError(errors)
    return book


def plugin_settings(settings: Settings, base: Path) -> PluginSettings:
    """Return what the settings say about plugins, their paths made absolute."""
    part = settings.plugins
    return PluginSettings(
        disabled=frozenset(part.disabled),
        paths=tuple(path if path.is_absolute() else base / path for path in part.paths),
        options=part.options,
    )


def installed(plugins: Plugins) -> dict[str, Installed]:
    """Return the actions that rules may use, each with its plugin's options."""
    options = plugins.options
    return {name: Installed(action, options[name]) for name, action in plugins.actions.items()}


def rule_secrets(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the secrets that rules may use: the settings', and what a secrets folder holds."""
    secrets: dict[str, str] = {}
    for folder in reversed(secret_folders(environment)):
        for path in folder.iterdir():
            if path.is_file():
                secrets[path.name] = path.read_text(encoding="utf-8", errors="replace").strip()
    named = {name: value.get_secret_value() for name, value in settings.secrets.items()}
    return {**secrets, **named}
