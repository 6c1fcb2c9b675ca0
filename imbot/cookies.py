"""The cookies behind one door: what servers gave, and what each gets back. No I/O.

aiohttp's own jar takes 5 KB for the two cookies of an agent, and a daemon keeps a thousand agents.
Unlike it, this one gives a cookie back to the very host that set it, whatever domain the cookie
names: an agent talks to one host, and plugins need not share a login between two.
Source: RFC 6265, 5.1.4, 5.2 to 5.4.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TypeAlias

from yarl import URL

#: One cookie as plain values, for another process: host, path, name, ``name=value``, whether it
#: needs TLS, and the second since 1970 at which it ends, or None for with the session.
PlainCookie: TypeAlias = tuple[str, str, str, str, bool, int | None]

_PAIR = re.compile(r"[!-:<-~][ -:<-~]*")
_SECONDS = re.compile(r"(-?)([0-9]+)", re.ASCII)
#: Some thirty years; a cookie that asks for more gets these.
_MOST_SECONDS = 10**9
#: So many headers are remembered: an agent's polls and its sessions at work need few.
_REMEMBERED = 4


@dataclass(frozen=True, slots=True)
class _Cookie:
    """One cookie; of the same host, path and name there is only one."""

    host: str
    path: str
    name: str
    pair: str
    is_secure: bool
    ends_at: datetime | None

    def replaces(self, other: "_Cookie") -> bool:
        return (self.host, self.path, self.name) == (other.host, other.path, other.name)

    def is_over(self, now: datetime) -> bool:
        return self.ends_at is not None and self.ends_at <= now

    def plain(self) -> PlainCookie:
        ends_at = None if self.ends_at is None else int(self.ends_at.timestamp())
        return self.host, self.path, self.name, self.pair, self.is_secure, ends_at

    def is_for(self, url: URL) -> bool:
        within = self.path if self.path.endswith("/") else f"{self.path}/"
        return (
            self.host == url.raw_host
            and (self.path == url.raw_path or url.raw_path.startswith(within))
            and (url.scheme == "https" or not self.is_secure)
        )


class Cookies:
    """What one door keeps, and no other sees.

    Args:
        left: What :meth:`plain` of an earlier process returned; what is none is left out.
    """

    __slots__ = ("_headers", "_headers_of", "_kept", "_plain")

    def __init__(self, left: Iterable[object] = ()) -> None:
        self._kept: tuple[_Cookie, ...] = tuple(filter(None, map(_from_plain, left)))
        self._plain: tuple[PlainCookie, ...] | None = None
        self._headers: dict[tuple[URL, str], str] = {}
        self._headers_of = self._kept

    def plain(self) -> tuple[PlainCookie, ...]:
        """Return every cookie as plain values; they are as secret as a password."""
        if self._plain is None:
            self._plain = tuple(one.plain() for one in self._kept)
        return self._plain

    def keep(self, url: URL, given: Iterable[str], *, now: datetime) -> None:
        """Take in what came as ``Set-Cookie`` from ``url``; forget cookies that ended."""
        for line in given:
            if (cookie := _cookie(url, line, now)) is None:
                continue
            self._plain = None
            others = (one for one in self._kept if not cookie.replaces(one))
            self._kept = tuple(one for one in (*others, cookie) if not one.is_over(now))

    def header(self, url: URL, *, now: datetime, own: str = "") -> str:
        """Return what to send as ``Cookie``; of one name, the cookie of the longest path.

        Args:
            url: Where the request goes.
            now: When.
            own: The ``Cookie`` header that the request brings; what a server gave overrides it.
        """
        if any(one.is_over(now) for one in self._kept):
            self._plain = None
            self._kept = tuple(one for one in self._kept if not one.is_over(now))
        if self._headers_of is not self._kept or len(self._headers) >= _REMEMBERED:
            self._headers, self._headers_of = {}, self._kept
        if (header := self._headers.get((url, own))) is None:
            header = self._headers[url, own] = self._joined(url, own)
        return header

    def _joined(self, url: URL, own: str) -> str:
        fitting = [one for one in self._kept if one.is_for(url)]
        fitting.sort(key=lambda one: len(one.path))
        pairs = {pair.partition("=")[0]: pair for pair in map(str.strip, own.split(";")) if pair}
        pairs.update((one.name, one.pair) for one in fitting)
        return "; ".join(pairs.values())


def _cookie(url: URL, line: str, now: datetime) -> _Cookie | None:
    """Return the cookie that a line gives; None when it gives none that can be sent back."""
    given, *rest = line.split(";")
    name, equals, value = (part.strip() for part in given.partition("="))
    pair = f"{name}={value}"
    if not name or not equals or not _PAIR.fullmatch(pair):
        return None
    attributes = {
        key.strip().lower(): told.strip() for key, _, told in (each.partition("=") for each in rest)
    }
    path = attributes.get("path", "")
    if not path.startswith("/"):
        path = url.raw_path.rpartition("/")[0] or "/"
    ends_at = _end(attributes, now)
    return _Cookie(url.raw_host or "", path, name, pair, "secure" in attributes, ends_at)


def _from_plain(plain: object) -> _Cookie | None:
    match plain:
        case [str(host), str(path), str(name), str(pair), bool(is_secure), None | int() as ends]:
            if not _PAIR.fullmatch(pair) or pair.partition("=")[0] != name:
                return None
        case _:
            return None
    try:
        ends_at = None if ends is None else datetime.fromtimestamp(ends, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return _Cookie(host, path, name, pair, is_secure, ends_at)


def _end(attributes: Mapping[str, str], now: datetime) -> datetime | None:
    """Return when the cookie ends; None for with the session, or for what cannot be read."""
    if (match := _SECONDS.fullmatch(attributes.get("max-age", ""))) is not None:
        minus, digits = match.groups()
        seconds = _MOST_SECONDS if len(digits) > len(str(_MOST_SECONDS)) else int(digits)
        return now if minus else now + timedelta(seconds=min(seconds, _MOST_SECONDS))
    try:
        moment = parsedate_to_datetime(attributes.get("expires", ""))
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
