"""Days and hours off out of an iCalendar file."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.rulebook.ics import read_ics

BERLIN = ZoneInfo("Europe/Berlin")


def feed(*events):
    inside = "".join(f"BEGIN:VEVENT\r\n{event}\r\nEND:VEVENT\r\n" for event in events)
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{inside}END:VCALENDAR\r\n"


@pytest.mark.parametrize(
    ("event", "days"),
    [
        ("DTSTART;VALUE=DATE:20261224", [24]),
        ("DTSTART:20261224\r\nDTEND:20261224", []),
        ("DTSTART;VALUE=DATE:20261224\r\nDTEND;VALUE=DATE:20261227", [24, 25, 26]),
        ("SUMMARY:long\r\n er DTSTART\r\ndtstart:2026\r\n 1224", [24]),
        ("DTSTART:20261224\r\nSTATUS:CANCELLED", []),
        ("BEGIN:VALARM\r\nDTSTART:20200101\r\nEND:VALARM\r\nDTSTART:20261224", [24]),
    ],
)
def test_a_whole_day_event_is_days_off(event, days):
    """The end of an event is not part of it."""
    found = read_ics(feed(event), BERLIN)

    assert found.days == {date(2026, 12, day) for day in days}
    assert found.spans == ()


@pytest.mark.parametrize(
    "start",
    ["DTSTART:20260701T100000", "DTSTART:20260701T080000Z", "DTSTART;TZID=UTC:20260701T080000"],
)
def test_a_dated_event_is_hours_off_in_its_zone(start):
    """Times without a zone are those of the calendar's clocks."""
    found = read_ics(feed(f"{start}\r\nDTEND;TZID=Asia/Tokyo:20260701T190000"), BERLIN)

    assert found.spans == (
        (datetime(2026, 7, 1, 8, tzinfo=UTC), datetime(2026, 7, 1, 10, tzinfo=UTC)),
    )


def test_events_that_repeat_are_counted():
    """What is not read is said."""
    found = read_ics("\ufeff" + feed("DTSTART:20261224\r\nRRULE:FREQ=YEARLY"), BERLIN)

    assert found.repeating == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "BEGIN:VCALENDAR"),
        (feed("SUMMARY:x"), "without DTSTART"),
        (feed("DTSTART:tomorrow"), "'tomorrow' is no date"),
        (feed("DTSTART:99991231"), "at the end of time"),
        (feed("DTSTART:20261332"), "month must be"),
        (feed("DTSTART:20261224T250000"), "hour must be"),
        (feed("DTSTART;TZID=Mars:20261224T100000"), "unknown time zone 'Mars'"),
        (feed("DTSTART:20261224\r\nDTEND:20261224T100000"), "does not fit"),
        (feed("DTSTART:20261224\r\nDTEND:20261220"), "does not fit"),
    ],
)
def test_what_cannot_be_read_is_refused(text, reason):
    """A day off must not be lost in silence."""
    with pytest.raises(ValueError, match=reason):
        read_ics(text, BERLIN)


@given(st.text(alphabet="BEGIN:VT\r\nDSARO;=0123456789Z ", max_size=80))
def test_any_text_is_time_off_or_refused(text):
    """Nothing but ValueError leaves the reader."""
    try:
        read_ics(f"BEGIN:VCALENDAR\nBEGIN:VEVENT\n{text}\nEND:VEVENT", BERLIN)
    except ValueError as refusal:
        assert str(refusal)  # noqa: PT017  it need not fail
