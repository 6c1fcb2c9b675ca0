"""Where an ``http`` step sends to: its scheme, host and port, as far as the file tells.

The door that sends checks the real address again; this tells the author beforehand.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlsplit

from imbot.errors import PermanentError
from imbot.problems import nearest
from imbot.rulebook.filters import text_of
from imbot.rulebook.reading import Desk
from imbot.rulebook.scope import Senses
from imbot.rulebook.templates import Template
from imbot.yamlfile import Entry, Kind, Node

#: The action whose arguments are an HTTP request.
ACTION = "http"

#: The methods that such a request may have.
METHODS = ("get", "post", "put", "patch", "delete")
_NOT_REPEATABLE = ("post", "patch")
_SECRET_KEYS = frozenset({*METHODS, "headers", "json", "form"})
_ORIGIN = re.compile(r"(https?://)(?:[^/?#\s{}@]*@)?([^/?#\s{}@]+)(?=[/?#]|$)", re.IGNORECASE)
_LEADING = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_VAR = re.compile(r"""vars(?:\.(\w+)|\[\s*(?:'([^']*)'|"([^"]*)")\s*\])""")
_SECRET = re.compile(r"""secret\(\s*(?:'[^']*'|"[^"]*")\s*\)""")
_PORTS = {"http": 80, "https": 443}


def allows_secrets(path: tuple[str, ...]) -> bool:
    """Whether ``secret()`` may stand at this path of an ``http`` step's arguments."""
    return bool(path) and path[0] in _SECRET_KEYS


def is_address(path: tuple[str, ...]) -> bool:
    """Whether the URL of an ``http`` step stands at this path of its arguments."""
    return len(path) == 1 and path[0] in METHODS


@dataclass(frozen=True, slots=True)
class Address:
    """A URL with values in it, each of them one segment that cannot become more.

    Attributes:
        parts: Templates in order, and whether what they give is percent-encoded.
    """

    parts: tuple[tuple[Template, bool], ...]

    @classmethod
    def of(cls, template: Template) -> "Address":
        """Return the address that a template writes; a value that it begins with is its origin."""
        parts = []
        for number, part in enumerate(template.parts):
            is_value = not isinstance(part, str)
            parts.append((replace(template, parts=(part,)), is_value and number > 0))
        return cls(tuple(parts))

    def render(self, scope: Mapping[str, Any], senses: Senses) -> str:
        """Return the URL.

        Raises:
            PermanentError: A value is missing, is no text, or would change the path.
        """
        return "".join(
            _segment(part, scope, senses) if is_value else str(part.render(scope, senses))
            for part, is_value in self.parts
        )


def _segment(part: Template, scope: Mapping[str, Any], senses: Senses) -> str:
    """Return a value percent-encoded."""
    try:
        text = text_of(part.render(scope, senses))
    except ValueError as error:
        raise PermanentError(f"a value in the address: {error}") from error
    if text in ("", ".", ".."):
        raise PermanentError(f"a value in the address is {text!r}, which would change its path")
    return quote(text.encode("utf-8", "replace"), safe="")


def warn_of_retry(entry: Entry, retry: Entry, desk: Desk) -> None:
    """Warn of a ``retry`` of a request that may not be sent twice."""
    method = next((each for each in _NOT_REPEATABLE if each in entry.value.entries), None)
    if method is not None and "idempotency_key" not in entry.value.entries:
        what = f"a {method} is sent twice only with an idempotency_key"
        cure = "add 'idempotency_key: …', or leave 'retry' out"
        desk.warn(retry.key.place, "not-repeatable", what, cure)


def check_origin(
    entry: Entry, desk: Desk, *, constants: Mapping[str, Any], allowed: Sequence[str] | None
) -> None:
    """Report an address whose origin events could decide, or that may not be reached."""
    for method in METHODS:
        node = entry.value.get(method)
        if node is not None and node.kind is Kind.TEXT:
            _check(node, desk, constants, allowed)


def _check(
    node: Node, desk: Desk, constants: Mapping[str, Any], allowed: Sequence[str] | None
) -> None:
    text = node.raw.strip()
    if (leading := _LEADING.match(text)) is not None:
        rest = text[leading.end() :]
        if _SECRET.fullmatch(leading[1]):
            if rest and rest[0] not in "/?#":
                _refuse(node, desk)
            return
        if (var := _VAR.fullmatch(leading[1])) is None:
            _refuse(node, desk)
            return
        name = var[1] or var[2] or var[3]
        if name not in constants:
            return  # the template's own check tells of the unknown name
        text = f"{constants[name]}{rest}"
    origin = _ORIGIN.match(text)
    if origin is None:
        _refuse(node, desk)
    elif allowed is not None and not is_allowed(origin[1] + origin[2], allowed):
        wanted = origin[1] + origin[2]
        near = nearest(wanted, allowed)
        cure = f"did you mean '{near}'? Else " if near else ""
        cure += (
            "add it to the settings' http.allow, or to http.internal if it is in your own network"
        )
        desk.error(node.place, "host-not-allowed", f"http may not reach {wanted}", cure)


def _refuse(node: Node, desk: Desk) -> None:
    what = "the address must begin with scheme://host that no event can change"
    cure = "begin with https://…, {{ vars.name }} or {{ secret('NAME') }}, then '/'"
    desk.error(node.place, "open-origin", what, cure)


def is_allowed(origin: str, allowed: Sequence[str]) -> bool:
    """Whether an origin is one of those that are allowed; ports and case as URLs mean them."""
    wanted = _normal(origin)
    return wanted is not None and any(_normal(each) == wanted for each in allowed)


def _normal(url: str) -> tuple[str, str, int | None] | None:
    """Return scheme, host and port of a URL; None when it has none that can be read."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    return parts.scheme, parts.hostname or "", port
