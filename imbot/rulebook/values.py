"""Step arguments: YAML nodes → values, with templates anywhere inside.

Whether they suit an action is not looked at here.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from imbot.model import JSON
from imbot.rulebook.forgotten import warn_of_forgotten_braces
from imbot.rulebook.origins import Address
from imbot.rulebook.reading import Desk
from imbot.rulebook.schema import Value
from imbot.rulebook.scope import Names, Senses
from imbot.rulebook.templates import Template, parse_template
from imbot.yamlfile import Entry, Kind, Node

#: What may stand beside any action in a step.
STEP_OPTIONS: Final = frozenset(
    {"name", "enabled", "as", "timeout", "retry", "on_error", "even_if_completed"}
)
#: What a template begins with; the other two are there to be refused by their reader.
_MARKS: Final = ("{{", "{%", "{#")


@dataclass(frozen=True, slots=True)
class Places:
    """What is special about some places in an action's arguments, each named by its keys.

    Attributes:
        allows_secrets: Whether ``secret()`` may stand there.
        is_address: Whether it is a URL, whose values are percent-encoded.
    """

    allows_secrets: Callable[[tuple[str, ...]], bool]
    is_address: Callable[[tuple[str, ...]], bool]


PLAIN: Final = Places(lambda _path: False, lambda _path: False)


@dataclass(frozen=True, slots=True)
class Literal:
    """A plain value, as written."""

    value: JSON

    def render(self, _scope: Mapping[str, Any], _senses: Senses) -> JSON:
        """Return it."""
        return self.value


@dataclass(frozen=True, slots=True)
class Listed:
    """A list with a template somewhere inside."""

    items: tuple[Value, ...]

    def render(self, scope: Mapping[str, Any], senses: Senses) -> JSON:
        """Return the list, rendered.

        Raises:
            PermanentError: A template failed.
        """
        return [item.render(scope, senses) for item in self.items]


@dataclass(frozen=True, slots=True)
class Mapped:
    """A map with a template somewhere inside; its keys are none."""

    entries: tuple[tuple[str, Value], ...]

    def render(self, scope: Mapping[str, Any], senses: Senses) -> JSON:
        """Return the map, rendered in written order.

        Raises:
            PermanentError: A template failed.
        """
        return {key: value.render(scope, senses) for key, value in self.entries}


def templates_in(value: object) -> Iterator[Template]:
    """Yield each template in a value that steps render."""
    match value:
        case Template():
            yield value
        case Listed(items=items):
            for item in items:
                yield from templates_in(item)
        case Mapped(entries=entries):
            for _, entry in entries:
                yield from templates_in(entry)
        case Address(parts=parts):
            for part, _ in parts:
                yield part
        case _:
            pass


def is_template(node: Node) -> bool:
    """Whether a node is text that holds a template."""
    return node.kind is Kind.TEXT and any(mark in node.raw for mark in _MARKS)


def nodes_of(node: Node) -> Iterator[Node]:
    """Yield a node and every value below it."""
    yield node
    for item in node.items:
        yield from nodes_of(item)
    for entry in node.entries.values():
        yield from nodes_of(entry.value)


def mentions_vars(node: Node) -> bool:
    """Whether a node, or anything below it, may look at constants."""
    return any(each.kind is Kind.TEXT and "vars" in each.raw for each in nodes_of(node))


def read_value(
    node: Node,
    names: Names,
    desk: Desk,
    *,
    spelled: frozenset[int] = frozenset(),
    places: Places = PLAIN,
) -> Value:
    """Return what a node renders to.

    Args:
        node: The written value.
        names: What its templates may look at.
        desk: Where mistakes are kept.
        spelled: The offsets of the numbers and flags that are text, as spelled.
        places: What is special about places inside.
    """

    def value(at: Node, path: tuple[str, ...]) -> Value:
        warn_of_forgotten_braces(at, names, desk)
        if is_template(at):
            template, problems = parse_template(
                at.raw, at.place_at, names, desk.known, allow_secrets=places.allows_secrets(path)
            )
            desk.problems.extend(problems)
            if template is None:
                return Literal("")
            desk.calendars.extend(template.calendars_used)
            return Address.of(template) if places.is_address(path) else template
        if at.kind is Kind.LIST:
            return _folded_list(tuple(value(item, path) for item in at.items))
        if at.kind is Kind.MAP:
            return _folded_map(
                tuple(
                    (_key(entry, desk), value(entry.value, (*path, key)))
                    for key, entry in at.entries.items()
                )
            )
        return Literal(scalar(at, spelled))

    return value(node, ())


def _folded_list(items: tuple[Value, ...]) -> Value:
    if all(isinstance(item, Literal) for item in items):
        return Literal([item.value for item in items if isinstance(item, Literal)])
    return Listed(items)


def _folded_map(entries: tuple[tuple[str, Value], ...]) -> Value:
    if all(isinstance(value, Literal) for _, value in entries):
        return Literal({key: value.value for key, value in entries if isinstance(value, Literal)})
    return Mapped(entries)


def _key(entry: Entry, desk: Desk) -> str:
    if is_template(entry.key):
        what, cure = "a template as a key", "write the key out; only values are templates"
        desk.error(entry.key.place, "misplaced-template", what, cure)
    return entry.key.raw


def scalar(node: Node, spelled: frozenset[int]) -> JSON:
    """Return a scalar's value; text as spelled where its offset is among those."""
    if node.start not in spelled:
        return node.value
    return str(node.value).lower() if node.kind is Kind.BOOL else node.raw
