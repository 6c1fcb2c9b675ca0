"""A server that is never the limit: just enough of GWS and of Bayeux on a bare asyncio protocol.

It runs in a process of its own, pushes events, takes what agents say, sends it back as their echo,
and counts. It checks nothing: what GWS may refuse is the simulator's. Sources of the shapes: see
:mod:`benchmarks.wire`. Driven over HTTP, too: ``POST /bench`` with ``{"do": …}``.
"""

import asyncio
import base64
import resource
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

import uvloop

from benchmarks import wire
from benchmarks.workload import said
from imbot.jsontext import decode_json, encode_json

_JSON = b"Content-Type: application/json;charset=UTF-8\r\n"
_OK = encode_json({"statusCode": 0})
_COOKIES = b"Set-Cookie: JSESSIONID=%s;Path=/api/v2\r\nSet-Cookie: BAYEUX_BROWSER=%s;Path=/\r\n"
_LENGTH = b"\r\ncontent-length:"
_AUTHORIZATION = b"\r\nauthorization: basic "


@dataclass(slots=True)
class Desk:
    """One agent as the server sees it.

    Attributes:
        user: Its name.
        session_id: Its IM session; empty for none.
        user_data: The user data of that session.
        waiting: Encoded notifications for its next poll.
        poll: The connection that holds its poll, and the id of the request; None for none.
        expiry: Ends the poll.
        texts: What the other party will still say.
        left: How many.
        batch: How many texts one poll brings.
        in_batches: Whether polls end with whole batches only, so that every client gets as many.
        unanswered: When each text was sent that has no answer yet.
    """

    user: str
    session_id: str = ""
    user_data: dict[str, str] = field(default_factory=dict)
    waiting: list[bytes] = field(default_factory=list)
    poll: tuple["Connection", str] | None = None
    expiry: asyncio.TimerHandle | None = None
    texts: Iterator[str] = field(default_factory=lambda: iter(()))
    left: int = 0
    batch: int = 1
    in_batches: bool = False
    unanswered: deque[float] = field(default_factory=deque)

    @property
    def is_quiet(self) -> bool:
        """Whether every text is answered and every echo is delivered."""
        return not (self.left or self.unanswered or self.waiting)

    def say(self) -> None:
        """Say the next text."""
        self.left -= 1
        self.waiting.append(encode_json(wire.new_message(self.session_id, next(self.texts))))
        self.unanswered.append(time.perf_counter())


