"""What the charts of the last hour are made of."""

import asyncio
from datetime import UTC, datetime, timedelta
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.admin import showing
from imbot.admin.pulse import STEP_S, STEPS, Durations, Pulse
from imbot.engine.planning import Start
from imbot.engine.tally import Tally
from imbot.engine.watching import Acted, Decided, Echoed, Happened, Parked
from imbot.model import MessageNotice, Outcome, OutcomeKind, SessionKey, Step
from imbot.records import EffectState
from imbot.testing.house import MemoryStore, build
from imbot.testing.time import LoopClock
from tests.unit.rulebooks import rule
from tests.unit.store_samples import StoppedClock, event, intent, verdict

START = datetime(2026, 3, 1, 12, 0, 2, tzinfo=UTC)
RULES = """
version: 1
rules:
  - {id: hello, trigger: {message: any}, once: session, do: [{reply: Hi}, {set: {said: hi}}]}
  - {id: tried, trigger: {message: any}, shadow: true, do: [{reply: Y}]}
"""


@pytest.mark.looptime
async def test_what_is_done_is_counted_in_its_step_of_time():
    clock = LoopClock(START)
    pulse = Pulse(clock)
    house = build(RULES, clock=clock, watch=pulse.watch)
    await house.state("Talking")
    await house.say("hello")
    await asyncio.sleep(1)
    await house.hear(MessageNotice("s1", "Hi", clock.now(), sender="bot1"))
    await asyncio.sleep(11)
    await house.say("again")
    found = pulse.series()

    noon = int(START.timestamp()) - 2
    assert found.at == [noon, noon + 5, noon + 10]
    assert found.events == [2, 0, 1]
    assert found.replies == [1, 0, 0]
    assert found.suppressed == [0, 0, 1], "what runs in shadow is not suppressed"
    assert found.step_p95_s[1:] == [None, None]
    assert found.echo_p50_s[0] == pytest.approx(1.0, rel=0.03)


@pytest.mark.parametrize(
    ("kind", "failed", "replies"),
    [
        (OutcomeKind.DONE, 0, 1),
        (OutcomeKind.FAILED, 1, 0),
        (OutcomeKind.PARKED, 0, 0),
        (OutcomeKind.SHADOW, 0, 0),
    ],
)
def test_a_step_counts_as_what_became_of_it(kind, failed, replies):
    """How long it took counts only where it was carried out; what is parked is told otherwise."""
    pulse = Pulse(StoppedClock(START))
    made = rule("    do: [{log: x}]\n")
    start, step = Start(made, event(), "e/r", "k"), Step("e/r/0", "reply", {})
    pulse.watch(Acted(start, step, Outcome(step.key, kind)))
    found = pulse.series()

    assert (found.failed, found.replies, found.parked) == ([failed], [replies], [0])
    assert (found.step_p50_s == [None]) is (kind is not OutcomeKind.DONE)


@pytest.mark.looptime
async def test_whatever_parks_an_effect_is_counted_once():
    """Also what parks it outside of any step."""
    clock = StoppedClock()
    pulse = Pulse(clock)
    tally = Tally(MemoryStore(), clock, pulse.watch)
    for _ in range(2):
        tally.note([verdict(intent(1), EffectState.PARKED)])

    assert pulse.series().parked == [1]


def test_who_asks_again_gets_what_is_new_and_the_step_that_went_on():
    clock = StoppedClock(START)
    pulse = Pulse(clock)
    for _ in range(5):
        pulse.watch(Happened(event()))
        clock.at += timedelta(seconds=STEP_S)
    at = pulse.series().at

    assert pulse.series(at[-2]).at == at[-2:]
    assert pulse.series(at[-2] + 1).at == at[-1:]
    assert pulse.series(at[-1] + 1).at == []


def test_an_echo_of_what_nobody_remembers_says_nothing():
    """Of before the start, or of more than ten thousand events ago."""
    pulse = Pulse(StoppedClock(START))
    pulse.watch(Echoed("bot1-1/greet/0/0", SessionKey("bot1", "s1")))

    assert pulse.series().echo_p95_s == [None]


def test_the_form_has_every_column():
    found = showing.pulse(Pulse(StoppedClock(START)).series())

    assert found.step_s == STEP_S
    assert all(len(column) == 1 for name, column in found if name != "step_s")


JUMPS = st.lists(
    st.one_of(st.integers(0, 30), st.integers(-4000, 9000)).map(float), min_size=1, max_size=60
)


@given(JUMPS)
def test_however_the_clock_goes_the_last_hour_is_what_happened_in_it(jumps):
    """Also when it is put back; nothing older than an hour is kept, and nothing counts twice."""
    clock = StoppedClock(START)
    pulse = Pulse(clock)
    kept = {}
    for jump in jumps:
        clock.at += timedelta(seconds=jump)
        pulse.watch(Parked("x"))
        number = int(clock.at.timestamp()) // STEP_S
        place = kept.setdefault(number % STEPS, {})
        kept[number % STEPS] = {number: place.get(number, 0) + 1}
    counts = {number: often for place in kept.values() for number, often in place.items()}
    found = pulse.series()

    began, now = (int(at.timestamp()) // STEP_S for at in (START, clock.at))
    numbers = range(max(now - STEPS + 1, min(began, now)), now + 1)
    assert len(numbers) <= STEPS
    assert found.at == [number * STEP_S for number in numbers]
    assert found.parked == [counts.get(number, 0) for number in numbers]


@given(
    st.lists(st.floats(0.001, 86_400.0), min_size=1, max_size=200),
    st.sampled_from([0.5, 0.95, 1.0]),
)
def test_a_quantile_is_nearly_that_of_the_sorted_durations(durations, share):
    """However many they are, they take the room of a few hundred numbers."""
    found = Durations()
    for each in durations:
        found.add(each)

    exact = sorted(durations)[ceil(share * len(durations)) - 1]
    assert found.quantile(share) == pytest.approx(exact, rel=0.03, abs=0.0001)


def test_durations_beyond_measure_are_cut():
    """A clock that was put back makes them negative, a wait of days very long."""
    found = Durations()
    found.add(-5.0)
    assert found.quantile(0.5) == pytest.approx(0.001, rel=0.03)
    found.add(1e9)
    assert found.quantile(1.0) == pytest.approx(86_400.0, rel=0.03)


@pytest.mark.looptime
async def test_only_so_many_events_are_remembered(monkeypatch):
    """For their echoes: what no echo ever comes for must not stay for good."""
    monkeypatch.setattr("imbot.admin.pulse._REMEMBERED", 2)
    sights = []
    house = build(RULES, clock=LoopClock(START), watch=sights.append)
    await house.state("Talking")
    await house.say("a")
    (plan,) = [sight.plan for sight in sights if isinstance(sight, Decided) and sight.plan.starts]
    pulse = Pulse(StoppedClock(START))
    for number in range(3):
        pulse.watch(Decided(plan._replace(event=event(number))))
    for number in range(3):
        pulse.watch(Echoed(f"bot1-{number}/hello/0/0", SessionKey("bot1", "s1")))

    assert pulse.series().echo_p50_s != [None]
    assert pulse._at(START).echoes._often.total() == 2
