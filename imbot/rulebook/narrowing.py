"""Which of many conditions may hold, without asking each: a tree of the facts that they demand.

Each condition is filed under the most selective of its facts: an equality by hash, a range by its
bounds, a presence, an absence. What is filed under the same value is narrowed again by the next
fact. The answer may hold too much, and never too little; of what all facts were seen, it is
certain. Nothing here knows rules or events.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from imbot.rulebook.compiler import item
from imbot.rulebook.facts import Equals, Fact, NotEquals, Range, Refuted, Steps, TextTest, Truthy
from imbot.rulebook.functions import number
from imbot.rulebook.scope import MISSING

Scope: TypeAlias = Mapping[str, Any]
T = TypeVar("T")

#: So few are faster asked than narrowed.
_FEW = 6


class Filed(NamedTuple, Generic[T]):
    """A condition on its way into the tree.

    Attributes:
        proven: What is found when all its facts were seen to hold.
        open: What is found when some were not: the condition must still be asked.
        facts: What was not seen yet.
    """

    proven: T
    open: T
    facts: tuple[Fact, ...]

    def under(self, fact: Fact) -> "Filed[T]":
        """Return what is left to see of it where it is filed under a fact."""
        rest = tuple(other for other in self.facts if other is not fact)
        if isinstance(_plain(fact), TextTest):  # only a presence is looked for
            return Filed(self.open, self.open, rest)
        return Filed(self.proven, self.open, rest)


class Group(Generic[T]):
    """Conditions, filed.

    Attributes:
        always: What is found whatever the values are.
        branches: Where to look for more.
    """

    __slots__ = ("always", "branches")

    def __init__(self, filed: Sequence[Filed[T]]) -> None:
        always: list[T] = []
        chosen: dict[Steps, list[tuple[Fact, Filed[T]]]] = defaultdict(list)
        cost = _costs(filed)
        for one in filed:
            best = min(filter(_is_useful, one.facts), key=cost, default=None)
            if best is None or not _pays(best, len(filed)):
                always.append(one.open if one.facts else one.proven)
            else:
                chosen[_path(best)].append((best, one.under(best)))
        self.always = tuple(always)
        self.branches = _branches(chosen)


def narrowed(groups: list[Group[T]], scope: Scope) -> list[T]:
    """Return what may hold of all that is filed in some groups; the list is used up."""
    found: list[T] = []
    for group in groups:  # and what the branches add
        found += group.always
        for branch in group.branches:
            branch.follow(scope, groups)
    return found


def _plain(fact: Fact) -> Fact:
    return fact.fact if isinstance(fact, Refuted) else fact


def _is_useful(fact: Fact) -> bool:
    """Whether a fact can be filed: it is about one value that a scope has by itself."""
    plain = _plain(fact)
    return isinstance(plain, Equals | NotEquals | Range | TextTest | Truthy) and (
        plain.path[0] != "vars"  # differs from rule to rule
    )


def _pays(best: Fact, count: int) -> bool:
    """Whether to look for so many is faster than to ask each."""
    return count > _FEW or (count > 1 and isinstance(best, Equals))


def _path(fact: Fact) -> Steps:
    return getattr(_plain(fact), "path", ())


def _costs(filed: Sequence[Filed[T]]) -> Callable[[Fact], float]:
    """Return the function that guesses how many conditions would be asked beside one, in vain."""
    same: Counter[Hashable] = Counter()
    for one in filed:
        for fact in filter(_is_useful, one.facts):
            same.update(_classes(fact))

    def cost(fact: Fact) -> float:
        many = max((same[key] for key in _classes(fact)), default=0)
        return many * _SHARES.get(type(fact), 1.0)

    return cost


def _classes(fact: Fact) -> list[Hashable]:
    """Return under what a fact would be filed, as far as it can be told at once."""
    if isinstance(fact, Equals):
        return [(fact.path, value) for value in fact.values]
    return [(type(fact), _path(fact))]


#: Which part of what is filed beside a fact is asked, roughly.
_SHARES: Mapping[type, float] = {Equals: 1.0, Range: 0.3, Refuted: 0.6, TextTest: 0.8, Truthy: 0.9}


# By value -------------------------------------------------------------------------------------


class _Way(Protocol[T]):
    """A way to find groups by a value that is there."""

    def follow(self, value: Any, groups: list[Group[T]]) -> None:  # noqa: ANN401  any value
        """Add what may hold with this value."""
        ...


#: What is filed under the values at one path: by a literal that they equal, and in other ways.
_Slot: TypeAlias = tuple[Mapping[Any, Group[T]], Sequence[_Way[T]]]


class _Branch(Generic[T]):
    """The values right below one path."""

    __slots__ = ("_absent", "_below", "_parent")

    def __init__(
        self, parent: Steps, below: dict[str | int, _Slot[T]], absent: dict[str | int, Group[T]]
    ) -> None:
        self._parent = parent
        self._below = below
        self._absent = tuple(absent.items())

    def follow(self, scope: Scope, groups: list[Group[T]]) -> None:
        """Add what may hold, by each value that is there and each that is not."""
        values: Any = scope
        for step in self._parent:
            values = values.get(step, MISSING) if type(values) is dict else item(values, step)
        if type(values) is not dict:
            values = self._values(values)
        below = self._below
        if len(values) < len(below):
            below = {key: below[key] for key in values if key in below}
        for key, (equal, ways) in below.items():
            if (value := values.get(key, MISSING)) is not MISSING:
                try:
                    group = equal.get(value)
                except TypeError:  # a list or map, which equals no literal
                    group = None
                if group is not None:
                    groups.append(group)
                for way in ways:
                    way.follow(value, groups)
        if self._absent:
            groups += [group for key, group in self._absent if key not in values]

    def _values(self, container: object) -> dict[str | int, Any]:
        """Return what a list or a map of another type has of what is asked for."""
        values = {key: item(container, key) for key in self._below}
        return {key: value for key, value in values.items() if value is not MISSING}


def _branches(
    chosen: Mapping[Steps, Sequence[tuple[Fact, Filed[T]]]],
) -> tuple[_Branch[T], ...]:
    below: dict[Steps, dict[str | int, _Slot[T]]] = defaultdict(dict)
    absent: dict[Steps, dict[str | int, Group[T]]] = defaultdict(dict)
    for (*parent, key), filed in chosen.items():
        below[tuple(parent)][key] = _slot(filed)
        if missing := [one for fact, one in filed if isinstance(fact, Refuted)]:
            absent[tuple(parent)][key] = Group(missing)
    return tuple(_Branch(parent, slots, absent[parent]) for parent, slots in below.items())


def _slot(filed: Iterable[tuple[Fact, Filed[T]]]) -> _Slot[T]:
    equal: dict[Any, list[Filed[T]]] = defaultdict(list)
    unequal: dict[frozenset[Any], list[Filed[T]]] = defaultdict(list)
    inside: list[tuple[Range, Filed[T]]] = []
    outside: list[tuple[Range, Filed[T]]] = []
    truthy: list[Filed[T]] = []
    falsy: list[Filed[T]] = []
    for fact, one in filed:
        match fact:
            case Equals(values=values) | Refuted(NotEquals(values=values)):
                for value in values:
                    equal[value].append(one)
            case NotEquals(values=values) | Refuted(Equals(values=values)):
                unequal[values].append(one)
            case Range():
                inside.append((fact, one))
            case Refuted(Range() as span):
                outside.append((span, one))
            case Truthy():
                truthy.append(one)
            case Refuted(Truthy()):
                falsy.append(one)
            case _:
                unequal[frozenset()].append(one)
    ways: list[_Way[T]] = [_Unlike(values, ones) for values, ones in unequal.items()]
    ways += _lines(inside, outside)
    if truthy or falsy:
        ways.append(_Truth(truthy, falsy))
    return {value: Group(ones) for value, ones in equal.items()}, tuple(ways)


class _Unlike(Generic[T]):
    """By any value but some."""

    __slots__ = ("_group", "_values")

    def __init__(self, values: frozenset[Any], filed: Sequence[Filed[T]]) -> None:
        self._values = values
        self._group = Group(filed)

    def follow(self, value: object, groups: list[Group[T]]) -> None:
        """Add what may hold with this value."""
        try:
            is_like = value in self._values
        except TypeError:  # a list or map, which equals no literal
            is_like = False
        if not is_like:
            groups.append(self._group)


class _Truth(Generic[T]):
    """By whether a value is false, 0, none or empty."""

    __slots__ = ("_falsy", "_truthy")

    def __init__(self, truthy: Sequence[Filed[T]], falsy: Sequence[Filed[T]]) -> None:
        self._truthy = Group(truthy)
        self._falsy = Group(falsy)

    def follow(self, value: object, groups: list[Group[T]]) -> None:
        """Add what may hold with this value."""
        groups.append(self._truthy if value else self._falsy)


# Ranges ---------------------------------------------------------------------------------------


def _text_point(value: object) -> object:
    return value if isinstance(value, str) else MISSING


def _number_point(value: object) -> object:
    return value if isinstance(value, int | float) else MISSING


def _quick(bound: Any) -> Any:  # noqa: ANN401  text or number
    """Return an equal bound that numbers are compared with in less time."""
    return float(bound) if type(bound) is int and abs(bound) <= _EXACT else bound


#: Integers up to here are exact as floats.
_EXACT = 2**53

#: How a value is put on a line: of texts, of numbers, of what ``number()`` reads.
_POINTS: tuple[Callable[[object], object], ...] = (_text_point, _number_point, number)


class _Span(NamedTuple, Generic[T]):
    """A stretch of a line and what is filed under it; a bound of None is no bound."""

    low: Any
    high: Any
    low_open: bool
    high_open: bool
    filed: Filed[T]


def _lines(
    inside: Iterable[tuple[Range, Filed[T]]], outside: Iterable[tuple[Range, Filed[T]]]
) -> list["_Line[T]"]:
    """Return a line for each way in which the ranges are compared.

    Outside of a range is below its low or above its high bound, or nowhere on the line.
    """
    spans: dict[int, list[_Span[T]]] = defaultdict(list)
    nowhere: dict[int, list[Filed[T]]] = defaultdict(list)
    for it, filed in inside:
        span = _Span(it.low, it.high, it.low_open, it.high_open, filed)
        spans[_line_of(it)].append(span)
    for it, filed in outside:
        which = _line_of(it)
        nowhere[which].append(filed)
        if it.low is not None:
            spans[which].append(_Span(None, it.low, False, not it.low_open, filed))
        if it.high is not None:
            spans[which].append(_Span(it.high, None, not it.high_open, False, filed))
    return [_Line(_POINTS[which], spans[which], nowhere[which]) for which in spans]


def _line_of(span: Range) -> int:
    """Return the index in ``_POINTS`` of how a range compares."""
    if span.numeric:
        return 2
    return 0 if isinstance(span.high if span.low is None else span.low, str) else 1


class _Line(Generic[T]):
    """Spans of one ordered line, as a segment tree.

    The bounds cut the line into places: gaps, with even numbers, and the bounds between them, with
    odd ones. A span is filed under the few nodes that together cover its places; the nodes above
    a place, found by halving its number, are those of every span around it. They are looked up
    once for each place.
    """

    __slots__ = ("_around", "_bounds", "_nowhere", "_point")

    def __init__(
        self,
        point: Callable[[object], object],
        spans: Sequence[_Span[T]],
        nowhere: Sequence[Filed[T]],
    ) -> None:
        self._point = point
        self._nowhere = Group(nowhere)
        ends = {end for span in spans for end in (span.low, span.high) if end is not None}
        self._bounds = sorted(map(_quick, ends))
        nodes: dict[int, list[Filed[T]]] = defaultdict(list)
        for span in spans:
            for node in self._cover(span):
                nodes[node].append(span.filed)
        self._around = self._looked_up({node: Group(filed) for node, filed in nodes.items()})

    def follow(self, value: object, groups: list[Group[T]]) -> None:
        """Add what may hold with this value."""
        point: Any = self._point(value)
        if point == point:  # noqa: PLR0124  what is missing, and NaN, does not equal itself
            groups += self._around[self._place(point)]
        else:
            groups.append(self._nowhere)

    def _place(self, point: Any) -> int:  # noqa: ANN401  text or number
        at = bisect_right(self._bounds, point)
        is_bound: bool = self._bounds[at - 1] == point  # at 0 the last, which is greater
        return 2 * at - is_bound

    @property
    def _size(self) -> int:
        return 2 * len(self._bounds) + 1

    def _looked_up(self, nodes: Mapping[int, Group[T]]) -> list[tuple[Group[T], ...]]:
        """Return, for each place, what is filed under the nodes above it."""
        around = []
        for place in range(self._size):
            leaf = place + self._size
            above = (leaf >> height for height in range(leaf.bit_length()))
            around.append(tuple(nodes[node] for node in above if node in nodes))
        return around

    def _cover(self, span: _Span[T]) -> Iterator[int]:
        """Yield the nodes that together cover a span; none when it is empty."""
        low = 0 if span.low is None else self._place(span.low) + span.low_open
        high = self._size if span.high is None else self._place(span.high) + 1 - span.high_open
        low, high = low + self._size, high + self._size
        while low < high:
            if low & 1:
                yield low
                low += 1
            if high & 1:
                high -= 1
                yield high
            low >>= 1
            high >>= 1
