"""Weeks of service in virtual time: ``python -m tests.faults.soak --days 30``.

A few agents talk all day and all night. What imbot keeps must not grow with what has passed:
memory, objects, tasks, descriptors, and the store once it holds as much as it is to keep.
"""

import argparse
import asyncio
import gc
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from random import Random
from unittest.mock import patch

import structlog

from imbot.app import Ports, open_app
from imbot.config import Loaded
from imbot.engine import once
from imbot.settings import Settings
from imbot.store.database import open_store
from imbot.testing.time import LoopClock
from imbot.testing.virtual_loop import VirtualLoop
from tests.faults.fleet import Fleet

DAYS, EVENTS, AGENTS = 30, 300_000, 5

#: What may be added between the first quarter and the end, as a share of what there was.
GROWTH = 0.05

#: A session: it begins, six lines, two changes of user data by others, and its end.
LINES = 6
_EVENTS_OF_SESSION = LINES + 2

_DAY_S = 86_400.0

#: What the store keeps. It forgets once a day, so it has its full size after four days.
KEEP_S = 2 * _DAY_S

#: Only a soak of so many days says anything about the store.
MIN_DAYS_OF_STORE = 16

RULES = """
version: 1
rules:
  - id: greet
    trigger: {state: Talking}
    once: session
    do:
      - reply: "Good day, this is {{ bot.nickname }}."
      - set: {greeted: "yes"}
  - id: answer
    trigger: {message: any}
    when: startswith(message.text, 'q')
    budget: {per_session: 10}
    do:
      - reply: "You said {{ message.text }}."
  - id: remind
    trigger: {idle: 40s}
    do:
      - reply: "Are you still there?"
  - id: later
    trigger: {message: any}
    when: message.text == 'q0'
    throttle: {once_within: 1m, by: participant.phoneNumber}
    do:
      - wait: 30s
      - set: {waited: "yes"}
  - id: hourly
    trigger: {every: 1h}
    do:
      - log: "an hour has passed"
"""


@dataclass(frozen=True)
class Figures:
    """What there is at one moment.

    Attributes:
        rss_kib: Resident memory.
        objects: Objects that the garbage collector knows.
        tasks: Tasks of the loop.
        descriptors: Open files and sockets.
        store_kib: The store's file.
        wal_kib: Its write-ahead log.
    """

    rss_kib: int
    objects: int
    tasks: int
    descriptors: int
    store_kib: int
    wal_kib: int


def figures(store: Path):
    """Return what there is now."""
    gc.collect()
    return Figures(
        rss_kib=_rss_kib(),
        objects=len(gc.get_objects()),
        tasks=len(asyncio.all_tasks()),
        descriptors=len(list(Path("/proc/self/fd").iterdir())),
        store_kib=store.stat().st_size // 1024,
        wal_kib=_size_kib(store.with_name(store.name + "-wal")),
    )


def _rss_kib():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def _size_kib(path):
    with suppress(FileNotFoundError):
        return path.stat().st_size // 1024
    return 0


