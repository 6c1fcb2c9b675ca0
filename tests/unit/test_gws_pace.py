"""Spread, bounded, and careful with accounts that get locked."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.errors import Fault, FaultClass, PermanentError, ProtocolError, TemporaryError
from imbot.gws.pace import LoginPace

DENIED = TemporaryError("no", fault=Fault(FaultClass.AUTH))


class Highest:
    """Chance at its upper end."""

    def random(self):
        return 1.0

    def uniform(self, a, b):
        return max(a, b)


@pytest.fixture
def pace():
    return LoginPace(Highest(), lockout_s=300.0)


def test_pauses_double_up_to_a_minute(pace):
    pauses = [pace.after_failure(ProtocolError("x")) for _ in range(8)]

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_good_login_starts_over_and_a_short_one_does_not(pace):
    """A server that takes us in and throws us out at once is no better than one that refuses."""
    assert [pace.after_service(5.0), pace.after_service(5.0)] == [1, 2]
    assert pace.after_service(60.0) == 1


def test_the_third_refusal_in_a_row_locks_until_one_login_works(pace):
    pauses = [pace.after_failure(DENIED) for _ in range(4)]

    assert pauses == pytest.approx([1, 2, 330, 330])
    assert pace.is_locked
    pace.after_service(1.0)
    assert not pace.is_locked


def test_a_refusal_among_other_failures_does_not_lock(pace):
    for error in (DENIED, DENIED, TemporaryError("503"), DENIED):
        pace.after_failure(error)

    assert not pace.is_locked


def test_what_is_permanent_is_tried_rarely(pace):
    assert pace.after_failure(PermanentError("feature off")) == pytest.approx(330)


def test_a_wish_of_the_server_is_obeyed(pace):
    busy = Fault(FaultClass.SERVER, retry_after_s=20.0)

    assert pace.after_failure(TemporaryError("busy", fault=busy)) == 20


@given(
    st.lists(st.sampled_from([DENIED, TemporaryError("x"), 1.0, 100.0]), max_size=60), st.integers()
)
def test_no_pause_is_negative_and_refusals_never_come_fast(history, seed):
    """At most three refused logins in five minutes, whatever else happens in between."""
    pace = LoginPace(random.Random(seed), lockout_s=300.0)  # noqa: S311 - jitter is no secret
    refusals = 0
    for one in history:
        pause_s = pace.after_service(one) if isinstance(one, float) else pace.after_failure(one)
        refusals = refusals + 1 if one is DENIED else 0
        assert 0 <= pause_s <= 330
        if refusals >= 3:
            assert pause_s >= 300
