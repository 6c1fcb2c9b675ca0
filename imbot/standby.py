"""Standing by: imbot serves ``/health``, acts on nothing, and goes on once there is a way to.

It stands by in safe mode, where a person must see to something, and while the disk of the store is
full. Nothing is connected and nothing is written then.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Literal

import structlog

from imbot.admin.dashboard.standing_by import StandbyPage
from imbot.admin.health import Health
from imbot.admin.server import AdminServer
from imbot.admin.site import Site
from imbot.clock import Clock

log = structlog.get_logger()

#: How often it is looked whether there is room on the disk again.
LOOK_S = 5.0


@dataclass(frozen=True, slots=True)
class Standby:
    """Why imbot acts on nothing.

    Attributes:
        status: ``safe-mode`` or ``critical``, as ``/health`` tells it.
        reasons: What is wrong, for people.
        agents: How many agents wait.
        may_go_on: Tells without being asked whether there is a way to go on; None: nobody can.
    """

    status: Literal["safe-mode", "critical"]
    reasons: Sequence[str]
    agents: int = 0
    may_go_on: Callable[[], bool] | None = None

    def health(self) -> Health:
        """Return how imbot is doing."""
        return Health(self.status, list(self.reasons)[:20], self.agents, 0)


async def stand_by(
    why: Standby,
    *,
    site: Site | None,
    clock: Clock,
    stop: asyncio.Event,
    asked: asyncio.Event,
    changes: AsyncIterator[None] | None = None,
) -> None:
    """Return when imbot is to stop, is asked to reload, or may go on; ``asked`` is cleared.

    Args:
        why: What is told meanwhile.
        site: Where ``/health`` is served; None for nowhere.
        clock: Says when to look again.
        stop: Set when imbot is to stop.
        asked: Set when somebody asks to reload.
        changes: Tells when the files of rules may have changed.

    Raises:
        ImbotError: The health endpoint cannot listen.
    """
    log.error("imbot.stands_by", status=why.status, reasons=list(why.reasons)[:20])
    async with AsyncExitStack() as stack:
        if site is not None:
            page = StandbyPage(why.health)
            await stack.enter_async_context(AdminServer(site, why.health, clock, pages=page))
        waiting: list[Awaitable[object]] = [stop.wait(), asked.wait()]
        if changes is not None:
            waiting.append(_changed(changes))
        if why.may_go_on is not None:
            waiting.append(_room(why.may_go_on, clock))
        tasks = [asyncio.ensure_future(each) for each in waiting]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    asked.clear()


async def _changed(changes: AsyncIterator[None]) -> None:
    """Return when files have changed; never, where nobody can tell."""
    try:
        async for _ in changes:
            return
    except OSError as error:
        log.warning("reload.unwatched", cause=str(error))
    await asyncio.Event().wait()


async def _room(may_go_on: Callable[[], bool], clock: Clock) -> None:
    while True:
        await clock.sleep(LOOK_S)
        if may_go_on():
            return
