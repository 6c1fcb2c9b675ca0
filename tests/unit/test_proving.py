"""What nobody knows is proven, or is left to a person: never guessed."""

import asyncio
from collections import deque
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import RootModel

from imbot.engine.acting import Habits, OnUnknown
from imbot.errors import AmbiguousError, PermanentError, TemporaryError
from imbot.model import ImSession, MessageNotice, OutcomeKind, Participant, SessionKey
from imbot.plugin import action
from imbot.ports import Hearing
from imbot.records import EchoesLearnt, EffectState, Intent, Verdict
from imbot.testing.fake_gws import FakeGws
from imbot.testing.house import build
from imbot.testing.time import LoopClock

pytestmark = pytest.mark.looptime

KEY = SessionKey("bot1", "s1")
HEARD = EchoesLearnt(are_heard=True)
LOST = AmbiguousError("no answer came")


class Ear(FakeGws):
    """An agent whose last good poll was begun ten seconds ago, and that has heard all since then.

    ``since`` is when it began to; None while it does not.
    """

    def __init__(self, *failures, since=datetime(2000, 1, 1, tzinfo=UTC)):
        self.since = since
        super().__init__(failures=deque(failures))

    @property
    def hearing(self):
        if self.since is None:
            return None
        now = LoopClock().now()
        return Hearing(self.since, now - timedelta(seconds=10))

    @hearing.setter
    def hearing(self, _given):
        """It says so itself."""


class Words(RootModel[str]):
    """What is said."""


def book(do, trigger="[{state: Talking}, {message: any}]", **keys):
    more = "".join(f"    {key}: {value}\n" for key, value in {"max_age": "1h", **keys}.items())
    return f"version: 1\nrules:\n  - id: r\n    trigger: {trigger}\n{more}    do: [{do}]\n"


GREET = book("{reply: Hello}", "{state: Talking}")
ANSWER = book("{reply: '{{ event.kind }}'}", mode="parallel")


def house_of(rules, gws, *, learnt=HEARD, **more):
    house = build(rules, agents={"bot1": gws}, **more)
    house.dispatch._world.echoes.learnt = learnt
    return house


async def began(house, *, after_s=1.0):
    await house.state("Talking", settle=False)
    await house.tasks.drain(after_s)


def effects(house):
    """Return the states that effects came to, oldest first."""
    return [
        (change.effect_id.rpartition("/")[2], change.state)
        for change in house.store.durable
        if isinstance(change, Verdict)
    ]


async def settled(house):
    await house.settle()
    await house.store.commit(())
    return effects(house)


# Proven absent --------------------------------------------------------------------------------


async def test_what_was_surely_not_said_is_said_again():
    """Quiesce is over, and a poll begun since brought no echo on an unbroken subscription."""
    house = house_of(GREET, Ear(LOST))

    await began(house, after_s=95)
    assert house.said() == ["Hello"]

    assert await settled(house) == [
        ("im1", EffectState.UNKNOWN),
        ("im1", EffectState.FAILED),
        ("im1", EffectState.ACCEPTED),
    ]
    assert house.said() == ["Hello", "Hello"]
    assert [c.attempt for c in house.store.durable if isinstance(c, Intent)] == [1, 2]
    assert house.outcomes()[0].kind is OutcomeKind.DONE


async def test_the_poll_that_proves_it_is_not_held():
    """A whole hold would be one more chance for a gap, and the other party waits."""
    gws = Ear(LOST)
    house = house_of(GREET, gws)

    await began(house)

    (moment,) = gws.hears_through
    assert (moment - house.clock.now()).total_seconds() == pytest.approx(89)
    await house.tasks.cancel()


async def test_a_poll_that_was_begun_too_early_proves_nothing():
    """What it waits for may have been on its way when the poll was answered."""
    house = house_of(GREET, Ear(LOST))

    await began(house, after_s=99)

    assert house.said() == ["Hello"]
    await house.tasks.cancel()


async def test_an_echo_settles_it_whenever_it_comes():
    """Also after quiesce, while the proof that it did not come is still waited for."""
    gws = Ear(LOST)
    house = house_of(GREET, gws)
    await began(house)
    gws.since = None

    await house.tasks.drain(100)
    await house.say("Hello")

    assert house.said() == ["Hello"]
    assert house.outcomes()[0].kind is OutcomeKind.DONE


@pytest.mark.parametrize(
    ("gws", "learnt", "why"),
    [
        (Ear(LOST, since=datetime(2100, 1, 1, tzinfo=UTC)), HEARD, "may have been lost in a gap"),
        (Ear(LOST, since=None), HEARD, "no poll has shown since"),
        (Ear(LOST), EchoesLearnt(), "too few echoes ever came"),
        (Ear(LOST), EchoesLearnt(are_missing=True), "this GWS sends no echoes"),
    ],
    ids=["gap", "deaf", "never-heard", "none"],
)
async def test_without_a_proof_a_person_decides(gws, learnt, why):
    """Said again on a guess it would be said twice, one time in ten."""
    house = house_of(GREET, FakeGws(), learnt=learnt)
    gws.failures = deque([LOST])
    house = house_of(GREET, gws, learnt=learnt)

    await began(house)
    verdicts = await settled(house)

    assert verdicts == [("im1", EffectState.UNKNOWN), ("im1", EffectState.PARKED)]
    assert house.said() == ["Hello"]
    assert why in house.outcomes()[0].detail


