"""Triggers that no notification brings: silence, a calendar's edge, a schedule, a webhook.

Read like all triggers, by the map in which they stand; when they fire is not decided here.
"""

import re
import zoneinfo
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from imbot.durations import format_duration, parse_duration
from imbot.problems import did_you_mean, nearest
from imbot.rulebook.binding import is_title
from imbot.rulebook.reading import Desk
from imbot.rulebook.schedules import SHORTHANDS, Cron, Every, Schedule
from imbot.rulebook.schema import (
    CalendarTrigger,
    IdleTrigger,
    Missed,
    ScheduleTrigger,
    WebhookTrigger,
)
from imbot.yamlfile import Entry, Node
from imbot.zones import time_zone

#: What may stand beside each kind.
OPTIONS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "calendar": frozenset({"opens", "closes"}),
        "schedule": frozenset({"timezone", "missed"}),
        "every": frozenset({"timezone", "missed"}),
    }
)
#: More often is a load, not a schedule.
SHORTEST_S = 1.0
_DAY_S = 86_400.0

_EDGES = frozenset({"opens", "closes"})
_OFFSET = re.compile(r"(\S+)\s+(before|after)")
_OFFSET_CURE = "write such as '10m before' or '0m after'"
_CRON_CURE = "write such as '0 9 * * mon-fri'"
_SHORT_CURE = f"write such as '0 9 * * mon-fri', or {', '.join(SHORTHANDS)}"
#: What says which of a schedule's fields is wrong, by its number.
_FIELDS: Mapping[str, int] = MappingProxyType(
    {"minute": 0, "hour": 1, "day of the month": 2, "month": 3, "weekday": 4}
)
_WRONG_FIELD = re.compile(f"is no ({'|'.join(_FIELDS)}):")
_WORD = re.compile(r"\S+")


# Silence --------------------------------------------------------------------------------------


def read_idle(entries: Mapping[str, Entry], desk: Desk) -> IdleTrigger | None:
    """Return the trigger of ``idle: 5m``."""
    after_s = desk.duration(entries["idle"].value, "idle")
    return None if after_s is None else IdleTrigger(after_s)


# Calendars ------------------------------------------------------------------------------------


def read_calendar(entries: Mapping[str, Entry], desk: Desk) -> CalendarTrigger | None:
    """Return the trigger of ``calendar: name`` with ``opens`` or ``closes``."""
    name = _calendar(entries["calendar"].value, desk)
    edges = [key for key in entries if key in _EDGES]
    if not edges and {nearest(key, _EDGES) for key in entries} & _EDGES:
        return None  # misspelt, as was told
    if len(edges) != 1:
        key = entries[edges[1]].key if edges else entries["calendar"].key
        what = f"a calendar trigger names exactly one of opens and closes, not {len(edges)}"
        cure = "make a list of two triggers" if edges else "add 'opens: 0m after' or 'closes: …'"
        desk.error(key.place, "calendar-edge", what, cure)
        return None
    offset_s = _offset(entries[edges[0]], desk)
    if name is None or offset_s is None:
        return None
    return CalendarTrigger(name, edges[0] == "opens", offset_s)


def _calendar(node: Node, desk: Desk) -> str | None:
    """Return the name of a calendar of the rulebook."""
    name = desk.text(node, "calendar")
    known = desk.known.calendars
    if name is None or known is None or name in known:
        if name is not None:
            desk.calendars.append(name)
        return name
    cure = did_you_mean(name, known) or "add it under 'calendars'"
    desk.error(node.place, "unknown-calendar", f"unknown calendar '{name}'", cure)
    return None


def _offset(entry: Entry, desk: Desk) -> float | None:
    """Return the seconds after an edge, below nothing before it."""
    if not entry.value.raw:
        desk.error(entry.key.place, "bad-offset", f"'{entry.key.raw}' without a time", _OFFSET_CURE)
        return None
    text = desk.text(entry.value, entry.key.raw)
    if text is None:
        return None
    found = _OFFSET.fullmatch(text.strip())
    if found is None:
        what = f"'{text}' is no time before or after"
        desk.error(entry.value.place, "bad-offset", what, _OFFSET_CURE)
        return None
    try:
        seconds = parse_duration(found[1])
    except ValueError as error:
        what, _, cure = str(error).partition("; ")
        desk.error(entry.value.place, "bad-duration", what, cure)
        return None
    # Minus nothing is nothing, and so one event starts both.
    return -seconds if found[2] == "before" and seconds else seconds


