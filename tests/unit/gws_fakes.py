"""An in-memory GWS for one agent: its REST half behind an Http, its notifications by hand."""

import asyncio
import contextlib
import json
from collections import deque
from datetime import timedelta
from urllib.parse import urlsplit

from imbot.bayeux.session import BayeuxResume, GoodPoll
from imbot.gws.admission import Admission
from imbot.gws.agent import Agent
from imbot.gws.auth import Basic
from imbot.gws.settings import AgentSettings, GwsSettings
from imbot.model import Batch
from imbot.ports import Reply
from imbot.testing.time import START, LoopClock, SteadyRandom

EPOCH = START
URL = "https://gws.example:8090"


def reply(status=200, body=None, **headers):
    """Return an HTTP reply with JSON, or with text as it is."""
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


def ok(**fields):
    """Return a success."""
    return reply(200, {"statusCode": 0, **fields})


def refused(code, text="", status=500):
    """Return an error as GWS words it."""
    return reply(status, {"statusCode": code, "statusMessage": text})


def session(session_id="S1", state="Talking", number="3002", **more):
    """Return an IM session as GWS shows it."""
    return {
        "id": session_id,
        "state": state,
        "path": f"/im-sessions/{session_id}",
        "participants": [{"phoneNumber": number, "digits": number}] if number else [],
        **more,
    }


def changed(shown):
    """Return the notification of a session's state."""
    body = {"messageType": "IMSessionStateChangeMessage", "imSession": shown}
    return {"channel": "/v2/me/im-sessions", "data": body}


def said(text, session_id="S1"):
    """Return the notification of a message."""
    body = {"messageType": "IMLogUpdateMessage", "message": text}
    body["imSessionPath"] = f"/im-sessions/{session_id}"
    return {"channel": "/v2/me/im-sessions", "data": body}


def device(state, device_id="D1", number="1001"):
    """Return a device as GWS shows it."""
    return {"id": device_id, "phoneNumber": number, "userState": {"state": state}}


def devices_changed(*devices):
    """Return the notification of devices."""
    body = {"messageType": "DeviceStateChangeMessage", "devices": list(devices)}
    return {"channel": "/v2/me/devices", "data": body}


class Call:
    """One request, as a test asks about it."""

    def __init__(self, request):
        parts = urlsplit(request.url)
        self.method = request.method
        self.path = parts.path
        self.url = request.url
        self.query = parts.query
        self.headers = dict(request.headers)
        self.body = json.loads(request.body) if request.body else None
        self.operation = (self.body or {}).get("operationName")

    def __repr__(self):
        return self.operation or f"{self.method} {self.path}"


class FakeGws:
    """GWS and the network to it. A test looks at `calls`, and scripts odd answers in `script`."""

    def __init__(self):
        self.calls = []
        self.script = {}
        self.devices = [device("LoggedOut")]
        self.sessions = []
        self.features = [{"id": "api-voice-instant-messaging"}]
        self.annexes = {}
        self.user_more = {}
        self.csrf = ("X-CSRF-TOKEN", "token-1")
        self.doors = []
        self.closed = 0

    def door(self, *, polls=False, guarded=False, cookies=None):
        """Return a door; every login takes a new one."""
        assert polls
        assert not guarded
        door = FakeDoor(self, cookies)
        self.doors.append(door)
        return door

    async def close(self):
        """Nothing to close."""

    def answer_next(self, name, *answers):
        """Have the next requests of this name (operation, or method and path) answered so."""
        self.script.setdefault(name, deque()).extend(answers)

    def names(self):
        """Return the operations so far."""
        return [call.operation for call in self.calls if call.operation]

    def count(self, name):
        """Return how often something was asked for."""
        return sum(repr(call) == name for call in self.calls)

    async def send(self, request):
        """Answer one request."""
        call = Call(request)
        self.calls.append(call)
        await asyncio.sleep(0.01)
        answers = self.script.get(repr(call))
        if answers:
            answer = answers.popleft()
            if callable(answer):
                answer = answer(call)
            if asyncio.iscoroutine(answer):
                answer = await answer
            if isinstance(answer, Exception):
                raise answer
            if answer is not None:
                return answer
        return self._get(call) if call.method == "GET" else self._post(call)

    def _get(self, call):
        name, token = self.csrf
        tail = call.path.removeprefix("/api/v2")
        if tail == "/diagnostics/version":
            return ok(version="8.5.202.96")
        body = {"statusCode": 0}
        if tail == "/me":
            body["user"] = {
                "userName": "bot1",
                "firstName": "Robin",
                "lastName": "Bot",
                "features": self.features,
                "devices": self.devices,
                **self.user_more,
            }
        elif tail == "/me/devices":
            body["devices"] = self.devices
        elif tail == "/me/im-sessions":
            body["imSessions"] = self.sessions
        elif tail.startswith("/me/im-sessions/"):
            found = [s for s in self.sessions if s["id"] == tail.rpartition("/")[2]]
            if not found:
                return refused(6, "not found", 404)
            body["imSession"] = found[0]
        elif tail.endswith("/settings/tserver"):
            annex = self.annexes.get(tail.split("/")[3])
            if annex is None:
                return refused(3, "forbidden", 403)
            body["settings"] = [{"name": key, "value": value} for key, value in annex.items()]
        return reply(200, body, x_csrf_header=name, x_csrf_token=token)

    def _post(self, call):
        name, token = self.csrf
        if call.headers.get(name) != token:
            return reply(403, "Missing or invalid Csrf token")
        if call.operation == "StartContactCenterSession":
            self.devices = [{**one, "userState": {"state": "NotReady"}} for one in self.devices]
        if call.operation == "EndContactCenterSession":
            self.devices = [{**one, "userState": {"state": "LoggedOut"}} for one in self.devices]
        if call.operation == "Complete":
            self.sessions = [s for s in self.sessions if s["id"] not in call.path]
        return ok()


