"""The page of triggers: each kind with its options, and what it tells a rule."""

from collections.abc import Iterator
from typing import Final

from docs.generator import schemas
from docs.generator.examples import shown
from docs.generator.keys import kind, meanings, told
from docs.generator.markdown import contents, table
from docs.generator.names import event_rows
from imbot.meaning import Meant
from imbot.model import ConnectionChange
from imbot.rulebook.schema import Missed
from imbot.rulebook.scope import Names
from imbot.schemas.parts import Schema

#: Kinds of triggers whose events are of another kind.
_EVENT: Final = {"every": "schedule"}
#: Words that a trigger, or an option of it, may have.
_WORDS: Final[dict[str, type[Meant]]] = {"connection": ConnectionChange, "missed": Missed}
_ABOUT: Final = ("session", "participant", "agent", "message")


def kinds() -> list[str]:
    """Return the kinds of triggers, by their keys."""
    return [one["required"][0] for one in schemas.of_rules()["definitions"]["trigger"]["oneOf"]]


def page() -> Iterator[str]:
    """Yield every kind of trigger."""
    trigger = schemas.of_rules()["definitions"]["trigger"]
    yield from contents(f"`{name}`" for name in kinds())
    for name in kinds():
        yield from _kind(name, trigger)


def _kind(name: str, trigger: Schema) -> Iterator[str]:
    part = trigger["properties"][name]
    yield from (f"## `{name}`", "", told(part)[0], "")
    yield from shown("trigger", name)
    if name == "message":
        tests = part["anyOf"][0]["properties"].items()
        yield from table(("test", "meaning"), ((f"`{test}`", told(one)[0]) for test, one in tests))
    if name in _WORDS:
        yield from meanings(_WORDS[name])
    yield from _options(name, trigger)
    event = _EVENT.get(name, name)
    yield from table(("it tells", "type", "meaning"), event_rows(event))
    seen = Names.for_trigger(frozenset({event})).types
    names = [f"`{each}`" for each in _ABOUT if each in seen]
    has = ", ".join(names) or "no session and no agent"
    yield from (f"Rules of this kind see {has}.", "")


def _options(name: str, trigger: Schema) -> Iterator[str]:
    """Yield what may stand beside a kind."""
    owners = {option: _owners(asked) for option, asked in trigger["dependencies"].items()}
    options = [option for option in owners if name in owners[option] and option not in kinds()]
    if options:
        rows = (_option(option, trigger["properties"][option]) for option in options)
        yield from table(("option", "type", "default", "meaning"), rows)
    for option in options:
        if option in _WORDS and owners[option][0] == name:
            yield from meanings(_WORDS[option], head=f"`{option}`")


def _owners(asked: Schema | list[str]) -> list[str]:
    """Return the kinds beside which an option may stand."""
    return asked if isinstance(asked, list) else [one["required"][0] for one in asked["oneOf"]]


def _option(name: str, part: Schema) -> tuple[str, str, str, str]:
    meaning, default = told(part)
    return f"`{name}`", kind(part), default, meaning
