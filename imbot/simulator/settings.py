"""What a simulator is started with. Nothing here changes while it runs, faults excepted."""

from pydantic import BaseModel, ConfigDict, Field

from imbot.simulator.faults import Faults


class AgentAccount(BaseModel):
    """One agent that may log in.

    Attributes:
        user: User name of the login.
        password: Its password.
        number: Phone number of the agent's device.
        bearer: Token that logs the agent in instead of the password; None forbids bearer logins.
        im_feature: Whether the agent has the feature ``api-voice-instant-messaging``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    user: str = Field(min_length=1)
    password: str
    number: str = Field(min_length=1)
    bearer: str | None = None
    im_feature: bool = True


class SimulatorSettings(BaseModel):
    """How the simulated GWS is deployed.

    Attributes:
        agents: Agents that may log in.
        accounts_on_demand: Any user and password is an agent; its number is given on first sight.
        csrf: POSTs need the CSRF token that GET replies carry.
        csrf_header: Name of the header that carries the token.
        ack: The server offers CometD's ack extension.
        strict: What GWS documents as mandatory is refused when missing or of a wrong type.
        seed: Seed of ids and of every fault's probability.
        host: Address to bind.
        port: Port to bind; 0 takes a free one.
        poll_timeout_s: How long ``/meta/connect`` is held (CometD ``timeout``).
        interval_s: Pause that the advice asks for between two polls (CometD ``interval``).
        max_interval_s: A session not polled for ``interval_s`` plus this is removed.
        sessions_per_browser: Held polls per ``BAYEUX_BROWSER`` cookie.
        multi_session_interval_s: Pause advised to those beyond it.
        http_session_s: Idle seconds after which JSESSIONID is forgotten.
        ring_timeout_s: Seconds an unanswered IM session rings before it is completed.
        uri_base: Beginning of every ``uri`` in replies: an inner host that clients cannot reach.
        version: What ``/diagnostics/version`` says.
        keep_completed: Completed IM sessions that stay readable for tests.
        log_limit: Entries of the log that are kept.
        faults: Faults from the start.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    agents: tuple[AgentAccount, ...] = (AgentAccount(user="bot1", password="pw", number="1001"),)  # noqa: S106 - a test agent's password is no secret
    accounts_on_demand: bool = False
    csrf: bool = True
    csrf_header: str = "X-CSRF-TOKEN"
    ack: bool = True
    strict: bool = True
    seed: int = 0
    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    poll_timeout_s: float = Field(default=30.0, gt=0)
    interval_s: float = Field(default=0.0, ge=0)
    max_interval_s: float = Field(default=10.0, gt=0)
    sessions_per_browser: int = Field(default=1, ge=1)
    multi_session_interval_s: float = Field(default=2.0, gt=0)
    http_session_s: float = Field(default=1800.0, gt=0)
    ring_timeout_s: float = Field(default=30.0, gt=0)
    uri_base: str = "http://gws.invalid:8090"
    version: str = "8.5.202.96"
    keep_completed: int = Field(default=10_000, ge=0)
    log_limit: int = Field(default=1_000_000, ge=2)
    faults: Faults = Faults()
