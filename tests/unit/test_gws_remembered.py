import sys
from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from imbot.gws.remembered import Remembered


@given(st.lists(st.text(max_size=2)), st.integers(1, 5))
def test_it_knows_the_last_names_each_once(names, limit):
    remembered = Remembered(limit)
    for name in names:
        remembered.add(name)
    first_seen = list(dict.fromkeys(names))
    if len(first_seen) <= limit:
        assert all(name in remembered for name in first_seen)
    assert sum(name in remembered for name in first_seen) == min(limit, len(first_seen))
    assert not names or names[-1] in remembered or names[-1] in names[:-1]


def test_a_name_can_be_forgotten_twice():
    remembered = Remembered(2)
    remembered.add("s1")
    remembered.discard("s1")
    remembered.discard("s1")
    assert "s1" not in remembered


def test_it_is_small_while_it_is_empty():
    """A thousand agents keep four of these each."""
    remembered = Remembered(200)
    size = sys.getsizeof(remembered) + sys.getsizeof(remembered._names)
    assert size < sys.getsizeof(deque(maxlen=200)) / 4
