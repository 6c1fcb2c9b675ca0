"""A GWS for the simulation, written from the wire contract and from nothing else.

Two nodes behind a sticky balancer, HTTP sessions, CSRF, CometD 3.1 with or without its ack
extension, IM sessions that all nodes share. It answers requests; what goes wrong on the way is
wire.py's. Source: contract 1, 2.6 to 2.9, 3.
"""

import json
from base64 import b64encode
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial
from math import inf
from random import Random
from typing import Any, NamedTuple

from imbot.testing.virtual_loop import VirtualLoop
from tests.faults.history import History
from tests.faults.schedule import AGENTS, Conversation, Deployment

URL = "http://gws.test:8090"
COMETD = "/api/v2/notifications"
_IM = "/api/v2/me/im-sessions"
CRM_URL = "http://crm.test/"

#: Events of one moment come in one answer.
_GATHERED_S = 0.001

_NUMBERS = {agent: str(1001 + place) for place, agent in enumerate(AGENTS)}
_USERS = {f"Basic {b64encode(f'{agent}:pw'.encode()).decode()}": agent for agent in AGENTS}
_CAPABILITIES = ["Complete", "AttachUserData", "DeleteUserData", "UpdateUserData", "SendMessage"]


class Answer(NamedTuple):
    """What a server answers."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    cookies: tuple[str, ...] = ()


class Asked(NamedTuple):
    """A request as it arrives."""

    method: str
    path: str
    headers: dict[str, str]
    cookies: dict[str, str]
    body: Any


#: Takes the answer, now or later.
Respond = Callable[[Answer], None]


@dataclass(slots=True)
class ImSession:
    """One IM session, which the switch keeps and every node knows."""

    plan: Conversation
    state: str = "Alerting"
    user_data: dict[str, Any] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.plan.session_id


@dataclass(slots=True)
class _Http:
    """An HTTP session of one node."""

    agent: str
    node: int
    token: str


@dataclass(slots=True)
class _Poll:
    """A connect that is not answered yet."""

    message: dict[str, Any]
    respond: Respond


@dataclass(slots=True)
class _Bayeux:
    """A Bayeux session of one node."""

    id: str
    agent: str
    node: int
    browser: str
    acks: bool
    is_subscribed: bool = False
    #: What waits, each with the batch that it was first sent in; 0 for in none.
    queue: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    batch: int = 0
    poll: _Poll | None = None
    #: Raised by every poll and every answer: what was to sweep it before does not.
    turn: int = 0


class Gws:
    """The deployment, and what it knows.

    Args:
        deployment: How it is set up.
        loop: The loop whose time it goes by.
        context: The context that all it does later is done in: never that of an imbot.
        chance: Chance.
        history: Where it says what happens.
    """

    def __init__(
        self,
        deployment: Deployment,
        loop: VirtualLoop,
        context: Context,
        chance: Random,
        history: History,
    ) -> None:
        self.deployment = deployment
        self._loop = loop
        self._context = context
        self._chance = chance
        self.history = history
        self.sessions: dict[str, ImSession] = {}
        self._http: dict[str, _Http] = {}
        self._bayeux: dict[str, _Bayeux] = {}
        self._count = 0

    # Time and telling -------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        """The second."""
        return self._loop.time()

    def later(self, after_s: float, do: Callable[..., Any], *args: Any) -> None:
        """Do something after so many seconds, whoever lives or dies meanwhile."""
        self._loop.call_at(self.now_s + after_s, do, *args, context=self._context)

    def note(self, kind: str, agent: str = "", session_id: str = "", text: str = "") -> None:
        """Add to the history."""
        self.history.add(round(self.now_s, 6), kind, agent, session_id, text)

    # Other parties ----------------------------------------------------------------------------

    def plan(self, conversation: Conversation) -> None:
        """Let the other party do what it plans."""
        self.later(conversation.rings_at_s, self._ring, conversation)

    def _ring(self, conversation: Conversation) -> None:
        session = self.sessions[conversation.session_id] = ImSession(conversation)
        self.note("rings", conversation.agent, session.id)
        self._show(session)
        self.later(conversation.answered_s, self._answered, session)

    def _answered(self, session: ImSession) -> None:
        session.state = "Talking"
        self.note("talks", session.plan.agent, session.id)
        self._show(session)
        for line in session.plan.lines:
            self.later(line.after_s, self._say, session, line.text)
        self.later(session.plan.hangs_up_s, self.end, session, "hangs up")

    def _say(self, session: ImSession, text: str) -> None:
        if session.state == "Talking":
            self.note("says", session.plan.agent, session.id, text)
            self._tell(session, text)

    def end(self, session: ImSession, who: str) -> None:
        """End a session, if it is not over."""
        if session.state != "Completed":
            session.state = "Completed"
            self.note(who, session.plan.agent, session.id)
            self._show(session)

    # Failing ----------------------------------------------------------------------------------

    def fail_over(self, agent: str) -> None:
        """Let the node of an agent go down: it forgets all that is not kept by the switch."""
        nodes = {one.node for one in self._bayeux.values() if one.agent == agent}
        forgets_logins = self._chance.random() < 0.5
        self.note("failover", agent)
        for client in [one for one in self._bayeux.values() if one.node in nodes]:
            self._forget(client)
        if forgets_logins:
            self._http = {k: v for k, v in self._http.items() if v.node not in nodes}

    def agent_of(self, asked: Asked) -> str:
        """Return whose request this is; empty for nobody's."""
        return _USERS.get(asked.headers.get("Authorization", ""), "")

    def lose_login(self, cookies: dict[str, str]) -> None:
        """Forget an HTTP session."""
        self._http.pop(cookies.get("JSESSIONID", ""), None)

    def renew_token(self, cookies: dict[str, str]) -> None:
        """Have the token of an HTTP session be another."""
        if (login := self._http.get(cookies.get("JSESSIONID", ""))) is not None:
            login.token = self._name("token")

    # Requests ---------------------------------------------------------------------------------

    def receive(self, asked: Asked, respond: Respond) -> None:
        """Take a request and answer it, now or, a poll, when there is something to tell."""
        path, _, _ = asked.path.partition("?")
        if path == "/api/v2/diagnostics/version":
            respond(_ok({"version": "8.5.202.96"}))
            return
        login, cookies = self._login(asked)
        if cookies:
            respond = partial(_with_cookies, respond, cookies)
        if login is None:
            respond(refused(403, 20, statusMessage="Access denied"))
        elif asked.method == "POST" and not self._has_token(asked, login):
            respond(refused(403, 3, statusMessage="Missing or invalid Csrf token"))
        elif path == COMETD:
            self._bayeux_message(asked, login, respond)
        else:
            answer = self._rest(asked, login, path)
            headers: tuple[tuple[str, str], ...] = ()
            if self.deployment.csrf and asked.method == "GET":
                headers = (("x-csrf-header", "X-CSRF-TOKEN"), ("x-csrf-token", login.token))
            respond(answer._replace(headers=headers))

    def _login(self, asked: Asked) -> tuple[_Http | None, tuple[str, ...]]:
        """Return the HTTP session of a request; credentials begin one where there is none."""
        if (login := self._http.get(asked.cookies.get("JSESSIONID", ""))) is not None:
            return login, ()
        user = _USERS.get(asked.headers.get("Authorization", ""))
        if user is None:
            return None, ()
        node = self._chance.choice((1, 2))
        name = f"{self._name('http')}.node{node}"
        login = self._http[name] = _Http(user, node, self._name("token"))
        return login, (f"JSESSIONID={name}; Path=/; HttpOnly",)

    def _has_token(self, asked: Asked, login: _Http) -> bool:
        return not self.deployment.csrf or asked.headers.get("X-CSRF-TOKEN") == login.token

    def _rest(self, asked: Asked, login: _Http, path: str) -> Answer:
        """Answer what needs a login; what a real one also has, imbot does not ask for."""
        agent = login.agent
        if (answer := _STATIC.get((asked.method, path, agent))) is not None:
            return answer
        if path == _IM and asked.method == "GET":
            return _ok({"imSessions": [_shown(one) for one in self._live(agent)]})
        _, _, name = path.partition(f"{_IM}/")
        session = self.sessions.get(name)
        if session is None or session.plan.agent != agent or session.state == "Completed":
            return _GONE
        if asked.method == "GET":
            return _ok({"imSession": _shown(session)})
        return self._operate(session, asked.body)

    def _live(self, agent: str) -> list[ImSession]:
        return [
            one
            for one in self.sessions.values()
            if one.plan.agent == agent and one.state != "Completed"
        ]

    def _operate(self, session: ImSession, body: dict[str, Any]) -> Answer:
        agent, operation = session.plan.agent, body["operationName"]
        match operation:
            case "SendMessage":
                if session.state != "Talking":
                    return refused(500, 2, statusMessage="Invalid state")
                session.heard.append(body["text"])
                self.note("hears", agent, session.id, body["text"])
                if self.deployment.echo:
                    self._tell(session, body["text"])
            case "UpdateUserData" | "AttachUserData":
                session.user_data.update(body["userData"])
                self.note("user data", agent, session.id, json.dumps(body["userData"]))
                self._show(session, "AttachedDataChanged")
            case "DeleteUserData":
                session.user_data.pop(body["key"], None)
                self._show(session, "AttachedDataChanged")
            case "Complete":
                self.end(session, "completed")
            case _:
                return refused(400, 1, statusMessage=f"no {operation}")
        return _ok({})

    # Bayeux -----------------------------------------------------------------------------------

    def _bayeux_message(self, asked: Asked, login: _Http, respond: Respond) -> None:
        message = asked.body[0]
        channel = message["channel"]
        if channel == "/meta/handshake":
            self._handshake(message, asked, login, respond)
            return
        client = self._bayeux.get(message.get("clientId", ""))
        if client is None or not _is_of(client, asked, login):
            self.note("402", login.agent, "", channel)
            respond(_unknown_client(message))
        elif channel == "/meta/connect":
            self._connect(client, message, respond)
        elif channel == "/meta/subscribe":
            client.is_subscribed = True
            # With the ack extension, events come with connects only.
            events = [] if client.acks else self._taken(client)
            self._keep(client)
            subscription = message["subscription"]
            respond(_said(message, events, subscription=subscription, successful=True))
        else:
            self._forget(client)
            respond(_said(message, successful=True))

    def _handshake(
        self, message: dict[str, Any], asked: Asked, login: _Http, respond: Respond
    ) -> None:
        browser, cookies = asked.cookies.get("BAYEUX_BROWSER", ""), ()
        if not browser:
            browser = self._name("browser")
            cookies = (f"BAYEUX_BROWSER={browser}; Path=/; HttpOnly",)
        acks = self.deployment.ack and message.get("ext", {}).get("ack") is True
        client = _Bayeux(self._name("client"), login.agent, login.node, browser, acks)
        self._bayeux[client.id] = client
        self._keep(client)
        self.note("handshake", login.agent, "", client.id)
        answer = _said(
            message,
            **({"ext": {"ack": True}} if acks else {}),
            clientId=client.id,
            version="1.0",
            supportedConnectionTypes=["long-polling", "callback-polling"],
            advice=self._advice(),
            successful=True,
        )
        respond(answer._replace(cookies=cookies))

    def _advice(self) -> dict[str, Any]:
        hold_ms = int(self.deployment.hold_s * 1000)
        return {"interval": 0, "timeout": hold_ms, "reconnect": "retry"}

    def _connect(self, client: _Bayeux, message: dict[str, Any], respond: Respond) -> None:
        if (earlier := client.poll) is not None:
            client.poll = None
            earlier.respond(Answer(500, b""))
        if client.acks:
            number = message.get("ext", {}).get("ack", 0)
            client.queue = [one for one in client.queue if not 0 < one[0] <= number]
        client.turn += 1
        poll = client.poll = _Poll(message, respond)
        hold_s = min(self.deployment.hold_s, message.get("advice", {}).get("timeout", inf) / 1000)
        if client.queue or hold_s == 0:
            self._answer(client, poll)
        else:
            self.later(hold_s, self._answer, client, poll)

    def _answer(self, client: _Bayeux, poll: _Poll) -> None:
        """Answer a poll with all that waits, unless it was answered."""
        if client.poll is not poll:
            return
        client.poll = None
        events = self._taken(client)
        ext = {"ext": {"ack": client.batch}} if client.acks else {}
        advice = {"advice": self._advice()} if "advice" in poll.message else {}
        self._keep(client)
        poll.respond(_said(poll.message, events, **ext, **advice, successful=True))

    def _taken(self, client: _Bayeux) -> list[dict[str, Any]]:
        """Return what waits; without acknowledgements it is not kept any longer."""
        events = [event for _, event in client.queue]
        if client.acks and events:
            client.batch += 1
            # What is sent again stays in its batch: an acknowledgement of that still clears it.
            client.queue = [(batch or client.batch, event) for batch, event in client.queue]
        else:
            client.queue = []
        return events

    def _keep(self, client: _Bayeux) -> None:
        """Sweep the client if it does not come back in time."""
        client.turn += 1
        self.later(self.deployment.max_interval_s, self._sweep, client, client.turn)

    def _sweep(self, client: _Bayeux, turn: int) -> None:
        if client.turn == turn and client.id in self._bayeux:
            self.note("swept", client.agent, "", client.id)
            self._forget(client)

    def _forget(self, client: _Bayeux) -> None:
        self._bayeux.pop(client.id, None)
        if (poll := client.poll) is not None:
            client.poll = None
            poll.respond(Answer(502, b"<html>Bad Gateway</html>"))

    # Notifications ----------------------------------------------------------------------------

    def _show(self, session: ImSession, notification: str = "StatusChange") -> None:
        self._publish(
            session.plan.agent,
            {
                "messageType": "IMSessionStateChangeMessage",
                "notificationType": notification,
                "imSession": _shown(session),
            },
        )

    def _tell(self, session: ImSession, text: str) -> None:
        """Tell what was said; nothing shows by whom."""
        self._publish(
            session.plan.agent,
            {
                "messageType": "IMLogUpdateMessage",
                "notificationType": "NewMessage",
                "imSessionPath": f"/im-sessions/{session.id}",
                "message": text,
            },
        )

    def _publish(self, agent: str, data: dict[str, Any]) -> None:
        for client in self._bayeux.values():
            if client.agent == agent and client.is_subscribed:
                client.queue.append((0, {"channel": "/v2/me/im-sessions", "data": data}))
                if client.poll is not None:
                    self.later(_GATHERED_S, self._answer, client, client.poll)

    def _name(self, what: str) -> str:
        self._count += 1
        return f"{what}{self._count}"


