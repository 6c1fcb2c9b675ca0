"""What a condition demands, as facts."""

import pytest

from imbot.rulebook.facts import (
    Equals,
    NotEquals,
    Other,
    Range,
    Refuted,
    TextTest,
    Truthy,
    facts_of,
)
from imbot.rulebook.tree import Items, Name
from tests.unit.rule_language import expression


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
        ("not crm.a < 5 and crm.a < 9", [Range(("crm", "a"), 5, 9, high_open=True)]),
        ("crm.a > 5 and not crm.a >= 9", [Range(("crm", "a"), 5, 9, True, True)]),
        ("crm.a < 9 and not crm.a <= 5", [Range(("crm", "a"), 5, 9, True, True)]),
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
        ('open("support")', [Other("open('support')")]),
        ('closed("support")', [Refuted(Other("open('support')"))]),
        ('not closed("support")', [Other("open('support')")]),
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


def test_only_a_checked_tree_has_facts():
    """A name that nobody looked up has no path."""
    with pytest.raises(TypeError, match="unchecked Name"):
        facts_of(Items((Name("x"),)))
