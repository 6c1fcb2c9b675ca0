"""Own echoes: which texts we have said, or may have, and have not heard back yet.

GWS sends our own messages back without a sender, so a notice whose text we await is taken as ours:
it proves that the message was said and never reaches rules. A multiset, not a time window: each
sending adds one, each echo takes one away. Whether this GWS sends echoes at all, and how late they
come, is learnt from them. Source: GWS contract 9.3.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from imbot.model import SessionKey
from imbot.records import EchoesLearnt

log = structlog.get_logger()

#: What has not come after so many times the longest delay of an echo does not come any more.
MARGIN = 3

#: So many accepted messages without an echo, and none ever with one: this GWS sends none.
SENDS_TO_LEARN = 5


def normalised(text: str) -> str:
    """Return the text as echoes are compared: NFC, line ends as LF, no white space at the end.

    The server may change these; it does not change words.
    """
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")).rstrip()


@dataclass(slots=True)
class _Awaited:
    text: str
    effect_id: str
    sent_at: datetime | None
    until: datetime | None = None
    #: Whether an echo came meanwhile that may have been this one's, and was taken as another's.
    is_shared: bool = False


class Echoes:
    """The texts whose echo is awaited, by session, oldest first.

    Args:
        quiesce_s: Seconds after which a request that has not taken effect never does, at least.

    Attributes:
        learnt: What is known about the echoes of this GWS. Only where one was ever heard does it
            mean anything that another does not come.
    """

    def __init__(self, quiesce_s: float = 90.0) -> None:
        self.learnt = EchoesLearnt()
        self._least_s = quiesce_s
        self._unheard: list[datetime] = []
        self._awaited: dict[SessionKey, list[_Awaited]] = {}
        self._proven: dict[str, Callable[[], None]] = {}

    @property
    def quiesce_s(self) -> float:
        """Seconds after which a request that has not taken effect never does, as far as is seen."""
        return max(self._least_s, MARGIN * self.learnt.longest_s)

    @property
    def told(self) -> str:
        """Whether this GWS shows our own messages, for people."""
        if self.learnt.are_missing:
            return "missing"
        return "heard" if self.learnt.are_heard else "unknown"

    def quiet_at(self, now: datetime) -> datetime:
        """Return when a request that ends now has taken effect or never will."""
        return now + timedelta(seconds=self.quiesce_s)

    def expect(
        self, key: SessionKey, effect_id: str, text: str, sent_at: datetime | None = None
    ) -> None:
        """Await the echo of a text that is about to be sent.

        Args:
            key: The session.
            effect_id: The effect that it will prove.
            text: What is said.
            sent_at: When, for measuring; None when the time until the echo tells nothing.
        """
        self._awaited.setdefault(key, []).append(_Awaited(normalised(text), effect_id, sent_at))

    def withdraw(self, key: SessionKey, effect_id: str) -> None:
        """Stop awaiting: the text was surely not sent."""
        kept = [a for a in self._awaited.get(key, ()) if a.effect_id != effect_id]
        if kept:
            self._awaited[key] = kept
        else:
            self._awaited.pop(key, None)

    def expire(self, key: SessionKey, effect_id: str, until: datetime | None) -> None:
        """Await the echo until this moment only: nobody knows whether the text was sent.

        Later the same words are the other party's. None is for as long as the session lasts.
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
        alike = [each for each in self._awaited.get(key, ()) if each.text == wanted]
        for awaited in alike:
            if awaited.until is not None and now > awaited.until:
                continue
            self._learn(awaited, now, is_only=len(alike) == 1)
            for other in alike:
                other.is_shared = True
            self.withdraw(key, awaited.effect_id)
            if (tell := self._proven.pop(awaited.effect_id, None)) is not None:
                tell()
            return awaited.effect_id
        return None

    def forget(self, key: SessionKey) -> None:
        """Await nothing more in this session: it is over."""
        self._awaited.pop(key, None)

    def newest(self, key: SessionKey) -> str | None:
        """Return the effect of this session that was said last and has no echo yet."""
        waiting = [each.effect_id for each in self._awaited.get(key, ()) if each.until is None]
        return waiting[-1] if waiting else None

    # Proof ------------------------------------------------------------------------------------

    def tell(self, effect_id: str, proven: Callable[[], None]) -> None:
        """Call ``proven`` once when the echo of this effect comes."""
        self._proven[effect_id] = proven

    def hush(self, effect_id: str) -> None:
        """Take back :meth:`tell`."""
        self._proven.pop(effect_id, None)

    def is_shared(self, key: SessionKey, effect_id: str) -> bool:
        """Return whether this very text was heard meanwhile, and taken as the echo of another."""
        return any(
            awaited.is_shared
            for awaited in self._awaited.get(key, ())
            if awaited.effect_id == effect_id
        )

    # Learning ---------------------------------------------------------------------------------

    def note_accepted(self, now: datetime) -> bool:
        """Note that GWS has accepted a message; return whether it is now plain that it echoes none.

        Called only for an agent that hears everything.
        """
        if self.learnt.are_heard or self.learnt.are_missing:
            return False
        unheard = self._unheard
        if len(unheard) < SENDS_TO_LEARN:
            unheard.append(now)
        elif now >= self.quiet_at(unheard[-1]):
            self.learnt = self.learnt._replace(are_missing=True)
            log.warning("echoes.missing", messages=len(unheard), waited_s=self.quiesce_s)
        return self.learnt.are_missing

    def _learn(self, awaited: _Awaited, now: datetime, *, is_only: bool) -> None:
        learnt = self.learnt
        if learnt.are_missing:
            log.info("echoes.heard")
        if not learnt.are_heard:
            self.learnt = learnt._replace(are_heard=True, are_missing=False)
        if is_only and awaited.sent_at is not None and awaited.until is None:
            took_s = (now - awaited.sent_at).total_seconds()
            if took_s > learnt.longest_s:
                self.learnt = self.learnt._replace(longest_s=took_s)
