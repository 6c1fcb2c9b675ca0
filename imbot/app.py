"""The composition root: builds every object, owns the tasks, and stops in order.

What stands behind the ports is given, so that the same house runs on real sockets and disks, and on
a virtual-time loop with a simulated GWS.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from imbot.admin.counts import Counts
from imbot.admin.dashboard.moves import Moves
from imbot.admin.dashboard.serving import Dashboard
from imbot.admin.desk import Desk
from imbot.admin.health import Health
from imbot.admin.hindsight import Hindsight
from imbot.admin.metrics import Metrics
from imbot.admin.office import Office
from imbot.admin.pulse import Pulse
from imbot.admin.reading import Reader
from imbot.admin.server import AdminServer
from imbot.admin.site import site_of
from imbot.clock import Clock
from imbot.config import Loaded, masked, secrets_of
from imbot.deployment import agent_settings, gws_settings
from imbot.engine.acting import Actor, Habits, OnUnknown
from imbot.engine.adopting import asked_once, rules_seen
from imbot.engine.agenda import Agenda
from imbot.engine.dispatch import Dispatch, Numbers
from imbot.engine.doors import World
from imbot.engine.echoes import Echoes
from imbot.engine.facts import Bot, Surroundings
from imbot.engine.flow import Flow
from imbot.engine.guard import LoopGuard
from imbot.engine.once import OnceMarks
from imbot.engine.ordering import Orders
from imbot.engine.parked import Parked
from imbot.engine.past import Past
from imbot.engine.recovering import left_behind
from imbot.engine.running import Runs
from imbot.engine.secrecy import Secrets
from imbot.engine.sessions import SessionTable
from imbot.engine.steering import Steering
from imbot.engine.tally import Tally
from imbot.engine.tasks import Tasks
from imbot.engine.timers import Timers
from imbot.engine.viewing import View
from imbot.engine.watching import Watcher, all_of, unwatched
from imbot.gws.admission import Admission
from imbot.gws.agent import Agent
from imbot.gws.status import AgentState, AgentStatus
from imbot.gws.undocumented import Undocumented
from imbot.loading import (
    Wanted,
    budget_of_all,
    compile_kept,
    installed,
    make_rulebook,
    placed,
    plugin_settings,
    require_rulebook,
    rule_paths,
    rule_secrets,
)
from imbot.pluginhost import Plugins, check_plugins, find_plugins
from imbot.ports import Aside, Network, Random, Store
from imbot.problems import Problem
from imbot.records import Audited, Retention, SubscriptionEnded, TimerSet
from imbot.reloading import LoadSettings, Reloader, tell_warnings
from imbot.rulebook.calendars import Calendar
from imbot.rulebook.index import Index
from imbot.rulebook.schema import Rulebook
from imbot.settings import Settings
from imbot.watchdog import Watchdog

log = structlog.get_logger()

#: Seconds that what is in flight gets to finish at a stop.
DRAIN_S = 10.0

#: So many reasons are told at most.
_REASONS = 20

#: When the store first forgets, after a start and its logins, and how often from then on.
FIRST_FORGET_S, FORGET_EVERY_S = 600.0, 86_400.0


@dataclass(frozen=True, slots=True)
class Ports:
    """What stands behind the seams.

    Attributes:
        clock: Time.
        random: Chance.
        network: Makes the way out, with a CA file, ``http.allow`` and ``http.internal``.
        store: Opens a store by URL, relative to a folder.
        environment: Variables, for secrets folders.
        serves_health: Whether to listen for operators.
        aside: Does beside the event loop what takes long.
        changes: Tells when the files at these paths may have changed; None: nobody looks.
        settings: Reads the settings anew, to tell what a restart would change; None: nobody looks.
        watchdog: Makes what watches the process, given each module's plugin; None: nobody does.
        settle: Called when rules have come into force: most of what is in memory then stays.
    """

    clock: Clock
    random: Random
    network: Callable[[Path | None, tuple[str, ...], tuple[str, ...]], Network]
    store: Callable[[str, Path], Store]
    environment: Mapping[str, str] = field(default_factory=dict)
    serves_health: bool = True
    aside: Aside = asyncio.to_thread
    changes: Callable[[Sequence[Path]], AsyncIterator[None]] | None = None
    settings: LoadSettings | None = None
    watchdog: Callable[[Mapping[str, str]], Watchdog] | None = None
    settle: Callable[[], None] = lambda: None


class App:
    """One imbot: its rules, its agents, its engine.

    Made by :func:`open_app`.

    Attributes:
        reloader: Knows the rules in force.
        plugins: The plugins, with their statuses.
        agents: By user name.
        table: The sessions.
        agenda: What rules wait for that no agent's wire brings.
        steering: What people switch.
        reader: Looks into the store.
        server: Serves people and their programs; None where nobody is to be.
    """

    def __init__(
        self,
        loaded: Loaded,
        ports: Ports,
        *,
        rulebook: Rulebook,
        wanted: Wanted,
        store: Store,
        network: Network,
        watch: Watcher,
        watchdog: Watchdog | None = None,
    ) -> None:
        settings, plugins = loaded.settings, wanted.plugins
        self._watchdog = watchdog
        self.plugins = plugins
        self.server: AdminServer | None = None
        self._loaded = loaded
        self.agents: dict[str, Agent] = {}
        self._settings = settings
        self._ports = ports
        self.reader = Reader(settings.store, loaded.base, ports.aside)
        self._counts = Counts(ports.clock, rulebook.rules)
        self._pulse = Pulse(ports.clock)
        if ports.serves_health:
            watch = all_of(watch, self._counts.watch, self._pulse.watch)
        self._store = store = Tally(store, ports.clock, watch)
        self._tasks = Tasks()
        numbers = Numbers()
        self.table = SessionTable(numbers.next_id)
        self._echoes = Echoes(settings.delivery.quiesce)
        world = World(
            agents=self.agents,
            table=self.table,
            echoes=self._echoes,
            guard=LoopGuard(settings.bot.instance, marks=settings.delivery.mark),
            http=network.door(guarded=True),
            clock=ports.clock,
            later=self._tasks.spawn,
            secrets=Secrets(rule_secrets(settings, ports.environment), secrets_of(settings)),
        )
        marks = OnceMarks(store)
        self._timers = Timers(ports.clock, self._fire)
        self.agenda = Agenda(
            rulebook,
            self._timers,
            table=self.table,
            clock=ports.clock,
            next_id=numbers.next_id,
        )
        self.steering = Steering(world.switches, self.agenda.calendars, store, ports.clock)
        around = _surroundings(settings, ports, self.agenda.calendars)
        view = View(world, marks, around, asked_once(rulebook))
        habits = Habits(
            strict_capabilities=settings.gws.strict_capabilities,
            message_limit_bytes=settings.delivery.message_bytes,
            reason_key=settings.delivery.reason_key,
            on_unknown=OnUnknown(settings.delivery.on_unknown),
            expires_s=settings.delivery.expires,
        )
        actor = self._actor = Actor(installed(plugins), world, habits=habits, random=ports.random)
        parked = Parked(world, store, actor.prover)
        self._orders = Orders(store, parked, self.agents, ports.clock)
        past = Past.of(
            marks,
            ports.clock,
            store,
            budget=budget_of_all(settings),
            events_per_s=settings.budget.session_events_per_second,
        )
        self._breakers = past.breakers
        runs = Runs(
            actor,
            world,
            view,
            store,
            past=past,
            watch=watch,
            spawn=self._tasks.spawn,
            timers=self._timers,
        )
        flow = self._flow = Flow(Index(rulebook.rules), view, runs, world, store, watch)
        self.reloader = Reloader(
            rulebook,
            partial(_read_rules, loaded, wanted, ports.clock),
            ports.aside,
            flow=flow,
            agenda=self.agenda,
            settings=settings,
            load_settings=ports.settings,
            settle=ports.settle,
        )
        self.dispatch = Dispatch(
            world,
            flow,
            actor,
            store,
            agenda=self.agenda,
            numbers=numbers,
            watch=watch,
            tasks=self._tasks,
        )
        gws = gws_settings(settings)
        admission = Admission(ports.clock, why_halted=world.switches.why_halted)
        self._undocumented = Undocumented()
        for part in settings.agents:
            self.agents[part.user] = Agent(
                agent_settings(part),
                gws,
                network=network,
                intake=self.dispatch,
                clock=ports.clock,
                random=ports.random,
                admission=admission,
                undocumented=self._undocumented,
            )

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set.

        Raises:
            StoreError: The store failed; nothing was acted on or acknowledged since.
        """
        book, today = self.rulebook, self._ports.clock.now().date()
        self._store.note(rules_seen(book))
        kept = compile_kept(self.plugins.actions, today=today, shadow=self._settings.shadow)
        recovered = await self.dispatch.recover(book.rules, kept)
        log.info(
            "imbot.recovered",
            events=len(recovered.events),
            runs=len(recovered.runs),
            sessions=len(recovered.sessions),
        )
        for user, agent in self.agents.items():
            agent.go_on_from(recovered.subscriptions.get(user), recovered.acks.get(user))
        self._store.note(
            [SubscriptionEnded(user) for user in recovered.subscriptions.keys() - self.agents]
        )
        kept_since = self._ports.clock.now() - timedelta(seconds=self._settings.delivery.keep)
        self._store.note(left_behind(recovered.sessions, self.agents, kept_since))
        self._ports.settle()
        lives: list[asyncio.Future[None]] = [
            asyncio.create_task(agent.run()) for agent in self.agents.values()
        ]
        lives.append(asyncio.create_task(self._forget_daily()))
        lives.append(asyncio.create_task(self._orders.serve()))
        lives.append(asyncio.create_task(self.reloader.serve(self._changes())))
        lives.append(self._timers.start())
        stopping = asyncio.create_task(stop.wait())
        ends: list[asyncio.Future[Any]] = [stopping, self._tasks.failed, *lives]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            await self._stop(lives, leaves=stop.is_set())
        for life in lives:
            if not life.cancelled() and (error := life.exception()) is not None:
                raise error
        if self._tasks.failed.done():
            raise self._tasks.failed.result()

    @property
    def rulebook(self) -> Rulebook:
        """The rules in force."""
        return self.reloader.book

    def health(self) -> Health:
        """Return how imbot is doing."""
        agents = self.agents.values()
        down = [agent for agent in agents if not agent.is_up]
        up = len(agents) - len(down)
        dog = self._watchdog
        store = self._store.condition
        reasons = [store.trouble] if store.trouble else []
        undead = self._actor.strangers.told().items()
        reasons += [f"{runs} runs of {action} cannot be ended" for action, runs in undead]
        reasons += self.dispatch.backlog.reasons
        reasons += [] if dog is None else dog.reasons
        looked_at = [agent.status for agent in down[:_REASONS]]
        reasons += [_told(each) for each in looked_at if each.state is not AgentState.UP]
        status = "starting" if agents and not up else "degraded"
        return Health(
            status if down or reasons else "ready",
            reasons[:_REASONS],
            len(agents),
            up,
            self._breakers.told(),
            loop_lag_s=0.0 if dog is None else dog.lag_s,
            quarantined=store.quarantined,
            parked=len(self._store.parked),
            echoes=self._echoes.told,
            echo_longest_s=self._echoes.learnt.longest_s,
            quiesce_s=self._echoes.quiesce_s,
            suppressed={why.value: often for why, often in self._flow.suppressed.items()},
            undocumented=self._undocumented.counts,
            sessions=self.table.in_progress,
        )

    def office(self) -> Office:
        """Return what people may look into and steer."""
        loaded, settings = self._loaded, self._settings
        return Office(
            clock=self._ports.clock,
            aside=self._ports.aside,
            reader=self.reader,
            store_url=settings.store,
            base=loaded.base,
            settings=masked(settings),
            plugins=self.plugins,
            steering=self.steering,
            health=self.health,
            agents=lambda: [agent.status for agent in self.agents.values()],
            book=lambda: self.rulebook,
            breakers=self._breakers.told,
            counts=self._counts.of,
            pulse=self._pulse.series,
            hindsight=self._hindsight,
            timers=lambda: self._timers.waiting,
            reload=self.reloader.reload,
            post=self.dispatch.post,
        )

    def audit(self, deed: Audited) -> None:
        """Keep what somebody did."""
        self._store.note([deed])

    def _hindsight(self) -> Hindsight:
        actions = self.plugins.actions
        return Hindsight(
            self.rulebook,
            self._flow.view.around,
            lambda name: None if (known := actions.get(name)) is None else known.needs,
            actions,
            strict_capabilities=self._settings.gws.strict_capabilities,
            budget=budget_of_all(self._settings),
            now=self._ports.clock.now,
        )

    def _fire(self, timer: TimerSet) -> None:
        self.dispatch.fire(timer)

    def _changes(self) -> AsyncIterator[None] | None:
        changes = self._ports.changes
        return None if changes is None else changes(rule_paths(self._loaded))

    async def _forget_daily(self) -> None:
        """Delete what ended too long ago: some time after the start, then once a day."""
        history = timedelta(seconds=self._settings.delivery.keep)
        what = Retention(history, max(history, Retention().marks))
        pause_s = FIRST_FORGET_S
        while True:
            await self._ports.clock.sleep(pause_s)
            rows = await self._store.forget(what)
            log.info("store.forgot", rows=rows)
            pause_s = FORGET_EVERY_S

    async def _stop(self, lives: list[asyncio.Future[None]], *, leaves: bool) -> None:
        """Finish what is in flight, then leave: each step has its limit.

        Who fails does not leave: logging out would end the sessions that the next start goes on
        with. Whoever cannot wait cancels this; nothing is left running then either.
        """
        self.dispatch.hold_back()
        try:
            await self._timers.close()
            if not await self._tasks.drain(DRAIN_S):
                log.warning("imbot.drain_late", seconds=DRAIN_S)
            await self._tasks.cancel()
            if leaves:
                await asyncio.gather(*(agent.stop() for agent in self.agents.values()))
        finally:
            for life in lives:
                life.cancel()
            await asyncio.gather(*lives, return_exceptions=True)
            await self._tasks.cancel()


