"""A flood loses nothing, keeps its order, and does not fill the memory."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from imbot.engine import backlog
from imbot.engine.backlog import Backlog
from imbot.engine.lanes import Lanes
from imbot.engine.tasks import Tasks
from imbot.records import EventSeen
from imbot.testing.memory_store import MemoryStore
from imbot.testing.virtual_loop import VirtualLoop
from tests.unit.store_samples import event

pytestmark = pytest.mark.looptime


class Flood:
    """A backlog whose events take their time, and a count of those in memory."""

    def __init__(self, *, takes_s=1.0):
        self.tasks, self.store = Tasks(), MemoryStore()
        self.lanes = Lanes(self.tasks.spawn)
        self.backlog = Backlog(self.lanes, self.store, self)
        self.takes_s, self.taken, self.most = takes_s, [], 0
        self._number = 0

    async def take(self, taken):
        """Take one event."""
        await asyncio.sleep(self.takes_s)
        self.taken.append(taken)
        self.most = max(self.most, self.lanes.waiting)
        return ()

    def come(self, session_id="s1", times=1):
        """Let events come, as dispatch gives them to the store and then here."""
        for _ in range(times):
            self._number += 1
            one = event(self._number, session_id=session_id)
            self.store.note((EventSeen(one),))
            self.backlog.add(one)
        self.most = max(self.most, self.lanes.waiting)
        return one

    async def settle(self):
        assert await self.tasks.drain(1e6)
        assert self.lanes.waiting == 0
        assert self.backlog.in_store == 0

    def numbers(self, session_id="s1"):
        return [one.id for one in self.taken if one.session.id == session_id]


@pytest.fixture
def small(monkeypatch):
    """Let few wait in memory."""
    monkeypatch.setattr(backlog, "IN_MEMORY", 50)
    monkeypatch.setattr(backlog, "OF_ONE_SESSION", 10)
    monkeypatch.setattr(backlog, "CHUNK", 4)


@pytest.mark.usefixtures("small")
async def test_what_is_too_much_waits_in_the_store_and_comes_in_order():
    flood = Flood()
    flood.come(times=500)
    assert flood.backlog.in_store == 500 - 10
    (reason,) = flood.backlog.reasons
    assert reason == "rules are slower than what comes: 501 events wait, 490 in the store"
    await flood.settle()

    assert flood.numbers() == [f"bot1-{number}" for number in range(1, 501)]
    assert flood.most <= 11
    assert flood.backlog.reasons == []


@pytest.mark.usefixtures("small")
async def test_what_comes_while_others_wait_in_the_store_comes_behind_them():
    flood = Flood()
    for _ in range(100):
        flood.come(times=3)
        await asyncio.sleep(1)
    await flood.settle()

    assert flood.numbers() == [f"bot1-{number}" for number in range(1, 301)]


@pytest.mark.usefixtures("small")
async def test_other_sessions_do_not_wait_for_a_flooded_one():
    flood = Flood()
    flood.come("s1", times=100)
    flood.come("s2")
    await asyncio.sleep(1.5)

    assert len(flood.numbers("s2")) == 1
    await flood.settle()


@pytest.mark.usefixtures("small")
async def test_many_sessions_together_fill_no_more_memory_either():
    flood = Flood()
    for number in range(30):
        flood.come(f"s{number}", times=20)
    await flood.settle()

    assert len(flood.taken) == 600
    # Besides those that may wait in memory, each session has what it fetches next.
    assert flood.most <= 50 + 30 * 5
    for number in range(30):
        assert flood.numbers(f"s{number}") == sorted(
            flood.numbers(f"s{number}"), key=lambda name: int(name.split("-")[1])
        )


@pytest.mark.usefixtures("small")
async def test_the_poll_is_held_back_for_a_while_and_no_longer(looptime):
    """GWS keeps what it has not sent, until it takes us for gone."""
    flood = Flood(takes_s=100.0)
    one = flood.come(times=5)
    await flood.backlog.make_room([one])
    assert looptime == 0

    one = flood.come(times=20)
    await flood.backlog.make_room([one])
    assert looptime == backlog.HOLD_S


@pytest.mark.usefixtures("small")
async def test_the_poll_goes_on_as_soon_as_there_is_room(looptime):
    flood = Flood(takes_s=0.1)
    one = flood.come(times=15)
    await flood.backlog.make_room([one])

    assert 0.5 < looptime < 2.0


@pytest.mark.usefixtures("small")
async def test_it_is_logged_when_it_begins_and_when_it_is_over():
    flood = Flood()
    with capture_logs() as logs:
        flood.come("s1", times=30)
        flood.come("s2", times=30)
        await flood.settle()

    assert [one["event"] for one in logs] == ["events.in_store", "events.caught_up"]


@pytest.mark.usefixtures("small")
async def test_a_stop_fetches_nothing_more():
    """The next start takes it up."""
    flood = Flood()
    flood.come(times=100)
    flood.backlog.hold_back()
    await flood.tasks.drain(1e6)

    assert len(flood.taken) == 10
    assert flood.backlog.in_store == 90


@pytest.mark.usefixtures("small")
async def test_what_is_not_found_any_more_is_waited_for_no_longer():
    """Bad rows go into quarantine; the session must go on."""
    flood = Flood()
    flood.backlog._store = MemoryStore()
    flood.come(times=30)
    await flood.settle()
    flood.come()
    await flood.settle()

    assert flood.numbers() == [f"bot1-{number}" for number in (*range(1, 11), 31)]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 40), st.floats(0, 30)), max_size=20),
    st.floats(0, 2),
)
def test_whatever_comes_is_taken_once_and_in_order(comes, takes_s):
    async def story():
        flood = Flood(takes_s=takes_s)
        for session_id, times, pause_s in comes:
            flood.come(session_id, times)
            await asyncio.sleep(pause_s)
        await flood.settle()
        for session_id in "abc":
            ours = flood.numbers(session_id)
            numbers = [int(name.split("-")[1]) for name in ours]
            assert numbers == sorted(set(numbers))
        assert len(flood.taken) == sum(times for _, times, _ in comes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backlog, "IN_MEMORY", 20)
        patch.setattr(backlog, "OF_ONE_SESSION", 5)
        patch.setattr(backlog, "CHUNK", 3)
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(story())
