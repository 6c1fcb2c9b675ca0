"""``/_control/*``: whoever tests against the simulator steers it here, in JSON.

No part of GWS, and without authentication: the simulator listens on this machine only unless told
otherwise. Bodies must say that they are JSON, which keeps web pages of elsewhere out.
"""

import dataclasses
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from imbot.jsontext import decode_json, encode_json
from imbot.problems import did_you_mean
from imbot.simulator.agents import Agent, Logins, UserState
from imbot.simulator.bayeux import BayeuxServer
from imbot.simulator.conversation import ImSession, RefusedError
from imbot.simulator.faults import Faults, Knob
from imbot.simulator.journal import Entry, Happening
from imbot.simulator.world import World

_Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HTTP_STATUS = {2: 409, 6: 404}

#: Entries of the log in one reply unless ``limit`` says otherwise.
_LOG_PAGE = 1_000


class ControlApi:
    """What people and tests may do to the simulator from outside."""

    def __init__(self, world: World, bayeux: BayeuxServer, *, logins: Logins) -> None:
        self._world = world
        self._bayeux = bayeux
        self._logins = logins

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/_control/", self._index),
            web.get("/_control/stats", self._stats),
            web.get("/_control/log", self._log),
            web.get("/_control/agents", self._agents),
            web.post("/_control/agents/{user}", _guarded(self._change_agent)),
            web.get("/_control/sessions", self._sessions),
            web.post("/_control/sessions", _guarded(self._ring)),
            web.get("/_control/sessions/{id}", _guarded(self._session)),
            web.post("/_control/sessions/{id}", _guarded(self._change_session)),
            web.get("/_control/faults", _guarded(self._faults)),
            web.put("/_control/faults", _guarded(self._replace_faults)),
            web.patch("/_control/faults", _guarded(self._change_faults)),
            web.post("/_control/restart", _guarded(self._restart)),
        ]

    def restart(self) -> None:
        """Forget Bayeux and HTTP sessions as a crash of GWS would; IM sessions go on."""
        self._world.journal.add(Happening.RESTART)
        self._logins.clear()
        self._bayeux.clear()

    async def _index(self, _request: web.Request) -> web.StreamResponse:
        """Answer what can be asked for, to whoever opens the address that `simulate` prints."""
        requests = [f"{route.method} {route.path}" for route in self.routes()]
        return json_response({"requests": requests})

    async def _stats(self, _request: web.Request) -> web.StreamResponse:
        sessions = self._world.sessions()
        return json_response(
            {
                "agents": sum(1 for _ in self._world.agents),
                "logins": len(self._logins),
                "cometdSessions": len(self._bayeux),
                "heldPolls": self._bayeux.held,
                "imSessions": len(sessions),
                "liveImSessions": sum(session.is_live for session in sessions),
                "entries": self._world.journal.count,
                "faults": {kind.value: n for kind, n in self._world.faults.struck.items()},
            }
        )

    async def _log(self, request: web.Request) -> web.StreamResponse:
        """Answer the log: ``since`` a sequence number, of ``kind``, ``agent``, ``session``."""
        query = request.query
        since, limit = _number(query.get("since"), 0), _number(query.get("limit"), _LOG_PAGE)
        wanted = {
            name: query[name] for name in ("kind", "agent", "session", "name") if name in query
        }
        found = [
            entry
            for entry in self._world.log
            if entry.seq > since and all(getattr(entry, key) == wanted[key] for key in wanted)
        ]
        return json_response({"entries": [entry_view(entry) for entry in found[:limit]]})

    async def _agents(self, _request: web.Request) -> web.StreamResponse:
        return json_response({"agents": [self._agent_view(one) for one in self._world.agents]})

    async def _change_agent(self, request: web.Request) -> web.StreamResponse:
        agent = self._world.agent(request.match_info["user"])
        match (await _body(request)).get("operation"):
            case "drop-cometd":
                self._bayeux.end(agent.user)
            case "drop-login":
                self._logins.forget(agent.user)
            case "log-out":
                self._world.set_user_state(agent, UserState.LOGGED_OUT)
            case other:
                raise _bad(f"operation {other!r}; known: drop-cometd, drop-login, log-out")
        return json_response(self._agent_view(agent))

    async def _sessions(self, _request: web.Request) -> web.StreamResponse:
        return json_response({"sessions": [session_view(one) for one in self._world.sessions()]})

    async def _session(self, request: web.Request) -> web.StreamResponse:
        return json_response(session_view(self._world.session(request.match_info["id"])))

    async def _ring(self, request: web.Request) -> web.StreamResponse:
        body = await _body(request)
        session_id = self._world.ring(
            _text(body, "agent"), _text(body, "number"), _object(body, "userData")
        )
        return json_response(session_view(self._world.session(session_id)), 201)

    async def _change_session(self, request: web.Request) -> web.StreamResponse:
        session_id = request.match_info["id"]
        body = await _body(request)
        match body.get("operation"):
            case "say":
                self._world.say(session_id, _text(body, "text"))
            case "set":
                self._world.set_user_data(session_id, _object(body, "userData"))
            case "unset":
                self._world.delete_user_data(session_id, _text(body, "key"))
            case "answer":
                self._world.answer(self._world.session(session_id))
            case "complete" | "reject":
                self._world.complete(session_id)
            case other:
                raise _bad(f"operation {other!r}; known: say, set, unset, answer, complete, reject")
        return json_response(session_view(self._world.session(session_id)))

    async def _faults(self, request: web.Request) -> web.StreamResponse:
        faults = self._world.faults.of(self._agent_of(request))
        return json_response(faults.model_dump(mode="json"))

    async def _replace_faults(self, request: web.Request) -> web.StreamResponse:
        faults = Faults.model_validate(await _body(request))
        self._world.faults.replace(faults, self._agent_of(request))
        return await self._faults(request)

    async def _change_faults(self, request: web.Request) -> web.StreamResponse:
        agent = self._agent_of(request)
        now = self._world.faults.of(agent).model_dump()
        faults = Faults.model_validate({**now, **await _body(request)})
        self._world.faults.replace(faults, agent)
        return await self._faults(request)

    async def _restart(self, _request: web.Request) -> web.StreamResponse:
        self.restart()
        return json_response({})

    def _agent_of(self, request: web.Request) -> str:
        """Return the agent that faults are for; empty for everybody's."""
        user = request.query.get("agent", "")
        return self._world.agent(user).user if user else ""

    def _agent_view(self, agent: Agent) -> Mapping[str, object]:
        live = self._world.live_session(agent)
        return {
            "user": agent.user,
            "number": agent.number,
            "userState": agent.user_state.value,
            "free": self._world.is_free(agent.user),
            "session": live.id if live is not None else None,
        }


