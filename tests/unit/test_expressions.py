"""Conditions: what they mean, what is wrong with them and where, and what an index may conclude."""

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imbot.problems import Place, Severity
from imbot.rulebook.compiler import evaluate
from imbot.rulebook.expressions import MISSING, parse
from imbot.rulebook.facts import (
    Equals,
    NotEquals,
    Other,
    Range,
    Refuted,
    TextTest,
    Truthy,
)
from imbot.rulebook.scope import Known, Names
from tests.unit.plain_senses import PlainSenses

NAMES = (
    Names.for_trigger(frozenset({"state", "message", "userdata"}))
    .with_vars({"limit": 5, "gold": "gold", "cal": "support", "parts": ["a", "b"]})
    .bind("crm")
)
KNOWN = Known(
    calendars=frozenset({"support", "sales"}),
    rules=frozenset({"greet"}),
    secrets=frozenset({"CRM"}),
)
SENSES = PlainSenses(heard="I want my MONEY back", done=frozenset({"greet"}))
STARTED = datetime(2026, 3, 2, 7, 50, tzinfo=UTC)
SCOPE = {
    "session": {
        "id": "s1",
        "state": "Talking",
        "userData": {"tier": "gold", "age": " 42 ", "empty": "", "odd key": "x"},
        "participants": [{"digits": "3002"}],
        "capabilities": ["SendMessage"],
        "started_at": STARTED,
        "mine": False,
    },
    "message": {"text": "Hello World", "at": STARTED},
    "event": {"kind": "message", "age": 3.5, "changed": {"tier": {"new": "gold"}}},
    "vars": {"limit": 5, "gold": "gold", "cal": "support", "parts": ["a", "b"]},
    "crm": {"status": 409, "json": {"tags": ["vip"], "name": None}, "words": "vip guest"},
}


def place(line, column):
    return Place("r.yaml", 10 + line, 20 + column)


def expression(source, names=NAMES, known=KNOWN):
    parsed, problems = parse(source, place, names, known)
    assert parsed is not None, [str(problem) for problem in problems]
    assert problems == ()
    return parsed


