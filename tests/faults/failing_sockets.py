"""Fails the n-th socket call of one session's life, for every n, once and for as long as it takes.

imbot runs whole on a virtual-time loop against our simulator; its own HTTP client calls a socket of
memory (connect, write, read, close), and one call fails as sockets do: refused, no descriptors
left, reset before or in the middle of the bytes, a broken pipe, silence. Then what was said, what
the store holds and which tasks are left is judged.
"""

import asyncio
import errno
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from aiohttp import web

from imbot.errors import ActionError
from imbot.model import EventKind
from imbot.pluginhost import Plugins, PluginSettings, find_plugins
from imbot.ports import Request
from imbot.records import EffectState, RunState
from imbot.simulator.conversation import RefusedError
from imbot.simulator.serving import served_in_memory
from imbot.store.queries import SessionHistory
from imbot.testing.memory_network import MemoryNetwork
from imbot.testing.virtual_loop import VirtualLoop
from tests.flow import stage as stages
from tests.flow.stage import Call, Imbot, Stage, staged

RULES = """
version: 1
rules:
  - id: greet
    trigger: {state: Talking}
    once: session
    do:
      - reply: Hello there.
      - set: {greeted: "yes"}
  - id: answer
    trigger: {message: {contains: [ping]}}
    max_age: 10m
    do:
      - reply: "pong to {{ message.text }}"
  - id: goodbye
    trigger: {message: {contains: [bye]}}
    max_age: 10m
    do:
      - complete: goodbye
"""

#: No request takes effect later than this: the network delivers within milliseconds or not at all.
QUIESCE_S = 12.0

#: How long sockets go on failing, where one failure is not all.
OUTAGE_S = 45.0

#: A visitor's patience with one answer: a request's timeout, the quiesce time, another request.
PATIENCE_S = 60.0

#: How soon imbot serves again, whatever happened to its sockets.
BACK_S = 120.0


class Kind(StrEnum):
    """What is called."""

    CONNECT = "connect"
    WRITE = "write"
    READ = "read"
    CLOSE = "close"


class Failure(StrEnum):
    """How a call fails."""

    REFUSED = "refused"
    NO_DESCRIPTORS = "no descriptors left"
    RESET = "reset before the bytes"
    HALF = "reset after half of the bytes"
    BROKEN_PIPE = "broken pipe"
    SILENCE = "silence"


#: How each call can fail.
FAILURES: Mapping[Kind, tuple[Failure, ...]] = {
    Kind.CONNECT: (Failure.REFUSED, Failure.NO_DESCRIPTORS, Failure.SILENCE),
    Kind.WRITE: (Failure.RESET, Failure.HALF, Failure.BROKEN_PIPE, Failure.SILENCE),
    Kind.READ: (Failure.RESET, Failure.HALF, Failure.SILENCE),
    Kind.CLOSE: (Failure.SILENCE,),
}

#: As many ways as the call has that can fail in the most ways.
WAYS = max(len(ways) for ways in FAILURES.values())

_ERRNO = {
    Failure.REFUSED: errno.ECONNREFUSED,
    Failure.NO_DESCRIPTORS: errno.EMFILE,
    Failure.RESET: errno.ECONNRESET,
    Failure.HALF: errno.ECONNRESET,
    Failure.BROKEN_PIPE: errno.EPIPE,
}


class Plan(NamedTuple):
    """Which call fails.

    Attributes:
        nth: The first one, from 1; 0 for none.
        way: Which of the ways of its kind.
        lasts: Whether all calls fail from then on, until the sockets are mended.
    """

    nth: int = 0
    way: int = 0
    lasts: bool = False

    def __str__(self) -> str:
        """Return its name."""
        return f"call {self.nth}{' and all after' if self.lasts else ''}, way {self.way}"


