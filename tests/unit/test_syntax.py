"""From text to a tree: what is refused before any name is looked at."""

import pytest

from imbot.rulebook.expressions import parse
from imbot.rulebook.syntax import Source
from tests.unit.rule_language import KNOWN, NAMES, place, problems_of


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
    assert problems_of(source)[0].code == "bad-expression"


def test_a_place_counts_lines_and_columns_from_the_source():
    """Problems in folded text stand on the line they were written on."""
    assert Source("ab\ncd", place).at(4) == place(1, 1)
