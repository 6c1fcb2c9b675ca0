"""Settings: file < environment < command line, every mistake at once, each with its place.

The file is ``imbot.yaml`` or what ``--config`` names; paths in it are relative to it. A variable
``IMBOT_SECTION__KEY`` and an option ``section.key=value`` lie over it. Values may hold
``${env:NAME}``, ``${file:PATH}`` and ``${secret:NAME}``; they are filled in after the file is
parsed, so that no value can change its shape. The only module that reads the environment.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from imbot.errors import ConfigError
from imbot.model import JSON
from imbot.problems import Place, Problem, Severity, did_you_mean
from imbot.settings import AgentPart, AuthPart, Settings
from imbot.yamlfile import Kind, Limits, Node, load

#: The settings file when ``--config`` names none.
DEFAULT_FILE = Path("imbot.yaml")

_PREFIX = "IMBOT_"
_REFERENCE = re.compile(r"\$\{(?:(env|file|secret):([^}]*)|([^}]*))\}")

#: Folders in which services are handed secrets, one file each, by variable or by custom.
_CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"
_SECRETS_FOLDER = Path("/run/secrets")

#: A secrets file larger than this is a mistake.
_SECRET_BYTES = 64 * 1024

#: Agents files hold thousands of rows.
_AGENTS_LIMITS = Limits(size_bytes=16 * 1024 * 1024, nodes=1_000_000)

_MASK = "********"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings in force, and what is worth a warning.

    Attributes:
        settings: The settings.
        base: The folder that relative paths start from.
        path: The settings file.
        warnings: Problems that do not stop anything.
    """

    settings: Settings
    base: Path
    path: Path
    warnings: tuple[Problem, ...] = ()


@dataclass(slots=True)
class _Leaf:
    """One value before it is checked, with its place."""

    value: JSON
    place: Place
    is_clear: bool = True


@dataclass(slots=True)
class _Reading:
    """What has been read so far: leaves by path, and problems."""

    environment: Mapping[str, str]
    base: Path
    problems: list[Problem] = field(default_factory=list)
    places: dict[tuple[str | int, ...], Place] = field(default_factory=dict)
    referenced: set[tuple[str | int, ...]] = field(default_factory=set)

    def report(self, place: Place, code: str, what: str, cure: str = "") -> None:
        """Note a mistake."""
        self.problems.append(Problem(place, code, what, cure))


def load_settings(
    path: Path | None,
    *,
    environment: Mapping[str, str],
    options: Sequence[str] = (),
) -> Loaded:
    """Return the settings in force.

    Args:
        path: The settings file; None for ``imbot.yaml`` here.
        environment: The environment's variables.
        options: ``section.key=value`` of the command line.

    Raises:
        ConfigError: With every mistake found.
    """
    file = path or DEFAULT_FILE
    reading = _Reading(environment, file.resolve().parent)
    tree = _file(file, reading)
    for place, keys, text in _overlays(environment, options, reading):
        _lay_over(tree, keys, text, place, reading)
    tree = _agents_from_file(tree, reading)
    filled = _filled(tree, (), reading)
    settings = _checked(filled, file, reading)
    errors = [p for p in reading.problems if p.severity is Severity.ERROR]
    if errors or settings is None:
        raise ConfigError(sorted(errors, key=lambda problem: problem.place))
    warnings = tuple(_clear_secrets(settings, reading))
    return Loaded(settings, reading.base, file, warnings)


# Sources --------------------------------------------------------------------------------------


def _file(file: Path, reading: _Reading) -> dict[str, Any]:
    try:
        text = file.read_bytes()
    except OSError as error:
        cure = "write one, or name another with --config FILE"
        reading.report(Place(str(file)), "no-settings", f"{error.strerror}", cure)
        return {}
    node, problems = load(str(file), text)
    reading.problems += problems
    if node is None or node.kind is Kind.NULL:
        return {}
    if node.kind is not Kind.MAP:
        reading.report(node.place, "wrong-type", f"settings are a mapping, not a {node.kind}")
        return {}
    tree = _plain(node, (), reading)
    return tree if isinstance(tree, dict) else {}


