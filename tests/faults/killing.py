"""Kills imbot before and after each step of the journal, and judges what is left of it.

A process with the real composition root serves a session against our simulator over real sockets,
kills itself at one moment (:mod:`tests.faults.tapped`), and a second, plain one goes on with the
same store. What must be left and what must come of it is :mod:`tests.faults.recoverytable`'s.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from imbot.simulator import Faults, Simulator, SimulatorSettings
from imbot.simulator.journal import Happening
from imbot.simulator.settings import AgentAccount
from tests.faults.recoverytable import Killed, Left, is_quiet, is_told, judge, left_of, rows
from tests.faults.tapped import Moment
from tests.machine import own_s
from tests.wire.house import settings_file, until

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

#: What a request that has not taken effect by then never does; short, so that nobody waits.
QUIESCE_S = 2.0

#: Until a message is said or parked: a start, the quiesce time, a look at the polls since.
PATIENCE_S = 30.0

#: What each process logs when it has read back what was unfinished.
_RECOVERED = '"imbot.recovered"'
#: ... and when it has heard enough echoes.
_ECHOES_LEARNT = '"echoes.heard"'

#: How many processes live at the same time: they wait most of the time.
AT_ONCE = 6


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


async def kill_all(
    folder: Path,
    moments: Sequence[Moment],
    *,
    again: bool = False,
    ack: bool = True,
    at_once: int = AT_ONCE,
) -> list[Killed]:
    """Kill imbot at each of these moments, some at the same time; return what came of each.

    Args:
        folder: Where each gets a folder of its own.
        moments: When.
        again: Whether the process that recovers is killed at the same moment, too.
        ack: Whether GWS sends again what was not acknowledged.
        at_once: How many at the same time.
    """
    places = asyncio.Semaphore(at_once)
    async with nursing() as nursery:

        async def one(number: int, at: Moment) -> Killed:
            async with places:
                own = folder / str(number)
                own.mkdir(parents=True)
                return await kill(nursery, own, Killed(at, ack), again=again)

        return await asyncio.gather(*(one(*pair) for pair in enumerate(moments)))


async def kill(nursery: Nursery, folder: Path, found: Killed, *, again: bool) -> Killed:
    """Kill imbot at one moment, start it again, and judge."""
    account = AgentAccount(user="bot1", password="pw-bot1", number="1001")
    # A busy machine may not cost the Bayeux session; how long a start takes is asked elsewhere.
    # Polls are short, for one of them proves that an echo did not come.
    settings = SimulatorSettings(
        agents=(account,),
        ack=found.ack,
        max_interval_s=60.0,
        poll_timeout_s=1.0,
        faults=Faults.model_validate({"straight_to_talking": True}),
    )
    async with Simulator(settings) as simulator:
        delivery = {"quiesce": f"{QUIESCE_S}s"}
        if found.moment.step == "J16":
            delivery["keep"] = "1s"
        settings_file(folder, simulator.url, rules=RULES, delivery=delivery)
        story = _Story(simulator, nursery, folder)
        try:
            await story.until_killed(found.moment)
            found.left = story.left(found.moment)
            if again:
                await story.killed_again(found)
            await story.go_on(found)
            judge(found, folder)
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
        self.world = simulator.world
        self.processes: list[Process] = []
        self._nursery = nursery
        self._folder = folder
        self._began_at = 0.0
        self._polled_at: float | None = None
        self._has_said: list[str] = []
        self._may_be_told = False
        watch_polls(simulator, self._note_poll)

    def begin(self, at: Moment | None = None) -> Process:
        """Start a process."""
        self._began_at, self._polled_at = own_s(), None
        self.processes.append(self._nursery.start(self._folder, at))
        return self.processes[-1]

    async def until_killed(self, at: Moment) -> None:
        """Play until the moment has come."""
        process = self.begin(at)
        await until(lambda: self.world.is_free("bot1"), what="never logged in", within_s=60)
        # Of a first session echoes are learnt: without them, an absent one would prove nothing.
        self._ring()
        await self._until("Hello there.")
        for text in ("ping a", "ping b"):
            self.world.say(self.session.id, text)
            await self._until(f"pong to {text}")
        await until(lambda: _ECHOES_LEARNT in self._output, what="echoes are not learnt")
        self.world.complete(self.session.id)
        await until(lambda: self._is_completed(self.session.id), what="never completed")
        if at.target != "greet":
            self._ring()
            await self._until("Hello there.")
        if at.target == "goodbye" or at.step == "J16":
            self._say("ping 1")
            await self._until("pong to ping 1")
        if at.step == "J16":
            await asyncio.sleep(1.1)  # until all is older than it is kept
        await process.signal(signal.SIGUSR2)
        await asyncio.sleep(0.05)
        match at.target:
            case "greet":
                self._ring()
            case "goodbye":
                self._say("bye")
            case _ if at.step == "J16":
                await process.signal(signal.SIGUSR1)
            case _:
                self._say("ping 1")
        if not await process.killed(within_s=10):
            raise TimeoutError(f"it never came to {at}")

    async def killed_again(self, found: Killed) -> None:
        """Let the process that recovers come to the same moment, if it does."""
        process = self.begin(found.moment)
        await until(lambda: self._output.count(_RECOVERED) > 1, what="it never recovered")
        await process.signal(signal.SIGUSR2)
        await process.killed(within_s=QUIESCE_S + 6)
        await process.end()
        found.left = None

    async def go_on(self, found: Killed) -> None:
        """Start plain, wait until nothing is open, and play the session to its end."""
        process = self.begin()
        await until(lambda: self._polled_at, what="it never polled again", within_s=60)
        found.restart_s = self._polled_at - self._began_at
        self._may_be_told = not found.ack
        await self._until("Hello there.")
        if "ping 1" not in self._has_said:
            self._say("ping 1")
        await self._until("pong to ping 1")
        if "bye" not in self._has_said:
            self._say("bye")
        await until(
            lambda: (
                not self.session.is_live or (found.moment.target == "goodbye" and self._is_told())
            ),
            what="it does not serve the session on",
            within_s=PATIENCE_S,
        )
        await until(lambda: is_quiet(self._folder), what="never quiet", within_s=PATIENCE_S)
        found.ended, found.said = self.left(found.moment), self.said()
        found.completed = sum(
            one.kind is Happening.REQUEST and one.name == "Complete" and one.applied
            for one in self.world.log
        )
        await process.signal(signal.SIGTERM)
        await asyncio.wait_for(asyncio.shield(process.status), 10)
        found.expect(process.status.result() == 0, f"it ended with {process.status.result()}")

    @property
    def _output(self) -> str:
        return (self._folder / "output.txt").read_text(encoding="utf-8")

    def left(self, at: Moment) -> Left:
        """Return what the store holds of the exchange."""
        return left_of(self._folder, at, self.session.id)

    def _ring(self) -> None:
        self.session = self.world.session(self.world.ring("bot1", "3002"))

    def _is_completed(self, session_id: str) -> bool:
        completed = "SELECT 1 FROM sessions WHERE session_id = ? AND completed_at IS NOT NULL"
        return bool(rows(self._folder, completed, (session_id,))) and is_quiet(self._folder)

    def _is_told(self) -> bool:
        return self._may_be_told and is_told(self._folder)

    def _say(self, text: str) -> None:
        self._has_said.append(text)
        if self.session.is_live:
            self.world.say(self.session.id, text)

    async def _until(self, text: str) -> None:
        """Wait until this is said, or it is told why it may not be; and all is settled."""
        await until(
            lambda: is_quiet(self._folder) and (text in self.said() or self._is_told()),
            what=f"{text!r} is neither said nor told to be missing",
            within_s=PATIENCE_S,
        )

    def said(self) -> dict[str, int]:
        """Return how often the agent said each text, as GWS knows."""
        counted: dict[str, int] = {}
        for line in self.session.transcript:
            if line.number == "1001":
                counted[line.text] = counted.get(line.text, 0) + 1
        return counted

    def _note_poll(self, asked_at: float) -> None:
        if asked_at > self._began_at:
            self._polled_at = self._polled_at or own_s()


def watch_polls(simulator: Simulator, told: Callable[[float], None]) -> None:
    """Have it told whenever a poll is answered well, and when that was asked for."""
    exchange = simulator._bayeux.exchange

    async def watched(messages: Sequence[dict], **who: str) -> object:
        asked_at = own_s()
        answer = await exchange(messages, **who)
        is_poll = any(one.get("channel") == "/meta/connect" for one in messages)
        if is_poll and any(one.get("successful") for one in answer.messages):
            told(asked_at)
        return answer

    simulator._bayeux.exchange = watched