def _with_cookies(respond: Respond, cookies: tuple[str, ...], answer: Answer) -> None:
    respond(answer._replace(cookies=(*cookies, *answer.cookies)))


def _is_of(client: _Bayeux, asked: Asked, login: _Http) -> bool:
    return (
        client.browser == asked.cookies.get("BAYEUX_BROWSER")
        and client.node == login.node
        and client.agent == login.agent
    )


def _shown(session: ImSession) -> dict[str, Any]:
    number = session.plan.number
    party = {"digits": number, "e164Number": "", "formattedPhoneNumber": number}
    return {
        "id": session.id,
        "state": session.state,
        "userData": dict(session.user_data),
        "path": f"/im-sessions/{session.id}",
        "uri": f"{URL}/api/v2/im-sessions/{session.id}",
        "participants": [{**party, "phoneNumber": number}],
        "capabilities": _CAPABILITIES,
    }


def _user(agent: str) -> dict[str, Any]:
    number = _NUMBERS[agent]
    device = {
        "id": f"device-{agent}",
        "deviceState": "Active",
        "userState": {"state": "Ready"},
        "phoneNumber": number,
        "channels": ["voice"],
    }
    return {
        "userName": agent,
        "firstName": agent,
        "lastName": "",
        "features": [{"id": "api-voice-instant-messaging"}],
        "devices": [device],
        "changePasswordOnFirstLogin": False,
    }


def _said(message: dict[str, Any], events: Sequence[dict[str, Any]] = (), **fields: Any) -> Answer:
    reply = {"channel": message["channel"], "id": message.get("id"), **fields}
    return Answer(200, _encoded([*events, reply]))


def _unknown_client(message: dict[str, Any]) -> Answer:
    is_connect = message["channel"] == "/meta/connect"
    advice = {"advice": {"interval": 0, "reconnect": "handshake"}} if is_connect else {}
    return _said(message, **advice, error="402::Unknown client", successful=False)


def _ok(body: dict[str, Any]) -> Answer:
    return refused(200, 0, **body)


def refused(status: int, code: int, **body: Any) -> Answer:
    """Return an answer of GWS with this status code."""
    return Answer(status, _encoded({"statusCode": code, **body}))


def _encoded(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


_GONE = refused(404, 6, statusMessage="Resource not found")
_STATIC = {
    (method, path, agent): _ok(body)
    for agent in AGENTS
    for method, path, body in (
        ("GET", "/api/v2/me", {"user": _user(agent)}),
        ("POST", "/api/v2/me", {}),
        ("GET", "/api/v2/me/devices", {"devices": _user(agent)["devices"]}),
    )
}
