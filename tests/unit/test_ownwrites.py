"""Our own writes of user data: never taken for another's, and never undone by what is older."""

from hypothesis import given
from hypothesis import strategies as st

from imbot.engine.ownwrites import ABSENT, OwnWrites

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
        found = own.compare(known, state, whole=True)
        assert (found.user_data, found.foreign) == (known, {})


@given(DATA, WRITES)
def test_what_surely_did_not_happen_leaves_nothing(data, many):
    own, known = OwnWrites(), data
    for writes in many:
        known = own.expect(known, writes)
    for writes in reversed(many):
        known = own.withdraw(known, writes)

    assert known == data
    assert own.compare(known, data, whole=True) == (data, {}, {})


def test_what_another_writes_over_ours_is_the_others():
    own = OwnWrites()
    known = own.expect({"a": "1"}, {"a": "2"})

    assert own.compare(known, {"a": "9"}, whole=False) == (
        {"a": "9"},
        {"a": {"old": "1", "new": "9"}},
        {},
    )


def test_a_key_that_is_left_out_is_gone_only_where_all_are_shown():
    own = OwnWrites()

    assert own.compare({"a": "1"}, {}, whole=False).user_data == {"a": "1"}
    assert own.compare({"a": "1"}, {}, whole=True).foreign == {"a": {"old": "1"}}


def test_nothing_is_expected_of_a_session_that_is_over():
    own = OwnWrites()
    own.expect({}, {"a": "1"})
    own.clear()

    assert own.compare({}, {"a": "1"}, whole=True).foreign == {"a": {"new": "1"}}
