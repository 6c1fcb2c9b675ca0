"""Whatever people say, call themselves or leave in user data is text, wherever it is shown."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from unicodedata import category

import aiohttp
import pytest

from imbot.admin.limits import Bucket
from imbot.cli.explaining import explain_session
from imbot.cli.formats import Format
from imbot.cli.sessions import sessions as show_sessions
from imbot.cli.sightlog import discreetly
from imbot.cli.tracing import trace
from imbot.clock import SystemClock
from imbot.discretion import Discretion
from imbot.logs import configure_logs
from imbot.simulator import Simulator, SimulatorSettings
from imbot.simulator.settings import AgentAccount
from tests.hostile_texts import TEXTS
from tests.wire.house import Imbot, running, tell, until

TOKEN = "a-token-of-the-settings"
AGENTS = 10
USERS = [f"bot{n}" for n in range(AGENTS)]

RULES = """
version: 1
rules:
  - id: answer
    trigger: {message: any}
    do:
      - set: {said: "{{ message.text }}"}
      - log: "{{ message.text }} {{ participant.phoneNumber }}"
      - reply: "{{ message.text }}"
"""

#: A shorter text may stand anywhere.
_LONG = 8


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    accounts = tuple(
        AgentAccount(user=user, password=f"pw-{user}", number=str(1000 + n))
        for n, user in enumerate(USERS)
    )
    async with Simulator(SimulatorSettings(agents=accounts, seed=1)) as simulator:
        yield simulator


@pytest.fixture
async def imbot(tmp_path, simulator, monkeypatch) -> AsyncIterator[Imbot]:
    admin = {"token": TOKEN}
    async with running(
        tmp_path, simulator.url, agents=USERS, is_served=True, rules=RULES, admin=admin
    ) as imbot:
        await imbot.up()
        served = imbot.app.server
        monkeypatch.setattr(served.gate, "_asking", Bucket(SystemClock(), per_s=1e9, at_once=1e9))
        yield imbot


async def talk(simulator: Simulator, user: str, text: str) -> None:
    """Say a text and hear it again."""
    world = simulator.world
    await until(lambda: world.is_free(user))
    number = "".join(char for char in text if char >= " ").strip()  # others are no part of a number
    session = world.session(world.ring(user, number, {"note": text, text: "x"}))
    await until(lambda: session.state == "Talking")
    world.say(session.id, text)
    agent = world.agent(user)
    await until(lambda: "said" in session.user_data, what=repr(text))
    await until(lambda: session.transcript[-1].number == agent.number, what=repr(text))
    world.complete(session.id)


def texts_of(value) -> set[str]:
    """Return every text in a plain value."""
    if isinstance(value, dict):
        return set(value) | {text for one in value.values() for text in texts_of(one)}
    if isinstance(value, list):
        return {text for one in value for text in texts_of(one)}
    return {value} if isinstance(value, str) else set()


def steers(told: str) -> list[str]:
    """Return what is more than letters, and could do something to a terminal or a line."""
    return [char for char in told if not char.isprintable() and char != "\n"]


def look_at(sessions: list[str]) -> None:
    """Print the stories of sessions, and why their rules ran."""
    show_sessions(None, None, agent=None, limit=200, as_json=False)
    for session in sessions:
        show_sessions(session, None, agent=None, limit=50, as_json=False)
        explain_session(session, None, rules=(), rule_id=None, form=Format.TEXT)


def write_down(sessions: list[str]) -> None:
    """Print sessions as tests."""
    for session in sessions:
        trace(session, None, agent=None)


@pytest.mark.timeout(180)
async def test_what_people_say_is_shown_as_it_stands(imbot, simulator, capsys, monkeypatch):
    assert len(set(TEXTS)) >= 50
    for first in range(0, len(TEXTS), AGENTS):
        some = TEXTS[first : first + AGENTS]
        await asyncio.gather(*(talk(simulator, *each) for each in zip(USERS, some, strict=False)))
    sessions = [session.id for session in simulator.world.sessions()]
    long = [text for text in TEXTS if len(text) >= _LONG]

    # To programs: JSON, which no browser takes for a page, and in it the text itself.
    found: set[str] = set()
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        paths = ["/api/v1/sessions?limit=200", "/api/v1/rules", "/api/v1/agents", "/health"]
        paths += [f"/api/v1/sessions/{one}" for one in sessions]
        paths += [f"/api/v1/sessions/{one}?why=true" for one in sessions[::10]]
        for path in paths:
            async with http.get(imbot.app.server.url + path) as reply:
                assert reply.status == 200
                assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
                assert reply.headers["X-Content-Type-Options"] == "nosniff"
                assert reply.headers["Content-Security-Policy"].startswith("default-src 'none'")
                found |= texts_of(json.loads(await reply.read()))
        for path in ("/metrics", "/health"):
            async with http.get(imbot.app.server.url + path) as reply:
                told = await reply.text()
                assert [text for text in long if text in told] == []
        async with http.get(f"{imbot.app.server.url}/api/v1/sessions/{TEXTS[0]}") as reply:
            assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    together = "\n".join(found)
    assert "49" not in found
    told_of = [text for text in TEXTS if text.isprintable()]
    assert [text for text in told_of if text not in together] == []
    echoed = {line.text for session in simulator.world.sessions() for line in session.transcript}
    assert {*told_of} <= echoed
    tell(f"{len(TEXTS)} texts in {len(sessions)} sessions")

    # To people: nothing that steers their terminal, or turns their lines.
    monkeypatch.chdir(imbot.folder)
    await asyncio.to_thread(look_at, sessions[::10])
    out = capsys.readouterr()
    assert steers((out.out + out.err).replace("\t", "")) == []  # it stands between columns
    # What is written for files may turn lines, for it is what was said; it steers nothing.
    await asyncio.to_thread(write_down, sessions[::10])
    assert [char for char in steers(capsys.readouterr().out) if category(char) == "Cc"] == []

    # To the log: neither what was said nor who said it, and each line is one.
    stream, discretion = io.StringIO(), Discretion()
    for style in ("json", "text"):
        configure_logs("debug", style, stream, discretion=discretion)
        watch = discreetly(discretion)
        for sight in imbot.sights:
            watch(sight)
    log = stream.getvalue()
    assert log
    assert steers(log) == []
    assert [text for text in long if text in log] == []


async def test_the_page_of_the_simulator_shows_text_only(imbot, simulator):  # noqa: ARG001
    """It is one page for all, which is told of sessions as JSON and makes text of it."""
    for user, text in zip(USERS, TEXTS, strict=False):
        session = simulator.world.ring(user, text, {text: text})
        await until(lambda session=session: simulator.world.session(session).state == "Talking")
        simulator.world.say(session, text)
        async with aiohttp.ClientSession() as http:
            async with http.get(simulator.url + "/") as reply:
                page = await reply.text()
                assert "script-src 'sha256-" in reply.headers["Content-Security-Policy"]
            async with http.get(f"{simulator.url}/_control/sessions/{session}") as reply:
                assert reply.content_type == "application/json"
                assert reply.headers["X-Content-Type-Options"] == "nosniff"
                assert text in texts_of(await reply.json())
        assert text not in page
    script = page.partition("<script>")[2]
    for made in (
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
        "DOMParser",
    ):
        assert made not in script
