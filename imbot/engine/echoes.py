"""Own echoes: which texts we have said, or may have, and have not heard back yet.

GWS sends our own messages back without a sender, so a notice whose text we await is taken as ours:
it proves that the message was said and never reaches rules. A multiset, not a time window: each
sending adds one, each echo takes one away. Whether this GWS sends echoes at all, and how late they
come, is learnt from them. Source: GWS contract 9.3.
"""

import unicodedata
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from imbot.cards import masked
from imbot.model import SessionKey
from imbot.records import EchoesLearnt

log = structlog.get_logger()

#: What has not come after so many times the longest delay of an echo does not come any more.
MARGIN = 3

#: So many accepted messages, most of them without an echo: this GWS sends none.
SENDS_TO_LEARN = 5

#: So many different ones, and most, with an echo: it does.
ECHOES_TO_LEARN = 3

#: It is learnt from so many, the last ones.
TRIALS = 10

#: Sessions that are over and whose late echoes are still known for ours.
OVER = 100


def normalised(text: str) -> str:
    """Return the text as echoes are compared: NFC, line ends as LF, no white space at the end.

    The server may change these; it does not change words. What looks like the number of a card is
    masked in what comes from the wire, so it is here, too.
    """
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    return masked(text).rstrip()


@dataclass(slots=True)
class _Awaited:
    text: str
    effect_id: str
    sent_at: datetime | None
    until: datetime | None = None
    #: Whether nobody knows if it was said; an echo is rather that of one that surely was.
    is_doubtful: bool = False
    #: Whether an echo came meanwhile that may have been this one's, and was taken as another's.
    is_shared: bool = False


@dataclass(slots=True)
class _Trial:
    """A message that GWS accepted while it was not known yet whether it echoes any."""

    effect_id: str
    said: tuple[SessionKey, str]
    at: datetime
    is_echoed: bool = False


class Echoes:
    """The texts whose echo is awaited, by session, oldest first.

    Args:
        quiesce_s: Seconds after which a request that has not taken effect never does, at least.

    Attributes:
        learnt: What is known about the echoes of this GWS. Only where they are heard does it mean
            anything that one does not come.
    """

    def __init__(self, quiesce_s: float = 90.0) -> None:
        self.learnt = EchoesLearnt()
        self._least_s = quiesce_s
        self._trials: deque[_Trial] = deque(maxlen=TRIALS)
        self._awaited: dict[SessionKey, list[_Awaited]] = {}
        self._over: OrderedDict[SessionKey, list[_Awaited]] = OrderedDict()
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
        self,
        key: SessionKey,
        effect_id: str,
        text: str,
        sent_at: datetime | None = None,
        *,
        until: datetime | None = None,
    ) -> str:
        """Await the echo of a text that is about to be sent; return it as echoes are compared.

        Args:
            key: The session.
            effect_id: The effect that it will prove.
            text: What is said.
            sent_at: When, for measuring; None when the time until the echo tells nothing.
            until: For how long; None for as long as the session lasts.
        """
        awaited = _Awaited(normalised(text), effect_id, sent_at, until)
        self._awaited.setdefault(key, []).append(awaited)
        return awaited.text

    def withdraw(self, key: SessionKey, effect_id: str) -> None:
        """Stop awaiting: the text was surely not sent."""
        kept = [a for a in self._awaited.get(key, ()) if a.effect_id != effect_id]
        if kept:
            self._awaited[key] = kept
        else:
            self._awaited.pop(key, None)

    def doubt(self, key: SessionKey, effect_id: str, until: datetime | None) -> None:
        """Await the echo until this moment only: nobody knows whether the text was sent.

        Later the same words are the other party's. None is for as long as the session lasts.
        """
        for awaited in self._awaited.get(key, ()):
            if awaited.effect_id == effect_id:
                awaited.until = until
                awaited.is_doubtful = True

    def expire_agent(self, agent: str, until: datetime) -> None:
        """Await every echo of the agent until this moment only: a gap may have taken it."""
        for key, waiting in self._awaited.items():
            for awaited in waiting if key.agent == agent else ():
                if awaited.until is None or awaited.until > until:
                    awaited.until = until

    def take(self, key: SessionKey, text: str, now: datetime) -> str | None:
        """Return the effect that this text is the echo of, or None; it is awaited no more."""
        waiting = self._awaited.get(key) or self._over.get(key)
        if not waiting:
            return None
        wanted = normalised(text)
        alike = [each for each in waiting if each.text == wanted]
        due = [each for each in alike if each.until is None or now <= each.until]
        if not due:
            return None
        awaited = next((each for each in due if not each.is_doubtful), due[0])
        if not self.learnt.are_heard:
            self._note_trial(awaited.effect_id, (key, wanted), now, is_echoed=True)
            if self.learnt.are_missing:
                return None
        if len(alike) == 1 and awaited.sent_at is not None and awaited.until is None:
            self._measure((now - awaited.sent_at).total_seconds())
        for other in alike:
            other.is_shared = True
        waiting.remove(awaited)
        if not waiting:
            self._awaited.pop(key, None)
        if (tell := self._proven.pop(awaited.effect_id, None)) is not None:
            tell()
        return awaited.effect_id

    def forget(self, key: SessionKey, until: datetime) -> None:
        """Await nothing of this session after this moment: it is over."""
        if (waiting := self._awaited.pop(key, None)) is None:
            return
        for awaited in waiting:
            awaited.until = until if awaited.until is None else min(until, awaited.until)
        self._over[key] = waiting
        while len(self._over) > OVER:
            self._over.popitem(last=False)

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

    def note_accepted(self, key: SessionKey, effect_id: str, text: str, now: datetime) -> None:
        """Note that GWS has accepted a message; while it is not known whether it echoes any."""
        is_known = any(trial.effect_id == effect_id for trial in self._trials)
        if not self.learnt.are_heard and not is_known:
            self._note_trial(effect_id, (key, normalised(text)), now)

    def _note_trial(
        self,
        effect_id: str,
        said: tuple[SessionKey, str],
        now: datetime,
        *,
        is_echoed: bool = False,
    ) -> None:
        """Learn from a message: the other party's same words are an echo once, and not mostly."""
        trial = next((one for one in self._trials if one.effect_id == effect_id), None)
        if trial is None:
            trial = _Trial(effect_id, said, now)
            self._trials.append(trial)
        trial.is_echoed |= is_echoed
        ripe = [one for one in self._trials if one.is_echoed or now >= self.quiet_at(one.at)]
        echoed = {one.said for one in ripe if one.is_echoed}
        are_most = 2 * sum(one.is_echoed for one in ripe) >= len(ripe)
        if len(echoed) >= ECHOES_TO_LEARN and are_most:
            self.learnt = self.learnt._replace(are_heard=True, are_missing=False)
            log.info("echoes.heard")
        elif len(ripe) >= SENDS_TO_LEARN and not are_most and not self.learnt.are_missing:
            self.learnt = self.learnt._replace(are_missing=True)
            log.warning("echoes.missing", messages=len(ripe), waited_s=self.quiesce_s)

    def _measure(self, took_s: float) -> None:
        if took_s > self.learnt.longest_s:
            self.learnt = self.learnt._replace(longest_s=took_s)
