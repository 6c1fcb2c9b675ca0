"""What is said again and again is said a few times, and then counted. Pure.

A storm of reconnecting agents, or a rule that fails with every message, must fill no disk and hide
nothing else.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

#: How important a line is, and what it is about.
Kind: TypeAlias = tuple[int, str]

#: Of one kind so many lines are written ...
LINES = 50

#: ... within so many seconds.
WINDOW_S = 10.0


@dataclass(slots=True)
class _Window:
    """The lines of one kind since it began."""

    began_at: float
    lines: int = 0


class Floods:
    """Says which lines are written, and how many of each kind were not."""

    def __init__(self) -> None:
        self._windows: dict[Kind, _Window] = {}

    def admits(self, kind: Kind, at: float) -> bool:
        """Return whether a line of this kind, at this second, is to be written."""
        window = self._windows.setdefault(kind, _Window(at))
        window.lines += 1
        return window.lines <= LINES

    def over(self, at: float) -> Iterator[tuple[Kind, int]]:
        """Yield each kind of which lines were held back, and how many; forget what is past."""
        # With a beginning in the future, somebody has set the clock back.
        past = [
            kind
            for kind, window in self._windows.items()
            if not 0 <= at - window.began_at < WINDOW_S
        ]
        for kind in past:
            held_back = self._windows.pop(kind).lines - LINES
            if held_back > 0:
                yield kind, held_back
