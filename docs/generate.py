"""Writes what docs/reference says of settings, plugins and commands from the code itself.

``python docs/generate.py`` replaces what stands between the marks, and writes the JSON Schemas that
the shipped YAML names; tests keep both in step.
"""  # noqa: INP001  a script, not a package

from collections.abc import Callable, Iterator, Sequence
from inspect import Parameter, signature
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel, RootModel, SecretStr
from pydantic.fields import FieldInfo
from typer.models import ArgumentInfo

from imbot.cli.root import cli
from imbot.cli.schema import schemas, spelled
from imbot.durations import format_duration
from imbot.plugin import Action
from imbot.pluginhost import Found, PluginSettings, find_plugins
from imbot.settings import AgentPart, AuthPart, Settings

REFERENCE = Path(__file__).parent / "reference"
ROOT = REFERENCE.parents[1]
#: Folders of schemas: for the standard plugins, and for an example that has one of its own.
SCHEMAS = {
    ROOT / "docs" / "schema": PluginSettings(),
    ROOT / "examples/04-own-plugin/schema": PluginSettings(
        paths=(ROOT / "examples/04-own-plugin/src",)
    ),
}
BEGIN = "<!-- written by docs/generate.py: begin -->"
END = "<!-- written by docs/generate.py: end -->"

_WORDS: dict[object, str] = {
    str: "text",
    int: "whole number",
    float: "duration",
    bool: "true or false",
    Path: "path",
    SecretStr: "secret",
    Any: "anything",
}


def main() -> None:
    """Write every page anew."""
    for name, lines in PAGES.items():
        page = REFERENCE / name
        page.write_text(filled(page.read_text(), lines()))
    for path, text in schema_files():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def filled(page: str, lines: Iterator[str]) -> str:
    """Return a page with these lines between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return "\n".join([f"{before}{BEGIN}", "", *lines, f"{END}{after}"])


# Settings -------------------------------------------------------------------------------------


def settings() -> Iterator[str]:
    """Yield every setting, part by part."""
    yield from _table("setting", _rows(Settings))
    parts = [(name, field.annotation) for name, field in Settings.model_fields.items()]
    parts += [("agents", AgentPart), ("agents[].auth", AuthPart)]
    for name, model in parts:
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from (f"## `{name}`", "", f"{_sentence(model)}", "")
            yield from _table("setting", _rows(model))


def _sentence(model: type[BaseModel]) -> str:
    """Return what a part is, without its own name in front."""
    told = (model.__doc__ or "").partition(": ")[2] or (model.__doc__ or "")
    return _code(told[:1].upper() + told[1:])


# Plugins --------------------------------------------------------------------------------------


def plugins() -> Iterator[str]:
    """Yield every action of the standard plugins."""
    for found in find_plugins(PluginSettings(), with_options=False).found:
        yield from _plugin(found)


def _plugin(found: Found) -> Iterator[str]:
    yield from (f"## Plugin `{found.name}`", "")
    if found.plugin is not None and found.plugin.options is not None:
        yield from (f"Options, under `plugins.options.{found.name}` in the settings:", "")
        yield from _table("option", _rows(found.plugin.options))
    for action in found.actions:
        yield from _action(action)


def _action(action: Action[Any]) -> Iterator[str]:
    yield from (f"### `{action.name}`", "", _code(action.summary), "")
    needs = f" It needs `{action.needs}`." if action.needs else ""
    yield f"{_repeatable(action)} It may take {format_duration(action.deadline_s)}.{needs}"
    yield ""
    yield from (_code(action.args.__doc__ or ""), "")
    if not issubclass(action.args, RootModel):
        yield from _table("argument", _rows(action.args))
    if action.result is not None:
        yield from (_code(action.result.__doc__ or ""), "")
        yield from _table("result", _rows(action.result), has_default=False)


def _repeatable(action: Action[Any]) -> str:
    try:
        is_repeatable = action.repeatable(None)
    except AttributeError:
        return "Whether it may be repeated depends on its arguments."
    return "It may be repeated." if is_repeatable else "It is never repeated blindly."


# Commands -------------------------------------------------------------------------------------


def commands() -> Iterator[str]:
    """Yield every command with its arguments and options."""
    for command in cli.registered_commands:
        callback = cast("Callable[..., None]", command.callback)
        yield from (f"## `imbot {command.name or callback.__name__}`", "")
        yield from (_code(callback.__doc__ or ""), "")
        rows = [_parameter(each) for each in signature(callback).parameters.values()]
        if rows:
            yield from _table("argument or option", rows)


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
    return name, _kind(due).replace("duration", "seconds"), default, told.help or ""


#: What stands between the marks of each page.
PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "settings.md": settings,
    "plugins.md": plugins,
    "cli.md": commands,
}


# Schemas --------------------------------------------------------------------------------------


def schema_files() -> Iterator[tuple[Path, str]]:
    """Yield each file of a schema, and what it holds."""
    for folder, plugins in SCHEMAS.items():
        for name, schema in schemas(find_plugins(plugins, with_options=False)).items():
            yield folder / f"{name}.json", spelled(schema)


# Tables ---------------------------------------------------------------------------------------


def _table(
    what: str, rows: Sequence[tuple[str, str, str, str]], *, has_default: bool = True
) -> Iterator[str]:
    """Yield a Markdown table of fields."""
    heads = [what, "type", *(["default"] if has_default else []), "meaning"]
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    for name, kind, default, meaning in rows:
        cells = [name, kind, *([default] if has_default else []), meaning]
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _rows(model: type[BaseModel]) -> list[tuple[str, str, str, str]]:
    return [
        (f"`{field.alias or name}`", _kind(field.annotation), _default(field), _meaning(field))
        for name, field in model.model_fields.items()
    ]


def _kind(due: object) -> str:
    """Return a type in words."""
    origin, args = get_origin(due), get_args(due)
    if origin is Annotated:
        return _kind(args[0])
    if origin in (Union, UnionType):
        return " or ".join(_kind(one) for one in args if one is not NoneType)
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in args)
    if origin in (tuple, list):
        return f"list of {_kind(args[0])}"
    if origin is dict:
        return f"mapping of {_kind(args[1])}"
    return _WORDS.get(due, "section")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if field.annotation is float:
        return f"`{format_duration(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple | list):
        return f"`[{', '.join(map(str, value))}]`"
    if value is None or value in ("", {}) or isinstance(value, BaseModel):
        return ""
    return f"`{value}`"


def _meaning(field: FieldInfo) -> str:
    return _code(field.description or "")


def _code(text: str) -> str:
    """Return a docstring's text as Markdown."""
    return " ".join(text.replace("``", "`").split())


if __name__ == "__main__":
    main()
