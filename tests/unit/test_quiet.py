"""A bot keeps quiet while a person types under its name."""

import pytest

from imbot.model import MessageNotice, Reason
from imbot.testing.house import build

pytestmark = pytest.mark.looptime

RULES = """
version: 1
rules:
  - {id: answer, trigger: {message: any}, do: [{reply: hi}]}
  - {id: count, trigger: {message: any}, do: [{set: {seen: "1"}}]}
"""


async def test_replies_wait_five_minutes_after_a_person_typed_as_the_bot():
    """Two answers to one question confuse; user data disturb nobody."""
    house = build(RULES)
    await house.state("Talking")
    await house.hear(MessageNotice("s1", "I take over", house.clock.now(), sender="bot1"))
    await house.clock.sleep(60)
    await house.say("x")

    assert house.said() == []
    (no,) = house.suppressed()
    assert (no.rule_id, no.reason) == ("answer", Reason.QUIET)
    assert no.detail == "somebody typed as bot1 1m ago, quiet for 5m"
    assert house.gws["bot1"].named("UpdateUserData")

    await house.clock.sleep(240)
    await house.say("y")
    assert house.said() == ["hi"]


async def test_where_nobody_names_the_sender_no_rule_keeps_quiet():
    """The words of a person cannot be told from the other party's then."""
    house = build(RULES)
    await house.state("Talking")
    await house.say("I take over")

    assert house.said() == ["hi"]


async def test_nothing_is_kept_of_who_typed_in_a_session_that_is_over():
    """The echo of a last word may come behind the end, and nobody would ever forget it."""
    house = build(RULES)
    await house.state("Talking")
    await house.state("Completed")
    for session_id in ("s1", "s9"):
        notice = MessageNotice(session_id, "bye", house.clock.now(), sender="bot1")
        await house.hear(notice)

    assert house.flow.world.guard._talks == {}
