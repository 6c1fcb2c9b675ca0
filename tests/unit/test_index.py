"""Rules of imbot/rulebook/index.py, narrowing.py, texttests.py and imbot/engine/matching.py.

Nothing is missed, and what is found without being asked does match.
"""

from datetime import UTC, datetime

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from imbot.engine.matching import match
from imbot.model import ConnectionChange, Event, EventKind, ImSession
from imbot.problems import Place
from imbot.rulebook import texttests
from imbot.rulebook.expressions import parse
from imbot.rulebook.index import Index, trigger_holds
from imbot.rulebook.schedules import Every
from imbot.rulebook.schema import (
    CalendarTrigger,
    ConnectionTrigger,
    End,
    IdleTrigger,
    MessageTrigger,
    Program,
    Rule,
    ScheduleTrigger,
    StateTrigger,
    TextTest,
    UserdataTrigger,
    WebhookTrigger,
)
from imbot.rulebook.scope import Known, Names
from imbot.rulebook.texttests import TextTests, key_of, passes

AT = datetime(2026, 3, 2, tzinfo=UTC)
HERE = Place("f.yaml", 1, 1)
NAMES = Names.for_trigger(frozenset(EventKind)).with_vars({"limit": "5"})


def rule(number, trigger, when=None, **policy):
    condition = None
    if when is not None:
        condition, problems = parse(when, lambda *_: HERE, NAMES, Known())
        assert not problems, problems
    return Rule(
        id=f"r{number}",
        place=HERE,
        version="",
        order=number,
        triggers=trigger if isinstance(trigger, tuple) else (trigger,),
        program=Program((End(),)),
        when=condition,
        vars={"limit": "5"},
        **policy,
    )


def event(kind, *, state="Talking", user_data=None, own=False, **fields):
    session = ImSession("s1", state, user_data or {})
    return Event("e1", kind, AT, AT, "bot1", session, fields, own=own)


def alone(kind, **fields):
    """Return an event without agent and session."""
    return Event("imbot:1", kind, AT, AT, "", None, fields)


def scope(of):
    session = of.session or ImSession("", "")
    return {
        "session": {"id": "s1", "state": session.state, "userData": dict(session.user_data)},
        "event": {"kind": of.kind.value, **of.fields},
        "message": {"text": of.fields.get("text")},
        "participant": {},
    }


def by_hand(rules, of):
    """Return the ids of the rules that match, each asked by itself."""
    return [
        each.id
        for each in rules
        if each.enabled
        and any(trigger_holds(trigger, of) for trigger in each.triggers)
        and (each.when is None or each.when.holds({**scope(of), "vars": {"limit": "5"}}, None))
    ]


def by_index(rules, of):
    """Return the ids of the rules that match, and of all candidates."""
    index = Index(rules)
    matching = match(of, index, scope(of), None)
    candidates = index.candidates(of, scope(of))
    return [each.id for each in matching], [each.rule.id for each in candidates]


HOURLY = Every(3600, "UTC")
TALKING = StateTrigger(frozenset({"Talking"}))


