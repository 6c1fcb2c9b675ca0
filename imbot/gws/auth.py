"""How an agent proves who it is: four closed ways, each giving headers for every request.

GWS answers missing credentials with 403 and no challenge, so all are sent without being asked.
Nothing here performs I/O; a bearer's token comes from the callable it was given.
Source: contract 3.1 [D, O].
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from imbot.errors import ConfigError, TemporaryError
from imbot.problems import Place, Problem


class BasicEncoding(StrEnum):
    """How user and password become bytes; what GWS expects beyond ASCII is not documented."""

    UTF_8 = "utf-8"
    ISO_8859_1 = "iso-8859-1"


@dataclass(frozen=True, slots=True)
class Basic:
    """User and password, sent before anybody asks.

    Raises:
        ConfigError: The user holds a colon, or a character the encoding does not have.
    """

    user: str
    password: str = field(repr=False)
    encoding: BasicEncoding = BasicEncoding.UTF_8
    _value: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if ":" in self.user:
            raise _wrong(f"user {self.user!r} holds a colon", "Basic can not carry such a user")
        try:
            pair = f"{self.user}:{self.password}".encode(self.encoding.value)
        except UnicodeEncodeError:
            raise _wrong(
                f"user or password of {self.user!r} can not be written in {self.encoding.value}",
                f"set the encoding to {BasicEncoding.UTF_8.value}, or use other characters",
            ) from None  # the cause would show the password
        object.__setattr__(self, "_value", f"Basic {base64.b64encode(pair).decode('ascii')}")

    def headers(self) -> dict[str, str]:
        """Return the headers that log in."""
        return {"Authorization": self._value}


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token that may change; it is asked for at every request."""

    token: Callable[[], str] = field(repr=False)

    def headers(self) -> dict[str, str]:
        """Return the headers that log in.

        Raises:
            TemporaryError: There is no usable token now.
        """
        try:
            token = self.token().strip()
        except (OSError, ValueError) as error:
            raise TemporaryError(f"bearer token: {error}") from error
        if not token or not (token.isascii() and token.isprintable()):
            raise TemporaryError("bearer token: empty or not plain text")
        return {"Authorization": f"Bearer {token}"}


@dataclass(frozen=True, slots=True)
class Cookies:
    """Cookies of a session that somebody else began, for deployments behind SAML."""

    cookies: Mapping[str, str] = field(repr=False)

    def __post_init__(self) -> None:
        for name, value in self.cookies.items():
            _check_header(f"cookie {name!r}", name + value, forbidden=";, ")

    def headers(self) -> dict[str, str]:
        """Return the headers that log in."""
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}


@dataclass(frozen=True, slots=True)
class Headers:
    """Headers as they are, for gateways with ways of their own."""

    values: Mapping[str, str] = field(repr=False)

    def __post_init__(self) -> None:
        for name, value in self.values.items():
            _check_header(f"header {name!r}", name, forbidden=": ")
            _check_header(f"header {name!r}", value)

    def headers(self) -> dict[str, str]:
        """Return the headers that log in."""
        return dict(self.values)


Auth: TypeAlias = Basic | Bearer | Cookies | Headers


def _check_header(what: str, text: str, *, forbidden: str = "") -> None:
    if not text.isascii() or not text.isprintable() or any(char in text for char in forbidden):
        raise _wrong(f"{what} can not stand in an HTTP header", "use plain printable ASCII")


def _wrong(what: str, cure: str) -> ConfigError:
    return ConfigError([Problem(Place("auth"), "bad-auth", what, cure)])
