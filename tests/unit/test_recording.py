"""Events as JSON lines: what is written is read back, and mistakes have a place."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.engine.recording import read_situation, read_situations, to_line
from imbot.engine.situation import Situation
from imbot.errors import RulebookError
from imbot.model import Event, EventKind, ImSession, Participant, Reason, Suppressed

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
_moments = st.integers(-(10**15), 10**15).map(lambda us: NOW + timedelta(microseconds=us))
_texts = st.text(max_size=8)
_sessions = st.builds(
    ImSession,
    _texts,
    _texts,
    st.dictionaries(_texts, _texts | st.integers(-9, 9) | st.none(), max_size=2),
    st.lists(st.builds(Participant, _texts), max_size=2).map(tuple),
    st.none() | st.just(()) | st.just(("SendMessage",)),
)
_events = st.builds(
    Event,
    _texts.filter(bool),
    st.just(EventKind.MESSAGE),
    _moments,
    _moments,
    _texts.filter(bool),
    _sessions,
    st.fixed_dictionaries({"text": _texts}),
    st.booleans(),
)
_situations = st.builds(
    Situation,
    _events,
    _moments,
    said=st.lists(_texts, min_size=1, max_size=2).map(tuple),
    mine=st.booleans(),
    started_at=st.none() | _moments,
    marks=st.dictionaries(st.tuples(_texts, _texts), _moments, max_size=2),
    running=st.lists(st.tuples(_texts, _texts), max_size=2).map(tuple),
    spent=st.dictionaries(_texts, st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=2),
    breakers=st.dictionaries(_texts, _texts.filter(bool), max_size=2),
    quiet=_texts,
    ran=st.none() | st.lists(_texts, max_size=2).map(tuple),
    suppressed=st.lists(
        st.builds(Suppressed, _texts, st.sampled_from(Reason), _texts), max_size=2
    ).map(tuple),
)


@given(_situations)
def test_what_is_written_is_read_back(situation):
    """A recording is worth what can be read of it."""
    line = to_line(situation)

    assert "\n" not in line
    assert read_situation("e.json", line, now=NOW) == situation


def test_a_hand_written_event_needs_hardly_anything():
    found = read_situation(
        "e.json", '{"kind": "message", "session": {}, "fields": {"text": "hi"}}', now=NOW
    )

    assert found.event.session == ImSession("s1", "Talking")
    assert (found.event.at, found.now, found.said) == (NOW, NOW, ("hi",))


def test_schedules_have_no_agent_and_a_moment():
    line = '{"kind": "schedule", "fields": {"schedule": "x", "scheduled_at": "2026-03-02T12:00Z"}}'
    event = read_situation("e.json", line, now=NOW).event

    assert event.agent == ""
    assert event.fields["scheduled_at"] == NOW


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"kind":', "e.json:1:9: error[wrong-event]: this is no JSON"),
        ("[1]", "e.json:1:1: error[wrong-event]: an event: an object is due here"),
        ("{}", "e.json:1:1: error[missing-key]: 'kind' is missing; add 'kind'"),
        ('{\n "kind": "mesage"}', "e.json:2:10: error[wrong-event]: kind: must be 'state'"),
        ('{"kind": "state"}', 'a state event needs a session; add "session": {}'),
        ('{"kind": "state", "sesion": {}}', "did you mean 'session'?"),
        ('{"kind": "state", "session": {"sate": "x"}}',
         "1:39: error[unknown-key]: an event has no 'session.sate'; did you mean 'state'?"),
        ('{"kind": "message", "session": {}}', "needs text in fields.text"),
        ('{"kind": "idle", "session": {}}', ": an idle event needs a number in fields.idle; add"),
        ('{"kind": "state", "kind": "idle", "session": {}, "fields": {"idle": 3}}',
         "e.json:1:19: error[duplicate-key]: 'kind' stands here a second time"),
        ('{"kind": "calendar", "fields": {"calendar": "c", "edge": "opns"}}',
         "fields.edge must be one of opens, closes; did you mean 'opens'?"),
        ('{"kind": "state", "session": {}, "now": "2026-03-02T09:00:00"}',
         "1:41: error[wrong-event]: now: does not say in which zone; write one such as 2026-03"),
        ('{"kind": "state", "session": {}, "spent": [{"rule": "r", "minute": 100000000}]}',
         "1:68: error[wrong-event]: spent.0.minute: must be less than or equal to 100000"),
        ('{"kind": "idle", "session": {}, "fields": {"idle": true}}', "needs a number in"),
        ('{"kind": "userdata", "session": {}, "fields": {"changed": {"a": 1}}}',
         "fields.changed must say for each key"),
        ('{"kind": "connection", "fields": {"change": "los"}}', "did you mean 'lost'?"),
        ('{"kind": "state", "session": {}, "at": 5}', "at: must be a moment with a zone"),
        ('{"kind": "state", "session": {}, "at": "2026-03-02T12:00:00"}', "at: "),
        ('{"kind": "state", "session": {"participants": [{"digits": 1}]}}',
         "1:59: error[wrong-event]: session.participants.0.digits: must be a valid string"),
        ('{"kind": "connection", "fields": {"change": "gap", "seconds": "3"}}', "a number in"),
        ('{"kind": "idle", "session": {}, "fields": {"idle": 1e300}}', "needs a number in"),
        ('{"kind": "state", "session": {}, "at": "9999-12-31T23:59:59Z"}', "from 1970 to 2200"),
        ("{" * 200, "this is no JSON"),
    ],
)  # fmt: skip
def test_a_mistake_has_its_place_and_its_cure(text, told):
    with pytest.raises(RulebookError) as raised:
        read_situation("e.json", text, now=NOW)

    assert told in str(raised.value)


def test_in_a_recording_every_mistake_has_its_line():
    good = '{"kind": "state", "session": {}}'

    with pytest.raises(RulebookError) as raised:
        read_situations("day.jsonl", f'{good}\n\n{{"kind": "x"}}\n{good}\n[]\n', now=NOW)

    places = [problem.place.line for problem in raised.value.problems]
    assert places == [3, 5]
    assert len(read_situations("day.jsonl", f"{good}\n{good}\n", now=NOW)) == 2


@given(st.recursive(st.none() | st.booleans() | st.integers() | _texts | st.just("state"),
                    lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from(["kind", "session", "fields", "id", "at",
                                                       "marks", "x"]), inner, max_size=4),
                    max_leaves=8))  # fmt: skip
def test_any_json_is_read_or_refused_with_a_place(value):
    """Nobody is shown a stack trace for what they wrote."""
    problems = ()
    try:
        read_situation("e.json", json.dumps(value), now=NOW)
    except RulebookError as error:
        problems = error.problems

    assert all(problem.place.line for problem in problems)
