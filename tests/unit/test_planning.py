"""Planning: who runs, who does not, and what the next step is."""

import asyncio
from collections import deque
from datetime import UTC, datetime

import pytest

from imbot.engine.planning import DEEPEST
from imbot.engine.watching import Ended, Logged
from imbot.errors import PermanentError
from imbot.model import (
    ConnectionChange,
    ImSession,
    MessageNotice,
    OutcomeKind,
    Participant,
    Reason,
    SessionNotice,
)
from imbot.records import Intent, RunState
from imbot.testing.house import build
from imbot.testing.time import LoopClock

pytestmark = pytest.mark.looptime


def rules(*steps, trigger="{message: any}", **keys):
    more = "".join(f"    {key}: {value}\n" for key, value in keys.items())
    lines = "".join(f"      - {step}\n" for step in steps)
    return f"version: 1\nrules:\n  - id: r\n    trigger: {trigger}\n{more}    do:\n{lines}"


def ends(house):
    return [sight.over for sight in house.sights if isinstance(sight, Ended)]


async def talking(house, session_id="s1", number="3002"):
    session = ImSession(session_id, "Talking", {}, (Participant(number, number),))
    await house.hear(SessionNotice(session, house.clock.now()))
    await house.settle()


async def test_once_for_a_participant_holds_across_sessions():
    """The same person is told once."""
    house = build(rules("reply: hi", once="participant"))
    for session_id, number in (("s1", "3001"), ("s2", "3001"), ("s3", "3002")):
        await talking(house, session_id, number)
        await house.say("x", session_id)

    assert [d.given["to"] for d in house.gws["bot1"].done] == ["3001", "3002"]


async def test_once_a_day_begins_anew_at_local_midnight():
    """23:30 UTC is the next day in Berlin."""
    house = build(
        rules("reply: hi", once="day"), clock=LoopClock(datetime(2026, 3, 1, 22, 30, tzinfo=UTC))
    )
    await talking(house)
    await house.say("x")
    await house.say("y")
    await house.clock.sleep(3600)
    await house.say("z")

    assert len(house.said()) == 2


async def test_once_for_an_expression_holds_for_its_value():
    """Whatever the author takes for the same."""
    house = build(rules("reply: hi", once="message.text"))
    await talking(house)
    for text in ("a", "a", "b"):
        await house.say(text)

    assert len(house.said()) == 2
    assert house.suppressed()[0].detail == "done for value a"


async def test_once_without_a_session_holds_for_the_agent():
    """A connection may break without anybody talking."""
    house = build(rules("log: lost", trigger="{connection: lost}", once="session"))

    await house.connection(ConnectionChange.LOST)

    assert [over.state for over in ends(house)] == [RunState.DONE]


async def test_a_once_mark_is_known_after_a_restart():
    """It is in the store."""
    from imbot.testing.memory_store import MemoryStore

    store = MemoryStore()
    house = build(rules("reply: hi", once="participant"), store=store)
    await talking(house)
    await house.say("x")
    await store.commit(())

    again = build(rules("reply: hi", once="participant"), store=MemoryStore(store.durable))
    await again.dispatch.recover(again.book.rules)
    await talking(again, "s9")
    await again.say("y", "s9")

    assert again.said() == []
    assert again.suppressed()[0].reason is Reason.ONCE


async def test_a_rule_can_ask_what_another_has_done():
    """``once_done()``."""
    text = """
version: 1
rules:
  - {id: first, trigger: {message: {equals: a}}, once: session, do: [{reply: first}]}
  - id: second
    trigger: {message: {equals: b}}
    when: once_done("first") and said("A")
    do: [{reply: second}]
"""
    house = build(text)
    await talking(house)
    for word in ("b", "a", "b"):
        await house.say(word)

    assert house.said() == ["first", "second"]


async def test_a_shadow_rule_decides_and_does_not_act():
    """To see what it would do."""
    house = build(rules("reply: hi", shadow="true"))
    await talking(house)
    await house.say("x")

    assert house.said() == []
    assert house.suppressed()[0].reason is Reason.SHADOW


