"""Work in lanes: in order within one, side by side across, and nobody waits for who is slow."""

import asyncio

import pytest

from imbot.engine.lanes import Lanes
from imbot.engine.tasks import Tasks
from imbot.errors import StoreError
from imbot.model import SessionKey

pytestmark = pytest.mark.looptime

A, B = SessionKey("bot1", "a"), SessionKey("bot1", "b")


class Done:
    """Lanes whose work notes when it is over, in seconds."""

    def __init__(self):
        self.tasks = Tasks()
        self.lanes = Lanes(self.tasks.spawn)
        self.seen = []

    def work(self, name, seconds=0.0, *, releases=False, then=()):
        async def work(release):
            if releases:
                release()
                release()
            await asyncio.sleep(seconds)
            self.seen.append((name, asyncio.get_running_loop().time()))
            return then or None

        return work

    async def settle(self):
        await self.tasks.drain(3600)
        assert len(self.lanes) == 0


async def test_work_is_in_order_within_a_lane_and_side_by_side_across():
    done = Done()
    for name, key, seconds in (("1", A, 2), ("2", A, 1), ("3", B, 2.5)):
        done.lanes.add(key, done.work(name, seconds))
    assert len(done.lanes) == 2
    await done.settle()

    assert done.seen == [("1", 2), ("3", 2.5), ("2", 3)]


async def test_what_comes_of_a_piece_of_work_is_done_right_after_it_and_in_order():
    """The runs of an event come before the next event."""
    done = Done()
    runs = [done.work("run 1"), done.work("run 2")]
    done.lanes.add(A, done.work("event 1", then=runs))
    done.lanes.add(A, done.work("event 2"))
    await done.settle()

    assert [name for name, _ in done.seen] == ["event 1", "run 1", "run 2", "event 2"]


async def test_whoever_releases_its_lane_keeps_nobody_waiting():
    """A step that waits a minute must not hold up what the other party says next."""
    done = Done()
    done.lanes.add(A, done.work("long", 60, releases=True))
    done.lanes.add(A, done.work("next", 1))
    await asyncio.sleep(10)
    assert (done.seen, len(done.lanes)) == ([("next", 1)], 0)

    done.lanes.add(A, done.work("later", 55))
    await asyncio.sleep(52)
    assert (done.seen[-1], len(done.lanes)) == (("long", 60), 1)
    await done.settle()
    assert done.seen[-1] == ("later", 65)


async def test_what_goes_wrong_with_one_piece_of_work_does_not_stop_the_next():
    done = Done()

    async def fail(_release):
        raise ZeroDivisionError("a bug")

    done.lanes.add(A, fail)
    done.lanes.add(A, done.work("next"))
    done.lanes.beside(fail)
    done.lanes.beside(done.work("beside"))
    await done.settle()

    assert sorted(name for name, _ in done.seen) == ["beside", "next"]


@pytest.mark.parametrize("releases", [True, False])
async def test_a_store_that_fails_ends_the_lane_and_is_told(releases):
    """Nothing may be promised any more."""
    done = Done()

    async def fail(release):
        if releases:
            release()
        raise StoreError("disk full")

    done.lanes.add(A, fail)
    await done.settle()

    assert str(done.tasks.failed.result()) == "disk full"
