"""An event, and what was known when it was decided: a frozen value.

Nothing here reads or writes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from imbot.model import Event, Suppressed


@dataclass(frozen=True, slots=True)
class Situation:
    """An event, and what was known when it was decided which rules run.

    Attributes:
        event: The event.
        now: The moment of the decision.
        said: What the other party had said in the session, oldest first.
        mine: Whether our own ``initiate`` began the session.
        started_at: When the session was first seen; None when it is not known.
        marks: Marks of ``once`` and ``throttle`` that were set, and when: by rule id and scope.
        running: Runs that went on, each as rule id and key.
        spent: Effects of rules with a budget: in this session, and within the last minute.
        breakers: Why the breakers of rules were open, by rule id.
        quiet: Why replies were held back, for a person typed under our name; empty for no reason.
        ran: The rules that ran; None when nothing was decided, or nobody wrote it down.
        suppressed: The rules that matched and did not run, as written down then.
    """

    event: Event
    now: datetime
    said: tuple[str, ...] = ()
    mine: bool = False
    started_at: datetime | None = None
    marks: Mapping[tuple[str, str], datetime] = field(default_factory=dict)
    running: tuple[tuple[str, str], ...] = ()
    spent: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    breakers: Mapping[str, str] = field(default_factory=dict)
    quiet: str = ""
    ran: tuple[str, ...] | None = None
    suppressed: tuple[Suppressed, ...] = ()
