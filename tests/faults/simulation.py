"""Plays a schedule: one imbot after the other against the simulated world, in virtual time.

It is the real composition root, :class:`imbot.app.App`; only what stands behind its ports is
another. Made cheap by handing it compiled rules and plugins that were found once.
"""

import asyncio
import logging
from collections.abc import Coroutine
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import structlog

from imbot.app import App, Ports
from imbot.config import Loaded
from imbot.engine.watching import unwatched
from imbot.loading import Wanted, plugin_settings, require_rulebook
from imbot.pluginhost import find_plugins
from imbot.rulebook.schema import Rulebook
from imbot.settings import Settings
from imbot.testing.time import LoopClock
from imbot.testing.virtual_loop import VirtualLoop
from tests.faults.checker import Judged, judge
from tests.faults.disk import Disk, SimulatedStore, SimulatedWriter
from tests.faults.gws import URL, Gws
from tests.faults.history import History
from tests.faults.schedule import ACTIVE_S, AGENTS, QUIET_S, WARM_S, Crash, Schedule, schedule
from tests.faults.wire import Process, SimulatedNetwork, Wire

#: A Monday noon: no day ends in a schedule.
START = datetime(2026, 3, 2, 11, 0, tzinfo=UTC)

#: Rounds in which what is left of a dead process is to end.
_ROUNDS = 60

_FOLDER = Path(__file__).parent

#: The life whose task or timer this is; None for the world's.
_LIFE: ContextVar["Life | None"] = ContextVar("life", default=None)


class Played(NamedTuple):
    """A schedule that was played.

    Attributes:
        schedule: What was planned.
        history: What happened.
        lives: How many lives there were.
        crashes: How many of them ended in a crash.
        judged: What became of it.
    """

    schedule: Schedule
    history: History
    lives: int
    crashes: int
    judged: Judged

    @property
    def faults(self) -> int:
        """How many requests something went wrong with."""
        counts = self.history.counts
        return sum(count for kind, count in counts.items() if kind.startswith("fault "))


class Made(NamedTuple):
    """What every life is made of."""

    loaded: Loaded
    wanted: Wanted
    rulebook: Rulebook


@cache
def made() -> Made:
    """Return what is compiled and found, once for a process."""
    settings = Settings.model_validate(
        {
            "gws": {"url": URL},
            "agents": [{"user": agent, "password": "pw"} for agent in AGENTS],
            "rules": ["rules.yaml"],
            "http": {"allow": ["http://crm.test"]},
            # The longest that a request is under way here, and some room; marks are no matter of
            # delivery, and a tenth of the time.
            "delivery": {"quiesce": "75s", "mark": False},
            "store": "sqlite://",
        }
    )
    loaded = Loaded(settings, base=_FOLDER, path=_FOLDER / "imbot.yaml")
    wanted = Wanted.by(settings, find_plugins(plugin_settings(loaded)), ())
    return Made(loaded, wanted, require_rulebook(loaded, wanted, today=START.date()))


def be_silent() -> None:
    """Write no log; a schedule logs what would take longer than all the rest of it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)


class Life:
    """One process of imbot, from its start to its end."""

    def __init__(self, stage: "Stage", crash: Crash, number: int) -> None:
        self._stage = stage
        self._crash = crash
        self._left = crash.count
        self.is_alive = True
        self.over = asyncio.get_running_loop().create_future()
        self._stop = asyncio.Event()
        self._chance = Random(f"imbot {stage.schedule.seed} {number}")
        self._context = copy_context()
        self._context.run(_LIFE.set, self)
        self._writer = SimulatedWriter(
            stage.disk, Random(f"disk {stage.schedule.seed} {number}"), self.reach, stage.gws.later
        )
        stage.gws.note("starts", text=f"life {number}, {crash}")
        self._task = asyncio.get_running_loop().create_task(self._live(), context=self._context)
        self._task.add_done_callback(self._ended, context=stage.context)
        if not crash.step or crash.step == "stop":
            stage.gws.later(crash.after_s, self._leave)

    def reach(self, step: str) -> bool:
        """Come to a step, and die there if it is the one; return whether it lives on."""
        if self.is_alive and step == self._crash.step and self._stage.is_active:
            self._left -= 1
            if self._left <= 0:
                self.kill(f"at {step}")
        return self.is_alive

    def kill(self, why: str) -> None:
        """Die: from now on nothing is sent and nothing is written."""
        if self.is_alive:
            self._stage.gws.note("dies", text=why)
            self._die()

    def end(self) -> None:
        """Die, if it lives, since the schedule is over."""
        if self.is_alive:
            self._die()

    def _die(self) -> None:
        self.is_alive = False
        self._writer.abandon()
        if not self.over.done():
            self.over.set_result(None)

    def _leave(self) -> None:
        if not self.is_alive or not self._stage.is_active:
            return
        if self._crash.step == "stop":
            self._stage.gws.note("stops")
            self._stop.set()
        else:
            self.kill("at a moment")

    async def _live(self) -> None:
        stage, parts = self._stage, made()
        process = Process(lambda: self.is_alive, self.reach)
        store = SimulatedStore(stage.disk, self._writer, stage.clock)
        network = SimulatedNetwork(stage.wire, process, stage.clock)
        ports = Ports(
            clock=stage.clock,
            random=self._chance,
            network=lambda _ca_file, _allow, _internal: network,
            store=lambda _url, _base: store,
            serves_health=False,
            aside=_at_once,
        )
        app = App(
            parts.loaded,
            ports,
            rulebook=parts.rulebook,
            wanted=parts.wanted,
            store=store,
            network=network,
            watch=unwatched,
        )
        await app.run(self._stop)
        await store.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Note an end of its own accord; only a stop may be one."""
        if self.is_alive:
            error = None if task.cancelled() else task.exception()
            if error is not None or not self._stop.is_set():
                self._stage.gws.note("fails", text=repr(error))
            self._die()
        elif not task.cancelled():
            task.exception()  # what a dead process raises is of no interest


