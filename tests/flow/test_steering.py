"""What people steer: all effects off, a rule off or in shadow; a whole imbot, and its restarts."""

import pytest

from imbot.records import Intent, OrderGiven, OrderKind
from imbot.rulebook.schema import Budget
from imbot.store.orders import open_orders

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(60)]

ECHO = """
version: 1
rules:
  - id: answer
    trigger: {message: any}
    do: [{reply: "You said {{ message.text }}"}]
"""

SLOW = """
version: 1
rules:
  - id: slow
    trigger: {message: any}
    do: [{wait: 5s}, {reply: late}, {set: {seen: "yes"}}]
"""


async def talking(stage, *rules, **parts):
    imbot = await stage.start(*rules, **parts)
    call = stage.ring("3001")
    await stage.seconds(10)
    return imbot, call


def suppressed(stage, call):
    with stage.views() as views:
        (history,) = views.session(call.id)
    return [
        (no.rule_id, no.reason.value, no.detail) for one in history.events for no in one.suppressed
    ]


async def test_nothing_is_done_while_all_effects_are_stopped(stage):
    imbot, call = await talking(stage, ECHO)
    await imbot.app.steering.halt("alice", "wrong prices")
    call.say("one")
    await stage.seconds(10)
    assert call.heard == []
    ((rule, reason, told),) = suppressed(stage, call)
    assert (rule, reason) == ("answer", "halted")
    assert "stopped by alice" in told
    assert "wrong prices" in told

    await imbot.app.steering.release("alice")
    call.say("two")
    await stage.seconds(10)
    assert call.heard == ["You said two"]


async def test_what_is_queued_is_stopped_too(stage):
    imbot, call = await talking(stage, SLOW)
    call.say("hi")
    await stage.seconds(3)
    await imbot.app.steering.halt("alice")
    await stage.seconds(20)
    assert call.heard == []
    assert call.user_data == {}
    assert stage.operations("SendMessage") == []


async def test_what_waits_for_its_commit_is_stopped_too(stage):
    """The last look is behind the last wait before the request."""
    imbot, call = await talking(stage, ECHO)
    store, own = imbot.app.dispatch._store, imbot.app.dispatch._store.commit

    async def slow(changes):
        await own(changes)
        if any(isinstance(change, Intent) for change in changes):
            await imbot.app.steering.halt("alice")

    store.commit = slow
    call.say("hi")
    await stage.seconds(20)
    assert stage.operations("SendMessage") == []
    with stage.views() as views:
        (parked,) = views.parked()
    assert "stopped by alice" in parked.detail


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_it_stays_so_over_a_restart(stage, how):
    imbot, call = await talking(stage, ECHO)
    await imbot.app.steering.halt("alice")
    if how == "stop":
        await imbot.stop()
    else:
        imbot.kill()
        await imbot.end()
    again = await stage.start(ECHO)
    if call.is_over:
        call = stage.ring("3002")
    await stage.seconds(10)
    call.say("hi")
    await stage.seconds(10)
    assert call.heard == []

    await again.app.steering.release("bob")
    call.say("hello")
    await stage.seconds(10)
    assert call.heard == ["You said hello"]


async def test_a_rule_is_switched_off_and_on_again(stage):
    imbot, call = await talking(stage, ECHO)
    steering = imbot.app.steering
    await steering.switch_rule("answer", "alice", is_off=True)
    call.say("one")
    await stage.seconds(5)
    assert [one[:2] for one in suppressed(stage, call)] == [("answer", "off")]
    await steering.switch_rule("answer", "alice")
    call.say("two")
    await stage.seconds(5)
    assert call.heard == ["You said two"]


async def test_a_rule_is_put_into_shadow(stage):
    imbot, call = await talking(stage, ECHO)
    await imbot.app.steering.switch_rule("answer", "alice", shadow=True)
    call.say("one")
    await stage.seconds(5)
    assert call.heard == []
    assert [one[:2] for one in suppressed(stage, call)] == [("answer", "shadow")]


async def test_a_rule_gets_another_budget(stage):
    imbot, call = await talking(stage, ECHO)
    await imbot.app.steering.switch_rule("answer", "alice", budget=Budget(per_session=1))
    for text in ("one", "two"):
        call.say(text)
        await stage.seconds(5)
    assert call.heard == ["You said one"]
    assert [one[:2] for one in suppressed(stage, call)] == [("answer", "budget")]


async def test_who_rings_while_all_effects_are_stopped_is_not_answered(stage):
    """Nobody would say a word to them; GWS may still find somebody else."""
    imbot = await stage.start(ECHO)
    stage.faults(alerting_answer=True)
    await imbot.app.steering.halt("alice")
    call = stage.ring("3001")
    await stage.seconds(10)
    assert call.session.state == "Alerting"

    await imbot.app.steering.release("alice")
    call.hang_up()
    call = stage.ring("3002")
    await stage.seconds(10)
    assert call.session.state == "Talking"


async def test_nothing_that_is_parked_is_sent_again_meanwhile(stage):
    """It stays parked, and who ordered it reads why."""
    imbot, call = await talking(stage, ECHO)
    stage.faults(html_502={"next": 1, "only": ["SendMessage"]}, no_echo=True)
    call.say("hi")
    await stage.seconds(240)
    stage.faults()
    with stage.views() as views:
        (parked,) = views.parked()
    await imbot.app.steering.halt("alice")
    order = OrderGiven(parked.intent.effect_id, OrderKind.RESEND, "bob", stage.clock.now())
    with open_orders("sqlite:///imbot.db", base=stage.folder) as orders:
        assert orders.give(order, lambda _about: "") == ""
    await stage.seconds(5)

    assert call.heard == []
    with stage.views() as views:
        (again,) = views.parked_views()
    (order,) = again.orders
    assert "stopped by alice" in order.taken.refused