@pytest.mark.parametrize(
    ("trigger", "started", "not_started"),
    [
        (
            TALKING,
            event(EventKind.STATE, previous="Alerting"),
            event(EventKind.STATE, state="Completed", previous="Talking"),
        ),
        (
            StateTrigger(None, frozenset({"Alerting"})),
            event(EventKind.STATE, state="Odd", previous="Alerting"),
            event(EventKind.STATE, previous=None),
        ),
        (
            MessageTrigger(TextTest.ANY),
            event(EventKind.MESSAGE, text=""),
            event(EventKind.STATE),
        ),
        (
            MessageTrigger(TextTest.CONTAINS, ("help", "STRASSE")),
            event(EventKind.MESSAGE, text="In der Straße"),
            event(EventKind.MESSAGE, text="hel p"),
        ),
        (
            MessageTrigger(TextTest.STARTSWITH, (" Hello",)),
            event(EventKind.MESSAGE, text="  hello there"),
            event(EventKind.MESSAGE, text="oh hello"),
        ),
        (
            MessageTrigger(TextTest.EQUALS, ("Yes",)),
            event(EventKind.MESSAGE, text=" yes\n"),
            event(EventKind.MESSAGE, text="yes please"),
        ),
        (
            MessageTrigger(TextTest.MATCHES, (r"^No \d+",)),
            event(EventKind.MESSAGE, text="No 12"),
            event(EventKind.MESSAGE, text="no 12"),
        ),
        (
            UserdataTrigger(frozenset({"vip"})),
            event(EventKind.USERDATA, changed={"vip": {"new": "1"}, "x": {}}),
            event(EventKind.USERDATA, changed={"vip": {"new": "1"}}, own=True),
        ),
        (
            UserdataTrigger(None, own=True),
            event(EventKind.USERDATA, changed={"x": {}}, own=True),
            event(EventKind.MESSAGE, text="x"),
        ),
        (
            ConnectionTrigger(frozenset({ConnectionChange.GAP})),
            event(EventKind.CONNECTION, change=ConnectionChange.GAP),
            event(EventKind.CONNECTION, change=ConnectionChange.LOST),
        ),
        (
            IdleTrigger(300.0),
            event(EventKind.IDLE, idle=300),
            event(EventKind.IDLE, idle=360.0),
        ),
        (
            CalendarTrigger("support", opens=True, offset_s=-600.0),
            alone(EventKind.CALENDAR, calendar="support", edge="opens", offset_s=-600.0),
            alone(EventKind.CALENDAR, calendar="support", edge="closes", offset_s=-600.0),
        ),
        (
            ScheduleTrigger(HOURLY, "1h UTC run_once"),
            alone(EventKind.SCHEDULE, schedule="1h UTC run_once"),
            alone(EventKind.SCHEDULE, schedule="1h UTC all"),
        ),
        (
            WebhookTrigger("order"),
            alone(EventKind.WEBHOOK, name="order", body={"order": 1}),
            alone(EventKind.WEBHOOK, name="other", body=["order"]),
        ),
    ],
)
def test_a_trigger_holds_for_its_events_only_by_hand_and_by_index(trigger, started, not_started):
    rules = [rule(1, trigger)]

    assert trigger_holds(trigger, started)
    assert not trigger_holds(trigger, not_started)
    assert by_index(rules, started)[1] == ["r1"]
    assert by_index(rules, not_started)[1] == []


def test_candidates_come_in_order_once_and_without_the_disabled():
    rules = [
        rule(1, (MessageTrigger(TextTest.CONTAINS, ("a", "b")), MessageTrigger(TextTest.ANY))),
        rule(2, MessageTrigger(TextTest.ANY), enabled=False),
        rule(3, MessageTrigger(TextTest.EQUALS, ("A b",))),
        rule(4, MessageTrigger(TextTest.EQUALS, ("a B ",))),
    ]

    assert by_index(rules, event(EventKind.MESSAGE, text="a b"))[1] == ["r1", "r3", "r4"]


def test_an_event_without_session_or_fields_starts_only_what_asks_for_nothing():
    bare = Event("e", EventKind.STATE, AT, AT, "bot1")
    index = Index([rule(1, TALKING), rule(2, StateTrigger(None))])

    assert [each.id for each in match(bare, index, {}, None)] == ["r2"]


