"""How an agent is doing, for health checks and people."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class AgentState(StrEnum):
    """Where an agent's life stands."""

    LOGGING_IN = "logging_in"
    UP = "up"
    LOST = "lost"
    WAITING = "waiting"
    LOCKED = "locked"
    FAILED = "failed"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """One agent, at a glance.

    Attributes:
        user: The agent.
        state: ``lost``: logged in, the subscription is broken; ``waiting``: before the next login;
            ``locked``: as that, much longer, since its credentials were refused; ``failed``: as
            that, since only an administrator can help.
        since: When it came to be so.
        cause: Why, for people; empty when all is well.
        gaps: How often messages may have been lost since the start.
        device_path: The device that operations name; None when GWS is left the choice.
    """

    user: str
    state: AgentState
    since: datetime
    cause: str = ""
    gaps: int = 0
    device_path: str | None = None