class Sockets:
    """Counts the calls of one imbot and says which fail.

    Attributes:
        calls: How many there were.
        failed: Those that failed, as (number, kind, failure).
        sent: Bytes that went to the peer.
    """

    def __init__(self, plan: Plan) -> None:
        self.begin(plan)
        self.sent = 0

    def begin(self, plan: Plan) -> None:
        """Count from here."""
        self._plan = plan
        self._is_mended = False
        self.calls = 0
        self.failed: list[tuple[int, Kind, Failure]] = []

    def mend(self) -> None:
        """Fail nothing from now on."""
        self._is_mended = True

    def call(self, kind: Kind) -> Failure | None:
        """Count one call and return how it fails; None when it does not."""
        self.calls += 1
        if self._is_mended or not self._plan.nth or self.calls < self._plan.nth:
            return None
        if self.calls > self._plan.nth and not self._plan.lasts:
            return None
        ways = FAILURES[kind]
        failure = ways[self._plan.way % len(ways)]
        if not self.failed:
            asyncio.get_running_loop().call_later(OUTAGE_S, self.mend)
        self.failed.append((self.calls, kind, failure))
        return failure


def _error(failure: Failure) -> OSError:
    return OSError(_ERRNO[failure], failure.value)


class FailingNetwork(MemoryNetwork):
    """A network of memory whose sockets fail as they are told."""

    def __init__(self, sockets: Sockets, servers: Mapping[str, object], **how: object) -> None:
        super().__init__(servers, **how)
        self._sockets = sockets

    async def _connect(self, host: str, port: int, protocol: asyncio.Protocol) -> None:
        failure = self._sockets.call(Kind.CONNECT)
        if failure is Failure.SILENCE:
            await asyncio.Event().wait()
        elif failure is not None:
            raise _error(failure)
        await super()._connect(host, port, _Socket(protocol, self._sockets))


