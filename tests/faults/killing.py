"""Kills imbot before and after each step of the journal, and judges what is left of it.

A process with the real composition root serves a session against our simulator over real sockets,
kills itself at one moment (:mod:`tests.faults.tapped`), and a second, plain one goes on with the
same store. What the store must hold in between, and what must come of it, is a table; what was said
is counted in the simulator's own log.
"""

import asyncio
import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from imbot.simulator import Simulator, SimulatorSettings
from imbot.simulator.journal import Happening
from imbot.simulator.settings import AgentAccount
from tests.faults.tapped import Moment
from tests.wire.house import STORE, settings_file, until

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
    do:
      - reply: "pong to {{ message.text }}"
  - id: goodbye
    trigger: {message: {contains: [bye]}}
    do:
      - complete: goodbye
"""

STEPS = tuple(f"J{number}" for number in range(17))

#: What a request that has not taken effect by then never does; short, so that nobody waits.
QUIESCE_S = 2.0

#: Until a message is said or parked: a start, the quiesce time, a look at the polls since.
PATIENCE_S = 30.0

#: How many processes live at the same time: they wait most of the time.
AT_ONCE = 6


def moment(step: str, when: str, nth: int = 1) -> Moment:
    """Return this moment of the answer to a message."""
    return Moment(step, when, "ping", "/answer" if step in _BY_EFFECT else "answer", "pong", nth)


_BY_EFFECT = frozenset({"J8", "J9", "J13", "J14", "J15"})

#: Every step, before and after.
MOMENTS = tuple(moment(step, when) for step in STEPS for when in ("before", "after"))


# What the table says ----------------------------------------------------------------------------

#: Effect states in the store of a process that was killed; None where there is no row.
_NOTHING, _SENDING = frozenset({None}), frozenset({"sending"})
#: Decision and intent may share the transaction of the batch.
_ANY = frozenset({None, "sending"})
_PROVEN = frozenset({"accepted", "confirmed"})


@dataclass(frozen=True)
class Row:
    """What a kill leaves in the store, and how often the next process must say it.

    Attributes:
        effect: The states in which the effect may stand.
        event: Whether the event is kept; None where both may be.
        is_unsent: Whether GWS surely never had it: what may be on its way is then proven absent
            and said by the second attempt.
    """

    effect: frozenset[str | None]
    event: bool | None
    is_unsent: bool = True


def row(at: Moment) -> Row:
    """Return the line of the recovery table (reliability 2.1) for a moment."""
    place = STEPS.index(at.step) * 2 + (at.when == "after")
    return next(one for end, one in _TABLE if place <= end)


def _place(step: str, when: str) -> int:
    return STEPS.index(step) * 2 + (when == "after")


#: Up to and with this moment: what is left.
_TABLE = (
    (_place("J4", "before"), Row(_NOTHING, event=False)),
    (_place("J5", "after"), Row(_ANY, event=True)),
    (_place("J7", "before"), Row(_NOTHING, event=None)),
    (_place("J7", "after"), Row(_ANY, event=True)),
    (_place("J9", "before"), Row(_NOTHING, event=None)),
    (_place("J11", "before"), Row(_SENDING, event=True)),
    (_place("J14", "before"), Row(_SENDING | {"confirmed"}, event=True, is_unsent=False)),
    (_place("J15", "before"), Row(_PROVEN | {"sending"}, event=True, is_unsent=False)),
    (_place("J15", "after"), Row(frozenset({"confirmed"}), event=True, is_unsent=False)),
    (_place("J16", "after"), Row(_PROVEN | {None}, event=None, is_unsent=False)),
)


# Processes --------------------------------------------------------------------------------------

#: The status of a process whose nursery broke down; its reason is on standard error.
_NEVER_BORN = 256


class Process:
    """A process of the nursery."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.pid: asyncio.Future[int] = loop.create_future()
        self.status: asyncio.Future[int] = loop.create_future()

    async def signal(self, signum: int) -> None:
        """Send a signal, unless it has ended."""
        pid = await self.pid
        if not self.status.done():
            os.kill(pid, signum)

    async def killed(self, within_s: float) -> bool:
        """Return whether it ended by ``kill -9`` within so many seconds."""
        try:
            status = await asyncio.wait_for(asyncio.shield(self.status), within_s)
        except TimeoutError:
            return False
        return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL

    async def end(self) -> None:
        """Kill it if it lives."""
        with suppress(asyncio.CancelledError):  # it was never born
            await self.signal(signal.SIGKILL)
        await self.status


class Nursery:
    """Starts processes that have imported everything."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._born: list[Process] = []

    def start(self, folder: Path, at: Moment | None = None) -> Process:
        """Start an imbot on the settings in this folder, to be killed at a moment if given."""
        child = Process(asyncio.get_running_loop())
        order = {"order": len(self._born), "folder": str(folder), "moment": at}
        self._born.append(child)
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        return child

    async def listen(self) -> None:
        """Take in what becomes of the processes, until the nursery ends."""
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            child = self._born[told["order"]]
            if "pid" in told:
                child.pid.set_result(told["pid"])
            else:
                child.status.set_result(told["status"])
        for child in self._born:
            if not child.status.done():
                child.pid.cancel()
                child.status.set_result(_NEVER_BORN)


@asynccontextmanager
async def nursing():
    """Open a nursery; what still lives at the end is killed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.tapped"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    nursery = Nursery(process)
    listening = asyncio.create_task(nursery.listen())
    try:
        yield nursery
    finally:
        process.stdin.close()
        await listening
        await process.wait()


