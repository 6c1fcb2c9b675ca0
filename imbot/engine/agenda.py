"""What rules wait for that no agent's wire brings: silences, calendars, schedules and hooks.

It sets the timers of these and makes the events that they bring. It writes nothing: every change
is returned to whoever keeps it, in the same transaction as what led to it.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

from imbot.cards import masked_value
from imbot.clock import Clock
from imbot.engine.appointments import Appointment, appointments_of, caught_up, firing
from imbot.engine.openings import Openings
from imbot.engine.sessions import SessionTable
from imbot.engine.silences import Silences, idle_times
from imbot.engine.timers import Timers
from imbot.errors import ImbotError
from imbot.model import JSON, Event, EventKind, SessionKey
from imbot.problems import did_you_mean
from imbot.records import Change, EventSeen, Recovered, TimerGone, TimerSet
from imbot.rulebook.schema import Rulebook, WebhookTrigger

#: Whose events those without an agent are.
OWN = "imbot"

_APPOINTED = frozenset({EventKind.SCHEDULE, EventKind.CALENDAR})


class UnknownWebhookError(ImbotError):
    """No rule waits for a hook of this name."""


class Fired(NamedTuple):
    """What a timer brought.

    Attributes:
        changes: To be kept as one transaction; the event is among them.
        event: To be taken by the flow after that; None when there is nothing to take.
    """

    changes: tuple[Change, ...]
    event: Event | None = None


class Agenda:
    """Knows what the rulebook waits for, and when it comes.

    Made inside a running loop, before the timers are started.

    Args:
        rulebook: The rules in force.
        timers: What fires; it brings what is due to :meth:`fired`.
        table: The sessions.
        clock: Tells the time.
        next_id: Gives the id of the next event of an agent.

    Attributes:
        calendars: As rules are to see them.
    """

    def __init__(
        self,
        rulebook: Rulebook,
        timers: Timers,
        *,
        table: SessionTable,
        clock: Clock,
        next_id: Callable[[str], str],
    ) -> None:
        self.calendars = Openings()
        self._timers = timers
        self._table = table
        self._clock = clock
        self._next_id = next_id
        self._silences = Silences(timers)
        self._began_at = clock.now()
        self._appointed: set[str] = set()
        self._read(rulebook)
        self._silences.adopt(idle_times(rulebook))

    def restore(self, found: Recovered) -> list[Change]:
        """Go on where the last start was stopped; return what must be kept of it.

        To be called once, after the sessions are back in the table.
        """
        self.calendars.restore(found.timers)
        appointed = [timer for timer in found.timers if timer.kind in _APPOINTED]
        self._appointed = {timer.id for timer in appointed}
        for timer in sorted(map(self._caught_up, appointed), key=lambda timer: timer.due_at):
            self._timers.set(timer)
        return self._set_appointments() + self._silences.restore(found, self._clock.now())

    def adopt(self, rulebook: Rulebook) -> list[Change]:
        """Take up another rulebook; return what must be kept of it.

        What is waited for as before keeps its timer.
        """
        self._read(rulebook)
        return self._set_appointments() + self._silences.adopt(idle_times(rulebook))

    def of_batch(self, events: Iterable[Event], spoken: Iterable[SessionKey] = ()) -> list[Change]:
        """Measure silences anew; return what belongs into the transaction of these events.

        Args:
            events: What a batch brought, in order.
            spoken: Sessions in which somebody else spoke under our name: no event, but no silence.
        """
        return self._silences.of_batch(events, spoken, self._clock.now())

    def fired(self, timer: TimerSet) -> Fired:
        """Return what a timer that is due brings; it is set anew where there is a next time."""
        if timer.kind == EventKind.IDLE:
            return self._fired_silence(timer)
        appointment = self._appointments.get(timer.id)
        if appointment is None:
            return Fired((TimerGone(timer.id),))
        return self._fired_appointment(appointment, timer)

    def webhook(self, name: str, body: JSON) -> Event:
        """Return the event of a post to the hook of this name; it is not kept yet.

        Raises:
            UnknownWebhookError: No rule waits for it; the text names the nearest.
        """
        if name not in self._webhooks:
            cure = did_you_mean(name, self._webhooks) or "no rule waits for any"
            raise UnknownWebhookError(f"there is no hook '{name}'; {cure}")
        fields = {"name": name, "body": masked_value(body)}
        return self._own_event(EventKind.WEBHOOK, fields, self._clock.now())

    def _caught_up(self, timer: TimerSet) -> TimerSet:
        appointment = self._appointments.get(timer.id)
        if appointment is None:
            return timer
        return timer._replace(due_at=caught_up(appointment, timer.due_at, self._began_at))

    # The rulebook -----------------------------------------------------------------------------

    def _read(self, rulebook: Rulebook) -> None:
        self.calendars.adopt(rulebook.calendars)
        self._appointments = appointments_of(rulebook)
        self._webhooks = frozenset(
            trigger.name
            for rule in rulebook.rules
            if rule.enabled
            for trigger in rule.triggers
            if isinstance(trigger, WebhookTrigger)
        )

    def _set_appointments(self) -> list[Change]:
        """Set what is not set or has moved, and cancel what nobody waits for any more."""
        gone = sorted(self._appointed - self._appointments.keys())
        changes: list[Change] = [TimerGone(timer_id) for timer_id in gone]
        for timer_id in gone:
            self._timers.cancel(timer_id)
        self._appointed = set(self._appointments)
        for appointment in self._appointments.values():
            changes += self._brought_up_to_date(appointment)
        return changes

    def _brought_up_to_date(self, appointment: Appointment) -> list[Change]:
        """Set one appointment, unless it is due now or its moment is still right."""
        now, timer = self._clock.now(), self._timers.get(appointment.id)
        if timer is not None and timer.due_at <= now:
            return []
        due_at = appointment.schedule.next_after(now)
        is_right = due_at == (None if timer is None else timer.due_at)
        return [] if is_right else [self._set_next(appointment, due_at)]

    def _set_next(self, appointment: Appointment, due_at: datetime | None) -> Change:
        if due_at is None:
            self._timers.cancel(appointment.id)
            return TimerGone(appointment.id)
        payload = {**appointment.fields, "scheduled_at": due_at}
        timer = TimerSet(appointment.id, str(appointment.kind), due_at, payload=payload)
        self._timers.set(timer)
        return timer

    # Firing -----------------------------------------------------------------------------------

    def _fired_appointment(self, appointment: Appointment, timer: TimerSet) -> Fired:
        now = self._clock.now()
        found = firing(appointment, timer.due_at, now=now, began_at=self._began_at)
        following = self._set_next(appointment, found.next_at)
        if found.scheduled_at is None or self._is_closed(appointment):
            return Fired((following,))
        fields = {**appointment.fields, "scheduled_at": found.scheduled_at}
        event = self._own_event(appointment.kind, fields, now)
        return Fired((EventSeen(event), following), event)

    def _is_closed(self, appointment: Appointment) -> bool:
        """Whether it is an edge of a calendar that an operator closed: it has none now."""
        name = appointment.fields.get("calendar")
        return name is not None and self.calendars.is_closed(name)

    def _fired_silence(self, timer: TimerSet) -> Fired:
        key = SessionKey(timer.agent, timer.session_id)
        entry, stays = self._table.get(key), self._silences.told(timer)
        if entry is None or stays is None:
            return Fired((TimerGone(timer.id),))
        now, after_s = self._clock.now(), timer.payload["after_s"]
        event = Event(
            id=self._next_id(key.agent),
            kind=EventKind.IDLE,
            at=now,
            received_at=now,
            agent=key.agent,
            session=entry.session,
            fields={"idle": int(after_s) if after_s == int(after_s) else after_s},
        )
        return Fired((EventSeen(event), stays), event)

    def _own_event(self, kind: EventKind, fields: dict[str, JSON], now: datetime) -> Event:
        """Return an event without agent and session."""
        return Event(self._next_id(OWN), kind, now, now, "", None, fields)
