"""Days and hours off out of an iCalendar file."""

from datetime import UTC, date, datetime, timedelta
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


@pytest.mark.parametrize(
    ("event", "ends"),
    [
        ("DTSTART:20260701\r\nDURATION:P1D", ["2026-07-02"]),
        ("DTSTART:20260701\r\nDURATION:P1W", ["2026-07-08"]),
        ("DTSTART:20260701T100000Z\r\nDURATION:PT1H30M", ["2026-07-01T11:30"]),
        ("DTSTART:20260701T100000Z\r\nDURATION:+P1DT90S", ["2026-07-02T10:01"]),
        # The day on which the clocks are put forward has 23 hours.
        ("DTSTART:20260328T120000\r\nDURATION:P1D", ["2026-03-29T10:00"]),
        ("DTSTART:20260328T120000\r\nDURATION:PT24H", ["2026-03-29T11:00"]),
        ("DTSTART:20260328T120000\r\nDTEND:20260329T120000", ["2026-03-29T10:00"]),
    ],
)
def test_an_event_may_say_how_long_it_lasts(event, ends):
    """Its days are days of the clock on the wall, its hours are hours."""
    found = read_ics(feed(event), BERLIN)

    last = [max(found.days) + timedelta(days=1)] if found.days else [found.spans[-1][1]]
    assert [each.isoformat()[:16] for each in last] == ends


@pytest.mark.parametrize(
    ("rule", "years"),
    [
        ("FREQ=YEARLY", range(2024, 2101)),
        ("FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=24;WKST=MO", range(2024, 2101)),
        ("FREQ=yearly;COUNT=3", range(2024, 2027)),
        ("FREQ=YEARLY;INTERVAL=2;COUNT=3", [2024, 2026, 2028]),
        ("FREQ=YEARLY;UNTIL=20271224", range(2024, 2028)),
        ("FREQ=YEARLY;UNTIL=20271223T235959Z", range(2024, 2027)),
    ],
)
def test_an_event_of_every_year_is_read_for_every_year(rule, years):
    """Public holidays of a fixed date come so."""
    found = read_ics(feed(f"DTSTART:20241224\r\nRRULE:{rule}"), BERLIN)

    assert found.days == {date(year, 12, 24) for year in years}
    assert found.repeating == 0
    assert found.last_year == max(years)


def test_hours_of_every_year_keep_to_the_clock_on_the_wall():
    found = read_ics(
        feed("DTSTART:20250330T100000\r\nDTEND:20250330T110000\r\nRRULE:FREQ=YEARLY;COUNT=2"),
        BERLIN,
    )

    assert found.spans == (
        (datetime(2025, 3, 30, 8, tzinfo=UTC), datetime(2025, 3, 30, 9, tzinfo=UTC)),
        (datetime(2026, 3, 30, 8, tzinfo=UTC), datetime(2026, 3, 30, 9, tzinfo=UTC)),
    )


def test_the_29th_of_february_is_left_out_where_there_is_none():
    found = read_ics(feed("DTSTART:20240229\r\nRRULE:FREQ=YEARLY;UNTIL=20300101"), BERLIN)

    assert found.days == {date(2024, 2, 29), date(2028, 2, 29)}


@pytest.mark.parametrize(
    "more",
    [
        "RRULE:FREQ=WEEKLY",
        "RRULE:FREQ=YEARLY;BYDAY=4TH",
        "RRULE:FREQ=YEARLY;BYMONTH=11",
        "RRULE:FREQ=YEARLY;BYMONTHDAY=-1",
        "RRULE:COUNT=3",
        "RRULE:FREQ=YEARLY\r\nEXDATE:20271224",
        "RDATE:20271224",
    ],
)
def test_events_that_repeat_otherwise_are_counted(more):
    """What is not read is said."""
    found = read_ics("\ufeff" + feed(f"DTSTART:20261224\r\n{more}"), BERLIN)

    assert found.repeating == 1
    assert found.days == {date(2026, 12, 24)}


def test_spans_that_touch_become_one():
    hours = ["T08", "T09"], ["T12", "T14"], ["T13", "T15"], ["T09", "T10"], ["T20", "T20"]
    found = read_ics(
        feed(*(f"DTSTART:20260701{a}0000Z\r\nDTEND:20260701{b}0000Z" for a, b in hours)), BERLIN
    )

    assert [(start.hour, end.hour) for start, end in found.spans] == [(8, 10), (12, 15)]
    at = [datetime(2026, 7, 1, hour, tzinfo=UTC) for hour in range(24)]
    assert [each.hour for each in at if found.covers(each)] == [8, 9, 12, 13, 14]
    assert found.between(at[9], at[11]) == found.spans[:1]
    assert found.between(at[10], at[12]) == found.spans
    assert found.between(at[16], at[18]) == ()


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
        (feed("DTSTART:00010101T000000"), "at the end of time"),
        (feed("DTSTART:20261224\r\nDURATION:P"), "'P' is no duration"),
        (feed("DTSTART:20261224\r\nDURATION:-P1D"), "'-P1D' is no duration"),
        (feed("DTSTART:20261224\r\nDURATION:PT1H"), "whole-day event that lasts PT1H"),
        (feed("DTSTART:20261224\r\nRRULE:FREQ=YEARLY;COUNT=x"), "no number"),
        (feed("DTSTART:20261224\r\nRRULE:FREQ=YEARLY;INTERVAL=0"), "no number"),
        (feed("DTSTART:20261224\r\nRRULE:FREQ=YEARLY;UNTIL=soon"), "'SOON' is no date"),
    ],
)
def test_what_cannot_be_read_is_refused(text, reason):
    """A day off must not be lost in silence."""
    with pytest.raises(ValueError, match=reason):
        read_ics(text, BERLIN)


@given(
    st.text(alphabet="BEGIN:VT\r\nDSARO;=0123456789Z ", max_size=80)
    | st.from_regex(
        r"\ADTSTART:20[0-9]{6}(T[0-9]{6}Z?)?\nDURATION:P[0-9TDHWMS]{1,8}\n"
        r"(RRULE:FREQ=YEARLY(;(COUNT|INTERVAL|UNTIL|BYMONTH)=[0-9]{1,8}){0,2})?\Z"
    )
)
def test_any_text_is_time_off_or_refused(text):
    """Nothing but ValueError leaves the reader."""
    try:
        read_ics(f"BEGIN:VCALENDAR\nBEGIN:VEVENT\n{text}\nEND:VEVENT", BERLIN)
    except ValueError as refusal:
        assert str(refusal)  # noqa: PT017  it need not fail
