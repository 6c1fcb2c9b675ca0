"""What rules wait for, in a whole imbot: times, silences, schedules and what is said."""

from datetime import timedelta

import pytest

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(120)]

WAITS = """
version: 1
rules:
  - id: patient
    trigger: {state: Talking}
    do:
      - reply: {text: "One moment."}
      - wait: 30s
      - reply: {text: "Thank you for waiting."}
"""
HOUR = WAITS.replace("30s", "1h")
CHANGED = WAITS.replace("30s", "5s").replace("Thank you for waiting", "Sorry")
SILENCE = """
version: 1
rules:
  - id: silent
    trigger: {idle: 1m}
    do: [{reply: {text: "Are you still there?"}}]
"""
EVERY = """
version: 1
rules:
  - id: round
    trigger: {every: 15m}
    do:
      - initiate: {agent: bot1, to: "3009"}
      - reply: {text: "A question every quarter of an hour."}
      - complete: asked
"""
ANSWER = """
version: 1
rules:
  - id: asks
    trigger: {state: Talking}
    do:
      - reply: {text: "Your name?"}
      - wait_for: {message: any}
        timeout: 1m
        as: told
      - if: "told.timed_out"
        then: [{reply: {text: "Another time, then."}}]
        else: [{reply: {text: "Hello {{ told.message.text }}."}}]
"""


async def test_a_wait_ends_on_time(stage):
    await stage.start(WAITS)
    call = stage.ring()
    await stage.seconds(29)
    before = list(call.heard)
    await stage.seconds(2)

    assert (before, call.heard) == (["One moment."], ["One moment.", "Thank you for waiting."])


@pytest.mark.parametrize("after", [HOUR, CHANGED], ids=["same rule", "changed rule"])
@pytest.mark.parametrize("down_s", [1800, 3600], ids=["back in time", "back too late"])
async def test_killed_in_a_wait_it_ends_on_time_on_its_old_version_once(stage, after, down_s):
    """What was promised to somebody does not change with the files."""
    imbot = await stage.start(HOUR)
    call = stage.ring()
    await stage.seconds(60)
    imbot.kill()
    await stage.seconds(down_s)
    await stage.start(after)
    back_at = stage.clock.now()
    await stage.seconds(2 * 3600)

    assert call.heard == ["One moment.", "Thank you for waiting."]
    asked, thanked = call.session.transcript
    due_at = max(asked.at + timedelta(hours=1), back_at)
    assert abs(thanked.at - due_at) < timedelta(seconds=3)


async def test_a_wait_outlives_an_orderly_stop(stage):
    first = await stage.start(WAITS, gws={"on_stop": "keep"})
    call = stage.ring()
    await stage.seconds(10)
    await first.stop()
    await stage.seconds(1)
    await stage.start(WAITS, gws={"on_stop": "keep"})
    await stage.seconds(15)
    before = len(call.heard)
    await stage.seconds(5)

    assert (before, call.heard) == (1, ["One moment.", "Thank you for waiting."])


async def test_nobody_is_asked_after_hanging_up(stage):
    await stage.start(WAITS)
    call = stage.ring()
    await stage.seconds(10)
    call.hang_up()
    await stage.seconds(60)

    assert call.heard == ["One moment."]
    with stage.views() as views:
        [history] = views.session(call.id)
    assert [one.run.state for one in history.runs] == ["cancelled"]


async def test_a_silence_is_told_once_and_counts_anew_after_a_word(stage):
    await stage.start(SILENCE)
    call = stage.ring()
    await stage.seconds(50)
    call.say("wait")
    await stage.seconds(50)
    before = list(call.heard)
    await stage.seconds(300)

    assert (before, call.heard) == ([], ["Are you still there?"])


async def test_a_silence_goes_on_through_a_kill(stage):
    imbot = await stage.start(SILENCE)
    call = stage.ring()
    await stage.seconds(40)
    imbot.kill()
    await stage.seconds(5)
    await stage.start(SILENCE)
    await stage.seconds(30)

    assert call.heard == ["Are you still there?"]


async def test_a_schedule_fires_on_the_quarter_and_once_for_what_was_missed(stage):
    """Nobody is called four times because imbot was down for an hour."""
    imbot = await stage.start(EVERY)
    await stage.seconds(3600 + 60)
    hour = len(stage.operations("InitiateIMSession"))
    imbot.kill()
    await stage.seconds(3600)
    await stage.start(EVERY)
    await stage.seconds(120)

    assert (hour, len(stage.operations("InitiateIMSession"))) == (4, 5)


@pytest.mark.parametrize(
    ("answer", "heard"), [("Ann", "Hello Ann."), (None, "Another time, then.")]
)
async def test_an_answer_is_waited_for(stage, answer, heard):
    await stage.start(ANSWER)
    call = stage.ring()
    await stage.seconds(20)
    if answer:
        call.say(answer)
    await stage.seconds(100)

    assert call.heard == ["Your name?", heard]


async def test_an_answer_is_waited_for_through_a_kill(stage):
    imbot = await stage.start(ANSWER)
    call = stage.ring()
    await stage.seconds(20)
    imbot.kill()
    await stage.seconds(5)
    await stage.start("version: 1\nrules: []\n")
    call.say("Ann")
    await stage.seconds(100)

    assert call.heard == ["Your name?", "Hello Ann."]
