"""A GWS for thousands of agents in one process: requests in, replies out, no sockets and no HTTP.

It stands behind ``Ports.network``. It does so much work in a second and no more: what would have to
wait too long is refused with 503. A door is an HTTP session, as its cookies would make it.
"""

import asyncio
import base64
import json
from collections import Counter, deque
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from imbot.errors import AmbiguousError, TemporaryError
from imbot.ports import Reply

#: Requests that one login is: version, me, handshake, five channels, the first poll, devices twice,
#: the contact center session and the list of sessions.
LOGIN_REQUESTS = 13

#: Whoever would have to wait longer is refused.
PATIENCE_S = 2.0

#: How long each reply is under way.
WAY_S = 0.02

_JSON = {"content-type": "application/json"}
_UNKNOWN = {"error": "402::Unknown client", "successful": False}
_ADVICE = {"reconnect": "retry", "interval": 0}
_IM = "/v2/me/im-sessions"


def reply(body, status=200):
    """Return a reply with JSON."""
    return Reply(status, _JSON, json.dumps(body).encode())


@dataclass(slots=True)
class Account:
    """An agent as GWS has it: its login, its Bayeux session and its IM sessions."""

    user: str
    number: str
    is_logged_in: bool = False
    client_id: str = ""
    sessions: dict = field(default_factory=dict)
    batch: int = 0
    news: list = field(default_factory=list)
    unacknowledged: deque = field(default_factory=deque)
    poll: asyncio.Future | None = None

    def device(self):
        """Return the agent's device."""
        state = "NotReady" if self.is_logged_in else "LoggedOut"
        return {"id": self.number, "phoneNumber": self.number, "userState": {"state": state}}

    def tell(self, body):
        """Send a notification with the next poll."""
        self.news.append({"channel": _IM, "data": body})
        if self.poll is not None and not self.poll.done():
            self.poll.set_result(None)

    def show(self, session, kind="StatusChange"):
        """Tell of a session as it stands."""
        told = {"messageType": "IMSessionStateChangeMessage", "notificationType": kind}
        self.tell({**told, "imSession": session})