class Stage:
    """The world of one schedule."""

    def __init__(self, seed: int, disk: Disk, loop: "TaskLoop") -> None:
        self.schedule = schedule(seed)
        self.disk = disk
        self.loop = loop
        self.context = copy_context()
        self.clock = LoopClock(START)
        self.history = History()
        chance = Random(f"world {seed}")
        self.gws = Gws(self.schedule.deployment, loop, self.context, chance, self.history)
        self.wire = Wire(self.gws, Random(f"wire {seed}"))
        self.lives = 0

    @property
    def is_active(self) -> bool:
        """Whether things fail."""
        return self.wire.fails

    async def play(self) -> Played:
        """Play it."""
        for conversation in self.schedule.conversations:
            self.gws.plan(conversation)
        self.wire.fails = False
        self.gws.later(WARM_S, self._fail)
        self.gws.later(ACTIVE_S, self._calm)
        end = self.loop.create_future()
        self.gws.later(ACTIVE_S + QUIET_S, end.set_result, None)
        for crash in (*self.schedule.crashes, Crash("never", 0, 0.0, 0.0)):
            if not await self._live(crash, end):
                break
        for error in self.loop.errors:
            self.gws.note("fails", text=error)
        echo = self.schedule.deployment.echo
        judged = judge(self.history, self.disk.raw, START, echo=echo)
        crashes = self.history.counts["dies"]
        return Played(self.schedule, self.history, self.lives, crashes, judged)

    async def _live(self, crash: Crash, end: asyncio.Future[None]) -> bool:
        """Let imbot live once; return whether there is time for another life."""
        self.lives += 1
        life = Life(self, crash, self.lives)
        await asyncio.wait([life.over, end], return_when=asyncio.FIRST_COMPLETED)
        life.end()
        await self._bury(life)
        if end.done():
            return False
        await asyncio.sleep(crash.down_s)
        return True

    async def _bury(self, life: Life) -> None:
        """End what is left of a life: its timers at once, its tasks as they come to their ends."""
        self.loop.silence(life)
        for _ in range(_ROUNDS):
            left = self.loop.cancel_tasks()
            if not left:
                return
            await asyncio.sleep(0)
        raise AssertionError(f"a dead process goes on: {self.loop.tasks}")

    def _fail(self) -> None:
        self.wire.fails = True

    def _calm(self) -> None:
        self.wire.fails = False
        self.gws.note("calm")


class TaskLoop(VirtualLoop):
    """A virtual loop that can end all tasks and timers of a life, in the order they were made."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks: list[asyncio.Task[Any]] = []
        self.errors: list[str] = []
        self.set_task_factory(self._made)  # type: ignore[arg-type]  # the context is a keyword

    def _made(
        self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Task[Any]:
        context = options.get("context")
        life = _LIFE.get() if context is None else context.get(_LIFE)
        task = asyncio.Task(coro, loop=loop, **options)
        if life is not None:
            if len(self.tasks) > 200:
                self.tasks = [one for one in self.tasks if not one.done()]
            self.tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what nobody caught: a callback that fails, a task whose error nobody asked for."""
        self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")

    def silence(self, life: Life) -> None:
        """Let no timer of a life go off."""
        for _, _, handle in self._later:
            if handle._context.get(_LIFE) is life:
                handle.cancel()

    def cancel_tasks(self) -> int:
        """Cancel all tasks of lives; return how many are left."""
        self.tasks = [task for task in self.tasks if not task.done()]
        for task in self.tasks:
            task.cancel()
        return len(self.tasks)


async def _at_once(work: Any) -> Any:
    return work()


@dataclass
class Simulator:
    """Plays schedules one after the other; they share nothing but what is costly to make."""

    disk: Disk

    @classmethod
    def make(cls) -> "Simulator":
        """Return a new one."""
        be_silent()
        return cls(Disk())

    def play(self, seed: int) -> Played:
        """Play the schedule of a seed; the store is as it was left until the next one."""
        self.disk.clear()
        with asyncio.Runner(loop_factory=TaskLoop) as runner:
            return runner.run(self._play(seed))

    async def _play(self, seed: int) -> Played:
        return await Stage(seed, self.disk, asyncio.get_running_loop()).play()
