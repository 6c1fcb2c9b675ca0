"""Finds what looks like a secret written out in a file, where everybody who reads it can."""

import re

from imbot.rulebook.reading import Desk
from imbot.secretnames import is_secret_name
from imbot.yamlfile import Entry, Kind, Node

_IN_QUERY = re.compile(r"[?&]([\w.-]+)=(?!\{\{)[^&#\s{]+")
_PASSWORD = "a user's password"  # noqa: S105  the words, not one
_CURE = "put it in the settings' secrets and write {{ secret('NAME') }}"


def refuse_clear_secrets(entry: Entry, desk: Desk, *, is_sent_out: bool) -> None:
    """Report each secret in clear text below a key.

    Args:
        entry: The key and what stands under it.
        desk: Where mistakes are kept.
        is_sent_out: Whether it goes out by HTTP, where it is surely meant; else it is a warning.
    """
    report = desk.error if is_sent_out else desk.warn
    for key, node in _texts(entry):
        if is_secret_name(key.raw) and "{{" not in node.raw and node.raw.strip():
            report(
                node.place, "clear-secret", f"'{key.raw}' looks like a secret in clear text", _CURE
            )
        elif why := _in_url(node.raw):
            surely = desk.error if why == _PASSWORD else report
            surely(node.place, "clear-secret", f"{why} in clear text in a URL", _CURE)


def _texts(entry: Entry) -> list[tuple[Node, Node]]:
    """Return each text below a key with the nearest key above it."""
    found, waiting = [], [entry]
    while waiting:
        key, node = waiting.pop()
        waiting.extend(node.entries.values())
        waiting.extend(Entry(key, item) for item in node.items)
        if node.kind is Kind.TEXT or node.kind is Kind.NUMBER:
            found.append((key, node))
    return found


def _in_url(text: str) -> str:
    """Return what secret a URL holds in clear text; empty when it holds none or is none."""
    if not re.match(r"[a-z][a-z0-9+.-]*://", text, re.IGNORECASE):
        return ""
    userinfo, at, _ = text.partition("://")[2].partition("/")[0].rpartition("@")
    if at and "{{" not in userinfo:
        return _PASSWORD
    names = (found[1] for found in _IN_QUERY.finditer(text))
    return next((f"'{name}'" for name in names if is_secret_name(name)), "")
