"""The HTTP server for people and their programs: whom it lets in, and in what form it answers.

Nothing that comes in is believed before it was checked here: the host that was asked for, how
often, whose token, the content type, the size, and every field.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self

import structlog
from aiohttp import web
from pydantic import BaseModel, ValidationError

import imbot
from imbot.admin.forms import LONGEST_NAME, Form, Refusal
from imbot.admin.health import HTTP_STATUS, Health
from imbot.admin.keys import Key, Role
from imbot.admin.limits import AT_ONCE, PER_S, WRONG_AT_ONCE, WRONG_EACH_S, Bucket
from imbot.admin.openapi import PREFIX, described
from imbot.admin.routing import Asked, RefusedError, Route
from imbot.admin.showing import health as shown_health
from imbot.admin.site import Site
from imbot.admin.unread import Unread
from imbot.clock import Clock, SystemClock
from imbot.errors import ImbotError, StoreError
from imbot.jsontext import decode_json, encode_json
from imbot.model import JSON
from imbot.records import Audited
from imbot.settings import is_loopback

log = structlog.get_logger()

#: The largest body that is read.
MAX_BODY_BYTES = 256 * 1024

#: So long a body may take to come, and a head, or the next request of a connection.
BODY_S, HEAD_S = 30.0, 75.0

#: What a server that asks for metrics has to be told that they are.
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: How much of a body the audit trail keeps.
_AUDITED_CHARS = 1000

#: With every answer: it is kept nowhere, and no browser makes anything of it but what it is.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "imbot",
    "X-Content-Type-Options": "nosniff",
}

_LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})


class AdminServer:
    """Serves while its ``async with`` block runs.

    Args:
        site: Where and to whom.
        health: Says how imbot is doing.
        metrics: Gives the metrics in Prometheus' text format; None for none.
        routes: What else can be asked.
        audit: Takes down what people did.
        clock: Time.
    """

    def __init__(
        self,
        site: Site,
        health: Callable[[], Health],
        *,
        metrics: Callable[[Health], bytes] | None = None,
        routes: Sequence[Route] = (),
        audit: Callable[[Audited], None] = lambda _: None,
        clock: Clock | None = None,
    ) -> None:
        self._site = site
        self._health = health
        self._metrics = metrics
        self._audit = audit
        self._clock = clock = clock or SystemClock()
        self._asking = Bucket(clock, per_s=PER_S, at_once=AT_ONCE)
        self._wrong = Bucket(clock, per_s=1 / WRONG_EACH_S, at_once=WRONG_AT_ONCE)
        self._hosts = _LOCAL | {site.host.lower()} | site.hosts
        app = web.Application(middlewares=[self._guarded], client_max_size=MAX_BODY_BYTES)
        app.router.add_route("GET", "/health", self._serve_health)
        if metrics is not None:
            app.router.add_route("GET", "/metrics", self._serve_metrics)
        for route in routes:
            app.router.add_route(route.method, f"{PREFIX}{route.path}", self._serving(route))
        if routes:
            self._description = described(routes, version=imbot.__version__)
            app.router.add_route("GET", f"{PREFIX}/openapi.json", self._serve_description)
        app.on_response_prepare.append(_with_headers)
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

    # Whom it lets in --------------------------------------------------------------------------

    @web.middleware
    async def _guarded(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Turn whatever goes wrong into an answer; let in who may ask at all."""
        try:
            self._require_host(request)
            return await handler(request)
        except RefusedError as error:
            return _refusal(error.status, error.error, str(error))
        except web.HTTPException as error:
            answer = _refusal(error.status, _word(error), _sentence(error))
            if "Allow" in error.headers:
                answer.headers["Allow"] = error.headers["Allow"]
            return answer
        except StoreError as error:
            log.warning("admin.store_failed", path=request.path, cause=str(error))
            return _refusal(503, "store", "the store cannot be read or written now")
        except Exception:  # the top of a request: whatever it is, it is told nobody outside
            log.exception("admin.failed", method=request.method, path=request.path)
            return _refusal(500, "imbot", "imbot's own error; its log tells more")

    def _require_host(self, request: web.Request) -> None:
        """Refuse what was sent to another name: a page elsewhere may have brought it here."""
        host, _, port = request.host.lower().rpartition(":")
        if not port.isdecimal() or not host:
            host = request.host.lower()
        if host not in self._hosts:
            raise RefusedError(421, "host", "it is not served under this name; see admin.hosts")

    def _key(self, request: web.Request) -> Key:
        """Return who asks.

        Whoever guesses tokens waits, and nobody else does: all effects can always be stopped.

        Raises:
            RefusedError: Nobody that is known, or too often.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        key = self._site.keys.of(token.strip()) if scheme.lower() == "bearer" else None
        if key is None:
            _pace(self._wrong, request.remote or "")
            told = "show a token: Authorization: Bearer imbot_…"
            if not self._site.keys:
                told = "no token is in the settings yet; `imbot token` makes one"
            raise RefusedError(401, "token", told)
        _pace(self._asking, key.name)
        return key

    def _may_look(self, request: web.Request) -> None:
        """Let anybody on this machine see how imbot is doing, and others with a token."""
        is_passed_on = "Forwarded" in request.headers or "X-Forwarded-For" in request.headers
        if is_passed_on or not is_loopback(request.remote or ""):
            self._key(request)

    # What it answers --------------------------------------------------------------------------

    async def _serve_health(self, request: web.Request) -> web.Response:
        self._may_look(request)
        health = self._health()
        return _answer(shown_health(health), HTTP_STATUS[health.status])

    async def _serve_metrics(self, request: web.Request) -> web.Response:
        self._may_look(request)
        body = b"" if self._metrics is None else self._metrics(self._health())
        return web.Response(body=body, headers={"Content-Type": METRICS_TYPE})

    async def _serve_description(self, request: web.Request) -> web.Response:
        self._key(request)
        return _json(self._description)

    def _serving(self, route: Route) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def serve(request: web.Request) -> web.Response:
            if not route.changes:
                key = self._key(request)
                _require_role(key, route.role)
                return _answer(await route.answers(await _asked(request, route, key)))
            return await self._audited(request, route)

        return serve

    async def _audited(self, request: web.Request, route: Route) -> web.Response:
        """Do what changes something, and take down who wanted it and what came of it."""
        key, asked, status = None, None, 500
        try:
            key = self._key(request)
            _require_role(key, route.role)
            asked = await _asked(request, route, key)
            answer = _answer(await route.answers(asked))
            status = answer.status
        except RefusedError as error:
            status = error.status
            raise
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            # Nobody fills the store by asking without a token: those are few, and then none.
            if key is not None or status != 429:  # noqa: PLR2004  HTTP
                self._take_down(request, key, asked, status)
        return answer

    def _take_down(
        self, request: web.Request, key: Key | None, asked: Asked | None, status: int
    ) -> None:
        # What a webhook brings is kept as its event, and by its rules.
        form = asked.body if asked is not None and isinstance(asked.body, Form) else None
        body = "" if form is None else form.model_dump_json()
        self._audit(
            Audited(
                self._clock.now(),
                "" if key is None else key.name,
                "" if key is None else key.role.word,
                request.remote or "",
                f"{request.method} {request.path} {body}".strip()[:_AUDITED_CHARS],
                status,
            )
        )


def _pace(bucket: Bucket, who: str) -> None:
    """Count a request.

    Raises:
        RefusedError: There were too many.
    """
    if wait_s := bucket.wait_s(who):
        told = f"too many requests; the next may come in {max(wait_s, 1):.0f} s"
        raise RefusedError(429, "pace", told)
    bucket.take(who)


def _require_role(key: Key, role: Role) -> None:
    """Return if who asks may.

    Raises:
        RefusedError: Their token is not good for it.
    """
    if key.role < role:
        told = f"this takes the role {role.word}, and the token of {key.name} has another"
        raise RefusedError(403, "role", f"{told}: {key.role.word}")


# Requests -------------------------------------------------------------------------------------


async def _asked(request: web.Request, route: Route, key: Key) -> Asked:
    """Return a request with everything about it checked.

    Raises:
        RefusedError: Something is wrong with it.
    """
    named = dict(request.match_info)
    if any(len(name) > LONGEST_NAME for name in named.values()):
        raise RefusedError(400, "path", "a name in the path is too long")
    query = await _query(request, route.query)
    return Asked(key.name, named, query, await _body(request, route.body))


async def _query(request: web.Request, form: type[Form] | None) -> Form | None:
    given: dict[str, str] = {}
    for name, value in request.query.items():
        if name in given:
            raise RefusedError(400, "query", f"{name} is given more than once")
        given[name] = value
    if form is None:
        if given:
            raise RefusedError(400, "query", f"nothing is asked by {', '.join(given)} here")
        return None
    return _filled(form, given)


async def _body(request: web.Request, form: Any) -> Any:  # noqa: ANN401  as the route says
    if form is None:
        if request.body_exists and await _read(request):
            raise RefusedError(400, "body", "this takes no body")
        return None
    if request.content_type != "application/json" or "Content-Encoding" in request.headers:
        raise RefusedError(415, "content-type", "send JSON: Content-Type: application/json")
    try:
        given = decode_json(await _read(request))
    except ValueError as error:
        raise RefusedError(400, "body", f"this is no JSON: {error}") from error
    return given if form is Any else _filled(form, given, strict=True)


async def _read(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_S):
            return await request.read()
    except TimeoutError as error:
        told = f"the body did not come within {BODY_S:g} s"
        raise RefusedError(408, "body", told) from error
    except web.RequestPayloadError as error:
        raise RefusedError(400, "body", "the body is not as its head says") from error


def _filled(form: type[Form], given: JSON, *, strict: bool = False) -> Form:
    try:
        return form.model_validate(given, strict=strict)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        told = f"{where}: {first['msg']}" if where else str(first["msg"])
        raise RefusedError(422, "form", told) from error


# Answers --------------------------------------------------------------------------------------


def _answer(form: BaseModel, status: int = 200) -> web.Response:
    return _json(form.model_dump(mode="json"), status)


def _json(value: JSON, status: int = 200) -> web.Response:
    return web.Response(
        body=encode_json(value), status=status, content_type="application/json", charset="utf-8"
    )


def _refusal(status: int, error: str, message: str) -> web.Response:
    answer = _answer(Refusal(error=error, message=message), status)
    if status == 401:  # noqa: PLR2004  HTTP
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _word(error: web.HTTPException) -> str:
    return {404: "path", 405: "method", 413: "size"}.get(error.status, "request")


def _sentence(error: web.HTTPException) -> str:
    return {
        404: "there is nothing here",
        405: "this cannot be asked in that way",
        413: f"a body has at most {MAX_BODY_BYTES} bytes",
    }.get(error.status, error.reason)


async def _with_headers(_request: web.Request, answer: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        answer.headers.setdefault(name, value)
    answer.headers["Server"] = "imbot"
