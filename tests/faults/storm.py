"""A storm of reconnecting agents, in virtual time: ``python -m tests.faults.storm``.

Thousands of agents of one imbot lose their GWS together, or meet it for the first time. It takes so
many logins in a second, and what comes beyond that is refused.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

import structlog

from imbot.app import Ports, open_app
from imbot.config import Loaded
from imbot.settings import Settings
from imbot.store.database import open_store
from imbot.testing.time import LoopClock
from imbot.testing.virtual_loop import VirtualLoop
from tests.faults.fleet import LOGIN_REQUESTS, Fleet

AGENTS, LOGINS_PER_S = 5_000, 300

#: What a storm may at most: seconds until all are back, and the peak and the sum of requests
#: against what the server can do, and what would be needed if nothing ever went wrong.
BACK_S, PEAK, TOTAL = 150.0, 1.25, 1.3

#: How often a flapping server goes away.
_FLAPS = 3


@dataclass(frozen=True)
class Storm:
    """How a storm went.

    Attributes:
        name: What happened.
        agents: How many there were.
        logins_per_s: What the server could do.
        back_s: Seconds from when the server could take them until all were back.
        requests: How many requests there were.
        peak: Most requests in one second.
        refused: How many the server did not get round to.
        cpu_s: What the run cost.
    """

    name: str
    agents: int
    logins_per_s: int
    back_s: float
    requests: int
    peak: int
    refused: int
    cpu_s: float

    @property
    def peak_share(self):
        """The peak against the server's capacity."""
        return self.peak / (self.logins_per_s * LOGIN_REQUESTS)

    @property
    def total_share(self):
        """All requests against one login for each agent and each time it had to come back."""
        return self.requests / (self.agents * LOGIN_REQUESTS * TIMES[self.name])

    @property
    def is_good(self):
        """Whether the storm stayed within its limits."""
        return self.back_s <= BACK_S and self.peak_share <= PEAK and self.total_share <= TOTAL

    def __str__(self):
        """Return the line that is printed."""
        return (
            f"{self.name:<12} back {self.back_s:6.1f} s   peak {self.peak_share:5.2f} x   "
            f"total {self.total_share:5.2f} x   refused {self.refused:7,}   cpu {self.cpu_s:5.1f} s"
        )


async def _cold_start(_fleet, _app):
    """Everybody logs in for the first time."""
    return 0.0


async def _failover(fleet, app):
    """The server goes away for 5 s and comes back without memory."""
    return await _outages(fleet, app, times=1)


async def _flapping(fleet, app):
    """It does so three times, with 20 s between, and is then there for good."""
    return await _outages(fleet, app, times=_FLAPS)


async def _outages(fleet, app, *, times):
    await _until_up(app)
    await asyncio.sleep(60)
    fleet.asked_at.clear()
    for number in range(times):
        if number:
            await asyncio.sleep(20)
        fleet.fail()
        await asyncio.sleep(5)
        fleet.mend()
    return fleet.clock.monotonic()


async def _until_up(app):
    while not all(agent.is_up for agent in app.agents.values()):
        await asyncio.sleep(0.5)


STORMS = {"cold": _cold_start, "failover": _failover, "flapping": _flapping}

#: How often everybody has to come back in each.
TIMES = {"cold": 1, "failover": 1, "flapping": _FLAPS}


async def storm(name, *, agents=AGENTS, logins_per_s=LOGINS_PER_S, seed=0, limit_s=3_600.0):
    """Return how the storm of this name went."""
    clock, cpu_s = LoopClock(), time.process_time()
    fleet = Fleet(clock, logins_per_s=logins_per_s, poll_s=60.0)
    with tempfile.TemporaryDirectory() as folder:
        loaded = _loaded(Path(folder), agents)
        async with open_app(loaded, _ports(fleet, clock, seed)) as app:
            stop = asyncio.Event()
            life = asyncio.create_task(app.run(stop))
            try:
                began = await STORMS[name](fleet, app)
                async with asyncio.timeout(limit_s):
                    await _until_up(app)
            except TimeoutError:
                pass
            back_s = clock.monotonic() - began
            asked_at = fleet.asked_at.copy()
            fleet.is_down = True
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
    return Storm(
        name,
        agents,
        logins_per_s,
        back_s,
        requests=sum(asked_at.values()),
        peak=max(asked_at.values()),
        refused=fleet.refused,
        cpu_s=time.process_time() - cpu_s,
    )


def _loaded(folder, agents):
    rules = folder / "rules.yaml"
    rules.write_text("rules: []\n")
    settings = Settings.model_validate(
        {
            "gws": {"url": "http://gws.test:8090", "resync": "10m"},
            "agents": [{"user": f"bot{n}", "password": "pw"} for n in range(agents)],
            "rules": [rules],
            "store": "sqlite://",
        }
    )
    return Loaded(settings, base=folder, path=folder / "imbot.yaml")


def _ports(fleet, clock, seed):
    return Ports(
        clock=clock,
        random=Random(seed),
        network=lambda _ca_file, _allow, _internal: fleet,
        store=lambda url, base: open_store(url, clock=clock, base=base, executor="inline"),
        serves_health=False,
    )


def run(name, **how):
    """Return how the storm of this name went, on a virtual-time loop of its own; log nothing."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(storm(name, **how))


def main():
    """Have the storms that are named, and print how they went."""
    parser = argparse.ArgumentParser(description="Storms of reconnecting agents in virtual time.")
    parser.add_argument("storms", nargs="*", default=list(STORMS), help=f"of {', '.join(STORMS)}")
    parser.add_argument("--agents", type=int, default=AGENTS)
    parser.add_argument("--logins-per-s", type=int, default=LOGINS_PER_S)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print(f"{asked.agents:,} agents, a server that takes {asked.logins_per_s} logins/s")
    how = {"agents": asked.agents, "logins_per_s": asked.logins_per_s, "seed": asked.seed}
    went = []
    for name in asked.storms:
        went.append(run(name, **how))
        print(went[-1], flush=True)
    return 0 if all(one.is_good for one in went) else 1


if __name__ == "__main__":
    sys.exit(main())
