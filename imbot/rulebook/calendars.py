"""Business hours: when a calendar is open, and when it next opens or closes.

A calendar is open when the clock on its wall shows a time inside a slot; so it is right in the
hour that a change of clocks skips, and in the one that it repeats. Pure: the moment is an argument.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from types import MappingProxyType
from typing import Protocol
from zoneinfo import ZoneInfo

from imbot.rulebook.ics import NO_TIME_OFF, TimeOff

#: Minutes of a day on the clock.
DAY_MIN = 24 * 60
_INSTANT = timedelta(microseconds=1)
_DAY = timedelta(days=1)
#: Clocks are put back by two hours at most.
_LONGEST_DAY = timedelta(hours=26)
#: Holidays and weeks repeat within a year: what has no edge by then, has none without exceptions.
_HORIZON_DAYS = 400


class Days(Protocol):
    """A set of days that may go on for ever."""

    def __contains__(self, day: object, /) -> bool:
        """Whether the day is one of them."""
        ...


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """Open from ``start_min`` until before ``end_min``, both counted from local midnight.

    ``end_min`` is beyond 1440 for a slot that ends on the next day.
    """

    start_min: int
    end_min: int


@dataclass(frozen=True, slots=True)
class Calendar:
    """When somebody is there.

    Attributes:
        name: As rules name it.
        timezone: Whose clocks count.
        week: The slots of Monday to Sunday.
        holidays: Days without slots.
        exceptions: Days with slots of their own; they win over holidays and whole days off.
        time_off: Days and hours off out of a file.
        emergency: Whether an operator closed it: it is not open, whatever the hours; what opens
            and closes next is told as if it were to end before.
    """

    name: str
    timezone: ZoneInfo
    week: tuple[tuple[Slot, ...], ...]
    holidays: Days = frozenset()
    exceptions: Mapping[date, tuple[Slot, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    time_off: TimeOff = NO_TIME_OFF
    emergency: bool = False

    def closed_by_operator(self) -> "Calendar":
        """Return the same calendar with the switch *emergency closed* on."""
        return replace(self, emergency=True)

    def slots_of(self, day: date) -> tuple[Slot, ...]:
        """Return the slots that begin on ``day``."""
        if (slots := self.exceptions.get(day)) is not None:
            return slots
        off = day in self.holidays or day in self.time_off.days
        return () if off else self.week[day.weekday()]

    def is_open(self, at: datetime) -> bool:
        """Whether it is open at the aware moment ``at``."""
        return not self.emergency and self._is_scheduled(at)

    def next_open(self, at: datetime) -> datetime | None:
        """Return the first opening after ``at``, in UTC; None if there is none within a year."""
        return self._next_edge(at, opens=True)

    def next_close(self, at: datetime) -> datetime | None:
        """Return the first closing after ``at``, in UTC; None if there is none within a year."""
        return self._next_edge(at, opens=False)

    def _is_scheduled(self, at: datetime) -> bool:
        if self.time_off.covers(at):
            return False
        there = at.astimezone(self.timezone)
        day, minute = there.date(), there.hour * 60 + there.minute
        if any(slot.start_min <= minute < slot.end_min for slot in self.slots_of(day)):
            return True
        minute += DAY_MIN
        return any(minute < slot.end_min for slot in self.slots_of(day - _DAY))

    def _next_edge(self, at: datetime, *, opens: bool) -> datetime | None:
        return next((edge for edge in self._edges_from(at, opens=opens) if edge > at), None)

    def _edges_from(self, at: datetime, *, opens: bool) -> Iterator[datetime]:
        """Yield edges in order, from at most two days before."""
        ahead: set[datetime] = set()
        for day in self._days_from(at.astimezone(self.timezone).date() - _DAY):
            ahead.update(self._instants(day))
            # Later days bring nothing that is earlier than the end of this one.
            known = [each for each in ahead if each.astimezone(self.timezone).date() <= day]
            ahead.difference_update(known)
            yield from (each for each in sorted(known) if self._turns(each, opens=opens))
        yield from (each for each in sorted(ahead) if self._turns(each, opens=opens))

    def _turns(self, instant: datetime, *, opens: bool) -> bool:
        return (
            self._is_scheduled(instant) is opens
            and self._is_scheduled(instant - _INSTANT) is not opens
        )

    def _days_from(self, first: date) -> Iterator[date]:
        """Yield the days on which something may change, in order."""
        last = first + timedelta(days=_HORIZON_DAYS)
        yield from (first + timedelta(days=ahead) for ahead in range(_HORIZON_DAYS + 1))
        yield from sorted(day for day in self.exceptions if day > last)

    def _instants(self, day: date) -> Iterator[datetime]:
        """Yield every instant at which a slot of ``day`` may begin or end, and more."""
        midnight = datetime.combine(day, time())
        edges = (edge for slot in self.slots_of(day) for edge in (slot.start_min, slot.end_min))
        for minute, fold in itertools.product(edges, (0, 1)):
            there = midnight + timedelta(minutes=minute)
            yield there.replace(tzinfo=self.timezone, fold=fold).astimezone(UTC)
        change = self._change_of_clocks(midnight)
        if change is not None:
            yield change
        there = midnight.replace(tzinfo=self.timezone).astimezone(UTC)
        for span in self.time_off.between(there, there + _LONGEST_DAY):
            yield from span

    def _change_of_clocks(self, midnight: datetime) -> datetime | None:
        """Return when the clocks change on the local day, or None."""
        before = midnight.replace(tzinfo=self.timezone).astimezone(UTC)
        after = before + _LONGEST_DAY
        offset = self._offset(before)
        if self._offset(after) == offset:
            return None
        while after - before > timedelta(seconds=1):
            middle = (before + (after - before) / 2).replace(microsecond=0)
            if self._offset(middle) == offset:
                before = middle
            else:
                after = middle
        return after

    def _offset(self, at: datetime) -> timedelta | None:
        return at.astimezone(self.timezone).utcoffset()
