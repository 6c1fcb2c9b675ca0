"""Days and hours off out of an iCalendar file: the part of RFC 5545 that holiday feeds use.

Whole-day and dated events are read, once or every year; an event that repeats in another way is
read for its first time only, and is counted. Not a reader of calendars in general.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from operator import itemgetter

from imbot.zones import time_zone

#: More days in one event are a mistake of the feed.
_LONGEST_DAYS = 366
#: What comes every year without an end is read until here.
_LAST_YEAR = 2100
_FOLD = re.compile(r"\r?\n[ \t]")
_STAMP = re.compile(r"(\d{4})(\d{2})(\d{2})(?:T(\d{2})(\d{2})(\d{2})(Z?))?", re.ASCII)
_DURATION = re.compile(
    r"\+?P(?:(\d{1,4})W|(?:(\d{1,5})D)?(?:T(?:(\d{1,5})H)?(?:(\d{1,6})M)?(?:(\d{1,7})S)?)?)",
    re.ASCII,
)
#: What a rule may say of an event that comes on the same day of every year.
_YEARLY_KEYS = frozenset({"FREQ", "INTERVAL", "COUNT", "UNTIL", "BYMONTH", "BYMONTHDAY", "WKST"})


@dataclass(frozen=True, slots=True)
class TimeOff:
    """When nobody is there.

    Attributes:
        days: Whole days, on the clocks of the calendar.
        spans: Start and end of parts of days, in UTC, in order; none touches another.
        repeating: How many events repeat in a way that is not read.
    """

    days: frozenset[date]
    spans: tuple[tuple[datetime, datetime], ...]
    repeating: int = 0

    @property
    def last_year(self) -> int:
        """The year of the last of them; 0 without any."""
        ends = [end.year for _, end in self.spans[-1:]]
        return max((*ends, *(day.year for day in self.days)), default=0)

    def covers(self, at: datetime) -> bool:
        """Whether the moment is in one of the spans."""
        begun = bisect_right(self.spans, at, key=itemgetter(0))
        return begun > 0 and at < self.spans[begun - 1][1]

    def between(self, start: datetime, end: datetime) -> Sequence[tuple[datetime, datetime]]:
        """Return the spans of which something lies between both moments."""
        first = bisect_left(self.spans, start, key=itemgetter(1))
        return self.spans[first : bisect_right(self.spans, end, key=itemgetter(0))]


NO_TIME_OFF = TimeOff(frozenset(), ())


def read_ics(text: str, zone: tzinfo) -> TimeOff:
    """Return when the events of an iCalendar file take place.

    Args:
        text: The file.
        zone: Where times without a zone of their own are meant.

    Raises:
        ValueError: It is no iCalendar file, or an event has no date that can be read.
    """
    if not text.lstrip("\ufeff").startswith("BEGIN:VCALENDAR"):
        raise ValueError("no iCalendar file: it does not begin with BEGIN:VCALENDAR")
    days: set[date] = set()
    spans: list[tuple[datetime, datetime]] = []
    repeating = 0
    for event in _events(text):
        if event.get("STATUS", "").endswith("CANCELLED"):
            continue
        try:
            repeating += _take(event, zone, days, spans)
        except OverflowError as error:
            raise ValueError("an event at the end of time") from error
    return TimeOff(frozenset(days), tuple(_joined(spans)), repeating)


def _take(
    event: Mapping[str, str],
    zone: tzinfo,
    days: set[date],
    spans: list[tuple[datetime, datetime]],
) -> bool:
    """Add the event to the days or spans; return whether it repeats in a way that is not read."""
    start, end = _start_and_end(event, zone)
    years = _years(event, start)
    for one in (start,) if years is None else _anniversaries(start, years):
        if isinstance(one, datetime):
            begin = one.astimezone(UTC)
            spans.append((begin, begin + (end - start)))
        else:
            count = min((end - start).days, _LONGEST_DAYS)
            days.update(one + timedelta(days=ahead) for ahead in range(count))
    return years is None


def _joined(spans: Iterable[tuple[datetime, datetime]]) -> Iterator[tuple[datetime, datetime]]:
    """Yield the same time in spans that are in order and do not touch."""
    last: tuple[datetime, datetime] | None = None
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if last is not None and start <= last[1]:
            last = last[0], max(last[1], end)
            continue
        if last is not None:
            yield last
        last = start, end
    if last is not None:
        yield last


def _events(text: str) -> Iterator[Mapping[str, str]]:
    """Yield each event's properties: the name to its parameters and value."""
    event: dict[str, str] | None = None
    inner = 0
    for line in _FOLD.sub("", text).splitlines():
        name, mark, rest = _split(line)
        if line == "BEGIN:VEVENT":
            event, inner = {}, 0
        elif line == "END:VEVENT" and event is not None:
            yield event
            event = None
        elif name in {"BEGIN", "END"}:
            # An alarm inside an event has dates of its own.
            inner += 1 if name == "BEGIN" else -1
        elif event is not None and not inner:
            event[name] = mark + rest


