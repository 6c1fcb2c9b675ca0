"""Who is logged in at the dashboard. In memory alone: whoever it was logs in again after a restart.

A ticket is what a browser shows in its cookie; only its hash is kept, as of tokens.
"""

import hmac
import secrets
from dataclasses import dataclass

from imbot.admin.keys import Key, hash_of
from imbot.clock import Clock

#: How long a login is good for.
LASTS_S = 12 * 3600.0

#: So many logins with one token are remembered; the one longest ago is forgotten first.
_OF_ONE_TOKEN = 100

#: Bytes of chance in a ticket, and in what forms carry.
_CHANCE_BYTES = 32


@dataclass(slots=True)
class Visitor:
    """Somebody who is logged in.

    Attributes:
        key: Whose token they showed.
        csrf: What their forms carry, so that no page elsewhere can send one for them.
        until: When they must log in again, by the monotonic clock.
        told: What the next page tells them, once.
        is_good: Whether what it tells is good news.
    """

    key: Key
    csrf: str
    until: float
    told: str = ""
    is_good: bool = True

    def sent(self, csrf: str) -> bool:
        """Whether a form was one of theirs."""
        return hmac.compare_digest(self.csrf.encode(), csrf.encode("utf-8", "surrogatepass"))


class Visitors:
    """Everybody who is logged in.

    Args:
        clock: Says when a login ends.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._visitors: dict[str, Visitor] = {}

    def admit(self, key: Key) -> str:
        """Log somebody in; return their ticket."""
        before = [kept for kept, visitor in self._visitors.items() if visitor.key == key]
        if len(before) >= _OF_ONE_TOKEN:
            del self._visitors[before[0]]
        ticket = secrets.token_urlsafe(_CHANCE_BYTES)
        until = self._clock.monotonic() + LASTS_S
        self._visitors[hash_of(ticket)] = Visitor(key, secrets.token_urlsafe(_CHANCE_BYTES), until)
        return ticket

    def of(self, ticket: str) -> Visitor | None:
        """Return whose ticket this is; None when it is nobody's, or no longer good."""
        visitor = self._visitors.get(hash_of(ticket))
        if visitor is None or self._clock.monotonic() >= visitor.until:
            return None
        return visitor

    def leave(self, ticket: str) -> None:
        """Log somebody out."""
        self._visitors.pop(hash_of(ticket), None)
