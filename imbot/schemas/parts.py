"""The small schemas of which the files' schemas are made."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from imbot.meaning import Meant

#: A schema, or a part of one, as JSON.
Schema: TypeAlias = dict[str, Any]

DRAFT: Final = "http://json-schema.org/draft-07/schema#"

_DURATION: Final = r"([0-9]+(\.[0-9]+)?(ms|[smhd]))+"
_SAY_DURATION: Final = "Write a number and ms, s, m, h or d, such as 30s, 5m or 1h30m."


def described(schema: Schema, description: str) -> Schema:
    """Return the schema with what an editor shows about it."""
    return {"description": description, **schema}


def text(**limits: object) -> Schema:
    """Return the schema of text; a number is taken as spelled."""
    return {"type": ["string", "number"], **limits}


def words(known: Iterable[str]) -> Schema:
    """Return the schema of one of a closed set of words; what they mean is told where they say."""
    listed_words = list(known)
    told = [word.means for word in listed_words if isinstance(word, Meant)]
    means = {"markdownEnumDescriptions": told} if len(told) == len(listed_words) else {}
    return {"type": "string", "enum": listed_words, **means}


def pattern(regex: str, cure: str) -> Schema:
    """Return the schema of a text of a certain shape; the cure is told where it has another."""
    return {"type": "string", "pattern": regex, "patternErrorMessage": cure}


def flag() -> Schema:
    """Return the schema of true or false."""
    return {"type": "boolean"}


def whole(least: int, most: int | None = None) -> Schema:
    """Return the schema of a whole number within bounds."""
    return {"type": "integer", "minimum": least} | ({} if most is None else {"maximum": most})


def duration(*, zero: bool = False) -> Schema:
    """Return the schema of a duration; of more than no time unless ``zero``."""
    return pattern(f"^{'' if zero else '(?=.*[1-9])'}{_DURATION}$", _SAY_DURATION)


def duration_or(other: str) -> Schema:
    """Return the schema of a duration, or of a text that holds this regular expression."""
    return pattern(f"^(?=.*[1-9]){_DURATION}$|{other}", _SAY_DURATION)


def offset() -> Schema:
    """Return the schema of a time before or after something."""
    cure = "Write such as 10m before, or 0m after."
    return pattern(rf"^\s*{_DURATION}\s+(before|after)\s*$", cure)


def backoff() -> Schema:
    """Return the schema of the times between tries."""
    return pattern(f"^{_DURATION}( *\\.\\. *{_DURATION})?$", "Write such as 1s..1m.")


def one_or_list(item: Schema) -> Schema:
    """Return the schema of one such value, or of a list of at least one."""
    return {"anyOf": [item, listed(item, least=1)]}


def listed(item: Schema, *, least: int = 0) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": item} | ({"minItems": least} if least else {})


def mapped(properties: Mapping[str, Schema], required: Iterable[str] = ()) -> Schema:
    """Return the schema of a map with these keys and no others."""
    needed = list(required)
    return {
        "type": "object",
        "properties": dict(properties),
        "additionalProperties": False,
    } | ({"required": needed} if needed else {})


def named(value: Schema, names: Schema | None = None) -> Schema:
    """Return the schema of a map whose keys are the author's own, perhaps of a certain shape."""
    schema: Schema = {"type": "object", "additionalProperties": value}
    return schema if names is None else {**schema, "propertyNames": names}


def exactly_one(keys: Iterable[str], cure: str) -> Schema:
    """Return the schema that asks for one of these keys and refuses two."""
    return {"oneOf": [{"required": [key], "errorMessage": cure} for key in keys]}


def ref(name: str) -> Schema:
    """Return the schema that stands under a name in ``definitions``."""
    return {"$ref": f"#/definitions/{name}"}
