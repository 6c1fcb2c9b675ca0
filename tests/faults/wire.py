"""The way between imbot and the servers, and all that goes wrong on it.

It stands behind :class:`imbot.ports.Network`. What is under way stays under way when imbot dies: a
request that was written may take effect long after.
"""

import asyncio
import json
from collections.abc import Callable
from functools import lru_cache, partial
from random import Random
from typing import NamedTuple

from yarl import URL

from imbot.clock import Clock
from imbot.cookies import Cookies
from imbot.errors import ActionError, AmbiguousError, Fault, FaultClass, TemporaryError
from imbot.ports import Reply, Request
from tests.faults.gws import CRM_URL, Answer, Asked, Gws, refused

#: A request that is late takes effect at most so much later: below quiesce, as is promised.
LATEST_S = 60.0


#: How imbot finds out that an answer is lost: a reset at once, keep-alive probes of the kernel that
#: nobody answers, or in the other cases nothing at all until its own time-out.
_RESET, _VANISHED, _KEEPALIVE_S = 0.8, 0.18, 9.1


class Rate(NamedTuple):
    """How often something goes wrong."""

    fault: str
    polls: float
    operations: float
    others: float


#: Of polls, of what changes something, and of all else. Lost responses 5 %, lost or slow requests 5
#: to 8 %, a failover for one poll of a hundred: no less than reliability.md 3.3 has. All else goes
#: wrong less often, for a login is a dozen of such requests, and a poll or a reply is one.
RATES = (
    Rate("response lost", 0.05, 0.05, 0.012),
    Rate("request lost", 0.02, 0.01, 0.006),
    Rate("late", 0.0, 0.01, 0.0),
    Rate("slow", 0.03, 0.032, 0.015),
    Rate("failover", 0.01, 0.0, 0.0),
    Rate("refused", 0.003, 0.005, 0.004),
    Rate("gateway", 0.003, 0.002, 0.003),
    Rate("gateway after", 0.0, 0.005, 0.0),
    Rate("internal", 0.0, 0.003, 0.002),
    Rate("busy", 0.0, 0.003, 0.002),
    Rate("login lost", 0.001, 0.002, 0.001),
    Rate("token renewed", 0.0, 0.003, 0.0),
)


class Process(NamedTuple):
    """What the wire asks and tells of the process that uses it."""

    is_alive: Callable[[], bool]
    reach: Callable[[str], bool]


class Wire:
    """The network of the world.

    Args:
        gws: The server.
        chance: Chance.

    Attributes:
        fails: Whether anything goes wrong.
    """

    def __init__(self, gws: Gws, chance: Random) -> None:
        self.gws = gws
        self.fails = True
        self._chance = chance

    def fault(self, *, polls: bool, operates: bool) -> str:
        """Return what goes wrong with a request; empty for nothing."""
        if not self.fails:
            return ""
        column = 1 if polls else 2 if operates else 3
        drawn = self._chance.random()
        for rate in RATES:
            drawn -= rate[column]
            if drawn < 0:
                return rate.fault
        return ""

    def delay_s(self) -> float:
        """Return how long one way takes."""
        return self._chance.uniform(0.001, 0.02)

    def between(self, a: float, b: float) -> float:
        """Return some seconds between both."""
        return self._chance.uniform(a, b)

    def is_heads(self) -> bool:
        """Return what a coin shows."""
        return self._chance.random() < 0.5


class SimulatedNetwork:
    """The way out of one process."""

    def __init__(self, wire: Wire, process: Process, clock: Clock) -> None:
        self._wire = wire
        self._process = process
        self._clock = clock

    def door(
        self, *, polls: bool = False, guarded: bool = False, cookies: Cookies | None = None
    ) -> "Door":
        """Return a new door with cookies of its own, or with these."""
        del polls, guarded
        return Door(self._wire, self._process, self._clock, cookies or Cookies())

    async def close(self) -> None:
        """Do nothing: there are no connections."""


class Door:
    """Sends requests with cookies of its own, as :mod:`imbot.http` does."""

    def __init__(self, wire: Wire, process: Process, clock: Clock, cookies: Cookies) -> None:
        self._wire = wire
        self._process = process
        self._clock = clock
        self._cookies = cookies
        self._is_closed = False

    async def send(self, request: Request) -> Reply:
        """Return the response, or fail as the schedule will have it."""
        if self._is_closed or not self._process.is_alive():
            raise TemporaryError("the door is closed", fault=Fault(FaultClass.TRANSPORT))
        exchange = _Exchange(self._wire, self._process, request)
        url = _parsed(request.url)
        cookies = self._cookies.header(url, now=self._clock.now())
        answer = await exchange.begin(_cookies(cookies))
        self._cookies.keep(url, answer.cookies, now=self._clock.now())
        return Reply(answer.status, dict(answer.headers), answer.body)

    async def close(self) -> None:
        """Send nothing any more."""
        self._is_closed = True


