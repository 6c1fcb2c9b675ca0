"""The schemas of which the pages are made, and the files of them that ship."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from imbot.cli.schema import schemas, spelled
from imbot.pluginhost import PluginSettings, find_plugins
from imbot.schemas import schema_of_rules, schema_of_tests
from imbot.schemas.parts import Schema

ROOT: Final = Path(__file__).parents[2]
#: Folders of schemas: for the standard plugins, and for an example that has one of its own.
FOLDERS: Final = {
    ROOT / "docs" / "schema": PluginSettings(),
    ROOT / "examples/04-own-plugin/schema": PluginSettings(
        paths=(ROOT / "examples/04-own-plugin/src",)
    ),
}


def files() -> Iterator[tuple[Path, str]]:
    """Yield each file of a schema, and what it holds."""
    for folder, plugins in FOLDERS.items():
        for name, schema in schemas(find_plugins(plugins, with_options=False)).items():
            yield folder / f"{name}.json", spelled(schema)


@cache
def of_rules() -> Schema:
    """Return the schema of rule files."""
    return schema_of_rules(find_plugins(PluginSettings(), with_options=False).actions)


@cache
def of_tests() -> Schema:
    """Return the schema of test files."""
    return schema_of_tests(find_plugins(PluginSettings(), with_options=False).actions)
