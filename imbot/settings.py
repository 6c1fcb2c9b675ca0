"""The settings as values: what each means, its default, and nothing of where it came from."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    field_validator,
    model_validator,
)

from imbot.durations import format_duration, parse_duration
from imbot.problems import nearest
from imbot.secretnames import is_secret_name
from imbot.zones import time_zone


def _seconds(given: object) -> object:
    return parse_duration(given) if isinstance(given, str) else given


def _zone(name: str) -> str:
    try:
        time_zone(name)
    except ValueError as error:
        right = nearest(name, available_timezones())
        cure = f"did you mean '{right}'?" if right else "write one such as Europe/Berlin"
        raise ValueError(f"'{name[:60]}' is no time zone; {cure}") from error
    return name


def _origin(url: str) -> str:
    if not _is_origin(url):
        raise ValueError("this is no origin; write scheme://host or scheme://host:port, no path")
    return url.rstrip("/")


def _is_origin(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return False
    beyond = "@" in parts.netloc or parts.path.strip("/") or "?" in url or "#" in url
    return bool(is_address) and not beyond and not re.search(r"[\s\\]", url)


def _store(url: str) -> str:
    if not re.match("(sqlite|postgresql)[+a-z0-9]*://", url):
        raise ValueError("this is no store; write sqlite:///FILE.db")
    return url


def _listen(address: str) -> str:
    host, _, port = address.rpartition(":")
    is_host = re.fullmatch(r"[^\s:\[\]]+|\[[0-9a-fA-F:.]+\]", host)
    if not is_host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > _LAST_PORT:
        raise ValueError("this is no address with a port; write one such as 127.0.0.1:8081")
    return address


def is_loopback(host: str) -> bool:
    """Return whether nobody but this machine reaches a host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _country(code: str) -> str:
    if not re.fullmatch("[A-Z]{2}", code):
        raise ValueError("this is no country; write two capitals such as DE")
    return code


