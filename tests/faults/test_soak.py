"""A day of service leaves nothing behind; weeks of it: ``python -m tests.faults.soak``."""

import pytest

from tests.faults.soak import run


@pytest.mark.timeout(400)
def test_a_day_leaves_no_more_than_its_first_quarter_did():
    """What grows with each message, or each session, ends a daemon that is never stopped."""
    went = run(days=1, events=4_000, parts=4)

    print(*went.growth(), sep="\n")
    assert went.faults == []
    assert went.events >= 3_900
    # What is kept of sessions that are over still takes its place in the first quarter.
    first, last = went.seen[0], went.seen[-1]
    assert last.tasks <= first.tasks + 2
    assert last.descriptors == first.descriptors
    assert last.objects <= first.objects * 1.05
    assert last.rss_kib <= first.rss_kib * 1.05
