"""Traces: what happened, in the words of a test file; what is written is read back."""

from imbot.model import ConnectionChange, Participant
from imbot.problems import Place
from imbot.records import Effect as Kept
from imbot.records import EffectState
from imbot.testing.event_reading import participant_of
from imbot.testing.playing import Effect
from imbot.testing.script import (
    Answered,
    Connected,
    Posted,
    RuleTest,
    Said,
    Shown,
    Timed,
)
from imbot.testing.script_reading import START, read_script
from imbot.testing.tracing import answers_of, file_of
from tests.unit.rulebooks import ACTIONS
from tests.unit.store_samples import intent

PLACE = Place("s1")
PARTY = participant_of("3002")
ODD = Participant("+49 30 1", "1", "", "x")


def test_all_that_can_happen_is_written_and_read_back():
    """What the test says of a session, it says of the same session again."""
    happened = [
        Answered("https://crm.test", 409, b'{"a":1}', times=1),
        Shown("s1", "Alerting", {"tier": "012"}, PARTY, ("SendMessage",), "bot1"),
        Shown("s1", "Talking", {}, PARTY, None, "bot1"),
        Said(Shown("s1", agent="bot1"), "on: 'yes'\n"),
        Shown("s1", "Talking", {"tier": None, "x": "yes"}, PARTY, None, "bot1"),
        Connected("bot2", ConnectionChange.LOST, reason="reset"),
        Connected("bot2", ConnectionChange.GAP, (Shown("s2", "Talking", {}, ODD, None, "bot2"),)),
        Posted("news", {"n": [1]}),
    ]
    timed = tuple(Timed(number * 1250, what, PLACE) for number, what in enumerate(happened))
    test = RuleTest("session s1", PLACE, START, events=timed)

    text = file_of(test, (), rules=["rules"], nickname="Robin", secrets={"K": "https://k.secret"})
    script, problems = read_script("s1.test.yaml", text, ACTIONS)

    assert problems == []
    assert (script.nickname, script.rules, script.secrets) == ("Robin", ("rules",), {})
    (read,) = script.tests
    told = [each.what for each in read.events]
    assert [each.at_ms for each in read.events] == [each.at_ms for each in timed]
    assert told[0] == happened[0]
    assert [told[1].state, told[2].state, told[4].state] == ["Alerting", "Talking", None]
    assert (told[1].user_data, told[1].capabilities) == ({"tier": "012"}, ("SendMessage",))
    assert told[3].text == "on: 'yes'\n"
    assert told[4].user_data == {"tier": None, "x": "yes"}
    assert told[6].snapshot[0].participant == ODD
    assert told[7] == happened[7]


def test_arguments_are_expected_literally():
    """A reply between slashes is no search, and what was left out is not expected."""
    effects = (
        Effect(1500, "bot1", "s1", "reply", {"text": "/a.b/", "to": None}, "r", "r.yaml:1:1"),
        Effect(1500, "bot2", "", "http", {"get": "https://k.secret/x"}, "r", "r.yaml:1:1"),
        Effect(1500, "bot1", "s1", "unset", ["a"], "r", "r.yaml:1:1"),
    )
    shown = Timed(0, Shown("s1", "Talking", {}, PARTY), PLACE)
    test = RuleTest("t", PLACE, START, events=(shown,))
    secrets = {"K": "https://k.secret", "L": "https://l.secret"}

    text = file_of(test, effects, rules=["r.yaml"], nickname="Bot", secrets=secrets)
    script, problems = read_script("s1.test.yaml", text, ACTIONS)

    assert problems == []
    assert script.secrets == {"K": "https://k.secret"}
    assert [(each.at_ms, each.agent, each.value) for each in script.tests[0].expect] == [
        (1500, "", {"text": r"/^/a\.b/$/"}),
        (1500, "bot2", {"get": "https://k.secret/x"}),
        (1500, "", ["a"]),
    ]


def test_answers_are_those_of_the_ledger():
    """The test asks nobody."""
    posted = intent(1)._replace(operation="POST https://crm.test")
    kept = [
        Kept(posted, EffectState.ACCEPTED, {"status": 201, "text": "ok", "headers": {}}),
        Kept(intent(2), EffectState.CONFIRMED),
    ]

    assert answers_of(kept) == (Answered("https://crm.test", 201, b"ok", times=1),)
