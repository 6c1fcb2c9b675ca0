"""What the demo shows of a bot at work: one line for each thing seen, and a summary at the end."""

import zlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from imbot.admin.telling import arguments, cut, is_mark, told, value
from imbot.cli.output import one_line, painted
from imbot.clock import Clock
from imbot.engine.planning import Plan, Start
from imbot.engine.watching import Acted, Decided, Echoed, Happened, Logged, Sight
from imbot.model import (
    Event,
    EventKind,
    Outcome,
    OutcomeKind,
    Reason,
    SessionKey,
    SessionState,
    Step,
)

_SHOWN_OF_ID = 4
#: A session keeps its colour, so that the eye can follow it.
_OF_SESSIONS = ("blue", "magenta", "cyan", "yellow", "green")


@dataclass(frozen=True, slots=True)
class LiveView:
    """Turns what is seen into lines.

    Attributes:
        clock: When it is seen.
        zone: Where the moments are told for.
        width: Characters on a line.
    """

    clock: Clock
    zone: ZoneInfo
    width: int = 100

    def lines(self, sight: Sight) -> list[str]:
        """Return what was seen, one thing on each line; nothing for what is not worth one."""
        match sight:
            case Happened(event):
                return self._event(event)
            case Decided(plan):
                return self._decision(plan)
            case Acted(start, step, outcome):
                return [self._line(start.event.session_key, "action", *_action(step, outcome))]
            case Logged(start, text):
                return [self._line(start.event.session_key, "log", text, "")]
            case Echoed(_, key):
                return [self._line(key, "echo", "what we said came back", "dim")]
            case _:
                return []

    def _event(self, event: Event) -> list[str]:
        key, session = event.session_key, event.session
        if event.own:
            is_marked_only = all(map(is_mark, event.fields["changed"]))
            text = f"what we set came back: {told(event)}"
            return [] if is_marked_only else [self._line(key, "echo", text, "dim")]
        number = session.participants[0].phoneNumber if session and session.participants else ""
        whose = f" of {number}" if number else ""
        text = f"{event.kind}{whose}: {told(event)}"
        return [self._line(key, "event", text, "bold", agent=event.agent)]

    def _decision(self, plan: Plan) -> list[str]:
        key = plan.event.session_key
        runs = [
            self._line(key, "rule", f"{start.rule.id}{_shadow(start)}", "yellow")
            for start in plan.starts
        ]
        return runs + [
            self._line(key, "rule", f"{no.rule_id} does not run: {no.reason}, {no.detail}", "dim")
            for no in plan.suppressed
            if no.reason is not Reason.SHADOW
        ]

    def _line(
        self, key: SessionKey | None, stage: str, text: str, colour: str, *, agent: str = ""
    ) -> str:
        """Return a line that fits; only its parts are coloured, after they were cut."""
        at = f"{self.clock.now().astimezone(self.zone):%H:%M:%S}"
        session = one_line(f"{key.agent} {key.session_id[-_SHOWN_OF_ID:]}" if key else agent)
        head = f"{at}  {session:10}  {stage:6}  "
        shown = cut(one_line(text), self.width - len(head))
        of_session = _OF_SESSIONS[zlib.crc32(session.encode()) % len(_OF_SESSIONS)]
        head = head.replace(session, painted(session, of_session), 1).replace(
            at, painted(at, "dim")
        )
        return f"{head}{painted(shown, colour)}"


def _shadow(start: Start) -> str:
    return " in shadow: nothing is sent" if start.in_shadow else ""


def _action(step: Step, outcome: Outcome) -> tuple[str, str]:
    """Return a step in words, and its colour."""
    what = f"{step.action} {arguments(step.args)}".rstrip()
    if outcome.kind is OutcomeKind.SHADOW:
        return f"shadow: would {what}", "dim"
    if outcome.kind is not OutcomeKind.DONE:
        return f"{what} {outcome.kind}: {outcome.detail}", "red"
    return f"{what} → {value(outcome.result)}" if outcome.result else what, "green"


#: A session that began later than this before the end need not be served any more.
_GRACE = timedelta(seconds=5)

#: Why a rule does not act when a person wants it so.
_BY_HAND = frozenset({Reason.HALTED, Reason.OFF, Reason.SHADOW})


@dataclass(slots=True)
class Tally:
    """What was seen, counted.

    Attributes:
        began: When each session was first Talking.
        served: Sessions in which something was said, and those that the bot began.
        held: Sessions in which a person has held back what would have been said.
        counts: How often each thing happened.
    """

    began: dict[SessionKey, datetime] = field(default_factory=dict)
    served: set[SessionKey] = field(default_factory=set)
    held: set[SessionKey] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)

    def see(self, sight: Sight) -> None:
        """Count what is seen."""
        match sight:
            case Happened(event):
                key, session = event.session_key, event.session
                is_talking = session is not None and session.state == SessionState.TALKING
                if key is not None and event.kind is EventKind.STATE and is_talking:
                    self.began.setdefault(key, event.at)
            case Decided(plan):
                key = plan.event.session_key
                if key is not None and any(no.reason in _BY_HAND for no in plan.suppressed):
                    self.held.add(key)
            case Acted(start, step, outcome):
                key = start.event.session_key
                self.counts[outcome.kind] += 1
                if outcome.kind is OutcomeKind.DONE:
                    self.counts[step.action] += 1
                    if key is not None and step.action == "reply":
                        self.served.add(key)
                    if step.action == "initiate":
                        # Whom the bot has called waits for nobody.
                        self.served.add(SessionKey(outcome.result["agent"], outcome.result["id"]))
            case Echoed():
                self.counts["echo"] += 1
            case _:
                pass

    def unserved(self, now: datetime) -> list[SessionKey]:
        """Return the sessions that should have been served by now and were not."""
        due = (key for key, at in self.began.items() if at < now - _GRACE)
        return [key for key in due if key not in self.served | self.held]

    def summary(self) -> str:
        """Return the counts on one line."""
        counts = self.counts
        return (
            f"{len(self.began)} sessions, {len(self.served)} served: {counts['reply']} replies, "
            f"{counts['echo']} echoes, {counts['set']} tags, {counts['complete']} completed, "
            f"{counts[OutcomeKind.PARKED]} parked, {counts[OutcomeKind.FAILED]} failed."
        )
