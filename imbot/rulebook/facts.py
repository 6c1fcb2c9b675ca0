"""What a condition demands, as facts that an index and a checker can reason about.

A condition holds exactly if all its facts hold; so each of them is necessary. What cannot be said
as a fact stays in :class:`Other`, in a normal spelling.
"""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from imbot.rulebook.tree import (
    Apply,
    Choice,
    Compare,
    Const,
    Item,
    Items,
    Junction,
    Not,
    Path,
    Tree,
)

Steps: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Equals:
    """The value is there and equals one of ``values``; with no values it never holds."""

    path: Steps
    values: frozenset[Any]


@dataclass(frozen=True, slots=True)
class NotEquals:
    """The value is there and equals none of ``values``."""

    path: Steps
    values: frozenset[Any]


@dataclass(frozen=True, slots=True)
class Range:
    """The value is there, can be ordered by the bounds, and lies between them.

    Attributes:
        path: Where the value stands.
        low: Lower bound; None for none.
        high: Upper bound; None for none.
        low_open: Whether the lower bound itself is outside.
        high_open: Whether the upper bound itself is outside.
        numeric: Whether the value is what ``number()`` makes of it.
    """

    path: Steps
    low: Any = None
    high: Any = None
    low_open: bool = False
    high_open: bool = False
    numeric: bool = False


@dataclass(frozen=True, slots=True)
class TextTest:
    """The value is text and passes ``contains``, ``startswith``, ``endswith`` or ``matches``."""

    kind: str
    path: Steps
    text: str


@dataclass(frozen=True, slots=True)
class Truthy:
    """The value is there and not false, 0, none or empty."""

    path: Steps


@dataclass(frozen=True, slots=True)
class Other:
    """Something else holds: ``text`` is its normal spelling, the same for the same meaning."""

    text: str


Plain: TypeAlias = Equals | NotEquals | Range | TextTest | Truthy | Other


@dataclass(frozen=True, slots=True)
class Refuted:
    """``fact`` does not hold; so this does hold where the value is missing."""

    fact: Plain


Fact: TypeAlias = Plain | Refuted

#: What never holds.
NEVER = Other("false")

_TEXT_TESTS = frozenset({"contains", "startswith", "endswith", "matches"})
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


def facts_of(node: Tree) -> tuple[Fact, ...]:
    """Return the facts that together are the same as that the checked tree holds."""
    return _merged(_holds(node))


def _holds(node: Tree) -> Iterator[Fact]:
    match node:
        case Const(value=value):
            yield from () if value else (NEVER,)
        case Path(steps=steps):
            yield Truthy(steps)
        case Not(of=of):
            yield from _fails(of)
        case Junction(is_and=True, parts=parts):
            for part in parts:
                yield from _holds(part)
        case Junction(parts=parts):
            yield from _either([tuple(_holds(part)) for part in parts], node)
        case Compare():
            yield from _comparisons(node)
        case Apply(function=function) if function.name == "closed":
            # So that a rule for open hours and one for closed hours never seem to meet.
            yield Refuted(Other(f"open{normal(node).removeprefix(function.name)}"))
        case Apply():
            yield _text_test(node) or Other(normal(node))
        case _:
            yield Other(normal(node))


def _comparisons(node: Compare) -> Iterator[Fact]:
    """Yield a fact for each link of a chain such as ``1 < x < 3``."""
    left = node.first
    for op, right in node.rest:
        yield _comparison(op, left, right)
        left = right


def _fails(node: Tree) -> Iterator[Fact]:
    match node:
        case Not(of=of):
            yield from _holds(of)
        case Junction(is_and=False, parts=parts):
            for part in parts:
                yield from _fails(part)
        case Junction(parts=parts):
            yield from _either([tuple(_fails(part)) for part in parts], Not(node))
        case Const(value=value):
            yield from (NEVER,) if value else ()
        case _:
            yield from _refuted(_merged(_holds(node)), node)


def _refuted(facts: tuple[Fact, ...], node: Tree) -> Iterator[Fact]:
    """Yield what holds if ``facts``, which are the same as ``node``, do not hold together."""
    match facts:
        case (Equals() | NotEquals() | Range() | TextTest() | Truthy() | Other() as fact,):
            yield Refuted(fact)
        case (Refuted(fact=fact),):
            yield fact
        case _:
            yield Other(normal(Not(node)))


def _either(choices: list[tuple[Fact, ...]], node: Tree) -> Iterator[Fact]:
    """Yield what holds if one of ``choices`` does."""
    if any(not facts for facts in choices):
        return
    possible = [_merged(facts) for facts in choices if NEVER not in facts]
    if not possible:
        yield NEVER
        return
    by_path = [
        {fact.path: fact for fact in facts if isinstance(fact, Equals)} for facts in possible
    ]
    shared = [path for path in by_path[0] if all(path in facts for facts in by_path)]
    for path in shared:
        yield Equals(path, frozenset().union(*(facts[path].values for facts in by_path)))
    # With nothing beside the one shared equality, it says all there is.
    if len(shared) != 1 or any(len(facts) > 1 for facts in possible):
        yield Other(normal(node))


