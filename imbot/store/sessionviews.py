"""Sessions with what befell them, read by a few statements however many sessions they are."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

import sqlalchemy as sa

from imbot.model import EventKind, SessionKey
from imbot.records import Effect, EffectState, GapSeen, SessionSeen
from imbot.store import rows
from imbot.store.schema import EFFECT_IS_PARKED, effects, events, gaps, sessions
from imbot.store.views import SessionView

#: Finds the rows of a statement.
Find: TypeAlias = Callable[[sa.Select[Any]], Sequence[rows.Row]]

#: Rows by the session that they are about.
_BySession: TypeAlias = Mapping[SessionKey, Sequence[rows.Row]]

#: Sessions that are looked up by one statement: it asks the index for each of them with each agent
#: among them, because SQLite would read the whole table for pairs of values.
_KEYS_AT_ONCE = 50

#: States of a message that GWS took.
_SAID = frozenset({EffectState.ACCEPTED, EffectState.CONFIRMED})


def session_views(find: Find, seen: Sequence[SessionSeen]) -> tuple[SessionView, ...]:
    """Return sessions with what befell them, in the order given."""
    keys = [_key_of(one) for one in seen]
    messages_of, effects_of = _messages(find, keys), _effects(find, keys)
    parked_of, gaps_of = _parked(find, keys), _gaps(find, seen)
    return tuple(
        SessionView(
            one,
            messages=sum(row["often"] for row in messages_of.get(key, ())),
            replies=sum(row["echoing"] for row in effects_of.get(key, ()) if row["state"] in _SAID),
            effects={EffectState(row["state"]): row["often"] for row in effects_of.get(key, ())},
            parked=parked_of.get(key, ()),
            gaps=tuple(gap for gap in gaps_of.get(key, ()) if gap.ended_at >= one.first_seen_at),
        )
        for one, key in zip(seen, keys, strict=True)
    )


def sessions_seen(find: Find, keys: Collection[SessionKey]) -> Mapping[SessionKey, SessionSeen]:
    """Return the sessions of these keys that the store has, as they stand."""
    found = _by_session(find, sa.select(sessions), sessions, keys)
    return {key: rows.to_session_seen(row) for key, (row,) in found.items()}


def _messages(find: Find, keys: Collection[SessionKey]) -> _BySession:
    """Return how often the other party said something in each session."""
    statement: sa.Select[Any] = (
        sa.select(events.c.agent, events.c.session_id, sa.func.count().label("often"))
        .where(events.c.kind == EventKind.MESSAGE.value)
        .group_by(events.c.agent, events.c.session_id)
    )
    return _by_session(find, statement, events, keys)


def _effects(find: Find, keys: Collection[SessionKey]) -> _BySession:
    """Return how many effects of each session stand where, and how many of them can echo."""
    of = effects.c.agent, effects.c.session_id, effects.c.state
    often = sa.func.count().label("often"), sa.func.count(effects.c.echo).label("echoing")
    return _by_session(find, sa.select(*of, *often).group_by(*of), effects, keys)


def _parked(find: Find, keys: Collection[SessionKey]) -> Mapping[SessionKey, tuple[Effect, ...]]:
    """Return the effects of each session that wait for a person, oldest first."""
    statement = sa.select(effects).where(EFFECT_IS_PARKED).order_by(effects.c.seq)
    found = _by_session(find, statement, effects, keys)
    return {key: tuple(map(rows.to_effect, some)) for key, some in found.items()}


def _gaps(find: Find, seen: Sequence[SessionSeen]) -> Mapping[SessionKey, Sequence[GapSeen]]:
    """Return the gaps of each session since the first of all was seen, oldest first."""
    found: dict[SessionKey, list[GapSeen]] = defaultdict(list)
    if not seen:
        return found
    keys = {_key_of(one) for one in seen}
    statement = sa.select(gaps).where(
        gaps.c.agent.in_({one.agent for one in seen}),
        gaps.c.ended_at >= min(one.first_seen_at for one in seen),
    )
    for row in find(statement.order_by(gaps.c.seq)):
        named = {SessionKey(row["agent"], session_id) for session_id in row["session_ids"]}
        for key in keys & named:
            found[key].append(rows.to_gap(row))
    return found


def _by_session(
    find: Find, statement: sa.Select[Any], table: sa.Table, keys: Collection[SessionKey]
) -> _BySession:
    """Return the rows of these sessions by session; those of others with the same id may be there.

    A session whose both ends are ours has one id, and two agents.
    """
    found: dict[SessionKey, list[rows.Row]] = defaultdict(list)
    left = iter(keys)
    while some := list(islice(left, _KEYS_AT_ONCE)):
        of_agents = table.c.agent.in_({key.agent for key in some})
        in_sessions = table.c.session_id.in_({key.session_id for key in some})
        for row in find(statement.where(of_agents, in_sessions)):
            found[SessionKey(row["agent"], row["session_id"])].append(row)
    return found


def _key_of(seen: SessionSeen) -> SessionKey:
    return SessionKey(seen.agent, seen.session.id)
