"""Whatever a plugin does, its step ends, and soon after its deadline."""

import asyncio
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import RootModel
from structlog.testing import capture_logs

from imbot.model import OutcomeKind
from imbot.plugin import action
from imbot.strangers import AT_MOST, GRACE_S, Strangers
from imbot.testing.house import build
from imbot.testing.virtual_loop import VirtualLoop

pytestmark = pytest.mark.looptime

LIMIT_S = 10.0


def now():
    return asyncio.get_running_loop().time()


async def quick():
    await asyncio.sleep(1)
    return "done"


async def hangs():
    await asyncio.get_running_loop().create_future()


async def tidies_up():
    try:
        await hangs()
    finally:
        await asyncio.sleep(1.5)


async def goes_on_in_a_loop():
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


async def catches_everything(until):
    while not until.done():
        try:
            await asyncio.shield(until)
        except BaseException:  # noqa: S112, BLE001  this is the fault
            continue


async def goes_on_for_long():
    for _ in range(2):  # the third time comes with the end of the test
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


async def waits_for_one_that_goes_on():
    await asyncio.create_task(goes_on_for_long())


async def waits_for_one_that_catches_everything(until):
    await asyncio.create_task(catches_everything(until))


async def test_what_is_done_in_time_returns_what_it_returns():
    assert await Strangers().run("x", LIMIT_S, quick()) == "done"


async def test_what_it_raises_is_raised():
    async def raises():
        raise LookupError("no")

    with pytest.raises(LookupError):
        await Strangers().run("x", LIMIT_S, raises())


@pytest.mark.parametrize(
    ("work", "took_s"),
    [
        (hangs, LIMIT_S),
        (tidies_up, LIMIT_S + 1.5),
        (goes_on_in_a_loop, LIMIT_S + GRACE_S),
        (waits_for_one_that_goes_on, LIMIT_S + GRACE_S),
    ],
)
async def test_what_is_out_of_time_is_ended_or_given_up(work, took_s):
    """A step that never ends would hold its session for ever."""
    with pytest.raises(TimeoutError):
        await Strangers().run("x", LIMIT_S, work())

    assert now() == pytest.approx(took_s)


