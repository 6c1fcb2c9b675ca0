"""What waits for a person: a whole imbot takes up what was ordered, now or at its next start."""

import json

import pytest

from imbot.admin.story import timeline
from imbot.cli.parked import parked
from tests.flow.stage import CRM

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(60)]

HELLO = "Hello from Robin"

GREET = f"""
version: 1
rules:
  - id: greet
    trigger: {{state: Talking}}
    once: session
    do: [{{reply: {HELLO}}}]
"""

NOTE = f"""
version: 1
rules:
  - id: note
    trigger: {{message: any}}
    do: [{{http: {{post: "http://{CRM}/nowhere", json: {{a: 1}}}}}}]
"""


@pytest.fixture
def order(stage, monkeypatch, capsys):
    """Run ``imbot parked`` in the folder of the stage; return its exit code and what it said."""
    monkeypatch.chdir(stage.folder)
    settings = {
        "gws": {"url": "http://gws.test"},
        "agents": [{"user": "bot1", "password": "pw"}],
        "store": "sqlite:///imbot.db",
    }
    (stage.folder / "imbot.yaml").write_text(json.dumps(settings))

    def run(deed, *ids):
        code = parked(deed, ids, stage.folder / "imbot.yaml")
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


async def lost_greeting(stage, **fault):
    """Return a call whose greeting is parked, its effect, and the imbot."""
    imbot = await stage.start(GREET)
    stage.faults(**(fault or {"html_502": {"next": 1, "only": ["SendMessage"]}}), no_echo=True)
    call = stage.ring("3001")
    await stage.seconds(240)
    stage.faults()
    return call, parked_ids(stage)[0], imbot


def parked_ids(stage):
    with stage.views() as views:
        return [effect.intent.effect_id for effect in views.parked()]


def story(stage, call):
    with stage.views() as views:
        (history,) = views.session(call.id)
    return [f"{line.what} {line.details}" for line in timeline(history)]


async def test_a_running_imbot_sends_it_again_within_two_seconds(stage, order):
    """And the story of the session tells who wanted that."""
    call, effect_id, imbot = await lost_greeting(stage)
    assert call.heard == []
    assert imbot.app.health().parked == 1

    code, said = order("resend", effect_id)
    await stage.seconds(2)

    assert (code, call.heard) == (0, [HELLO])
    assert said.endswith("will be sent by the running imbot\n")
    assert parked_ids(stage) == []
    assert imbot.app.health().parked == 0
    assert any("resend ordered by" in line and "taken up" in line for line in story(stage, call))


async def test_what_is_dropped_is_never_sent(stage, order):
    call, effect_id, imbot = await lost_greeting(stage)
    order("drop", effect_id)
    await stage.seconds(2)
    await imbot.stop()
    await stage.start(GREET)
    await stage.seconds(240)

    assert (call.heard, parked_ids(stage)) == ([], [])
    assert order("resend", effect_id)[0] == 1


async def test_the_next_start_takes_it_up(stage, order):
    """Once its agent is logged in, for before that nothing can be sent."""
    call, effect_id, imbot = await lost_greeting(stage)
    imbot.kill()
    code, said = order("resend", effect_id)
    assert (code, "when imbot is started" in said) == (0, True)

    await stage.start(GREET)
    await stage.seconds(5)

    assert call.heard == [HELLO]
    assert parked_ids(stage) == []


async def test_a_kill_right_after_the_order_says_it_at_most_once(stage, order):
    """It was taken up before it was sent, and is not sent again by itself."""
    call, effect_id, imbot = await lost_greeting(stage)
    order("resend", effect_id)
    stage.faults(hang_after={"next": 1, "only": ["SendMessage"]})
    await stage.seconds(2)
    imbot.kill()
    await stage.start(GREET)
    await stage.seconds(200)

    assert call.heard == [HELLO]


async def test_over_is_over(stage, order):
    """The command says so, and so does an imbot that learns of it later than the command."""
    call, effect_id, imbot = await lost_greeting(stage)
    imbot.kill()
    order("resend", effect_id)
    call.hang_up()
    await stage.start(GREET)
    await stage.seconds(5)

    assert call.heard == []
    assert parked_ids(stage) == [effect_id]
    assert "is over; drop it" in order("show", effect_id)[1]
    assert order("resend", effect_id)[0] == 1


async def test_what_was_sent_to_another_service_is_left_to_the_person(stage, order):
    """Of such a request only a part is kept."""
    await stage.start(NOTE)
    call = stage.ring("3001")
    await stage.seconds(1)
    call.say("hi")
    await stage.seconds(2)
    (effect_id,) = parked_ids(stage)

    assert "repeat it by hand" in order("resend", effect_id)[1]
    assert order("drop", effect_id)[0] == 0
    await stage.seconds(2)
    assert parked_ids(stage) == []
