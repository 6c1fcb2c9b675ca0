"""The clients that are measured, each in a process of its own: imbot, a bare one, the raw limit.

The bare client is what one writes with aiohttp, uvloop and orjson: it polls, decodes, and posts one
reply for each message; no rules, no journal, no order. The raw one does the same over a connection
written by hand. Both receive their own echoes, as imbot does, and drop them.

A line on standard input asks for what was used so far; the end of it ends the process.
"""

import argparse
import asyncio
import base64
import resource
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, cast

import aiohttp
import uvloop

from benchmarks import wire
from benchmarks.server import allow_many_connections
from benchmarks.workload import rule_files, specs
from imbot.cli.running import system_ports
from imbot.jsontext import decode_json, encode_json
from imbot.model import JSON

#: What replies begin with, so that a client without a ledger knows its echoes.
REPLY = "Noted: "

#: Replies and beginnings under way at once, of all agents.
REPLYING = 64
STARTING = 200

_CHANNELS = ("/v2/me/im-sessions", "/v2/me/devices", "/v2/me/calls", "/v2/me/channels")
_COMETD = "/api/v2/notifications"


# imbot ----------------------------------------------------------------------------------------


def write_settings(folder: Path, port: int, users: Iterable[str], rules: int) -> Path:
    """Write settings and rules as a user would; return the settings file."""
    (folder / "rules").mkdir(parents=True, exist_ok=True)
    texts = rule_files(specs(rules), on_message=f'{{reply: "{REPLY}{{{{ message.text }}}}"}}')
    for number, text in enumerate(texts):
        (folder / "rules" / f"{number:03d}.yaml").write_text(text, encoding="utf-8")
    agents = "".join(f"  - {{user: {user}, password: '${{env:SECRET}}'}}\n" for user in users)
    path = folder / "imbot.yaml"
    path.write_text(
        f"gws: {{url: 'http://127.0.0.1:{port}'}}\nrules: [rules/]\nstore: sqlite:///imbot.db\n"
        # Each agent has one session, and its messages are to come as fast as they can.
        "budget: {session_events_per_second: 1000000}\n"
        f"log: {{level: error}}\nagents:\n{agents}",
        encoding="utf-8",
    )
    return path


async def run_imbot(settings: Path) -> None:
    """Run imbot as ``imbot run`` does, without the health endpoint."""
    from imbot.app import open_app
    from imbot.config import load_settings
    from imbot.logs import configure_logs

    loaded = load_settings(settings, environment={"SECRET": "secret"}, options=())
    configure_logs(loaded.settings.log.level, loaded.settings.log.format)
    stop = asyncio.Event()
    async with open_app(loaded, replace(system_ports(), serves_health=False)) as app:
        answer_on_stdin(stop)
        await app.run(stop)


# The others -------------------------------------------------------------------------------------


class Wire(Protocol):
    """How the bare and the raw client send, for one agent."""

    async def poll(self, body: bytes) -> bytes:
        """Return the answer to a Bayeux request, which may take long."""
        ...

    async def post(self, path: str, body: bytes) -> bytes:
        """Return the answer to an operation."""
        ...


class Gates:
    """How much goes on at once, of all agents together."""

    def __init__(self) -> None:
        self.starting = asyncio.Semaphore(STARTING)
        self.replying = asyncio.Semaphore(REPLYING)


async def live(user: str, out: Wire, gates: Gates) -> None:
    """Handshake, subscribe, and answer each message of a poll while the next poll is out."""
    async with gates.starting:
        connect = await _subscribed(out)
    replies: set[asyncio.Task[None]] = set()
    number = 2
    while True:
        number += 1
        for path, text in _heard(await out.poll(encode_json([{**connect, "id": str(number)}]))):
            reply = asyncio.create_task(_reply(user, out, gates, path, text))
            replies.add(reply)
            reply.add_done_callback(replies.discard)


async def _subscribed(out: Wire) -> dict[str, JSON]:
    """Return the message that polls, once the agent is subscribed."""
    hello = {
        "channel": "/meta/handshake",
        "version": "1.0",
        "id": "1",
        "supportedConnectionTypes": ["long-polling"],
    }
    (answer,) = decode_json(await out.poll(encode_json([hello])))
    me = {"clientId": answer["clientId"]}
    wishes = [
        {**me, "channel": "/meta/subscribe", "subscription": name, "id": name} for name in _CHANNELS
    ]
    await out.poll(encode_json(wishes))
    connect = {**me, "channel": wire.CONNECT, "connectionType": "long-polling"}
    await out.poll(encode_json([{**connect, "id": "2", "advice": {"timeout": 0}}]))
    return connect


def _heard(body: bytes) -> Iterable[tuple[str, str]]:
    """Yield the session and the text of each message that is no echo."""
    for element in decode_json(body):
        if element["channel"] != wire.IM_CHANNEL:
            continue
        data = element["data"]
        if data["messageType"] == "IMLogUpdateMessage" and not data["message"].startswith(REPLY):
            yield data["imSessionPath"], data["message"]


async def _reply(user: str, out: Wire, gates: Gates, path: str, text: str) -> None:
    body = {
        "operationName": "SendMessage",
        "text": REPLY + text,
        "destination": {"phoneNumber": "3002"},
        "devicePath": f"/devices/device-{user}",
    }
    async with gates.replying:
        answer = decode_json(await out.post(f"/api/v2/me{path}", encode_json(body)))
    if answer["statusCode"] != 0:
        raise RuntimeError(f"the server refused: {answer}")


