"""The one tree that conditions and templates become, whatever their syntax.

A front end (``syntax`` for conditions, ``templates`` for Jinja) makes the nodes; ``typecheck``
replaces ``Name``, ``Field`` and ``Call`` by ``Path`` and ``Apply``; ``compiler`` runs what is left.
Every node knows where it stands: ``at`` and ``end`` are offsets in the source, ``end`` 0 when the
front end cannot tell.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from imbot.rulebook.functions import Function

#: Deeper than any hand writes; keeps every walk within Python's own limit.
DEEPEST = 32


class Form(StrEnum):
    """How a call is written."""

    FUNCTION = "function"
    FILTER = "filter"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A part of an expression and where it stands."""

    at: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Const(Node):
    """A literal: text, number, true, false or none."""

    value: Any


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A bare name; gone after the check."""

    name: str


@dataclass(frozen=True, slots=True)
class Field(Node):
    """``of.name``; gone after the check."""

    of: "Tree"
    name: str


@dataclass(frozen=True, slots=True)
class Item(Node):
    """``of[index]``; after the check only where no :class:`Path` can say it."""

    of: "Tree"
    index: "Tree"


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A function, filter or test by its name; a filter's input is its first argument."""

    name: str
    args: tuple["Tree", ...]
    keywords: tuple[tuple[str, "Tree"], ...] = ()
    form: Form = Form.FUNCTION


@dataclass(frozen=True, slots=True)
class Path(Node):
    """A name and constant steps below it.

    Attributes:
        steps: The name, then fields and indexes.
        maps: How many steps after the name are surely taken on maps, if there is anything at all.
    """

    steps: tuple[str | int, ...]
    maps: int = 0

    def __str__(self) -> str:
        """Return it as an author would write it."""
        shown = str(self.steps[0])
        for step in self.steps[1:]:
            plain = isinstance(step, str) and step.isidentifier()
            shown += f".{step}" if plain else f"[{step!r}]"
        return shown


@dataclass(frozen=True, slots=True)
class Apply(Node):
    """A function with as many arguments as it has parameters."""

    function: Function
    args: tuple["Tree", ...]


@dataclass(frozen=True, slots=True)
class Compare(Node):
    """``first op second op …``; only ordering and equality are chained."""

    first: "Tree"
    rest: tuple[tuple[str, "Tree"], ...]


@dataclass(frozen=True, slots=True)
class Junction(Node):
    """``and`` or ``or``; ``as_bool`` for ``all_of`` and ``any_of``: true or false."""

    is_and: bool
    parts: tuple["Tree", ...]
    as_bool: bool = False


@dataclass(frozen=True, slots=True)
class Not(Node):
    """``not of``."""

    of: "Tree"


@dataclass(frozen=True, slots=True)
class Choice(Node):
    """``then if test else otherwise``."""

    test: "Tree"
    then: "Tree"
    otherwise: "Tree"


@dataclass(frozen=True, slots=True)
class Items(Node):
    """A list or tuple."""

    items: tuple["Tree", ...]


Tree: TypeAlias = (
    Const | Name | Field | Item | Call | Path | Apply | Compare | Junction | Not | Choice | Items
)


def parts_of(node: Tree) -> tuple[Tree, ...]:  # noqa: PLR0911  one case per node
    """Return the nodes right below a checked ``node``, in written order."""
    match node:
        case Not(of=of):
            return (of,)
        case Item(of=of, index=index):
            return (of, index)
        case Apply(args=args):
            return args
        case Compare(first=first, rest=rest):
            return (first, *(operand for _, operand in rest))
        case Junction(parts=parts):
            return parts
        case Choice(test=test, then=then, otherwise=otherwise):
            return (test, then, otherwise)
        case Items(items=items):
            return items
        case _:
            return ()


def walk(node: Tree) -> Iterator[Tree]:
    """Yield a checked ``node`` and all below it, in written order."""
    yield node
    for part in parts_of(node):
        yield from walk(part)


def leaves(node: Tree) -> Iterator[Tree]:
    """Yield the parts of a condition that are true or false by themselves, in written order."""
    match node:
        case Junction(parts=parts):
            for part in parts:
                yield from leaves(part)
        case Not(of=of):
            yield from leaves(of)
        case Choice(test=test, then=then, otherwise=otherwise):
            for part in (then, test, otherwise):
                yield from leaves(part)
        case _:
            yield node
