"""A loop that stands still is noticed while it does, and who stands in its way is named."""

import asyncio
import re
import threading
import time
import types

from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from imbot.watchdog import (
    GROWN_MIB,
    GROWN_TIMES,
    TOLD_S,
    WARM_UP_S,
    Growth,
    Watchdog,
    resident_mib,
)


def plugin_that(source):
    """Return a module of somebody's plugin."""
    module = types.ModuleType("imbot_plugin_1234_crm")
    exec(source, module.__dict__)  # noqa: S102  a plugin of the test's own
    return module


async def test_a_plugin_that_blocks_the_loop_is_named_while_it_does():
    """Nobody else is served meanwhile, and afterwards nothing would tell why."""
    plugin = plugin_that("import time\ndef block(seconds):\n    time.sleep(seconds)")
    with capture_logs() as logs, Watchdog({"imbot_plugin_1234_crm": "crm"}) as dog:
        await asyncio.sleep(0.3)
        assert dog.lag_s < 1.0
        assert dog.reasons == []

        plugin.block(2.0)
        await asyncio.sleep(0.6)

        (reason,) = dog.reasons
        assert re.fullmatch(r"the event loop was blocked by the plugin crm for [2-4]\.\d s", reason)
        assert dog.lag_s > 1.0
    assert [(one["event"], one["log_level"]) for one in logs] == [
        ("process.blocked", "error"),
        ("process.free", "warning"),
    ]
    assert logs[0]["plugin"] == "crm"
    assert "in block" in logs[0]["stack"]


async def test_a_block_by_nobody_known_is_told_with_its_stack():
    with capture_logs() as logs, Watchdog({}) as dog:
        time.sleep(1.9)  # noqa: ASYNC251  this is the fault
        assert dog.reasons == ["the event loop was blocked"]
    assert logs[0]["plugin"] == ""
    assert "test_a_block_by_nobody" in logs[0]["stack"]


async def test_what_is_over_is_told_for_a_minute():
    now = 0.0
    with Watchdog({}, clock=lambda: now) as dog:
        dog._blocked, dog._blocked_until = "the event loop was blocked for 2.0 s", 10.0
        dog._worst = 2.0, 10.0
        now = 10.0 + TOLD_S - 1
        assert dog.reasons
        assert dog.lag_s == 2.0
        now += 1
        assert not dog.reasons
        assert dog.lag_s == 0.0


async def test_growing_memory_is_told_once():
    now, rss = 0.0, 100

    with (
        capture_logs() as logs,
        Watchdog({}, clock=lambda: now, rss_mib=lambda: rss) as dog,
    ):
        await asyncio.sleep(0.4)
        now, rss = WARM_UP_S + 1, 5_000
        await asyncio.sleep(0.8)
        assert "memory has grown from 100 to 5000 MiB" in dog.reasons
    told = [one for one in logs if one["event"] == "process.memory_grown"]
    assert [one["cause"] for one in told] == ["memory has grown from 100 to 5000 MiB"]


def test_memory_is_measured_where_the_system_tells_it():
    assert resident_mib() > 10


def test_growth_is_told_again_at_each_doubling_and_no_more_when_it_is_over():
    growth = Growth()
    growth.note(100, 0.0)
    after = WARM_UP_S

    limit = GROWN_TIMES * 100 + GROWN_MIB
    assert not growth.note(limit, after)
    assert growth.note(limit + 1, after)
    assert not growth.note(limit + 200, after)
    assert growth.told
    assert growth.note(2 * (limit + 1) + 1, after)
    assert not growth.note(120, after)
    assert not growth.told


@given(st.lists(st.integers(1, 10_000), min_size=1), st.lists(st.integers(1, 1_000_000)))
def test_what_stays_within_twice_its_beginning_is_never_told(early, late):
    growth = Growth()
    for number, rss_mib in enumerate(early):
        assert not growth.note(rss_mib, WARM_UP_S * number / (len(early) + 1))
    most = max(early)
    for rss_mib in late:
        is_told = growth.note(rss_mib, WARM_UP_S)
        assert not is_told or rss_mib > GROWN_TIMES * most + GROWN_MIB


async def test_nothing_is_left_when_it_ends():
    before = threading.active_count()
    with Watchdog({}):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
