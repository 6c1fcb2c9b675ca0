"""Takes what is due from YAML nodes and keeps every mistake on the way.

Nothing here knows the keys of a rule; what cannot be used is reported once and left out.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from imbot.durations import parse_duration
from imbot.problems import Place, Problem, Severity, did_you_mean, nearest
from imbot.rulebook import expressions
from imbot.rulebook.expressions import Expression
from imbot.rulebook.scope import Known, Names
from imbot.yamlfile import Entry, Kind, Node

#: RE2's instructions of a pattern as people write it; it takes a tenth of a millisecond.
_USUAL_PATTERN: Final = 100
#: What looks like the path of a value.
VALUE_PATH: Final = re.compile(r"[A-Za-z_]\w*(?:\.\w+)+")
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(slots=True)
class PatternRoom:
    """How large the patterns of a rulebook may still be, together.

    Each of them has its own room; only what is larger takes from this one.
    """

    left: int = 50_000

    def take(self, size: int) -> bool:
        """Take room for a pattern of so many of RE2's instructions; whether there was enough."""
        self.left -= max(0, size - _USUAL_PATTERN)
        return self.left >= 0


@dataclass(frozen=True, slots=True)
class Desk:
    """Where nodes are read.

    Attributes:
        known: What an expression or template may name.
        problems: Every mistake found so far.
        timezone: The zone of what names none.
        calendars: Every calendar that was asked for so far, in order.
        patterns: The room for the patterns of triggers.
    """

    known: Known = field(default_factory=Known)
    problems: list[Problem] = field(default_factory=list)
    timezone: str = "UTC"
    calendars: list[str] = field(default_factory=list)
    patterns: PatternRoom = field(default_factory=PatternRoom)

    def error(self, place: Place, code: str, what: str, cure: str = "") -> None:
        """Keep a mistake that stops the file from being used."""
        self.problems.append(Problem(place, code, what, cure))

    def warn(self, place: Place, code: str, what: str, cure: str = "") -> None:
        """Keep a mistake that does not."""
        self.problems.append(Problem(place, code, what, cure, Severity.WARNING))

    def entries(self, node: Node, what: str, cure: str = "") -> Mapping[str, Entry]:
        """Return the entries of a map; none, and a problem, when it is no map."""
        if node.kind is not Kind.MAP:
            self._wrong(node, what, "a mapping", cure)
        return node.entries

    def items(self, node: Node, what: str, cure: str = "") -> tuple[Node, ...]:
        """Return the items of a list; none, and a problem, when it is no list."""
        if node.kind is not Kind.LIST:
            self._wrong(node, what, "a list", cure)
        return node.items

    def keys(
        self,
        entries: Mapping[str, Entry],
        allowed: Collection[str],
        *,
        of: str,
        elsewhere: Mapping[str, str] = _NONE,
    ) -> None:
        """Report each key that is not allowed; ``elsewhere`` as :func:`nearest` takes it."""
        for key, entry in entries.items():
            if key not in allowed:
                cure = did_you_mean(key, allowed, elsewhere=elsewhere)
                if is_cut_off(entry):
                    cure = IN_QUOTES
                self.error(entry.key.place, "unknown-key", f"unknown key '{key}' in {of}", cure)

    def lacks(
        self,
        owner: Node,
        key: str,
        *,
        known: Collection[str],
        elsewhere: Mapping[str, str] = _NONE,
    ) -> bool:
        """Whether a map has a key neither rightly nor misspelt or merged, which is told already."""
        if key in owner.entries:
            return False
        unknown = owner.entries.keys() - known
        return all(
            nearest(each, known, elsewhere=elsewhere) != key for each in unknown
        ) and not any(
            problem.code == "yaml-merge" and owner.place <= problem.place <= owner.end_place
            for problem in self.problems
        )

    def text(self, node: Node, what: str) -> str | None:
        """Return text; a number is taken as spelled."""
        if node.kind is Kind.TEXT or node.kind is Kind.NUMBER:
            return node.raw
        self._wrong(node, what, "text", "put it in quotes" if node.kind is Kind.BOOL else "")
        return None

    def texts(self, node: Node, what: str) -> tuple[str, ...] | None:
        """Return one text or each of a list of them, without repetition; at least one."""
        nodes = node.items if node.kind is Kind.LIST else (node,)
        if not nodes:
            self.error(node.place, "empty", f"{what} names nothing", "name at least one")
        found = [self.text(each, what) for each in nodes]
        texts = tuple(dict.fromkeys(text for text in found if text is not None))
        return texts if texts and None not in found else None

    def word(self, node: Node, words: Iterable[str], what: str) -> str | None:
        """Return one of a closed set of words."""
        text = self.text(node, what)
        if text is not None and text not in (known := tuple(words)):
            parts = [part.strip() for part in text.split(",")]
            is_list = len(parts) > 1 and set(parts) <= set(known)
            cure = f"write [{', '.join(parts)}]" if is_list else did_you_mean(text, known)
            self.error(node.place, "unknown-word", f"'{text}' is no {what}", cure)
            return None
        return text

    def flag(self, node: Node, what: str) -> bool | None:
        """Return true or false."""
        if isinstance(node.value, bool):
            return node.value
        self._wrong(node, what, "true or false")
        return None

    def whole(self, node: Node, what: str, *, least: int, most: int) -> int | None:
        """Return a whole number within bounds."""
        number = node.value
        if isinstance(number, bool) or not isinstance(number, int):
            self._wrong(node, what, "a whole number")
        elif not least <= number <= most:
            found = f"'{what}' is {number}"
            self.error(node.place, "out-of-range", found, f"write {least} to {most}")
        else:
            return number
        return None

    def duration(self, node: Node, what: str) -> float | None:
        """Return the seconds of a duration of more than nothing."""
        if node.is_scalar:
            text = self.text(node, what)
            return None if text is None else self.seconds(text, node.place)
        self._wrong(node, what, "a duration", "write such as 30s, 5m or 1h30m")
        return None

    def seconds(self, text: str, place: Place) -> float | None:
        """Return the seconds that a text means, more than nothing."""
        if "{{" in text or VALUE_PATH.fullmatch(text):
            what = "of all durations only that of the step 'wait' may be a template"
            self.error(place, "misplaced-template", what, "write it out, such as 5m")
            return None
        try:
            seconds = parse_duration(text)
        except ValueError as error:
            what, _, cure = str(error).partition("; ")
            self.error(place, "bad-duration", what, cure)
            return None
        if seconds <= 0:
            self.error(place, "bad-duration", f"'{text}' is no time at all", "write more than 0s")
            return None
        return seconds

    def expression(self, node: Node, names: Names, what: str) -> Expression | None:
        """Return a checked expression."""
        if not node.is_scalar or node.kind is Kind.NULL:
            self._wrong(node, what, "an expression")
            return None
        parsed, problems = expressions.parse(node.raw, node.place_at, names, self.known)
        self.problems.extend(problems)
        if parsed is not None:
            self.calendars.extend(parsed.calendars_used)
        return parsed

    def all_of(self, node: Node, names: Names, what: str) -> Expression | None:
        """Return one expression, or the one that means that each of a list holds."""
        if node.kind is not Kind.LIST:
            return self.expression(node, names, what)
        if not node.items:
            self.error(node.place, "empty", f"'{what}' lists nothing", "leave it out")
        parts = [self.expression(item, names, what) for item in node.items]
        whole = [part for part in parts if part is not None]
        if len(whole) < len(parts) or not whole:
            return None
        if len(whole) == 1:
            return whole[0]
        # Each part is whole by itself, so brackets around it mean what they seem to.
        joined = " and ".join(f"({part.source})" for part in whole)
        both, problems = expressions.parse(joined, lambda *_: node.place, names, self.known)
        self.problems.extend(problems)
        return both

    def _wrong(self, node: Node, what: str, due: str, cure: str = "") -> None:
        """Report that a node is not of the kind that is due."""
        found = f"'{what}' must be {due}, not {shown(node)}"
        self.error(node.place, "wrong-type", found, cure)


def is_cut_off(entry: Entry) -> bool:
    """Whether a key is the rest of a text that a comma between { and } ended."""
    return not entry.key.style and entry.value.start == entry.value.end


#: The cure for a text that was cut off.
IN_QUOTES: Final = "put text that holds a comma in quotes"


def shown(node: Node) -> str:
    """Return what a node is, in words for people."""
    match node.kind:
        case Kind.BOOL | Kind.NUMBER:
            return node.raw
        case Kind.NULL:
            return "nothing"
        case Kind.TEXT:
            return f"'{node.raw}'" if len(node.raw) < 40 else "text"  # noqa: PLR2004  fits a line
        case kind:
            return f"a {kind}"
