"""Finds what looks like a secret written out in a file, where everybody who reads it can."""

import math
import re
from collections import Counter

from imbot.rulebook.reading import Desk
from imbot.secretnames import is_secret_name
from imbot.yamlfile import Entry, Kind, Node

_IN_QUERY = re.compile(r"[?&]([\w.-]+)=(?!\{\{)[^&#\s{]+")
#: What the keys of well-known services begin with, whatever stands before them.
_ISSUED = re.compile(
    r"\b(?:gh[pousr]_[A-Za-z0-9]{30}|xox[abprs]-[A-Za-z0-9-]{10}|AKIA[A-Z0-9]{16}|AIza[\w-]{30}"
    r"|sk[-_](?:live|test|proj)[-_][A-Za-z0-9]{16}|glpat-[\w-]{16}|eyJ[\w-]{8,}\.eyJ[\w-]{8})"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
)
#: What only a generator writes: long, and of letters and digits in no order.
_RANDOM = re.compile(r"[A-Za-z0-9+_=]{32,}")
#: Bits a character; words and numbers have less.
_LEAST_ENTROPY = 3.5
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
        elif _ISSUED.search(node.raw):
            report(node.place, "clear-secret", "a service's key in clear text", _CURE)
        elif is_sent_out and any(map(_is_random, _RANDOM.findall(node.raw))):
            what = f"'{key.raw}' looks like a secret in clear text"
            desk.warn(node.place, "clear-secret", what, _CURE)


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


def _is_random(text: str) -> bool:
    """Whether a long word has letters and digits as only a generator mixes them."""
    if text.isalpha() or text.isdigit():
        return False
    shares = [count / len(text) for count in Counter(text).values()]
    return -sum(share * math.log2(share) for share in shares) > _LEAST_ENTROPY
