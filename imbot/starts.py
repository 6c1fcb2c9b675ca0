"""How often imbot was started and did not end in order: kept beside the store, for the next start.

A start that crashes, and is started again by a supervisor, crashes for ever; what it does to
sessions in between, it does each time.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

#: After so many starts that did not end in order,
CRASHES = 3
#: within so much time, the next one acts on nothing.
WITHIN = timedelta(minutes=5)


class Starts:
    """The starts that have not ended in order, in ``PATH.starts``; nowhere without a path.

    What cannot be read or written here keeps nobody from starting.
    """

    def __init__(self, store: Path | None) -> None:
        self._path = None if store is None else store.with_name(f"{store.name}.starts")

    def begin(self, now: datetime) -> int:
        """Note that imbot starts; return how many starts before crashed lately."""
        crashed = [at for at in self._read() if now - WITHIN < at <= now]
        self._write([*crashed, now])
        return len(crashed)

    def end(self) -> None:
        """Note that imbot ended in order: what was before is forgotten."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _read(self) -> Sequence[datetime]:
        if self._path is None:
            return ()
        try:
            lines = self._path.read_text().split()
        except (OSError, UnicodeDecodeError):
            return ()
        found = []
        for line in lines:
            with suppress(ValueError):
                found.append(datetime.fromisoformat(line))
        return [at for at in found if at.tzinfo is not None]

    def _write(self, starts: Sequence[datetime]) -> None:
        if self._path is not None:
            with suppress(OSError):
                self._path.touch(0o600)
                self._path.chmod(0o600)
                self._path.write_text("".join(f"{at.isoformat()}\n" for at in starts))
