"""Reads rule files from disk and makes a rulebook of them, with the plugins in force."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Self

import structlog

from imbot.config import DEFAULT_FILE, Loaded, folder_secrets
from imbot.engine.acting import Installed
from imbot.errors import RulebookError
from imbot.plugin import Action
from imbot.pluginhost import Plugins, PluginSettings
from imbot.problems import Place, Problem, Severity
from imbot.records import RuleSeen
from imbot.rulebook.loader import TEST_SUFFIXES, RuleFile, load_rulebook
from imbot.rulebook.schema import Budget, Rule, Rulebook
from imbot.rulebook.stored import compile_stored, in_shadow
from imbot.settings import Settings
from imbot.shipped import shipped
from imbot.yamlfile import Limits

log = structlog.get_logger()

_SUFFIXES = (".yaml", ".yml")

#: The code of a path at which there is no rule file.
NO_RULES = "no-rules"

#: Milliseconds without a change after which a folder is read: editors write in several steps.
_QUIET_MS = 200

#: The link that Kubernetes turns to let all files of a mounted folder change at once.
_TURNED_LINK = "..data"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a rulebook is checked against.

    Attributes:
        plugins: The plugins, for their actions.
        secrets: Names of the secrets; None without settings.
        allowed_hosts: Origins that http may reach; None without settings.
        timezone: The zone of days.
        country: Of numbers without a country code.
        shadow: Whether all rules are in shadow.
    """

    plugins: Plugins
    secrets: frozenset[str] | None = None
    allowed_hosts: tuple[str, ...] | None = None
    timezone: str = "UTC"
    country: str = "DE"
    shadow: bool = False

    @classmethod
    def by(cls, settings: Settings, plugins: Plugins, secrets: Iterable[str]) -> Self:
        """Return what settings want, with the names of :func:`rule_secrets`."""
        return cls(
            plugins,
            frozenset(secrets),
            settings.http.origins,
            settings.timezone,
            settings.country,
            settings.shadow,
        )


# Files ----------------------------------------------------------------------------------------


def rule_files(paths: Iterable[Path]) -> tuple[list[RuleFile], list[Problem]]:
    """Return every rule file that the paths name, folders in the order of their names.

    Files that test rules are left out. A path that cannot be read is a problem.
    """
    files: list[RuleFile] = []
    problems: list[Problem] = []
    for path in paths:
        place = Place(str(path))
        try:
            found = list(_read(path))
        except (OSError, ValueError) as error:
            cure = "name a rule file, or a folder of rule files"
            what = f"'{path}' cannot be read: {getattr(error, 'strerror', None) or error}"
            problems.append(Problem(place, NO_RULES, what, cure))
            continue
        inside = list(_unread(path))
        if not found and not inside:
            what, cure = f"no rule file in '{path}'", _cure_of_empty(path)
            problems.append(Problem(place, NO_RULES, what, cure, Severity.WARNING))
        files += found
        problems += inside
    return files, problems


def _read(path: Path) -> Iterator[RuleFile]:
    if not path.is_dir():
        yield _rule_file(path)
        return
    for found in sorted(path.iterdir()):
        if _holds_rules(found):
            yield _rule_file(found)


def _holds_rules(path: Path) -> bool:
    """Whether a file in a folder of rules is read: tests and settings may lie beside them."""
    is_other = path.name.endswith(TEST_SUFFIXES) or path.name == DEFAULT_FILE.name
    return path.suffix in _SUFFIXES and not is_other


def _unread(path: Path) -> Iterator[Problem]:
    """Yield a warning for each folder inside, which is not read, if it holds rule files.

    What somebody put aside there must not act; what was meant to act must not be missed silently.
    Hidden folders are left out: Kubernetes keeps the files that it mounts in some.
    """
    folders = sorted(each for each in path.iterdir() if each.is_dir()) if path.is_dir() else []
    for folder in folders:
        if folder.name[0] not in "._" and any(map(_holds_rules, folder.iterdir())):
            what = "rule files in it are not read: a folder is read without those inside"
            cure = "name it beside the other paths, or in the settings' rules"
            yield Problem(Place(str(folder)), "unread-folder", what, cure, Severity.WARNING)


def _cure_of_empty(path: Path) -> str:
    """Return what helps where a folder holds no rule file; rulebooks may lie further below."""
    below = sorted(
        {
            found.parent
            for found in path.glob("[!._]*/[!._]*/*")
            if found.is_file() and _holds_rules(found)
        }
    )
    if not below:
        return "put one there, named such as rules.yaml"
    return f"a rulebook is one folder: name that, such as '{below[0]}'"


def _rule_file(path: Path) -> RuleFile:
    return RuleFile(str(path), _content(path), partial(_read_beside, path))


