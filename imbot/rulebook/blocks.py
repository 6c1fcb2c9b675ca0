"""Blocks: steps under a name, with inputs, that are written out wherever a rule calls them.

A block is made once, its indexes counted from its own first instruction, and moved to each call.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from types import MappingProxyType
from typing import Any, Final

from imbot.problems import did_you_mean
from imbot.rulebook.binding import check_name
from imbot.rulebook.expressions import Expression
from imbot.rulebook.forgotten import warn_of_forgotten_braces, warn_of_inner_quotes
from imbot.rulebook.reading import Desk, shown
from imbot.rulebook.schema import (
    Act,
    Branch,
    Enter,
    Fork,
    Instruction,
    Join,
    Jump,
    Leave,
    Value,
)
from imbot.rulebook.scope import ANY, BOOL, NUMBER, TEXT, Names, Type
from imbot.rulebook.scope import Kind as TypeKind
from imbot.rulebook.templates import Template
from imbot.rulebook.values import Literal, is_template, read_value
from imbot.yamlfile import Entry, Kind, Node

#: What an input may be.
INPUT_TYPES: Final[Mapping[str, Type]] = MappingProxyType(
    {"text": TEXT, "number": NUMBER, "bool": BOOL, "any": ANY}
)
#: More instructions than these no rule has, blocks written out at each call.
MOST_IN_PROGRAM: Final = 2_000
#: And no rulebook has more that come from blocks.
MOST_IN_RULEBOOK: Final = 250_000

_CALL = frozenset({"block", "with"})
_CALL_CURE = "write it like 'call: {block: name, with: {input: value}}'"
#: A circle of more blocks is not told in full.
_MOST_TOLD = 8


@dataclass(frozen=True, slots=True)
class Block:
    """A block, ready to be written out.

    Attributes:
        name: As it is called.
        inputs: What a call must give.
        code: Its instructions, from index 0; it ends by running behind the last one.
        frames: As in a program, of the blocks inside.
        constants: The ``vars`` of its file, if it looks at any.
        calendars: The calendars that it asks, the blocks inside included.
    """

    name: str
    inputs: Mapping[str, Type]
    code: tuple[Instruction, ...] = ()
    frames: Mapping[int, int] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    calendars: frozenset[str] = frozenset()


@dataclass(slots=True)
class Shelf:
    """The blocks that may be called.

    Attributes:
        names: Of all blocks of the rulebook.
        made: Those that can be written out by now; one in a circle never can.
        called: The names that something calls.
        room: How many instructions may still be written out; below 0 once it was told.
    """

    names: frozenset[str] = frozenset()
    made: dict[str, Block] = field(default_factory=dict)
    called: set[str] = field(default_factory=set)
    room: int = MOST_IN_RULEBOOK


# Calls ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a block that can be written out."""

    block: Block
    inputs: tuple[tuple[str, Expression | Value], ...]


def read_call(entry: Entry, names: Names, shelf: Shelf, desk: Desk) -> Call | None:
    """Return the call under the key ``call``; None, and a problem somewhere, when it is wrong."""
    entries = desk.entries(entry.value, "call", _CALL_CURE)
    desk.keys(entries, _CALL, of="a call")
    if (named := entries.get("block")) is None:
        if entry.value.kind is Kind.MAP and desk.lacks(entry.value, "block", known=_CALL):
            desk.error(entry.key.place, "missing-key", "'call' without 'block'", _CALL_CURE)
        return None
    name = desk.text(named.value, "block")
    if name is None:
        return None
    if name not in shelf.names:
        cure = did_you_mean(name, shelf.names) or "add it under 'blocks'"
        desk.error(named.value.place, "unknown-block", f"unknown block '{name}'", cure)
        return None
    shelf.called.add(name)
    block = shelf.made.get(name)
    if block is None:
        return None
    constants = [("vars", Literal(dict(block.constants)))] if block.constants else []
    return Call(block, (*constants, *_inputs(block, entry, entries, names, desk)))


def _inputs(
    block: Block, call: Entry, entries: Mapping[str, Entry], names: Names, desk: Desk
) -> tuple[tuple[str, Value], ...]:
    """Return what a call gives to the inputs of a block."""
    given: Mapping[str, Entry] = {}
    if (entry := entries.get("with")) is not None:
        given = desk.entries(entry.value, "with", "write it like {input: value}")
    for name in given:
        if name not in block.inputs:
            what = f"the block '{block.name}' has no input '{name}'"
            cure = did_you_mean(name, block.inputs) or "leave it out"
            desk.error(given[name].key.place, "unknown-input", what, cure)
    for name in block.inputs:
        if name not in given:
            place = call.key.place if entry is None else entry.key.place
            what = f"the block '{block.name}' needs the input '{name}'"
            desk.error(place, "missing-input", what, f"add '{name}:' under 'with'")
    return tuple(
        (name, _input(name, type_, given[name].value, names, desk))
        for name, type_ in block.inputs.items()
        if name in given
    )


