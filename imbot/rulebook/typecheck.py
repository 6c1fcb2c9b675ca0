"""Names, fields, functions and types: a tree that is fit to be run, or every mistake in it.

Shared by conditions and templates. Nothing here evaluates.
"""

import zoneinfo
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from imbot.problems import Problem, Severity, did_you_mean, nearest
from imbot.rulebook.comparisons import impossible
from imbot.rulebook.functions import (
    FUNCTIONS,
    JUNCTIONS,
    REQUIRED,
    SECRET,
    Function,
    Parameter,
    Role,
)
from imbot.rulebook.scope import (
    ANY,
    BOOL,
    CAPABILITY,
    EVENT_FIELDS,
    STATE,
    Kind,
    Known,
    Names,
    Type,
    list_of,
    type_of,
)
from imbot.rulebook.syntax import Source
from imbot.rulebook.tree import (
    Apply,
    Call,
    Choice,
    Compare,
    Const,
    Field,
    Form,
    Item,
    Items,
    Junction,
    Name,
    Not,
    Path,
    Tree,
)
from imbot.rulebook.typewords import (
    OTHER_LANGUAGES,
    by,
    common,
    conversion,
    count,
    shown,
    type_below,
    usage,
)
from imbot.zones import time_zone

#: What would be right where nothing of that role is known that is nearly so.
_ADD: Mapping[Role, str] = MappingProxyType(
    {
        Role.CAPABILITY: "",
        Role.CALENDAR: "add it under 'calendars'",
        Role.RULE: "write the id of a rule",
        Role.SECRET: "add it to the settings' secrets",
    }
)
#: What the result of a step has that began a session.
_BEGUN = frozenset({"id", "agent"})
#: Stands for what is wrong and was reported; a tree with it in is never run.
_BROKEN = Path(("?",))
_WORDS = (STATE.words or frozenset()) | (CAPABILITY.words or frozenset()) | EVENT_FIELDS.keys()


def _none() -> Mapping[str, Function]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Language:
    """What differs between conditions and templates.

    Attributes:
        filters: What may stand after ``|``.
        tests: What may stand after ``is``.
        secrets: Whether ``secret()`` may stand here.
    """

    filters: Mapping[str, Function] = field(default_factory=_none)
    tests: Mapping[str, Function] = field(default_factory=_none)
    secrets: bool = False

    def of_form(self, form: Form) -> Mapping[str, Function]:
        """Return what may be called in this form, by name."""
        by_form = {Form.FUNCTION: FUNCTIONS, Form.FILTER: self.filters, Form.TEST: self.tests}
        return by_form[form]


CONDITION = Language()