def _read_beside(path: Path, name: str) -> str:
    """Return the text of a file that a rule file names, from the rule file's folder.

    Raises:
        OSError: It cannot be read.
        ValueError: It is too large, or no UTF-8.
    """
    content = _content(path.parent / name)
    if len(content) > Limits().size_bytes:
        raise ValueError(f"it is larger than {Limits().size_bytes} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ValueError("it is no UTF-8 text") from error


def _content(path: Path) -> bytes:
    """Return a file's bytes, or as many of an endless one as show that it is too large."""
    with path.open("rb") as file:
        return file.read(Limits().size_bytes + 1)


async def rule_changes(paths: Iterable[Path]) -> AsyncIterator[None]:
    """Yield whenever rule files, or calendar files beside them, may have changed.

    Raises:
        OSError: They cannot be watched.
    """
    from watchfiles import awatch

    folders = {folder for path in paths for folder in _folders_behind(path)}
    try:
        async for _ in awatch(
            *sorted(folders),
            watch_filter=lambda _, path: _concerns_rules(Path(path)),
            step=_QUIET_MS,
            recursive=False,
        ):
            yield
    except RuntimeError as error:  # as watchfiles tells that the system refuses
        raise OSError(str(error)) from error


def _folders_behind(path: Path) -> Iterator[Path]:
    """Yield where what stands at a path may change: its folder, and those that its links lead to.

    A file is watched by its folder, for editors put another one in its place.
    """
    folder = path if path.is_dir() else path.parent
    yield folder
    for file in folder.iterdir() if path.is_dir() else (path,):
        behind = file.resolve().parent
        # What a mounted folder turns as a whole lies inside it.
        if file.is_symlink() and not behind.is_relative_to(folder.resolve()):
            yield behind


def _concerns_rules(path: Path) -> bool:
    if path.name.endswith(TEST_SUFFIXES):
        return False
    return path.suffix in (*_SUFFIXES, ".ics") or path.name == _TURNED_LINK


# Rulebooks ------------------------------------------------------------------------------------


def make_rulebook(
    paths: Iterable[Path], wanted: Wanted, *, today: date
) -> tuple[Rulebook | None, list[Problem]]:
    """Return the rulebook of these files, None with an error among them, and every problem.

    Args:
        paths: Files and folders.
        wanted: What the rules are checked against.
        today: From when calendars are looked at.
    """
    files, unread = rule_files(paths)
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
    problems = [*unread, *problems]
    if book is not None and wanted.shadow:
        # Not before: what is wrong with rules that act is wrong with them in shadow, too.
        book = replace(book, rules=tuple(map(in_shadow, book.rules)))
    return (None if _errors(problems) else book), problems


def require_rulebook(loaded: Loaded, wanted: Wanted, *, today: date) -> Rulebook:
    """Return the rulebook of the settings; see :func:`make_rulebook`.

    Raises:
        RulebookError: With every error in it.
    """
    book, problems = make_rulebook(rule_paths(loaded), wanted, today=today)
    if book is None:
        raise RulebookError(_errors(placed(problems, loaded)))
    return book


def compile_kept(
    actions: Mapping[str, Action[Any]], *, today: date, shadow: bool = False
) -> Callable[[RuleSeen], Rule | None]:
    """Return what makes a rule of a version that the store kept, or None if that cannot be.

    Args:
        actions: What rules may use.
        today: The date.
        shadow: Whether all rules are in shadow: then none is made that acts.
    """

    def compiled(seen: RuleSeen) -> Rule | None:
        try:
            rule = compile_stored(seen.source, actions, today=today)
        except (RulebookError, ValueError, LookupError) as error:
            log.warning("rule.lost", rule=seen.rule_id, version=seen.version, cause=str(error))
            return None
        return rule if rule.shadow or not shadow else None

    return compiled


def _errors(problems: Iterable[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.severity is Severity.ERROR]


# From settings --------------------------------------------------------------------------------


def rule_paths(loaded: Loaded) -> tuple[Path, ...]:
    """Return where the rules are, as somebody who stands where imbot was started names it."""
    return tuple(loaded.path.parent / path for path in loaded.settings.rules)


def placed(problems: Iterable[Problem], loaded: Loaded) -> list[Problem]:
    """Return the problems; those about a path that the settings name stand where they name it."""
    named = {str(path): Place(f"rules.{number}") for number, path in enumerate(rule_paths(loaded))}
    return loaded.placed(
        replace(each, place=named.get(str(each.place), each.place)) for each in problems
    )


def plugin_settings(loaded: Loaded) -> PluginSettings:
    """Return what the settings say about plugins, their paths made absolute."""
    part = loaded.settings.plugins
    paths = tuple(loaded.base / path for path in part.paths)
    return PluginSettings(frozenset(part.disabled), paths, part.options)


def installed(plugins: Plugins) -> dict[str, Installed]:
    """Return the actions that rules may use, each with its plugin's options."""
    ours = shipped("plugins")
    return {
        action.name: Installed(action, found.options, ships=Path(found.origin).parent == ours)
        for found in plugins.enabled
        for action in found.actions
    }


def budget_of_all(settings: Settings) -> Budget:
    """Return the budget of all rules together."""
    return Budget(settings.budget.per_session, settings.budget.per_minute)


def rule_secrets(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the secrets that rules may use: what this service was handed, and the settings'."""
    named = {name: value.get_secret_value() for name, value in settings.secrets.items()}
    return {**folder_secrets(environment), **named}
