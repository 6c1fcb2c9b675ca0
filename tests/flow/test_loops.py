"""Whatever sets a bot off again by what it did comes to an end, visibly; people notice nothing."""

import asyncio
from contextlib import AsyncExitStack
from random import Random

import pytest

from imbot.engine.guard import INHUMAN_IN_A_ROW, LOOP_S, REPLIES_IN_A_ROW
from imbot.engine.planning import DEEPEST
from imbot.model import Reason
from imbot.simulator.journal import Happening
from tests.flow.stage import staged

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(120)]

CHATTY = """
version: 1
rules:
  - id: greet
    trigger: {state: Talking}
    once: session
    do: [{reply: "Hello, how can I help?"}]
  - id: answer
    trigger: {message: any}
    mode: queue
    do: [%s]
"""

ONE = '{reply: "I see. Tell me more, please."}'
TWO = f'{ONE}, {{reply: "And then? {{{{ message.text }}}}"}}'
SLOW = f"{{wait: 3s}}, {ONE}"
SAME = f"{{wait: 8s}}, {ONE}"


def suppressed(stage, name="imbot"):
    """Return how often each reason stands in a store."""
    with stage.views(name) as views:
        reasons = [no.reason for event in views.events() for no in event.suppressed]
    return {reason: reasons.count(reason) for reason in set(reasons)}


def said(stage):
    """Return how many messages each number has said, in its longest session."""
    counts = {}
    for session in stage.simulator.world.sessions():
        for line in session.transcript:
            counts[line.number] = counts.get(line.number, 0) + 1
    return counts


@pytest.mark.parametrize("mark", [True, False])
@pytest.mark.parametrize(("steps", "most"), [(ONE, 20), (TWO, 40), (SLOW, 22), (SAME, 22)])
async def test_two_bots_that_answer_each_other_stop(tmp_path, steps, most, mark):
    """With the mark almost at once; without it before anybody has said twenty things."""
    async with staged(tmp_path, users=("bot1", "bot2")) as stage:
        bots = [
            await stage.start(
                CHATTY % steps, users=(user,), name=f"of-{user}", delivery={"mark": mark}
            )
            for user in ("bot1", "bot2")
        ]
        await bots[0].app.agents["bot1"].initiate("1002", {})
        await stage.seconds(600)
        counts = said(stage)

        assert max(counts.values()) <= (4 if mark else most), counts
        assert min(counts.values()) >= 1
        assert any(Reason.LOOP in suppressed(stage, f"of-{user}") for user in ("bot1", "bot2"))


async def test_a_parrot_is_left_alone(stage):
    """It says what we said, so that each echo comes twice: once it is ours, once it is not."""
    await stage.start(CHATTY % ONE, delivery={"mark": False})
    call = stage.ring("3001")

    def parrot(entry):
        if entry.kind is Happening.MESSAGE and entry.agent:
            asyncio.get_running_loop().call_later(0.3, call.say, entry.text)

    stage.simulator.world.listen(parrot, session=call.id)
    await stage.seconds(300)

    assert 3 <= len(call.heard) <= REPLIES_IN_A_ROW
    assert suppressed(stage)[Reason.LOOP]


async def test_the_silence_holds_over_a_kill_and_ends_by_itself(stage):
    """And then a person who was taken for a bot gets an answer again."""
    imbot = await stage.start(CHATTY % ONE, delivery={"mark": False})
    call = stage.ring("3001")
    await stage.seconds(2)
    for _ in range(12):
        call.say("and?")
        await stage.seconds(0.5)
    heard = len(call.heard)
    assert imbot.app.health().suppressed["loop"]

    imbot.kill()
    await stage.start(CHATTY % ONE, delivery={"mark": False})
    call.say("still there?")
    await stage.seconds(5)
    assert len(call.heard) == heard

    await stage.seconds(LOOP_S)
    call.say("hello?")
    await stage.seconds(5)
    assert len(call.heard) == heard + 1


async def test_what_was_queued_when_a_loop_was_found_is_not_said(stage):
    """It was decided before; a thousand answers may wait behind one another."""
    slow = '{wait: 5s}, {reply: "I see."}'
    await stage.start(CHATTY % slow, delivery={"mark": False})
    call = stage.ring("3001")
    await stage.seconds(2)
    for n in range(100):
        call.say(f"line {n}")
        await stage.seconds(0.5)
    await stage.seconds(600)

    assert len(call.heard) <= INHUMAN_IN_A_ROW + 2
    with stage.views() as views:
        (history,) = views.session(call.id)
    assert suppressed(stage)[Reason.LOOP]
    assert len(history.runs) > 2 * INHUMAN_IN_A_ROW


# What our own doing brings ----------------------------------------------------------------------

