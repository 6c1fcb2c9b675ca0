"""Test files are read: what an author writes, and every mistake in its place."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imbot.model import ConnectionChange, Participant
from imbot.testing.event_reading import participant_of
from imbot.testing.script import (
    Answered,
    Busied,
    Connected,
    Posted,
    Reloaded,
    Restarted,
    Said,
    Shown,
)
from imbot.testing.script_reading import START, read_script, search_of
from tests.unit.rulebooks import ACTIONS


def read(text):
    script, problems = read_script("rules/f.test.yaml", text, ACTIONS)
    assert [str(problem) for problem in problems] == []
    return script


def events(*lines):
    """Return what happens in a test of these events, in which s1 is shown."""
    body = "\n".join(f"      - {line}" for line in lines)
    shown = "      - {at: 0s, session: s1, state: Talking}"
    script = read(f"tests:\n  - name: t\n    events:\n{shown}\n{body}\n")
    return script.tests[0].events[1:]


def told(text):
    script, problems = read_script("f.test.yaml", text, ACTIONS)
    assert script is None
    return [str(problem).removeprefix("f.test.yaml:") for problem in problems]


def wrong(event="", expect=""):
    """Return what is said about a test with one more event or expectation, in line 5."""
    first = "{at: 0s, session: s1, state: Talking}"
    if event:
        return told(f"tests:\n  - name: t\n    events:\n      - {first}\n      - {event}\n")
    head = f"tests:\n  - name: t\n    events: [{first}]\n    expect:\n"
    return told(f"{head}      - {expect}\n")


def test_the_file_and_its_tests():
    """Everything that stands beside events and expectations."""
    script = read("""
version: 1
rules: [a.yaml, ../b.yaml]
bot: {nickname: Robin}
options: {crm: {url: "http://crm.test"}}
secrets: {TOKEN: "007"}
tests:
  - name: one
    start: 2026-03-02T09:00:00+01:00
    only: false
  - {name: two, events: [], expect: []}