@pytest.mark.parametrize(
    ("when", "user_data"),
    [
        ("session.userData.queue == 'q{n}'", {"queue": "q7"}),
        ("session.userData.queue in ['q{n}', 'z']", {"queue": "q7"}),
        (
            "number(session.userData.score) >= {n} and number(session.userData.score) < {n}.5",
            {"score": " 7.2 "},
        ),
        ("number(session.userData.score) == {n}", {"score": "7"}),
        (
            "session.userData.name > 'n{n:04}' and session.userData.name < 'n{n:04}z'",
            {"name": "n0007b"},
        ),
        ("not session.userData.region != 'r{n}' and session.userData.region", {"region": "r7"}),
        ("session.userData.u{n}", {"u7": "x", "u8": ""}),
        (
            "not number(session.userData.n) < {n} and not number(session.userData.n) > {n}",
            {"n": "7"},
        ),
        (
            "session.userData.queue == 'q' and session.userData.tier == 't{n}'",
            {"queue": "q", "tier": "t7"},
        ),
        ("session.state == 'Talking' and session.userData.queue == 'q{n}'", {"queue": "q7"}),
    ],
)
def test_of_hundreds_of_rules_few_are_asked(when, user_data):
    """The cost of an event must not grow with the rules that it cannot match."""
    rules = [rule(n, TALKING, when.format(n=n)) for n in range(300)]

    matching, asked = by_index(rules, event(EventKind.STATE, user_data=user_data))

    assert matching == ["r7"]
    assert len(asked) <= 10


_WHENS = [
    "session.userData.{k} == '{v}'",
    "session.userData.{k} == '{v}' and session.userData.{l} == '{w}'",
    "session.userData.{k} != '{v}'",
    "not session.userData.{k} == '{v}'",
    "not session.userData.{k} != '{v}'",
    "session.userData.{k} in ['{v}', '{w}']",
    "session.userData.{k} not in ['{v}', '{w}']",
    "session.userData.{k}",
    "not session.userData.{k}",
    "number(session.userData.{k}) > {v}",
    "number(session.userData.{k}) >= {v} and number(session.userData.{k}) <= {w}",
    "number(session.userData.{k}) > {v} and number(session.userData.{k}) < {w}",
    "not number(session.userData.{k}) > {v}",
    "not (number(session.userData.{k}) >= {v} and number(session.userData.{k}) < {w})",
    "not number(session.userData.{k}) == {v}",
    "session.userData.{k} < '{v}'",
    "not session.userData.{k} <= '{v}'",
    "contains(session.userData.{k}, '{v}')",
    "not contains(session.userData.{k}, '{v}')",
    "session.userData.{k} == '{v}' or session.userData.{l} == '{w}'",
    "session.userData.{k} == vars.limit",
    "session.state == 'Talking' and session.userData.{k} == '{v}'",
    "session.participants[0].digits == '{v}'",
    "len(session.userData.{k}) == {v}",
]
_KEYS = st.sampled_from("abc")
_NUMBERS = st.integers(0, 9).map(str)
_TEXTS = st.sampled_from(["a", "A ", "ab", "b a", "ß", "SS", "x1", "\ud800", "é"])
_PATTERNS = st.sampled_from([r"a", r"(?i)AB", r"^b", r"\d$", r".", r"[A-Z]{2}", "\u00e9|x"])
_TRIGGERS = st.one_of(
    st.builds(
        StateTrigger,
        st.none() | st.frozensets(st.sampled_from(["Talking", "Alerting"]), min_size=1),
        st.none() | st.frozensets(st.sampled_from(["Alerting", "Initiating"]), min_size=1),
    ),
    st.builds(
        MessageTrigger,
        st.sampled_from([TextTest.CONTAINS, TextTest.STARTSWITH, TextTest.EQUALS]),
        st.lists(_TEXTS.filter(str.isprintable), min_size=1, max_size=3).map(tuple),
    ),
    st.builds(
        MessageTrigger,
        st.just(TextTest.MATCHES),
        st.lists(_PATTERNS, min_size=1, max_size=2).map(tuple),
    ),
    st.just(MessageTrigger(TextTest.ANY)),
    st.builds(UserdataTrigger, st.none() | st.frozensets(_KEYS, min_size=1), st.booleans()),
    st.builds(
        ConnectionTrigger, st.frozensets(st.sampled_from(list(ConnectionChange)), min_size=1)
    ),
    st.builds(IdleTrigger, st.sampled_from([60.0, 300.0])),
    st.builds(
        CalendarTrigger, st.sampled_from("ab"), st.booleans(), st.sampled_from([0.0, -600.0])
    ),
    st.builds(ScheduleTrigger, st.just(HOURLY), st.sampled_from("ab")),
    st.builds(WebhookTrigger, st.sampled_from("ab")),
)
_CONDITIONS = st.none() | st.builds(
    lambda when, k, j, v, w: when.format(k=k, l=j, v=v, w=w),
    st.sampled_from(_WHENS),
    _KEYS,
    _KEYS,
    _NUMBERS,
    _NUMBERS,
)
_RULES = st.lists(
    st.tuples(st.lists(_TRIGGERS, min_size=1, max_size=2).map(tuple), _CONDITIONS),
    min_size=1,
    max_size=25,
).map(lambda made: [rule(n, triggers, when) for n, (triggers, when) in enumerate(made)])
_VALUES = (
    _NUMBERS
    | st.sampled_from(["", "5.5", "x", 5, 5.5, True, None, float("nan"), 10**400])
    | st.sampled_from([["5"], {}])
)
_USER_DATA = st.dictionaries(_KEYS, _VALUES)
_EVENTS = st.one_of(
    st.builds(
        lambda state, previous, data: event(
            EventKind.STATE, state=state, previous=previous, user_data=data
        ),
        st.sampled_from(["Talking", "Alerting", "Odd"]),
        st.sampled_from([None, "Alerting", "Initiating", "Odd"]),
        _USER_DATA,
    ),
    st.builds(
        lambda texts, data: event(EventKind.MESSAGE, text="".join(texts), user_data=data),
        st.lists(_TEXTS, max_size=4),
        _USER_DATA,
    ),
    st.builds(
        lambda changed, own, data: event(
            EventKind.USERDATA, changed=dict.fromkeys(changed), own=own, user_data=data
        ),
        st.sets(_KEYS),
        st.booleans(),
        _USER_DATA,
    ),
    st.builds(
        lambda change: event(EventKind.CONNECTION, change=change),
        st.sampled_from(list(ConnectionChange)),
    ),
    st.builds(
        lambda idle, data: event(EventKind.IDLE, idle=idle, user_data=data),
        st.sampled_from([60, 300.0, 1.0]),
        _USER_DATA,
    ),
    st.builds(
        lambda calendar, edge, offset_s: alone(
            EventKind.CALENDAR, calendar=calendar, edge=edge, offset_s=offset_s
        ),
        st.sampled_from("abc"),
        st.sampled_from(["opens", "closes"]),
        st.sampled_from([0, -600.0, 5.0]),
    ),
    st.builds(
        lambda kind, name: alone(kind, schedule=name, name=name),
        st.sampled_from([EventKind.SCHEDULE, EventKind.WEBHOOK]),
        st.sampled_from("abc"),
    ),
)


