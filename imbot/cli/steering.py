"""``imbot halt``, ``release``, ``close``, ``reopen``, ``switch``: they steer a running imbot.

It is told through its admin API, with the token of the settings or of ``IMBOT_TOKEN``.
"""

import os
import ssl
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from imbot.admin.keys import Role, hash_of, new_token
from imbot.admin.site import PREFIX
from imbot.cli.output import complain
from imbot.cli.settings import load
from imbot.config import Loaded
from imbot.errors import ImbotError
from imbot.jsontext import decode_json, encode_json
from imbot.model import JSON

#: Longer than a store that is busy takes.
_PATIENCE_S = 10.0

_TOKEN = "IMBOT_TOKEN"  # noqa: S105  the name of a variable


def halt(why: str, path: Path | None) -> int:
    """Stop all effects; return 1 where imbot refuses."""
    found = _told(path, "PUT", "/halt", {"why": why})
    return _ended(found, "all effects are stopped; `imbot release` lets them go on")


def release(path: Path | None) -> int:
    """Let effects go on; return 1 where imbot refuses."""
    return _ended(_told(path, "DELETE", "/halt"), "effects go on, those of what happens from now")


def close(calendar: str, path: Path | None, *, closed: bool) -> int:
    """Close a calendar, or let its hours count again; return 1 where imbot refuses."""
    found = _told(path, "PUT", f"/calendars/{_named(calendar)}", {"closed": closed})
    return _ended(found, f"{calendar} is closed" if closed else f"the hours of {calendar} count")


def switch(rule: str, path: Path | None, *, off: bool, shadow: bool | None) -> int:
    """Lay a switch over a rule, or take it away; return 1 where imbot refuses."""
    body = {"off": off, "shadow": shadow}
    found = _told(path, "PUT", f"/rules/{_named(rule)}/switch", body)
    became = {
        (True, None): "is off",
        (False, True): "runs in shadow",
        (False, False): "runs live",
        (False, None): "is as its file says",
    }[off, shadow]
    return _ended(found, f"{rule} {became}")


def token(name: str, role: str) -> int:
    """Make a token, and print what stands in the settings for it."""
    made = new_token()
    print("The token, which is shown this once and kept nowhere:\n")
    print(f"  {made}\n")
    print("In the settings, below admin: tokens:\n")
    print(f"  - {{name: {encode_json(name).decode()}, role: {Role[role.upper()].word},")
    print(f"     sha256: {hash_of(made)}}}")
    return 0


class _Answer(NamedTuple):
    status: int
    body: Mapping[str, JSON]


def _ended(found: _Answer, told: str) -> int:
    if found.status < 400:  # noqa: PLR2004  HTTP
        print(told)
        return 0
    complain(found.body.get("message", f"imbot answers HTTP {found.status}"))
    return 1


def _named(name: str) -> str:
    return quote(name, safe="")


def _told(path: Path | None, method: str, what: str, body: JSON = None) -> _Answer:
    """Return what the imbot of these settings answers.

    Raises:
        ConfigError: The settings are wrong.
        ImbotError: It cannot be reached, or there is no token for it.
    """
    loaded = load(path)
    part = loaded.settings.admin
    shown = os.environ.get(_TOKEN) or (part.token.get_secret_value() if part.token else "")
    if not shown:
        raise ImbotError(f"there is no token; set admin.token, or {_TOKEN} to one of admin.tokens")
    return _asked(loaded, shown, method, what, body)


def _asked(loaded: Loaded, shown: str, method: str, what: str, body: JSON) -> _Answer:
    """Ask once. Of the standard library: to import aiohttp takes longer than all of the rest."""
    part = loaded.settings.admin
    host, _, port = part.listen.rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host).strip("[]")  # noqa: S104  it is asked here
    # A certificate is for a name, and that name is among those that it is served under.
    host = host if part.tls is None or not part.hosts else part.hosts[0]
    connection = HTTPConnection(host, int(port), timeout=_PATIENCE_S)
    if part.tls is not None:
        path = loaded.base / part.tls.certificate
        try:
            trusted = ssl.create_default_context(cafile=path)
        except OSError as error:
            raise ImbotError(f"admin.tls.certificate {path} cannot be read: {error}") from error
        connection = HTTPSConnection(host, int(port), timeout=_PATIENCE_S, context=trusted)
    headers = {"Authorization": f"Bearer {shown}"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    sent = None if body is None else encode_json(body)
    try:
        connection.request(method, f"{PREFIX}{what}", sent, headers)
        answer = connection.getresponse()
        return _Answer(answer.status, decode_json(answer.read()))
    except (OSError, HTTPException, ValueError) as error:
        scheme = "http" if part.tls is None else "https"
        where = f"{scheme}://{part.listen}"
        raise ImbotError(f"no imbot answers at {where} ({error}); is it running?") from error
    finally:
        connection.close()
