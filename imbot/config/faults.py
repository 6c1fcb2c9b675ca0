"""What the models say against the settings, in the words of whoever wrote them.

No message shows a value, except a word where one of a few is due: it might be a secret.
"""

import re
from typing import Any

from pydantic_core import ErrorDetails

from imbot.config.fields import Path, dotted, known_words, meaning_of
from imbot.config.tree import Tree
from imbot.problems import Problem, did_you_mean

_A_LIST = ("a list is due here", "write [one, another]")
_A_MAPPING = ("a mapping is due here", "write 'key: value' below it")

#: By pydantic's type: what is wrong, and the cure; its meaning cures a setting that has none here.
_TOLD: dict[str, tuple[str, str]] = {
    "string_type": ("text is due here", ""),
    "path_type": ("text is due here", ""),
    "bool_type": ("true or false is due here", ""),
    "bool_parsing": ("true or false is due here", ""),
    "int_type": ("a whole number is due here", ""),
    "int_parsing": ("a whole number is due here", ""),
    "int_from_float": ("a whole number is due here", ""),
    "float_type": ("a duration is due here", "write one such as 90s"),
    "tuple_type": _A_LIST,
    "list_type": _A_LIST,
    "dict_type": _A_MAPPING,
    "model_type": _A_MAPPING,
    "string_too_short": ("this must not be empty", ""),
    "too_short": ("this must not be empty", ""),
    "string_pattern_mismatch": ("this does not fit", ""),
}


def as_problem(detail: ErrorDetails, tree: Tree) -> Problem:
    """Return a mistake with its place and its cure."""
    path: Path = detail["loc"]
    name = dotted(path)
    match detail["type"]:
        case "extra_forbidden":
            cure = did_you_mean(str(path[-1]), known_words(path[:-1]))
            return Problem(tree.key_place(path), "unknown-key", f"no setting '{name}'", cure)
        case "missing":
            owner = path[:-1]
            place = tree.place(owner) if owner and isinstance(owner[-1], int) else None
            place = place or tree.key_place(owner)
            cure = f"add '{path[-1]}': {meaning_of(path)}"
            return Problem(place, "missing-key", f"'{name}' is missing", cure)
        case _:
            what, cure = _told(detail)
            what = f"{name}: {what}" if name else what
            return Problem(tree.place(path), "wrong-value", what, cure or meaning_of(path))


def _told(detail: ErrorDetails) -> tuple[str, str]:
    """Return what is wrong with a value, and the cure."""
    kind, context = detail["type"], detail.get("ctx", {})
    if (told := _TOLD.get(kind)) is not None:
        return told
    if kind == "literal_error":
        return _one_of(detail["input"], re.findall(r"'([^']*)'", context["expected"]))
    said = detail["msg"].removeprefix("Value error, ").replace("Input should be", "this must be")
    what, _, cure = said.partition("; ")
    return what, cure


def _one_of(given: Any, words: list[str]) -> tuple[str, str]:  # noqa: ANN401  whatever was written
    if not isinstance(given, str):
        return "a word is due here", did_you_mean("", words)
    return f"'{given}' is not one of {', '.join(words)}", did_you_mean(given, words)
