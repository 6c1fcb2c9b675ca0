"""YAML text → a tree of frozen nodes that know where they stand; the one door to PyYAML.

The YAML of every file people write for imbot: 1.2 core scalars, with leading zeros kept as text; no
tags, anchors, aliases or merge keys; no key twice. It knows nothing of rules or settings, reads no
file and never raises for what a text holds: every mistake is a problem with its place.
"""

import math
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import yaml

from imbot.errors import ImbotError
from imbot.model import JSON
from imbot.problems import UNQUOTED, Place, Problem
from imbot.yamlplaces import source_offsets

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
#: What every number begins with; most texts begin otherwise.
_NUMERIC = frozenset("+-.0123456789")
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_BASED = re.compile(r"0(x[0-9a-fA-F]+|o[0-7]+)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")

#: What turns the direction of text, or cannot be seen in it.
_TURNS_TEXT = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
#: Line breaks to libyaml, but not to YAML 1.2, nor to most editors.
_HIDDEN_BREAK = re.compile("[\x85\u2028\u2029]")
#: ``{{ x }}`` without quotes is, to YAML, a map with a map as its key.
_UNQUOTED = re.compile(r"\{\{.*\}\}", re.DOTALL)
#: A line as far as a value in quotes, behind which more stands.
_BEHIND_QUOTES = re.compile(r"""[ -]*(?:[\w.-]+: +)?(?:"[^"]*"|'[^']*') *""")

#: No reader of numbers keeps an integer of more than 64 bits exact; longer ones stay text.
_MAX_DIGITS, _MAX_BASED_DIGITS = 18, 16

