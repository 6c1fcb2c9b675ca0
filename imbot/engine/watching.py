"""What can be watched: each stage says what it saw, as a frozen value. Nothing here decides."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from imbot.engine.planning import Plan, Start
from imbot.engine.stepping import Over
from imbot.model import Event, Outcome, SessionKey, Step


@dataclass(frozen=True, slots=True)
class Happened:
    """An event was taken in."""

    event: Event


@dataclass(frozen=True, slots=True)
class Decided:
    """It was decided which rules run."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Acted:
    """A step was carried out, or not."""

    start: Start
    step: Step
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Logged:
    """A rule wrote a line."""

    start: Start
    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A run is over."""

    start: Start
    over: Over


@dataclass(frozen=True, slots=True)
class Echoed:
    """The text of an effect came back."""

    effect_id: str
    session: SessionKey


Sight: TypeAlias = Happened | Decided | Acted | Logged | Ended | Echoed

Watcher: TypeAlias = Callable[[Sight], None]


def unwatched(_sight: Sight) -> None:
    """Look away."""
