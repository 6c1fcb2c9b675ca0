"""Which of the sessions GWS shows is the one we began."""

from hypothesis import given
from hypothesis import strategies as st

from imbot.gws.initiating import Slot, reaches
from imbot.model import ImSession, Participant


def shown(session_id, state, number=""):
    """Return a session with such a participant."""
    return ImSession(session_id, state, participants=(Participant(number),) if number else ())


def test_the_session_that_reaches_the_destination_is_ours_at_once():
    slot = Slot("(089) 123-4", ())
    slot.offer(shown("A", "Talking", "0891234"))

    assert slot.found.is_set()
    assert slot.session_id == "A"


def test_glare_takes_the_other_partys_session():
    """Whoever rings from the number we dial is who we want to talk to."""
    slot = Slot("3002", ())
    slot.offer(shown("A", "Alerting", "3002"))

    assert slot.session_id == "A"


def test_a_session_that_dials_is_ours_without_a_number():
    slot = Slot("3002", ())
    slot.offer(shown("A", "Initiating"))

    assert slot.session_id == "A"


def test_another_number_is_ours_only_when_gws_accepted():
    slot = Slot("3002", ())
    slot.offer(shown("A", "Talking", "+4989"))
    assert not slot.found.is_set()
    slot.accept()

    assert slot.session_id == "A"


def test_an_invitation_from_elsewhere_is_never_ours():
    slot = Slot("3002", ())
    slot.accept()
    slot.offer(shown("A", "Alerting", "5"))

    assert not slot.found.is_set()


def test_what_was_there_before_or_is_over_is_not_ours():
    slot = Slot("3002", ["A"])
    slot.accept()
    slot.offer(shown("A", "Talking", "3002"))
    slot.offer(shown("B", "Completed", "3002"))

    assert not slot.found.is_set()


def test_the_first_find_stands():
    slot = Slot("3002", ())
    slot.offer(shown("A", "Talking", "7"))
    slot.offer(shown("B", "Initiating"))
    slot.accept()
    slot.offer(shown("C", "Initiating"))

    assert slot.session_id == "B"


def test_a_name_without_digits_is_compared_as_a_name():
    assert reaches(shown("A", "Talking", "Alice "), "alice")
    assert not reaches(shown("A", "Talking", "bob"), "alice")
    assert not reaches(shown("A", "Talking"), "")


@given(
    st.lists(
        st.builds(
            shown,
            st.sampled_from("ABC"),
            st.sampled_from(["Initiating", "Alerting", "Talking", "Completed", "Held"]),
            st.sampled_from(["", "3002", "5"]),
        )
        | st.none(),
        max_size=8,
    )
)
def test_only_an_offered_new_session_is_ever_found(offers):
    slot = Slot("3002", ["C"])
    for offer in offers:
        slot.offer(offer) if offer is not None else slot.accept()

    offered = {offer.id for offer in offers if offer is not None and not offer.is_completed}
    assert slot.session_id is None or slot.session_id in offered - {"C"}
    assert slot.found.is_set() == (slot.session_id is not None)
