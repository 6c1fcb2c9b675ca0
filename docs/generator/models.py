"""Tables of what pydantic models hold: name, type, default, meaning."""

from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from docs.generator.markdown import prose
from imbot.durations import format_duration

_WORDS: Final[dict[object, str]] = {
    str: "text",
    int: "whole number",
    float: "duration",
    bool: "true or false",
    Path: "path",
    SecretStr: "secret",
    Any: "anything",
}


def rows(model: type[BaseModel]) -> list[tuple[str, str, str, str]]:
    """Return name, type, default and meaning of each field."""
    return [
        (
            f"`{field.alias or name}`",
            kind(field.annotation),
            _default(field),
            prose(field.description),
        )
        for name, field in model.model_fields.items()
    ]


def kind(due: object) -> str:  # noqa: PLR0911  one case per type
    """Return a type in words."""
    origin, args = get_origin(due), get_args(due)
    if origin is Annotated:
        return kind(args[0])
    if origin in (Union, UnionType):
        return " or ".join(kind(one) for one in args if one is not NoneType)
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in args)
    if origin in (tuple, list):
        return f"list of {kind(args[0])}"
    if origin is dict:
        return f"mapping of {kind(args[1])}"
    if isinstance(due, type) and issubclass(due, str) and hasattr(due, "__members__"):
        return " or ".join(f"`{word}`" for word in due.__members__.values())
    return _WORDS.get(due, "section")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if field.annotation is float:
        return f"`{format_duration(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple | list):
        return f"`[{', '.join(map(str, value))}]`"
    if value is None or value in ("", {}) or isinstance(value, BaseModel):
        return ""
    return f"`{value}`"
