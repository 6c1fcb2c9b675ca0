"""The whole examination: the machine, what imbot is given, the store, GWS, and each agent.

Two checks of CometD take long and say the same for every agent; they are made with the first one
that gets so far. Agents that a running imbot of this store is logged in as are left alone unless
they are named: whether GWS minds a second client is not documented (contract 3.9).
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from imbot.app import Ports
from imbot.config import Loaded
from imbot.deployment import agent_settings, gws_settings
from imbot.doctor import files, listening, machine, storing
from imbot.doctor.account import Account
from imbot.doctor.cometd import CometdSession
from imbot.doctor.deployment import Deployment
from imbot.doctor.findings import (
    OF_AGENTS,
    WITH_ONE_AGENT,
    Check,
    Finding,
    Result,
)
from imbot.doctor.rounds import Look, Round, Tell
from imbot.doctor.tapping import Tap
from imbot.errors import ActionError, ConfigError, ImbotError
from imbot.gws.admission import Admission
from imbot.openfiles import Limits
from imbot.pluginhost import Plugins
from imbot.ports import Network
from imbot.problems import Problem
from imbot.rulebook.schema import Rulebook
from imbot.settings import AgentPart

T = TypeVar("T")

#: Logins at the same time.
AT_ONCE = 10

#: Told how many agents are through, of how many.
Progress = Callable[[int, int], None]


class UnknownAgentError(ImbotError):
    """An agent was named that the settings do not have."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be examined.

    Attributes:
        config: The settings file; None for the usual one.
        options: Settings of the command line.
        agents: Names of agents; empty for all, but those that an imbot is logged in as.
    """

    config: Path | None = None
    options: Sequence[str] = ()
    agents: Sequence[str] = ()


class Examination:
    """One examination, to be made once.

    Args:
        wish: What is to be examined.
        ports: Clock, chance, network and environment.
        limits: The system's limits; None where it has none.
        tell: Takes each result as soon as it is there.
        progress: Told after each agent.
    """

    def __init__(
        self,
        wish: Wish,
        ports: Ports,
        *,
        limits: Limits | None,
        tell: Tell,
        progress: Progress,
    ) -> None:
        self._wish = wish
        self._ports = ports
        self._limits = limits
        self._tell = tell
        self._progress = progress
        self._round = Round(tell)
        self._loaded: Loaded | None = None
        self._plugins: Plugins | None = None
        self._book: Rulebook | None = None
        self._problems: Sequence[Problem] = ()
        self._network: Network | None = None
        #: Whether an imbot uses the store now.
        self._is_in_use = False
        #: Whether an agent has made the checks that are made with one.
        self._has_shared = False

    async def make(self) -> None:
        """Make every check that can be made; each is told.

        Raises:
            UnknownAgentError: The settings have no agent of that name.
        """
        async with AsyncExitStack() as stack:
            await self._look_at_machine()
            await self._round.look(Check.SETTINGS, self._settings)
            wanted = self._wanted()
            await self._look_at_files(stack)
            await self._look_at_store()
            await self._look_at_gws(stack)
            await self._look_at_agents(wanted)

    # Parts ------------------------------------------------------------------------------------

    async def _look_at_machine(self) -> None:
        installed, now = machine.installed_packages, self._ports.clock.now()
        looks: dict[Check, Callable[[], Finding | Sequence[Finding]]] = {
            Check.PYTHON: machine.own_python,
            Check.PACKAGES: lambda: machine.packages(machine.own_requirements(), installed()),
            Check.PARSER: machine.own_parser,
            Check.EXTRAS: lambda: machine.extras(installed()),
            Check.ZONES: lambda: machine.zones(installed(), now),
        }
        for check, look in looks.items():
            await self._round.look(check, partial(self._ports.aside, look))

    async def _look_at_files(self, stack: AsyncExitStack) -> None:
        look, aside = self._round.look, self._ports.aside
        await look(Check.SECRETS, partial(aside, lambda: files.secrets(*self._around)))
        await look(Check.PLUGINS, self._find_plugins)
        await look(Check.RULES, self._read_rules)
        await look(Check.CALENDARS, partial(aside, self._calendars))
        await look(Check.FILES, self._of_agents(lambda n: machine.files(n, self._limits)))
        await look(
            Check.MEMORY, self._of_agents(lambda n: machine.memory(n, machine.read_memory()))
        )
        near = self._ports.network(None, (), ())
        stack.push_async_callback(near.close)
        await look(Check.ADDRESS, partial(self._address, near))

    async def _look_at_store(self) -> None:
        looks: dict[Check, Callable[[str, Path], Finding | Sequence[Finding]]] = {
            Check.FOLDER: storing.folder,
            Check.PERMISSIONS: storing.permissions,
            Check.STORE: storing.soundness,
            Check.ECHOES: storing.echoes,
        }
        for check, look in looks.items():
            await self._round.look(check, self._of_store(look))

    async def _look_at_gws(self, stack: AsyncExitStack) -> None:
        deployment = self._deployment() if self._loaded else None
        looks: dict[Check, Look] = {
            Check.DNS: lambda: _there(deployment).dns(),
            Check.PORT: lambda: _there(deployment).port(),
            Check.TLS: lambda: _there(deployment).tls(),
        }
        for check, look in looks.items():
            await self._round.look(check, look)
        if self._round.may(Check.VERSION):
            self._network = self._ports.network(self._ca_file, (), ())
            stack.push_async_callback(self._network.close)
        await self._round.look(
            Check.VERSION, lambda: _there(deployment).version(_there(self._network).door())
        )
        await self._round.look(Check.CLOCK, lambda: _there(deployment).skew())

    async def _look_at_agents(self, wanted: Sequence[AgentPart]) -> None:
        if not self._round.may(OF_AGENTS[0]) or not wanted:
            await self._skip_agents(wanted)
            return
        admission = Admission(self._ports.clock, places=AT_ONCE)
        done = 0
        lives = [asyncio.create_task(self._visit(part, admission)) for part in wanted]
        try:
            for life in asyncio.as_completed(lives):
                await life
                done += 1
                self._progress(done, len(wanted))
        finally:
            for life in lives:
                life.cancel()
            await asyncio.gather(*lives, return_exceptions=True)
        if not self._has_shared:
            cure = "see first to what failed for the agents"
            for check in WITH_ONE_AGENT:
                self._tell(Result(check, Finding.skipped("no agent got so far", cure)))

    async def _skip_agents(self, wanted: Sequence[AgentPart]) -> None:
        """Tell once for all why no agent is looked at."""
        if not wanted and self._loaded is not None:
            told = "an imbot of this store is logged in as its agents; address tells how many"
            cure = "name one with --agent, which then has a second client for a while"
            self._tell(Result(Check.LOGIN, Finding.skipped(told, cure)))
            return
        for check in (*OF_AGENTS, *WITH_ONE_AGENT):
            await self._round.look(check, _unreachable)

    async def _visit(self, part: AgentPart, admission: Admission) -> None:
        """Make the checks of one agent, when it is its turn."""
        with suppress(ActionError):
            async with admission.login():
                if (trouble := await self._examined(part)) is not None:
                    raise trouble  # so that the next ones begin more slowly

    async def _examined(self, part: AgentPart) -> ActionError | None:
        try:
            agent = agent_settings(part)
        except ConfigError as error:
            wrong = [Finding.of(each, "mend its auth") for each in error.problems]
            for finding in wrong:
                self._tell(Result(Check.TOKEN, finding, part.user))
            return None
        results: list[Result] = []
        own = Round(results.append, about=part.user, stopped=self._round.stopped)
        clock = self._ports.clock
        gws = gws_settings(_there(self._loaded).settings)
        tap = Tap(_there(self._network).door(polls=True), clock)
        account = Account(agent, gws, tap=tap, clock=clock, is_served=self._is_in_use)
        cometd = CometdSession(
            tap,
            gws.url.rstrip("/") + gws.cometd_path,
            clock=clock,
            random=self._ports.random,
            headers=account.client.headers,
            tokens=lambda: account.client.tokens,
        )
        try:
            for check, look in _looks(account, cometd).items():
                await own.look(check, look)
            for result in results:
                self._tell(result)
            if own.may(Check.HOLD) and not self._has_shared:
                self._has_shared = True
                shared = Round(self._tell, stopped=own.stopped)
                await shared.look(Check.ACK, cometd.ack)
                await shared.look(Check.HOLD, cometd.hold)
        finally:
            await cometd.close()
            await tap.close()
        return account.trouble

    # Looks ------------------------------------------------------------------------------------

    async def _settings(self) -> Sequence[Finding]:
        wish = self._wish
        self._loaded, findings = await self._ports.aside(
            partial(files.settings, wish.config, wish.options, self._ports.environment)
        )
        if self._loaded is not None:
            with suppress(ConfigError):  # which `folder` tells
                store, base = self._loaded.settings.store, self._loaded.base
                self._is_in_use = storing.is_in_use(store, base)
        return findings

    async def _find_plugins(self) -> Sequence[Finding]:
        self._plugins, findings = await files.plugins(_there(self._loaded))
        return findings

    async def _read_rules(self) -> Sequence[Finding]:
        loaded, environment = self._around
        found, now = self._plugins, self._ports.clock.now()
        if found is None:
            return [Finding.skipped("the plugins could not be looked at", "see to plugins first")]
        self._book, self._problems, findings = await self._ports.aside(
            partial(files.rules, loaded, found, environment, now)
        )
        return findings

    def _calendars(self) -> Sequence[Finding]:
        return files.calendars(_there(self._book), self._problems, self._ports.clock.now())

    async def _address(self, near: Network) -> Finding:
        loaded = _there(self._loaded)
        listen = loaded.settings.admin.listen
        return await listening.address(listen, near.door(), is_in_use=self._is_in_use)

    def _of_agents(self, look: Callable[[int], Finding]) -> Look:
        return partial(self._ports.aside, lambda: look(len(_there(self._loaded).settings.agents)))

    def _of_store(self, look: Callable[[str, Path], Finding | Sequence[Finding]]) -> Look:
        def looked() -> Finding | Sequence[Finding]:
            loaded = _there(self._loaded)
            try:
                return look(loaded.settings.store, loaded.base)
            except ConfigError as error:
                return [Finding.of(each, "mend it") for each in loaded.placed(error.problems)]

        return partial(self._ports.aside, looked)

    # What was read ----------------------------------------------------------------------------

    @property
    def _around(self) -> tuple[Loaded, "dict[str, str]"]:
        return _there(self._loaded), dict(self._ports.environment)

    @property
    def _ca_file(self) -> Path | None:
        loaded = _there(self._loaded)
        ca_file = loaded.settings.gws.ca_file
        return None if ca_file is None else loaded.base / ca_file

    def _deployment(self) -> Deployment:
        gws = gws_settings(_there(self._loaded).settings)
        return Deployment(gws, ca_file=self._ca_file, clock=self._ports.clock)

    def _wanted(self) -> Sequence[AgentPart]:
        """Return the agents to look at; none while an imbot is logged in as them.

        Raises:
            UnknownAgentError: There is none of a name.
        """
        if self._loaded is None:
            return ()
        settings = self._loaded.settings
        known = {part.user: part for part in settings.agents}
        if unknown := [name for name in self._wish.agents if name not in known]:
            raise UnknownAgentError(f"the settings have no agent {', '.join(unknown)}")
        if self._wish.agents:
            return [known[name] for name in dict.fromkeys(self._wish.agents)]
        return () if self._is_in_use else settings.agents


def _looks(account: Account, cometd: CometdSession) -> dict[Check, Look]:
    return {
        Check.TOKEN: account.token,
        Check.LOGIN: account.login,
        Check.FEATURE: account.feature,
        Check.DEVICE: account.device,
        Check.ANNEX: account.annex,
        Check.SESSIONS: account.sessions,
        Check.CSRF: cometd.csrf,
        Check.HANDSHAKE: cometd.handshake,
        Check.TRANSPORT: cometd.transport,
        Check.CHANNELS: cometd.channels,
        Check.CONNECT: cometd.connect,
    }


def _there(value: T | None) -> T:
    """Return what a check before this one has found; without it this one is not made."""
    if value is None:
        raise LookupError("a check before this one left nothing")
    return value


async def _unreachable() -> Finding:
    """Look at nothing: what this needs has failed."""
    raise LookupError("a check that rests on others was made without them")
