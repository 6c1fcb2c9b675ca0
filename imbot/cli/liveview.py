"""What the demo shows of a bot at work: one line for each thing seen, and a summary at the end."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from imbot.cli.output import one_line, painted
from imbot.cli.telling import arguments, is_mark, told
from imbot.clock import Clock
from imbot.engine.watching import Acted, Decided, Echoed, Happened, Logged, Sight
from imbot.model import Event, EventKind, OutcomeKind, SessionKey, SessionState

_SHOWN_OF_ID = 4


@dataclass(frozen=True, slots=True)
class LiveView:
    """Turns what is seen into lines.

    Attributes:
        clock: When it is seen.
        zone: Where the moments are told for.
    """

    clock: Clock
    zone: ZoneInfo

    def lines(self, sight: Sight) -> list[str]:
        """Return what was seen, one thing on each line; nothing for what is not worth one."""
        match sight:
            case Happened(event):
                return self._event(event)
            case Decided(plan):
                rules = [painted(start.rule.id, "yellow") for start in plan.starts]
                rules += [
                    painted(f"{no.rule_id} does not run: {no.reason}, {no.detail}", "dim")
                    for no in plan.suppressed
                ]
                return [self._line(plan.event.session_key, "rule", rule) for rule in rules]
            case Acted(start, step, outcome):
                what = f"{step.action} {arguments(step.args)}".rstrip()
                if outcome.kind is OutcomeKind.DONE:
                    text = painted(one_line(what), "green")
                else:
                    text = painted(one_line(f"{what} {outcome.kind}: {outcome.detail}"), "red")
                return [self._line(start.event.session_key, "action", text)]
            case Logged(start, text):
                return [self._line(start.event.session_key, "log", one_line(text))]
            case Echoed(_, key):
                return [self._line(key, "echo", painted("what we said came back", "dim"))]
            case _:
                return []

    def _event(self, event: Event) -> list[str]:
        if event.own:
            written = [key for key in event.fields["changed"] if not is_mark(key)]
            text = painted(one_line(f"user data we set: {', '.join(written)}"), "dim")
            return [self._line(event.session_key, "echo", text)] if written else []
        text = one_line(told(event))
        if event.kind is EventKind.STATE and event.session and event.session.participants:
            text += f", {one_line(event.session.participants[0].phoneNumber)}"
        shown = painted(f"{event.kind} {text}", "cyan")
        return [self._line(event.session_key, "event", shown, agent=event.agent)]

    def _line(self, key: SessionKey | None, stage: str, text: str, *, agent: str = "") -> str:
        at = self.clock.now().astimezone(self.zone)
        session = f"{key.agent} {key.session_id[-_SHOWN_OF_ID:]}" if key else agent
        return f"{painted(f'{at:%H:%M:%S}', 'dim')}  {one_line(session):10}  {stage:6}  {text}"


#: A session that began later than this before the end need not be served any more.
_GRACE = timedelta(seconds=5)


@dataclass(slots=True)
class Tally:
    """What was seen, counted.

    Attributes:
        began: When each session was first Talking.
        served: Sessions in which something was said.
        counts: How often each thing happened.
    """

    began: dict[SessionKey, datetime] = field(default_factory=dict)
    served: set[SessionKey] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)

    def see(self, sight: Sight) -> None:
        """Count what is seen."""
        match sight:
            case Happened(event):
                key, session = event.session_key, event.session
                is_talking = session is not None and session.state == SessionState.TALKING
                if key is not None and event.kind is EventKind.STATE and is_talking:
                    self.began.setdefault(key, event.at)
            case Acted(start, step, outcome):
                key = start.event.session_key
                self.counts[outcome.kind] += 1
                if outcome.kind is OutcomeKind.DONE:
                    self.counts[step.action] += 1
                    if key is not None and step.action == "reply":
                        self.served.add(key)
            case Echoed():
                self.counts["echo"] += 1
            case _:
                pass

    def unserved(self, now: datetime) -> list[SessionKey]:
        """Return the sessions that should have been served by now and were not."""
        due = (key for key, at in self.began.items() if at < now - _GRACE)
        return [key for key in due if key not in self.served]

    def summary(self) -> str:
        """Return the counts on one line."""
        counts = self.counts
        return (
            f"{len(self.began)} sessions, {len(self.served)} served: "
            f"{counts['reply']} replies and {counts['echo']} echoes, {counts['set']} times user "
            f"data, {counts['complete']} completed by the bot, "
            f"{counts[OutcomeKind.PARKED]} parked, {counts[OutcomeKind.FAILED]} failed."
        )
