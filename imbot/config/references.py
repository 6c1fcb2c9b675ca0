"""References in the texts of settings: ``${env:NAME}``, ``${file:PATH}``, ``${secret:NAME}``.

The last one names a file in a folder in which services are handed secrets.

What is filled in is text and is not looked at again; ``$${`` stands for ``${``. A message names the
source that cannot be read and never shows what it holds.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from imbot.problems import Place, Problem, did_you_mean

#: Names the folder that systemd hands a service its credentials in.
_CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"

#: Where containers are handed their secrets by custom.
SECRETS_FOLDER = Path("/run/secrets")

#: A secrets file larger than this is a mistake.
_SECRET_BYTES = 64 * 1024

_REFERENCE = re.compile(r"\$?\$\{([^}]*)(\}?)")
_KINDS = ("env", "file", "secret")

#: What to write instead of a secret in clear, or of a reference that is none.
CURE = "write ${env:NAME}, ${file:PATH} or ${secret:NAME}"


@dataclass(frozen=True, slots=True)
class Sources:
    """Where references are looked up.

    Attributes:
        environment: The environment's variables.
        base: The folder that relative paths start from.
        secrets_folder: Looked into after the one that the environment names.
    """

    environment: Mapping[str, str]
    base: Path
    secrets_folder: Path = SECRETS_FOLDER


class _UnfilledError(Exception):
    """A reference cannot be filled in: code, what, cure."""


def fill(text: str, sources: Sources, place: Place) -> tuple[str, list[Problem]]:
    """Return the text with every reference in it filled in, and those that cannot be."""
    problems: list[Problem] = []

    def one(found: re.Match[str]) -> str:
        if found[0].startswith("$$"):
            return found[0][1:]
        try:
            return _value(found, sources)
        except _UnfilledError as error:
            problems.append(Problem(place, *error.args))
            return ""

    return _REFERENCE.sub(one, text), problems


def has_reference(text: str) -> bool:
    """Whether something in the text is to be filled in."""
    return any(not found[0].startswith("$$") for found in _REFERENCE.finditer(text))


def _value(found: re.Match[str], sources: Sources) -> str:
    if not found[2]:
        raise _UnfilledError("bad-reference", "a reference without its '}'", CURE)
    kind, colon, name = found[1].partition(":")
    if not colon or not name:
        # What stands there may be part of a password, so it is not shown.
        raise _UnfilledError("bad-reference", "'${…}' without a source and a name", CURE)
    match kind:
        case "env":
            return _from_environment(name, sources)
        case "file":
            return _text_of(sources.base / name)
        case "secret":
            return _from_folders(name, sources)
        case _:
            what, cure = "'${…:' names no source", did_you_mean(kind, _KINDS)
            raise _UnfilledError("bad-reference", what, cure)


def _from_environment(name: str, sources: Sources) -> str:
    if name not in sources.environment:
        cure = f"set it, for example: export {name}=…"
        raise _UnfilledError("no-variable", f"the variable {name} is not set", cure)
    return sources.environment[name]


def _text_of(path: Path) -> str:
    """Return what a file holds, without the line ends at its end."""
    try:
        with path.open("rb") as file:
            content = file.read(_SECRET_BYTES + 1)
        if len(content) > _SECRET_BYTES:
            what = f"{path} is larger than {_SECRET_BYTES} bytes"
            raise _UnfilledError("too-large", what, "name the file that holds the secret alone")
        return content.decode("utf-8-sig").rstrip("\r\n")
    except (OSError, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):
            what = f"{path} is no UTF-8 text"
            raise _UnfilledError("bad-encoding", what, "save it as UTF-8") from None
        what = f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise _UnfilledError("no-file", what, "name a file that imbot may read") from error


def secret_folders(
    environment: Mapping[str, str], secrets_folder: Path = SECRETS_FOLDER
) -> list[Path]:
    """Return the folders in which this service was handed secrets, the more important first."""
    named = environment.get(_CREDENTIALS_VARIABLE)
    folders = (Path(named), secrets_folder) if named else (secrets_folder,)
    return [folder for folder in folders if folder.is_dir()]


def folder_secrets(
    environment: Mapping[str, str], secrets_folder: Path = SECRETS_FOLDER
) -> dict[str, str]:
    """Return every secret that this service was handed and may read, by file name."""
    secrets: dict[str, str] = {}
    for path in _secret_files(secret_folders(environment, secrets_folder)):
        try:
            secrets.setdefault(path.name, _text_of(path))
        except _UnfilledError:
            continue  # not everything that lies there is for us; a rule that names it is told
    return secrets


def _secret_files(folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        try:
            paths = sorted(path for path in folder.iterdir() if path.is_file())
        except OSError:
            continue
        yield from (path for path in paths if not path.name.startswith("."))


def _from_folders(name: str, sources: Sources) -> str:
    files = list(_secret_files(secret_folders(sources.environment, sources.secrets_folder)))
    for path in files:
        if path.name == name:
            return _text_of(path)
    cure = did_you_mean(name, {path.name for path in files})
    cure = cure or f"set {_CREDENTIALS_VARIABLE} to the folder that holds it"
    raise _UnfilledError("no-secret", f"there is no secret '{name}'", cure)
