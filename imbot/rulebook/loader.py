"""Rule files → one rulebook, or every mistake in them.

Reads no file and knows no clock: texts, actions, the date and what the settings say are given.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from types import MappingProxyType
from typing import Any

from imbot.model import JSON, EventKind
from imbot.plugin import Action, Operation
from imbot.problems import Place, Problem, Severity, first_causes
from imbot.rulebook import checks
from imbot.rulebook.binding import bound_in, is_title
from imbot.rulebook.blocks import Shelf
from imbot.rulebook.calendarreading import ReadFile
from imbot.rulebook.calendars import Calendar
from imbot.rulebook.clearsecrets import refuse_clear_secrets
from imbot.rulebook.policy import POLICY_KEYS, with_policy
from imbot.rulebook.reading import Desk
from imbot.rulebook.schema import (
    Act,
    CalendarTrigger,
    Enter,
    Program,
    Rule,
    Rulebook,
    Trigger,
)
from imbot.rulebook.scope import Known, Names
from imbot.rulebook.shared import (
    CalendarReader,
    Home,
    read_blocks,
    warn_of_unused,
)
from imbot.rulebook.steps import Workshop, read_program
from imbot.rulebook.triggers import read_triggers
from imbot.rulebook.values import is_template, nodes_of
from imbot.rulebook.versions import Parts, Piece
from imbot.secretnames import is_secret_name
from imbot.yamlfile import Entry, Kind, Node, load

#: What ends the name of a file that tests rules and holds none.
TEST_SUFFIXES = (".test.yaml", ".test.yml")

_FILE_KEYS = frozenset({"version", "shadow", "vars", "calendars", "blocks", "rules"})
_RULE_KEYS = POLICY_KEYS | {"id", "trigger", "vars", "do", "on_error"}
#: What other rule languages call these keys.
_RULE_ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("on", "event", "events", "triggers"), "trigger"),
        **dict.fromkeys(("if", "condition", "conditions", "where"), "when"),
        **dict.fromkeys(("then", "action", "actions", "step", "steps"), "do"),
        **dict.fromkeys(("name", "alias"), "id"),
    }
)
_VAR_USED = re.compile(r"""\bvars\s*(?:\.\s*(\w+)|\[\s*['"]([^'"]*)['"])""")


@dataclass(frozen=True, slots=True)
class RuleFile:
    """A rule file.

    Attributes:
        name: As the user knows it.
        text: What it holds.
        beside: Returns the text of a file that it names; None where none can be read.
    """

    name: str
    text: str | bytes = field(repr=False)
    beside: ReadFile | None = None


def load_rulebook(
    files: Sequence[RuleFile],
    actions: Mapping[str, Action[Any]],
    *,
    secrets: frozenset[str] | None,
    allowed_hosts: Sequence[str] | None,
    timezone: str,
    country: str,
    today: date,
    unavailable: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Rulebook | None, list[Problem]]:
    """Return the rulebook that the files make together, and every problem, sorted by place.

    There is none when a problem is an error; warnings are in it, too.

    Args:
        files: In the order of the settings; tests of rules among them are left out.
        actions: What steps may name.
        secrets: Names of the secrets; None without settings: an unknown one is a warning.
        allowed_hosts: Origins that http may reach; None without settings: none is checked.
        timezone: The zone of days, by default.
        country: Of numbers without a country code.
        today: From when calendars are looked at.
        unavailable: Action to why its plugin is not enabled.
    """
    settings = Settings(secrets, allowed_hosts, timezone, country, today)
    reader = Reader(actions, unavailable, settings)
    rules = reader.read([file for file in files if not file.name.endswith(TEST_SUFFIXES)])
    reader.look_closer()
    problems = reader.problems()
    if _errors(problems):
        return None, problems
    return Rulebook(rules, MappingProxyType(reader.calendars), tuple(problems)), problems


@dataclass(frozen=True, slots=True)
class Settings:
    """What the settings say; see :func:`load_rulebook`.

    Attributes:
        rules_are_all: Whether a rule may only name rules that are there.
    """

    secrets: frozenset[str] | None
    allowed_hosts: Sequence[str] | None
    timezone: str
    country: str
    today: date
    rules_are_all: bool = True


@dataclass(frozen=True, slots=True)
class _Draft:
    """A rule as far as it can be used, and where it stands."""

    rule: Rule
    node: Node


class Reader:
    """Reads files one after another; what later ones need of earlier ones stands here."""

    def __init__(
        self, actions: Mapping[str, Action[Any]], unavailable: Mapping[str, str], settings: Settings
    ) -> None:
        self.calendars: dict[str, Calendar] = {}
        self._actions = actions
        self._settings = settings
        self._workshop = Workshop(actions, unavailable, settings.allowed_hosts, {})
        self._desk = Desk()
        self._calendar_pieces: dict[str, Piece] = {}
        self._blocks: dict[str, Piece] = {}
        self._drafts: list[_Draft] = []
        self._rules: tuple[Rule, ...] = ()

    def read(self, files: Sequence[RuleFile]) -> tuple[Rule, ...]:
        """Return the rules in the order in which they are looked at."""
        homes = [home for file in files if (home := self._home(file)) is not None]
        settings = self._settings
        of_calendars = CalendarReader(
            settings.timezone, settings.country, settings.today, self._desk
        ).read(homes)
        self.calendars = {name: calendar for name, (calendar, _) in of_calendars.items()}
        self._calendar_pieces = {name: piece for name, (_, piece) in of_calendars.items()}
        self._desk = Desk(self._known(homes), self._desk.problems, settings.timezone)
        homes = [replace(home, constants=self._constants(home.root)) for home in homes]
        names = (name for home in homes for name in _mapped(home.root, "blocks"))
        self._workshop = replace(self._workshop, shelf=Shelf(frozenset(names)))
        self._blocks = read_blocks(homes, self._workshop, self._desk)
        for home in homes:
            self._read_rules(home)
        self._refuse_second_ids()
        self._rules = _in_order([draft.rule for draft in self._drafts])
        return self._rules

    def look_closer(self) -> None:
        """Find what is wrong although every part is right."""
        if _errors(self._desk.problems):
            return
        conditions = {
            draft.rule.id: node.place
            for draft in self._drafts
            if (node := draft.node.get("when")) is not None
        }
        found = checks.problems_of(self._rules, self._actions, conditions=conditions)
        self._desk.problems.extend(found)
        if self._rules:  # else other files use what stands here
            called = self._workshop.shelf.called
            warn_of_unused(self._blocks, called, "block", "calls", self._desk)
            asked = {*self._desk.calendars, *_waited_for(self._rules)}
            warn_of_unused(self._calendar_pieces, asked, "calendar", "asks", self._desk)

    def problems(self) -> list[Problem]:
        """Return every problem found so far, sorted by place."""
        return sorted(first_causes(self._desk.problems), key=lambda each: each.place)

    # Files

    def _home(self, file: RuleFile) -> Home | None:
        """Return a file that can be read further."""
        root, problems = load(file.name, file.text)
        self._desk.problems.extend(problems)
        if root is None:
            return None
        if root.kind is Kind.NULL:
            self._desk.warn(root.place, "empty", "the file holds nothing")
            return None
        cure = "write 'rules:' above the list" if root.items else "begin with 'version: 1'"
        entries = self._desk.entries(root, "a rule file", cure)
        self._desk.keys(entries, _FILE_KEYS, of="a rule file")
        if entries:
            self._check_version(root)
        node = root.get("shadow")
        shadow = node is not None and bool(self._desk.flag(node, "shadow"))
        return Home(root, file.beside, shadow=shadow)

    def _check_version(self, root: Node) -> None:
        version = root.get("version")
        if version is None:
            self._desk.warn(root.place, "missing-key", "no 'version'", "add 'version: 1'")
        elif version.raw != "1":
            what = f"version {version.raw or version.kind} of the rule language is unknown"
            self._desk.error(version.place, "unknown-version", what, "write 'version: 1'")

    def _known(self, homes: Sequence[Home]) -> Known:
        """Return what expressions may name; what has a mistake of its own is known, too."""
        rules = (rule for home in homes for rule in _listed(home.root, "rules"))
        ids = (node.raw for rule in rules if (node := rule.get("id")) is not None)
        calendars = (name for home in homes for name in _mapped(home.root, "calendars"))
        return Known(
            calendars=frozenset(calendars),
            rules=frozenset(ids) if self._settings.rules_are_all else None,
            secrets=self._settings.secrets or frozenset(),
            secrets_are_all=self._settings.secrets is not None,
        )

    def _read_rules(self, home: Home) -> None:
        """Read the rules of a file."""
        if (rules := home.root.get("rules")) is not None:
            cure = "begin each rule with '- id: …'"
            for node in self._desk.items(rules, "rules", cure):
                self._read_rule(node, home)
        self._warn_of_unused(home.root)

    def _constants(self, owner: Node) -> dict[str, JSON]:
        """Return the constants of a file or rule by name."""
        if (entry := owner.entries.get("vars")) is None:
            return {}
        for name, (key, node) in self._desk.entries(entry.value, "vars").items():
            if any(is_template(each) for each in nodes_of(node)):
                cure = "write the template where the value is used"
                self._desk.error(node.place, "misplaced-template", f"'{name}' is no constant", cure)
            refuse_clear_secrets(Entry(key, node), self._desk, is_sent_out=is_secret_name(name))
        return {name: entry.value.plain() for name, entry in entry.value.entries.items()}

    def _warn_of_unused(self, owner: Node) -> None:
        """Warn of each constant of a file or rule that nothing in it names."""
        if (entry := owner.entries.get("vars")) is None or not entry.value.entries:
            return
        texts = (node.raw for node in nodes_of(owner) if node.kind is Kind.TEXT)
        used = {a or b for text in texts if "vars" in text for a, b in _VAR_USED.findall(text)}
        for name, (key, _) in entry.value.entries.items():
            if name not in used:
                self._desk.warn(key.place, "unused-var", f"nothing uses 'vars.{name}'", "remove it")

    # Rules

    def _read_rule(self, node: Node, home: Home) -> None:
        """Read one rule and keep it if it has what a rule must have."""
        desk, asked = self._desk, len(self._desk.calendars)
        entries = desk.entries(node, "rule", "begin with '- id: …'")
        if not entries:
            if node.kind is Kind.MAP:
                desk.error(node.place, "missing-key", "a rule that is empty", "add 'id: …'")
            return
        desk.keys(entries, _RULE_KEYS, of="a rule", elsewhere=_RULE_ELSEWHERE)
        rule_id = self._id(node)
        constants = {**home.constants, **self._constants(node)}
        triggers = self._triggers(node)
        names = _names(triggers, constants).bound_by(partial(bound_in, node))
        program = self._program(node, names, constants)
        rule = Rule(
            id=rule_id,
            place=node.entries["id"].value.place if "id" in entries else node.place,
            version="",
            order=0,
            triggers=triggers,
            program=program,
            vars=MappingProxyType(constants),
            shadow=home.shadow,
            replies=any(self._says(step) for step in program.instructions),
        )
        rule = with_policy(rule, entries, names, desk)
        rule = self._with_version(rule, home.piece("rules", None, node), desk.calendars[asked:])
        self._drafts.append(_Draft(rule, node))
        self._warn_of_unused(node)

    def _with_version(self, rule: Rule, piece: Piece, asked: Sequence[str]) -> Rule:
        """Return the rule with what it uses of the rulebook, its version and its source."""
        called = {step.block for step in rule.program.instructions if isinstance(step, Enter)}
        made = self._workshop.shelf.made
        calendars = frozenset(asked).union(*(made[name].calendars for name in called))
        parts = Parts(
            piece,
            (
                *(self._blocks[name] for name in sorted(called)),
                *(
                    self._calendar_pieces[name]
                    for name in sorted(calendars & self.calendars.keys())
                ),
            ),
            self._settings.timezone,
            self._settings.country,
        )
        known = {name: self.calendars[name] for name in calendars & self.calendars.keys()}
        return replace(rule, version=parts.version, source=parts.source, calendars=known)

    def _id(self, node: Node) -> str:
        """Return a rule's id; empty, and a problem, when it has none that can be used."""
        entry = node.entries.get("id")
        if entry is None:
            self._lacks(node, "id", "add 'id: …'")
            return ""
        text = self._desk.text(entry.value, "id")
        if text is None:
            return ""
        is_title(entry.value, text, self._desk, of="an id")
        return text

    def _triggers(self, node: Node) -> tuple[Trigger, ...]:
        entry = node.entries.get("trigger")
        if entry is None:
            self._lacks(node, "trigger", "add 'trigger: {state: Talking}' or another")
            return ()
        return read_triggers(entry, self._desk)

    def _lacks(self, rule: Node, key: str, cure: str) -> None:
        """Report a key that a rule must have, unless its loss is told already."""
        if self._desk.lacks(rule, key, known=_RULE_KEYS, elsewhere=_RULE_ELSEWHERE):
            place = next(iter(rule.entries.values())).key.place
            self._desk.error(place, "missing-key", f"a rule without '{key}'", cure)

    def _program(self, node: Node, names: Names, constants: Mapping[str, JSON]) -> Program:
        """Return the steps of a rule."""
        do = node.entries.get("do")
        if do is None:
            self._lacks(node, "do", "add 'do:' and a list of steps")
        elif do.value.kind is Kind.LIST and not do.value.items and "final" not in node.entries:
            self._desk.error(do.key.place, "empty", "'do' without a step", "add a step")
        workshop = self._workshop.with_constants(constants)
        return read_program(do, node.entries.get("on_error"), names, workshop, self._desk)

    def _says(self, step: object) -> bool:
        """Whether an instruction can say something to the other party."""
        return isinstance(step, Act) and self._actions[step.action].needs is Operation.SEND_MESSAGE

    def _refuse_second_ids(self) -> None:
        """Report each rule whose id an earlier one has."""
        first: dict[str, Place] = {}
        for draft in self._drafts:
            rule = draft.rule
            if rule.id and first.setdefault(rule.id, rule.place) is not rule.place:
                what = f"a second rule '{rule.id}'; first at {first[rule.id]}"
                self._desk.error(rule.place, "duplicate-id", what, "give it another id")


def _names(triggers: Sequence[Trigger], constants: Mapping[str, JSON]) -> Names:
    """Return what a rule's expressions see; with a wrong trigger, what any trigger supplies."""
    kinds = frozenset(trigger.kind.value for trigger in triggers) or frozenset(EventKind)
    return Names.for_trigger(frozenset(map(str, kinds))).with_vars(constants)


def _waited_for(rules: Sequence[Rule]) -> Iterator[str]:
    """Yield the calendars whose edges start rules."""
    for rule in rules:
        for trigger in rule.triggers:
            if isinstance(trigger, CalendarTrigger):
                yield trigger.calendar


def _in_order(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Return the rules in the order in which they are looked at, each with its number."""
    ordered = sorted(rules, key=lambda rule: -rule.priority)
    return tuple(replace(rule, order=number) for number, rule in enumerate(ordered))


def _errors(problems: Sequence[Problem]) -> bool:
    return any(problem.severity is Severity.ERROR for problem in problems)


def _mapped(root: Node, key: str) -> Mapping[str, Entry]:
    node = root.get(key)
    return {} if node is None else node.entries


def _listed(root: Node, key: str) -> tuple[Node, ...]:
    node = root.get(key)
    return () if node is None else node.items
