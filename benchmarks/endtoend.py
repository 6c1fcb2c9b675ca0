"""End to end: messages in by CometD, replies out by REST, their echoes back in.

imbot with its rules, its journal and its ledger (SQLite, every commit on disk before the reply)
beside a bare client without any of it, and the raw limit of the same work. Each client runs in a
process of its own, the server in another; all meet the same texts at the same pace.
"""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import journal
from benchmarks.measuring import MS, US, Rounds, percentile
from benchmarks.processes import ClientProcess, ServerProcess, client_process, server_process
from benchmarks.report import NONE, Goal, Result, Table, cell, times

CLIENTS = ("imbot", "bare", "raw")

#: Longer than the store waits before it writes what nobody waits for.
_SETTLE_S = 0.15


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Attributes:
        agents: Of each client; each has one session.
        rules: In imbot's rulebook.
        batches: Messages that one poll brings.
        events: Messages in each flood.
        paced: Messages in each run at a steady rate.
        per_s: That rate.
        rounds: How often everything is measured.
    """

    agents: int = 20
    rules: int = 1000
    batches: tuple[int, ...] = (1, 10)
    events: int = 1500
    paced: int = 400
    per_s: float = 200.0
    rounds: int = 4


QUICK = Effort(events=300, paced=60, rounds=2)


def run(effort: Effort = Effort(), *, seed: int = 1) -> Result:
    """Measure."""
    rounds = Rounds()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="imbot-bench-")))
        server = stack.enter_context(server_process())
        clients = [
            stack.enter_context(
                client_process(name, server, folder, agents=effort.agents, rules=effort.rules)
            )
            for name in CLIENTS
        ]
        for client in clients:
            server.ask("held", prefix=client.prefix, agents=effort.agents)
        for number in range(effort.rounds + 1):
            for name, client in zip(CLIENTS, clients, strict=True):
                found = _round(server, client, effort, seed=seed, number=number)
                if number:  # the first round warms caches and compiles what the texts reach
                    for key, value in found.items():
                        rounds.add(f"{name}/{key}", value)
            commits_s = journal.commits_s(folder / f"disk{number}.db", 50)
            rounds.add("disk/p50", percentile(commits_s, 0.5) * MS)
            rounds.add("disk/p99", percentile(commits_s, 0.99) * MS)
    return Result("endtoend", _tables(rounds, effort), _goals(rounds, effort), rounds)


def _round(
    server: ServerProcess, client: ClientProcess, effort: Effort, *, seed: int, number: int
) -> dict[str, float]:
    """Return what one client took in one round."""
    mine = {"prefix": client.prefix, "rules": effort.rules, "seed": f"{seed}/{number}"}
    found = {}
    server.ask("begin", prefix=client.prefix, session=f"s{number}")
    for batch in effort.batches:
        before = client.used()
        flood = server.ask("flood", **mine, events=effort.events, batch=batch)
        time.sleep(_SETTLE_S)
        cpu_s = client.used().cpu_s - before.cpu_s
        found[f"cpu/{batch}"] = cpu_s * US / flood["answers"]
        found[f"answers/{batch}"] = flood["answers"]
        found[f"rate/{batch}"] = flood["answers"] / flood["seconds"]
    paced = server.ask("pace", **mine, events=effort.paced, per_s=effort.per_s)
    found["p50"] = percentile(paced["waits_s"], 0.5) * MS
    found["p99"] = percentile(paced["waits_s"], 0.99) * MS
    server.ask("end", prefix=client.prefix)
    return found


def _tables(rounds: Rounds, effort: Effort) -> list[Table]:
    floods = [
        [
            f"{name}, {batch} a poll",
            cell(rounds.spread(f"{name}/cpu/{batch}")),
            times(rounds.ratio(f"{name}/cpu/{batch}", f"bare/cpu/{batch}")),
            cell(rounds.spread(f"{name}/rate/{batch}")),
        ]
        for batch in effort.batches
        for name in CLIENTS
    ]
    paced = [
        [
            name,
            *(cell(rounds.spread(f"{name}/{part}")) for part in ("p50", "p99")),
            *(times(rounds.ratio(f"{name}/{part}", f"bare/{part}")) for part in ("p50", "p99")),
        ]
        for name in CLIENTS
    ]
    disk = [cell(rounds.spread(f"disk/{part}")) for part in ("p50", "p99")]
    return [
        Table(
            f"End to end: {effort.agents} agents, {effort.rules:,} rules in imbot, flooded",
            ("client", "µs CPU per event", "against bare", "events/s, wall"),
            floods,
        ),
        Table(
            f"End to end: message to reply at {effort.per_s:g} messages/s",
            ("client", "p50 ms", "p99 ms", "p50 against bare", "p99 against bare"),
            [*paced, ["one commit on this disk", *disk, NONE, NONE]],
            ("imbot's reply waits for one commit, which keeps its event and its intent.",),
        ),
    ]


def _goals(rounds: Rounds, effort: Effort) -> list[Goal]:
    cpu = [
        Goal(
            f"CPU per event / bare client's, {batch} a poll",
            1.4,
            rounds.ratio(f"imbot/cpu/{batch}", f"bare/cpu/{batch}").median,
        )
        for batch in effort.batches
    ]
    bare_ms, p50_ms = rounds.spread("bare/p50").median, rounds.spread("imbot/p50").median
    return [
        *cpu,
        Goal("p50 ms (1.3 x bare + 0.6)", 1.3 * bare_ms + 0.6, p50_ms),
        Goal("p99 / bare client's", 2.0, rounds.ratio("imbot/p99", "bare/p99").median),
    ]
