"""Where people and their programs are served, and whose tokens are taken."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from imbot.admin.keys import Key, Keys, Role, hash_of
from imbot.config import Loaded
from imbot.errors import ConfigError
from imbot.problems import Place, Problem
from imbot.settings import TlsPart

#: What every path of the API begins with.
PREFIX = "/api/v1"


@dataclass(frozen=True, slots=True)
class Site:
    """Where it is served, and to whom.

    Attributes:
        listen: Host and port.
        keys: Whose tokens are taken.
        hosts: Names under which it may be asked for, beside those of this machine.
        tls: What the connection is encrypted with; None for none.
    """

    listen: str
    keys: Keys = field(default_factory=lambda: Keys(()))
    hosts: frozenset[str] = frozenset()
    tls: ssl.SSLContext | None = None

    @property
    def host(self) -> str:
        """The address, without its port."""
        return self.listen.rpartition(":")[0]


def site_of(loaded: Loaded) -> Site:
    """Return where people and their programs are served.

    Raises:
        ConfigError: A certificate or its key cannot be used.
    """
    part = loaded.settings.admin
    keys = [Key(each.name, Role[each.role.upper()], each.sha256) for each in part.tokens]
    if part.token is not None:
        keys.append(Key("admin", Role.ADMIN, hash_of(part.token.get_secret_value())))
    return Site(
        part.listen,
        Keys(keys),
        frozenset(host.lower() for host in part.hosts),
        None if part.tls is None else _encryption(part.tls, loaded.base),
    )


def _encryption(part: TlsPart, base: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(base / part.certificate, base / part.key)
    except (OSError, ssl.SSLError) as error:
        what = f"the certificate and its key cannot be used: {error}"
        cure = "name two PEM files that belong together, and that imbot may read"
        raise ConfigError([Problem(Place("admin.tls"), "wrong-value", what, cure)]) from error
    return context
