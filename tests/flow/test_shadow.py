"""Rules in shadow in a whole imbot: beside live ones, over kills and reloads, for a rulebook."""

import pytest

from imbot.admin.story import timeline
from tests.flow.stage import AFTER_HOURS, CRM_SYNC, GREETING

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(120)]

LIVE = """
version: 1
rules:
  - id: greet
    trigger: {state: Talking}
    once: session
    do: [{reply: {text: "Welcome."}}]
"""
TRIED = """
version: 1
shadow: true
rules:
  - id: greet-better
    trigger: {state: Talking}
    once: session
    do:
      - reply: "Good day, {{ participant.phoneNumber }}."
      - set: {greeted: better}
      - wait: 30s
      - reply: "Still {{ session.userData.greeted }}?"
      - complete: tried
"""
SENT = TRIED.replace("shadow: true\n", "")


def told(stage, call):
    """Return what people read of a session."""
    with stage.views() as views:
        [history] = views.session(call.id)
    lines = sorted(timeline(history), key=lambda line: line[0])
    return [(line.what, line.details) for line in lines if "greet-better" in line.what]


async def test_a_rule_in_shadow_beside_the_live_one_is_read_and_not_heard(stage):
    """Exactly what it would have said, set and completed, and when."""
    await stage.start(LIVE, TRIED)
    call = stage.ring()
    await stage.seconds(40)

    assert call.heard == ["Welcome."]
    assert (call.user_data, call.is_over) == ({}, False)
    assert told(stage, call) == [
        ("rule greet-better", "runs in shadow: shadow: true, nothing is sent"),
        ("reply of greet-better", "shadow: would reply “Good day, 3001.”"),
        ("set of greet-better", "shadow: would set greeted: better"),
        ("reply of greet-better", "shadow: would reply “Still better?”"),
        ("complete of greet-better", "shadow: would complete imbot.reason: tried"),
        ("complete of greet-better", "shadow: would complete"),
        ("run greet-better", "in shadow done"),
    ]
    with stage.views() as views:
        [row] = views.sessions()
        [rule] = views.rules()
    assert (row.replies, row.effects["shadow"], rule.rule_id) == (1, 5, "greet")


@pytest.mark.parametrize("after", [TRIED, SENT], ids=["same rules", "live since"])
async def test_killed_in_shadow_it_goes_on_in_shadow(stage, after):
    """A restart must not say what nobody was to hear, nor say it twice in the journal."""
    imbot = await stage.start(TRIED)
    call = stage.ring()
    await stage.seconds(10)
    imbot.kill()
    await stage.seconds(5)
    await stage.start(after)
    await stage.seconds(60)

    assert call.heard == []
    assert not stage.operations("UpdateUserData")
    assert [details for _, details in told(stage, call)][-1] == "in shadow done"
    assert len(told(stage, call)) == 7


async def test_a_rule_that_goes_live_begins_anew(stage):
    """What it only would have done does not count as done."""
    first = await stage.start(TRIED.replace("once: session", "once: participant"))
    stage.ring().hang_up()
    early = stage.ring()
    await stage.seconds(40)
    early.hang_up()
    first.kill()
    await stage.start(SENT.replace("once: session", "once: participant"))
    call = stage.ring()
    await stage.seconds(10)

    assert (early.heard, call.heard) == ([], ["Good day, 3001."])


async def test_a_reload_to_live_lets_the_run_under_way_end_in_shadow(stage):
    path = stage.folder / "tried.yaml"
    path.write_text(TRIED)
    imbot = await stage.start(path)
    first = stage.ring()
    await stage.seconds(10)
    path.write_text(SENT)
    imbot.app.reloader.ask()
    await stage.seconds(60)
    first.hang_up()
    second = stage.ring()
    await stage.seconds(10)

    assert (first.heard, second.heard) == ([], ["Good day, 3001."])


@pytest.mark.parametrize("number", ["3001", "3002"])
async def test_with_a_whole_rulebook_in_shadow_not_one_operation_goes_out(stage, number):
    """The rules that ship, all of them; imbot still logs in and answers."""
    await stage.start(GREETING, AFTER_HOURS, CRM_SYNC, shadow=True)
    call = stage.ring(number)
    await stage.seconds(5)
    call.say("Are you there?")
    await stage.seconds(60)
    call.hang_up()
    await stage.seconds(60)

    ours = {
        "SendMessage",
        "UpdateUserData",
        "DeleteUserData",
        "AttachUserData",
        "InitiateIMSession",
    }
    assert not [name for name, *_ in stage.operations() if name in ours]
    with stage.views() as views:
        [history] = views.session(call.id)
    assert history.effects
    assert all(view.effect.intent.in_shadow for view in history.effects)


async def test_what_began_live_does_not_go_on_when_the_settings_say_shadow(stage):
    """Who sets it wants nothing to be sent any more."""
    imbot = await stage.start(SENT)
    call = stage.ring()
    await stage.seconds(10)
    imbot.kill()
    await stage.start(SENT, shadow=True)
    await stage.seconds(60)

    assert call.heard == ["Good day, 3001."]
    assert told(stage, call)[-1] == ("run greet-better", "cancelled: its rule has changed since")


async def test_what_began_in_shadow_does_not_go_live_with_the_settings(stage):
    imbot = await stage.start(SENT, shadow=True)
    call = stage.ring()
    await stage.seconds(10)
    imbot.kill()
    await stage.start(SENT)
    await stage.seconds(60)

    assert call.heard == []
    assert told(stage, call)[-1] == ("run greet-better", "in shadow done")
