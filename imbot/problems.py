"""A mistake found in a file, with its place and the cure, and the nearest right word."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

#: Codes of what is read as nothing after it was reported.
_LEFT_OUT = frozenset({"yaml-alias", "yaml-tag"})
#: The code of ``{{ … }}`` without quotes.
UNQUOTED: Final = "unquoted-template"
#: How the codes of what nothing uses begin.
UNUSED: Final = "unused-"
#: No other words than the right ones.
_NONE: Final[Mapping[str, str]] = MappingProxyType({})
#: What ends a line, steers a terminal, turns the direction of text or cannot be written as UTF-8.
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class Severity(StrEnum):
    """How much a problem matters."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands.

    Attributes:
        path: File as the user named it, or the name of another source (``environment``).
        line: Line, counted from 1; 0 when the source has no lines.
        column: Column, counted from 1; 0 when the source has no columns.
    """

    path: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """Return ``path:line:col``, or as much of it as is known."""
        return f"{self.path}:{self.line}:{self.column}" if self.line else self.path


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where, what, and what would be right.

    Attributes:
        place: Where it stands.
        code: Short name of the kind of mistake, for example ``unknown-key``.
        what: What is wrong, without a full stop.
        cure: What would be right; empty when ``what`` says it already.
        severity: Whether it stops the file from being used.
    """

    place: Place
    code: str
    what: str
    cure: str = ""
    severity: Severity = Severity.ERROR

    def __post_init__(self) -> None:
        """What is quoted from a file is shown with escapes where it would do more than be read."""
        for name in ("what", "cure"):
            text = getattr(self, name)
            if _UNSHOWN.search(text) is not None:
                object.__setattr__(self, name, _UNSHOWN.sub(_escaped, text))

    def __str__(self) -> str:
        """Return ``path:line:col: error[code]: what; cure``."""
        return f"{self.place}: {self.severity}[{self.code}]: {self.told}"

    @property
    def told(self) -> str:
        """What is wrong, and the cure."""
        return f"{self.what}; {self.cure}" if self.cure else self.what

    @property
    def annotation(self) -> str:
        """The line that GitHub shows beside a line of a change, under the code."""
        return annotation(self.place, self.told, severity=self.severity, title=self.code)


def annotation(
    place: Place, text: str, *, severity: Severity = Severity.ERROR, title: str = ""
) -> str:
    """Return the line that GitHub shows beside a line of a change."""
    path = _in_annotation(place.path).replace(":", "%3A").replace(",", "%2C")
    named = f",title={title}" if title else ""
    at = f"file={path},line={max(place.line, 1)},col={max(place.column, 1)}{named}"
    return f"::{severity} {at}::{_in_annotation(text)}"


def _in_annotation(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escaped(character: re.Match[str]) -> str:
    return character[0].encode("unicode_escape").decode("ascii")


def first_causes(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems without what only follows from others.

    What YAML of ours has not is left out when it is read, so that it seems to be missing; braces
    without quotes are told better by whoever knows what is due there; and what uses a constant
    or an input may be what is wrong.
    """
    given = list(problems)
    by_place: dict[Place, set[str]] = {}
    for problem in given:
        by_place.setdefault(problem.place, set()).add(problem.code)
    has_errors = any(problem.severity is Severity.ERROR for problem in given)
    return [
        problem
        for problem in given
        if not (by_place[problem.place] & _LEFT_OUT - {problem.code})
        and not (problem.code == UNQUOTED and by_place[problem.place] - {UNQUOTED})
        and not (problem.code.startswith(UNUSED) and has_errors)
    ]


def nearest(word: str, known: Iterable[str], *, elsewhere: Mapping[str, str] = _NONE) -> str | None:
    """Return the known word that ``word`` was most likely meant to be, or None.

    Args:
        word: As written.
        known: The right words.
        elsewhere: What other languages call it, in small letters, to the right word.
    """
    by_folded = {candidate.casefold(): candidate for candidate in known}
    other = elsewhere.get(word.casefold(), "")
    if word.casefold() not in by_folded and other in by_folded.values():
        return other
    close = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str], *, elsewhere: Mapping[str, str] = _NONE) -> str:
    """Return the cure for a misspelt word: the nearest right one, else the whole short list."""
    candidates = sorted(known)
    if (right := nearest(word, candidates, elsewhere=elsewhere)) is not None:
        return f"did you mean '{right}'?"
    return f"known: {', '.join(candidates)}" if candidates else ""
