"""What a condition can see: names by trigger, types, and the one missing value."""

import operator
from datetime import UTC, datetime

import pytest

from imbot.rulebook.scope import (
    ANY,
    BOOL,
    LIST,
    MAP,
    MISSING,
    MOMENT,
    NOTHING,
    NUMBER,
    TEXT,
    TRIGGER_KINDS,
    Names,
    any_map_of,
    awaited,
    list_of,
    one_of,
    type_of,
)


def test_what_is_missing_compares_with_nothing():
    """Section 3: every comparison with a missing value is false."""
    for other in (MISSING, None, 0, "", "a", [], 1.5, datetime(2026, 1, 1, tzinfo=UTC)):
        for compare in (
            operator.eq,
            operator.ne,
            operator.lt,
            operator.le,
            operator.gt,
            operator.ge,
        ):
            assert not compare(MISSING, other)
            assert not compare(other, MISSING)
    assert not MISSING
    assert repr(MISSING) == "<missing>"
    assert hash(MISSING) == 0


@pytest.mark.parametrize(
    ("kinds", "seen", "unseen"),
    [
        ({"state"}, {"session", "participant", "agent", "bot", "event", "vars"}, {"message"}),
        ({"message"}, {"message", "session"}, set()),
        ({"state", "message"}, {"message", "session"}, set()),
        ({"schedule"}, {"bot", "event", "vars"}, {"session", "participant", "agent", "message"}),
        ({"webhook", "connection"}, {"session", "agent"}, {"message"}),
    ],
)
def test_a_trigger_decides_what_can_be_seen(kinds, seen, unseen):
    """A name that only some triggers supply is allowed, one that none supplies is not."""
    names = Names.for_trigger(frozenset(kinds))

    assert seen <= names.types.keys()
    assert not unseen & names.types.keys()
    assert unseen <= names.elsewhere.keys()


@pytest.mark.parametrize(
    ("kind", "field", "type_"),
    [
        ("userdata", "changed", None),
        ("idle", "idle", NUMBER),
        ("connection", "reason", TEXT),
        ("connection", "seconds", NUMBER),
        ("schedule", "scheduled_at", MOMENT),
        ("calendar", "scheduled_at", MOMENT),
        ("webhook", "body", ANY),
        ("state", "resync", BOOL),
    ],
)
def test_an_event_has_the_fields_of_its_kind(kind, field, type_):
    """Section 2."""
    event = Names.for_trigger(frozenset({kind})).types["event"]
    other = Names.for_trigger(frozenset({"message"}))

    assert event.of_field(field) == type_ if type_ else event.of_field(field) is not None
    assert field == "resync" or kind in other.elsewhere[f"event.{field}"]


def test_what_was_waited_for_stands_as_in_its_trigger():
    """Fine print 10."""
    message, change = awaited("message"), awaited("userdata")

    assert message.of_field("timed_out") == BOOL
    assert message.of_field("message").of_field("text") == TEXT
    assert message.of_field("event").of_field("at") == MOMENT
    assert change.of_field("message") is None
    assert change.of_field("event").of_field("changed").of_field("k").of_field("new") == TEXT


def test_a_block_sees_its_inputs_and_not_the_message():
    """Fine print 7."""
    names = Names.for_block({"who": TEXT})

    assert names.types["who"] == TEXT
    assert {"session", "event", "bot"} <= names.types.keys()
    assert not {"message", "error"} & names.types.keys()


def test_names_are_added_and_never_changed():
    """What one step binds, another branch must not see by accident."""
    first = Names.for_trigger(TRIGGER_KINDS)
    second = first.bind("answer").with_error().with_vars({"a": "x"}).with_vars({"b": NUMBER})

    assert not {"answer", "error"} & first.types.keys()
    assert second.types["answer"] == ANY
    assert second.types["error"].of_field("message") == TEXT
    assert second.types["vars"].of_field("a") == TEXT
    assert second.types["vars"].of_field("b") == NUMBER
    assert second.constants["a"] == "x"
    assert Names().with_vars({"a": 1}).types["vars"].of_field("a") == NUMBER


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        (None, NOTHING),
        (True, BOOL),
        (1, NUMBER),
        (1.5, NUMBER),
        ("a", TEXT),
        (datetime(2026, 1, 1, tzinfo=UTC), MOMENT),
        ([1], LIST),
        ((1,), LIST),
        ({1}, ANY),
    ],
)
def test_a_plain_value_has_a_type(value, type_):
    """Constants of a rule file are checked like names."""
    assert type_of(value) == type_


def test_types_say_what_is_below_them():
    """A step below anything is anything, below text there is nothing."""
    assert type_of({"a": {"b": 1}}).of_field("a").of_field("b") == NUMBER
    assert type_of({"a": 1}).of_field("x") is None
    assert any_map_of(TEXT).of_field("x") == TEXT
    assert MAP.of_field("x") == ANY
    assert ANY.of_field("x") == ANY
    assert TEXT.of_field("x") is None
    assert list_of(TEXT).of_item == TEXT
    assert LIST.of_item == ANY
    assert str(one_of("ab", "letter")) == "a letter"
    assert str(NUMBER) == "a number"