class Server:
    """Every desk, and what was counted.

    Attributes:
        hold_s: How long a poll is held when nothing happens.
        requests: How many came, by the prefix of their agent.
        polls: How many of them were polls.
        waits_s: Seconds from each text to its answer.
    """

    def __init__(self) -> None:
        self.hold_s = 30.0
        self.requests: Counter[str] = Counter()
        self.polls: Counter[str] = Counter()
        self.waits_s: list[float] = []
        self._desks: dict[str, Desk] = {}
        self._users: dict[bytes, str] = {}
        self._first_at: dict[str, float] = {}

    # Requests -----------------------------------------------------------------------------------

    def take(self, connection: "Connection", head: bytes, body: bytes) -> None:
        """Answer one request, now or when its poll ends."""
        method, target, _ = head.split(b" ", 2)
        if target == b"/bench":
            asked = decode_json(body)
            asyncio.ensure_future(self._drive(connection, asked))  # noqa: RUF006  the process is short-lived
            return
        user = self._user_of(head)
        self.requests[_prefix(user)] += 1
        desk = self._desks.get(user)
        if desk is None:
            desk = self._desks[user] = Desk(user)
            self._first_at.setdefault(_prefix(user), time.perf_counter())
        cookies = b"" if b"\r\ncookie:" in head.lower() else _COOKIES % ((user.encode(),) * 2)
        if target.startswith(b"/api/v2/notifications"):
            self._bayeux(connection, desk, decode_json(body), cookies)
        elif method == b"POST":
            connection.answer(_OK, cookies)
            self._operate(desk, body)
        else:
            connection.answer(encode_json(self._read(desk, target)), cookies)

    def _user_of(self, head: bytes) -> str:
        at = head.lower().find(_AUTHORIZATION) + len(_AUTHORIZATION)
        credentials = head[at : head.find(b"\r\n", at)]
        user = self._users.get(credentials)
        if user is None:
            user = base64.b64decode(credentials).decode().partition(":")[0]
            self._users[credentials] = user
        return user

    def _read(self, desk: Desk, target: bytes) -> dict[str, Any]:
        path = target.partition(b"?")[0].removeprefix(b"/api/v2")
        match path:
            case b"/me":
                return wire.me(desk.user)
            case b"/me/devices":
                return {"statusCode": 0, "devices": [wire.device(desk.user)]}
            case b"/me/im-sessions":
                return {"statusCode": 0, "imSessions": self._sessions(desk)}
            case _:
                return {"statusCode": 0, "version": "8.5.202.96"}

    def _sessions(self, desk: Desk) -> list[Any]:
        if not desk.session_id:
            return []
        shown = wire.session_shown(desk.session_id, "Talking", desk.user_data)
        return [shown["data"]["imSession"]]

    def _operate(self, desk: Desk, body: bytes) -> None:
        """Take what the agent says, and send it its echo; other operations only change data."""
        asked = decode_json(body)
        if asked.get("operationName") == "SendMessage":
            if desk.unanswered:
                self.waits_s.append(time.perf_counter() - desk.unanswered.popleft())
            echo = wire.new_message(desk.session_id, asked["text"])
            desk.waiting.append(encode_json(echo))
        elif "userData" in asked:
            desk.user_data |= asked["userData"]
        self._serve(desk)

    # Bayeux -------------------------------------------------------------------------------------

    def _bayeux(
        self, connection: "Connection", desk: Desk, messages: list[Any], cookies: bytes
    ) -> None:
        if messages[0]["channel"] == wire.CONNECT:
            self._connect(connection, desk, messages[0])
            return
        connection.answer(encode_json([self._reply(desk, one) for one in messages]), cookies)

    def _reply(self, desk: Desk, message: dict[str, Any]) -> dict[str, Any]:
        reply = {"channel": message["channel"], "id": message.get("id"), "successful": True}
        if message["channel"] == "/meta/handshake":
            advice = {"reconnect": "retry", "interval": 0, "timeout": int(self.hold_s * 1000)}
            return {
                **reply,
                "version": "1.0",
                "minimumVersion": "1.0",
                "clientId": f"client-{desk.user}",
                "supportedConnectionTypes": ["long-polling"],
                "advice": advice,
            }
        return {**reply, "subscription": message.get("subscription")}

    def _connect(self, connection: "Connection", desk: Desk, message: dict[str, Any]) -> None:
        self.polls[_prefix(desk.user)] += 1
        desk.poll = (connection, str(message.get("id")))
        if message.get("advice", {}).get("timeout") == 0:
            self._end_poll(desk)
            return
        desk.expiry = asyncio.get_running_loop().call_later(self.hold_s, self._end_poll, desk)
        self._serve(desk)

    def _serve(self, desk: Desk) -> None:
        """End the held poll if it is time: with a whole batch, or with what else waits."""
        if desk.poll is None:
            return
        if desk.left and len(desk.unanswered) <= desk.batch:
            for _ in range(min(desk.batch, desk.left)):
                desk.say()
        elif not desk.waiting or (desk.in_batches and (desk.left or desk.unanswered)):
            return
        self._end_poll(desk)

    def _end_poll(self, desk: Desk) -> None:
        if desk.poll is None:
            return
        (connection, message_id), desk.poll = desk.poll, None
        if desk.expiry is not None:
            desk.expiry.cancel()
            desk.expiry = None
        elements = [*desk.waiting, encode_json(wire.connected(message_id))]
        desk.waiting.clear()
        connection.answer(b"[" + b",".join(elements) + b"]", b"")

    # What the benchmark asks for ----------------------------------------------------------------

    async def _drive(self, connection: "Connection", asked: dict[str, Any]) -> None:
        desks = [desk for user, desk in self._desks.items() if _prefix(user) == asked.get("prefix")]
        match asked["do"]:
            case "hold":
                self.hold_s = asked["seconds"]
                found: object = {}
            case "held":
                found = await self._held(asked["prefix"], asked["agents"])
            case "begin":
                found = await self._begin(desks, asked["session"])
            case "end":
                found = await self._end(desks)
            case "flood":
                found = await self._flood(desks, asked)
            case "pace":
                found = await self._pace(desks, asked)
            case _:
                prefix = asked["prefix"]
                found = {"requests": self.requests[prefix], "polls": self.polls[prefix]}
        connection.answer(encode_json(found), b"")

    async def _held(self, prefix: str, agents: int) -> dict[str, float]:
        """Return when so many agents hold a poll, with the seconds since the first came."""

        def all_hold() -> bool:
            holding = sum(
                _prefix(desk.user) == prefix and desk.poll is not None
                for desk in self._desks.values()
            )
            return holding >= agents

        await self._until(all_hold)
        return {"seconds": time.perf_counter() - self._first_at[prefix]}

    async def _begin(self, desks: list[Desk], name: str) -> dict[str, int]:
        for desk in desks:
            desk.session_id = f"{name}-{desk.user}"
            desk.user_data = {}
            shown = wire.session_shown(desk.session_id, "Talking", {})
            desk.waiting.append(encode_json(shown))
            self._serve(desk)
        await self._until(lambda: all(desk.is_quiet and desk.poll for desk in desks))
        return {"sessions": len(desks)}

    async def _end(self, desks: list[Desk]) -> dict[str, int]:
        for desk in desks:
            shown = wire.session_shown(desk.session_id, "Completed", desk.user_data)
            desk.waiting.append(encode_json(shown))
            desk.session_id = ""
            self._serve(desk)
        await self._until(lambda: all(desk.is_quiet and desk.poll for desk in desks))
        return {"sessions": len(desks)}

    async def _flood(self, desks: list[Desk], asked: dict[str, Any]) -> dict[str, float]:
        """Say so many texts as fast as they are answered, at most two batches ahead."""
        self.waits_s = []
        began = time.perf_counter()
        for desk in desks:
            desk.texts = _texts(desk.user, asked)
            desk.left, desk.batch = asked["events"] // len(desks), asked["batch"]
            desk.in_batches = True
            self._serve(desk)
        await self._until(lambda: all(desk.is_quiet for desk in desks))
        return {
            "seconds": time.perf_counter() - began,
            "answers": len(self.waits_s),
        }

    async def _pace(self, desks: list[Desk], asked: dict[str, Any]) -> dict[str, Any]:
        """Say so many texts, one agent after the other, at a steady rate."""
        self.waits_s = []
        count, pause_s = asked["events"], 1 / asked["per_s"]
        for desk in desks:
            desk.texts, desk.batch, desk.in_batches = _texts(desk.user, asked), 1, False
        began = time.perf_counter()
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number * pause_s - time.perf_counter()))
            desk = desks[number % len(desks)]
            desk.left += 1
            desk.say()
            self._serve(desk)
        await self._until(lambda: all(desk.is_quiet for desk in desks))
        return {"waits_s": self.waits_s}

    async def _until(self, holds: Callable[[], object]) -> None:
        while not holds():  # noqa: ASYNC110  nothing here may cost the server a thought per event
            await asyncio.sleep(0.005)


