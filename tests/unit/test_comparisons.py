"""Comparisons that can never be true."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.rulebook.comparisons import impossible
from imbot.rulebook.scope import ANY, BOOL, LIST, MAP, MOMENT, NOTHING, NUMBER, STATE, TEXT
from imbot.rulebook.tree import Path

LEFT, RIGHT = Path(("left",)), Path(("right",))
TYPES = [ANY, BOOL, LIST, MAP, MOMENT, NOTHING, NUMBER, STATE, TEXT]
OPERATORS = ["==", "!=", "<", "<=", ">", ">=", "in", "not in"]


def findings(op, left, right):
    return [what for _, what, _ in impossible(op, (LEFT, left), (RIGHT, right), ("left", "right"))]


@given(st.sampled_from(TYPES), st.sampled_from(TYPES), st.sampled_from(["==", "!=", "<", ">="]))
def test_a_comparison_is_judged_the_same_from_both_sides(left, right, op):
    """The order in which an author writes must not matter."""
    assert bool(findings(op, left, right)) == bool(findings(op, right, left))


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("other", TYPES)
def test_what_may_be_anything_is_never_refused_for_its_own_sake(op, other):
    """Results of plugins are known only when they are there."""
    found = findings(op, ANY, other)

    assert not found or "no order" in found[0] or "can be in it" in found[0]


@pytest.mark.parametrize("same", [NUMBER, STATE, TEXT, MOMENT])
@pytest.mark.parametrize("op", ["==", "!=", "<", ">="])
def test_equal_kinds_compare(op, same):
    """The table must not refuse what is right."""
    assert findings(op, same, same) == []
