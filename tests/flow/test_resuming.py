"""Killed and started again, an agent goes on with the Bayeux session that it had."""

import pytest
from structlog.testing import capture_logs

from tests.flow.stage import staged

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(180)]

ANSWER = """
version: 1
rules:
  - id: answer
    trigger: {message: any}
    do: [{reply: "You said {{ message.text }}"}]
"""


def gaps(stage):
    with stage.views() as views:
        return list(views.gaps())


async def test_what_is_said_while_imbot_is_not_running_is_answered(tmp_path):
    """GWS keeps what was not acknowledged for as long as it keeps the Bayeux session."""
    async with staged(tmp_path, ack=True) as stage:
        imbot = await stage.start(ANSWER)
        call = stage.ring("3001")
        await stage.seconds(2)
        call.say("one")
        await stage.seconds(2)
        imbot.kill()
        await stage.seconds(1)
        call.say("two")
        call.say("two")
        await stage.seconds(1)
        with capture_logs() as logged:
            imbot = await stage.start(ANSWER)
            await stage.seconds(100)

        assert call.heard == ["You said one", "You said two", "You said two"]
        assert gaps(stage) == []
        assert [line["event"] for line in logged].count("agent.resumed") == 1
        assert imbot.app.agents["bot1"].hearing.since < stage.clock.now()


async def test_killed_again_and_again_it_loses_nothing(tmp_path):
    async with staged(tmp_path, ack=True) as stage:
        imbot = await stage.start(ANSWER)
        call = stage.ring("3001")
        await stage.seconds(2)
        for number in range(12):
            call.say(str(number))
            await stage.seconds(0.004 * number)
            imbot.kill()
            await stage.seconds(number % 5)
            imbot = await stage.start(ANSWER)
            await stage.seconds(0.1 * number)
        await stage.seconds(200)

        with stage.views() as views:
            parked = [effect.intent.payload["text"] for effect in views.parked()]
        assert sorted(call.heard + parked) == sorted(f"You said {n}" for n in range(12))
        assert gaps(stage) == []


async def test_killed_right_after_it_went_on_it_goes_on_again(tmp_path):
    """The first poll of all brought something, and no other poll was answered well before."""
    async with staged(tmp_path, ack=True) as stage:
        imbot = await stage.start(ANSWER.replace("any", "{contains: [ping]}"))
        call = stage.ring("3001")
        await stage.seconds(2)
        for _ in range(2):
            imbot.kill()
            call.say("an aside")
            imbot = await stage.start(ANSWER.replace("any", "{contains: [ping]}"))
            await stage.seconds(2)
        call.say("ping")
        await stage.seconds(2)

        assert call.heard == ["You said ping"]
        assert gaps(stage) == []


async def test_without_acknowledgements_it_goes_on_and_tells_the_gap(tmp_path):
    async with staged(tmp_path, ack=False) as stage:
        imbot = await stage.start(ANSWER)
        call = stage.ring("3001")
        await stage.seconds(70)
        imbot.kill()
        killed_at = stage.clock.now()
        await stage.seconds(1)
        call.say("lost")
        await stage.seconds(3)
        await stage.start(ANSWER)
        await stage.seconds(5)

        (gap,) = gaps(stage)
        assert (gap.reason, gap.session_ids) == ("imbot was not running", (call.id,))
        assert 0 < (killed_at - gap.started_at).total_seconds() <= 100


async def test_an_agent_that_gws_has_forgotten_logs_in_anew_and_tells_the_gap(tmp_path):
    async with staged(tmp_path, ack=True) as stage:
        imbot = await stage.start(ANSWER)
        call = stage.ring("3001")
        await stage.seconds(2)
        imbot.kill()
        await stage.seconds(60)
        call.say("lost")
        await stage.start(ANSWER)
        await stage.seconds(5)
        call.say("heard")
        await stage.seconds(5)

        assert call.heard == ["You said heard"]
        (gap,) = gaps(stage)
        assert gap.reason.startswith("imbot was not running: ")
        assert gap.session_ids == (call.id,)


async def test_an_agent_whose_http_session_is_gone_logs_in_anew(tmp_path):
    async with staged(tmp_path, ack=True) as stage:
        imbot = await stage.start(ANSWER)
        call = stage.ring("3001")
        await stage.seconds(2)
        imbot.kill()
        stage.faults(session_lost={"next": 1, "only": ["/meta/connect"]})
        await stage.start(ANSWER)
        await stage.seconds(5)
        call.say("heard")
        await stage.seconds(5)

        assert call.heard == ["You said heard"]
        assert [gap.reason for gap in gaps(stage)] == ["imbot was not running"]


@pytest.mark.parametrize("fault", ["poll_reply_lost", "drop_before", "html_502", "unavailable"])
async def test_the_first_poll_is_tried_again(tmp_path, fault):
    async with staged(tmp_path, ack=True) as stage:
        imbot = await stage.start(ANSWER)
        call = stage.ring("3001")
        await stage.seconds(2)
        imbot.kill()
        call.say("one")
        stage.faults(**{fault: {"next": 2, "only": ["/meta/connect"]}})
        await stage.start(ANSWER)
        await stage.seconds(5)

        assert call.heard == ["You said one"]
        assert gaps(stage) == []


async def test_a_clean_stop_that_keeps_the_login_is_resumed_and_a_logout_is_not(tmp_path):
    async with staged(tmp_path, ack=True) as stage:
        for on_stop, resumed in (("keep", 1), ("logout", 0)):
            imbot = await stage.start(ANSWER, gws={"on_stop": on_stop})
            await imbot.stop()
            with capture_logs() as logged:
                imbot = await stage.start(ANSWER, gws={"on_stop": on_stop})
                await imbot.stop()
            assert [line["event"] for line in logged].count("agent.resumed") == resumed
            assert gaps(stage) == []


async def test_what_is_kept_is_not_shown(tmp_path):
    """Cookies and tokens are as good as a password for a while."""
    async with staged(tmp_path, ack=True) as stage:
        with capture_logs() as logged:
            imbot = await stage.start(ANSWER)
            stage.ring("3001")
            await stage.seconds(2)
            imbot.kill()
            imbot = await stage.start(ANSWER)
            await stage.seconds(2)
        (held,) = (await imbot.stores[-1].recover(stage.clock.now())).subscriptions.values()

        secrets = [*held.tokens.values(), *(cookie[3].partition("=")[2] for cookie in held.cookies)]
        assert len(secrets) >= 2
        assert not any(secret in str(logged) + repr(held) for secret in secrets)
        assert (tmp_path / "imbot.db").stat().st_mode & 0o077 == 0