def problems_of(source, names=NAMES, known=KNOWN):
    parsed, problems = parse(source, place, names, known)
    assert parsed is None or all(each.severity is Severity.WARNING for each in problems)
    return problems


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ('session.state == "Talking"', True),
        ('session.state != "Talking"', False),
        ('session["userData"]["tier"] == "gold"', True),
        ('session.userData["odd key"] == "x"', True),
        ("session.userData[session.userData.tier]", False),
        ("session.userData.tier", True),
        ("session.userData.empty", False),
        ("session.userData.absent", False),
        ("not session.userData.absent", True),
        ('session.userData.absent == "x"', False),
        ('session.userData.absent != "x"', False),
        ('not session.userData.absent != "x"', True),
        ("session.userData.absent == session.userData.absent", False),
        ("session.userData.absent != session.userData.absent", False),
        ('session.userData.absent in ["x"]', False),
        ('session.userData.absent not in ["x"]', False),
        ("session.userData.absent in [session.userData.absent]", False),
        ("session.userData.absent not in [session.userData.absent]", False),
        ('not session.userData.absent in ["x"]', True),
        ('session.userData.tier in ["gold", "silver"]', True),
        ('session.userData.tier not in ("gold", "silver")', False),
        ('session.userData.tier not in ["silver"]', True),
        ("session.userData.tier in [vars.gold]", True),
        ("session.userData.tier in vars.parts", False),
        ("session.userData.tier not in vars.parts", True),
        ('"SendMessage" in session.capabilities', True),
        ('"Complete" not in session.capabilities', True),
        ('"tier" in session.userData', True),
        ('"lo" in message.text', True),
        ("message.text in crm.absent", False),
        ("message.text not in crm.absent", False),
        ("crm.json in crm.json", False),
        ("crm.json not in crm.json", False),
        ("crm.json.tags in [1, 2]", False),
        ("crm.json.tags not in [1, 2]", True),
        ("crm.status in crm.status", False),
        ("crm.status not in crm.words", False),
        ("crm.status == 409", True),
        ("crm.status >= 400 and crm.status < 500", True),
        ("400 <= crm.status < 500", True),
        ("400 <= crm.status < 409", False),
        ('crm.status < "a"', False),
        ('not crm.status < "a"', True),
        ("crm.json.name == none", True),
        ("crm.json.name", False),
        ("crm.json.name.deeper", False),
        ("crm.words.deeper", False),
        ("crm.words[0]", False),
        ('crm.json.tags[0] == "vip"', True),
        ('crm.json.tags[-1] == "vip"', True),
        ("crm.json.tags[7]", False),
        ("crm.json.tags[crm.json.tags]", False),
        ('session.participants[0].digits == "3002"', True),
        ("session.participants[5].digits", False),
        ("session.mine or not session.mine", True),
        ("session.mine == false", True),
        ("True", True),
        ("false", False),
        ("null", False),
        ('(1 if session.mine else "") or 2', True),
        ("len([session.userData.absent]) == 0", True),
        ("not number(session.userData.age) > 42", True),
        ("number(session.userData.age) > -1", True),
        ("number(session.userData.tier) > -1", False),
        ("vars.limit < 5.5", True),
        ("any_of(session.mine, session.userData.tier)", True),
        ("all_of(session.mine, session.userData.tier)", False),
        ("any_of(session.userData.tier) == true", True),
        ("all_of(1, 2) == true", True),
        ("age(session.started_at) == 600", True),
        ('age(session.started_at) > duration("9m")', True),
        ("now() > session.started_at", True),
        ('said("money")', True),
        ('once_done("greet")', True),
        ('can("SendMessage")', True),
        ('can("Complete")', False),
        ('event.changed.tier.new == "gold"', True),
        ("event.changed.tier.old", False),
        ('"a" < "b" < "c"', True),
        ('session.state\n  == "Talking"', True),
    ],
)
def test_a_condition_means(source, holds):
    """Section 3: missing compares with nothing, and what is empty does not hold."""
    tested = expression(source)

    assert tested.holds(SCOPE, SENSES) is holds
    assert bool(tested.value(SCOPE, SENSES)) is holds
    assert bool(evaluate(tested.tree, SCOPE, SENSES)) is holds


@pytest.mark.parametrize("scope", [{}, {"session": None}, {"session": []}, {"session": "x"}])
@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ('session.state == "Talking"', False),
        ('session.state != "Talking"', False),
        ('not session.state == "Talking"', True),
        ('can("SendMessage")', False),
        ("session.participants[0].digits", False),
    ],
)
def test_without_a_session_everything_of_it_is_missing(scope, source, holds):
    """Connection events may come between sessions."""
    assert expression(source).holds(scope, SENSES) is holds


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ('session.userData.name or "friend"', "friend"),
        ('session.userData.tier and "yes"', "yes"),
        ("[1, session.userData.absent, -2.5]", [1, -2.5]),
        ('"a" if session.mine else lower(message.text)', "hello world"),
        ("session.userData.absent", MISSING),
        ("any_of(session.userData.tier)", True),
        ("session.state == session.state", True),
    ],
)
def test_an_expression_has_a_value(source, value):
    """``let`` binds it."""
    assert repr(expression(source).value(SCOPE, SENSES)) == repr(value)