def _headers(user: str) -> dict[str, str]:
    token = base64.b64encode(f"{user}:secret".encode()).decode()
    return {"Authorization": f"Basic {token}", "Content-Type": "application/json;charset=UTF-8"}


class BareWire:
    """aiohttp as it comes: a session and cookie jar per agent to poll, one for all to reply."""

    def __init__(
        self, base: str, user: str, polls: aiohttp.BaseConnector, posts: aiohttp.ClientSession
    ) -> None:
        self._base = base
        self._headers = _headers(user)
        self._polls = aiohttp.ClientSession(
            connector=polls,
            connector_owner=False,
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            timeout=aiohttp.ClientTimeout(total=None),
        )
        self._posts = posts

    async def poll(self, body: bytes) -> bytes:
        """Post to the CometD endpoint."""
        url = self._base + _COMETD
        async with self._polls.post(url, data=body, headers=self._headers) as response:
            return await response.read()

    async def post(self, path: str, body: bytes) -> bytes:
        """Post an operation."""
        url = self._base + path
        async with self._posts.post(url, data=body, headers=self._headers) as response:
            return await response.read()


class RawConnection(asyncio.Protocol):
    """One connection, one request at a time, nothing checked: as little as HTTP can cost."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Give the answer away once it is whole."""
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0 or self._answer is None:
            return
        at = self._received.find(b"Content-Length:") + 15
        length = int(self._received[at : self._received.find(b"\r\n", at)])
        if len(self._received) >= end + 4 + length:
            body, self._received = self._received[end + 4 :], b""
            self._answer.set_result(body)

    async def send(self, request: bytes) -> bytes:
        """Return the body of the answer."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer


class RawWire:
    """A connection for polls and a pool for replies, which all agents share."""

    def __init__(self, port: int, user: str, idle: list[RawConnection]) -> None:
        self._port = port
        self._idle = idle
        self._mine: RawConnection | None = None
        lines = [f"{name}: {value}" for name, value in _headers(user).items()]
        fixed = ["Host: 127.0.0.1", "Cookie: JSESSIONID=1; BAYEUX_BROWSER=1", *lines]
        self._head = "\r\n".join(fixed)

    async def poll(self, body: bytes) -> bytes:
        """Post to the CometD endpoint, always over the same connection."""
        if self._mine is None:
            self._mine = await self._connected()
        return await self._mine.send(self._request(_COMETD, body))

    async def post(self, path: str, body: bytes) -> bytes:
        """Post an operation over a connection that is idle, or a new one."""
        connection = self._idle.pop() if self._idle else await self._connected()
        answer = await connection.send(self._request(path, body))
        self._idle.append(connection)
        return answer

    def _request(self, path: str, body: bytes) -> bytes:
        return (
            f"POST {path} HTTP/1.1\r\n{self._head}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )

    async def _connected(self) -> RawConnection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(RawConnection, "127.0.0.1", self._port)
        return connection


async def run_bare(port: int, users: list[str], *, raw: bool) -> None:
    """Let every agent live until the parent is gone."""
    stop = asyncio.Event()
    gates = Gates()
    idle: list[RawConnection] = []
    async with (
        aiohttp.TCPConnector(limit=0) as polls,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=REPLYING),
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            timeout=aiohttp.ClientTimeout(total=None),
        ) as posts,
    ):
        answer_on_stdin(stop)

        def out(user: str) -> Wire:
            base = f"http://127.0.0.1:{port}"
            return RawWire(port, user, idle) if raw else BareWire(base, user, polls, posts)

        lives = [asyncio.create_task(live(user, out(user), gates)) for user in users]
        ended = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait({ended, *lives}, return_when=asyncio.FIRST_COMPLETED)
        for life in lives:
            life.cancel()
        for task in done:
            task.result()


# What they have in common -----------------------------------------------------------------------


def answer_on_stdin(stop: asyncio.Event) -> None:
    """Say what was used, at once and for each line on standard input; set ``stop`` at its end."""

    def asked() -> None:
        if sys.stdin.buffer.readline():
            say_used()
        else:
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            stop.set()

    say_used()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), asked)


def say_used() -> None:
    """Print the CPU seconds of this process, all threads counted, and its memory in KiB."""
    used: dict[str, Any] = {"cpu_s": time.process_time(), "rss_kib": rss_kib()}
    sys.stdout.write(encode_json(used).decode() + "\n")
    sys.stdout.flush()


def rss_kib() -> float:
    """Return the memory of this process, now where the system tells, else at its height."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * resource.getpagesize() / 1024


def main() -> None:
    """Run one client."""
    parser = argparse.ArgumentParser()
    parser.add_argument("client", choices=("imbot", "bare", "raw"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--agents", type=int, required=True)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--rules", type=int, default=1000)
    parser.add_argument("--folder", type=Path, required=True)
    asked = parser.parse_args()
    allow_many_connections()
    users = [f"{asked.prefix}-{number:05d}" for number in range(asked.agents)]
    if asked.client == "imbot":
        settings = write_settings(asked.folder, asked.port, users, asked.rules)
        uvloop.run(run_imbot(settings))
    else:
        uvloop.run(run_bare(asked.port, users, raw=asked.client == "raw"))


if __name__ == "__main__":
    main()
