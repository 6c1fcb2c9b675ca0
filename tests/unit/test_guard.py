"""The loop guard: bots are found out, people are not."""

from datetime import UTC, datetime, timedelta
from random import Random

from imbot.engine.guard import INHUMAN_IN_A_ROW, LoopGuard
from imbot.model import SessionKey

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

    assert "imbot.auto.b.bot9" in guard.verdict(KEY, {"imbot.auto.b.bot9": "1"})


def test_our_own_mark_is_no_loop():
    """We leave it ourselves."""
    guard = LoopGuard("a")

    assert guard.verdict(KEY, {guard.mark("bot1"): "1", "other": "x"}) == ""


def test_another_agent_of_ours_is_a_bot_too():
    """Two agents of one imbot may hold the two ends of one call."""
    guard = LoopGuard("a")

    assert guard.verdict(KEY, {guard.mark("bot2"): "1"})


def test_the_mark_is_needed_once():
    """It stays in the session."""
    guard = LoopGuard("a")

    assert guard.needs_mark(KEY, {})
    assert not guard.needs_mark(KEY, {guard.mark("bot1"): "1"})
    assert not LoopGuard("a", marks=False).needs_mark(KEY, {})


def test_haste_in_a_row_is_a_bot():
    """Nobody types so fast so often."""
    guard = LoopGuard("a")
    alternate(guard, INHUMAN_IN_A_ROW, 0.5)

    assert "in a row" in guard.verdict(KEY, {})


def test_one_pause_begins_the_count_anew():
    """A person may be quick, but not for ever."""
    guard = LoopGuard("a")
    alternate(guard, INHUMAN_IN_A_ROW - 1, 0.5)
    alternate(guard, 1, 3.0)
    alternate(guard, INHUMAN_IN_A_ROW - 1, 0.5)

    assert guard.verdict(KEY, {}) == ""


def test_several_lines_after_one_reply_count_once():
    """People send bursts of short lines."""
    guard = LoopGuard("a")
    guard.note_reply(KEY, NOW)
    for n in range(20):
        guard.note_message(KEY, after(n * 0.05))

    assert guard.verdict(KEY, {}) == ""


def test_words_before_any_reply_count_nothing():
    """There is nothing to alternate with."""
    guard = LoopGuard("a")
    guard.note_message(KEY, NOW)

    assert guard.verdict(KEY, {}) == ""


def test_a_session_that_is_over_is_forgotten():
    """Its id may come again, with a person in it."""
    guard = LoopGuard("a")
    alternate(guard, INHUMAN_IN_A_ROW, 0.5)
    guard.forget(KEY)
    guard.forget(KEY)

    assert guard.verdict(KEY, {}) == ""


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
        stopped += bool(guard.verdict(KEY, {}))

    assert stopped == 0
