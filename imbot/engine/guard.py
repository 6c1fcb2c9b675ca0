"""The loop guard: a bot that talks to a bot stops.

One sign needs the other bot's cooperation: its *mark* in the user data, which counts as long as it
stands there. The others need none, for they are about what no person does for long: *haste*, an
answer to each of our replies in under two seconds; *no pause*, never taking the time that reading
takes; *many* replies between hasty answers, as when each message brings forth two; *sameness*, the
same words again and again, answered by the same words. Each of them is counted from the last pause
that looks like a person's, and keeps the bot silent for a quarter of an hour; then everything
begins anew, for even a thousand people have one among them who types like a bot.

And a bot under whose name a person types keeps quiet for a while; only deployments that name
senders show that. Pure.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil

from imbot.durations import format_duration
from imbot.model import JSON, SessionKey
from imbot.records import TimerGone, TimerSet

#: User-data keys with this prefix are the marks of imbots; the rest of the key names the bot.
MARK_PREFIX = "imbot.auto."

#: An answer that comes sooner than this after our reply was not typed by a person.
INHUMAN_S = 2.0

#: So many such answers in a row, and the other party is a bot. People reach two or three.
INHUMAN_IN_A_ROW = 8

#: An answer that takes as long as this looks like a person's who read what we said.
PAUSE_S = 4.0

#: So many of our replies in a row, each answered without such a pause, are too many. Of 100,000
#: made-up dialogues of hasty people the longest has 18 (tests/unit/test_guard.py).
REPLIES_IN_A_ROW = 20

#: So many hasty answers, and it counts how much we say in between.
HASTY_AT_LEAST = 3

#: So many times the same words of ours answered by the same words, all sooner than SAME_WITHIN_S.
SAME_TIMES = 5
SAME_WITHIN_S = 10.0

#: So many different exchanges are remembered; who has more to say repeats nothing.
EXCHANGES = 50

#: Seconds without replies after another bot was suspected.
LOOP_S = 900.0

#: Seconds without replies after a person typed under the bot's name.
QUIET_S = 300.0

#: The kind of the rows that keep what was found; they are never fired.
LOOP = "loop"


@dataclass(slots=True)
class _Talk:
    """What is counted of one session.

    Attributes:
        replied_at: When we last said something that has not been answered; None for nothing.
        said: The words of our last reply.
        step: The step that said them.
        hasty: Answers in a row that came sooner than INHUMAN_S.
        swift: Answers in a row that came sooner than PAUSE_S.
        replies: Steps of ours that said something since an answer took as long as INHUMAN_S.
        exchanges: How often words of ours were answered by these of theirs, since an answer took
            as long as SAME_WITHIN_S.
        why: Which sign another bot has given; empty for none.
        until: When that is forgotten.
        typed_at: When a person last typed under our name.
    """

    replied_at: datetime | None = None
    said: str = ""
    step: str = ""
    hasty: int = 0
    swift: int = 0
    replies: int = 0
    exchanges: Counter[tuple[str, str]] = field(default_factory=Counter)
    why: str = ""
    until: datetime | None = None
    typed_at: datetime | None = None

    def take(self, text: str, took_s: float) -> str:
        """Count an answer to our last reply; return which sign it completes, empty for none."""
        self.hasty = self.hasty + 1 if took_s < INHUMAN_S else 0
        self.swift = self.swift + 1 if took_s < PAUSE_S else 0
        if not self.hasty:
            self.replies = 0
        if took_s >= SAME_WITHIN_S or len(self.exchanges) >= EXCHANGES:
            self.exchanges.clear()
        elif self.said:
            self.exchanges[self.said, text] += 1
        return self._sign(self.exchanges.get((self.said, text), 0))

    def _sign(self, same: int) -> str:
        if self.hasty >= INHUMAN_IN_A_ROW:
            return f"{self.hasty} answers in a row came within {INHUMAN_S:g} s of our reply"
        if self.swift >= REPLIES_IN_A_ROW:
            return f"{self.swift} answers in a row came within {PAUSE_S:g} s of our reply"
        if self.replies >= REPLIES_IN_A_ROW and self.hasty >= HASTY_AT_LEAST:
            told = f"{self.replies} replies between {self.hasty} answers"
            return f"{told} that came within {INHUMAN_S:g} s"
        if same >= SAME_TIMES:
            return f"the same words were answered by the same words {same} times"
        return ""


@dataclass(slots=True)
class LoopGuard:
    """Watches every session for another bot.

    Attributes:
        instance: Names this imbot among others; the same after a restart.
        marks: Whether to leave a mark of our own.
    """

    instance: str
    marks: bool = True
    _talks: dict[SessionKey, _Talk] = field(default_factory=dict)

    def mark(self, agent: str) -> str:
        """Return the user-data key that says: here answers this bot, as this agent."""
        return f"{MARK_PREFIX}{self.instance}.{agent}"

    def needs_mark(self, key: SessionKey, user_data: Mapping[str, JSON]) -> bool:
        """Return whether our mark is still to be left in this session."""
        return self.marks and self.mark(key.agent) not in user_data

    def note_reply(self, key: SessionKey, at: datetime, *, text: str = "", step: str = "") -> None:
        """Note that we said something.

        Args:
            key: Where.
            at: When.
            text: What.
            step: What said it; the pieces of a long text are one reply.
        """
        talk = self._talk(key, at) or self._talks.setdefault(key, _Talk())
        talk.replied_at, talk.said = at, text
        talk.replies += not step or step != talk.step
        talk.step = step

    def note_message(self, key: SessionKey, at: datetime, text: str = "") -> TimerSet | None:
        """Note that the other party said something.

        Return what is to be kept if that gives it away as a bot, with ``why`` in its payload.
        """
        talk = self._talk(key, at)
        if talk is None:
            return None
        sign = ""
        # Several lines after one reply count once: people send them in bursts, bots take turns.
        if talk.replied_at is not None:
            sign = talk.take(text, (at - talk.replied_at).total_seconds())
        talk.replied_at = None
        if not sign or talk.why:
            return None
        talk.why, talk.until = sign, at + timedelta(seconds=LOOP_S)
        return _row(key, talk.why, talk.until)

    def note_person(self, key: SessionKey, at: datetime) -> None:
        """Note that a person said something under our name."""
        self._talks.setdefault(key, _Talk()).typed_at = at

    def quiet(self, key: SessionKey, now: datetime) -> str:
        """Return why replies are held back: a person types; empty when nobody does."""
        talk = self._talks.get(key)
        if talk is None or talk.typed_at is None:
            return ""
        ago_s = (now - talk.typed_at).total_seconds()
        if ago_s >= QUIET_S:
            return ""
        told = f"somebody typed as {key.agent} {format_duration(round(ago_s, 3))} ago"
        return f"{told}, quiet for {format_duration(QUIET_S)}"

    def verdict(self, key: SessionKey, user_data: Mapping[str, JSON], now: datetime) -> str:
        """Return why replies must stop in this session; empty when they need not."""
        own = self.mark(key.agent)
        for name in user_data:
            if name.startswith(MARK_PREFIX) and name != own:
                return f"another bot is in the session: user data {name}"
        return self.suspicion(key, now)

    def suspicion(self, key: SessionKey, now: datetime) -> str:
        """Return which sign but a mark another bot has given of late; empty for none."""
        talk = self._talk(key, now)
        if talk is None or talk.until is None:
            return ""
        left_s = (talk.until - now).total_seconds()
        return f"{talk.why}; no replies for another {format_duration(ceil(left_s))}"

    def restore(self, rows: Iterable[TimerSet]) -> None:
        """Take back what was found before a restart."""
        for row in rows:
            if row.kind == LOOP:
                key = SessionKey(row.agent, row.session_id)
                self._talks[key] = _Talk(why=row.payload["why"], until=row.due_at)

    def forget(self, key: SessionKey) -> list[TimerGone]:
        """Drop what is kept of a session that is over; return what is not to be kept any more."""
        talk = self._talks.pop(key, None)
        return [TimerGone(_row_id(key))] if talk is not None and talk.until is not None else []

    def _talk(self, key: SessionKey, now: datetime) -> _Talk | None:
        """Return what is counted; it begins anew when the time without replies is over."""
        talk = self._talks.get(key)
        if talk is None or talk.until is None:
            return talk
        # With more than all of it left, somebody has set the clock back.
        if not timedelta() < talk.until - now <= timedelta(seconds=LOOP_S):
            talk = self._talks[key] = _Talk(typed_at=talk.typed_at)
        return talk


def _row(key: SessionKey, why: str, until: datetime) -> TimerSet:
    return TimerSet(_row_id(key), LOOP, until, key.agent, key.session_id, {"why": why})


def _row_id(key: SessionKey) -> str:
    return f"{LOOP} {key.agent}/{key.session_id}"
