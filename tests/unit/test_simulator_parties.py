"""Other parties, scripted and random, in virtual time: no HTTP, no waiting."""

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from imbot.simulator.agents import UserState
from imbot.simulator.faults import Faults
from imbot.simulator.journal import Happening
from imbot.simulator.parties import Complete, Expect, Manners, Say, Wait, chatter, play
from imbot.simulator.settings import AgentAccount, SimulatorSettings
from imbot.simulator.world import World

pytestmark = pytest.mark.looptime

ACCOUNTS = tuple(AgentAccount(user=f"bot{n}", password="pw", number=f"100{n}") for n in (1, 2))


class LoopClock:
    """The running loop's time."""

    def now(self):
        return datetime(2026, 1, 5, tzinfo=UTC) + timedelta(seconds=self.monotonic())

    def monotonic(self):
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds):
        await asyncio.sleep(seconds)


@pytest.fixture
def stage():
    """Return a function that makes a world with its agents logged in, and a clock."""

    def make(faults=None):
        clock = LoopClock()
        world = World(
            SimulatorSettings(agents=ACCOUNTS, faults=faults or Faults()),
            clock=clock,
            random=Random(1),  # noqa: S311 - reproducible
            later=lambda s, callback: asyncio.get_running_loop().call_later(s, callback),
        )
        for agent in world.agents:
            world.set_user_state(agent, UserState.NOT_READY)
        return world, clock

    return make


def parrot(world):
    """Let every agent answer each line of an outside party."""

    def answer(entry):
        if entry.kind is Happening.MESSAGE and not entry.agent:
            session = world.session(entry.session)
            text = f"you said {entry.text}"
            asyncio.get_running_loop().call_soon(
                lambda: session.is_live and world.send(session.agents[0], session, text)
            )

    world.listen(answer)


async def test_a_script_is_followed_to_its_end(stage, looptime):
    world, clock = stage()
    parrot(world)
    script = [Say("hello"), Expect("SAID hello"), Wait(7), Say("bye"), Expect(), Complete()]
    conversation = await play(
        world, clock, agent="bot1", number="3002", script=script, user_data={"tier": "gold"}
    )

    session = world.session(conversation.session_id)
    assert conversation.heard == ("you said hello", "you said bye")
    assert conversation.missed == ()
    assert session.user_data == {"tier": "gold"}
    assert not session.is_live
    assert looptime == 7


async def test_what_was_expected_in_vain_is_reported(stage, looptime):
    world, clock = stage()
    script = [Expect("greeting", timeout_s=5), Say("nobody there?")]
    conversation = await play(world, clock, agent="bot1", number="3002", script=script)

    assert conversation.missed == ("greeting",)
    assert looptime == 5


async def test_a_message_is_expected_once(stage):
    """Two expectations in a row need two messages."""
    world, clock = stage()
    parrot(world)
    script = [Say("a"), Expect("a"), Expect("a", timeout_s=1)]
    conversation = await play(world, clock, agent="bot1", number="3002", script=script)

    assert conversation.missed == ("a",)


async def test_a_busy_agent_is_no_conversation(stage):
    world, clock = stage()
    world.ring("bot1", "3009")

    conversation = await play(world, clock, agent="bot1", number="3002", script=[Say("x")])
    assert conversation.session_id == ""


async def test_a_party_waits_for_an_answer_and_gives_up(stage, looptime):
    world, clock = stage(Faults(alerting_answer={"next": 1}))
    unanswered = await play(
        world, clock, agent="bot1", number="3002", script=[Say("x")], answer_timeout_s=3
    )

    assert unanswered.missed == ("<answer>",)
    assert looptime == 3
    assert world.is_free("bot1")


async def test_a_party_speaks_once_it_was_answered(stage, looptime):
    world, clock = stage(Faults(auto_answer_s=2))
    conversation = await play(world, clock, agent="bot1", number="3002", script=[Say("x")])

    assert [line.text for line in world.session(conversation.session_id).transcript] == ["x"]
    assert looptime == 2


async def test_a_script_ends_when_the_agent_hangs_up(stage):
    world, clock = stage(Faults(not_answered=True))
    conversation = await play(world, clock, agent="bot1", number="3002", script=[Say("x")])

    assert conversation.missed == ()
    assert world.session(conversation.session_id).transcript == []


async def test_a_party_stops_expecting_when_the_agent_hangs_up(stage, looptime):
    world, clock = stage()
    asyncio.get_running_loop().call_later(2, lambda: world.complete(world.sessions()[0].id))
    script = [Expect("hello"), Say("x")]
    conversation = await play(world, clock, agent="bot1", number="3002", script=script)

    assert conversation.missed == ("hello",)
    assert looptime == 2


async def test_random_parties_visit_free_agents_and_the_same_seed_talks_alike(stage):
    async def talk():
        world, clock = stage()
        parrot(world)
        random = Random(5)  # noqa: S311 - reproducible
        found = await chatter(world, clock, random=random, manners=Manners(), sessions=10)
        return [
            (session.agents[0].user, [line.text for line in session.transcript])
            for session in map(world.session, (one.session_id for one in found))
        ]

    first = await talk()
    assert len(first) == 10
    assert {agent for agent, _ in first} == {"bot1", "bot2"}
    assert first == await talk()


async def test_random_parties_wait_while_nobody_is_free(stage, looptime):
    world, clock = stage()
    ids = [world.ring(user, "3009") for user in ("bot1", "bot2")]
    asyncio.get_running_loop().call_later(60, lambda: [world.complete(one) for one in ids])
    random = Random(5)  # noqa: S311 - reproducible
    await chatter(world, clock, random=random, manners=Manners(), sessions=1)

    assert looptime >= 60


async def test_endless_chatter_ends_when_cancelled(stage):
    world, clock = stage()
    random = Random(5)  # noqa: S311 - reproducible
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(100):
            await chatter(world, clock, random=random, manners=Manners())

    assert len(world.sessions()) > 3
    assert sum(session.is_live for session in world.sessions()) == 0
