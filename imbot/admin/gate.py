"""Whom the admin server lets in: under which name it is asked, with whose token, how often."""

from aiohttp import web

from imbot.admin.keys import Key, Role
from imbot.admin.limits import AT_ONCE, PER_S, WRONG_AT_ONCE, WRONG_EACH_S, Bucket
from imbot.admin.routing import RefusedError
from imbot.admin.site import Site
from imbot.clock import Clock
from imbot.settings import is_loopback

_LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})

#: What stands before a token.
_BEARER = "bearer"


class Gate:
    """Lets in, or refuses with a sentence.

    Args:
        site: Whose tokens are taken, and under which names it is served.
        clock: Time.
    """

    def __init__(self, site: Site, clock: Clock) -> None:
        self._site = site
        self._asking = Bucket(clock, per_s=PER_S, at_once=AT_ONCE)
        self._wrong = Bucket(clock, per_s=1 / WRONG_EACH_S, at_once=WRONG_AT_ONCE)
        self._hosts = _LOCAL | {site.host.lower()} | site.hosts

    def require_host(self, request: web.Request) -> None:
        """Refuse what was sent to another name: a page elsewhere may have brought it here.

        Raises:
            RefusedError: It was.
        """
        host, _, port = request.host.lower().rpartition(":")
        if not port.isdecimal() or not host:
            host = request.host.lower()
        if host not in self._hosts:
            raise RefusedError(421, "host", "it is not served under this name; see admin.hosts")

    def require_looker(self, request: web.Request) -> None:
        """Let anybody on this machine see how imbot is doing, and others with a token.

        Raises:
            RefusedError: It is somebody else, and without one.
        """
        is_passed_on = "Forwarded" in request.headers or "X-Forwarded-For" in request.headers
        if is_passed_on or not is_loopback(request.remote or ""):
            self.key_of(request)

    def key_of(self, request: web.Request) -> Key:
        """Return who asks.

        Raises:
            RefusedError: Nobody that is known, or too often.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        shown = token.strip() if scheme.lower() == _BEARER else None
        key = self.key_with(shown, request.remote or "")
        self.count(key)
        return key

    def key_with(self, token: str | None, address: str) -> Key:
        """Return whose token this is.

        Whoever guesses tokens waits, and nobody else does: all effects can always be stopped.

        Raises:
            RefusedError: Nobody's; or wrong ones came from this address too often.
        """
        key = None if token is None else self._site.keys.of(token)
        if key is None:
            _pace(self._wrong, address)
            told = "show a token: Authorization: Bearer imbot_…"
            if not self._site.keys:
                told = "no token is in the settings yet; `imbot token` makes one"
            raise RefusedError(401, "token", told)
        return key

    def count(self, key: Key) -> None:
        """Count a request of this key.

        Raises:
            RefusedError: There were too many.
        """
        _pace(self._asking, key.name)


def require_role(key: Key, role: Role) -> None:
    """Return if who asks may.

    Raises:
        RefusedError: Their token is not good for it.
    """
    if key.role < role:
        told = f"this takes the role {role.word}, and the token of {key.name} has another"
        raise RefusedError(403, "role", f"{told}: {key.role.word}")


def _pace(bucket: Bucket, who: str) -> None:
    if wait_s := bucket.wait_s(who):
        told = f"too many requests; the next may come in {max(wait_s, 1):.0f} s"
        raise RefusedError(429, "pace", told)
    bucket.take(who)
