"""Tables of the keys that a file may have, out of the JSON Schemas that editors use."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from docs.generator.markdown import table
from imbot.meaning import Meant
from imbot.schemas.parts import Schema, backoff, duration, duration_or, offset

HEADS: Final = ("key", "type", "default", "meaning")

#: Where what a schema refers to is described.
_PAGES: Final[Mapping[str, str]] = {
    "expression": "[expression](expressions.md)",
    "condition": "[expression](expressions.md), or a list of them",
    "template": "[template](templates.md)",
    "trigger": "[trigger](triggers.md)",
    "waited_for": "[trigger](triggers.md) of a session",
    "step": "[step](steps.md)",
    "steps": "list of [steps](steps.md)",
    "rule": "[rule](#rule)",
    "test": "[test](#test)",
    "event": "[event](#event)",
    "effect": "[effect](#effect)",
}
#: Shapes of text that have a name.
_SHAPES: Final = (
    (duration(), "duration"),
    (duration(zero=True), "duration"),
    (offset(), "duration, then `before` or `after`"),
    (backoff(), "two durations, `1s..1m`"),
    (duration_or(r"\{\{"), "duration or [template](templates.md)"),
)
_DEFAULT: Final = re.compile(r"[;,]? *by default (.+?)\.$", re.IGNORECASE)
_WORD: Final = re.compile(r"[a-z0-9_.-]+")


def keys(schema: Schema, *, head: str = "key") -> Iterator[str]:
    """Yield the table of a map's keys."""
    yield from table((head, *HEADS[1:]), rows(schema))


def rows(schema: Schema) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, type, default and meaning of each key of a map."""
    required = schema.get("required", ())
    for name, part in schema["properties"].items():
        meaning, default = told(part)
        yield f"`{name}`", kind(part), "required" if name in required else default, meaning


def told(part: Schema) -> tuple[str, str]:
    """Return what a description says without the default, and the default."""
    description = part.get("description", "")
    found = _DEFAULT.search(description)
    if found is None:
        return description, ""
    default = f"`{found[1]}`" if _WORD.fullmatch(found[1]) else found[1]
    before = description[: found.start()].rstrip(".")
    return f"{before}." if before else "", default


def kind(part: Schema) -> str:
    """Return a type in words."""
    schema = {key: value for key, value in part.items() if key != "description"}
    if "$ref" in schema:
        return _PAGES[schema["$ref"].rpartition("/")[2]]
    for shape, name in _SHAPES:
        if schema == shape:
            return name
    if "anyOf" in schema:
        return _joined(kind(way) for way in schema["anyOf"])
    if "enum" in schema:
        return _joined(dict.fromkeys(f"`{word}`" for word in schema["enum"]))
    return _of_type(schema)


def _of_type(schema: Schema) -> str:  # noqa: PLR0911  one case per type
    match schema.get("type"):
        case "array":
            return _list_of(kind(schema["items"]))
        case "object" if "properties" in schema:
            return f"map of {', '.join(f'`{name}`' for name in schema['properties'])}"
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            value = kind(schema["additionalProperties"])
            return "map" if value == "anything" else f"map of {value}"
        case "object":
            return "map"
        case "integer":
            return _whole(schema)
        case "boolean":
            return "true or false"
        case "string" | [*_]:
            return "text"
        case _:
            return "anything"


def _list_of(item: str) -> str:
    return f"list of {item.replace('list', 'lists', 1) if item.startswith('list') else item}"


def _whole(schema: Schema) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is None or most is None:
        return f"whole number from {least}"
    return f"whole number, {least} to {most}" if least >= 0 else "whole number"


def _joined(ways: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(ways))


def meanings(words: Iterable[Meant], *, head: str = "word") -> Iterator[str]:
    """Yield the table of words and what they mean."""
    yield from table((head, "meaning"), ((f"`{word}`", word.means) for word in words))
