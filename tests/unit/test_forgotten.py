"""Text that was meant as a template."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.rulebooks import load

RULE = "version: 1\nrules:\n  - id: r\n    trigger: {{message: any}}\n    do:\n      - reply: {}\n"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("message.text", "message.text"),
        ("Hello {participant.digits}!", "participant.digits"),
        ("${agent.user}", "agent.user"),
        ("Hello session.id }}", "session.id"),
        ("lower(message.text)", "lower(message.text)"),
    ],
)
def test_an_expression_without_its_braces_is_told(text, meant):
    """It would be sent as it stands."""
    _, problems = load(RULE.format(f'"{text}"'))

    (told,) = [problem for problem in problems if "[odd-text]" in problem]
    assert f"'{meant}' stands there as text" in told
    assert f'write "{{{{ {meant} }}}}"' in told


@pytest.mark.parametrize(
    "text", ["See docs.example.com.", "e.g. {this}", "What (really)?", "len is 3.5", "a.b {c.d}"]
)
def test_words_with_dots_and_brackets_are_words(text):
    """A false alarm is worse than none."""
    assert load(RULE.format(f'"{text}"'))[1] == []


@pytest.mark.alone
def test_a_long_text_full_of_dots_is_read_once():
    """A search that starts over at each dot takes the square of them."""
    began_s = time.process_time()
    load(RULE.format('"' + ".inf" * 10_000 + ' }}"'))

    assert time.process_time() - began_s < 2


@given(st.text(alphabet="ab.(){} $'\"\\", max_size=60))
def test_any_text_is_told_or_not(text):
    """Nothing that stands in a text may stop the checker."""
    load(RULE.format("'" + text.replace("'", "''") + "'"))