async def test_what_ignores_its_cancellation_does_nothing_more():
    """It would act after its step was told as failed, and perhaps done again."""
    acted = []

    async def acts_late():
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue
            acted.append(now())

    strangers = Strangers()
    with capture_logs() as logs, pytest.raises(TimeoutError):
        await strangers.run("x", LIMIT_S, acts_late())
    await asyncio.sleep(600)

    assert acted == []
    assert strangers.told() == {}
    assert [one["event"] for one in logs] == ["action.ignores_cancellation"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_not_even_what_catches_everything_goes_on():
    """It is left standing where it is, and nothing wakes it any more."""
    strangers, until = Strangers(), asyncio.get_running_loop().create_future()
    with pytest.raises(TimeoutError):
        await strangers.run("x", LIMIT_S, catches_everything(until))
    await asyncio.sleep(1)

    assert strangers.told() == {}


async def test_nothing_ends_the_process():
    async def asks_to():
        sys.exit(3)

    with pytest.raises(RuntimeError, match=r"wants the process to end \(3\)"):
        await Strangers().run("x", LIMIT_S, asks_to())


async def test_of_what_cannot_be_ended_no_more_is_begun_until_it_ends():
    strangers, until = Strangers(), asyncio.get_running_loop().create_future()
    for number in range(1, AT_MOST + 1):
        assert strangers.why_not("x") == ""
        with pytest.raises(TimeoutError):
            await strangers.run("x", LIMIT_S, waits_for_one_that_catches_everything(until))
        assert strangers.told() == {"x": number}

    assert strangers.why_not("x") == f"{AT_MOST} runs of x cannot be ended"
    assert strangers.why_not("y") == ""
    until.set_result(None)
    await asyncio.sleep(1)
    assert strangers.why_not("x") == ""
    assert strangers.told() == {}


@pytest.mark.parametrize("work", [hangs, goes_on_in_a_loop, waits_for_one_that_goes_on])
async def test_a_stop_does_not_wait_for_it(work):
    running = asyncio.create_task(Strangers().run("x", LIMIT_S, work()))
    await asyncio.sleep(1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert now() <= 1 + GRACE_S + 0.01


async def test_a_result_that_comes_while_it_is_ended_counts():
    """What was done was done, and shall not be done again."""

    async def late():
        try:
            await hangs()
        except asyncio.CancelledError:
            return "done"

    assert await Strangers().run("x", LIMIT_S, late()) == "done"


async def test_what_it_began_is_ended_before_it_hears_of_its_own_end():
    """As everywhere in asyncio: who waits for a task sees how that ended."""
    heard = []

    async def child():
        try:
            await hangs()
        finally:
            await asyncio.sleep(1)
            heard.append("child")

    async def parent():
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(child())
        finally:
            heard.append("parent")

    with pytest.raises(TimeoutError):
        await Strangers().run("x", LIMIT_S, parent())
    assert heard == ["child", "parent"]


async def test_a_deadline_of_its_own_is_its_own():
    async def within_a_second():
        try:
            async with asyncio.timeout(1):
                await hangs()
        except TimeoutError:
            await asyncio.sleep(0)
            return "too slow"

    assert await Strangers().run("x", LIMIT_S, within_a_second()) == "too slow"
    assert now() == 1


async def test_what_it_waits_for_raises_where_it_waits():
    async def child():
        await asyncio.sleep(1)
        raise LookupError("no")

    async def parent():
        try:
            await asyncio.create_task(child())
        except LookupError as error:
            return str(error)

    assert await Strangers().run("x", LIMIT_S, parent()) == "no"


async def test_a_process_is_not_ended_later_either():
    async def asks_to():
        await asyncio.sleep(1)
        sys.exit(3)

    with pytest.raises(RuntimeError, match="wants the process to end"):
        await Strangers().run("x", LIMIT_S, asks_to())


async def test_what_gives_others_a_turn_hears_of_its_end_too():
    async def spins():
        while True:
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                await asyncio.sleep(100)

    running = asyncio.create_task(Strangers().run("x", LIMIT_S, spins()))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert now() == pytest.approx(GRACE_S)


@given(st.lists(st.sampled_from([quick, hangs, tidies_up, goes_on_in_a_loop]), max_size=8))
def test_any_of_them_side_by_side_are_over_in_time(works):
    async def story():
        strangers = Strangers()
        runs = (strangers.run("x", LIMIT_S, work()) for work in works)
        await asyncio.gather(*runs, return_exceptions=True)
        assert now() <= LIMIT_S + GRACE_S + 0.01
        assert strangers.told() == {}

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(story())


class Text(RootModel[str]):
    """What an action is given."""


def book(name):
    """Return a rule with one step, an action of this name."""
    return f"""
version: 1
rules:
  - id: r
    trigger: {{message: any}}
    mode: parallel
    max: 10
    do: [{{{name}: x, on_error: [{{reply: failed}}]}}, {{reply: over}}]
"""


async def test_what_an_action_leaves_behind_cannot_act_after_its_step():
    """Its step is done, or is tried again: whatever comes now would come twice, or unseen."""
    tasks = []

    @action("odd.late", args=Text)
    async def leaves_a_task_behind(ctx, _args):
        async def late():
            await asyncio.sleep(1)
            await ctx.im.send_message("late")

        tasks.append(asyncio.create_task(late()))

    house = build(book("odd.late"), actions={"odd.late": leaves_a_task_behind})
    await house.state("Talking")
    await house.say("hello")
    await asyncio.sleep(5)

    (task,) = tasks
    assert "its step is over" in str(task.exception())
    assert house.said() == ["over"]


async def test_an_action_that_cannot_be_ended_is_not_begun_again():
    """Each would keep what it holds; a thousand of them would be the end."""
    until, begun = asyncio.get_running_loop().create_future(), []

    @action("odd.stuck", args=Text, deadline_s=5)
    async def stuck(_ctx, _args):
        begun.append(now())
        await waits_for_one_that_catches_everything(until)

    house = build(book("odd.stuck"), actions={"odd.stuck": stuck})
    await house.state("Talking")
    for _ in range(AT_MOST + 1):
        await house.say("hello")
        await asyncio.sleep(10)

    assert len(begun) == AT_MOST
    details = [one.detail for one in house.outcomes() if one.kind is OutcomeKind.FAILED]
    assert details[:AT_MOST] == ["odd.stuck took longer than 5 s"] * AT_MOST
    assert details[AT_MOST:] == [
        f"{AT_MOST} runs of odd.stuck cannot be ended; imbot must be started again"
    ]
    until.set_result(None)
    await asyncio.sleep(1)
