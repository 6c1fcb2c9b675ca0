"""The composition of the simulator: one aiohttp application, one port, one task of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from random import Random
from types import TracebackType
from typing import Self

from aiohttp import web

from imbot.clock import Clock, SystemClock
from imbot.errors import ImbotError
from imbot.simulator.agents import Logins
from imbot.simulator.bayeux import BayeuxServer
from imbot.simulator.chat import ChatPage
from imbot.simulator.control import ControlApi
from imbot.simulator.faults import Faults
from imbot.simulator.gate import Gate
from imbot.simulator.rest import RestApi
from imbot.simulator.serving import SHUTDOWN_S, Server, served_in_memory
from imbot.simulator.settings import SimulatorSettings
from imbot.simulator.world import World

#: Longest pause between two sweeps; shorter where sessions live shortly.
_SWEEP_S = 1.0


class _Timers:
    """Callbacks for later on the running loop; all are gone after ``cancel``."""

    def __init__(self) -> None:
        self._handles: set[asyncio.TimerHandle] = set()

    def __call__(self, seconds: float, callback: Callable[[], None]) -> None:
        def run() -> None:
            self._handles.discard(handle)
            callback()

        handle = asyncio.get_running_loop().call_later(seconds, run)
        self._handles.add(handle)

    def cancel(self) -> None:
        for handle in self._handles:
            handle.cancel()
        self._handles.clear()


def create_app(
    world: World, bayeux: BayeuxServer, *, logins: Logins, clock: Clock
) -> web.Application:
    """Return the application: ``/api/v2``, ``/_control`` and the chat page."""
    gate = Gate(world.faults, logins)
    control = ControlApi(world, bayeux, logins=logins)
    rest = RestApi(world, bayeux, logins=logins, gate=gate)
    app = web.Application()
    app.add_routes(control.routes())
    app.add_routes(ChatPage(world, closing=gate.closing).routes())
    app.router.add_route("*", "/api/v2/{path:.*}", rest.serve)

    async def sweeping(_app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(_sweep(world.settings, bayeux, logins=logins, clock=clock))
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def close(_app: web.Application) -> None:
        gate.closing.set()
        bayeux.clear()

    app.cleanup_ctx.append(sweeping)
    app.on_shutdown.append(close)
    return app


async def _sweep(
    settings: SimulatorSettings, bayeux: BayeuxServer, *, logins: Logins, clock: Clock
) -> None:
    """Remove what nobody uses any more, again and again."""
    while True:
        await clock.sleep(min(_SWEEP_S, settings.max_interval_s / 2))
        bayeux.sweep()
        logins.sweep()


class Simulator:
    """A simulated GWS that listens while its ``async with`` block runs.

    Attributes:
        world: Agents and IM sessions; ring, say, complete, log.
    """

    def __init__(
        self, settings: SimulatorSettings | None = None, *, clock: Clock | None = None
    ) -> None:
        self.settings = settings or SimulatorSettings()
        clock = clock or SystemClock()
        random = Random(self.settings.seed)  # noqa: S311 - reproducible, nothing is secret here
        self._timers = _Timers()
        self.world = World(self.settings, clock=clock, random=random, later=self._timers)
        self._logins = Logins(self.world.agents, clock=clock, random=random)
        self._bayeux = BayeuxServer(
            self.settings, faults=self.world.faults, clock=clock, random=random
        )
        self._bayeux.standing = self._standing
        self.world.notices.deliver = self._bayeux.deliver
        self._clock = clock
        self._runner: web.AppRunner | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """Return where it listens, without a slash at the end.

        Raises:
            ImbotError: It does not listen yet.
        """
        if not self._url:
            raise ImbotError("the simulator has no address before it is entered with 'async with'")
        return self._url

    @property
    def faults(self) -> Faults:
        """Return the faults for everybody; set it to replace them."""
        return self.world.faults.of()

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self.world.faults.replace(faults)

    def restart(self) -> None:
        """Forget Bayeux and HTTP sessions as a crash of GWS would; IM sessions go on."""
        ControlApi(self.world, self._bayeux, logins=self._logins).restart()

    def drop_cometd(self, user: str) -> None:
        """End this agent's Bayeux sessions as the server may: a held poll is told so."""
        self._bayeux.end(user)

    def drop_login(self, user: str) -> None:
        """Forget this agent's HTTP sessions; its Bayeux sessions go on."""
        self._logins.forget(user)

    @asynccontextmanager
    async def in_memory(self) -> AsyncIterator[Server]:
        """Serve without a port, to clients in this process."""
        async with served_in_memory(self._app()) as server:
            try:
                yield server
            finally:
                self._timers.cancel()

    async def __aenter__(self) -> Self:
        runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.settings.host, self.settings.port).start()
        except OSError as error:
            await runner.cleanup()
            where = f"{self.settings.host}:{self.settings.port}"
            raise ImbotError(
                f"the simulator cannot listen on {where}: {error.strerror or error}; "
                "stop what listens there, or choose another port or address"
            ) from error
        self._runner = runner
        host, port = runner.addresses[0][:2]
        self._url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._timers.cancel()
        runner, self._runner, self._url = self._runner, None, ""
        if runner is not None:
            await runner.cleanup()

    def _app(self) -> web.Application:
        return create_app(self.world, self._bayeux, logins=self._logins, clock=self._clock)

    def _standing(self, user: str) -> dict[str, object]:
        agent = self.world.agent(user)
        live = self.world.live_session(agent)
        return dict(self.world.notices.standing(agent, live))
