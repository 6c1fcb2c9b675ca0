"""How the engine keeps its promises where they were once broken: doubts, races, stops, limits."""

import asyncio
import contextlib
from collections import deque
from decimal import Decimal

import pytest
from pydantic import RootModel

from imbot.engine.once import REMEMBERED_MARKS, OnceMarks
from imbot.errors import AmbiguousError, PermanentError, TemporaryError
from imbot.gws.settings import GwsSettings
from imbot.model import (
    ConnectionChange,
    ImSession,
    MessageNotice,
    OutcomeKind,
    Reason,
    SessionKey,
    SessionNotice,
)
from imbot.plugin import DEFAULT_DEADLINE_S, action
from imbot.records import EffectState, EventSeen, Intent, Verdict
from imbot.store.database import open_store
from imbot.testing.fake_gws import FakeGws
from imbot.testing.house import CUSTOMER, build
from imbot.testing.memory_store import MemoryStore
from imbot.testing.time import LoopClock

pytestmark = pytest.mark.looptime


def book(do, trigger="[{state: Talking}, {message: any}]", **keys):
    more = "".join(f"    {key}: {value}\n" for key, value in {"max_age": "1h", **keys}.items())
    return f"version: 1\nrules:\n  - id: r\n    trigger: {trigger}\n{more}    do: [{do}]\n"


GREET = book("{reply: Hello}", once="session")


async def crashed(house, after_s=1.0):
    """Let time pass, make what is noted durable, pull the plug; return what is left."""
    await house.tasks.drain(after_s)
    await house.store.commit(())
    await house.tasks.cancel()
    return house.store.reopened()


async def started(rules, store, **more):
    house = build(rules, store=store, **more)
    await house.dispatch.recover(house.book.rules)
    await house.settle()
    return house


async def test_a_hung_greeting_keeps_its_once_mark():
    house = build(GREET)
    house.gws["bot1"].hangs = True
    await house.state("Talking")
    house.gws["bot1"].hangs = False
    await house.say("hi")
    assert house.said() == ["Hello"]


async def test_a_greeting_cut_off_by_a_crash_keeps_its_once_mark():
    house = build(GREET)
    house.gws["bot1"].hangs = True
    await house.state("Talking", settle=False)
    again = await started(GREET, await crashed(house))
    await again.say("hi")
    assert again.said() == []


async def test_a_doubt_outlives_the_next_attempt():
    house = build(book("{set: {a: '1'}}", once="session"))
    house.gws["bot1"].failures = deque([AmbiguousError("?"), PermanentError("no")])
    await house.state("Talking")
    await house.say("hi")
    assert [no.reason for no in house.suppressed()] == [Reason.ONCE]


async def test_a_doubt_outlives_a_restart():
    class Slow:
        async def send(self, _request):
            await asyncio.sleep(1)
            raise PermanentError("no")

        async def close(self):
            pass

    rules = book("{reply: Hello, on_error: [{http: {get: 'http://x.test'}}]}", once="session")
    house = build(rules, http=Slow())
    house.gws["bot1"].failures = deque([AmbiguousError("?")])
    await house.state("Talking", settle=False)
    again = await started(rules, await crashed(house, 90.5), http=Slow())
    await again.say("hi")
    assert again.said() == []


TWO = """
version: 1
rules:
  - {id: slow, priority: 1, trigger: {state: Talking}, do: [{set: {a: "1"}}]}
  - {id: welcome, trigger: {state: Talking}, once: participant, do: [{reply: Welcome}]}
"""


class SlowGws(FakeGws):
    async def update_user_data(self, *_args):
        await asyncio.sleep(5)


async def test_a_decision_reserves_the_once_scopes_of_all_its_runs():
    house = build(TWO, agents=("bot1", "bot2"))
    house.gws["bot1"], house.gws["bot2"] = SlowGws(), SlowGws()
    await house.state("Talking", "s1", settle=False)
    await house.state("Talking", "s2", agent="bot2", settle=False)
    await house.settle()
    assert house.said("bot1") + house.said("bot2") == ["Welcome"]


