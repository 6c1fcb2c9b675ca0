"""The settings as values: what each means, its default, and nothing of where it came from."""

from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)

from imbot.durations import parse_duration


def _seconds(given: object) -> object:
    return parse_duration(given) if isinstance(given, str) else given


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"'{name}' is no time zone; write one such as Europe/Berlin") from error
    return name


def _origin(url: str) -> str:
    scheme, _, rest = url.partition("://")
    if scheme not in ("http", "https") or not rest.strip("/") or "/" in rest.strip("/"):
        raise ValueError("write scheme://host or scheme://host:port, without a path")
    return url.rstrip("/")


#: A duration such as ``90s``; seconds once read.
Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0)]
Zone = Annotated[str, AfterValidator(_zone)]
#: ``scheme://host[:port]``.
Origin = Annotated[str, AfterValidator(_origin)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class GwsPart(_Part):
    """``gws``: the deployment, the same for every agent."""

    url: Origin
    """Where GWS answers, for example ``https://gws.example:8090``."""
    ca_file: Path | None = None
    """PEM file with the certificate authority of GWS; the system's own when absent."""
    cometd_path: str = "/api/v2/notifications"
    """Path of the CometD endpoint."""
    strict_capabilities: bool = False
    """Whether a step is withheld when GWS does not list its operation as a capability."""
    on_alerting: str = "wait"
    """``wait``, or the name of the operation that accepts an invitation."""
    on_stop: Literal["logout", "keep", "complete"] = "logout"
    """What a stop does with the logins; ``complete`` ends live sessions first."""
    leftovers: Literal["adopt", "complete"] = "adopt"
    """What a start does with sessions that it finds."""
    resync: Seconds = 60.0
    """Time between two comparisons of the session table with GWS."""
    contact_center_id: str = ""
    """Sent as the header ``ContactCenterId``; empty for none."""


class BotPart(_Part):
    """``bot``: who the bot is."""

    nickname: str = "Bot"
    """How it presents itself; rules see it as ``bot.nickname``."""
    instance: str = Field(default="imbot", pattern=r"^[A-Za-z0-9_-]{1,32}$")
    """Names this imbot among others in the mark that bots leave for each other."""


class AuthPart(_Part):
    """``auth`` of an agent: how it logs in without a password; exactly one of these."""

    bearer: SecretStr | None = None
    """Token sent as ``Authorization: Bearer``."""
    cookies: dict[str, SecretStr] | None = None
    """Cookies of a login made elsewhere."""
    headers: dict[str, SecretStr] | None = None
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
    password: SecretStr | None = None
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
    channels: tuple[str, ...] = ("voice",)
    """Channels to log in on; instant messages ride on voice."""
    agent_state: str = ""
    """State to set after the login, ``Ready`` or ``NotReady``; empty leaves it."""

    @model_validator(mode="after")
    def _can_log_in(self) -> "AgentPart":
        if (self.password is None) == (self.auth is None):
            raise ValueError("name exactly one of password, auth")
        return self


class PluginsPart(_Part):
    """``plugins``: which are used, and their options."""

    disabled: tuple[str, ...] = ()
    """Names of plugins that are not to be used."""
    paths: tuple[Path, ...] = ()
    """Folders with plugins of one's own."""
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Options by plugin name."""


class HttpPart(_Part):
    """``http``: where rules and plugins may send requests."""

    allow: tuple[Origin, ...] = ()
    """Origins, ``scheme://host[:port]``; any other is refused."""


class DeliveryPart(_Part):
    """``delivery``: how much is waited for and sent."""

    quiesce: Seconds = 90.0
    """A request that has not taken effect by then never does; unknown replies wait so long."""
    message_bytes: int = Field(default=1000, ge=100, le=65536)
    """Longer replies are split; SIP carries about 1,300 bytes."""
    reason_key: str = "imbot.reason"
    """The user-data key under which ``complete`` leaves its reason."""
    mark: bool = True
    """Whether to leave a mark in user data by which bots know each other."""
    keep: Seconds = 30 * 86400.0
    """How long ended sessions stay in the store."""


class AdminPart(_Part):
    """``admin``: the HTTP endpoint for operators; serves ``/health``."""

    listen: str = Field(default="127.0.0.1:8081", pattern=r"^[^\s:]+:[0-9]{1,5}$|^\[.+\]:[0-9]+$")
    """Address and port."""
    token: SecretStr | None = None
    """Bearer token that callers must show; not asked for on ``/health``."""


class LogPart(_Part):
    """``log``: what is told while running."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important level that is written."""
    format: Literal["auto", "text", "json"] = "auto"
    """``auto`` is text on a terminal and JSON elsewhere."""


class Settings(_Part):
    """Everything in force."""

    gws: GwsPart
    """The deployment."""
    bot: BotPart = BotPart()
    """Who the bot is."""
    agents: tuple[AgentPart, ...] = Field(min_length=1)
    """The accounts, or the path of a CSV or YAML file with them."""
    rules: tuple[Path, ...] = (Path("rules"),)
    """Rule files, and folders of rule files."""
    plugins: PluginsPart = PluginsPart()
    """Plugins."""
    store: str = "sqlite:///imbot.db"
    """Where imbot keeps what it did, as a database URL."""
    secrets: dict[str, SecretStr] = Field(default_factory=dict)
    """Secrets that rules may use, by name."""
    http: HttpPart = HttpPart()
    """Where requests may go."""
    delivery: DeliveryPart = DeliveryPart()
    """Waiting and sending."""
    timezone: Zone = "UTC"
    """Time zone of rules that name none."""
    country: str = Field(default="DE", pattern=r"^[A-Z]{2}$")
    """Country of phone numbers without a country code."""
    admin: AdminPart = AdminPart()
    """The HTTP endpoint for operators."""
    log: LogPart = LogPart()
    """Logging."""

    @model_validator(mode="after")
    def _users_differ(self) -> "Settings":
        users = [agent.user for agent in self.agents]
        if len(set(users)) < len(users):
            twice = sorted({user for user in users if users.count(user) > 1})
            raise ValueError(f"agents: {', '.join(twice)} stand there twice")
        return self
