"""What a Bayeux reply says: the server's advice, errors, and acknowledgement numbers.

Pure, and total over anything that JSON can hold. What follows from a reply is
:mod:`imbot.bayeux.session`'s. Source: GWS contract 2.6 to 2.9.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from imbot.model import JSON

#: One Bayeux message: a JSON object with a ``channel``.
Message: TypeAlias = Mapping[str, JSON]

LONG_POLLING = "long-polling"

#: What a request that is answered at once may take, and what a poll may take beyond its hold [C].
NETWORK_DELAY_S = 10.0
#: Advice beyond this is a server's mistake; every wait has a bound.
MAX_ADVICE_MS = 600_000.0


@dataclass(frozen=True, slots=True)
class Advice:
    """The server's wishes, merged; durations in milliseconds as on the wire.

    ``reconnect`` is not kept: it speaks of the reply it stands in and of no later one.

    Attributes:
        timeout_ms: How long a connect is held. Before the server says: as cometd.js [C].
        interval_ms: How long to wait between connects.
        max_interval_ms: How long the server keeps a session without a connect. Default: [S].
        is_rivalled: Whether the server last saw another client with the same cookies.
    """

    timeout_ms: float = 60_000.0
    interval_ms: float = 0.0
    max_interval_ms: float = 10_000.0
    is_rivalled: bool = False

    def merged(self, advice: JSON) -> "Advice":
        """Return these wishes with one ``advice`` field laid over them, as far as it is sound.

        A timeout of 0 is the echo of our own ``advice.timeout`` and says nothing.
        """
        if not isinstance(advice, dict):
            return self
        return Advice(
            timeout_ms=_milliseconds(advice.get("timeout"), 0) or self.timeout_ms,
            interval_ms=_milliseconds(advice.get("interval"), self.interval_ms),
            max_interval_ms=_milliseconds(advice.get("maxInterval"), self.max_interval_ms),
            is_rivalled=advice.get("multiple-clients") is True,
        )

    @property
    def poll_timeout_s(self) -> float:
        """Seconds after which an unanswered connect is lost."""
        return self.timeout_ms / 1000 + NETWORK_DELAY_S

    @property
    def window_s(self) -> float:
        """Seconds without a good connect after which the server has forgotten the client id."""
        return (self.timeout_ms + self.interval_ms + self.max_interval_ms) / 1000


def _milliseconds(value: JSON, otherwise: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return otherwise
    return float(min(value, MAX_ADVICE_MS)) if 0 <= value < math.inf else otherwise


def is_successful(reply: Message) -> bool:
    """Tell whether a meta reply says so; one that is silent has failed."""
    return reply.get("successful") is True


def reconnect_of(reply: Message) -> str | None:
    """Return ``advice.reconnect`` of this very reply; None when it does not say."""
    advice = reply.get("advice")
    reconnect = advice.get("reconnect") if isinstance(advice, dict) else None
    return reconnect if isinstance(reconnect, str) else None


def error_of(reply: Message) -> str:
    """Return the reply's error, at most 200 characters, for people."""
    error = reply.get("error")
    return error[:200] if isinstance(error, str) else "no error given"


def error_code(reply: Message) -> str:
    """Return what stands before the first colon of a failed reply's error; may be empty."""
    return "" if is_successful(reply) else error_of(reply).partition(":")[0].strip()


def is_unknown_client(reply: Message) -> bool:
    """Tell whether the client id is gone: ``402::…``, or 401 (faye) and 403 that say "unknown"."""
    code = error_code(reply)
    return code == "402" or (code in {"401", "403"} and "unknown" in error_of(reply).casefold())


def is_ended(metas: Sequence[Message]) -> bool:
    """Tell whether a ``/meta/disconnect`` came that answers nothing of ours. Source: 2.6 [J]."""
    return any(
        meta.get("channel") == "/meta/disconnect" and meta.get("id") is None for meta in metas
    )


def offers_ack(reply: Message) -> bool:
    """Tell whether the server acknowledges: ``true`` or ``{"enabled": true, "batch": n}``."""
    ack = _ack_field(reply)
    return ack is True or (isinstance(ack, dict) and ack.get("enabled") is True)


def ack_number(reply: Message) -> int | None:
    """Return the number of the batch that came with a connect reply; None when there is none."""
    ack = _ack_field(reply)
    if isinstance(ack, dict):
        ack = ack.get("batch")
    return ack if isinstance(ack, int) and not isinstance(ack, bool) and ack >= 0 else None


def _ack_field(reply: Message) -> JSON:
    ext = reply.get("ext")
    return ext.get("ack") if isinstance(ext, dict) else None