def _split(line: str) -> tuple[str, str, str]:
    found = re.match(r"([A-Za-z-]+)([;:])(.*)", line)
    return (found[1].upper(), found[2], found[3]) if found else ("", "", line)


def _start_and_end(event: Mapping[str, str], zone: tzinfo) -> tuple[date, date]:
    """Return both ends of one kind: dates, or a moment in its zone and one in UTC."""
    if "DTSTART" not in event:
        raise ValueError("an event without DTSTART")
    start = _moment(event["DTSTART"], zone)
    whole_day = not isinstance(start, datetime)
    if "DTEND" in event:
        end = _moment(event["DTEND"], zone)
    elif "DURATION" in event:
        end = _after(start, event["DURATION"])
    else:
        end = start + timedelta(days=whole_day)
    if isinstance(end, datetime):
        # Two moments of one zone are compared, and subtracted, as the clock on its wall shows them.
        end = end.astimezone(UTC)
    if isinstance(end, datetime) is whole_day or end < start:
        raise ValueError(f"an event whose DTEND does not fit its DTSTART, {start}")
    return start, end


def _moment(written: str, zone: tzinfo) -> date:
    """Return a date, or a moment in its zone, out of ``;TZID=Europe/Berlin:20261224T120000``."""
    parameters, _, value = written.rpartition(":")
    found = _STAMP.fullmatch(value)
    if found is None:
        raise ValueError(f"'{value[:40]}' is no date of an iCalendar file")
    day = date(int(found[1]), int(found[2]), int(found[3]))
    if found[4] is None:
        return day
    named = re.search(r"TZID=\"?([^;:\"]+)", parameters)
    there = UTC if found[7] else time_zone(named[1]) if named else zone
    clock = (int(found[4]), int(found[5]), min(int(found[6]), 59))
    return datetime(day.year, day.month, day.day, *clock, tzinfo=there)


def _after(start: date, written: str) -> date:
    """Return the end of an event that lasts so long; its days are days of the clock on the wall."""
    value = written.rpartition(":")[2]
    found = _DURATION.fullmatch(value)
    if found is None or not any(found.groups()):
        raise ValueError(f"'{value[:40]}' is no duration of an iCalendar file")
    weeks, days, hours, minutes, seconds = (int(number or 0) for number in found.groups())
    end = start + timedelta(weeks=weeks, days=days)
    clock = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    if isinstance(end, datetime):
        return end.astimezone(UTC) + clock
    if clock:
        raise ValueError(f"a whole-day event that lasts {value[:40]}")
    return end


# Every year -----------------------------------------------------------------------------------


def _years(event: Mapping[str, str], start: date) -> range | None:
    """Return the years in which the event takes place; None when they cannot be told so."""
    if event.keys() & {"EXDATE", "RDATE"}:
        return None
    if "RRULE" not in event:
        return range(start.year, start.year + 1)
    said = dict(part.partition("=")[::2] for part in event["RRULE"].lstrip(":").upper().split(";"))
    same_day = {"FREQ": "YEARLY", "BYMONTH": str(start.month), "BYMONTHDAY": str(start.day)}
    if not said.keys() <= _YEARLY_KEYS or any(
        said.get(key, own if key != "FREQ" else "") != own for key, own in same_day.items()
    ):
        return None
    return _range(said, start)


def _range(said: Mapping[str, str], start: date) -> range | None:
    """Return the years of a rule that speaks of the day of its start."""
    step, count = said.get("INTERVAL", "1"), said.get("COUNT", str(_LAST_YEAR))
    if not all(re.fullmatch("[1-9][0-9]{0,3}", number) for number in (step, count)):
        raise ValueError(f"an event whose RRULE has no number where one is due, {start}")
    end = max(_LAST_YEAR, start.year) + 1
    if "UNTIL" in said:
        until = _STAMP.fullmatch(said["UNTIL"])
        if until is None:
            raise ValueError(f"'{said['UNTIL'][:40]}' is no date of an iCalendar file")
        last = int(until[1]), int(until[2]), int(until[3])
        end = last[0] + (last[1:] >= (start.month, start.day))
    return range(start.year, min(end, start.year + int(count) * int(step)), int(step))


def _anniversaries(start: date, years: Iterable[int]) -> Iterator[date]:
    """Yield the start in each of the years that has its day."""
    for year in years:
        try:
            yield start.replace(year=year)
        except ValueError:
            continue  # the 29th of February
