"""All text tests of message triggers in one pass over what was said.

``equals``, ``startswith`` and ``contains`` compare without case (Unicode case folding) and without
outer white space on either side; ``matches`` searches the text exactly as it was said. Nothing here
knows rules: a test is a number.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import re2

from imbot.rulebook.schema import MessageTrigger, TextTest

#: RE2 takes as much as a set of patterns needs, and refuses to build one that needs more.
_SET_BYTES = 64 * 1024 * 1024

#: Bytes of a text → numbers of the tests that it passes.
_Search = Callable[[bytes], Iterable[int]]


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
        case TextTest.CONTAINS:
            return any(folded(each) in folded(text) for each in trigger.texts)


class TextTests:
    """Tests by their keys, each with a number of the caller's."""

    def __init__(self, tests: Mapping[tuple[TextTest, str], int]) -> None:
        by_test: dict[TextTest, dict[str, int]] = defaultdict(dict)
        for (test, text), number in tests.items():
            by_test[test][text] = number
        self._equal = by_test[TextTest.EQUALS]
        self._prefixes = _trie(by_test[TextTest.STARTSWITH])
        self._parts = _searches(by_test[TextTest.CONTAINS], _literals)
        self._patterns = _searches(by_test[TextTest.MATCHES], _patterns)

    def passed(self, text: str) -> list[int]:
        """Return the numbers of the tests that a text passes; one may come twice."""
        said = folded(text)
        found: list[int] = []
        if (number := self._equal.get(said)) is not None:
            found.append(number)
        node = self._prefixes
        for char in said:
            if (below := node.get(char)) is None:
                break
            node = below
            if (number := node.get("")) is not None:
                found.append(number)
        if self._parts:
            encoded = _encoded(said)
            for search in self._parts:
                found += search(encoded)
        if self._patterns:
            encoded = _encoded(text)
            for search in self._patterns:
                found += search(encoded)
        return found


def _encoded(text: str) -> bytes:
    """Return a text as RE2 reads it; a lone surrogate, which UTF-8 cannot say, becomes ``?``."""
    return text.encode("utf-8", "replace")


def _trie(prefixes: dict[str, int]) -> dict[str, Any]:
    """Return nested dicts, one level per character; under ``""`` the number of what ends there."""
    root: dict[str, Any] = {}
    for prefix, number in prefixes.items():
        node = root
        for char in prefix:
            node = node.setdefault(char, {})
        node[""] = number
    return root


def _prefixes_of(text: str, node: dict[str, Any]) -> list[int]:
    """Return the number of each prefix in a trie that a text begins with."""
    found = []
    for char in text:
        if (below := node.get(char)) is None:
            break
        node = below
        if "" in node:
            found.append(node[""])
    return found


def _searches(
    tests: dict[str, int], build: Callable[[Sequence[str], Sequence[int]], _Search]
) -> list[_Search]:
    """Return as few searches as RE2 has room for."""
    if not tests:
        return []
    waiting = [list(tests)]
    searches = []
    while waiting:
        texts = waiting.pop()
        try:
            searches.append(build(texts, [tests[text] for text in texts]))
        except re2.error:
            half = len(texts) // 2
            if half:
                waiting += [texts[:half], texts[half:]]
            else:
                searches.append(_one(texts[0], tests[texts[0]], build))
    return searches


def _options() -> Any:  # noqa: ANN401  re2 has no types
    options = re2.Options()
    options.max_mem = _SET_BYTES
    options.log_errors = False
    return options


def _literals(texts: Sequence[str], numbers: Sequence[int]) -> _Search:
    """Return the search for any of several literals."""
    found = re2.Set.SearchSet(_options())
    for text in texts:
        found.Add(re2.escape(text))
    found.Compile()
    return _numbered(found.Match, numbers)


def _patterns(texts: Sequence[str], numbers: Sequence[int]) -> _Search:
    """Return the search for any of several patterns.

    RE2's filter looks for the words that each pattern must have, and tries only what is left.
    """
    found = re2.Filter()
    for text in texts:
        found.Add(text, _options())
    found.Compile()
    return _numbered(found.Match, numbers)


def _numbered(match: Callable[[bytes], Sequence[int] | None], numbers: Sequence[int]) -> _Search:
    """Return the search that gives our numbers for RE2's."""

    def search(said: bytes) -> Iterable[int]:
        found = match(said)
        return [numbers[index] for index in found] if found else ()

    return search


def _one(
    text: str, number: int, build: Callable[[Sequence[str], Sequence[int]], _Search]
) -> _Search:
    """Return the search for one text that is too large for a set."""
    literal = text.encode()
    if build is _literals:
        return lambda said: (number,) if literal in said else ()
    pattern = re2.compile(text)
    return lambda said: (number,) if pattern.search(said.decode()) is not None else ()