def _plain(node: Node, path: tuple[str | int, ...], reading: _Reading) -> JSON:
    """Return a node as plain values, numbers as they are spelled; note every place."""
    reading.places[path] = node.place
    if node.kind is Kind.LIST:
        return [_plain(item, (*path, i), reading) for i, item in enumerate(node.items)]
    if node.kind is Kind.MAP:
        for key, entry in node.entries.items():
            reading.places[*path, key, _KEY] = entry.key.place
        return {k: _plain(e.value, (*path, k), reading) for k, e in node.entries.items()}
    return node.raw if node.kind is Kind.NUMBER else node.plain()


#: Marks the place of a key among the places of values.
_KEY = "\0key"


def _overlays(
    environment: Mapping[str, str], options: Sequence[str], reading: _Reading
) -> Iterator[tuple[Place, list[str], str]]:
    """Yield what lies over the file, the least important first."""
    for name, text in sorted(environment.items()):
        if name.startswith(_PREFIX) and len(name) > len(_PREFIX):
            keys = name.removeprefix(_PREFIX).lower().split("__")
            yield Place(f"environment {name}"), keys, text
    for option in options:
        name, equals, text = option.partition("=")
        place = Place(f"option {name}")
        if not equals or not name:
            reading.report(place, "bad-option", f"'{option}' is no setting", "write key=value")
        else:
            yield place, name.split("."), text


def _lay_over(
    tree: dict[str, Any], keys: list[str], text: str, place: Place, reading: _Reading
) -> None:
    """Put one value of the environment or the command line into the tree."""
    if keys[0] not in Settings.model_fields:
        cure = did_you_mean(keys[0], Settings.model_fields)
        reading.report(place, "unknown-key", f"there is no setting '{'.'.join(keys)}'", cure)
        return
    node, problems = load(str(place), text)
    reading.problems += problems
    if node is None:
        return
    at: Any = tree
    for key in keys[:-1]:
        at = at.setdefault(key, {}) if isinstance(at, dict) else None
    if not isinstance(at, dict):
        reading.report(place, "wrong-type", f"'{'.'.join(keys[:-1])}' is no mapping")
        return
    path = tuple(keys)
    at[keys[-1]] = text if node.is_scalar else _plain(node, path, reading)
    for depth in range(1, len(path) + 1):
        reading.places[path[:depth]] = place


def _agents_from_file(tree: dict[str, Any], reading: _Reading) -> dict[str, Any]:
    """Return the tree with the rows of the agents file in the place of its path."""
    named = tree.get("agents")
    if not isinstance(named, str):
        return tree
    place = reading.places.get(("agents",), Place("agents"))
    path = Path(_fill(named, ("agents",), place, reading))
    path = path if path.is_absolute() else reading.base / path
    try:
        content = path.read_bytes()
    except OSError as error:
        cure = "name a CSV or YAML file, or list the agents here"
        reading.report(place, "no-agents", f"{path}: {error.strerror}", cure)
        return {**tree, "agents": [{"user": "unread", "password": "unread"}]}
    read = _csv_rows if path.suffix.lower() == ".csv" else _yaml_rows
    return {**tree, "agents": read(path, content, reading)}


def _yaml_rows(path: Path, content: bytes, reading: _Reading) -> JSON:
    node, problems = load(str(path), content, limits=_AGENTS_LIMITS)
    reading.problems += problems
    if node is None:
        return []
    if node.kind is not Kind.LIST:
        reading.report(node.place, "wrong-type", "an agents file is a list of agents")
        return []
    return _plain(node, ("agents",), reading)


