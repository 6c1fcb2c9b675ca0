"""The page of expressions: the names that they see, and the functions that they call."""

from collections.abc import Iterator
from typing import Final

from docs.generator.functions import of_functions
from docs.generator.markdown import contents, table
from docs.generator.names import rows
from imbot.rulebook.functions import FUNCTIONS, JUNCTIONS
from imbot.rulebook.namewords import NAMES
from imbot.rulebook.scope import TRIGGER_KINDS, Names

#: Names that expressions see beside what they bind themselves, and where no trigger decides.
_HEADS: Final = ("name", "type", "meaning")


def page() -> Iterator[str]:
    """Yield every name and every function."""
    names = [name for name in NAMES if "." not in name]
    fields = {name: list(rows(name)) for name in names}
    headings = [f"`{name}`" for name, below in fields.items() if below]
    yield from contents(("Names", *headings, "Functions"))
    yield from ("## Names", "")
    seen = ((f"`{name}`", _seen_by(name), NAMES[name]) for name in names)
    yield from table(("name", "seen by", "meaning"), seen)
    for name, below in fields.items():
        if below:
            yield from (f"### `{name}`", "")
            yield from table(_HEADS, below)
    yield from ("## Functions", "")
    yield from of_functions(FUNCTIONS.values())
    yield from table(("also", "meaning"), _junctions())


def _seen_by(name: str) -> str:
    """Return the rules and places that see a name."""
    if name == "error":
        return "`on_error`"
    kinds = [k for k in sorted(TRIGGER_KINDS) if name in Names.for_trigger(frozenset({k})).types]
    if set(kinds) == TRIGGER_KINDS:
        return "every rule"
    return ", ".join(f"[`{kind}`](triggers.md#{kind})" for kind in kinds)


def _junctions() -> Iterator[tuple[str, str]]:
    for name, is_and in JUNCTIONS.items():
        yield f"`{name}(a, b, …)`", f"The conditions, joined by `{'and' if is_and else 'or'}`."