def _input(name: str, due: Type, node: Node, names: Names, desk: Desk) -> Value:
    """Return what is given to one input."""
    if not is_template(node):
        return _written(name, due, node, names, desk)
    value = read_value(node, names, desk)
    found = value.type if isinstance(value, Template) else ANY
    if TypeKind.ANY not in (due.kind, found.kind) and found.kind is not due.kind:
        cure = "write {{ number(…) }}" if (due, found.kind) == (NUMBER, TypeKind.TEXT) else ""
        desk.error(node.place, "wrong-type", f"'{name}' must be {due}, not {found}", cure)
    return value


def _written(name: str, due: Type, node: Node, names: Names, desk: Desk) -> Value:
    """Return a value that is written out, as the input wants it."""
    if due is TEXT:
        warn_of_forgotten_braces(node, names, desk)
        warn_of_inner_quotes(node, desk)
        return Literal(desk.text(node, name))
    if due is BOOL:
        return Literal(desk.flag(node, name))
    if due is NUMBER and node.kind is not Kind.NUMBER:
        desk.error(node.place, "wrong-type", f"'{name}' must be a number, not {shown(node)}")
    return read_value(node, names, desk)


# Inputs ---------------------------------------------------------------------------------------


def read_inputs(entry: Entry | None, desk: Desk) -> dict[str, Type]:
    """Return the inputs of a block with their types; one whose type is wrong may be anything."""
    if entry is None:
        return {}
    inputs = {}
    cure = "write each as 'name: text', or number, bool, any"
    for name, (key, node) in desk.entries(entry.value, "inputs", cure).items():
        check_name(key, desk)
        word = desk.word(node, INPUT_TYPES, "type of input")
        inputs[name] = ANY if word is None else INPUT_TYPES[word]
    return inputs


# Written out ----------------------------------------------------------------------------------


def written_out(call: Call, at: int, enter: Enter) -> Iterator[tuple[Instruction, int | None]]:
    """Yield the instructions of a call that begins at ``at``, each with its frame."""
    yield enter, None
    first = at + 1
    for pc, instruction in enumerate(call.block.code):
        inner = call.block.frames.get(pc)
        yield _moved(instruction, first), at if inner is None else inner + first
    yield Leave(at), at


def _moved(instruction: Instruction, by: int) -> Instruction:  # noqa: PLR0911  one case per kind
    """Return an instruction as it reads so much further on."""
    match instruction:
        case Act(on_error=int() as on_error):
            return replace(instruction, on_error=on_error + by)
        case Branch(otherwise=otherwise):
            return replace(instruction, otherwise=otherwise + by)
        case Jump(to=to):
            return Jump(to + by)
        case Fork(branches=branches, join=join):
            return replace(
                instruction, branches=tuple(branch + by for branch in branches), join=join + by
            )
        case Join(fork=fork, join=join):
            return Join(fork + by, join + by)
        case Leave(enter=enter):
            return Leave(enter + by)
        case _:
            return instruction


# Order ----------------------------------------------------------------------------------------


def calls_in(entry: Entry | None) -> Iterator[Node]:
    """Yield the name of each block that steps call, however wrong the steps are."""
    for step in () if entry is None else entry.value.items:
        if (call := step.get("call")) is not None and (name := call.get("block")) is not None:
            yield name
        for key in ("then", "else", "on_error"):
            yield from calls_in(step.entries.get(key))
        if (parallel := step.entries.get("parallel")) is not None:
            for branch in parallel.value.items:
                yield from calls_in(Entry(parallel.key, branch))


@dataclass(frozen=True, slots=True)
class Circle:
    """Blocks that call each other in a circle, and the call that closes it."""

    names: tuple[str, ...]
    call: Node

    def __str__(self) -> str:
        """Return the circle, as it is gone through."""
        told = self.names if len(self.names) <= _MOST_TOLD else (*self.names[:_MOST_TOLD], "…")
        return " → ".join((*told, self.names[0]))


def in_order(calls: Mapping[str, tuple[Node, ...]]) -> tuple[list[str], list[Circle]]:
    """Return the blocks, each behind those that it calls, and every circle among them.

    Args:
        calls: Block to the names that it calls, where they stand.
    """
    done: dict[str, None] = {}
    circles: list[Circle] = []
    for root in calls:
        way: dict[str, Iterator[Node]] = {} if root in done else {root: iter(calls[root])}
        while way:
            block, waiting = next(reversed(way.items()))
            call = next(waiting, None)
            if call is None:
                del way[block]
                done[block] = None
            elif call.raw in way:
                circles.append(_circle(list(way), call))
            elif call.raw in calls and call.raw not in done:
                way[call.raw] = iter(calls[call.raw])
    return list(done), circles


def _circle(way: list[str], call: Node) -> Circle:
    return Circle(tuple(islice(way, way.index(call.raw), None)), call)