def json_response(value: object, status: int = 200) -> web.Response:
    """Return a JSON response of the control API."""
    headers = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}
    return web.Response(status=status, body=encode_json(value), headers=headers)


def session_view(session: ImSession) -> Mapping[str, object]:
    """Return an IM session with its transcript, as the control API shows it."""
    return {
        "id": session.id,
        "state": session.state.value,
        "caller": session.caller.number,
        "callee": session.callee.number,
        "agents": [agent.user for agent in session.agents],
        "outside": session.outside().number,
        "userData": session.user_data,
        "transcript": [
            {"at": line.at.isoformat(), "number": line.number, "text": line.text}
            for line in session.transcript
        ],
    }


def entry_view(entry: Entry) -> Mapping[str, object]:
    """Return an entry of the log as JSON shows it."""
    return {**dataclasses.asdict(entry), "at": entry.at.isoformat(), "kind": entry.kind.value}


def _guarded(endpoint: _Endpoint) -> _Endpoint:
    """Return the endpoint with its refusals as replies."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await endpoint(request)
        except RefusedError as refused:
            status = _HTTP_STATUS.get(refused.status_code, 400)
            return json_response({"error": str(refused)}, status)
        except ValidationError as invalid:
            problems = "; ".join(map(_told, invalid.errors()))
            return json_response({"error": problems}, 400)

    return answer


def _told(detail: ErrorDetails) -> str:
    """Return what is wrong with one fault knob, and the cure."""
    *knob, name = map(str, detail["loc"])
    if detail["type"] != "extra_forbidden":
        return f"{'.'.join([*knob, name])}: {detail['msg']}"
    known = (Knob if knob else Faults).model_fields
    return f"{'.'.join([*knob, name])}: there is no such knob; {did_you_mean(name, known)}"


async def _body(request: web.Request) -> Mapping[str, object]:
    if request.content_type != "application/json":
        raise _bad("the body's Content-Type must be application/json")
    try:
        body = decode_json(await request.read() or b"{}")
    except ValueError as error:
        raise _bad(f"the body is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise _bad("the body must be a JSON object")
    return body


def _text(body: Mapping[str, object], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise _bad(f"'{name}' must be text")
    return value


def _object(body: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = body.get(name, {})
    if not isinstance(value, dict):
        raise _bad(f"'{name}' must be an object")
    return value


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isdecimal() else default


def _bad(why: str) -> RefusedError:
    return RefusedError(10, why)
