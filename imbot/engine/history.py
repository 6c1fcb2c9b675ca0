"""What was known when an event was decided, read back from the store."""

from collections.abc import Iterable
from dataclasses import replace

from imbot.engine.situation import Situation
from imbot.store.queries import Views
from imbot.store.views import EventView


def situation_of(views: Views, seen: EventView) -> Situation:
    """Return an event with its session's facts and its decision, as far as the store has them."""
    event = seen.event
    key = event.session_key
    session = None if key is None else views.session_seen(key)
    return Situation(
        event,
        seen.handled_at or event.received_at,
        said=() if key is None else views.said(key, event.id),
        mine=session is not None and session.mine,
        started_at=None if session is None else session.first_seen_at,
        ran=None if seen.handled_at is None else seen.rule_ids,
        suppressed=seen.suppressed,
    )


def with_past(views: Views, situation: Situation, rule_ids: Iterable[str]) -> Situation:
    """Return a situation with the marks of these rules, the runs and effects of its moment."""
    now = situation.now
    return replace(
        situation,
        marks=views.marks(rule_ids, now),
        running=views.running(now),
        spent=views.spent(situation.event.session_key, now),
    )
