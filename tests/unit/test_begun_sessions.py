"""Runs in sessions that they have begun: what waits for an answer, and what does not."""

import asyncio

import pytest

from imbot.engine.watching import Logged
from imbot.errors import AmbiguousError, PermanentError
from imbot.testing.fake_gws import FakeGws
from imbot.testing.house import build

pytestmark = pytest.mark.looptime


def book(*steps, trigger):
    lines = "".join(f"      - {step}\n" for step in steps)
    return f"version: 1\nrules:\n  - id: r\n    trigger: {trigger}\n    do:\n{lines}"


def logged(house):
    return [sight.text for sight in house.sights if isinstance(sight, Logged)]


class Quick(FakeGws):
    """A GWS whose other party is in this state before the answer, or this error, comes."""

    def __init__(self, error=None):
        super().__init__()
        self.state, self.house, self.error = "Talking", None, error

    async def initiate(self, destination, user_data):
        session_id = await super().initiate(destination, user_data)
        await self.house.state(self.state, session_id, settle=False)
        await asyncio.sleep(0.01)
        if self.error is not None:
            raise self.error
        return session_id


async def called(house, state):
    """Let a rule call somebody who is in this state at once."""
    gws = house.gws["bot1"]
    gws.house, gws.state = house, state
    await house.state("Talking", "s1", settle=False)
    await house.state("Talking", "s1", settle=False, notification_type="AttachedDataChanged", x="1")
    await house.tasks.drain(1)


CALLS = book(
    "initiate: {to: 3003}",
    "{wait_for: {state: Talking}, timeout: 45s, as: taken}",
    'log: "{{ taken.timed_out }} {{ taken.event.kind | default(0) }}"',
    "complete: x",
    trigger="{userdata: any}",
)


async def test_who_answers_before_the_wait_begins_has_answered():
    """GWS often tells of both in one batch; a run that then waits waits for nothing."""
    house = build(CALLS, agents={"bot1": Quick()})
    await called(house, "Talking")

    assert logged(house) == ["false state"]


async def test_who_does_not_answer_is_hung_up_on_at_once():
    """Only what needs an answer waits for one."""
    house = build(CALLS, agents={"bot1": Quick()})
    await called(house, "Initiating")
    await asyncio.sleep(44)
    assert house.gws["bot1"].named("Complete") == []
    await asyncio.sleep(2)

    assert logged(house) == ["true 0"]
    assert [done.session_id for done in house.gws["bot1"].named("Complete")] == ["n1"]


async def test_a_state_of_the_event_s_own_session_is_waited_for_as_an_edge():
    """There a trigger has seen what went before."""
    house = build(
        book("{wait_for: {state: Talking}, timeout: 45s}", "log: late", trigger="{message: any}")
    )
    await house.state("Talking", "s1")
    await house.say("a")
    await asyncio.sleep(40)
    assert logged(house) == []
    await asyncio.sleep(10)
    assert logged(house) == ["late"]


GREETS = (
    book("initiate: {to: 3003}", trigger="{userdata: any}")
    + """  - id: greet
    trigger: [{state: any}, {message: any}]
    when: session.id != "s1"
    do:
      - log: "{{ session.state }} {{ session.id }} {{ session.mine }}"
"""
)


@pytest.mark.parametrize(
    ("state", "error", "seen"),
    [
        ("Talking", None, ["Talking n1 true", "Talking n1 true"]),
        ("Initiating", None, ["Initiating n1 true", *["Talking n1 true"] * 2]),
        ("Talking", AmbiguousError("no answer"), ["Talking n1 true", "Talking n1 true"]),
        ("Talking", PermanentError("busy"), ["Talking n1 true", "Talking n1 false"]),
        ("Alerting", PermanentError("busy"), ["Alerting n1 false", *["Talking n1 false"] * 2]),
    ],
)
async def test_rules_know_at_first_sight_what_we_have_begun(state, error, seen):
    """Whoever answers at once must not be greeted as if they had come to us."""
    house = build(GREETS, agents={"bot1": Quick(error=error)})
    await called(house, state)
    await house.say("hello", "n1")
    await house.state("Talking", "s2")

    assert logged(house) == [*seen, "Talking s2 false"]
