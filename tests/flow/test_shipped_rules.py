"""What the rules that ship do, from ring to goodbye."""

from datetime import datetime
from pathlib import Path

import pytest

from imbot.loading import Wanted, make_rulebook
from imbot.pluginhost import PluginSettings, find_plugins
from imbot.shipped import shipped
from imbot.testing.rule_tests import Given, run_tests, test_files
from tests.flow.stage import AFTER_HOURS, CRM_SYNC, GREETING, MONDAY_NOON, staged

pytestmark = pytest.mark.looptime(noop_cycles=1)

IDLE = shipped("rules") / "idle_completion.yaml"
VIP = shipped("rules") / "vip_routing.yaml"
ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SURVEY = EXAMPLES / "05-survey" / "rules" / "survey.yaml"
OUTREACH = EXAMPLES / "06-outreach" / "rules" / "outreach.yaml"

TESTS = "*.test.yaml"

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


# Their own tests ------------------------------------------------------------------------------


def folders_with_tests():
    """Return each folder that ships tests of rules."""
    return sorted(
        {path.parent for path in (*EXAMPLES.rglob(TESTS), *(ROOT / "rules").rglob(TESTS))}
    )


@pytest.mark.parametrize("folder", folders_with_tests(), ids=lambda folder: folder.name)
def test_the_tests_that_ship_pass_and_see_each_condition_hold_and_not(folder, monkeypatch):
    """What a reader copies is wholly tested."""
    monkeypatch.chdir(ROOT)
    wanted = Wanted(find_plugins(PluginSettings(), with_options=False))
    own = Wanted(find_plugins(PluginSettings(paths=(folder / "src",)), with_options=False))
    rules = folder / "rules" if folder.parent == EXAMPLES else folder

    _, problems = make_rulebook([rules], own, today=MONDAY_NOON.date())
    assert problems == []
    report = run_tests(test_files([folder]), Given(wanted), with_coverage=True)

    assert [str(problem) for problem in report.problems] == []
    assert [result.test.name for result in report.results if not result.has_passed] == []
    assert report.results
    assert [str(gap) for gap in report.coverage.gaps()] == []


def test_every_example_and_every_rule_file_that_ships_has_tests():
    examples = {path.parent.parent for path in EXAMPLES.glob("0*/rules/*.yaml")}
    assert examples <= set(folders_with_tests())

    rules = {path.stem for path in (ROOT / "rules").glob("*.yaml") if ".test" not in path.name}
    assert all((ROOT / "rules" / f"{name}.test.yaml").is_file() for name in rules)


# Silence --------------------------------------------------------------------------------------


async def test_the_silent_are_asked_and_then_sent_off(stage):
    await stage.start(GREETING, IDLE)
    call = stage.ring()
    await stage.seconds(4 * 60)
    call.say("one moment")
    await stage.seconds(5 * 60 + 2)
    asked = call.heard[1:]
    await stage.seconds(2 * 60 + 2)

    assert [text[:9] for text in asked] == ["Are you s"]
    assert [text[:9] for text in call.heard[2:]] == ["I am clos"]
    assert call.user_data["imbot.reason"] == "idle"
    assert call.is_over


async def test_whoever_answers_is_not_sent_off(stage):
    """Also when imbot was killed between question and answer."""
    imbot = await stage.start(IDLE)
    call = stage.ring()
    await stage.seconds(5 * 60 + 10)
    imbot.kill()
    await stage.seconds(5)
    await stage.start(IDLE)
    call.say("I am here")
    await stage.seconds(4 * 60)

    assert [text[:9] for text in call.heard] == ["Are you s", "Thank you"]
    assert not call.is_over


# VIPs -----------------------------------------------------------------------------------------


def out(stage, number):
    """Return the sessions that agents began to a number."""
    return [s for s in stage.simulator.world.sessions() if s.callee.number == number]


def heard(session):
    return [line.text for line in session.transcript]


async def test_the_desk_of_a_vip_is_told_by_the_agent_who_is_free(tmp_path):
    """The CRM knows Ada as gold; whom we call is not greeted as a visitor, and in no CRM."""
    async with staged(tmp_path, users=("bot1", "bot2")) as stage:
        await stage.start(GREETING, CRM_SYNC, VIP, users=("bot1", "bot2"))
        call = stage.ring("3001")
        await stage.seconds(5)
        (desk,) = out(stage, "3100")

        assert heard(desk) == ["Ada (gold, number 3001) is talking to bot1."]
        assert not desk.is_live
        assert call.heard == [HELLO]
        assert call.user_data["vipDesk"] == "3100"
        assert not call.is_over
        assert stage.crm.interactions == {}


