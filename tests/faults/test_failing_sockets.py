"""Whichever socket call fails, however: nothing twice, nothing lost in silence, and it goes on."""

import itertools
import logging
import os

import pytest
import structlog

from imbot.errors import AmbiguousError, TemporaryError
from tests.faults.failing_sockets import WAYS, Kind, Plan, ask, live
from tests.wire.house import tell

#: Every way in which each call can fail; without it they take turns.
EVERY_WAY = os.environ.get("IMBOT_SOCKETS") == "all"


@pytest.fixture(autouse=True)
def _quiet():
    """Write nothing down of hundreds of lives; the fixture of every test undoes this."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def plans(nth, *, lasts):
    """Return the failures of one call."""
    ways = range(WAYS) if EVERY_WAY else (nth % WAYS,)
    return [Plan(nth, way, lasts) for way in ways]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("lasts", [False, True], ids=["once", "for long"])
def test_a_session_survives_the_failure_of_any_of_its_socket_calls(tmp_path, lasts):
    """From the first connect of the login on, until a life has no more calls to fail."""
    lives = []
    for nth in itertools.count(1):
        these = [live(tmp_path / str(plan), plan) for plan in plans(nth, lasts=lasts)]
        lives += these
        assert not any(one.wrong for one in these), [(one.failed, one.wrong) for one in these]
        if not any(one.failed for one in these):
            break
    tell(f"{len(lives)} lives, {nth - 1} calls, {sum(one.parked for one in lives)} parked")
    assert nth > 50


@pytest.mark.parametrize("before", [0, 1], ids=["a new connection", "a kept one"])
@pytest.mark.parametrize("way", range(WAYS))
def test_what_may_have_been_sent_is_never_called_unsent(way, before):
    """The class of the error decides whether a message may be said again."""
    for nth in itertools.count(1):
        asked = ask(Plan(nth, way), before=before)
        if not asked.failed:
            assert asked.error is None
            break
        [(_, kind, failure)] = asked.failed
        if kind is Kind.CONNECT:
            assert (type(asked.error), asked.sent) == (TemporaryError, 0), failure
        elif asked.sent:
            assert asked.error is None or type(asked.error) is AmbiguousError, (kind, failure)
        else:
            assert isinstance(asked.error, TemporaryError | AmbiguousError), (kind, failure)
    assert nth > 2
