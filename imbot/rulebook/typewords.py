"""What a mistake in an expression is called, and what is known of values side by side."""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from imbot.rulebook.functions import Function, Parameter
from imbot.rulebook.scope import ANY, Kind, Type
from imbot.rulebook.tree import Call, Const, Form, Path, Tree

#: What other languages call a function.
OTHER_LANGUAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "int": "number",
        "float": "number",
        "any": "any_of",
        "all": "all_of",
        "length": "len",
        "size": "len",
        "trim": "strip",
        "regex": "matches",
        "search": "matches",
        "match": "matches",
    }
)


def type_below(above: Type, step: object) -> Type | None:
    """Return the type of what ``step`` leads to, or None if it leads nowhere."""
    match above.kind, step:
        case _, bool():
            return None
        case Kind.ANY, (str() | int()):
            return ANY
        case Kind.MAP, str():
            return above.of_field(step)
        case Kind.LIST, int():
            return above.of_item
        case _:
            return None


def common(types: Iterable[Type]) -> Type:
    """Return the type that all of them are, as far as it can be told."""
    seen = list(types)
    if not seen or any(type_.kind is not seen[0].kind for type_ in seen):
        return ANY
    return seen[0] if all(type_ == seen[0] for type_ in seen) else Type(seen[0].kind)


def by(kinds: Collection[str]) -> str:
    """Return the cure for what only other triggers supply, and none in a block."""
    if not kinds:
        return "make it an input, and give it at the call"
    return f"only a trigger of kind {' or '.join(sorted(kinds))} does"


def shown(node: Tree) -> str:
    """Return a node as its author may have written it."""
    match node:
        case Const(value=value):
            return repr(value)
        case Path():
            return str(node)
        case _:
            return "this"


def count(node: Call, function: Function) -> str:
    """Return how many arguments are due and given."""
    most, least = len(function.parameters), function.required
    # The input of a filter or test is written before it, not between its parentheses.
    shift = 0 if node.form is Form.FUNCTION else 1
    due = f"{least - shift}" if most == least else f"{least - shift} to {most - shift}"
    return f"{node.name} takes {due} arguments, not {len(node.args) + len(node.keywords) - shift}"


def usage(node: Call, function: Function) -> str:
    """Return how a call is written rightly."""
    names = [parameter.name for parameter in function.parameters]
    if node.form is Form.FUNCTION:
        return f"write {node.name}({', '.join(names)})"
    return f"write {node.name}({', '.join(names[1:])})" if names[1:] else ""


def conversion(parameter: Parameter, type_: Type, shown: str) -> str:
    """Return how a value of another type is written, if it only wants quotes."""
    if Kind.TEXT in parameter.takes and type_.kind is Kind.NUMBER:
        return f'write it in quotes: "{shown}"'
    return ""
