"""Which leaves of conditions the tests have seen true, and which false.

The leaves of ``when`` are looked at for every event that the rule waits for, those of ``if`` when a
run comes by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from imbot.engine.facts import Moment, scope_of
from imbot.engine.matching import rule_scope
from imbot.engine.watching import Decided, Sight
from imbot.model import Event, Scope, SessionKey
from imbot.ports import AgentFacts
from imbot.problems import Place
from imbot.rulebook.expressions import Expression, Leaf
from imbot.rulebook.index import trigger_holds
from imbot.rulebook.schema import Branch, Instruction, Program, Rule, Rulebook
from imbot.rulebook.scope import Senses
from imbot.rulebook.tree import leaves
from imbot.rulebook.values import nodes_of
from imbot.testing.house import House
from imbot.yamlfile import Kind, Node, load


@dataclass(slots=True)
class Seen:
    """How often a leaf was true, and how often false."""

    true: int = 0
    false: int = 0


@dataclass(frozen=True, slots=True)
class Gap:
    """A leaf that was never true, or never false, or neither; or a rule that never ran."""

    place: Place
    text: str
    lacks: str


@dataclass(slots=True)
class Coverage:
    """Collects what the leaves of conditions were, over many tests.

    Attributes:
        leaves: By place and text.
        ran: How often each rule ran, by place and id.
    """

    leaves: dict[tuple[Place, str], Seen] = field(default_factory=dict)
    ran: dict[tuple[Place, str], int] = field(default_factory=dict)
    _places: dict[str, "_File"] = field(default_factory=dict)
    _of: dict[int, tuple[Expression, Sequence[Place]]] = field(default_factory=dict)

    def watched(self, book: Rulebook) -> Rulebook:
        """Return the rulebook with every ``if`` telling what it sees."""
        return replace(book, rules=tuple(map(self._watched_rule, book.rules)))

    def see(self, sight: Sight, house: House, at_ms: int) -> None:
        """Look at the conditions of the rules that wait for an event."""
        del at_ms
        if not isinstance(sight, Decided):
            return
        event = sight.plan.event
        for start in sight.plan.starts:
            self.ran[start.rule.place, start.rule.id] += 1
        waiting = [rule for rule in house.book.rules if _is_started(rule, event)]
        if any(rule.when is not None for rule in waiting):
            scope, senses = _look(event, house)
            for rule in waiting:
                if rule.when is not None:
                    self._note(rule.when, rule_scope(scope, rule), senses)

    def gaps(self) -> list[Gap]:
        """Return what the tests have not seen, in order of the files."""
        found = [
            Gap(place, text, _lacks(seen))
            for (place, text), seen in self.leaves.items()
            if not (seen.true and seen.false)
        ]
        found += [
            Gap(place, f"rule '{rule_id}'", "never ran")
            for (place, rule_id), times in self.ran.items()
            if not times
        ]
        return sorted(found, key=lambda gap: (gap.place, gap.text))

    @property
    def counts(self) -> tuple[int, int]:
        """How many outcomes of leaves the tests have seen, and how many there are."""
        seen = sum(bool(each.true) + bool(each.false) for each in self.leaves.values())
        return seen, 2 * len(self.leaves)

    # Watching ---------------------------------------------------------------------------------

    def _watched_rule(self, rule: Rule) -> Rule:
        if not rule.enabled:
            return rule
        self.ran.setdefault((rule.place, rule.id), 0)
        if rule.when is not None:
            self._add(rule.when, self._file(rule).when(rule))
        steps = tuple(self._watched_step(rule, step) for step in rule.program.instructions)
        program: Program = replace(rule.program, instructions=steps)
        return replace(rule, program=program)

    def _watched_step(self, rule: Rule, step: Instruction) -> Instruction:
        if not isinstance(step, Branch):
            return step
        self._add(step.test, self._file(rule, step.place.path).test(step))
        original, watched = step.test, replace(step.test)

        def holds(scope: Scope, senses: Senses) -> object:
            self._note(original, scope, senses)
            return original.holds(scope, senses)

        vars(watched)["holds"] = holds  # where the cached property would keep what it compiled
        return replace(step, test=watched)

    def _add(self, test: Expression, places: Sequence[Place]) -> None:
        self._of[id(test)] = (test, places)
        for place, text in zip(places, test.leaves, strict=True):
            self.leaves.setdefault((place, text), Seen())

    def _note(self, test: Expression, scope: Scope, senses: Senses) -> None:
        found: Sequence[Leaf] = test.explain(scope, senses)
        for place, leaf in zip(self._of[id(test)][1], found, strict=True):
            seen = self.leaves[place, leaf.text]
            if leaf.holds:
                seen.true += 1
            else:
                seen.false += 1

    def _file(self, rule: Rule, path: str = "") -> "_File":
        path = path or rule.place.path
        if path not in self._places:
            self._places[path] = _File.read(path)
        return self._places[path]


@dataclass(frozen=True, slots=True)
class _File:
    """A rule file, for the places of the leaves in it.

    Attributes:
        rules: The rules by the place of their id.
        tests: What stands under ``if``, by the place of that key.
    """

    rules: Mapping[Place, Node]
    tests: Mapping[Place, Node]

    @classmethod
    def read(cls, path: str) -> "_File":
        """Return the file, which was loaded before."""
        root, _problems = load(path, Path(path).read_bytes())
        nodes = [] if root is None else [node for node in nodes_of(root) if node.kind is Kind.MAP]
        rules = {node.entries["id"].value.place: node for node in nodes if "id" in node.entries}
        tests = (node.entries["if"] for node in nodes if "if" in node.entries)
        return cls(rules, {entry.key.place: entry.value for entry in tests})

    def when(self, rule: Rule) -> Sequence[Place]:
        """Return where each leaf of the rule's condition stands."""
        node = self.rules.get(rule.place)
        condition = None if node is None else node.get("when")
        return _places_of(rule.when, condition, rule.place)

    def test(self, step: Branch) -> Sequence[Place]:
        """Return where each leaf of a step's condition stands."""
        return _places_of(step.test, self.tests.get(step.place), step.place)


