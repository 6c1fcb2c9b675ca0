"""A TCP proxy that poisons one exchange, and what becomes of imbot behind it.

The kinds are Toxiproxy's. The proxy reads whole HTTP/1.1 requests, so that it knows which endpoint
an exchange belongs to, and passes on bytes; imbot, its store and the simulator at the other end are
real and use real sockets.
"""

import asyncio
import re
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import NamedTuple, Self

from imbot.simulator import Simulator, SimulatorSettings
from imbot.simulator.settings import AgentAccount
from tests.faults.recoverytable import is_quiet, is_told, rows
from tests.machine import own_s, waited_for_a_cpu_s
from tests.wire.house import Imbot, running

RULES = """
version: 1
rules:
  - id: greet
    trigger: {state: Talking}
    once: session
    do:
      - reply: Hello there.
  - id: answer
    trigger: {message: {contains: [ping]}}
    max_age: 10m
    do:
      - set: {asked: "{{ message.text }}"}
      - reply: "pong to {{ message.text }}"
  - id: goodbye
    trigger: {message: {contains: [bye]}}
    max_age: 10m
    do:
      - complete: goodbye
"""


class Kind(StrEnum):
    """What is done to the bytes of an exchange."""

    LATENCY = "latency"
    DOWN = "down"
    BANDWIDTH = "bandwidth"
    SLOW_CLOSE = "slow_close"
    TIMEOUT = "timeout"
    RESET_PEER = "reset_peer"
    SLICER = "slicer"
    LIMIT_DATA = "limit_data"


#: What the requests of each endpoint hold, in their first line or in their body.
ENDPOINTS = {
    "handshake": rb'"/meta/handshake"',
    "connect": rb'"/meta/connect"',
    "sessions": rb"GET /api/v2/me/im-sessions",
    "SendMessage": rb'"SendMessage"',
    "UserData": rb'"UpdateUserData"',
    "Complete": rb'"Complete"',
}

#: From weak to strong: seconds, bytes a second, seconds, ..., bytes in a slice, bytes in all.
STRENGTHS: dict[Kind, tuple[float, float, float]] = {
    Kind.LATENCY: (0.2, 2.0, 10.5),
    Kind.DOWN: (0.5, 2.0, 5.0),
    Kind.BANDWIDTH: (20_000, 2_000, 100),
    Kind.SLOW_CLOSE: (0.5, 2.0, 10.5),
    Kind.TIMEOUT: (0.5, 3.0, 60.0),
    Kind.RESET_PEER: (0, 1, 2),
    Kind.SLICER: (64, 16, 4),
    Kind.LIMIT_DATA: (200, 40, 0),
}

#: Between two slices.
SLICE_S = 0.005

#: The pause of latency is so much longer or shorter, by chance.
JITTER = 0.1

#: What GWS does not have by then never arrives: the longest pause and its jitter.
QUIESCE_S = 12.0

#: Held polls are short here, so that their time-out is not much more than that of a request.
POLL_S = 2.0

#: A request's time-out is 10 s, a poll's 10 s more than it is held; nobody is stuck for twice that.
STUCK_S = 2 * (10.0 + POLL_S)

#: Where a machine is busy, everything may take longer; what counts is the time spent waiting.
PATIENCE_S = 150.0

#: How often everybody looks.
LOOK_S = 0.1


class Toxic(NamedTuple):
    """What is done to the exchanges of one endpoint."""

    kind: Kind
    endpoint: str
    strength: int

    def __str__(self) -> str:
        """Return its name."""
        return f"{self.kind}-{self.endpoint}-{self.strength}"

    @property
    def much(self) -> float:
        """How strong it is, in what its kind is measured in."""
        return STRENGTHS[self.kind][self.strength]


TOXICS = tuple(
    Toxic(kind, endpoint, strength)
    for strength in range(3)
    for endpoint in ENDPOINTS
    for kind in Kind
)

#: How many parts they make.
PARTS = 6


