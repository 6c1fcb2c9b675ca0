"""``imbot demo``: a bot at work on this machine, with everything it needs."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

from imbot.app import App, open_app
from imbot.cli.liveview import LiveView, Tally
from imbot.cli.output import painted
from imbot.cli.running import on_loop, stop_on_signal, system_ports
from imbot.cli.simulating import accounts, talking_parties
from imbot.clock import Clock, SystemClock
from imbot.config import Loaded
from imbot.engine.watching import Sight
from imbot.errors import ImbotError
from imbot.logs import configure_logs
from imbot.settings import Settings
from imbot.shipped import shipped
from imbot.simulator import Simulator, SimulatorSettings
from imbot.simulator.crm import Crm
from imbot.simulator.parties import Manners
from imbot.store.database import open_store

_AGENTS = 3
_PARTIES = 2
#: They do not wait long, so that there is always something to see.
_MANNERS = Manners(think_s=2.0, patience_s=2.0)

#: How long the agents may take to come up.
_UP_S = 30.0
_LOOK_S = 0.05

_ZONE = ZoneInfo("Europe/Berlin")
_OPEN_H, _SHUT_H, _FRIDAY = 8, 16, 4


class ShiftedClock(SystemClock):
    """The machine's clock, some time ahead: the demo happens in office hours."""

    def __init__(self, ahead: timedelta) -> None:
        self._ahead = ahead

    def now(self) -> datetime:
        """Return the moment that the demo happens at."""
        return super().now() + self._ahead


def demo(*, seconds: float | None, seed: int, port: int) -> int:
    """Show a bot at work; return 0 when every session was served."""
    configure_logs("error", "text")
    return on_loop(_show(seconds=seconds, seed=seed, port=port))


async def _show(*, seconds: float | None, seed: int, port: int) -> int:
    stop = stop_on_signal()
    clock = ShiftedClock(_until_office_hours(datetime.now(UTC)))
    view, tally = LiveView(clock, _ZONE, shutil.get_terminal_size((120, 24)).columns), Tally()

    def watch(sight: Sight) -> None:
        tally.see(sight)
        with suppress(BrokenPipeError):  # nobody looks any more; the end will say so
            for line in view.lines(sight):
                print(line, flush=True)

    settings = SimulatorSettings(agents=accounts(_AGENTS), port=port, seed=seed)
    with tempfile.TemporaryDirectory(prefix="imbot-demo-") as folder:
        async with Simulator(settings, clock=clock) as simulator, Crm() as crm:
            _welcome(simulator.url, clock, seconds)
            loaded = _loaded(simulator.url, crm.url, Path(folder))
            ports = replace(
                system_ports(),
                clock=clock,
                store=lambda url, base: open_store(url, clock=clock, base=base),
                serves_health=False,
            )
            async with open_app(loaded, ports, watch=watch) as app, _serving(app, stop) as serving:
                random = Random(seed)  # noqa: S311  reproducible, nothing is secret here
                async with talking_parties(
                    simulator.world, clock, count=_PARTIES, random=random, manners=_MANNERS
                ):
                    await _until_end(stop, serving, seconds)
                missed = tally.unserved(clock.now())
    print(f"\n{painted(tally.summary(), 'bold')}")
    if missed:
        print(f"Not served: {', '.join(f'{key.agent}/{key.session_id}' for key in missed)}")
    return 1 if missed or not tally.served else 0


def _until_office_hours(now: datetime) -> timedelta:
    """Return how far ahead the next office hour is; nothing within office hours."""
    ahead = timedelta()
    while True:
        local = (now + ahead).astimezone(_ZONE)
        if local.weekday() <= _FRIDAY and _OPEN_H <= local.hour < _SHUT_H - 1:
            return ahead
        ahead += timedelta(minutes=30)


def _loaded(gws_url: str, crm_url: str, folder: Path) -> Loaded:
    settings = Settings.model_validate(
        {
            "gws": {"url": gws_url},
            "bot": {"nickname": "Robin"},
            "agents": [{"user": a.user, "password": a.password} for a in accounts(_AGENTS)],
            "rules": [shipped("rules")],
            "plugins": {"options": {"crm": {"url": crm_url}}},
            "http": {"allow": [crm_url]},
            "timezone": _ZONE.key,
        }
    )
    return Loaded(settings, base=folder, path=folder / "imbot.yaml")


def _welcome(url: str, clock: Clock, seconds: float | None) -> None:
    print("A simulated GWS, three agents, the shipped rules and two talkative parties.")
    print(f"Open {painted(f'{url}/', 'bold')} to play the other party yourself.")
    local = clock.now().astimezone(_ZONE)
    if clock.now() - datetime.now(UTC) > timedelta(minutes=1):
        print(f"It is outside office hours, so here it is {local:%A %H:%M} in Berlin.")
    print(f"It ends after {seconds:g} s.\n" if seconds else "Ctrl-C ends it.\n", flush=True)


@asynccontextmanager
async def _serving(app: App, stop: asyncio.Event) -> AsyncIterator[asyncio.Task[None]]:
    """Serve while the block runs, which begins when all agents are up; then stop in order.

    Raises:
        ImbotError: They did not come up.
    """
    serving = asyncio.create_task(app.run(stop))
    try:
        async with asyncio.timeout(_UP_S):
            while not (stop.is_set() or all(agent.is_up for agent in app.agents.values())):
                if serving.done():
                    break
                await asyncio.sleep(_LOOK_S)
        yield serving
    except TimeoutError as error:
        raise ImbotError(f"the agents did not come up within {_UP_S:g} s") from error
    finally:
        stop.set()
        await serving


async def _until_end(
    stop: asyncio.Event, serving: asyncio.Task[None], seconds: float | None
) -> None:
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait([waiting, serving], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
