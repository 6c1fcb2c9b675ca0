"""A limit for what waits; what is done at once needs none."""

import asyncio
import time

import pytest

from imbot.engine.deadlines import within
from imbot.testing.virtual_loop import VirtualLoop


def run(main):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


async def slow(seconds, ends):
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        ends.append("cancelled")
        raise
    ends.append("done")
    return len(ends)


def test_what_is_done_at_once_sets_no_alarm():
    """A day of a test has thousands of steps that wait for nothing."""

    async def main():
        asyncio.get_running_loop().call_at = None  # whoever sets one fails
        return await within(0.5, asyncio.sleep(0, 3))

    async def at_once():
        return 3

    with pytest.raises(TypeError):
        run(main())

    async def other():
        asyncio.get_running_loop().call_at = None
        return await within(0.5, at_once())

    assert run(other()) == 3


def test_work_that_waits_returns_what_it_does_and_is_cancelled_when_its_time_is_over():
    ends = []

    async def main():
        first = await within(10, slow(9, ends))
        with pytest.raises(TimeoutError):
            await within(10, slow(11, ends))
        return first, asyncio.get_running_loop().time()

    assert run(main()) == (1, 19)
    assert ends == ["done", "cancelled"]


def test_what_the_work_waits_for_fails_in_the_work():
    """It may know what to do about it."""

    async def work(failing):
        try:
            await failing
        except ValueError:
            await asyncio.sleep(1)
            return "mended"

    async def main():
        loop = asyncio.get_running_loop()
        failing = loop.create_future()
        loop.call_later(1, failing.set_exception, ValueError())
        return await within(5, work(failing))

    assert run(main()) == "mended"


def test_what_the_work_raises_before_and_after_it_waits_is_raised():
    async def work(pause_s):
        if pause_s:
            await asyncio.sleep(pause_s)
        raise ZeroDivisionError

    async def main():
        for pause_s in (0, 1):
            with pytest.raises(ZeroDivisionError):
                await within(5, work(pause_s))

    run(main())


def test_who_is_cancelled_from_outside_is_cancelled_and_not_late():
    ends = []

    async def main():
        task = asyncio.create_task(within(10, slow(9, ends)))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert ends == ["cancelled"]


async def test_time_before_the_first_wait_counts():
    """What keeps the thread for too long has used up its time."""

    async def work():
        time.sleep(0.02)  # noqa: ASYNC251  it keeps the thread
        await asyncio.sleep(30)

    with pytest.raises(TimeoutError):
        await within(0.01, work())
