"""How far a store was written, told beside it: only so can a start see that commits are missing.

SQLite goes on without a word where its write-ahead log was lost, cut, swapped or changed: then the
last commits are simply not there, and what they forbid to do again would be done again.
"""

import os
from contextlib import suppress
from pathlib import Path

_DIGITS = 20


class Tip:
    """The number of the last commit, in ``PATH.tip``.

    It is written behind each commit and never waited for: what a crash leaves of it is at most
    behind the store, never ahead of it.
    """

    def __init__(self, store: Path) -> None:
        """Open the file; a new one tells nothing.

        Raises:
            OSError: It cannot be opened.
        """
        path = tip_path(store)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def read(self) -> int:
        """Return the number; 0 when none can be read."""
        text = os.pread(self._file, _DIGITS, 0).decode("ascii", "replace")
        return int(text) if text.isascii() and text.isdigit() else 0

    def write(self, commits: int) -> None:
        """Tell of a commit that is durable."""
        # Who cannot tell it has lost the proof, and not the commit.
        with suppress(OSError):
            os.pwrite(self._file, f"{commits:0{_DIGITS}}\n".encode(), 0)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def tip_path(store: Path) -> Path:
    """Return where it is told how far a store was written."""
    return store.with_name(f"{store.name}.tip")
