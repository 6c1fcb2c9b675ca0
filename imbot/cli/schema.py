"""``imbot schema``: the JSON Schemas with which editors check and complete the files of a bot."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from imbot.cli.output import print_problems
from imbot.cli.settings import load
from imbot.config import DEFAULT_FILE
from imbot.errors import ConfigError
from imbot.loading import plugin_settings
from imbot.model import JSON
from imbot.pluginhost import Plugins, PluginSettings, find_plugins
from imbot.schemas import schema_of_rules, schema_of_settings, schema_of_tests

#: Of which files there is a schema.
SchemaOf: TypeAlias = Literal["rules", "test", "settings"]
NAMES: Final[tuple[SchemaOf, ...]] = get_args(SchemaOf)


def schema(which: SchemaOf | None, folder: Path | None, config: Path | None) -> int:
    """Print a schema, or all by name, or write them into a folder; return 0.

    Args:
        which: Of which files; None for all.
        folder: Where ``rules.json`` and the like are written; None to print.
        config: The settings, for their plugins; the standard ones without settings, or with
            settings that cannot be read, of which standard error tells.
    """
    found = schemas(in_force(config))
    wanted = {name: found[name] for name in NAMES if which in (None, name)}
    if folder is not None:
        for path in write_schemas(wanted, folder):
            print(path)
    elif which is None:
        print(spelled(wanted), end="")
    else:
        print(spelled(found[which]), end="")
    return 0


def schemas(plugins: Plugins) -> dict[SchemaOf, Mapping[str, JSON]]:
    """Return the schema of each kind of file: with these plugins' actions and options."""
    known = [found.plugin for found in plugins.found if found.plugin is not None]
    options = {plugin.name: plugin.options for plugin in known if plugin.options is not None}
    return {
        "rules": schema_of_rules(plugins.actions),
        "test": schema_of_tests(plugins.actions),
        "settings": schema_of_settings(options),
    }


def write_schemas(found: Mapping[SchemaOf, Mapping[str, JSON]], folder: Path) -> list[Path]:
    """Write schemas into a folder, which is made where there is none; return the files.

    Raises:
        OSError: They cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, content in found.items():
        path = folder / f"{name}.json"
        path.write_text(spelled(content), encoding="utf-8")
        written.append(path)
    return written


def spelled(content: JSON) -> str:
    """Return a schema as it stands in its file."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def in_force(config: Path | None) -> Plugins:
    """Return the plugins of the settings; the standard ones where there are none to be had.

    Why there are none standard error tells.
    """
    standard = find_plugins(PluginSettings(), with_options=False)
    if config is None and not DEFAULT_FILE.exists():
        return standard
    try:
        return find_plugins(plugin_settings(load(config)))
    except ConfigError as error:
        print_problems(error.problems, to_stderr=True)
        return standard
