"""Runs in memory, and those of them that wait: no task, a row, and perhaps a timer.

Here is known which run waits for what happens in a session. How it goes on is decided elsewhere.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from imbot.engine.doors import Acting
from imbot.engine.once import Turn
from imbot.engine.planning import Start
from imbot.engine.sessions import SessionEntry
from imbot.engine.standing import BEGINNING, Standing
from imbot.engine.stepping import Over, resumed
from imbot.model import JSON, Event, EventKind, SessionKey
from imbot.records import Strand, TimerGone, TimerSet
from imbot.rulebook.index import trigger_holds
from imbot.rulebook.schema import StateTrigger, WaitFor

#: The kind of the timers of runs.
RUN = "run"


class Alarms(Protocol):
    """Where timers are set; :class:`imbot.engine.timers.Timers` is one."""

    def set(self, timer: TimerSet) -> None:
        """Let it be fired when it is due, instead of any other of its id."""
        ...

    def cancel(self, timer_id: str) -> object:
        """Let it not be fired."""
        ...


@dataclass(slots=True, eq=False)
class Flight:
    """A strand on its way beside others.

    Attributes:
        pc: Where it stands.
        task: Carries it on; None for the only strand, which needs none of its own.
    """

    pc: int
    task: "asyncio.Task[None] | None" = None


@dataclass(slots=True, eq=False)
class Run:
    """One run while it has not ended.

    Attributes:
        start: What began it.
        acting: Its effects, and the session that it acts on.
        standing: Where it stands.
        turn: Its place among the runs of its rule and key.
        since: From when its next wait counts, after a restart; None for from when it begins.
        ending: Why it is to end before its next step; empty while it is not.
        over: How it ended; None before.
        withheld: Why a step of it was withheld, the first one; empty when none was.
        is_driven: Whether a task carries it on.
        release: Lets the others in its lane go on.
        flights: Its strands on their way, if there are several.
    """

    start: Start
    acting: Acting
    standing: Standing
    turn: Turn
    since: datetime | None = None
    ending: str = ""
    over: Over | None = None
    withheld: str = ""
    is_driven: bool = False
    release: Callable[[], None] = lambda: None
    flights: list[Flight] = field(default_factory=list)
    _woken: "asyncio.Future[None] | None" = None

    @property
    def id(self) -> str:
        """Event and rule."""
        return self.start.run_id

    def ready(self) -> Strand | None:
        """Return the first strand that neither waits nor is on its way; None without one."""
        on_way = [flight.pc for flight in self.flights] if self.flights else ()
        for strand in self.standing.strands:
            if not strand.waits and strand.pc not in on_way:
                return strand
        return None

    @property
    def is_new(self) -> bool:
        """Whether it stands where every run begins."""
        standing = self.standing
        return standing.strands == BEGINNING.strands and not standing.failing

    def stands_at(self, pc: int) -> bool:
        """Return whether it has not ended and a strand of it stands here."""
        return self.over is None and self.standing.strand(pc) is not None

    def wake(self) -> None:
        """Let whoever drives it look again."""
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    async def take_off(self, flight: Flight, task: "asyncio.Task[None]", within_s: float) -> None:
        """Return when the strand has come back, or has not for so long."""
        flight.task = task
        self.flights.append(flight)
        await asyncio.wait((task,), timeout=within_s)
        self._land()

    async def stirred(self) -> None:
        """Return when a strand has come back, or the run was woken."""
        self._woken = asyncio.get_running_loop().create_future()
        await asyncio.wait((*self._tasks(), self._woken), return_when=asyncio.FIRST_COMPLETED)
        self._woken = None
        self._land()

    async def ground(self) -> None:
        """Cancel what is still on its way."""
        for task in self._tasks():
            task.cancel()
        await asyncio.gather(*self._tasks(), return_exceptions=True)

    def _land(self) -> None:
        """Forget the strands that have come back; what one of them raised is raised here."""
        done = {task for task in self._tasks() if task.done()}
        self.flights = [flight for flight in self.flights if flight.task not in done]
        for task in done:
            task.result()

    def _tasks(self) -> "list[asyncio.Task[None]]":
        return [flight.task for flight in self.flights if flight.task is not None]

    def about(self) -> tuple[SessionKey, ...]:
        """Return the sessions whose completion cancels it."""
        event, acts_on = self.start.event, self.acting.session
        began_in = event.session_key
        if began_in is None and acts_on is None:
            return ()
        if event.session is not None and event.session.is_completed:
            return () if acts_on is None or acts_on == began_in else (acts_on,)
        keys = (began_in,) if acts_on == began_in else (began_in, acts_on)
        return tuple([key for key in keys if key is not None])


class Waiting:
    """The runs of which a strand waits, by the sessions that they are about."""

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms
        self._by_session: dict[SessionKey, dict[str, Run]] = {}
        self._listed: dict[str, tuple[SessionKey, ...]] = {}

    def __len__(self) -> int:
        """Return how many runs have a strand that waits."""
        return len(self._listed)

    def of(self, key: SessionKey | None) -> list[Run]:
        """Return the runs that wait and are about this session, in the order they began to."""
        if key is None or not self._by_session:
            return []
        return list(self._by_session.get(key, {}).values())

    def update(self, run: Run, before: tuple[Strand, ...]) -> list[TimerSet | TimerGone]:
        """Set and cancel timers as the strands wait now; return the rows of that.

        Args:
            run: The run as it stands.
            before: The strands of it that waited before.
        """
        waiting = () if run.over else run.standing.waiting
        changes: list[TimerSet | TimerGone] = []
        for strand in before:
            if strand.due_at is not None and strand not in waiting:
                self._alarms.cancel(timer_id(run, strand.pc))
                changes.append(TimerGone(timer_id(run, strand.pc)))
        for strand in waiting:
            if strand.due_at is not None and strand not in before:
                timer = _timer(run, strand.pc, strand.due_at)
                self._alarms.set(timer)
                changes.append(timer)
        self._list(run, run.about() if waiting else None)
        return changes

    def _list(self, run: Run, keys: tuple[SessionKey, ...] | None) -> None:
        if self._listed.get(run.id) == keys:
            return
        for key in self._listed.pop(run.id, ()):
            runs = self._by_session[key]
            del runs[run.id]
            if not runs:
                del self._by_session[key]
        if keys is not None:
            self._listed[run.id] = keys
            for key in keys:
                self._by_session.setdefault(key, {})[run.id] = run


def met(run: Run, standing: Standing, entry: SessionEntry | None) -> Standing:
    """Return where a run stands that comes to its waits, if a session that it began is there.

    Whether the other party took the session before or after the run came to the wait is chance.
    """
    if entry is None or entry.key == run.start.event.session_key:
        return standing
    state, at = entry.session.state, entry.talking_at or entry.seen_at
    event = {"kind": str(EventKind.STATE), "at": at, "age": 0.0, "resync": False}
    for strand in standing.waiting:
        wait = run.start.rule.program.instructions[strand.pc]
        trigger = wait.trigger if isinstance(wait, WaitFor) else None
        if isinstance(trigger, StateTrigger) and state in (trigger.to or ()):
            result = {"timed_out": False, "event": event}
            standing = resumed(run.start, standing, strand.pc, result)
    return standing


def timer_id(run: Run, pc: int) -> str:
    """Return the id of the timer of a strand that waits here."""
    return f"{run.id}/{pc}"


def _timer(run: Run, pc: int, due_at: datetime) -> TimerSet:
    event = run.start.event
    session_id = "" if event.session is None else event.session.id
    payload = {"run_id": run.id, "pc": pc}
    return TimerSet(timer_id(run, pc), RUN, due_at, event.agent, session_id, payload)


def heard(run: Run, event: Event, result: JSON) -> Standing:
    """Return where a run stands once it has heard of an event; nothing is consumed."""
    standing = run.standing
    if event.session_key != run.acting.session:
        return standing
    for strand in standing.waiting:
        wait = run.start.rule.program.instructions[strand.pc]
        if isinstance(wait, WaitFor) and trigger_holds(wait.trigger, event):
            standing = resumed(run.start, standing, strand.pc, result)
    return standing
