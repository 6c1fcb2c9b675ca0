"""Runs a checked tree, in two ways that agree: by one Python code object, and step by step.

The code object is for speed: it is what an author would have written by hand, with ``.get`` where
something may be missing. When it meets what no check could foresee (a list where text was due), it
hands over to the step by step way, which is the definition of the language and explains itself.
"""

import operator
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from imbot.rulebook.functions import Asks
from imbot.rulebook.scope import MISSING, Scope, Senses
from imbot.rulebook.tree import (
    Apply,
    Choice,
    Compare,
    Const,
    Item,
    Items,
    Junction,
    Not,
    Path,
    Tree,
)

Run: TypeAlias = Callable[[Scope, Senses], Any]


class MissingValueError(Exception):
    """A value that must be there is missing; carries the offset and what it is called."""

    def __init__(self, at: int, shown: str) -> None:
        self.at = at
        self.shown = shown
        super().__init__(shown)


def item(container: object, step: object) -> Any:  # noqa: ANN401  rule values are of any type
    """Return what ``step`` leads to, or ``MISSING``."""
    try:
        if isinstance(container, (dict, Mapping)):
            return container.get(step, MISSING)
        if isinstance(container, list | tuple) and type(step) is int:
            return container[step]
    except (TypeError, IndexError):
        pass
    return MISSING


def within(value: object, container: object) -> bool:
    """Whether ``value`` is in a list, text or map."""
    if value is MISSING or not isinstance(container, str | list | tuple | Mapping):
        return False
    try:
        return value in container
    except TypeError:
        return False


def outside(value: object, container: object) -> bool:
    """Whether ``value`` could be in ``container`` and is not."""
    if value is MISSING or not isinstance(container, str | list | tuple | Mapping):
        return False
    try:
        return value not in container
    except TypeError:
        return False


def listed(*values: object) -> list[object]:
    """Return a list of those values that are there."""
    return [value for value in values if value is not MISSING]


def needed(value: object, at: int, shown: str) -> object:
    """Return ``value``.

    Raises:
        MissingValueError: It is missing.
    """
    if value is MISSING:
        raise MissingValueError(at, shown)
    return value


_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType(
    {
        "==": operator.eq,
        "!=": operator.ne,
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
        "in": within,
        "not in": outside,
    }
)
_ASKED = {Asks.NOTHING: "", Asks.SCOPE: "scope, ", Asks.SENSES: "senses, "}


def evaluate(  # noqa: C901, PLR0911  one case per node
    node: Tree, scope: Scope, senses: Senses, *, strict: bool = False
) -> Any:  # noqa: ANN401  rule values are of any type
    """Return the value of a checked tree, or ``MISSING``: the definition of the language.

    Raises:
        MissingValueError: ``strict``, and a value that it takes is missing.
    """

    def value_of(part: Tree) -> Any:  # noqa: ANN401  rule values are of any type
        return evaluate(part, scope, senses, strict=strict)

    match node:
        case Const(value=value):
            return value
        case Path(steps=steps):
            value = scope
            for step in steps:
                value = item(value, step)
        case Item(of=of, index=index):
            value = item(evaluate(of, scope, senses), value_of(index))
        case Apply():
            value = _apply(node, scope, senses, strict=strict)
        case Compare(first=first, rest=rest):
            return _compare(value_of(first), ((op, value_of(operand)) for op, operand in rest))
        case Junction():
            return _junction(node, value_of)
        case Not(of=of):
            return not value_of(of)
        case Choice(test=test, then=then, otherwise=otherwise):
            return value_of(then if value_of(test) else otherwise)
        case Items(items=items):
            return listed(*map(value_of, items))
        case _:
            raise TypeError(f"unchecked {type(node).__name__}")
    return needed(value, node.at, named(node)) if strict else value


def _apply(node: Apply, scope: Scope, senses: Senses, *, strict: bool) -> Any:  # noqa: ANN401  as above
    function = node.function
    strict = strict and not function.lenient
    args = [evaluate(arg, scope, senses, strict=strict) for arg in node.args]
    match function.asks:
        case Asks.SCOPE:
            return function.run(scope, *args)
        case Asks.SENSES:
            return function.run(senses, *args)
        case _:
            return function.run(*args)


def _compare(left: object, rest: Iterable[tuple[str, object]]) -> bool:
    for op, right in rest:
        try:
            if not _COMPARE[op](left, right):
                return False
        except TypeError:
            return False
        left = right
    return True


def _junction(node: Junction, value_of: Callable[[Tree], Any]) -> Any:  # noqa: ANN401  as above
    value: Any = MISSING
    for part in node.parts:
        value = value_of(part)
        if bool(value) is not node.is_and:
            break
    return bool(value) if node.as_bool else value