async def test_a_restart_reserves_the_once_scopes_of_interrupted_runs():
    house = build(TWO, agents=("bot1", "bot2"))
    house.gws["bot1"] = SlowGws()
    await house.state("Talking", "s1", settle=False)
    await house.tasks.drain(0.1)
    house.dispatch.hold_back()
    await house.state("Talking", "s2", agent="bot2", settle=False)
    again = build(TWO, store=await crashed(house, 0.1), agents=("bot1", "bot2"))
    again.gws["bot1"] = SlowGws()
    await again.dispatch.recover(again.book.rules)
    await again.settle()
    assert again.said("bot1") + again.said("bot2") == ["Welcome"]


async def test_a_hang_up_while_a_batch_is_written_loses_no_event():
    class Slow(MemoryStore):
        async def commit(self, changes):
            await super().commit(changes)
            if any(isinstance(change, EventSeen) for change in changes):
                await asyncio.sleep(0.01)

    house = build(GREET, store=Slow())
    accepting = asyncio.create_task(house.state("Talking", settle=False))
    await asyncio.sleep(0.005)
    accepting.cancel()
    await asyncio.wait([accepting])
    await house.settle()
    await house.snapshot(ImSession("s1", "Talking", {}, (CUSTOMER,)), since=house.clock.now())
    assert house.said() == ["Hello"]


def test_an_action_may_wait_for_a_login_and_for_one_answer():
    gws = GwsSettings("http://gws.test")
    assert gws.ready_timeout_s + gws.request_timeout_s < DEFAULT_DEADLINE_S


class Text(RootModel[str], frozen=True):
    pass


@action("odd.result", args=Text)
async def odd_result(_ctx, _args):
    return {"sum": Decimal("1.5")}


async def test_a_result_that_cannot_be_kept_fails_the_step_alone(tmp_path):
    store = open_store("sqlite:///x.db", clock=LoopClock(), base=tmp_path, executor="inline")
    house = build(book("{odd.result: x, as: y}"), actions={"odd.result": odd_result}, store=store)
    await house.state("Talking")
    await store.close()
    assert not house.tasks.failed.done()
    assert house.outcomes()[0].kind is OutcomeKind.FAILED


async def test_what_a_changed_rule_was_sending_is_parked():
    house = build(GREET)
    house.gws["bot1"].hangs = True
    await house.state("Talking", settle=False)
    again = await started(GREET.replace("Hello", "Hi"), await crashed(house))
    await again.store.commit(())
    verdicts = [change.state for change in again.store.durable if isinstance(change, Verdict)]
    assert verdicts == [EffectState.PARKED]


async def became(again, effect_id):
    """Return what the store was told of an effect, soon after a start."""
    await asyncio.sleep(1)
    await again.store.commit(())
    verdicts = [change for change in again.store.durable if isinstance(change, Verdict)]
    return [verdict.state for verdict in verdicts if verdict.effect_id == effect_id]


@pytest.mark.parametrize("more", ["", ", {wait: 1h, even_if_completed: true}"])
@pytest.mark.parametrize("reply", ["reply: Hello", "reply: Hello, even_if_completed: true"])
async def test_what_may_have_been_said_is_cancelled_when_its_session_is_over_at_the_restart(
    reply, more
):
    """There is nobody to say it to any more, so no person can decide; it says so for all that."""
    rules = book(f"{{{reply}}}{more}")
    house = build(rules)
    house.gws["bot1"].hangs = True
    await house.state("Talking", settle=False)
    await house.tasks.drain(1)
    house.dispatch.hold_back()
    await house.state("Completed", settle=False)
    left = await crashed(house)

    again = build(rules, store=left)
    await again.dispatch.recover(again.book.rules)

    assert await became(again, "bot1:1/r/0/im1") == [EffectState.CANCELLED]


