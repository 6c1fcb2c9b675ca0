"""The page of test files: their keys, what can happen, and what is expected."""

from collections.abc import Iterator

from docs.generator import schemas
from docs.generator.examples import shown
from docs.generator.keys import keys, kind, rows, told
from docs.generator.markdown import contents, table
from imbot.schemas.parts import Schema


def page() -> Iterator[str]:
    """Yield every key of a test file."""
    file = schemas.of_tests()
    parts = file["definitions"]
    yield from contents(("File", "Test", "Event", "Effect"))
    yield from ("## File", "")
    yield from keys(file)
    yield from shown("test")
    yield from ("## Test", "")
    yield from keys(parts["test"])
    yield from ("## Event", "")
    yield from _event(parts["event"])
    yield from ("## Effect", "")
    effect = parts["effect"]
    actions = {one["required"][0] for one in effect["oneOf"]}
    common = {name: each for name, each in effect["properties"].items() if name not in actions}
    yield from keys({"properties": common, "required": effect["required"]})


def kinds() -> list[str]:
    """Return what can happen, by its key."""
    event = schemas.of_tests()["definitions"]["event"]
    return list(event["dependencies"])


def _event(event: Schema) -> Iterator[str]:
    """Yield what can happen, and what may stand beside it."""
    parts = event["properties"]
    happens = (
        (f"`{name}`", kind(parts[name]), _beside(name, event), told(parts[name])[0])
        for name in kinds()
    )
    yield from table(("what happens", "type", "beside it", "meaning"), happens)
    others = {name: each for name, each in parts.items() if name not in kinds()}
    yield from keys({"properties": others}, head="beside it")
    yield from table(("key of `http`", "type", "default", "meaning"), rows(parts["http"]))


def _beside(name: str, event: Schema) -> str:
    """Return what may stand beside an event; what must, first and bold."""
    asked = event["dependencies"][name]
    refused = asked["properties"]
    free = [each for each in event["properties"] if each not in refused and each != name]
    due = [f"**`{each}`**" for each in free if each in asked["required"]]
    return ", ".join((*due, *(f"`{each}`" for each in free if each not in asked["required"])))
