"""A calendar's plain YAML values → the calendar, or every mistake in it, with its place."""

import itertools
import re
import zoneinfo
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from types import MappingProxyType
from typing import TypeAlias
from zoneinfo import ZoneInfo

from imbot.problems import Place, Problem, Severity, did_you_mean, nearest
from imbot.rulebook.calendars import DAY_MIN, Calendar, Days, Slot
from imbot.rulebook.ics import NO_TIME_OFF, TimeOff, read_ics
from imbot.zones import time_zone

#: Maps a path of keys inside a calendar to the place of what stands there.
PlaceAt: TypeAlias = Callable[[tuple[str | int, ...]], Place]
#: Returns the text of a file by its name in the rule file.
ReadFile: TypeAlias = Callable[[str], str]

_KEYS = frozenset({"timezone", "open", "holidays", "exceptions", "ics"})
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SLOT = re.compile(r"([0-9]{1,2}):([0-9]{2})\s*-\s*([0-9]{1,2}):([0-9]{2})")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CLOSED = "closed"
#: What is reckoned from an exception, such as years after it, must not come to the end of time.
_LAST_YEAR = 2999


def parse_calendar(
    name: str,
    spec: Mapping[str, object],
    place: PlaceAt,
    *,
    today: date,
    key_place: PlaceAt | None = None,
    read_file: ReadFile | None = None,
) -> tuple[Calendar | None, tuple[Problem, ...]]:
    """Return the calendar, or None and every mistake in it; warnings come with a calendar.

    Args:
        name: As rules name it.
        spec: The plain values under its name.
        place: Maps a path of keys to its place in the file; ``()`` is the calendar itself.
        today: From when its holidays must be known.
        key_place: Maps the same path to the place of the last key; ``place`` without it.
        read_file: Returns the text of the file that ``ics`` names, or raises OSError or ValueError;
            None where no file can be read.
    """
    reader = _Reader(place, key_place or place, today, read_file)
    calendar = reader.calendar(name, spec)
    failed = any(problem.severity is Severity.ERROR for problem in reader.problems)
    return None if failed else calendar, tuple(reader.problems)


