"""What an agent costs: one imbot process holds a thousand, the simulator runs in another."""

import asyncio
import os
import re
import socket
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.wire.house import Daemon, settings_file, tell

FEW, MANY = 200, 1000
MOST_KIB_EACH = 40
UP_WITHIN_S = 90.0


@asynccontextmanager
async def simulator_process(agents):
    """A simulated GWS in a process of its own; gives its URL."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "imbot", "simulate", "--port", "0", "--agents", str(agents)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(15):
            line = (await process.stdout.readline()).decode()
        yield line.split()[-1]
    finally:
        process.kill()
        await process.wait()


def free_port():
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def rss_kib(pid):
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


async def settled_rss_kib(folder, url, count):
    """Start an imbot with so many agents; return its memory once all are in service."""
    folder.mkdir()
    listen = f"127.0.0.1:{free_port()}"
    users = [f"bot{n}" for n in range(1, count + 1)]
    config = settings_file(folder, url, agents=users, admin={"listen": listen})
    config.write_text(re.sub(r"pw-bot\d+", "${env:BOT_PASSWORD}", config.read_text()))
    environment = {"BOT_PASSWORD": "pw"}  # in clear it would be a warning for each
    async with Daemon(config, environment=environment) as daemon, aiohttp.ClientSession() as http:
        async with asyncio.timeout(UP_WITHIN_S):
            while await agents_up(http, listen) < count:  # noqa: ASYNC110  another process
                await asyncio.sleep(0.25)
        await asyncio.sleep(1.0)  # what logging in took is given back
        return rss_kib(daemon.process.pid)


async def agents_up(http, listen):
    """Return how many agents are in service; none while imbot does not listen yet."""
    try:
        async with http.get(f"http://{listen}/health") as response:
            return (await response.json())["agents_up"]
    except aiohttp.ClientConnectionError:
        return 0


@pytest.mark.timeout(300)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
async def test_an_agent_costs_little_memory(tmp_path):
    """The slope, not the sum: what Python and its libraries take is there with one agent too."""
    async with simulator_process(MANY) as url:
        few = await settled_rss_kib(tmp_path / "few", url, FEW)
        many = await settled_rss_kib(tmp_path / "many", url, MANY)
    each = (many - few) / (MANY - FEW)
    tell(f"{FEW} agents {few:.0f} KiB, {MANY} agents {many:.0f} KiB: {each:.1f} KiB each")
    assert each <= MOST_KIB_EACH
