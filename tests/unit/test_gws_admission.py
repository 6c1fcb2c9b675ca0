"""One after the other, slower while it does not work, and as fast as before when it does."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imbot.errors import Fault, FaultClass, PermanentError, TemporaryError
from imbot.gws.admission import BURST, LOGINS_PER_S, ONE_REQUEST, Admission
from imbot.testing.time import LoopClock
from imbot.testing.virtual_loop import VirtualLoop

pytestmark = pytest.mark.looptime

BUSY = TemporaryError("503", fault=Fault(FaultClass.SERVER, http_status=503))
DENIED = TemporaryError("no", fault=Fault(FaultClass.AUTH))


async def log_in(admission, error=None, *, takes_s=0.0):
    """Log in, and return when the turn came."""
    async with admission.login():
        at = asyncio.get_running_loop().time()
        await asyncio.sleep(takes_s)
        if error is not None:
            raise error
    return at


async def fail(admission, error=BUSY, **how):
    with pytest.raises(type(error)):
        await log_in(admission, error, **how)


async def test_those_who_come_together_begin_one_after_another():
    """A thousand requests at one moment are what a server that has just started dies of."""
    admission = Admission(LoopClock())

    turns = await asyncio.gather(*(log_in(admission) for _ in range(300)))

    assert turns == sorted(turns)
    for first, last in zip(turns, turns[100:], strict=False):
        assert last - first >= (100 - BURST) / LOGINS_PER_S - 1e-6


async def test_whoever_comes_alone_waits_for_nothing():
    admission = Admission(LoopClock())
    await asyncio.gather(*(log_in(admission) for _ in range(50)))
    await asyncio.sleep(1)

    before = asyncio.get_running_loop().time()
    assert await log_in(admission) == before


async def test_only_so_many_log_in_at_the_same_time():
    admission = Admission(LoopClock(), places=2)

    turns = await asyncio.gather(*(log_in(admission, takes_s=1.0) for _ in range(6)))

    assert [round(turn) for turn in turns] == [0, 0, 1, 1, 2, 2]


async def test_the_rate_halves_while_the_server_is_overloaded_and_rises_with_each_success():
    admission = Admission(LoopClock())
    rates = []
    for _ in range(8):
        await asyncio.sleep(2)
        await fail(admission)
        rates.append(admission.per_s)
    assert rates == [50, 25, 12.5, 6.25, 3.125, 1.5625, 1, 1]

    for _ in range(500):
        await log_in(admission)
    assert admission.per_s == LOGINS_PER_S


async def test_what_fails_together_slows_down_once():
    """Fifty refusals of one moment say that the server is busy, once."""
    admission = Admission(LoopClock())
    await asyncio.sleep(2)

    await asyncio.gather(*(fail(admission, takes_s=1.5) for _ in range(50)))

    assert admission.per_s == 50


@pytest.mark.parametrize("error", [DENIED, PermanentError("feature off")])
async def test_a_refusal_that_has_nothing_to_do_with_load_slows_nobody_down(error):
    admission = Admission(LoopClock())
    await asyncio.sleep(2)
    await fail(admission, error)

    assert admission.per_s == LOGINS_PER_S


async def test_one_request_takes_a_tenth_of_a_turn():
    admission = Admission(LoopClock())

    await asyncio.gather(*(admission.turn(ONE_REQUEST) for _ in range(1000)))

    took_s = asyncio.get_running_loop().time()
    assert took_s == pytest.approx((1000 * ONE_REQUEST - BURST) / LOGINS_PER_S, abs=0.05)


async def test_whoever_gives_up_waiting_takes_no_turn():
    admission = Admission(LoopClock())
    await asyncio.gather(*(log_in(admission) for _ in range(BURST)))
    waiting = [asyncio.create_task(log_in(admission)) for _ in range(200)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)

    before = asyncio.get_running_loop().time()
    assert await log_in(admission) <= before + 2 / LOGINS_PER_S


@given(st.lists(st.sampled_from([None, BUSY, DENIED]), max_size=40))
@settings(deadline=None)
def test_no_history_stops_the_logins_or_lets_them_storm(history):
    """Whatever went wrong before, the next turn comes within a second."""

    async def story():
        admission = Admission(LoopClock())
        for error in history:
            before = asyncio.get_running_loop().time()
            if error is None:
                await log_in(admission)
            else:
                await fail(admission, error)
            assert asyncio.get_running_loop().time() <= before + 1.0
            assert 1.0 <= admission.per_s <= LOGINS_PER_S

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(story())
