"""``imbot sessions``: what sessions there are and were, and the story of one; from the store."""

from collections.abc import Iterable
from pathlib import Path

from imbot.admin.story import Line, clock, lasted, named, timeline
from imbot.cli.output import complain, print_table
from imbot.cli.settings import load
from imbot.store.queries import open_views
from imbot.store.views import SessionHistory, SessionView

_COLUMNS = (
    *("agent", "session", "number", "state", "began", "ended"),
    *("messages", "replies", "parked", "gaps"),
)


def sessions(
    session: str | None, path: Path | None, *, agent: str | None, limit: int, as_json: bool
) -> int:
    """List the sessions, or show one as a timeline; return 1 when there is no such session."""
    loaded = load(path)
    with open_views(loaded.settings.store, base=loaded.base) as views:
        if session is None:
            found = views.sessions(limit=limit, agent=agent)
            print_table("Sessions", _COLUMNS, map(_row, found), as_json=as_json)
            return 0
        histories = views.session(session, agent=agent)
    for history in histories:
        print_timeline(history, timeline(history), as_json=as_json)
    if not histories:
        whose = f" of {agent}" if agent else ""
        complain(f"there is no session {session}{whose} in {loaded.settings.store}")
    return 0 if histories else 1


def _row(view: SessionView) -> tuple[object, ...]:
    seen = view.seen
    return (
        seen.agent,
        seen.session.id,
        view.number,
        seen.session.state,
        seen.first_seen_at,
        seen.completed_at,
        view.messages,
        view.replies,
        tuple(f"{named(effect)}: {effect.detail}" for effect in view.parked),
        tuple(f"{lasted(gap)} from {clock(gap.started_at)}: {gap.reason}" for gap in view.gaps),
    )


def print_timeline(history: SessionHistory, story: Iterable[Line], *, as_json: bool) -> None:
    """Print a session's story in the order of time."""
    seen = history.view.seen
    title = f"Session {seen.session.id} of {seen.agent}, {history.view.number or 'number unknown'}"
    # Sorting keeps the order of what happened at the same moment: events, rules, effects.
    lines = sorted(story, key=lambda line: line.at)
    rows = [(line.at, seen.agent, line.what, line.details) for line in lines]
    print_table(title, ("when", "agent", "what", "details"), rows, as_json=as_json)
