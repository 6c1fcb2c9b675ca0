"""``GET /health``: whether imbot serves, and if not, why; ``GET /metrics`` beside it.

Tells no secret and no message.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web

from imbot.errors import ImbotError


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


#: What a server that asks for metrics has to be told that they are.
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_NOT_KEPT = {"Cache-Control": "no-store"}

#: HTTP status by health; a degraded imbot still serves.
_HTTP_STATUS = {
    "ready": 200,
    "degraded": 200,
    "starting": 503,
    "safe-mode": 503,
    "critical": 503,
}

#: Every status that there is.
STATUSES = tuple(_HTTP_STATUS)


class HealthServer:
    """Serves ``/health``, and ``/metrics`` where there are any, while its block runs.

    Args:
        listen: Host and port.
        health: Says how imbot is doing.
        metrics: Gives the metrics in Prometheus' text format.
    """

    def __init__(
        self,
        listen: str,
        health: Callable[[], Health],
        metrics: Callable[[Health], bytes] | None = None,
    ) -> None:
        host, _, port = listen.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._health = health
        self._metrics = metrics
        app = web.Application()
        app.router.add_get("/health", self._serve)
        if metrics is not None:
            app.router.add_get("/metrics", self._serve_metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            where = f"{self._host}:{self._port}"
            raise ImbotError(
                f"admin.listen: cannot listen on {where}: {error.strerror}; "
                "stop what listens there, or choose another port"
            ) from error
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self._runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def _serve(self, _request: web.Request) -> web.Response:
        health = self._health()
        body = {
            "status": health.status,
            "reasons": list(health.reasons),
            "agents": health.agents,
            "agents_up": health.agents_up,
            "sessions": health.sessions,
            "breakers": dict(health.breakers),
            "parked": health.parked,
            "suppressed": dict(health.suppressed),
            "quarantined": health.quarantined,
            "undocumented": dict(health.undocumented),
            "echoes": health.echoes,
            "echo_longest_s": round(health.echo_longest_s, 3),
            "quiesce_s": round(health.quiesce_s, 3),
            "loop_lag_s": round(health.loop_lag_s, 3),
        }
        return web.json_response(body, status=_HTTP_STATUS[health.status], headers=_NOT_KEPT)

    async def _serve_metrics(self, _request: web.Request) -> web.Response:
        body = b"" if self._metrics is None else self._metrics(self._health())
        return web.Response(body=body, headers={"Content-Type": METRICS_TYPE, **_NOT_KEPT})
