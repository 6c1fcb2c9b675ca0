"""Explaining: why a rule runs for an event, or why not, with every value that decided."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.engine.blaming import leaf_told
from imbot.engine.explaining import explain, trigger_told
from imbot.engine.facts import Surroundings
from imbot.engine.matching import match
from imbot.engine.recording import read_situation
from imbot.engine.spending import UNLIMITED
from imbot.model import Reason
from imbot.plugin import Operation
from imbot.rulebook.index import Index
from imbot.rulebook.schema import Budget
from imbot.testing.house import rulebook_of

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
NEEDS = {"reply": Operation.SEND_MESSAGE, "initiate": Operation.INITIATE}
SESSION = {"id": "s1", "state": "Talking", "participants": [{"digits": "3002"}]}
HELLO = {"kind": "message", "session": SESSION, "fields": {"text": "Hello"}}
GOLD = 'session.userData.tier == "gold"'
HEAD = """
version: 1
calendars:
  support: {timezone: Europe/Berlin, open: {mon-fri: "08:00-12:30"}}
rules:
"""


def explained(rules, event, *, strict=False, budget=UNLIMITED):
    """Return what becomes of each rule, by its id."""
    book = rulebook_of(HEAD + "".join(f"  - {rule}\n" for rule in rules))
    situation = read_situation("e.json", json.dumps(event), now=NOON)
    found = explain(
        situation,
        book.rules,
        Surroundings(calendars=book.calendars, timezone="Europe/Berlin"),
        needs=NEEDS.get,
        strict_capabilities=strict,
        budget=budget,
    )
    return {each.rule.id: each for each in found}


def rule(keys, *, rule_id="r", trigger="{message: any}", do="[{reply: hi}]"):
    more = f"{keys}, " if keys else ""
    return f"{{id: {rule_id}, trigger: {trigger}, {more}do: {do}}}"


def causes(keys, event=HELLO, **more):
    (each,) = explained([rule(keys, **more)], event).values()
    return [(str(cause.kind), cause.detail) for cause in each.causes]


def test_a_rule_that_nothing_holds_back_would_run():
    assert causes("once: session") == []


SUPPRESSED = [
    ("enabled: false", {}, ("disabled", "enabled: false")),
    ("shadow: true", {}, ("shadow", "shadow: true, nothing is sent")),
    (
        "max_age: 20s",
        {"received_at": "2026-03-02T11:59:00Z", "now": "2026-03-02T12:00:00Z"},
        ("max_age", "the event was received 1m ago, more than 20s"),
    ),
    (
        "once: participant",
        {"marks": [{"rule": "r", "scope": "participant 3002"}]},
        ("once", "done for participant 3002"),
    ),
    (
        "mode: single",
        {"running": [{"rule": "r", "key": "session bot1/s1"}]},
        ("mode", "a run for session bot1/s1 goes on, mode single"),
    ),
    (
        "when: 'closed(\"support\")'",
        {"at": "2026-03-02T11:00:00Z"},
        ("calendar", "support is open until 2026-03-02 12:30 (Europe/Berlin)"),
    ),
    (
        "when: 'open(\"support\")'",
        {},
        ("calendar", "support is closed until 2026-03-03 08:00 (Europe/Berlin)"),
    ),
    (
        "when: 'can(\"SendMessage\")'",
        {"session": {**SESSION, "capabilities": ["Complete"]}},
        ("capability", "SendMessage is not in Complete"),
    ),
    (
        "when: 'can(\"SendMessage\")'",
        {"session": {**SESSION, "state": "Alerting"}},
        ("state", "SendMessage is asked for while the session is Alerting"),
    ),
    (
        f"when: '{GOLD}'",
        {},
        ("when", f"{GOLD} is false (session.userData.tier = <missing>)"),
    ),
    (
        "throttle: {once_within: 30s}",
        {"marks": [{"rule": "r", "scope": "throttle session bot1/s1",
                    "at": "2026-03-02T11:59:50Z"}]},
        ("throttle", "it ran 10s ago, once within 30s for session bot1/s1"),
    ),
    (
        "mode: parallel, max: 2",
        {"running": [{"rule": "r", "key": "session bot1/s1"}] * 2},
        ("mode", "2 runs for session bot1/s1 go on, mode parallel, max 2"),
    ),
    (
        "budget: {per_session: 5}",
        {"spent": [{"rule": "r", "session": 5}]},
        ("budget", "5 effects in this session, the rule's budget is 5"),
    ),
    (
        "budget: {per_minute: 3}",
        {"spent": [{"rule": "r", "minute": 3}]},
        ("budget", "3 effects within a minute, the rule's budget is 3"),
    ),
    (
        "loop_guard: true",
        {"session": {**SESSION, "userData": {"imbot.auto.other.bot9": "1"}}},
        ("loop", "another bot is in the session: user data imbot.auto.other.bot9"),
    ),
    (
        "priority: 1",
        {"quiet": "somebody types as bot1"},
        ("quiet", "somebody types as bot1"),
    ),
    (
        "priority: 1",
        {"suppressed": [{"rule": "r", "reason": "breaker", "detail": "failed 5 times"}]},
        ("breaker", "failed 5 times"),
    ),
    (
        "priority: 1",
        {"breakers": [{"rule": "r", "detail": "reply failed 5 times in a row"}]},
        ("breaker", "reply failed 5 times in a row"),
    ),
    (
        "priority: 1",
        {"suppressed": [{"rule": "r", "reason": "off", "detail": "switched off by alice"}]},
        ("off", "switched off by alice"),
    ),
    (
        "priority: 1",
        {"suppressed": [{"rule": "r", "reason": "halted", "detail": "stopped by alice"}]},
        ("halted", "stopped by alice"),
    ),
    (
        "priority: 1",
        {"depth": 9},
        ("chain", "9 runs led to it, each by what it did"),
    ),
    (
        "priority: 1",
        {"suppressed": [{"rule": "*", "reason": "flood", "detail": "more than 200 at once"}]},
        ("flood", "more than 200 at once"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "more", "cause"), SUPPRESSED)
def test_every_suppression_is_told_with_the_value_that_decided(keys, more, cause):
    """Otherwise an author can only guess."""
    now = {"at": "2026-03-02T12:00:00Z"}
    assert causes(keys, {**HELLO, **now, **more}) == [cause]


def test_several_reasons_are_all_told_the_deciding_one_first():
    """Whoever mends one of them must not find the next only then."""
    late = {"received_at": "2026-03-02T11:00:00Z", "now": "2026-03-02T12:00:00Z"}
    done = {"marks": [{"rule": "r", "scope": "session bot1/s1"}]}

    kinds = [kind for kind, _ in causes("max_age: 1s, once: session", {**HELLO, **late, **done})]

    assert kinds == ["max_age", "once"]


def test_no_kind_of_suppression_is_forgotten():
    """A new one must be told with its value, too."""
    told = {kind for _, _, (kind, _) in SUPPRESSED}

    assert set(Reason) - told == {Reason.FINAL}  # needs two rules: see below


@pytest.mark.parametrize(
    ("spent", "why"),
    [
        (
            [{"rule": "r", "session": 2}, {"rule": "other", "session": 3}],
            "5 effects of all rules in this session, the session's budget is 5",
        ),
        (
            [{"rule": "other", "minute": 9}],
            "9 effects of all rules within a minute, the daemon's budget is 9",
        ),
        ([{"rule": "other", "session": 4, "minute": 8}], None),
    ],
)
def test_the_budget_of_all_rules_is_the_sum_of_what_each_has_spent(spent, why):
    (each,) = explained([rule("")], {**HELLO, "spent": spent}, budget=Budget(5, 9)).values()

    assert [cause.detail for cause in each.causes] == ([why] if why else [])


def test_an_event_without_a_session_spends_no_budget_of_one():
    spent = [{"rule": "r", "session": 7, "minute": 1}]
    event = {"kind": "connection", "fields": {"change": "gap"}, "spent": spent}
    quiet = rule("", trigger="{connection: gap}", do="[{log: x}]")
    (each,) = explained([quiet], event, budget=Budget(5, 9)).values()

    assert each.runs


def test_a_final_rule_above_ends_the_search():
    found = explained(
        [rule("final: true, when: said('hello')", rule_id="first"), rule("", rule_id="second")],
        HELLO,
    )

    assert found["first"].runs
    assert [(str(c.kind), c.detail) for c in found["second"].causes] == [
        ("final", "first is final")
    ]


@pytest.mark.parametrize(
    ("trigger", "event", "why"),
    [
        ("{state: [Talking, Alerting]}", HELLO,
         "waits for state Alerting or Talking; this is message"),
        ("{message: {equals: bye}}", HELLO,
         "waits for message equals 'bye'; this is message 'Hello'"),
        ("{state: {from: Alerting, to: Talking}}",
         {"kind": "state", "session": SESSION},
         "waits for state Talking from Alerting; this is state Talking, first seen"),
        ("{userdata: [vip]}",
         {"kind": "userdata", "session": SESSION, "own": True,
          "fields": {"changed": {"vip": {"new": "1"}}}},
         "waits for userdata vip; this is userdata vip, our own write"),
        ("{connection: lost}",
         {"kind": "connection", "fields": {"change": "gap", "seconds": 3}},
         "waits for connection lost; this is connection gap"),
    ],
)  # fmt: skip
def test_a_trigger_that_does_not_hold_says_what_it_waits_for(trigger, event, why):
    assert causes("", event, trigger=trigger, do="[{log: hi}]") == [("trigger", why)]


def test_leaves_that_did_not_decide_are_told_too():
    """A condition is read as a whole."""
    when = 'when: \'message.text == "Hello" and not (said("x") or session.id == "s1")\''
    each = explained([rule(when)], HELLO)["r"]

    assert [(view.leaf.holds, view.decides) for view in each.leaves] == [
        (True, False),
        (False, False),
        (True, True),
    ]
    assert leaf_told(each.leaves[0].leaf) == (
        "message.text == \"Hello\" is true (message.text = 'Hello')"
    )


def test_a_choice_is_decided_by_its_test_and_what_it_takes():
    when = 'when: \'said("a") if session.mine else said("b")\''
    each = explained([rule(when)], HELLO)["r"]

    assert [view.leaf.text for view in each.leaves if view.decides] == [
        "session.mine",
        'said("b")',
    ]


def test_steps_that_cannot_succeed_are_told_up_to_one_that_begins_another_session():
    alerting = {**HELLO, "session": {**SESSION, "state": "Alerting"}}
    do = "[{reply: a}, {initiate: {to: '1', agent: any}}, {reply: b}]"
    each = explained([rule("", do=do)], alerting)["r"]

    assert each.runs
    assert [(str(no.kind), no.detail) for no in each.withheld] == [
        ("state", "do/0 reply: SendMessage cannot succeed: the session is Alerting, not Talking")
    ]


def test_an_operation_that_gws_does_not_list_withholds_only_where_it_is_believed():
    event = {**HELLO, "session": {**SESSION, "capabilities": []}}

    assert explained([rule("")], event)["r"].withheld == ()
    (no,) = explained([rule("")], event, strict=True)["r"].withheld
    assert no.kind == "capability"


def test_once_done_sees_the_marks_of_the_session():
    done = {"marks": [{"rule": "first", "scope": "session bot1/s1"}]}
    rules = [
        rule("once: session", rule_id="first", trigger="{message: {equals: x}}"),
        rule("when: 'once_done(\"first\")'"),
    ]

    assert explained(rules, {**HELLO, **done})["r"].runs
    assert not explained(rules, HELLO)["r"].runs


def test_a_calendar_that_an_operator_closed_says_so():
    book = rulebook_of(HEAD + "  - " + rule("when: 'open(\"support\")'") + "\n")
    closed = {name: each.closed_by_operator() for name, each in book.calendars.items()}
    situation = read_situation("e.json", json.dumps(HELLO), now=NOON)

    (each,) = explain(situation, book.rules, Surroundings(calendars=closed), needs=NEEDS.get)

    assert each.causes[0].detail == "support is closed by an operator"


CONTAINS = rulebook_of(HEAD + "  - " + rule("", trigger="{message: {contains: a}}") + "\n")


@given(text=st.text(max_size=20), state=st.sampled_from(["Talking", "Alerting", "Odd"]))
def test_any_message_is_explained_as_the_engine_decides(text, state):
    """What runs has no cause, and what does not has one."""
    event = {**HELLO, "session": {**SESSION, "state": state}, "fields": {"text": text}}
    situation = read_situation("e.json", json.dumps(event), now=NOON)
    (each,) = explain(situation, CONTAINS.rules, Surroundings(), needs=NEEDS.get)

    assert each.runs is bool(match(situation.event, Index(CONTAINS.rules), {}, None))


@pytest.mark.parametrize(
    ("trigger", "told", "fields", "happened"),
    [
        ("{state: any}", "state any", {}, None),
        ("{message: any}", "message any", {"text": "x"}, None),
        ("{userdata: any, own: true}", "userdata any, own too", {"changed": {}}, None),
        ("{idle: 5m}", "idle 5m", {"idle": 60}, "idle 1m"),
        ("{calendar: support, opens: 10m before}", "calendar support 10m before it opens",
         {"calendar": "support", "edge": "closes", "offset_s": 0},
         "calendar support 0s after it closes"),
        ("{schedule: '0 9 * * *'}", "schedule 0 9 * * * (Europe/Berlin)",
         {"schedule": "0 8 * * *"}, "schedule 0 8 * * *"),
        ("{webhook: news}", "webhook news", {"name": "old"}, "webhook old"),
    ],
)  # fmt: skip
def test_triggers_and_events_are_told_in_the_words_of_authors(trigger, told, fields, happened):
    """Both stand beside each other; the difference is what counts."""
    book = rulebook_of(HEAD + "  - " + rule("", trigger=trigger, do="[{log: x}]") + "\n")
    kind = told.partition(" ")[0]
    event = {"kind": kind, "session": SESSION, "fields": fields}
    (each,) = explained([rule("", trigger=trigger, do="[{log: x}]")], event).values()

    assert trigger_told(book.rules[0].triggers[0]) == told
    causes = [cause.detail for cause in each.causes]
    assert causes == ([] if happened is None else [f"waits for {told}; this is {happened}"])


def test_a_choice_under_a_not_decides_by_what_it_takes():
    when = 'when: \'not (said("hello") if session.mine else said("Hello"))\''
    each = explained([rule(when)], HELLO)["r"]

    assert [view.leaf.text for view in each.leaves if view.decides] == [
        "session.mine",
        'said("Hello")',
    ]


def test_a_choice_in_a_junction_is_weighed_as_a_whole():
    when = 'when: \'said("Hello") and (said("a") if not session.mine else said("Hello"))\''
    each = explained([rule(when)], HELLO)["r"]

    assert [view.leaf.text for view in each.leaves if view.decides] == ['said("a")', "session.mine"]
