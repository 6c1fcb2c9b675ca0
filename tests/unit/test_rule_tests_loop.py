"""Virtual time: what is due at one moment is done before the next, and nothing is waited for."""

import asyncio
import time

import pytest

from imbot.testing.virtual_loop import VirtualLoop


def run(main):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def test_a_day_passes_in_no_time():
    began = time.monotonic()

    async def sleep():
        for _ in range(1440):
            await asyncio.sleep(60)
        return asyncio.get_running_loop().time()

    assert run(sleep()) == pytest.approx(86_400)
    assert time.monotonic() - began < 5


def test_quiet_comes_when_all_is_done_that_takes_no_time():
    """Events of a test are played one after another, each to its end."""
    done = []

    async def work(name, pause_s):
        for _ in range(50):
            await asyncio.sleep(0)
        done.append(name)
        await asyncio.sleep(pause_s)
        done.append(f"{name} later")

    async def main():
        loop = asyncio.get_running_loop()
        tasks = [asyncio.create_task(work(name, 1)) for name in ("a", "b")]
        given_up = loop.quiet()
        given_up.cancel()
        await loop.quiet()
        assert (done, loop.time()) == (["a", "b"], 0)
        await asyncio.gather(*tasks)

    run(main())
    assert done == ["a", "b", "a later", "b later"]


def test_what_would_go_to_a_thread_is_done_at_once():
    """Threads would make each run another one."""

    async def main():
        fine = await asyncio.to_thread(lambda: 3)
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 / 0)
        return fine

    assert run(main()) == 3


def test_whoever_waits_for_nothing_is_told():
    """A test that hangs would be worse than one that fails."""

    async def main():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="nothing can happen any more"):
        run(main())


def test_somebody_else_may_wake_it():
    """Ctrl-C comes by this way."""

    async def main():
        loop = asyncio.get_running_loop()
        called = asyncio.Event()
        loop.call_soon_threadsafe(called.set)
        await called.wait()

    run(main())


def test_what_is_due_at_one_moment_is_done_in_the_order_in_which_it_was_set():
    """Else a heap would decide, and a test would depend on how many timers there are."""
    done = []

    async def main():
        loop = asyncio.get_running_loop()
        for n in range(100):
            loop.call_later(3, done.append, n)
        loop.call_later(1, done.append, "first")
        await asyncio.sleep(5)

    run(main())
    assert done == ["first", *range(100)]


def test_what_is_cancelled_takes_no_time():
    """A step has ten seconds; the day of a test must not wait for those that needed none."""

    async def main():
        loop = asyncio.get_running_loop()
        loop.call_later(10, int).cancel()
        await loop.quiet()
        await asyncio.sleep(1)
        return loop.time()

    assert run(main()) == 1
