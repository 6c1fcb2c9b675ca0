"""Time zones by name: the one place that turns what zoneinfo raises into a ValueError."""

import re
from zoneinfo import ZoneInfo

#: zoneinfo imports a Python package for each dot of a name, and a name may be as long as a file.
_NAME = re.compile(r"[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,3}")


def time_zone(name: str) -> ZoneInfo:
    """Return the time zone of this name.

    Raises:
        ValueError: There is none.
    """
    unknown = f"unknown time zone '{name[:60]}'"
    if not _NAME.fullmatch(name):
        raise ValueError(unknown)
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(unknown) from error