def _csv_rows(path: Path, content: bytes, reading: _Reading) -> JSON:
    """Return the rows of a CSV file whose first line names the keys; empty cells are left out."""
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        reading.report(Place(str(path), 1, 1), "bad-encoding", "no UTF-8 text", "save it as UTF-8")
        return []
    rows: list[JSON] = []
    known = {*AgentPart.model_fields, "bearer"} - {"auth"}
    table = csv.DictReader(lines, strict=True)
    for column, name in enumerate(table.fieldnames or (), start=1):
        if name not in known:
            cure = did_you_mean(str(name), known)
            place = Place(str(path), 1, column)
            reading.report(place, "unknown-key", f"unknown column '{name}'", cure)
    try:
        for row in table:
            place = Place(str(path), table.line_num, 1)
            if None in row:
                reading.report(place, "bad-csv", "the row has more cells than columns")
            reading.places["agents", len(rows)] = place
            rows.append(_csv_agent({k: v for k, v in row.items() if v and k in known}))
    except csv.Error as error:
        place = Place(str(path), table.line_num, 1)
        reading.report(place, "bad-csv", f"the row cannot be read: {error}")
    return rows


def _csv_agent(row: dict[str, Any]) -> dict[str, Any]:
    if "channels" in row:
        row["channels"] = row["channels"].split()
    if "bearer" in row:
        row["auth"] = {"bearer": row.pop("bearer")}
    return row


# References -----------------------------------------------------------------------------------


def _filled(value: JSON, path: tuple[str | int, ...], reading: _Reading) -> JSON:
    """Return the value with every reference in its texts filled in."""
    if isinstance(value, dict):
        return {key: _filled(item, (*path, key), reading) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, (*path, i), reading) for i, item in enumerate(value)]
    if isinstance(value, str) and "${" in value:
        return _fill(value, path, _place(path, reading), reading)
    return value


def _fill(text: str, path: tuple[str | int, ...], place: Place, reading: _Reading) -> str:
    reading.referenced.add(path)

    def one(found: re.Match[str]) -> str:
        kind, name, other = found.groups()
        match kind:
            case "env":
                return _from_environment(name, place, reading)
            case "file":
                return _from_file(reading.base / name, place, reading)
            case "secret":
                return _from_folder(name, place, reading)
            case _:
                pass
        cure = "write ${env:NAME}, ${file:PATH} or ${secret:NAME}"
        reading.report(place, "bad-reference", f"'${{{other}}}' refers to nothing", cure)
        return ""

    return _REFERENCE.sub(one, text)


def _from_environment(name: str, place: Place, reading: _Reading) -> str:
    if name not in reading.environment:
        cure = f"set it, for example: export {name}=…"
        reading.report(place, "no-variable", f"the variable {name} is not set", cure)
        return ""
    return reading.environment[name]


def _from_file(path: Path, place: Place, reading: _Reading) -> str:
    """Return what a file holds, without the line end at its end."""
    try:
        content = path.read_bytes()
        if len(content) > _SECRET_BYTES:
            reading.report(place, "too-large", f"{path} is larger than {_SECRET_BYTES} bytes")
            return ""
        return content.decode().rstrip("\r\n")
    except OSError as error:
        cure = "name a file that imbot may read"
        reading.report(place, "no-file", f"{path}: {error.strerror}", cure)
    except UnicodeDecodeError:
        reading.report(place, "bad-encoding", f"{path} is no UTF-8 text", "save it as UTF-8")
    return ""


def secret_folders(environment: Mapping[str, str]) -> list[Path]:
    """Return the folders in which this service was handed secrets, one file each."""
    named = environment.get(_CREDENTIALS_VARIABLE)
    folders = [Path(named)] if named else []
    return [folder for folder in (*folders, _SECRETS_FOLDER) if folder.is_dir()]


def _from_folder(name: str, place: Place, reading: _Reading) -> str:
    folders = secret_folders(reading.environment)
    for folder in folders:
        if Path(name).name == name and (folder / name).is_file():
            return _from_file(folder / name, place, reading)
    names = {path.name for folder in folders for path in folder.iterdir()}
    cure = did_you_mean(name, names) or f"set {_CREDENTIALS_VARIABLE} to the folder that holds it"
    reading.report(place, "no-secret", f"there is no secret '{name}'", cure)
    return ""


# Checking -------------------------------------------------------------------------------------


