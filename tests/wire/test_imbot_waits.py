"""A wait with imbot as a process: reloaded, killed and started again in the middle of it."""

import asyncio
import os
import signal
import sys
import time

import pytest

from imbot.simulator import Simulator, SimulatorSettings
from imbot.simulator.settings import AgentAccount
from tests.wire.house import Daemon, settings_file, tell, until

#: Seconds that the rule waits; two starts of imbot must fit into it.
WAIT_S = float(os.environ.get("IMBOT_WAIT_S", "12"))

#: imbot is as late as a poll and a timer may be on a machine that does other things, too.
LATE_S = 2.0

RULES = f"""
version: 1
rules:
  - id: patient
    trigger: {{state: Talking}}
    do:
      - reply: {{text: "One moment."}}
      - wait: {WAIT_S:g}s
      - reply: {{text: "Thank you for waiting."}}
"""
CHANGED = RULES.replace("Thank you for waiting", "Sorry").replace(f"{WAIT_S:g}s", "1s")
WRONG = RULES.replace("wait:", "wiat:")


@pytest.fixture
async def simulator():
    """A simulated GWS with one agent."""
    account = AgentAccount(user="bot1", password="pw-bot1", number="1001")
    async with Simulator(SimulatorSettings(agents=(account,))) as simulator:
        yield simulator


def heard(session):
    """Return the texts said in the session."""
    return [line.text for line in session.transcript]


@pytest.mark.timeout(90 + WAIT_S)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
async def test_reloaded_and_killed_in_a_wait_it_ends_on_time_on_its_old_version_once(
    simulator, tmp_path
):
    """What was promised to somebody changes neither with the files nor with the process."""
    world = simulator.world
    config = settings_file(tmp_path, simulator.url, rules=RULES, gws={"on_stop": "keep"})
    rules = tmp_path / "rules.yaml"
    async with Daemon(config) as daemon:
        await until(lambda: world.is_free("bot1"))
        session = world.session(world.ring("bot1", "3002"))
        await until(lambda: heard(session))
        began = time.monotonic()

        rules.write_text(WRONG)
        daemon.process.send_signal(signal.SIGHUP)
        await until(lambda: "did you mean 'wait'?" in daemon.text)
        assert '"reload.refused"' in daemon.text

        rules.write_text(CHANGED)
        await until(lambda: '"reload.done"' in daemon.text, what="the change of a file")
        await daemon.kill()
        await daemon.start()

        await until(lambda: len(heard(session)) == 2, within_s=WAIT_S + 10)
        took_s = time.monotonic() - began
        tell(f"waited {took_s:.2f} s of {WAIT_S:g} s")
        await asyncio.sleep(2.0)
        assert heard(session) == ["One moment.", "Thank you for waiting."]
        assert WAIT_S - 0.5 < took_s < WAIT_S + LATE_S, daemon.text

        world.complete(session.id)
        await until(lambda: world.is_free("bot1"))
        other = world.session(world.ring("bot1", "3003"))
        await until(lambda: heard(other) == ["One moment.", "Sorry."])
        assert await daemon.signal(signal.SIGTERM) == 0, daemon.text
