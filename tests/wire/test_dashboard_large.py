"""The dashboard of an imbot with 1,000 rules, 5,000 agents and a long history.

What is measured is the processor time of the process that serves, wherever that tells enough: it is
the same on a busy machine as on an idle one, or nearly. Viewers are processes of their own.
"""

import asyncio
import json
import resource
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import aiohttp
import pytest
import sqlalchemy as sa

from imbot.admin.keys import new_token
from imbot.app import App, open_app
from imbot.cli.running import system_ports
from imbot.clock import SystemClock
from imbot.config import Loaded
from imbot.gws.status import AgentState
from imbot.model import (
    Batch,
    Event,
    EventKind,
    ImSession,
    MessageNotice,
    SessionNotice,
)
from imbot.records import EventHandled, EventSeen, RunSeen, RunState, SessionSeen
from imbot.settings import Settings
from imbot.store import schema
from imbot.store.database import open_store
from imbot.store.sums import resummed, teach
from imbot.testing.house import CUSTOMER
from tests.machine import own_s
from tests.wire.house import STORE, tell

AGENTS, RULES = 5_000, 1_000

#: The history.
SESSIONS, EVENTS, RUNS = 20_000, 100_000, 50_000

EVENTS_PER_S = 10

#: The goals.
FIRST_PAGE_S, BEHIND_S, TWO_VIEWERS = 0.5, 1.0, 0.05

#: Whoever shares the caches of a processor takes more of its time for the same work.
BUSY = 1.5

#: How long a share of a processor is measured.
LOOK_S = 10.0

#: How often, where it was too much.
LOOKS = 3

TOKEN = new_token()

HTML = {"Accept": "text/html"}

#: Opens a page as its script does: fetches it anew when one of its topics moves, and rests then
#: for nine times as long as that took beyond 150 ms.
VIEWER = """
import asyncio, json, sys, time, aiohttp

async def main(url, token, path, *topics):
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as http:
        await http.post(f"{url}/login", data={"token": token}, headers={"Origin": url})
        async with http.get(f"{url}/live") as stream:
            async for line in stream.content:
                if line.startswith(b"data: ") and {*topics} & {*json.loads(line[6:])["moved"]}:
                    began = time.monotonic()
                    async with http.get(f"{url}{path}", headers={"Accept": "text/html"}) as reply:
                        assert reply.status == 200
                        await reply.read()
                    await asyncio.sleep(9 * max(time.monotonic() - began - 0.15, 0))

asyncio.run(main(*sys.argv[1:]))
"""


def rules() -> str:
    """Return rules of which a message matches one."""
    each = (
        f"  - id: rule-{n:04}\n    description: Says something about the order {n}.\n"
        f'    trigger: {{message: {{contains: ["order {n} "]}}}}\n    do: [{{log: order}}]\n'
        for n in range(RULES)
    )
    return "version: 1\nrules:\n" + "".join(each)


async def write_history(folder: Path) -> None:
    """Write a long history into a new store: one row of each kind, many times over."""
    at = datetime.now(UTC) - timedelta(days=20)
    session = ImSession("s-0", "Completed", {"k": "v"}, (CUSTOMER,))
    event = Event("old-0", EventKind.MESSAGE, at, at, "bot00000", session, {"text": "my order 7"})
    run = RunSeen(f"{event.id}/r", event.id, "rule-0000", "v1", "", RunState.DONE, 1, at)
    store = open_store(f"sqlite:///{STORE}", clock=SystemClock(), base=folder)
    seen = SessionSeen("bot00000", session, at, at, completed_at=at)
    await store.commit([seen, EventSeen(event), EventHandled(event.id, at), run])
    await store.close()
    database = sqlite3.connect(folder / STORE)
    teach(database)
    _multiply(
        database,
        schema.sessions,
        SESSIONS,
        session_id="'s-' || n",
        agent=f"printf('bot%05d', n % {AGENTS})",
        session="replace(session, 's-0', 's-' || n)",
        **_later("first_seen_at", "seen_at", "completed_at", by_s=80),
    )
    _multiply(
        database,
        schema.events,
        EVENTS,
        id="'old-' || n",
        number="n",
        agent=f"printf('bot%05d', n / 5 % {AGENTS})",
        session_id="'s-' || n / 5",
        **_later("at", "received_at", "handled_at", by_s=16),
    )
    _multiply(
        database,
        schema.runs,
        RUNS,
        run_id="'old-' || n || '/r'",
        event_id="'old-' || n",
        rule_id=f"printf('rule-%04d', n % {RULES})",
        state="CASE WHEN n % 10 THEN state ELSE 'failed' END",
        **_later("began_at", "at", by_s=32),
    )
    database.commit()
    database.close()


def _later(*columns: str, by_s: int) -> dict[str, str]:
    return {name: f'"{name}" + n * {by_s * 1_000_000}' for name in columns}


def _multiply(database: sqlite3.Connection, table: sa.Table, count: int, **other: str) -> None:
    """Write the only row of a table so often, each time with something else by its number n."""
    names = [column.name for column in table.c if column.name != "seq"]
    into = ", ".join(f'"{name}"' for name in names)
    values = ", ".join(other.get(name, f'"{name}"') for name in names)
    database.execute(
        "WITH RECURSIVE numbers(n) AS"  # noqa: S608  names of ours
        f" (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count - 1})"
        f" INSERT INTO {table.name} ({into}) SELECT {values} FROM {table.name}, numbers"
    )
    database.execute(resummed(table))