@dataclass(slots=True)
class Checker:
    """Checks one tree after the other and collects what is wrong with them."""

    source: Source
    names: Names
    known: Known
    language: Language = CONDITION
    problems: list[Problem] = field(default_factory=list)

    def check(  # noqa: C901, PLR0911  one case per node
        self, node: Tree
    ) -> tuple[Tree, Type]:
        """Return the tree with its names and functions found, and the type of its value.

        What is wrong is added to ``problems``; it counts as anything, so that one mistake is
        reported once.
        """
        match node:
            case Name():
                return self._name(node)
            case Field(of=of, name=name):
                return self._step(node, of, Const(name, at=node.at, end=node.end))
            case Item(of=of, index=index):
                return self._step(node, of, index)
            case Call():
                return self._call(node)
            case Compare():
                return self._compare(node)
            case Junction():
                return self._junction(node)
            case Not(of=of):
                return replace(node, of=self.check(of)[0]), BOOL
            case Choice():
                return self._choice(node)
            case Items(items=items):
                checked = [self.check(item) for item in items]
                type_ = list_of(common(type_ for _, type_ in checked))
                return replace(node, items=tuple(item for item, _ in checked)), type_
            case Const(value=value):
                return node, type_of(value)
            case _:
                return node, ANY

    def shown(self, node: Tree) -> str:
        """Return a node as its author wrote it, or nearly so."""
        return self.source.text[node.at : node.end] if node.end else shown(node)

    def _add(self, at: int, code: str, what: str, cure: str = "") -> tuple[Tree, Type]:
        self.problems.append(self.source.problem(at, code, what, cure))
        return _BROKEN, ANY

    def _name(self, node: Name) -> tuple[Tree, Type]:
        name = node.name
        if (type_ := self.names.types.get(name)) is not None:
            return Path((name,), at=node.at, end=node.end), type_
        if (kinds := self.names.elsewhere.get(name)) is not None:
            what = f"no trigger of this rule supplies '{name}'"
            if not kinds:
                what = f"a block does not see '{name}'"
            return self._add(node.at, "unknown-name", what, self._cure_of_unsupplied(name, kinds))
        if (place := self.names.binder(name)) is not None:
            what, cure = f"'{name}' is not bound yet", f"use it behind the step at {place}"
            return self._add(node.at, "unknown-name", what, cure)
        if name in FUNCTIONS:
            return self._add(
                node.at, "unknown-name", f"'{name}' is a function", f"call it: {name}(…)"
            )
        if name in _WORDS:
            return self._add(
                node.at,
                "unknown-name",
                f"unknown name '{name}'",
                f'text stands in quotes: "{name}"',
            )
        cure = did_you_mean(name, self.names.types)
        if nearest(name, self.names.types) is None:
            cure = self._cure_of_unknown(name) or f"{cure}; text stands in quotes"
        return self._add(node.at, "unknown-name", f"unknown name '{name}'", cure)

    def _cure_of_unsupplied(self, name: str, kinds: Collection[str]) -> str:
        """Return the cure for a name of other triggers; of a session begun, the result is known."""
        if name != "session" or not kinds:
            return by(kinds)
        for result, type_ in self.names.types.items():
            if type_.fields is not None and type_.fields.keys() == _BEGUN:
                return f"for the session that it begins write {result}.id or {result}.agent"
        return by(kinds)

    def _cure_of_unknown(self, name: str) -> str:
        """Return what helps with a name that is like none that is known; often empty."""
        if name in self.names.constants:
            return f"write vars.{name}"
        if name == "error":
            return "only the steps of an on_error see it"
        if self.names.of_block:
            return f"a block sees nothing that its caller bound: make '{name}' an input"
        return ""

    def _step(self, node: Field | Item, of: Tree, index: Tree) -> tuple[Tree, Type]:
        """Check one step down: a field of a map, or an item of a list."""
        container, above = self.check(of)
        step, step_type = self.check(index)
        if container is _BROKEN or step is _BROKEN:
            return _BROKEN, ANY
        if not isinstance(step, Const):
            return self._open_step(node, (container, above), (step, step_type))
        type_ = type_below(above, step.value)
        if type_ is None:
            at = node.end - len(node.name) if isinstance(node, Field) and node.end else index.at
            return self._add(at, "unknown-field", *self._no_step(container, above, step.value))
        if not isinstance(container, Path):
            return Item(container, step, at=node.at, end=node.end), type_
        surely = above.kind is Kind.MAP and container.maps == len(container.steps) - 1
        path = Path(
            (*container.steps, step.value), container.maps + surely, at=node.at, end=node.end
        )
        return path, type_

    def _open_step(
        self, node: Tree, of: tuple[Tree, Type], index: tuple[Tree, Type]
    ) -> tuple[Tree, Type]:
        """Check a step whose name or number is only known at run time."""
        (container, above), (step, step_type) = of, index
        due = {Kind.MAP: Kind.TEXT, Kind.LIST: Kind.NUMBER}.get(above.kind)
        if above.kind is not Kind.ANY and (due is None or step_type.kind not in {due, Kind.ANY}):
            what = f"{above} has no item '{self.shown(step)}', which is {step_type}"
            return self._add(step.at, "unknown-field", what)
        return Item(container, step, at=node.at, end=node.end), above.of_item

    def _no_step(self, container: Tree, above: Type, step: object) -> tuple[str, str]:
        """Return what is wrong with a step that leads nowhere, and the cure."""
        owner = self.shown(container)
        if above.fields is not None and isinstance(step, str):
            if (kinds := self.names.elsewhere.get(f"{owner}.{step}")) is not None:
                return f"no trigger of this rule supplies '{owner}.{step}'", by(kinds)
            return f"'{owner}' has no field '{step}'", did_you_mean(step, above.fields)
        if above.kind is Kind.LIST:
            return (
                f"'{owner}' is a list and has no field '{step}'",
                f"write {owner}[0] for the first",
            )
        return f"'{owner}' is {above} and has nothing below it", ""

    def _call(self, node: Call) -> tuple[Tree, Type]:
        if node.form is Form.FUNCTION and node.name in JUNCTIONS:
            return self._any_or_all(node)
        function = self.language.of_form(node.form).get(node.name)
        if node.form is Form.FUNCTION and node.name == SECRET.name:
            function = SECRET
            if not self.language.secrets:
                what = "secrets stand only in http's url, headers, json and form"
                return self._add(node.at, "misplaced-secret", what)
        if function is None:
            return self._unknown_function(node)
        if function.session and "session" not in self.names.types:
            what = f"{node.name}() is about a session, and no trigger of this rule has one"
            return self._add(node.at, "no-session", what)
        given = self._bound(node, function)
        if given is None:
            return _BROKEN, ANY
        args = tuple(
            self._argument(arg, parameter, node)
            for arg, parameter in zip(given, function.parameters, strict=True)
        )
        return Apply(function, args, at=node.at, end=node.end), function.result

    def _any_or_all(self, node: Call) -> tuple[Tree, Type]:
        if node.keywords or not node.args:
            what = f"{node.name}() takes conditions"
            return self._add(node.at, "bad-call", what, f"write {node.name}(…, …)")
        if (listed := next((arg for arg in node.args if isinstance(arg, Items)), None)) is not None:
            what = f"{node.name}() takes conditions, not a list of them"
            return self._add(listed.at, "bad-call", what, "leave the brackets out")
        parts = Junction(JUNCTIONS[node.name], node.args, as_bool=True, at=node.at, end=node.end)
        return self._junction(parts)

    def _unknown_function(self, node: Call) -> tuple[Tree, Type]:
        for arg in node.args:
            self.check(arg)
        known = set(self.language.of_form(node.form))
        if node.form is Form.FUNCTION:
            known |= JUNCTIONS.keys()
        other = OTHER_LANGUAGES.get(node.name)
        if other in known and node.name not in known and nearest(node.name, known) != node.name:
            cure = f"did you mean '{other}'?"
        else:
            cure = did_you_mean(node.name, known)
        return self._add(
            node.at, f"unknown-{node.form}", f"unknown {node.form} '{node.name}'", cure
        )

    def _bound(self, node: Call, function: Function) -> list[Tree] | None:
        """Return one argument per parameter, or None after saying what is wrong."""
        parameters = function.parameters
        positions = {parameter.name: place for place, parameter in enumerate(parameters)}
        given = dict(enumerate(node.args))
        for keyword, value in node.keywords:
            place = positions.get(keyword)
            if place is None or place in given:
                cure = did_you_mean(keyword, positions)
                at = self.source.text.rfind(keyword, 0, value.at)
                self._add(at, "bad-call", f"{node.name} has no argument '{keyword}'", cure)
                return None
            given[place] = value
        missing = [
            p.name for i, p in enumerate(parameters) if p.default is REQUIRED and i not in given
        ]
        if missing or len(node.args) > len(parameters):
            self._add(node.at, "bad-call", count(node, function), usage(node, function))
            return None
        return [given.get(i, Const(p.default, at=node.at)) for i, p in enumerate(parameters)]

    def _argument(self, arg: Tree, parameter: Parameter, call: Call) -> Tree:
        checked, type_ = self.check(arg)
        if parameter.takes and type_.kind not in parameter.takes | {Kind.ANY}:
            if isinstance(checked, Const) and checked.value == parameter.default:
                return checked
            due = " or ".join(sorted(kind.value for kind in parameter.takes))
            what = f"{call.name} takes {due} as {parameter.name}, not {type_}"
            self._add(arg.at, "bad-call", what, conversion(parameter, type_, self.shown(arg)))
            return checked
        if checked is _BROKEN or (parameter.role is None and parameter.prepare is None):
            return checked
        return self._literal(checked, parameter, call)

    def _literal(self, node: Tree, parameter: Parameter, call: Call) -> Tree:
        """Check an argument that must be known at load, and make it ready."""
        node = self._constant(node)
        if not isinstance(node, Const):
            what = f"the {parameter.name} of {call.name} must be known at load"
            self._add(node.at, "not-literal", what, "write it in quotes, or as a constant of vars")
            return node
        if node.value is None or node.value is parameter.default:
            return node
        if parameter.role is Role.ZONE:
            return self._zone(node, str(node.value))
        if parameter.role is not None:
            self._known_word(node.at, parameter.role, str(node.value))
        if parameter.prepare is None:
            return node
        try:
            return replace(node, value=parameter.prepare(node.value))
        except ValueError as error:
            what, _, cure = str(error).partition("; ")
            self._add(node.at, f"bad-{parameter.name}", what, cure)
            return node

    def _constant(self, node: Tree) -> Tree:
        """Return a constant of ``vars`` as a literal; anything else as it is."""
        match node:
            case Path(steps=("vars", str(name))) if isinstance(self.names.constants.get(name), str):
                return Const(self.names.constants[name], at=node.at, end=node.end)
            case _:
                return node

    def _known_word(self, at: int, role: Role, word: str) -> None:
        words = {
            Role.CAPABILITY: CAPABILITY.words,
            Role.CALENDAR: self.known.calendars,
            Role.RULE: self.known.rules,
            Role.SECRET: self.known.secrets,
        }[role]
        if words is None or word in words:
            return
        what = f"unknown {role} '{word}'"
        cure = did_you_mean(word, words) or _ADD[role]
        self._add(at, f"unknown-{role.name.lower()}", what, cure)
        if role is Role.SECRET and not self.known.secrets_are_all:
            self.problems[-1] = replace(self.problems[-1], severity=Severity.WARNING)

    def _zone(self, node: Const, name: str) -> Tree:
        """Return a calendar's name as it is, and a time zone's name as the zone."""
        calendars = self.known.calendars or frozenset()
        if name in calendars:
            return node
        try:
            return replace(node, value=time_zone(name))
        except ValueError:
            if self.known.calendars is None:
                return node
            candidates = calendars | zoneinfo.available_timezones()
            near = nearest(name, candidates)
            cure = (
                f"did you mean '{near}'?" if near else "write a calendar, or such as Europe/Berlin"
            )
            return self._add(node.at, "unknown-zone", f"no calendar or time zone '{name}'", cure)[0]

    def _compare(self, node: Compare) -> tuple[Tree, Type]:
        first, left_type = self.check(node.first)
        left, rest = first, []
        for op, operand in node.rest:
            right, right_type = self.check(operand)
            shown = self.shown(left), self.shown(right)
            found = impossible(op, (left, left_type), (right, right_type), shown)
            for culprit, what, cure in found:
                self._add(culprit.at, "impossible-comparison", what, cure)
            rest.append((op, right))
            left, left_type = right, right_type
        return replace(node, first=first, rest=tuple(rest)), BOOL

    def _junction(self, node: Junction) -> tuple[Tree, Type]:
        checked = [self.check(part) for part in node.parts]
        types = [type_ for _, type_ in checked]
        for (part, type_), (_, before) in zip(checked[1:], checked, strict=False):
            if isinstance(part, Const) and type_.kind is not Kind.BOOL and before.kind is Kind.BOOL:
                shown = self.shown(part)
                cure = f"write the whole comparison again, or: in [ …, {shown}]"
                self._add(part.at, "constant-condition", f"{shown} by itself is no condition", cure)
        type_ = BOOL if node.as_bool else common(types)
        return replace(node, parts=tuple(part for part, _ in checked)), type_

    def _choice(self, node: Choice) -> tuple[Tree, Type]:
        test, _ = self.check(node.test)
        then, then_type = self.check(node.then)
        otherwise, other_type = self.check(node.otherwise)
        type_ = common((then_type, other_type))
        return replace(node, test=test, then=then, otherwise=otherwise), type_
