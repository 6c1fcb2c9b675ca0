"""Cuts secrets out of what is kept or shown: in their places stand names that are none.

A rule puts a secret into a request, and a service may send it back. Only what goes out holds it.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

from imbot.model import JSON

#: A shorter secret is not cut out of an answer: it may be any word, and rules look at answers.
_SURE_CHARACTERS = 8

#: Nor is a mere address: where a request goes is told anyway, and answers are full of links.
_ADDRESS = re.compile(r"https?://[^/@?#\s]+/?", re.IGNORECASE)


class Secrets:
    """The secrets that rules may use.

    Args:
        values: By name.
        others: Secrets that no rule can send; a plugin or an error may tell them all the same.
    """

    def __init__(
        self, values: Mapping[str, str] | None = None, others: Mapping[str, str] | None = None
    ) -> None:
        # One that holds another comes first, or a part of it would be left.
        known = sorted((values or {}).items(), key=lambda item: -len(item[1]))
        self._sent = _Pattern(item for item in known if item[1])
        every = {**(others or {}), **(values or {})}
        longest_first = sorted(every.items(), key=lambda item: -len(item[1]))
        self._answered = _Pattern(item for item in longest_first if _is_sure(item[1]))

    def cut(self, value: JSON) -> JSON:
        """Return a value that is about to be kept or shown, without secrets."""
        return _cut(value, self._sent) if self._sent.names else value

    def cut_text(self, text: str) -> str:
        """Return a text about what was done, such as an error, without secrets."""
        return self._sent.cut(self._answered.cut(text))

    def cut_answer(self, value: JSON) -> JSON:
        """Return what a service has answered, without those that are surely secrets."""
        return _cut(value, self._answered) if self._answered.names else value


class _Pattern:
    """Finds secrets in text, in any case and as URLs, forms and JSON write them."""

    def __init__(self, secrets: Iterable[tuple[str, str]]) -> None:
        self.names: list[str] = []
        parts = []
        for name, value in secrets:
            self.names.append(stand_in(name))
            written = dict.fromkeys(ways_to_write(value))
            parts.append("|".join(map(re.escape, written)))
        self._found = re.compile("|".join(f"({part})" for part in parts), re.IGNORECASE)

    def cut(self, text: str) -> str:
        if not self.names:
            return text
        return self._found.sub(lambda found: self.names[(found.lastindex or 1) - 1], text)


def stand_in(name: str) -> str:
    """Return what stands in for a secret, wherever a real one is not to be seen."""
    return f"https://{name.lower().replace('_', '-')}.secret"


def _is_sure(value: str) -> bool:
    """Whether a text that holds it can be nothing but the secret."""
    return len(value) >= _SURE_CHARACTERS and _ADDRESS.fullmatch(value) is None


def ways_to_write(value: str) -> Iterable[str]:
    """Yield a value as it may stand in a text: as it is, and as URLs, JSON and base64 write it."""
    yield value
    # Whatever follows it changes the end.
    yield b64encode(value.encode("utf-8", "replace")).decode().rstrip("=")
    yield quote(value, safe="")
    yield quote(value)
    yield quote_plus(value)
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield value.encode("unicode_escape").decode()


def _cut(value: JSON, pattern: _Pattern) -> JSON:
    match value:
        case str():
            return pattern.cut(value)
        case Mapping():
            return {pattern.cut(key): _cut(item, pattern) for key, item in value.items()}
        case list() | tuple():
            return [_cut(item, pattern) for item in value]
        case _:
            return value
