"""Durations as rule authors write them: ``30s``, ``1h30m``, ``500ms``.

Nothing here knows the calendar: a day is 24 hours.
"""

import math
import re

_MS_PER_UNIT = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[smhd])")
_EXAMPLES = "write a number and ms, s, m, h or d, such as 30s, 5m or 1h30m"

#: No duration is written in more characters; longer text is not looked at.
_LONGEST_TEXT = 64
#: Ten years: longer is a slip of the pen, and sums with moments stay in range.
LONGEST_S = 3650 * 86_400.0


def parse_duration(text: str) -> float:
    """Return the seconds that ``text`` means.

    Raises:
        ValueError: It is no duration; the message says what would be right.
    """
    shown = f"'{text[:40]}' is no duration"
    if len(text) > _LONGEST_TEXT or not (parts := _PART.findall(text)):
        raise ValueError(f"{shown}; {_likely(text) or _EXAMPLES}")
    if "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{shown}; {_likely(text) or _EXAMPLES}")
    seconds = math.fsum(float(number) * _MS_PER_UNIT[unit] for number, unit in parts) / 1000
    if seconds > LONGEST_S:
        raise ValueError(f"{shown} that imbot keeps; the longest is 3650d")
    return seconds


def format_duration(seconds: float) -> str:
    """Return ``seconds``, rounded to milliseconds, as an author would write them."""
    left_ms = round(abs(seconds) * 1000)
    sign = "-" if seconds < 0 and left_ms else ""
    parts = []
    for unit, unit_ms in _MS_PER_UNIT.items():
        count, left_ms = divmod(left_ms, unit_ms)
        if count:
            parts.append(f"{count}{unit}")
    return sign + ("".join(parts) or "0s")


_LONG_UNITS = {
    "ms": ("millisecond", "milliseconds", "msec", "msecs", "millis"),
    "s": ("sec", "secs", "second", "seconds"),
    "m": ("min", "mins", "minute", "minutes"),
    "h": ("hr", "hrs", "hour", "hours"),
    "d": ("day", "days"),
}
_SHORT_UNITS = {long: unit for unit, words in _LONG_UNITS.items() for long in words} | {
    unit: unit for unit in _MS_PER_UNIT
}
_LOOSE_PART = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)", re.IGNORECASE)


def _likely(text: str) -> str:
    """Return the cure for a duration with long units, capitals, blanks or no unit, else ''."""
    plain = text.strip()[:_LONGEST_TEXT]
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", plain):
        return f"it has no unit; did you mean '{plain}s'?"
    parts = _LOOSE_PART.findall(plain)
    units = [_SHORT_UNITS.get(word.lower()) for _, word in parts]
    if not parts or None in units or _LOOSE_PART.sub("", plain).strip():
        return ""
    right = "".join(f"{number}{unit}" for (number, _), unit in zip(parts, units, strict=True))
    return f"did you mean '{right}'?"
