"""A whole imbot for wire tests: the real composition root, real sockets, a real store.

In this process by :func:`running`, so that a test can look inside; as ``imbot run`` in a process
of its own by :class:`Daemon`, so that it can be killed.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Self

import yaml

from imbot.app import App, open_app
from imbot.cli.running import system_ports
from imbot.config import load_settings
from imbot.engine.watching import Acted, Happened, Sight
from imbot.model import Event, EventKind, Outcome
from imbot.ports import Random as Chance
from imbot.records import EffectState, GapSeen
from imbot.store.queries import Views, open_views
from imbot.store.views import SessionHistory
from tests.wire.foreign import ForeignGws

#: Greets once, tags, and ends the session when the other party says goodbye.
RULES = """
version: 1
rules:
  - id: greet
    trigger: {state: Talking}
    once: session
    do:
      - reply: Hello {{ participant.phoneNumber }}, here is {{ bot.nickname }}.
      - set: {greeted: "yes"}
  - id: goodbye
    trigger: {message: {contains: ["bye"]}}
    do:
      - complete: goodbye
"""

GREETING = "Hello 3002, here is Robin."

STORE = "imbot.db"

PERIOD_S = 0.02

Json = dict[str, Any]


def settings_file(
    folder: Path, url: str, *, agents: Sequence[str] = ("bot1",), rules: str = RULES, **more: Any
) -> Path:
    """Write the settings and the rules of an imbot; each agent's password is pw-<its name>."""
    (folder / "rules.yaml").write_text(rules, encoding="utf-8")
    settings = {
        "gws": {"url": url},
        "bot": {"nickname": "Robin"},
        "agents": [{"user": user, "password": f"pw-{user}"} for user in agents],
        "rules": ["rules.yaml"],
        "store": f"sqlite:///{STORE}",
        "admin": {"listen": "127.0.0.1:0"},
    }
    for name, part in more.items():
        before = settings.get(name)
        settings[name] = {**before, **part} if isinstance(before, dict) else part
    path = folder / "imbot.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def tell(text: str) -> None:
    """Print a figure or a seed; pytest shows it with a failure, and with ``-s``."""
    print(text)  # noqa: T201  that is what it is for


async def until(holds: Callable[[], object], *, within_s: float = 20.0, what: str = "") -> None:
    """Wait until it holds.

    Raises:
        TimeoutError: It did not within ``within_s``.
    """
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + within_s
    while not holds():
        if loop.time() > ends_at:
            raise TimeoutError(what or f"not within {within_s:g} s")
        await asyncio.sleep(PERIOD_S)


@dataclass
class Imbot:
    """A running imbot and everything it was seen doing."""

    app: App
    folder: Path
    sights: list[Sight] = field(default_factory=list)

    async def up(self, *, within_s: float = 15.0) -> None:
        """Return when every agent is in service."""
        agents = self.app.agents.values()
        await until(lambda: all(agent.is_up for agent in agents), within_s=within_s, what="up")

    async def cut_off(self, *, within_s: float = 15.0) -> None:
        """Return when some agent is out of service."""
        agents = self.app.agents.values()
        await until(lambda: not all(agent.is_up for agent in agents), within_s=within_s)

    def events(self, kind: EventKind, session: str = "") -> list[Event]:
        """Return the events seen, of one session if named."""
        seen = [sight.event for sight in self.sights if isinstance(sight, Happened)]
        return [
            event
            for event in seen
            if event.kind is kind
            and (not session or (event.session is not None and event.session.id == session))
        ]

    def heard(self, session: str) -> list[str]:
        """Return what rules heard the other party say."""
        return [event.fields["text"] for event in self.events(EventKind.MESSAGE, session)]

    def outcomes(self, action: str) -> list[Outcome]:
        """Return how the steps of this name ended."""
        return [
            sight.outcome
            for sight in self.sights
            if isinstance(sight, Acted) and sight.step.action == action
        ]

    def gaps(self) -> tuple[GapSeen, ...]:
        """Return the gaps that the store knows."""
        with self.views() as views:
            return views.gaps(limit=10_000)

    def views(self) -> Views:
        """Open what people see of the store."""
        return store_views(self.folder)


def store_views(folder: Path) -> Views:
    """Open what people see of the store in this folder."""
    return open_views(f"sqlite:///{STORE}", base=folder)


