"""``imbot simulate``: a GWS of one's own on this machine."""

import asyncio
from contextlib import AsyncExitStack
from random import Random

from imbot.cli.running import on_loop, stop_on_signal
from imbot.clock import SystemClock
from imbot.simulator import AgentAccount, Simulator, SimulatorSettings
from imbot.simulator.crm import Crm
from imbot.simulator.parties import Manners, chatter


def accounts(count: int) -> tuple[AgentAccount, ...]:
    """Return so many agents: bot1 with password pw and number 1001, and so on."""
    return tuple(
        AgentAccount(user=f"bot{n}", password="pw", number=f"{1000 + n}")  # noqa: S106  simulated
        for n in range(1, count + 1)
    )


def simulate(
    *,
    host: str,
    port: int,
    agents: int,
    strict: bool,
    csrf: bool,
    ack: bool,
    parties: int,
    crm_port: int | None,
    seed: int,
) -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit code."""
    settings = SimulatorSettings(
        agents=accounts(agents),
        host=host,
        port=port,
        strict=strict,
        csrf=csrf,
        ack=ack,
        seed=seed,
    )
    return on_loop(_serve(settings, parties, crm_port))


async def _serve(settings: SimulatorSettings, parties: int, crm_port: int | None) -> int:
    stop = stop_on_signal()
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(Simulator(settings))
        print(f"GWS          {simulator.url}")
        print(f"chat page    {simulator.url}/")
        print(f"control API  {simulator.url}/_control/")
        for account in settings.agents[:10]:
            print(f"agent        {account.user} / {account.password}, number {account.number}")
        if crm_port is not None:
            crm = await stack.enter_async_context(Crm(host=settings.host, port=crm_port))
            print(f"CRM          {crm.url}, customers {', '.join(crm.customers)}")
        print("Ctrl-C stops it.", flush=True)
        random = Random(settings.seed)  # noqa: S311  reproducible, nothing is secret here
        talking = [
            asyncio.create_task(
                chatter(simulator.world, SystemClock(), random=random, manners=Manners())
            )
            for _ in range(parties)
        ]
        await stop.wait()
        for task in talking:
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)
    return 0
