"""What the tests of the rule language look at: one rich scope, its names, and senses.

The senses say what the test wrote down, and ask nobody.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from imbot.problems import Place, Severity
from imbot.rulebook.calendars import Calendar
from imbot.rulebook.expressions import parse
from imbot.rulebook.scope import Known, Names


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


NAMES = (
    Names.for_trigger(frozenset({"state", "message", "userdata"}))
    .with_vars({"limit": 5, "gold": "gold", "cal": "support", "parts": ["a", "b"]})
    .bind("crm")
)
KNOWN = Known(
    calendars=frozenset({"support", "sales"}),
    rules=frozenset({"greet"}),
    secrets=frozenset({"CRM"}),
)
SENSES = PlainSenses(heard="I want my MONEY back", done=frozenset({"greet"}))
STARTED = datetime(2026, 3, 2, 7, 50, tzinfo=UTC)
SCOPE = {
    "session": {
        "id": "s1",
        "state": "Talking",
        "userData": {"tier": "gold", "age": " 42 ", "empty": "", "odd key": "x"},
        "participants": [{"digits": "3002"}],
        "capabilities": ["SendMessage"],
        "started_at": STARTED,
        "mine": False,
    },
    "message": {"text": "Hello World", "at": STARTED},
    "event": {"kind": "message", "age": 3.5, "changed": {"tier": {"new": "gold"}}},
    "vars": {"limit": 5, "gold": "gold", "cal": "support", "parts": ["a", "b"]},
    "crm": {
        "which": "json",
        "status": 409,
        "json": {"tags": ["vip"], "name": None},
        "words": "vip guest",
    },
}


def place(line, column):
    return Place("r.yaml", 10 + line, 20 + column)


def expression(source, names=NAMES, known=KNOWN):
    parsed, problems = parse(source, place, names, known)
    assert parsed is not None, [str(problem) for problem in problems]
    assert problems == ()
    return parsed


def problems_of(source, names=NAMES, known=KNOWN):
    parsed, problems = parse(source, place, names, known)
    assert parsed is None or all(each.severity is Severity.WARNING for each in problems)
    return problems
