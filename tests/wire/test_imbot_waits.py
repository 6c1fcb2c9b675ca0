"""Waits with imbot as a process: reloaded, killed and started again in the middle of them."""

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

#: A wait in every place where one may stand; each leaves its word in the user data.
EVERYWHERE = f"""
version: 1
blocks:
  pause:
    inputs: {{word: text}}
    do: [{{wait: {WAIT_S:g}s}}, {{set: {{block: "{{{{ word }}}}"}}}}]
rules:
  - id: patient
    trigger: {{state: Talking}}
    do:
      - reply: One moment.
      - parallel:
          - [{{call: {{block: pause, with: {{word: old}}}}}}]
          - [{{wait: {WAIT_S + 1:g}s}}, {{set: {{branch: "old"}}}}]
          - - set: {{never: "{{{{ session.userData.none }}}}"}}
              on_error: [{{wait: {WAIT_S:g}s}}, {{set: {{handler: "old {{{{ error.kind }}}}"}}}}]
          - - wait_for: {{message: {{contains: hello}}}}
              timeout: {WAIT_S + 1:g}s
              as: told
            - set: {{answer: "old {{{{ told.timed_out }}}}"}}
          - - http: {{put: "http://127.0.0.1:9/nobody", json: {{}}}}
              retry: {{times: 2, backoff: {WAIT_S - 2:g}s..{WAIT_S - 2:g}s}}
              on_error: [{{set: {{attempts: "old {{{{ error.kind }}}}"}}}}]
      - reply: Thank you.
"""
LEFT = {
    "block": "old",
    "branch": "old",
    "handler": "old permanent",
    "answer": "old true",
    "attempts": "old temporary",
}


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


@pytest.mark.timeout(150 + WAIT_S)
@pytest.mark.parametrize("after", ["changed", "gone"])
async def test_killed_twice_in_waits_of_every_kind_each_ends_once_on_its_old_version(
    simulator, tmp_path, after
):
    """In a branch, a block, an on_error, for an answer, and before another attempt."""
    world = simulator.world
    allow = {"allow": ["http://127.0.0.1:9"]}
    stays = {"gws": {"on_stop": "keep"}, "http": allow}
    config = settings_file(tmp_path, simulator.url, rules=EVERYWHERE, **stays)
    later = EVERYWHERE.replace("old", "new").replace("Thank you", "Sorry")
    async with Daemon(config) as daemon:
        await until(lambda: world.is_free("bot1"))
        session = world.session(world.ring("bot1", "3002"))
        await until(lambda: heard(session))
        began = time.monotonic()
        await asyncio.sleep(0.5)
        await daemon.kill()
        text = later if after == "changed" else "version: 1\nrules: []\n"
        (tmp_path / "rules.yaml").write_text(text)
        for starts in (2, 3):
            await daemon.start()
            await until(lambda n=starts: daemon.text.count("imbot.recovered") == n, within_s=60)
            if starts == 2:
                await daemon.kill()
        await until(lambda: daemon.text.count('"agent.up"') >= 2, within_s=60)
        back_s = time.monotonic() - began

        await until(lambda: len(heard(session)) == 2, within_s=WAIT_S + 20)
        took_s = time.monotonic() - began
        tell(f"waited {took_s:.2f} s, back after {back_s:.2f} s")
        await asyncio.sleep(1.0)
        assert heard(session) == ["One moment.", "Thank you."]
        assert {name: session.user_data.get(name) for name in LEFT} == LEFT
        assert "never" not in session.user_data
        assert WAIT_S + 0.5 < took_s < max(WAIT_S + 1, back_s) + LATE_S, daemon.text


@pytest.mark.timeout(90)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not let everybody make links")
async def test_rules_of_a_config_map_are_reloaded_when_it_is_turned(simulator, tmp_path):
    """Kubernetes makes a new folder and turns one link; a turn that is wrong changes nothing."""
    config = settings_file(tmp_path, simulator.url, rules=RULES, gws={"on_stop": "keep"})
    config.write_text(config.read_text().replace("rules.yaml", "rules"))
    mounted = tmp_path / "rules"
    mounted.mkdir()

    def turn(number, text):
        folder = mounted / f"..{number}"
        folder.mkdir()
        (folder / "ours.yaml").write_text(text)
        (mounted / "..next").symlink_to(folder.name)
        (mounted / "..next").replace(mounted / "..data")

    turn(1, RULES)
    (mounted / "ours.yaml").symlink_to("..data/ours.yaml")
    async with Daemon(config) as daemon:
        await until(lambda: simulator.world.is_free("bot1"))
        turn(2, WRONG)
        await until(lambda: '"reload.refused"' in daemon.text, what="a wrong turn")
        turn(3, CHANGED)
        await until(lambda: '"changed": ["patient"]' in daemon.text, what="a right turn")
