"""The functions of the rule language."""

import time
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.problems import Place
from imbot.rulebook import functions
from imbot.rulebook.calendarreading import parse_calendar
from imbot.rulebook.functions import FUNCTIONS, STATES_FOR, compile_pattern, number
from imbot.rulebook.scope import CAPABILITY, MISSING
from tests.unit.rule_language import PlainSenses

NEVER, _ = parse_calendar(
    "never", {"timezone": "UTC", "open": {}}, lambda _: Place("x"), today=date(2026, 1, 1)
)
OFFICE, _ = parse_calendar(
    "office",
    {"timezone": "UTC", "open": {"mon": "08:00-10:00"}},
    lambda _: Place("x"),
    today=date(2026, 1, 1),
)
SENSES = PlainSenses(calendars={"never": NEVER, "office": OFFICE}, heard="hello")


@pytest.mark.parametrize(
    ("name", "args", "value"),
    [
        ("contains", ("Hello", "ell"), True),
        ("contains", ("Hello", "ELL"), False),
        ("startswith", ("Hello", "He"), True),
        ("endswith", ("Hello", "lo"), True),
        ("lower", ("ÄB",), "äb"),
        ("upper", ("äb",), "ÄB"),
        ("strip", (" a\n",), "a"),
        ("len", ("abc",), 3),
        ("len", ([1],), 1),
        ("len", ({},), 0),
        ("duration", (5.0,), 5.0),
    ],
)
def test_a_function_gives(name, args, value):
    """Section 3."""
    assert FUNCTIONS[name].run(*args) == value


@pytest.mark.parametrize("wrong", [MISSING, None, {1}, True])
@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("contains", ("a",)),
        ("startswith", ("a",)),
        ("endswith", ("a",)),
        ("matches", (compile_pattern("a"),)),
        ("lower", ()),
        ("upper", ()),
        ("strip", ()),
        ("len", ()),
        ("number", ()),
    ],
)
def test_what_a_function_does_not_take_is_missing(name, more, wrong):
    """A function never raises, so a condition always has an answer."""
    assert FUNCTIONS[name].run(wrong, *more) is MISSING


def test_functions_of_the_world_ask_the_senses():
    """Nothing in the language reads a clock by itself."""
    assert functions.now(SENSES) == SENSES.moment
    assert functions.opened(SENSES, "office") is True
    assert functions.closed(SENSES, "office") is False
    assert functions.next_open(SENSES, "office") == datetime(2026, 3, 9, 8, tzinfo=UTC)
    assert functions.next_close(SENSES, "office") == datetime(2026, 3, 2, 10, tzinfo=UTC)
    assert functions.next_open(SENSES, "never") is MISSING
    assert functions.next_close(SENSES, "never") is MISSING
    assert functions.age(SENSES, datetime(2026, 3, 2, 8, 1, tzinfo=UTC)) == -60
    assert functions.age(SENSES, datetime(2026, 3, 2)) is MISSING  # noqa: DTZ001  the point
    assert functions.age(SENSES, "2026") is MISSING
    assert functions.said(SENSES, "HELLO") is True
    assert functions.said(SENSES, MISSING) is MISSING


@pytest.mark.parametrize(
    ("session", "capability", "value"),
    [
        ({"state": "Talking", "capabilities": None}, "SendMessage", True),
        ({"state": "Talking"}, "SendMessage", True),
        ({"state": "Talking", "capabilities": []}, "SendMessage", False),
        ({"state": "Talking", "capabilities": ["SendMessage"]}, "SendMessage", True),
        ({"state": "Alerting"}, "SendMessage", False),
        ({"state": "Alerting"}, "Complete", True),
        ({"state": "Completed", "capabilities": ["Complete"]}, "Complete", False),
        ({}, "Complete", False),
        (None, "Complete", MISSING),
    ],
)
def test_an_operation_can_be_done_if_state_and_list_allow_it(session, capability, value):
    """The list of a Completed session still names everything, so the state decides first."""
    assert functions.can({"session": session}, capability) is value


def test_every_capability_has_its_states():
    """The table must not forget one."""
    assert STATES_FOR.keys() == CAPABILITY.words


@pytest.mark.parametrize(
    ("text", "value"),
    [("12", 12), (" -3.50 ", -3.5), ("+7", 7), (7, 7), (1.5, 1.5), ("0012", 12)],
)
def test_a_number_is_read_as_spelled(text, value):
    """User data is text, also when it counts."""
    assert number(text) == value
    assert type(number(text)) is type(value)


@pytest.mark.parametrize(
    "text", ["", "a", "1,5", "1e5", "nan", "inf", "1_000", "--1", "9" * 19, "\u0663"]
)
def test_what_spells_no_number_is_missing(text):
    """No surprise may come out of user data."""
    assert number(text) is MISSING


@pytest.mark.parametrize(
    "pattern", ["[a-z]{900}[0-9]}", "[ab]*a[ab]{900}c", r"(?:[ab][bc]?){500}Q"]
)
def test_a_large_pattern_is_not_searched_in_a_large_text(pattern):
    """RE2 takes time for both together; the loop would stand still meanwhile."""
    compiled = compile_pattern(pattern)
    began = time.process_time()

    assert functions.matches("ab" * 30_000, compiled) is MISSING

    assert time.process_time() - began < 0.1
    assert functions.matches("ab" * 500, compiled) is False
    assert functions.matches("order 7 " * 30_000, compile_pattern("(?i)order [0-9]+$")) is False


def test_a_pattern_searches_and_cannot_run_away():
    """RE2 needs time in proportion to the text, whatever the pattern."""
    assert functions.matches("a" * 50_000 + "!", compile_pattern("(a+)+$")) is False
    assert functions.matches("say \ud800 no", compile_pattern("no")) is True


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(?=a)", "RE2 has no lookahead"),
        ("(?!a)", "RE2 has no lookahead"),
        ("(?<!a)", "RE2 has no lookbehind"),
        ("(a)\\1", "RE2 has no backreferences"),
        ("a" * 1001, "longer than 1000"),
        ("[", "close the ["),
        ("\ud800", "half a character"),
    ],
)
def test_a_pattern_that_re2_refuses_says_why(pattern, text):
    """Most authors know another kind of pattern."""
    with pytest.raises(ValueError, match="pattern") as caught:
        compile_pattern(pattern)

    assert text in str(caught.value)


@pytest.mark.parametrize(
    "pattern",
    ["|".join(["a{1,90}"] * 100), "|".join(["[a-z]{90}"] * 12), r"\pL{1,100}", r"\pN" * 300],
)
def test_a_pattern_that_would_keep_the_checker_busy_is_refused(pattern):
    """Each is short, and took RE2 a tenth of a second or more."""
    with pytest.raises(ValueError, match="repeat less"):
        compile_pattern(pattern)


@given(st.text())
def test_any_pattern_is_compiled_or_refused(pattern):
    """Nothing but ValueError leaves RE2's door."""
    try:
        compile_pattern(pattern)
    except ValueError as refusal:
        assert str(refusal)  # noqa: PT017  it need not fail


@given(st.floats(-1e15, 1e15).map(lambda value: f"{value:.3f}"))
def test_every_decimal_spelling_is_a_number(text):
    """The reader agrees with Python on what it takes."""
    assert number(text) == float(text)
