"""Plays many seeds in several processes and adds up what became of them."""

import gc
import multiprocessing
import signal
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.faults.canaries import CANARIES
from tests.faults.schedule import Deployment
from tests.faults.simulation import Simulator, made

#: Seeds after which a process looks for garbage: it makes much of it, all of a schedule at once.
_SEEDS_BETWEEN_COLLECTIONS = 10

#: Seeds that a process is given at once.
_CHUNK = 4

#: Of a hundred replies so many may be parked: with the ack extension,
#: without, and where GWS sends no echoes and nothing can be proven.
MOST_PARKED = {"with ack": 1.0, "without ack": 6.0, "without echoes": 16.0}
#: Of a hundred messages so many may lie in a reported gap: twice what was measured. A gap that is
#: reported too wide would excuse everything.
MOST_UNSEEN = {"with ack": 6.0, "without ack": 17.0, "without echoes": 10.0}
LEAST_MESSAGES, LEAST_FAULTS, LEAST_CRASHES = 20, 10.0, 1.0


class Outcome(NamedTuple):
    """What became of one seed.

    Attributes:
        seed: The seed.
        kind: Of its deployment, as :data:`MOST_PARKED` names it.
        messages: What other parties said.
        faults: Requests that something went wrong with.
        crashes: Lives that ended in a crash.
        counts: What the checker counted.
        violations: What it found.
        fingerprint: That of the history.
    """

    seed: int
    kind: str
    messages: int
    faults: int
    crashes: int
    counts: dict[str, int]
    violations: tuple[str, ...]
    fingerprint: str


@dataclass(slots=True)
class Tally:
    """What became of many seeds.

    Attributes:
        seeds: How many.
        fewest_messages: In any schedule.
        counts: Sums.
        by_kind: Sums of what the checker counted, by kind of deployment.
        failed: The outcomes with violations.
    """

    seeds: int = 0
    fewest_messages: int = 10**6
    counts: Counter[str] = field(default_factory=Counter)
    by_kind: dict[str, Counter[str]] = field(
        default_factory=lambda: {kind: Counter() for kind in MOST_PARKED}
    )
    failed: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Add one seed."""
        self.seeds += 1
        self.fewest_messages = min(self.fewest_messages, outcome.messages)
        self.counts["faults"] += outcome.faults
        self.counts["crashes"] += outcome.crashes
        self.by_kind[outcome.kind].update(outcome.counts)
        if outcome.violations:
            self.failed.append(outcome)

    def percent(self, what: str, kind: str) -> float:
        """Return how many of a hundred replies were parked, or messages something happened to."""
        counts = self.by_kind[kind]
        return 100.0 * counts[what] / max(1, counts["replies" if what == "parked" else "messages"])

    def shortfalls(self) -> list[str]:
        """Return why these schedules prove less than they should, or imbot parks too much."""
        few = [
            f"{what}: {got:.1f} per schedule, at least {least:g} are due"
            for what, got, least in (
                ("messages", float(self.fewest_messages), LEAST_MESSAGES),
                ("faults", self.counts["faults"] / max(1, self.seeds), LEAST_FAULTS),
                ("crashes", self.counts["crashes"] / max(1, self.seeds), LEAST_CRASHES),
            )
            if got < least
        ]
        for what, limits in (("parked", MOST_PARKED), ("unseen", MOST_UNSEEN)):
            for kind, most in limits.items():
                if (got := self.percent(what, kind)) > most:
                    few.append(f"{what}: {got:.2f} % {kind}, at most {most:g} % may be")
        return few

    def report(self) -> Iterator[str]:
        """Yield the lines that tell of it."""
        each = max(1, self.seeds)
        messages = sum(counts["messages"] for counts in self.by_kind.values())
        yield (
            f"{self.seeds} schedules, {messages} messages, {self.counts['faults']} faults, "
            f"{self.counts['crashes']} crashes; per schedule {messages / each:.1f} (at least "
            f"{self.fewest_messages}), {self.counts['faults'] / each:.1f}, "
            f"{self.counts['crashes'] / each:.1f}"
        )
        for kind, counts in self.by_kind.items():
            if counts["messages"]:
                others = sorted(counts.keys() - {"messages", "replies", "sessions", "ticks"})
                rates = ", ".join(f"{what} {self.percent(what, kind):.2f} %" for what in others)
                told = f"{kind}: {counts['messages']} messages, {counts['replies']} replies"
                if counts["parked"]:
                    share = 100 * counts["parked"] / counts["messages"]
                    rates += f"; parked {share:.2f} % of messages"
                yield f"{told}; {rates or 'all answered'}"
        kinds = Counter(
            kind
            for one in self.failed
            for kind in {each.partition(":")[0] for each in one.violations}
        )
        found = ", ".join(f"{kind} in {count}" for kind, count in sorted(kinds.items()))
        yield f"violations: {found or 'none'}"


def _kind(deployment: Deployment) -> str:
    if not deployment.echo:
        return "without echoes"
    return "with ack" if deployment.ack else "without ack"


# Playing --------------------------------------------------------------------------------------


class Player:
    """Plays seeds in this process.

    Args:
        canary: The bug to switch in; empty for none.
    """

    def __init__(self, canary: str = "") -> None:
        self._simulator = Simulator.make()
        self._played = 0
        self._undo = ExitStack()
        made()
        if canary:
            self._undo.enter_context(CANARIES[canary]())
        gc.collect()
        gc.freeze()
        gc.disable()

    def play(self, seed: int) -> Outcome:
        """Play one seed."""
        played = self._simulator.play(seed)
        self._played += 1
        if self._played % _SEEDS_BETWEEN_COLLECTIONS == 0:
            gc.collect()
        return Outcome(
            seed,
            _kind(played.schedule.deployment),
            played.schedule.messages,
            played.faults,
            played.crashes,
            dict(played.judged.counts),
            tuple(map(str, played.judged.violations)),
            played.history.fingerprint(),
        )

    def close(self) -> None:
        """Take the bug out."""
        self._undo.close()
        gc.enable()
        gc.unfreeze()


def campaign(
    seeds: Iterable[int], *, canary: str = "", processes: int = 2
) -> Generator[Outcome, None, None]:
    """Yield what becomes of these seeds, in no order.

    Args:
        seeds: Which.
        canary: The bug to switch in; empty for none.
        processes: In how many processes.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, _begin, (canary,)) as pool:
        yield from pool.imap_unordered(_play, seeds, chunksize=_CHUNK)


_player: list[Player] = []


def _begin(canary: str) -> None:
    """Make the player of a worker process; the keyboard interrupts the one that reports."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _player.append(Player(canary))


def _play(seed: int) -> Outcome:
    return _player[0].play(seed)
