"""What an agent was told of, against what GWS lists."""

from hypothesis import given
from hypothesis import strategies as st

from imbot.gws.known import REMEMBERED, KnownSessions
from imbot.model import ImSession


def test_a_completed_session_never_comes_back():
    known = KnownSessions()
    known.note(ImSession("A", "Completed", aliases=("B",)))
    known.note(ImSession("A", "Talking"))

    assert known.live == {}
    assert known.knows("A")
    assert known.knows("B")


def test_what_is_past_is_forgotten_some_day():
    known = KnownSessions()
    for number in range(REMEMBERED + 1):
        known.note(ImSession(f"S{number}", "Completed"))

    assert not known.knows("S0")
    assert known.knows("S1")


def test_a_snapshot_ends_what_it_lacks_but_not_what_came_after_it_was_asked_for():
    known = KnownSessions()
    known.note(ImSession("OLD", "Talking"))
    before = tuple(known.live)
    known.note(ImSession("NEW", "Talking"))
    known.note_snapshot((), before)

    assert list(known.live) == ["NEW"]


SESSIONS = st.lists(
    st.builds(
        ImSession,
        st.sampled_from("ABCD"),
        st.sampled_from(["Initiating", "Alerting", "Talking", "Completed", "Held"]),
    ),
    max_size=6,
)


@given(SESSIONS, SESSIONS)
def test_what_a_snapshot_showed_is_no_difference_any_more(told, listed):
    """Otherwise every proof would renew the login for ever."""
    known = KnownSessions()
    for one in told:
        known.note(one)
    listed = tuple({one.id: one for one in listed}.values())
    known.note_snapshot(listed, tuple(known.live))

    assert known.differences(listed) == frozenset()
