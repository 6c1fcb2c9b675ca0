"""The moment at which a test of rules begins, as its author writes it. Pure."""

from datetime import datetime, timezone

from imbot.zones import time_zone

#: Years of tests; beyond, calendars and sums of moments end.
FIRST_YEAR, LAST_YEAR = 1970, 2200

_CURE = "write such as 2026-03-02T09:00:00+01:00"


def read_moment(text: str) -> datetime:
    """Return a moment that is written with an offset, or with the name of a zone behind it.

    Its offset is fixed, also where a zone is named: whoever counts hours from it counts real ones,
    over the switch to summer time, too.

    Raises:
        ValueError: It is none; the message says why, and after ``"; "`` what would be right.
    """
    written, _, zone = text.strip().rpartition(" ")
    try:
        if zone[:1].isalpha() and written:
            at = datetime.fromisoformat(written).replace(tzinfo=time_zone(zone))
        else:
            at = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise ValueError(f"'{text[:40]}' is no moment; {_CURE}") from error
    offset = at.utcoffset()
    if offset is None:
        raise ValueError(f"'{text[:40]}' does not say in which zone; {_CURE}")
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise ValueError(f"'{text[:40]}' is not a moment from {FIRST_YEAR} to {LAST_YEAR}; {_CURE}")
    return at.replace(tzinfo=timezone(offset))
