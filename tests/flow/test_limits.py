"""What holds a whole imbot back: budgets and breakers, over kills and starts on a real store."""

import pytest

from imbot.admin.story import timeline
from imbot.model import Reason
from tests.flow.stage import CRM

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(60)]

ANSWER = """
version: 1
rules:
  - id: answer
    trigger: {message: any}
    loop_guard: false
    do: [{reply: "You said {{ message.text }}."}]
"""

LOOK_UP = f"""
version: 1
rules:
  - id: look_up
    trigger: {{message: any}}
    do: [{{http: {{get: "http://{CRM}/nowhere"}}}}]
"""


GREET = f"""
version: 1
rules:
  - id: greet
    trigger: {{message: any}}
    loop_guard: false
    do:
      - http: {{get: "http://{CRM}/nowhere"}}
        on_error: [{{reply: "Good day."}}]
"""


def suppressed(stage):
    """Return every suppression that the store knows, the oldest first."""
    with stage.views() as views:
        return [(no.reason, no.detail) for event in views.events() for no in event.suppressed]


async def talk(stage, call, *words):
    for word in words:
        call.say(word)
        await stage.seconds(1)


async def killed_and_started(stage, imbot, *rules, **parts):
    imbot.kill()
    await stage.seconds(1)
    imbot = await stage.start(*rules, **parts)
    await stage.seconds(1)
    return imbot


@pytest.mark.parametrize(
    ("budget", "detail"),
    [
        ({"per_minute": 2}, "2 effects of all rules within a minute, the daemon's budget is 2"),
        ({"per_session": 2}, "2 effects of all rules in this session, the session's budget is 2"),
    ],
)
async def test_a_budget_of_the_settings_holds_over_a_kill(stage, budget, detail):
    """A bot that dies of what it does must not begin anew each time."""
    imbot = await stage.start(ANSWER, budget=budget)
    call = stage.ring("3001")
    await stage.seconds(1)
    await talk(stage, call, "a", "b")
    await killed_and_started(stage, imbot, ANSWER, budget=budget)
    await talk(stage, call, "c")

    assert call.heard == ["You said a.", "You said b."]
    assert suppressed(stage) == [(Reason.BUDGET, detail)]


async def test_a_breaker_stays_open_over_a_kill_and_closes_for_a_changed_rule(stage):
    imbot = await stage.start(LOOK_UP)
    call = stage.ring("3001")
    await stage.seconds(1)
    await talk(stage, call, *"abcde")
    imbot = await killed_and_started(stage, imbot, LOOK_UP)
    await talk(stage, call, "f")
    ((reason, detail),) = suppressed(stage)
    assert reason is Reason.BREAKER
    assert detail.startswith("http failed 5 times in a row, last: HTTP 404")

    await killed_and_started(stage, imbot, LOOK_UP + "    priority: 1\n")
    await talk(stage, call, "g")

    assert len(suppressed(stage)) == 1


async def test_with_the_crm_down_everybody_is_greeted_and_one_a_minute_asks_it(stage):
    """The rule says what to do without it; also after a kill, and the story says why."""
    imbot = await stage.start(GREET)
    call = stage.ring("3001")
    await stage.seconds(1)
    await talk(stage, call, *"abcde")
    await killed_and_started(stage, imbot, GREET)
    await talk(stage, call, "f")
    await stage.seconds(60)
    await talk(stage, call, "g", "h")

    assert call.heard == ["Good day."] * 8
    assert suppressed(stage) == []
    with stage.views() as views:
        [history] = views.session(call.id)
    failed = [line.details for line in timeline(history) if "on_error" in line.details]
    assert [detail.partition(":")[0] for detail in failed] == ["do/0 failed, permanent"] * 5 + [
        "do/0 failed, temporary",
        "do/0 failed, permanent",
        "do/0 failed, temporary",
    ]
    assert failed[5].startswith(
        "do/0 failed, temporary: the breaker is open: http failed 5 times in a row, last: HTTP 404"
    )
    assert failed[5].endswith("; its on_error went on")
