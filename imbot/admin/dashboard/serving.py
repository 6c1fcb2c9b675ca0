"""Serves the dashboard: lets people in, shows pages, does what their forms say.

Whoever shows a token gets a session by cookie. Each page asks routes of the API for what it shows,
and each form asks the route that does what it is for: nothing can be seen or done here that the API
does not allow to the same token.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Self
from urllib.parse import parse_qsl, quote

from aiohttp import web

import imbot
from imbot.admin.answering import answer
from imbot.admin.asking import body_of, filled, names_in
from imbot.admin.dashboard.assets import ASSETS, Assets
from imbot.admin.dashboard.deeds import DEEDS, Deed, Fields, first
from imbot.admin.dashboard.live import TICK_S, Condition, Live
from imbot.admin.dashboard.moves import Moves
from imbot.admin.dashboard.pages import PAGES, Page
from imbot.admin.dashboard.paper import Paper
from imbot.admin.dashboard.visitors import LASTS_S, Visitor, Visitors
from imbot.admin.forms import Form
from imbot.admin.gate import Gate, require_role
from imbot.admin.keys import Key
from imbot.admin.office import Office
from imbot.admin.routing import Asked, RefusedError, Route, Serves
from imbot.admin.site import PREFIX
from imbot.admin.trail import Trail

#: Pages that may be open at once with one token.
_MOST_OPEN = 100

#: Fields in a form: nothing of ours has more.
_MOST_FIELDS = 1200

_FORM = "application/x-www-form-urlencoded"

_LOGIN = "/login"

#: HTTP statuses.
_SEE_OTHER, _STRANGER = 303, 401


class Dashboard:
    """Serves pages.

    Args:
        routes: Every route of the API.
        office: The imbot that they look into.
        moves: Notes what moves in it.
    """

    def __init__(self, routes: Iterable[Route], office: Office, moves: Moves) -> None:
        self._routes = {(route.method, route.path): route for route in routes}
        self._office = office
        self._clock = office.clock
        self._live = Live(office.clock, moves, self._condition)
        self._known, self._known_until = Condition("starting"), float("-inf")
        self._visitors = Visitors(office.clock)
        self._assets = Assets()
        self._paper = Paper(self._assets)

    async def __aenter__(self) -> Self:
        """Be ready to be served."""
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Tell open pages nothing more."""
        await self._live.close()

    def serving(self, gate: Gate, trail: Trail) -> Iterable[tuple[str, str, Serves]]:
        """Yield the method and path of everything there is to see or do, and what answers it."""
        yield "GET", ASSETS, self._assets.serve
        yield "GET", _LOGIN, self._serve_login
        yield "POST", _LOGIN, self._admitting(gate)
        yield "POST", "/logout", self._leave
        yield "GET", "/live", self._serve_live
        yield "GET", "/pulse", self._pulsing(gate)
        for page in PAGES:
            yield "GET", page.path, self._showing(page, gate)
        for deed in DEEDS:
            yield "POST", deed.path, self._doing(deed, gate, trail)

    def refusal(self, request: web.Request, error: RefusedError) -> web.StreamResponse | None:
        """Return why something is refused, as a page; None for whoever wants none."""
        if "text/html" not in request.headers.get("Accept", "") or _is_of_api(request.path):
            return None
        visitor = self._visitor(request)
        if visitor is None and error.status == _STRANGER and request.path != _LOGIN:
            there = "" if request.path == "/" else f"?next={quote(request.path_qs, safe='')}"
            return _onward(f"{_LOGIN}{there}")
        template = "login.html" if request.path == _LOGIN else "refused.html"
        return self._page(template, request, visitor, {"error": error}, status=error.status)

    # Seeing -----------------------------------------------------------------------------------

    def _showing(self, page: Page, gate: Gate) -> Serves:
        async def serve(request: web.Request) -> web.StreamResponse:
            visitor = self._require_visitor(request)
            gate.count(visitor.key)
            answers = await self._answers(page.asks, request, visitor.key)
            topics = [topic.format_map(request.match_info) for topic in page.moved_by]
            shown = {"page": page, "topics": topics, **answers}
            return self._page(page.template, request, visitor, shown)

        return serve

    async def _answers(
        self, asks: Mapping[str, str], request: web.Request, key: Key
    ) -> Mapping[str, Form]:
        """Return what the API answers to what a page asks.

        Raises:
            RefusedError: One of the routes refuses it, or no route knows what the query asks.
        """
        given = {name: value for name, value in request.query.items() if value}
        answers, known = {}, set[str]()
        for name, ask in asks.items():
            path, _, fixed = ask.partition("?")
            route = self._routes["GET", path]
            require_role(key, route.role)
            query = None
            if route.query is not None:
                fields = route.query.model_fields.keys()
                known |= fields
                passed = {field: value for field, value in given.items() if field in fields}
                query = filled(route.query, {**dict(parse_qsl(fixed)), **passed})
            answers[name] = await route.answers(Asked(key.name, names_in(request), query))
        if unknown := given.keys() - known:
            told = f"nothing is asked by {', '.join(sorted(unknown))} here"
            raise RefusedError(400, "query", told)
        return answers

    def _page(
        self,
        template: str,
        request: web.Request,
        visitor: Visitor | None,
        shown: Mapping[str, Any],
        *,
        status: int = 200,
    ) -> web.Response:
        told = ""
        if visitor is not None and "HX-Request" not in request.headers:
            # A page that fetches itself anew shows no news: they are for the next page.
            told, visitor.told = visitor.told, ""
        always = {
            "visitor": visitor,
            "told": told,
            "menu": () if visitor is None else self._menu(visitor.key),
            "condition": None if visitor is None else self._condition(),
            "may": lambda method, path: visitor is not None and self._may(visitor, method, path),
            "now": self._clock.now(),
            "version": imbot.__version__,
            "page": None,
            "topics": (),
            "here": request.path_qs,
            "query": request.query,
        }
        return self._paper.answer(template, {**always, **shown}, status=status)

    def _condition(self) -> Condition:
        """Return how imbot is doing: thousands of agents are asked once for all pages of a tick."""
        if (now := self._clock.monotonic()) >= self._known_until:
            health = self._office.health()
            self._known_until = now + TICK_S / 2
            self._known = Condition(
                health.status,
                tuple(health.reasons),
                health.agents,
                health.agents_up,
                health.parked,
            )
        return self._known._replace(halted=self._office.steering.switches.why_halted())

    def _may(self, visitor: Visitor, method: str, path: str) -> bool:
        return visitor.key.role >= self._routes[method, path].role

    def _menu(self, key: Key) -> list[Page]:
        """Return the pages that somebody may see and that need no name."""
        return [
            page
            for page in PAGES
            if page.title
            and all(
                key.role >= self._routes["GET", ask.partition("?")[0]].role
                for ask in page.asks.values()
            )
        ]

    def _pulsing(self, gate: Gate) -> Serves:
        async def serve(request: web.Request) -> web.StreamResponse:
            key = self._require_visitor(request).key
            gate.count(key)
            return answer((await self._answers({"pulse": "/pulse"}, request, key))["pulse"])

        return serve

    async def _serve_live(self, request: web.Request) -> web.StreamResponse:
        whose = self._require_visitor(request).key.name
        if self._live.opened(whose) >= _MOST_OPEN:
            raise RefusedError(503, "pages", f"{_MOST_OPEN} pages are open; close one")
        # No proxy may keep events back until there are many of them.
        heads = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        stream = web.StreamResponse(headers=heads)
        with self._live.open(whose) as next_event, suppress(ConnectionResetError):
            await stream.prepare(request)
            while self._visitor(request) is not None:
                await stream.write(await next_event())
        return stream

    # Coming and going -------------------------------------------------------------------------

    async def _serve_login(self, request: web.Request) -> web.StreamResponse:
        if self._visitor(request) is not None:
            return _onward(_place(request.query.get("next", "/")))
        return self._page("login.html", request, None, {"error": None})

    def _admitting(self, gate: Gate) -> Serves:
        async def admit(request: web.Request) -> web.StreamResponse:
            fields = await _fields(request)
            key = gate.key_with(first(fields, "token").strip(), request.remote or "")
            gate.count(key)
            answer = _onward(_place(first(fields, "next")))
            answer.set_cookie(
                _cookie(request),
                self._visitors.admit(key),
                max_age=int(LASTS_S),
                secure=request.secure,
                httponly=True,
                samesite="Strict",
            )
            return answer

        return admit

    async def _leave(self, request: web.Request) -> web.StreamResponse:
        await self._sent(request)
        self._visitors.leave(request.cookies[_cookie(request)])
        answer = _onward(_LOGIN)
        answer.del_cookie(_cookie(request))
        return answer

    def _visitor(self, request: web.Request) -> Visitor | None:
        return self._visitors.of(request.cookies.get(_cookie(request), ""))

    def _require_visitor(self, request: web.Request) -> Visitor:
        visitor = self._visitor(request)
        if visitor is None:
            raise RefusedError(_STRANGER, "login", "log in with a token first")
        return visitor

    # Doing ------------------------------------------------------------------------------------

    def _doing(self, deed: Deed, gate: Gate, trail: Trail) -> Serves:
        route = self._routes[deed.asks]

        async def do(request: web.Request) -> web.StreamResponse:
            visitor, fields = await self._sent(request)

            def who() -> Key:
                gate.count(visitor.key)
                return visitor.key

            async def asked(key: Key) -> Asked:
                body = None if deed.body is None else filled(route.body, deed.body(fields))
                return Asked(key.name, names_in(request), None, body)

            done = await trail.done(request, route, who=who, what=asked)
            visitor.told = deed.told(done)
            return _onward(_place(first(fields, "back")))

        return do

    async def _sent(self, request: web.Request) -> tuple[Visitor, Fields]:
        """Return who sent a form, and its fields.

        Raises:
            RefusedError: It is no form of ours, or of nobody who is logged in.
        """
        visitor = self._require_visitor(request)
        fields = await _fields(request)
        if not visitor.sent(first(fields, "csrf")):
            raise RefusedError(403, "csrf", "this form is from before your login; try it again")
        return visitor, fields