@pytest.mark.parametrize(
    ("source", "column", "code", "text"),
    [
        ('session.state = "Talking"', 14, "syntax", "use == to compare"),
        ('session.state === "Talking"', 14, "syntax", "use == to compare"),
        ('session.state <> "Talking"', 14, "syntax", "use !="),
        ("vars.limit => 1", 11, "syntax", "use >="),
        ("vars.limit =< 1", 11, "syntax", "use <="),
        ("session.mine && session.mine", 13, "syntax", "use and"),
        ("session.mine || session.mine", 13, "syntax", "use or"),
        ("!session.mine", 0, "syntax", "use not"),
        ("session.state == \u201cTalking\u201d", 17, "syntax", "use plain quotes"),
        ('session.state == "Talking', 17, "syntax", "unterminated string"),
        ("(session.mine", 0, "syntax", "was never closed"),
        ("session.mine)", 12, "syntax", "unmatched"),
        ("session.mine if session.mine", 0, "syntax", "expected 'else'"),
        ("", 0, "syntax", "empty condition"),
        ("  \n ", 0, "syntax", "empty condition"),
        ("{{ session.mine }}", 0, "template", "not a template"),
        ('session.state == "{{ x }}"', 18, "template", "not a template"),
        ("session.mine # why", 13, "syntax", "a comment"),
        ("session.mine is none", 0, "syntax", "use == or !="),
        ('session.state in "a" in "b"', 0, "syntax", "joined by and"),
        ("1 + 2", 0, "syntax", "no arithmetic"),
        ("~session.mine", 0, "syntax", "no arithmetic"),
        ("-session.mine", 0, "syntax", "no arithmetic"),
        ("session.state | lower", 0, "syntax", "filters belong in templates"),
        ("message.text.lower()", 13, "syntax", "write lower(…)"),
        ('lower(text="a")', 11, "syntax", "no named arguments"),
        ("(lower)(1)(2)", 0, "syntax", "only functions can be called"),
        ("lambda: 1", 0, "syntax", "listed functions"),
        ("[x for x in vars.parts]", 0, "syntax", "any_of()"),
        ("{1: 2}", 0, "syntax", "a map"),
        ("{1}", 0, "syntax", "a set"),
        ('f"{session.id}"', 0, "syntax", "only templates make text"),
        ("(x := 1)", 1, "syntax", "an assignment"),
        ("message.text[1:2]", 13, "syntax", "a slice"),
        ("lower(*vars.parts)", 6, "syntax", "one by one"),
        ("await x", 0, "syntax", ""),
        ("b'x' == 1", 0, "syntax", "write text or a number"),
        ("vars.limit == 1j", 14, "syntax", "write text or a number"),
        ("vars.limit == 99999999999999999", 14, "syntax", "too large"),
        ("vars.limit == 1e999", 14, "syntax", "too large"),
        ("vars.limit == -99999999999999999", 14, "syntax", "too large"),
        ("1" * 5000, 0, "syntax", "longer than 2048"),
        ("sesion.state", 0, "unknown-name", "did you mean 'session'?"),
        ("session.state == Talking", 17, "unknown-name", 'text stands in quotes: "Talking"'),
        ("now > session.started_at", 0, "unknown-name", "call it: now(…)"),
        ("event.idle > 5", 6, "unknown-field", "only these do: idle"),
        ("session.userDta.x", 8, "unknown-field", "did you mean 'userData'?"),
        ("session['userDta'].x", 8, "unknown-field", "did you mean 'userData'?"),
        ("session.userData.x.y", 19, "unknown-field", "nothing below it"),
        ("session.participants.digits", 21, "unknown-field", "session.participants[0]"),
        ("session.participants['0']", 21, "unknown-field", "is a list"),
        ("session.participants[true]", 21, "unknown-field", "is a list"),
        ("session.participants[session.id]", 21, "unknown-field", "has no item"),
        ("session.id[vars.limit]", 11, "unknown-field", "has no item"),
        ("vars.parts[sesion.x]", 11, "unknown-name", "did you mean 'session'?"),
        ("open(opn(1))", 5, "unknown-function", "did you mean 'open'?"),
        ("vars.nope", 5, "unknown-field", "no field 'nope'"),
        ("lenght(message.text)", 0, "unknown-function", "did you mean 'len'?"),
        ("int(message.text)", 0, "unknown-function", "did you mean 'number'?"),
        ("frobnicate(1)", 0, "unknown-function", "known: age"),
        ("any_of()", 0, "arguments", "takes conditions"),
        ("contains(message.text)", 0, "arguments", "takes 2 arguments, not 1"),
        ("now(1)", 0, "arguments", "takes 0 arguments, not 1"),
        ("lower(5)", 6, "arguments", 'write it in quotes: "5"'),
        ("age(message.text)", 4, "arguments", "takes a moment"),
        ("can(message.text)", 4, "not-literal", "known at load"),
        ('can("SendMesage")', 4, "unknown-capability", "did you mean 'SendMessage'?"),
        ('open("suport")', 5, "unknown-calendar", "did you mean 'support'?"),
        ("open(vars.gold)", 5, "unknown-calendar", "'gold'"),
        ("open(vars.limit)", 5, "arguments", "takes text"),
        ('once_done("gret")', 10, "unknown-rule", "did you mean 'greet'?"),
        ('duration("5 min")', 9, "bad-duration", "did you mean '5m'?"),
        ('matches(message.text, "a(?=b)")', 22, "bad-pattern", "no lookahead"),
        ('matches(message.text, "(a)\\\\1")', 22, "bad-pattern", "no backreferences"),
        ('matches(message.text, "(a")', 22, "bad-pattern", "missing )"),
        ('secret("CRM")', 0, "secret", "only in http"),
        ('session.state == "Taking"', 17, "impossible-comparison", "did you mean 'Talking'?"),
        ('"Taking" == session.state', 0, "impossible-comparison", "did you mean 'Talking'?"),
        ('session.state in ["Taking"]', 18, "impossible-comparison", "did you mean 'Talking'?"),
        ('"Send" in session.capabilities', 0, "impossible-comparison", "no capability"),
        ('event.kind == "mesage"', 14, "impossible-comparison", "did you mean 'message'?"),
        ("session.userData.age > 5", 23, "impossible-comparison", "number(session.userData.age)"),
        ("session.userData.age == 5", 24, "impossible-comparison", "number(session.userData.age)"),
        (
            "session.userData.age in [5]",
            25,
            "impossible-comparison",
            "number(session.userData.age)",
        ),
        ("session.started_at > 5", 21, "impossible-comparison", "age(session.started_at)"),
        ('session.mine == "yes"', 16, "impossible-comparison", "use not"),
        ("session.mine > false", 0, "impossible-comparison", "no order"),
        ("message.text == session.started_at", 16, "impossible-comparison", "never compare"),
        ("session.state == event.kind", 17, "impossible-comparison", "a kind of event"),
        ("5 in message.text", 0, "impossible-comparison", "only text"),
        ("message.text in 5", 16, "impossible-comparison", "nothing can be in it"),
        ("5 in session.capabilities", 0, "impossible-comparison", "never compare"),
        ('session.state == "Talking" or "Alerting"', 30, "constant-condition", "by itself"),
    ],
)
def test_a_mistake_is_reported_with_its_place_and_cure(source, column, code, text):
    """Section 9: a mistake must be found at load, where it stands, with what would be right."""
    (problem,) = problems_of(source)

    assert (problem.place, problem.code) == (
        place(0, column) if "\n" not in source else problem.place,
        code,
    )
    assert text in f"{problem.what}; {problem.cure}"


