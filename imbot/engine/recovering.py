"""What an interrupted run goes on with after a start, or what becomes of it. Pure."""

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from imbot.engine.standing import Standing, standing_of
from imbot.model import SessionKey, SessionState
from imbot.records import (
    Change,
    Effect,
    EffectState,
    RuleSeen,
    RunSeen,
    RunState,
    SessionSeen,
    TimerGone,
    Verdict,
)
from imbot.rulebook.schema import Rule

#: Makes a rule of a version that the store kept; None when it cannot be made any more.
CompileStored = Callable[[RuleSeen], Rule | None]

#: States of an effect that a person must look at when nobody goes on with it.
_UNDONE = frozenset({EffectState.SENDING, EffectState.UNKNOWN, EffectState.FAILED})

_CHANGED = "its rule has changed since"


class Interrupted(NamedTuple):
    """Where a run stood when imbot stopped.

    Attributes:
        standing: Its next steps, and what was bound.
        session: The session it acted on.
        effects: What it has done, or may have.
        known_until: The last moment of which it is known where it stood, or what it did.
    """

    standing: Standing
    session: SessionKey | None
    effects: Sequence[Effect] = ()
    known_until: datetime | None = None


def interrupted(seen: RunSeen, effects: Sequence[Effect]) -> Interrupted:
    """Return where a run stood that was written down, with its effects."""
    known_until = max([seen.at, *(effect.intent.at for effect in effects)])
    return Interrupted(standing_of(seen), seen.session, effects, known_until)


def left_behind(
    sessions: Iterable[SessionSeen], agents: Container[str], before: datetime
) -> list[Change]:
    """Return, as over, the sessions of agents that the settings do not name any more.

    Those that were seen since then stay: an agent may come back, and what is over never does.
    """
    return [
        seen._replace(
            session=replace(seen.session, state=SessionState.COMPLETED.value),
            completed_at=seen.seen_at,
        )
        for seen in sessions
        if seen.agent not in agents and not seen.session.is_completed and seen.seen_at < before
    ]


def given_up(seen: RunSeen, effects: Iterable[Effect], now: datetime) -> list[Change]:
    """Return what ends a run whose rule cannot be had: what it was doing waits for a person."""
    over = seen._replace(state=RunState.CANCELLED, at=now, detail=_CHANGED)
    return [
        *(
            Verdict(effect.intent.effect_id, EffectState.PARKED, now, _CHANGED)
            for effect in effects
            if effect.state in _UNDONE
        ),
        over,
        *(TimerGone(f"{seen.run_id}/{strand.pc}") for strand in seen.strands),
    ]


def by_run(effects: Iterable[Effect]) -> Mapping[str, Sequence[Effect]]:
    """Return the effects of each run."""
    found: dict[str, list[Effect]] = defaultdict(list)
    for effect in effects:
        found[effect.intent.run_id].append(effect)
    return found


def by_version(
    rules: Iterable[Rule], kept: Iterable[RuleSeen], compile_stored: CompileStored
) -> Mapping[str, Rule]:
    """Return the rules in force and those that runs began with, by their versions."""
    found = {rule.version: rule for rule in rules}
    for seen in kept:
        if seen.version not in found and (rule := compile_stored(seen)) is not None:
            found[seen.version] = rule
    return found