def _places_of(test: Expression | None, node: Node | None, fallback: Place) -> Sequence[Place]:
    """Return where each leaf of a condition stands; several conditions were joined by ``and``."""
    if test is None:
        return ()
    offsets = [leaf.at for leaf in leaves(test.tree)]
    if node is None:
        return [fallback] * len(offsets)
    return [_place_at(node, offset) for offset in offsets]


def _place_at(node: Node, offset: int) -> Place:
    """Return where the character at an offset of the condition stands in the file."""
    if len(node.items) == 1:
        return _place_at(node.items[0], offset)
    for item in node.items:
        if offset <= len(item.raw) + 1:
            return _place_at(item, offset - 1)
        offset -= len(f"({item.raw}) and ")
    before = node.raw[:offset]
    return node.place_at(before.count("\n"), offset - (before.rfind("\n") + 1))


def _lacks(seen: Seen) -> str:
    if not seen.true and not seen.false:
        return "never asked"
    return "never false" if seen.true else "never true"


def _is_started(rule: Rule, event: Event) -> bool:
    return rule.enabled and any(trigger_holds(trigger, event) for trigger in rule.triggers)


def _look(event: Event, house: House) -> tuple[Scope, Moment]:
    """Return what rules see of an event that was just decided about."""
    key, now = event.session_key, house.clock.now()
    entry = None if key is None else house.table.get(key)
    gws = house.gws.get(event.agent)
    agent = AgentFacts(event.agent) if gws is None else gws.facts
    around = house.flow.view.around
    scope = scope_of(event, event.session, entry, agent=agent, bot=around.bot, now=now)
    texts = () if entry is None else entry.said
    return scope, Moment(now, around, texts, acted_in(house, key))


def acted_in(house: House, key: SessionKey | None) -> frozenset[str]:
    """Return the rules that have acted once in a session, as far as somebody asked."""
    if key is None:
        return frozenset()
    scope = f"session {key.agent}/{key.session_id}"
    rule_ids = (rule.id for rule in house.book.rules)
    return frozenset(rule_id for rule_id in rule_ids if house.once.is_set(rule_id, scope))
