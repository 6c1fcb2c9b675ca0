"""From the settings file, and what lies over it, to checked settings; or every mistake."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails

from imbot.config import fields
from imbot.config.agentsfile import read_csv
from imbot.config.faults import as_problem
from imbot.config.fields import OPTIONS, dotted
from imbot.config.overlays import lay_environment_over, lay_options_over
from imbot.config.references import CURE, SECRETS_FOLDER, Sources, fill, has_reference
from imbot.config.showing import URL_PASSWORD
from imbot.config.tree import Tree
from imbot.errors import ConfigError
from imbot.model import JSON
from imbot.problems import Place, Problem, Severity, nearest
from imbot.settings import Settings
from imbot.yamlfile import Kind, Limits, load

#: The settings file when ``--config`` names none.
DEFAULT_FILE = Path("imbot.yaml")

_AGENTS = ("agents",)

#: Agents files hold thousands of rows.
_AGENTS_LIMITS = Limits(size_bytes=16 * 1024 * 1024, nodes=1_000_000)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings in force, and what is worth a warning.

    Attributes:
        settings: The settings; paths in them as written.
        base: The folder that relative paths start from.
        path: The settings file.
        warnings: Problems that do not stop anything.
        places: The path of each setting, such as ``rules.0``, to where it stands.
    """

    settings: Settings
    base: Path
    path: Path
    warnings: tuple[Problem, ...] = ()
    places: Mapping[str, Place] = field(default_factory=dict, repr=False)

    def placed(self, problems: Iterable[Problem]) -> list[Problem]:
        """Return problems that stand at a setting's path with its place in the file instead.

        What is missing below a setting stands at the nearest one above.
        """
        return [replace(each, place=self._place(each.place)) for each in problems]

    def _place(self, place: Place) -> Place:
        name = "" if place.line else place.path
        while name and name not in self.places:
            name = name.rpartition(".")[0]
        return self.places[name] if name else place


def load_settings(
    path: Path | None,
    *,
    environment: Mapping[str, str],
    options: Sequence[str] = (),
    secrets_folder: Path = SECRETS_FOLDER,
) -> Loaded:
    """Return the settings in force.

    Args:
        path: The settings file; None for ``imbot.yaml`` here.
        environment: The environment's variables.
        options: ``section.key=value`` of the command line.
        secrets_folder: Where secrets lie, beside the folder that the environment names.

    Raises:
        ConfigError: With every mistake found.
    """
    file = path or DEFAULT_FILE
    base = file.absolute().parent
    sources = Sources(environment, base, secrets_folder)
    tree = Tree(Place(str(file), 1, 1))
    _read_file(file, tree)
    lay_environment_over(tree, environment)
    lay_options_over(tree, options)
    _read_agents_file(file.parent, tree, sources)
    for key, value in tree.values.items():
        tree.values[key] = _filled(value, (key,), tree, sources)
    _refuse_twins(tree)
    settings = _checked(tree)
    problems = sorted(tree.problems, key=lambda problem: problem.place)
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    if errors or settings is None:
        raise ConfigError(errors)
    warnings = (*problems, *_clear_secrets(settings, tree))
    return Loaded(settings, base, file, warnings, tree.by_name())


# Files ----------------------------------------------------------------------------------------


def _read_file(file: Path, tree: Tree) -> None:
    """Read the settings file."""
    try:
        text = file.read_bytes()
    except (OSError, ValueError) as error:
        cure = "write one, or name another with --config FILE"
        tree.report(Place(str(file)), "no-settings", _unreadable(error), cure)
        tree.unread.add(())
        return
    tree.open_to_others.add(str(file))
    node, problems = load(str(file), text)
    tree.problems += [_with_cure(problem, text) for problem in problems]
    if node is not None and node.kind is Kind.MAP:
        tree.values = tree.plain(node, ())
    elif node is None:
        tree.unread.add(())
    elif node.kind is not Kind.NULL:
        tree.report(node.place, "wrong-type", "settings are a mapping", "write 'key: value'")
        tree.unread.add(())


def _with_cure(problem: Problem, text: bytes) -> Problem:
    """Return the problem; where a reference without quotes may have caused it, with that cure."""
    line = text.splitlines()[problem.place.line - 1 : problem.place.line]
    is_syntax = problem.code == "yaml-syntax" and any(b"${" in part for part in line)
    return replace(problem, cure='quote every "${…}" between { and }') if is_syntax else problem


def _read_agents_file(folder: Path, tree: Tree, sources: Sources) -> None:
    """Put the agents of a file of their own in the place of its path."""
    named = tree.values.get("agents")
    if not isinstance(named, str):
        return
    agents = _agents(named, folder, tree, sources)
    if agents is None:
        tree.unread.add(_AGENTS)
    tree.values["agents"] = agents or []


