"""``imbot doctor`` as a process of its own, beside a running imbot or alone."""

import asyncio
import json
import os
import signal
import sys

import pytest

from imbot.simulator import AgentAccount, Simulator, SimulatorSettings
from tests.wire.house import GREETING, running, settings_file, until

ENVIRONMENT = {**os.environ, "NO_COLOR": "1"}


@pytest.fixture
async def simulator():
    accounts = (
        AgentAccount(user="bot1", password="pw-bot1", number="1001"),
        AgentAccount(user="ann", password="pw-ann", number="3002"),
    )
    async with Simulator(SimulatorSettings(agents=accounts, poll_timeout_s=3)) as simulator:
        yield simulator


@pytest.fixture
async def patient_simulator():
    """A GWS that holds a poll for so long that even a busy machine interrupts it in time."""
    accounts = (AgentAccount(user="bot1", password="pw-bot1", number="1001"),)
    async with Simulator(SimulatorSettings(agents=accounts, poll_timeout_s=50)) as simulator:
        yield simulator


async def doctor(folder, *words):
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "imbot", "doctor", *words),
        cwd=folder,
        env=ENVIRONMENT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(process):
    """Return the exit code, the results by check, and the errors."""
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    results = [json.loads(line) for line in out.splitlines()]
    return process.returncode, {result["check"]: result for result in results}, err.decode()


def bayeux_sessions(simulator):
    return len(simulator._bayeux._sessions)


def is_polling(simulator):
    return any(one.poll is not None for one in simulator._bayeux._sessions.values())


async def test_before_the_first_start_all_is_looked_at_and_nothing_left_behind(tmp_path, simulator):
    settings_file(tmp_path, simulator.url)
    code, results, err = await ended(await doctor(tmp_path, "--format", "json"))

    assert (code, err) == (0, "")
    assert results["hold"]["grade"] == "ok"
    assert results["device"]["found"].endswith("LoggedOut")
    assert bayeux_sessions(simulator) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["imbot.yaml", "rules.yaml"]


async def test_a_running_imbot_is_not_disturbed(tmp_path, simulator):
    """Neither by default, nor where one of its agents is looked at on purpose."""
    async with running(tmp_path, simulator.url) as imbot:
        await imbot.up()
        before = len(simulator._logins)
        _, results, _ = await ended(await doctor(tmp_path, "--format", "json"))
        assert results["login"]["grade"] == "skipped"
        assert results["store"]["found"].endswith("an imbot uses it now")
        assert len(simulator._logins) == before

        named = await doctor(tmp_path, "--format", "json", "--agent", "bot1")
        await until(lambda: bayeux_sessions(simulator) > 1, what="the doctor's CometD session")
        session = simulator.world.ring("bot1", "3002")
        await until(lambda: imbot.outcomes("reply"), what="the greeting")
        _, results, _ = await ended(named)

        said = [entry for entry in simulator.world.log if entry.text == GREETING]
        assert results["hold"]["grade"] == "ok"
        assert len({entry.session for entry in said}) == 1, session
        assert imbot.app.agents["bot1"].is_up
        assert imbot.gaps() == ()
        await until(lambda: bayeux_sessions(simulator) == 1, what="the doctor's goodbye")


async def test_ctrl_c_ends_it_cleanly(tmp_path, patient_simulator):
    """It says goodbye to CometD, and what was found is counted."""
    simulator = patient_simulator
    settings_file(tmp_path, simulator.url)
    process = await doctor(tmp_path)
    await until(lambda: is_polling(simulator), what="a poll of the doctor")
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(30):
        _, err = await process.communicate()

    assert process.returncode == 128 + signal.SIGINT
    assert "broken off after" in err.decode()
    assert "Traceback" not in err.decode()
    assert bayeux_sessions(simulator) == 0


async def test_servers_that_we_did_not_write_are_well_too(tmp_path, start_foreign, foreign_kind):
    """What the doctor calls wrong must not be what only our simulator does right."""
    server = await start_foreign(foreign_kind, "--timeout-ms", "3000")
    settings_file(tmp_path, server.url)
    code, results, _ = await ended(await doctor(tmp_path, "--format", "json"))
    wrong = {name: each for name, each in results.items() if each["grade"] == "failed"}

    assert (code, wrong) == (0, {})
    assert results["hold"]["found"].startswith("answered after 3.0 s")
    assert results["ack"]["grade"] == ("ok" if foreign_kind.acks else "warning")
