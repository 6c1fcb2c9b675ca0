"""Text that was meant as a template, but has no braces, or those of another language.

It is sent as it stands, and nobody notices before a customer does; so it is told, as a warning.
"""

import re
from collections.abc import Iterator
from typing import Final

from imbot.rulebook import expressions
from imbot.rulebook.functions import FUNCTIONS
from imbot.rulebook.reading import Desk
from imbot.rulebook.scope import Names
from imbot.yamlfile import Kind, Node

#: Bounded, or a search in a long text would start over at each of its dots.
_PATH = r"[A-Za-z_]\w{0,39}(?:\.\w{1,40}){1,9}"
#: A value that is one field, or one call, and nothing else.
_WHOLE = re.compile(rf"""{_PATH}(?:\[['"][^'"]*['"]\])?|[a-z_0-9]+\(.*\)""")
#: Other languages' braces, or a half of ours.
_BRACES = re.compile(rf"(?<!\{{)\$?\{{ ?({_PATH}) ?\}}(?!\}})|\b({_PATH}) ?\}}\}}")
_WORD = re.compile(r"\w+")
_QUOTED = re.compile(r"""(['"])[^'"]*\1""")
#: Longer text is no expression that somebody forgot to brace.
_LONGEST = 200

#: The code of text that was meant otherwise.
CODE: Final = "odd-text"


def warn_of_forgotten_braces(node: Node, names: Names, desk: Desk) -> None:
    """Warn of an expression in a text that stands outside ``{{ … }}``.

    Args:
        node: A value of a step, a template or not.
        names: What a template may look at there.
        desk: Where mistakes are kept.
    """
    if node.kind is not Kind.TEXT or not any(mark in node.raw for mark in ".()"):
        return
    for source, at in _suspects(node.raw):
        if not _begins_like_one(source, names):
            continue
        parsed, problems = expressions.parse(source, node.place_at, names, desk.known)
        if parsed is None or problems:
            continue
        before = node.raw[:at]
        place = node.place_at(before.count("\n"), at - before.rfind("\n") - 1)
        what = f"'{source}' stands there as text, not as its value"
        desk.warn(place if at else node.place, CODE, what, f'write "{{{{ {source} }}}}"')


def warn_of_inner_quotes(node: Node, desk: Desk) -> None:
    """Warn of a text in quotes inside quotes, which only an expression wants."""
    if node.kind is Kind.TEXT and _QUOTED.fullmatch(node.raw):
        what = f"the quotes inside the quotes are a part of the text {node.raw}"
        desk.warn(node.place, CODE, what, f"write {node.raw[1:-1]} without them")


def _begins_like_one(source: str, names: Names) -> bool:
    """Whether the first word is known; most texts end here."""
    word = _WORD.match(source)
    return word is not None and (word[0] in names.types or word[0] in FUNCTIONS)


def _suspects(text: str) -> Iterator[tuple[str, int]]:
    """Yield what may be an expression, and where in the text it begins."""
    whole = text.strip()
    if len(whole) <= _LONGEST and _WHOLE.fullmatch(whole):
        yield whole, 0
        return
    for found in _BRACES.finditer(text):
        if found[1] is not None or "{{" not in text:
            yield found[1] or found[2], found.start()
