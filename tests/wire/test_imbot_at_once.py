"""What a person stops is stopped when they are told so, and they are told within a second.

The moment that counts is the answer: whatever the other party says from then on gets no reply.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest

from imbot.simulator import Faults, Simulator, SimulatorSettings
from imbot.simulator.journal import Happening
from imbot.simulator.settings import AgentAccount
from tests.machine import own_s
from tests.wire.house import Daemon, settings_file, tell, until

TOKEN = "a-token-of-the-settings"
AT_ONCE_S = 1.0
TIMES, AGENTS, RULES_EACH = 5, 20, 10

ANSWER = """
version: 1
calendars: {shop: {timezone: UTC, open: {mon-sun: "00:00-24:00"}}}
rules:
  - {id: answer, trigger: {message: any}, when: open("shop"), do: [{reply: "Yes?"}]}
"""

QUEUED = "version: 1\nrules:\n" + "".join(
    f"  - {{id: r{n}, trigger: {{message: any}}, do: [{{wait: 200ms}}, {{reply: answer {n}}}]}}\n"
    for n in range(RULES_EACH)
)


@dataclass
class Steered:
    """``imbot run`` as a process, what steers it, and the other parties."""

    simulator: Simulator
    daemon: Daemon
    http: aiohttp.ClientSession
    url: str
    sessions: list[str]

    async def ask(self, method, path, body=None) -> float:
        """Return the seconds that an answer took."""
        began = own_s()
        heads = {"Authorization": f"Bearer {TOKEN}"}
        async with self.http.request(method, self.url + path, json=body, headers=heads) as reply:
            told = await reply.text()
            assert reply.status == 200, told
        return own_s() - began

    async def command(self, *words) -> float:
        """Return the seconds that a command took, the start of its interpreter and all."""
        began = own_s()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "imbot", *words),
            cwd=self.daemon.output.parent,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        told, _ = await process.communicate()
        assert process.returncode == 0, told
        return own_s() - began

    def said(self) -> int:
        """Return how many messages of ours GWS has carried out."""
        log = self.simulator.world.log
        ours = [one for one in log if one.kind is Happening.MESSAGE and one.number.startswith("1")]
        return len(ours)

    async def is_answered(self, *, within_s: float) -> bool:
        """Say something in the first session; return whether anything is said to it."""
        before = self.said()
        self.simulator.world.say(self.sessions[0], "hi")
        try:
            await until(lambda: self.said() > before, within_s=within_s)
        except TimeoutError:
            return False
        return True


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture
async def steered(tmp_path, request) -> AsyncIterator[Steered]:
    rules, agents = request.param
    users = [f"bot{n}" for n in range(agents)]
    accounts = tuple(
        AgentAccount(user=user, password=f"pw-{user}", number=str(1000 + n))
        for n, user in enumerate(users)
    )
    admin = {"listen": f"127.0.0.1:{free_port()}", "token": TOKEN}
    async with (
        Simulator(SimulatorSettings(agents=accounts, seed=1)) as simulator,
        aiohttp.ClientSession() as http,
    ):
        path = settings_file(tmp_path, simulator.url, agents=users, rules=rules, admin=admin)
        environment = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
        async with Daemon(path, environment=environment) as daemon:
            await until(lambda: daemon.text.count("agent.up") == agents, within_s=40)
            world = simulator.world
            sessions = [world.ring(user, str(3000 + n)) for n, user in enumerate(users)]
            await until(lambda: all(world.session(one).state == "Talking" for one in sessions))
            url = f"http://{admin['listen']}/api/v1"
            yield Steered(simulator, daemon, http, url, sessions)


HALT = [("PUT", "/halt", {}), ("DELETE", "/halt", None)]
CLOSE = [("PUT", "/calendars/shop", {"closed": closed}) for closed in (True, False)]


@pytest.mark.timed
@pytest.mark.parametrize("steered", [(ANSWER, 1)], indirect=True)
@pytest.mark.parametrize(("stops", "goes_on"), [HALT, CLOSE], ids=["halt", "close"])
async def test_the_api_stops_at_once(steered, stops, goes_on):
    took = []
    for _ in range(TIMES):
        took.append(await steered.ask(*stops))
        assert not await steered.is_answered(within_s=AT_ONCE_S)
        await steered.ask(*goes_on)
        assert await steered.is_answered(within_s=10)
    tell(f"{stops[1]}: answered within {max(took) * 1000:.0f} ms, {TIMES} times")
    assert max(took) < AT_ONCE_S


@pytest.mark.timed
@pytest.mark.parametrize("steered", [(ANSWER, 1)], indirect=True)
@pytest.mark.parametrize(
    ("stops", "goes_on"),
    [(("halt", "a test"), ("release",)), (("close", "shop"), ("reopen", "shop"))],
)
async def test_the_command_line_stops_at_once(steered, stops, goes_on):
    """The command ends with the answer; most of what it takes is Python beginning."""
    assert await steered.is_answered(within_s=10)
    took = await steered.command(*stops)
    assert not await steered.is_answered(within_s=AT_ONCE_S)
    await steered.command(*goes_on)
    assert await steered.is_answered(within_s=10)
    tell(f"imbot {stops[0]}: {took:.2f} s, all of the process")
    assert took < AT_ONCE_S


@pytest.mark.timed
@pytest.mark.timeout(120)
@pytest.mark.parametrize("steered", [(QUEUED, AGENTS)], indirect=True)
async def test_two_hundred_queued_replies_are_stopped(steered):
    """What is on the wire goes out: one reply of each session at most."""
    slow = {"probability": 1.0, "only": ["SendMessage"]}
    steered.simulator.faults = Faults(slow_drip=slow, drip_s=0.01)
    for session in steered.sessions:
        steered.simulator.world.say(session, "hi")
    await until(lambda: steered.said() >= AGENTS, within_s=30)
    took = await steered.ask("PUT", "/halt", {})
    before = steered.said()
    await asyncio.sleep(5)
    after = steered.said()
    queued = AGENTS * RULES_EACH
    tell(f"{queued} queued, {before} said when it was answered after {took:.2f} s, {after} at last")
    assert took < AT_ONCE_S
    assert before < queued // 2
    assert after - before <= AGENTS
