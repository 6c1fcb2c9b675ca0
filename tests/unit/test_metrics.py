"""Metrics: what is counted, and that nothing people say is in them."""

import re
from collections import deque

import aiohttp
import pytest

from imbot.admin.health import Health
from imbot.admin.metrics import Metrics
from imbot.admin.server import AdminServer
from imbot.admin.site import Site
from imbot.clock import SystemClock
from imbot.engine.watching import Happened, Kept, all_of
from imbot.errors import PermanentError
from imbot.model import ConnectionChange, ConnectionNotice, MessageNotice
from imbot.testing.house import build
from imbot.testing.time import LoopClock

pytestmark = pytest.mark.looptime

HEALTH = Health(
    *("degraded", (), 3, 2, {"sync": "http failed"}, 0.25),
    parked=4,
    quarantined=5,
    undocumented={"state": 6, "field": 0},
    sessions=7,
)

RULES = """
version: 1
rules:
  - id: greet
    trigger: {state: Talking}
    once: session
    do: [{reply: "Hello there"}]
  - id: answer
    trigger: {message: any}
    do: [{reply: "to {{ message.text }}"}]
"""


def samples(metrics, health=HEALTH):
    """Return every sample by its name and labels."""
    found = {}
    for line in metrics.text(health).decode().splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            found[name] = float(value)
    return found


def counted(house):
    metrics = Metrics(house.clock)
    for sight in house.sights:
        metrics.watch(sight)
    return metrics


async def test_what_is_done_is_counted():
    house = build(RULES)
    await house.state("Talking")
    await house.say("secret words")
    house.gws["bot1"].failures = deque([PermanentError("no")])
    await house.say("again")
    await house.hear(MessageNotice("s1", "Hello there", house.clock.now(), sender="bot1"))
    await house.settle()

    found = samples(counted(house))

    assert found['imbot_events_total{kind="message"}'] == 2
    assert found['imbot_runs_started_total{rule="answer",shadow="false"}'] == 2
    assert found['imbot_steps_total{action="reply",outcome="done"}'] == 2
    assert found['imbot_steps_total{action="reply",outcome="parked"}'] == 1
    assert found['imbot_runs_ended_total{state="done"}'] == 2
    assert found['imbot_step_seconds_count{action="reply"}'] == 2
    assert found['imbot_echo_seconds_count{rule="greet"}'] == 1


async def test_what_matched_and_did_not_run_is_counted_with_its_reason():
    house = build(RULES.replace("{message: any}", "{message: any}\n    once: session"))
    await house.state("Talking")
    await house.say("a")
    await house.say("b")

    found = samples(counted(house))

    assert found['imbot_suppressed_total{reason="once",rule="answer"}'] == 1


async def test_broken_subscriptions_and_gaps_are_counted():
    house = build(RULES)
    await house.state("Talking")
    for change in (ConnectionChange.LOST, ConnectionChange.RESTORED, ConnectionChange.GAP):
        await house.hear(ConnectionNotice(change, house.clock.now(), "402", 7.0))
    await house.settle()

    found = samples(counted(house))

    assert (found["imbot_lost_total"], found["imbot_gaps_total"]) == (1, 1)


def test_how_long_commits_take_is_counted():
    metrics = Metrics(LoopClock())
    metrics.watch(Kept(3, 0.3))
    metrics.watch(Kept(4, 0.001))

    found = samples(metrics)

    assert found["imbot_changes_total"] == 7
    assert found["imbot_commit_seconds_count"] == 2
    assert found['imbot_commit_seconds_bucket{le="0.25"}'] == 1


def test_what_gws_says_that_is_not_documented_is_counted_from_nothing_on():
    """What first shows as 1 is no increase, and no alert fires."""
    found = samples(Metrics(LoopClock()))

    assert found['imbot_undocumented_total{kind="state"}'] == 6
    assert found['imbot_undocumented_total{kind="field"}'] == 0
    assert found["imbot_sessions"] == 7


def test_how_imbot_is_doing_is_in_them():
    found = samples(Metrics(LoopClock()), Health("safe-mode", (), 3, 2))

    assert found['imbot_status{status="safe-mode"}'] == 1
    assert found['imbot_status{status="ready"}'] == 0
    assert (found["imbot_agents"], found["imbot_agents_up"]) == (3, 2)


async def test_no_name_and_no_word_of_a_person_is_in_them():
    house = build(RULES)
    await house.state("Talking", "s-4711", customer="Erika")
    await house.say("secret words", "s-4711")

    text = counted(house).text(HEALTH).decode()

    assert not re.search("secret|Erika|s-4711|bot1|3002", text)


async def test_echoes_of_what_nobody_remembers_are_not_measured(monkeypatch):
    """What is remembered is bounded."""
    monkeypatch.setattr("imbot.admin.metrics._REMEMBERED", 1)
    house = build(RULES)
    await house.state("Talking")
    await house.say("x")
    await house.hear(MessageNotice("s1", "Hello there", house.clock.now(), sender="bot1"))
    await house.settle()

    assert not [name for name in samples(counted(house)) if name.startswith("imbot_echo_seconds_c")]


def test_two_watchers_see_the_same():
    one, other = [], []
    all_of(one.append, other.append)(Happened("event"))

    assert one == other == [Happened("event")]


async def test_metrics_are_served_beside_health():
    metrics = Metrics(LoopClock())
    async with (
        AdminServer(
            Site("127.0.0.1:0"), lambda: HEALTH, SystemClock(), metrics=metrics.text
        ) as server,
        aiohttp.ClientSession() as client,
        client.get(f"{server.url}/metrics") as reply,
    ):
        assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert "imbot_parked 4.0" in await reply.text()
