"""The checker: a schedule that held what is promised, changed afterwards so that it did not."""

import pytest

from tests.faults.checker import judge
from tests.faults.history import History
from tests.faults.simulation import START, Simulator

#: A schedule in which nothing is parked or unseen that the changes below are about.
SEED = 1


@pytest.fixture(scope="module")
def simulator():
    made = Simulator.make()
    yield made
    made.disk.database.close()


@pytest.fixture(scope="module")
def played(simulator):
    return simulator.play(SEED)


@pytest.fixture
def rows(simulator, played):
    """Give the rows of the schedule; what is done to them is undone."""
    del played  # by now they are there
    raw = simulator.disk.raw
    raw.execute("BEGIN")
    yield raw
    raw.execute("ROLLBACK")


def changed(history, change):
    """Return a history with each happening changed to as many as the change gives."""
    other = History()
    for one in history.happenings:
        for each in change(one):
            other.add(*each)
    return other


def kinds(history, rows, *, echo=True):
    """Return which kinds of promises were not held."""
    return {violation.kind for violation in judge(history, rows, START, echo=echo).violations}


def an_answer(history):
    """Return the first answer to a line that was heard."""
    return next(one for one in history.named("hears") if one.text.startswith("Re line"))


def test_a_schedule_that_held_everything_is_innocent(played, rows):
    assert kinds(played.history, rows) == set()


def test_an_answer_that_nobody_heard_is_lost(played, rows):
    answer = an_answer(played.history)
    without = changed(played.history, lambda one: [] if one is answer else [one])

    assert kinds(without, rows) == {"lost"}


def test_an_answer_that_was_heard_twice_is_duplicated(played, rows):
    answer = an_answer(played.history)
    twice = changed(played.history, lambda one: [one, one] if one is answer else [one])

    assert kinds(twice, rows) == {"duplicated"}


def test_a_greeting_that_was_heard_twice_is_duplicated(played, rows):
    hello = next(one for one in played.history.named("hears") if one.text.startswith("Hello"))
    twice = changed(played.history, lambda one: [one, one] if one is hello else [one])

    assert kinds(twice, rows) == {"duplicated"}


def test_a_text_that_was_asked_for_in_two_ways_is_rendered_twice(played, rows):
    asked = next(one for one in played.history.named("asks") if "Re line" in one.text)
    other = asked._replace(text=asked.text[:-4] + "9999")
    twice = changed(played.history, lambda one: [one, other] if one is asked else [one])

    assert kinds(twice, rows) == {"rendered twice"}


def test_a_message_that_was_not_seen_must_be_in_a_gap(played, rows):
    said = next(one for one in played.history.named("says") if one.text.startswith("line"))
    more = changed(
        played.history,
        lambda one: [one, one._replace(text="line 9999")] if one is said else [one],
    )
    rows.execute("DELETE FROM gaps")
    assert kinds(more, rows) == {"unreported"}

    moment_us = int((START.timestamp() + said.at_s) * 1_000_000)
    rows.execute(
        "INSERT INTO gaps (agent, reason, session_ids, started_at, ended_at)"
        " VALUES (?, '', ?, ?, ?)",
        (said.agent, f'["{said.session_id}"]', moment_us - 10**6, moment_us + 10**6),
    )
    assert kinds(more, rows) == set()


def test_words_that_the_other_party_never_said_are_own_words(played, rows):
    rows.execute(
        'UPDATE events SET fields = \'{"text":"Hello"}\' WHERE seq ='
        " (SELECT min(seq) FROM events WHERE kind = 'message')"
    )

    assert "own words" in kinds(played.history, rows)


def test_our_own_words_from_the_other_party_are_excused_only_where_there_are_no_echoes(
    played, rows
):
    """And only as often as we said them, for each may be taken for one echo at most."""
    heard = an_answer(played.history)
    rows.execute("DELETE FROM gaps")

    def said_too(times):
        said = heard._replace(kind="says", at_s=heard.at_s + 1.0)
        return changed(
            played.history, lambda one: [one, *[said] * times] if one is heard else [one]
        )

    assert kinds(said_too(1), rows) == {"unreported"}
    assert kinds(said_too(1), rows, echo=False) == set()
    assert kinds(said_too(2), rows, echo=False) == {"unreported"}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE runs SET state = 'running' WHERE seq = (SELECT min(seq) FROM runs)",
        "UPDATE effects SET state = 'unknown' WHERE seq = (SELECT min(seq) FROM effects)",
        "UPDATE events SET handled_at = NULL WHERE seq = (SELECT min(seq) FROM events)",
        "UPDATE sessions SET state = 'Talking'",
    ],
)
def test_what_is_under_way_after_the_quiet_time_is_stuck(played, rows, change):
    rows.execute(change)

    assert "stuck" in kinds(played.history, rows)


def test_a_moment_of_a_schedule_that_comes_twice_is_a_timer_fired_twice(played, rows):
    rows.execute(
        "UPDATE events SET fields = (SELECT fields FROM events WHERE kind = 'schedule' LIMIT 1)"
        " WHERE kind = 'schedule'"
    )

    assert "timer fired twice" in kinds(played.history, rows)


def test_a_process_that_ends_by_itself_is_told(played, rows):
    ended = changed(played.history, lambda one: [one])
    ended.add(1.0, "fails", text="StoreError()")

    assert kinds(ended, rows) == {"ended by itself"}
