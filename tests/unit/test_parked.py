"""What waits for a person: sent again as it was intended, or dropped; never by itself."""

from collections import deque
from datetime import UTC, datetime, timedelta

import pytest

from imbot.engine.parked import Parked
from imbot.errors import AmbiguousError, PermanentError, TemporaryError
from imbot.model import ImSession, Participant, SessionKey
from imbot.ports import Hearing
from imbot.records import EchoesLearnt, Effect, EffectState, Intent, Verdict
from imbot.testing.fake_gws import FakeGws
from imbot.testing.house import build
from imbot.testing.memory_store import MemoryStore

pytestmark = pytest.mark.looptime

RULES = """
version: 1
rules:
  - id: r
    trigger: {state: Talking}
    do: [STEP]
"""
LOST = AmbiguousError("no answer came")


def house_of(step, *failures, **more):
    house = build(RULES.replace("STEP", step), **more)
    house.gws["bot1"].failures = deque(failures)
    return house


def parked_of(house):
    return Parked(house.dispatch._world, house.store, house.dispatch._actor.prover)


def effects(house):
    """Return the effects as the store has them, once all that was noted is written."""
    house.store._flush()
    return house.store._look().effects


async def one_parked(step, *failures, **more):
    """Return a house in which this step was parked, its orders, and the effect."""
    house = house_of(step, *failures, **more)
    await house.state("Talking", key="old")
    found = [one for one in effects(house).values() if one.state is EffectState.PARKED]
    assert len(found) == 1
    house.gws["bot1"].done.clear()
    return house, parked_of(house), found[0]


@pytest.mark.parametrize(
    ("step", "sent"),
    [
        ("reply: hi", ("SendMessage", {"text": "hi", "to": "3002"})),
        ("set: {a: '1'}", ("UpdateUserData", {"a": "1"})),
        ("unset: [key]", ("DeleteUserData", "key")),
        ("complete: ''", ("Complete", None)),
    ],
)
async def test_it_is_sent_as_it_was_intended(step, sent):
    """One more attempt of the same intent."""
    house, parked, effect = await one_parked(step, PermanentError("no"))

    assert await parked.resend(effect) is EffectState.ACCEPTED

    assert [(done.name, done.given) for done in house.gws["bot1"].done] == [sent]
    kept = effects(house)[effect.intent.effect_id]
    assert (kept.state, kept.intent.attempt) == (EffectState.ACCEPTED, effect.intent.attempt + 1)


async def test_its_echo_proves_it():
    """It never reaches rules as the other party's words."""
    house, parked, effect = await one_parked("reply: hi", PermanentError("no"))
    await parked.resend(effect)

    await house.say("hi")

    assert effects(house)[effect.intent.effect_id].state is EffectState.CONFIRMED
    assert house.table.get(SessionKey("bot1", "s1")).said == []


async def test_what_was_to_follow_follows():
    """Of a long reply the whole rest was given up with it."""
    text = f"{'a' * 600} {'b' * 600} {'c' * 600}"
    house, parked, effect = await one_parked(f"reply: {text}", None, PermanentError("no"))

    await parked.resend(effect)

    assert [said[0] for said in house.said()] == ["b", "c"]
    kept = [(one.intent.effect_id[-3:], one.state) for one in effects(house).values()]
    assert kept == [(each, EffectState.ACCEPTED) for each in ("im1", "im2", "im3")]


async def test_what_follows_waits_for_what_it_follows():
    """A rest without its beginning is worse than none."""
    text = f"{'a' * 600} {'b' * 600}"
    house, parked, effect = await one_parked(f"reply: {text}", PermanentError("no"))
    house.gws["bot1"].failures = deque([TemporaryError("still not")])

    assert await parked.resend(effect) is EffectState.PARKED

    assert len(house.said()) == 1
    assert "still not" in effects(house)[effect.intent.effect_id].detail


async def test_a_session_is_begun_and_known_as_ours():
    """A person says so, so it rings once more."""
    step = "initiate: {to: '3009', agent: bot2}"
    house, parked, effect = await one_parked(
        step, agents={"bot1": FakeGws(), "bot2": FakeGws(failures=deque([LOST]))}
    )
    shown = ImSession("n1", "Initiating", {}, (Participant("3009", "3009", "3009", "3009"),))

    def ring(_done):
        from imbot.model import SessionNotice

        notice = SessionNotice(shown, house.clock.now())
        house.table.see_session("bot2", notice, received_at=house.clock.now())

    house.gws["bot2"].on_done = ring
    assert await parked.resend(effect) is EffectState.ACCEPTED

    assert effects(house)[effect.intent.effect_id].result == {"id": "n1", "agent": "bot2"}
    assert house.table.get(SessionKey("bot2", "n1")).mine


