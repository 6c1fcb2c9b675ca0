"""Commands that serve: how they begin, what they show, and how they end."""

import asyncio
import gc
import json
import os
import re
import signal
import socket
from datetime import timedelta
from threading import Thread

import pytest

from imbot.cli import checking, demo, liveview, running, simulating, steering
from imbot.cli.running import EXIT_INTERRUPTED, on_loop, stop_on_signal, system_ports
from imbot.errors import ImbotError
from imbot.model import SessionKey
from imbot.shipped import shipped
from imbot.simulator import SimulatorSettings


@pytest.fixture(autouse=True)
def _quiet_logs(monkeypatch):
    """Commands set up the log of the whole process; here there is none."""
    for module in (running, demo):
        monkeypatch.setattr(module, "configure_logs", lambda *_, **__: None)


@pytest.fixture
def ends_soon(monkeypatch):
    """Be asked to stop after a moment."""

    def soon():
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.2, stop.set)
        return stop

    for module in (running, simulating, demo):
        monkeypatch.setattr(module, "stop_on_signal", soon)


@pytest.fixture
async def signals():
    """Take the handlers of signals off again."""
    yield
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().remove_signal_handler(signum)


def test_the_collector_passes_over_what_is_in_memory_until_the_end():
    async def serve():
        system_ports().settle()
        return gc.get_freeze_count()

    assert on_loop(serve()) > 0
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_asks_and_the_second_cancels(signum, signals):  # noqa: ARG001
    """In order if there is time, at once if there is none."""
    stopped = asyncio.Event()

    async def serve():
        stop = stop_on_signal()
        os.kill(os.getpid(), signum)
        await stop.wait()
        stopped.set()
        os.kill(os.getpid(), signum)
        await asyncio.Event().wait()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(serve())
    assert stopped.is_set()


def test_what_is_cancelled_ends_with_the_exit_code_of_an_interrupt():
    async def cancelled():
        raise asyncio.CancelledError

    async def done():
        return 3

    assert on_loop(cancelled()) == EXIT_INTERRUPTED == 130
    assert on_loop(done()) == 3


def test_the_loop_is_asyncio_s_own_where_no_faster_one_is(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "uvloop", None)

    async def loop_name():
        return type(asyncio.get_running_loop()).__module__.startswith("asyncio")

    assert on_loop(loop_name())


@pytest.mark.usefixtures("ends_soon")
def test_run_serves_until_it_is_asked_to_stop(tmp_path, monkeypatch):
    """A GWS that does not answer keeps nobody."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "imbot.yaml").write_text(
        json.dumps(
            {
                "gws": {"url": "http://127.0.0.1:9"},
                "agents": [{"user": "bot1", "password": "${env:PW}"}],
                "admin": {"listen": "127.0.0.1:0"},
            }
        )
    )
    monkeypatch.setenv("PW", "pw")

    assert running.run(tmp_path / "imbot.yaml", ()) == 0
    assert (tmp_path / "imbot.db").exists()


@pytest.mark.usefixtures("ends_soon")
def test_simulate_says_where_everything_is(capsys):
    settings = SimulatorSettings(agents=simulating.accounts(12), port=0)

    assert simulating.simulate(settings, parties=1, crm_port=0) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        *("GWS", "chat", "control"),
        *["agent"] * 10,
        *("and", "CRM", "Ctrl-C"),
    ]
    assert lines[3] == "agent        bot1 / pw, number 1001"
    assert lines[13] == "             and 2 more, to bot12"


def test_the_demo_serves_sessions_within_seconds(capsys, monkeypatch):
    """It is the first thing that anybody sees of imbot."""
    monkeypatch.setenv("NO_COLOR", "1")

    assert demo.demo(seconds=3, seed=0, port=0, admin_port=0) == 0

    out = capsys.readouterr().out
    assert "It ends after 3 s." in out
    assert re.search(
        r"^Look inside and steer at http://127.0.0.1:\d+/login#imbot_\S+$", out, re.MULTILINE
    )
    assert "reply “Hello" in out
    assert "what we said came back" in out


@pytest.mark.usefixtures("ends_soon")
def test_the_demo_is_no_success_when_nobody_was_served(capsys, monkeypatch):
    monkeypatch.setattr(demo, "_until_office_hours", lambda _now: timedelta(hours=1))

    assert demo.demo(seconds=None, seed=0, port=0, admin_port=0) == 1

    out = capsys.readouterr().out
    assert "Ctrl-C ends it." in out
    assert "outside office hours" in out
    assert "0 sessions, 0 served" in out


def test_the_demo_tells_whom_nobody_served(capsys, monkeypatch):
    monkeypatch.setattr(demo.Tally, "unserved", lambda *_: [SessionKey("bot1", "s1")])
    monkeypatch.setattr(demo, "_PARTIES", 0)

    assert demo.demo(seconds=1, seed=0, port=0, admin_port=0) == 1
    assert "Not served: bot1/s1" in capsys.readouterr().out


def test_the_demo_is_steered_by_the_usual_commands_in_its_folder(capsys, monkeypatch):
    """What is tried on it is what is done to an imbot that serves people."""
    leave, found = demo._leave, {}

    def leave_and_halt(tree, url, path):
        leave(tree, url, path)
        found["modes"] = [one.stat().st_mode & 0o777 for one in (path.parent, path)]
        Thread(target=lambda: found.update(code=steering.halt("a test", path))).start()

    monkeypatch.setattr(demo, "_leave", leave_and_halt)
    monkeypatch.setattr(liveview, "_GRACE", timedelta())

    # Nobody was served, and that is no failure of the demo's: a person wanted it so.
    assert demo.demo(seconds=3, seed=0, port=0, admin_port=0) == 1
    out = capsys.readouterr().out
    assert found == {"code": 0, "modes": [0o700, 0o600]}
    assert "all effects are stopped" in out
    assert "does not run: halted" in out
    assert "Not served" not in out


def test_the_demo_is_found_where_it_was_last_time_unless_that_is_taken(monkeypatch):
    """People keep a bookmark; and an imbot that runs here already keeps its port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        usual = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setattr(demo, "_USUAL", usual)
        taken.listen()

        assert demo._usual_or_any() == "127.0.0.1:0"
    assert demo._usual_or_any() == usual


def test_the_demo_says_that_its_usual_port_is_taken(capsys, monkeypatch):
    monkeypatch.setattr(demo, "_usual_or_any", lambda: "127.0.0.1:0")

    demo.demo(seconds=1, seed=0, port=0, admin_port=None)

    assert "127.0.0.1:8081 is taken" in capsys.readouterr().out


def test_the_rules_of_the_demo_are_without_a_warning(capsys, monkeypatch, tmp_path):
    """They are the first that anybody sees, and they stand beside those that ship."""
    monkeypatch.chdir(tmp_path)

    code = checking.check([demo._MORE_RULES, shipped("rules")], None, strict=True, shape="text")

    assert code == 0, capsys.readouterr().out


def test_the_demo_gives_up_when_no_agent_comes_up(monkeypatch):
    monkeypatch.setattr(demo, "_UP_S", 0.0)

    with pytest.raises(ImbotError, match="did not come up within 0 s"):
        demo.demo(seconds=1, seed=0, port=0, admin_port=0)
