"""Our own writes of user data: never taken for another's, and never undone by what is older."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from imbot.engine.ownwrites import ABSENT, AT_ONCE, OwnWrites

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEYS = st.sampled_from("abc")
DATA = st.dictionaries(KEYS, st.sampled_from(["1", "2"]))
WRITES = st.lists(st.dictionaries(KEYS, st.sampled_from(["1", "2", "3", ABSENT]), min_size=1))


def written(data, writes):
    """Return the data after a write."""
    merged = {**data, **writes}
    return {name: value for name, value in merged.items() if value is not ABSENT}


@given(DATA, WRITES)
def test_what_gws_shows_late_changes_nothing_and_is_nobody_elses(data, many):
    """It shows one write after another, all of them behind us."""
    own, known, shown = OwnWrites(), data, [data]
    for writes in many:
        known = own.expect(known, writes)
        shown.append(written(shown[-1], writes))

    assert known == shown[-1]
    for state in (shown[0], shown[-1]):
        found = own.compare(known, state, NOW, whole=True)
        assert (found.user_data, found.foreign) == (known, {})


@given(DATA, WRITES)
def test_what_surely_did_not_happen_leaves_nothing(data, many):
    own, known = OwnWrites(), data
    for writes in many:
        known = own.expect(known, writes)
    for writes in reversed(many):
        known = own.withdraw(known, writes)

    assert known == data
    assert own.compare(known, data, NOW, whole=True)[:3] == (data, {}, {})


def test_what_another_writes_over_ours_is_the_others():
    own = OwnWrites()
    known = own.expect({"a": "1"}, {"a": "2"})

    assert own.compare(known, {"a": "9"}, NOW, whole=False)[:3] == (
        {"a": "9"},
        {"a": {"old": "1", "new": "9"}},
        {},
    )


def test_a_key_that_is_left_out_is_gone_only_where_all_are_shown():
    own = OwnWrites()

    assert own.compare({"a": "1"}, {}, NOW, whole=False).user_data == {"a": "1"}
    assert own.compare({"a": "1"}, {}, NOW, whole=True).foreign == {"a": {"old": "1"}}


def test_nothing_is_expected_of_a_session_that_is_over():
    own = OwnWrites()
    own.expect({}, {"a": "1"})
    own.clear()

    assert own.compare({}, {"a": "1"}, NOW, whole=True).foreign == {"a": {"new": "1"}}


# Depth ----------------------------------------------------------------------------------------


def test_what_we_changed_has_the_depth_of_the_run_that_did():
    """Rules that set each other off by what they write are counted by it."""
    own = OwnWrites()
    own.expect({}, {"a": "1", "b": "1"}, depth=3)
    own.expect({}, {"b": "2"}, depth=5)

    assert own.compare({}, {"a": "1"}, NOW, whole=False).own_depth == 3
    found = own.compare({"a": "1"}, {"b": "2"}, NOW, whole=False)
    assert (found.own_depth, found.foreign_depth) == (5, 0)


def test_our_write_in_another_spelling_has_its_depth():
    """A server that trims or capitalises would set a rule off for ever."""
    own = OwnWrites()
    own.expect({"a": "0"}, {"a": " x"}, depth=4)

    found = own.compare({"a": " x"}, {"a": "x"}, NOW, whole=False)

    assert (found.foreign_depth, found.own) == (4, {})


def shown_and_answered(after):
    own = OwnWrites()
    known = own.expect({}, {"a": "1"}, depth=2)
    own.compare(known, {"a": "1"}, NOW, whole=False)
    return own.compare({"a": "1"}, {"a": "2"}, NOW + after, whole=False).foreign_depth


def test_who_changes_it_back_at_once_answers_us():
    """A program; and a person is slower."""
    assert shown_and_answered(AT_ONCE / 2) == 2
    assert shown_and_answered(AT_ONCE) == 0
    assert shown_and_answered(timedelta(hours=1)) == 0


def test_what_others_change_that_we_never_wrote_came_from_outside():
    own = OwnWrites()
    own.expect({}, {"a": "1"}, depth=2)
    own.compare({}, {"a": "1"}, NOW, whole=False)

    assert own.compare({"a": "1"}, {"b": "2"}, NOW, whole=False).foreign_depth == 0
