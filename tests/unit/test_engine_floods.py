"""What a session may bring: more than any person types, and not a thousand lines a second."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.engine.floods import BURST_S, PER_S, Floods
from imbot.model import Event, EventKind, ImSession
from imbot.testing.house import build

START = datetime(2026, 3, 1, tzinfo=UTC)
BURST = int(PER_S * BURST_S)


def said(seconds=0.0, session="s1", *, kind=EventKind.MESSAGE, own=False):
    at = START + timedelta(seconds=seconds)
    shown = None if session is None else ImSession(session, "Talking")
    return Event("bot1:1", kind, at, at, "bot1", shown, own=own)


def taken(floods, events):
    return sum(not floods.why_not(event) for event in events)


def test_a_burst_is_taken_and_then_so_many_a_second():
    floods = Floods()

    assert taken(floods, [said()] * (BURST + 50)) == BURST
    assert floods.why_not(said()) == "more than 200 events at once, or 10 a second, in this session"
    assert taken(floods, [said(1.0)] * 100) == PER_S
    assert taken(floods, [said(1000.0)] * 1000) == BURST


def test_a_thousand_lines_a_second_are_asked_about_now_and_then():
    lines = [said(n / 1000) for n in range(10_000)]

    assert taken(Floods(), lines) == pytest.approx(BURST + 10 * PER_S, abs=2)


def test_a_backlog_that_came_slowly_is_no_flood():
    """After an outage of ours everything is decided at once, and nobody typed too fast."""
    assert taken(Floods(), [said(n / PER_S) for n in range(1000)]) == 1000


def test_each_session_has_its_own():
    floods = Floods()
    taken(floods, [said()] * 1000)

    assert floods.why_not(said(session="s2")) == ""


@pytest.mark.parametrize(
    "event",
    [
        said(kind=EventKind.STATE),
        said(kind=EventKind.CONNECTION),
        said(kind=EventKind.USERDATA, own=True),
        said(session=None, kind=EventKind.SCHEDULE),
    ],
    ids=lambda event: f"{event.kind} {event.own}",
)
def test_what_ends_by_itself_is_never_held_back(event):
    floods = Floods()
    taken(floods, [said()] * 1000)

    assert taken(floods, [event] * 1000) == 1000


def test_what_others_write_counts():
    assert taken(Floods(), [said(kind=EventKind.USERDATA)] * 1000) == BURST


def test_a_clock_that_is_set_back_gives_no_second_burst():
    floods = Floods()
    taken(floods, [said(3600.0)] * 1000)

    assert taken(floods, [said(n / 10) for n in range(50)]) == 0
    assert taken(floods, [said(3601.0)] * 100) == PER_S


def test_a_bucket_that_is_full_again_is_not_kept():
    """Of a session that is over nothing stays, whatever comes of it late."""
    floods = Floods()
    for number in range(100):
        taken(floods, [said(number, f"s{number}")])
    assert len(floods._buckets) <= 2

    taken(floods, [said(200, "flooded")] * 1000)
    taken(floods, [said(200.2, f"s{number}") for number in range(50)])
    assert len(floods._buckets) == 51


@given(st.lists(st.floats(0, 5), max_size=300))
def test_never_more_than_a_burst_and_what_time_brings(pauses):
    """Whatever the pauses; and nothing is refused that comes slower."""
    floods, at, count = Floods(1.0), 0.0, 0
    for pause_s in pauses:
        at += pause_s
        count += not floods.why_not(said(at))

    assert count <= BURST_S + at + 1
    assert count == len(pauses) or count >= BURST_S


@pytest.mark.looptime
async def test_what_a_run_waits_for_is_heard_in_the_middle_of_a_flood():
    """No rule is asked about the line, and it is kept; but a question is answered by it."""
    house = build(
        """
version: 1
rules:
  - id: ask
    trigger: {state: Talking}
    do:
      - wait_for: {message: {contains: please}}
        timeout: 1h
        as: answer
      - reply: "Thank you for '{{ answer.message.text }}'"
""",
        events_per_s=1.0,
    )
    await house.state("Talking")
    for n in range(50):
        await house.say(f"line {n}")
    await house.say("Stop it, please")

    assert house.said() == ["Thank you for 'Stop it, please'"]
    assert {(no.rule_id, str(no.reason)) for no in house.suppressed()} == {("*", "flood")}
