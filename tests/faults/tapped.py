"""The process that is killed: imbot's own composition root behind ports that count its steps.

``python -m tests.faults.tapped`` imports everything once and forks a process for each order that it
reads, so that a start costs no imports. An order may name a moment: a step of the journal, before
or after it, of the exchange with one rule; there the process kills itself as ``kill -9`` does.
Nothing in the product knows of this: sockets are tapped through ``AiohttpNetwork(link=...)``, the
database through ``open_store(connect=...)``.
"""

import asyncio
import json
import os
import select
import signal
import sqlite3
import sys
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from imbot.cli.running import _serve, on_loop, stop_on_signal, system_ports
from imbot.clock import SystemClock
from imbot.config import load_settings
from imbot.http import AiohttpNetwork
from imbot.logs import configure_logs
from imbot.records import EventSeen, Recovered
from imbot.store.database import open_store
from imbot.systemd import Supervisor

#: A sleep as long as this is the pause before the store forgets: it ends with SIGUSR1 instead.
_FORGET_S = 600.0


class Moment(NamedTuple):
    """Where a process kills itself.

    Attributes:
        step: Number of the step: ``J0`` to ``J16``.
        when: ``before`` or ``after`` it.
        heard: What a notification, and the row of its event, must hold to count.
        rule: The rule whose rows count.
        said: What a request must hold to count.
        target: Name of the exchange.
    """

    step: str
    when: str
    heard: str
    rule: str
    said: str
    target: str

    def __str__(self) -> str:
        """Return its name, as tables show it."""
        return f"{self.when} {self.step} of {self.target}"


class Fuse:
    """Kills this process when it comes to one moment, once SIGUSR2 has armed it."""

    def __init__(self, moment: Moment) -> None:
        self.moment = moment
        self.is_armed = False
        self.heard = self.moment.heard.encode()
        self.said = self.moment.said.encode()
        self.is_noted = False
        self.is_kept = False

    def arm(self) -> None:
        """Kill from now on."""
        self.is_armed = True

    def at(self, step: str, when: str) -> None:
        """Pass a moment."""
        if self.is_due(step, when):
            die()

    def is_due(self, step: str, when: str) -> bool:
        """Return whether this is the moment; the caller does the killing."""
        return self.is_armed and (self.moment.step, self.moment.when) == (step, when)


def die() -> None:
    """End as ``kill -9`` ends a process: nothing is flushed, nobody is told."""
    os.kill(os.getpid(), signal.SIGKILL)


# Sockets ----------------------------------------------------------------------------------------


