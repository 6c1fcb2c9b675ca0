"""What is tried again is what was intended, and does not undo what others did meanwhile."""

import asyncio
from collections import deque

import pytest

from imbot.engine.acting import Habits
from imbot.errors import AmbiguousError, TemporaryError
from imbot.model import ImSession, SessionNotice
from imbot.records import EffectState, Intent, Verdict
from imbot.testing.fake_gws import FakeGws
from imbot.testing.house import CUSTOMER, build

pytestmark = pytest.mark.looptime

LOST = AmbiguousError("no answer came")
BUSY = TemporaryError("busy")


def book(*steps):
    lines = "".join(f"      - {step}\n" for step in steps)
    head = "version: 1\nrules:\n  - id: r\n    trigger: {state: Talking}\n    max_age: 1h\n"
    return f"{head}    do:\n{lines}"


async def killed(house, after_s=1.0):
    """Pull the plug; return what is left."""
    await asyncio.sleep(after_s)
    await house.store.commit(())
    await house.tasks.cancel()
    return house.store.reopened()


async def gone_on(rules, left, gws, **more):
    """Return the house after the next start, when all is done."""
    again = build(rules, store=left, agents={"bot1": gws}, **more)
    await again.dispatch.recover(again.book.rules)
    await again.settle()
    await again.store.commit(())
    return again


def shows(**user_data):
    gws = FakeGws()
    gws.shown["s1"] = ImSession("s1", "Talking", user_data, (CUSTOMER,))
    return gws


def last_state(house, effect_id="bot1:1/r/0/im1"):
    return [
        change
        for change in house.store.durable
        if isinstance(change, Verdict | Intent) and change.effect_id == effect_id
    ][-1]


# What is said ---------------------------------------------------------------------------------

NOW = book("reply: 'It is {{ now() | isoformat }}'")


async def test_a_reply_is_rendered_once_over_a_restart():
    """Another text would be another reply, and its echo would prove nothing of the first."""
    house = build(NOW)
    house.gws["bot1"].failures = deque([BUSY] * 3)
    await house.state("Talking", settle=False)
    left = await killed(house, after_s=0.3)
    said = set(house.said())

    again = await gone_on(NOW, left, FakeGws())

    assert len(said) == 1
    assert again.said() == list(said)


async def test_a_reply_is_rendered_once_though_its_step_waits():
    """A pause of more than five seconds is a wait, after which the step is planned anew."""
    text = book("{reply: 'It is {{ now() | isoformat }}', retry: {times: 3, backoff: 20s..40s}}")
    house = build(text)
    house.gws["bot1"].failures = deque([BUSY])

    await house.state("Talking")
    await asyncio.sleep(60)
    await house.settle()

    assert len(house.said()) == 2
    assert len(set(house.said())) == 1


async def test_a_long_reply_is_split_once():
    """With another ``message_bytes`` its pieces would shift, and words were said twice or never."""
    text = " ".join(str(number) * 20 for number in range(8))
    house = build(book(f"reply: '{text}'"), habits=Habits(message_limit_bytes=50))
    house.gws["bot1"].failures = deque([None, BUSY, BUSY])
    await house.state("Talking", settle=False)
    left = await killed(house, after_s=0.3)

    again = await gone_on(
        book(f"reply: '{text}'"), left, FakeGws(), habits=Habits(message_limit_bytes=130)
    )

    first = house.said()[0]
    assert " ".join([first, *again.said()]) == text
    assert all(len(piece.encode()) <= 50 for piece in again.said())


async def test_the_rest_of_an_older_journal_is_read():
    """It was one text then."""
    house = build(book("reply: 'one'"))
    house.gws["bot1"].failures = deque([BUSY] * 9)
    await house.state("Talking", settle=False)
    left = await killed(house, after_s=0.01)
    intents = [c for c in left.durable if isinstance(c, Intent)]
    left._durable[left._durable.index(intents[0])] = intents[0]._replace(
        payload={"text": "uno", "to": "3002", "rest": "due tre"}
    )

    again = await gone_on(book("reply: 'one'"), left, FakeGws())

    assert again.said() == ["uno", "due tre"]


async def test_a_session_is_begun_with_whom_it_was_meant_for():
    """Also when the rule would say something else by now."""
    text = book("initiate: {to: '30{{ now() | isoformat | length }}', agent: bot2}")
    agents = {"bot1": FakeGws(), "bot2": FakeGws(failures=deque([BUSY] * 2))}
    house = build(text, agents=agents)

    await house.state("Talking")

    begun = [done.given for done in house.gws["bot2"].named("InitiateIMSession")]
    assert len(begun) == 3
    assert all(one == begun[0] for one in begun)


async def test_a_request_that_has_changed_is_not_sent_again_on_a_doubt():
    """With the key of the first it would be another request under its name."""

    class Dead:
        async def send(self, _request):
            raise LOST

        async def close(self):
            pass

    post = (
        "{http: {post: 'http://crm.test/x', idempotency_key: k, json: "
        "{at: '{{ now() | isoformat }}'}}, retry: {times: 3, backoff: 20s..40s}}"
    )
    house = build(book(post), http=Dead())

    await house.state("Talking")
    await asyncio.sleep(120)
    await house.store.commit(())

    intents = [c for c in house.store.durable if isinstance(c, Intent)]
    assert len(intents) == 1
    assert last_state(house, "bot1:1/r/0/web1").state is EffectState.PARKED
    assert "has changed since" in house.outcomes()[-1].detail


