"""The doors: what goes out is written down first, and what went out does not go out again."""

from collections import deque

import pytest
from pydantic import BaseModel

from imbot.errors import AmbiguousError, PermanentError, TemporaryError
from imbot.model import OutcomeKind
from imbot.plugin import Operation, action
from imbot.ports import Reply
from imbot.records import EffectState, Intent, RunSeen, Verdict
from imbot.testing.house import build
from imbot.testing.memory_store import MemoryStore

pytestmark = pytest.mark.looptime


GET = 'http: {get: "http://crm.test/x"}'


class NoArgs(BaseModel):
    """Nothing."""


def rules(*steps, trigger="{state: Talking}", when="true"):
    lines = "".join(f"      - {step}\n" for step in steps)
    head = f"version: 1\nrules:\n  - id: r\n    trigger: {trigger}\n    when: {when}\n"
    return f"{head}    do:\n{lines}"


class Web:
    """Answers requests one after another."""

    def __init__(self, *answers):
        self.answers = deque(answers)
        self.requests = []

    async def send(self, request):
        self.requests.append(request)
        answer = self.answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return Reply(answer, {"content-type": "application/json"}, b'{"a": 1}')

    async def close(self):
        pass


async def durable(store):
    await store.commit(())
    return store.durable


async def test_what_is_so_already_is_not_sent():
    """Compare before write: a repeated tag costs nothing and overwrites nobody."""
    house = build(rules("set: {a: '1', b: '2'}", "unset: [c]"))

    await house.state("Talking", a="1")

    assert [d.given for d in house.gws["bot1"].done] == [{"b": "2"}]


async def test_a_key_is_removed_once():
    """DeleteUserData takes one key at a time."""
    house = build(rules("unset: [a, b]"))

    await house.state("Talking", a="1")

    assert [d.given for d in house.gws["bot1"].named("DeleteUserData")] == ["a"]


async def test_an_uncertain_write_is_repeated_for_it_does_no_harm():
    """User data converges."""
    house = build(rules("set: {a: '1'}", "complete: done"))
    house.gws["bot1"].failures = deque([AmbiguousError("?"), None, None, AmbiguousError("?")])

    await house.state("Talking")

    names = [d.name for d in house.gws["bot1"].done]
    assert names == ["UpdateUserData"] * 3 + ["Complete"] * 2


async def test_a_refused_write_is_taken_back_from_the_session():
    """Rules must not see what never happened."""
    house = build(rules("set: {a: '1'}"))
    house.gws["bot1"].failures = deque([PermanentError("no")])

    await house.state("Talking")

    assert house.table.get(("bot1", "s1")).session.user_data == {}


async def test_a_long_reply_goes_on_where_it_stopped():
    """Pieces that were said are not said again."""
    text = "a" * 900 + " " + "b" * 900
    house = build(rules(f"reply: {text}"))
    house.gws["bot1"].failures = deque([None, TemporaryError("refused")])

    await house.state("Talking")

    assert house.said() == ["a" * 900, "b" * 900, "b" * 900]


async def test_a_reply_without_a_known_number_says_so():
    """``to`` is there for it."""
    house = build(rules("reply: hi"))
    from imbot.model import ImSession, SessionNotice

    notice = SessionNotice(ImSession("s1", "Talking"), house.clock.now())
    await house.hear(notice)
    await house.settle()

    assert "say it with 'to'" in house.outcomes()[0].detail


async def test_initiate_takes_a_free_agent():
    """``agent: any``: whoever has no session and is logged in."""
    begin = "initiate: {to: 3003, agent: any}"
    steps = rules(begin, trigger="{state: Completed}", when="not session.mine")
    house = build(steps, agents=("bot1", "bot2", "bot3"))
    house.gws["bot2"].is_up = False
    await house.state("Talking", "s2", agent="bot1")

    await house.state("Completed", "s1", agent="bot1")

    assert [d.given for d in house.gws["bot3"].done] == [{"to": "3003"}]


async def test_an_agent_that_is_beginning_a_session_is_not_free():
    """Of two calls at the same moment each takes an agent, instead of both the first."""
    house = build(rules("initiate: {to: 3003, agent: any}"), agents=("bot1", "bot2", "bot3"))
    house.gws["bot1"].hangs = True
    await house.state("Talking", "s1", agent="bot3", settle=False)
    await house.state("Talking", "s2", agent="bot3", settle=False)
    await house.tasks.drain(1)

    assert [len(house.gws[agent].done) for agent in ("bot1", "bot2")] == [1, 1]