class _Exchange:
    """One request and what becomes of it."""

    def __init__(self, wire: Wire, process: Process, request: Request) -> None:
        self._wire = wire
        self._gws = wire.gws
        self._process = process
        self._request = request
        self._began_s = wire.gws.now_s
        self._done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        body = json.loads(request.body) if request.body else None
        self._body = body
        self._is_bayeux = isinstance(body, list)
        self._what = body[0]["channel"] if self._is_bayeux else ""
        if isinstance(body, dict) and "operationName" in body:
            self._what = f"{body['operationName']} {body.get('text', '')}".rstrip()
        self._is_operation = isinstance(body, dict)

    async def begin(self, cookies: dict[str, str]) -> Answer:
        """Return the answer.

        Raises:
            TemporaryError: Surely not sent.
            AmbiguousError: Perhaps done.
        """
        wire, gws, request = self._wire, self._gws, self._request
        polls = self._what == "/meta/connect"
        fault = wire.fault(polls=polls, operates=self._is_operation)
        path = request.url[request.url.index("/", 8) :]
        host = "" if request.url.startswith(CRM_URL) else "gws"
        agent, session_id = _whose(path)
        self._agent = agent
        # A poll every moment is no news; what is said and what goes wrong is.
        if fault:
            gws.note(f"fault {fault}", agent, session_id, f"{request.method} {path} {self._what}")
        if fault == "refused":
            gws.later(wire.delay_s(), self._fail, TemporaryError, "connection refused")
            return await self._done
        if self._is_operation:
            gws.note("asks", agent, session_id, self._what or path)
        asked = Asked(request.method, path, dict(request.headers), cookies, self._body)
        arrive = partial(self._arrive, asked, fault, host)
        if fault == "late":
            gws.later(wire.between(1.0, LATEST_S), arrive)
        elif fault != "request lost":
            gws.later(wire.delay_s(), arrive)
        if fault in {"request lost", "late"}:
            self._lose()
        elif fault == "slow":
            self._give_up_after(request.timeout_s)
        if self._is_operation:
            self._process.reach("request written")
        elif polls:
            self._process.reach("next connect written")
        return await self._done

    def _arrive(self, asked: Asked, fault: str, host: str) -> None:
        """Let the request reach the server."""
        gws = self._gws
        respond = partial(self._respond, fault)
        if fault == "failover":
            gws.fail_over(self._agent_of(asked))
        elif fault == "gateway":
            respond(Answer(502, b"<html><body>Bad Gateway</body></html>"))
            return
        elif fault == "internal":
            respond(refused(500, 4, statusMessage="Internal error"))
            return
        elif fault == "busy":
            busy = Answer(503, b"<html>busy</html>", (("retry-after", "1"),))
            respond(
                busy if asked.method == "GET" else refused(429, 4)._replace(headers=busy.headers)
            )
            return
        elif fault == "login lost":
            gws.lose_login(asked.cookies)
            respond(refused(403, 20, statusMessage="Access denied"))
            return
        elif fault == "token renewed":
            gws.renew_token(asked.cookies)
        if host:
            gws.receive(asked, respond)
        else:
            gws.note("tick", text=asked.body["at"])
            respond(Answer(200, b"{}"))
        if self._is_operation:
            self._process.reach("request applied")

    def _agent_of(self, asked: Asked) -> str:
        return self._gws.agent_of(asked)

    def _respond(self, fault: str, answer: Answer) -> None:
        """Let the answer go back."""
        wire, gws = self._wire, self._gws
        if fault == "response lost":
            self._lose()
        elif fault == "gateway after":
            html = Answer(504, b"<html><body>Gateway Timeout</body></html>")
            gws.later(wire.delay_s(), self._deliver, html)
        else:
            slow_s = wire.between(0.5, 8.0) if fault == "slow" else 0.0
            gws.later(wire.delay_s() + slow_s, self._deliver, answer)

    def _lose(self) -> None:
        """Have imbot find out, sooner or later, that there is no answer."""
        drawn = self._wire.between(0.0, 1.0)
        if drawn < _RESET:
            self._give_up_after(self._wire.delay_s(), "connection reset")
        elif drawn < _RESET + _VANISHED:
            self._give_up_after(min(_KEEPALIVE_S, self._request.timeout_s), "connection timed out")
        else:
            # A proxy that swallows an answer keeps its connection alive.
            self._give_up_after(self._request.timeout_s - (self._gws.now_s - self._began_s))

    def _give_up_after(self, seconds: float, told: str = "no whole answer in time") -> None:
        self._gws.later(max(0.0, seconds), self._fail, AmbiguousError, told)

    def _deliver(self, answer: Answer) -> None:
        if self._done.done() or not self._process.is_alive():
            return
        if self._is_operation:
            is_alive = self._process.reach("response read")
        elif self._what == "/meta/connect" and answer.body.count(b"{") > 1:
            is_alive = self._process.reach("poll reply read")
        else:
            is_alive = True
        if is_alive and not self._done.done():
            self._done.set_result(answer)

    def _fail(self, branch: type[ActionError], told: str) -> None:
        if not self._done.done() and self._process.is_alive():
            self._done.set_exception(branch(told, fault=Fault(FaultClass.TRANSPORT, text=told)))


def _whose(path: str) -> tuple[str, str]:
    _, is_im, rest = path.partition("/im-sessions/")
    session_id = rest.partition("?")[0] if is_im else ""
    return session_id.partition("-")[0], session_id


@lru_cache(maxsize=4096)
def _parsed(url: str) -> URL:
    return URL(url, encoded=True)


def _cookies(header: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in header.split("; ") if pair)
    return {name: value for name, _, value in pairs}