async def test_what_may_have_been_said_is_parked_when_a_newer_run_takes_its_place():
    """Of runs that restart each other the older ends at the start, whatever it was doing."""
    rules = book("{reply: Hello}", key="\"'one'\"", mode="restart")
    house = build(rules)
    house.gws["bot1"].hangs = True
    await house.state("Talking", settle=False)
    await house.state("Talking", "s2", settle=False)
    again = build(rules, store=await crashed(house))
    await again.dispatch.recover(again.book.rules)

    assert (await became(again, "bot1:1/r/0/im1"))[0] is EffectState.PARKED
    assert [done.session_id for done in again.gws["bot1"].done] == ["s2"]


@action("odd.say", args=Text)
async def odd_say(ctx, args):
    await ctx.im.send_message(args.root)


async def test_what_an_action_that_is_gone_may_have_said_is_parked_at_once():
    """Whoever takes a plugin away hears what it was doing, however long its run goes on."""
    rules = book("{odd.say: hi, on_error: [{wait: 1h}]}")
    house = build(rules, actions={"odd.say": odd_say})
    house.gws["bot1"].hangs = True
    await house.state("Talking", settle=False)

    again = build(house.book, usable={}, store=await crashed(house))
    await again.dispatch.recover(again.book.rules)

    assert await became(again, "bot1:1/r/0/im1") == [EffectState.PARKED]
    assert len(again.flow.runs) == 1


async def test_a_stop_with_runs_that_wait_for_their_turn_is_no_failure():
    house = build(book("{reply: hi}", key="\"'one'\"", mode="queue"))
    house.gws["bot1"].hangs = True
    await house.state("Talking", "s1", settle=False)
    await house.state("Talking", "s2", settle=False)
    await crashed(house)
    assert not house.tasks.failed.done()


async def test_a_refused_attempt_does_not_cost_the_next_message_its_answer():
    house = build(book("{reply: '{{ message.text }}!'}", trigger="{message: any}"))
    await house.state("Talking")
    house.gws["bot1"].failures = deque([TemporaryError("refused")])
    now = house.clock.now()
    await house.hear(MessageNotice("s1", "a", now), MessageNotice("s1", "b", now))
    await house.settle()
    assert house.said() == ["a!", "a!", "b!"]


async def test_an_interrupted_run_that_is_too_old_is_not_resumed():
    rules = GREET.replace("1h", "60s")
    house = build(rules)
    house.gws["bot1"].failures = deque([TemporaryError("refused")])
    await house.state("Talking", settle=False)
    left = await crashed(house, 0.01)
    await asyncio.sleep(3600)
    assert (await started(rules, left)).said() == []


async def test_an_interrupted_run_that_has_begun_goes_on_however_old_its_event_is():
    """What it may have said is looked after, and its on_error does what is to be done then."""
    rules = book("{reply: Hello, on_error: [{set: {a: '1'}}]}", max_age="60s")
    house = build(rules)
    house.gws["bot1"].hangs = True
    await house.state("Talking", settle=False)
    left = await crashed(house)
    await asyncio.sleep(3600)

    again = await started(rules, left)

    assert [done.name for done in again.gws["bot1"].done] == ["UpdateUserData"]


async def test_a_queued_run_that_has_become_too_old_does_not_act():
    house = build(book("{reply: hi}", key="\"'one'\"", mode="queue", max_age="60s"))
    house.gws["bot1"].failures = deque([AmbiguousError("?")])
    await house.state("Talking", "s1", settle=False)
    await house.state("Talking", "s2", settle=False)
    await house.settle()
    assert [done.session_id for done in house.gws["bot1"].done] == ["s1"]


async def test_a_text_that_timed_out_does_not_swallow_the_other_partys_words():
    house = build(book("{reply: Hello, timeout: 1s}"))
    house.gws["bot1"].hangs = True
    await house.state("Talking")
    house.gws["bot1"].hangs = False
    await asyncio.sleep(600)
    await house.say("Hello")
    assert len(house.said()) == 2


