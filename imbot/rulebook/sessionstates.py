"""In which states a session may be while a rule runs, as far as the rule itself tells."""

from collections.abc import Iterable
from typing import Final

from imbot.model import SessionState
from imbot.rulebook.facts import Equals, Fact, Steps
from imbot.rulebook.schema import (
    IdleTrigger,
    MessageTrigger,
    StateTrigger,
    Trigger,
    UserdataTrigger,
)

STATE: Final[Steps] = ("session", "state")
AT_THE_END: Final = frozenset[str]({SessionState.COMPLETED})
_ANY_STATE = frozenset[str](SessionState)
_RANK = {state: rank for rank, state in enumerate(SessionState)}


def states_after(trigger: Trigger) -> frozenset[str]:
    """Return the states that a trigger may leave the session in."""
    match trigger:
        case StateTrigger(to=frozenset() as to):
            return to
        case IdleTrigger():
            return frozenset({SessionState.TALKING})
        case MessageTrigger():  # it may come before the notice that the session is Talking
            return _ANY_STATE - {SessionState.INITIATING}
        case _:
            return _ANY_STATE


def narrowed(states: frozenset[str], facts: Iterable[Fact]) -> frozenset[str]:
    """Return which of the states are left where some facts hold."""
    for fact in facts:
        if isinstance(fact, Equals) and fact.path == STATE:
            states &= fact.values
    return states


def rank(state: str) -> int:
    """Return how late in a session's life a state comes."""
    return _RANK[SessionState(state)]


def and_later(states: frozenset[str]) -> frozenset[str]:
    """Return the states that a session may be in by now which was in one of these."""
    first = min(map(rank, states))
    return frozenset(state for state in SessionState if _RANK[state] >= first)


def can_happen(trigger: Trigger, states: frozenset[str]) -> bool:
    """Whether a session that is in one of these states may still do what is waited for."""
    first = min(map(rank, states))
    if not isinstance(trigger, StateTrigger):
        return first < _RANK[SessionState.COMPLETED]
    last = max(map(rank, trigger.to or SessionState))
    before = [rank(state) for state in trigger.before or SessionState]
    return any(first <= rank < last for rank in before)


def is_live(trigger: Trigger) -> bool:
    """Whether the session surely is not over when a trigger holds."""
    if isinstance(trigger, StateTrigger):
        return trigger.to is not None and SessionState.COMPLETED not in trigger.to
    return isinstance(trigger, MessageTrigger | UserdataTrigger | IdleTrigger)


def is_the_end(trigger: Trigger) -> bool:
    """Whether nothing but the end of the session is waited for."""
    return isinstance(trigger, StateTrigger) and trigger.to == AT_THE_END
