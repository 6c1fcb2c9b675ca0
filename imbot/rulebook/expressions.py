"""Conditions: a typed subset of Python expressions, checked and compiled once.

The only way from text to an :class:`Expression` is :func:`parse`, which reports every mistake with
its place. An expression sees a scope and the senses, and nothing else.
"""

from dataclasses import dataclass, field
from functools import cached_property

from imbot.problems import Problem
from imbot.rulebook.compiler import Run, compile_test, compile_value, evaluate
from imbot.rulebook.facts import Fact, facts_of
from imbot.rulebook.functions import SECRET, Role
from imbot.rulebook.scope import Known, Names, Scope, Senses, Type
from imbot.rulebook.syntax import NotInLanguageError, PlaceOf, Source, read_condition
from imbot.rulebook.tree import Apply, Const, Item, Items, Path, Tree, leaves, parts_of, walk
from imbot.rulebook.typecheck import Checker


@dataclass(frozen=True, slots=True)
class Leaf:
    """A part of a condition that is true or false by itself, and why.

    Attributes:
        text: As its author wrote it.
        holds: Whether it holds.
        operands: What it looked at, as written, with the values; ``MISSING`` prints ``<missing>``.
    """

    text: str
    holds: bool
    operands: tuple[tuple[str, object], ...]


@dataclass(frozen=True)
class Expression:
    """A checked expression. Equal text at another place is another expression.

    Attributes:
        source: As its author wrote it.
        tree: What it means.
        type: What its value is, as far as it can be told at load.
    """

    source: str
    tree: Tree = field(repr=False)
    type: Type = field(repr=False)

    # Cached, and so not slotted: a rulebook of thousands compiles what its events reach.

    @cached_property
    def holds(self) -> Run:
        """``holds(scope, senses)``: whether the value is there and not false, 0, none or empty."""
        return compile_test(self.tree)

    @cached_property
    def value(self) -> Run:
        """``value(scope, senses)``: the value, or ``MISSING``."""
        return compile_value(self.tree)

    @cached_property
    def tests(self) -> tuple[Fact, ...]:
        """The facts that together are the same as that it holds."""
        return facts_of(self.tree)

    @cached_property
    def leaves(self) -> tuple[str, ...]:
        """Its leaves as written, in the order of :meth:`explain`."""
        return tuple(self._text(leaf) for leaf in leaves(self.tree))

    @cached_property
    def names_used(self) -> frozenset[str]:
        """The names it looks at, ``session`` also where a function does."""
        return names_used(self.tree)

    @cached_property
    def secrets_used(self) -> frozenset[str]:
        """The secrets it asks for."""
        return secrets_used(self.tree)

    @cached_property
    def calendars_used(self) -> frozenset[str]:
        """The calendars it asks."""
        return calendars_used(self.tree)

    def explain(self, scope: Scope, senses: Senses) -> tuple[Leaf, ...]:
        """Return each leaf, whether it holds, and the values it looked at."""
        return tuple(
            Leaf(
                self._text(leaf),
                bool(evaluate(leaf, scope, senses)),
                tuple(
                    (self._text(part), evaluate(part, scope, senses))
                    for part in walk(leaf)
                    if isinstance(part, Path | Item) or (isinstance(part, Apply) and part != leaf)
                ),
            )
            for leaf in leaves(self.tree)
        )

    def _text(self, node: Tree) -> str:
        return " ".join(self.source[node.at : node.end].split())


def parse(
    source: str, place: PlaceOf, names: Names, known: Known
) -> tuple[Expression | None, tuple[Problem, ...]]:
    """Return the expression, or None and every mistake in it.

    Args:
        source: As its author wrote it.
        place: Maps (line offset, column offset) in ``source``, from 0, to the place in the file.
        names: What it may look at.
        known: What else it may name.
    """
    text = Source(source, place)
    try:
        tree = read_condition(text)
    except NotInLanguageError as refusal:
        return None, (refusal.problem,)
    checker = Checker(text, names, known)
    checked, type_ = checker.check(tree)
    if checker.problems:
        return None, tuple(checker.problems)
    return Expression(source, checked, type_), ()


def names_used(tree: Tree) -> frozenset[str]:
    """Return the names that a checked tree looks at."""
    names = {str(node.steps[0]) for node in walk(tree) if isinstance(node, Path)}
    if any(isinstance(node, Apply) and node.function.session for node in walk(tree)):
        names.add("session")
    return frozenset(names)


def names_needed(tree: Tree) -> frozenset[str]:
    """Return the names without which a checked tree of a template surely has no value."""
    match tree:
        case Path(steps=(name, *_)):
            return frozenset({str(name)})
        case Apply(function=function, args=args) if function.lenient:
            return frozenset().union(*map(names_needed, args[1:]))
        case Apply() | Item() | Items():
            return frozenset().union(*map(names_needed, parts_of(tree)))
        case _:  # a condition holds or does not, and a choice looks at one side only
            return frozenset()


def secrets_used(tree: Tree) -> frozenset[str]:
    """Return the secrets that a checked tree asks for."""
    return frozenset(
        str(arg.value)
        for node in walk(tree)
        if isinstance(node, Apply) and node.function is SECRET
        for arg in node.args
        if isinstance(arg, Const)
    )


def calendars_used(tree: Tree) -> frozenset[str]:
    """Return the calendars that a checked tree asks."""
    return frozenset(
        arg.value
        for node in walk(tree)
        if isinstance(node, Apply)
        for arg, parameter in zip(node.args, node.function.parameters, strict=True)
        if parameter.role in (Role.CALENDAR, Role.ZONE)
        and isinstance(arg, Const)
        and isinstance(arg.value, str)
    )