async def test_an_echo_lost_in_a_gap_does_not_swallow_words_later():
    house = build(book("{reply: ok}", trigger="{message: any}"))
    await house.state("Talking")
    await house.say("hi")
    await house.connection(ConnectionChange.GAP)
    await asyncio.sleep(600)
    await house.say("ok")
    assert house.said() == ["ok", "ok"]


WATCH = """
version: 1
rules:
  - {id: stages, trigger: {state: Talking}, do: [{set: {stage: a}}, {set: {stage: b}}]}
  - {id: watch, trigger: {userdata: [stage]}, do: [{reply: somebody moved it}]}
"""


async def test_two_own_writes_of_one_key_are_both_own():
    house = build(WATCH)
    await house.state("Talking")
    for stage in ("a", "b"):
        await house.state("Talking", notification_type="AttachedDataChanged", stage=stage)
    assert house.said() == []


async def test_an_own_write_that_shows_after_a_restart_is_own():
    house = build(WATCH)
    await house.state("Talking", settle=False)
    again = await started(WATCH, await crashed(house))
    session = ImSession("s1", "Talking", {"stage": "b"}, (CUSTOMER,))
    await again.snapshot(session, since=again.clock.now())
    assert again.said() == []


async def test_steps_after_an_own_complete_are_cancelled():
    house = build(book("{complete: ''}, {reply: bye}"))
    await house.state("Talking")
    assert [outcome.kind for outcome in house.outcomes()] == [
        OutcomeKind.DONE,
        OutcomeKind.CANCELLED,
    ]


async def test_completion_of_the_triggers_session_ends_the_wait_for_the_new_one():
    house = build(book("{initiate: {to: '3003'}}, {reply: hi}", trigger="{userdata: any}"))
    await house.state("Talking")
    await house.state("Talking", settle=False, notification_type="AttachedDataChanged", x="1")
    await house.tasks.drain(1)
    await house.state("Initiating", "n1", settle=False)
    await house.state("Completed", settle=False)
    await house.tasks.drain(1)
    await house.state("Talking", "n1")
    assert house.said() == []


async def test_once_by_a_missing_value_does_not_silence_other_sessions():
    house = build(GREET.replace("once: session", "once: session.userData.customerId"))
    await house.state("Talking", "s1")
    await house.state("Talking", "s2")
    assert len(house.said()) == 2


async def test_a_wait_that_an_answer_asks_for_is_bounded(looptime):
    house = build(GREET)
    house.gws["bot1"].failures = deque([TemporaryError("later", retry_after_s=999_999)])
    await house.state("Talking")
    assert looptime < 3600


async def test_a_full_disk_stops_the_engine_at_once(looptime):
    store = MemoryStore()
    house = build(GREET, store=store)
    commit = store.commit

    async def fail(changes):
        if any(isinstance(change, Intent) for change in changes):
            store.broken = "disk full"
        await commit(changes)

    store.commit = fail
    await house.state("Talking", settle=False)
    await asyncio.wait([house.tasks.failed])
    assert looptime < 5


async def test_the_rest_of_a_long_reply_is_parked_with_the_piece_that_failed():
    long = f"{'a' * 900} {'b' * 900} {'c' * 900}"
    house = build(GREET.replace("Hello", long))
    house.gws["bot1"].failures = deque([None, PermanentError("no")])
    await house.state("Talking")
    await house.store.commit(())
    last = [change for change in house.store.durable if isinstance(change, Intent)][-1]
    assert "c" * 900 in last.payload["rest"]


async def test_a_session_listed_under_its_other_name_is_not_over():
    house = build(GREET)
    now = house.clock.now()
    shown = ImSession("s1", "Talking", {}, (CUSTOMER,), aliases=("p1",))
    await house.hear(SessionNotice(shown, now))
    await asyncio.sleep(1)
    await house.snapshot(ImSession("p1", "Talking", {}, (CUSTOMER,)), since=now)
    assert house.table.get(SessionKey("bot1", "s1")).session.state == "Talking"


