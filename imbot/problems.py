"""A mistake found in a file, with its place and the cure, and the nearest right word."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


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

    def __str__(self) -> str:
        """Return ``path:line:col: error[code]: what; cure``."""
        cure = f"; {self.cure}" if self.cure else ""
        return f"{self.place}: {self.severity}[{self.code}]: {self.what}{cure}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that ``word`` was most likely meant to be, or None."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the cure for a misspelt word: the nearest right one, else the whole short list."""
    candidates = sorted(known)
    if (right := nearest(word, candidates)) is not None:
        return f"did you mean '{right}'?"
    return f"known: {', '.join(candidates)}" if candidates else ""