class _Wire(asyncio.Protocol):
    """Stands between a socket and aiohttp's client: J0, J5, J10 to J12."""

    def __init__(self, inner: asyncio.Protocol, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse
        self.asked = b""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._inner.connection_made(_Writing(transport, self, self._fuse))

    def data_received(self, data: bytes) -> None:
        is_poll = b"/meta/connect" in self.asked and self._fuse.heard in data
        is_answer = self._fuse.said in self.asked
        if is_poll:
            self._fuse.at("J0", "before")
        if is_answer:
            self._fuse.at("J12", "before")
        self._inner.data_received(data)
        if is_poll:
            self._fuse.at("J0", "after")

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        self._inner.connection_lost(error)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


class _Writing:
    """A transport whose requests can be cut off at any byte."""

    def __init__(self, inner: asyncio.Transport, wire: _Wire, fuse: Fuse) -> None:
        self._inner = inner
        self._wire = wire
        self._fuse = fuse

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def write(self, data: bytes) -> None:
        """Write a request; aiohttp hands over one as small as ours in one piece."""
        data = bytes(data)
        self._wire.asked = data
        fuse = self._fuse
        if fuse.said in data:
            self._cut(data, 1, fuse.is_due("J10", "after"))
            self._cut(data, len(data) - 1, fuse.is_due("J11", "before"))
            self._cut(data, len(data), fuse.is_due("J11", "after"))
        if fuse.is_kept and b"/meta/connect" in data:
            self._cut(data, len(data), fuse.is_due("J5", "after"))
        self._inner.write(data)

    def writelines(self, chunks: list[bytes]) -> None:
        self.write(b"".join(chunks))

    def _cut(self, data: bytes, end: int, is_due: bool) -> None:  # noqa: FBT001  its one question
        if is_due:
            # Past every buffer of the event loop: the kernel has these bytes, and no others.
            os.write(self._inner.get_extra_info("socket").fileno(), data[:end])
            die()


class _Door:
    """A door to HTTP that tells of whole requests and answers: J0, J1, J5, J10, J12."""

    def __init__(self, inner: object, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse

    async def send(self, request: object) -> object:
        fuse, body = self._fuse, request.body or b""
        is_poll = b"/meta/connect" in body
        if is_poll and fuse.is_kept:
            fuse.at("J5", "before")
        if fuse.said in body:
            fuse.at("J10", "before")
        reply = await self._inner.send(request)
        if is_poll and fuse.heard in reply.body:
            fuse.at("J1", "before")
        if fuse.said in body:
            fuse.at("J12", "after")
        return reply

    async def close(self) -> None:
        await self._inner.close()


class _Network(AiohttpNetwork):
    def __init__(self, ca_file: Path | None, allow: tuple[str, ...], fuse: Fuse) -> None:
        super().__init__(ca_file=ca_file, allow=allow, link=self._link)
        self._fuse = fuse

    async def _link(self, host: str, port: int, protocol: asyncio.Protocol) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: _Wire(protocol, self._fuse), host, port)

    def door(self, **how: bool) -> _Door:
        return _Door(super().door(**how), self._fuse)


# The store --------------------------------------------------------------------------------------


class _Store:
    """A store that tells when a batch is handed to it: J1."""

    def __init__(self, inner: object, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    async def recover(self, now: datetime) -> Recovered:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, self._fuse.arm)
        return await self._inner.recover(now)

    def note(self, changes: list[object]) -> None:
        heard = self._fuse.moment.heard
        is_it = any(isinstance(one, EventSeen) and heard in str(one) for one in changes)
        if is_it and self._fuse.is_armed:
            self._fuse.at("J1", "after")
            self._fuse.is_noted = True
        self._inner.note(changes)


class _Cursor(sqlite3.Cursor):
    """Tells of each statement: J2 to J4, J6 to J9, J13 to J16."""

    def execute(self, sql: str, values: object = ()) -> sqlite3.Cursor:
        steps = self.connection.steps
        for step in (before := steps.of(sql, str(values))):
            steps.fuse.at(step, "before")
        done = super().execute(sql, values)
        for step in before:
            steps.fuse.at(step, "after")
        if sql == "COMMIT" and "J4" in before and steps.fuse.is_armed:
            steps.fuse.is_kept = True
        return done


#: The step of a row by the beginning of its statement ...
_ROWS = {"INSERT INTO runs": "J6", "INSERT INTO effects": "J8", "UPDATE effects SET": "J13"}
#: ... and the step of the commit that makes it durable.
_COMMITS = {"J3": "J4", "J6": "J7", "J8": "J9", "J13": "J14", "echo": "J15", "forget": "J16"}


class _Steps:
    """Which step of the journal a statement is, by what the open transaction holds."""

    def __init__(self, fuse: Fuse) -> None:
        self.fuse = fuse
        self._open: list[str] = []

    def of(self, sql: str, values: str) -> list[str]:
        """Return the steps that a statement is; the transaction goes on from there."""
        if sql.startswith("BEGIN"):
            self._open = []
            return ["J2"] if self.fuse.is_noted else []
        if sql == "COMMIT":
            done, self._open = self._open, []
            return [_COMMITS[step] for step in dict.fromkeys(done)]
        step = self._row(sql, values)
        self._open += [step] if step else []
        return [step] if step.startswith("J") else []

    def _row(self, sql: str, values: str) -> str:
        moment = self.fuse.moment
        if sql.startswith("DELETE FROM events"):
            return "forget"
        if sql.startswith("INSERT INTO events"):
            return "J3" if moment.heard in values else ""
        if sql.startswith("UPDATE effects") and "settled_at=" not in sql:
            step = "echo"
        else:
            step = _ROWS.get(" ".join(sql.split(maxsplit=3)[:3]).partition("(")[0], "")
        return step if moment.rule in values else ""


class _Connection(sqlite3.Connection):
    steps: _Steps

    def cursor(self, factory: type[sqlite3.Cursor] = _Cursor) -> sqlite3.Cursor:
        return super().cursor(factory)

    def execute(self, sql: str, values: object = ()) -> sqlite3.Cursor:
        return self.cursor().execute(sql, values)


class _Clock(SystemClock):
    """The machine's clock; but the store forgets when it is told to."""

    def __init__(self) -> None:
        self.asked: asyncio.Event | None = None

    async def sleep(self, seconds: float) -> None:
        if seconds < _FORGET_S:
            await super().sleep(seconds)
            return
        self.asked = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self.asked.set)
        await self.asked.wait()


# The process ------------------------------------------------------------------------------------


def serve(folder: Path, moment: Moment | None) -> int:
    """Serve as ``imbot run`` does until a signal, or until the moment comes."""
    loaded = load_settings(folder / "imbot.yaml", environment={}, options=())
    configure_logs("info", "json")
    ports = replace(system_ports(), environment={})
    if moment is not None:
        ports = _tapped(ports, Fuse(moment))
    return on_loop(_until_stopped(loaded, ports))


async def _until_stopped(loaded: object, ports: object) -> int:
    await _serve(loaded, ports, stop_on_signal(), Supervisor({}))
    return 0


def _tapped(ports: object, fuse: Fuse) -> object:
    class Connection(_Connection):
        steps = _Steps(fuse)

    clock, connect = _Clock(), partial(sqlite3.connect, factory=Connection)
    return replace(
        ports,
        clock=clock,
        network=lambda ca_file, allow, _internal: _Network(ca_file, allow, fuse),
        store=lambda url, base: _Store(
            open_store(url, clock=clock, base=base, connect=connect), fuse
        ),
    )


def _child(order: dict) -> int:
    """Carry out one order, in the forked process."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    folder = Path(order["folder"])
    output = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    moment = order["moment"]
    return serve(folder, None if moment is None else Moment(*moment))


def nursery() -> None:
    """Fork a process for each line of standard input; tell of its birth and its end."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    orders = b""
    names: dict[int, int] = {}
    while True:
        ready, *_ = select.select([0, reading], [], [])
        if reading in ready:
            os.read(reading, 4096)
        while names and (ended := os.waitpid(-1, os.WNOHANG))[0]:
            print(json.dumps({"order": names.pop(ended[0]), "status": ended[1]}), flush=True)
        if 0 in ready:
            if not (more := os.read(0, 65536)):
                break
            *lines, orders = (orders + more).split(b"\n")
            for order in map(json.loads, lines):
                names[pid := _fork(order)] = order["order"]
                print(json.dumps({"order": order["order"], "pid": pid}), flush=True)
    for pid in names:
        os.kill(pid, signal.SIGKILL)


def _fork(order: dict) -> int:
    if pid := os.fork():
        return pid
    code = 1
    try:
        code = _child(order)
    except BaseException:  # noqa: BLE001  the top of the process
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    nursery()
