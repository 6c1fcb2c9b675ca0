"""Rules of imbot/rulebook/timetriggers.py: silence, edges, schedules and hooks, as written."""

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.rulebook.schedules import Every
from imbot.rulebook.schema import CalendarTrigger, IdleTrigger, Missed, WebhookTrigger
from tests.unit.rulebooks import load, rule

DESK = "calendars: {desk: {timezone: Europe/Berlin, open: {mon-fri: '08:00-18:00'}}}\n"
LOG = "    do: [{log: x}]\n"


def trigger(written, **settings):
    """Return the one trigger that is written so."""
    desk = DESK if "desk" in written else ""
    text = f"version: 1\n{desk}rules:\n  - id: r\n    trigger: {written}\n{LOG}"
    book, problems = load(text, **settings)
    assert problems == []
    return book.rules[0].triggers[0]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("{idle: 5m}", IdleTrigger(300)),
        ("{calendar: desk, opens: 10m before}", CalendarTrigger("desk", opens=True, offset_s=-600)),
        ("{calendar: desk, closes: 0m after}", CalendarTrigger("desk", opens=False)),
        (
            "{calendar: desk, closes: 1h30m  after}",
            CalendarTrigger("desk", opens=False, offset_s=5400),
        ),
        ("{webhook: orders.new}", WebhookTrigger("orders.new")),
    ],
)
def test_a_trigger_means_what_it_says(written, meant):
    assert trigger(written) == meant


def test_nothing_before_is_nothing_after():
    """Two rules of the same moment are started by the same event."""
    before, after = (
        trigger(f"{{calendar: desk, opens: 0s {side}}}") for side in ("before", "after")
    )

    assert before == after
    assert str(before.offset_s) == "0.0"


def test_a_schedule_keeps_to_its_zone_and_else_to_the_settings():
    monday = datetime(2026, 3, 2, tzinfo=UTC)
    own = trigger('{schedule: "0  9 * * 1", timezone: America/New_York, missed: all}')
    default = trigger('{schedule: "0 9 * * 1"}')

    assert own.schedule.next_after(monday) == datetime(2026, 3, 2, 14, tzinfo=UTC)
    assert (own.identity, own.missed) == ("0 9 * * 1 America/New_York all", Missed.ALL)
    assert default.schedule.next_after(monday) == datetime(2026, 3, 2, 8, tzinfo=UTC)
    assert default.identity == "0 9 * * 1 Europe/Berlin run_once"


def test_every_is_a_schedule():
    every = trigger("{every: 90s, missed: skip}")

    assert every.schedule == Every(90, "Europe/Berlin")
    assert (every.kind, every.identity) == ("schedule", "every 1m30s Europe/Berlin skip")
    assert trigger("{every: 2d}").schedule.interval_s == 2 * 86_400


@pytest.mark.parametrize("line", ["0 9 30 2 mon", "0 9 29 2 *", "0 9 31 1-12 *", "@yearly"])
def test_a_schedule_that_fires_some_day_is_none_that_never_does(line):
    assert trigger(f'{{schedule: "{line}"}}').schedule.next_after(datetime.now(UTC)) is not None


@pytest.mark.parametrize(
    "line",
    ["0 9 30 2 *", "0 9 30-31 feb *", "0 9 31 2,4-4,sep */2", "0 9 30/1 02 *", "* * 31 11-11 *"],
)
@pytest.mark.alone
def test_a_schedule_of_days_that_no_month_has_is_told(line):
    """However it is written; nobody would ever see it fire."""
    text = f"version: 1\nrules:\n  - id: r\n    trigger: {{schedule: '{line}'}}\n{LOG}"
    begun_s = time.process_time()
    _, (problem,) = load(text)

    assert str(problem).startswith(f"f.yaml:4:25: error[never-fires]: the schedule '{line}' never")
    assert time.process_time() - begun_s < 0.2


@pytest.mark.parametrize(
    ("written", "place", "code"),
    [
        ("{idle: [5m]}", "4:21", "wrong-type"),
        ("{calendar: [desk], opens: 0m after}", "4:25", "wrong-type"),
        ("{calendar: desk, opens: [a]}", "4:31", "bad-offset"),
        ("{calendar: desk, opens: true}", "4:38", "wrong-type"),
        ("{every: 5m, timezone: [UTC]}", "4:36", "wrong-type"),
        ("{every: 5m, timezone: Nowhere}", "4:36", "unknown-zone"),
        ("{schedule: '0 9 * * *', missed: }", "4:46", "wrong-type"),
        ("{schedule: '0 9 foo * *'}", "4:30", "bad-schedule"),
        ("{schedule: '@hourlyy'}", "4:25", "bad-schedule"),
    ],
)
def test_a_mistake_stands_where_it_is_written(written, place, code):
    text = f"version: 1\nrules:\n  - id: r\n    trigger: {written}\n{LOG}"
    _, problems = load(text, DESK + "version: 1\n")

    assert f"f.yaml:{place}: error[{code}]" in [
        problem.partition("]")[0] + "]" for problem in problems
    ]


@given(st.text(alphabet="0123456789*/,- monjafrl@\u0660", max_size=20))
def test_no_text_of_a_schedule_raises(line):
    """Whatever stands there fires some time, or is told."""
    text = f"version: 1\nrules:\n  - id: r\n    trigger: {{schedule: '{line}'}}\n{LOG}"
    book, problems = load(text)

    assert book is not None or problems


def test_an_event_of_a_schedule_has_no_session():
    assert rule("    do: [{log: '{{ event.scheduled_at | isoformat }}'}]\n", trigger="{every: 1h}")