# One kill ---------------------------------------------------------------------------------------


@dataclass
class Left:
    """What the store holds of the answer.

    Attributes:
        event: Whether the message is kept.
        effect: State of the answer; None when it was never intended.
        attempt: Which attempt that is; 0 when there is none.
    """

    event: bool
    effect: str | None
    attempt: int


@dataclass
class Killed:
    """One kill and what came of it.

    Attributes:
        moment: When.
        left: What was in the store right after.
        ended: What was in the store when all was over.
        said: How often GWS heard each text of ours.
        restart_s: Seconds from the start of the next process to its first good poll.
        wrong: What the table does not allow.
        log: What the processes wrote.
    """

    moment: Moment
    left: Left | None = None
    ended: Left | None = None
    said: dict[str, int] = field(default_factory=dict)
    restart_s: float = 0.0
    wrong: list[str] = field(default_factory=list)
    log: str = ""

    def expect(self, holds: object, what: str) -> None:
        """Note what is wrong unless this holds."""
        if not holds:
            self.wrong.append(what)


async def kill_all(
    folder: Path, moments: Sequence[Moment], *, again: bool = False, at_once: int = AT_ONCE
) -> list[Killed]:
    """Kill imbot at each of these moments, some at the same time; return what came of each.

    Args:
        folder: Where each gets a folder of its own.
        moments: When.
        again: Whether the process that recovers is killed at the same moment, too.
        at_once: How many at the same time.
    """
    places = asyncio.Semaphore(at_once)
    async with nursing() as nursery:

        async def one(number: int, at: Moment) -> Killed:
            async with places:
                own = folder / str(number)
                own.mkdir(parents=True)
                return await kill(nursery, own, at, again=again)

        return await asyncio.gather(*(one(*pair) for pair in enumerate(moments)))


async def kill(nursery: Nursery, folder: Path, at: Moment, *, again: bool = False) -> Killed:
    """Kill imbot at one moment, start it again, and judge."""
    account = AgentAccount(user="bot1", password="pw-bot1", number="1001")
    found = Killed(at)
    # A busy machine may not cost the Bayeux session; how long a start takes is asked elsewhere.
    # Polls are short, for one of them proves that an echo did not come.
    settings = SimulatorSettings(agents=(account,), max_interval_s=60.0, poll_timeout_s=1.0)
    async with Simulator(settings) as simulator:
        delivery = {"quiesce": f"{QUIESCE_S}s"}
        if at.step == "J16":
            delivery["keep"] = "1s"
        settings_file(folder, simulator.url, rules=RULES, delivery=delivery)
        story = _Story(simulator, nursery, folder)
        try:
            await story.until_killed(at)
            found.left = _left(folder)
            if again:
                story.begin(at)
                await story.killed_again(found)
            await story.go_on(found)
            _judge(found, folder, story)
        except TimeoutError as error:
            found.wrong.append(f"stuck: {error}")
        finally:
            for process in story.processes:
                await process.end()
        with suppress(FileNotFoundError):
            found.log = (folder / "output.txt").read_text(encoding="utf-8")
    return found