# Schedules ------------------------------------------------------------------------------------


def read_schedule(entries: Mapping[str, Entry], desk: Desk) -> ScheduleTrigger | None:
    """Return the trigger of ``schedule:`` and a crontab line."""
    node = entries["schedule"].value
    line, zone, missed = desk.text(node, "schedule"), _zone(entries, desk), _missed(entries, desk)
    if line is None or zone is None or missed is None:
        return None
    try:
        schedule = Cron(line, zone)
    except ValueError as error:
        _no_schedule(node, str(error), desk)
        return None
    if not schedule.ever_fires():
        what = f"the schedule '{line}' never fires: no such month has such a day"
        desk.error(node.place, "never-fires", what, "mend the day or the month")
        return None
    return _scheduled(schedule, " ".join(line.split()), zone, missed)


def _no_schedule(node: Node, said: str, desk: Desk) -> None:
    """Report a line that is no schedule, at the field that is wrong."""
    found = _WRONG_FIELD.search(said)
    words = list(_WORD.finditer(node.raw))
    if found is None:
        cure = _SHORT_CURE if len(words) == 1 else _CRON_CURE
        desk.error(node.place, "bad-schedule", said, cure)
        return
    number = _FIELDS[found[1]]
    at = words[number].start() if number < len(words) else 0
    desk.error(node.place_at(0, at), "bad-schedule", said, _CRON_CURE)


def read_every(entries: Mapping[str, Entry], desk: Desk) -> ScheduleTrigger | None:
    """Return the trigger of ``every: 15m``."""
    node = entries["every"].value
    interval_s, zone, missed = _interval(node, desk), _zone(entries, desk), _missed(entries, desk)
    if interval_s is None or zone is None or missed is None:
        return None
    written = f"every {format_duration(interval_s)}"
    return _scheduled(Every(interval_s, zone), written, zone, missed)


def _interval(node: Node, desk: Desk) -> float | None:
    """Return the seconds between two firings."""
    interval_s = desk.duration(node, "every")
    if interval_s is None:
        return None
    if interval_s < SHORTEST_S:
        what = f"every {node.raw} is more often than imbot looks at the clock"
        desk.error(node.place, "bad-schedule", what, "write 1s or more")
        return None
    if interval_s > _DAY_S and interval_s % _DAY_S:
        what = f"every {node.raw} is more than a day, and not whole days"
        desk.error(node.place, "bad-schedule", what, "write whole days, such as 2d")
        return None
    return interval_s


def _scheduled(schedule: Schedule, written: str, zone: str, missed: Missed) -> ScheduleTrigger:
    return ScheduleTrigger(schedule, f"{written} {zone} {missed}", missed)


def _zone(entries: Mapping[str, Entry], desk: Desk) -> str | None:
    """Return the zone of a schedule: its own, else the settings'."""
    if (entry := entries.get("timezone")) is None:
        return desk.timezone
    name = desk.text(entry.value, "timezone")
    if name is None:
        return None
    try:
        time_zone(name)
    except ValueError as error:
        near = nearest(name, zoneinfo.available_timezones())
        cure = f"did you mean '{near}'?" if near else "write such as Europe/Berlin"
        desk.error(entry.value.place, "unknown-zone", str(error), cure)
        return None
    return name


def _missed(entries: Mapping[str, Entry], desk: Desk) -> Missed | None:
    """Return what becomes of missed firings."""
    if (entry := entries.get("missed")) is None:
        return Missed.RUN_ONCE
    word = desk.word(entry.value, Missed, "way with missed firings")
    return None if word is None else Missed(word)


# Webhooks -------------------------------------------------------------------------------------


def read_webhook(entries: Mapping[str, Entry], desk: Desk) -> WebhookTrigger | None:
    """Return the trigger of ``webhook: name``."""
    node = entries["webhook"].value
    name = desk.text(node, "webhook")
    if name is None or not is_title(node, name, desk, of="the name of a webhook"):
        return None
    return WebhookTrigger(name)