@given(_RULES, _EVENTS)
def test_no_rule_that_matches_is_missed(rules, of):
    """The index may only save work; asked one by one, the rules give the same answer."""
    matching, asked = by_index(rules, of)

    assert matching == by_hand(rules, of)
    numbers = [int(each[1:]) for each in asked]
    assert numbers == sorted(set(numbers))


@given(st.lists(_CONDITIONS, min_size=8, max_size=40), _USER_DATA)
def test_no_rule_of_a_crowd_on_one_trigger_is_missed(conditions, user_data):
    """Few rules are asked one by one; only a crowd is filed by every kind of fact."""
    rules = [rule(n, TALKING, when) for n, when in enumerate(conditions)]
    of = event(EventKind.STATE, user_data=user_data)

    assert by_index(rules, of)[0] == by_hand(rules, of)


_RANGES = [
    "number(session.userData.a) >= {} and number(session.userData.a) < {}",
    "session.userData.a > '{}' and not session.userData.a >= '{}'",
    "event.age > {} and event.age <= {}",
    "not event.age < {} or event.age == {}",
    "not event.age < {}",
]


@given(
    st.sampled_from(_RANGES),
    st.lists(st.tuples(_NUMBERS, _NUMBERS), min_size=8, max_size=40),
    _VALUES,
)
def test_ranges_that_overlap_in_any_way_are_all_found(when, bounds, value):
    """Many ranges at one path become a tree of their own."""
    rules = [rule(n, TALKING, when.format(*each)) for n, each in enumerate(bounds)]
    of = event(EventKind.STATE, user_data={"a": value}, age=value)

    assert by_index(rules, of)[0] == by_hand(rules, of)


