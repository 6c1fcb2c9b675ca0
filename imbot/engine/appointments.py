"""What a rulebook waits for on the clock: its schedules, and the edges of its calendars. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from imbot.engine.timers import LATE
from imbot.model import JSON, EventKind
from imbot.rulebook.calendars import Calendar
from imbot.rulebook.schedules import Schedule
from imbot.rulebook.schema import CalendarTrigger, Missed, Rulebook, ScheduleTrigger, Trigger


@dataclass(frozen=True, slots=True)
class Edges:
    """The edges of a calendar as a schedule, each so many seconds later; earlier below zero."""

    calendar: Calendar
    opens: bool
    offset_s: float

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first moment after this one, in UTC; None when there is none any more."""
        offset = timedelta(seconds=self.offset_s)
        look = self.calendar.next_open if self.opens else self.calendar.next_close
        edge = look(moment - offset)
        return None if edge is None else edge + offset


@dataclass(frozen=True, slots=True)
class Appointment:
    """Moments at which an event starts every rule that waits for them.

    Attributes:
        id: Names its timer; the same as long as the triggers are written alike.
        kind: SCHEDULE or CALENDAR.
        schedule: The moments.
        missed: What becomes of those that imbot was not there for.
        fields: What its events tell, beside ``scheduled_at``.
    """

    id: str
    kind: EventKind
    schedule: Schedule
    missed: Missed
    fields: Mapping[str, JSON]


class Firing(NamedTuple):
    """What is done about a timer that is due.

    Attributes:
        scheduled_at: The moment to make an event for; None for no event.
        next_at: When the timer is due next; None for never.
    """

    scheduled_at: datetime | None
    next_at: datetime | None


def appointments_of(rulebook: Rulebook) -> dict[str, Appointment]:
    """Return every schedule and calendar edge that an enabled rule waits for, by its id."""
    triggers = (trigger for rule in rulebook.rules if rule.enabled for trigger in rule.triggers)
    found = (_appointment(trigger, rulebook.calendars) for trigger in triggers)
    return {appointment.id: appointment for appointment in found if appointment is not None}


def _appointment(trigger: Trigger, calendars: Mapping[str, Calendar]) -> Appointment | None:
    match trigger:
        case ScheduleTrigger(schedule=schedule, identity=identity, missed=missed):
            fields = {"schedule": identity}
            return Appointment(f"schedule {identity}", trigger.kind, schedule, missed, fields)
        case CalendarTrigger(calendar=name, opens=opens, offset_s=offset_s):
            edges = Edges(calendars[name], opens, offset_s)
            told = {"calendar": name, "edge": trigger.edge, "offset_s": offset_s}
            timer_id = f"calendar {name} {trigger.edge} {offset_s:+}"
            return Appointment(timer_id, trigger.kind, edges, Missed.RUN_ONCE, told)
        case _:
            return None


def firing(
    appointment: Appointment, due_at: datetime, *, now: datetime, began_at: datetime
) -> Firing:
    """Return what is done about an appointment whose timer is due.

    Args:
        appointment: What is due.
        due_at: The first of its moments that nothing was done about.
        now: The moment.
        began_at: When imbot was started; what was due before, it was not there for.
    """
    schedule, missed = appointment.schedule, appointment.missed
    if missed is Missed.SKIP and (due_at < began_at <= now or now - due_at > LATE):
        return Firing(None, schedule.next_after(now))
    following = schedule.next_after(due_at)
    if following is None or following > now or missed is Missed.ALL:
        return Firing(due_at, following)
    scheduled_at = due_at if missed is Missed.SKIP else _last_until(now, schedule, following)
    return Firing(scheduled_at, schedule.next_after(now))


def caught_up(appointment: Appointment, due_at: datetime, now: datetime) -> datetime:
    """Return the moment that its timer is due at after a downtime, in the order of the others.

    Of several that one event makes up for it is the last: whether a calendar closed or opened last
    must be seen from the order of its events.
    """
    if appointment.missed is not Missed.RUN_ONCE or due_at > now:
        return due_at
    return _last_until(now, appointment.schedule, due_at)


def _last_until(now: datetime, schedule: Schedule, first: datetime) -> datetime:
    """Return the last moment of the schedule up to now, which may be many after the first."""
    found, limit = first, now
    while (following := schedule.next_after(found)) is not None and following <= now:
        middle = found + (limit - found) / 2
        later = schedule.next_after(middle)
        if later is not None and later <= now:
            found = later
        else:
            found, limit = following, middle
    return found