class FakeDoor:
    """One cookie jar."""

    def __init__(self, gws, cookies):
        self._gws = gws
        self.cookies = cookies
        self.is_closed = False

    async def send(self, request):
        """Pass on, unless closed."""
        assert not self.is_closed
        return await self._gws.send(request)

    async def close(self):
        """Close."""
        self.is_closed = True


def good_poll(answered_at, *, held_s=0.0):
    """Return a poll that was answered well."""
    return GoodPoll(answered_at - timedelta(seconds=held_s), answered_at)


class FakeBayeux:
    """A Bayeux client whose server is the test."""

    def __init__(self, http, url, *, channels, listener, clock, random, headers):
        self.http, self.url, self.channels, self.listener = http, url, channels, listener
        self.clock, self.random, self.headers = clock, random, headers
        self.goodbye = None
        self.resumes = []
        self.opened_with = None
        self.last_good = None
        self.is_sound = True
        self.held_s = 0.0
        self.through = []

    @property
    def asked_at(self):
        return self.clock.now() - timedelta(seconds=self.held_s)

    def hear_through(self, moment):
        self.through.append(moment)

    def export(self):
        """Return what another open resumes with."""
        return BayeuxResume("client-1")

    async def open(self, *, resume=None):
        """Open, with the headers of this moment."""
        await asyncio.sleep(0.01)
        self.resumes.append(resume)
        self.opened_with = self.headers()
        self.last_good = good_poll(self.clock.now())

    async def close(self, *, goodbye=True):
        """Close."""
        self.goodbye = goodbye

    async def say(self, *elements, ack=None):
        """Deliver one reply's elements."""
        self.last_good = good_poll(self.clock.now())
        await self.listener.messages(list(elements), "client-1", ack)


class Bayeuxes(list):
    """Makes fake Bayeux clients and keeps them; `failures` are raised by the next opens."""

    def __init__(self):
        super().__init__()
        self.failures = deque()

    def __call__(self, http, url, **more):
        client = FakeBayeux(http, url, **more)
        if self.failures:
            error = self.failures.popleft()

            async def fail(*, resume=None):
                assert resume is None
                raise error

            client.open = fail
        self.append(client)
        return client


class Taken:
    """An intake that keeps everything."""

    def __init__(self):
        self.batches: list[Batch] = []
        self.error = None

    async def accept(self, batch):
        """Keep a batch."""
        if self.error is not None:
            raise self.error
        self.batches.append(batch)

    @property
    def notices(self):
        """Return everything taken in, in order."""
        return [notice for batch in self.batches for notice in batch.notices]

    def of(self, kind):
        """Return the notices of one kind."""
        return [notice for notice in self.notices if isinstance(notice, kind)]


class Rig:
    """One agent with its GWS, run by a test."""

    def __init__(self, *, agent=None, **gws_settings):
        self.gws = FakeGws()
        self.bayeuxes = Bayeuxes()
        self.taken = Taken()
        self.admission = Admission(LoopClock(), places=1)
        self.agent = Agent(
            AgentSettings("bot1", Basic("bot1", "pw"), **(agent or {})),
            GwsSettings(URL, **gws_settings),
            network=self.gws,
            intake=self.taken,
            clock=LoopClock(),
            random=SteadyRandom(),
            admission=self.admission,
            bayeux=self.bayeuxes,
        )
        self.life = None

    @property
    def bayeux(self):
        """Return the Bayeux client of the newest login."""
        return self.bayeuxes[-1]

    def begin(self):
        """Start the agent's life."""
        self.life = asyncio.create_task(self.agent.run())

    async def until(self, holds, limit_s=1000.0):
        """Return when something holds; virtual time passes, first in small steps."""
        step_s = 0.005
        async with asyncio.timeout(limit_s):
            while not holds():
                await asyncio.sleep(step_s)
                step_s = min(step_s * 1.1, 0.25)

    async def up(self):
        """Start, and return when the agent is up and the start is forgotten."""
        self.begin()
        await self.until(lambda: self.agent.is_up)
        self.gws.calls.clear()
        self.taken.batches.clear()

    async def stop(self):
        """Stop the agent, and end its life."""
        await self.agent.stop()
        if self.life is not None:
            await asyncio.gather(self.life, return_exceptions=True)


@contextlib.asynccontextmanager
async def rig(**settings):
    """Give a rig that is stopped in any case."""
    made = Rig(**settings)
    try:
        yield made
    finally:
        await made.stop()