@dataclass(slots=True)
class _Reader:
    """Reads one calendar and collects what is wrong with it."""

    place: PlaceAt
    key_place: PlaceAt
    today: date
    read_file: ReadFile | None = None
    problems: list[Problem] = field(default_factory=list)

    def calendar(self, name: str, spec: Mapping[str, object]) -> Calendar | None:
        spec = self._map(spec, _KEYS, (), "write timezone and open below it")
        is_misspelt = any(nearest(key, _KEYS) == "open" for key in spec.keys() - _KEYS)
        zone = self._zone(spec.get("timezone"))
        week = self._week(spec.get("open"), is_misspelt=is_misspelt)
        holidays = self._holidays(spec)
        if zone is None:
            return None
        time_off = self._time_off(spec.get("ics"), zone)
        calendar = Calendar(name, zone, week, holidays, time_off=time_off)
        exceptions = MappingProxyType(dict(self._exceptions(spec, calendar)))
        return replace(calendar, exceptions=exceptions)

    def _add(
        self,
        path: tuple[str | int, ...],
        code: str,
        what: str,
        cure: str = "",
        severity: Severity = Severity.ERROR,
    ) -> None:
        self.problems.append(Problem(self.place(path), code, what, cure, severity))

    def _add_of_key(self, path: tuple[str | int, ...], code: str, what: str, cure: str) -> None:
        self.problems.append(Problem(self.key_place(path), code, what, cure))

    def _map(
        self, value: object, keys: frozenset[str] | None, path: tuple[str, ...], cure: str
    ) -> dict[str, object]:
        """Return a map that has none but these keys; an empty one after saying what is wrong."""
        if not isinstance(value, Mapping):
            what = f"{path[-1] if path else 'a calendar'} is no map"
            self._add(path, "wrong-type", what, cure)
            return {}
        for key in value:
            if keys is not None and key not in keys:
                what = f"{path[-1] if path else 'a calendar'} has no key '{key}'"
                self._add_of_key(
                    (*path, str(key)), "unknown-key", what, did_you_mean(str(key), keys)
                )
        return {str(key): item for key, item in value.items()}

    def _zone(self, value: object) -> ZoneInfo | None:
        if value is None:
            self._add((), "missing-key", "a calendar without timezone", "such as Europe/Berlin")
            return None
        try:
            return time_zone(str(value))
        except ValueError as error:
            cure = did_you_mean(str(value), zoneinfo.available_timezones())
            cure = cure if cure.startswith("did") else "write such as Europe/Berlin"
            self._add(("timezone",), "unknown-zone", str(error), cure)
            return None

    def _week(self, value: object, *, is_misspelt: bool) -> tuple[tuple[Slot, ...], ...]:
        if value is None:
            cure = 'such as open: {mon-fri: "09:00-17:00"}'
            if not is_misspelt:
                self._add((), "missing-key", "a calendar without open", cure)
            return ((),) * 7
        week: dict[int, tuple[Slot, ...]] = {}
        hours = self._map(value, None, ("open",), 'write such as {mon-fri: "09:00-17:00"}')
        for key, written in hours.items():
            slots = self._slots(written, ("open", key))
            for day in self._weekdays(key):
                if day in week:
                    what, cure = f"{_DAYS[day]} stands in two keys", "leave it out of one"
                    self._add_of_key(("open", key), "duplicate-day", what, cure)
                week[day] = slots
        return tuple(week.get(day, ()) for day in range(7))

    def _weekdays(self, key: str) -> Iterator[int]:
        """Yield the days of a key: a day, a range that may wrap, or a comma list of them."""
        for part in key.lower().split(","):
            ends = [end.strip() for end in part.split("-")]
            wrong = [end for end in ends if end not in _DAYS]
            if wrong or len(ends) > 2:  # noqa: PLR2004  a range has two ends
                near = next((day for end in wrong for day in _DAYS if end.startswith(day)), None)
                near = near or nearest(next(iter(wrong), ""), _DAYS)
                cure = f"did you mean '{near}'?" if near else "write mon, mon-thu or 'sat, sun'"
                what = f"unknown day '{part.strip()}'"
                self._add_of_key(("open", key), "unknown-day", what, cure)
                continue
            first, last = _DAYS.index(ends[0]), _DAYS.index(ends[-1])
            yield from ((first + ahead) % 7 for ahead in range((last - first) % 7 + 1))

    def _slots(self, value: object, path: tuple[str, ...]) -> tuple[Slot, ...]:
        """Return the slots of a comma list, in order, without those of no length."""
        if value == _CLOSED:
            return ()
        if not isinstance(value, str):
            cure = "write closed, or such as '08:00-12:00, 13:00-16:00'"
            what = "no hours" if value is None else f"'{value}' is no time slot"
            if isinstance(value, list):
                what, cure = "a list of time slots", "write one text: '08:00-12:00, 13:00-16:00'"
            self._add(path, "bad-slot", what, cure)
            return ()
        found = (self._slot(part.strip(), path) for part in value.split(","))
        slots = sorted(slot for slot in found if slot is not None)
        for earlier, later in itertools.pairwise(slots):
            if later.start_min < earlier.end_min:
                self._add(path, "bad-slot", f"slots of '{value}' overlap", "join them")
        return tuple(slots)

    def _slot(self, text: str, path: tuple[str, ...]) -> Slot | None:
        found = _SLOT.fullmatch(text)
        numbers = [int(number) for number in found.groups()] if found else []
        if not numbers or not _are_times(*numbers):
            cure = "write closed, or such as 08:00-18:00, at most until 24:00"
            if nearest(text, [_CLOSED]):
                cure = f"did you mean '{_CLOSED}'?"
            self._add(path, "bad-slot", f"'{text}' is no time slot", cure)
            return None
        start, end = numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3]
        if start == end:
            cure = "write 00:00-24:00 for the whole day, or leave it out"
            self._add(
                path, "empty-slot", f"the slot '{text}' has no length", cure, Severity.WARNING
            )
            return None
        return Slot(start, end if end > start else end + DAY_MIN)

    def _holidays(self, spec: Mapping[str, object]) -> Days:
        path = ("holidays",)
        if "holidays" not in spec:
            return frozenset()
        keys = frozenset({"country", "region"})
        written = self._map(spec["holidays"], keys, path, "write {country: DE, region: BY}")
        country, region = written.get("country"), written.get("region")
        if not isinstance(country, str):
            if isinstance(spec["holidays"], Mapping):
                self._add(path, "missing-key", "holidays without country", "such as country: DE")
            return frozenset()
        return self._public_holidays(country, region)

    def _public_holidays(self, country: str, region: object) -> Days:
        import holidays

        supported = holidays.list_supported_countries(include_aliases=True)
        if country not in supported:
            what = f"no holidays are known of country '{country}'"
            cure = "write its two letters, such as DE"
            self._add(("holidays", "country"), "unknown-country", what, cure)
            return frozenset()
        if region is not None and region not in supported[country]:
            what = f"no holidays are known of region '{region}' in {country}"
            cure = did_you_mean(str(region), supported[country])
            self._add(("holidays", "region"), "unknown-region", what, cure)
            return frozenset()
        next_year = self.today.year + 1
        days = holidays.country_holidays(country, subdiv=region, years=next_year)
        if not len(days):
            what = f"holidays of {country} are not known for {next_year}"
            self._add(("holidays",), "holidays-end", what, severity=Severity.WARNING)
        found: Days = days
        return found

    def _time_off(self, file: object, zone: ZoneInfo) -> TimeOff:
        """Return what the file of ``ics`` holds."""
        path = ("ics",)
        if file is None:
            return NO_TIME_OFF
        if not isinstance(file, str):
            self._add(path, "bad-ics", "ics names no file", "write such as ics: holidays.ics")
            return NO_TIME_OFF
        if self.read_file is None:
            self._add(path, "bad-ics", "no file can be read here", "write its days as exceptions")
            return NO_TIME_OFF
        try:
            found = read_ics(self.read_file(file), zone)
        except (OSError, ValueError) as error:
            what = f"'{file}' cannot be read: {getattr(error, 'strerror', None) or error}"
            self._add(path, "bad-ics", what, "name an iCalendar file, from the folder of this file")
            return NO_TIME_OFF
        if found.repeating:
            one = "an event" if found.repeating == 1 else f"{found.repeating} events"
            repeats = "repeats" if found.repeating == 1 else "repeat"
            what = f"{one} of '{file}' {repeats} otherwise than each year"
            self._add(path, "ics-repeats", what, "write each day", Severity.WARNING)
        if found.last_year <= self.today.year:
            what = f"'{file}' ends before {self.today.year + 1}"
            self._add(path, "holidays-end", what, severity=Severity.WARNING)
        return found

    def _exceptions(
        self, spec: Mapping[str, object], calendar: Calendar
    ) -> Iterator[tuple[date, tuple[Slot, ...]]]:
        """Yield the days that have slots of their own."""
        if "exceptions" not in spec:
            return
        cure = 'write such as {"2026-12-24": "08:00-12:00", "2026-12-31": closed}'
        for key, written in self._map(spec["exceptions"], None, ("exceptions",), cure).items():
            path = ("exceptions", key)
            day = _date(key)
            if day is None or day.year > _LAST_YEAR:
                what = f"'{key}' is no date" if day is None else f"{key} is after {_LAST_YEAR}"
                cure = "write such as 2026-12-24"
                self._add_of_key(path, "bad-date", what, cure)
                continue
            if written == _CLOSED and not calendar.slots_of(day):
                what = f"{key} is a {day:%A} on which '{calendar.name}' is closed anyway"
                self._add(path, "closed-anyway", what, "leave it out", Severity.WARNING)
            yield day, self._slots(written, path)


def _are_times(hour: int, minute: int, to_hour: int, to_minute: int) -> bool:
    starts = hour < 24 and minute < 60  # noqa: PLR2004  a clock's numbers
    ends = to_hour * 60 + to_minute <= DAY_MIN and to_minute < 60  # noqa: PLR2004  as above
    return starts and ends


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        return None
