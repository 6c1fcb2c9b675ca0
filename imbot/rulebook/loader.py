"""Rule files → one rulebook, or every mistake in them.

Reads no file and knows no clock: texts, actions, the date and what the settings say are given.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from types import MappingProxyType
from typing import Any

from imbot.model import JSON, EventKind
from imbot.plugin import Action, Operation
from imbot.problems import UNUSED, Place, Problem, Severity, first_causes
from imbot.rulebook import checks
from imbot.rulebook.calendars import Calendar, PlaceAt, ReadFile, parse_calendar
from imbot.rulebook.clearsecrets import refuse_clear_secrets
from imbot.rulebook.reading import Desk
from imbot.rulebook.schema import (
    Act,
    Mode,
    Once,
    OnceScope,
    Program,
    Rule,
    Rulebook,
    Trigger,
)
from imbot.rulebook.scope import Known, Names
from imbot.rulebook.steps import Workshop, read_program
from imbot.rulebook.triggers import read_triggers
from imbot.rulebook.values import is_template, nodes_of
from imbot.secretnames import is_secret_name
from imbot.yamlfile import Entry, Kind, Node, load

#: What ends the name of a file that tests rules and holds none.
TEST_SUFFIXES = (".test.yaml", ".test.yml")

#: The age at which an event no longer starts a rule that replies, unless the rule says otherwise.
REPLY_MAX_AGE_S = 60.0

_FILE_KEYS = frozenset({"version", "vars", "calendars", "rules"})
_RULE_KEYS = frozenset(
    {
        *("id", "description", "enabled", "shadow", "trigger", "when", "vars", "key", "mode"),
        *("once", "max_age", "priority", "final", "loop_guard", "do", "on_error"),
    }
)
#: What other rule languages call these keys.
_RULE_ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("on", "event", "events", "triggers"), "trigger"),
        **dict.fromkeys(("if", "condition", "conditions", "where"), "when"),
        **dict.fromkeys(("then", "action", "actions", "step", "steps"), "do"),
        **dict.fromkeys(("name", "alias"), "id"),
    }
)
_LATER_RULE_KEYS = frozenset({"max", "throttle", "budget"})
_LATER_MODES = frozenset({"restart", "parallel"})
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_VAR_USED = re.compile(r"""\bvars\s*(?:\.\s*(\w+)|\[\s*['"]([^'"]*)['"])""")
_NO_DECISION = frozenset({"description"})


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


@dataclass(frozen=True, slots=True)
class _Draft:
    """A rule as far as it can be used, and where it stands."""

    rule: Rule
    node: Node


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
    settings = _Settings(secrets, allowed_hosts, timezone, country, today)
    reader = _Reader(actions, unavailable, settings)
    return reader.read([file for file in files if not file.name.endswith(TEST_SUFFIXES)])


@dataclass(frozen=True, slots=True)
class _Settings:
    """What the settings say; see :func:`load_rulebook`."""

    secrets: frozenset[str] | None
    allowed_hosts: Sequence[str] | None
    timezone: str
    country: str
    today: date


class _Reader:
    """Reads files one after another; what later ones need of earlier ones stands here."""

    def __init__(
        self,
        actions: Mapping[str, Action[Any]],
        unavailable: Mapping[str, str],
        settings: _Settings,
    ) -> None:
        self._actions = actions
        self._unavailable = unavailable
        self._settings = settings
        self._beside: dict[str, ReadFile | None] = {}
        self._desk = Desk()
        self._calendars: dict[str, Calendar] = {}
        self._drafts: list[_Draft] = []

    def read(self, files: Sequence[RuleFile]) -> tuple[Rulebook | None, list[Problem]]:
        """Return the rulebook and the problems."""
        roots = [root for file in files if (root := self._root(file)) is not None]
        self._read_calendars(roots)
        self._desk = Desk(self._known(roots), self._desk.problems)
        for root in roots:
            self._read_rules(root)
        self._refuse_second_ids()
        rules = _in_order([draft.rule for draft in self._drafts])
        if not _errors(self._desk.problems):
            conditions = {
                draft.rule.id: node.place
                for draft in self._drafts
                if (node := draft.node.get("when")) is not None
            }
            found = checks.problems_of(rules, self._actions, conditions=conditions)
            self._desk.problems.extend(found)
        problems = sorted(first_causes(self._desk.problems), key=lambda each: each.place)
        if _errors(problems):
            return None, problems
        return Rulebook(rules, MappingProxyType(self._calendars), tuple(problems)), problems

    # Files

    def _root(self, file: RuleFile) -> Node | None:
        """Return the tree of a file that can be read further."""
        self._beside[file.name] = file.beside
        root, problems = load(file.name, file.text)
        self._desk.problems.extend(problems)
        if root is None:
            return None
        if root.kind is Kind.NULL:
            self._desk.warn(root.place, "empty", "the file holds nothing")
            return None
        cure = "write 'rules:' above the list" if root.items else "begin with 'version: 1'"
        entries = self._desk.entries(root, "a rule file", cure)
        self._desk.keys(entries, _FILE_KEYS, of="a rule file", later={"blocks"})
        if entries:
            self._check_version(root)
        return root

    def _check_version(self, root: Node) -> None:
        version = root.get("version")
        if version is None:
            self._desk.warn(root.place, "missing-key", "no 'version'", "add 'version: 1'")
        elif version.raw != "1":
            what = f"version {version.raw or version.kind} of the rule language is unknown"
            self._desk.error(version.place, "unknown-version", what, "write 'version: 1'")

    def _read_calendars(self, roots: Sequence[Node]) -> None:
        """Read the calendars of all files; a name may stand in one of them only."""
        first: dict[str, Place] = {}
        nodes = [node for root in roots if (node := root.get("calendars")) is not None]
        for name, entry in (pair for node in nodes for pair in self._calendar_entries(node)):
            if name in first:
                what = f"a second calendar '{name}'; first at {first[name]}"
                self._desk.error(entry.key.place, "duplicate-calendar", what, "rename one")
                continue
            first[name] = entry.key.place
            self._read_calendar(name, entry)

    def _calendar_entries(self, node: Node) -> Iterable[tuple[str, Entry]]:
        cure = "write each as 'name: {timezone: …, open: {…}}'"
        return self._desk.entries(node, "calendars", cure).items()

    def _read_calendar(self, name: str, entry: Entry) -> None:
        """Read one calendar; zone and country are the settings' unless it says otherwise."""
        cure = "write timezone and open below it"
        spec = {
            key: e.value.plain() for key, e in self._desk.entries(entry.value, name, cure).items()
        }
        if entry.value.kind is not Kind.MAP:
            return
        spec.setdefault("timezone", self._settings.timezone)
        if isinstance(holidays := spec.get("holidays"), dict):
            holidays.setdefault("country", self._settings.country)
        calendar, problems = parse_calendar(
            name,
            spec,
            _places(entry),
            key_place=_places(entry, of_key=True),
            today=self._settings.today,
            read_file=self._beside[entry.key.source.path],
        )
        self._desk.problems.extend(problems)
        if calendar is not None:
            self._calendars[name] = calendar

    def _known(self, roots: Sequence[Node]) -> Known:
        """Return what expressions may name; what has a mistake of its own is known, too."""
        rules = (rule for root in roots for rule in _listed(root, "rules"))
        ids = (node.raw for rule in rules if (node := rule.get("id")) is not None)
        calendars = (name for root in roots for name in _mapped(root, "calendars"))
        return Known(
            calendars=frozenset(calendars),
            rules=frozenset(ids),
            secrets=self._settings.secrets or frozenset(),
            secrets_are_all=self._settings.secrets is not None,
        )

    def _read_rules(self, root: Node) -> None:
        """Read the rules of a file."""
        constants = self._constants(root.entries.get("vars"))
        if (rules := root.get("rules")) is not None:
            cure = "begin each rule with '- id: …'"
            for node in self._desk.items(rules, "rules", cure):
                self._read_rule(node, constants)
        self._warn_of_unused(root.entries.get("vars"), root)

    def _constants(self, entry: Entry | None) -> dict[str, JSON]:
        """Return constants by name."""
        if entry is None:
            return {}
        for name, (key, node) in self._desk.entries(entry.value, "vars").items():
            if any(is_template(each) for each in nodes_of(node)):
                cure = "write the template where the value is used"
                self._desk.error(node.place, "template", f"'{name}' is no constant", cure)
            refuse_clear_secrets(Entry(key, node), self._desk, is_sent_out=is_secret_name(name))
        return {name: entry.value.plain() for name, entry in entry.value.entries.items()}

    def _warn_of_unused(self, entry: Entry | None, owner: Node) -> None:
        """Warn of each constant that nothing below ``owner`` names."""
        if entry is None or not entry.value.entries:
            return
        texts = (node.raw for node in nodes_of(owner) if node.kind is Kind.TEXT)
        used = {a or b for text in texts if "vars" in text for a, b in _VAR_USED.findall(text)}
        for name, (key, _) in entry.value.entries.items():
            if name not in used:
                self._desk.warn(key.place, UNUSED, f"nothing uses 'vars.{name}'", "remove it")

    # Rules

    def _read_rule(self, node: Node, file_constants: Mapping[str, JSON]) -> None:
        """Read one rule and keep it if it has what a rule must have."""
        desk = self._desk
        entries = desk.entries(node, "rule", "begin with '- id: …'")
        if not entries:
            if node.kind is Kind.MAP:
                desk.error(node.place, "missing-key", "a rule that is empty", "add 'id: …'")
            return
        desk.keys(
            entries,
            _RULE_KEYS,
            of="a rule",
            later=_LATER_RULE_KEYS,
            elsewhere=_RULE_ELSEWHERE,
        )
        rule_id = self._id(node)
        constants = {**file_constants, **self._constants(entries.get("vars"))}
        triggers = self._triggers(node)
        names = _names(triggers, constants)
        program = self._program(node, names, constants)
        rule = Rule(
            id=rule_id,
            place=node.entries["id"].value.place if "id" in entries else node.place,
            version=_version(node, constants),
            order=0,
            triggers=triggers,
            program=program,
            vars=MappingProxyType(constants),
            source=node.written.rstrip(),
        )
        self._drafts.append(_Draft(self._with_policy(rule, entries, names), node))
        self._warn_of_unused(entries.get("vars"), node)

    def _id(self, node: Node) -> str:
        """Return a rule's id; empty, and a problem, when it has none that can be used."""
        entry = node.entries.get("id")
        if entry is None:
            self._lacks(node, "id", "add 'id: …'")
            return ""
        text = self._desk.text(entry.value, "id")
        if text is None:
            return ""
        if not _ID.fullmatch(text):
            what = f"'{text[:80]}' cannot be an id"
            cure = "use up to 80 letters, digits, '-', '_' and '.'"
            self._desk.error(entry.value.place, "bad-id", what, cure)
        return text

    def _triggers(self, node: Node) -> tuple[Trigger, ...]:
        entry = node.entries.get("trigger")
        if entry is None:
            self._lacks(node, "trigger", "add 'trigger: {state: Talking}' or another")
            return ()
        return read_triggers(entry, self._desk)

    def _lacks(self, rule: Node, key: str, cure: str) -> None:
        """Report a key that a rule must have, unless its loss is told already."""
        known = _RULE_KEYS | _LATER_RULE_KEYS
        if self._desk.lacks(rule, key, known=known, elsewhere=_RULE_ELSEWHERE):
            place = next(iter(rule.entries.values())).key.place
            self._desk.error(place, "missing-key", f"a rule without '{key}'", cure)

    def _program(self, node: Node, names: Names, constants: Mapping[str, JSON]) -> Program:
        """Return the steps of a rule."""
        do = node.entries.get("do")
        if do is None:
            self._lacks(node, "do", "add 'do:' and a list of steps")
        elif do.value.kind is Kind.LIST and not do.value.items and "final" not in node.entries:
            self._desk.error(do.key.place, "empty", "'do' without a step", "add a step")
        workshop = Workshop(
            self._actions, self._unavailable, self._settings.allowed_hosts, constants
        )
        return read_program(do, node.entries.get("on_error"), names, workshop, self._desk)

    def _with_policy(self, rule: Rule, entries: Mapping[str, Entry], names: Names) -> Rule:
        """Return the rule with everything but trigger and steps."""
        desk = self._desk

        def value(key: str) -> Node | None:
            return entries[key].value if key in entries else None

        def flag(key: str, default: bool) -> bool:  # noqa: FBT001  read as flag("final", False)
            node = value(key)
            found = None if node is None else desk.flag(node, key)
            return default if found is None else found

        replies = any(self._says(step) for step in rule.program.instructions)
        description, when, key = value("description"), value("when"), value("key")
        max_age, priority = value("max_age"), value("priority")
        max_age_s = REPLY_MAX_AGE_S if replies else None
        bound = 10**9
        return replace(
            rule,
            description="" if description is None else desk.text(description, "description") or "",
            enabled=flag("enabled", True),
            shadow=flag("shadow", False),
            final=flag("final", False),
            loop_guard=flag("loop_guard", True),
            when=None if when is None else desk.all_of(when, names, "when"),
            key=None if key is None else desk.expression(key, names, "key"),
            mode=self._mode(value("mode")),
            once=self._once(value("once"), names),
            max_age_s=max_age_s if max_age is None else desk.duration(max_age, "max_age"),
            priority=0
            if priority is None
            else desk.whole(priority, "priority", least=-bound, most=bound) or 0,
            replies=replies,
        )

    def _says(self, step: object) -> bool:
        """Whether an instruction can say something to the other party."""
        return isinstance(step, Act) and self._actions[step.action].needs is Operation.SEND_MESSAGE

    def _mode(self, node: Node | None) -> Mode:
        if node is None:
            return Mode.SINGLE
        if node.raw in _LATER_MODES:
            what = f"the mode '{node.raw}' is not in this version yet"
            self._desk.error(node.place, "not-yet", what, "use single or queue")
            return Mode.SINGLE
        return Mode(self._desk.word(node, Mode, "mode") or Mode.SINGLE)

    def _once(self, node: Node | None, names: Names) -> Once | None:
        if node is None:
            return None
        words = [scope.value for scope in OnceScope if scope is not OnceScope.EXPRESSION]
        if node.raw in words:
            return Once(OnceScope(node.raw))
        if node.kind in (Kind.BOOL, Kind.NUMBER):
            what, cure = f"'once' cannot be {node.raw}", "write session, participant or day"
            self._desk.error(node.place, "wrong-type", what, cure)
            return None
        by = self._desk.expression(node, names, "once")
        return None if by is None else Once(OnceScope.EXPRESSION, by)

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


def _version(node: Node, constants: Mapping[str, JSON]) -> str:
    """Return a hash of what decides: the rule without its description, and its constants."""
    decides = {key: _spelled(e.value) for key, e in node.entries.items() if key not in _NO_DECISION}
    text = json.dumps([decides, constants], ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _spelled(node: Node) -> JSON:
    """Return a node with each scalar's kind and spelling: 1.50 and "1.50" are not the same."""
    if node.kind is Kind.LIST:
        return [_spelled(item) for item in node.items]
    if node.kind is Kind.MAP:
        return {key: _spelled(entry.value) for key, entry in node.entries.items()}
    return f"{node.kind}:{node.raw}"


def _places(entry: Entry, *, of_key: bool = False) -> PlaceAt:
    """Return what maps the path to a value of a calendar to its place.

    A scalar stands where it is written; a list or map, which may lack something, at its key;
    with ``of_key`` everything does.
    """

    def place(path: tuple[str | int, ...]) -> Place:
        key, node = entry
        for step in path:
            if isinstance(step, int):
                node = node.items[step] if step < len(node.items) else node
            else:
                key, node = node.entries.get(step, (key, node))
        is_written = node.is_scalar and node.kind is not Kind.NULL
        return node.place if is_written and not of_key else key.place

    return place
