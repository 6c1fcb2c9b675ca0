"""``imbot simulate``: a GWS of one's own on this machine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

from imbot.cli.running import on_loop, stop_on_signal
from imbot.clock import Clock, SystemClock
from imbot.simulator import AgentAccount, Simulator, SimulatorSettings
from imbot.simulator.crm import Crm
from imbot.simulator.parties import Manners, chatter
from imbot.simulator.world import World

#: So many accounts are listed; a terminal has no room for thousands.
_LISTED = 10


def accounts(count: int) -> tuple[AgentAccount, ...]:
    """Return so many agents: bot1 with password pw and number 1001, and so on."""
    return tuple(
        AgentAccount(user=f"bot{n}", password="pw", number=f"{1000 + n}")  # noqa: S106  simulated
        for n in range(1, count + 1)
    )


def simulate(settings: SimulatorSettings, *, parties: int, crm_port: int | None) -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit code.

    Args:
        settings: The deployment.
        parties: How many random other parties ring.
        crm_port: Where the small CRM listens; None for none.
    """
    return on_loop(_serve(settings, parties, crm_port))


async def _serve(settings: SimulatorSettings, parties: int, crm_port: int | None) -> int:
    stop = stop_on_signal()
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(Simulator(settings))
        print(f"GWS          {simulator.url}")
        print(f"chat page    {simulator.url}/")
        print(f"control API  {simulator.url}/_control/")
        for account in settings.agents[:_LISTED]:
            print(f"agent        {account.user} / {account.password}, number {account.number}")
        if (more := len(settings.agents) - _LISTED) > 0:
            print(f"             and {more} more, to bot{len(settings.agents)}")
        if crm_port is not None:
            crm = await stack.enter_async_context(Crm(host=settings.host, port=crm_port))
            print(f"CRM          {crm.url}, customers {', '.join(crm.customers)}")
        print("Ctrl-C stops it.", flush=True)
        random = Random(settings.seed)  # noqa: S311  reproducible, nothing is secret here
        async with talking_parties(simulator.world, SystemClock(), count=parties, random=random):
            await stop.wait()
    return 0


@asynccontextmanager
async def talking_parties(
    world: World, clock: Clock, *, count: int, random: Random, manners: Manners | None = None
) -> AsyncIterator[None]:
    """Let random parties ring and talk while the block runs."""
    talking = [
        asyncio.create_task(chatter(world, clock, random=random, manners=manners or Manners()))
        for _ in range(count)
    ]
    try:
        yield
    finally:
        for task in talking:
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)
