"""What people see of a store, as frozen values; :mod:`imbot.store.queries` reads them.

The command line decides what they look like.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from imbot.model import Event, Suppressed
from imbot.records import (
    Effect,
    EffectState,
    GapSeen,
    Order,
    RunSeen,
    RunState,
    SessionSeen,
)


@dataclass(frozen=True, slots=True)
class SessionView:
    """One session on one line.

    Attributes:
        seen: The session as it stands.
        messages: What the other party said, counted.
        replies: What we surely said, counted.
        effects: How many effects stand where.
        parked: Those that wait for a person.
        gaps: Times in which messages of this session may have been lost.
    """

    seen: SessionSeen
    messages: int
    replies: int
    effects: Mapping[EffectState, int]
    parked: tuple[Effect, ...]
    gaps: tuple[GapSeen, ...]

    @property
    def number(self) -> str:
        """The other party's number; empty when none was shown."""
        return next((party.phoneNumber for party in self.seen.session.participants), "")


@dataclass(frozen=True, slots=True)
class EventView:
    """An event and the decision about it.

    Attributes:
        event: The event.
        handled_at: When it was decided; None before.
        rule_ids: The rules that ran.
        suppressed: The rules that matched and did not run.
    """

    event: Event
    handled_at: datetime | None
    rule_ids: tuple[str, ...]
    suppressed: tuple[Suppressed, ...]


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as it stands, and when it began."""

    run: RunSeen
    began_at: datetime


@dataclass(frozen=True, slots=True)
class EffectView:
    """An effect as it stands, with its moments.

    Attributes:
        effect: The effect.
        settled_at: When its last verdict came; None before.
        echo_at: When its echo came; None before.
    """

    effect: Effect
    settled_at: datetime | None
    echo_at: datetime | None

    @property
    def answer_s(self) -> float | None:
        """Seconds from the intent to the verdict."""
        return self._since_intent(self.settled_at)

    @property
    def echo_s(self) -> float | None:
        """Seconds from the intent to the echo."""
        return self._since_intent(self.echo_at)

    def _since_intent(self, at: datetime | None) -> float | None:
        return None if at is None else (at - self.effect.intent.at).total_seconds()


@dataclass(frozen=True, slots=True)
class ParkedView:
    """An effect that waits for a person, or did.

    Attributes:
        view: The effect with its moments.
        session: Its session as it stands; None when it has none that is known.
        orders: What people have ordered about it, oldest first.
    """

    view: EffectView
    session: SessionSeen | None
    orders: tuple[Order, ...]


@dataclass(frozen=True, slots=True)
class SessionHistory:
    """Everything kept about one session, each part oldest first."""

    view: SessionView
    events: tuple[EventView, ...]
    runs: tuple[RunView, ...]
    effects: tuple[EffectView, ...]
    orders: tuple[Order, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleView:
    """How often a rule ran.

    Attributes:
        rule_id: The rule.
        runs: How many runs stand where.
        last_at: When one last moved.
    """

    rule_id: str
    runs: Mapping[RunState, int]
    last_at: datetime