async def _fields(request: web.Request) -> Fields:
    """Return the fields of a form that one of our own pages sent.

    Raises:
        RefusedError: Another site's page did, or it is no form.
    """
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin", "").partition("://")[2]
    if site != "same-origin" or origin.lower() != request.host.lower():
        raise RefusedError(403, "origin", "this was sent by a page of somebody else's")
    if request.content_type != _FORM or "Content-Encoding" in request.headers:
        raise RefusedError(415, "content-type", f"send a form: Content-Type: {_FORM}")
    try:
        written = (await body_of(request)).decode()
        given = parse_qsl(written, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise RefusedError(400, "body", f"this is no form: {error}") from error
    fields: dict[str, list[str]] = defaultdict(list)
    for name, value in given:
        fields[name].append(value)
    return fields


def _cookie(request: web.Request) -> str:
    """Return the name of the cookie: cookies do not tell ports apart, and two imbots must."""
    transport = request.transport
    port = 0 if transport is None else transport.get_extra_info("sockname")[1]
    return f"imbot-{port}"


def _place(wanted: str) -> str:
    """Return a page of ours to go on to: what is wanted, or the first where it is none."""
    is_ours = wanted.startswith("/") and not wanted.startswith(("//", "/\\"))
    return wanted if is_ours and wanted.isprintable() else "/"


def _onward(place: str) -> web.Response:
    return web.Response(status=_SEE_OTHER, headers={"Location": place})


def _is_of_api(path: str) -> bool:
    return path.startswith((PREFIX, "/health", "/metrics"))