def _place(path: tuple[str | int, ...], reading: _Reading) -> Place:
    """Return the place of a value, or of the nearest thing around it that has one."""
    for depth in range(len(path), -1, -1):
        if (place := reading.places.get(path[:depth])) is not None:
            return place
    return Place("settings")


def _checked(tree: JSON, file: Path, reading: _Reading) -> Settings | None:
    reading.places.setdefault((), Place(str(file), 1, 1))
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            if not _is_unread(detail, reading):
                reading.problems.append(_problem(detail, reading))
    return None


def _is_unread(detail: ErrorDetails, reading: _Reading) -> bool:
    """Return whether the value was already reported as one that cannot be filled in."""
    return detail["loc"] in reading.referenced and bool(reading.problems)


def _problem(detail: ErrorDetails, reading: _Reading) -> Problem:
    """Return a mistake in the words of the settings file."""
    path = detail["loc"]
    where = ".".join(str(part) for part in path)
    if detail["type"] == "extra_forbidden":
        key = str(path[-1])
        place = reading.places.get((*path, _KEY)) or _place(path, reading)
        cure = did_you_mean(key, _fields_at(path[:-1]))
        return Problem(place, "unknown-key", f"there is no setting '{where}'", cure)
    if detail["type"] == "missing":
        place = reading.places.get((*path[:-1], _KEY)) or _place(path[:-1], reading)
        return Problem(place, "missing", f"'{where}' is missing", _meaning(path))
    told = detail["msg"].removeprefix("Value error, ")
    what, _, cure = told.partition("; ")
    what = f"{where}: {what}" if where else what
    return Problem(_place(path, reading), "wrong-value", what, cure or _meaning(path))


def _fields_at(path: Sequence[str | int]) -> list[str]:
    model = _model_at(path)
    return list(model.model_fields) if model is not None else []


def _meaning(path: Sequence[str | int]) -> str:
    """Return the first sentence of what a setting means."""
    model = _model_at(path[:-1])
    known = model.model_fields.get(str(path[-1])) if model is not None and path else None
    return (known.description or "").rstrip(".") if known is not None else ""


def _model_at(path: Sequence[str | int]) -> type[BaseModel] | None:
    """Return the model of the mapping at this path; None where any key may stand."""
    model: type[BaseModel] | None = Settings
    for part in path:
        if isinstance(part, int):
            continue
        known = model.model_fields.get(part) if model is not None else None
        if known is None:
            return None
        model = _NESTED.get(part) or _as_model(known.annotation)
    return model


#: Models that stand in lists or may be absent, by the key they stand under.
_NESTED: Mapping[str, type[BaseModel]] = {"agents": AgentPart, "auth": AuthPart}


def _as_model(annotation: object) -> type[BaseModel] | None:
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return annotation if is_model else None  # type: ignore[return-value]  # just checked


def _clear_secrets(settings: Settings, reading: _Reading) -> Iterator[Problem]:
    """Yield a warning for every secret that stands in a file in clear."""
    for path in _secret_paths(settings.model_dump(), ()):
        if path in reading.referenced:
            continue
        place = _place(path, reading)
        if place.line:
            where = ".".join(str(part) for part in path)
            cure = "write ${env:NAME}, ${file:PATH} or ${secret:NAME}"
            what = f"{where} stands here in clear"
            yield Problem(place, "clear-secret", what, cure, Severity.WARNING)


def _secret_paths(value: object, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, SecretStr):
        yield path
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _secret_paths(item, (*path, key))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _secret_paths(item, (*path, index))


def masked(settings: Settings) -> JSON:
    """Return the settings as plain values to show, every secret masked.

    What plugins call an option nobody here can know; those that sound secret are masked too.
    """
    return _masked(settings.model_dump(mode="python"))


_SOUNDS_SECRET = re.compile(r"pass|secret|token|key|credential|auth", re.IGNORECASE)


def _masked(value: object, name: str = "") -> JSON:
    if isinstance(value, SecretStr):
        return _MASK
    if isinstance(value, Mapping):
        return {str(key): _masked(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    is_secret = isinstance(value, str) and value and _SOUNDS_SECRET.search(name)
    return _MASK if is_secret and name != "reason_key" else value
