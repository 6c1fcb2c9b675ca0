"""The machine's clocks."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from imbot.clock import SystemClock


def test_moments_are_aware_and_in_utc():
    """A naive one would be read in somebody's own zone."""
    moment = SystemClock().now()

    assert moment.tzinfo is UTC
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=1)


def test_monotonic_seconds_never_run_backwards():
    """Deadlines are counted by them."""
    clock = SystemClock()

    assert clock.monotonic() <= clock.monotonic()


@pytest.mark.looptime
async def test_sleeping_lasts_as_long_as_the_loop_says():
    """On a virtual loop it takes no time at all."""
    loop = asyncio.get_running_loop()
    before = loop.time()

    await SystemClock().sleep(3600)

    assert loop.time() - before == 3600
