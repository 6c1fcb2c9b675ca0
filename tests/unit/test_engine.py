"""The engine as a whole, with fakes behind its ports: what a rule author may rely on."""

import asyncio
from collections import deque
from datetime import timedelta

import pytest

from imbot.errors import AmbiguousError, Fault, FaultClass, PermanentError, TemporaryError
from imbot.model import (
    ConnectionChange,
    GoodPoll,
    ImSession,
    MessageNotice,
    OutcomeKind,
    Reason,
    SessionNotice,
)
from imbot.records import (
    AckSeen,
    EffectState,
    GapSeen,
    Intent,
    OnceMarked,
    RunSeen,
    RunState,
    Verdict,
)
from imbot.testing.house import CUSTOMER, build
from imbot.testing.memory_store import MemoryStore
from imbot.testing.time import LoopClock

pytestmark = pytest.mark.looptime

GREET = """
version: 1
rules:
  - id: greet
    trigger: {state: Talking}
    once: session
    do:
      - reply: Hello {{ participant.phoneNumber }}, I am {{ bot.nickname }}.
      - set: {greeted: "yes"}
"""

ECHO = """
version: 1
rules:
  - id: echo
    trigger: {message: any}
    do:
      - reply: You said {{ message.text }}
"""


def rule(do, trigger="{state: Talking}", **keys):
    """Return a rulebook of one rule with these steps."""
    more = "".join(f"    {key}: {value}\n" for key, value in keys.items())
    steps = "".join(f"      - {step}\n" for step in do)
    return f"version: 1\nrules:\n  - id: r\n    trigger: {trigger}\n{more}    do:\n{steps}"


async def test_a_greeting_is_said_and_tagged_once():
    """The first promise: one event, one reply, whatever is shown again later."""
    house = build(GREET)

    await house.state("Talking")
    await house.state("Talking")

    assert house.said() == ["Hello 3002, I am Robin."]
    assert house.gws["bot1"].named("UpdateUserData")[0].given == {"greeted": "yes"}


async def test_own_words_that_come_back_never_reach_rules():
    """A rule that answers everything would talk to itself for ever."""
    house = build(ECHO)
    await house.state("Talking")

    await house.say("hi")
    await house.say("You said hi")
    await house.say("hi")

    assert house.said() == ["You said hi", "You said hi"]


async def test_the_same_words_from_the_other_party_are_theirs():
    """An echo is taken away once; the second time somebody says it, it is the other party."""
    house = build(ECHO)
    await house.state("Talking")
    await house.say("hi")

    await house.say("You said hi")
    await house.say("You said hi")

    assert house.said()[-1] == "You said You said hi"


async def test_user_data_that_we_set_does_not_trigger_us():
    """A tagging rule must not start itself."""
    book = rule(["set: {seen: 'yes'}"], trigger="{userdata: any}")
    house = build(book)
    await house.state("Talking")

    await house.state("Talking", notification_type="AttachedDataChanged", vip="1")
    await house.state("Talking", notification_type="AttachedDataChanged", vip="1", seen="yes")

    assert len(house.gws["bot1"].named("UpdateUserData")) == 1


async def test_an_intent_is_durable_before_anything_is_said():
    """Pull the plug between the two, and the store knows that something may have been said."""
    store = MemoryStore()
    house = build(GREET, store=store)
    seen = []
    house.gws["bot1"].on_done = lambda _done: seen.append(list(store.durable))

    await house.state("Talking")

    durable = seen[0]
    assert [type(c) for c in durable if isinstance(c, (OnceMarked, Intent))] == [OnceMarked, Intent]


async def test_what_surely_was_not_said_is_tried_again():
    """A refused connection is no reason to stay silent."""
    house = build(GREET)
    house.gws["bot1"].failures = deque([TemporaryError("refused"), TemporaryError("refused")])

    await house.state("Talking")

    assert house.said() == ["Hello 3002, I am Robin."] * 3
    assert house.outcomes()[0].kind is OutcomeKind.DONE
    assert house.outcomes()[0].attempts == 3


