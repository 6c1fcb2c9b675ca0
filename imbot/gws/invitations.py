"""When and how to accept an IM session that rings. No I/O.

Which operation accepts one, if any, is not documented. Source: contract 1.9 [I].
"""

from imbot.gws.remembered import Remembered
from imbot.gws.settings import WAIT
from imbot.model import ImSession, SessionState

#: Capabilities that name the operation which accepts.
ACCEPTING = ("Answer", "Accept")

#: Sessions remembered, so that each is tried once and none of ours is.
_REMEMBERED = 100


class Invitations:
    """The sessions that ring now.

    Args:
        on_alerting: Operation to try where no capability names one; ``wait`` for none.
        patience_s: How long to leave such a session to GWS first.
    """

    def __init__(self, on_alerting: str, *, patience_s: float) -> None:
        self._on_alerting = on_alerting
        self._patience_s = patience_s
        self._ringing: dict[str, tuple[float, str]] = {}
        self._told = Remembered(_REMEMBERED)
        self._tried = Remembered(_REMEMBERED)
        self._dialled = Remembered(_REMEMBERED)

    def see(self, session: ImSession, now: float) -> None:
        """Look at a session as shown; one that was seen dialling is ours and rings elsewhere."""
        if session.state == SessionState.INITIATING:
            self._dialled.add(session.id)
        if session.state != SessionState.ALERTING:
            self._ringing.pop(session.id, None)
        elif session.id not in self._dialled and session.id not in self._tried:
            self._plan(session, now)

    def next_at(self) -> float | None:
        """Return when the next one is to be accepted; None while none is."""
        return min((due_at for due_at, _ in self._ringing.values()), default=None)

    def take(self, now: float) -> tuple[str, str] | None:
        """Return a session whose time has come, with its operation; each is given out once.

        Empty where nobody knows one: it rings on, until GWS, a person or a capability answers.
        """
        for session_id, (due_at, operation) in self._ringing.items():
            if due_at <= now:
                del self._ringing[session_id]
                (self._tried if operation else self._told).add(session_id)
                return session_id, operation
        return None

    def give_back(self, session_id: str) -> None:
        """Note that the operation surely was not done: when shown ringing again, it is due."""
        self._tried.discard(session_id)

    def _plan(self, session: ImSession, now: float) -> None:
        named = [name for name in ACCEPTING if name in (session.capabilities or ())]
        if named:
            self._ringing[session.id] = (now, named[0])
        elif session.id not in self._told:
            operation = "" if self._on_alerting == WAIT else self._on_alerting
            self._ringing.setdefault(session.id, (now + self._patience_s, operation))
