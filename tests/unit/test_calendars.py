"""Business hours: what can be written, what is wrong with it, and what the clocks do to it."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imbot.problems import Place, Severity
from imbot.rulebook.calendars import parse_calendar

TODAY = date(2026, 3, 1)
SUPPORT = {
    "timezone": "Europe/Berlin",
    "open": {"mon-thu": "08:00-18:00", "fri": "08:00-12:00, 13:00-16:00"},
    "holidays": {"country": "DE", "region": "BY"},
    "exceptions": {"2026-12-24": "08:00-12:00", "2026-12-31": "closed"},
}


def place(path):
    return Place("/".join(map(str, path)) or "calendar")


def read(spec):
    return parse_calendar("support", spec, place, today=TODAY)


def calendar(**spec):
    found, problems = read({"timezone": "Europe/Berlin", **spec})
    assert problems == ()
    return found


def at(text, zone="Europe/Berlin"):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-03-02T07:59:59", False),
        ("2026-03-02T08:00", True),
        ("2026-03-02T17:59:59", True),
        ("2026-03-02T18:00", False),
        ("2026-03-06T12:30", False),
        ("2026-03-06T13:00", True),
        ("2026-03-07T10:00", False),
        ("2026-01-06T10:00", False),
        ("2026-12-24T11:00", True),
        ("2026-12-24T12:00", False),
        ("2026-12-31T10:00", False),
        ("2031-12-25T10:00", False),
    ],
)
def test_a_calendar_is_open_within_its_slots(moment, is_open):
    """Slots hold their start, not their end; exceptions win over holidays, they over weeks."""
    found, problems = read(SUPPORT)

    assert problems == ()
    assert found.is_open(at(moment)) is is_open
    assert found.closed_by_operator().is_open(at(moment)) is False


@pytest.mark.parametrize(
    ("moment", "opens", "closes"),
    [
        ("2026-03-02T07:00", "2026-03-02T08:00", "2026-03-02T18:00"),
        ("2026-03-02T08:00", "2026-03-03T08:00", "2026-03-02T18:00"),
        ("2026-03-06T12:00", "2026-03-06T13:00", "2026-03-06T16:00"),
        ("2026-03-06T16:00", "2026-03-09T08:00", "2026-03-09T18:00"),
        ("2026-12-24T12:00", "2026-12-28T08:00", "2026-12-28T18:00"),
    ],
)
def test_the_next_edge_comes_after_the_moment(moment, opens, closes):
    """A customer who is told when we open again must be told the truth."""
    found, _ = read(SUPPORT)

    assert found.next_open(at(moment)) == at(opens)
    assert found.next_close(at(moment)) == at(closes)
    assert found.next_open(at(moment)).tzinfo is UTC
    assert found.closed_by_operator().next_open(at(moment)) == at(opens)


@pytest.mark.parametrize(
    ("slot", "moment", "opens", "closes"),
    [
        # The clocks go from 02:00 to 03:00 at 01:00 UTC.
        ("02:30-05:00", "2026-03-29T00:00+00:00", "2026-03-29T01:00+00:00", "03:00+00:00"),
        ("01:00-02:30", "2026-03-28T23:00+00:00", "2026-03-29T00:00+00:00", "01:00+00:00"),
        ("02:15-02:45", "2026-03-29T00:00+00:00", "2026-03-30T00:15+00:00", "00:45+00:00"),
        # The clocks go from 03:00 to 02:00 at 01:00 UTC: a wall shows 02:30 twice.
        ("02:30-05:00", "2026-10-25T00:00+00:00", "2026-10-25T00:30+00:00", "01:00+00:00"),
        ("02:30-05:00", "2026-10-25T01:00+00:00", "2026-10-25T01:30+00:00", "04:00+00:00"),
        ("02:00-03:00", "2026-10-24T23:00+00:00", "2026-10-25T00:00+00:00", "02:00+00:00"),
    ],
)
def test_the_clock_on_the_wall_decides_when_clocks_change(slot, moment, opens, closes):
    """An hour that is skipped has no slot, an hour that comes twice has it twice."""
    hours = calendar(open={"mon-sun": slot})

    opening = hours.next_open(datetime.fromisoformat(moment))

    assert opening == datetime.fromisoformat(opens)
    assert hours.next_close(opening).isoformat()[11:16] == closes[:5]


def test_a_slot_may_end_on_the_next_day_or_at_midnight():
    """Night shifts are written as they are spoken; slots that touch are one."""
    night = calendar(open={"mon": "22:00-06:00", "wed": "20:00-24:00", "thu": "00:00-02:00"})

    assert night.is_open(at("2026-03-03T05:59")) is True
    assert night.is_open(at("2026-03-03T06:00")) is False
    assert night.is_open(at("2026-03-02T05:00")) is False
    assert night.next_close(at("2026-03-04T21:00")) == at("2026-03-05T02:00")


def test_what_never_opens_or_closes_has_no_next_edge():
    """A calendar may be always open, or never."""
    always = calendar(open={"mon-sun": "00:00-24:00"})
    never = calendar(open={}, exceptions={"2029-05-01": "10:00-11:00"})

    assert always.is_open(at("2026-10-25T02:30"))
    assert always.next_open(at("2026-03-02T10:00")) is None
    assert always.next_close(at("2026-03-02T10:00")) is None
    assert never.next_open(at("2026-03-02T10:00")) == at("2029-05-01T10:00")
    assert never.next_open(at("2029-05-02T10:00")) is None


@pytest.mark.parametrize(
    ("key", "days"),
    [
        ("mon", {0}),
        ("mon-wed", {0, 1, 2}),
        ("sat-mon", {5, 6, 0}),
        ("tue, Sat-sun", {1, 5, 6}),
        ("fri-fri", {4}),
    ],
)
def test_a_day_key_is_a_day_a_range_or_a_list(key, days):
    """Fine print 12."""
    week = calendar(open={key: "08:00-09:00"}).week

    assert {day for day in range(7) if week[day]} == days


@pytest.mark.parametrize(
    ("change", "where", "code", "text"),
    [
        ({"timezone": None}, "calendar", "missing-key", "without timezone"),
        ({"timezone": "Europe/Berln"}, "timezone", "unknown-zone", "did you mean 'Europe/Berlin'?"),
        ({"timezone": "../../etc/passwd"}, "timezone", "unknown-zone", "such as Europe/Berlin"),
        ({"opne": {}}, "opne", "unknown-key", "did you mean 'open'?"),
        ({"open": None}, "calendar", "missing-key", "without open"),
        ({"open": "08:00-18:00"}, "open", "calendar", "no map"),
        ({"open": {"monday": "08:00-09:00"}}, "open/monday", "unknown-day", "did you mean 'mon'?"),
        ({"open": {"xyz": "08:00-09:00"}}, "open/xyz", "unknown-day", "mon-thu"),
        ({"open": {"mon-tue-wed": "08:00-09:00"}}, "open/mon-tue-wed", "unknown-day", "mon-thu"),
        ({"open": {"mon": "8-18"}}, "open/mon", "bad-slot", "08:00-18:00"),
        ({"open": {"mon": "08:00-25:00"}}, "open/mon", "bad-slot", "24:00"),
        ({"open": {"mon": "08:60-09:00"}}, "open/mon", "bad-slot", "24:00"),
        ({"open": {"mon": "24:00-09:00"}}, "open/mon", "bad-slot", "24:00"),
        ({"open": {"mon": 8}}, "open/mon", "bad-slot", "'8' is no time slot"),
        ({"open": {"mon": "08:00-12:00, 11:00-13:00"}}, "open/mon", "bad-slot", "overlap"),
        (
            {"open": {"mon-tue": "08:00-09:00", "tue": "10:00-11:00"}},
            "open/tue",
            "calendar",
            "tue stands in two keys",
        ),
        ({"holidays": "DE"}, "holidays", "calendar", "country: DE"),
        ({"holidays": {}}, "holidays", "missing-key", "without country"),
        ({"holidays": {"land": "DE", "country": "DE"}}, "holidays/land", "unknown-key", "country"),
        ({"holidays": {"country": "DX"}}, "holidays/country", "unknown-country", "such as DE"),
        ({"holidays": {"country": "Bavaria"}}, "holidays/country", "unknown-country", "such as DE"),
        (
            {"holidays": {"country": "DE", "region": "BX"}},
            "holidays/region",
            "unknown-region",
            "known: Augsburg, BB",
        ),
        ({"exceptions": ["2026-12-24"]}, "exceptions", "calendar", "no map"),
        (
            {"exceptions": {"24.12.2026": "closed"}},
            "exceptions/24.12.2026",
            "bad-date",
            "2026-12-24",
        ),
        ({"exceptions": {"2026-02-30": "closed"}}, "exceptions/2026-02-30", "bad-date", "no date"),
    ],
)
def test_a_mistake_in_a_calendar_is_reported_with_its_place(change, where, code, text):
    """A calendar that is wrong answers customers wrongly."""
    spec = {"timezone": "Europe/Berlin", "open": {"mon": "08:00-09:00"}, **change}

    found, (problem,) = read(spec)

    assert found is None
    assert (str(problem.place), problem.code) == (where, code)
    assert text in f"{problem.what}; {problem.cure}"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"open": {"mon": "08:00-08:00"}}, "empty-slot"),
        ({"exceptions": {"2026-03-07": "closed"}}, "closed-anyway"),
        (
            {"holidays": {"country": "DE"}, "exceptions": {"2026-12-25": "closed"}},
            "closed-anyway",
        ),
    ],
)
def test_what_is_right_and_probably_not_meant_is_a_warning(change, code):
    """Fine print 12."""
    found, (problem,) = read({"timezone": "UTC", "open": {"mon-fri": "08:00-09:00"}, **change})

    assert found is not None
    assert (problem.severity, problem.code) == (Severity.WARNING, code)


def test_holidays_that_end_before_next_year_are_a_warning():
    """A calendar must not run out of holidays in silence."""
    spec = {"timezone": "UTC", "open": {}, "holidays": {"country": "DE"}}

    found, (problem,) = parse_calendar("support", spec, place, today=date(2150, 1, 1))

    assert found is not None
    assert (problem.severity, problem.code) == (Severity.WARNING, "holidays-end")


def test_a_calendar_that_is_no_map_is_one_mistake_and_what_it_lacks():
    """Nothing but problems leaves the reader."""
    found, problems = read("08:00-18:00")

    assert found is None
    assert "is no map" in problems[0].what


FEED = """BEGIN:VCALENDAR
BEGIN:VEVENT
DTSTART;VALUE=DATE:20270104
END:VEVENT
BEGIN:VEVENT
DTSTART;TZID=Europe/Berlin:20260302T100000
DTEND;TZID=Europe/Berlin:20260302T110000
END:VEVENT
END:VCALENDAR
"""


def with_ics(read_file, file="off.ics"):
    spec = {**SUPPORT, "ics": file}
    return parse_calendar("support", spec, place, today=TODAY, read_file=read_file)


def test_days_and_hours_off_come_from_a_file():
    """A team keeps its days off where it keeps its appointments."""
    hours, problems = with_ics({"off.ics": FEED}.__getitem__)

    assert problems == ()
    assert not hours.is_open(at("2027-01-04T10:00"))
    assert hours.next_close(at("2026-03-02T09:00")) == at("2026-03-02T10:00")
    assert not hours.is_open(at("2026-03-02T10:30"))
    assert hours.next_open(at("2026-03-02T10:30")) == at("2026-03-02T11:00")


@pytest.mark.parametrize(
    ("read_file", "file", "code", "text"),
    [
        (None, "off.ics", "ics", "write its days as exceptions"),
        (lambda _: FEED, 5, "ics", "names no file"),
        (lambda _: "hello", "off.ics", "ics", "no iCalendar file"),
        (open, "/nowhere/off.ics", "ics", "No such file"),
        (lambda _: FEED.replace("2027", "2026"), "off.ics", "holidays-end", "ends before 2027"),
        (
            lambda _: FEED.replace("END:VEVENT", "RRULE:FREQ=YEARLY\nEND:VEVENT", 1),
            "off.ics",
            "ics-repeats",
            "1 events of 'off.ics' repeat",
        ),
    ],
)
def test_a_file_that_cannot_be_trusted_is_reported(read_file, file, code, text):
    """A calendar that lost its days off would tell customers wrong hours."""
    hours, (problem,) = with_ics(read_file, file)

    assert (str(problem.place), problem.code) == ("ics", code)
    assert text in f"{problem.what}; {problem.cure}"
    assert (hours is None) == (problem.severity is Severity.ERROR)


ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Asia/Beirut",
    "Africa/Casablanca",
    "Asia/Kathmandu",
)
MINUTE = timedelta(minutes=1)
_TIMES = st.integers(0, 95).map(lambda quarter: f"{quarter // 4:02}:{quarter % 4 * 15:02}")


def shows(local, slots_by_day):
    """Say, without the code under test, whether a wall clock is inside what was written."""
    for back in (0, 1):
        day = local.date() - timedelta(days=back)
        shown = (local.hour + 24 * back) * 60 + local.minute
        for start, end in slots_by_day[day.weekday()]:
            begin = int(start[:2]) * 60 + int(start[3:])
            finish = int(end[:2]) * 60 + int(end[3:])
            finish += 1440 if finish < begin else 0
            if begin <= shown < finish:
                return True
    return False


@settings(max_examples=60, deadline=None)  # 2,880 minutes are watched
@given(
    zone=st.sampled_from(ZONES),
    moment=st.integers(0, 16 * 365 * 24 * 60).map(
        lambda count: datetime(2020, 1, 1, tzinfo=UTC) + count * MINUTE
    ),
    near_change=st.booleans(),
    times=st.tuples(_TIMES, _TIMES).filter(lambda pair: pair[0] != pair[1]),
    days=st.sets(st.integers(0, 6), min_size=1),
)
def test_edges_are_where_a_minute_by_minute_watch_finds_them(
    zone, moment, near_change, times, days
):
    """Also when clocks change, in zones that change by half an hour or at midnight."""
    names = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    hours = calendar(timezone=zone, open={", ".join(names[day] for day in days): "-".join(times)})
    written = {day: [times] if day in days else [] for day in range(7)}
    if near_change:
        moment = next_change(moment, ZoneInfo(zone)) - timedelta(hours=7)
    moment = moment.replace(second=0, microsecond=0)

    watched = [moment + MINUTE * count for count in range(2 * 24 * 60)]
    states = [shows(each.astimezone(ZoneInfo(zone)), written) for each in watched]

    edges = [
        (each, now)
        for each, before, now in zip(watched[1:], states, states[1:], strict=False)
        if before is not now
    ]
    assert hours.is_open(moment) is states[0]
    for opens in (True, False):
        seen = next((each for each, now in edges if now is opens), None)
        told = hours.next_open(moment) if opens else hours.next_close(moment)
        assert told == seen if seen else told is None or told > watched[-1]


def next_change(moment, zone):
    """Return the next change of clocks within a year, or the moment itself."""
    for day in range(366):
        later = moment + timedelta(days=day)
        if (later + timedelta(days=1)).astimezone(zone).utcoffset() != later.astimezone(
            zone
        ).utcoffset():
            return later
    return moment


@given(
    st.recursive(
        st.none() | st.text(max_size=8) | st.integers() | st.sampled_from(["mon", "08:00-09:00"]),
        lambda inner: st.dictionaries(
            st.sampled_from(["timezone", "open", "holidays", "exceptions", "mon", "country"])
            | st.text(max_size=5),
            inner,
            max_size=4,
        ),
        max_leaves=8,
    )
)
def test_any_value_is_a_calendar_or_a_list_of_mistakes(spec):
    """Nothing but problems leaves the reader."""
    found, problems = read(spec)

    assert found is not None or problems