def test_every_mistake_is_reported_at_once_and_on_its_line():
    """An author should not have to check five times for five mistakes."""
    found = problems_of('sesion.state == "a"\n  and sate == 1\nand open("x")')

    assert [(each.place.line, each.place.column) for each in found] == [
        (10, 20),
        (11, 26),
        (12, 29),
    ]


def test_places_count_characters_not_bytes():
    """Columns must be right behind an umlaut."""
    (problem,) = problems_of('message.text == "äöü" and sesion')

    assert problem.place == place(0, 26)


def test_a_name_that_other_triggers_supply_says_which():
    """The commonest cause of an unknown name is the wrong trigger."""
    (problem,) = problems_of("message.text", Names.for_trigger(frozenset({"state"})))

    assert str(problem).endswith("supplies 'message'; only these do: message")


def test_functions_of_the_session_need_a_trigger_that_has_one():
    """A schedule has no session to ask about."""
    (problem,) = problems_of('said("x")', Names.for_trigger(frozenset({"schedule"})))

    assert problem.code == "no-session"


def test_what_is_not_known_yet_is_not_checked():
    """A single expression may be checked before the rulebook is whole."""
    parsed = expression('open("x") and once_done("y")', known=Known(calendars=None, rules=None))

    assert parsed.names_used == {"session"}
    assert parsed.secrets_used == frozenset()


