"""Time zones by name: the one place that turns what zoneinfo raises into a ValueError."""

from zoneinfo import ZoneInfo


def time_zone(name: str) -> ZoneInfo:
    """Return the time zone of this name.

    Raises:
        ValueError: There is none.
    """
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"unknown time zone '{name[:60]}'") from error
