"""What systemd is told, and the unit that it is given."""

import asyncio
import os
import socket
import subprocess
from pathlib import Path

import pytest

from imbot.systemd import Supervisor
from imbot.testing.time import LoopClock
from tests.machine import program

UNIT = Path(__file__).parents[2] / "deploy" / "imbot.service"


@pytest.fixture
def ear(tmp_path):
    """A socket as systemd listens on, and where it is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.setblocking(False)
        listening.bind(str(tmp_path / "notify"))
        yield listening, str(tmp_path / "notify")


def heard(listening):
    found = []
    try:
        while True:
            found.append(listening.recv(4096).decode().split("\n"))
    except BlockingIOError:
        return found


def test_ready_and_stopping_are_told_in_the_words_of_sd_notify(ear):
    listening, where = ear
    supervisor = Supervisor({"NOTIFY_SOCKET": where})

    supervisor.ready("3 agents,\nREADY=0")
    supervisor.stopping()

    assert heard(listening) == [["READY=1", "STATUS=3 agents, READY=0"], ["STOPPING=1"]]


def test_an_abstract_name_begins_with_an_at_sign():
    name = f"imbot-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.setblocking(False)
        listening.bind(f"\0{name}")
        Supervisor({"NOTIFY_SOCKET": f"@{name}"}).stopping()
        assert heard(listening) == [["STOPPING=1"]]


@pytest.mark.parametrize("named", ["", "relative", "/nowhere/at/all", "/" + "x" * 300])
def test_whoever_does_not_listen_is_not_told(named):
    Supervisor({"NOTIFY_SOCKET": named, "WATCHDOG_USEC": "1000000"}).ready("x")


@pytest.mark.looptime
async def test_alive_is_told_twice_in_the_time_that_systemd_waits(ear):
    listening, where = ear
    environment = {"NOTIFY_SOCKET": where, "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "7"}
    alive = asyncio.create_task(Supervisor(environment, pid=7).keep_alive(LoopClock()))
    await asyncio.sleep(61)
    alive.cancel()

    assert heard(listening) == [["WATCHDOG=1"]] * 3


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"},
    ],
)
async def test_nobody_who_does_not_watch_is_told_that_it_is_alive(ear, more):
    listening, where = ear

    await Supervisor({"NOTIFY_SOCKET": where, **more}, pid=7).keep_alive(LoopClock())

    assert heard(listening) == []


def analyzed(*arguments):
    """Return what systemd-analyze says."""
    tool = program("systemd-analyze", package="systemd")
    return subprocess.run([tool, *arguments], capture_output=True, text=True, check=False)  # noqa: S603


def test_the_unit_is_hardened():
    """2.0 of 10 is the most that it may be exposed; some is left, for it reaches the network."""
    done = analyzed("security", "--offline=true", "--threshold=20", str(UNIT))

    assert done.returncode == 0, done.stdout[-200:] + done.stderr


def test_systemd_understands_the_unit(tmp_path):
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/local/lib/imbot/bin/imbot", "/bin/true"))

    done = analyzed("verify", str(unit))

    assert (done.returncode, done.stderr) == (0, "")
