"""Takes up what people have ordered about parked effects, and has it carried out.

An order is written down as taken up before anything is done because of it: a kill in between leaves
the effect as it stands, for a person to look at again, and never has it sent once more.
"""

from collections.abc import Mapping
from typing import Protocol

import structlog

from imbot.clock import Clock
from imbot.engine.tally import Tally
from imbot.errors import PermanentError
from imbot.ports import Gws
from imbot.records import Effect, EffectState, Order, OrderKind, OrderTaken

log = structlog.get_logger()

#: While something is parked, orders are looked for so often.
LOOK_EVERY_S = 1.0


class Executes(Protocol):
    """Carries an order out; :class:`imbot.engine.parked.Parked` does."""

    async def resend(self, effect: Effect) -> EffectState:
        """Send a parked effect again; return what came of it.

        Raises:
            PermanentError: It is not sent, and the message says why.
        """
        ...

    def drop(self, effect: Effect, *, by: str = "") -> None:
        """Give a parked effect up for good.

        Raises:
            PermanentError: It is not parked.
        """
        ...


class Orders:
    """Looks for orders, one at a time.

    Args:
        store: Has them, and knows whether there can be any.
        executor: Carries them out.
        agents: The operations of each agent, by user name.
        clock: Tells when.
    """

    def __init__(
        self, store: Tally, executor: Executes, agents: Mapping[str, Gws], clock: Clock
    ) -> None:
        self._store = store
        self._executor = executor
        self._agents = agents
        self._clock = clock

    async def serve(self) -> None:
        """Take orders up for ever.

        Raises:
            StoreError: The store failed.
        """
        while True:
            await self._store.any_parked()
            while (order := await self._next()) is not None:
                await self._take_up(order)
            await self._clock.sleep(LOOK_EVERY_S)

    async def _next(self) -> Order | None:
        """Return the first order that can be taken up now; each is read with its effect anew."""
        return next((order for order in await self._store.orders() if self._is_due(order)), None)

    def _is_due(self, order: Order) -> bool:
        """Whether it is to be taken up: what is to be sent waits until its agent is logged in."""
        if order.given.kind is OrderKind.DROP or order.effect is None:
            return True
        gws = self._agents.get(order.effect.intent.agent)
        return gws is None or gws.is_up

    async def _take_up(self, order: Order) -> None:
        given = order.given
        self._store.note([OrderTaken(order.number, self._clock.now())])
        refused = await self._carry_out(order)
        if refused:
            self._store.note([OrderTaken(order.number, self._clock.now(), refused)])
        facts = {"effect": given.effect_id, "order": given.kind.value, "by": given.by}
        log.info("parked.ordered", **facts, refused=refused)

    async def _carry_out(self, order: Order) -> str:
        """Carry an order out; return why it was refused, empty when it was not."""
        given, effect = order.given, order.effect
        if effect is None:
            return "there is no such effect any more"
        try:
            if given.kind is OrderKind.RESEND:
                await self._executor.resend(effect)
            else:
                self._executor.drop(effect, by=given.by)
        except PermanentError as error:
            return str(error)
        return ""