def _agents(named: str, folder: Path, tree: Tree, sources: Sources) -> list[JSON] | None:
    """Return the agents of a file; None when it cannot be read."""
    place = tree.place(_AGENTS)
    filled, problems = fill(named, sources, place)
    tree.problems += problems
    if problems:
        return None
    name = str(folder / filled)
    try:
        content = (sources.base / filled).read_bytes()
    except (OSError, ValueError) as error:
        cure = "name a CSV or YAML file, or list the agents here"
        tree.report(place, "no-agents", f"{name}: {_unreadable(error)}", cure)
        return None
    tree.open_to_others.add(name)
    read = _csv if Path(filled).suffix.lower() == ".csv" else _yaml
    return read(name, content, tree)


def _csv(name: str, content: bytes, tree: Tree) -> list[JSON] | None:
    table = read_csv(name, content)
    tree.problems += table.problems
    tree.places[_AGENTS] = Place(name, 1, 1)
    tree.places.update({(*_AGENTS, *path): place for path, place in table.places.items()})
    return None if table.problems and not table.rows else list(table.rows)


def _yaml(name: str, content: bytes, tree: Tree) -> list[JSON] | None:
    node, problems = load(name, content, limits=_AGENTS_LIMITS)
    tree.problems += problems
    if node is None:
        return None
    if node.kind is not Kind.LIST:
        cure = "begin each agent with '- '"
        tree.report(node.place, "wrong-type", "an agents file is a list of agents", cure)
        return None
    agents: list[JSON] = tree.plain(node, _AGENTS)
    return agents


def _unreadable(error: OSError | ValueError) -> str:
    return f"cannot be read: {getattr(error, 'strerror', None) or error}"


# Checks ---------------------------------------------------------------------------------------


def _filled(value: JSON, path: fields.Path, tree: Tree, sources: Sources) -> JSON:
    """Return the value with every reference in its texts filled in."""
    if isinstance(value, dict):
        return {key: _filled(item, (*path, key), tree, sources) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, (*path, i), tree, sources) for i, item in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    filled, problems = fill(value, sources, tree.place(path))
    tree.problems += problems
    if problems:
        tree.unread.add(path)
    if not has_reference(value):
        return filled
    tree.filled.add(path)
    # Nobody here knows which options of a plugin are secret; one that was kept elsewhere may be.
    return SecretStr(filled) if path[:2] == OPTIONS else filled


def _refuse_twins(tree: Tree) -> None:
    """Report every agent whose user stands there already."""
    first: dict[str, fields.Path] = {}
    agents = tree.values.get("agents")
    for index, agent in enumerate(agents if isinstance(agents, list) else ()):
        user = agent.get("user") if isinstance(agent, dict) else None
        path = (*_AGENTS, index, "user")
        if not isinstance(user, str) or not user or path in tree.unread:
            continue
        if (other := first.setdefault(user, path)) != path:
            what = f"{dotted(path)}: '{user}' stands here a second time; first at "
            what += str(tree.place(other))
            tree.report(tree.place(path), "duplicate-agent", what, "remove one")


def _checked(tree: Tree) -> Settings | None:
    """Return the settings; None when anything in them is wrong."""
    try:
        return Settings.model_validate(tree.values)
    except ValidationError as error:
        wrong = error.errors(include_url=False)
    misspelt = {(*path[:-1], right) for path, right in _misspelt(wrong)}
    tree.problems += [
        as_problem(detail, tree)
        for detail in wrong
        if not _follows(detail, tree)
        and not (detail["type"] == "missing" and detail["loc"] in misspelt)
    ]
    return None


def _misspelt(wrong: Iterable[ErrorDetails]) -> Iterator[tuple[fields.Path, str]]:
    """Yield the path of each misspelt key, and the right word."""
    for detail in wrong:
        path = detail["loc"]
        if detail["type"] == "extra_forbidden":
            right = nearest(str(path[-1]), fields.known_words(path[:-1]))
            yield path, right or ""


def _follows(detail: ErrorDetails, tree: Tree) -> bool:
    """Return whether a mistake only follows from others, which are reported."""
    if detail["type"] == "too_short":  # also said of a list whose items are all wrong
        return bool(detail["input"]) or tree.is_unread(detail["loc"])
    return detail["type"] != "extra_forbidden" and tree.is_unread(detail["loc"])


def _clear_secrets(settings: Settings, tree: Tree) -> Iterator[Problem]:
    """Yield a warning for each secret that stands in clear; for an agents file, one in all."""
    clear: dict[str, list[Place]] = {}
    for path in _secret_paths(settings.model_dump(), ()):
        place = tree.place(path)
        if path not in tree.filled and place.path in tree.open_to_others:
            is_row = path[:1] == _AGENTS and place.path != tree.top.path
            clear.setdefault("" if is_row else dotted(path), []).append(place)
    for name, places in clear.items():
        what = f"{name} stands here in clear" if name else f"{len(places)} secrets stand in clear"
        yield Problem(places[0], "clear-secret", what, CURE, Severity.WARNING)


def _secret_paths(value: object, path: fields.Path) -> Iterator[fields.Path]:
    """Yield the path of every secret in a value."""
    if isinstance(value, SecretStr) or (path == ("store",) and URL_PASSWORD.search(str(value))):
        yield path
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _secret_paths(item, (*path, key))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _secret_paths(item, (*path, index))
