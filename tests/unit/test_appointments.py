"""What a rulebook waits for on the clock, and what is done about what was missed."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imbot.engine.appointments import LATE, Appointment, Edges, Firing, appointments_of, firing
from imbot.model import EventKind
from imbot.problems import Place
from imbot.rulebook.calendars import Calendar, Slot
from imbot.rulebook.schedules import Cron, Every
from imbot.rulebook.schema import (
    CalendarTrigger,
    End,
    IdleTrigger,
    Missed,
    Program,
    Rule,
    Rulebook,
    ScheduleTrigger,
)

NINE_TO_FIVE = Calendar("c", ZoneInfo("Europe/Berlin"), ((Slot(540, 1020),),) * 5 + ((), ()))
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


def rule(name, *triggers, **policy):
    return Rule(name, Place("f"), "", 0, triggers, Program((End(),)), **policy)


def hourly(missed):
    return Appointment("hourly", EventKind.SCHEDULE, Every(3600, "UTC"), missed, {})


def row(edges, begin, count):
    found = []
    for _ in range(count):
        begin = edges.next_after(begin)
        found.append(begin)
    return found


@pytest.mark.parametrize(
    ("opens", "offset_s", "first", "following"),
    [
        (True, 0, "2026-03-02T08:00", "2026-03-03T08:00"),
        (True, -600, "2026-03-02T07:50", "2026-03-03T07:50"),
        (False, 0, "2026-03-02T16:00", "2026-03-03T16:00"),
        (False, 36_000, "2026-03-03T02:00", "2026-03-04T02:00"),
        (True, -345_600, "2026-03-02T08:00", "2026-03-05T08:00"),
    ],
)
def test_edges_come_with_their_offset(opens, offset_s, first, following):
    """Also with an offset of days: each edge keeps its own moment."""
    found = row(Edges(NINE_TO_FIVE, opens, offset_s), MONDAY, 2)

    assert [moment.isoformat()[:16] for moment in found] == [first, following]


def test_a_calendar_that_never_opens_has_no_edges():
    closed = Calendar("c", ZoneInfo("UTC"), ((),) * 7)

    assert Edges(closed, opens=True, offset_s=-60).next_after(MONDAY) is None


@given(
    st.integers(0, 365 * 24 * 60).map(lambda minutes: MONDAY + timedelta(minutes=minutes)),
    st.booleans(),
    st.integers(-7 * 86_400, 7 * 86_400),
)
def test_edges_are_those_of_the_calendar_moved(moment, opens, offset_s):
    edges, offset = Edges(NINE_TO_FIVE, opens, offset_s), timedelta(seconds=offset_s)
    plain = Edges(NINE_TO_FIVE, opens, 0)
    begin = moment - offset - timedelta(days=4)

    expected = [edge + offset for edge in row(plain, begin, 12) if edge + offset > moment]

    assert row(edges, moment, 3) == expected[:3]


def test_rules_that_wait_for_the_same_share_one_appointment():
    """One event starts them all, so that priority and final work between them."""
    nine = ScheduleTrigger(Cron("0 9 * * *", "UTC"), "0 9 * * * UTC run_once")
    skip = ScheduleTrigger(Cron("0 9 * * *", "UTC"), "0 9 * * * UTC skip", Missed.SKIP)
    opening = CalendarTrigger("c", opens=True, offset_s=-600.0)
    book = Rulebook(
        (
            rule("a", nine, IdleTrigger(5.0)),
            rule("b", nine, opening),
            rule("c", skip, CalendarTrigger("c", opens=False)),
            rule("off", CalendarTrigger("c", opens=False, offset_s=1.0), enabled=False),
        ),
        {"c": NINE_TO_FIVE},
    )

    found = appointments_of(book)

    assert list(found) == [
        "schedule 0 9 * * * UTC run_once",
        "calendar c opens -600.0",
        "schedule 0 9 * * * UTC skip",
        "calendar c closes +0.0",
    ]
    edge = found["calendar c opens -600.0"]
    assert edge.fields == {"calendar": "c", "edge": "opens", "offset_s": -600.0}
    assert (edge.kind, edge.missed) == (EventKind.CALENDAR, Missed.RUN_ONCE)
    assert found["schedule 0 9 * * * UTC skip"].missed is Missed.SKIP


@pytest.mark.parametrize("missed", Missed)
def test_what_is_due_now_fires_now(missed):
    found = firing(hourly(missed), MONDAY, now=MONDAY, began_at=MONDAY - HOUR)

    assert found == Firing(MONDAY, MONDAY + HOUR)


@pytest.mark.parametrize(
    ("missed", "scheduled_h", "next_h"),
    [(Missed.RUN_ONCE, 5, 6), (Missed.SKIP, None, 6), (Missed.ALL, 0, 1)],
)
def test_what_was_missed_is_made_up_for_as_written(missed, scheduled_h, next_h):
    """Six firings fell into the downtime: one for all, none, or each of them."""
    now = MONDAY + 5.5 * HOUR

    found = firing(hourly(missed), MONDAY, now=now, began_at=now)

    scheduled_at = None if scheduled_h is None else MONDAY + scheduled_h * HOUR
    assert found == Firing(scheduled_at, MONDAY + next_h * HOUR)


def test_skip_leaves_out_what_came_while_the_machine_slept_but_not_what_is_just_late():
    began_at = MONDAY - HOUR
    late = firing(hourly(Missed.SKIP), MONDAY, now=MONDAY + LATE, began_at=began_at)
    later = firing(hourly(Missed.SKIP), MONDAY, now=MONDAY + 2 * LATE, began_at=began_at)

    assert late.scheduled_at == MONDAY
    assert later.scheduled_at is None


def test_skip_makes_one_of_several_that_a_moment_of_delay_brought_together():
    often = Appointment("x", EventKind.SCHEDULE, Every(10, "UTC"), Missed.SKIP, {})
    second = timedelta(seconds=1)

    found = firing(often, MONDAY, now=MONDAY + 35 * second, began_at=MONDAY - HOUR)

    assert found == Firing(MONDAY, MONDAY + 40 * second)


def test_a_clock_that_was_put_back_does_not_fire_twice():
    found = firing(
        hourly(Missed.RUN_ONCE), MONDAY, now=MONDAY - timedelta(seconds=1), began_at=MONDAY - HOUR
    )

    assert found == Firing(MONDAY, MONDAY + HOUR)


@pytest.mark.parametrize("missed", Missed)
def test_a_clock_that_was_put_back_since_the_start_silences_no_schedule(missed):
    """It went an hour fast when imbot was started: what comes now comes in time."""
    found = firing(hourly(missed), MONDAY, now=MONDAY, began_at=MONDAY + HOUR / 2)

    assert found == Firing(MONDAY, MONDAY + HOUR)


def test_the_last_is_found_behind_a_long_pause():
    """On Mondays and Tuesdays; it is Sunday."""
    schedule = Cron("0 9 * * mon,tue", "UTC")
    appointment = Appointment("x", EventKind.SCHEDULE, schedule, Missed.RUN_ONCE, {})
    sunday = MONDAY + timedelta(days=6)

    found = firing(appointment, MONDAY + 9 * HOUR, now=sunday, began_at=sunday)

    assert found == Firing(MONDAY + 33 * HOUR, MONDAY + timedelta(days=7, hours=9))


@settings(deadline=None)  # up to 1,000 firings are walked through
@given(
    st.sampled_from(
        ["* * * * *", "0 9 * * mon,tue", "0 9 * * mon-fri", "30 2 * * *", "0 0 1 * *", "0 0 29 2 *"]
    ),
    st.integers(1, 60 * 24 * 60),
)
def test_the_one_event_for_all_is_the_last_of_them(line, minutes):
    """Compared with a walk through all of them."""
    schedule = Cron(line, "Europe/Berlin")
    due_at = schedule.next_after(datetime(2026, 2, 1, tzinfo=UTC))
    now = due_at + timedelta(minutes=minutes)
    appointment = Appointment("x", EventKind.SCHEDULE, schedule, Missed.RUN_ONCE, {})

    found = firing(appointment, due_at, now=now, began_at=now)

    last, following = due_at, schedule.next_after(due_at)
    for _ in range(1000):
        if following > now:
            break
        last, following = following, schedule.next_after(following)
    else:
        return
    assert found == Firing(last, following)