async def test_who_does_not_know_the_answer_waits_for_the_proof():
    """As any other reply; without it, it is a person's again."""
    house, parked, effect = await one_parked("reply: hi", PermanentError("no"))
    house.gws["bot1"].failures = deque([LOST])

    assert await parked.resend(effect) is EffectState.UNKNOWN
    await house.settle()

    kept = effects(house)[effect.intent.effect_id]
    assert kept.state is EffectState.PARKED
    assert "nobody knows whether" in kept.detail
    assert len(house.said()) == 1


async def test_what_was_surely_not_said_again_is_a_persons_again():
    """They decided on one attempt, and know now that it was none."""
    house, parked, effect = await one_parked("reply: hi", PermanentError("no"))
    gws = house.gws["bot1"]
    gws.failures = deque([LOST])
    house.dispatch._world.echoes.learnt = EchoesLearnt(are_heard=True)
    far = house.clock.now() + timedelta(hours=1)
    gws.hearing = Hearing(datetime(2000, 1, 1, tzinfo=UTC), far)

    await parked.resend(effect)
    await house.settle()

    assert "surely not carried out" in effects(house)[effect.intent.effect_id].detail


async def test_an_echo_settles_it_when_the_answer_is_lost():
    """It was said."""
    house, parked, effect = await one_parked("reply: hi", PermanentError("no"))
    house.gws["bot1"].failures = deque([LOST])
    await parked.resend(effect)

    await house.say("hi")

    assert effects(house)[effect.intent.effect_id].state is EffectState.CONFIRMED


async def test_a_session_whose_begin_is_unknown_again_is_looked_for():
    """And found."""
    step = "initiate: {to: '3009', agent: bot2}"
    agents = {"bot1": FakeGws(), "bot2": FakeGws(failures=deque([LOST, LOST]))}
    house, parked, effect = await one_parked(step, agents=agents)
    party = (Participant("3009", "3009", "3009", "3009"),)

    await parked.resend(effect)
    house.gws["bot2"].shown["n1"] = ImSession("n1", "Talking", {}, party)
    await house.settle()

    assert effects(house)[effect.intent.effect_id].result == {"id": "n1", "agent": "bot2"}


async def test_it_is_refused_when_there_is_nobody_to_send_it_to():
    """It stays as it was, and the person hears why."""
    house, parked, effect = await one_parked("reply: hi", PermanentError("no"))
    await house.state("Completed")

    with pytest.raises(PermanentError, match="is over"):
        await parked.resend(effect)

    assert effects(house)[effect.intent.effect_id].state is EffectState.PARKED
    assert house.said() == []


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"operation": "POST https://crm.test"}, "repeat it by hand"),
        ({"operation": "AttachUserData"}, "nobody knows how to repeat"),
    ],
)
async def test_what_cannot_be_repeated_is_refused_or_parked_again(changed, why):
    """A request is not kept whole, for what is missing may be secret."""
    house, parked, effect = await one_parked("reply: hi", PermanentError("no"))
    other = Effect(effect.intent._replace(echo=None, **changed), effect.state)

    try:
        assert await parked.resend(other) is EffectState.PARKED
        told = effects(house)[effect.intent.effect_id].detail
    except PermanentError as error:
        told = str(error)

    assert why in told
    assert house.gws["bot1"].done == []


async def test_the_agent_may_be_gone():
    """Taken out of the settings since."""
    house, parked, effect = await one_parked("reply: hi", PermanentError("no"))
    del house.dispatch._world.agents["bot1"]

    assert await parked.resend(effect) is EffectState.PARKED
    assert "no agent bot1" in effects(house)[effect.intent.effect_id].detail


@pytest.mark.parametrize("by", ["ann", ""])
async def test_what_is_dropped_is_given_up_for_good(by):
    """By whom is kept."""
    house, parked, effect = await one_parked("reply: hi", PermanentError("no"))

    parked.drop(effect, by=by)

    kept = effects(house)[effect.intent.effect_id]
    assert kept.state is EffectState.CANCELLED
    assert kept.detail == ("dropped by ann" if by else "dropped")


async def test_only_what_is_parked_can_be_decided_on():
    """What was settled meanwhile is settled."""
    house, parked, effect = await one_parked("reply: hi", PermanentError("no"))
    settled = Effect(effect.intent, EffectState.CONFIRMED)

    with pytest.raises(PermanentError, match="not parked"):
        await parked.resend(settled)
    with pytest.raises(PermanentError, match="not parked"):
        parked.drop(settled)
    assert house.gws["bot1"].done == []


async def test_a_kill_while_it_is_sent_again_leaves_it_parked():
    """No run goes on with it; it must not lie there as under way for ever."""
    house, _, effect = await one_parked("reply: hi", PermanentError("no"))
    intent = effect.intent._replace(attempt=9)
    left = MemoryStore([*house.store.durable, intent])

    again = build(house.book, store=left)
    await again.dispatch.recover(again.book.rules)
    await again.settle()
    await again.store.commit(())

    assert effects(again)[intent.effect_id].state is EffectState.PARKED
    assert again.said() == []
    last = [one for one in again.store.durable if isinstance(one, Intent | Verdict)][-1]
    assert "was stopped while" in last.detail
