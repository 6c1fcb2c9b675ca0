"""All text tests of message triggers in one pass over what was said; two where it is not ASCII.

``equals``, ``startswith`` and ``contains`` compare without case (Unicode case folding) and without
outer white space on either side; ``matches`` searches the text exactly as it was said. Nothing here
knows rules: a test is a number.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import re2

from imbot.rulebook.schema import MessageTrigger, TextTest

#: RE2 takes as much as a set of patterns needs, and refuses to build one that needs more.
_SET_BYTES = 64 * 1024 * 1024

#: Bytes of a text → numbers of the tests that it passes, None for none.
_Search: TypeAlias = Callable[[bytes], Sequence[int] | None]
T = TypeVar("T")


def folded(text: str) -> str:
    """Return a text as ``equals``, ``startswith`` and ``contains`` see it."""
    return text.strip().casefold()


def key_of(test: TextTest, text: str) -> tuple[TextTest, str]:
    """Return what is the same for texts that the same messages pass."""
    return test, text if test is TextTest.MATCHES else folded(text)


def passes(trigger: MessageTrigger, text: str) -> bool:
    """Whether what was said passes a trigger's test with any of its texts."""
    match trigger.test:
        case TextTest.ANY:
            return True
        case TextTest.MATCHES:
            said = _encoded(text).decode()
            return any(re2.search(each, said) is not None for each in trigger.texts)
        case TextTest.EQUALS:
            return any(folded(text) == folded(each) for each in trigger.texts)
        case TextTest.STARTSWITH:
            return any(folded(text).startswith(folded(each)) for each in trigger.texts)
        case _:
            return any(folded(each) in folded(text) for each in trigger.texts)


class TextTests(Generic[T]):
    """Tests by their keys, each with what is found when it is passed."""

    def __init__(self, tests: Mapping[tuple[TextTest, str], T]) -> None:
        by_test: dict[TextTest, dict[str, T]] = {test: {} for test in TextTest}
        for (test, text), found in tests.items():
            by_test[test][text] = found
        self._equal = by_test[TextTest.EQUALS]
        prefixes = by_test[TextTest.STARTSWITH]
        self._heads = _heads(prefixes)
        self._shortest = min(map(len, prefixes), default=sys.maxsize)
        parts = by_test[TextTest.CONTAINS]
        self._folded_parts = _searches(list(parts.items()), _literals)
        in_ascii = [(_in_any_case(text), parts[text]) for text in parts if text.isascii()]
        self._patterns = _searches([*by_test[TextTest.MATCHES].items(), *in_ascii], _patterns)
        self._folds = bool(self._equal or prefixes or parts)

    def passed(self, text: str) -> list[T]:
        """Return what is found by the tests that a text passes; some of it may come twice."""
        found: list[T] = []
        if self._folds:
            said = folded(text)
            if (equal := self._equal.get(said)) is not None:
                found.append(equal)
            if len(said) >= self._shortest:
                self._add_begun(said, found)
            if self._folded_parts and not text.isascii():
                _add_found(self._folded_parts, said, found)
        if self._patterns:
            _add_found(self._patterns, text, found)
        return found

    def _add_begun(self, said: str, found: list[T]) -> None:
        """Add what is found by the texts that ``said`` begins with."""
        length = self._shortest
        while length <= len(said) and (head := self._heads.get(said[:length])) is not None:
            begun, length = head
            if begun is not None:
                found.append(begun)


def _add_found(searches: Iterable[tuple[_Search, list[T]]], text: str, found: list[T]) -> None:
    encoded = _encoded(text)
    for search, of_number in searches:
        if numbers := search(encoded):
            found += [of_number[number] for number in numbers]


def _encoded(text: str) -> bytes:
    """Return a text as RE2 reads it; a lone surrogate, which UTF-8 cannot say, becomes ``?``."""
    return text.encode("utf-8", "replace")


def _heads(prefixes: Mapping[str, T]) -> dict[str, tuple[T | None, int]]:
    """Return each head that is shared or whole: what it is, and how long the next ones are."""
    heads = {}
    waiting = [("", list(prefixes))]
    for head, texts in waiting:
        longer = [text for text in texts if len(text) > len(head)]
        length = min(map(len, longer), default=sys.maxsize)
        heads[head] = prefixes.get(head), length
        by_head = defaultdict(list)
        for text in longer:
            by_head[text[:length]].append(text)
        waiting += by_head.items()
    return heads


def _searches(
    tests: Sequence[tuple[str, T]], build: Callable[[Sequence[str]], _Search]
) -> list[tuple[_Search, list[T]]]:
    """Return as few searches as RE2 has room for, each with what is found by its numbers."""
    waiting = [tests] if tests else []
    searches = []
    while waiting:
        some = waiting.pop()
        texts = [text for text, _ in some]
        try:
            search = build(texts)
        except re2.error:
            if half := len(some) // 2:
                waiting += [some[:half], some[half:]]
                continue
            search = _one(texts[0], build)
        searches.append((search, [found for _, found in some]))
    return searches


def _options() -> Any:  # noqa: ANN401  re2 has no types
    options = re2.Options()
    options.max_mem = _SET_BYTES
    options.log_errors = False
    return options


def _literals(texts: Sequence[str]) -> _Search:
    """Return the search for any of several literals."""
    found = re2.Set.SearchSet(_options())
    for text in texts:
        found.Add(re2.escape(text))
    found.Compile()
    search: _Search = found.Match
    return search


def _patterns(texts: Sequence[str]) -> _Search:
    """Return the search for any of several patterns.

    RE2's filter looks for the words that each pattern must have, and tries only what is left.
    """
    found = re2.Filter()
    for text in texts:
        found.Add(text, _options())
    found.Compile()
    search: _Search = found.Match
    return search


def _in_any_case(literal: str) -> str:
    """Return the pattern for an ASCII literal, which is folded, in a text that is not.

    So one pass over the text serves all; of ASCII, RE2's cases and Unicode's folding are the same.
    """
    return "".join(
        f"[{char}{char.upper()}]" if char.isalpha() else re2.escape(char) for char in literal
    )


def _one(text: str, build: Callable[[Sequence[str]], _Search]) -> _Search:
    """Return the search for one text that is too large for a set."""
    if build is _literals:
        literal = text.encode()
        return lambda said: (0,) if literal in said else None
    pattern = re2.compile(text)
    return lambda said: (0,) if pattern.search(said.decode()) is not None else None