class _Story:
    """A session of one agent, from its ring to its end, over several lives of imbot."""

    def __init__(self, simulator: Simulator, nursery: Nursery, folder: Path) -> None:
        self.simulator = simulator
        self.world = simulator.world
        self.processes: list[Process] = []
        self._nursery = nursery
        self._folder = folder
        self._began_at = 0.0
        self._polled_at: float | None = None
        watch_polls(simulator, self._note_poll)

    def begin(self, at: Moment | None = None) -> Process:
        """Start a process."""
        self._began_at, self._polled_at = time.monotonic(), None
        self.processes.append(self._nursery.start(self._folder, at))
        return self.processes[-1]

    async def until_killed(self, at: Moment) -> None:
        """Play until the moment has come."""
        process = self.begin(at)
        await until(lambda: self.world.is_free("bot1"), what="never logged in", within_s=60)
        self.session = self.world.session(self.world.ring("bot1", "3002"))
        await until(lambda: self.session.user_data.get("greeted"), what="never greeted")
        await until(self._is_quiet, what="the greeting is never settled")
        self.world.say(self.session.id, "ping 1")
        if at.step == "J16":
            await until(lambda: _left(self._folder).effect == "confirmed", what="never confirmed")
            await asyncio.sleep(1.1)  # until it is older than it is kept
            await process.signal(signal.SIGUSR1)
        if not await process.killed(within_s=10):
            raise TimeoutError(f"it never came to {at}")

    async def killed_again(self, found: Killed) -> None:
        """Let the process that recovers come to the same moment, if it does."""
        process = self.processes[-1]
        await process.killed(within_s=QUIESCE_S + 3)
        await process.end()
        found.left = None

    async def go_on(self, found: Killed) -> None:
        """Start plain, wait until nothing is open, and end the session by the visitor's word."""
        process = self.begin()
        await until(lambda: self._polled_at, what="it never polled again")
        found.restart_s = self._polled_at - self._began_at
        wanted = {"pong to ping 1"}
        await until(
            lambda: self._is_quiet() and (wanted <= set(self.said()) or _parked(self._folder)),
            what="the answer is neither given nor parked",
            within_s=PATIENCE_S,
        )
        found.ended = _left(self._folder)
        self.world.say(self.session.id, "bye")
        await until(lambda: not self.session.is_live, what="it does not serve the session on")
        await until(self._is_quiet, what="something is never settled")
        await process.signal(signal.SIGTERM)
        await asyncio.wait_for(asyncio.shield(process.status), 10)
        found.expect(process.status.result() == 0, f"it ended with {process.status.result()}")
        found.said = self.said()

    def said(self) -> dict[str, int]:
        """Return how often the agent said each text, as GWS knows."""
        counted: dict[str, int] = {}
        for line in self.session.transcript:
            if line.number == "1001":
                counted[line.text] = counted.get(line.text, 0) + 1
        return counted

    def requests(self, name: str) -> int:
        """Return how often an operation took effect."""
        return sum(
            one.kind is Happening.REQUEST and one.name == name and one.applied
            for one in self.world.log
        )

    def _is_quiet(self) -> bool:
        return is_quiet(self._folder)

    def _note_poll(self, asked_at: float) -> None:
        if asked_at > self._began_at:
            self._polled_at = self._polled_at or time.monotonic()


def watch_polls(simulator: Simulator, told: Callable[[float], None]) -> None:
    """Have it told whenever a poll is answered well, and when that was asked for."""
    exchange = simulator._bayeux.exchange

    async def watched(messages: Sequence[dict], **who: str) -> object:
        asked_at = time.monotonic()
        answer = await exchange(messages, **who)
        is_poll = any(one.get("channel") == "/meta/connect" for one in messages)
        if is_poll and any(one.get("successful") for one in answer.messages):
            told(asked_at)
        return answer

    simulator._bayeux.exchange = watched


def waited_for_a_cpu_s(pid: int | str) -> float:
    """Return how long a process could have gone on while others were in its place."""
    try:
        _, waited_ns, _ = Path(f"/proc/{pid}/schedstat").read_text(encoding="utf-8").split()
    except OSError:
        return 0.0
    return int(waited_ns) / 1e9


# What the store says ----------------------------------------------------------------------------


def rows(folder: Path, sql: str) -> list[tuple]:
    """Return what the store in this folder answers, read beside whoever writes it."""
    path = f"{(folder / STORE).as_uri()}?mode=ro"
    with closing(sqlite3.connect(path, uri=True, timeout=5)) as store:
        return store.execute(sql).fetchall()


def is_quiet(folder: Path) -> bool:
    """Return whether nothing is open or in doubt, and every echo has come."""
    return not rows(
        folder,
        "SELECT 1 FROM effects WHERE state IN ('sending', 'accepted', 'unknown')"
        " AND (echo IS NOT NULL OR state <> 'accepted')"
        " UNION ALL SELECT 1 FROM runs WHERE state IN ('running', 'waiting')"
        " UNION ALL SELECT 1 FROM events WHERE handled_at IS NULL",
    )


def _left(folder: Path) -> Left:
    events = rows(folder, "SELECT 1 FROM events WHERE kind = 'message' AND fields LIKE '%ping 1%'")
    effects = rows(folder, "SELECT state, attempt FROM effects WHERE rule_id = 'answer'")
    state, attempt = effects[0] if effects else (None, 0)
    return Left(bool(events), state, attempt)


def _parked(folder: Path) -> int:
    return len(rows(folder, "SELECT 1 FROM effects WHERE state = 'parked'"))


def _judge(found: Killed, folder: Path, story: _Story) -> None:
    """Hold what came of it against the table."""
    line, left, ended = row(found.moment), found.left, found.ended
    if left is not None:
        found.expect(left.effect in line.effect, f"killed, it left the effect {left.effect}")
        found.expect(line.event in {None, left.event}, f"killed, the event is kept: {left.event}")
        attempt = 2 if line.is_unsent and left.effect == "sending" else 1
        was_forgotten = found.moment.step == "J16"
        found.expect(
            was_forgotten or ended == Left(True, "confirmed", attempt),
            f"in the end it is {ended}, not confirmed at attempt {attempt}",
        )
    found.expect(found.said == {"Hello there.": 1, "pong to ping 1": 1}, f"it said {found.said}")
    completed = story.requests("Complete")
    found.expect(completed == 1, f"it completed {completed} times")
    found.expect(not _parked(folder), f"{_parked(folder)} parked")
    check = rows(folder, "PRAGMA quick_check")
    found.expect(check == [("ok",)], f"quick_check says {check}")
