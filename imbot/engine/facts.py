"""What rules see: events, sessions, agents as plain values; the senses of one moment. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, TypeVar

from imbot.engine.sessions import SessionEntry
from imbot.errors import PermanentError
from imbot.model import JSON, Event, EventKind, ImSession, Scope
from imbot.ports import AgentFacts
from imbot.problems import did_you_mean
from imbot.rulebook.calendars import Calendar

T = TypeVar("T")

#: Python 3.11 calls a function for each look at a member, and every event comes by here.
_MESSAGE = EventKind.MESSAGE


@dataclass(frozen=True, slots=True)
class Bot:
    """Who the bot is, for rules.

    Attributes:
        nickname: How it presents itself.
        instance: Names this imbot among others; the same after a restart.
    """

    nickname: str = "Bot"
    instance: str = "imbot"

    def facts(self) -> dict[str, str]:
        """Return what rules see as ``bot``."""
        return {"nickname": self.nickname, "instance": self.instance}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is the same for every event until the next reload.

    Attributes:
        bot: Who the bot is.
        calendars: By name.
        secrets: By name, for ``secret()``.
        country: Two-letter country of numbers without a country code.
        timezone: The settings' time zone.
    """

    bot: Bot = field(default_factory=Bot)
    calendars: Mapping[str, Calendar] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    country: str = "DE"
    timezone: str = "UTC"


class Moment(NamedTuple):
    """The senses of rules at one moment, for one session; made for every event and every step.

    Attributes:
        at: The moment.
        around: What does not change with the moment.
        texts: What the other party said, oldest first.
        done: Ids of the rules whose once mark is set for this session.
    """

    at: datetime
    around: Surroundings
    texts: Sequence[str] = ()
    done: frozenset[str] = frozenset()

    @property
    def country(self) -> str:
        """Two-letter country of numbers without a country code."""
        return self.around.country

    @property
    def timezone(self) -> str:
        """The settings' time zone."""
        return self.around.timezone

    def now(self) -> datetime:
        """Return the moment."""
        return self.at

    def calendar(self, name: str) -> Calendar:
        """Return the calendar of this name."""
        return _named(name, self.around.calendars, "calendar")

    def said(self, text: str) -> bool:
        """Return whether the other party said this text, as part of a message, in any case."""
        wanted = text.strip().casefold()
        return any(wanted in said.casefold() for said in self.texts)

    def once_done(self, rule_id: str) -> bool:
        """Return whether the rule has acted already in this session."""
        return rule_id in self.done

    def secret(self, name: str) -> str:
        """Return the secret of this name."""
        return _named(name, self.around.secrets, "secret")


def _named(name: str, known: Mapping[str, T], what: str) -> T:
    """Return what has this name.

    Raises:
        PermanentError: Nothing has; without settings the checker lets unknown secrets pass.
    """
    if name not in known:
        raise PermanentError(f"there is no {what} '{name}'; {did_you_mean(name, known)}")
    return known[name]


def session_facts(session: ImSession, entry: SessionEntry | None) -> dict[str, JSON]:
    """Return what rules see as ``session``; what is not known is not there."""
    facts: dict[str, JSON] = {
        "id": session.id,
        "state": session.state,
        "userData": session.user_data,
        "participants": [participant.facts() for participant in session.participants],
        "mine": entry is not None and entry.mine,
    }
    if session.capabilities is not None:
        facts["capabilities"] = list(session.capabilities)
    if entry is not None:
        facts["started_at"] = entry.first_seen_at
    return facts


def event_facts(event: Event, now: datetime) -> dict[str, JSON]:
    """Return what rules see as ``event``; its age counts up to ``now``."""
    return {
        **event.fields,
        "kind": str(event.kind),
        "at": event.at,
        "age": (now - event.received_at).total_seconds(),
        "resync": event.resync,
    }


def scope_of(
    event: Event,
    session: ImSession | None,
    entry: SessionEntry | None,
    *,
    agent: AgentFacts,
    bot: Bot,
    now: datetime,
) -> Scope:
    """Return everything that rules see, except vars and bound names.

    Args:
        event: The trigger.
        session: The session to show: the event's own, or as it stands now.
        entry: What the table keeps of it; None when it keeps nothing.
        agent: Our agent.
        bot: Who the bot is.
        now: The moment.
    """
    scope: Scope = {
        "event": event_facts(event, now),
        "agent": agent.facts(),
        "bot": bot.facts(),
    }
    if session is not None:
        facts = scope["session"] = session_facts(session, entry)
        if facts["participants"]:
            scope["participant"] = facts["participants"][0]
    if event.kind is _MESSAGE:
        scope["message"] = {"text": event.fields["text"], "at": event.at}
    return scope
