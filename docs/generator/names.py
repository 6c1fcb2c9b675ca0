"""Tables of the names that expressions see, with their types."""

from collections.abc import Iterator, Mapping

from imbot.rulebook.namewords import NAMES
from imbot.rulebook.scope import ERROR, EVENT_FIELDS, MAP, TRIGGER_KINDS, Kind, Names, Type


def paths() -> Mapping[str, Type]:
    """Return every path that a rule may look at, but for names that it binds itself."""
    seen = Names.for_trigger(TRIGGER_KINDS).with_error().types
    return dict(_below("", {**seen, "vars": MAP, "error": ERROR}))


def _below(prefix: str, fields: Mapping[str, Type]) -> Iterator[tuple[str, Type]]:
    for name, type_ in fields.items():
        yield f"{prefix}{name}", type_
        if type_.fields is not None:
            yield from _below(f"{prefix}{name}.", type_.fields)


def rows(name: str) -> Iterator[tuple[str, str, str]]:
    """Yield path, type and meaning of a name's fields."""
    for path, type_ in paths().items():
        if path.startswith(f"{name}.") and path not in _of_kinds():
            yield f"`{path}`", word(type_), NAMES[path]


def event_rows(kind: str) -> Iterator[tuple[str, str, str]]:
    """Yield path, type and meaning of what a kind of event adds."""
    for field, type_ in EVENT_FIELDS[kind].items():
        yield f"`event.{field}`", word(type_), NAMES[f"event.{field}"]
    if kind == "message":
        yield from rows("message")


def _of_kinds() -> frozenset[str]:
    return frozenset(f"event.{name}" for fields in EVENT_FIELDS.values() for name in fields)


def word(type_: Type) -> str:
    """Return a type in words."""
    if type_.kind is Kind.LIST and type_.item is not None:
        return f"list of {'maps' if type_.item.kind is Kind.MAP else word(type_.item)}"
    told = str(type_).removeprefix("a ").removeprefix("an ")
    return "text" if told == Kind.TEXT else told
