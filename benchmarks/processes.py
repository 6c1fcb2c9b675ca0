"""The server and the clients as child processes: started, asked, stopped."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_ROOT = Path(__file__).parents[1]

#: Longest that a child may take for anything that it is asked.
PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Used:
    """What a process has used so far: CPU seconds of all its threads, memory now."""

    cpu_s: float
    rss_kib: float


class ServerProcess:
    """The server in a process of its own."""

    def __init__(self, child: "subprocess.Popen[bytes]") -> None:
        self.port = int(_line(child))

    def ask(self, do: str, **what: object) -> dict[str, Any]:
        """Return what the server found when it has done this."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        connection.request("POST", "/bench", json.dumps({"do": do, **what}))
        found: dict[str, Any] = json.loads(connection.getresponse().read())
        connection.close()
        return found


class ClientProcess:
    """One of the clients in a process of its own.

    Attributes:
        prefix: What the names of its agents begin with.
        agents: How many it has.
        before: What it had used when its first agent was about to start.
    """

    def __init__(self, child: "subprocess.Popen[bytes]", prefix: str, agents: int) -> None:
        self._child = child
        self.prefix = prefix
        self.agents = agents
        self.before = self._used()

    def used(self) -> Used:
        """Return what it has used so far."""
        _pipe(self._child.stdin).write(b"\n")
        _pipe(self._child.stdin).flush()
        return self._used()

    def _used(self) -> Used:
        return Used(**json.loads(_line(self._child)))


@contextmanager
def server_process() -> Iterator[ServerProcess]:
    """Run the server."""
    with _child("benchmarks.server") as child:
        yield ServerProcess(child)


@contextmanager
def client_process(
    client: str, server: ServerProcess, folder: Path, *, agents: int, rules: int
) -> Iterator[ClientProcess]:
    """Run ``imbot``, ``bare`` or ``raw`` with so many agents against the server."""
    prefix = f"{client}{agents}"
    folder = folder / prefix
    options = {
        "--port": server.port,
        "--agents": agents,
        "--prefix": prefix,
        "--rules": rules,
        "--folder": folder,
    }
    words = [str(word) for option in options.items() for word in option]
    with _child("benchmarks.clients", client, *words) as child:
        yield ClientProcess(child, prefix, agents)


@contextmanager
def _child(module: str, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a module of ours; it ends when its standard input does."""
    command = [sys.executable, "-m", module, *words]
    child = subprocess.Popen(  # noqa: S603  our own modules
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_ROOT
    )
    try:
        yield child
    finally:
        _pipe(child.stdin).close()
        try:
            child.wait(PATIENCE_S / 4)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        _pipe(child.stdout).close()


def _line(child: "subprocess.Popen[bytes]") -> bytes:
    """Return the next line of a child.

    Raises:
        RuntimeError: It has ended instead.
    """
    line = _pipe(child.stdout).readline()
    if not line:
        raise RuntimeError(f"{child.args!r} ended with {child.wait()}; what it said stands above")
    return line


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
