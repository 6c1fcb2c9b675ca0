import asyncio
import sys

import pytest

from imbot.gws.flag import Flag


async def test_who_waits_goes_on_when_it_is_raised():
    flag = Flag()
    waits = [asyncio.create_task(flag.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(wait.done() for wait in waits)
    flag.set()
    await asyncio.gather(*waits)
    assert flag.is_set()


async def test_nobody_waits_for_one_that_is_up():
    flag = Flag()
    flag.set()
    await flag.wait()
    flag.clear()
    assert not flag.is_set()


async def test_one_raised_and_lowered_at_once_lets_go_on_all_the_same():
    """What was waited for has happened."""
    flag = Flag()
    wait = asyncio.create_task(flag.wait())
    await asyncio.sleep(0)
    flag.set()
    flag.set()
    flag.clear()
    await wait


async def test_who_gives_up_is_forgotten_and_the_others_wait_on():
    flag = Flag()
    first, second = asyncio.create_task(flag.wait()), asyncio.create_task(flag.wait())
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert len(flag._waiting) == 1
    flag.set()
    await second
    assert flag._waiting == ()


def test_it_is_small():
    event = asyncio.Event()
    size = sys.getsizeof(event._waiters) + sys.getsizeof(event)
    assert sys.getsizeof(Flag()) < size / 5
