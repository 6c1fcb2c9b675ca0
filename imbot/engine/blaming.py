"""The leaves of a condition: what each looked at, and for which of them it fails. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from imbot.model import Scope
from imbot.rulebook.expressions import Expression, Leaf
from imbot.rulebook.scope import Senses
from imbot.rulebook.tree import Choice, Junction, Not, Tree, leaves


@dataclass(frozen=True, slots=True)
class LeafView:
    """A leaf of ``when``: what it is, and whether it decided that the condition fails."""

    leaf: Leaf
    decides: bool


def leaf_views(when: Expression, scope: Scope, senses: Senses) -> Iterator[LeafView]:
    """Yield every leaf with its values; mark those for which the condition fails."""
    explained = when.explain(scope, senses)
    nodes = tuple(leaves(when.tree))
    truth = {id(node): leaf.holds for node, leaf in zip(nodes, explained, strict=True)}
    fails = not when.holds(scope, senses)
    blamed = set(_blamed(when.tree, truth)) if fails else set()
    for node, leaf in zip(nodes, explained, strict=True):
        yield LeafView(leaf, id(node) in blamed)


def leaf_told(leaf: Leaf) -> str:
    """Return a leaf with its truth and its values."""
    values = ", ".join(f"{text} = {_value(value)}" for text, value in leaf.operands)
    return f"{leaf.text} is {str(leaf.holds).lower()}{f' ({values})' if values else ''}"


def _true(node: Tree, truth: dict[int, bool]) -> bool:
    """Return whether a part holds, from the truth of its leaves."""
    match node:
        case Junction(is_and=is_and, parts=parts):
            some = [_true(part, truth) for part in parts]
            return all(some) if is_and else any(some)
        case Not(of=of):
            return not _true(of, truth)
        case Choice(test=test, then=then, otherwise=otherwise):
            return _true(then if _true(test, truth) else otherwise, truth)
        case _:
            return truth[id(node)]


def _blamed(node: Tree, truth: dict[int, bool]) -> Iterator[int]:
    """Yield the leaves that make a part what it is: true, or false."""
    match node:
        case Junction(parts=parts):
            whole = _true(node, truth)
            for part in parts:
                if _true(part, truth) is whole:
                    yield from _blamed(part, truth)
        case Not(of=of):
            yield from _blamed(of, truth)
        case Choice(test=test, then=then, otherwise=otherwise):
            yield from _blamed(test, truth)
            yield from _blamed(then if _true(test, truth) else otherwise, truth)
        case _:
            yield id(node)


def _value(value: object) -> str:
    return repr(value) if isinstance(value, str) else str(value)
