"""What the last process left, and whether another can go on with it."""

from datetime import timedelta

import pytest

from imbot.bayeux.session import BayeuxResume, Channel
from imbot.gws.left import AWAY, left_of
from imbot.model import GoodPoll, Subscription
from imbot.records import AckSeen
from imbot.testing.time import START

URL = "http://gws"
CHANNELS = (Channel("/a"), Channel("/b", required=False))
GOOD = GoodPoll(START - timedelta(seconds=30), START)


def held(**more):
    return Subscription(**{"url": URL, "client_id": "c", "acknowledges": True, **more})


def left(subscription, seen, url=URL):
    return left_of(subscription, seen, url=url, channels=CHANNELS)


def test_where_gws_acknowledges_it_goes_on_where_all_was_kept():
    found = left(held(pending=("/b", "/gone")), AckSeen("bot1", "c", 7, GOOD))

    assert found.resume == BayeuxResume("c", 7, GOOD, pending=CHANNELS[1:])
    assert found.resume.good == found.good == GOOD


def test_where_it_does_not_it_goes_on_and_tells_the_gap():
    found = left(held(acknowledges=False), AckSeen("bot1", "c", None, GOOD))

    assert found.resume == BayeuxResume("c", None, gap_cause=AWAY)


def test_a_gap_that_nobody_told_of_is_told_by_who_goes_on():
    found = left(held(gap_cause="402"), AckSeen("bot1", "c", 7, GOOD))

    assert found.resume.gap_cause == "402"


@pytest.mark.parametrize(
    "seen", [AckSeen("bot1", "another", 7, GOOD), AckSeen("bot1", "c", None, GOOD)]
)
def test_without_a_number_it_only_knows_since_when_messages_may_be_lost(seen):
    """To guess the number would bring messages twice."""
    found = left(held(), seen)

    assert (found.resume, found.good) == (None, GOOD)


@pytest.mark.parametrize(
    ("subscription", "seen", "url"),
    [
        (None, AckSeen("bot1", "c", 7, GOOD), URL),
        (held(), None, URL),
        (held(), AckSeen("bot1", "c", 7), URL),
        (held(), AckSeen("bot1", "c", 7, GOOD), "http://another"),
    ],
)
def test_what_is_of_no_use_is_not_left(subscription, seen, url):
    assert left(subscription, seen, url) is None
