"""The page of the standard plugins: every action with its arguments and its result."""

from collections.abc import Iterator
from typing import Any

from pydantic import RootModel

from docs.generator import models
from docs.generator.examples import shown
from docs.generator.markdown import contents, prose, table
from imbot.durations import format_duration
from imbot.plugin import Action
from imbot.pluginhost import Found, PluginSettings, find_plugins


def page() -> Iterator[str]:
    """Yield every action of the standard plugins."""
    plugins = find_plugins(PluginSettings(), with_options=False).found
    yield from contents(f"`{action.name}`" for found in plugins for action in found.actions)
    for found in plugins:
        yield from _plugin(found)


def _plugin(found: Found) -> Iterator[str]:
    yield from (f"## Plugin `{found.name}`", "")
    if found.plugin is not None and found.plugin.options is not None:
        yield from (f"Options, under `plugins.options.{found.name}` in the settings:", "")
        rows = models.rows(found.plugin.options)
        yield from table(("option", "type", "default", "meaning"), rows)
    for action in found.actions:
        yield from _action(action)


def _action(action: Action[Any]) -> Iterator[str]:
    yield from (f"### `{action.name}`", "", prose(action.summary), "")
    needs = f" It needs `{action.needs}`." if action.needs else ""
    yield f"{_repeatable(action)} It may take {format_duration(action.deadline_s)}.{needs}"
    yield ""
    yield from (prose(action.args.__doc__), "")
    if not issubclass(action.args, RootModel):
        rows = models.rows(action.args)
        yield from table(("argument", "type", "default", "meaning"), rows)
    if action.result is not None:
        yield from (prose(action.result.__doc__), "")
        told = ((name, kind, meaning) for name, kind, _, meaning in models.rows(action.result))
        yield from table(("result", "type", "meaning"), told)
    yield from shown("action", action.name)


def _repeatable(action: Action[Any]) -> str:
    try:
        is_repeatable = action.repeatable(None)
    except AttributeError:
        return "Whether it may be repeated depends on its arguments."
    return "It may be repeated." if is_repeatable else "It is never repeated blindly."