def _comparison(op: str, left: Tree, right: Tree) -> Fact:
    match left, right:
        case Path(steps=steps), Items(items=items) if op in {"in", "not in"}:
            values = [each.value for each in items if isinstance(each, Const)]
            if len(values) == len(items):
                return (Equals if op == "in" else NotEquals)(steps, frozenset(values))
        case ((Path() | Apply()), Const(value=value)) if op in _MIRRORED:
            return _against(op, left, value) or Other(_compared(op, left, right))
        case Const(value=value), (Path() | Apply()) if op in _MIRRORED:
            return _against(_MIRRORED[op], right, value) or Other(_compared(op, left, right))
        case _:
            pass
    return Other(_compared(op, left, right))


def _against(op: str, operand: Tree, value: object) -> Fact | None:
    """Return ``operand op value`` as a fact about one path, or None."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match operand:
        case Path(steps=steps) if op in {"==", "!="}:
            return (Equals if op == "==" else NotEquals)(steps, frozenset({value}))
        case Path(steps=steps) if is_number or isinstance(value, str):
            return _range(op, steps, value, numeric=False)
        case Apply(function=function, args=(Path(steps=steps),)):
            if function.name == "number" and is_number and op != "!=":
                return _range(op, steps, value, numeric=True)
        case _:
            pass
    return None


def _range(op: str, path: Steps, bound: object, *, numeric: bool) -> Range:
    low = bound if op in {">", ">=", "=="} else None
    high = bound if op in {"<", "<=", "=="} else None
    return Range(path, low, high, low_open=op == ">", high_open=op == "<", numeric=numeric)


def _text_test(node: Apply) -> Fact | None:
    match node.args:
        case (Path(steps=steps), Const(value=value)) if node.function.name in _TEXT_TESTS:
            text = value if isinstance(value, str) else value.pattern
            return TextTest(node.function.name, steps, text)
        case _:
            return None


def _merged(facts: Iterable[Fact]) -> tuple[Fact, ...]:
    """Return the same facts with at most one equality and one range of a kind for each path."""
    given = tuple(facts)
    ordered = {_line(fact) for fact in given if isinstance(fact, Range)}
    kept: dict[object, Fact] = {}
    for fact in (_turned(fact, ordered) for fact in given):
        key: object = fact
        match fact:
            case Equals(path=path):
                key = ("equals", path)
                if isinstance(older := kept.get(key), Equals):
                    kept[key] = Equals(path, older.values & fact.values)
            case Range():
                key = _line(fact)
                if isinstance(older := kept.get(key), Range):
                    kept[key] = _both(older, fact)
            case _:
                pass
        kept.setdefault(key, fact)
    return tuple(kept.values())


def _line(span: Range) -> tuple[Steps, bool, bool]:
    """Return what ranges have in common that order the same values."""
    bound = span.high if span.low is None else span.low
    return span.path, span.numeric, isinstance(bound, str)


def _turned(fact: Fact, ordered: Container[object]) -> Fact:
    """Return ``not x < 1`` as ``x >= 1`` where another range says that ``x`` can be ordered."""
    match fact:
        case Refuted(fact=Range(low=low, high=high) as span) if _line(span) in ordered:
            if high is None:
                return replace(span, low=None, high=low, high_open=not span.low_open)
            if low is None:
                return replace(span, low=high, high=None, low_open=not span.high_open)
        case _:
            pass
    return fact


def _both(one: Range, other: Range) -> Range:
    """Return the range that lies in both; their bounds are of one kind."""
    lows = [(each.low, each.low_open) for each in (one, other) if each.low is not None]
    highs = [(each.high, each.high_open) for each in (one, other) if each.high is not None]
    low, low_open = max(lows, default=(None, False))
    high, out = min(((bound, not is_open) for bound, is_open in highs), default=(None, True))
    return Range(one.path, low, high, low_open, not out, one.numeric)


def normal(node: Tree) -> str:  # noqa: PLR0911  one case per node
    """Return one spelling for all ways to write a checked tree."""
    match node:
        case Const(value=value):
            plain = value is None or isinstance(value, str | int | float)
            return repr(value if plain else value.pattern)
        case Path():
            return str(node)
        case Item(of=of, index=index):
            return f"{normal(of)}[{normal(index)}]"
        case Apply(function=function, args=args):
            return f"{function.name}({', '.join(map(normal, args))})"
        case Compare(first=first, rest=rest):
            return f"({normal(first)}{''.join(f' {op} {normal(part)}' for op, part in rest)})"
        case Junction(is_and=is_and, parts=parts):
            return f"({(' and ' if is_and else ' or ').join(map(normal, parts))})"
        case Not(of=of):
            return f"(not {normal(of)})"
        case Choice(test=test, then=then, otherwise=otherwise):
            return f"({normal(then)} if {normal(test)} else {normal(otherwise)})"
        case Items(items=items):
            return f"[{', '.join(map(normal, items))}]"
        case _:
            raise TypeError(f"unchecked {type(node).__name__}")


def _compared(op: str, left: Tree, right: Tree) -> str:
    return normal(Compare(left, ((op, right),)))