@pytest.mark.parametrize("source", ["(" * 40 + "1" + ")" * 40, "not " * 40 + "1"])
def test_nesting_is_bounded(source):
    """Recursion must never reach Python's own limit."""
    parsed, problems = parse(source, place, NAMES, KNOWN)

    assert parsed is not None or "nested" in problems[0].what


@pytest.mark.parametrize(
    "source", ["(" * 1000, "-" * 2000, "not " * 500, "a." * 1000, "\0", "\ud800"]
)
def test_what_breaks_the_parser_is_a_mistake_like_others(source):
    """Nothing but a problem leaves the parser."""
    assert problems_of(source)[0].code == "syntax"


@pytest.mark.parametrize(
    ("source", "facts"),
    [
        ('"a" == message.text', [Equals(("message", "text"), frozenset({"a"}))]),
        ('message.text in ("a", "b")', [Equals(("message", "text"), frozenset({"a", "b"}))]),
        ('message.text not in ["a"]', [NotEquals(("message", "text"), frozenset({"a"}))]),
        ('message.text != "a"', [NotEquals(("message", "text"), frozenset({"a"}))]),
        ('not message.text == "a"', [Refuted(Equals(("message", "text"), frozenset({"a"})))]),
        ('not not message.text == "a"', [Equals(("message", "text"), frozenset({"a"}))]),
        (
            'message.text == "a" or message.text in ["b"]',
            [Equals(("message", "text"), frozenset({"a", "b"}))],
        ),
        (
            'message.text in ["a", "b"] and message.text == "b"',
            [Equals(("message", "text"), frozenset({"b"}))],
        ),
        ('message.text == "a" and message.text == "b"', [Equals(("message", "text"), frozenset())]),
        ("5 < crm.a <= 9", [Range(("crm", "a"), 5, 9, low_open=True)]),
        (
            "crm.a > 5 and crm.a > 7 and crm.a < 9",
            [Range(("crm", "a"), 7, 9, low_open=True, high_open=True)],
        ),
        ("crm.a > 5 and crm.a >= 5", [Range(("crm", "a"), 5, low_open=True)]),
        ("crm.a < 5 and crm.a <= 5", [Range(("crm", "a"), high=5, high_open=True)]),
        (
            'crm.a > 5 and crm.a > "m"',
            [Range(("crm", "a"), 5, low_open=True), Range(("crm", "a"), "m", low_open=True)],
        ),
        ("not crm.a < 5", [Refuted(Range(("crm", "a"), high=5, high_open=True))]),
        ("number(crm.a) == 5", [Range(("crm", "a"), 5, 5, numeric=True)]),
        ("number(crm.a) != 5", [Other("(number(crm.a) != 5)")]),
        ("5 != number(crm.a)", [Other("(5 != number(crm.a))")]),
        ("number(lower(crm.a)) == 5", [Other("(number(lower(crm.a)) == 5)")]),
        ("crm.a == none", [Equals(("crm", "a"), frozenset({None}))]),
        ("crm.a", [Truthy(("crm", "a"))]),
        ("not crm.a", [Refuted(Truthy(("crm", "a")))]),
        ("not (crm.a or crm.b)", [Refuted(Truthy(("crm", "a"))), Refuted(Truthy(("crm", "b")))]),
        ("not (not crm.a and not crm.b)", [Other("(not ((not crm.a) and (not crm.b)))")]),
        ('not (message.text != "a" and crm.a)', [Other("(not ((message.text != 'a') and crm.a))")]),
        ("not (1 < crm.a < 2 < crm.b)", [Other("(not (1 < crm.a < 2 < crm.b))")]),
        ('contains(message.text, "a")', [TextTest("contains", ("message", "text"), "a")]),
        ('matches(message.text, "a+")', [TextTest("matches", ("message", "text"), "a+")]),
        ("contains(message.text, message.text)", [Other("contains(message.text, message.text)")]),
        (
            "all_of(crm.a, any_of(crm.b == 1, crm.b == 2))",
            [Truthy(("crm", "a")), Equals(("crm", "b"), frozenset({1, 2}))],
        ),
        (
            "(crm.a == 1 and crm.b) or crm.a == 2",
            [
                Equals(("crm", "a"), frozenset({1, 2})),
                Other("(((crm.a == 1) and crm.b) or (crm.a == 2))"),
            ],
        ),
        ("crm.a or true", []),
        ("crm.a == 1 or false", [Equals(("crm", "a"), frozenset({1}))]),
        ("false or not true", [Other("false")]),
        ("not false", []),
        ("1 < 2", [Other("(1 < 2)")]),
        ("crm.a in [crm.b]", [Other("(crm.a in [crm.b])")]),
        ("crm.a in crm.b", [Other("(crm.a in crm.b)")]),
        ("crm.a == crm.b", [Other("(crm.a == crm.b)")]),
        ("crm.a if crm.b else crm[crm.c]", [Other("(crm.a if crm.b else crm[crm.c])")]),
        ('matches(lower(message.text), "a+")', [Other("matches(lower(message.text), 'a+')")]),
        ("crm.a == [1]", [Other("(crm.a == [1])")]),
        ('crm["a b"][0] == "x"', [Equals(("crm", "a b", 0), frozenset({"x"}))]),
    ],
)
def test_a_condition_is_its_facts(source, facts):
    """The index and the checker reason about facts, never about text."""
    assert list(expression(source).tests) == facts


