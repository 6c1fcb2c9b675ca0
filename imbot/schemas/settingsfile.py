"""The schema of the settings file, with the plugins' options."""

from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel

from imbot.schemas.models import Models
from imbot.schemas.parts import DRAFT, Schema, described, duration, exactly_one, mapped, ref, text
from imbot.settings import Settings

#: Text that is filled in from the environment, or from a file.
_REFERENCE: Final = {
    "description": "A reference such as ${env:NAME} or ${file:NAME}.",
    "type": "string",
    "pattern": r"\$\{",
    "patternErrorMessage": "Write a value of the right kind, or a reference such as ${env:NAME}.",
}
_SETTINGS: Final = "settings"
#: Where exactly one of some keys is due, which the models' own validators see to.
_ONE_OF: Final = {"AgentPart": ("password", "auth"), "AuthPart": ("bearer", "cookies", "headers")}


def schema_of_settings(options: Mapping[str, type[BaseModel]]) -> Schema:
    """Return the schema of settings files.

    Args:
        options: The model of each plugin's options, by the plugin's name.
    """
    # The settings' own numbers that are not whole are durations.
    own = Models(ref("reference"), fills_structures=False, number=duration(zero=True))
    theirs = Models(ref("reference"), fills_structures=False)
    written = own.schema(Settings, _SETTINGS)
    parts = own.definitions
    agents = written["properties"]["agents"]
    written["properties"]["agents"] = described(
        {"anyOf": [_without_description(agents), text()]}, agents["description"]
    )
    for part, ways in _ONE_OF.items():
        parts[f"{_SETTINGS}.{part}"] |= exactly_one(ways, f"Name exactly one of {', '.join(ways)}.")
    by_plugin = mapped({name: theirs.schema(model, name) for name, model in options.items()})
    known = parts[f"{_SETTINGS}.PluginsPart"]["properties"]
    known["options"] = described(by_plugin, known["options"]["description"])
    return {
        "$schema": DRAFT,
        **written,
        "title": "imbot settings",
        "definitions": {"reference": _REFERENCE, **parts, **theirs.definitions},
    }


def _without_description(schema: Schema) -> Schema:
    return {key: part for key, part in schema.items() if key != "description"}
