from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.rulebook.schedules import Cron, Every

#: By an hour, by half an hour, at midnight, south of the equator; and none.
ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "America/Santiago",
    "Asia/Kolkata",
]

YEAR = 2026
MINUTE = timedelta(minutes=1)


def row(schedule, begin, end):
    """Return every moment of a schedule between two others."""
    moments = []
    moment = begin
    while (following := schedule.next_after(moment)) is not None and following < end:
        assert following > moment
        assert following.tzinfo is UTC
        moment = following
        moments.append(moment)
    return moments


@cache
def jumps(zone, year=YEAR):
    """Return the moments of the year at which a clock in the zone is put forward or back."""
    hours = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(24 * 365)]
    return [
        after
        for before, after in pairwise(hours)
        if before.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset()
    ]


def around_jumps(zone, year=YEAR):
    """Return a few days around each, and some in summer."""
    days = timedelta(days=2)
    middle = datetime(year, 6, 15, 12, tzinfo=UTC)
    return [(jump - days, jump + days) for jump in (*jumps(zone, year), middle)]


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("minute", ["*/15", "7", "0,30"])
def test_a_schedule_of_every_hour_keeps_its_pace_through_a_jump(name, minute):
    """Compared with a look at the clock on the wall each minute."""
    zone = ZoneInfo(name)
    wanted = {"*/15": {0, 15, 30, 45}, "7": {7}, "0,30": {0, 30}}[minute]
    for begin, end in around_jumps(zone):
        count = (end - begin) // MINUTE
        seen = [begin + n * MINUTE for n in range(1, count)]
        expected = [one for one in seen if one.astimezone(zone).minute in wanted]
        assert row(Cron(f"{minute} * * * *", name), begin, end) == expected


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("hour", range(24))
def test_a_schedule_that_names_its_hour_fires_once_a_day(name, hour):
    """Skipped times are made up for, doubled times are not doubled."""
    zone = ZoneInfo(name)
    for begin, end in around_jumps(zone):
        found = row(Cron(f"30 {hour} * * *", name), begin, end)
        days = [moment.astimezone(zone).date() for moment in found]
        inner = {(begin + timedelta(days=n)).astimezone(zone).date() for n in (1, 2, 3)}
        assert len(days) == len(set(days))
        assert inner <= set(days)
        shown = {moment.astimezone(zone).time() for moment in found}
        assert all(one.minute in (0, 30) for one in shown)