async def test_what_may_have_been_said_is_not_said_again_but_parked(looptime):
    """Sending twice is worse than not knowing; a person decides."""
    store = MemoryStore()
    house = build(GREET, store=store)
    house.gws["bot1"].failures = deque([AmbiguousError("no answer")])

    await house.state("Talking")

    assert house.said() == ["Hello 3002, I am Robin."]
    assert house.outcomes()[0].kind is OutcomeKind.PARKED
    assert looptime >= 90
    await store.commit(())
    states = [c.state for c in store.durable if isinstance(c, Verdict)]
    assert states == [EffectState.UNKNOWN, EffectState.PARKED]


async def test_the_echo_proves_what_may_have_been_said(looptime):
    """No answer came, but the words came back: they were said, and the run goes on."""
    house = build(GREET)
    house.gws["bot1"].failures = deque([AmbiguousError("no answer")])

    await house.state("Talking", settle=False)
    await house.tasks.drain(1)
    await house.say("Hello 3002, I am Robin.")

    assert [o.kind for o in house.outcomes()] == [OutcomeKind.DONE, OutcomeKind.DONE]
    assert looptime < 90


async def test_after_a_server_error_the_echo_is_looked_for_before_saying_it_again():
    """GWS may answer with an error although it has done it."""
    house = build(GREET)
    fault = Fault(FaultClass.SERVER, 4, 500, "internal error")
    house.gws["bot1"].failures = deque([TemporaryError("500", fault=fault)])

    await house.state("Talking", settle=False)
    await house.tasks.drain(0.01)
    await house.hear(MessageNotice("s1", "Hello 3002, I am Robin.", house.clock.now()))
    await house.settle()

    assert house.said() == ["Hello 3002, I am Robin."]


async def test_a_reply_that_gws_refuses_for_good_is_parked_and_frees_the_once_mark():
    """Nothing was carried out, so the rule may still act in this session."""
    store = MemoryStore()
    house = build(GREET, store=store)
    house.gws["bot1"].failures = deque([PermanentError("permission")])

    await house.state("Talking")

    assert house.outcomes()[0].kind is OutcomeKind.PARKED
    assert await store.marked([("greet", "session bot1/s1")]) == {}


async def test_a_completed_session_ends_the_run():
    """What is left to do would reach nobody."""
    retry = "retry: {times: 2, backoff: 1s..1s}"
    book = rule([f"http: {{get: 'http://crm.test/x'}}\n        {retry}", "reply: late"])

    class SlowHttp:
        async def send(self, _request):
            await house.state("Completed", settle=False)
            raise TemporaryError("refused")

        async def close(self):
            pass

    house = build(book, http=SlowHttp())

    await house.state("Talking")

    assert house.said() == []
    assert house.outcomes()[-1].kind is OutcomeKind.CANCELLED


async def test_a_rule_that_completion_started_runs():
    """CRM sync happens when the session is over."""
    book = rule(
        ["log: over", "initiate: {to: 3003}"],
        trigger="{state: Completed}",
        when="not session.mine",
    )
    house = build(book)

    await house.state("Completed")

    assert house.gws["bot1"].named("InitiateIMSession")[0].given == {"to": "3003"}


async def test_a_reply_outside_talking_is_withheld_and_says_so():
    """GWS would refuse it; the run goes on with what can succeed."""
    house = build(rule(["reply: hello", "set: {a: b}"], trigger="{state: Alerting}"))

    await house.state("Alerting")

    kinds = [outcome.kind for outcome in house.outcomes()]
    assert kinds == [OutcomeKind.WITHHELD, OutcomeKind.DONE]
    await house.store.commit(())
    run = [change for change in house.store.durable if isinstance(change, RunSeen)][-1]
    assert run.detail.startswith("withheld: ")  # for whoever asks later why nothing was said
    assert "Alerting, not Talking" in house.outcomes()[0].detail


