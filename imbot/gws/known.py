"""Which sessions an agent was told of, and what GWS lists that it was not; it asks nobody."""

from collections.abc import Iterable

from imbot.gws.remembered import Remembered
from imbot.model import ImSession, SessionState

#: Names of past sessions that are remembered, so that late notices are not looked up again.
REMEMBERED = 200

_RANK = {state.value: rank for rank, state in enumerate(SessionState)}


def is_early(session: ImSession) -> bool:
    """Whether nobody can talk in the session yet."""
    return _RANK.get(session.state, len(_RANK)) < _RANK[SessionState.TALKING]


class KnownSessions:
    """The sessions of one agent: as many as are needed to see what it was not told of."""

    def __init__(self) -> None:
        self.live: dict[str, ImSession] = {}
        self._past = Remembered(REMEMBERED)

    def knows(self, name: str) -> bool:
        """Return whether a session of this id or alias was ever shown."""
        is_live = name in self.live or any(name in one.aliases for one in self.live.values())
        return is_live or name in self._past

    def early(self, name: str) -> ImSession | None:
        """Return a session that is not known to talk yet; None for any other."""
        known = self.live.get(name)
        return known if known is not None and is_early(known) else None

    def note(self, session: ImSession) -> None:
        """Take in a session as shown; a completed one never comes back."""
        if session.is_completed:
            self.live.pop(session.id, None)
            self.forget((session.id, *session.aliases))
        elif session.id not in self._past:
            self.live[session.id] = session

    def forget(self, names: Iterable[str]) -> None:
        """Remember these names as past."""
        for name in names:
            self._past.add(name)

    def note_snapshot(self, sessions: Iterable[ImSession], before: Iterable[str]) -> None:
        """Take in all there are; those known before it was asked for, and absent, are over."""
        listed = {session.id: session for session in sessions}
        for session_id in before:
            if session_id not in listed and self.live.pop(session_id, None) is not None:
                self.forget((session_id,))
        for session in listed.values():
            self.note(session)

    def differences(self, sessions: Iterable[ImSession]) -> frozenset[str]:
        """Return what GWS lists and no notification told, one word for each difference."""
        listed = {session.id: session for session in sessions if not session.is_completed}
        unseen = {f"{name} is new" for name in listed if not self.knows(name)}
        over = {f"{name} is over" for name in self.live if name not in listed}
        ahead = {
            f"{name} is {listed[name].state}"
            for name, known in self.live.items()
            if name in listed and _RANK.get(listed[name].state, 0) > _RANK.get(known.state, 9)
        }
        return frozenset(unseen | over | ahead)