async def test_a_key_that_is_missing_falls_back_to_the_session():
    """Not all sessions without a customer wait for each other."""
    house = build(rules("reply: hi", key="session.userData.customerId", mode="queue"))
    await talking(house)
    await house.say("x")

    assert house.said() == ["hi"]


async def test_a_log_step_writes_a_line_and_nothing_else():
    """For the author's own eyes."""
    house = build(rules("log: 'heard {{ message.text }}'"))
    await talking(house)
    await house.say("x")

    assert [s.text for s in house.sights if isinstance(s, Logged)] == ["heard x"]


async def test_stop_ends_the_run_and_says_why():
    """The reason is in the record."""
    house = build(rules("stop: '{{ message.text }}'"))
    await talking(house)
    await house.say("enough")

    assert [(over.state, over.detail) for over in ends(house)] == [(RunState.STOPPED, "enough")]


async def test_a_template_without_its_value_fails_the_run_and_names_the_place():
    """Half a sentence is not said."""
    house = build(rules("reply: '{{ session.userData.name }}'"))
    await talking(house)
    await house.say("x")

    (over,) = ends(house)
    assert over.state is RunState.FAILED
    assert "rules.yaml:6" in over.detail


async def test_a_failing_template_goes_to_the_error_handler_too():
    """It is a failure like any other."""
    house = build(
        rules("log: '{{ session.userData.name }}'", "reply: never", on_error="[{reply: sorry}]")
    )
    await talking(house)
    await house.say("x")

    assert house.said() == ["sorry"]
    assert ends(house)[0].state is RunState.FAILED


async def test_an_error_in_the_handler_ends_the_run():
    """There is no handler of handlers."""
    house = build(
        rules("log: '{{ session.userData.name }}'", on_error="[{log: '{{ session.userData.b }}'}]")
    )
    await talking(house)
    await house.say("x")

    assert ends(house)[0].state is RunState.FAILED


async def test_let_binds_expressions_and_drops_what_is_missing():
    """A missing value is not bound; asking for it is missing again."""
    house = build(
        rules(
            "let: {a: session.userData.name}",
            "reply: '{{ a | default(\"nobody\") }}'",
            "let: {b: '\"x\"', c: '{{ message.text }}'}",
            "reply: '{{ b }}{{ c }}'",
        )
    )
    await talking(house)
    await house.say("y")

    assert house.said() == ["nobody", "xy"]


async def test_arguments_that_turn_out_wrong_fail_the_step():
    """Only at run time is it known what a template gives."""
    house = build(rules("set: {a: '{{ session.participants }}'}"))
    await talking(house)
    await house.say("x")

    assert house.outcomes()[0].kind is OutcomeKind.FAILED
    assert "must be text" in house.outcomes()[0].detail


async def test_an_action_whose_plugin_has_gone_fails_its_step():
    """The rulebook was checked with it."""
    from pydantic import BaseModel

    from imbot.plugin import action

    class Args(BaseModel):
        """None."""

    @action("gone.away", args=Args)
    async def away(_ctx, _args):
        return None

    house = build(rules("gone.away: {}"), actions={"gone.away": away})
    house.dispatch._actor._actions.pop("gone.away")
    await talking(house)
    await house.say("x")

    assert "no plugin offers" in house.outcomes()[0].detail


async def test_a_refusal_because_the_session_has_just_ended_cancels_the_run():
    """Nobody needs to look at it."""
    from imbot.errors import Fault, FaultClass

    house = build(rules("reply: hi"))
    gone = PermanentError("gone", fault=Fault(FaultClass.GONE, 6, 404))
    await talking(house)
    gws = house.gws["bot1"]
    gws.failures = deque([gone])
    original = gws.send_message

    async def ends_meanwhile(*args, **more):
        await house.state("Completed", settle=False)
        await original(*args, **more)

    object.__setattr__(house.dispatch._world, "agents", {"bot1": _With(gws, ends_meanwhile)})
    await house.say("x")

    assert house.outcomes()[0].kind is OutcomeKind.CANCELLED


