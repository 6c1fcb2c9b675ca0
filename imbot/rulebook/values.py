"""Step arguments: YAML nodes → values with templates anywhere inside, fit for an action's model.

What is written out is checked at load against the model; what a template will bring is excused
until it is rendered.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from imbot.model import JSON
from imbot.plugin import Action
from imbot.problems import did_you_mean, nearest
from imbot.rulebook import origins
from imbot.rulebook.forgotten import warn_of_forgotten_braces
from imbot.rulebook.origins import Address
from imbot.rulebook.reading import IN_QUOTES, Desk, is_cut_off, shown
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
        return Literal(_scalar(at, spelled))

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


def _scalar(node: Node, spelled: frozenset[int]) -> JSON:
    if node.start not in spelled:
        return node.value
    return str(node.value).lower() if node.kind is Kind.BOOL else node.raw


def _plain(node: Node, spelled: frozenset[int]) -> JSON:
    """Return a node as plain Python, each template as its own text."""
    if node.kind is Kind.LIST:
        return [_plain(item, spelled) for item in node.items]
    if node.kind is Kind.MAP:
        return {key: _plain(entry.value, spelled) for key, entry in node.entries.items()}
    return _scalar(node, spelled)


# Against the action's model -------------------------------------------------------------------


def fit(entry: Entry, action: Action[Any], desk: Desk, spelled: frozenset[int]) -> frozenset[int]:
    """Check written arguments against an action's model; return which scalars are text as spelled.

    Args:
        entry: The action's key and what stands under it.
        action: The action.
        desk: Where mistakes are kept.
        spelled: Offsets of scalars that are text in any case.
    """
    faults, made = _validated(entry.value, action.args, spelled)
    refused = {
        fault.node.start
        for fault in faults
        if fault.type == "string_type" and fault.node.kind is Kind.NUMBER
    }
    spelled |= refused | set(_made_text(entry.value, made))
    if refused:
        faults, _ = _validated(entry.value, action.args, spelled)
    for fault in _telling(entry.value, faults):
        _report(fault, entry, action, desk)
    return spelled


def _made_text(node: Node, made: JSON) -> Iterator[int]:
    """Yield the offset of each number that a model took and made text: it is text as spelled."""
    if node.kind is Kind.NUMBER:
        yield from (node.start,) if isinstance(made, str) else ()
    elif node.kind is Kind.LIST and isinstance(made, list):
        for item, value in zip(node.items, made, strict=False):
            yield from _made_text(item, value)
    elif isinstance(made, dict):
        for key, entry in node.entries.items():
            yield from _made_text(entry.value, made.get(key))


@dataclass(frozen=True, slots=True)
class _Fault:
    """What a model says against a value: of which node, and which key of it."""

    type: str
    said: str
    node: Node
    key: str


def _validated(
    node: Node, model: type[BaseModel], spelled: frozenset[int]
) -> tuple[list[_Fault], JSON]:
    """Return what a model says against a value, else what it makes of it, as plain values.

    What a template will bring is excused.
    """
    try:
        made = model.model_validate(_plain(node, spelled))
    except ValidationError as error:
        faults = []
        for detail in error.errors(include_url=False, include_input=False, include_context=False):
            at, key = _locate(node, detail["loc"])
            if detail["type"] in _OF_KEYS:
                key = str(detail["loc"][-1])
            if detail["type"] in _OF_KEYS or not is_template(at):
                faults.append(_Fault(detail["type"], detail["msg"], at, key))
        return faults, None
    plain: JSON = made.model_dump(by_alias=True)  # a root model gives whatever it holds
    short = isinstance(plain, dict) and node.is_scalar
    return [], next(iter(plain.values()), None) if short else plain


def _locate(node: Node, loc: tuple[int | str, ...]) -> tuple[Node, str]:
    """Return the node that a model's complaint is about, and the key under which it stands.

    Between keys and indexes a location names branches of unions, which are nowhere in the file.
    """
    key = ""
    for step in loc:
        if isinstance(step, int) and step < len(node.items):
            node = node.items[step]
        elif isinstance(step, str) and (below := node.get(step)) is not None:
            node, key = below, step
    return node, key


def _telling(root: Node, faults: list[_Fault]) -> list[_Fault]:
    """Return the faults without what the other branches of a union say.

    Arguments with a short form fit text or a map; whoever wrote a map meant the map.
    """
    deep = [fault for fault in faults if fault.node is not root or fault.type == "missing"]
    if root.kind is not Kind.MAP:
        deep = [fault for fault in deep if fault.type != "missing"]
    if len(deep) > 1:  # what is wrong in a list is not in it, and may seem to be missing there
        deep = [fault for fault in deep if fault.type != "too_short"]
    by_node: dict[tuple[int, str], list[_Fault]] = defaultdict(list)
    for fault in deep or faults[:1]:
        by_node[fault.node.start, fault.key if fault.type in _OF_KEYS else ""].append(fault)
    # What fits no branch of a union has a fault for each of them.
    chosen = [
        same[0] if len(same) == 1 else replace(same[0], type="union", said="")
        for same in by_node.values()
    ]
    misspelt = [fault.key for fault in chosen if fault.type == "extra_forbidden"]
    return [
        fault for fault in chosen if fault.type != "missing" or nearest(fault.key, misspelt) is None
    ]


#: Complaints about a key, not about what stands under it.
_OF_KEYS = frozenset({"missing", "extra_forbidden"})


#: Complaints of a model about its arguments together: one is missing, or two exclude each other.
_LACKING = frozenset({"value_error", "assertion_error"})

#: What a model wants, by the type of its complaint.
_DUE: Mapping[str, str] = MappingProxyType(
    {
        "string_type": "text",
        "int_type": "a whole number",
        "int_parsing": "a whole number",
        "int_from_float": "a whole number",
        "float_type": "a number",
        "float_parsing": "a number",
        "bool_type": "true or false",
        "bool_parsing": "true or false",
        "dict_type": "a mapping",
        "model_type": "a mapping",
        "list_type": "a list",
    }
)


def _report(fault: _Fault, entry: Entry, action: Action[Any], desk: Desk) -> None:
    """Report one fault, placed where its cure is to be written."""
    name = action.name
    if fault.type == "missing":
        place = entry.key.place if fault.node is entry.value else fault.node.place
        desk.error(
            place, "missing-argument", f"'{name}' needs '{fault.key}'", f"add '{fault.key}:'"
        )
    elif fault.type == "extra_forbidden":
        owner = _owner(entry.value, fault.node)
        place = owner[fault.key].key.place if fault.key in owner else fault.node.place
        what, cure = f"'{name}' has no '{fault.key}'", _cure_of_unknown(fault.key, owner, action)
        desk.error(place, "unknown-argument", what, cure)
    else:
        subject = f"'{name}'" if fault.node is entry.value else f"'{fault.key}' of '{name}'"
        is_whole = fault.node is entry.value
        lacks = fault.type in _LACKING or fault.node.kind is Kind.NULL
        place = entry.key.place if is_whole and lacks else fault.node.place
        if fault.type == "too_short":
            desk.error(place, "empty", f"{subject} names nothing", "name at least one")
        elif fault.type == "union":
            desk.error(place, "bad-argument", f"{subject} cannot be {shown(fault.node)}")
        elif (due := _DUE.get(fault.type)) is not None:
            what = f"{subject} must be {due}, not {shown(fault.node)}"
            cure = _with_its_keys(action) if is_whole and fault.type == "model_type" else ""
            desk.error(place, "bad-argument", what, cure)
        else:
            said = fault.said.removeprefix("Value error, ").removeprefix("Assertion failed, ")
            what, _, cure = said.partition("; ")
            desk.error(place, "bad-argument", f"{subject}: {what}", cure)


def _with_its_keys(action: Action[Any]) -> str:
    """Return how the arguments of an action are written that has no short form."""
    fields = action.args.model_fields.items()
    needed = [field.alias or name for name, field in fields if field.is_required()]
    return f"write it like {{{', '.join(f'{name}: …' for name in needed)}}}" if needed else ""


def _cure_of_unknown(key: str, owner: Mapping[str, Entry], action: Action[Any]) -> str:
    """Return what would be right in the place of an argument that an action has not."""
    if key in STEP_OPTIONS:
        return f"write '{key}:' beside '{action.name}:', not below it"
    if key in owner and is_cut_off(owner[key]):
        return IN_QUOTES
    if key == "url" and owner.keys().isdisjoint(origins.METHODS) and action.name == origins.ACTION:
        return "write 'get: https://…', or post, put, patch, delete"
    return did_you_mean(key, _argument_names(action.args) - set(owner))


def _owner(root: Node, child: Node) -> Mapping[str, Entry]:
    """Return the entries of the map in which a node stands."""
    for node in nodes_of(root):
        if any(entry.value is child for entry in node.entries.values()):
            return node.entries
    return {}


def _argument_names(model: type[BaseModel]) -> set[str]:
    """Return every name that a model's arguments may have, at any depth."""
    schema = model.model_json_schema()
    parts = [schema, *schema.get("$defs", {}).values()]
    return {name for part in parts for name in part.get("properties", {})}
