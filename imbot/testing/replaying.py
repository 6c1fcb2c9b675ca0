"""Recorded events, played again in virtual time: what would these rules have done?

Nothing is acted on: behind the engine is the small GWS of the rule tests. It is shown what others
did, said and wrote; what the bot did then is left out, for it is what the replay finds out. So are
silences, schedules and calendar edges: the engine has clocks of its own.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from pydantic import BaseModel

from imbot.engine.acting import Installed
from imbot.engine.guard import MARK_PREFIX
from imbot.engine.secrecy import stand_in
from imbot.engine.situation import Situation
from imbot.loading import installed
from imbot.model import JSON, ConnectionChange, Event, EventKind, ImSession, SessionKey
from imbot.plugin import Context
from imbot.pluginhost import Plugins
from imbot.problems import Place
from imbot.testing.playing import Effect, Played
from imbot.testing.script import (
    Answered,
    Connected,
    Expected,
    Happening,
    Posted,
    RuleTest,
    Said,
    Shown,
    Timed,
)

#: Milliseconds that are played after the last event: waits end, silences are noticed.
TAIL_MS = 60 * 60 * 1000

#: What the engine brings about itself.
_OF_CLOCKS = frozenset({EventKind.IDLE, EventKind.SCHEDULE, EventKind.CALENDAR})


class Change(NamedTuple):
    """One effect that only one of two rulebooks has: ``-`` the old one, ``+`` the new one."""

    sign: str
    effect: Effect


# From a recording to what is played -----------------------------------------------------------


def scene_of(
    situations: Sequence[Situation],
    *,
    path: str = "recording",
    answers: Sequence[Answered] = (),
    until: datetime | None = None,
) -> RuleTest:
    """Return what happened as a test without expectations, ready to be played.

    Args:
        situations: In order.
        path: What they were read from, for places.
        answers: What HTTP requests are answered, in order; the rest with 200 and nothing.
        until: How long it goes on; None for an hour after what others did last.
    """
    start = situations[0].event.received_at if situations else datetime(2026, 1, 1, tzinfo=UTC)
    scene = _Scene(start, path)
    for number, situation in enumerate(situations, 1):
        scene.add(situation, number)
    end_ms = scene.now_ms + TAIL_MS if until is None else max(scene.now_ms, scene.ms_of(until))
    begun = [key.session_id for key in scene.begun]
    place = Place(path)
    return RuleTest(
        name=path,
        place=place,
        start=start,
        events=(
            *(Timed(0, answer, place) for answer in answers),
            *scene.timed,
            Timed(end_ms, Answered("", times=1), place),
        ),
        expect=tuple(Expected(0, "initiate", None, place, session) for session in begun),
        only=False,
    )


class _Scene:
    """Turns events into what others did, one after another.

    Attributes:
        timed: What happens.
        begun: The sessions that our own ``initiate`` began.
        now_ms: When the last of it happens.
    """

    def __init__(self, start: datetime, path: str) -> None:
        self.timed: list[Timed] = []
        self.begun: dict[SessionKey, None] = {}
        self.now_ms = 0
        self._start = start
        self._path = path
        self._place = Place(path)
        self._live: dict[SessionKey, Shown] = {}
        self._lost: set[str] = set()
        #: Where the last snapshot of an agent stands, while resyncs may still tell what was in it.
        self._snapshots: dict[str, int] = {}

    def add(self, situation: Situation, number: int) -> None:
        """Take one event in."""
        event = situation.event
        if event.kind in _OF_CLOCKS or event.own:
            return
        moment = situation.now if event.resync else event.received_at
        self.now_ms = max(self.now_ms, self.ms_of(moment))
        self._place = Place(self._path, number, 1)
        if event.kind is EventKind.CONNECTION:
            self._connect(event)
        elif event.kind is EventKind.WEBHOOK:
            self._happen(Posted(event.fields["name"], event.fields.get("body")))
        elif event.session is not None and event.session_key is not None:
            self._show(event, event.session_key, event.session, mine=situation.mine)

    def ms_of(self, moment: datetime) -> int:
        """Return the milliseconds from the start to a moment."""
        return round((moment - self._start).total_seconds() * 1000)

    def _happen(self, what: Happening) -> None:
        self.timed.append(Timed(self.now_ms, what, self._place))

    def _connect(self, event: Event) -> None:
        agent, change = event.agent, ConnectionChange(event.fields["change"])
        reason = event.fields.get("reason") or "the poll failed"
        if change is ConnectionChange.LOST:
            self._lost.add(agent)
            self._happen(Connected(agent, change, reason=reason))
            return
        self._lost.discard(agent)
        self._snapshots[agent] = len(self.timed)
        self._happen(Connected(agent, change, self._snapshot(agent), reason))

    def _snapshot(self, agent: str) -> tuple[Shown, ...]:
        return tuple(shown for key, shown in self._live.items() if key.agent == agent)

    def _show(self, event: Event, key: SessionKey, session: ImSession, *, mine: bool) -> None:
        if mine:
            self.begun.setdefault(key)
        is_new = key not in self._live
        if event.resync and key.agent in self._snapshots:
            self._note(key, session, event, is_new=is_new)
            at = self._snapshots[key.agent]
            told = self.timed[at].what
            if isinstance(told, Connected):
                snapshot = self._snapshot(key.agent)
                self.timed[at] = replace(self.timed[at], what=replace(told, snapshot=snapshot))
            return
        self._snapshots.pop(key.agent, None)
        if key.agent in self._lost:
            self._lost.discard(key.agent)
            change = ConnectionChange.RESTORED
            self._happen(Connected(key.agent, change, self._snapshot(key.agent)))
        shown = self._note(key, session, event, is_new=is_new)
        if is_new or event.kind is not EventKind.MESSAGE:
            self._happen(shown)
        if event.kind is EventKind.MESSAGE:
            self._happen(Said(Shown(key.session_id, agent=key.agent), event.fields["text"]))

    def _note(self, key: SessionKey, session: ImSession, event: Event, *, is_new: bool) -> Shown:
        """Keep the session as it is now, and return what of it is news."""
        shown = Shown(
            session=key.session_id,
            state=session.state,
            user_data=dict(_theirs(session, event, is_new=is_new)),
            participant=session.participants[0] if session.participants else None,
            capabilities=session.capabilities,
            agent=key.agent,
        )
        if session.is_completed:
            self._live.pop(key, None)
        else:
            before = {} if is_new else self._live[key].user_data
            kept = {**before, **shown.user_data}
            kept = {name: value for name, value in kept.items() if value is not None}
            self._live[key] = replace(shown, user_data=kept)
        return shown


def _theirs(session: ImSession, event: Event, *, is_new: bool) -> Iterator[tuple[str, JSON]]:
    """Yield the user data that others wrote; None for what they removed."""
    if event.kind is EventKind.USERDATA:
        for name, sides in event.fields["changed"].items():
            yield name, sides.get("new")
    elif is_new:
        for name, value in session.user_data.items():
            if not name.startswith(MARK_PREFIX):
                yield name, value


# What stands behind the rules -----------------------------------------------------------------


def without_acting(plugins: Plugins) -> dict[str, Installed]:
    """Return the actions that rules may use, none of which reaches the world.

    Those that ship act through doors alone, and behind the doors is nobody. What others do is not
    known; in their place nothing is done, and it counts as an effect.
    """
    return {name: one if one.ships else _idle(one) for name, one in installed(plugins).items()}


def _idle(one: Installed) -> Installed:
    async def run(_ctx: Context, _args: BaseModel) -> None:
        """Do nothing."""

    action: Any = replace(one.action, run=run, needs=None)
    return Installed(action, one.options)


def stand_ins(names: Iterable[str]) -> dict[str, str]:
    """Return what stands in for each secret: no recording and no difference shows a real one."""
    return {name: stand_in(name) for name in names}


# The difference -------------------------------------------------------------------------------


def difference(old: Played, new: Played) -> tuple[Change, ...]:
    """Return the effects that only one of two has, in order of time; within a session in order."""
    olds, news = _by_session(old.effects), _by_session(new.effects)
    changes: list[Change] = []
    for lane in {**olds, **news}:
        changes += _changes(olds.get(lane, []), news.get(lane, []))
    return tuple(sorted(changes, key=lambda change: change.effect.at_ms))


def _by_session(effects: Iterable[Effect]) -> Mapping[tuple[str, str], list[Effect]]:
    lanes: dict[tuple[str, str], list[Effect]] = defaultdict(list)
    for effect in effects:
        lanes[effect.agent, effect.session].append(effect)
    return lanes


def _changes(old: Sequence[Effect], new: Sequence[Effect]) -> Iterator[Change]:
    matcher = SequenceMatcher(None, [*map(_told, old)], [*map(_told, new)], autojunk=False)
    for tag, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if tag != "equal":
            yield from (Change("-", effect) for effect in old[old_from:old_to])
            yield from (Change("+", effect) for effect in new[new_from:new_to])


def _told(effect: Effect) -> str:
    """Return what makes an effect the same as another, whichever rule it comes from."""
    args = json.dumps(effect.args, sort_keys=True, default=str)
    return f"{effect.at_ms} {effect.action} {args} {effect.failure}"
