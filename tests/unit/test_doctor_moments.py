"""Moments that others wrote, read without ever raising."""

import base64
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from hypothesis import given
from hypothesis import strategies as st

from imbot.doctor.moments import (
    Skew,
    expiry_of,
    expiry_of_certificate,
    moment_of,
    skew_of,
)

MOMENTS = st.datetimes(datetime(2001, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  the strategy adds the zone
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def jwt(claims):
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{body}.c2lnbmF0dXJl"


@given(MOMENTS)
def test_a_date_is_read_as_it_was_written(at):
    assert moment_of(format_datetime(at, usegmt=True)) == at.replace(microsecond=0)


@given(st.text())
def test_any_header_gives_a_moment_or_nothing(text):
    """It comes from the network."""
    told = moment_of(text)

    assert told is None or told.tzinfo is UTC


def test_a_date_without_a_zone_is_in_utc():
    assert moment_of("Sun, 22 Nov 2026 10:00:00 -0000") == datetime(2026, 11, 22, 10, tzinfo=UTC)


@given(MOMENTS)
def test_a_token_tells_when_it_ends(at):
    ends_at = at.replace(microsecond=0)

    assert expiry_of(jwt({"sub": "bot1", "exp": int(ends_at.timestamp())})) == ends_at


@given(JSONS)
def test_any_claims_give_a_moment_or_nothing(claims):
    """Tokens are others' work."""
    assert expiry_of(jwt(claims)) is None
    expiry_of(jwt({"exp": claims}))


@given(st.text() | st.text(alphabet="abc.=-_{}"))
def test_any_token_gives_a_moment_or_nothing(token):
    """Most bearer tokens are no JWT at all."""
    assert expiry_of(token) is None


def test_a_true_end_is_no_number():
    assert expiry_of(jwt({"exp": True})) is None
    assert expiry_of("a.b.c" + "d" * 100_000) is None


def test_a_certificate_tells_when_it_ends():
    assert expiry_of_certificate("Oct 29 02:16:29 2126 GMT") == datetime(
        2126, 10, 29, 2, 16, 29, tzinfo=UTC
    )
    assert expiry_of_certificate(None) is None


@given(
    MOMENTS,
    st.floats(-1e5, 1e5),
    st.floats(0, 30),
    st.floats(0, 30),
)
def test_the_skew_lies_within_what_one_answer_proves(now, ahead_s, there_s, back_s):
    """A slow answer must not look like a wrong clock."""
    written_at = now + timedelta(seconds=there_s)
    told = (written_at + timedelta(seconds=ahead_s)).replace(microsecond=0)
    answered_at = written_at + timedelta(seconds=back_s)
    skew = skew_of(told, sent_at=now, answered_at=answered_at)

    assert skew.least_s - 1e-5 <= ahead_s <= skew.most_s + 1e-5
    assert skew.surely_s <= abs(ahead_s) + 1e-5


def test_a_skew_is_told_with_how_far_it_may_be_off():
    assert str(Skew(-0.5, 1.5)) == "+0.5 s ± 1.0 s"
    assert Skew(-9.0, -7.0).surely_s == 7.0
    assert Skew(3.0, 5.0).surely_s == 3.0
    assert Skew(-1.0, 1.0).surely_s == 0.0
