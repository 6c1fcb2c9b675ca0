"""Stops, kills and starts: whatever was under way, everybody is greeted once or it is told."""

import asyncio

import pytest

from imbot.gws.status import AgentState
from imbot.store.copies import back_up, restore
from tests.flow.stage import GREETING, staged

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(180)]

HELLO = "Hello 3001, you reached Robin. How can I help?"
GOODBYE = "Thank you, and goodbye."

REMINDER = """
version: 1
rules:
  - id: remind
    trigger: {state: Talking}
    once: session
    do: [{wait: 60s}, {reply: "Are you still there?"}]
"""

#: A greeting takes about 60 ms from the ring to the tag: every 4 ms of it, and some later.
MOMENTS_S = [*(place * 0.008 for place in range(10)), 0.2, 1.0]


@pytest.mark.parametrize("ack", [True, False], ids=["ack", "no ack"])
async def test_killed_at_any_moment_of_a_greeting_it_is_heard_once_or_parked(tmp_path, ack):
    """There is no good moment for kill -9."""
    async with staged(tmp_path, ack=ack) as stage:
        imbot = await stage.start(GREETING)
        heard = []
        for moment_s in MOMENTS_S:
            call = stage.ring("3001")
            await stage.seconds(moment_s)
            imbot.kill()
            await stage.seconds(0.5)
            imbot = await stage.start(GREETING)
            await stage.seconds(100)
            heard.append(len(call.heard))
            with stage.views() as views:
                parked = [effect.intent.session_id for effect in views.parked()]
            assert call.heard in ([HELLO], []), moment_s
            assert call.heard or call.id in parked, f"forgotten when killed at {moment_s} s"
            call.hang_up()
            await stage.seconds(2)
        assert 1 in heard


async def test_killed_at_any_moment_of_a_goodbye_nothing_is_said_twice(stage):
    """The words are kept before they are acknowledged."""
    imbot = await stage.start(GREETING)
    for moment_s in MOMENTS_S:
        call = stage.ring("3001")
        await stage.seconds(2)
        call.say("bye")
        await stage.seconds(moment_s)
        imbot.kill()
        await stage.seconds(0.5)
        imbot = await stage.start(GREETING)
        await stage.seconds(100)

        assert call.heard in ([HELLO, GOODBYE], [HELLO]), moment_s
        with stage.views() as views:
            parked = [effect.intent.session_id for effect in views.parked()]
            gaps = [gap for gap in views.gaps() if call.id in gap.session_ids]
        assert call.is_over or call.id in parked or gaps, f"forgotten when killed at {moment_s} s"
        if not call.is_over:
            call.hang_up()
        await stage.seconds(2)


async def test_a_clean_stop_in_the_middle_finishes_what_it_began(stage):
    """SIGTERM while a greeting is on its way: it is said, tagged, and not said again."""
    imbot = await stage.start(GREETING, gws={"on_stop": "keep"})
    call = stage.ring("3001")
    await stage.seconds(0.02)
    await imbot.stop()
    said = len(call.heard)

    await stage.start(GREETING, gws={"on_stop": "keep"})
    await stage.seconds(5)

    assert said <= 1
    assert call.heard == [HELLO]
    assert call.user_data == {"greeted": "yes"}


@pytest.mark.parametrize(("leftovers", "heard"), [("adopt", [HELLO]), ("complete", [])])
async def test_a_session_that_was_there_before_imbot(stage, leftovers, heard):
    """The settings say whether it is served or ended."""
    first = await stage.start(GREETING, name="first", gws={"on_stop": "keep"})
    await first.stop()
    call = stage.ring("3001")
    await stage.seconds(5)

    await stage.start(GREETING, gws={"leftovers": leftovers})
    await stage.seconds(5)

    assert call.heard == heard
    assert call.is_over is (leftovers == "complete")


async def test_two_imbots_never_share_a_store(stage):
    """The second would do everything again."""
    await stage.start(GREETING)

    with pytest.raises(Exception, match=r"imbot\.db"):
        await stage.launch(GREETING)


@pytest.mark.parametrize("begins", ["before the copy", "after the copy"])
async def test_a_restored_store_says_nothing_twice(stage, begins):
    """What was said since the copy was made is not in it."""
    url, base = "sqlite:///imbot.db", stage.folder
    imbot = await stage.start(GREETING, REMINDER)
    if begins == "before the copy":
        call = stage.ring("3001")
        await stage.seconds(10)
    back_up(url, base / "copy.db", base=base, tell=lambda _done, _pages: None)
    if begins == "after the copy":
        call = stage.ring("3001")
    await stage.seconds(100)
    imbot.kill()
    said = list(call.heard)
    assert said == [HELLO, "Are you still there?"]

    restore(base / "copy.db", base / "imbot.db", stage.clock.now())
    await stage.start(GREETING, REMINDER)
    await stage.seconds(100)

    assert call.heard == said
    with stage.views() as views:
        (gap,) = views.gaps()
        assert gap.session_ids == (call.id,)


async def test_a_second_ctrl_c_leaves_nothing_running(stage):
    """What went on would find the store closed, and say so in tracebacks."""
    imbot = await stage.start(GREETING)
    stage.faults(hang={"probability": 1, "only": ["SendMessage"]})
    call = stage.ring("3001")
    await stage.seconds(1)

    await imbot.stop_at_once()

    assert not imbot.is_running
    assert [task for task in asyncio.all_tasks() if belongs_to_imbot(task)] == []
    assert imbot.app.agents["bot1"].status.state is AgentState.STOPPED
    stage.faults()
    await stage.start(GREETING)
    await stage.seconds(240)
    with stage.views() as views:
        assert call.heard or [effect.intent.session_id for effect in views.parked()] == [call.id]


def belongs_to_imbot(task):
    """Whether a task is the app's, the engine's or an agent's."""
    rooms = ("imbot/app.py", "imbot/engine/", "imbot/gws/", "imbot/bayeux/")
    return any(room in task.get_coro().cr_code.co_filename for room in rooms)
