"""What is due is fired: on time, once, in order, and not all at once after a downtime."""

import asyncio
from datetime import UTC, datetime, timedelta

import looptime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.engine.timers import LONGEST_SLEEP_S, Timers
from imbot.records import TimerSet
from imbot.testing.time import START, LoopClock

pytestmark = pytest.mark.looptime


def timer(name, after_s):
    return TimerSet(name, "run", START + timedelta(seconds=after_s))


class Fired:
    """Timers that note when each was fired, in seconds from the start."""

    def __init__(self, clock=None):
        self.clock = clock or LoopClock()
        self.seen = []
        self.timers = Timers(self.clock, self._note)

    def _note(self, one):
        after_s = (self.clock.now() - START).total_seconds()
        self.seen.append((one.id, round(after_s, 3)))


async def test_each_is_fired_at_its_moment_whatever_the_order_of_setting():
    fired = Fired()
    fired.timers.set(timer("c", 3))
    fired.timers.start()
    for name, after_s in (("b", 2), ("a", 1), ("d", 400.5)):
        fired.timers.set(timer(name, after_s))

    await asyncio.sleep(500)

    assert fired.seen == [("a", 1), ("b", 2), ("c", 3), ("d", 400.5)]
    assert len(fired.timers) == 0
    await fired.timers.close()


async def test_a_later_one_of_the_same_id_takes_its_place_and_a_cancelled_one_is_gone():
    fired = Fired()
    fired.timers.start()
    for name in ("moved", "gone"):
        fired.timers.set(timer(name, 1))
    fired.timers.set(timer("moved", 2))

    assert fired.timers.cancel("gone")
    assert not fired.timers.cancel("gone")
    assert fired.timers.get("gone") is None
    assert fired.timers.get("moved").due_at == START + timedelta(seconds=2)
    await asyncio.sleep(10)

    assert fired.seen == [("moved", 2)]
    await fired.timers.close()


async def test_who_fires_may_set_and_cancel():
    """A schedule sets its next firing; a run that goes on cancels its time-out."""
    fired = Fired()

    def fire(one):
        fired._note(one)
        fired.timers.cancel("other")
        if len(fired.seen) < 1000:
            fired.timers.set(timer("tick", len(fired.seen) * 60))

    fired.timers._fire = fire
    fired.timers.start()
    fired.timers.set(timer("tick", 0))
    fired.timers.set(timer("other", 0))
    await asyncio.sleep(86_400)

    assert fired.seen == [("tick", n * 60) for n in range(1000)]
    await fired.timers.close()


async def test_what_fell_due_before_the_start_is_spread_and_keeps_nothing_waiting():
    """After a downtime GWS is not stormed, and what is due now does not stand in that queue."""
    fired = Fired()
    for n in reversed(range(500)):
        fired.timers.set(timer(f"late {n}", n - 1000))
    fired.timers.start()
    fired.timers.set(timer("now", 0))
    fired.timers.set(timer("later", 1.01))
    fired.timers.set(timer("more", -2000))
    await asyncio.sleep(60)

    late = [(name, at) for name, at in fired.seen if name.startswith("late ")]
    assert [name for name, _ in late] == [f"late {n}" for n in range(500)]
    assert [at for _, at in late] == [round(n * 0.02, 3) for n in range(500)]
    assert [one for one in fired.seen if one not in late] == [
        ("now", 0),
        ("later", 1.01),
        ("more", 10),
    ]
    await fired.timers.close()


async def test_what_is_set_in_the_past_later_on_is_fired_at_once():
    fired = Fired()
    fired.timers.start()
    await asyncio.sleep(100)
    fired.timers.set(timer("a", 50))
    fired.timers.set(timer("b", 45))
    await asyncio.sleep(1)

    assert fired.seen == [("b", 100), ("a", 100)]
    await fired.timers.close()


async def test_the_farthest_moment_is_no_trouble():
    """A sleep of thousands of years would overflow what the machine waits with."""
    fired = Fired()
    fired.timers.set(TimerSet("never", "run", datetime.max.replace(tzinfo=UTC)))
    fired.timers.start()
    await asyncio.sleep(86_400)

    assert fired.seen == []
    assert len(fired.timers) == 1
    await fired.timers.close()


class SteppedClock(LoopClock):
    """A clock that somebody sets while it runs."""

    step = timedelta()

    def now(self):
        return super().now() + self.step


async def test_a_clock_that_is_put_forward_is_noticed_soon():
    fired = Fired(SteppedClock())
    fired.timers.set(timer("noon", 7200))
    fired.timers.start()
    await asyncio.sleep(10)
    fired.clock.step = timedelta(hours=2)
    await asyncio.sleep(LONGEST_SLEEP_S)

    assert [name for name, _ in fired.seen] == ["noon"]
    await fired.timers.close()