CIRCLE = """
version: 1
rules:
  - id: ping
    trigger: [{state: Talking}, {userdata: [pong], own: true}]
    mode: parallel
    do: [{set: {ping: "{{ session.userData.pong | default('') }}i"}}]
  - id: pong
    trigger: {userdata: [ping], own: true}
    do: [{set: {pong: "{{ session.userData.ping | default('') }}o"}}]
"""


async def test_rules_that_set_each_other_off_by_what_they_write_are_cut(stage):
    """It takes the depth of a chain, and no clock."""
    imbot = await stage.start(CIRCLE)
    call = stage.ring("3001")
    await stage.seconds(60)

    assert len(stage.operations("UpdateUserData")) <= DEEPEST + 2
    assert suppressed(stage)[Reason.CHAIN] == imbot.app.health().suppressed["chain"] == 1
    assert not call.is_over


async def test_a_chain_is_not_begun_anew_by_a_kill(stage):
    """What had led to an event is kept with it."""
    imbot = await stage.start(CIRCLE)
    stage.ring("3001")
    for _ in range(6):
        await stage.seconds(0.15)
        imbot.kill()
        imbot = await stage.start(CIRCLE)
    await stage.seconds(60)

    writes = len(stage.operations("UpdateUserData"))
    assert writes <= 3 * (DEEPEST + 2), writes


CHAIN = """
version: 1
rules:
  - id: call_back
    trigger: {state: Completed}
    when: not session.userData.last
    do: [{initiate: {to: "3002"}}]
  - id: done
    trigger: {state: Talking}
    do: [{complete: done}]
"""


async def test_sessions_that_beget_sessions_end(stage):
    """Each that is over begins another one, for ever: nobody would stop ringing people."""
    await stage.start(CHAIN)
    call = stage.ring("3001")
    await stage.seconds(2)
    for _ in range(40):
        for session in stage.simulator.world.sessions():
            if session.is_live and session.is_ringing:
                stage.simulator.world.answer(session)
        await stage.seconds(5)

    begun = len(stage.operations("InitiateIMSession"))
    assert 3 <= begun <= DEEPEST + 1
    assert call.is_over
    assert suppressed(stage)[Reason.CHAIN] >= 1


# Floods -----------------------------------------------------------------------------------------


async def test_a_flood_is_answered_now_and_then_and_another_session_at_once(tmp_path):
    """A thousand messages a second: all are kept, few are decided on, nobody else waits."""
    rules = (
        (CHATTY % ONE)
        .replace("mode: queue", "mode: single")
        .replace("trigger: {message: any}", "trigger: {message: any}\n    loop_guard: false")
    )
    async with staged(tmp_path, users=("bot1", "bot2")) as stage:
        imbot = await stage.start(rules, users=("bot1", "bot2"))
        flood, other = stage.ring("3001"), stage.ring("3002", "bot2")
        await stage.seconds(2)
        for n in range(1000):
            flood.say(f"line {n}")
            if n % 100 == 99:
                await stage.seconds(0.1)
        other.say("hi")
        await stage.seconds(1)
        assert len(other.heard) == 2
        await stage.seconds(60)

        health = imbot.app.health()
        with stage.views() as views:
            events = views.events(session_id=flood.id)
        messages = [event for event in events if event.event.kind == "message"]
        assert len(messages) == 1000
        assert all(event.handled_at for event in messages)
        assert health.suppressed["flood"] >= 750
        flood.say("are you there?")
        await stage.seconds(2)
        assert flood.heard[-1] == "I see. Tell me more, please."


async def test_no_person_is_ever_held_back(tmp_path):
    """Hasty ones too: they pick from menus, and write one thought in several lines."""
    random = Random(20261122)  # noqa: S311  reproducible
    users = tuple(f"bot{n}" for n in range(1, 6))
    async with staged(tmp_path, users=users) as stage, AsyncExitStack():
        await stage.start((CHATTY % ONE).replace("mode: queue", "mode: parallel"), users=users)

        async def talk(number):
            for _ in range(4):
                call = stage.ring(f"4{number:03}", f"bot{number + 1}")
                await stage.seconds(3)
                lines = 0
                for _ in range(random.randint(1, 10)):
                    await stage.seconds(random.uniform(2, 40))
                    for _ in range(random.choice((1, 1, 1, 2, 4))):
                        call.say(f"line {lines}")
                        lines += 1
                        await stage.seconds(random.uniform(0.3, 2.5))
                await stage.seconds(5)
                assert len(call.heard) == lines + 1
                call.hang_up()
                await stage.seconds(2)

        await asyncio.gather(*(talk(number) for number in range(5)))
        assert suppressed(stage) == {}