""")
    assert script.rules == ("rules/a.yaml", "b.yaml")
    assert script.nickname == "Robin"
    assert script.options == {"crm": {"url": "http://crm.test"}}
    assert script.secrets == {"TOKEN": "007"}
    one, two = script.tests
    assert (one.name, one.only, one.start.isoformat()) == (
        "one",
        False,
        "2026-03-02T09:00:00+01:00",
    )
    assert (two.only, two.start, two.end_ms, two.agents) == (True, START, 0, ("bot1",))


def test_every_kind_of_event():
    """What can happen to rules, as the page on rules lists it."""
    found = [
        (timed.at_ms, timed.what)
        for timed in events(
            '{at: 1s, session: s1, state: Completed, participant: "+49 1", userData: {n: 1.50}}',
            "{at: 2s, session: s1, message: 007, agent: bot2}",
            "{at: 3s, session: s1, userdata: {vip: true, gone: null, all: {a: 1}}}",
            "{at: 4s, session: s1, capabilities: []}",
            "{at: 5s, connection: lost, agent: bot2}",
            "{at: 6s, connection: gap, snapshot: [{session: s1, state: Talking}], reason: r}",
            "{at: 7s, webhook: {name: w, body: {a: [1]}}}",
            "{at: 8s, webhook: w}",
            "{at: 9s, restart: kill}",
            "{at: 10s, reload: [b.yaml]}",
            "{at: 11s, http: {match: x, status: 503, json: {a: 1}, times: 2}}",
            "{at: 12s, http: {text: hi}}",
            "{at: 13s, busy: true}",
            "{at: 14s, agent: bot2, busy: false}",
            "{at: 15s, session: s1, message: hm, own: true}",
        )
    ]
    assert [at_ms for at_ms, _ in found] == [1000 * second for second in range(1, 16)]
    assert [what for _, what in found] == [
        Shown("s1", "Completed", {"n": "1.50"}, Participant("+49 1", "491", "+49 1", "+49 1")),
        Said(Shown("s1", agent="bot2"), "007"),
        Shown("s1", None, {"vip": "true", "gone": None, "all": {"a": 1}}),
        Shown("s1", capabilities=()),
        Connected("bot2", ConnectionChange.LOST),
        Connected("bot1", ConnectionChange.GAP, (Shown("s1", "Talking", agent="bot1"),), "r"),
        Posted("w", {"a": [1]}),
        Posted("w"),
        Restarted(is_killed=True),
        Reloaded(("rules/b.yaml",)),
        Answered("x", 503, b'{"a":1}', 2),
        Answered("", 200, b"hi"),
        Busied("bot1", is_busy=True),
        Busied("bot2", is_busy=False),
        Said(Shown("s1"), "hm", is_own=True),
    ]


def test_answers_without_a_time_hold_from_the_start_and_events_are_sorted_by_time():
    later = "{at: 5s, session: s1, message: b}"
    found = events(later, "{at: 1s, session: s1, message: a}", "{http: {}}")
    assert [timed.at_ms for timed in found] == [0, 1000, 5000]


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-03-02T09:00:00Z", "2026-03-02T09:00:00+00:00"),
        ("2026-03-02 09:00:00+01:00", "2026-03-02T09:00:00+01:00"),
        ("2026-07-01T09:00 Europe/Berlin", "2026-07-01T09:00:00+02:00"),
        ("2026-07-01 09:00 UTC", "2026-07-01T09:00:00+00:00"),
    ],
)
def test_a_start_is_a_moment_with_a_zone(written, moment):
    script = read(f"tests: [{{name: t, start: '{written}'}}]")
    assert script.tests[0].start == datetime.fromisoformat(moment)


def test_hours_are_counted_over_the_switch_to_winter_time():
    """A night of 25 hours: what a zone says at the start holds for the whole test."""
    script = read("tests: [{name: t, start: '2026-10-25T00:00 Europe/Berlin'}]")
    later = script.tests[0].start + timedelta(hours=5)
    assert later.astimezone(UTC) == datetime(2026, 10, 25, 3, tzinfo=UTC)


def test_a_participant_may_be_all_four_fields():
    (timed,) = events("{at: 0s, session: s1, state: Talking, participant: {digits: 3}}")
    assert timed.what.participant == Participant(digits="3")
    assert participant_of("anna").digits == "anna"


@pytest.mark.parametrize(
    ("event", "line"),
    [
        ("{}", "5:9: error[missing-key]: an event in which nothing happens; add one of state, "),
        ("[]", "5:9: error[wrong-type]: 'an event' must be a mapping, not a list; write it like"),
        ("{at: 0s}", "5:9: error[missing-key]: an event in which nothing happens; add one of"),
        (
            "{at: 1s, session: s1, stat: Talking}",
            "5:31: error[unknown-event]: 'stat' is no kind of event; did you mean 'state'?",
        ),
        (
            "{at: 1s, session: s1, state: Talkin}",
            "5:38: error[unknown-word]: 'Talkin' is no session state; did you mean 'Talking'?",
        ),
        (
            "{at: 1s, session: s1, state: Talking, message: hi}",
            "5:47: error[two-kinds]: state and message in one event; make two events of it",
        ),
        (
            "{at: 1s, session: s2, message: hi}",
            "5:27: error[unknown-session]: session 's2' is never shown in this test; begin with",
        ),
        ("{at: 1s, message: hi}", "5:9: error[missing-key]: it does not say which session; add"),
        ("{session: s1, message: hi}", "5:9: error[missing-key]: an event without 'at'; add"),
        ("{at: 3, session: s1, message: hi}", "5:14: error[bad-duration]: '3' is no duration; it"),
        (
            "{at: 1s, session: s1, mesage: hi, userData: {}}",
            "5:31: error[unknown-key]: unknown key 'mesage' in a userdata event; known: agent",
        ),
        (
            "{at: 1s, connection: lots}",
            "5:30: error[unknown-word]: 'lots' is no connection change; did you mean 'lost'?",
        ),
        (
            "{at: 1s, connection: lost, snapshot: []}",
            "5:36: error[unknown-key]: 'snapshot' of a connection that is lost; write it where",
        ),
        (
            "{at: 1s, connection: restored, snapshot: [{session: s1, stat: Talking}]}",
            "5:65: error[unknown-key]: unknown key 'stat' in a session of the snapshot; did you",
        ),
        ("{at: 1s, busy: maybe}", "5:24: error[wrong-type]: 'busy' must be true or false, not"),
        (
            "{http: {match: x, json: {}, text: hi}}",
            "5:37: error[two-kinds]: json and text in one answer; remove one: an answer has one",
        ),
        ("{at: 1s, restart: now}", "5:27: error[unknown-word]: 'now' is no kind of restart; known"),
        ("{at: 1s, reload: []}", "5:26: error[empty]: reload names nothing; name at least one"),
        ("{at: 1s, webhook: {}}", "5:27: error[missing-key]: a webhook without 'name'; add it"),
        (
            "{at: 1s, webhook: }",
            "5:27: error[wrong-type]: 'webhook' must be a mapping, not nothing",
        ),
        (
            "{http: {match: x, state: 200}}",
            "5:27: error[unknown-key]: unknown key 'state' in an HTTP answer; did you mean",
        ),
        ("{http: {status: 99}}", "5:25: error[out-of-range]: 'status' is 99; write 100 to 599"),
        ("{http: x}", "5:16: error[wrong-type]: 'http' must be a mapping, not 'x'; write {match"),
    ],
)
def test_each_mistake_in_an_event_is_told_with_its_cure(event, line):
    """Nothing is passed over: an event that is not understood would make a test that shows less."""
    (said,) = wrong(event=event)
    assert said.startswith(line)


@pytest.mark.parametrize(
    ("expect", "line"),
    [
        (
            "{at: 0s, session: s1, replay: hi}",
            "5:31: error[unknown-action]: no action is called 'replay'; did you mean 'reply'?",
        ),
        (
            "{at: 0s, session: s1, reply: hi, set: {}}",
            "5:42: error[two-actions]: reply and set in one expectation; make two expectations",
        ),
        ("{at: 0s, session: s1}", "5:9: error[no-action]: an expectation without an action; write"),
        ("{session: s1, reply: hi}", "5:9: error[missing-key]: an expectation without 'at'; add"),
        ("{at: 0s, session: s3, reply: hi}", "5:27: error[unknown-session]: session 's3' is never"),
        (
            "{at: 0s, session: s1, reply: /(/}",
            "5:38: error[bad-pattern]: '(' is no pattern: missing ): (; close the (",
        ),
        ("hi", "5:9: error[wrong-type]: 'an expectation' must be a mapping, not 'hi'; write it"),
    ],
)
def test_each_mistake_in_an_expectation_is_told_with_its_cure(expect, line):
    (said,) = wrong(expect=expect)
    assert said.startswith(line)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[]", "1:1: error[wrong-type]: 'a test file' must be a mapping, not a list; begin"),
        ("rules: [a.yaml]", "1:1: error[missing-key]: a test file without 'tests'; add 'tests:'"),
        ("tests: []", "1:8: error[empty]: 'tests' lists nothing; add a test"),
        ("tests: [{}]", "1:9: error[missing-key]: a test without 'name'; add 'name: …'"),
        ("tests: [{name: a}, {name: a}]", "1:27: error[duplicate-test]: a second test 'a'; first"),
        ("rulse: [a]\ntests: [{name: a}]", "1:1: error[unknown-key]: unknown key 'rulse' in a te"),
        ("tests: [{name: a, expects: []}]", "1:19: error[unknown-key]: unknown key 'expects' in"),
        ("tests: [{name: a, only: 3}]", "1:25: error[wrong-type]: 'only' must be true or false"),
        (
            "tests: [{name: a, start: '2026-03-02T09:00:00'}]",
            "1:26: error[bad-date]: '2026-03-02T09:00:00' does not say in which zone; write such",
        ),
        (
            "tests: [{name: a, start: 0001-01-01T00:00:00+14:00}]",
            "1:26: error[bad-date]: '0001-01-01T00:00:00+14:00' is not a moment from 1970 to 2200",
        ),
        ("tests: [{name: ' '}]", "1:16: error[empty]: a test without a name; name it"),
        ("tests: [{name: a, start: soon}]", "1:26: error[bad-date]: 'soon' is no moment; write"),
        (
            "tests: [{name: a, start: 2026-03-02 Europe/Berlim}]",
            "1:26: error[bad-date]: '2026-03-02 Europe/Berlim' is no moment; write such",
        ),
    ],
)
def test_each_mistake_of_the_file_is_told_with_its_cure(text, line):
    (said,) = told(text)
    assert said.startswith(line)


def test_a_test_with_a_mistake_is_not_blamed_for_what_follows_from_it():
    """The session is not shown because its state is misspelt; that is said once."""
    said = told("""