def test_explain_shows_each_leaf_with_what_it_looked_at():
    """'Why did it not fire' is answered leaf by leaf, in the author's spelling."""
    tested = expression(
        'session.state == "Talking" and not session.userData.nope\n'
        "and (age( session.started_at ) > 5 if crm[message.text] else any_of(crm.status  == 1))"
    )

    shown = tested.explain(SCOPE, SENSES)

    assert [(leaf.text, leaf.holds) for leaf in shown] == [
        ('session.state == "Talking"', True),
        ("session.userData.nope", False),
        ("age( session.started_at ) > 5", True),
        ("crm[message.text]", False),
        ("crm.status == 1", False),
    ]
    assert tested.leaves == tuple(leaf.text for leaf in shown)
    assert shown[0].operands == (("session.state", "Talking"),)
    assert str(shown[1].operands) == "(('session.userData.nope', <missing>),)"
    assert shown[2].operands == (
        ("age( session.started_at )", 600.0),
        ("session.started_at", STARTED),
    )
    assert [name for name, _ in shown[3].operands] == ["crm[message.text]", "crm", "message.text"]


def test_names_and_functions_tell_what_a_condition_looks_at():
    """The checker of a rulebook asks."""
    assert expression("vars.gold == crm.a").names_used == {"vars", "crm"}
    assert expression('can("Complete") and now()').names_used == {"session"}