async def test_while_no_agent_is_free_the_desk_is_called_again(tmp_path):
    """An agent has one session; whoever is free first calls."""
    async with staged(tmp_path, users=("bot1", "bot2")) as stage:
        await stage.start(VIP, users=("bot1", "bot2"))
        other = stage.ring("4711", user="bot2")
        await stage.seconds(1)
        stage.ring("3001", tier="platinum")
        await stage.seconds(2)
        before = out(stage, "3110")
        other.hang_up()
        await stage.seconds(60)

        assert before == []
        assert [text.partition(" is")[0] for text in heard(*out(stage, "3110"))] == [
            "A customer (platinum, number 3001)"
        ]


async def test_with_one_agent_only_the_session_says_that_nobody_was_told(stage):
    await stage.start(VIP)
    call = stage.ring("3001", tier="gold")
    await stage.seconds(5 * 60)

    assert call.user_data["vipDesk"] == "unreached"


# Examples -------------------------------------------------------------------------------------


async def surveyed(stage):
    """Start the survey bot with its CRM on the stage."""
    text = SURVEY.read_text().replace("http://127.0.0.1:8092", "http://crm.test")
    return await stage.start(text)


async def test_a_survey_survives_the_bot_s_death_between_two_questions(stage):
    """Questions are asked once, answers are kept, and the CRM gets both."""
    imbot = await surveyed(stage)
    call = stage.ring("3001")
    await stage.seconds(1)
    call.say("thanks, bye")
    await stage.seconds(2)
    call.say("a lot")
    await stage.seconds(2)
    imbot.kill()
    await stage.seconds(30)
    await surveyed(stage)
    call.say("2")
    await stage.seconds(2)
    call.say("5")
    await stage.seconds(2)
    call.say("Be quicker.")
    await stage.seconds(3)

    assert [text.split(maxsplit=2)[:2] for text in call.heard] == [
        ["Before", "you"],
        ["Did", "we"],
        ["I", "can"],
        ["Were", "we"],
        ["I", "am"],
        ["Thank", "you,"],
    ]
    assert call.heard[-1] == "Thank you, Ada. Goodbye!"
    assert call.is_over
    assert stage.crm.interactions["survey", call.id] == {
        "helpful": "2",
        "friendly": "5",
        "comment": "Be quicker.",
    }


async def test_a_survey_without_a_crm_leaves_the_answers_with_the_session(stage):
    """And nobody waits for it to hear the questions."""
    del stage.servers["crm.test:80"]
    await surveyed(stage)
    call = stage.ring("3001")
    await stage.seconds(1)
    call.say("bye")
    await stage.seconds(2)
    asked = len(call.heard)
    for mark in "45":
        call.say(mark)
        await stage.seconds(2)
    await stage.seconds(10)

    assert asked == 2
    assert call.user_data["surveyLost"] == "4 5"
    assert call.heard[-1] == "Thank you, and come again. Goodbye!"
    assert call.is_over


@pytest.mark.parametrize(
    ("says", "ends_after_s", "noted"),
    [("hm, yes", 10, "yes"), (None, 16 * 60, "no answer")],
)
async def test_the_outreach_asks_at_nine_and_notes_how_it_ended(
    tmp_path, says, ends_after_s, noted
):
    """Also of a colleague who takes the session before GWS has said that it began."""
    start = MONDAY_NOON.replace(hour=7, minute=59)
    async with staged(tmp_path, start=start) as stage:
        await stage.start(OUTREACH.read_text().replace("http://127.0.0.1:8092", "http://crm.test"))
        await stage.seconds(63)
        (session,) = out(stage, "3003")
        if says:
            stage.simulator.world.say(session.id, says)
        await stage.seconds(ends_after_s)

        assert heard(session)[0].startswith("Good morning!")
        assert not session.is_live
        note = {"answer": noted, "number": "3003"}
        assert stage.crm.interactions == {("late-shift", "2026-03-02"): note}