class Fleet:
    """Implements :class:`imbot.ports.Network`, and is the GWS behind it.

    Args:
        clock: Time.
        logins_per_s: How many logins it can take in a second; None for any number.
        poll_s: How long it holds a poll.
        refuses_polls: Whether a door that is no HTTP session is told so by the CometD servlet.

    Attributes:
        asked_at: How many requests came in each second, but for polls that are held.
        refused: How many were answered 503.
        said: What agents said, by session.
        events: How many notifications of others were told.
    """

    def __init__(self, clock, *, logins_per_s=None, poll_s=30.0, refuses_polls=True):
        self.clock = clock
        self.accounts = {}
        self.asked_at = Counter()
        self.refused = 0
        self.said = {}
        self.events = 0
        self.is_down = False
        self._work_s = 1 / (logins_per_s * LOGIN_REQUESTS) if logins_per_s else 0.0
        self._free_at = 0.0
        self._poll_s = poll_s
        self._refuses_polls = refuses_polls
        self._life = 0
        self._clients = {}
        self._numbers = 0

    # What the world does ----------------------------------------------------------------------

    def fail(self):
        """Lose every connection, and every HTTP and Bayeux session; refuse until :meth:`mend`."""
        self.is_down = True
        self._life += 1
        self._clients.clear()
        for account in self.accounts.values():
            account.client_id = ""
            if account.poll is not None and not account.poll.done():
                account.poll.set_exception(AmbiguousError("connection reset"))

    def mend(self):
        """Take connections again."""
        self.is_down = False

    def ring(self, user, number):
        """Let another party begin a session with an agent; return the id."""
        self._numbers += 1
        name = f"S{self._numbers}"
        party = {"phoneNumber": number, "digits": number}
        session = {"id": name, "state": "Talking", "participants": [party], "userData": {}}
        self.accounts[user].sessions[name] = session
        self._told(user, session)
        return name

    def say(self, user, name, text):
        """Let the other party say something."""
        self.events += 1
        self.accounts[user].tell(_message(name, text))

    def hang_up(self, user, name):
        """Let the other party end the session."""
        session = self.accounts[user].sessions.pop(name, None)
        if session is not None:
            self._told(user, {**session, "state": "Completed"})

    def _told(self, user, session):
        self.events += 1
        self.accounts[user].show(session)

    # Requests ---------------------------------------------------------------------------------

    def door(self, *, polls=False, guarded=False, cookies=None):
        """Return a door with cookies of its own."""
        del polls, guarded, cookies
        return _Door(self)

    async def close(self):
        """Do nothing."""

    async def work(self):
        """Wait until the server has got round to a request; return whether it does it at all."""
        now = self.clock.monotonic()
        self.asked_at[int(now)] += 1
        wait_s = max(0.0, self._free_at - now)
        if wait_s > PATIENCE_S:
            self.refused += 1
            await asyncio.sleep(WAY_S)
            return False
        self._free_at = now + wait_s + self._work_s
        await asyncio.sleep(wait_s + WAY_S)
        return True

    async def answer(self, door, request):
        """Return the reply to one request."""
        if self.is_down:
            await asyncio.sleep(WAY_S)
            raise TemporaryError("connection refused")
        path = urlsplit(request.url).path.removeprefix("/api/v2")
        body = json.loads(request.body) if request.body else None
        message = body[0] if isinstance(body, list) else {}
        is_known = message.get("clientId") in self._clients
        if not (is_known and message["channel"] == "/meta/connect" and "advice" not in message):
            life = self._life
            if not await self.work():
                return reply({}, 503)
            if life != self._life:
                raise AmbiguousError("connection reset")
        if path == "/notifications":
            return await self._cometd(door, message)
        if path == "/diagnostics/version":
            return reply({"statusCode": 0, "version": "8.5"})
        return self._rest(door, request, path, body)

    def _rest(self, door, request, path, body):
        door.sign_in(request, self._life)
        account = self.accounts.setdefault(
            door.user, Account(door.user, str(10_001 + len(self.accounts)))
        )
        answer = {"statusCode": 0}
        if body is not None:
            self._operate(account, path, body)
        elif path == "/me":
            features = [{"id": "api-voice-instant-messaging"}]
            user = {"userName": door.user, "features": features, "devices": [account.device()]}
            answer["user"] = user
        elif path == "/me/devices":
            answer["devices"] = [account.device()]
        else:
            answer["imSessions"] = list(account.sessions.values())
        return reply(answer)

    def _operate(self, account, path, body):
        name, operation = path.rpartition("/")[2], body["operationName"]
        session = account.sessions.get(name)
        match operation:
            case "StartContactCenterSession" | "EndContactCenterSession":
                account.is_logged_in = operation.startswith("Start")
            case _ if session is None:
                return
            case "SendMessage":
                self.said.setdefault(name, []).append(body["text"])
                account.tell(_message(name, body["text"]))
            case "UpdateUserData":
                session["userData"] = {**session["userData"], **body["userData"]}
                account.show(session, "AttachedDataChanged")
            case "Complete":
                del account.sessions[name]
                account.show({**session, "state": "Completed"})

    # CometD -----------------------------------------------------------------------------------

    async def _cometd(self, door, message):
        channel = message["channel"]
        answer = {"channel": channel, "id": message.get("id"), "successful": True}
        if self._refuses_polls and door.life != self._life:
            return reply({"statusCode": 20}, 401)
        account = self.accounts[door.user]
        if channel == "/meta/handshake":
            self._numbers += 1
            account.client_id = f"c{self._numbers}"
            account.news, account.unacknowledged, account.batch = [], deque(), 0
            self._clients[account.client_id] = account
            more = {"version": "1.0", "supportedConnectionTypes": ["long-polling"]}
            known = {"clientId": account.client_id, "ext": {"ack": True}, "advice": _ADVICE}
            return reply([{**answer, **more, **known}])
        if message.get("clientId") != account.client_id or not account.client_id:
            return reply([{**answer, **_UNKNOWN, "advice": {"reconnect": "handshake"}}])
        if channel == "/meta/subscribe":
            return reply([{**answer, "subscription": message["subscription"]}])
        if channel == "/meta/connect":
            return await self._connect(account, message, answer)
        self._clients.pop(account.client_id, None)
        return reply([answer])

    async def _connect(self, account, message, answer):
        taken = message.get("ext", {}).get("ack", 0)
        kept = account.unacknowledged
        while kept and kept[0][0] <= taken:
            kept.popleft()
        hold_s = message.get("advice", {}).get("timeout", self._poll_s * 1000) / 1000
        if not (account.news or kept):
            account.poll = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(hold_s):
                    await account.poll
            except TimeoutError:
                pass
            finally:
                account.poll = None
        await asyncio.sleep(WAY_S)
        if account.news:
            account.batch += 1
            kept.append((account.batch, account.news))
            account.news = []
        told = [one for _number, news in kept for one in news]
        return reply([*told, {**answer, "ext": {"ack": account.batch}, "advice": _ADVICE}])


class _Door:
    """One HTTP session."""

    def __init__(self, fleet):
        self._fleet = fleet
        self.user = ""
        self.life = -1

    def sign_in(self, request, life):
        """Be the HTTP session of whoever sends this."""
        token = request.headers.get("Authorization", "").removeprefix("Basic ")
        self.user = base64.b64decode(token).decode().partition(":")[0]
        self.life = life

    async def send(self, request):
        """Return the reply, or time out."""
        try:
            async with asyncio.timeout(request.timeout_s):
                return await self._fleet.answer(self, request)
        except TimeoutError as error:
            raise AmbiguousError("no answer") from error

    async def close(self):
        """Do nothing."""


def _message(name, text):
    told = {"messageType": "IMLogUpdateMessage", "imSessionPath": f"/im-sessions/{name}"}
    return {**told, "message": text}
