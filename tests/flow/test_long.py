"""Long times and long talks: days without anybody, and bots that talk to bots."""

import asyncio

import pytest

from tests.flow.stage import GREETING, staged

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(180)]

DAY_S = 24 * 3600

CHATTERBOX = """
version: 1
rules:
  - id: hello
    trigger: {state: Talking}
    do: [{reply: "Hello, I am {{ bot.instance }}."}]
  - id: answer
    trigger: {message: any}
    do: [{reply: "You said {{ message.text | truncate(60) }}"}]
"""


async def test_a_day_without_anybody_change_nothing(stage):
    """Held polls, renewed logins, and not one object more than before."""
    imbot = await stage.start(GREETING)
    for _ in range(120):
        call = stage.ring("3001")
        await stage.seconds(2)
        call.hang_up()
        await stage.seconds(1)
    await stage.seconds(600)
    before = sizes(imbot)

    await stage.seconds(DAY_S)

    agent = imbot.app.agents["bot1"]
    assert agent.is_up
    assert agent.status.gaps == 0
    assert sizes(imbot) == before
    assert before["sessions"] <= 100
    call = stage.ring("3001")
    await stage.seconds(2)
    assert len(call.heard) == 1


def sizes(imbot):
    """Return what must not grow with time."""
    app = imbot.app
    world = app.dispatch._world
    return {
        "tasks": len(asyncio.all_tasks()),
        "sessions": len(app.table),
        "aliases": len(app.table._aliases),
        "lanes": len(app.dispatch._lanes),
        "echoes": len(world.echoes._awaited) + len(world.echoes._proven),
        "talks": len(world.guard._talks),
        "waits": len(app.dispatch._actor.prover._changed),
        "doubts": len(app.dispatch._actor.prover._doubts),
        "buckets": len(app.dispatch._flow.runs.past.floods._buckets),
        "ledgers": len(app.dispatch._flow.runs),
        "turns": len(app.dispatch._flow.runs.past.turns),
    }


@pytest.mark.parametrize(("mark", "most"), [(True, 3), (False, 20)], ids=["mark", "no mark"])
async def test_two_imbots_that_talk_to_each_other_stop(tmp_path, mark, most):
    """With the mark at once; without it their haste gives them away."""
    async with staged(tmp_path, users=("bot1", "bot2")) as stage:
        delivery = {"mark": mark}
        await stage.start(CHATTERBOX, users=("bot1",), name="one", delivery=delivery)
        await stage.start(CHATTERBOX, users=("bot2",), name="two", delivery=delivery)
        world = stage.simulator.world
        session = world.initiate(world.agent("bot1"), "1002", {})

        await stage.seconds(3600)

        said = [line.number for line in session.transcript]
        assert 1 <= said.count("1001") <= most
        assert 1 <= said.count("1002") <= most
        assert session.is_live