async def test_a_late_greeting_is_not_said():
    """After an outage nobody wants a greeting that is minutes old."""
    house = build(GREET.replace("once: session", "once: session\n    max_age: 20s"))
    since = house.clock.now() - timedelta(seconds=30)

    await house.snapshot(ImSession("s1", "Talking", {}, (CUSTOMER,)), since=since)

    assert house.said() == []
    assert house.suppressed()[0].reason is Reason.MAX_AGE


async def test_a_session_that_began_during_an_outage_is_greeted():
    """A snapshot shows it for the first time: that is an edge like any other."""
    house = build(GREET)
    since = house.clock.now() - timedelta(seconds=5)

    await house.snapshot(ImSession("s1", "Talking", {}, (CUSTOMER,)), since=since)

    assert house.said() == ["Hello 3002, I am Robin."]


async def test_final_ends_the_search():
    """What the higher rule says is all that is said."""
    book = """
version: 1
rules:
  - {id: low, trigger: {state: Talking}, do: [{reply: low}]}
  - id: high
    trigger: {state: Talking}
    when: session.userData.vip
    priority: 5
    final: true
    do: [{reply: high}]
"""
    house = build(book)

    await house.state("Talking", vip="1")

    assert house.said() == ["high"]
    assert [s.reason for s in house.suppressed()] == [Reason.FINAL]


async def test_an_error_handler_sees_the_error_and_ends_the_run():
    """An author can say what to do when the CRM is down."""
    book = rule(
        ["http: {get: 'http://crm.test/x'}", "set: {never: 'x'}"],
        on_error="[{set: {failed: '{{ error.kind }}'}}]",
    )
    house = build(book)

    await house.state("Talking")

    assert [d.given for d in house.gws["bot1"].named("UpdateUserData")] == [{"failed": "permanent"}]


async def test_a_step_with_a_handler_of_its_own_goes_on():
    """One step's failure need not be the rule's."""
    book = rule(
        [
            "http: {get: 'http://crm.test/x'}\n        on_error: [{set: {failed: '1'}}]",
            "set: {went: 'on'}",
        ]
    )
    house = build(book)

    await house.state("Talking")

    given = [d.given for d in house.gws["bot1"].named("UpdateUserData")]
    assert given == [{"failed": "1"}, {"went": "on"}]


async def test_let_and_if_decide_by_what_was_bound():
    """Values flow through a run."""
    book = rule(
        [
            "let: {kind: '{{ session.userData.tier | default(\"none\") }}'}",
            "if: kind == 'gold'\n        then: [{reply: Dear VIP}]\n        else: [{reply: Hello}]",
            "stop: enough",
            "reply: never",
        ]
    )
    house = build(book)

    await house.state("Talking", tier="gold")

    assert house.said() == ["Dear VIP"]


async def test_single_suppresses_and_queue_waits():
    """Two runs for one customer must not write over each other."""
    book = """
version: 1
rules:
  - id: a
    trigger: {userdata: any}
    key: "'one'"
    mode: MODE
    do:
      - http: {get: "http://crm.test/x"}
        retry: {times: 2, backoff: 10s..10s}
        on_error: [{set: {done: "{{ event.at | isoformat }}"}}]
"""
    for mode, runs in (("single", 1), ("queue", 2)):
        http = _Refusing()
        house = build(book.replace("MODE", mode), http=http)
        for session in ("s1", "s2"):
            await house.state("Talking", session)
        for session in ("s1", "s2"):
            await house.state(
                "Talking", session, settle=False, notification_type="AttachedDataChanged", x="1"
            )
        await asyncio.sleep(60)
        await house.settle()

        assert http.calls == 2 * runs, mode


class _Refusing:
    def __init__(self):
        self.calls = 0

    async def send(self, _request):
        self.calls += 1
        raise TemporaryError("refused")

    async def close(self):
        pass