class _Socket(asyncio.Protocol):
    """What arrives at imbot's end of a connection."""

    def __init__(self, client: asyncio.Protocol, sockets: Sockets) -> None:
        self._client = client
        self._sockets = sockets
        self._transport: asyncio.Transport | None = None
        self._is_lost = False
        self.is_deaf = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._client.connection_made(_Calls(transport, self, self._sockets))

    def data_received(self, data: bytes) -> None:
        if self._is_lost or self.is_deaf:
            return
        failure = self._sockets.call(Kind.READ)
        if failure is Failure.HALF:
            self._client.data_received(data[: len(data) // 2])
        if failure is None:
            self._client.data_received(data)
        elif failure is Failure.SILENCE:
            self.is_deaf = True
        else:
            self.lose(_error(failure))

    def eof_received(self) -> bool | None:
        return None if self._is_lost or self.is_deaf else self._client.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._is_lost and not self.is_deaf:
            self._is_lost = True
            self._client.connection_lost(error)

    def lose(self, error: Exception | None) -> None:
        """Lose the connection, as an event loop tells it: soon, and only once."""
        if self._is_lost:
            return
        self._is_lost = True
        asyncio.get_running_loop().call_soon(self._client.connection_lost, error)
        if self._transport is not None and not self.is_deaf:
            self._transport.abort()


class _Calls:
    """What imbot calls at its end of a connection."""

    def __init__(self, transport: asyncio.Transport, socket: _Socket, sockets: Sockets) -> None:
        self._transport = transport
        self._socket = socket
        self._sockets = sockets
        self._is_closing = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if self._is_closing or self._socket.is_deaf:
            return
        failure = self._sockets.call(Kind.WRITE)
        if failure is Failure.SILENCE:
            self._socket.is_deaf = True
            return
        if failure is Failure.HALF:
            data = bytes(data)[: len(data) // 2]
        if failure in {None, Failure.HALF}:
            self._sockets.sent += len(data)
            self._transport.write(data)
        if failure is not None:
            self._is_closing = True
            self._socket.lose(_error(failure))

    def writelines(self, chunks: list[bytes]) -> None:
        self.write(b"".join(chunks))

    def is_closing(self) -> bool:
        return self._is_closing or (not self._socket.is_deaf and self._transport.is_closing())

    def close(self) -> None:
        if self.is_closing():
            return
        self._is_closing = True
        # A peer that does not learn of the end is all that can go wrong with it.
        if self._sockets.call(Kind.CLOSE) is not None:
            self._socket.is_deaf = True
        self._socket.lose(None)

    def abort(self) -> None:
        self.close()


# One life ---------------------------------------------------------------------------------------


@dataclass
class Life:
    """What came of one session's life with one failure.

    Attributes:
        plan: The failure.
        calls: How many calls there were.
        failed: Those that failed.
        wrong: What must not be.
        seconds: Virtual seconds.
        parked: Effects that wait for a person.
    """

    plan: Plan
    calls: int = 0
    failed: list[tuple[int, Kind, Failure]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0
    parked: int = 0

    def expect(self, holds: object, what: str) -> None:
        """Note what is wrong unless this holds."""
        if not holds:
            self.wrong.append(what)


def live(folder: Path, plan: Plan) -> Life:
    """Play one life in virtual time, and judge it."""
    folder.mkdir(parents=True)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_live(folder, plan))


@cache
def _plugins() -> Plugins:
    """Find the plugins once: they are the same in every life."""
    return find_plugins(PluginSettings())


async def _live(folder: Path, plan: Plan) -> Life:
    sockets, life, loop = Sockets(plan), Life(plan), asyncio.get_running_loop()

    def network(servers: Mapping[str, object], **how: object) -> FailingNetwork:
        return FailingNetwork(sockets, servers, **how)

    async with staged(folder) as stage:
        before = asyncio.all_tasks()
        with ExitStack() as replaced:
            replaced.enter_context(patch.object(stages, "MemoryNetwork", network))
            replaced.enter_context(patch("imbot.app.find_plugins", lambda _: _plugins()))
            imbot = await stage.launch(RULES, delivery={"quiesce": f"{QUIESCE_S}s"})
        visitor = _Visitor(stage, imbot, life)
        try:
            await visitor.visit(1)
            sockets.mend()
            await visitor.visit(2)
        except TimeoutError as error:
            life.wrong.append(str(error))
        life.expect(imbot.is_running, "imbot has ended")
        await _stop(imbot, life)
        await asyncio.sleep(QUIESCE_S)
        # The server's handlers outlive a peer that vanished.
        left = [
            task for task in asyncio.all_tasks() - before if "/web_protocol.py" not in repr(task)
        ]
        life.expect(not left, f"tasks are left: {left}")
        _judge(stage, visitor.calls, life)
    life.calls, life.failed, life.seconds = sockets.calls, sockets.failed, loop.time()
    return life


async def _stop(imbot: Imbot, life: Life) -> None:
    try:
        async with asyncio.timeout(60):
            await imbot.stop()
    except Exception as error:  # noqa: BLE001  it is told, and the next life goes on
        life.wrong.append(f"it stopped with {error!r}")


class _Visitor:
    """Rings, says a word, and says goodbye; a failure that lasts ends with the first visit."""

    def __init__(self, stage: Stage, imbot: Imbot, life: Life) -> None:
        self._stage = stage
        self._imbot = imbot
        self._life = life
        self.calls: list[Call] = []

    async def visit(self, number: int) -> None:
        """Come once; the second visit must go as if nothing had ever been."""
        is_last = number > 1
        call = await self._ring()
        self.calls.append(call)
        heard = [await self._hear(call, "Hello there.")]
        if not call.is_over:
            call.say(f"ping {number}")
            heard.append(await self._hear(call, f"pong to ping {number}"))
        if not call.is_over:
            call.say("bye")
            heard.append(await self._until(lambda: call.is_over))
        if is_last:
            self._life.expect(all(heard), f"the second visit went {heard}, {call.heard}")
        elif not call.is_over:
            call.hang_up()
            await asyncio.sleep(QUIESCE_S)

    async def _ring(self) -> Call:
        for _ in range(int(BACK_S)):
            is_up = all(agent.is_up for agent in self._imbot.app.agents.values())
            # A session that the snapshot after a gap shows may be older than a greeting may be.
            await asyncio.sleep(1)
            if is_up:
                with suppress(RefusedError):
                    return self._stage.ring()
        raise TimeoutError(f"nobody could ring for {BACK_S:g} s")

    async def _hear(self, call: Call, text: str) -> bool:
        return await self._until(lambda: call.is_over or text in call.heard)

    async def _until(self, holds: object) -> bool:
        for _ in range(int(PATIENCE_S * 4)):
            if holds():
                return True
            await asyncio.sleep(0.25)
        return False


# What must hold ---------------------------------------------------------------------------------


def _judge(stage: Stage, calls: list[Call], life: Life) -> None:
    with stage.views() as views:
        life.parked = len(views.parked())
        gaps = views.gaps(10_000)
        for number, call in enumerate(calls, 1):
            twice = {text: n for text, n in Counter(call.heard).items() if n > 1}
            life.expect(not twice, f"said twice: {twice}")
            [history] = views.session(call.id) or [None]
            is_told = history is None or any(call.id in gap.session_ids for gap in gaps)
            for wanted in ("Hello there.", *(f"pong to {line}" for line in _pings(call))):
                if wanted not in call.heard and not is_told:
                    is_excused = _excuse(history, wanted.removeprefix("pong to "))
                    life.expect(is_excused, f"{wanted!r} of visit {number} is lost: {history}")
            if history is not None:
                _judge_history(history, life)


def _pings(call: Call) -> list[str]:
    return [line.text for line in call.session.transcript if line.text.startswith("ping")]


def _excuse(history: SessionHistory, line: str) -> object:
    """Return what people see of an event that was not answered: of these words, or of the ring."""
    for one in history.events:
        is_ring = one.event.kind is EventKind.STATE and line == "Hello there."
        if is_ring or one.event.fields.get("text") == line:
            parked = [
                each
                for each in history.view.parked
                if each.intent.effect_id.startswith(f"{one.event.id}/")
            ]
            cancelled = [
                each.run
                for each in history.runs
                if each.run.event_id == one.event.id and each.run.state is RunState.CANCELLED
            ]
            if parked or cancelled or one.suppressed:
                return one
    return None


def _judge_history(history: SessionHistory, life: Life) -> None:
    open_runs = [one.run for one in history.runs if one.run.state in _OPEN]
    life.expect(not open_runs, f"runs are open: {open_runs}")
    doubts = [one.effect for one in history.effects if one.effect.state in _IN_DOUBT]
    life.expect(not doubts, f"effects are in doubt: {doubts}")
    undecided = [one.event.id for one in history.events if one.handled_at is None]
    life.expect(not undecided, f"events are undecided: {undecided}")


_OPEN = frozenset({RunState.RUNNING, RunState.WAITING})
_IN_DOUBT = frozenset({EffectState.SENDING, EffectState.UNKNOWN})


# Requests ---------------------------------------------------------------------------------------


@dataclass
class Asked:
    """How one request to a small server ended.

    Attributes:
        plan: The failure.
        failed: The calls that failed.
        error: What was raised; None for an answer.
        arrived: Whether the server read the whole request.
        sent: Bytes of it that left.
    """

    plan: Plan
    failed: list[tuple[int, Kind, Failure]] = field(default_factory=list)
    error: ActionError | None = None
    arrived: bool = False
    sent: int = 0


def ask(plan: Plan, *, before: int = 0) -> Asked:
    """Send one request in virtual time, after some on the same connection, and say how it ended."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_ask(plan, before))


async def _ask(plan: Plan, before: int) -> Asked:
    asked, sockets = Asked(plan), Sockets(Plan())
    arrived: list[bytes] = []

    async def answer(request: web.Request) -> web.Response:
        arrived.append(await request.read())
        return web.Response(text="done")

    app = web.Application()
    app.router.add_post("/", answer)
    async with served_in_memory(app) as server:
        network = FailingNetwork(sockets, {"x.test:80": server})
        door = network.door()
        request = Request("POST", "http://x.test/", body=b"x" * 100)
        for _ in range(before):
            await door.send(request)
        sent, arrived[:] = sockets.sent, []
        sockets.begin(plan)
        try:
            await door.send(request)
        except ActionError as error:
            asked.error = error
        asked.arrived, asked.sent = bool(arrived), sockets.sent - sent
        asked.failed = sockets.failed
        await network.close()
    return asked
