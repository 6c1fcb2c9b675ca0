"""Orders are taken up once, in their order, and what came of them is written down."""

import asyncio

import pytest

from imbot.engine.ordering import LOOK_EVERY_S, Orders
from imbot.engine.tally import Tally
from imbot.errors import PermanentError
from imbot.records import EffectState, OrderGiven, OrderKind
from imbot.testing.fake_gws import FakeGws
from imbot.testing.memory_store import MemoryStore
from imbot.testing.time import LoopClock
from tests.unit.store_samples import T0, intent, verdict

pytestmark = pytest.mark.looptime

LOST, OTHER = intent(1), intent(2)


class Executor:
    """Writes down what it is to do; refuses if told to."""

    def __init__(self, store):
        self.done = []
        self.refuses = ""
        self._store = store

    async def resend(self, effect):
        self._refuse(effect)
        self.done.append(("resend", effect.intent.effect_id))
        await self._store.commit([effect.intent._replace(attempt=2)])
        return EffectState.ACCEPTED

    def drop(self, effect, *, by=""):
        self._refuse(effect)
        self.done.append(("drop", effect.intent.effect_id, by))
        self._store.note([verdict(effect.intent, EffectState.CONFIRMED)])

    def _refuse(self, effect):
        if self.refuses or effect.state is not EffectState.PARKED:
            raise PermanentError(self.refuses or "it is not parked")


class Desk:
    """Orders at work."""

    def __init__(self, durable=()):
        self.memory = MemoryStore(durable)
        self.store = Tally(self.memory, LoopClock())
        self.executor = Executor(self.store)
        self.gws = FakeGws()
        self.orders = Orders(self.store, self.executor, {"bot1": self.gws}, LoopClock())
        self.task = None

    async def start(self):
        await self.store.recover(T0)
        self.task = asyncio.create_task(self.orders.serve())
        await asyncio.sleep(0)
        return self

    async def order(self, *given):
        if self.task is None:
            await self.start()
        await self.memory.commit(given)
        await asyncio.sleep(2 * LOOK_EVERY_S)

    @property
    def taken(self):
        return [order.taken and order.taken.refused for order in self.memory._look().orders]


@pytest.fixture
async def desk():
    """Two parked effects, and who takes orders up."""
    made = Desk()
    for one in (LOST, OTHER):
        await made.store.commit([one, verdict(one, EffectState.PARKED)])
    yield made
    made.task.cancel()


def resend(of):
    return OrderGiven(of.effect_id, OrderKind.RESEND, "ann", T0)


def drop(of):
    return OrderGiven(of.effect_id, OrderKind.DROP, "bob", T0)


async def test_orders_are_carried_out_within_two_seconds(desk):
    await desk.order(resend(LOST), drop(OTHER))

    assert desk.executor.done == [
        ("resend", LOST.effect_id),
        ("drop", OTHER.effect_id, "bob"),
    ]
    assert desk.taken == ["", ""]


async def test_an_order_is_carried_out_once(desk):
    await desk.order(resend(LOST))
    await asyncio.sleep(10)

    assert len(desk.executor.done) == 1


async def test_a_second_order_sees_what_the_first_did(desk):
    """Two people who press the same button say it once."""
    await desk.order(resend(LOST), resend(LOST))

    assert len(desk.executor.done) == 1
    assert desk.taken == ["", "it is not parked"]


async def test_what_is_refused_says_why(desk):
    desk.executor.refuses = "session s1 is over"
    await desk.order(resend(LOST))

    assert desk.taken == ["session s1 is over"]


async def test_what_is_not_there_is_refused(desk):
    await desk.order(drop(intent(9)))

    assert desk.taken == ["there is no such effect any more"]


async def test_what_is_to_be_sent_waits_until_its_agent_is_logged_in(desk):
    """At a start nobody is; and what can be done meanwhile is done."""
    desk.gws.is_up = False
    await desk.order(resend(LOST), drop(OTHER))
    assert desk.taken == [None, ""]

    desk.gws.is_up = True
    await asyncio.sleep(2 * LOOK_EVERY_S)
    assert desk.taken == ["", ""]


async def test_an_agent_that_is_gone_keeps_nobody_waiting(desk):
    desk.orders._agents = {}
    desk.executor.refuses = "there is no agent bot1 any more"
    await desk.order(resend(LOST))

    assert desk.taken == ["there is no agent bot1 any more"]


async def test_orders_wait_for_the_next_start():
    before = MemoryStore()
    await before.commit([LOST, verdict(LOST, EffectState.PARKED), drop(LOST)])
    desk = await Desk(before.durable).start()
    await asyncio.sleep(LOOK_EVERY_S)
    desk.task.cancel()

    assert desk.taken == [""]


async def test_a_kill_before_anything_was_sent_never_sends_it_twice(desk):
    """The order is taken up first: what became of it is the effect's own state."""

    async def dies(effect):
        del effect
        await asyncio.sleep(100)

    desk.executor.resend = dies
    await desk.order(resend(LOST))
    desk.memory.abandon()

    again = MemoryStore(desk.memory.durable)
    assert await again.orders() == ()
    assert (await again.recover(T0)).parked == {LOST.effect_id, OTHER.effect_id}
