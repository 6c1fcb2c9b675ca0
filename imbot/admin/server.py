"""The HTTP server for people and their programs.

Nothing that comes in is believed before it was checked: the host that was asked for, how often,
whose token (:mod:`imbot.admin.gate`), the content type, the size and every field
(:mod:`imbot.admin.asking`).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, Self

import structlog
from aiohttp import web

import imbot
from imbot.admin.answering import (
    MAX_BODY_BYTES,
    answer,
    json_answer,
    refusal,
    refused_by_http,
    with_headers,
)
from imbot.admin.asking import asked_by
from imbot.admin.gate import Gate, require_role
from imbot.admin.health import HTTP_STATUS, Health
from imbot.admin.openapi import described
from imbot.admin.routing import RefusedError, Route, Serves
from imbot.admin.showing import health as shown_health
from imbot.admin.site import PREFIX, Site
from imbot.admin.trail import Trail
from imbot.admin.unread import Unread
from imbot.clock import Clock
from imbot.errors import ImbotError, StoreError
from imbot.records import Audited

log = structlog.get_logger()

#: So long a head may take to come, or the next request of a connection.
HEAD_S = 75.0

#: What a server that asks for metrics has to be told that they are.
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Pages(Protocol):
    """What people see in a browser."""

    def serving(self, gate: Gate, trail: Trail) -> Iterable[tuple[str, str, Serves]]:
        """Yield the method and path of everything there is to see or do, and what answers it."""
        ...

    def refusal(self, request: web.Request, error: RefusedError) -> web.StreamResponse | None:
        """Return why something is refused, as a page; None for whoever wants none."""
        ...


class AdminServer:
    """Serves while its ``async with`` block runs.

    Args:
        site: Where and to whom.
        health: Says how imbot is doing.
        clock: Time.
        metrics: Gives the metrics in Prometheus' text format; None for none.
        routes: What else can be asked.
        audit: Takes down what people did.
        pages: The dashboard; None for none.
    """

    def __init__(
        self,
        site: Site,
        health: Callable[[], Health],
        clock: Clock,
        *,
        metrics: Callable[[Health], bytes] | None = None,
        routes: Sequence[Route] = (),
        audit: Callable[[Audited], None] = lambda _: None,
        pages: Pages | None = None,
    ) -> None:
        self._site = site
        self._health = health
        self._metrics = metrics
        self._pages = pages
        self.gate = Gate(site, clock)
        self._trail = Trail(audit, clock)
        app = web.Application(middlewares=[self._guarded], client_max_size=MAX_BODY_BYTES)
        add = app.router.add_route
        add("GET", "/health", self._serve_health)
        if metrics is not None:
            add("GET", "/metrics", self._serve_metrics)
        for route in routes:
            add(route.method, f"{PREFIX}{route.path}", self._serving(route))
        if routes:
            self._description = described(routes, version=imbot.__version__)
            add("GET", f"{PREFIX}/openapi.json", self._serve_description)
        if pages is not None:
            for method, path, serve in pages.serving(self.gate, self._trail):
                add(method, path, serve)
        app.on_response_prepare.append(with_headers)
        self._runner = web.AppRunner(
            app, access_log=None, logger=Unread(), keepalive_timeout=HEAD_S, shutdown_timeout=1.0
        )

    async def __aenter__(self) -> Self:
        """Begin to listen.

        Raises:
            ImbotError: It cannot.
        """
        host, _, port = self._site.listen.rpartition(":")
        await self._runner.setup()
        try:
            site = web.TCPSite(
                self._runner, host.strip("[]"), int(port), ssl_context=self._site.tls
            )
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise ImbotError(
                f"admin.listen: cannot listen on {host.strip('[]')}:{port}: {error.strerror}; "
                "stop what listens there, or choose another port"
            ) from error
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Listen no more."""
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self._runner.addresses[0][:2]
        scheme = "http" if self._site.tls is None else "https"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Serves) -> web.StreamResponse:
        """Turn whatever goes wrong into an answer; let in who may ask at all."""
        try:
            self.gate.require_host(request)
            return await handler(request)
        except RefusedError as error:
            return self._refused(request, error)
        except web.HTTPException as error:
            refused = self._refused(request, refused_by_http(error))
            if "Allow" in error.headers:
                refused.headers["Allow"] = error.headers["Allow"]
            return refused
        except StoreError as error:
            log.warning("admin.store_failed", path=request.path, cause=str(error))
            told = "the store cannot be read or written now"
            return self._refused(request, RefusedError(503, "store", told))
        except Exception:  # the top of a request: whatever it is, it is told nobody outside
            log.exception("admin.failed", method=request.method, path=request.path)
            told = "imbot's own error; its log tells more"
            return self._refused(request, RefusedError(500, "imbot", told))

    def _refused(self, request: web.Request, error: RefusedError) -> web.StreamResponse:
        page = None if self._pages is None else self._pages.refusal(request, error)
        return page or refusal(error)

    # What it answers --------------------------------------------------------------------------

    async def _serve_health(self, request: web.Request) -> web.Response:
        self.gate.require_looker(request)
        health = self._health()
        return answer(shown_health(health), HTTP_STATUS[health.status])

    async def _serve_metrics(self, request: web.Request) -> web.Response:
        self.gate.require_looker(request)
        body = b"" if self._metrics is None else self._metrics(self._health())
        return web.Response(body=body, headers={"Content-Type": METRICS_TYPE})

    async def _serve_description(self, request: web.Request) -> web.Response:
        self.gate.key_of(request)
        return json_answer(self._description)

    def _serving(self, route: Route) -> Serves:
        async def serve(request: web.Request) -> web.Response:
            if route.changes:
                return answer(
                    await self._trail.done(
                        request,
                        route,
                        who=lambda: self.gate.key_of(request),
                        what=lambda key: asked_by(request, route, key),
                    )
                )
            key = self.gate.key_of(request)
            require_role(key, route.role)
            return answer(await route.answers(await asked_by(request, route, key)))

        return serve
