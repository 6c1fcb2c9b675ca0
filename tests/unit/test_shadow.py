"""Rules in shadow: they decide, go through their steps and write down what they would do."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imbot.engine.watching import Acted, Ended
from imbot.model import OutcomeKind, Reason
from imbot.plugin import Model, action
from imbot.records import Intent, OnceMarked, RunSeen, RunState
from imbot.store.database import open_store
from imbot.testing.house import build, rulebook_of
from imbot.testing.memory_store import MemoryStore
from imbot.testing.time import START, LoopClock

pytestmark = pytest.mark.looptime


def book(*steps, trigger="{state: Talking}", shadow="true", **keys):
    """Return a rulebook of one rule with these steps."""
    keys = {"shadow": shadow, "max_age": "9h", **keys}
    more = "".join(f"    {key}: {value}\n" for key, value in keys.items())
    lines = "".join(f"      - {step}\n" for step in steps)
    return f"version: 1\nrules:\n  - id: r\n    trigger: {trigger}\n{more}    do:\n{lines}"


async def would(house):
    """Return what the store has of effects that are never sent."""
    await house.store.commit(())
    found = [one for one in house.store.durable if isinstance(one, Intent)]
    assert all(one.in_shadow for one in found)
    return [(one.operation, one.payload) for one in found]


def ends(house):
    return [(s.over.state, s.over.detail) for s in house.sights if isinstance(s, Ended)]


def nothing_was_sent(house):
    return not any(gws.done for gws in house.gws.values())


class Requests:
    """A way out that nobody may take."""

    def __init__(self):
        self.sent = []

    async def send(self, request):
        self.sent.append(request)
        raise AssertionError(request)

    async def close(self):
        """Do nothing."""


# What it would do -------------------------------------------------------------------------------


async def test_each_effect_is_written_down_as_it_would_go_out_and_nothing_goes_out():
    """An engineer reads what the rule would have said, set and completed."""
    house = build(
        book(
            'reply: "Hello {{ participant.phoneNumber }}"',
            "wait: 5s",
            'set: {greeted: "yes"}',
            "unset: [greeted]",
            "complete: done",
        )
    )

    await house.state("Talking")
    await asyncio.sleep(6)

    assert nothing_was_sent(house)
    assert await would(house) == [
        ("SendMessage", {"text": "Hello 3002", "to": "3002"}),
        ("UpdateUserData", {"greeted": "yes"}),
        ("DeleteUserData", {"greeted": None}),
        ("UpdateUserData", {"imbot.reason": "done"}),
        ("Complete", None),
    ]
    assert [outcome.kind for outcome in house.outcomes()] == [OutcomeKind.SHADOW] * 4


STEPS = st.lists(
    st.sampled_from(
        [
            "reply: hello",
            "reply: \"{{ participant.phoneNumber }} {{ session.userData.a | default('-') }}\"",
            "reply: {text: there, to: 3009}",
            "set: {a: one}",
            "set: {a: two, b: '{{ session.userData.a | default(0) }}'}",
            "unset: [a]",
            "unset: [c]",
            "wait: 3s",
            'if: session.userData.a == "one"\n        then: [{set: {c: three}}]',
            "let: {x: '1'}",
            "parallel: [[{wait: 1s}, {reply: first}], [{reply: second}]]",
            "reply: '{{ session.userData.nowhere }}'\n        on_error: [{set: {failed: 'yes'}}]",
            "complete: over",
            "set: {after: complete}\n        even_if_completed: true",
            "stop: enough",
        ]
    ),
    min_size=1,
    max_size=8,
)


async def lived(steps, *, shadow):
    """Return the effects of a rule and how its run ended."""
    house = build(book(*steps, shadow=str(shadow).lower()))
    await house.state("Talking", c="there")
    await asyncio.sleep(60)
    await house.store.commit(())
    await house.stop()
    intents = [one for one in house.store.durable if isinstance(one, Intent)]
    assert nothing_was_sent(house) is (shadow or not intents)
    return [(one.effect_id, one.operation, one.payload) for one in intents], ends(house)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
async def test_what_a_rule_would_do_is_what_it_does_live(steps):
    """Else nobody could rely on what was read."""
    assert await lived(steps, shadow=True) == await lived(steps, shadow=False)


async def test_an_echo_is_not_waited_for_and_no_reply_is_noted():
    """The other party may say the very words, and is no bot because it is quick."""
    house = build(
        book("reply: hello")
        + book("log: heard", trigger="{message: any}")[18:].replace("id: r", "id: e")
    )
    await house.state("Talking")

    for _ in range(9):
        await house.say("hello")

    assert len(ends(house)) == 10
    assert not any(no.reason is Reason.LOOP for no in house.suppressed())


async def test_an_action_that_is_not_imbots_own_is_not_even_begun():
    """What it does beside the doors nobody knows."""

    class Page(Model):
        text: str

    @action("pager.send", args=Page)
    async def send(_ctx, _args):
        raise AssertionError

    house = build(
        book('pager.send: {text: "{{ participant.phoneNumber }}"}', "reply: then"),
        actions={"pager.send": send},
    )
    await house.state("Talking")

    assert await would(house) == [
        ("pager.send", {"text": "3002"}),
        ("SendMessage", {"text": "then", "to": "3002"}),
    ]


async def test_a_step_that_cannot_succeed_is_withheld_and_one_that_is_wrong_fails():
    """That is worth knowing before it is live."""
    house = build(book("reply: early", trigger="{state: Alerting}"))
    await house.state("Alerting")
    wrong = build(book("reply: \"{{ session.userData.a | default('') }}\""))
    await wrong.state("Talking")

    assert [outcome.kind for outcome in house.outcomes()] == [OutcomeKind.WITHHELD]
    assert [outcome.kind for outcome in wrong.outcomes()] == [OutcomeKind.FAILED]
    assert await would(house) == await would(wrong) == []


# What nobody knows ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "operation"),
    [
        ('http: {get: "http://crm.test/x"}', "GET http://crm.test"),
        ('http: {post: "http://crm.test/x", json: {a: 1}}', "POST http://crm.test"),
        ('http: {post: "http://crm.test/x", form: {a: b}}', "POST http://crm.test"),
        ("crm.lookup: {}", "GET http://crm.test"),
    ],
)
@pytest.mark.parametrize(
    "use",
    [
        'reply: "{{ got.id }}"',
        'if: got.id == "7"\n        then: [{reply: seven}]\n        else: [{reply: none}]',
        "let: {x: got.id}",
        'log: "{{ got.id }}"',
        'wait: "{{ got.id }}"',
        'stop: "{{ got.id }}"',
    ],
)
async def test_what_needs_an_answer_ends_the_run_and_says_so(step, operation, use):
    """Reads are not made either, and no branch is taken by guessing."""
    http, name = Requests(), step.partition(":")[0]
    use = use.replace("got.id", "got.text") if name == "http" else use
    house = build(book(f"{step}\n        as: got", "reply: so far", use, "reply: on"), http=http)
    await house.state("Talking")

    told = [each[0] for each in await would(house)]
    assert (told, http.sent) == ([operation, "SendMessage"], [])
    assert ends(house) == [
        (RunState.STOPPED, f"in shadow: it would need the result of do/0 {name}")
    ]


async def test_an_answer_that_nobody_asks_for_is_not_missed():
    """What is decided before it is looked at, and a name that is bound anew."""
    house = build(
        book(
            'http: {get: "http://crm.test/x"}\n        as: got',
            'if: participant.digits == "3002" or got.status == 2\n        then: [{reply: yes}]',
            "let: {got: '1'}",
            'reply: "{{ got }}"',
        )
    )
    await house.state("Talking")

    assert ends(house) == [(RunState.DONE, "")]
    assert [given for _, given in (await would(house))[1:]] == [
        {"text": "yes", "to": "3002"},
        {"text": "1", "to": "3002"},
    ]


async def test_of_a_session_that_would_be_begun_is_told_what_would_be_said_in_it():
    """Up to the first answer that somebody would give."""
    house = build(
        book(
            'initiate: {to: "3009", userData: {why: survey}}',
            "reply: Hello",
            "set: {asked: 'yes'}",
            "set: {asked: 'yes'}",
            "wait_for: {message: any}\n        timeout: 1m",
            "reply: Thanks",
        )
    )
    await house.state("Talking")

    assert nothing_was_sent(house)
    assert await would(house) == [
        ("InitiateIMSession", {"to": "3009", "userData": {"why": "survey"}}),
        ("SendMessage", {"text": "Hello", "to": "3009"}),
        ("UpdateUserData", {"asked": "yes"}),
    ]
    assert ends(house) == [
        (RunState.STOPPED, "in shadow: it would need the session that would be begun")
    ]


async def test_on_a_schedule_there_is_no_session_but_the_one_that_would_be_begun():
    """The agent is the one that the step names."""
    house = build(
        book('initiate: {agent: bot1, to: "3009"}', "complete: asked", trigger="{every: 15m}")
    )
    await house.start()
    await asyncio.sleep(15 * 60 + 1)

    operations = [operation for operation, _ in await would(house)]
    assert operations == ["InitiateIMSession", "UpdateUserData", "Complete"]
    await house.stop()


# Limits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"once": "session"}, Reason.ONCE),
        ({"throttle": "{once_within: 1m}"}, Reason.THROTTLE),
        ({"budget": "{per_session: 1}"}, Reason.BUDGET),
        ({"mode": "single"}, Reason.MODE),
    ],
)
async def test_it_is_held_back_by_what_it_would_have_done_and_not_by_what_it_did_live(keys, reason):
    """A rule that goes live begins as if it had never been tried, and the other way round."""
    steps = ("reply: hi", *(("wait: 1h",) if "mode" in keys else ()))
    live, shadow = (
        rulebook_of(book(*steps, trigger="{message: any}", shadow=flag, **keys))
        for flag in ("false", "true")
    )
    house = build(live)
    around = house.flow.view.around
    await house.state("Talking")

    async def said():
        before = len(house.gws["bot1"].done)
        await house.say("x")
        await asyncio.sleep(3)
        return len(house.gws["bot1"].done) - before

    assert (await said(), await said()) == (1, 0)
    await house.adopt(shadow, around)
    assert (await said(), await said()) == (0, 0)
    [*_, first, second] = [no.reason for no in house.suppressed()]
    assert (first, second) == (Reason.SHADOW, reason)
    assert len([s for s in house.sights if isinstance(s, Acted)]) == 2
    await house.stop()


async def test_a_rule_in_shadow_that_is_held_back_says_that_and_not_that_it_is_in_shadow():
    """What decides comes first."""
    house = build(book("reply: hi", trigger="{message: any}", once="session"))
    await house.state("Talking")
    await house.say("x")
    await house.say("x")

    assert [(no.reason, no.detail) for no in house.suppressed()] == [
        (Reason.SHADOW, "shadow: true, nothing is sent"),
        (Reason.ONCE, "done for shadow session bot1/s1"),
    ]
    await house.store.commit(())
    marks = [one.scope for one in house.store.durable if isinstance(one, OnceMarked)]
    assert marks == ["shadow session bot1/s1"]


async def test_the_decision_names_live_runs_only():
    """Who counts what ran must not count what did not act."""
    house = build(book("reply: hi"))
    await house.state("Talking")
    await house.store.commit(())

    [handled] = [one for one in house.store.durable if type(one).__name__ == "EventHandled"]
    assert (handled.rule_ids, handled.suppressed[0].reason) == ((), Reason.SHADOW)


# Restart and reload -----------------------------------------------------------------------------


WAITS = book("reply: first", "wait: 1h", 'reply: "{{ session.userData.tier }}"')


@pytest.mark.parametrize("after", [WAITS, WAITS.replace("shadow: true", "shadow: false"), None])
async def test_after_a_kill_it_goes_on_in_shadow_and_remembers_its_writes(after, tmp_path):
    """Nothing that began in shadow is ever sent, whatever the files say by then."""
    clock = LoopClock(START)

    def opened():
        return open_store("sqlite:///x.db", clock=clock, base=tmp_path, executor="inline")

    store = opened()
    rules = WAITS.replace("reply: first", "set: {tier: gold}")
    house = build(rules, store=store, clock=clock)
    await house.start()
    await house.state("Talking")
    await store.commit(())
    store.abandon()
    await house.stop()
    again = (after or "version: 1\nrules: []\n").replace("reply: first", "set: {tier: gold}")
    second = build(again, store=opened(), clock=clock)
    await second.start()
    await asyncio.sleep(2 * 3600)

    assert nothing_was_sent(house)
    assert nothing_was_sent(second)
    assert ends(second) == [(RunState.DONE, "")]
    [acted] = [sight for sight in second.sights if isinstance(sight, Acted)]
    assert (acted.step.args, acted.outcome.kind) == ("gold", OutcomeKind.SHADOW)
    await second.stop()
    await second.store.close()


async def test_the_row_of_a_run_keeps_it_in_shadow_even_if_its_rule_is_live():
    """Two locks are better than one where something could be said to a customer."""
    store, rules = MemoryStore(), book("reply: first", "wait: 1h", "reply: second")
    house = build(rules, store=store)
    await house.start()
    await house.state("Talking")
    await store.commit(())
    live = rulebook_of(rules.replace("shadow: true", "shadow: false"))
    [rule] = live.rules
    [version] = {one.rule_version for one in store.durable if isinstance(one, RunSeen)}
    await house.stop()
    same_version = replace(live, rules=(replace(rule, version=version),))
    second = build(same_version, store=store.reopened())
    await second.start()
    await asyncio.sleep(2 * 3600)

    assert ends(second) == [(RunState.DONE, "")]
    assert nothing_was_sent(second)
    await second.stop()


@pytest.mark.parametrize("shadow", ["true", "false"])
async def test_a_reload_while_it_waits_changes_nothing_about_it(shadow):
    """A run ends as it began: in shadow, or live."""
    rules = book("reply: first", "wait: 1h", "reply: second", shadow=shadow)
    house = build(rules)
    await house.start()
    await house.state("Talking")
    other = rules.replace(f"shadow: {shadow}", f"shadow: {'false' if shadow == 'true' else 'true'}")
    await house.adopt(rulebook_of(other), house.flow.view.around)
    await asyncio.sleep(2 * 3600)

    assert house.said() == ([] if shadow == "true" else ["first", "second"])
    assert ends(house) == [(RunState.DONE, "")]
    await house.stop()


async def test_what_is_written_down_is_written_down_once():
    """A step that is carried out again after a crash is the same effect."""
    store = MemoryStore()
    house = build(book("reply: first", "reply: second"), store=store)
    await house.state("Talking")
    await store.commit(())
    # All is kept but where the run stood last.
    kept = [one for one in store.durable if not (isinstance(one, RunSeen) and one.pc)]
    second = build(book("reply: first", "reply: second"), store=MemoryStore(kept))
    await second.start()
    await second.settle()

    assert len(await would(second)) == len(await would(house)) == 2
    assert nothing_was_sent(second)


async def test_sessions_that_would_be_begun_do_not_share_a_budget():
    """Each is another one, though none of them has an id: nothing is withheld."""
    steps = ("initiate: {to: '3003'}", "reply: a", "reply: b")
    house = build(book(*steps, trigger="{message: any}", budget="{per_session: 4}"))
    await house.state("Talking")

    for text in "abc":
        await house.say(text)

    assert [operation for operation, _ in await would(house)] == [
        "InitiateIMSession",
        "SendMessage",
        "SendMessage",
    ] * 3


async def test_budgets_of_live_rules_do_not_count_what_was_not_sent_after_a_restart():
    """The store tells effects in shadow from others."""
    store = MemoryStore()
    house = build(book("reply: hi"), store=store)
    await house.start()
    await house.state("Talking")
    await store.commit(())

    found = await store.reopened().recover(START + timedelta(minutes=1))
    assert not found.spent
    assert not found.effects
    await house.stop()
