"""Own echoes: which texts we have said, or may have, and have not heard back yet.

GWS sends our own messages back without a sender, so a notice whose text we await is taken as ours:
it proves that the message was said and never reaches rules. A multiset, not a time window: each
sending adds one, each echo takes one away. Source: GWS contract 9.3.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from imbot.model import SessionKey


def normalised(text: str) -> str:
    """Return the text as echoes are compared: NFC, line ends as LF, no white space at the end.

    The server may change these; it does not change words.
    """
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")).rstrip()


@dataclass(slots=True)
class _Awaited:
    text: str
    effect_id: str
    until: datetime | None = None


class Echoes:
    """The texts whose echo is awaited, by session, oldest first."""

    def __init__(self) -> None:
        self._awaited: dict[SessionKey, list[_Awaited]] = {}
        self._proven: dict[str, Callable[[], None]] = {}

    def expect(self, key: SessionKey, effect_id: str, text: str) -> None:
        """Await the echo of a text that is about to be sent."""
        self._awaited.setdefault(key, []).append(_Awaited(normalised(text), effect_id))

    def withdraw(self, key: SessionKey, effect_id: str) -> None:
        """Stop awaiting: the text was surely not sent."""
        kept = [a for a in self._awaited.get(key, ()) if a.effect_id != effect_id]
        if kept:
            self._awaited[key] = kept
        else:
            self._awaited.pop(key, None)

    def expire(self, key: SessionKey, effect_id: str, until: datetime) -> None:
        """Await the echo until this moment only: nobody knows whether the text was sent.

        Later the same words are the other party's.
        """
        for awaited in self._awaited.get(key, ()):
            if awaited.effect_id == effect_id:
                awaited.until = until

    def expire_agent(self, agent: str, until: datetime) -> None:
        """Await every echo of the agent until this moment only: a gap may have taken it."""
        for key, waiting in self._awaited.items():
            for awaited in waiting if key.agent == agent else ():
                if awaited.until is None or awaited.until > until:
                    awaited.until = until

    def take(self, key: SessionKey, text: str, now: datetime) -> str | None:
        """Return the effect that this text is the echo of, or None; it is awaited no more."""
        wanted = normalised(text)
        waiting = self._awaited.get(key, [])
        for awaited in waiting:
            if awaited.text == wanted and (awaited.until is None or now <= awaited.until):
                self.withdraw(key, awaited.effect_id)
                if (tell := self._proven.pop(awaited.effect_id, None)) is not None:
                    tell()
                return awaited.effect_id
        return None

    def forget(self, key: SessionKey) -> None:
        """Await nothing more in this session: it is over."""
        self._awaited.pop(key, None)

    def tell(self, effect_id: str, proven: Callable[[], None]) -> None:
        """Call ``proven`` once when the echo of this effect comes."""
        self._proven[effect_id] = proven

    def hush(self, effect_id: str) -> None:
        """Take back :meth:`tell`."""
        self._proven.pop(effect_id, None)