async def test_a_session_begun_by_a_rule_is_acted_on_once_it_is_answered():
    """After initiate, the words go to the new session."""
    book = rule(["initiate: {to: '3003'}", "reply: Hello from us"], trigger="{userdata: any}")
    house = build(book)
    await house.state("Talking", "s1")

    await house.state(
        "Talking", "s1", settle=False, notification_type="AttachedDataChanged", call="3003"
    )
    await house.tasks.drain(1)
    await house.state("Initiating", "n1", settle=False)
    await house.state("Talking", "n1")

    assert house.gws["bot1"].named("SendMessage")[0].session_id == "n1"


async def test_a_gap_is_an_event_of_the_live_session():
    """Rules can say that words may have been missed."""
    house = build(rule(["reply: Sorry, say it again?"], trigger="{connection: gap}"))
    await house.state("Talking")

    await house.connection(ConnectionChange.GAP)

    assert house.said() == ["Sorry, say it again?"]


async def test_another_bots_mark_silences_replies():
    """Two bots must not keep each other awake."""
    house = build(ECHO)
    await house.state("Talking", **{"imbot.auto.other.bot9": "1"})

    await house.say("beep")

    assert house.said() == []
    assert house.suppressed()[0].reason is Reason.LOOP


async def test_a_bot_without_a_mark_is_found_out_by_its_haste():
    """Nobody answers ten replies in a row within two seconds."""
    house = build(ECHO)
    await house.state("Talking")

    for n in range(20):
        await house.say(f"beep {n}")
        await house.say(f"You said beep {n}")

    assert len(house.said()) <= 9
    assert house.suppressed()[-1].reason is Reason.LOOP


async def test_the_mark_is_left_with_the_first_reply():
    """Other bots look for it."""
    house = build(GREET, marks=True)

    await house.state("Talking")

    writes = [d.given for d in house.gws["bot1"].named("UpdateUserData")]
    assert {"imbot.auto.test.bot1": "1"} in writes


async def test_after_a_crash_nothing_is_said_twice_and_the_rest_is_done():
    """Pulled between the reply and the tag: the tag is made, the greeting is not repeated."""
    store = MemoryStore()
    house = build(GREET, store=store)
    house.gws["bot1"].failures = deque([None, *[AmbiguousError("unplugged")] * 10])
    await house.state("Talking", settle=False)
    await house.tasks.drain(0.1)
    await house.tasks.cancel()

    again = build(GREET, store=MemoryStore(store.durable))
    again.gws["bot1"].shown = house.gws["bot1"].shown
    await again.dispatch.recover(again.book.rules)
    await again.settle()

    assert again.said() == []
    assert [d.given for d in again.gws["bot1"].named("UpdateUserData")] == [{"greeted": "yes"}]


async def test_what_was_said_while_nobody_ran_is_told_as_a_gap():
    """A message that came between two starts is lost; the session says so, once, and rules can."""
    store = MemoryStore()
    house = build(GREET, store=store)
    seen_at = house.clock.now()
    await house.state("Talking")

    sorry = rule(["reply: Sorry, say it again?"], trigger="{connection: gap}")
    again = build(sorry, store=store.reopened())
    await again.dispatch.recover(again.book.rules)
    for _ in range(2):
        live = ImSession("s1", "Talking", {}, (CUSTOMER,))
        await again.snapshot(live, since=again.clock.now())

    gaps = [change for change in again.store.durable if isinstance(change, GapSeen)]
    assert [(gap.session_ids, gap.reason) for gap in gaps] == [(("s1",), "imbot was not running")]
    # A line that came after the reply that told of s1 and before that was seen is lost as well.
    assert gaps[0].started_at == seen_at - timedelta(seconds=15)
    assert again.said() == ["Sorry, say it again?"]


