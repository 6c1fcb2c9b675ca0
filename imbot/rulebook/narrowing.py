"""Which of many conditions may hold, without asking each: a tree of the facts that they demand.

Each condition is filed under the most selective of its facts: an equality by hash, a range by its
bounds, a presence, an absence. What is filed under the same value is narrowed again by the next
fact. The answer may hold too much, and never too little. Nothing here knows rules or events: a
condition is a number and its facts.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from imbot.rulebook.compiler import item
from imbot.rulebook.facts import Equals, Fact, NotEquals, Range, Refuted, Steps, TextTest, Truthy
from imbot.rulebook.functions import number
from imbot.rulebook.scope import MISSING

Scope: TypeAlias = Mapping[str, Any]
#: A condition's number and what it still demands.
Filed: TypeAlias = tuple[int, tuple[Fact, ...]]

#: So few are faster asked than narrowed.
_FEW = 6


class Group:
    """Conditions, filed."""

    __slots__ = ("_always", "_branches")

    def __init__(self, filed: Sequence[Filed]) -> None:
        self._always: list[int] = []
        chosen: dict[Steps, list[tuple[int, Fact, tuple[Fact, ...]]]] = defaultdict(list)
        cost = _costs(filed)
        for ident, facts in filed:
            best = min(filter(_is_useful, facts), key=cost, default=None)
            if best is None or (len(filed) <= _FEW and not isinstance(best, Equals)):
                self._always.append(ident)
                continue
            rest = tuple(fact for fact in facts if fact is not best)
            chosen[_path(best)].append((ident, best, rest))
        self._branches = _branches(chosen)

    def collect(self, scope: Scope, found: list[int]) -> None:
        """Add the number of each condition that may hold."""
        found.extend(self._always)
        for branch in self._branches:
            branch.collect(scope, found)


def _is_useful(fact: Fact) -> bool:
    """Whether a fact can be filed: it is about one value that a scope has by itself."""
    inner = fact.fact if isinstance(fact, Refuted) else fact
    return isinstance(inner, Equals | NotEquals | Range | TextTest | Truthy) and (
        inner.path[0] != "vars"  # differs from rule to rule
    )


def _path(fact: Fact) -> Steps:
    inner = fact.fact if isinstance(fact, Refuted) else fact
    return getattr(inner, "path", ())


def _costs(filed: Sequence[Filed]) -> Callable[[Fact], float]:
    """Return the function that guesses how many conditions would be asked beside one, in vain."""
    same: Counter[Hashable] = Counter()
    for _, facts in filed:
        for fact in filter(_is_useful, facts):
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


@dataclass(slots=True)
class _Branch:
    """The values right below one path."""

    parent: Steps
    below: dict[str | int, "_Slot"]
    absent: list[tuple[str | int, "_Posting"]]

    def collect(self, scope: Scope, found: list[int]) -> None:
        """Add what may hold, by each value that is there and each that is not."""
        container: Any = scope
        for step in self.parent:
            is_map = type(container) is dict
            container = container.get(step, MISSING) if is_map else item(container, step)
        values = container if type(container) is dict else self._values(container)
        below = self.below
        if len(values) < len(below):
            for key, value in values.items():
                if (slot := below.get(key)) is not None:
                    slot.present(value, scope, found)
        else:
            for key, slot in below.items():
                if (value := values.get(key, MISSING)) is not MISSING:
                    slot.present(value, scope, found)
        for key, posting in self.absent:
            if key not in values:
                posting.collect(scope, found)

    def _values(self, container: object) -> dict[str | int, Any]:
        """Return what a list or a map of another type has of what is asked for."""
        values = {key: item(container, key) for key in self.below}
        return {key: value for key, value in values.items() if value is not MISSING}


def _branches(
    chosen: Mapping[Steps, Sequence[tuple[int, Fact, tuple[Fact, ...]]]],
) -> list[_Branch]:
    slots: dict[Steps, dict[str | int, _Slot]] = defaultdict(dict)
    for path, filed in chosen.items():
        slots[path[:-1]][path[-1]] = _Slot(filed)
    return [
        _Branch(parent, below, [(k, s.if_missing) for k, s in below.items() if s.if_missing])
        for parent, below in slots.items()
    ]


class _Posting:
    """Conditions to be found together; narrowed further when they are many."""

    __slots__ = ("_group", "_idents")

    def __init__(self, filed: Sequence[Filed]) -> None:
        self._idents = [ident for ident, _ in filed]
        narrows = len(filed) > _FEW and any(
            _is_useful(fact) for _, facts in filed for fact in facts
        )
        self._group = Group(filed) if narrows else None

    def collect(self, scope: Scope, found: list[int]) -> None:
        """Add those that may hold."""
        if self._group is None:
            found.extend(self._idents)
        else:
            self._group.collect(scope, found)


def _posting(filed: Sequence[Filed]) -> _Posting | None:
    return _Posting(filed) if filed else None


class _Slot:
    """What is filed under the value at one path."""

    __slots__ = (
        "_equal",
        "_falsy",
        "_is_all_equal",
        "_lines",
        "_there",
        "_truthy",
        "_unequal",
        "if_missing",
    )

    def __init__(self, filed: Sequence[tuple[int, Fact, tuple[Fact, ...]]]) -> None:
        equal: dict[Any, list[Filed]] = defaultdict(list)
        unequal: dict[frozenset[Any], list[Filed]] = defaultdict(list)
        inside: list[tuple[Range, Filed]] = []
        outside: list[tuple[Range, Filed]] = []
        there: list[Filed] = []
        truthy: list[Filed] = []
        falsy: list[Filed] = []
        missing: list[Filed] = []
        for ident, fact, rest in filed:
            entry = (ident, rest)
            inner = fact
            if isinstance(fact, Refuted):
                inner = fact.fact
                missing.append(entry)
            match fact, inner:
                case (Equals(values=values), _) | (Refuted(), NotEquals(values=values)):
                    for value in values:
                        equal[value].append(entry)
                case (NotEquals(values=values), _) | (Refuted(), Equals(values=values)):
                    unequal[values].append(entry)
                case Refuted(), Range():
                    outside.append((inner, entry))
                case Range(), _:
                    inside.append((fact, entry))
                case Truthy(), _:
                    truthy.append(entry)
                case Refuted(), Truthy():
                    falsy.append(entry)
                case _:
                    there.append(entry)
        self._equal = {value: _Posting(entries) for value, entries in equal.items()}
        self._unequal = [(values, _Posting(entries)) for values, entries in unequal.items()]
        self._lines = _lines(inside, outside)
        self._there = _posting(there)
        self._truthy = _posting(truthy)
        self._falsy = _posting(falsy)
        self.if_missing = _posting(missing)
        others = (self._unequal, self._lines, self._there, self._truthy, self._falsy)
        self._is_all_equal = not any(others)

    def present(self, value: Any, scope: Scope, found: list[int]) -> None:  # noqa: ANN401  any value
        """Add what may hold with this value."""
        if self._equal:
            try:
                posting = self._equal.get(value)
            except TypeError:  # a list or map, which equals no literal
                posting = None
            if posting is not None:
                posting.collect(scope, found)
        for values, posting in self._unequal:
            if not _is_in(value, values):
                posting.collect(scope, found)
        for line in self._lines:
            line.collect(value, scope, found)
        if self._there is not None:
            self._there.collect(scope, found)
        if (decided := self._truthy if value else self._falsy) is not None:
            decided.collect(scope, found)


def _is_in(value: object, values: frozenset[Any]) -> bool:
    try:
        return value in values
    except TypeError:
        return False


# Ranges ---------------------------------------------------------------------------------------


def _text_point(value: object) -> object:
    return value if isinstance(value, str) else MISSING


def _number_point(value: object) -> object:
    return value if isinstance(value, int | float) else MISSING


def _spelled_point(value: object) -> object:
    if type(value) is str and value.isdigit() and value.isascii() and len(value) < _LONG:
        return int(value)
    return number(value)


#: What ``number()`` reads of plain digits without a look at the pattern: anything shorter.
_LONG = 18

#: How a value is put on a line: of texts, of numbers, of what ``number()`` reads.
_POINTS: tuple[Callable[[object], object], ...] = (_text_point, _number_point, _spelled_point)


@dataclass(frozen=True, slots=True)
class _Span:
    """A stretch of a line and what is filed under it; a bound of None is no bound."""

    low: Any
    high: Any
    low_open: bool
    high_open: bool
    filed: Filed


def _lines(
    inside: Iterable[tuple[Range, Filed]], outside: Iterable[tuple[Range, Filed]]
) -> list["_Line"]:
    """Return a line for each way in which the ranges are compared.

    Outside of a range is below its low or above its high bound, or nowhere on the line.
    """
    spans: dict[int, list[_Span]] = defaultdict(list)
    nowhere: dict[int, list[Filed]] = defaultdict(list)
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


class _Line:
    """Spans of one ordered line, as a segment tree.

    The bounds cut the line into places: gaps, with even numbers, and the bounds between them, with
    odd ones. A span is filed under the few nodes that together cover its places; the nodes above
    a place, found by halving its number, are those of every span around it. They are looked up
    once for each place.
    """

    __slots__ = ("_around", "_bounds", "_nowhere", "_point", "_size")

    def __init__(
        self, point: Callable[[object], object], spans: Sequence[_Span], nowhere: Sequence[Filed]
    ) -> None:
        self._point = point
        self._nowhere = _posting(nowhere)
        ends = {end for span in spans for end in (span.low, span.high) if end is not None}
        self._bounds = sorted(ends)
        self._size = 2 * len(self._bounds) + 1
        nodes: dict[int, list[Filed]] = defaultdict(list)
        for span in spans:
            for node in self._cover(span):
                nodes[node].append(span.filed)
        self._around = self._looked_up({node: _Posting(filed) for node, filed in nodes.items()})

    def collect(self, value: object, scope: Scope, found: list[int]) -> None:
        """Add what may hold with this value."""
        point: Any = self._point(value)
        if point is not MISSING:
            for posting in self._around[self._place(point)]:
                posting.collect(scope, found)
        elif self._nowhere is not None:
            self._nowhere.collect(scope, found)

    def _looked_up(self, nodes: Mapping[int, _Posting]) -> list[list[_Posting]]:
        """Return, for each place, what is filed under the nodes above it."""
        around = []
        for place in range(self._size):
            leaf = place + self._size
            above = (leaf >> height for height in range(leaf.bit_length()))
            around.append([nodes[node] for node in above if node in nodes])
        return around

    def _place(self, point: Any) -> int:  # noqa: ANN401  text or number
        bounds = self._bounds
        number = bisect_left(bounds, point)
        return 2 * number + (number < len(bounds) and bounds[number] == point)

    def _cover(self, span: _Span) -> Iterator[int]:
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