_PATHS = st.sampled_from(
    [
        "session.state",
        "session.userData.a",
        "crm",
        "crm.a",
        "crm.a.b",
        "crm[0]",
        "crm.a[-1]",
        "vars.limit",
    ]
)
_LITERALS = st.sampled_from(['"a"', '"Talking"', '""', "1", "-2.5", "true", "none", '["a", 1]'])
_OPERATORS = st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not in"])
_OPERANDS = st.one_of(
    _PATHS,
    _LITERALS,
    st.builds("{}({})".format, st.sampled_from(["number", "lower", "len", "age"]), _PATHS),
    st.builds("[{}, {}]".format, _PATHS, _LITERALS),
    st.builds("crm[{}]".format, _PATHS),
)
_LEAVES = st.one_of(
    _OPERANDS,
    st.builds("{} {} {}".format, _OPERANDS, _OPERATORS, _OPERANDS),
    st.builds("{} < {} <= {}".format, _LITERALS, _OPERANDS, _LITERALS),
    st.builds(
        '{}({}, "a")'.format,
        st.sampled_from(["contains", "startswith", "endswith", "matches"]),
        _PATHS,
    ),
)
_CONDITIONS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("(not {})".format, inner),
        st.builds("any_of({}, {})".format, inner, inner),
        st.builds("all_of({}, {})".format, inner, inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
    ),
    max_leaves=6,
)
_SCALARS = st.sampled_from(["a", "Talking", "", "ba", "12", 1, -2.5, 0, True, False, None, STARTED])
_VALUES = st.one_of(
    _SCALARS,
    st.lists(_SCALARS, max_size=2),
    st.fixed_dictionaries({}, optional={"a": _SCALARS, "b": _SCALARS, "Talking": _SCALARS}),
)
_SCOPES = st.fixed_dictionaries(
    {},
    optional={
        "session": st.one_of(
            st.none(),
            st.fixed_dictionaries(
                {},
                optional={
                    "state": st.sampled_from(["Talking", "Alerting", None]),
                    "userData": st.fixed_dictionaries({}, optional={"a": _VALUES}),
                },
            ),
        ),
        "crm": st.one_of(_VALUES, st.fixed_dictionaries({"a": _VALUES})),
        "vars": st.just({"limit": 5}),
    },
)


def fact_holds(fact, scope):  # noqa: C901, PLR0911  one case per kind of fact
    """Say independently of the compiler what a fact means; None where it does not tell."""
    if isinstance(fact, Refuted):
        inner = fact_holds(fact.fact, scope)
        return None if inner is None else not inner
    if isinstance(fact, Other):
        return False if fact.text == "false" else None
    value = scope
    for step in fact.path:
        try:
            value = value[step] if not isinstance(value, str) else MISSING
        except (KeyError, IndexError, TypeError):
            value = MISSING
    match fact:
        case _ if value is MISSING:
            return False
        case Equals(values=values):
            return any(value == each for each in values)
        case NotEquals(values=values):
            return not any(value == each for each in values)
        case Truthy():
            return bool(value)
        case TextTest(kind="contains" | "matches"):
            return isinstance(value, str) and fact.text in value
        case TextTest(kind=kind):
            return isinstance(value, str) and getattr(value, kind)(fact.text)
        case Range():
            return in_range(fact, value)


def in_range(fact, value):
    if fact.numeric:
        try:
            value = float(value) if type(value) in (str, int, float) else None
        except ValueError:
            return False
    try:
        above = fact.low is None or (fact.low < value if fact.low_open else fact.low <= value)
        below = fact.high is None or (value < fact.high if fact.high_open else value <= fact.high)
    except TypeError:
        return False
    return above and below


@given(_CONDITIONS, _SCOPES)
@example("crm in crm", {"crm": [1]})
@example("crm.a not in ['a']", {"crm": {"a": []}})
def test_compiled_code_explanation_and_facts_agree(source, scope):
    """One language, three readers: what runs, what explains and what the index concludes."""
    parsed, problems = parse(source, place, NAMES, KNOWN)
    if parsed is None:
        assert problems
        return
    reference = evaluate(parsed.tree, scope, SENSES)

    assert repr(parsed.value(scope, SENSES)) == repr(reference)
    assert parsed.holds(scope, SENSES) is bool(reference)
    verdicts = [fact_holds(fact, scope) for fact in parsed.tests]
    if None not in verdicts:
        assert all(verdicts) is bool(reference)
    elif reference:
        assert False not in verdicts
    assert len(parsed.explain(scope, SENSES)) == len(parsed.leaves)


@given(
    st.text(alphabet="session.tae()[]\"'=<>! andortifls0123456789,{}|\n\\#:äé", max_size=60)
    | st.text()
)
def test_any_text_is_an_expression_or_a_list_of_mistakes(source):
    """Nothing but problems leaves the parser, whatever a file holds."""
    parsed, problems = parse(source, place, NAMES, KNOWN)

    assert (parsed is None) == bool(problems)
    for problem in problems:
        assert 10 <= problem.place.line <= 10 + source.count("\n")
        assert problem.place.column >= 20
