"""Rules of imbot/rulebook/loader.py: files in, one rulebook or every mistake out."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.model import ConnectionChange
from imbot.plugin import Model, action
from imbot.rulebook.schema import (
    Budget,
    ConnectionTrigger,
    MessageTrigger,
    Mode,
    OnceScope,
    StateTrigger,
    TextTest,
    UserdataTrigger,
)
from imbot.yamlfile import Source
from tests.unit.rulebooks import ACTIONS, SETTINGS, RuleFile, load, load_rulebook, rule

DATA = Path(__file__).parent.parent / "data" / "rules"
ONE = "version: 1\nrules:\n  - id: r\n    trigger: {state: Talking}\n"
GREET = "    do: [{reply: hi}]\n"


@pytest.mark.parametrize("path", sorted((DATA / "mistakes").glob("*.yaml")), ids=lambda p: p.stem)
def test_each_mistake_is_told_with_its_place_and_its_cure(path):
    """The author reads these lines and nothing else; each file ends with those it must bring."""
    text, _, expected = path.read_text().partition("# expected:\n")
    _, problems = load(text)

    assert problems == [line.removeprefix("# ") for line in expected.splitlines()]


def test_no_rulebook_is_made_of_errors_and_one_is_with_warnings():
    book, problems = load("version: 1\nvars: {a: 1}\nrules: []")
    assert book.warnings[0].code == "unused-var"
    assert len(problems) == 1

    book, _ = load("version: 1\nrules: {}")
    assert book is None


def test_rules_are_looked_at_by_priority_then_file_then_position():
    head = "version: 1\nrules:\n"
    one = head + "".join(
        f"  - {{id: {name}, trigger: {{message: {{equals: {name}}}}}, priority: {number}, "
        "do: [{log: x}]}\n"
        for name, number in (("a", 0), ("b", 5))
    )
    two = head + "  - {id: c, trigger: {state: Talking}, priority: 5, do: [{log: x}]}\n"

    book, _ = load(one, two)

    assert [each.id for each in book.rules] == ["b", "c", "a"]
    assert [each.order for each in book.rules] == [0, 1, 2]


def test_files_with_tests_are_no_rules():
    files = [RuleFile("x.test.yaml", "tests: []"), RuleFile("y.yaml", b"version: 1\nrules: []")]

    book, problems = load_rulebook(files, ACTIONS, **SETTINGS)

    assert book.rules == ()
    assert problems == []


def test_calendars_are_shared_and_ids_are_unique_across_files():
    calendar = (
        "version: 1\ncalendars:\n  c: {timezone: Europe/Berlin, open: {mon: '08:00-12:00'}}\n"
    )
    text = (
        "version: 1\nrules:\n"
        "  - {id: r, trigger: {state: Talking}, when: open('c'), do: [{log: x}]}"
    )

    book, problems = load(calendar, text)
    assert problems == []
    assert set(book.calendars) == {"c"}

    _, problems = load(calendar, calendar, text, text)
    assert [line.partition(";")[0] for line in problems] == [
        "f1.yaml:3:3: error[duplicate-calendar]: a second calendar 'c'",
        "f3.yaml:3:10: error[duplicate-id]: a second rule 'r'",
    ]


def test_a_calendar_takes_zone_and_country_from_the_settings():
    text = "version: 1\ncalendars: {c: {open: {mon: '08:00-12:00'}, holidays: {region: BY}}}\n"

    book, problems = load(text)

    assert problems == []
    assert str(book.calendars["c"].timezone) == "Europe/Berlin"


def test_vars_belong_to_their_file_and_a_rules_own_win():
    text = (
        "version: 1\nvars: {a: 1, b: 2}\nrules:\n"
        "  - id: r\n    trigger: {state: Talking}\n    vars: {b: 3}\n"
        "    do: [{log: '{{ vars.a }}{{ vars.b }}'}]\n"
    )
    other = text.replace("id: r", "id: s").replace("a: 1, ", "")

    book, problems = load(text)
    assert problems == []
    assert dict(book.rules[0].vars) == {"a": 1, "b": 3}

    _, problems = load(text, other)
    assert problems[0].startswith("f1.yaml:7:25: error[unknown-field]")


@pytest.mark.parametrize(
    ("written", "trigger"),
    [
        ("{state: Talking}", StateTrigger(frozenset({"Talking"}))),
        ("{state: any}", StateTrigger(None)),
        ("{state: [Alerting, Talking]}", StateTrigger(frozenset({"Alerting", "Talking"}))),
        (
            "{state: {from: Alerting, to: Talking}}",
            StateTrigger(frozenset({"Talking"}), frozenset({"Alerting"})),
        ),
        ("{state: {from: Alerting}}", StateTrigger(None, frozenset({"Alerting"}))),
        ("{message: any}", MessageTrigger(TextTest.ANY)),
        ("{message: {contains: [a, 007]}}", MessageTrigger(TextTest.CONTAINS, ("a", "007"))),
        ("{message: {equals: 1.50}}", MessageTrigger(TextTest.EQUALS, ("1.50",))),
        (r"{message: {matches: '\d+'}}", MessageTrigger(TextTest.MATCHES, (r"\d+",))),
        ("{userdata: any}", UserdataTrigger()),
        ("{userdata: [a, b], own: true}", UserdataTrigger(frozenset({"a", "b"}), own=True)),
        ("{connection: gap}", ConnectionTrigger(frozenset({ConnectionChange.GAP}))),
    ],
)
def test_a_trigger_means_what_it_says(written, trigger):
    body = "    do: [{log: x}]\n"

    assert rule(body, trigger=written).triggers == (trigger,)
    assert rule(body, trigger=f"[{written}]").triggers == (trigger,)


def test_a_rule_has_the_policy_that_it_names_and_safe_defaults():
    plain = rule(GREET)
    assert plain.enabled
    assert plain.loop_guard
    assert plain.replies
    assert plain.max_age_s == 60
    assert plain.mode is Mode.SINGLE
    assert plain.once is plain.when is plain.key is None
    assert not plain.final
    assert not plain.shadow

    full = rule(
        "    description: 5\n    enabled: false\n    shadow: true\n    final: true\n"
        "    loop_guard: false\n    mode: queue\n    once: session\n    key: session.id\n"
        "    max_age: 1h30m\n    priority: -3\n    when: session.id\n" + GREET
    )
    assert full.description == "5"
    assert not full.enabled
    assert full.shadow
    assert full.final
    assert not full.loop_guard
    assert full.mode is Mode.QUEUE
    assert full.once.scope is OnceScope.SESSION
    assert full.key.source == "session.id"
    assert full.max_age_s == 5400
    assert full.priority == -3
    assert full.when.source == "session.id"


def test_a_rule_says_how_often_it_runs():
    limited = rule(
        "    mode: parallel\n    max: 3\n"
        "    throttle: {once_within: 30s, by: participant.digits}\n"
        "    budget: {per_session: 5, per_minute: 60}\n" + GREET
    )

    assert (limited.mode, limited.max_runs) == (Mode.PARALLEL, 3)
    assert (limited.throttle.within_s, limited.throttle.by.source) == (30, "participant.digits")
    assert limited.budget == Budget(5, 60)
    assert rule("    mode: restart\n" + GREET).mode is Mode.RESTART
    assert rule("    throttle: {once_within: 1h}\n" + GREET).throttle.by is None
    assert rule("    budget: {per_minute: 2}\n" + GREET).budget == Budget(None, 2)
    assert rule(GREET).throttle is rule(GREET).budget is rule(GREET).max_runs is None


def test_a_file_in_shadow_has_all_its_rules_in_shadow():
    text = "shadow: true\n" + ONE + GREET
    other = ONE.replace("id: r", "id: s") + GREET.replace("hi", "ho")

    book, _ = load(text, other)

    assert [each.shadow for each in book.rules] == [True, False]


def test_only_rules_that_reply_have_an_age_limit_by_default():
    assert rule("    do: [{log: x}]\n").max_age_s is None
    assert rule("    do: [{log: x}]\n    on_error: [{reply: sorry}]\n").replies


def test_once_takes_a_scope_or_an_expression():
    once = rule("    once: session.userData.case\n" + GREET).once

    assert once.scope is OnceScope.EXPRESSION
    assert once.by.source == "session.userData.case"


def test_a_list_of_conditions_means_and():
    when = rule(
        "    when:\n      - session.id or session.mine\n      - session.mine\n" + GREET
    ).when

    assert when.source == "(session.id or session.mine) and (session.mine)"
    assert rule("    when: [session.id]\n" + GREET).when.source == "session.id"


def test_a_rule_without_steps_may_only_end_the_search():
    assert rule("    final: true\n    do: []\n").final


def test_the_version_tells_what_decides_and_nothing_else():
    """A run that waits goes on with the version it began with, so a comment must not change it."""
    plain = rule("    do: [{set: {a: 1.5}}]\n").version

    assert rule("    description: other\n    do: [{set: {a: 1.5}}]   # why\n").version == plain
    assert rule("    do: [{set: {a: 1.50}}]\n").version != plain
    assert rule("    do: [{set: {a: 1.5}}]\n", trigger="{state: Alerting}").version != plain


def test_without_settings_hosts_are_not_checked_and_secrets_only_warned_of():
    text = (
        "version: 1\nrules:\n  - {id: r, trigger: {state: Talking}, do: ["
        "{http: {get: 'https://x.example/'}}, {http: {get: '{{ secret(\"X\") }}/'}}]}"
    )

    book, problems = load(text, secrets=None, allowed_hosts=None)

    assert book is not None
    assert [problem.partition("]")[0] for problem in problems] == [
        "f.yaml:3:106: warning[unknown-secret"
    ]


def test_broken_yaml_in_one_file_does_not_hide_the_mistakes_of_another():
    _, problems = load("a: b: c", "version: 1\nrules: 3")

    assert [problem.split(":")[0] for problem in problems] == ["f.yaml", "f1.yaml"]


def test_a_broken_calendar_or_trigger_is_told_once():
    """What an earlier mistake brings about is no mistake of its own."""
    text = (
        "version: 1\ncalendars: {c: {timezone: Europe/Berlin, open: {mon: x}}}\nrules:\n"
        "  - {id: r, trigger: {stat: Talking}, when: open('c') and message.text, do: [{reply: a}]}"
    )

    _, problems = load(text)

    assert [p.partition("[")[2].partition("]")[0] for p in problems] == [
        "bad-slot",
        "unknown-trigger",
    ]


_WORDS = st.sampled_from(
    [
        "version",
        "rules",
        "id",
        "trigger",
        "state",
        "Talking",
        "message",
        "any",
        "when",
        "do",
        "reply",
        "set",
        "if",
        "then",
        "else",
        "let",
        "once",
        "session",
        "vars",
        "calendars",
        "blocks",
        "inputs",
        "call",
        "block",
        "with",
        "wait",
        "wait_for",
        "parallel",
        "idle",
        "every",
        "schedule",
        "webhook",
        "throttle",
        "budget",
        "even_if_completed",
        "b",
        "text",
        "on_error",
        "as",
        "retry",
        "timeout",
        "http",
        "get",
        "1",
        "5s",
        "true",
        "session.id",
        "{{",
        "{{x}}",
    ]
)
_TREES = st.recursive(
    _WORDS | st.none() | st.integers() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=4),
    max_leaves=20,
)


@given(_TREES)
def test_no_arrangement_of_known_words_raises(tree):
    """Whatever stands in a file, the answer is problems with places."""
    inner = json.dumps(tree, ensure_ascii=True)
    texts = [inner, f"version: 1\nrules: [{inner}]"]
    texts += [f"version: 1\nrules: [{{id: r, trigger: {{state: Talking}}, do: [{inner}]}}]"]
    texts += [f"version: 1\nblocks: {{b: {inner}, text: {{do: [{inner}]}}}}\nrules: []"]
    for text in texts:
        book, problems = load(text)
        assert book is not None or problems


@given(st.text(alphabet="ab:-[]{},?&*!|>'\"%#\n 01.{}rulesdo", max_size=80))
def test_no_text_raises(text):
    book, problems = load(text)

    assert book is not None or problems


def test_places_count_lines_as_editors_do():
    assert str(Source.of("f", "a\r\nb\nc").place(5)) == "f:3:1"


class Sized(Model):
    """Arguments with a choice of types, as a plugin may have them."""

    size: int | dict[str, int]


@action("sized.do", args=Sized)
async def sized(ctx, args):
    """Do nothing."""


def test_an_argument_that_fits_no_branch_of_a_union_is_told_once():
    """And not once for each branch."""
    text = f"{ONE}    do: [{{sized.do: {{size: big}}}}]\n"
    _, problems = load(text, actions={**ACTIONS, "sized.do": sized})

    assert [problem.partition(": ")[2] for problem in problems] == [
        "error[bad-argument]: 'size' of 'sized.do' cannot be 'big'"
    ]


def test_a_key_that_is_the_rest_of_a_text_is_told_so():
    """YAML ends a text between { and } at a comma."""
    trigger = "{message: {contains: Hello, you}}"
    _, problems = load(f"{ONE.replace('{state: Talking}', trigger)}{GREET}")

    assert problems[0].endswith(
        "unknown key 'you' in a message trigger; put text that holds a comma in quotes"
    )
