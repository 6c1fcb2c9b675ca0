"""The calendars in force, with what an operator closed: the one place that knows both."""

from collections.abc import Iterable, Iterator, Mapping

from imbot.engine.timers import NEVER
from imbot.errors import ImbotError
from imbot.problems import did_you_mean
from imbot.records import Change, TimerGone, TimerSet
from imbot.rulebook.calendars import Calendar

#: The kind of the rows that keep the switch; they are never due.
CLOSED = "closed"


class Openings(Mapping[str, Calendar]):
    """The calendars by name, as rules see them."""

    def __init__(self) -> None:
        self._written: Mapping[str, Calendar] = {}
        self._closed: set[str] = set()
        self._shown: dict[str, Calendar] = {}

    def __getitem__(self, name: str) -> Calendar:
        return self._shown[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._shown)

    def __len__(self) -> int:
        return len(self._shown)

    def adopt(self, calendars: Mapping[str, Calendar]) -> None:
        """Show these calendars from now on; what was closed stays closed."""
        self._written = calendars
        self._show()

    def restore(self, rows: Iterable[TimerSet]) -> None:
        """Close what was closed when imbot was last stopped."""
        self._closed |= {row.payload["calendar"] for row in rows if row.kind == CLOSED}
        self._show()

    def is_closed(self, name: str) -> bool:
        """Return whether an operator closed the calendar."""
        return name in self._closed

    def switch(self, name: str, *, closed: bool) -> list[Change]:
        """Close the calendar, or let its hours count again; return what must be kept of it.

        Raises:
            ImbotError: There is no such calendar; the text names the nearest.
        """
        if name not in self._written and name not in self._closed:
            cure = did_you_mean(name, self._written) or "there is none at all"
            raise ImbotError(f"there is no calendar '{name}'; {cure}")
        row = TimerSet(f"{CLOSED} {name}", CLOSED, NEVER, payload={"calendar": name})
        self._closed = self._closed | {name} if closed else self._closed - {name}
        self._show()
        return [row if closed else TimerGone(row.id)]

    def _show(self) -> None:
        self._shown = {
            name: calendar.closed_by_operator() if name in self._closed else calendar
            for name, calendar in self._written.items()
        }