def _not_empty(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value():
        raise ValueError("this secret is empty")
    return secret


_LAST_PORT = 65535

#: A duration such as ``90s``; seconds once read.
Seconds = Annotated[
    float, BeforeValidator(_seconds), Field(ge=0), PlainSerializer(format_duration, str)
]
#: A time zone such as ``Europe/Berlin``.
Zone = Annotated[str, AfterValidator(_zone)]
#: ``scheme://host[:port]``.
Origin = Annotated[str, AfterValidator(_origin)]
#: Text that is never shown; not empty.
Secret = Annotated[SecretStr, AfterValidator(_not_empty)]


@dataclass(frozen=True, slots=True)
class Spelled:
    """A number under a key that only a plugin knows: text there, or a number."""

    number: Any  # int or float
    text: str


def _guarded(value: object, name: str = "") -> object:
    """Return an option's value, every text under a name that sounds secret wrapped."""
    if isinstance(value, Mapping):
        return {key: _guarded(item, str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_guarded(item, name) for item in value]
    return SecretStr(value) if isinstance(value, str) and is_secret_name(name) else value


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )


class GwsPart(_Part):
    """``gws``: the deployment, the same for every agent."""

    url: Origin
    """Where GWS answers, for example ``https://gws.example:8090``."""
    ca_file: Path | None = None
    """PEM file with the certificate authority of GWS; the system's own when absent."""
    cometd_path: str = Field(default="/api/v2/notifications", pattern="^/")
    """Path of the CometD endpoint; begins with a slash."""
    strict_capabilities: bool = False
    """Whether a step is withheld when GWS does not list its operation as a capability."""
    on_alerting: str = Field(default="wait", min_length=1)
    """``wait``, or the name of the operation that accepts an invitation."""
    alerting: Seconds = 2.0
    """How long an invitation may ring before that is tried."""
    on_stop: Literal["logout", "keep", "complete"] = "logout"
    """What a stop does with the logins; ``complete`` ends live sessions first."""
    leftovers: Literal["adopt", "complete"] = "adopt"
    """What a start does with sessions that it finds."""
    resync: Seconds = Field(default=60.0, gt=0, le=600)
    """Time between two comparisons of the session table with GWS; at most 10 minutes."""
    contact_center_id: str = ""
    """Sent as the header ``ContactCenterId``; empty for none."""


class BotPart(_Part):
    """``bot``: who the bot is."""

    nickname: str = "Bot"
    """How it presents itself; rules see it as ``bot.nickname``."""
    instance: str = Field(default="imbot", pattern=r"^[A-Za-z0-9_-]{1,32}$")
    """Names this imbot among others in the mark that bots leave for each other: letters, digits,
    ``_`` and ``-``."""


class AuthPart(_Part):
    """``auth`` of an agent: how it logs in without a password; exactly one of these."""

    bearer: Secret | None = None
    """Token sent as ``Authorization: Bearer``."""
    cookies: dict[str, Secret] | None = Field(default=None, min_length=1)
    """Cookies of a login made elsewhere."""
    headers: dict[str, Secret] | None = Field(default=None, min_length=1)
    """Headers that a proxy in front of GWS trusts."""

    @model_validator(mode="after")
    def _is_one(self) -> "AuthPart":
        if sum(way is not None for way in (self.bearer, self.cookies, self.headers)) != 1:
            raise ValueError("name exactly one of bearer, cookies, headers")
        return self


class AgentPart(_Part):
    """One of ``agents``: an account that imbot works for."""

    user: str = Field(min_length=1)
    """GWS user name; unique among the agents."""
    password: Secret | None = None
    """Its password."""
    auth: AuthPart | None = None
    """Another way to log in."""
    encoding: Literal["utf-8", "iso-8859-1"] = "utf-8"
    """How user and password are encoded for Basic authentication."""
    place: str = ""
    """Place to log in at; empty leaves it to GWS."""
    login_code: str = ""
    """Login code of the device; empty for none."""
    queue: str = ""
    """Queue; empty for none."""
    device: str = ""
    """Id or number of the device to use where several can; empty lets imbot choose."""
    channels: tuple[str, ...] = Field(default=("voice",), min_length=1)
    """Channels to log in on; instant messages ride on voice."""
    agent_state: str = ""
    """State to set after the login, ``Ready`` or ``NotReady``; empty leaves it."""

    @model_validator(mode="after")
    def _can_log_in(self) -> "AgentPart":
        if (self.password is None) == (self.auth is None):
            raise ValueError("name exactly one of password, auth")
        if self.password is not None:
            self._fits_basic(self.password.get_secret_value())
        return self

    def _fits_basic(self, password: str) -> None:
        if ":" in self.user:
            raise ValueError("a user with ':' cannot log in with a password; use auth")
        try:
            f"{self.user}{password}".encode(self.encoding)
        except UnicodeEncodeError:
            told = f"user or password cannot be written in {self.encoding}"
            raise ValueError(f"{told}; write encoding: utf-8") from None  # it shows the password


class PluginsPart(_Part):
    """``plugins``: which are used, and their options."""

    disabled: tuple[str, ...] = ()
    """Names of plugins that are not to be used."""
    paths: tuple[Path, ...] = ()
    """Folders with plugins of one's own."""
    options: Annotated[dict[str, dict[str, Any]], AfterValidator(_guarded)] = Field(
        default_factory=dict
    )
    """Options by plugin name."""


class HttpPart(_Part):
    """``http``: where rules and plugins may send requests."""

    allow: tuple[Origin, ...] = ()
    """Origins, ``scheme://host[:port]``; any other is refused. A name among them must lead to
    public addresses; an address, such as ``http://127.0.0.1:8092``, is taken as it is written."""
    internal: tuple[Origin, ...] = ()
    """Origins that may also be in a network of one's own: at private addresses, or on this machine.
    They need not be listed in ``allow``, too."""

    @property
    def origins(self) -> tuple[str, ...]:
        """Every origin that requests may go to."""
        return self.allow + self.internal


class DeliveryPart(_Part):
    """``delivery``: how much is waited for and sent."""

    quiesce: Seconds = 90.0
    """A request that has not taken effect by then never does; unknown replies wait so long, and
    three times as long as the longest echo took if that is more."""
    on_unknown: Literal["hold", "continue", "drop"] = "hold"
    """What a session's later replies do while nobody knows whether an earlier one was said: wait
    for that, go out all the same, or are not said, visibly."""
    expires: Seconds = 600.0
    """A reply that could not be said for so long is not said any more, visibly."""
    message_bytes: int = Field(default=1000, ge=100, le=65536)
    """Longer replies are split; SIP carries about 1,300 bytes."""
    reason_key: str = Field(default="imbot.reason", min_length=1)
    """The user-data key under which ``complete`` leaves its reason."""
    mark: bool = True
    """Whether to leave a mark in user data by which bots know each other."""
    keep: Seconds = 30 * 86400.0
    """How long ended sessions stay in the store."""


class BudgetPart(_Part):
    """``budget``: the most effects, of all rules together; a rule may have a budget of its own."""

    per_session: int | None = Field(default=None, ge=1)
    """In one session; any number when absent."""
    per_minute: int | None = Field(default=None, ge=1)
    """Of this imbot in any minute, a restart in between or not; any number when absent."""
    session_events_per_second: int = Field(default=10, ge=1)
    """Messages and changes of user data of one session that rules are asked about; twenty times as
    many may come at once."""


class TokenPart(_Part):
    """An entry of ``admin.tokens``, as ``imbot token`` writes it; the token itself is nowhere."""

    name: str = Field(min_length=1, max_length=100)
    """Who has it; the audit trail names them so."""
    role: Literal["read", "operate", "admin"]
    """``read`` looks, ``operate`` also stops, switches, closes and decides, ``admin`` all else."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$", repr=False)
    """Its hash."""


class TlsPart(_Part):
    """``admin.tls``: what the connections of people and their programs are encrypted with."""

    certificate: Path
    """A PEM file with the certificate and those that it rests on."""
    key: Path
    """A PEM file with its private key."""


class AdminPart(_Part):
    """``admin``: the HTTP endpoint for people and their programs."""

    listen: Annotated[str, AfterValidator(_listen)] = "127.0.0.1:8081"
    """Address and port; any but this machine's own takes ``tls`` and a token."""
    token: Secret | None = None
    """A token that may do everything, in the audit trail under the name ``admin``."""
    tokens: tuple[TokenPart, ...] = ()
    """Further tokens, a name and a role each."""
    hosts: tuple[str, ...] = ()
    """Names under which it may be asked for, beside those of this machine."""
    tls: TlsPart | None = None
    """A certificate and its key; without, connections are not encrypted."""

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        host = self.listen.rpartition(":")[0]
        if is_loopback(host):
            return self
        if self.tls is None or not (self.token or self.tokens):
            raise ValueError(
                f"{host} can be reached from elsewhere, which takes tls and a token; "
                "or listen on 127.0.0.1 behind a proxy"
            )
        return self

    @field_validator("tokens")
    @classmethod
    def _are_told_apart(cls, tokens: tuple[TokenPart, ...]) -> tuple[TokenPart, ...]:
        names = ["admin", *(token.name for token in tokens)]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"the name {', '.join(sorted(twice))} is taken; name each otherwise")
        return tokens


