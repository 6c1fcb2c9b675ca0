"""The REST half and the door to the CometD half: HTTP in, world and Bayeux behind it.

Contract 1.2, 3 and 4 for REST, 2.2 and 2.8 for what HTTP means around CometD.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from aiohttp import web

from imbot.jsontext import decode_json, encode_json
from imbot.simulator import operations, shapes
from imbot.simulator.agents import Agent, Login, Logins
from imbot.simulator.bayeux import BayeuxServer
from imbot.simulator.conversation import RefusedError
from imbot.simulator.faults import FaultKind
from imbot.simulator.gate import JSESSIONID, LB_COOKIE, Answer, Gate, Visit, drop, json_answer
from imbot.simulator.journal import Happening
from imbot.simulator.world import World

BAYEUX_BROWSER = "BAYEUX_BROWSER"

#: HTTP statuses beside the status codes. 4 and 20 are observed, the others expected; 200 is for
#: 0 and 7. Contract 4.1.
_HTTP_STATUS = {1: 400, 2: 409, 3: 403, 4: 500, 5: 403, 6: 404, 10: 400, 20: 403}

_SUBRESOURCES = ("devices", "channels", "calls", "features")


@dataclass(frozen=True, slots=True)
class _Asked:
    """An authenticated request, taken apart."""

    visit: Visit
    login: Login
    path: tuple[str, ...]
    body: Mapping[str, object]

    @property
    def agent(self) -> Agent:
        return self.login.agent


class RestApi:
    """Everything below ``/api/v2``."""

    def __init__(self, world: World, bayeux: BayeuxServer, *, logins: Logins, gate: Gate) -> None:
        self._world = world
        self._bayeux = bayeux
        self._logins = logins
        self._gate = gate

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one request below ``/api/v2``, CometD included."""
        path = tuple(part for part in request.match_info["path"].split("/") if part)
        if path[:1] == ("notifications",):
            return await self._serve_cometd(request)
        body, readable = _object(await request.read())
        visit = self._visit(request, operations.name_of(body) or request.method)
        if (early := await self._gate.before(visit)) is not None:
            self._note(visit, path, body, answer=Answer(early.status), applied=False)
            return early
        answer = self._answer(visit, path, body, readable=readable)
        return await self._send(visit, answer)

    def _visit(self, request: web.Request, name: str) -> Visit:
        authorization = request.headers.get("Authorization", "")
        jsession = request.cookies.get(JSESSIONID, "")
        return Visit(request, self._logins.whose(jsession, authorization), name)

    async def _send(self, visit: Visit, answer: Answer) -> web.StreamResponse:
        """Send the answer of something done, unless a fault says that its answer goes wrong."""
        if visit.request.method == "GET" or answer.status != web.HTTPOk.status_code:
            return await self._gate.after(visit, answer)
        if self._strikes(FaultKind.DROP_AFTER, visit):
            return drop(visit.request)
        if self._strikes(FaultKind.HANG_AFTER, visit):
            return await self._gate.hang(visit)
        if self._strikes(FaultKind.ERROR_AFTER, visit):
            answer = json_answer(shapes.error(4, "Internal error"), 500)
        if self._strikes(FaultKind.NOTIFICATION_BEFORE_REPLY, visit):
            await self._gate.lag(visit)
        return await self._gate.after(visit, answer)

    def _answer(
        self, visit: Visit, path: tuple[str, ...], body: Mapping[str, object], *, readable: bool
    ) -> Answer:
        """Return the answer to a request that reached GWS, carried out if it may be."""
        if (visit.request.method, *path) == ("GET", "diagnostics", "version"):
            return json_answer(shapes.ok(version=self._world.settings.version))
        login, denied = self._enter(visit)
        if login is None:
            self._note(visit, path, body, answer=denied, applied=False)
            return denied
        try:
            if not readable:
                raise RefusedError(10, "Input validation failed: the body is no JSON object")  # noqa: TRY301 - refusals become answers in one place
            answer = json_answer(self._route(_Asked(visit, login, path, body)))
            applied = True
        except RefusedError as refused:
            answer, applied = self._refusal(login.agent, refused), False
        self._note(visit, path, body, answer=answer, applied=applied)
        return self._with_session(visit, login, answer)

    def _enter(self, visit: Visit) -> tuple[Login | None, Answer]:
        """Return the HTTP session of a request, else the 403 that it gets."""
        request = visit.request
        login = self._logins.enter(
            visit.jsession,
            request.headers.get("Authorization", ""),
            request.cookies.get(LB_COOKIE, ""),
        )
        if login is None:
            return None, json_answer(shapes.error(20, "Access denied"), 403)
        settings = self._world.settings
        token = request.headers.get(settings.csrf_header, "")
        if settings.csrf and request.method != "GET" and token != login.csrf:
            denied = json_answer(shapes.error(3, "Missing or invalid Csrf token"), 403)
            return None, self._with_session(visit, login, denied)
        return login, Answer()

    def _with_session(self, visit: Visit, login: Login, answer: Answer) -> Answer:
        """Return the answer with a new JSESSIONID, and on a GET with the CSRF token [D CSRF]."""
        settings = self._world.settings
        headers = {}
        if settings.csrf and visit.request.method == "GET":
            headers = {"X-CSRF-HEADER": settings.csrf_header, "X-CSRF-TOKEN": login.csrf}
        cookies = {} if visit.jsession == login.jsession else {JSESSIONID: login.jsession}
        return replace(answer, headers=headers, cookies=cookies)

    def _route(self, asked: _Asked) -> shapes.JsonObject:
        if asked.visit.request.method == "GET":
            return self._read(asked)
        if asked.visit.request.method != "POST":
            raise RefusedError(6, "Resource not found")
        if self._strikes(FaultKind.ERROR_MESSAGE, asked.visit):
            text = f"Device '{asked.agent.number}' is not registered."
            raise RefusedError(4, text, with_notice=True)
        return self._operate(asked)

    def _operate(self, asked: _Asked) -> shapes.JsonObject:
        match asked.path:
            case ("me",):
                reply = operations.on_user(self._world, asked.agent, asked.body)
                if operations.name_of(asked.body) == "EndContactCenterSession":
                    self._log_out(asked)
                return reply
            case ("me", "channels", "voice"):
                return operations.on_voice(self._world, asked.agent, asked.body)
            case ("me", "im-sessions", *rest) if asked.agent.account.im_feature:
                if not rest:
                    return operations.on_collection(self._world, asked.agent, asked.body)
                return operations.on_session(self._world, asked.agent, "/".join(rest), asked.body)
            case ("me", "im-sessions", *_):
                raise RefusedError(10, "invalid operation")
            case _:
                raise RefusedError(6, "Resource not found")

    def _log_out(self, asked: _Asked) -> None:
        """End the Bayeux session first, so that its poll comes back before the 403s [D ECCS]."""
        self._bayeux.end(asked.agent.user)
        self._logins.leave(asked.login)

    def _read(self, asked: _Asked) -> shapes.JsonObject:
        agent, fields = asked.agent, asked.visit.request.query.get("fields")
        uri_base = self._world.settings.uri_base
        match asked.path:
            case ("me",):
                return shapes.ok(user=shapes.user(agent, uri_base, self._subresources(asked)))
            case ("me", "devices"):
                return shapes.ok(devices=self._world.notices.devices(agent))
            case ("me", "channels"):
                return shapes.ok(channels=[])
            case ("me", "devices", device, "settings", "tserver") | (
                "devices",
                device,
                "settings",
                "tserver",
            ) if device in {agent.device_id, agent.spare_device_id}:
                return shapes.ok(settings=shapes.tserver_annex(), key="name")
            case ("me", "im-sessions", *rest) if agent.account.im_feature:
                return self._im_sessions(agent, rest, fields)
            case ("services",):
                return shapes.ok(services=shapes.services(uri_base))
            case _:
                raise RefusedError(6, "Resource not found")

    def _im_sessions(self, agent: Agent, rest: list[str], fields: str | None) -> shapes.JsonObject:
        if rest:
            session = operations.own_session(self._world, agent, "/".join(rest))
            return shapes.ok(imSession=self._world.notices.session(session, agent))
        live = self._world.live_session(agent)
        found = [] if live is None else [self._world.notices.session(live, agent)]
        if fields is None:
            return shapes.ok(uris=[one["uri"] for one in found])
        return shapes.ok(imSessions=found)

    def _subresources(self, asked: _Asked) -> Mapping[str, object]:
        wanted = asked.visit.request.query.get("subresources", "")
        names = set(_SUBRESOURCES) if wanted == "*" else set(wanted.split(","))
        every: Mapping[str, object] = {
            "devices": self._world.notices.devices(asked.agent),
            "channels": [],
            "calls": [],
            "features": shapes.features(asked.agent, self._world.settings.uri_base),
        }
        return {name: every[name] for name in _SUBRESOURCES if name in names}

    def _refusal(self, agent: Agent, refused: RefusedError) -> Answer:
        if refused.with_notice:
            self._world.notices.refused(agent)
        return json_answer(
            shapes.error(refused.status_code, str(refused)), _HTTP_STATUS[refused.status_code]
        )

    def _note(
        self,
        visit: Visit,
        path: tuple[str, ...],
        body: Mapping[str, object],
        *,
        answer: Answer,
        applied: bool,
    ) -> None:
        text = body.get("text")
        self._world.journal.add(
            Happening.REQUEST,
            agent=visit.user,
            name=visit.name,
            session=path[2] if path[:2] == ("me", "im-sessions") and len(path) > 2 else "",  # noqa: PLR2004 - me, im-sessions, id
            text=text if isinstance(text, str) else "/".join(path),
            status_code=answer.status_code,
            applied=applied,
        )

    async def _serve_cometd(self, request: web.Request) -> web.StreamResponse:
        try:
            asked = decode_json(await request.read())
        except ValueError:
            return web.Response(status=400)
        # One object instead of an array is taken by 3.1.12 [J].
        messages = asked if isinstance(asked, list) else [asked]
        visit = self._visit(request, _channel(messages))
        if (early := await self._gate.before(visit)) is not None:
            return early
        login, denied = self._enter(visit)
        if login is None:
            return await self._gate.after(visit, denied)
        exchange = await self._bayeux.exchange(
            messages, user=login.agent.user, browser=request.cookies.get(BAYEUX_BROWSER, "")
        )
        if exchange.cut:
            return drop(request)
        body = encode_json(exchange.messages) if exchange.messages else b""
        cookies = {BAYEUX_BROWSER: exchange.browser} if exchange.browser else {}
        if visit.jsession != login.jsession:
            cookies[JSESSIONID] = login.jsession
        return await self._gate.after(visit, Answer(exchange.status, body, cookies=cookies))

    def _strikes(self, kind: FaultKind, visit: Visit) -> bool:
        return self._world.faults.strikes(kind, visit.user, visit.name)


def _object(raw: bytes) -> tuple[Mapping[str, object], bool]:
    """Return the body as an object, and whether it was one; no body at all is an empty one."""
    if not raw:
        return {}, True
    try:
        body = decode_json(raw)
    except ValueError:
        return {}, False
    return (body, True) if isinstance(body, dict) else ({}, False)


def _channel(messages: list[object]) -> str:
    first = messages[0] if messages else None
    channel = first.get("channel") if isinstance(first, dict) else None
    return channel if isinstance(channel, str) else "POST"
