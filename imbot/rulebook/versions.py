"""A rule's version and source: what decides what it does, as a hash and to be compiled again.

The source is a JSON document with the rule, its file's ``vars``, the blocks and calendars it uses,
each as its author wrote it, where it stood. Whoever has the document needs no file.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from imbot.model import JSON
from imbot.problems import Place
from imbot.yamlfile import Entry, Kind, Node

#: A block of text ends where the next line begins to say something. Blanks that end a line stay.
_NEXT_INDENT = re.compile(r"(?<=[\r\n])[ \t]+\Z")

#: Keys of a rule that change nothing about what it does.
_NO_DECISION = frozenset({"description"})


@dataclass(frozen=True)
class Piece:
    """A part of a rule file that can stand in a file of its own.

    Attributes:
        head: The key of the file under which it stands: rules, blocks or calendars.
        key: Its own key; None for a rule.
        node: What stands there.
        constants: The ``vars`` of its file; None without any.
        beside: The files that it names, by name.
        shadow: Whether its whole file is in shadow.
    """

    # Cached, and so not slotted: many rules share a block or a calendar.

    head: str
    key: Node | None
    node: Node
    constants: Entry | None = None
    beside: Mapping[str, str] = field(default_factory=dict)
    shadow: bool = False

    @cached_property
    def digest(self) -> str:
        """A hash of what it says and of the constants that it may look at."""
        keys = [(key, _spelled(entry.value)) for key, entry in self.node.entries.items()]
        decides = [(key, value) for key, value in keys if key not in _NO_DECISION]
        constants = None if self._constants is None else _spelled(self._constants.value)
        return hash_of([decides, constants, dict(self.beside), self.shadow])

    @cached_property
    def document(self) -> dict[str, JSON]:
        """The text of a rule file that holds only this, and where it is to stand."""
        # A rule stands behind its dash, all else below the key of the file.
        dash = "- " if self.key is None else ""
        place = self.place
        indent = " " * (max(place.column, 3) - 1 - len(dash))
        texts = [f"{self.head}:", f"{indent}{dash}{self._written}"]
        if (entry := self._constants) is not None:
            texts.append(_slice(entry.key, entry.value))
        if self.shadow:
            texts.append("shadow: true")
        return {
            "path": place.path,
            "line": place.line,
            "text": _in_lines(texts),
            "beside": dict(self.beside),
        }

    @property
    def place(self) -> Place:
        """Where it begins."""
        return self._first.place

    @property
    def _first(self) -> Node:
        return self.node if self.key is None else self.key

    @cached_property
    def _written(self) -> str:
        return _slice(self._first, self.node)

    @property
    def _constants(self) -> Entry | None:
        """The constants, if it may look at any."""
        return self.constants if "vars" in self._written else None


@dataclass(frozen=True, slots=True)
class Parts:
    """All that a rule is made of.

    Attributes:
        rule: The rule.
        shared: The blocks and calendars that it uses.
        timezone: The zone of what names none.
        country: The country of calendars that name none.
    """

    rule: Piece
    shared: tuple[Piece, ...]
    timezone: str
    country: str

    @property
    def version(self) -> str:
        """A hash of everything that decides what the rule does."""
        return hash_of([self.timezone, self.country, *(each.digest for each in self._all)])

    @property
    def source(self) -> str:
        """The document from which the rule can be compiled again."""
        pieces = [each.document for each in self._all]
        document = {"timezone": self.timezone, "country": self.country, "pieces": pieces}
        return json.dumps(document, ensure_ascii=True)

    @property
    def _all(self) -> Iterable[Piece]:
        return (self.rule, *self.shared)


def _slice(first: Node, last: Node) -> str:
    """Return what stands from one node to the end of another, with the line ends behind it."""
    text = first.source.text
    said = text[first.start : last.end]
    return _NEXT_INDENT.sub("", said) if last.end < len(text) else said


def _in_lines(texts: Iterable[str]) -> str:
    """Return the texts, each on lines of its own; one that ends its line stays as it is."""
    lines = ""
    for text in texts:
        is_open = lines and not lines.endswith(("\n", "\r"))
        lines += f"\n{text}" if is_open else text
    return lines


def hash_of(decides: JSON) -> str:
    """Return the version of what is made of these."""
    text = json.dumps(decides, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _spelled(node: Node) -> JSON:
    """Return a node with each scalar's kind and spelling: 1.50 and "1.50" are not the same."""
    if node.kind is Kind.LIST:
        return [_spelled(item) for item in node.items]
    if node.kind is Kind.MAP:
        return {key: _spelled(entry.value) for key, entry in node.entries.items()}
    return f"{node.kind}:{node.raw}"
