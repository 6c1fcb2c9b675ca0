"""Comparisons that can never be true, or never mean what was meant: a table over types."""

from collections.abc import Iterator
from typing import TypeAlias

from imbot.durations import parse_duration
from imbot.problems import did_you_mean
from imbot.rulebook.scope import Kind, Type, type_of
from imbot.rulebook.tree import Const, Items, Tree

#: The operand to blame, what is wrong, the cure.
Finding: TypeAlias = tuple[Tree, str, str]
_Operand: TypeAlias = tuple[Tree, Type]

_ORDERED = frozenset({Kind.NUMBER, Kind.TEXT, Kind.MOMENT})
_EQUALITY = frozenset({"==", "!="})


def impossible(
    op: str, left: _Operand, right: _Operand, shown: tuple[str, str]
) -> Iterator[Finding]:
    """Yield what is wrong with ``left op right``.

    Args:
        op: As written.
        left: The checked operand and its type.
        right: The same.
        shown: Both operands as written.
    """
    if op in {"in", "not in"}:
        yield from _membership(left, right, shown)
    elif op in _EQUALITY:
        yield from _equality(left, right, shown)
    else:
        yield from _order(left, right, shown)


def _equality(left: _Operand, right: _Operand, shown: tuple[str, str]) -> Iterator[Finding]:
    (_, left_type), (right_node, right_type) = left, right
    kinds = {left_type.kind, right_type.kind}
    if kinds & {Kind.ANY, Kind.NOTHING}:
        return
    if len(kinds) == 2:  # noqa: PLR2004  two different ones
        yield right_node, _never(left, right, shown), _cure(left, right, shown)
    else:
        yield from _words(left, right)
        yield from _words(right, left)
        if left_type.words and right_type.words and not left_type.words & right_type.words:
            what = f"'{shown[0]}' is {left_type} and '{shown[1]}' is {right_type}"
            yield right_node, what, ""


def _order(left: _Operand, right: _Operand, shown: tuple[str, str]) -> Iterator[Finding]:
    (left_node, left_type), (right_node, right_type) = left, right
    for node, type_, text in ((left_node, left_type, shown[0]), (right_node, right_type, shown[1])):
        if type_.kind not in _ORDERED | {Kind.ANY}:
            yield node, f"'{text}' is {type_.kind}, which has no order", ""
            return
    kinds = {left_type.kind, right_type.kind}
    if Kind.ANY not in kinds and len(kinds) > 1:
        yield right_node, _never(left, right, shown), _cure(left, right, shown)


def _membership(left: _Operand, right: _Operand, shown: tuple[str, str]) -> Iterator[Finding]:
    (left_node, left_type), (right_node, right_type) = left, right
    match right_type.kind:
        case Kind.ANY:
            return
        case Kind.LIST if isinstance(right_node, Items):
            for item in right_node.items:
                if isinstance(item, Const):
                    yield from _equality(
                        left, (item, type_of(item.value)), (shown[0], repr(item.value))
                    )
        case Kind.LIST:
            an_item = left_node, right_type.of_item
            yield from _equality(an_item, left, (f"an item of {shown[1]}", shown[0]))
        case Kind.TEXT | Kind.MAP:
            if left_type.kind not in {Kind.TEXT, Kind.ANY}:
                yield (
                    left_node,
                    f"'{shown[0]}' is {left_type}, and only text can be in {right_type}",
                    "",
                )
        case _:
            yield right_node, f"'{shown[1]}' is {right_type}, and nothing can be in it", ""


def _words(typed: _Operand, literal: _Operand) -> Iterator[Finding]:
    """Yield a literal that is none of the words that the other operand can be."""
    node, type_ = literal[0], typed[1]
    if type_.words is not None and isinstance(node, Const) and node.value not in type_.words:
        yield (
            node,
            f"'{node.value}' is no {type_.called}",
            did_you_mean(str(node.value), type_.words),
        )


def _never(left: _Operand, right: _Operand, shown: tuple[str, str]) -> str:
    return f"'{shown[0]}' is {left[1].kind} and '{shown[1]}' is {right[1].kind}: they never compare"


def _written_text(*nodes: Tree) -> str | None:
    """Return the text that is written out among two operands; None where none is."""
    texts = (node.value for node in nodes if isinstance(node, Const))
    return next((text for text in texts if isinstance(text, str)), None)


def _as_number(text: str) -> str:
    """Return how a number is written that somebody wrote as text."""
    try:
        parse_duration(text)
    except ValueError:
        return "write a number, without quotes"
    return f'use duration("{text}"), which is in seconds'


def _cure(left: _Operand, right: _Operand, shown: tuple[str, str]) -> str:
    kinds = {left[1].kind: shown[0], right[1].kind: shown[1]}
    if kinds.keys() == {Kind.TEXT, Kind.NUMBER}:
        if (written := _written_text(left[0], right[0])) is not None:
            return _as_number(written)
        return f"use number({kinds[Kind.TEXT]})"
    if kinds.keys() == {Kind.MOMENT, Kind.NUMBER}:
        return f"use age({kinds[Kind.MOMENT]}), which is in seconds"
    if kinds.keys() == {Kind.BOOL, Kind.TEXT}:
        return f"leave '{kinds[Kind.TEXT]}' out, or use not"
    return ""
