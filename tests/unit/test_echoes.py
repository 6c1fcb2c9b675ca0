"""Own echoes: taken away one by one, and never by time alone while they may still come."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from imbot.engine.echoes import OVER, TRIALS, Echoes, normalised
from imbot.model import SessionKey

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = SessionKey("bot1", "s1")


def at(seconds):
    return NOW + timedelta(seconds=seconds)


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
    echoes.doubt(KEY, "e1", NOW)

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


def test_an_echo_may_come_after_its_session_is_over():
    """Delivered late; it is no message of the other party for that. Not for ever, though."""
    echoes = Echoes()
    for name in ("e1", "e2"):
        echoes.expect(KEY, name, "hello")
    echoes.doubt(KEY, "e2", NOW)
    echoes.forget(KEY, at(10))
    echoes.forget(KEY, at(99))

    assert echoes.take(KEY, "hello", at(1)) == "e1"
    assert echoes.take(KEY, "hello", at(1)) is None
    echoes.expect(SessionKey("bot1", "s2"), "e3", "late")
    echoes.forget(SessionKey("bot1", "s2"), at(10))
    assert echoes.take(SessionKey("bot1", "s2"), "late", at(11)) is None


def test_late_echoes_are_known_of_the_last_sessions_only():
    """Memory has an end."""
    echoes = Echoes()
    keys = [SessionKey("bot1", f"s{number}") for number in range(OVER + 1)]
    for key in keys:
        echoes.expect(key, f"e {key.session_id}", "hello")
        echoes.forget(key, at(10))

    taken = [echoes.take(key, "hello", NOW) for key in keys]

    assert taken[0] is None
    assert all(taken[1:])


def test_an_echo_is_rather_that_of_what_was_surely_said():
    """One that nobody knows of, and that was never said, must not be confirmed by another's."""
    echoes = Echoes()
    echoes.expect(KEY, "doubtful", "hello")
    echoes.doubt(KEY, "doubtful", None)
    echoes.expect(KEY, "said", "hello")

    assert [echoes.take(KEY, "hello", NOW) for _ in range(2)] == ["said", "doubtful"]


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
    echoes.expire_agent("bot1", at(100))
    echoes.expect(KEY, "e4", "restored")

    taken = [echoes.take(KEY, text, at(50)) for text in ("hello", "after a gap", "restored")]

    assert taken == ["e1", "e3", "e4"]
    assert echoes.learnt.longest_s == 0


def said(echoes, count, *, heard=0, first=0, text="text {}"):
    """Let so many messages be accepted, a second apart, and the first of them be heard back."""
    for number in range(first, first + count):
        echoes.expect(KEY, f"e{number}", text.format(number), at(number))
        if number < first + heard:
            echoes.take(KEY, text.format(number), at(number))
        echoes.note_accepted(KEY, f"e{number}", text.format(number), at(number))


def test_five_messages_without_an_echo_show_that_there_are_none():
    """Each of them has had its time."""
    echoes = Echoes(90.0)
    said(echoes, 5)
    assert echoes.told == "unknown"

    said(echoes, 1, first=93)
    assert echoes.told == "unknown"

    said(echoes, 1, first=94)
    assert echoes.told == "missing"


def test_three_messages_that_were_heard_back_show_that_there_are_echoes():
    """One or two may be the other party's, who says the same."""
    echoes = Echoes(90.0)
    said(echoes, 2, heard=2)
    assert echoes.told == "unknown"

    said(echoes, 1, heard=1, first=2)
    assert echoes.told == "heard"


def test_the_same_words_again_and_again_show_nothing():
    """A parrot in one session is no echo."""
    echoes = Echoes(90.0)
    said(echoes, 9, heard=9, text="hello")

    assert echoes.told == "unknown"


def test_where_there_are_no_echoes_the_other_partys_words_are_its_own():
    """However often it repeats ours; until most of what we say comes back."""
    echoes = Echoes(1.0)
    said(echoes, 8)
    assert echoes.told == "missing"

    assert echoes.take(KEY, "text 3", at(9)) is None
    assert echoes.told == "missing"

    said(echoes, TRIALS, heard=TRIALS, first=20)
    assert echoes.told == "heard"
    echoes.expect(KEY, "e99", "hello")
    assert echoes.take(KEY, "hello", at(99)) == "e99"


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
    echoes.doubt(KEY, "e3", NOW)

    assert echoes.newest(KEY) == "e2"