@pytest.mark.parametrize(
    ("value", "matching"), [("3", 9), ("x", 10), (["3"], 10), (None, 10), ("", 10)]
)
@pytest.mark.parametrize("when", ["{} != '{}'", "not {} == '{}'", "{} not in ['{}']"])
def test_what_differs_from_a_literal_is_found_under_every_other_value(when, value, matching):
    rules = [rule(n, TALKING, when.format("session.userData.a", n)) for n in range(10)]
    of = event(EventKind.STATE, user_data={"a": value})

    assert len(by_index(rules, of)[0]) == matching
    assert by_index(rules, of)[0] == by_hand(rules, of)


def test_parts_of_any_script_are_found_in_any_case():
    """An ASCII text is searched once, as it was said; any other once more, folded."""
    parts = ["sk+", "straße", "\u017fi", "É", "k"]
    tests = {key_of(TextTest.CONTAINS, part): part for part in parts}

    def passed(text):
        return set(TextTests(tests).passed(text))

    assert passed("ASK SK+ 1") == {"sk+", "k"}
    assert passed("STRASSE") == {"straße"}
    assert passed("\u212a is é") == {"k", "É"}
    assert passed("si") == {"\u017fi"}
    assert passed("") == set()


def test_what_equalities_and_ranges_prove_is_not_asked_again():
    """A condition of which every fact was seen needs no evaluation."""
    when = "session.userData.queue == 'q{n}' and number(session.userData.score) > {n}"
    rules = [rule(n % 30, TALKING, when.format(n=n % 30)) for n in range(300)]
    of = event(EventKind.STATE, user_data={"queue": "q7", "score": "8"})

    found = Index(rules).candidates(of, scope(of))

    assert len(found) == 10
    assert all(each.when is None for each in found)


@given(st.lists(st.text("abcß", min_size=1, max_size=4), min_size=1, max_size=20), st.text("abcSß"))
def test_all_text_tests_are_found_in_one_pass(texts, said):
    keys = [key_of(test, text) for test in TextTest if test is not TextTest.ANY for text in texts]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}

    found = set(TextTests(numbers).passed(said))

    assert found == {
        number
        for (test, text), number in numbers.items()
        if passes(MessageTrigger(test, (text,)), said)
    }


def test_texts_too_many_for_one_set_are_spread_over_several(monkeypatch):
    """RE2 refuses a set that needs more memory than it may take; no test is lost by that."""
    monkeypatch.setattr(texttests, "_SET_BYTES", 100_000)
    texts = [f"{'long text ' * 9}{n}" for n in range(200)]
    tests = {key_of(TextTest.CONTAINS, text): n for n, text in enumerate(texts)}
    tests |= {key_of(TextTest.MATCHES, text): 1000 + n for n, text in enumerate(texts)}

    found = TextTests(tests).passed(texts[150] + " and " + texts[3])

    assert {150, 3, 1150, 1003} <= set(found)


def test_a_text_too_large_for_any_set_is_looked_for_by_itself(monkeypatch):
    def refuse(*_):
        raise re2.error("no room")

    monkeypatch.setattr(texttests.re2.Set, "Compile", refuse)
    monkeypatch.setattr(texttests.re2.Filter, "Compile", refuse)
    tests = {key_of(TextTest.CONTAINS, "Ab"): 1, key_of(TextTest.MATCHES, "A.B"): 2}

    assert TextTests(tests).passed("xab A-B") == [1, 2]
    assert TextTests(tests).passed("a b") == []
