"""Own echoes: taken away one by one, and never by time alone while they may still come."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from imbot.engine.echoes import Echoes, normalised
from imbot.model import SessionKey
from imbot.records import EchoesLearnt

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


# Learning -------------------------------------------------------------------------------------


def at(seconds):
    return NOW + timedelta(seconds=seconds)


def test_quiesce_is_three_times_the_longest_echo_and_never_less_than_the_setting():
    """What was seen to take 40 s may take longer once."""
    echoes = Echoes(90.0)
    for number, took_s in enumerate((10, 40, 20)):
        echoes.expect(KEY, f"e{number}", "hello", NOW)
        echoes.take(KEY, "hello", at(took_s))
        assert echoes.quiesce_s == max(90.0, 3 * max((10, 40, 20)[: number + 1]))

    assert echoes.learnt.longest_s == 40
    assert echoes.quiet_at(NOW) == at(120)


def test_what_may_be_the_echo_of_another_is_not_measured():
    """Nor what came after a gap, or after a restart: the time is not GWS's."""
    echoes = Echoes()
    echoes.expect(KEY, "e1", "hello", NOW)
    echoes.expect(KEY, "e2", "hello", NOW)
    echoes.expect(KEY, "e3", "after a gap", NOW)
    echoes.expire(KEY, "e3", at(100))
    echoes.expect(KEY, "e4", "restored")

    taken = [echoes.take(KEY, text, at(50)) for text in ("hello", "after a gap", "restored")]

    assert taken == ["e1", "e3", "e4"]
    assert echoes.learnt == EchoesLearnt(are_heard=True)


def test_five_messages_without_an_echo_and_none_ever_with_one_show_that_there_are_none():
    """The fifth, too, has had its time."""
    echoes = Echoes(90.0)
    assert echoes.told == "unknown"

    assert not any(echoes.note_accepted(at(second)) for second in range(20))
    assert not echoes.note_accepted(at(93))
    assert echoes.note_accepted(at(94))

    assert echoes.told == "missing"
    assert not echoes.note_accepted(at(1000))


def test_an_echo_shows_that_there_are_some_after_all():
    """Whoever repaired GWS need not tell imbot."""
    echoes = Echoes(1.0)
    for second in range(0, 20, 2):
        echoes.note_accepted(at(second))
    echoes.expect(KEY, "e1", "hello", NOW)
    assert echoes.take(KEY, "hello", NOW) == "e1"

    assert echoes.told == "heard"
    assert not echoes.note_accepted(at(100))
    echoes.learnt = EchoesLearnt()
    assert not echoes.take(KEY, "nobody said this", NOW)
    assert echoes.told == "unknown"


def test_a_text_that_was_heard_for_another_is_shared():
    """Then nobody knows any more which of both was said."""
    echoes = Echoes()
    echoes.expect(KEY, "e1", "hello")
    echoes.expect(KEY, "e2", "hello")
    echoes.expect(KEY, "e3", "bye")
    assert not echoes.is_shared(KEY, "e2")

    echoes.take(KEY, "hello", NOW)

    assert [echoes.is_shared(KEY, each) for each in ("e2", "e3")] == [True, False]


def test_the_newest_is_what_was_said_last_and_not_heard_back():
    """What GWS complains of is most likely about that."""
    echoes = Echoes()
    assert echoes.newest(KEY) is None
    for name in ("e1", "e2", "e3"):
        echoes.expect(KEY, name, name)
    echoes.expire(KEY, "e3", NOW)

    assert echoes.newest(KEY) == "e2"
