"""In process: the bytes of a poll's reply → notice → event → match → plan → an action in memory.

The real engine, with a store that keeps nothing and an action that only counts: what an event costs
without HTTP and without a disk. Every event is a message that meets one rule or two, one at a time.
"""

import asyncio
import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random

import uvloop
from pydantic import BaseModel

from benchmarks.measuring import MS, US, Rounds, percentile
from benchmarks.report import Goal, Result, Table, cell
from benchmarks.wire import IM_CHANNEL, connected, new_message
from benchmarks.workload import CUSTOMER, MOMENT, SLOTS, TEXT_SLOT, rule_files, said, specs
from imbot.clock import SystemClock
from imbot.engine.watching import unwatched
from imbot.gws.notifications import DeviceNotice, heard
from imbot.jsontext import decode_json, encode_json
from imbot.model import Batch, ImSession, Notice, SessionNotice
from imbot.plugin import Action, Context, action
from imbot.records import Change, Recovered, Retention
from imbot.testing.house import House, build

SESSIONS = 10


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: rulebook sizes, events for each in each round, rounds."""

    sizes: Sequence[int] = (1, 10, 100, 1000)
    events: int = 3000
    rounds: int = 5


QUICK = Effort(sizes=(1, 1000), events=500, rounds=3)


class NoStore:
    """Implements :class:`imbot.ports.Store` and keeps nothing."""

    async def commit(self, changes: Sequence[Change]) -> None:
        """Do nothing."""

    def note(self, changes: Sequence[Change]) -> None:
        """Do nothing."""

    async def marked(
        self,
        marks: Sequence[tuple[str, str]],  # noqa: ARG002  there never is anything
    ) -> dict[tuple[str, str], datetime]:
        """Return none."""
        return {}

    async def recover(self, now: datetime) -> Recovered:  # noqa: ARG002  there never is anything
        """Return nothing."""
        return Recovered()

    async def forget(self, what: Retention) -> int:  # noqa: ARG002  there never is anything
        """Forget nothing."""
        return 0

    async def close(self) -> None:
        """Do nothing."""


class Counted(BaseModel, extra="forbid", frozen=True):
    """Arguments of the action."""

    text: str


def counting(done: Callable[[], None]) -> Action[Counted]:
    """Return an action that calls this and does nothing else."""

    @action("count", args=Counted)
    async def count(ctx: Context, args: Counted) -> None:  # noqa: ARG001  an action's signature
        """Count."""
        done()

    return count


def run(effort: Effort = Effort(), *, seed: int = 1) -> Result:
    """Measure."""
    rounds = Rounds()
    uvloop.run(_measure(rounds, effort, seed))
    return Result("process", [_table(rounds, effort)], _goals(rounds, effort), rounds)


async def _measure(rounds: Rounds, effort: Effort, seed: int) -> None:
    benches = {size: await _opened(size) for size in effort.sizes}
    for number in range(effort.rounds + 1):
        for size, bench in benches.items():
            replies = poll_replies(size, effort.events, seed=seed + number)
            cpu_us, waits_s = await bench.take(replies)
            if number:  # the first round compiles what the events reach
                rounds.add(f"cpu/{size}", cpu_us)
                rounds.add(f"p50/{size}", percentile(waits_s, 0.5) * MS)
                rounds.add(f"p99/{size}", percentile(waits_s, 0.99) * MS)


def poll_replies(rules: int, count: int, *, seed: int) -> list[bytes]:
    """Return so many replies of polls, one message in each."""
    random = Random(seed)
    return [
        encode_json([new_message(f"s{n % SESSIONS}", said(rules, random)), connected(str(n))])
        for n in range(count)
    ]


@dataclass(slots=True)
class Bench:
    """The engine with its sessions, ready to take what polls bring.

    Attributes:
        house: The engine.
        acted_at: When the action was last carried out, by ``perf_counter``.
        acted: How often.
    """

    house: House
    acted_at: float = 0.0
    acted: int = 0

    async def take(self, replies: Sequence[bytes]) -> tuple[float, list[float]]:
        """Return the µs of CPU for each reply's event, and the seconds until each was acted on."""
        waits_s = []
        gc.collect()
        began = time.process_time()
        for reply in replies:
            arrived = time.perf_counter()
            await self._take(reply)
            waits_s.append(self.acted_at - arrived)
        return (time.process_time() - began) * US / len(replies), waits_s

    async def _take(self, reply: bytes) -> None:
        """Return when everything that came of the reply is over."""
        now = self.house.clock.now()
        notices = tuple(
            notice
            for element in decode_json(reply)
            if element["channel"] == IM_CHANNEL  # the others are Bayeux's own
            for notice in heard(element, received_at=now)
            if not isinstance(notice, DeviceNotice)
        )
        await self.house.dispatch.accept(Batch("bot1", notices))
        while not self.house.dispatch.is_idle:  # noqa: ASYNC110  it has no event, and needs none
            await asyncio.sleep(0)


async def _opened(size: int) -> Bench:
    rules = specs(size) if size > 1 else [specs(SLOTS)[TEXT_SLOT]]
    (rule_file,) = rule_files(rules, on_message='{count: {text: "{{ message.text }}"}}')
    return await opened(rule_file)


async def opened(rules: str) -> Bench:
    """Return the engine with rules that may name the counting action."""
    bench: Bench

    def done() -> None:
        bench.acted_at = time.perf_counter()
        bench.acted += 1

    bench = Bench(
        build(
            rules,
            store=NoStore(),
            clock=SystemClock(),
            actions={"count": counting(done)},
            events_per_s=1e6,  # each round is a flood
            watch=unwatched,  # a list of all that was seen would grow with each round
        )
    )
    begun: list[Notice] = [
        SessionNotice(ImSession(f"s{n}", "Talking", {}, (CUSTOMER,)), MOMENT)
        for n in range(SESSIONS)
    ]
    await bench.house.dispatch.accept(Batch("bot1", tuple(begun)))
    await bench.house.settle()
    return bench


def _table(rounds: Rounds, effort: Effort) -> Table:
    rows = [
        [f"{size:,}", *(cell(rounds.spread(f"{name}/{size}")) for name in ("cpu", "p50", "p99"))]
        for size in effort.sizes
    ]
    return Table(
        "In process: decode, match, plan, act in memory",
        ("rules", "µs CPU per event", "p50 ms to the action", "p99 ms"),
        rows,
    )


def _goals(rounds: Rounds, effort: Effort) -> list[Goal]:
    worst_us = max(rounds.spread(f"cpu/{size}").median for size in effort.sizes)
    worst_ms = max(rounds.spread(f"p99/{size}").median for size in effort.sizes)
    return [
        Goal("µs CPU per event at any size", 50.0, worst_us),
        Goal("p99 ms to the action", 0.25, worst_ms),
    ]