def watched(zone, begin, end, wanted):
    """Return when a schedule that names its hours is to fire, by a look at the wall each minute."""
    shown, found = set(), set()
    local = begin.astimezone(zone).replace(tzinfo=None)
    for n in range((end - begin) // MINUTE):
        at = begin + n * MINUTE
        before, local = local, at.astimezone(zone).replace(tzinfo=None)
        if local > before + MINUTE:  # put forward: what was skipped comes as much later
            skipped = (local - before) // MINUTE - 1
            walls = [before + (k + 1) * MINUTE for k in range(skipped)]
            found |= {at + k * MINUTE for k, wall in enumerate(walls) if wanted(wall)}
        if local not in shown and wanted(local):
            found.add(at)
        shown.add(local)
    return sorted(moment for moment in found if begin < moment < end)


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize(
    ("line", "hours", "minutes"),
    [
        ("*/20 1-4 * * *", {1, 2, 3, 4}, {0, 20, 40}),
        ("0,15,45 0,2,23 * * *", {0, 2, 23}, {0, 15, 45}),
    ],
)
@pytest.mark.parametrize("year", [2020, 2026, 2035])
def test_a_schedule_that_names_hours_is_where_a_watch_of_the_wall_finds_it(
    name, line, hours, minutes, year
):
    """Each time that the wall shows fires once; what it skips fires as much later."""
    zone = ZoneInfo(name)
    for begin, end in around_jumps(zone, year):
        found = row(Cron(line, name), begin, end)
        assert found == watched(
            zone, begin, end, lambda wall: wall.hour in hours and wall.minute in minutes
        )


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("minutes", [5, 15, 60])
def test_every_few_minutes_keeps_its_pace_through_a_jump(name, minutes):
    zone = ZoneInfo(name)
    for begin, end in around_jumps(zone):
        seen = [begin + n * MINUTE for n in range(1, (end - begin) // MINUTE)]
        expected = [one for one in seen if one.astimezone(zone).minute % minutes == 0]
        assert row(Every(minutes * 60, name), begin, end) == expected


@pytest.mark.parametrize("name", ZONES)
def test_every_few_hours_keeps_to_the_wall(name):
    """Every six hours is at 0, 6, 12 and 18 o'clock, whatever the clock did at night."""
    zone = ZoneInfo(name)
    for begin, end in around_jumps(zone):
        shown = [m.astimezone(zone).hour for m in row(Every(6 * 3600, name), begin, end)]
        assert set(shown) <= {0, 1, 6, 12, 18}
        assert len(shown) in (15, 16, 17)


def test_every_two_days_is_every_second_midnight():
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    found = row(Every(2 * 86400, "Asia/Kolkata"), begin, begin + timedelta(days=60))
    local = [moment.astimezone(ZoneInfo("Asia/Kolkata")) for moment in found]
    assert {one.time() for one in local} == {time()}
    assert {b.date() - a.date() for a, b in pairwise(local)} == {timedelta(days=2)}


def test_what_does_not_divide_the_day_begins_anew_at_midnight():
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    found = row(Every(7 * 3600, "UTC"), begin, begin + timedelta(days=2))
    assert [moment.hour for moment in found] == [7, 14, 21, 0, 7, 14, 21]
    found = row(Every(45 * 60, "UTC"), begin + timedelta(hours=23), begin + timedelta(hours=25))
    assert [moment.strftime("%H:%M") for moment in found] == ["23:15", "00:00", "00:45"]


@pytest.mark.parametrize(
    ("weekdays", "meant"),
    [
        ("1-5", {1, 2, 3, 4, 5}),
        ("0", {7}),
        ("7", {7}),
        ("0-6", {1, 2, 3, 4, 5, 6, 7}),
        ("0-7", {1, 2, 3, 4, 5, 6, 7}),
        ("5-7", {5, 6, 7}),
        ("*/2", {7, 2, 4, 6}),
        ("1-5/2", {1, 3, 5}),
        ("1/2", {1, 3, 5}),
        ("sat-mon", {6, 7, 1}),
        ("mon,Wed,5", {1, 3, 5}),
        ("*", {1, 2, 3, 4, 5, 6, 7}),
    ],
)
def test_weekdays_are_what_cron_means(weekdays, meant):
    """APScheduler counts from Monday; nobody who writes a crontab does."""
    begin = datetime(2026, 3, 1, tzinfo=UTC)
    found = row(Cron(f"0 9 * * {weekdays}", "UTC"), begin, begin + timedelta(days=14))
    assert {moment.isoweekday() for moment in found} == meant


def test_a_day_and_a_weekday_mean_either():
    """As in cron: the first of the month, and every Monday."""
    begin = datetime(2026, 3, 31, tzinfo=UTC)
    found = row(Cron("0 9 1 * mon", "UTC"), begin, begin + timedelta(days=10))
    assert [moment.date() for moment in found] == [date(2026, 4, 1), date(2026, 4, 6)]


def test_shorthands_are_known():
    begin = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert Cron("@daily", "UTC").next_after(begin) == datetime(2026, 3, 2, tzinfo=UTC)
    assert Cron("@hourly", "UTC").next_after(begin) == datetime(2026, 3, 1, 13, tzinfo=UTC)


def test_a_day_that_never_comes_gives_none():
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    assert Cron("0 0 30 2 *", "UTC").next_after(moment) is None
    assert Cron("0 * 30 2 *", "UTC").next_after(moment) is None


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("0 9 * *", "five fields"),
        ("0 0 9 * * *", "five fields"),
        ("61 * * * *", "no minute"),
        ("x * * * *", "no minute"),
        ("* 24 * * *", "no hour"),
        ("* * 32 * *", "no day of the month"),
        ("* * * 13 *", "no month"),
        ("* * * * 8", "no weekday"),
        ("* * * * mon-", "no weekday"),
        ("* * * * */0", "no step"),
        ("* * * * */x", "no step"),
        ("*/0 * * * *", "no minute"),
        ("5-1 * * * *", "no minute"),
        ("", "five fields"),
    ],
)
def test_a_mistake_is_told_with_its_field(line, why):
    with pytest.raises(ValueError, match=why):
        Cron(line, "UTC")


MOMENTS = st.integers(0, 15 * 365 * 86400).map(
    lambda seconds: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)


@given(st.text("0123456789*/,-@ monsat", max_size=20))
def test_any_text_is_a_schedule_or_a_mistake(line):
    try:
        schedule = Cron(line, "Europe/Berlin")
    except ValueError:
        return
    schedule.next_after(datetime(2026, 1, 1, tzinfo=UTC))


@given(MOMENTS, st.integers(0, 23), st.integers(0, 59), st.sampled_from(ZONES))
def test_the_next_is_after_and_near(moment, hour, minute, name):
    following = Cron(f"{minute} {hour} * * *", name).next_after(moment)
    assert timedelta() < following - moment <= timedelta(hours=26)


@given(MOMENTS, st.integers(1, 400_000), st.sampled_from(ZONES))
def test_every_comes_again(moment, interval_s, name):
    following = Every(interval_s, name).next_after(moment)
    days = max(1, round(interval_s / 86400))
    assert timedelta() < following - moment <= timedelta(days=days, hours=26)


FIELD = st.one_of(
    st.just("*"),
    st.integers(1, 23).map("*/{}".format),
    st.lists(st.integers(0, 23), min_size=1, max_size=3).map(lambda all_: ",".join(map(str, all_))),
    st.tuples(st.integers(0, 11), st.integers(12, 23)).map(lambda ends: "{}-{}".format(*ends)),
)


@given(FIELD, FIELD, st.sampled_from(["*", "1,15", "31"]), st.data())
def test_the_times_of_a_day_are_those_of_the_library(minute, hour, day, data):
    """It is asked once a day and not once a minute: it takes long."""
    cron = Cron(f"{minute} {hour} {day} * *", "UTC")
    for moment in data.draw(st.lists(MOMENTS, max_size=5)):
        wall = data.draw(st.sampled_from([moment, moment.replace(second=0, microsecond=0)]))
        assert [row.next_wall(wall) for row in cron._rows] == [
            row.first_on(wall) for row in cron._rows
        ]