@asynccontextmanager
async def open_app(
    loaded: Loaded, ports: Ports, *, watch: Watcher = unwatched
) -> AsyncIterator[App]:
    """Open everything that an imbot needs, and close it in the reverse order.

    Raises:
        ConfigError: The settings name something that cannot be.
        RulebookError: The rules are wrong; carries every mistake.
        StoreError: The store cannot be opened.
        ImbotError: The health endpoint cannot listen.
    """
    settings = loaded.settings
    found = find_plugins(plugin_settings(loaded))
    plugins = await check_plugins(found)
    _tell_plugins(plugins)
    secrets = rule_secrets(settings, ports.environment)
    wanted = Wanted.by(settings, plugins, secrets)
    today = ports.clock.now().date()
    rulebook = require_rulebook(loaded, wanted, today=today)
    tell_warnings(rulebook.warnings)
    async with AsyncExitStack() as stack:
        watchdog = None
        if ports.watchdog is not None:
            watchdog = stack.enter_context(ports.watchdog(plugins.modules))
        store = ports.store(settings.store, loaded.base)
        stack.push_async_callback(store.close)
        ca_file = settings.gws.ca_file
        network = ports.network(
            None if ca_file is None else loaded.base / ca_file,
            settings.http.allow,
            settings.http.internal,
        )
        stack.push_async_callback(network.close)
        metrics = Metrics(ports.clock)
        moves = Moves()
        app = App(
            loaded,
            ports,
            rulebook=rulebook,
            wanted=wanted,
            store=store,
            network=network,
            watch=all_of(watch, metrics.watch, moves.watch) if ports.serves_health else watch,
            watchdog=watchdog,
        )
        if ports.serves_health:
            stack.callback(app.reader.close)
            office = app.office()
            routes = Desk(office).routes
            dashboard = await stack.enter_async_context(Dashboard(routes, office, moves))
            server = AdminServer(
                site_of(loaded),
                app.health,
                ports.clock,
                metrics=metrics.text,
                routes=routes,
                audit=app.audit,
                pages=dashboard,
            )
            app.server = await stack.enter_async_context(server)
        yield app