def named(node: Tree) -> str:
    """Return what a value is called when it is missing."""
    match node:
        case Path():
            return str(node)
        case Item(of=of):
            return f"an item of {named(of)}"
        case Apply(function=function, args=(first, *_)) if function.lenient:
            return named(first)
        case Apply(function=function):
            return f"what {function.name} gives"
        case _:
            return "a value"


def compile_value(node: Tree, *, strict: bool = False) -> Run:
    """Return a function that gives what :func:`evaluate` gives, faster."""
    return _compiled(node, "{}", strict=strict)


def compile_test(node: Tree) -> Run:
    """Return a function that tells whether the value holds."""
    return _compiled(node, "True if {} else False", strict=False)


_FUNCTION = """
def run(scope, senses):
    try:
        return {code}
    except (AttributeError, TypeError):
        return {careful}
"""


def _compiled(node: Tree, form: str, *, strict: bool) -> Run:
    """Return the function whose value is ``form`` with the code of ``node`` in its place."""
    writer = _Writer()
    code = form.format(writer.code(node, strict=strict))
    careful = form.format("evaluate(node, scope, senses, strict=strict)")
    names = {**writer.names, "node": node, "strict": strict, "evaluate": evaluate}
    source = _FUNCTION.format(code=code, careful=careful)
    # Written by _Writer from a checked tree: literals are repr(), all else are names given here.
    exec(compile(source, "<rule>", "exec"), names)  # noqa: S102
    run: Run = names["run"]
    return run


class _Writer:
    """Writes a tree as Python; ``names`` is what the code needs beside scope and senses."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {
            "__builtins__": {},
            "item": item,
            "within": within,
            "outside": outside,
            "listed": listed,
            "needed": needed,
            "bool": bool,
            "AttributeError": AttributeError,
            "TypeError": TypeError,
            "MISSING": MISSING,
            "NONE": {},
        }

    def code(self, node: Tree, *, strict: bool) -> str:  # noqa: C901, PLR0911  one case per node
        """Return an expression in parentheses, or one that needs none."""
        match node:
            case Const(value=value):
                return self._const(value)
            case Path():
                code = self._path(node)
            case Item(of=of, index=index):
                index_code = self.code(index, strict=strict)
                code = f"item({self.code(of, strict=False)}, {index_code})"
            case Apply():
                code = self._apply(node, strict=strict)
            case Compare(first=first, rest=((("in" | "not in") as op, container),)):
                return self._membership(op, first, container, strict=strict)
            case Compare(first=first, rest=rest):
                tail = "".join(f" {op} {self.code(part, strict=strict)}" for op, part in rest)
                return f"({self.code(first, strict=strict)}{tail})"
            case Junction(is_and=is_and, parts=parts, as_bool=as_bool):
                word = " and " if is_and else " or "
                joined = word.join(self.code(part, strict=strict) for part in parts)
                return f"{'bool' if as_bool else ''}({joined})"
            case Not(of=of):
                return f"(not {self.code(of, strict=strict)})"
            case Choice(test=test, then=then, otherwise=otherwise):
                three = (self.code(part, strict=strict) for part in (then, test, otherwise))
                return "({} if {} else {})".format(*three)
            case Items(items=items):
                return f"listed({', '.join(self.code(part, strict=strict) for part in items)})"
            case _:
                raise TypeError(f"unchecked {type(node).__name__}")
        return f"needed({code}, {node.at}, {named(node)!r})" if strict else code

    def _const(self, value: object) -> str:
        if value is None or isinstance(value, str | int | float):
            return repr(value)
        return self._name(value)

    def _name(self, value: object) -> str:
        name = f"k{len(self.names)}"
        self.names[name] = value
        return name

    def _path(self, node: Path) -> str:
        """Return ``scope.get("session", NONE).get("state", MISSING)`` and the like."""
        code = "scope"
        for depth, step in enumerate(node.steps):
            if depth <= node.maps:
                otherwise = "NONE" if depth < node.maps else "MISSING"
                code = f"{code}.get({step!r}, {otherwise})"
            else:
                code = f"item({code}, {step!r})"
        return code

    def _apply(self, node: Apply, *, strict: bool) -> str:
        function = node.function
        strict = strict and not function.lenient
        args = ", ".join(self.code(arg, strict=strict) for arg in node.args)
        return f"{self._name(function.run)}({_ASKED[function.asks]}{args})"

    def _membership(self, op: str, first: Tree, container: Tree, *, strict: bool) -> str:
        value = self.code(first, strict=strict)
        match container:
            case Items(items=items) if all(isinstance(each, Const) for each in items):
                words = self._name(
                    frozenset(each.value for each in items if isinstance(each, Const))
                )
                if op == "in":
                    return f"({value} in {words})"
                kept = f"t{len(self.names)}"
                self.names[kept] = None
                return f"(({kept} := {value}) is not MISSING and {kept} not in {words})"
            case _:
                call = "within" if op == "in" else "outside"
                return f"{call}({value}, {self.code(container, strict=strict)})"