@dataclass
class Large:
    """An imbot that is fed, and somebody who is logged in."""

    app: App
    http: aiohttp.ClientSession
    url: str
    fed: int = 0

    async def feed(self) -> None:
        """Let something happen, for as long as it is not cancelled."""
        chance = Random(1)  # noqa: S311  reproducible, nothing is secret
        while True:
            await self.hear(f"new-{self.fed}", chance)
            await asyncio.sleep(2 / EVENTS_PER_S)

    async def hear(self, session_id: str, chance: Random) -> None:
        """Let a session begin with a message that a rule matches: two events."""
        self.fed += 1
        now = datetime.now(UTC)
        session = ImSession(session_id, "Talking", {"k": "v"}, (CUSTOMER,))
        text = f"my order {chance.randrange(RULES)} please"
        notices = SessionNotice(session, now, "StatusChange"), MessageNotice(session_id, text, now)
        await self.app.dispatch.accept(Batch(f"bot{chance.randrange(AGENTS):05}", notices))

    async def page(self, path: str) -> str:
        async with self.http.get(f"{self.url}{path}", headers=HTML) as reply:
            assert reply.status == 200
            return await reply.text()

    def raise_agents(self) -> None:
        """Let every agent stand as after its login: 5,000 real ones take minutes."""
        for agent in self.app.agents.values():
            agent._in_service.set()
            agent._feed.is_whole = True
            agent._state = AgentState.UP


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rules and a store; written once, for it takes long."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "rules.yaml").write_text(rules())
    asyncio.run(write_history(folder))
    return folder


@pytest.fixture
async def large(history: Path) -> AsyncIterator[Large]:
    """The imbot, all of its agents up."""
    settings = Settings.model_validate(
        {
            "gws": {"url": "http://127.0.0.1:9"},
            "agents": [{"user": f"bot{n:05}", "password": "x"} for n in range(AGENTS)],
            "rules": ["rules.yaml"],
            "store": f"sqlite:///{STORE}",
            "admin": {"listen": "127.0.0.1:0", "token": TOKEN},
        }
    )
    loaded = Loaded(settings, base=history, path=history / "imbot.yaml")
    jar = aiohttp.CookieJar(unsafe=True)
    async with (
        open_app(loaded, system_ports()) as app,
        aiohttp.ClientSession(cookie_jar=jar) as http,
    ):
        found = Large(app, http, app.server.url)
        found.raise_agents()
        login = {"data": {"token": TOKEN}, "headers": {"Origin": found.url}}
        async with http.post(f"{found.url}/login", allow_redirects=False, **login) as reply:
            assert reply.status == 303
        feeding = asyncio.create_task(found.feed())
        try:
            yield found
        finally:
            feeding.cancel()
            with suppress(asyncio.CancelledError):
                await feeding


def cpu_s() -> float:
    """Return the processor time that this process took up to now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def share(seconds: float = LOOK_S) -> float:
    """Return what of a processor this process takes."""
    used, began = cpu_s(), time.monotonic()
    await asyncio.sleep(seconds)
    return (cpu_s() - used) / (time.monotonic() - began)


@asynccontextmanager
async def two_viewers(large: Large, path: str, *topics: str) -> AsyncIterator[None]:
    """Have two look at a page, each in a process of its own."""
    words = sys.executable, "-c", VIEWER, large.url, TOKEN, path, *topics
    viewers = [await asyncio.create_subprocess_exec(*words) for _ in range(2)]
    try:
        await asyncio.sleep(5.0)
        assert all(viewer.returncode is None for viewer in viewers)
        yield
    finally:
        for viewer in viewers:
            viewer.kill()
            await viewer.wait()


@pytest.mark.timed
@pytest.mark.timeout(600)
async def test_a_page_is_there_at_once_and_two_viewers_cost_little(large: Large) -> None:
    paths = ("/", "/sessions", "/rules", "/rules/rule-0500", "/agents", "/timers", "/parked")
    for path in paths:
        used, began = cpu_s(), time.monotonic()
        await large.page(path)
        took_s, used = time.monotonic() - began, cpu_s() - used
        tell(f"{path}: {took_s * 1000:.0f} ms, of it {used * 1000:.0f} ms of a processor")
        assert used <= FIRST_PAGE_S, path
    for path, *topics in (
        ("/", "sessions", "condition"),
        ("/sessions", "sessions"),
        ("/rules", "rules"),
    ):
        added: list[float] = []
        # Another look, should the machine have been busy with something else.
        while min(added, default=1.0) > BUSY * TWO_VIEWERS and len(added) < LOOKS:
            alone = await share()
            async with two_viewers(large, path, *topics):
                seen = await share()
            tell(f"two viewers of {path}: {alone:.1%} and {seen:.1%} of a processor")
            added.append(seen - alone)
        assert min(added) <= BUSY * TWO_VIEWERS, path


@pytest.mark.timed
@pytest.mark.timeout(600)
async def test_a_page_is_a_second_behind_at_most(large: Large) -> None:
    """From the event to the page that shows it; the best of some, for the machine may be busy."""
    behind_s = []
    chance = Random(2)  # noqa: S311  reproducible, nothing is secret
    async with large.http.get(f"{large.url}/live") as stream:
        for n in range(5):
            began = own_s()
            await large.hear(f"seen-{n}", chance)
            text = ""
            while f"seen-{n}" not in text:
                line = b""
                while not line.startswith(b"data: ") or "sessions" not in moved(line):
                    line = await stream.content.readline()
                text = await large.page("/sessions")
            behind_s.append(own_s() - began)
    tell(f"behind: {', '.join(f'{each:.2f}' for each in behind_s)} s")
    assert min(behind_s) <= BEHIND_S


def moved(line: bytes) -> list[str]:
    """Return the topics of a server-sent event."""
    return json.loads(line[6:])["moved"]
