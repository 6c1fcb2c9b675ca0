"""Tables of functions, filters and tests: what each takes and gives."""

from collections.abc import Iterable, Iterator
from typing import Final

from docs.generator.markdown import noun, table
from docs.generator.names import word
from imbot.rulebook.functions import REQUIRED, Function, Parameter, Role
from imbot.rulebook.scope import Kind

#: What an argument names, where it must be written out.
_ROLES: Final = {
    Role.CAPABILITY: "a capability",
    Role.CALENDAR: "a calendar's name",
    Role.RULE: "a rule's id",
    Role.SECRET: "a secret's name",
    Role.ZONE: "a calendar's name or a time zone",
}
_SCALARS: Final = frozenset({Kind.TEXT, Kind.NUMBER, Kind.BOOL, Kind.MOMENT})
#: What an argument is that is read before anything runs.
_PREPARED: Final = {
    "pattern": "an RE2 pattern",
    "duration": "a duration",
    "format": "a format such as `%H:%M`",
    "country": "two letters",
}


def of_functions(functions: Iterable[Function]) -> Iterator[str]:
    """Yield the table of functions."""
    heads = ("function", "takes", "gives", "meaning", "for example")
    yield from table(heads, (_row(each, _call(each)) for each in functions))


def of_filters(filters: Iterable[Function], *, head: str = "filter") -> Iterator[str]:
    """Yield the table of filters or tests; what stands before them is their first argument."""
    heads = (head, "takes", "gives", "meaning", "for example")
    yield from table(heads, (_row(each, _behind(each)) for each in filters))


def _row(function: Function, call: str) -> tuple[str, ...]:
    takes = "; ".join(dict.fromkeys(map(_taken, function.parameters)))
    told = noun(function.run.__doc__)
    return f"`{call}`", takes, word(function.result), told, f"`{function.example}`"


def _call(function: Function) -> str:
    return f"{function.name}({', '.join(map(_spelled, function.parameters))})"


def _behind(function: Function) -> str:
    more = ", ".join(map(_spelled, function.parameters[1:]))
    return f"{function.name}({more})" if more else function.name


def _spelled(parameter: Parameter) -> str:
    """Return a parameter, with its default where it has one."""
    if parameter.default is REQUIRED or parameter.default is None:
        return parameter.name
    match parameter.default:
        case bool(default):
            return f"{parameter.name}={str(default).lower()}"
        case default:
            return f"{parameter.name}={default!r}"


def _taken(parameter: Parameter) -> str:
    if parameter.role is not None:
        return _ROLES[parameter.role]
    if parameter.prepare is not None:
        return _PREPARED[parameter.name]
    if parameter.takes >= _SCALARS:
        return "any single value"
    kinds = sorted(kind.value for kind in parameter.takes) or [Kind.ANY.value]
    return " or ".join(kinds)
