"""What the rules that ship do, from ring to goodbye."""

from datetime import datetime

import pytest

from tests.flow.stage import AFTER_HOURS, CRM_SYNC, GREETING, staged

pytestmark = pytest.mark.looptime(noop_cycles=1)

HELLO = "Hello 3001, you reached Robin. How can I help?"


async def test_a_caller_is_greeted_tagged_and_sent_off(stage):
    """The whole of imbot in one conversation."""
    await stage.start(GREETING)
    call = stage.ring("3001")
    await stage.seconds(2)
    assert call.heard == [HELLO]
    assert call.user_data == {"greeted": "yes"}

    call.say("Thanks, that is all")
    await stage.seconds(2)

    assert call.heard[1:] == ["Thank you, and goodbye."]
    assert call.user_data == {"greeted": "yes", "closedBy": "bot", "imbot.reason": "goodbye"}
    assert call.is_over


@pytest.mark.parametrize(
    ("moment", "opening"),
    [
        ("2026-03-02T19:00:00+01:00", "2026-03-03 08:00"),
        ("2026-12-25T12:00:00+01:00", "2026-12-28 08:00"),
        ("2026-05-01T12:00:00+02:00", "2026-05-04 08:00"),
    ],
    ids=["evening", "Christmas", "Labour Day"],
)
async def test_out_of_hours_a_caller_learns_when_to_come_back(tmp_path, moment, opening):
    """The calendar decides, whatever day the machine thinks it is."""
    async with staged(tmp_path, start=datetime.fromisoformat(moment)) as stage:
        await stage.start(GREETING, AFTER_HOURS)
        call = stage.ring("3001")
        await stage.seconds(3)

        assert call.heard == [f"We are closed now and open again {opening}."]
        assert call.user_data["afterHours"] == "yes"
        assert call.is_over


SHORT_DAY = """
version: 1
calendars:
  support:
    timezone: Europe/Berlin
    open: {mon-fri: "08:00-18:00"}
    exceptions: {"2026-12-24": "08:00-12:00"}
rules:
  - id: short-day
    trigger: {state: Talking}
    when: closed("support")
    do:
      - reply: "Back {{ next_open('support') | localtime('support') }}"
"""


@pytest.mark.parametrize(
    ("moment", "heard"), [("11:59:50", []), ("12:00:00", ["Back 2026-12-25 08:00"])]
)
async def test_on_the_24th_the_day_ends_at_noon(tmp_path, moment, heard):
    """An exception of the calendar holds to the second."""
    start = datetime.fromisoformat(f"2026-12-24T{moment}+01:00")
    async with staged(tmp_path, start=start) as stage:
        await stage.start(SHORT_DAY)
        call = stage.ring()
        await stage.seconds(3)

        assert call.heard == heard


async def test_the_customer_is_looked_up_and_the_interaction_left_with_them(stage):
    """CRM sync by the standard plugin, from the first word to the last."""
    await stage.start(GREETING, CRM_SYNC)
    call = stage.ring("3001")
    await stage.seconds(2)
    assert call.user_data["customerId"] == "C-17"
    assert call.user_data["firstName"] == "Ada"

    call.say("bye")
    await stage.seconds(2)

    written = stage.crm.interactions["C-17", call.id]
    assert written["number"] == "3001"
    assert written["reason"] == "goodbye"


async def test_a_crm_that_comes_back_gets_what_it_missed(stage):
    """The write at the end is tried for a minute or so."""
    await stage.start(CRM_SYNC)
    call = stage.ring("3001")
    await stage.seconds(2)
    crm = stage.servers.pop("crm.test:80")
    stage.imbots[0].networks[0].cut()
    stage.imbots[0].networks[0].mend()
    call.hang_up()
    await stage.seconds(3)
    assert not stage.crm.interactions

    stage.servers["crm.test:80"] = crm
    await stage.seconds(60)

    assert ("C-17", call.id) in stage.crm.interactions


async def test_a_stranger_is_greeted_without_the_crm(stage):
    """Nobody has this number; that is an answer and no failure."""
    await stage.start(GREETING, CRM_SYNC)
    call = stage.ring("4711")
    await stage.seconds(2)

    assert call.heard == ["Hello 4711, you reached Robin. How can I help?"]
    assert "customerId" not in call.user_data
