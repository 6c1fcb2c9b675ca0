"""Measures silence: one timer for each session in Talking and each time that rules wait for.

A silence begins with Talking and anew with each message that imbot did not send. One that was told
keeps its timer, due never, so that neither a reload nor a restart takes it for one to be told.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from imbot.engine.timers import NEVER, Timers
from imbot.model import Event, EventKind, SessionKey, SessionState
from imbot.records import Change, Recovered, TimerGone, TimerSet
from imbot.rulebook.schema import IdleTrigger, Rulebook

_MOVES = frozenset({EventKind.STATE, EventKind.MESSAGE})


def idle_times(rulebook: Rulebook) -> frozenset[float]:
    """Return the seconds of silence that an enabled rule waits for."""
    return frozenset(
        trigger.after_s
        for rule in rulebook.rules
        if rule.enabled
        for trigger in rule.triggers
        if isinstance(trigger, IdleTrigger)
    )


class Silences:
    """The silences of all sessions, and their timers.

    Every change of a timer is returned too, for whoever writes.
    """

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._times: frozenset[float] = frozenset()
        self._since: dict[SessionKey, datetime] = {}

    def restore(self, found: Recovered, now: datetime) -> list[Change]:
        """Go on with what the last start measured; a silence without a timer begins now."""
        sessions = (seen for seen in found.sessions if seen.session.state == SessionState.TALKING)
        self._since = {SessionKey(seen.agent, seen.session.id): now for seen in sessions}
        changes: list[Change] = []
        for timer in found.timers:
            if timer.kind != EventKind.IDLE:
                continue
            key = SessionKey(timer.agent, timer.session_id)
            if key in self._since and timer.payload["after_s"] in self._times:
                self._since[key] = timer.payload["since"]
                self._timers.set(timer)
            else:
                changes.append(TimerGone(timer.id))
        return changes + self._set_missing()

    def adopt(self, times: frozenset[float]) -> list[Change]:
        """Wait for these times from now on, in the silences that are already there too."""
        dropped = self._times - times
        self._times = times
        gone = [change for key in self._since for change in self._cancel(key, dropped)]
        return gone + self._set_missing()

    def of_batch(
        self, events: Iterable[Event], spoken: Iterable[SessionKey], now: datetime
    ) -> list[Change]:
        """Begin and end the silences of the sessions in which something happened."""
        talking = {key: True for key in spoken if key in self._since}
        for event in events:
            if event.kind in _MOVES and event.session is not None and event.session_key is not None:
                talking[event.session_key] = event.session.state == SessionState.TALKING
        changes: list[Change] = []
        for key, is_talking in talking.items():
            changes += self._begin(key, now) if is_talking else self._end(key)
        return changes

    def told(self, timer: TimerSet) -> TimerSet | None:
        """Return the timer as it stays; None when its session talks no more."""
        if SessionKey(timer.agent, timer.session_id) not in self._since:
            return None
        stays = timer._replace(due_at=NEVER)
        self._timers.set(stays)
        return stays

    def _begin(self, key: SessionKey, now: datetime) -> list[Change]:
        self._since[key] = now
        return [self._set(key, after_s, now) for after_s in sorted(self._times)]

    def _end(self, key: SessionKey) -> list[Change]:
        self._since.pop(key, None)
        return self._cancel(key, self._times)

    def _set_missing(self) -> list[Change]:
        return [
            self._set(key, after_s, since)
            for key, since in self._since.items()
            for after_s in sorted(self._times)
            if self._timers.get(_timer_id(key, after_s)) is None
        ]

    def _set(self, key: SessionKey, after_s: float, since: datetime) -> TimerSet:
        timer = TimerSet(
            id=_timer_id(key, after_s),
            kind=EventKind.IDLE.value,
            due_at=since + timedelta(seconds=after_s),
            agent=key.agent,
            session_id=key.session_id,
            payload={"after_s": after_s, "since": since},
        )
        self._timers.set(timer)
        return timer

    def _cancel(self, key: SessionKey, times: Iterable[float]) -> list[Change]:
        ids = (_timer_id(key, after_s) for after_s in sorted(times))
        return [TimerGone(timer_id) for timer_id in ids if self._timers.cancel(timer_id)]


def _timer_id(key: SessionKey, after_s: float) -> str:
    return f"idle {key.agent}/{key.session_id}/{float(after_s)}"
