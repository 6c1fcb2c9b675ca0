"""What can be watched: each stage says what it saw, as a frozen value. Nothing here decides."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from imbot.engine.planning import Plan, Start
from imbot.engine.stepping import Over
from imbot.model import Event, Outcome, SessionKey, Step
from imbot.rulebook.schema import Rulebook


class Happened(NamedTuple):
    """An event was taken in."""

    event: Event


class Decided(NamedTuple):
    """It was decided which rules run."""

    plan: Plan


class Acted(NamedTuple):
    """A step was carried out, or not."""

    start: Start
    step: Step
    outcome: Outcome


class Logged(NamedTuple):
    """A rule wrote a line."""

    start: Start
    text: str


class Ended(NamedTuple):
    """A run is over."""

    start: Start
    over: Over


class Echoed(NamedTuple):
    """The text of an effect came back."""

    effect_id: str
    session: SessionKey


class Parked(NamedTuple):
    """An effect waits for a person from here on."""

    effect_id: str


class Kept(NamedTuple):
    """Changes are in the store, which took so many seconds."""

    changes: int
    seconds: float


class Adopted(NamedTuple):
    """Events from now on meet other rules."""

    book: Rulebook


Sight: TypeAlias = Happened | Decided | Acted | Logged | Ended | Echoed | Parked | Kept | Adopted

Watcher: TypeAlias = Callable[[Sight], None]


def unwatched(_sight: Sight) -> None:
    """Look away."""


def all_of(*watchers: Watcher) -> Watcher:
    """Return a watcher that shows each of these what is seen, in order."""

    def watch(sight: Sight) -> None:
        for watcher in watchers:
            watcher(sight)

    return watch
