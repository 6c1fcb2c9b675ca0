"""What imbot is given: settings, secrets, plugins, rules and their calendars."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from imbot.config import Loaded, folder_secrets, load_settings, secret_folders
from imbot.doctor.findings import Finding
from imbot.errors import ConfigError
from imbot.loading import Wanted, make_rulebook, placed, plugin_settings, rule_paths, rule_secrets
from imbot.pluginhost import Plugins, PluginStatus, check_plugins, find_plugins
from imbot.problems import Problem, Severity
from imbot.rulebook.calendars import Calendar
from imbot.rulebook.schema import Rulebook

#: Of one kind of file so many mistakes are told; then there is a command that tells them all.
MOST = 5
#: A mistake of a calendar that is a matter of time, and no mistake of its author.
_ENDS = "holidays-end"
#: A secret in the file itself.
_CLEAR = "clear-secret"

#: The rights of everybody but the owner.
_OTHERS = 0o077


def settings(
    config: Path | None, options: Sequence[str], environment: Mapping[str, str]
) -> tuple[Loaded | None, list[Finding]]:
    """Return the settings, None where they cannot be used, and what is wrong with them."""
    try:
        loaded = load_settings(config, environment=environment, options=options)
    except ConfigError as error:
        return None, _told(error.problems, "imbot config")
    agents = len(loaded.settings.agents)
    ok = Finding.ok(f"{loaded.path}, with {agents} agent{'s' * (agents != 1)}")
    return loaded, _told(loaded.warnings, "imbot config") or [ok]


def secrets(loaded: Loaded, environment: Mapping[str, str]) -> list[Finding]:
    """Return which secrets cannot be read, and which others can."""
    findings = list(_unreadable(environment))
    is_clear = any(problem.code == _CLEAR for problem in loaded.warnings)
    mode = loaded.path.stat().st_mode
    if is_clear and mode & _OTHERS:
        told = f"{loaded.path} holds secrets in clear, and others can read it ({mode & 0o777:04o})"
        cure = f"chmod 600 {loaded.path}"
        findings.append(Finding.warning(told, cure))
    named = len(rule_secrets(loaded.settings, environment))
    where = "in clear" if is_clear else "none in clear"
    return findings or [Finding.ok(f"{named} that rules may use; of the settings' own {where}")]


def _unreadable(environment: Mapping[str, str]) -> Iterable[Finding]:
    usable = folder_secrets(environment)
    for folder in secret_folders(environment):
        try:
            names = sorted(path.name for path in folder.iterdir() if path.is_file())
        except OSError as error:
            cure = "let imbot's user read it, or leave the variable out"
            yield Finding.failed(f"{folder}: {error.strerror}", cure)
            continue
        lost = [name for name in names if name not in usable and not name.startswith(".")]
        if lost:
            cure = "let imbot's user read them; a secret is one small file of UTF-8 text"
            yield Finding.warning(f"{folder}: {', '.join(lost[:MOST])} cannot be used", cure)


async def plugins(loaded: Loaded) -> tuple[Plugins, list[Finding]]:
    """Return the plugins after their self-checks, and which do not work."""
    found = await check_plugins(find_plugins(plugin_settings(loaded)))
    broken = [
        Finding.failed(f"{one.name} ({one.origin}): {one.status}: {one.reason}", _cure(one.status))
        for one in found.found
        if one.is_broken
    ]
    warnings = _told(loaded.placed(found.warnings), "imbot plugins")
    enabled, actions = len(list(found.enabled)), len(found.actions)
    ok = Finding.ok(f"{enabled} of {len(found.found)} enabled, with {actions} actions")
    return found, [*broken, *warnings] or [ok]


def _cure(status: PluginStatus) -> str:
    if status is PluginStatus.BAD_OPTIONS:
        return "mend its options in plugins.options, or name it in plugins.disabled"
    return "mend or reinstall it, or name it in plugins.disabled"


def rules(
    loaded: Loaded, found: Plugins, environment: Mapping[str, str], now: datetime
) -> tuple[Rulebook | None, list[Problem], list[Finding]]:
    """Return the rules, None with an error in them, all that is wrong with them, and that told."""
    wanted = Wanted.by(loaded.settings, found, rule_secrets(loaded.settings, environment))
    book, problems = make_rulebook(rule_paths(loaded), wanted, today=now.date())
    problems = placed(problems, loaded)
    others = [problem for problem in problems if problem.code != _ENDS]
    count = 0 if book is None else len(book.rules)
    shadowed = ", all in shadow" if loaded.settings.shadow else ""
    ok = Finding.ok(f"{count} rule{'s' * (count != 1)}{shadowed}")
    return book, problems, _told(others, "imbot check") or [ok]


def calendars(book: Rulebook, problems: Sequence[Problem], now: datetime) -> list[Finding]:
    """Return which calendars of the rules have ended, or do not know next year's holidays."""
    update = "add the days of the year ahead to the file, or update the package holidays"
    findings = [Finding.of(problem, update) for problem in problems if problem.code == _ENDS]
    cure = "give it hours under open, or take it out of the rules"
    findings += [
        Finding.warning(f"{calendar.name} is closed, and does not open within a year", cure)
        for calendar in book.calendars.values()
        if _has_ended(calendar, now)
    ]
    known = f"{len(book.calendars)}, all known for a year ahead"
    return findings or [Finding.ok(known if book.calendars else "the rules have none")]


def _has_ended(calendar: Calendar, now: datetime) -> bool:
    return not calendar.is_open(now) and calendar.next_open(now) is None


def _told(problems: Sequence[Problem], command: str) -> list[Finding]:
    """Return mistakes as findings; of many the first, and what tells the others."""
    cure = f"mend it; {command} tells more"
    grave_first = sorted(problems, key=lambda problem: problem.severity is not Severity.ERROR)
    findings = [Finding.of(problem, cure) for problem in grave_first]
    shown, rest = findings[:MOST], findings[MOST:]
    if rest:
        more = f"and {len(rest)} more"
        shown.append(Finding(rest[0].grade, more, f"mend them; {command} tells them all"))
    return shown
