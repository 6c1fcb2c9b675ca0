"""Holding: agents that wait. Memory, time to subscribe, CPU of each poll, beside the bare client.

All processes hold their agents at the same time against one server; rounds are windows of time in
which polls end and begin anew and nothing else happens.
"""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measuring import MS, US, Rounds
from benchmarks.processes import ClientProcess, ServerProcess, client_process, server_process
from benchmarks.report import Goal, Result, Table, cell, times

CLIENTS = ("imbot", "bare")


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Attributes:
        agents: A small and a large number; the memory of an agent is the slope between them.
        hold_s: How long the server holds a poll.
        window_s: How long each round takes.
        rounds: How many windows.
        rules: In imbot's rulebook.
    """

    agents: tuple[int, int] = (200, 1000)
    hold_s: float = 5.0
    window_s: float = 10.0
    rounds: int = 3
    rules: int = 10


QUICK = Effort(agents=(20, 120), hold_s=0.5, window_s=1.5, rounds=2)


def run(effort: Effort = Effort(), *, seed: int = 1) -> Result:  # noqa: ARG001  nothing is random here
    """Measure."""
    rounds = Rounds()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="imbot-bench-")))
        server = stack.enter_context(server_process())
        server.ask("hold", seconds=effort.hold_s)
        clients: dict[tuple[str, int], ClientProcess] = {}
        for agents in effort.agents:
            for name in CLIENTS:
                client = stack.enter_context(
                    client_process(name, server, folder, agents=agents, rules=effort.rules)
                )
                clients[name, agents] = client
                _start(server, client, rounds, f"{name}/{agents}")
        time.sleep(effort.hold_s)
        for _ in range(effort.rounds):
            _window(server, clients, effort, rounds)
    return Result("holding", [_table(rounds, effort)], _goals(rounds, effort), rounds)


def _start(server: ServerProcess, client: ClientProcess, rounds: Rounds, key: str) -> None:
    """Wait until every agent holds a poll; note what that took."""
    before = server.ask("count", prefix=client.prefix)["requests"]
    held = server.ask("held", prefix=client.prefix, agents=client.agents)
    requests = server.ask("count", prefix=client.prefix)["requests"] - before
    cpu_s = client.used().cpu_s - client.before.cpu_s
    rounds.add(f"{key}/start_s", held["seconds"])
    rounds.add(f"{key}/start_ms", cpu_s * MS / client.agents)
    rounds.add(f"{key}/requests", requests / client.agents)


def _window(
    server: ServerProcess,
    clients: dict[tuple[str, int], ClientProcess],
    effort: Effort,
    rounds: Rounds,
) -> None:
    before = {key: client.used() for key, client in clients.items()}
    counted = {
        key: server.ask("count", prefix=client.prefix)["polls"] for key, client in clients.items()
    }
    time.sleep(effort.window_s)
    for key, client in clients.items():
        name = f"{key[0]}/{key[1]}"
        polls = server.ask("count", prefix=client.prefix)["polls"] - counted[key]
        used = client.used()
        rounds.add(f"{name}/poll", (used.cpu_s - before[key].cpu_s) * US / max(1, polls))
        rounds.add(f"{name}/polls", polls)
        rounds.add(f"{name}/mib", used.rss_kib / 1024)
    small, large = effort.agents
    for name in CLIENTS:
        more_kib = clients[name, large].used().rss_kib - clients[name, small].used().rss_kib
        rounds.add(f"{name}/kib", more_kib / (large - small))


def _table(rounds: Rounds, effort: Effort) -> Table:
    parts = ("mib", "start_s", "start_ms", "requests", "poll")
    rows = [
        [
            f"{name}, {agents:,} agents",
            *(cell(rounds.spread(f"{name}/{agents}/{part}")) for part in parts),
            times(rounds.ratio(f"{name}/{agents}/poll", f"bare/{agents}/poll")),
        ]
        for agents in effort.agents
        for name in CLIENTS
    ]
    slopes = " and ".join(f"{name} {cell(rounds.spread(f'{name}/kib'))}" for name in CLIENTS)
    return Table(
        f"Holding agents, a poll each {effort.hold_s:g} s",
        (
            "client",
            "MiB in all",
            "s to subscribe all",
            "ms CPU to start one",
            "requests to start one",
            "µs CPU per poll",
            "against bare",
        ),
        rows,
        (
            f"KiB for each further agent: {slopes}.",
            "imbot begins at most 100 logins a second, so as not to storm GWS.",
        ),
    )


def _goals(rounds: Rounds, effort: Effort) -> list[Goal]:
    large = effort.agents[1]
    polls = rounds.ratio(f"imbot/{large}/poll", f"bare/{large}/poll")
    starts = rounds.ratio(f"imbot/{large}/start_s", f"bare/{large}/start_s")
    return [
        Goal("KiB per agent", 27.0, rounds.spread("imbot/kib").median),
        Goal("CPU per poll / bare client's", 1.3, polls.median),
        Goal(f"time to subscribe {large:,} / bare client's", 1.5, starts.median),
    ]