async def test_marks_of_new_sessions_do_not_pile_up():
    marks = OnceMarks(MemoryStore())
    for number in range(REMEMBERED_MARKS + 10):
        marks.presume_free("r", f"session bot1/{number}")
    assert len(marks._known) <= REMEMBERED_MARKS


@action("odd.cancelled", args=Text)
async def waits_for_what_was_cancelled(_ctx, _args):
    inner = asyncio.ensure_future(asyncio.sleep(9))
    inner.cancel()
    await inner


async def test_an_action_that_comes_across_a_cancelled_task_fails_and_holds_up_nobody():
    """Its run would stay for ever, hold its turn, and lose what waits behind it in its lane."""
    do = "{odd.cancelled: x, on_error: [{reply: '{{ error.message }}'}]}"
    actions = {"odd.cancelled": waits_for_what_was_cancelled}
    house = build(book(do, trigger="{message: any}"), actions=actions)
    await house.state("Talking")
    await house.say("a")
    await house.say("b")

    assert house.said() == ["odd.cancelled raised CancelledError:"] * 2
    assert len(house.flow.runs) == 0


async def test_what_a_run_has_reserved_is_not_forgotten_before_it_ends():
    """The store does not know of it yet: somebody would be greeted twice."""
    marks, now = OnceMarks(MemoryStore()), LoopClock().now()
    marks.reserve("r", "session bot1/s1", now)
    for number in range(2 * REMEMBERED_MARKS):
        marks.presume_free("r", f"session bot2/{number}")
    assert marks.set_at("r", "session bot1/s1") == now

    marks.keep("r", "session bot1/s1")
    for number in range(2 * REMEMBERED_MARKS):
        marks.presume_free("r", f"session bot3/{number}")
    assert len(marks._known) == REMEMBERED_MARKS
    assert not marks._held


async def test_a_mark_that_is_asked_for_is_not_forgotten_meanwhile():
    """Else a greeting of last week is said again, for others have asked for theirs since."""

    class Slow(MemoryStore):
        async def marked(self, marks):
            await asyncio.sleep(1)
            return await super().marked(marks)

    marks, old = OnceMarks(Slow()), ("r", "participant 3001")
    now = LoopClock().now()
    marks.set(*old, now)
    for number in range(REMEMBERED_MARKS - 1):
        marks.presume_free("r", f"session bot1/{number}")
    asking = asyncio.create_task(marks.load([old, ("s", "participant 3001")]))
    await asyncio.sleep(0.5)
    marks.presume_free("r", "session bot1/new")
    await asking

    assert marks.set_at(*old) == now


@action("odd.two", args=Text)
async def two(ctx, _args):
    says = [ctx.im.send_message(text) for text in ("one", "two")]
    for error in await asyncio.gather(*says, return_exceptions=True):
        if error:
            raise error


async def test_two_doubts_of_one_step_may_be_proven_in_any_order():
    house = build(book("{odd.two: x}", trigger="{state: Talking}"), actions={"odd.two": two})
    house.gws["bot1"].failures = deque([AmbiguousError("?"), AmbiguousError("?")])
    await house.state("Talking", settle=False)
    await house.tasks.drain(1)
    for text in ("two", "one"):
        await house.hear(MessageNotice("s1", text, house.clock.now()))
        await house.tasks.drain(1)
    await house.settle()
    assert house.outcomes()[0].kind is OutcomeKind.DONE


async def test_a_task_that_will_not_end_does_not_hold_up_the_stop(looptime):
    house = build(GREET)

    async def stubborn():
        while asyncio.get_running_loop().time() < 5000:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(1000)

    house.tasks.spawn(stubborn())
    await asyncio.sleep(0)
    await house.tasks.cancel()
    assert looptime < 100