async def test_initiate_without_a_free_agent_is_tried_again_and_given_up():
    """Busy is a temporary error."""
    house = build(rules("initiate: {to: 3003, agent: any}"))

    await house.state("Talking")

    outcome = house.outcomes()[0]
    assert (outcome.kind, outcome.error_kind) == (OutcomeKind.FAILED, "temporary")
    assert outcome.attempts > 1


async def test_initiate_by_an_agent_nobody_knows_fails_with_the_names():
    """A misspelt agent."""
    house = build(rules("initiate: {to: 3003, agent: bott}"))

    await house.state("Talking")

    assert "known: bot1" in house.outcomes()[0].detail


@pytest.mark.parametrize("error", [AmbiguousError("?"), PermanentError("no")])
async def test_an_initiate_that_failed_is_parked_and_not_repeated(error):
    """At most once."""
    store = MemoryStore()
    house = build(rules("initiate: {to: 3003}"), store=store)
    house.gws["bot1"].failures = deque([error])

    await house.state("Talking")

    assert len(house.gws["bot1"].done) == 1
    assert house.outcomes()[0].kind is OutcomeKind.PARKED


async def test_an_interrupted_run_does_not_begin_its_session_again():
    """The ledger knows which one it was."""
    text = rules("initiate: {to: 3003}", "set: {a: '1'}", trigger="{state: Alerting}")
    store = MemoryStore()
    house = build(text, store=store)
    await house.state("Alerting", settle=False)
    await house.tasks.drain(0.1)
    await house.tasks.cancel()
    kept = MemoryStore(await durable(store))

    again = build(text, store=kept)
    await again.dispatch.recover(again.book.rules)
    await again.state("Talking", "n1")

    assert again.gws["bot1"].named("InitiateIMSession") == []
    assert again.gws["bot1"].named("UpdateUserData")[0].session_id == "n1"


async def test_a_post_is_written_down_without_its_secrets():
    """The ledger shows where it went, not what opened the door."""
    store, web = MemoryStore(), Web(200)
    step = 'http: {post: "http://crm.test/x?k=1", headers: {X-A: "b"}, json: {n: 1}}'
    house = build(rules(step), store=store, http=web)

    await house.state("Talking")

    (intent,) = [c for c in await durable(store) if isinstance(c, Intent)]
    assert (intent.operation, intent.payload) == ("POST http://crm.test", {"json": {"n": 1}})
    assert web.requests[0].body == b'{"n":1}'


@pytest.mark.parametrize("shadow", [True, False])
async def test_a_moment_in_json_is_sent_and_written_down_as_text(shadow):
    """A template that is one whole {{ … }} keeps its type, and JSON has none for moments."""
    web, store = Web(200), MemoryStore()
    step = (
        'http: {post: "http://crm.test/x", json: {at: "{{ event.at }}", all: ["{{ event.at }}"]}}'
    )
    house = build(
        rules(step).replace("    do:", f"    shadow: {str(shadow).lower()}\n    do:"),
        http=web,
        store=store,
    )

    await house.state("Talking")

    at = house.clock.now().isoformat(timespec="seconds")
    (intent,) = [c for c in await durable(store) if isinstance(c, Intent)]
    assert intent.payload == {"json": {"at": at, "all": [at]}}
    sent = [] if shadow else [f'{{"at":"{at}","all":["{at}"]}}'.encode()]
    assert [request.body for request in web.requests] == sent


async def test_a_form_is_sent_as_a_form():
    """Some hosts want no JSON."""
    web = Web(200)
    step = 'http: {post: "http://crm.test/x", form: {a: "b c"}, idempotency_key: k1}'
    house = build(rules(step), http=web)

    await house.state("Talking")

    sent = web.requests[0]
    assert sent.body == b"a=b+c"
    assert sent.headers["Idempotency-Key"] == "k1"


async def test_a_read_is_no_effect():
    """Nothing changes by it; nothing need be remembered."""
    store, web = MemoryStore(), Web(200)
    house = build(
        rules('http: {get: "http://crm.test/x"}\n        as: page', "reply: '{{ page.json.a }}'"),
        store=store,
        http=web,
    )

    await house.state("Talking")

    assert [c.action for c in await durable(store) if isinstance(c, Intent)] == ["reply"]
    assert house.said() == ["1"]


async def test_a_server_that_is_down_is_asked_again_and_a_put_goes_on():
    """503 is temporary; PUT may be repeated."""
    web = Web(503, TemporaryError("refused"), AmbiguousError("reset"), 200)
    step = 'http: {put: "http://crm.test/x"}\n        retry: {times: 4, backoff: 1s..2s}'
    house = build(rules(step), http=web)

    await house.state("Talking")

    assert house.outcomes()[0].kind is OutcomeKind.DONE
    assert len(web.requests) == 4


