"""A disk that fails at the n-th call of the database, once or for ever, in one session's life.

The life is one of the real composition root in virtual time: a party rings, is greeted and tagged,
imbot waits, asks, and completes the session. Whatever fails, imbot may stop, and is started again
on a disk that works; then all of it has been done once, or waits visibly for a person.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imbot.errors import StoreError
from imbot.records import EffectState, RunState
from imbot.store.views import SessionHistory
from imbot.testing.virtual_loop import VirtualLoop
from tests.flow.stage import Call, Imbot, Stage, staged

RULES = """
version: 1
rules:
  - id: serve
    trigger: {state: Talking}
    once: session
    do:
      - reply: "Good day"
      - set: {greeted: "yes"}
      - wait: 20s
      - reply: "Are you still there?"
      - complete: done
"""

SAID = ["Good day", "Are you still there?"]

#: Name, code, words and kind of the errors that disks make SQLite give.
ERRORS = {
    "FULL": (13, "database or disk is full", sqlite3.OperationalError),
    "IOERR_WRITE": (778, "disk I/O error", sqlite3.OperationalError),
    "IOERR_FSYNC": (1034, "disk I/O error", sqlite3.OperationalError),
    "BUSY": (5, "database is locked", sqlite3.OperationalError),
    "READONLY": (8, "attempt to write a readonly database", sqlite3.OperationalError),
    "CORRUPT": (11, "database disk image is malformed", sqlite3.DatabaseError),
}


@dataclass
class Fault:
    """Lets the n-th call of a database fail.

    Attributes:
        at: Which call, from 1; 0 for none.
        name: The error.
        lasts: Whether every later call fails too.
        until: The first later call that works again; 0 for the very next, unless it lasts.
        on_failure: Called at each failure.
        calls: How many there were.
        is_hit: Whether it came to that.
        statements: What was called.
    """

    at: int = 0
    name: str = "FULL"
    lasts: bool = False
    until: int = 0
    on_failure: Callable[[], object] = bool
    calls: int = 0
    is_hit: bool = False
    statements: list[str] = field(default_factory=list)

    def connect(self, *args: Any, **options: Any) -> sqlite3.Connection:
        """Open a file as SQLite does."""
        fault = self

        class Cursor(sqlite3.Cursor):
            def execute(self, sql, parameters=()):
                return fault.call(sql, lambda: super(Cursor, self).execute(sql, parameters))

        class Connection(sqlite3.Connection):
            def execute(self, sql, parameters=()):
                return fault.call(sql, lambda: super(Connection, self).execute(sql, parameters))

            def cursor(self, factory=Cursor):
                return super().cursor(factory)

        return sqlite3.connect(*args, factory=Connection, **options)

    def call(self, sql, carry_out):
        """Carry a call out, or fail."""
        self.calls += 1
        self.statements.append(sql)
        until = self.calls + 1 if self.lasts else max(self.until, self.at + 1)
        if not self.at or not self.at <= self.calls < until:
            return carry_out()
        self.is_hit = True
        self.on_failure()
        if self.name == "IOERR_FSYNC" and sql == "COMMIT":
            carry_out()  # all of it is on the disk, as it turns out; nobody knows
        code, words, kind = ERRORS[self.name]
        error = kind(words)
        error.sqlite_errorcode, error.sqlite_errorname = code, f"SQLITE_{self.name}"
        raise error


@dataclass
class Told:
    """What came of one life.

    Attributes:
        fault: What failed.
        wrong: What is wrong with what came of it; empty when all is well.
    """

    fault: Fault
    wrong: list[str]


async def live(folder: Path, fault: Fault) -> Told:
    """Let imbot live with a disk that fails, and again with one that works."""
    async with staged(folder) as stage:
        await _empty_store(stage)
        stage.connect = fault.connect
        first = await _begun(stage)
        await stage.seconds(5)
        imbot = await _again_if_over(stage, first)
        call = stage.ring("3001")
        for seconds in (35, 65, 200):
            await stage.seconds(seconds)
            imbot = await _again_if_over(stage, imbot)
        await stage.seconds(5)
        is_alive = imbot is first and imbot.is_running
        return Told(fault, list(_wrong(stage, call, fault, is_alive=is_alive)))


async def _empty_store(stage: Stage) -> None:
    """Make the store: what fails then is no session's life."""
    imbot = await stage.start(RULES)
    await imbot.stop()


async def _again_if_over(stage: Stage, imbot: Imbot | None) -> Imbot:
    """Return an imbot that runs: another one on a disk that works where this one has ended."""
    if imbot is not None and imbot.is_running:
        return imbot
    stage.connect = sqlite3.connect
    return await stage.start(RULES)


async def _begun(stage: Stage) -> Imbot | None:
    """Return imbot; None when it cannot even start."""
    try:
        return await stage.launch(RULES)
    except StoreError:
        return None


def _wrong(stage: Stage, call: Call, fault: Fault, *, is_alive: bool) -> Iterator[str]:
    with stage.views() as views:
        (history,) = views.session(call.id)
    effects = [view.effect for view in history.effects]
    yield from _undone(history)
    if len(set(call.heard)) < len(call.heard):
        yield f"said twice: {call.heard}"
    intended = {effect.intent.operation for effect in effects}
    for name, _, text in stage.operations():
        if name in ("SendMessage", "Complete") and name not in intended:
            yield f"{name} {text} was done and nowhere intended"
    is_whole = set(call.heard) == set(SAID) and call.is_over
    if not is_whole and not any(effect.state is EffectState.PARKED for effect in effects):
        yield f"heard {call.heard}, over: {call.is_over}, and nothing is parked"
    if fault.lasts and fault.is_hit and is_alive:
        yield "imbot went on with a disk that fails"


def _undone(history: SessionHistory) -> Iterator[str]:
    """Yield what nobody goes on with."""
    for view in history.effects:
        if view.effect.state in (EffectState.SENDING, EffectState.UNKNOWN):
            yield f"{view.effect.intent.effect_id} is still {view.effect.state}"
    for view in history.runs:
        if view.run.state in (RunState.RUNNING, RunState.WAITING):
            yield f"{view.run.run_id} is still {view.run.state}"


def cases(calls: int, *, every: int = 1) -> Iterator[Fault]:
    """Yield faults at calls of a life, each with another error, once and for ever."""
    names = list(ERRORS)
    for at in range(1, calls + 1, every):
        name = names[(at // every) % len(names)]
        yield Fault(at, name)
        yield Fault(at, name, lasts=True)


def play(folder: Path, fault: Fault) -> Told:
    """Live once, in this folder and in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(live(folder, fault))
