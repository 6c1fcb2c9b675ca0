"""Whether imbot serves, and if not, why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Health:
    """How imbot is doing.

    Attributes:
        status: ``ready``, ``degraded`` or ``starting``; ``safe-mode`` or ``critical`` where imbot
            stands by and acts on nothing.
        reasons: Why it is not ready.
        agents: How many agents there are.
        agents_up: How many of them are logged in and subscribed.
        sessions: How many sessions are in progress.
        breakers: Why the breakers of rules are open, by rule id; imbot is ready all the same.
        parked: How many effects wait for a person; `imbot parked` lists them.
        echoes: Whether GWS shows our own messages: ``heard``, ``missing`` or ``unknown`` yet.
        echo_longest_s: The longest time that an echo took.
        quiesce_s: How long a reply that may have been said waits for its proof, by now.
        suppressed: How often rules that matched did not run since the start, by reason.
        quarantined: How many rows of the store are in quarantine; `imbot store check` lists them.
        undocumented: How often GWS said what is not documented since the start, by kind of word.
        loop_lag_s: How late the event loop came round at worst within the last minute.
    """

    status: str
    reasons: Sequence[str]
    agents: int
    agents_up: int
    breakers: Mapping[str, str] = field(default_factory=dict)
    loop_lag_s: float = 0.0
    parked: int = 0
    suppressed: Mapping[str, int] = field(default_factory=dict)
    echoes: str = "unknown"
    echo_longest_s: float = 0.0
    quiesce_s: float = 0.0
    quarantined: int = 0
    undocumented: Mapping[str, int] = field(default_factory=dict)
    sessions: int = 0


#: HTTP status by health; a degraded imbot still serves.
HTTP_STATUS = {
    "ready": 200,
    "degraded": 200,
    "starting": 503,
    "safe-mode": 503,
    "critical": 503,
}

#: Every status that there is.
STATUSES = tuple(HTTP_STATUS)