@asynccontextmanager
async def running(
    folder: Path,
    url: str,
    *,
    seed: int | None = None,
    chance: Chance | None = None,
    is_served: bool = False,
    **settings: Any,
) -> AsyncIterator[Imbot]:
    """Run an imbot in this process, with this chance or seed if given; stop it in order.

    Served is its admin API where the test asks for it.
    """
    loaded = load_settings(settings_file(folder, url, **settings), environment={}, options=())
    sights: list[Sight] = []
    ports = replace(system_ports(), serves_health=is_served, environment={})
    if seed is not None:
        chance = Random(seed)  # noqa: S311  reproducible, nothing is secret
    if chance is not None:
        ports = replace(ports, random=chance)
    stop = asyncio.Event()
    async with open_app(loaded, ports, watch=sights.append) as app:
        serving = asyncio.create_task(app.run(stop))
        try:
            yield Imbot(app, folder, sights)
        finally:
            stop.set()
            await serving


# What a party outside said, and what became of it -----------------------------------------------


@dataclass(frozen=True)
class Said:
    """One line of the other party, and when it was said at the earliest and the latest."""

    session: str
    text: str
    begun_at: datetime
    ended_at: datetime

    def is_inside(self, gap: GapSeen) -> bool:
        """Whether the gap tells that this line may be lost."""
        overlaps = gap.started_at <= self.ended_at and self.begun_at <= gap.ended_at
        return self.session in gap.session_ids and overlaps


class Party:
    """A party outside that numbers its lines, so that each can be looked for."""

    def __init__(self, server: ForeignGws, session: str) -> None:
        self._server = server
        self.session = session
        self.said: list[Said] = []

    async def say(self, text: str = "") -> Said:
        """Say one line."""
        text = text or f"line {len(self.said) + 1}"
        begun_at = datetime.now(UTC)
        await self._server.say(self.session, text)
        line = Said(self.session, text, begun_at, datetime.now(UTC))
        self.said.append(line)
        return line

    def lost(self, imbot: Imbot) -> list[Said]:
        """Return the lines that imbot never heard."""
        heard = imbot.heard(self.session)
        return [line for line in self.said if line.text not in heard]

    async def unaccounted(self, imbot: Imbot, *, within_s: float = 20.0) -> list[Said]:
        """Return the lines that imbot never heard and that no gap tells of.

        A gap is told with the snapshot that ends it, so it may take a moment.
        """

        def found() -> list[Said]:
            gaps = imbot.gaps()
            return [line for line in self.lost(imbot) if not any(map(line.is_inside, gaps))]

        with suppress(TimeoutError):
            await until(lambda: not found(), within_s=within_s)
        return found()


async def greetings(server: ForeignGws, session: str) -> list[Json]:
    """Return the bodies of the SendMessage operations that GWS carried out on a session."""
    sent = await server.operations("SendMessage")
    return [
        entry["body"]
        for entry in sent
        if entry["path"].endswith(session) and entry["statusCode"] == 0
    ]


def accounted(history: SessionHistory | None) -> bool:
    """Whether people can see why a session was not greeted: a parked reply, or a gap."""
    if history is None:
        return False
    return bool(history.view.parked or history.view.gaps)


def parked(history: SessionHistory) -> bool:
    """Whether a reply of the session waits for a person."""
    return any(one.effect.state is EffectState.PARKED for one in history.effects)


# imbot as a process -----------------------------------------------------------------------------


class Daemon:
    """``imbot run`` in a process of its own; what it writes goes to a file."""

    def __init__(
        self, config: Path, *options: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self._config = config
        self._options = options
        self._environment = {**os.environ, **(environment or {})}
        self.output = config.with_name("output.txt")
        self.process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        """Start it."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it at once, if it still runs."""
        await self.kill()

    async def start(self, **options: Any) -> None:
        """Start it; return at once."""
        with self.output.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "imbot", "run", "--config", str(self._config)),
                *self._options,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                **options,
            )

    async def kill(self) -> None:
        """Kill it as ``kill -9`` does, and wait until it is gone."""
        if self._live.returncode is None:
            self._live.kill()
        await self._live.wait()

    async def signal(self, signum: signal.Signals, *, within_s: float = 15.0) -> int:
        """Send a signal; return the exit code."""
        self._live.send_signal(signum)
        return await self.ended(within_s=within_s)

    async def ended(self, *, within_s: float = 15.0) -> int:
        """Return the exit code, once it has ended by itself."""
        async with asyncio.timeout(within_s):
            return await self._live.wait()

    @property
    def text(self) -> str:
        """What it has written."""
        return self.output.read_text(encoding="utf-8") if self.output.exists() else ""

    @property
    def _live(self) -> asyncio.subprocess.Process:
        if self.process is None:
            raise RuntimeError("imbot was not started")
        return self.process
