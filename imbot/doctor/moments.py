"""Moments that others wrote: in ``Date`` headers, tokens and certificates. Pure, and total."""

import base64
import binascii
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from imbot.jsontext import decode_json

#: Seconds since 1970 of the years 2000 to 2100; anything else is no moment of a token.
_PLAUSIBLE_S = range(946_684_800, 4_102_444_800)
#: A ``Date`` tells whole seconds, what is beyond them cut off.
_DATE_TELLS = timedelta(seconds=1)
#: Tokens are some KiB; what is longer is none that is looked into.
_TOKEN_CHARS = 64 * 1024


def moment_of(date: str) -> datetime | None:
    """Return the moment of a ``Date`` header, in UTC; None for anything else."""
    try:
        told = parsedate_to_datetime(date)
        # One without a zone says -0000, which is UTC.
        return told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def expiry_of(token: str) -> datetime | None:
    """Return when a token ends: the claim ``exp`` of a JWT (RFC 7519); None where it tells none.

    Nothing is verified: it is GWS that decides.
    """
    parts = token.strip().split(".")
    if len(parts) != 3 or len(token) > _TOKEN_CHARS:  # noqa: PLR2004  header, claims, signature
        return None
    try:
        claims = decode_json(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return None
    ends_s = claims.get("exp") if isinstance(claims, dict) else None
    if isinstance(ends_s, bool) or not isinstance(ends_s, int | float):
        return None
    return datetime.fromtimestamp(ends_s, UTC) if int(ends_s) in _PLAUSIBLE_S else None


def expiry_of_certificate(not_after: object) -> datetime | None:
    """Return when a certificate ends, of what Python's ssl calls ``notAfter``."""
    try:
        return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(not_after)), UTC)
    except (ValueError, OverflowError, OSError):
        return None


@dataclass(frozen=True, slots=True)
class Skew:
    """How far another clock is ahead of ours, as far as one answer can tell.

    Attributes:
        least_s: So far at least; negative where the other one is behind.
        most_s: So far at most.
    """

    least_s: float
    most_s: float

    @property
    def surely_s(self) -> float:
        """How far they are apart at least, whichever is ahead."""
        return max(self.least_s, -self.most_s, 0.0)

    def __str__(self) -> str:
        """Return the middle and how far it may be off."""
        half_s = (self.most_s - self.least_s) / 2
        return f"{self.least_s + half_s:+.1f} s ± {half_s:.1f} s"


def skew_of(told: datetime, *, sent_at: datetime, answered_at: datetime) -> Skew:
    """Return the skew that a ``Date`` proves: it was written between question and answer."""
    least, most = told - answered_at, told + _DATE_TELLS - sent_at
    return Skew(least.total_seconds(), most.total_seconds())
