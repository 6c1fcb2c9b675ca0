"""The command line as people meet it: real processes, their output and their exit codes."""

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from imbot.simulator import AgentAccount, Faults, Simulator, SimulatorSettings

RULES = "version: 1\nrules:\n  - {id: hi, trigger: {state: Talking}, do: [{reply: Hello}]}\n"
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("IMBOT_")},
    "PW": "pw",
    "NO_PROXY": "*",
}


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def home(tmp_path):
    """A folder with settings, rules and nothing else."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "hi.yaml").write_text(RULES)
    return tmp_path


def write_settings(home, url="http://127.0.0.1:9", **more):
    agents = [{"user": "bot1", "password": "${env:PW}"}]
    parts = {"gws": {"url": url}, "agents": agents, "admin": {"listen": "127.0.0.1:0"}, **more}
    (home / "imbot.yaml").write_text(json.dumps(parts))


async def started(home, *words, **options):
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "imbot", *words),
        cwd=home,
        env={**ENVIRONMENT, **options.pop("environment", {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        **options,
    )


async def ended(process, within_s=30.0):
    async with asyncio.timeout(within_s):
        out, err = await process.communicate()
    return Ended(process.returncode, out.decode(), err.decode())


async def imbot(home, *words, **options):
    return await ended(await started(home, *words, **options))


@asynccontextmanager
async def running(home, *words, until, **options):
    """Run a command until it has written some text; what is left of it is killed."""
    process = await started(home, *words, **options)
    seen = b""
    try:
        async with asyncio.timeout(30):
            while until.encode() not in seen:
                streams = (process.stdout, process.stderr)
                reading = [asyncio.create_task(stream.readline()) for stream in streams]
                await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
                for task in reading:
                    if task.done():
                        seen += task.result()
                    task.cancel()
                await asyncio.gather(*reading, return_exceptions=True)
                assert process.returncode is None, seen.decode()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def gws(*, refuses=False):
    account = AgentAccount(user="bot1", password="other" if refuses else "pw", number="1001")
    async with Simulator(SimulatorSettings(agents=(account,))) as simulator:
        yield simulator


def spelled(value):
    return " ".join(value) if isinstance(value, list) else str(value)[:12]


# Bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["check", "binary"], 1, "binary:1:1: error[bad-encoding]"),
        (["run", "-s", "store=sqlite:///nowhere/imbot.db"], 75, "check that the folder exists"),
        (["simulate", "--port", "99999"], 2, "less than or equal to 65535"),
    ],
    ids=spelled,
)
async def test_bad_input_is_told_without_a_stack_trace(words, code, told, home):
    """One of each exit code; the unit tests have the rest."""
    write_settings(home)
    (home / "binary").write_bytes(bytes(range(255, 0, -1)) * 40)

    found = await imbot(home, *words)

    assert told in found.out + found.err
    assert "Traceback" not in found.err
    assert found.code == code


async def test_whoever_stops_reading_ends_the_command_quietly(home):
    """``imbot rules | head`` must not end in a complaint."""
    (home / "rules" / "many.yaml").write_text(
        "version: 1\nrules:\n"
        + "".join(
            f"  - {{id: r{n}, description: {'x' * 200}, trigger: {{message: {{equals: t{n}}}}}, "
            "do: [{log: x}]}\n"
            for n in range(900)
        )
    )
    write_settings(home)
    process = await started(home, "rules")
    await process.stdout.readline()
    process.stdout._transport.close()

    found = await process.stderr.read()

    assert await process.wait() == 1
    assert found == b""


async def test_what_the_terminal_cannot_show_is_spelled_out(home):
    (home / "bad.yaml").write_text(
        "version: 1\nrules: [{id: 'Grüße\\e[31m', trigger: x, do: []}]\n"
    )

    found = await imbot(home, "check", "bad.yaml", environment={"PYTHONIOENCODING": "ascii"})

    assert found.code == 1
    assert found.out.isascii()
    assert "\x1b" not in found.out
    assert "Gr\\xfc\\xdfe" in found.out


# Serving --------------------------------------------------------------------------------------


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_run_stops_in_order_when_it_is_asked(signum, home):
    """The agent is logged out, and nothing is left half done."""
    async with gws() as simulator:
        write_settings(home, simulator.url)
        async with running(home, "run", until="agent.up") as process:
            process.send_signal(signum)
            found = await ended(process)

        assert found.code == 0
        assert json.loads(found.err.splitlines()[-1])["event"] == "imbot.stopped"
        names = [entry.name for entry in simulator.world.log]
        assert "EndContactCenterSession" in names


async def test_a_second_signal_ends_it_at_once(home):
    """Who presses Ctrl-C twice does not want to wait for anybody."""
    async with gws() as simulator:
        write_settings(home, simulator.url)
        async with running(home, "run", until="agent.up") as process:
            simulator.faults = Faults.model_validate({"hang": 1, "hang_s": 20})
            process.send_signal(signal.SIGINT)
            await asyncio.sleep(0.3)
            process.send_signal(signal.SIGINT)
            found = await ended(process, within_s=5)

    assert found.code == 130
    assert "Traceback" not in found.err


@pytest.mark.parametrize("is_there", [True, False], ids=["wrong password", "unreachable"])
async def test_an_agent_that_cannot_log_in_is_told_and_tried_again(is_there, home):
    """A GWS that is down when imbot starts is no reason to give up."""
    async with gws(refuses=True) as simulator:
        write_settings(home, simulator.url if is_there else "http://127.0.0.1:9")
        async with running(home, "run", until="agent.waiting") as process:
            process.send_signal(signal.SIGTERM)
            found = await ended(process)

    assert found.code == 0
    assert "Traceback" not in found.err


async def test_a_store_that_another_imbot_holds_is_not_taken(home):
    async with gws() as simulator:
        write_settings(home, simulator.url)
        async with running(home, "run", until="agent.up"):
            found = await imbot(home, "run")

    assert found.code == 75
    assert "imbot: store" in found.err
    assert "Traceback" not in found.err


async def test_what_was_done_is_shown_in_tables_and_json(home):
    async with gws() as simulator:
        write_settings(home, simulator.url)
        async with running(home, "run", until="agent.up") as process:
            session = simulator.world.ring("bot1", "3001", {"tier": "gold"})
            while not simulator.world.session(session).transcript:  # noqa: ASYNC110  from outside
                await asyncio.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            await ended(process)

    table = await imbot(home, "sessions")
    listed = await imbot(home, "sessions", "--json")
    story = await imbot(home, "sessions", session)
    missing = await imbot(home, "sessions", "nobody")

    assert table.out.splitlines()[0].split("\t")[:4] == ["agent", "session", "number", "state"]
    row = json.loads(listed.out)
    assert (row["session"], row["number"], row["replies"]) == (session, "3001", 1)
    assert (row["parked"], row["gaps"]) == ([], [])
    lines = [line.split("\t")[2:] for line in story.out.splitlines()]
    assert ["rule hi", "runs"] in lines
    assert any(what == "reply of hi" and "“Hello”" in told for what, told in lines)
    assert (missing.code, "no session nobody" in missing.err) == (1, True)


async def test_the_demo_serves_every_session_and_ends_with_a_summary(home):
    found = await imbot(home, "demo", "--seconds", "5", "--admin-port", "0")

    lines = found.out.splitlines()
    assert found.code == 0, found.out + found.err
    assert "http://127.0.0.1:" in lines[1]
    for stage in ("event", "rule", "action", "echo"):
        assert any(f"  {stage}" in line for line in lines)
    assert " 0 parked" in lines[-1]
    assert found.err == ""


async def test_the_simulator_says_where_it_is_and_stops_in_order(home):
    async with running(home, "simulate", "--port", "0", "--crm-port", "0", until="Ctrl-C") as it:
        it.send_signal(signal.SIGINT)
        found = await ended(it)

    assert (found.code, found.err) == (0, "")


async def test_help_is_quick(home):
    """Whoever asks for help does not wait for libraries that help does not need."""
    code = (
        "import resource, sys\n"
        "from imbot.cli.root import cli\n"
        "try:\n    cli(['--help'])\n"
        "except SystemExit:\n    pass\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "heavy = {'aiohttp', 'sqlalchemy', 'pydantic', 'yaml', 'asyncio'} & sys.modules.keys()\n"
        "print(f'{used.ru_utime + used.ru_stime} {sorted(heavy)}', file=sys.stderr)\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code), cwd=home, stdout=-3, stderr=asyncio.subprocess.PIPE
    )

    _, err = await process.communicate()

    seconds, _, heavy = err.decode().strip().partition(" ")
    assert heavy == "[]"
    assert float(seconds) < 1.0  # 0.3 on a quiet machine


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"PYTHONOPTIMIZE": "1"}, "unset PYTHONOPTIMIZE"),
        ({"AIOHTTP_NO_EXTENSIONS": "1"}, "unset AIOHTTP_NO_EXTENSIONS"),
    ],
)
@pytest.mark.parametrize("how", [(), ("--safe-mode",)])
async def test_run_does_not_start_with_what_libraries_are_not_safe_with(
    home, environment, told, how
):
    """See CVE-2025-69227; and the parser in Python takes what the one in C refuses."""
    write_settings(home)

    found = await ended(await started(home, "run", *how, environment=environment))

    assert found.code == 2
    assert told in found.err
    assert not (home / "imbot.db").exists()