# What is written ------------------------------------------------------------------------------

SET = book("set: {a: mine, b: mine}")


@pytest.mark.parametrize(
    ("shown", "sent", "state"),
    [
        ({}, [{"a": "mine", "b": "mine"}], EffectState.ACCEPTED),
        ({"a": "mine", "b": "mine"}, [], EffectState.ACCEPTED),
        ({"a": "mine"}, [{"b": "mine"}], EffectState.ACCEPTED),
        ({"a": "theirs"}, [{"b": "mine"}], EffectState.ACCEPTED),
        ({"a": "theirs", "b": "theirs"}, [], EffectState.CANCELLED),
        ({"a": "mine", "b": "theirs"}, [], EffectState.CANCELLED),
    ],
)
@pytest.mark.parametrize("restarts", [True, False])
async def test_a_repeated_write_undoes_nothing(shown, sent, state, restarts):
    """Only what is still as it was is written; what a person wrote since is theirs."""
    house = build(SET)
    house.gws["bot1"].failures = deque([LOST, *([LOST] * 99 if restarts else [])])
    await house.state("Talking", settle=False)
    house.gws["bot1"].shown["s1"] = ImSession("s1", "Talking", shown, (CUSTOMER,))
    if restarts:
        left = await killed(house, after_s=0.01)
        again = await gone_on(SET, left, shows(**shown))
        done = again.gws["bot1"].done
    else:
        again = house
        await house.settle()
        await house.store.commit(())
        done = house.gws["bot1"].done[1:]

    assert [one.given for one in done] == sent
    assert last_state(again).state is state


async def test_what_a_person_changes_between_two_attempts_is_theirs():
    """A refused write is tried again in a moment; a moment is enough."""
    house = build(SET)
    house.gws["bot1"].failures = deque([BUSY])
    await house.state("Talking", settle=False, a="old")
    await asyncio.sleep(0.01)

    await house.state("Talking", a="theirs")

    assert [one.given for one in house.gws["bot1"].done[1:]] == [{"b": "mine"}]


async def test_what_we_wrote_ourselves_just_before_is_nobody_elses_change():
    """What stood there is kept with the intent; since the event it was another of our writes."""
    text = book("set: {a: first}", "set: {a: second}")
    house = build(text)
    house.gws["bot1"].failures = deque([None, LOST])
    await house.state("Talking", settle=False, a="old")
    left = await killed(house, after_s=0.01)

    again = await gone_on(text, left, shows(a="first"))

    assert [one.given for one in again.gws["bot1"].done] == [{"a": "second"}]
    assert last_state(again).state is EffectState.ACCEPTED


async def test_a_repeated_removal_undoes_nothing():
    """What somebody put there since is theirs."""
    text = book("unset: [a]", "unset: [b]")
    house = build(text)
    house.gws["bot1"].failures = deque([LOST] * 9)
    await house.state("Talking", settle=False, a="1", b="1")
    left = await killed(house, after_s=0.01)

    again = await gone_on(text, left, shows(a="theirs", b="1"))

    assert [one.given for one in again.gws["bot1"].done] == ["b"]


async def test_a_write_to_a_session_that_is_gone_is_cancelled():
    """There is nothing to write to."""
    house = build(SET)
    house.gws["bot1"].failures = deque([LOST])
    await house.state("Talking", settle=False)
    house.gws["bot1"].shown.clear()

    await house.settle()

    assert len(house.gws["bot1"].done) == 1
    assert "is over" in house.outcomes()[0].detail


async def test_whether_it_is_there_is_asked_again_when_nobody_answers():
    """To ask changes nothing."""
    house = build(SET)
    house.gws["bot1"].failures = deque([LOST])
    house.gws["bot1"].unasked = deque([BUSY])

    await house.state("Talking")

    assert [one.given for one in house.gws["bot1"].done] == [{"a": "mine", "b": "mine"}] * 2


@pytest.mark.parametrize(("state", "asked"), [("Talking", 2), ("Completed", 1), (None, 1)])
async def test_a_session_is_completed_once_where_that_shows(state, asked):
    """Gone is done."""
    house = build(book("complete: ''"))
    house.gws["bot1"].failures = deque([LOST])
    await house.state("Talking", settle=False)
    if state is None:
        house.gws["bot1"].shown.clear()
    else:
        house.gws["bot1"].shown["s1"] = ImSession("s1", state)

    await house.settle()
    await house.store.commit(())

    assert len(house.gws["bot1"].named("Complete")) == asked
    assert last_state(house).state is EffectState.ACCEPTED


async def test_the_mark_is_known_as_ours_after_a_restart():
    """Else it was another's user data, and rules would hear of it."""
    text = (
        "version: 1\nrules: [{id: r, trigger: {userdata: any}, do: [log: 'x']},\n"
        "  {id: g, trigger: {state: Talking}, do: [reply: hi]}]\n"
    )
    house = build(text, marks=True)
    await house.state("Talking")
    left = await killed(house)

    again = build(text, store=left, marks=True)
    await again.dispatch.recover(again.book.rules)
    mark = house.dispatch._world.guard.mark("bot1")
    marked = ImSession("s1", "Talking", {mark: "1"}, (CUSTOMER,))
    await again.hear(SessionNotice(marked, again.clock.now(), "AttachedDataChanged"))
    await again.settle()

    assert again.sights == []
