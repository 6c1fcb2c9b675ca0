"""The loop guard: a bot that talks to a bot stops.

Two signs, both kept for the rest of the session. Another bot's *mark* in the user data, which needs
the other bot's cooperation; and *alternation*, which needs none: the other party answers each of
our replies in under two seconds, many times in a row, as no person does. And a bot under whose name
a person types keeps quiet for a while; only deployments that name senders show that. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from imbot.durations import format_duration
from imbot.model import JSON, SessionKey

#: User-data keys with this prefix are the marks of imbots; the rest of the key names the bot.
MARK_PREFIX = "imbot.auto."

#: An answer that comes sooner than this after our reply was not typed by a person.
INHUMAN_S = 2.0

#: So many such answers in a row, and the other party is a bot. People reach two or three.
INHUMAN_IN_A_ROW = 8


#: Seconds without replies after a person typed under the bot's name.
QUIET_S = 300.0


@dataclass(slots=True)
class _Talk:
    replied_at: datetime | None = None
    quick_answers: int = 0
    verdict: str = ""
    typed_at: datetime | None = None


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

    def note_reply(self, key: SessionKey, at: datetime) -> None:
        """Note that we said something."""
        self._talks.setdefault(key, _Talk()).replied_at = at

    def note_message(self, key: SessionKey, at: datetime) -> None:
        """Note that the other party said something."""
        talk = self._talks.get(key)
        if talk is None or talk.replied_at is None:
            return
        if at - talk.replied_at >= timedelta(seconds=INHUMAN_S):
            talk.quick_answers = 0
        else:
            talk.quick_answers += 1
        # Several lines after one reply count once: people send them in bursts, bots take turns.
        talk.replied_at = None
        if talk.quick_answers >= INHUMAN_IN_A_ROW:
            talk.verdict = (
                f"{talk.quick_answers} answers in a row came within {INHUMAN_S:g} s of our reply"
            )

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

    def verdict(self, key: SessionKey, user_data: Mapping[str, JSON]) -> str:
        """Return why replies must stop in this session; empty when they need not."""
        own = self.mark(key.agent)
        for name in user_data:
            if name.startswith(MARK_PREFIX) and name != own:
                return f"another bot is in the session: user data {name}"
        talk = self._talks.get(key)
        return "" if talk is None else talk.verdict

    def forget(self, key: SessionKey) -> None:
        """Drop what is kept of a session that is over."""
        self._talks.pop(key, None)
