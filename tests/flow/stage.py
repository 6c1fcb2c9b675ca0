"""A stage for stories: a simulated GWS, imbots that can be stopped and killed, virtual time."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random

from imbot.app import App, Ports, open_app
from imbot.config import Loaded
from imbot.engine.watching import Sight, Watcher, all_of, unwatched
from imbot.settings import Settings
from imbot.shipped import shipped
from imbot.simulator import AgentAccount, Faults, Simulator, SimulatorSettings
from imbot.simulator.crm import Crm
from imbot.simulator.journal import Happening
from imbot.store.connection import Connect
from imbot.store.database import OnDamage, SqlStore, open_store
from imbot.store.queries import Views, open_views
from imbot.testing.memory_network import MemoryNetwork
from imbot.testing.time import LoopClock

GWS = "gws.test:8090"
CRM = "crm.test:80"

#: A Monday noon in Berlin, in opening hours.
MONDAY_NOON = datetime.fromisoformat("2026-03-02T11:00:00Z")

GREETING = shipped("rules") / "greeting.yaml"
AFTER_HOURS = shipped("rules") / "after_hours.yaml"
CRM_SYNC = shipped("rules") / "crm_sync.yaml"


async def at_once(work):
    """Do the work here: no other thread, for virtual time would run on."""
    return work()


@dataclass
class Imbot:
    """One process of imbot, from its start to its end; the store's file outlives it."""

    loaded: Loaded
    ports: Ports
    networks: list[MemoryNetwork] = field(default_factory=list)
    stores: list[SqlStore] = field(default_factory=list)
    sights: list[Sight] = field(default_factory=list)
    watch: Watcher = unwatched
    app: App | None = None
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _life: asyncio.Task | None = None

    async def start(self):
        """Return when it is open; its agents log in from then on."""
        opened = asyncio.Event()

        async def live():
            watch = all_of(self.sights.append, self.watch)
            async with open_app(self.loaded, self.ports, watch=watch) as self.app:
                opened.set()
                await self.app.run(self._stop)

        self._life = asyncio.create_task(live())
        waiting = asyncio.create_task(opened.wait())
        await asyncio.wait([self._life, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._life.done():
            self._life.result()
        return self

    async def until_up(self):
        """Return when every agent is logged in."""
        for _ in range(600):
            if all(agent.is_up for agent in self.app.agents.values()):
                return
            await asyncio.sleep(0.1)
        raise AssertionError(self.app.health())

    async def stop(self):
        """Stop in order, as SIGTERM does."""
        self._stop.set()
        await self._life

    async def stop_at_once(self):
        """Stop as a second Ctrl-C does, right after the first."""
        self._stop.set()
        await asyncio.sleep(0.5)
        self._life.cancel()
        await asyncio.wait([self._life])

    def kill(self):
        """Stop as kill -9 does: nothing is sent and nothing is written from this moment on.

        What is left of its tasks ends by itself, cut off from the world.
        """
        for network in self.networks:
            network.cut()
        for store in self.stores:
            store.abandon()
        self._life.cancel()

    async def end(self):
        """Kill it if it lives, and return when nothing is left of it."""
        if not self._life.done():
            self.kill()
        await asyncio.gather(self._life, return_exceptions=True)

    @property
    def is_running(self):
        return not self._life.done()


@dataclass
class Call:
    """An IM session as the other party sees it."""

    stage: "Stage"
    id: str

    @property
    def session(self):
        return self.stage.simulator.world.session(self.id)

    @property
    def heard(self):
        """What agents said, in order."""
        numbers = {agent.number for agent in self.session.agents}
        return [line.text for line in self.session.transcript if line.number in numbers]

    @property
    def user_data(self):
        """The user data without the mark that bots leave for each other."""
        data = self.session.user_data
        return {key: value for key, value in data.items() if not key.startswith("imbot.auto.")}

    @property
    def is_over(self):
        return not self.session.is_live

    def say(self, text):
        self.stage.simulator.world.say(self.id, text)

    def hang_up(self):
        self.stage.simulator.world.complete(self.id)


@dataclass
class Stage:
    """The world of one story.

    Attributes:
        seed: Seed of delays, imbot's chance and the simulator's.
        connect: Opens the files of stores.
        on_damage: What becomes of stores that are damaged.
        watch: What else watches the imbots.
    """

    folder: Path
    clock: LoopClock
    simulator: Simulator
    crm: Crm
    servers: dict
    seed: int = 0
    connect: Connect = sqlite3.connect
    on_damage: OnDamage = "stop"
    watch: Watcher = unwatched
    imbots: list[Imbot] = field(default_factory=list)

    def faults(self, **knobs):
        """Have GWS go wrong like this from now on."""
        self.simulator.faults = Faults.model_validate(knobs)

    async def start(self, *rules, users: Sequence[str] = ("bot1",), name="imbot", **parts):
        """Start an imbot with these rule files and return it when its agents are up.

        Imbots of one name have one store, so this is also how to start one again.
        """
        imbot = await self.launch(*rules, users=users, name=name, **parts)
        await imbot.until_up()
        return imbot

    async def launch(self, *rules, users: Sequence[str] = ("bot1",), name="imbot", **parts):
        """Start an imbot and return it at once."""
        settings = Settings.model_validate(
            {
                "gws": {"url": f"http://{GWS}", **parts.pop("gws", {})},
                "bot": {"nickname": "Robin", "instance": name},
                "agents": [{"user": user, "password": "pw"} for user in users],
                "rules": [self._rules(rule, name) for rule in rules],
                "plugins": {"options": {"crm": {"url": f"http://{CRM}"}}},
                "http": {"allow": [f"http://{CRM}"]},
                "store": f"sqlite:///{name}.db",
                "timezone": "Europe/Berlin",
                **parts,
            }
        )
        chance = Random(f"{self.seed} {name} {len(self.imbots)}")  # noqa: S311  reproducible
        loaded = Loaded(settings, base=self.folder, path=self.folder / "imbot.yaml")
        imbot = Imbot(loaded, None, watch=self.watch)

        def network(_ca_file, allow, internal):
            made = MemoryNetwork(
                self.servers, allow=allow + internal, delay=lambda: chance.uniform(0.001, 0.01)
            )
            imbot.networks.append(made)
            return made

        def store(url, base):
            made = open_store(
                url,
                clock=self.clock,
                base=base,
                executor="inline",
                on_damage=self.on_damage,
                connect=self.connect,
            )
            imbot.stores.append(made)
            return made

        imbot.ports = Ports(
            clock=self.clock,
            random=chance,
            network=network,
            store=store,
            serves_health=False,
            aside=at_once,
        )
        self.imbots.append(imbot)
        return await imbot.start()

    def ring(self, number="3001", user="bot1", **user_data):
        """Ring an agent as an outside party."""
        return Call(self, self.simulator.world.ring(user, number, user_data))

    async def seconds(self, seconds):
        await asyncio.sleep(seconds)

    def operations(self, name="", *, applied=True):
        """Return the requests that took effect, as (operation, session, text)."""
        return [
            (entry.name, entry.session, entry.text)
            for entry in self.simulator.world.log
            if entry.kind is Happening.REQUEST
            and entry.applied is applied
            and name in ("", entry.name)
        ]

    def views(self, name="imbot") -> Views:
        """Open what people see of an imbot's store."""
        return open_views(f"sqlite:///{name}.db", base=self.folder)

    def _rules(self, rule, name):
        if isinstance(rule, Path):
            return rule
        path = self.folder / f"{name}-{len(list(self.folder.glob('*.yaml')))}.yaml"
        path.write_text(rule)
        return path


@asynccontextmanager
async def staged(
    folder: Path,
    *,
    start: datetime = MONDAY_NOON,
    seed: int = 0,
    users: Sequence[str] = ("bot1",),
    password: str = "pw",  # noqa: S107  of a simulated GWS
    **settings,
) -> AsyncIterator[Stage]:
    """Set a stage with these agents; imbots that still run at the end are killed."""
    clock = LoopClock(start)
    agents = tuple(
        AgentAccount(user=user, password=password, number=str(1001 + place))
        for place, user in enumerate(users)
    )
    simulator = Simulator(SimulatorSettings(agents=agents, seed=seed, **settings), clock=clock)
    crm = Crm()
    async with AsyncExitStack() as stack:
        servers = {
            GWS: await stack.enter_async_context(simulator.in_memory()),
            CRM: await stack.enter_async_context(crm.in_memory()),
        }
        stage = Stage(folder, clock, simulator, crm, servers, seed)
        try:
            yield stage
        finally:
            for imbot in stage.imbots:
                await imbot.end()
