"""Senses for the tests of the rule language: what they say is what the test wrote down."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from imbot.rulebook.calendars import Calendar


@dataclass
class PlainSenses:
    """Answers from its fields; asks nobody."""

    moment: datetime = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
    calendars: dict[str, Calendar] = field(default_factory=dict)
    heard: str = ""
    done: frozenset[str] = frozenset()
    secrets: dict[str, str] = field(default_factory=dict)
    country: str = "DE"
    timezone: str = "Europe/Berlin"

    def now(self) -> datetime:
        return self.moment

    def calendar(self, name: str) -> Calendar:
        return self.calendars[name]

    def said(self, text: str) -> bool:
        return text.strip().casefold() in self.heard.casefold()

    def once_done(self, rule_id: str) -> bool:
        return rule_id in self.done

    def secret(self, name: str) -> str:
        return self.secrets[name]
