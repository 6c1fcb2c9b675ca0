"""What an agent's wire is told: plain frozen values that the configuration fills.

Nothing here is checked against the world; a wrong place or login code shows at the login.
"""

from dataclasses import dataclass
from enum import StrEnum

from imbot.gws.auth import Auth

#: ``on_alerting`` value that leaves an invitation to GWS and to people.
WAIT = "wait"


class OnStop(StrEnum):
    """What becomes of the login when the agent stops. Source: contract 9.2."""

    LOGOUT = "logout"
    KEEP = "keep"
    COMPLETE = "complete"


class Leftovers(StrEnum):
    """What becomes of IM sessions found at the first login. Source: contract 9.1."""

    ADOPT = "adopt"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class GwsSettings:
    """The deployment, the same for every agent.

    Attributes:
        url: ``scheme://host:port`` of GWS, without a path.
        cometd_path: Path of the CometD endpoint.
        on_alerting: ``wait``, or the name of an operation tried once on an invitation that still
            rings after ``alerting_s``; capabilities ``Answer`` and ``Accept`` need no setting.
        on_stop: What becomes of the login when the agent stops.
        leftovers: What becomes of IM sessions found at the first login.
        request_timeout_s: For one request.
        ready_timeout_s: How long an operation waits for an agent that is logging in again.
        device_timeout_s: How long the device may take to be logged in.
        initiate_timeout_s: How long an accepted InitiateIMSession may take to show its session.
        alerting_s: How long an invitation may ring before ``on_alerting`` is tried, or else told.
        resync_s: Time between two proofs that the subscription is alive; also keeps the HTTP
            session alive, so at most 600.
        lockout_s: Pause after three logins with wrong credentials, and after refusals that only
            an administrator can lift.
        contact_center_id: Sent as ``ContactCenterId``; empty for none.
    """

    url: str
    cometd_path: str = "/api/v2/notifications"
    on_alerting: str = WAIT
    on_stop: OnStop = OnStop.LOGOUT
    leftovers: Leftovers = Leftovers.ADOPT
    request_timeout_s: float = 10.0
    ready_timeout_s: float = 15.0
    device_timeout_s: float = 15.0
    initiate_timeout_s: float = 10.0
    alerting_s: float = 2.0
    resync_s: float = 60.0
    lockout_s: float = 300.0
    contact_center_id: str = ""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """One account.

    Attributes:
        user: Unique name of the agent in imbot; with Basic also its GWS user.
        auth: How it logs in.
        place: Place to log in at; empty leaves it to GWS.
        login_code: Login code; empty for none.
        queue: Queue; empty for none.
        device: Id, path or number of the device to use; empty leaves the choice to imbot.
        channels: Channels to start; IM rides on voice.
        agent_state: Operation that sets the agent's state after login (``Ready``, ``NotReady``);
            empty leaves the state as it is.
    """

    user: str
    auth: Auth
    place: str = ""
    login_code: str = ""
    queue: str = ""
    device: str = ""
    channels: tuple[str, ...] = ("voice",)
    agent_state: str = ""