def part(number: int) -> list[Toxic]:
    """Return a sixth of them: each kind in each strength, each endpoint four times."""
    kinds, endpoints = list(Kind), list(ENDPOINTS)
    return [
        one
        for one in TOXICS
        if (kinds.index(one.kind) + endpoints.index(one.endpoint) + one.strength) % PARTS == number
    ]


class _CutError(Exception):
    """The connection ends here."""


# The proxy --------------------------------------------------------------------------------------


class Proxy:
    """Listens while its ``async with`` block runs, and passes on what the server there says.

    Attributes:
        struck: How often the toxic was used.
        forwarded: How many of the poisoned requests went on to the server.
    """

    def __init__(self, host: str, port: int, *, random: Random) -> None:
        self.random = random
        self.there = (host, port)
        self.struck = 0
        self.forwarded = 0
        self._toxic: Toxic | None = None
        self._left = 0
        self._is_down = False
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cut every connection."""
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def poison(self, toxic: Toxic, times: int = 1) -> None:
        """Have the next exchanges of its endpoint go wrong."""
        self._toxic, self._left = toxic, times

    def toxic_of(self, request: bytes) -> Toxic | None:
        """Return what is to be done to an exchange, and count it; None for nothing."""
        toxic = self._toxic
        if not self._left or toxic is None or ENDPOINTS[toxic.endpoint] not in request:
            return None
        self._left -= 1
        self.struck += 1
        return toxic

    async def go_down(self, seconds: float) -> None:
        """Cut every connection, and every new one for so long."""
        self._is_down = True
        loop = asyncio.get_running_loop()
        loop.call_later(seconds, setattr, self, "_is_down", False)
        this = asyncio.current_task()
        for connection in self._connections:
            if connection is not this:
                connection.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        this = asyncio.current_task()
        self._connections.add(this)
        try:
            if not self._is_down:
                await _Connection(self, reader, writer).serve()
        except asyncio.CancelledError:
            pass  # cut off, by us
        finally:
            self._connections.discard(this)
            reset(writer)


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a reset: the peer's next read fails."""
    with suppress(OSError):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class _Connection:
    """One connection, with its other half to the server."""

    def __init__(
        self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._proxy = proxy
        self._near, self._to_near = reader, writer
        self._toxic: Toxic | None = None
        self._room = 0

    async def serve(self) -> None:
        """Pass on bytes both ways until one side ends, or a toxic does."""
        try:
            self._far, self._to_far = await asyncio.open_connection(*self._proxy.there)
        except OSError:
            return
        try:
            # A request that is on its way arrives, even when nobody waits for its answer.
            answers = asyncio.create_task(self._pass_answers())
            requests = asyncio.create_task(self._pass_requests())
            try:
                await asyncio.wait([answers, requests], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (answers, requests):
                    task.cancel()
                await asyncio.gather(answers, requests, return_exceptions=True)
        finally:
            self._to_far.transport.abort()
            with suppress(OSError):
                self._to_near.close()

    async def _pass_requests(self) -> None:
        buffer = b""
        while more := await self._near.read(65536):
            buffer += more
            while (end := end_of_request(buffer)) is not None:
                request, buffer = buffer[:end], buffer[end:]
                await self._pass_request(request)

    async def _pass_request(self, request: bytes) -> None:
        self._toxic = toxic = self._proxy.toxic_of(request)
        if toxic is None:
            self._to_far.write(request)
            return
        self._room = int(toxic.much)
        if toxic.kind is Kind.DOWN:
            await self._proxy.go_down(toxic.much)
            self._reset()
        if toxic.kind is Kind.RESET_PEER and toxic.strength == 0:
            self._reset()
        if toxic.kind is Kind.TIMEOUT and toxic.strength == 0:
            await asyncio.sleep(toxic.much)
            raise _CutError
        self._proxy.forwarded += 1
        await self._pass(request, self._to_far, toxic)
        if toxic.kind is Kind.RESET_PEER and toxic.strength == 1:
            await asyncio.sleep(0.1)  # GWS has it, and perhaps its answer is on its way
            self._reset()

    async def _pass_answers(self) -> None:
        while data := await self._far.read(65536):
            toxic = self._toxic
            if toxic is None:
                self._to_near.write(data)
                continue
            match toxic.kind:
                case Kind.RESET_PEER:
                    await self._pass_some(data[: len(data) // 2])
                    self._reset()
                case Kind.LIMIT_DATA:
                    await self._pass_some(data[: self._room])
                    raise _CutError
                case Kind.TIMEOUT:
                    await asyncio.sleep(toxic.much)
                    raise _CutError
                case Kind.SLOW_CLOSE:
                    # The server has hung up; who asks meanwhile asks nobody.
                    self._to_near.write(data)
                    self._to_far.transport.abort()
                    await asyncio.sleep(toxic.much)
                    raise _CutError
                case _:
                    await self._pass(data, self._to_near, toxic)

    async def _pass_some(self, data: bytes) -> None:
        self._to_near.write(data)
        await self._to_near.drain()
        await asyncio.sleep(0.05)  # a reset would overtake it

    async def _pass(self, data: bytes, writer: asyncio.StreamWriter, toxic: Toxic) -> None:
        """Pass on bytes late, slowly or in slices."""
        if toxic.kind is Kind.LATENCY:
            # Half of it on the way there, half on the way back; all on the way there if strong.
            share = 1.0 if toxic.strength == len(STRENGTHS[toxic.kind]) - 1 else 0.5
            is_there = writer is self._to_far
            if is_there or share < 1:
                await asyncio.sleep(
                    toxic.much * share * (1 + JITTER * self._proxy.random.uniform(-1, 1))
                )
        size, pause_s = len(data), 0.0
        if toxic.kind is Kind.BANDWIDTH:
            size = max(1, int(toxic.much / 20))
            pause_s = size / toxic.much
        if toxic.kind is Kind.SLICER:
            size, pause_s = int(toxic.much), SLICE_S
        for start in range(0, len(data), size or 1):
            writer.write(data[start : start + size])
            await asyncio.sleep(pause_s)

    def _reset(self) -> None:
        reset(self._to_near)
        raise _CutError


_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def end_of_request(buffer: bytes) -> int | None:
    """Return where the first request of these bytes ends; None while it is not whole."""
    head, blank, _ = buffer.partition(b"\r\n\r\n")
    if not blank:
        return None
    length = _LENGTH.search(head)
    end = len(head) + len(blank) + (int(length[1]) if length else 0)
    return end if len(buffer) >= end else None


# imbot behind it --------------------------------------------------------------------------------


@dataclass
class Poisoned:
    """What came of one toxic.

    Attributes:
        toxic: What was done.
        forwarded: Whether the server got the poisoned request.
        login_s: Seconds that the agent waited until it was up.
        stuck_s: Seconds that everybody waited from the toxic to the end of the session.
        heard: What the visitor heard.
        is_told: Whether people see that something may be missing.
        late: What took too long.
        wrong: What else must not be.
    """

    toxic: Toxic
    forwarded: bool = False
    login_s: float = 0.0
    stuck_s: float = 0.0
    heard: tuple[str, ...] = ()
    is_told: bool = False
    late: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def expect(self, holds: object, what: str) -> None:
        """Note what is wrong unless this holds."""
        if not holds:
            self.wrong.append(what)


async def poison_all(folder: Path, toxics: Sequence[Toxic], *, at_once: int = 24) -> list[Poisoned]:
    """Let imbot meet each of these toxics, some at the same time; return what came of each."""
    places = asyncio.Semaphore(at_once)

    async def one(name: str, toxic: Toxic) -> Poisoned:
        own = folder / name
        own.mkdir(parents=True)
        return await meet(own, toxic)

    async def among_others(number: int, toxic: Toxic) -> Poisoned:
        async with places:
            # Each has its own folder, and none of them all the machine when they begin.
            await asyncio.sleep(0.2 * (number % at_once))
            return await one(str(number), toxic)

    found = await asyncio.gather(*(among_others(*pair) for pair in enumerate(toxics)))
    # So many keep each other waiting: whoever was late among them shows by itself whether it is.
    return [
        await one(f"{number}-alone", each.toxic) if each.late and not each.wrong else each
        for number, each in enumerate(found)
    ]


async def meet(folder: Path, toxic: Toxic) -> Poisoned:
    """Play one session whose exchange with an endpoint is poisoned, and judge it."""
    account = AgentAccount(user="bot1", password="pw-bot1", number="1001")
    settings = SimulatorSettings(agents=(account,), poll_timeout_s=POLL_S, seed=1)
    found = Poisoned(toxic)
    async with Simulator(settings) as simulator:
        port = int(simulator.url.rpartition(":")[2])
        async with Proxy("127.0.0.1", port, random=Random(str(toxic))) as proxy:
            if toxic.endpoint in {"handshake", "sessions"}:
                proxy.poison(toxic)
            how = {"rules": RULES, "delivery": {"quiesce": f"{QUIESCE_S}s"}}
            async with running(folder, proxy.url, seed=1, **how) as imbot:
                try:
                    await _story(simulator, proxy, imbot, found)
                except TimeoutError as error:
                    found.wrong.append(f"stuck: {error}")
        found.forwarded = bool(proxy.forwarded)
        found.expect(proxy.struck, "the toxic was never used")
        _judge(simulator, folder, found)
    return found


async def _story(simulator: Simulator, proxy: Proxy, imbot: Imbot, found: Poisoned) -> None:
    world, began_at = simulator.world, idle_s()
    await _until(lambda: all(agent.is_up for agent in imbot.app.agents.values()), "up")
    found.login_s = idle_s() - began_at
    session = world.session(world.ring("bot1", "3002"))

    async def heard(text: str) -> None:
        """Wait for words, or for what tells people that they may not come."""
        await _until(
            lambda: any(line.text == text for line in session.transcript) or is_told(imbot.folder),
            text,
        )

    await heard("Hello there.")
    # Without a few echoes that were heard, an absent one would prove nothing.
    for text in ("ping a", "ping b"):
        world.say(session.id, text)
        await heard(f"pong to {text}")
    if not proxy.struck:
        proxy.poison(found.toxic)
        began_at = idle_s()
    for number in (1, 2):
        world.say(session.id, f"ping {number}")
        await heard(f"pong to ping {number}")
    world.say(session.id, "bye")
    await _until(lambda: not session.is_live or is_told(imbot.folder), "bye")
    found.stuck_s = idle_s() - began_at
    if session.is_live:
        world.complete(session.id)
    await _until(lambda: is_quiet(imbot.folder), "settled")
    if found.login_s > STUCK_S:
        found.late.append(f"not up for {found.login_s:.1f} s")
    if found.stuck_s > STUCK_S + QUIESCE_S:
        found.late.append(f"stuck for {found.stuck_s:.1f} s")


async def _until(holds: Callable[[], object], what: str) -> None:
    """Wait until it holds; two dozen ask at the same time, so none asks often."""
    for _ in range(int(PATIENCE_S / LOOK_S)):
        if holds():
            return
        await asyncio.sleep(LOOK_S)
    raise TimeoutError(what)


def idle_s() -> float:
    """Return seconds that pass while this process has nothing to do, and is not kept from it."""
    return own_s() - time.process_time() - waited_for_a_cpu_s("self")


def _judge(simulator: Simulator, folder: Path, found: Poisoned) -> None:
    [session] = simulator.world.sessions() or [None]
    if session is None:
        return
    found.heard = tuple(line.text for line in session.transcript if line.number == "1001")
    twice = {text: n for text, n in Counter(found.heard).items() if n > 1}
    found.expect(not twice, f"said twice: {twice}")
    gaps = rows(folder, "SELECT * FROM gaps")
    parked = rows(folder, "SELECT * FROM effects WHERE state = 'parked'")
    # What GWS got is proven by its echo, and what it did not get is said again.
    found.expect(gaps or not parked, f"parked: {parked}")
    # A poll held up for longer than GWS keeps the subscription costs what is said meanwhile.
    found.is_told = bool(gaps or parked)
    found.expect(found.is_told or len(found.heard) == 5, f"heard: {found.heard}")
