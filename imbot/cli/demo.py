"""``imbot demo``: a bot at work on this machine, with everything it needs."""

import asyncio
import json
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

from imbot.admin.keys import new_token
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
from imbot.model import JSON
from imbot.settings import AdminPart, Settings
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

#: Beside the shipped rules: some that do not always run, so that there is a why to ask for.
_MORE_RULES = Path(__file__).with_name("demo.yaml")

#: Where an imbot is looked into unless its settings say otherwise.
_USUAL = AdminPart().listen

#: What people can try beside it, and what comes of it.
_COMMANDS = {
    "sessions": "who was here, and with an id: what was said, and by which rule",
    "halt": "nothing more is said or done, until: release",
    "close support": "as on a holiday, until: reopen support",
    "switch greet off": "no greeting, until: switch greet as-written",
}
_WIDEST = max(map(len, _COMMANDS))

_ZONE = ZoneInfo("Europe/Berlin")
_OPEN_H, _SHUT_H, _FRIDAY = 8, 16, 4


class ShiftedClock(SystemClock):
    """The machine's clock, some time ahead: the demo happens in office hours."""

    def __init__(self, ahead: timedelta) -> None:
        self._ahead = ahead

    def now(self) -> datetime:
        """Return the moment that the demo happens at."""
        return super().now() + self._ahead


def demo(*, seconds: float | None, seed: int, port: int, admin_port: int | None) -> int:
    """Show a bot at work; return 0 when every session was served.

    Args:
        seconds: It ends after so many; None: when somebody ends it.
        seed: Decides what the parties say.
        port: Of the chat page; 0 for any.
        admin_port: Where it is looked into and steered; None for the usual one, or any if taken.
    """
    configure_logs("error", "text")
    return on_loop(_show(seconds=seconds, seed=seed, port=port, admin_port=admin_port))


async def _show(*, seconds: float | None, seed: int, port: int, admin_port: int | None) -> int:
    stop = stop_on_signal()
    listen = _usual_or_any() if admin_port is None else f"127.0.0.1:{admin_port}"
    clock = ShiftedClock(_until_office_hours(datetime.now(UTC)))
    view, tally = LiveView(clock, _ZONE, shutil.get_terminal_size((120, 24)).columns), Tally()

    def watch(sight: Sight) -> None:
        tally.see(sight)
        with suppress(BrokenPipeError):  # nobody looks any more; the end will say so
            for line in view.lines(sight):
                print(line, flush=True)

    simulated = SimulatorSettings(agents=accounts(_AGENTS), port=port, seed=seed)
    with tempfile.TemporaryDirectory(prefix="imbot-demo-") as made:
        folder, token = Path(made), new_token()
        async with Simulator(simulated, clock=clock) as simulator, Crm() as crm:
            _introduce(simulator.url, clock, seconds)
            tree = _settings(simulator.url, crm.url, {"listen": listen, "token": token})
            loaded = Loaded(Settings.model_validate(tree), folder, folder / "imbot.yaml")
            ports = replace(
                system_ports(),
                clock=clock,
                store=lambda url, base: open_store(url, clock=clock, base=base),
            )
            async with open_app(loaded, ports, watch=watch) as app, _serving(app, stop) as serving:
                url = "" if app.server is None else app.server.url
                _leave(tree, url, loaded.path)
                if admin_port is None and listen != _USUAL:
                    print(f"{_USUAL} is taken, so it is another port this time.")
                _tell_ways_in(url, token, folder)
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


def _usual_or_any() -> str:
    """Return where to listen: at the usual port, which people keep as a bookmark, or any other."""
    host, _, port = _USUAL.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server will
        try:
            probe.bind((host, int(port)))
        except OSError:
            return f"{host}:0"
    return _USUAL


def _until_office_hours(now: datetime) -> timedelta:
    """Return how far ahead the next office hour is; nothing within office hours."""
    ahead = timedelta()
    while True:
        local = (now + ahead).astimezone(_ZONE)
        if local.weekday() <= _FRIDAY and _OPEN_H <= local.hour < _SHUT_H - 1:
            return ahead
        ahead += timedelta(minutes=30)


def _settings(gws_url: str, crm_url: str, admin: dict[str, JSON]) -> dict[str, JSON]:
    """Return what stands in the settings file of the demo."""
    return {
        "gws": {"url": gws_url},
        "bot": {"nickname": "Robin"},
        "agents": [{"user": a.user, "password": a.password} for a in accounts(_AGENTS)],
        "rules": [str(shipped("rules")), str(_MORE_RULES)],
        "plugins": {"options": {"crm": {"url": crm_url}}},
        "http": {"allow": [crm_url]},
        "timezone": _ZONE.key,
        "admin": admin,
    }


def _leave(tree: dict[str, JSON], url: str, path: Path) -> None:
    """Write the settings in force where the other commands of imbot find them; JSON is YAML."""
    admin = {**tree["admin"], "listen": url.partition("//")[2]}
    path.touch(mode=0o600)
    path.write_text(json.dumps({**tree, "admin": admin}, indent=2), encoding="utf-8")


def _introduce(url: str, clock: Clock, seconds: float | None) -> None:
    print("A simulated GWS, three agents, the shipped rules and two talkative parties.")
    print(f"Open {painted(f'{url}/', 'bold')} to play the other party yourself.")
    local = clock.now().astimezone(_ZONE)
    if clock.now() - datetime.now(UTC) > timedelta(minutes=1):
        print(f"It is outside office hours, so here it is {local:%A %H:%M} in Berlin.")
    print(f"It ends after {seconds:g} s." if seconds else "Ctrl-C ends it.", flush=True)


def _tell_ways_in(url: str, token: str, folder: Path) -> None:
    """Say how it is looked into and steered.

    The token stands behind the ``#``, which a browser keeps to itself and the page there reads.
    """
    print(f"Look inside and steer at {painted(f'{url}/login#{token}', 'bold')}")
    imbot = "imbot" if shutil.which("imbot") else str(Path(sys.executable).with_name("imbot"))
    print(f"Or in another terminal:  cd {folder}")
    for words, does in _COMMANDS.items():
        print(f"  {imbot} {words:<{_WIDEST}}  {does}")
    print(flush=True)


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
