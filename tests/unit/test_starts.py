"""Starts that crashed: counted beside the store, forgotten after an end in order."""

import stat
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from imbot.starts import CRASHES, Starts

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_three_crashes_within_five_minutes_are_counted(tmp_path):
    counts = [
        Starts(tmp_path / "s.db").begin(NOON + timedelta(minutes=minute)) for minute in range(5)
    ]

    assert counts == [0, 1, 2, 3, 4]
    assert counts[CRASHES] >= CRASHES


def test_crashes_of_long_ago_do_not_count(tmp_path):
    for minute in (0, 1, 2):
        Starts(tmp_path / "s.db").begin(NOON + timedelta(minutes=minute))

    assert Starts(tmp_path / "s.db").begin(NOON + timedelta(minutes=6, seconds=30)) == 1


def test_an_end_in_order_forgets_what_was_before(tmp_path):
    starts = Starts(tmp_path / "s.db")
    starts.begin(NOON)
    starts.end()
    starts.end()

    assert Starts(tmp_path / "s.db").begin(NOON) == 0


def test_nobody_else_may_read_or_write_it(tmp_path):
    """Whoever could write it could have the next start stand by."""
    path = tmp_path / "s.db.starts"
    for _ in range(2):
        Starts(tmp_path / "s.db").begin(NOON)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.chmod(0o644)  # as an imbot before this one left it


def test_without_a_place_nothing_is_counted(tmp_path):
    """A store in memory, or a folder that nobody may write to, keeps imbot from nothing."""
    for starts in (Starts(None), Starts(tmp_path / "nowhere" / "s.db")):
        assert [starts.begin(NOON), starts.begin(NOON)] == [0, 0]
        starts.end()


@given(st.binary(max_size=80))
def test_rubbish_in_the_file_is_no_crash(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("starts") / "s.db"
    path.with_name("s.db.starts").write_bytes(content + b"\n2026-03-02T11:59:00\n")

    assert Starts(path).begin(NOON) == 0


def test_a_clock_that_was_put_back_is_no_crash(tmp_path):
    Starts(tmp_path / "s.db").begin(NOON + timedelta(hours=1))

    assert Starts(tmp_path / "s.db").begin(NOON) == 0
