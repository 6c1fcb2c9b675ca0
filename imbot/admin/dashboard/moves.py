"""Which topics of pages moved, noted while imbot works."""

from imbot.engine.watching import Acted, Decided, Echoed, Ended, Happened, Sight
from imbot.model import SessionKey

#: So many sessions are named; where more moved, all did.
_NAMED = 200

SESSIONS, RULES, EVERY_SESSION = "sessions", "rules", "session:*"


class Moves:
    """Notes what moved with what was seen, as long as somebody wants to know.

    Attributes:
        are_wanted: Whether somebody does.
    """

    def __init__(self) -> None:
        self.are_wanted = False
        self._rules = False
        self._sessions: set[str] = set()
        self._any_session = False

    def watch(self, sight: Sight) -> None:
        """Note what moved."""
        if not self.are_wanted:
            return
        match sight:
            case Happened(event):
                self._note(event.session_key)
            case Decided(plan):
                self._rules = True
                self._note(plan.event.session_key)
            case Acted(start, _, _) | Ended(start, _):
                self._rules = True
                self._note(start.event.session_key)
            case Echoed(_, session):
                self._note(session)
            case _:
                pass

    def take(self) -> set[str]:
        """Return the topics that moved since they were taken last."""
        moved = set()
        if self._rules:
            moved.add(RULES)
        if self._any_session:
            moved.add(SESSIONS)
        if len(self._sessions) > _NAMED:
            moved.add(EVERY_SESSION)
        else:
            moved |= {f"session:{each}" for each in self._sessions}
        self._rules = self._any_session = False
        self._sessions.clear()
        return moved

    def _note(self, session: SessionKey | None) -> None:
        self._any_session = True
        if session is not None:
            self._sessions.add(session.session_id)