# From settings to what each room takes --------------------------------------------------------


def _surroundings(
    settings: Settings, ports: Ports, calendars: Mapping[str, Calendar]
) -> Surroundings:
    return Surroundings(
        bot=Bot(settings.bot.nickname, settings.bot.instance),
        calendars=calendars,
        secrets=rule_secrets(settings, ports.environment),
        country=settings.country,
        timezone=settings.timezone,
    )


def _read_rules(
    loaded: Loaded, wanted: Wanted, clock: Clock
) -> tuple[Rulebook | None, list[Problem]]:
    """Return what the rule files hold now, with every problem where the user finds it."""
    book, problems = make_rulebook(rule_paths(loaded), wanted, today=clock.now().date())
    return book, placed(problems, loaded)


def _tell_plugins(plugins: Plugins) -> None:
    for one in plugins.found:
        if one.is_broken:
            facts = {"plugin": one.name, "status": one.status.value, "path": one.origin}
            log.warning("plugin.broken", cause=one.reason, **facts)
        else:
            log.debug("plugin.found", plugin=one.name, status=one.status.value, reason=one.reason)
    for problem in plugins.warnings:
        log.warning("plugin.warning", cause=str(problem))


def _told(status: AgentStatus) -> str:
    state = status.state.value.replace("_", " ")
    return f"agent {status.user} is {state}" + (f": {status.cause}" if status.cause else "")