tests:
  - name: t
    events: [{at: 0s, session: s1, state: Talkin}]
    expect: [{at: 0s, session: s1, reply: hi}]
""")
    assert len(said) == 1


def test_sessions_that_the_bot_begins_are_named_by_what_is_expected():
    script = read("""
tests:
  - name: t
    events: [{at: 5s, session: out, state: Talking, agent: bot3}]
    expect: [{at: 0s, session: out, initiate: {to: 3003}}, {at: 5s, session: out, reply: hi}]
""")
    assert script.tests[0].begun == ("out",)
    assert script.tests[0].agents == ("bot1", "bot3")


@pytest.mark.parametrize(
    ("expect", "problem"),
    [
        ("reply: {txt: Hello}", "'reply' has no 'txt'; did you mean 'text'?"),
        ("http: {pots: 'https://a.example/x'}", "'http' has no 'pots'; did you mean 'post'?"),
        ("initiate: {too: 3003}", "'initiate' has no 'too'; did you mean 'to'?"),
        ("crm.upsert: {jsn: {a: b}}", "'crm.upsert' has no 'jsn'; did you mean 'json'?"),
    ],
)
def test_a_misspelt_argument_is_told_before_anything_is_played(expect, problem):
    """Else the difference to what came is all that an author sees."""
    (line,) = wrong(expect=f"{{at: 0s, session: s1, {expect}}}")

    assert line.endswith(f"error[unknown-argument]: {problem}")


def test_keys_of_user_data_are_no_arguments():
    assert read("tests:\n  - name: t\n    expect: [{at: 0s, set: {any: thing}}]\n")


def test_a_misspelt_capability_is_told_and_another_one_may_be_new():
    """GWS may list what imbot does not know."""
    listed = "capabilities: [SendMesage, Complete, Whisper, Accept]"

    assert wrong(f"{{at: 1s, session: s1, state: Talking, {listed}}}") == [
        (
            "5:62: error[unknown-capability]: unknown capability 'SendMesage'; "
            "did you mean 'SendMessage'?"
        )
    ]


def test_a_text_between_slashes_is_a_search():
    assert search_of("/^a/") == "^a"
    assert search_of("/") is None
    assert search_of("/a") is None


def test_the_files_that_ship_can_be_read():
    root = Path(__file__).parents[2]
    found = [*root.glob("rules/*.test.yaml"), *root.glob("examples/*/*.test.yaml")]
    for path in found:
        actions = {**ACTIONS, "faq.answer": ACTIONS["set"]}
        _script, problems = read_script(str(path), path.read_bytes(), actions)
        assert problems == []
    assert found


@settings(deadline=None)
@given(
    st.text(
        alphabet=st.sampled_from(list("{}[]:,-'\"/\n 01as")) | st.characters(codec="utf-8"),
        max_size=80,
    )
)
def test_no_text_brings_the_reader_down(text):
    """Whatever stands in the file, there is a script or there are problems with a place."""
    inside = f"tests:\n  - name: t\n    events: [{text}]\n"
    for written in (text, inside):
        script, problems = read_script("f.test.yaml", written, ACTIONS)
        assert (script is None) == bool(problems)
        assert all(problem.place.path == "f.test.yaml" for problem in problems)