@dataclass
class Soak:
    """How a soak went.

    Attributes:
        days: How long it lasted.
        seen: The figures at the end of each part.
        events: How many notifications of others there were.
        replies: How many messages the agents said.
        silent: Sessions that nobody greeted.
        errors: What was logged as an error, or came to nobody's notice.
        cpu_s: What it cost.
    """

    days: float
    seen: list = field(default_factory=list)
    events: int = 0
    replies: int = 0
    silent: int = 0
    errors: list = field(default_factory=list)
    cpu_s: float = 0.0

    def note(self, _logger, method, facts):
        """Keep what is logged as an error, for structlog; write nothing."""
        if method in {"error", "critical", "exception"}:
            self.errors.append(facts)
        raise structlog.DropEvent

    def growth(self) -> Iterator[tuple[str, float, float, float]]:
        """Yield each figure at a quarter of the time, at its end, and by what share it grew."""
        first, last = self.seen[len(self.seen) // 4 - 1], self.seen[-1]
        for one in fields(Figures):
            before, after = getattr(first, one.name), getattr(last, one.name)
            yield one.name, before, after, (after - before) / before if before else 0.0

    @property
    def faults(self):
        """What is wrong with it; empty when nothing is."""
        judged = {one.name for one in fields(Figures)} - {"wal_kib"}
        if self.days < MIN_DAYS_OF_STORE:
            judged.remove("store_kib")
        grown = [name for name, *_, share in self.growth() if share > GROWTH and name in judged]
        told = [f"{', '.join(grown)} grew by more than {GROWTH:.0%}"] if grown else []
        if self.silent:
            told.append(f"{self.silent} sessions were not greeted")
        if self.errors:
            told.append(f"{len(self.errors)} errors were logged, first: {self.errors[0]}")
        return told


@patch.object(once, "REMEMBERED_MARKS", 2_000)  # so that a quarter of a soak reaches the bound
async def soak(*, days=DAYS, events=EVENTS, agents=AGENTS, parts=None, seed=0, watch=None):
    """Return how it went."""
    clock, went = LoopClock(), Soak(days)
    structlog.configure(processors=[went.note])
    asyncio.get_running_loop().set_exception_handler(lambda _loop, facts: went.errors.append(facts))
    parts = parts or max(4, round(days))
    fleet, chance = Fleet(clock), Random(seed)
    pause_s = days * _DAY_S * agents * _EVENTS_OF_SESSION / events
    with tempfile.TemporaryDirectory(dir=_fast()) as name:
        folder = Path(name)
        loaded = _loaded(folder, agents, keep_s=KEEP_S)
        ports = Ports(
            clock=clock,
            random=chance,
            network=lambda _ca_file, _allow, _internal: fleet,
            store=lambda url, base: open_store(url, clock=clock, base=base, executor="inline"),
            serves_health=False,
        )
        async with open_app(loaded, ports) as app:
            stop = asyncio.Event()
            life = asyncio.create_task(app.run(stop))
            await asyncio.sleep(60)
            talks = [
                asyncio.create_task(_talk(fleet, user, pause_s, Random(f"{seed} {user}"), went))
                for user in app.agents
            ]
            for part in range(parts):
                await asyncio.sleep(days * _DAY_S / parts - (60 if not part else 0))
                fleet.asked_at.clear()  # it grows by the second, and is not imbot's
                went.seen.append(figures(folder / "imbot.db"))
                went.events, went.cpu_s = fleet.events, time.process_time()
                if watch is not None:
                    watch(part + 1, parts, went)
            for talk in talks:
                talk.cancel()
            await asyncio.gather(*talks, return_exceptions=True)
            stop.set()
            await life
    return went


async def _talk(fleet, user, pause_s, chance, went):
    """Ring one agent, again and again, and talk."""
    for number in range(1_000_000_000):
        length_s = chance.uniform(0.3, 0.9) * pause_s
        name = fleet.ring(user, f"{30_000 + number % 1000}")
        for line in range(LINES):
            await asyncio.sleep(length_s / LINES)
            fleet.say(user, name, f"{'q' if line % 3 == 0 else 'a'}{line}")
        fleet.hang_up(user, name)
        await asyncio.sleep(5.0)
        said = fleet.said.pop(name, [])
        went.replies += len(said)
        went.silent += not said
        await asyncio.sleep(pause_s - length_s - 5.0)


def _loaded(folder, agents, *, keep_s):
    rules = folder / "rules.yaml"
    rules.write_text(RULES)
    settings = Settings.model_validate(
        {
            "gws": {"url": "http://gws.test:8090"},
            "bot": {"nickname": "Robin"},
            "agents": [{"user": f"bot{n}", "password": "pw"} for n in range(agents)],
            "rules": [rules],
            "store": "sqlite:///imbot.db",
            "delivery": {"keep": keep_s},
        }
    )
    return Loaded(settings, base=folder, path=folder / "imbot.yaml")


def _fast():
    """Return a folder in memory, if there is one: a soak measures no disks."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  its own folder in it


def run(**how):
    """Return how a soak went, on a virtual-time loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(soak(**how))


def _tell(part, parts, went):
    now = went.seen[-1]
    print(
        f"{part:3d}/{parts}  {went.events:8,} events  {went.replies:8,} replies  "
        f"rss {now.rss_kib / 1024:6.1f} MiB  {now.objects:8,} objects  {now.tasks:3d} tasks  "
        f"{now.descriptors:3d} fds  store {now.store_kib / 1024:6.1f} MiB  "
        f"wal {now.wal_kib / 1024:5.1f} MiB  cpu {went.cpu_s:6.0f} s",
        flush=True,
    )


def main():
    """Have a soak and print how it goes."""
    parser = argparse.ArgumentParser(description="Weeks of service in virtual time.")
    parser.add_argument("--days", type=float, default=DAYS)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--agents", type=int, default=AGENTS)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    how = {"events": asked.events, "agents": asked.agents, "seed": asked.seed}
    went = run(days=asked.days, **how, watch=_tell)
    for name, before, after, share in went.growth():
        print(f"{name:<12} {before:12,} {after:12,} {share:+8.1%}")
    for fault in went.faults:
        print(f"FAULT: {fault}")
    return 1 if went.faults else 0


if __name__ == "__main__":
    sys.exit(main())
