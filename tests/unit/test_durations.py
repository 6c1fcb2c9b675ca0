"""Durations as rule authors write them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.durations import LONGEST_S, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30.0),
        ("1h30m", 5400.0),
        ("500ms", 0.5),
        ("0m", 0.0),
        ("1.5h", 5400.0),
        ("2d", 172_800.0),
        ("1m500ms", 60.5),
        ("3650d", LONGEST_S),
    ],
)
def test_a_duration_is_numbers_with_units_joined(text, seconds):
    """Fine print 17 of the rule language."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("5 min", "did you mean '5m'?"),
        ("5min", "did you mean '5m'?"),
        ("1h 30m", "did you mean '1h30m'?"),
        ("10S", "did you mean '10s'?"),
        ("30", "it has no unit; did you mean '30s'?"),
        ("", "write a number and"),
        ("soon", "write a number and"),
        ("5x", "write a number and"),
        ("-5m", "write a number and"),
        ("5m!", "write a number and"),
        ("\u0665m", "write a number and"),
        ("1s" * 40, "'"),
        ("3651d", "the longest is 3650d"),
    ],
)
def test_what_is_no_duration_says_what_would_be_right(text, cure):
    """A bad duration must be cured from its message alone."""
    with pytest.raises(ValueError, match="is no duration") as caught:
        parse_duration(text)

    assert cure in str(caught.value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (5400, "1h30m"),
        (0.25, "250ms"),
        (-90, "-1m30s"),
        (-0.0001, "0s"),
        (86_461, "1d1m1s"),
    ],
)
def test_seconds_are_shown_as_an_author_would_write_them(seconds, text):
    """Messages speak the language of the rules."""
    assert format_duration(seconds) == text


@given(st.integers(0, int(LONGEST_S * 1000)))
def test_what_is_shown_can_be_written(milliseconds):
    """A duration copied from a message into a rule means the same."""
    assert parse_duration(format_duration(milliseconds / 1000)) == milliseconds / 1000


@given(st.text() | st.from_regex(r"([0-9]{1,9}(\.[0-9]+)? ?(ms|[smhdS]|min) ?){0,3}"))
def test_any_text_is_a_duration_or_a_clear_refusal(text):
    """Nothing but ValueError leaves the parser."""
    with suppress(ValueError):
        assert 0 <= parse_duration(text) <= LONGEST_S
