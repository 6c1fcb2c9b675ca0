"""What is given up, of any action and in any way, waits for a person: a table of all ways."""

import asyncio
from collections import deque

import pytest
from pydantic import BaseModel

from imbot.engine.tally import Tally
from imbot.errors import AmbiguousError, PermanentError, TemporaryError
from imbot.model import ImSession, MessageNotice, SessionNotice
from imbot.plugin import action
from imbot.ports import Reply
from imbot.records import EffectState
from imbot.testing.fake_gws import FakeGws
from imbot.testing.house import CUSTOMER, build, rulebook_of
from imbot.testing.memory_store import MemoryStore
from imbot.testing.time import LoopClock

pytestmark = pytest.mark.looptime

STEPS = {
    "SendMessage": "reply: hello",
    "UpdateUserData": "set: {a: '1'}",
    "DeleteUserData": "unset: [tier]",
    "Complete": "complete: done",
    "InitiateIMSession": "initiate: {to: '3009', agent: bot2}",
    "POST": "http: {post: 'http://crm.test/x', json: {a: 1}}",
    "own": "own.post: {}",
}

#: What each way of failing is, as often as it is met.
UNKNOWN = AmbiguousError("no answer came")
REFUSED = PermanentError("statusCode 5: not allowed")
BUSY = TemporaryError("statusCode 4: busy")


class Nothing(BaseModel):
    """No arguments."""


class Failing:
    """A GWS agent, and a way out to other services, that always fail in one way."""

    def __init__(self, error):
        self.error = error

    async def send(self, request):
        """Fail, or answer."""
        del request
        if self.error is not None:
            raise self.error
        return Reply(200, {}, b"{}")

    async def close(self):
        """Do nothing."""

    def agent(self):
        made = FakeGws()
        made.failures = deque([self.error] * 200)
        return made


@action("own.post", args=Nothing)
async def own_post(ctx, args):
    """Post something, and be careless about what comes of it."""
    del args
    try:
        await ctx.http.request("POST", "http://crm.test/x", json={})
    except (AmbiguousError, PermanentError, TemporaryError) as error:
        raise ValueError("it went wrong") from error


def book(step, **keys):
    more = "".join(f"    {key}: {value}\n" for key, value in keys.items())
    return (
        "version: 1\nrules:\n  - id: r\n    trigger: {message: any}\n"
        f"{more}    do:\n      - {step}\n"
    )


def house_of(rules, failing, store):
    agents = {"bot1": failing.agent(), "bot2": failing.agent()}
    return build(rules, agents=agents, http=failing, store=store, actions={"own.post": own_post})


async def begun(house):
    session = ImSession("s1", "Talking", {"tier": "gold"}, (CUSTOMER,))
    for gws in house.gws.values():
        gws.shown["s1"] = session
    await house.hear(SessionNotice(session, house.clock.now()))
    await house.settle()
    await house.say("x")


async def states(store):
    """Return the effects that the store knows, by operation, without the mark of bots."""
    await store.commit(())
    found = store._store._look().effects.values()
    return {effect.intent.operation.split()[0]: effect.state for effect in found}


@pytest.mark.parametrize("operation", STEPS)
@pytest.mark.parametrize("error", [UNKNOWN, REFUSED, BUSY], ids=["unknown", "refused", "busy"])
async def test_whatever_a_step_could_not_do_is_parked(operation, error):
    """Nobody knows, it was refused for good, or all its retries are used up."""
    store = Tally(MemoryStore(), LoopClock())
    house = house_of(book(STEPS[operation]), Failing(error), store)
    await begun(house)
    await asyncio.sleep(1000)

    found = await states(store)
    (state,) = found.values()
    assert state is EffectState.PARKED
    assert len(store.parked) == 1


@pytest.mark.parametrize("operation", STEPS)
async def test_an_on_error_goes_on_and_parks_all_the_same(operation):
    store = Tally(MemoryStore(), LoopClock())
    rules = book(STEPS[operation], on_error="[{log: '{{ error.message }}'}]")
    house = house_of(rules, Failing(REFUSED), store)
    await begun(house)
    await asyncio.sleep(1000)

    assert len(store.parked) == 1


@pytest.mark.parametrize("operation", STEPS)
async def test_what_a_rule_was_doing_that_is_gone_after_a_kill_is_parked(operation):
    """It cannot be compiled any more: its plugin, or its block, has gone with it."""
    store = Tally(MemoryStore(), LoopClock())
    house = house_of(book(STEPS[operation]), Failing(None), store)
    for gws in house.gws.values():
        gws.hangs, gws.failures = True, deque()
    if operation in ("POST", "own"):

        async def hang(request):
            del request
            await asyncio.sleep(1e6)

        house.flow.world.http.send = hang
    await begun_beside(house)
    await store.commit(())
    await house.stop()

    again = Tally(store._store.reopened(), LoopClock())
    other = house_of(rulebook_of(book("log: other")), Failing(None), again)
    await other.dispatch.recover(other.book.rules)
    await asyncio.sleep(1000)

    (state,) = (await states(again)).values()
    assert state is EffectState.PARKED
    assert len(again.parked) == 1


async def begun_beside(house):
    """As :func:`begun`, where nothing is ever answered."""
    session = ImSession("s1", "Talking", {"tier": "gold"}, (CUSTOMER,))
    await house.hear(SessionNotice(session, house.clock.now()))
    await house.hear(MessageNotice("s1", "x", house.clock.now()))
    await asyncio.sleep(1)


@pytest.mark.parametrize("operation", ["SendMessage", "UpdateUserData", "POST"])
async def test_what_waits_for_its_next_attempt_when_its_session_ends_is_not_lost(operation):
    """The run is over; whoever looks finds what it did not do."""
    store = Tally(MemoryStore(), LoopClock())
    step = f"{STEPS[operation]}\n        retry: {{times: 9, backoff: 1m..1h}}"
    house = house_of(book(step), Failing(BUSY), store)
    await begun(house)
    await asyncio.sleep(30)
    assert (await states(store)).popitem()[1] is EffectState.FAILED
    await house.state("Completed")
    await asyncio.sleep(1000)

    (state,) = (await states(store)).values()
    assert state in (EffectState.PARKED, EffectState.CANCELLED)


async def test_a_reply_that_could_not_be_said_for_too_long_says_so():
    """It is not said any more, and not parked: it would be out of place."""
    store = Tally(MemoryStore(), LoopClock())
    step = f"{STEPS['SendMessage']}\n        retry: {{times: 99, backoff: 1m..1m}}"
    house = house_of(book(step), Failing(BUSY), store)
    await begun(house)
    await asyncio.sleep(3000)

    (state,) = (await states(store)).values()
    assert state is EffectState.EXPIRED
