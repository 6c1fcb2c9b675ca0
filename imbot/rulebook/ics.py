"""Days and hours off out of an iCalendar file: the small part of RFC 5545 that holiday feeds use.

Whole-day and dated events are read; an event that repeats is not, and is reported. Not a reader of
calendars in general.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo

from imbot.rulebook.zones import time_zone

#: More days in one event are a mistake of the feed.
_LONGEST_DAYS = 366
_FOLD = re.compile(r"\r?\n[ \t]")
_STAMP = re.compile(r"(\d{4})(\d{2})(\d{2})(?:T(\d{2})(\d{2})(\d{2})(Z?))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class TimeOff:
    """When nobody is there.

    Attributes:
        days: Whole days, on the clocks of the calendar.
        spans: Start and end of parts of days, in UTC, in order.
        repeating: How many events repeat, and were read for their first time only.
    """

    days: frozenset[date]
    spans: tuple[tuple[datetime, datetime], ...]
    repeating: int = 0


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
        repeating += "RRULE" in event
        start, end = _start_and_end(event, zone)
        if isinstance(start, datetime) and isinstance(end, datetime):
            spans.append((start, end))
        else:
            count = min((end - start).days, _LONGEST_DAYS)
            days.update(start + timedelta(days=ahead) for ahead in range(count))
    return TimeOff(frozenset(days), tuple(sorted(spans)), repeating)


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
    """Return both ends of one kind: dates, or moments in UTC."""
    if "DTSTART" not in event:
        raise ValueError("an event without DTSTART")
    try:
        start = _moment(event["DTSTART"], zone)
        whole_day = not isinstance(start, datetime)
        after = start + timedelta(days=whole_day)
        end = _moment(event["DTEND"], zone) if "DTEND" in event else after
    except OverflowError as error:
        raise ValueError("an event at the end of time") from error
    if isinstance(end, datetime) is whole_day or end < start:
        raise ValueError(f"an event whose DTEND does not fit its DTSTART, {start}")
    return start, end


def _moment(written: str, zone: tzinfo) -> date:
    """Return a date, or a moment in UTC, out of ``;TZID=Europe/Berlin:20261224T120000``."""
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
    return datetime(day.year, day.month, day.day, *clock, tzinfo=there).astimezone(UTC)
