"""When a schedule fires next, as pure functions of a moment; the only door to APScheduler.

Both kinds keep to the clock on the wall. Where it jumps, a schedule that names its hours fires once
a day: a time that is skipped fires as much later as the clock was put forward, a time that comes
twice fires the first time. A schedule of every hour, or shorter, keeps its pace through the jump.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from types import MappingProxyType
from typing import Final, Protocol, TypeAlias
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

#: Names as APScheduler has them; the position is the number that cron gives them.
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

_FIELDS = ("minute", "hour", "day of the month", "month", "weekday")

#: What may stand for a whole line, to the line.
SHORTHANDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "@hourly": "0 * * * *",
        "@daily": "0 0 * * *",
        "@midnight": "0 0 * * *",
        "@weekly": "0 0 * * 0",
        "@monthly": "0 0 1 * *",
        "@yearly": "0 0 1 1 *",
        "@annually": "0 0 1 1 *",
    }
)

#: No clock on a wall was ever put forward or back by more.
_LARGEST_JUMP = timedelta(days=1)

_TICK = timedelta(microseconds=1)
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)

#: A moment to look from at all others.
_A_FIRST = datetime(2000, 1, 1, tzinfo=UTC)
#: No further is looked for a day, for in some lines there is none; all others come sooner.
_YEARS = "1970-2199"
_HOUR_S = 3600
_DAY_S = 86400


class Schedule(Protocol):
    """Moments in a row."""

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first moment after this one, in UTC; None when there is none any more."""
        ...