async def test_what_a_sleeping_machine_missed_is_spread_too():
    """A thousand waits that a lid closed over are no reason to storm GWS when it opens."""
    fired = Fired(SteppedClock())
    fired.timers.start()
    for n in range(500):
        fired.timers.set(timer(f"late {n}", 10 + n))
    fired.timers.set(timer("now", 8 * 3600 - 1))
    await asyncio.sleep(5)
    fired.clock.step = timedelta(hours=8)
    await asyncio.sleep(60)

    ats = [round(at - 8 * 3600, 3) for name, at in fired.seen if name.startswith("late ")]
    assert ats == [round(10 + n * 0.02, 3) for n in range(500)]
    assert fired.seen[0] == ("now", 8 * 3600 + 10)
    assert len(fired.timers) == 0
    await fired.timers.close()


@pytest.mark.parametrize("began_late", [0, 3], ids=["nothing missed", "with something missed"])
async def test_a_clock_that_is_put_back_lets_nothing_fire_too_soon(began_late):
    """A machine may start with its clock an hour ahead; a wait of 30 s is one all the same."""
    fired = Fired(SteppedClock())
    for n in range(began_late):
        fired.timers.set(timer(f"late {n}", -10))
    fired.timers.start()
    await asyncio.sleep(0.03)
    fired.clock.step = timedelta(hours=-1)
    fired.timers.set(timer("wait", 30 - 3600))
    await asyncio.sleep(29)
    assert [name for name, _ in fired.seen] == [f"late {n}" for n in range(began_late)]
    await asyncio.sleep(2)

    assert fired.seen[-1] == ("wait", 30 - 3600)
    await fired.timers.close()


async def test_nothing_is_fired_before_the_start_or_after_the_end():
    fired = Fired()
    await fired.timers.close()
    fired.timers.set(timer("a", 1))
    await asyncio.sleep(5)
    assert fired.seen == []

    fired.timers.start()
    await fired.timers.close()
    await asyncio.sleep(5)
    assert fired.seen == []
    assert len(fired.timers) == 1


async def test_whoever_started_learns_what_firing_raised():
    """A store that fails must stop imbot, and not just its timers."""

    def fire(_):
        raise OSError("the disk is full")

    timers = Timers(LoopClock(), fire)
    timers.set(timer("a", 1))
    timers.set(timer("b", 1))
    with pytest.raises(OSError, match="disk"):
        await timers.start()
    timers.set(timer("c", 1))
    await asyncio.sleep(5)
    assert [name for name in "abc" if timers.get(name)] == ["b", "c"]
    await timers.close()


async def test_what_was_moved_often_leaves_nothing_behind():
    """A silence is measured anew at each message; the heap must not keep every one of them."""
    fired = Fired()
    fired.timers.start()
    for n in range(10_000):
        fired.timers.set(timer("silence", 300 + n))

    assert len(fired.timers._heap) < 200
    await asyncio.sleep(20_000)
    assert fired.seen == [("silence", 10_299)]
    await fired.timers.close()


_IDS = st.sampled_from("abcde")
_STEPS = st.lists(
    st.tuples(st.just("set"), _IDS, st.integers(0, 90))
    | st.tuples(st.just("cancel"), _IDS, st.just(0))
    | st.tuples(st.just("pass"), st.just(""), st.integers(1, 100)),
    max_size=40,
)


def by_list(steps):
    """Do the same with a list that is sorted each time."""
    now, seen, pending = 0, [], {}
    for number, (what, name, seconds) in enumerate([*steps, ("pass", "", 1000)]):
        if what == "set":
            pending[name] = (now + seconds, number)
        elif what == "cancel":
            pending.pop(name, None)
        else:
            now += seconds
            due = sorted((due, n, name) for name, (due, n) in pending.items() if due < now)
            seen += [(name, at) for at, _, name in due]
            pending = {key: value for key, value in pending.items() if value[0] >= now}
    return seen


async def by_timers(steps):
    fired = Fired()
    fired.timers.start()
    now = 0
    for what, name, seconds in [*steps, ("pass", "", 1000)]:
        if what == "set":
            fired.timers.set(timer(name, now + seconds))
        elif what == "cancel":
            fired.timers.cancel(name)
        else:
            # Half a second before, so that nothing is due in the very moment of a step.
            await asyncio.sleep(seconds - (0.5 if now == 0 else 0))
            now += seconds
    await fired.timers.close()
    return fired.seen


@pytest.mark.looptime(False)
@given(_STEPS)
def test_timers_do_what_a_sorted_list_does(steps):
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        assert runner.run(by_timers(steps)) == by_list(steps)