#: What PyYAML was reading when a bracket may have been left open.
_OPENED = ("while parsing a flow mapping", "while parsing a flow sequence")
#: What PyYAML says, and what people usually did.
_CURES = (
    ("mapping values are not allowed", "quote text that holds ': '"),
    ("mapping keys are not allowed", "quote text that begins with ?"),
    (
        "sequence entries are not allowed",
        "begin the list on the next line, or quote text with '- '",
    ),
    ("found character that cannot start", "quote text that begins with @, ` or %"),
    ("found unexpected end of stream", "close the quote"),
    ("did not find expected", "look at the indentation, quotes and brackets here and above"),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one file may hold."""

    size_bytes: int = 256 * 1024
    nodes: int = 50_000
    depth: int = 24


DEFAULT_LIMITS = Limits()


class Kind(StrEnum):
    """What a node is, in words for people."""

    TEXT = "text"
    NUMBER = "number"
    BOOL = "true or false"
    NULL = "empty"
    LIST = "list"
    MAP = "mapping"


@dataclass(frozen=True, slots=True)
class Source:
    """A text, and where its lines begin."""

    path: str
    text: str = field(repr=False)
    starts: tuple[int, ...] = field(repr=False)

    @classmethod
    def of(cls, path: str, text: str) -> "Source":
        """Return the source of a text."""
        breaks = (match.end() for match in re.finditer(r"\r\n|\n|\r", text))
        return cls(path, text, (0, *breaks))

    def place(self, offset: int) -> Place:
        """Return the place of the character at ``offset``, or of the end of the text before it."""
        offset = min(offset, len(self.text))
        line = bisect_right(self.starts, offset)
        return Place(self.path, line, offset - self.starts[line - 1] + 1)


@dataclass(frozen=True, slots=True)
class Node:
    """One value of a YAML text.

    Attributes:
        kind: What it is.
        value: The plain scalar; a tuple of nodes for a list; a mapping of entries for a map.
        raw: A scalar as spelled, without quotes: ``007``, ``+49``, ``1.50``; empty otherwise.
        source: The text it stands in.
        start: Offset of its first character.
        end: Offset after its last character.
        style: How a scalar was written: ``"``, ``'``, ``|``, ``>``, empty for plain.
    """

    kind: Kind
    value: "Value"
    raw: str
    source: Source = field(repr=False)
    start: int
    end: int
    style: str = ""

    @property
    def place(self) -> Place:
        """Where it begins."""
        return self.source.place(self.start)

    @property
    def end_place(self) -> Place:
        """Where what stands behind it begins."""
        return self.source.place(self.end)

    @property
    def items(self) -> "tuple[Node, ...]":
        """The nodes of a list; none when it is no list."""
        return self.value if isinstance(self.value, tuple) else ()

    @property
    def entries(self) -> "Mapping[str, Entry]":
        """The entries of a map by key, in order; none when it is no map."""
        return self.value if isinstance(self.value, MappingProxyType) else {}

    @property
    def is_scalar(self) -> bool:
        """Whether it is neither a list nor a map."""
        return self.kind not in (Kind.LIST, Kind.MAP)

    @property
    def written(self) -> str:
        """The YAML text it was made from."""
        return self.source.text[self.start : self.end]

    def get(self, key: str) -> "Node | None":
        """Return the value under a key of a map; None when there is none."""
        entry = self.entries.get(key)
        return None if entry is None else entry.value

    def plain(self) -> JSON:
        """Return it as plain Python: text, numbers, bool, None, lists and dicts."""
        if isinstance(self.value, tuple):
            return [item.plain() for item in self.value]
        if isinstance(self.value, MappingProxyType):
            return {key: entry.value.plain() for key, entry in self.value.items()}
        return self.value

    def place_at(self, line: int, column: int) -> Place:
        """Return where in the file a character of this scalar's text stands.

        Args:
            line: Line inside the text, from 0.
            column: Column inside that line, from 0.
        """
        offsets = source_offsets(self.source.text[self.start : self.end], self.raw, self.style)
        index = max(column, 0)
        if (lines := min(line, self.raw.count("\n"))) > 0:
            index += len("\n".join(self.raw.split("\n", lines)[:-1])) + 1
        within = offsets[min(index, len(offsets) - 1)] if offsets else 0
        return self.source.place(self.start + within)


class Entry(NamedTuple):
    """A key of a map, a text node with its place, and what stands under it."""

    key: Node
    value: Node


Value: TypeAlias = str | int | float | bool | tuple[Node, ...] | MappingProxyType[str, Entry] | None


def load(
    path: str, text: str | bytes, *, limits: Limits = DEFAULT_LIMITS
) -> tuple[Node | None, list[Problem]]:
    """Return the tree of a YAML text and every mistake found.

    A text without a value is a node of kind NULL. With a mistake that leaves the rest readable, a
    key that stands twice for example, there is a tree beside the problems; else there is None.

    Args:
        path: Name of the text in places.
        text: Bytes are read as UTF-8.
        limits: How much it may hold.

    Raises:
        ImbotError: PyYAML was installed without libyaml.
    """
    if not yaml.__with_libyaml__:
        raise ImbotError(
            "PyYAML was built without libyaml, whose parser imbot needs; install a PyYAML wheel"
        )
    decoded, problem = _decode(path, text, limits.size_bytes)
    if problem is not None:
        return None, [problem]
    return _Composer(Source.of(path, decoded), limits).compose()


def _decode(path: str, text: str | bytes, size_bytes: int) -> tuple[str, Problem | None]:
    """Return the text without a byte order mark; a problem where it is no Unicode or too long."""
    try:
        decoded = text if isinstance(text, str) else text.decode()
        size = len(decoded.encode())
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        before = text[: error.start]
        good = before if isinstance(before, str) else before.decode()
        place = Source.of(path, good).place(len(good))
        return "", Problem(place, "bad-encoding", "this is no UTF-8 text", "save it as UTF-8")
    if size > size_bytes:
        what = f"the file is larger than {size_bytes} bytes"
        return "", Problem(Place(path, 1, 1), "too-large", what, "split it")
    return decoded.removeprefix("\ufeff"), None


def _scalars(node: Node) -> Iterator[Node]:
    """Yield every scalar of a tree, keys among them."""
    if node.is_scalar:
        yield node
    for item in node.items:
        yield from _scalars(item)
    for entry in node.entries.values():
        yield entry.key
        yield from _scalars(entry.value)


class _Stop(Exception):  # noqa: N818  not an error: it ends the reading after a problem
    """The rest of the text is not looked at."""


class _Composer:
    """Builds the tree from the parser's events, so that limits hold before anything is built."""

    def __init__(self, source: Source, limits: Limits) -> None:
        self._source = source
        self._limits = limits
        self._problems: list[Problem] = []
        self._nodes = 0

    def compose(self) -> tuple[Node | None, list[Problem]]:
        """Return the tree and the problems."""
        root: Node | None = None
        try:
            root = self._document() or Node(Kind.NULL, None, "", self._source, 0, 0)
            self._refuse_hidden_breaks(root)
        except yaml.MarkedYAMLError as error:
            self._problems.append(self._syntax(error))
            root = None
        except yaml.reader.ReaderError as error:
            self._problems.append(self._forbidden(error))
            root = None
        except _Stop:
            root = None
        return root, self._problems

    def _document(self) -> Node | None:
        """Return the value of the one document; None when there is none."""
        root = None
        # With its last line ended, or a block of text would not say there what it says elsewhere.
        text = self._source.text
        ended = text if text.endswith(("\n", "\r")) else f"{text}\n"
        events: Iterator[yaml.Event] = iter(yaml.parse(ended, yaml.CSafeLoader))
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self._stop(event, "yaml-documents", "a second document ('---') in one file")
                if event.tags:
                    self._report(_start(event), "yaml-tag", "tags are not allowed")
            elif isinstance(event, yaml.NodeEvent):
                root = self._node(event, events, 1)
        return root

    def _refuse_hidden_breaks(self, root: Node) -> None:
        """Report the first line break outside of texts that the parser sees and nobody else."""
        if _HIDDEN_BREAK.search(self._source.text) is None:
            return
        outside: list[re.Match[str] | None] = []
        last = 0
        for each in _scalars(root):
            outside.append(_HIDDEN_BREAK.search(self._source.text, last, each.start))
            last = each.end
        outside.append(_HIDDEN_BREAK.search(self._source.text, last))
        if (at := next((at.start() for at in outside if at is not None), None)) is not None:
            what = f"no YAML: U+{ord(self._source.text[at]):04X} stands here, which nobody sees"
            cure = "remove it, or write it as \\N, \\L or \\P in double quotes"
            self._report(at, "yaml-syntax", what, cure)

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Node:
        """Return the node that begins with ``event``; reads on to its end."""
        self._nodes += 1
        if self._nodes > self._limits.nodes:
            self._stop(event, "too-large", f"more than {self._limits.nodes} values in one file")
        if depth > self._limits.depth:
            self._stop(event, "too-deep", f"nested deeper than {self._limits.depth} levels")
        self._refuse_references(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(event, events, depth)
        if isinstance(event, yaml.MappingStartEvent):
            return self._map(event, events, depth)
        return self._scalar(event)

    def _refuse_references(self, event: yaml.Event) -> None:
        """Report an alias, anchor or tag."""
        anchor = getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent):
            cure = "write the value out, or quote text that begins with *"
            self._report(_start(event), "yaml-alias", f"aliases (*{anchor}) are not allowed", cure)
        elif anchor is not None:
            cure = "remove it, or quote text that begins with &"
            self._report(_start(event), "yaml-anchor", f"anchors (&{anchor}) are not allowed", cure)
        if getattr(event, "tag", None) is not None:
            cure = "remove it, or quote text that begins with !; a condition says not"
            self._report(_start(event), "yaml-tag", "tags (!) are not allowed", cure)

    def _list(self, start: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Node:
        """Return a list, read to its end."""
        items = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(self._node(event, events, depth + 1))
        return self._made(Kind.LIST, tuple(items), start, event)

    def _map(self, start: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Node:
        """Return a map, read to its end, without the entries whose key is wrong."""
        entries: dict[str, Entry] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = self._node(event, events, depth + 1)
            value = self._node(next(events), events, depth + 1)
            if self._is_good_key(key, entries):
                entries[key.raw] = Entry(key, value)
        made = self._made(Kind.MAP, MappingProxyType(entries), start, event)
        if not entries and _UNQUOTED.fullmatch(made.written):
            # Reported above; what was meant is text, and may have more that is wrong.
            return self._made(Kind.TEXT, made.written, start, event, raw=made.written)
        return made

    def _is_good_key(self, key: Node, entries: Mapping[str, Entry]) -> bool:
        """Return whether a key is text and new; reports it if not."""
        if not key.is_scalar:
            if self._source.text[key.start - 1 : key.start + 1] == "{{":
                cure = 'quote it: "{{ … }}"; a condition is written without braces'
                self._report(key.start - 1, UNQUOTED, "{{ … }} without quotes", cure)
                return False
            self._report(key.start, "bad-key", f"a {key.kind} as a key", "use text as the key")
        elif key.raw == "<<" and not key.style:
            self._report(key.start, "yaml-merge", "merge keys (<<) are not allowed", "write it out")
        elif not key.raw:
            self._report(key.start, "bad-key", "a key without a name")
        elif (first := entries.get(key.raw)) is not None:
            what = f"'{key.raw}' stands here a second time; first at {first.key.place}"
            self._report(key.start, "duplicate-key", what, "remove one")
        else:
            return True
        return False

    def _scalar(self, event: yaml.Event) -> Node:
        """Return a scalar; an empty one in place of an alias."""
        if not isinstance(event, yaml.ScalarEvent):
            return self._made(Kind.NULL, None, event, event)
        style = "" if event.style in (None, "\0") else event.style
        kind, value = (Kind.TEXT, event.value) if style else _resolve(event.value)
        return self._made(kind, value, event, event, raw=event.value, style=style)

    def _made(
        self,
        kind: Kind,
        value: Value,
        start: yaml.Event,
        end: yaml.Event,
        *,
        raw: str = "",
        style: str = "",
    ) -> Node:
        """Return a node from the start of one event to the end of another."""
        return Node(kind, value, raw, self._source, _start(start), _end(end), style)

    def _syntax(self, error: yaml.MarkedYAMLError) -> Problem:
        """Return what the parser did not understand."""
        mark = error.problem_mark or error.context_mark
        said = ", ".join(filter(None, (error.context, error.problem))) or str(error)
        cure = next((cure for phrase, cure in _CURES if phrase in said), "")
        if error.context_mark and said.startswith(_OPENED) and "did not find" in said:
            opened = self._source.place(error.context_mark.index)
            cure = f"close the bracket of {opened}, or put what it holds in quotes"
        if error.context_mark and "quoted scalar" in said and "end of stream" in said:
            mark = error.context_mark  # the end of the file is not where the quote is
        offset = min(mark.index, len(self._source.text)) if mark else 0
        line_at = self._source.text.rfind("\n", 0, offset) + 1
        if _BEHIND_QUOTES.fullmatch(self._source.text, line_at, offset):
            cure = "a value that begins with a quote ends with it: put all of it in other quotes"
        if self._source.text[offset : offset + 1] == "\t":
            cure = "indent with spaces, not with tabs"
        return Problem(self._source.place(offset), "yaml-syntax", f"no YAML: {said}", cure)

    def _forbidden(self, error: yaml.reader.ReaderError) -> Problem:
        """Return the character that YAML forbids; its parser counts in bytes."""
        before = self._source.text.encode()[: error.position].decode()
        what = f"no YAML: the character U+{error.character:04X} is forbidden"
        cure = "remove it, or write it as \\x… or \\u… in double quotes"
        return Problem(self._source.place(len(before)), "yaml-syntax", what, cure)

    def _report(self, offset: int, code: str, what: str, cure: str = "") -> None:
        """Keep a problem."""
        self._problems.append(Problem(self._source.place(offset), code, what, cure))

    def _stop(self, event: yaml.Event, code: str, what: str) -> None:
        """Keep a problem and read no further.

        Raises:
            _Stop: Always.
        """
        self._report(_start(event), code, what)
        raise _Stop


def _start(event: yaml.Event) -> int:
    """Return the offset at which what the event tells of begins."""
    return event.start_mark.index if event.start_mark else 0


def _end(event: yaml.Event) -> int:
    """Return the offset at which what the event tells of ends."""
    return event.end_mark.index if event.end_mark else 0


def _resolve(text: str) -> tuple[Kind, str | int | float | bool | None]:
    """Return what a plain scalar means in YAML 1.2's core schema.

    Left as text: numbers with leading zeros, with more digits than 64 bits hold, and not finite.
    """
    if text in _NULLS:
        return Kind.NULL, None
    if (truth := _BOOLS.get(text)) is not None:
        return Kind.BOOL, truth
    number = _number(text) if text[0] in _NUMERIC else None
    return (Kind.TEXT, text) if number is None else (Kind.NUMBER, number)


def _number(text: str) -> int | float | None:
    """Return the number that a plain scalar spells; None when it stays text."""
    if match := _INTEGER.fullmatch(text):
        return int(text) if len(match[1]) <= _MAX_DIGITS else None
    if match := _BASED.fullmatch(text):
        return int(text, 0) if len(match[1]) <= _MAX_BASED_DIGITS else None
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return None


def dump(value: JSON) -> str:
    """Return plain values as YAML text, keys in their order; what turns text is escaped."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return _TURNS_TEXT.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class _Dumper(yaml.SafeDumper):
    """Puts text that steers a reader's eye into double quotes, for only there it is escaped."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if _TURNS_TEXT.search(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _text)
