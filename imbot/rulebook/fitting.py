"""Step arguments against an action's model: every mistake, with its place and the cure.

What is written out is checked; what a template will bring is excused until it is rendered.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, RootModel, ValidationError

from imbot.model import JSON
from imbot.plugin import Action
from imbot.problems import did_you_mean, nearest
from imbot.rulebook import origins
from imbot.rulebook.reading import IN_QUOTES, Desk, is_cut_off, shown
from imbot.rulebook.values import STEP_OPTIONS, is_template, nodes_of, scalar
from imbot.yamlfile import Entry, Kind, Node


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


def _plain(node: Node, spelled: frozenset[int]) -> JSON:
    """Return a node as plain Python, each template as its own text."""
    if node.kind is Kind.LIST:
        return [_plain(item, spelled) for item in node.items]
    if node.kind is Kind.MAP:
        return {key: _plain(entry.value, spelled) for key, entry in node.entries.items()}
    return scalar(node, spelled)


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


#: How arguments of a kind are written that have no names.
_FORMS: Mapping[str, str] = MappingProxyType(
    {"text": "some text", "a mapping": "{key: value}", "a list": "[key]"}
)

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
            cure = _as_a_whole(action, due) if is_whole else ""
            desk.error(place, "bad-argument", what, cure)
        else:
            said = fault.said.removeprefix("Value error, ").removeprefix("Assertion failed, ")
            what, _, cure = said.partition("; ")
            desk.error(place, "bad-argument", f"{subject}: {what}", cure)


def _as_a_whole(action: Action[Any], due: str) -> str:
    """Return how the arguments of an action are written, as far as its model tells."""
    if due == "text" or issubclass(action.args, RootModel):
        return f"write it like '{action.name}: {_FORMS.get(due, due)}'"
    names = [field.alias or name for name, field in action.args.model_fields.items()]
    fields = action.args.model_fields.values()
    needed = [name for name, field in zip(names, fields, strict=True) if field.is_required()]
    if action.name == origins.ACTION:
        needed = [next(method for method in origins.METHODS if method in names)]
    written = ", ".join(f"{name}: …" for name in needed)
    return f"write it like {{{written}}}" if written else f"write {{}}, or {{{names[0]}: …}}"


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


def argument_names(model: type[BaseModel]) -> frozenset[str] | None:
    """Return the names of a model's arguments; None where they may have any name, or none."""
    if issubclass(model, RootModel) or model.model_config.get("extra") == "allow":
        return None
    return frozenset(field.alias or name for name, field in model.model_fields.items())


def _argument_names(model: type[BaseModel]) -> set[str]:
    """Return every name that a model's arguments may have, at any depth."""
    schema = model.model_json_schema()
    parts = [schema, *schema.get("$defs", {}).values()]
    return {name for part in parts for name in part.get("properties", {})}
