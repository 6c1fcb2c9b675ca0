"""The page of log events: names, levels and facts from the code, sentences from ``logs.yaml``."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, NoReturn

import yaml

from docs.generator.markdown import contents, table

FILE: Final = Path(__file__).with_name("logs.yaml")
_ROOT: Final = Path(__file__).parents[2]
_FOLDERS: Final = ("imbot", "plugins")

#: What each method of a logger writes; an exception is an error with its traceback.
_LEVELS: Final[Mapping[str, str]] = {
    **{level: level for level in ("debug", "info", "warning", "error")},
    "exception": "error",
}
#: No fact, but how the traceback comes along.
_NO_FACT: Final = "exc_info"


@dataclass(frozen=True, slots=True)
class Logged:
    """What the code writes under one name.

    Attributes:
        levels: Of each place that writes it; one, if all is well.
        facts: What stands beside the name, in the order of the calls.
        has_more: Whether some facts are taken from elsewhere.
    """

    levels: set[str] = field(default_factory=set)
    facts: dict[str, None] = field(default_factory=dict)
    has_more: bool = False


def page() -> Iterator[str]:
    """Yield every event, in the order of ``logs.yaml``.

    Raises:
        LookupError: The code writes an event that is not told of there, or the other way round.
    """
    found = logged()
    told: Mapping[str, Mapping[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    names = [name for events in told.values() for name in events]
    if wrong := sorted({*names} ^ {*found}):
        raise LookupError(f"{FILE.name} and the code differ: {', '.join(wrong)}")
    yield from contents(told)
    for title, events in told.items():
        yield from (f"## {title}", "")
        rows = [_row(name, sentence, found[name]) for name, sentence in events.items()]
        yield from table(("event", "level", "when", "facts"), rows)


def _row(name: str, sentence: str | Mapping[str, Any], event: Logged) -> tuple[str, ...]:
    """Return a line of the table.

    Raises:
        LookupError: Facts are taken from elsewhere and not named, or are others than are named.
    """
    when, facts = sentence, list(event.facts)
    if isinstance(sentence, Mapping):
        when, facts = sentence["when"], sentence["facts"]
        if not event.facts.keys() <= {*facts}:
            _refuse(name, "has other facts in the code")
    elif event.has_more:
        _refuse(name, "takes facts from elsewhere; name all of them under `facts`")
    return f"`{name}`", ", ".join(sorted(event.levels)), str(when), ", ".join(facts) or "none"


def _refuse(name: str, why: str) -> NoReturn:
    raise LookupError(f"{FILE.name}: {name} {why}")


@cache
def logged() -> Mapping[str, Logged]:
    """Return every event that the code writes, by name."""
    found: dict[str, Logged] = {}
    for folder in _FOLDERS:
        for path in sorted((_ROOT / folder).rglob("*.py")):
            _read(path.read_text(encoding="utf-8"), found)
    return found


def _read(source: str, found: dict[str, Logged]) -> None:
    """Add the events of one module: calls of a logger that is called ``log``."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="log"), attr=method),
                args=[ast.Constant(value=str(name))],
                keywords=keywords,
            ) if method in _LEVELS:
                event = found.pop(name, Logged())
                names = [each.arg for each in keywords if each.arg != _NO_FACT]
                found[name] = Logged(
                    event.levels | {_LEVELS[method]},
                    event.facts | dict.fromkeys(filter(None, names)),
                    event.has_more or None in names,
                )
            case _:
                pass