class LogPart(_Part):
    """``log``: what is told while running."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important level that is written."""
    format: Literal["auto", "text", "json"] = "auto"
    """``auto`` is text on a terminal and JSON elsewhere."""


class Settings(_Part):
    """Everything in force; users of agents are unique, which whoever makes it sees to."""

    gws: GwsPart
    """The deployment."""
    bot: BotPart = BotPart()
    """Who the bot is."""
    agents: tuple[AgentPart, ...] = Field(min_length=1)
    """The accounts, or the path of a CSV or YAML file with them."""
    rules: tuple[Path, ...] = (Path("rules"),)
    """Rule files, and folders of rule files."""
    shadow: bool = False
    """Whether all rules only decide and write down what they would do; nothing of it is sent."""
    plugins: PluginsPart = PluginsPart()
    """Plugins."""
    store: Annotated[str, AfterValidator(_store)] = Field(default="sqlite:///imbot.db", repr=False)
    """Where imbot keeps what it did, as a database URL."""
    store_on_damage: Literal["stop", "fresh"] = "stop"
    """What becomes of a store that is damaged and cannot be mended: ``stop`` acts on nothing until
    a person has seen to it; ``fresh`` puts it aside and begins a new one, in which nothing that was
    in doubt is sent again and no ``once`` rule acts in a session that lived before."""
    secrets: dict[str, Secret] = Field(default_factory=dict)
    """Secrets that rules may use, by name."""
    http: HttpPart = HttpPart()
    """Where requests may go."""
    delivery: DeliveryPart = DeliveryPart()
    """Waiting and sending."""
    budget: BudgetPart = BudgetPart()
    """The most effects of all rules together."""
    timezone: Zone = "UTC"
    """Time zone of rules that name none."""
    country: Annotated[str, AfterValidator(_country)] = "DE"
    """Country of phone numbers without a country code."""
    admin: AdminPart = AdminPart()
    """The HTTP endpoint for operators."""
    log: LogPart = LogPart()
    """Logging."""
