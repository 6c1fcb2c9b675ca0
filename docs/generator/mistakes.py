"""The example of each problem code, and what imbot says about it: read from ``mistakes.yaml``."""

import asyncio
import shlex
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias

import yaml

from imbot.config import load_settings
from imbot.engine.recording import read_situation
from imbot.errors import ConfigError, RulebookError
from imbot.gws.auth import Headers
from imbot.http import AiohttpNetwork
from imbot.loading import plugin_settings, rule_files
from imbot.pluginhost import Plugins, PluginSettings, find_plugins
from imbot.problems import Problem
from imbot.rulebook.loader import RuleFile, load_rulebook
from imbot.settings import Settings
from imbot.store.database import store_path
from imbot.testing.script_reading import read_script
from imbot.yamlfile import Limits

FILE: Final = Path(__file__).with_name("mistakes.yaml")
#: The files of an example, by name.
Files: TypeAlias = Mapping[str, str | bytes]

_SETTINGS: Final = "imbot.yaml"
_TODAY: Final = date(2026, 3, 2)
_ENVIRONMENT: Final = {"BOT1_PASSWORD": "secret", "CRM_TOKEN": "secret"}
_GOOD: Final = """gws: {url: "https://gws.example:8090"}
agents: [{user: bot1, password: "${env:BOT1_PASSWORD}"}]
"""


@dataclass(frozen=True, slots=True)
class Mistake:
    """An example of a code.

    Attributes:
        shown: The file as the page shows it, by name; the name is empty where one file is enough.
        problems: What imbot says about it.
        shift: The lines and columns that the checked file has before what is shown.
    """

    shown: Mapping[str, str]
    problems: tuple[Problem, ...]
    shift: tuple[int, int] = (0, 0)


#: What cannot be shown: too much of it, or no text.
_UNSEEN: Final[Mapping[str, str | bytes]] = {
    "bad-encoding": "rules: [] # café".encode("latin-1"),
    "too-large": "#" * (Limits().size_bytes + 1),
    "too-deep": "rules: " + "[" * (Limits().depth + 1) + "]" * (Limits().depth + 1),
    "long-message": f"- {{id: a, trigger: {{state: Talking}}, do: [{{reply: {'x' * 9000}}}]}}\n",
}


def mistake_of(code: str) -> Mistake:
    """Return the example of a code.

    Raises:
        LookupError: There is none yet.
    """
    if (found := mistakes().get(code)) is None:
        raise LookupError(f"no example of '{code}'; write one into {FILE.name}")
    return found


@cache
def mistakes() -> Mapping[str, Mistake]:
    """Return the example of each code."""
    written = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    plugins = find_plugins(PluginSettings(), with_options=False)
    unseen = {code: Mistake({}, _found({"": text}, plugins)) for code, text in _UNSEEN.items()}
    shown = {code: _mistake(example, plugins) for code, example in written.items()}
    return {**unseen, **shown}


def _mistake(example: str | Files, plugins: Plugins) -> Mistake:
    if isinstance(example, str) and example.startswith("imbot "):
        return Mistake({"": example}, tuple(_of_command(shlex.split(example))))
    files = {"": example} if isinstance(example, str) else example
    shown = {name: str(text).rstrip("\n") for name, text in files.items()}
    return Mistake(shown, _found(files, plugins), _shift(next(iter(shown.values()))))


def _shift(text: str) -> tuple[int, int]:
    """Return how many lines and columns are put before what a page shows."""
    if text.startswith(("version:", "gws:", "{")):
        return 0, 0
    return (2, 2) if text.startswith("- ") else (1, 0)


def _found(files: Files, plugins: Plugins) -> tuple[Problem, ...]:
    """Return what is wrong with files, which their names or their first words tell apart."""
    first = next(iter(files.values()))
    if "event.json" in files:
        return tuple(_of_event(str(first)))
    if _SETTINGS in files or _begins(first, "gws:"):
        return tuple(_of_settings({name or _SETTINGS: text for name, text in files.items()}))
    if "/" in next(iter(files)):
        return tuple(_of_folder(files))
    if _begins(first, "tests:"):
        return tuple(read_script("rules.test.yaml", f"version: 1\n{first!s}", plugins.actions)[1])
    return tuple(_of_rules(files, plugins))


