"""Own echoes: taken away one by one, and never by time alone while they may still come."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from imbot.engine.echoes import Echoes, normalised
from imbot.model import SessionKey

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = SessionKey("bot1", "s1")


def test_an_echo_is_taken_away_once():
    """The second time it is the other party who says it."""
    echoes = Echoes()
    echoes.expect(KEY, "e1", "hello")

    assert echoes.take(KEY, "hello", NOW) == "e1"
    assert echoes.take(KEY, "hello", NOW) is None


def test_the_oldest_of_equal_texts_is_confirmed_first():
    """GWS keeps the order."""
    echoes = Echoes()
    echoes.expect(KEY, "e1", "hello")
    echoes.expect(KEY, "e2", "hello")

    assert [echoes.take(KEY, "hello", NOW) for _ in range(3)] == ["e1", "e2", None]


def test_an_echo_belongs_to_its_session():
    """Two bots may say the same in two sessions."""
    echoes = Echoes()
    echoes.expect(KEY, "e1", "hello")

    assert echoes.take(SessionKey("bot2", "s1"), "hello", NOW) is None


def test_a_text_that_surely_was_not_sent_is_awaited_no_more():
    """Else the other party's same words would vanish."""
    echoes = Echoes()
    echoes.expect(KEY, "e1", "hello")
    echoes.expect(KEY, "e2", "bye")
    echoes.withdraw(KEY, "e1")

    assert echoes.take(KEY, "hello", NOW) is None
    assert echoes.take(KEY, "bye", NOW) == "e2"


def test_an_expired_echo_does_not_swallow_the_other_partys_words():
    """After quiesce it can no longer be ours."""
    echoes = Echoes()
    echoes.expect(KEY, "e1", "yes")
    echoes.expect(KEY, "e2", "no")
    echoes.expire(KEY, "e1", NOW)

    assert echoes.take(KEY, "yes", NOW + timedelta(seconds=1)) is None
    assert echoes.take(KEY, "no", NOW + timedelta(days=1)) == "e2"


def test_who_waits_for_a_proof_is_told_once():
    """A reply whose outcome nobody knows waits for its echo."""
    echoes, told = Echoes(), []
    echoes.expect(KEY, "e1", "hello")
    echoes.expect(KEY, "e2", "hello")
    echoes.tell("e1", lambda: told.append("e1"))
    echoes.tell("e2", lambda: told.append("e2"))
    echoes.hush("e2")

    echoes.take(KEY, "hello", NOW)
    echoes.take(KEY, "hello", NOW)

    assert told == ["e1"]


def test_a_session_that_is_over_awaits_nothing():
    """Nothing comes any more."""
    echoes = Echoes()
    echoes.expect(KEY, "e1", "hello")
    echoes.forget(KEY)
    echoes.forget(KEY)

    assert echoes.take(KEY, "hello", NOW) is None


def test_what_a_server_may_change_does_not_matter():
    """Line ends, white space at the end, and how an accent is encoded."""
    assert normalised("cafe\u0301\r\nbar \n") == normalised("café\nbar")
    assert normalised("a\rb") == "a\nb"


@given(st.text())
def test_normalising_twice_changes_nothing(text):
    """What comes back was normalised before."""
    assert normalised(normalised(text)) == normalised(text)


@given(
    st.lists(st.sampled_from("ab"), max_size=8),
    st.lists(st.sampled_from("ab"), max_size=16),
)
def test_no_more_is_taken_than_was_sent(sent, heard):
    """A multiset: of each text as many as were said, the rest is the other party's."""
    echoes = Echoes()
    for n, text in enumerate(sent):
        echoes.expect(KEY, f"e{n}", text)

    taken = Counter(text for text in heard if echoes.take(KEY, text, NOW) is not None)

    assert taken == Counter(sent) & Counter(heard)