class Cron:
    """A crontab line of five fields in a time zone.

    Weekdays are numbered as in cron (0 and 7 are Sunday). With a day of the month *and* a weekday
    it fires on either, as cron does.
    """

    def __init__(self, line: str, timezone: str) -> None:
        """Read the line.

        Raises:
            ValueError: It is no crontab line; the text says which field, and why.
        """
        fields = SHORTHANDS.get(line.strip().lower(), line).lower().split()
        if len(fields) != len(_FIELDS):
            raise ValueError(
                f"a schedule has five fields ({', '.join(_FIELDS)}), not {len(fields)}"
            )
        minute, hour, day, month, weekday = fields
        self._zone = ZoneInfo(timezone)
        # A field that begins with * leaves the days to the other one, as in cron.
        either = not day.startswith("*") and not weekday.startswith("*")
        days = [(day, "*"), ("*", weekday)] if either else [(day, weekday)]
        self._keeps_pace = hour.startswith("*")
        self._rows = [
            _Row(
                CronTrigger(
                    minute=_field(minute, "minute"),
                    hour=_field(hour, "hour"),
                    day=_field(one_day, "day of the month"),
                    month=_field(month, "month"),
                    day_of_week=_weekdays(one_weekday),
                    year=_YEARS,
                    timezone=UTC,
                )
            )
            for one_day, one_weekday in days
        ]

    def ever_fires(self) -> bool:
        """Return whether some month has such a day; February has no 30th."""
        return any(row.first_on(_A_FIRST) is not None for row in self._rows)

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first moment after this one, in UTC; None when there is none any more."""
        follow = _keeping_pace if self._keeps_pace else _keeping_hours
        return follow(self._next_wall, moment, self._zone)

    def _next_wall(self, wall: datetime) -> datetime | None:
        """Return the first wall time of the row that is not before this one."""
        found = [row.next_wall(wall) for row in self._rows]
        return min((one for one in found if one is not None), default=None)


class _Row:
    """The wall times of one trigger of APScheduler; of a day it is asked once."""

    def __init__(self, trigger: CronTrigger) -> None:
        self._trigger = trigger
        self._midnight: datetime | None = None
        self._has_times = False

    def first_on(self, wall: datetime) -> datetime | None:
        """Return the first wall time that is not before this one, as APScheduler says."""
        found: datetime | None = self._trigger.get_next_fire_time(None, wall)
        return found

    def next_wall(self, wall: datetime) -> datetime | None:
        """Return the same, sooner."""
        midnight = wall.replace(hour=0, minute=0, second=0, microsecond=0)
        if midnight != self._midnight:
            first = self.first_on(midnight)
            self._has_times = first is not None and first - midnight < _DAY
            self._midnight = midnight
        if not self._has_times:
            return self.first_on(wall)
        hour, minute = divmod(-(-(wall - midnight) // _MINUTE), 60)
        minutes, hours = self._minutes, self._hours
        if hour in hours and minute <= minutes[-1]:
            minute = minutes[bisect_left(minutes, minute)]
        elif hour < hours[-1]:
            hour, minute = hours[bisect_right(hours, hour)], minutes[0]
        else:
            return self.first_on(midnight + _DAY)
        return midnight + timedelta(hours=hour, minutes=minute)

    @cached_property
    def _minutes(self) -> list[int]:
        return self._values("minute", 60)

    @cached_property
    def _hours(self) -> list[int]:
        return self._values("hour", 24)

    def _values(self, name: str, most: int) -> list[int]:
        field = next(field for field in self._trigger.fields if field.name == name)
        unit = timedelta(**{f"{name}s": 1})
        return [n for n in range(most) if field.get_next_value(_A_FIRST + n * unit) == n]


@dataclass(frozen=True, slots=True)
class Every:
    """At equal distances from each midnight of a time zone; over several days, from day to day.

    Attributes:
        interval_s: Seconds between; what does not divide a day begins anew at midnight.
        timezone: Whose midnight.
    """

    interval_s: float
    timezone: str

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first moment after this one, in UTC."""
        follow = _keeping_pace if self.interval_s <= _HOUR_S else _keeping_hours
        return follow(self._next_wall, moment, ZoneInfo(self.timezone))

    def _next_wall(self, wall: datetime) -> datetime:
        """Return the first wall time of the row that is not before this one."""
        midnight = wall.replace(hour=0, minute=0, second=0, microsecond=0)
        if self.interval_s > _DAY_S:
            days = round(self.interval_s / _DAY_S)
            past = wall > midnight
            return midnight + timedelta(days=-(midnight.toordinal() + past) % days + past)
        interval = timedelta(seconds=self.interval_s)
        return midnight + min(-(-(wall - midnight) // interval) * interval, _DAY)


#: A row of times that a clock on the wall shows, told as if it were UTC: the first that is not
#: before the one given.
_NextWall: TypeAlias = Callable[[datetime], datetime | None]


def _keeping_pace(next_wall: _NextWall, moment: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the first moment at which the clock shows a time of the row, however it jumped."""
    at = moment.astimezone(UTC) + _TICK
    while True:
        offset = _offset(at, zone)
        if (wall := next_wall(at + offset)) is None:
            return None
        found = wall - offset
        if _offset(found, zone) == offset:
            return found
        at = _next_jump(at, found, zone)


def _keeping_hours(next_wall: _NextWall, moment: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the first moment for a time of the row, each of which has one, and only one."""
    offset = _offset(moment, zone)
    wall = moment.astimezone(UTC) + offset
    # After a jump, what it skipped may still be due.
    jumped = _offset(moment - _LARGEST_JUMP, zone) != offset
    wall += -_LARGEST_JUMP if jumped else _TICK
    first: datetime | None = None
    while (found := next_wall(wall)) is not None:
        instant = found.replace(tzinfo=zone, fold=0).astimezone(UTC)
        if instant > moment:
            first = instant if first is None else min(first, instant)
            # A time that was skipped may be made up for after one that the wall shows.
            if instant + _offset(instant, zone) == found:
                break
        wall = found + _TICK
    return first


def _offset(at: datetime, zone: ZoneInfo) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta()


def _next_jump(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment, to the second, at which the clock was put forward or back."""
    offset = _offset(before, zone)
    low, high = int(before.timestamp()), int(after.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(datetime.fromtimestamp(middle, UTC), zone) == offset:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)


def _field(text: str, name: str) -> str:
    """Return one field for APScheduler, which has the same words but for the weekdays."""
    try:
        CronTrigger(**{_KEYWORDS[name]: text}, timezone=UTC)
    except ValueError as error:
        raise ValueError(f"{text!r} is no {name}: {_reason(error)}") from error
    return text


_KEYWORDS = {"minute": "minute", "hour": "hour", "day of the month": "day", "month": "month"}


def _reason(error: ValueError) -> str:
    """Return what is wrong, without APScheduler's words around it."""
    text = str(error)
    return text.split(": ", 1)[-1] if ": " in text else text


def _weekdays(text: str) -> str:
    """Return weekdays as a list of names; cron's numbers are not APScheduler's."""
    if text == "*":
        return "*"
    numbers: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        if step and (not step.isascii() or not step.isdigit() or int(step) == 0):
            raise ValueError(f"{part!r} is no weekday: {step!r} is no step")
        first, dash, last = ("0", "-", "6") if span == "*" else span.partition("-")
        begin = _weekday(first)
        end = _weekday(last) if dash else (6 if step else begin)
        length = (end - begin) % 7 if end != begin + 7 else 6
        numbers.update((begin + offset) % 7 for offset in range(0, length + 1, int(step or 1)))
    return ",".join(_WEEKDAYS[number] for number in sorted(numbers))


def _weekday(text: str) -> int:
    """Return the number of a weekday, 0 for Sunday; 7 stays 7 so that a range may end there."""
    if text in _WEEKDAYS:
        return _WEEKDAYS.index(text)
    if text.isascii() and text.isdigit() and int(text) <= len(_WEEKDAYS):
        return int(text)
    raise ValueError(f"{text!r} is no weekday: 0 to 7 (0 and 7 are Sunday) or sun to sat")
