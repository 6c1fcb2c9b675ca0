"""``imbot new``: a bot, a rule or a plugin to begin with, from the templates that ship.

A template is a file whose name ends in ``.template``; ``@name@`` in its path and text stands for
the name that was given, ``@module@`` for the name as Python has it.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from imbot.cli.output import complain
from imbot.cli.schema import in_force, schemas, write_schemas
from imbot.config import DEFAULT_FILE
from imbot.pluginhost import PluginSettings, find_plugins

What: TypeAlias = Literal["bot", "rule", "plugin"]

TEMPLATES: Final = Path(__file__).parents[1] / "templates"

#: Exit code for a name that cannot be used.
_USAGE = 2
_SUFFIX = ".template"
_NAME = re.compile("[a-z][a-z0-9_-]{0,39}")
#: What YAML does not take as text.
_NO_TEXT = frozenset({"null", "true", "false"})

#: The folder that each begins, inside the one that was named.
_FOLDER: Mapping[What, str] = MappingProxyType(
    {"bot": "@name@", "rule": ".", "plugin": "imbot-@name@"}
)
_NEXT: Mapping[What, str] = MappingProxyType(
    {
        "bot": "imbot check && imbot test rules/; then imbot simulate, and imbot run beside it",
        "rule": "imbot check rules/ && imbot test rules/@name@.test.yaml",
        "plugin": "imbot check && imbot test rules/ && pytest",
    }
)


def new(what: What, name: str, into: Path) -> int:
    """Write a starting point and say what was written; return the exit code.

    Nothing is written where anything of it is there already.

    Args:
        what: What to begin.
        name: Its name.
        into: The folder in which it begins.

    Raises:
        OSError: A file cannot be written.
    """
    if wrong := _wrong_name(what, name):
        complain(wrong)
        return _USAGE
    root = into / _named(_FOLDER[what], name)
    files = {root / path: text for path, text in _files(what, name)}
    if there := [path for path in _taken(what, root, files) if path.exists()]:
        complain(f"{there[0]} is there already; choose another name, or remove it")
        return 1
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for path in [*files, *_missing_schemas(root)]:
        print(path)
    print(f"Next: {_step_into(root)}{_named(_NEXT[what], name)}")
    return 0


def _wrong_name(what: What, name: str) -> str:
    """Return why a name cannot be used; empty when it can."""
    if not _NAME.fullmatch(name) or name in _NO_TEXT:
        cure = "begin with a small letter; then small letters, digits, - and _, 40 at most"
        return f"'{name[:80]}' cannot be a name; {cure}"
    if what == "plugin":
        known = {each.name for each in find_plugins(PluginSettings(), with_options=False).found}
        if _named("@module@", name) in known:
            return f"there is a plugin '{name}' already; choose another name"
    return ""


def _named(text: str, name: str) -> str:
    return text.replace("@name@", name).replace("@module@", name.replace("-", "_"))


def _files(what: What, name: str) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of every file, in the order of their paths."""
    templates = TEMPLATES / what
    for path in sorted(templates.rglob(f"*{_SUFFIX}")):
        relative = path.relative_to(templates).as_posix().removesuffix(_SUFFIX)
        yield _named(relative, name), _named(path.read_text(encoding="utf-8"), name)


def _taken(what: What, root: Path, files: Mapping[Path, str]) -> list[Path]:
    """Return what must not be there: a folder of its own, or else each file."""
    return list(files) if what == "rule" else [root]


def _missing_schemas(root: Path) -> list[Path]:
    """Write the schemas that the files name in their first lines, where there are none yet."""
    folder = root / "schema"
    if folder.exists():
        return []
    settings = root / DEFAULT_FILE
    return write_schemas(schemas(in_force(settings if settings.exists() else None)), folder)


def _step_into(root: Path) -> str:
    return "" if root == Path() else f"cd {shlex.quote(str(root))} && "
