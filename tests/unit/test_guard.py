"""The loop guard: bots are found out, people are not."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.engine.guard import (
    EXCHANGES,
    HASTY_AT_LEAST,
    INHUMAN_IN_A_ROW,
    LOOP_S,
    PAUSE_S,
    REPLIES_IN_A_ROW,
    SAME_TIMES,
    SAME_WITHIN_S,
    LoopGuard,
)
from imbot.model import SessionKey
from imbot.records import TimerGone, TimerSet

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = SessionKey("bot1", "s1")


def after(seconds):
    return NOW + timedelta(seconds=seconds)


def alternate(guard, times, answer_s):
    """Let replies and answers alternate; return when it ends."""
    at = 0.0
    for _ in range(times):
        guard.note_reply(KEY, after(at))
        at += answer_s
        guard.note_message(KEY, after(at))
        at += 0.1
    return at


def test_another_bots_mark_is_seen():
    """It cooperates."""
    guard = LoopGuard("a")

    assert "imbot.auto.b.bot9" in guard.verdict(KEY, {"imbot.auto.b.bot9": "1"}, NOW)


def test_our_own_mark_is_no_loop():
    """We leave it ourselves."""
    guard = LoopGuard("a")

    assert guard.verdict(KEY, {guard.mark("bot1"): "1", "other": "x"}, NOW) == ""


def test_another_agent_of_ours_is_a_bot_too():
    """Two agents of one imbot may hold the two ends of one call."""
    guard = LoopGuard("a")

    assert guard.verdict(KEY, {guard.mark("bot2"): "1"}, NOW)


def test_the_mark_is_needed_once():
    """It stays in the session."""
    guard = LoopGuard("a")

    assert guard.needs_mark(KEY, {})
    assert not guard.needs_mark(KEY, {guard.mark("bot1"): "1"})
    assert not LoopGuard("a", marks=False).needs_mark(KEY, {})


def test_haste_in_a_row_is_a_bot():
    """Nobody types so fast so often."""
    guard = LoopGuard("a")
    at = alternate(guard, INHUMAN_IN_A_ROW, 0.5)

    assert guard.verdict(KEY, {}, after(at + 60)) == (
        "8 answers in a row came within 2 s of our reply; no replies for another 14m"
    )


def test_one_pause_begins_the_count_anew():
    """A person may be quick, but not for ever."""
    guard = LoopGuard("a")
    alternate(guard, INHUMAN_IN_A_ROW - 1, 0.5)
    alternate(guard, 1, 3.0)
    alternate(guard, INHUMAN_IN_A_ROW - 1, 0.5)

    assert guard.verdict(KEY, {}, NOW) == ""


def test_several_lines_after_one_reply_count_once():
    """People send bursts of short lines."""
    guard = LoopGuard("a")
    guard.note_reply(KEY, NOW)
    for n in range(20):
        guard.note_message(KEY, after(n * 0.05))

    assert guard.verdict(KEY, {}, NOW) == ""


def test_words_before_any_reply_count_nothing():
    """There is nothing to alternate with."""
    guard = LoopGuard("a")
    guard.note_message(KEY, NOW)

    assert guard.verdict(KEY, {}, NOW) == ""


def test_who_never_takes_the_time_to_read_is_a_bot():
    """One that waits a little before it answers, as some do to look human."""
    guard = LoopGuard("a")
    alternate(guard, REPLIES_IN_A_ROW - 1, PAUSE_S - 0.1)
    assert guard.verdict(KEY, {}, NOW) == ""
    at = alternate(guard, 1, PAUSE_S - 0.1)

    assert "20 answers in a row came within 4 s" in guard.verdict(KEY, {}, after(at))


def test_two_replies_to_each_message_are_counted_too():
    """Bots that do so would say a thousand things in ten rounds."""
    guard, at, replies = LoopGuard("a"), 0.0, 0
    for size in (1, 2, 4, 8, 16):
        for n in range(size):
            guard.note_reply(KEY, after(at + n / 100), text=f"{n}", step=f"e/r/{replies}")
            replies += 1
        for n in range(2 * size):
            guard.note_message(KEY, after(at + 0.5 + n / 100), f"{n}")
        if guard.verdict(KEY, {}, after(at + 1)):
            break
        at += 1

    at += 1
    assert "31 replies between 5 answers" in guard.verdict(KEY, {}, after(at))


def test_a_long_text_in_many_pieces_is_one_reply():
    guard = LoopGuard("a")
    for round_ in range(HASTY_AT_LEAST + 1):
        for n in range(REPLIES_IN_A_ROW):
            guard.note_reply(KEY, after(round_), text=f"{n}", step=f"e{round_}/r/0")
        guard.note_message(KEY, after(round_ + 0.5), f"{round_}")

    assert guard.verdict(KEY, {}, NOW) == ""


def test_a_long_tale_of_ours_is_no_loop():
    """Only what is said between hasty answers counts."""
    guard = LoopGuard("a")
    for n in range(3 * REPLIES_IN_A_ROW):
        guard.note_reply(KEY, NOW, text=f"{n}", step=f"e/r/{n}")
    guard.note_message(KEY, after(1), "thanks")

    assert guard.verdict(KEY, {}, NOW) == ""


def chant(guard, times, *, words="Sorry?", reply="Please rephrase.", every_s=9.0):
    """Let the same words be answered by the same words so many times; return when it ends."""
    guard.note_reply(KEY, NOW, text="Hello")
    at = 0.0
    for n in range(times + 1):
        guard.note_message(KEY, after(at), words.format(n))
        guard.note_reply(KEY, after(at), text=reply.format(n), step=f"e{n}/r/0")
        at += every_s
    return at


@pytest.mark.parametrize(
    ("more", "is_loop"),
    [
        ({}, True),
        ({"words": "line {}"}, False),
        ({"reply": "answer {}"}, False),
        ({"every_s": SAME_WITHIN_S}, False),
    ],
)
def test_the_same_words_in_a_row_are_two_bots(more, is_loop):
    """However slow they are; a person says something else, or takes a while."""
    guard = LoopGuard("a")
    at = chant(guard, SAME_TIMES, **more)

    assert ("the same words 5 times" in guard.verdict(KEY, {}, after(at))) is is_loop


def test_a_pause_in_between_begins_the_count_anew():
    guard = LoopGuard("a")
    chant(guard, SAME_TIMES - 1)
    chant(guard, 1, every_s=SAME_WITHIN_S)
    chant(guard, SAME_TIMES - 1)

    assert guard.verdict(KEY, {}, NOW) == ""


def test_three_bots_that_take_turns_are_found_out_too():
    """Each says always the same; what ours hears is not always the same."""
    guard, at, found = LoopGuard("a"), 0.0, []
    for n in range(3 * SAME_TIMES):
        guard.note_reply(KEY, after(at), text="Please rephrase.", step=f"e{n}/r/0")
        at += 6.0
        found.append(guard.note_message(KEY, after(at), f"I am bot {n % 2}. Sorry?"))

    assert [row for row in found if row] == [found[2 * SAME_TIMES - 2]]


def test_who_has_much_to_say_costs_no_memory():
    guard, at = LoopGuard("a"), 0.0
    for n in range(10 * EXCHANGES):
        guard.note_reply(KEY, after(at), text=f"answer {n}", step=f"e{n}/r/0")
        at += 6.0
        guard.note_message(KEY, after(at), f"line {n}")

    assert len(guard._talks[KEY].exchanges) <= EXCHANGES


def test_the_silence_ends_by_itself_and_everything_is_counted_anew():
    """Whoever was taken for a bot and is none gets an answer again."""
    guard = LoopGuard("a")
    until = alternate(guard, INHUMAN_IN_A_ROW, 0.5) + LOOP_S
    assert guard.verdict(KEY, {}, after(until - 1))

    assert guard.verdict(KEY, {}, after(until)) == ""
    guard.note_reply(KEY, after(until))
    assert guard.note_message(KEY, after(until + 1)) is None
    assert guard.verdict(KEY, {}, after(until + 1)) == ""


def test_a_silence_that_nobody_asked_about_ends_too():
    guard = LoopGuard("a")
    alternate(guard, INHUMAN_IN_A_ROW, 0.5)
    late = LOOP_S + 60
    found = [
        (guard.note_reply(KEY, after(late + n)), guard.note_message(KEY, after(late + n + 0.5)))[1]
        for n in range(INHUMAN_IN_A_ROW)
    ]

    assert [row is not None for row in found] == [False] * (INHUMAN_IN_A_ROW - 1) + [True]


def test_a_clock_that_is_set_back_makes_no_endless_silence():
    guard = LoopGuard("a")
    alternate(guard, INHUMAN_IN_A_ROW, 0.5)

    assert guard.verdict(KEY, {}, after(-3600)) == ""


def found_out():
    """Return a guard that has found a bot, and what is kept of it."""
    guard, row = LoopGuard("a"), None
    for n in range(INHUMAN_IN_A_ROW):
        guard.note_reply(KEY, after(n))
        row = guard.note_message(KEY, after(n + 0.5)) or row
    return guard, row


def test_what_was_found_is_kept_once_and_survives_a_restart():
    """A bot that dies of the other must not begin anew each time."""
    guard, row = found_out()
    guard.note_reply(KEY, after(INHUMAN_IN_A_ROW))
    assert guard.note_message(KEY, after(INHUMAN_IN_A_ROW + 0.5)) is None

    again = LoopGuard("a")
    again.restore([TimerSet("x", "other", NOW), row])

    assert again.verdict(KEY, {}, after(10)) == guard.verdict(KEY, {}, after(10)) != ""
    assert again.forget(KEY) == [TimerGone(row.id)]
    assert again.verdict(KEY, {}, after(10)) == ""


def test_nothing_is_kept_of_a_session_without_another_bot():
    guard = LoopGuard("a")
    guard.note_reply(KEY, NOW)

    assert guard.forget(KEY) == []


@given(
    st.lists(
        st.tuples(st.booleans(), st.floats(0, 30), st.sampled_from(["a", "b", "c"])), max_size=80
    )
)
def test_whatever_is_said_it_goes_quiet_only_for_hasty_or_endless_talk(steps):
    """No verdict without as many answers as its rule asks for, and none for ever."""
    guard, at, answers = LoopGuard("a"), 0.0, 0
    for replies, pause_s, text in steps:
        at += pause_s
        if replies:
            guard.note_reply(KEY, after(at), text=text)
        else:
            guard.note_message(KEY, after(at), text)
            answers += 1
        if guard.verdict(KEY, {}, after(at)):
            assert answers >= min(HASTY_AT_LEAST, SAME_TIMES)
    assert guard.verdict(KEY, {}, after(at + LOOP_S)) == ""


def test_a_session_that_is_over_is_forgotten():
    """Its id may come again, with a person in it."""
    guard = LoopGuard("a")
    alternate(guard, INHUMAN_IN_A_ROW, 0.5)
    guard.forget(KEY)
    guard.forget(KEY)

    assert guard.verdict(KEY, {}, NOW) == ""


def hasty_person(random):
    """Return the seconds to each line: they read, pick from menus, and write in bursts."""
    lines = []
    for _ in range(random.randint(1, 12)):
        match random.random():
            case kind if kind < 0.7:
                lines.append(random.uniform(2, 40))
            case kind if kind < 0.85:
                lines += [random.uniform(0.6, 4) for _ in range(random.randint(1, 3))]
            case _:
                lines.append(random.uniform(2, 40))
                lines += [random.uniform(0.3, 2.5) for _ in range(random.randint(1, 4))]
    return lines


def slow_or_quick_person(random):
    return [max(0.4, random.lognormvariate(1.4, 0.8)) for _ in range(random.randint(3, 40))]


@pytest.mark.parametrize("person", [hasty_person, slow_or_quick_person])
@pytest.mark.parametrize("replies", [1, 3])
def test_of_a_thousand_people_nobody_is_taken_for_a_bot(person, replies):
    """Whatever the bot says: always the same, and one line or three."""
    random = Random(20260301)  # noqa: S311  reproducible
    stopped = 0
    for _ in range(1000):
        guard, at = LoopGuard("a"), 0.0
        for n, pause_s in enumerate([0.0, *person(random)]):
            at += pause_s
            guard.note_message(KEY, after(at), f"line {n}")
            for k in range(replies):
                guard.note_reply(KEY, after(at), text="I see. Tell me more.", step=f"{n}/r/{k}")
        stopped += bool(guard.verdict(KEY, {}, after(at)))

    assert stopped == 0


def test_a_thousand_people_are_taken_for_people():
    """They read before they answer, now and then in haste, and write in bursts."""
    random = Random(20260301)  # noqa: S311  reproducible
    stopped = 0
    for _ in range(1000):
        guard, at = LoopGuard("a"), 0.0
        for _ in range(random.randint(3, 40)):
            guard.note_reply(KEY, after(at))
            at += max(0.4, random.lognormvariate(1.4, 0.8))
            for _ in range(random.choice((1, 1, 1, 2, 3))):
                guard.note_message(KEY, after(at))
                at += random.uniform(0.2, 1.5)
        stopped += bool(guard.verdict(KEY, {}, after(at)))

    assert stopped == 0