class Connection(asyncio.Protocol):
    """One connection: whole requests in, answers out, one at a time."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take each request that is whole."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            at = head.lower().find(_LENGTH)
            length = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._received) < end + 4 + length:
                return
            body = self._received[end + 4 : end + 4 + length]
            self._received = self._received[end + 4 + length :]
            self._server.take(self, head, body)

    def answer(self, body: bytes, cookies: bytes) -> None:
        """Send a 200."""
        if self._transport is not None and not self._transport.is_closing():
            length = b"Content-Length: %d\r\n\r\n" % len(body)
            self._transport.write(b"HTTP/1.1 200 OK\r\n" + _JSON + cookies + length + body)


def _prefix(user: str) -> str:
    return user.partition("-")[0]


def _texts(user: str, asked: dict[str, Any]) -> Iterator[str]:
    """Yield texts that each meet one of so many rules."""
    random = Random(f"{asked['seed']}/{user}")
    while True:
        yield said(asked["rules"], random)


def allow_many_connections() -> None:
    """Raise the limit of open files as far as it goes: an agent is a connection, or two."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def serve() -> None:
    """Listen on a free port, print it, and serve until the parent is gone."""
    allow_many_connections()
    loop = asyncio.get_running_loop()
    state = Server()
    server = await loop.create_server(lambda: Connection(state), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    gone = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), gone.set)
    await gone.wait()
    server.close()


if __name__ == "__main__":
    uvloop.run(serve())
