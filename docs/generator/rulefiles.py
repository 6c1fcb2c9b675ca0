"""The page of rule files: the keys of files, rules, blocks and calendars."""

from collections.abc import Iterator
from typing import Final

from docs.generator import schemas
from docs.generator.examples import shown
from docs.generator.keys import keys, meanings, told
from docs.generator.markdown import contents
from imbot.rulebook.schema import Mode, OnceScope
from imbot.schemas.parts import Schema

_HEADINGS: Final = (
    *("File", "Rule", "`mode`", "`once`", "`throttle`", "`budget`", "Blocks", "Calendars"),
)


def page() -> Iterator[str]:
    """Yield every key of a rule file that is no trigger and no step."""
    file = schemas.of_rules()
    rule = file["definitions"]["rule"]
    yield from contents(_HEADINGS)
    yield from ("## File", "")
    yield from keys(file)
    yield from shown("file", "file")
    yield from ("## Rule", "")
    yield from keys(rule)
    yield from shown("file", "rule")
    yield from _policies(rule["properties"])
    yield from _shared(file["properties"])


def _policies(parts: Schema) -> Iterator[str]:
    """Yield what some keys of a rule may hold."""
    yield from ("## `mode`", "", told(parts["mode"])[0], "")
    yield from meanings(Mode)
    yield from ("## `once`", "", told(parts["once"])[0], "")
    yield from meanings(OnceScope)
    yield from shown("file", "once")
    for name in ("throttle", "budget"):
        yield from (f"## `{name}`", "", told(parts[name])[0], "")
        yield from keys(parts[name])


def _shared(parts: Schema) -> Iterator[str]:
    """Yield what all rules of a rulebook share."""
    for name in ("blocks", "calendars"):
        each = parts[name]["additionalProperties"]
        yield from (f"## {name.capitalize()}", "", told(parts[name])[0], "")
        yield from keys(each, head=f"key of a {name.removesuffix('s')}")
        if "holidays" in each["properties"]:
            yield from keys(each["properties"]["holidays"], head="key of `holidays`")
        yield from shown("file", name.removesuffix("s"))
