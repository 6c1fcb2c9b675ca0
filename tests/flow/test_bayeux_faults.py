"""Each way in which a Bayeux server or a proxy goes wrong: a word is answered once, or in a gap."""

import pytest

from tests.flow.stage import staged

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(180)]

ANSWER = """
version: 1
rules:
  - id: answer
    trigger: {message: any}
    do: [{reply: "You said {{ message.text }}"}]
"""

#: The knob, and how often it strikes.
BAYEUX = {
    "poll_reply_lost": 3,
    "poll_cut": 3,
    "unknown_client_connect": 2,
    "unknown_client_403": 2,
    "unknown_client_subscribe": 1,
    "event_in_subscribe_reply": 1,
    "handshake_denied": 1,
    "batch_twice": 3,
    "answer_twice": 3,
    "ack_back": 1,
    "ack_object": 50,
    "other_client": 2,
    "long_interval": 1,
    "multiple_clients": 3,
    "session_lost": 1,
    "html_502": 3,
}

AT_THE_DOOR = {
    "handshake_denied",
    "unknown_client_subscribe",
    "event_in_subscribe_reply",
    "ack_object",
}


@pytest.mark.parametrize("fault", BAYEUX)
@pytest.mark.parametrize("ack", [True, False], ids=["ack", "no ack"])
async def test_each_fault_costs_a_gap_at_most(tmp_path, ack, fault):
    """Nothing is answered twice, and what is not heard lies in a gap that is told."""
    async with staged(tmp_path, ack=ack) as stage:
        imbot = await stage.start(ANSWER)
        call = stage.ring("3001")
        await stage.seconds(2)
        knob = {"next": BAYEUX[fault]}
        if fault in {"session_lost", "html_502"}:
            knob["only"] = ["/meta/connect"]
        # Only who begins anew shakes hands and subscribes.
        anew = {"unknown_client_connect": {"next": 1}} if fault in AT_THE_DOOR else {}
        stage.faults(cut_after_s=1, **{fault: knob, **anew})
        for number in range(8):
            call.say(f"word {number}")
            call.say("yes")
            await stage.seconds(0.7)
        if ack or not fault.startswith(("batch", "ack")):
            assert stage.simulator.world.faults.struck[fault], "it did not strike"
        stage.faults()
        await stage.seconds(150)
        call.say("at last")
        await stage.seconds(20)

        assert imbot.app.agents["bot1"].is_up
        wanted = [*(f"You said word {n}" for n in range(8)), *["You said yes"] * 8]
        for text in set(wanted):
            assert call.heard.count(text) <= wanted.count(text), text
        assert "You said at last" in call.heard
        if len(call.heard) < len(wanted) + 1:
            with stage.views() as views:
                assert any(call.id in gap.session_ids for gap in views.gaps()), call.heard


async def test_a_session_that_nobody_told_of_is_found_within_90_seconds(tmp_path):
    """Subscribed, polling, and deaf: only asking shows it."""
    async with staged(tmp_path, ack=True) as stage:
        await stage.start(ANSWER)
        await stage.seconds(5)
        stage.faults(event_dropped=1)
        call = stage.ring("3001")
        await stage.seconds(88)
        stage.faults()
        await stage.seconds(2)
        call.say("hello")
        await stage.seconds(2)

        assert call.heard == ["You said hello"]
        with stage.views() as views:
            (gap,) = views.gaps()
        assert gap.reason.startswith("the subscription is silent")
        assert gap.session_ids == (call.id,)
