"""The page of the command line: every command with its arguments and options."""

from collections.abc import Callable, Iterator
from inspect import Parameter, signature
from typing import cast, get_args

from typer.models import ArgumentInfo, CommandInfo

from docs.generator.markdown import contents, prose, table
from docs.generator.models import kind
from imbot.cli import EXIT_CODES
from imbot.cli.root import cli


def page() -> Iterator[str]:
    """Yield the exit codes, and every command."""
    names = [command.name or _function(command).__name__ for command in cli.registered_commands]
    yield from contents(f"`imbot {name}`" for name in names)
    yield from table(("exit code", "means"), ((str(code), EXIT_CODES[code]) for code in EXIT_CODES))
    for name, command in zip(names, cli.registered_commands, strict=True):
        function = _function(command)
        yield from (f"## `imbot {name}`", "", prose(function.__doc__), "")
        rows = [_parameter(each) for each in signature(function).parameters.values()]
        if rows:
            yield from table(("argument or option", "type", "default", "meaning"), rows)


def _function(command: CommandInfo) -> Callable[..., None]:
    return cast("Callable[..., None]", command.callback)


def _parameter(parameter: Parameter) -> tuple[str, str, str, str]:
    """Return the row of what a command takes."""
    due, told = get_args(parameter.annotation)
    spelled = parameter.name.replace("_", "-")
    if isinstance(told, ArgumentInfo):
        words = [spelled.upper()]
    else:
        # What Annotated holds has the first name where a default would stand.
        named = [told.default, *(told.param_decls or ())]
        words = [word for word in named if isinstance(word, str)] or [f"--{spelled}"]
        if parameter.default is True:
            words.append(f"--no-{spelled}")
    name = ", ".join(f"`{word}`" for word in words)
    if due is bool:
        return name, "flag", "on" if parameter.default else "off", told.help or ""
    default = "" if parameter.default in (None, "") else f"`{parameter.default}`"
    if parameter.default is Parameter.empty:
        default = "required"
    return name, kind(due).replace("duration", "seconds"), default, told.help or ""