@pytest.mark.parametrize("is_met_before", [True, False])
@pytest.mark.parametrize("was_served", [True, False])
async def test_a_session_that_began_while_nobody_listened_has_a_gap(is_met_before, was_served):
    """Also when one of its messages told of it a moment before the snapshot did."""
    store = MemoryStore()
    if was_served:
        then = LoopClock().now() - timedelta(seconds=60)
        await store.commit([AckSeen("bot1", "client", 3, GoodPoll(then, then))])
    again = build(GREET, store=store.reopened())
    await again.dispatch.recover(again.book.rules)
    live = ImSession("s1", "Talking", {}, (CUSTOMER,))
    if is_met_before:
        await again.hear(SessionNotice(live, again.clock.now()))
    await again.snapshot(live, since=again.clock.now())

    gaps = [change for change in again.store.durable if isinstance(change, GapSeen)]
    expected = [(("s1",), "imbot was not running")] if was_served else []
    assert [(gap.session_ids, gap.reason) for gap in gaps] == expected


async def test_a_session_that_was_seen_to_begin_has_no_gap():
    """It rang before us."""
    store = MemoryStore()
    then = LoopClock().now() - timedelta(seconds=60)
    await store.commit([AckSeen("bot1", "client", 3, GoodPoll(then, then))])
    again = build(GREET, store=store.reopened())
    await again.dispatch.recover(again.book.rules)
    await again.state("Alerting")
    await asyncio.sleep(1)
    await again.state("Talking")

    live = ImSession("s1", "Talking", {}, (CUSTOMER,))
    await again.snapshot(live, since=again.clock.now())

    assert not [change for change in again.store.durable if isinstance(change, GapSeen)]


async def test_a_gap_between_two_starts_begins_when_something_was_last_heard():
    """Who has talked for an hour and was heard a moment before the kill has lost no hour."""
    house = build(GREET)
    await house.state("Talking")
    await asyncio.sleep(3600)
    heard_at = house.clock.now()
    await house.say("still here")

    again = build(GREET, store=house.store.reopened())
    await again.dispatch.recover(again.book.rules)
    await asyncio.sleep(10)
    live = ImSession("s1", "Talking", {}, (CUSTOMER,))
    await again.snapshot(live, since=again.clock.now())

    (gap,) = [change for change in again.store.durable if isinstance(change, GapSeen)]
    assert gap.started_at == heard_at - timedelta(seconds=15)


async def test_a_reply_that_was_being_sent_at_the_crash_is_parked_not_repeated():
    """The store knows the intent and no outcome: nobody knows."""
    store = MemoryStore()
    house = build(GREET, store=store)
    snapshots = []
    house.gws["bot1"].on_done = lambda _done: snapshots.append(list(store.durable))
    await house.state("Talking")

    again = build(GREET, store=MemoryStore(snapshots[0]))
    await again.dispatch.recover(again.book.rules)
    await again.settle()

    assert again.said() == []
    assert again.outcomes()[0].kind is OutcomeKind.PARKED


async def test_an_event_that_was_kept_but_not_decided_is_taken_up():
    """Acknowledged means kept; kept means done, after whatever crash."""
    store = MemoryStore()
    house = build(GREET, store=store)
    house.dispatch.hold_back()
    await house.state("Talking")

    again = build(GREET, store=MemoryStore(store.durable))
    await again.dispatch.recover(again.book.rules)
    await again.settle()

    assert again.said() == ["Hello 3002, I am Robin."]


async def test_a_run_whose_rule_has_changed_is_cancelled_and_says_why():
    """Half of an old rule and half of a new one is nobody's intention."""
    store = MemoryStore()
    house = build(GREET, store=store)
    house.gws["bot1"].failures = deque([AmbiguousError("x")])
    await house.state("Talking", settle=False)
    await house.tasks.drain(0.1)
    await house.tasks.cancel()

    kept = MemoryStore(store.durable)
    again = build(GREET.replace("Hello", "Hi"), store=kept)
    await again.dispatch.recover(again.book.rules)
    await again.settle()
    await kept.commit(())

    assert again.said() == []
    ended = [c for c in kept.durable if isinstance(c, RunSeen)][-1]
    assert (ended.state, ended.detail) == (RunState.CANCELLED, "its rule has changed since")
