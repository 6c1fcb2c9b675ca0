"""What may stand where in the settings, asked by path: ``("agents", 0, "user")``.

Read from the models of :mod:`imbot.settings`, so that nothing needs to be said twice.
"""

from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from imbot.settings import Settings

#: Keys and indexes from the top of the settings to a value.
Path: TypeAlias = tuple[str | int, ...]

#: Below it stand values that only plugins know.
OPTIONS: Path = ("plugins", "options")


def dotted(path: Sequence[str | int]) -> str:
    """Return a path as people write it: ``agents.0.user``."""
    return ".".join(str(part) for part in path)


def due_at(path: Sequence[str | int]) -> object:
    """Return the type of what is due at a path; Any where all is, None where nothing is."""
    due: object = Settings
    for part in path:
        due = _below(due, part)
    return due


def keys_at(path: Sequence[str | int]) -> Mapping[str, FieldInfo]:
    """Return what is known to stand in the mapping at a path; nothing where keys are free."""
    due = due_at(path)
    return due.model_fields if isinstance(due, type) and issubclass(due, BaseModel) else {}


def is_list(due: object) -> bool:
    """Whether a list is due."""
    return get_origin(due) is tuple


def is_structure(due: object) -> bool:
    """Whether a list, a mapping, or anything at all is due."""
    is_model = isinstance(due, type) and issubclass(due, BaseModel)
    return due is Any or is_model or get_origin(due) in (tuple, dict)


def meaning_of(path: Sequence[str | int]) -> str:
    """Return the first sentence of what a setting means, without its full stop."""
    known = keys_at(path[:-1]).get(str(path[-1])) if path else None
    text = " ".join((known.description or "").split()) if known is not None else ""
    return text.replace("``", "'").partition(". ")[0].removesuffix(".")


def known_words(path: Sequence[str | int]) -> list[str]:
    """Return the keys that a misspelt one at this path may have meant.

    At the top also the keys one below, with the name of their part.
    """
    keys = keys_at(path)
    if path:
        return list(keys)
    return [*keys, *(f"{part}.{key}" for part in keys for key in keys_at((part,)))]


def _below(due: object, part: str | int) -> object:
    """Return what is due under a key, or at an index, of what is due."""
    if isinstance(due, type) and issubclass(due, BaseModel):
        known = due.model_fields.get(str(part))
        return None if known is None else _bare(known.annotation)
    if get_origin(due) in (tuple, dict):
        return _bare(get_args(due)[0 if is_list(due) else 1])
    return due if due is Any else None


def _bare(due: object) -> object:
    """Return a type without annotations and without 'or None'."""
    if get_origin(due) is Annotated:
        return _bare(get_args(due)[0])
    if get_origin(due) in (Union, UnionType):
        return _bare(get_args(due)[0])
    return due
