"""GWS as it is: odd notifications, refused and doubtful operations. Nobody outside notices."""

import pytest

from imbot.simulator import shapes
from tests.flow.stage import GREETING, staged

pytestmark = pytest.mark.looptime(noop_cycles=1)

HELLO = "Hello 3001, you reached Robin. How can I help?"
GOODBYE = "Thank you, and goodbye."


async def converse(stage):
    """Ring, listen, say goodbye; return the call."""
    call = stage.ring("3001")
    await stage.seconds(30)
    call.say("That is all")
    await stage.seconds(30)
    return call


@pytest.mark.parametrize(
    "knobs",
    [
        {"state_space": True},
        {"ids_differ": True},
        {"no_envelope": True},
        {"data_text": True},
        {"message_object": True},
        {"notification_before_reply": True},
        {"no_echo": True},
        {"late_echo": True},
        {"late_echo": True, "late_echo_s": 20},
        {"duplicate_echo": True},
        {"straight_to_talking": True},
        {"alerting_answer": True},
        {"auto_answer_s": 5},
        {"event_in_subscribe_reply": True},
        {"lb_cookie": 0.3},
        {"csrf_rotated": 0.1},
        {"slow_drip": True, "drip_s": 0.001},
        {"multiple_clients": True},
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("ack", [True, False], ids=["ack", "no ack"])
async def test_a_conversation_is_the_same_with_any_quirk(tmp_path, knobs, ack):
    """Each of these was seen in the field or is feared; none may change what people hear."""
    async with staged(tmp_path, ack=ack) as stage:
        stage.faults(**knobs)
        await stage.start(GREETING)

        call = await converse(stage)

        assert call.heard == [HELLO, GOODBYE]
        assert call.user_data["greeted"] == "yes"
        assert call.is_over


@pytest.mark.parametrize("listed", [[], ["Complete"], ["Fly", None, 7], "SendMessage"])
async def test_capabilities_that_are_wrong_do_not_matter(stage, monkeypatch, listed):
    """They are advice, unless the settings say otherwise."""
    monkeypatch.setattr(shapes, "capabilities", lambda *_: listed)
    await stage.start(GREETING)

    assert (await converse(stage)).heard == [HELLO, GOODBYE]


async def test_capabilities_matter_where_the_settings_say_so(stage, monkeypatch):
    """``strict_capabilities`` withholds what GWS does not list."""
    monkeypatch.setattr(shapes, "capabilities", lambda *_: ["Complete"])
    await stage.start(GREETING, gws={"strict_capabilities": True})

    assert (await converse(stage)).heard == []


async def test_of_several_devices_the_one_in_the_settings_is_used(stage):
    """GWS refuses operations that leave it open which one is meant."""
    stage.faults(several_devices=True)
    device = stage.simulator.world.agent("bot1").device_id
    await stage.start(GREETING, agents=[{"user": "bot1", "password": "pw", "device": device}])

    assert (await converse(stage)).heard == [HELLO, GOODBYE]


@pytest.mark.parametrize(
    "fault",
    ["error_message", "session_lost", "csrf_rotated", "drop_after", "error_after", "hang_after"],
)
async def test_a_greeting_that_goes_wrong_once_is_heard_once(stage, fault):
    """Refused, it is said again; done but unanswered, its echo proves it."""
    await stage.start(GREETING)
    stage.faults(**{fault: {"next": 1, "only": ["SendMessage"]}})

    call = await converse(stage)

    assert call.heard == [HELLO, GOODBYE]
    assert call.user_data["greeted"] == "yes"


@pytest.mark.parametrize("fault", ["error_after", "drop_after", "hang_after", "html_502"])
async def test_a_greeting_that_nobody_can_prove_is_parked(stage, fault):
    """Without an echo imbot does not know, and says so instead of guessing."""
    await stage.start(GREETING)
    stage.faults(**{fault: {"next": 1, "only": ["SendMessage"]}}, no_echo=True)

    call = stage.ring("3001")
    await stage.seconds(240)

    assert call.heard == ([] if fault == "html_502" else [HELLO])
    with stage.views() as views:
        assert [effect.intent.session_id for effect in views.parked()] == [call.id]


async def test_the_http_session_may_vanish_in_the_middle(stage):
    """JSESSIONID is forgotten by a server that was restarted."""
    await stage.start(GREETING)
    call = stage.ring("3001")
    await stage.seconds(2)
    stage.simulator.drop_login("bot1")
    await stage.seconds(5)

    call.say("bye")
    await stage.seconds(5)

    assert call.heard == [HELLO, GOODBYE]


@pytest.mark.parametrize("ack", [True, False], ids=["ack", "no ack"])
async def test_the_cometd_session_may_vanish_in_the_middle(tmp_path, ack):
    """402: a new handshake, a gap that is told, and no second greeting."""
    async with staged(tmp_path, ack=ack) as stage:
        await stage.start(GREETING)
        call = stage.ring("3001")
        await stage.seconds(2)
        stage.faults(unknown_client_connect={"next": 1})
        await stage.seconds(35)

        call.say("bye")
        await stage.seconds(5)

        assert call.heard == [HELLO, GOODBYE]
        with stage.views() as views:
            (gap,) = views.gaps()
            assert gap.session_ids == (call.id,)


@pytest.mark.parametrize("ack", [True, False], ids=["ack", "no ack"])
async def test_a_poll_whose_reply_is_lost(tmp_path, ack):
    """With acknowledgements the words come again; without them a gap says what may be missing."""
    async with staged(tmp_path, ack=ack) as stage:
        await stage.start(GREETING)
        call = stage.ring("3001")
        await stage.seconds(2)
        stage.faults(poll_reply_lost={"next": 1})
        call.say("bye")
        await stage.seconds(10)

        assert call.heard == ([HELLO, GOODBYE] if ack else [HELLO])
        with stage.views() as views:
            assert len(views.gaps()) == (0 if ack else 1)


async def test_what_was_lost_in_an_outage_is_in_the_gap_though_its_end_shows_the_session_over(
    tmp_path,
):
    """The poll that the outage broke took a line; the next good one brings all the others."""
    async with staged(tmp_path, ack=False) as stage:
        await stage.start(GREETING)
        call = stage.ring("3001")
        await stage.seconds(2)
        stage.faults(
            poll_reply_lost={"next": 1}, unavailable={"probability": 1, "only": ["/meta/connect"]}
        )
        lost_at = stage.clock.now()
        call.say("line 1")
        await stage.seconds(1)
        call.say("line 2")
        call.hang_up()
        await stage.seconds(1)
        stage.faults()
        await stage.seconds(30)

        with stage.views() as views:
            (history,) = views.session(call.id)
            texts = [
                one.event.fields["text"] for one in history.events if "text" in one.event.fields
            ]
            assert texts == ["line 2"]
            (gap,) = history.view.gaps
            assert gap.started_at <= lost_at <= gap.ended_at


@pytest.mark.parametrize("ack", [True, False], ids=["ack", "no ack"])
async def test_who_rang_during_an_outage_is_greeted_after_it(tmp_path, ack):
    """Nobody told imbot; it asks."""
    async with staged(tmp_path, ack=ack) as stage:
        imbot = await stage.start(GREETING)
        imbot.networks[0].cut()
        await stage.seconds(3)
        call = stage.ring("3001")
        await stage.seconds(3)
        assert call.heard == []

        imbot.networks[0].mend()
        await stage.seconds(15)

        assert call.heard == [HELLO]


@pytest.mark.parametrize("step", ["set: {asked: yes}", "complete: over"])
async def test_an_outage_of_some_seconds_parks_nothing(stage, step):
    """What may be done again is tried for longer than a load balancer takes to start anew."""
    rule = f"version: 1\nrules: [{{id: r, trigger: {{message: any}}, do: [{{{step}}}]}}]\n"
    imbot = await stage.start(rule)
    call = stage.ring("3001")
    await stage.seconds(10)
    stage.faults(hang={"next": 1, "only": ["UpdateUserData", "Complete"]}, hang_s=60)
    call.say("now")
    await stage.seconds(0.5)
    imbot.networks[0].cut()
    await stage.seconds(6)
    imbot.networks[0].mend()
    await stage.seconds(60)

    assert call.is_over or call.user_data == {"asked": "yes"}
    with stage.views() as views:
        assert not views.parked()


async def test_gws_may_be_restarted_in_the_middle(stage):
    """All that it knew of the login and the subscription is gone; the IM session goes on."""
    await stage.start(GREETING)
    call = stage.ring("3001")
    await stage.seconds(2)
    stage.simulator.restart()
    await stage.seconds(10)

    call.say("bye")
    await stage.seconds(5)

    assert call.heard == [HELLO, GOODBYE]
