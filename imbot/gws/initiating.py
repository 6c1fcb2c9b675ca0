"""Which session an InitiateIMSession began: its answer does not say. No I/O.

Source: contract 1.12.
"""

from collections.abc import Iterable

from imbot.gws.flag import Flag
from imbot.model import ImSession, Participant, SessionState


class Slot:
    """An InitiateIMSession in flight, opened before it is sent: GWS may announce the effect first.

    Args:
        destination: The number to reach.
        known: Ids of the sessions that were there before.
    """

    def __init__(self, destination: str, known: Iterable[str]) -> None:
        self._destination = destination
        self._known = frozenset(known)
        self._candidate: str | None = None
        self._is_accepted = False
        self.found = Flag()
        self.session_id: str | None = None

    def offer(self, session: ImSession) -> None:
        """Look at a session that GWS shows.

        It is ours if it reaches the destination or if it dials. The number may be written in
        another way, so any other new one that does not ring is ours too as soon as GWS has accepted
        the operation: an agent has but one session.
        """
        if not self.is_new(session) or self.found.is_set():
            return
        if reaches(session, self._destination) or session.state == SessionState.INITIATING:
            self._find(session.id)
        elif session.state != SessionState.ALERTING:
            self._candidate = session.id
            self._find_candidate()

    def is_new(self, session: ImSession) -> bool:
        """Return whether a session lives that was not there before: only such a one can be ours."""
        return not session.is_completed and session.id not in self._known

    def accept(self) -> None:
        """Note that GWS has accepted the operation."""
        self._is_accepted = True
        self._find_candidate()

    def _find_candidate(self) -> None:
        if self._is_accepted and self._candidate is not None and not self.found.is_set():
            self._find(self._candidate)

    def _find(self, session_id: str) -> None:
        self.session_id = session_id
        self.found.set()


def reaches(session: ImSession, destination: str) -> bool:
    """Return whether a participant has this number, whatever stands between its digits."""
    wanted = _comparable(destination)
    return bool(wanted) and any(
        wanted == _comparable(number)
        for participant in session.participants
        for number in _numbers(participant)
    )


def _numbers(participant: Participant) -> Iterable[str]:
    return participant.facts().values()


def _comparable(number: str) -> str:
    return "".join(filter(str.isdigit, number)) or number.strip().casefold()
