"""What floods is counted, and nothing goes uncounted."""

from hypothesis import given
from hypothesis import strategies as st

from imbot.floods import LINES, WINDOW_S, Floods

LOST, LOCKED = (30, "agent.lost"), (30, "agent.locked")


def test_a_few_lines_are_written_and_the_rest_is_counted():
    floods = Floods()

    written = [floods.admits(LOST, 0.0) for _ in range(LINES + 312)]

    assert sum(written) == LINES
    assert list(floods.over(1.0)) == []
    assert list(floods.over(WINDOW_S)) == [(LOST, 312)]
    assert floods.admits(LOST, WINDOW_S)


def test_one_flood_hides_nothing_else():
    floods = Floods()
    for _ in range(1000):
        floods.admits(LOST, 0.0)

    assert floods.admits(LOCKED, 0.0)


def test_a_clock_that_is_set_back_lets_lines_through_again():
    """Else imbot would be silent until the old time comes round."""
    floods = Floods()
    for _ in range(LINES + 1):
        floods.admits(LOST, 5000.0)

    assert list(floods.over(100.0)) == [(LOST, 1)]
    assert floods.admits(LOST, 100.0)


@given(
    st.lists(
        st.tuples(st.sampled_from([LOST, LOCKED, (20, "agent.lost")]), st.floats(0, 20)),
        max_size=400,
    )
)
def test_every_line_is_written_or_counted_once(lines):
    floods, at = Floods(), 0.0
    written = counted = 0
    for kind, pause_s in lines:
        at += pause_s / 50
        counted += sum(times for _kind, times in floods.over(at))
        written += floods.admits(kind, at)
    counted += sum(times for _kind, times in floods.over(at + WINDOW_S))

    assert written + counted == len(lines)
    assert list(floods.over(at + WINDOW_S)) == []
