"""The page of steps: those of the language, what may stand beside a step, and the actions."""

from collections.abc import Iterator
from typing import Final

from docs.generator import schemas
from docs.generator.examples import shown
from docs.generator.keys import HEADS, keys, kind, told
from docs.generator.markdown import anchor, contents, prose, table
from imbot.pluginhost import PluginSettings, find_plugins
from imbot.rulebook.stepkeys import LANGUAGE
from imbot.rulebook.values import STEP_OPTIONS
from imbot.schemas.parts import Schema

#: In the order in which they are written.
_BRANCHES: Final = ("then", "else")
#: What may stand beside every step.
_EVERYWHERE: Final = frozenset({"name", "enabled"})


def page() -> Iterator[str]:
    """Yield every step."""
    parts = schemas.of_rules()["definitions"]["step"]["properties"]
    yield from contents(("Actions", *(f"`{name}`" for name in LANGUAGE), "Beside a step"))
    yield from ("## Actions", "")
    yield from _actions()
    for name in LANGUAGE:
        yield from _step(name, parts)
    yield from ("## Beside a step", "")
    rows = (_option(name, parts) for name in parts if name in STEP_OPTIONS)
    yield from table(("key", "stands beside", *HEADS[1:]), rows)
    yield from keys(parts["retry"], head="key of `retry`")
    yield from shown("step", "options")


def _actions() -> Iterator[str]:
    found = find_plugins(PluginSettings(), with_options=False)
    rows = (
        (f"[`{name}`](plugins.md#{anchor(name)})", prose(action.summary), plugin.name)
        for plugin in found.found
        for name, action in ((each.name, each) for each in plugin.actions)
    )
    yield from table(("action", "what it does", "plugin"), rows)


def _step(name: str, parts: Schema) -> Iterator[str]:
    """Yield a step of the language."""
    part = parts[name]
    yield from (f"## `{name}`", "", told(part)[0], "")
    if "properties" in part:
        yield from keys(part, head=f"key of `{name}`")
    else:
        yield from (f"It takes: {kind(part)}.", "")
    if name == "if":
        rows = ((f"`{each}`", kind(parts[each]), told(parts[each])[0]) for each in _BRANCHES)
        yield from table(("beside it", "type", "meaning"), rows)
    yield from shown("step", name)


def _option(name: str, parts: Schema) -> tuple[str, ...]:
    """Return the row of what may stand beside steps."""
    of_language = [f"`{step}`" for step, options in LANGUAGE.items() if name in options]
    beside = ", ".join(("actions", *of_language)) if name not in _EVERYWHERE else "every step"
    meaning, default = told(parts[name])
    return f"`{name}`", beside, kind(parts[name]), default, meaning