async def test_where_no_echo_ever_comes_nobody_waits_for_one(looptime):
    """It would hold up the session for nothing."""
    house = house_of(GREET, Ear(LOST), learnt=EchoesLearnt(are_missing=True))

    await began(house)
    await settled(house)

    assert looptime < 5


async def test_the_same_text_heard_meanwhile_makes_it_ambiguous():
    """It was taken as the echo of an older one, whose own may have been lost."""
    twice = book("{parallel: [[{reply: Hello}], [{wait: 1s}, {reply: Hello}]]}", "{state: Talking}")
    house = house_of(twice, Ear(None, LOST))
    await began(house)
    await asyncio.sleep(3)

    await house.say("Hello")

    assert (await settled(house))[-1] == ("im1", EffectState.PARKED)
    assert len(house.said()) == 2
    assert "may have been another's" in house.outcomes()[1].detail


async def test_attempts_are_bounded():
    """What is never said, however often it is proven, is for a person."""
    house = house_of(book("{reply: Hello, retry: {times: 2}}", "{state: Talking}"), Ear(LOST, LOST))

    await began(house)

    assert (await settled(house))[-1] == ("im1", EffectState.PARKED)
    assert len(house.said()) == 2


async def test_a_reply_that_is_too_old_is_not_said_any_more():
    """Nobody wants an answer of an hour ago."""
    habits = Habits(expires_s=60.0)
    house = house_of(GREET, Ear(LOST), habits=habits)

    await began(house)

    assert (await settled(house))[-1] == ("im1", EffectState.EXPIRED)
    assert house.outcomes()[0].kind is OutcomeKind.CANCELLED
    assert "within 1m" in house.outcomes()[0].detail
    assert len(house.said()) == 1


@pytest.mark.parametrize("away_s", [1800, 7200], ids=["reply", "event"])
async def test_a_refused_reply_expires_over_a_restart(away_s):
    """Half an hour later nobody wants it either; later still the event itself is too old."""
    house = house_of(GREET, Ear(TemporaryError("not now")))
    await began(house, after_s=0.01)
    await house.store.commit(())
    await house.tasks.cancel()
    await asyncio.sleep(away_s)

    again = house_of(GREET, Ear(), store=house.store.reopened())
    await again.dispatch.recover(again.book.rules)

    assert (await settled(again))[-1] == ("im1", EffectState.EXPIRED)
    assert again.said() == []


@pytest.mark.parametrize("state", ["over", "here"])
async def test_a_session_that_is_over_ends_the_wait(state):
    """There is nobody to say it to any more; that nobody knows is told for all that."""
    house = house_of(GREET, Ear(LOST, LOST))
    await began(house)

    if state == "over":
        await house.state("Completed")

    last = (await settled(house))[-1][1]
    assert last is (EffectState.CANCELLED if state == "over" else EffectState.ACCEPTED)
    detail = [c.detail for c in house.store.durable if isinstance(c, Verdict)][-1]
    assert ("nobody knows whether" in detail) == (state == "over")


async def test_after_a_restart_the_proof_is_waited_for_too():
    """Left on its way by a kill: it may still take effect for as long as any other."""
    gws = Ear()
    gws.hangs = True
    house = house_of(GREET, gws)
    await began(house)
    await house.store.commit(())
    await house.tasks.cancel()

    again = house_of(GREET, Ear(), store=house.store.reopened())
    await again.dispatch.recover(again.book.rules)
    await again.tasks.drain(95)
    assert again.said() == []

    await again.settle()
    assert again.said() == ["Hello"]


# Later replies --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on_unknown", "said"),
    [
        (OnUnknown.HOLD, ["state", "state", "message"]),
        (OnUnknown.CONTINUE, ["state", "message", "state"]),
        (OnUnknown.DROP, ["state", "state"]),
    ],
)
async def test_later_replies_do_as_the_setting_says(on_unknown, said):
    """In order by default; who would rather be quick, or quiet, says so."""
    house = house_of(ANSWER, Ear(LOST), habits=Habits(on_unknown=on_unknown))
    await began(house)

    await house.hear(MessageNotice("s1", "a", house.clock.now()))
    await house.settle()

    assert house.said() == said
    kinds = {outcome.kind for outcome in house.outcomes()}
    assert (OutcomeKind.CANCELLED in kinds) == (on_unknown is OnUnknown.DROP)


async def test_a_reply_of_another_strand_waits_behind_a_doubt():
    """Strands go side by side, and what they say does not overtake all the same."""
    both = book("{parallel: [[{reply: one}], [{wait: 2s}, {reply: two}]]}", "{state: Talking}")
    house = house_of(both, Ear(LOST))

    await began(house)
    await asyncio.sleep(5)
    await house.settle()

    assert house.said() == ["one", "one", "two"]


