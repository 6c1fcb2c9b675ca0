"""What a checked condition means, compiled and step by step."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imbot.rulebook.compiler import compile_value, evaluate
from imbot.rulebook.expressions import parse
from imbot.rulebook.facts import Equals, NotEquals, Other, Range, Refuted, TextTest, Truthy
from imbot.rulebook.scope import MISSING
from imbot.rulebook.tree import Name
from tests.unit.rule_language import KNOWN, NAMES, SCOPE, SENSES, STARTED, expression, place


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
        ('crm[crm.which].tags[0] == "vip"', True),
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


@pytest.mark.parametrize("run", [compile_value, lambda node: evaluate(node, {}, SENSES)])
def test_only_a_checked_tree_is_run(run):
    """A name that nobody looked up must never be taken for a value."""
    with pytest.raises(TypeError, match="unchecked Name"):
        run(Name("session"))


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


@settings(deadline=None)  # every example is compiled
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