def _begins(text: str | bytes, word: str) -> bool:
    return isinstance(text, str) and text.startswith(word)


def _of_rules(files: Files, plugins: Plugins) -> Iterable[Problem]:
    def beside(name: str) -> str:
        if name not in files:
            raise FileNotFoundError(2, "No such file or directory")
        return str(files[name])

    rules = [
        RuleFile(name or "rules.yaml", as_rules(text), beside)
        for name, text in files.items()
        if not name.endswith(".ics")
    ]
    return load_rulebook(
        rules,
        plugins.actions,
        secrets=frozenset({"CRM_URL", "CRM_TOKEN"}),
        allowed_hosts=["https://crm.example"],
        timezone="Europe/Berlin",
        country="DE",
        today=_TODAY,
        unavailable={"pager": "plugin pager: disabled"},
    )[1]


def as_rules(text: str | bytes) -> str | bytes:
    """Return a rule file of which only the rules, or all but the version, are shown."""
    if isinstance(text, bytes) or text.startswith("version:"):
        return text
    if text.startswith("- "):
        text = "rules:\n" + "".join(f"  {line}\n" for line in text.splitlines())
    return f"version: 1\n{text}"


def _of_folder(files: Files) -> Iterable[Problem]:
    """Return what is wrong with the folder of some rule files."""
    with tempfile.TemporaryDirectory() as folder:
        _write(files, Path(folder))
        found = rule_files([Path(folder) / next(iter(files)).partition("/")[0]])[1]
        return [_without(f"{folder}/", problem) for problem in found]


def _write(files: Files, folder: Path) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(text), encoding="utf-8")


def _of_event(text: str) -> Iterable[Problem]:
    try:
        read_situation("event.json", text, now=datetime(2026, 3, 2, tzinfo=UTC))
    except RulebookError as error:
        return error.problems
    return ()


def _of_command(words: Sequence[str]) -> Iterable[Problem]:
    """Return what a command says before it does anything."""
    match words:
        case ["imbot", "check", "--config", path]:
            return _caught(lambda: load_settings(Path(path), environment={}))
        case ["imbot", "check", path]:
            return rule_files([Path(path)])[1]
        case ["imbot", "run", *options]:
            return _of_settings({_SETTINGS: _GOOD}, options=options[1:])
        case _:
            return ()


def _of_settings(files: Files, *, options: Sequence[str] = ()) -> Iterable[Problem]:
    """Return what is wrong with settings when they are read, and when they are used."""
    with tempfile.TemporaryDirectory() as folder:
        _write(files, Path(folder))
        found = [*_read(Path(folder) / _SETTINGS, options)]
        return [_without(f"{folder}/", problem) for problem in found]


def _read(path: Path, options: Sequence[str]) -> Iterable[Problem]:
    try:
        loaded = load_settings(
            path, environment=_ENVIRONMENT, options=options, secrets_folder=path.parent / "secrets"
        )
    except ConfigError as error:
        return error.problems
    used = _caught(lambda: _use(loaded.settings, path.parent))
    return [*loaded.warnings, *find_plugins(plugin_settings(loaded)).warnings, *used]


def _use(settings: Settings, folder: Path) -> None:
    """Make what ``imbot run`` makes of settings, as far as it can be refused.

    Raises:
        ConfigError: It is refused.
    """
    store_path(settings.store, folder)
    for agent in settings.agents:
        given = (agent.auth.headers if agent.auth else None) or {}
        Headers({name: value.get_secret_value() for name, value in given.items()})
    asyncio.run(_open_network(settings, folder))


async def _open_network(settings: Settings, folder: Path) -> None:
    """Open the way out, and close it.

    Raises:
        ConfigError: It cannot be.
    """
    ca_file = settings.gws.ca_file
    network = AiohttpNetwork(
        ca_file=ca_file and folder / ca_file,
        allow=settings.http.allow,
        internal=settings.http.internal,
    )
    await network.close()


def _caught(call: Callable[[], object]) -> Iterable[Problem]:
    try:
        call()
    except ConfigError as error:
        return error.problems
    return ()


def _without(folder: str, problem: Problem) -> Problem:
    """Return a problem that does not name the folder in which it was looked for."""
    what, cure = problem.what.replace(folder, ""), problem.cure.replace(folder, "")
    return Problem(problem.place, problem.code, what, cure, problem.severity)