async def test_a_post_that_may_have_arrived_is_parked():
    """Without an idempotency key it is not sent twice."""
    store, web = MemoryStore(), Web(AmbiguousError("reset"))
    step = 'http: {post: "http://crm.test/x"}\n        retry: {times: 4, backoff: 1s..2s}'
    house = build(rules(step), store=store, http=web)

    await house.state("Talking")

    assert house.outcomes()[0].kind is OutcomeKind.PARKED
    states = [c.state for c in await durable(store) if isinstance(c, Verdict)]
    assert states[-1] is EffectState.PARKED


async def test_what_was_posted_before_a_crash_is_not_posted_again():
    """The answer is in the ledger."""
    text = rules(
        'http: {post: "http://crm.test/x"}\n        as: page', "set: {a: '{{ page.status }}'}"
    )
    store = MemoryStore()
    house = build(text, store=store, http=Web(201))
    house.gws["bot1"].failures = deque([AmbiguousError("?")] * 5)
    await house.state("Talking", settle=False)
    await house.tasks.drain(0.01)
    before_the_step = [c for c in await durable(store) if not (isinstance(c, RunSeen) and c.pc)]
    await house.tasks.cancel()

    web = Web()
    again = build(text, store=MemoryStore(before_the_step), http=web)
    again.gws["bot1"].shown = house.gws["bot1"].shown
    await again.dispatch.recover(again.book.rules)
    await again.settle()

    assert web.requests == []
    assert again.gws["bot1"].done[-1].given == {"a": "201"}


async def test_a_body_that_is_no_json_is_text_only():
    """Not every host answers in JSON."""

    class Html(Web):
        async def send(self, _request):
            return Reply(200, {}, b"<html>")

    house = build(
        rules('http: {get: "http://crm.test/x"}\n        as: page', "reply: '{{ page.text }}'"),
        http=Html(),
    )

    await house.state("Talking")

    assert house.said() == ["<html>"]


async def test_an_action_outside_a_session_cannot_act_on_one():
    """The author is told."""

    @action("own.say", args=NoArgs)
    async def say(ctx, _args):
        await ctx.im.send_message("hi")

    house = build(rules("own.say: {}", trigger="{connection: lost}"), actions={"own.say": say})
    from imbot.model import ConnectionChange

    await house.connection(ConnectionChange.LOST)

    assert "no session" in house.outcomes()[0].detail


async def test_a_plugin_that_raises_fails_its_step_only():
    """Somebody else's mistake is not imbot's end."""

    @action("own.break", args=NoArgs)
    async def broken(_ctx, _args):
        raise ZeroDivisionError("oops")

    house = build(rules("own.break: {}"), actions={"own.break": broken})

    await house.state("Talking")

    assert "ZeroDivisionError" in house.outcomes()[0].detail
    assert house.outcomes()[0].error_kind == "permanent"


async def test_a_plugin_that_raises_in_the_middle_of_saying_leaves_a_doubt():
    """Nobody knows what was said."""

    @action("own.say", args=NoArgs, needs=Operation.SEND_MESSAGE)
    async def say(ctx, _args):
        await ctx.im.send_message("hi")

    house = build(rules("own.say: {}"), actions={"own.say": say})

    def broken(_done):
        raise ZeroDivisionError("oops")

    house.gws["bot1"].on_done = broken

    await house.state("Talking")

    assert house.outcomes()[0].kind is OutcomeKind.PARKED
    assert house.outcomes()[0].error_kind == "ambiguous"


@pytest.mark.parametrize(("said_first", "kind"), [(False, "temporary"), (True, "ambiguous")])
async def test_a_step_that_takes_too_long_is_given_up(said_first, kind):
    """A deadline is a temporary error, ambiguous once something was sent."""
    import asyncio

    @action("own.slow", args=NoArgs, deadline_s=2)
    async def slow(ctx, _args):
        if said_first:
            await ctx.im.send_message("hi")
        await asyncio.sleep(3600)

    house = build(rules("own.slow: {}"), actions={"own.slow": slow})
    house.gws["bot1"].hangs = True

    await house.state("Talking")

    assert house.outcomes()[0].error_kind == kind
    assert "longer than 2 s" in house.outcomes()[0].detail


async def test_by_capability_a_step_is_withheld_only_when_strict():
    """GWS' lists are advisory unless the operator trusts them."""
    from imbot.engine.acting import Habits
    from imbot.model import ImSession, SessionNotice
    from imbot.testing.house import CUSTOMER

    for strict, said in ((True, []), (False, ["hi"])):
        house = build(rules("reply: hi"), habits=Habits(strict_capabilities=strict))
        session = ImSession("s1", "Talking", {}, (CUSTOMER,), ("Complete",))
        await house.hear(SessionNotice(session, house.clock.now()))
        await house.settle()

        assert house.said() == said
