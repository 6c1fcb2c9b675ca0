"""Business hours: what can be written, what is wrong with it, and what the clocks do to it."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from time import process_time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imbot.problems import Place, Severity
from imbot.rulebook.calendarreading import parse_calendar

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
        ({"open": "08:00-18:00"}, "open", "wrong-type", "no map"),
        ({"open": {"monday": "08:00-09:00"}}, "open/monday", "unknown-day", "did you mean 'mon'?"),
        ({"open": {"xyz": "08:00-09:00"}}, "open/xyz", "unknown-day", "mon-thu"),
        ({"open": {"mon-tue-wed": "08:00-09:00"}}, "open/mon-tue-wed", "unknown-day", "mon-thu"),
        ({"open": {"mon": "8-18"}}, "open/mon", "bad-slot", "08:00-18:00"),
        ({"open": {"mon": "08:00-25:00"}}, "open/mon", "bad-slot", "24:00"),
        ({"open": {"mon": "08:60-09:00"}}, "open/mon", "bad-slot", "24:00"),
        ({"open": {"mon": "24:00-09:00"}}, "open/mon", "bad-slot", "24:00"),
        ({"open": {"mon": 8}}, "open/mon", "bad-slot", "'8' is no time slot"),
        ({"open": {"mon": "closd"}}, "open/mon", "bad-slot", "did you mean 'closed'?"),
        ({"open": None, "opne": {}}, "opne", "unknown-key", "did you mean 'open'?"),
        ({"open": {"mon": "08:00-12:00, 11:00-13:00"}}, "open/mon", "bad-slot", "overlap"),
        (
            {"open": {"mon-tue": "08:00-09:00", "tue": "10:00-11:00"}},
            "open/tue",
            "duplicate-day",
            "tue stands in two keys",
        ),
        ({"holidays": "DE"}, "holidays", "wrong-type", "country: DE"),
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
        ({"exceptions": ["2026-12-24"]}, "exceptions", "wrong-type", "no map"),
        (
            {"exceptions": {"24.12.2026": "closed"}},
            "exceptions/24.12.2026",
            "bad-date",
            "2026-12-24",
        ),
        ({"exceptions": {"2026-02-30": "closed"}}, "exceptions/2026-02-30", "bad-date", "no date"),
        (
            {"exceptions": {"9999-12-31": "08:00-24:00"}},
            "exceptions/9999-12-31",
            "bad-date",
            "9999-12-31 is after 2999",
        ),
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
        (None, "off.ics", "bad-ics", "write its days as exceptions"),
        (lambda _: FEED, 5, "bad-ics", "names no file"),
        (lambda _: "hello", "off.ics", "bad-ics", "no iCalendar file"),
        (open, "/nowhere/off.ics", "bad-ics", "No such file"),
        (lambda _: FEED.replace("2027", "2026"), "off.ics", "holidays-end", "ends before 2027"),
        (
            lambda _: FEED.replace("END:VEVENT", "RRULE:FREQ=WEEKLY\nEND:VEVENT", 1),
            "off.ics",
            "ics-repeats",
            "an event of 'off.ics' repeats otherwise than each year",
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
    "America/Santiago",
    "Australia/Lord_Howe",
    "Asia/Beirut",
    "Africa/Casablanca",
    "Asia/Kathmandu",
)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True)
class Written:
    """Opening hours as somebody wrote them, and a reading of them without the code under test.

    Slots are pairs of minutes since midnight; one that ends before it starts ends the next day.
    """

    zone: str
    week: dict
    exceptions: dict = field(default_factory=dict)
    days_off: tuple = ()
    spans_off: tuple = ()

    def calendar(self):
        spec = {
            "timezone": self.zone,
            "open": {NAMES[day]: spelt(slots) for day, slots in self.week.items()},
            "exceptions": {day.isoformat(): spelt(slots) for day, slots in self.exceptions.items()},
            "ics": "off.ics",
        }
        days = (f"DTSTART:{day:%Y%m%d}" for day in self.days_off)
        spans = (f"DTSTART:{a:%Y%m%dT%H%M%SZ}\nDTEND:{b:%Y%m%dT%H%M%SZ}" for a, b in self.spans_off)
        inside = "".join(f"BEGIN:VEVENT\n{each}\nEND:VEVENT\n" for each in (*days, *spans))
        feed = f"BEGIN:VCALENDAR\n{inside}END:VCALENDAR\n"
        found, problems = parse_calendar("c", spec, place, today=TODAY, read_file=lambda _: feed)
        assert found is not None, problems
        return found

    def shows_open(self, moment):
        """Look at the clock on the wall."""
        if any(start <= moment < end for start, end in self.spans_off):
            return False
        local = moment.astimezone(ZoneInfo(self.zone))
        for back in (0, 1):
            day = local.date() - back * DAY
            shown = (local.hour + 24 * back) * 60 + local.minute
            off = () if day in self.days_off else self.week.get(day.weekday(), ())
            for start, end in self.exceptions.get(day, off):
                if start <= shown < end + (1440 if end < start else 0):
                    return True
        return False


def spelt(slots):
    return ", ".join("-".join(f"{at // 60:02}:{at % 60:02}" for at in slot) for slot in slots) or (
        "closed"
    )


def agree(written, begin, minutes):
    """Compare a calendar with a watch that looks at it each minute."""
    hours = written.calendar()
    watched = [begin + MINUTE * count for count in range(minutes)]
    states = [written.shows_open(each) for each in watched]
    assert [hours.is_open(each) for each in watched] == states
    changes = [
        (each, now)
        for each, before, now in zip(watched[1:], states, states[1:], strict=False)
        if before is not now
    ]
    for opens in (True, False):
        look = hours.next_open if opens else hours.next_close
        told, edge = [], look(begin)
        while edge is not None and edge <= watched[-1]:
            told.append(edge)
            edge = look(edge)
        assert told == [each for each, now in changes if now is opens]


@cache
def switches(zone):
    """Return the hours in which clocks are put forward or back from 2020 to 2035."""
    first = datetime(2020, 1, 1, tzinfo=UTC)

    def offset(at):
        return at.astimezone(ZoneInfo(zone)).utcoffset()

    days = (first + n * DAY for n in range(16 * 365 + 4))
    changing = [day for day in days if offset(day) != offset(day + DAY)]
    hours = [day + n * timedelta(hours=1) for day in changing for n in range(24)]
    return [hour for hour in hours if offset(hour) != offset(hour + timedelta(hours=1))]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    "slots",
    [
        ((30, 135), (140, 165), (170, 330), (1380, 15)),
        # The end of the night comes twice, and so does a slot of the next day.
        ((20, 25), (50, 55), (155, 160), (1380, 150)),
        ((10, 40), (1380, 5)),
    ],
)
def test_every_switch_of_the_clocks_until_2035_is_right_to_the_minute(zone, slots):
    """Slots begin, end and lie in the hour that is skipped, and in the one that comes twice."""
    written = Written(zone, dict.fromkeys(range(7), slots))

    for switch in switches(zone) or [datetime(2026, 6, 15, tzinfo=UTC)]:
        agree(written, switch - timedelta(hours=5), 12 * 60)


_AT = st.integers(0, 95).map(lambda quarter: quarter * 15)
_SLOTS = st.lists(_AT, min_size=2, max_size=4, unique=True).map(
    lambda found: tuple(pairwise_of(sorted(found)))
)
_NIGHTS = st.tuples(_AT, _AT).filter(lambda pair: pair[0] > pair[1]).map(lambda slot: (slot,))


def pairwise_of(found):
    return zip(found[::2], found[1::2], strict=False)


@st.composite
def _hours_and_moment(draw):
    zone = draw(st.sampled_from(ZONES))
    moment = datetime(2020, 1, 1, tzinfo=UTC) + draw(st.integers(0, 16 * 365 * 24 * 60)) * MINUTE
    if switches(zone) and draw(st.booleans()):
        moment = draw(st.sampled_from(switches(zone))) - timedelta(hours=7)
    days = st.integers(-1, 4).map(lambda ahead: (moment + ahead * DAY).date())
    moments = st.integers(-60, 3 * 24 * 60).map(lambda ahead: moment + ahead * MINUTE)
    week = draw(st.dictionaries(st.integers(0, 6), _SLOTS | _NIGHTS, min_size=1))
    exceptions = draw(st.dictionaries(days, _SLOTS | _NIGHTS | st.just(()), max_size=2))
    days_off = draw(st.lists(days, max_size=2))
    spans = draw(st.lists(st.tuples(moments, moments).filter(lambda pair: pair[0] < pair[1])))
    return Written(zone, week, exceptions, tuple(days_off), tuple(spans)), moment


@settings(max_examples=60, deadline=None)  # 4,320 minutes are watched
@given(_hours_and_moment())
def test_edges_are_where_a_minute_by_minute_watch_finds_them(drawn):
    """Whatever was written: split days, nights, exceptions, days and hours off."""
    written, moment = drawn

    agree(written, moment, 3 * 24 * 60)


def test_hours_off_within_a_night_shift_come_in_their_order():
    """A slot that ends on the next day must not hide what happens there before."""
    hours = Written(
        "UTC",
        {0: ((1320, 360),)},
        spans_off=((at("2026-03-03T02:00", "UTC"), at("2026-03-03T04:00", "UTC")),),
    ).calendar()

    assert hours.next_close(at("2026-03-02T23:00", "UTC")) == at("2026-03-03T02:00", "UTC")
    assert hours.next_open(at("2026-03-02T23:00", "UTC")) == at("2026-03-03T04:00", "UTC")


@pytest.mark.alone
def test_a_year_of_hours_off_costs_little():
    """A feed may hold thousands of appointments; a template asks for the next opening."""
    begin = at("2026-03-02T00:00", "UTC")
    spans = tuple(
        (begin + n * timedelta(hours=2), begin + n * timedelta(hours=2) + MINUTE)
        for n in range(4000)
    )
    hours = Written("UTC", {0: ((480, 1080),)}, spans_off=spans).calendar()

    began = process_time()
    for n in range(100):
        assert hours.next_open(begin + n * DAY) is not None
    assert process_time() - began < 2


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
