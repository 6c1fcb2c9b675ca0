"""Who may ask what: tokens, of which only hashes are kept, and the role of each.

A token is 32 random bytes, so one round of SHA-256 is enough: nobody guesses it, slowly or fast.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

#: What tokens of ours begin with, so that one that leaks is recognised for what it is.
PREFIX = "imbot_"

#: Bytes of chance in a token.
_TOKEN_BYTES = 32


class Role(IntEnum):
    """What a token is good for; each may do what those before it may."""

    READ = 1
    OPERATE = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        """How settings and answers spell it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Key:
    """Somebody who may ask.

    Attributes:
        name: Who they are, for the audit trail.
        role: What they may.
        sha256: Of their token, in hexadecimal digits.
    """

    name: str
    role: Role
    sha256: str


class Keys:
    """Every key.

    Args:
        keys: In any order; names are unique.
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = tuple(keys)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._keys)

    def of(self, token: str) -> Key | None:
        """Return the key of a token; None when it is nobody's.

        Takes as long for any token: every key is looked at, each in constant time.
        """
        hashed = hash_of(token).encode()
        found = None
        for key in self._keys:
            if hmac.compare_digest(hashed, key.sha256.encode()):
                found = key
        return found


def new_token() -> str:
    """Return a token that nobody has."""
    return PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)


def hash_of(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
