"""What rings is accepted once, by the name GWS gives, or by the configured one after a while."""

from hypothesis import given
from hypothesis import strategies as st

from imbot.gws.invitations import Invitations
from imbot.model import ImSession


def shown(session_id="S1", state="Alerting", capabilities=()):
    return ImSession(session_id, state, capabilities=capabilities)


def test_a_capability_that_names_the_operation_is_taken_at_once():
    invitations = Invitations("wait", patience_s=2.0)
    invitations.see(shown(capabilities=("Complete", "Accept", "Answer")), 10.0)

    assert invitations.next_at() == 10.0
    assert invitations.take(10.0) == ("S1", "Answer")
    assert invitations.take(10.0) is None


def test_without_one_it_is_left_to_gws_and_people():
    """Nobody documented an operation; the default does nothing, and says so once."""
    invitations = Invitations("wait", patience_s=2.0)
    invitations.see(shown(capabilities=None), 10.0)

    assert invitations.take(11.9) is None
    assert invitations.take(12.0) == ("S1", "")
    invitations.see(shown(capabilities=None), 13.0)
    assert invitations.next_at() is None


def test_a_capability_may_come_late():
    """Capabilities change while it rings; having said that there was none is no obstacle."""
    invitations = Invitations("wait", patience_s=2.0)
    invitations.see(shown(), 10.0)
    assert invitations.take(12.0) == ("S1", "")
    invitations.see(shown(capabilities=("Answer",)), 13.0)

    assert invitations.take(13.0) == ("S1", "Answer")


def test_a_configured_operation_is_tried_once_after_a_while():
    invitations = Invitations("AcceptIM", patience_s=2.0)
    invitations.see(shown(), 10.0)
    invitations.see(shown(), 11.0)

    assert invitations.take(11.9) is None
    assert invitations.take(12.0) == ("S1", "AcceptIM")
    invitations.see(shown(), 13.0)
    assert invitations.next_at() is None


def test_one_that_talks_by_itself_needs_nothing():
    invitations = Invitations("AcceptIM", patience_s=2.0)
    invitations.see(shown(), 10.0)
    invitations.see(shown(state="Talking"), 11.0)

    assert invitations.take(20.0) is None


def test_our_own_session_rings_elsewhere():
    """After Initiating it may be Alerting: at the other party."""
    invitations = Invitations("AcceptIM", patience_s=2.0)
    invitations.see(shown(state="Initiating"), 10.0)
    invitations.see(shown(capabilities=("Answer",)), 11.0)

    assert invitations.next_at() is None


def test_what_surely_was_not_done_is_due_again_when_it_is_shown():
    invitations = Invitations("wait", patience_s=2.0)
    invitations.see(shown(capabilities=("Answer",)), 10.0)
    invitations.take(10.0)
    invitations.give_back("S1")
    invitations.see(shown(capabilities=("Answer",)), 20.0)

    assert invitations.take(20.0) == ("S1", "Answer")


@given(
    st.lists(
        st.builds(
            shown,
            st.sampled_from("ABC"),
            st.sampled_from(["Initiating", "Alerting", "Talking", "Completed"]),
            st.sampled_from([None, (), ("Answer",)]),
        ),
        max_size=20,
    ),
    st.sampled_from(["wait", "AcceptIM"]),
)
def test_no_session_is_accepted_or_told_twice(history, on_alerting):
    invitations = Invitations(on_alerting, patience_s=2.0)
    given_out = []
    for now, session in enumerate(history):
        invitations.see(session, float(now))
        while (taken := invitations.take(float(now))) is not None:
            given_out.append((taken[0], bool(taken[1])))

    assert len(given_out) == len(set(given_out))