@pytest.mark.parametrize(
    ("seen", "kind"), [("Completed", OutcomeKind.CANCELLED), (None, OutcomeKind.PARKED)]
)
async def test_a_session_that_gws_calls_gone_is_soon_seen_to_be_over_or_is_not(seen, kind):
    """GWS knows before its snapshot tells; what it takes for gone by mistake is not forgotten."""
    from imbot.errors import Fault, FaultClass

    house = build(rules("reply: hi"))
    await talking(house)
    gone = PermanentError("gone", fault=Fault(FaultClass.GONE, 6, 404))
    house.gws["bot1"].failures = deque([gone])
    await house.hear(MessageNotice("s1", "x", house.clock.now()))
    await asyncio.sleep(2)
    assert house.outcomes() == []

    if seen is not None:
        await house.state(seen, settle=False)
    await house.settle()

    assert house.outcomes()[0].kind is kind


async def test_a_message_waits_for_its_agent_to_hear():
    """The intent is written down behind that: only what was lost before can be told from it."""
    house = build(rules("reply: hi"))
    await talking(house)
    gws = house.gws["bot1"]
    heard = asyncio.Event()
    with_wait = _With(gws, gws.send_message, until_sound=heard.wait)
    object.__setattr__(house.dispatch._world, "agents", {"bot1": with_wait})

    await house.hear(MessageNotice("s1", "x", house.clock.now()))
    await asyncio.sleep(5)
    assert not [one for one in house.store.durable if isinstance(one, Intent)]
    heard.set()
    await house.settle()

    assert house.said() == ["hi"]


class _With:
    """A GWS with another way to send, or to hear."""

    def __init__(self, gws, send_message, until_sound=None):
        self._gws = gws
        self.send_message = send_message
        self.until_sound = until_sound or gws.until_sound

    def __getattr__(self, name):
        return getattr(self._gws, name)


async def test_steps_marked_so_are_carried_out_after_completion():
    """``even_if_completed``: a CRM still wants to know."""
    house = build(
        rules(
            "complete: done",
            "set: {never: 'x'}",
            "log: never",
            "http: {get: 'http://crm.test/x'}\n        even_if_completed: true\n"
            "        on_error: [{log: tried}]",
            "log: over\n        even_if_completed: true",
        )
    )
    await talking(house)
    gws = house.gws["bot1"]

    async def completes(session_id):
        await gws.complete(session_id)
        await house.state("Completed", settle=False)

    object.__setattr__(house.dispatch._world, "agents", {"bot1": _Completing(gws, completes)})
    await house.say("x")

    kinds = [outcome.kind for outcome in house.outcomes()]
    assert kinds == [OutcomeKind.DONE, OutcomeKind.CANCELLED, OutcomeKind.FAILED]
    assert [s.text for s in house.sights if isinstance(s, Logged)] == ["over"]
    assert ends(house)[0].state is RunState.CANCELLED


class _Completing(_With):
    def __init__(self, gws, complete):
        super().__init__(gws, gws.send_message)
        self.complete = complete


# Chains ---------------------------------------------------------------------------------------

PING = """
version: 1
rules:
  - id: ping
    trigger: [{message: any}, {userdata: [pong], own: true}]
    do: [{set: {ping: "{{ session.userData.pong | default('') }}i"}}]
  - id: pong
    trigger: {userdata: [ping], own: true}
    do: [{set: {pong: "{{ session.userData.ping }}o"}}]
"""


async def shown_our_writes(house, times):
    """Let GWS show what was written, again and again."""
    shown = {}
    for _ in range(times):
        for done in house.gws["bot1"].named("UpdateUserData"):
            shown |= done.given
        session = ImSession("s1", "Talking", dict(shown), (Participant("3002", "3002"),))
        await house.hear(SessionNotice(session, house.clock.now(), "AttachedDataChanged"))
        await house.settle()


async def test_a_chain_of_rules_is_cut_behind_its_eighth_run():
    """Each sets the other off by what it writes; it says so, and the next message is answered."""
    house = build(PING)
    await talking(house)
    await house.say("x")
    await shown_our_writes(house, 30)

    assert len(house.gws["bot1"].named("UpdateUserData")) == DEEPEST + 1
    (no,) = house.suppressed()
    assert (no.reason, no.detail) == (Reason.CHAIN, "9 runs led to it, each by what it did")
    await house.say("y")
    assert house.suppressed() == [no]