async def test_nobody_waits_behind_a_doubt_once_the_session_is_over():
    """What waited is not said."""
    both = book("{parallel: [[{reply: one}], [{wait: 2s}, {reply: two}]]}", "{state: Talking}")
    house = house_of(both, Ear(LOST))
    await began(house)
    await asyncio.sleep(5)

    await house.state("Completed")

    assert house.said() == ["one"]
    assert {outcome.kind for outcome in house.outcomes()} == {OutcomeKind.CANCELLED}


# What is not a message ------------------------------------------------------------------------

BEGIN = book("{initiate: {to: '3003'}}, {reply: Hi}", "{state: Completed}", when="not session.mine")


async def killed_while_it_began(shown):
    """Return what is left of an InitiateIMSession in flight, and a GWS that shows these."""
    gws = FakeGws()
    gws.hangs = True
    house = build(BEGIN, agents={"bot1": gws})
    await house.state("Completed", settle=False)
    await house.tasks.drain(1)
    await house.store.commit(())
    await house.tasks.cancel()
    after = Ear()
    after.shown = {session.id: session for session in shown}
    return house_of(BEGIN, after, store=house.store.reopened())


def party(number, session_id="n7", state="Talking"):
    return ImSession(session_id, state, {}, (Participant(number, number, number, number),))


async def test_a_session_that_a_kill_left_begun_is_found():
    """By whom it reaches; it is gone on with as if nothing had been."""
    again = await killed_while_it_began([party("3002"), party("3003")])
    again.gws["bot1"].unasked = deque([TemporaryError("not logged in yet")])
    await again.dispatch.recover(again.book.rules)
    await again.tasks.drain(20)

    assert again.gws["bot1"].named("InitiateIMSession") == []
    assert ("im1", EffectState.ACCEPTED) in await settled(again)


@pytest.mark.parametrize(
    "shown", [[], [party("3003", "a"), party("3003", "b")], [party("3003", "a", "Completed")]]
)
async def test_a_session_that_cannot_be_found_is_not_begun_again(shown):
    """One too few is a person's to mend; one too many rings at somebody twice."""
    again = await killed_while_it_began(shown)
    await again.dispatch.recover(again.book.rules)

    assert await settled(again) == [("im1", EffectState.PARKED)]
    assert again.gws["bot1"].done == []


async def test_a_session_that_was_there_before_is_another():
    """Only what began after it was asked for can be ours."""
    again = await killed_while_it_began([party("3003")])
    world = again.dispatch._world
    old = (again.clock.now() - timedelta(hours=1)).replace(microsecond=0)
    from imbot.model import SessionNotice

    world.table.see_session("bot1", SessionNotice(party("3003"), old), received_at=old)
    await again.dispatch.recover(again.book.rules)

    assert await settled(again) == [("im1", EffectState.PARKED)]


async def test_nobody_can_be_asked_for_ever():
    """An agent that does not log in holds nobody up."""
    again = await killed_while_it_began([])
    again.gws["bot1"].unasked = deque([TemporaryError("?")] * 1000)
    await again.dispatch.recover(again.book.rules)

    assert await settled(again) == [("im1", EffectState.PARKED)]
    assert "could not be asked" in again.outcomes()[0].detail


async def test_the_agent_that_began_it_may_be_gone():
    """Taken out of the settings since."""
    left = (await killed_while_it_began([])).store
    again = build(BEGIN, agents={"bot2": Ear()}, store=left)
    await again.dispatch.recover(again.book.rules)

    assert await settled(again) == [("im1", EffectState.PARKED)]
    assert "no agent bot1 any more" in again.outcomes()[0].detail


@action("odd.both", args=Words)
async def both(ctx, args):
    await ctx.im.update_user_data({"a": "1"})
    await ctx.im.send_message(args.root)


async def test_what_converges_is_done_again_without_waiting(looptime):
    """An action that may not be repeated goes on, for its doors compare before they write."""
    house = house_of(
        book("{odd.both: Hi, retry: {times: 2}}", "{state: Talking}"),
        Ear(LOST),
        actions={"odd.both": both},
    )

    await house.state("Talking")

    assert [done.name for done in house.gws["bot1"].done] == [
        "UpdateUserData",
        "UpdateUserData",
        "SendMessage",
    ]
    assert looptime < 5


async def test_a_request_that_nobody_can_prove_is_parked():
    """A post without a key may have been taken."""

    class Dead:
        async def send(self, _request):
            raise AmbiguousError("cut off")

        async def close(self):
            pass

    post = book("{http: {post: 'http://crm.test/x', json: {a: 1}}}", "{state: Talking}")
    house = build(post, agents={"bot1": Ear()}, http=Dead())

    await house.state("Talking")

    assert await settled(house) == [("web1", EffectState.UNKNOWN), ("web1", EffectState.PARKED)]


async def test_a_permanent_refusal_needs_no_proof():
    """It surely did not happen."""
    house = house_of(GREET, Ear(PermanentError("no")))

    await house.state("Talking")

    assert house.outcomes()[0].kind is OutcomeKind.PARKED
    assert house.said() == ["Hello"]
