"""The faults of one HTTP exchange: what goes wrong before the work, and on the way back.

Knows aiohttp's requests and responses, and nothing of what the work is.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from aiohttp import web

from imbot.jsontext import encode_json
from imbot.simulator import shapes
from imbot.simulator.agents import Logins
from imbot.simulator.faults import FaultBox, FaultKind

JSESSIONID = "JSESSIONID"
LB_COOKIE = "SERVERID"

_JSON = "application/json;charset=utf-8"
_HTML_502 = b"<html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>"


@dataclass(frozen=True, slots=True)
class Visit:
    """One request, with whom it claims to come from and what it asks for."""

    request: web.Request
    user: str
    name: str

    @property
    def jsession(self) -> str:
        """Return the JSESSIONID sent; empty for none."""
        return self.request.cookies.get(JSESSIONID, "")


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer, before aiohttp makes a response of it.

    Attributes:
        status_code: The body's GWS ``statusCode``; None where there is none.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = _JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    status_code: int | None = None

    def response(self) -> web.Response:
        """Return the response."""
        headers = dict(self.headers)
        if self.body:
            headers["Content-Type"] = self.content_type
        response = web.Response(status=self.status, body=self.body, headers=headers)
        for name, value in self.cookies.items():
            response.set_cookie(name, value, path="/", httponly=True)
        return response


def json_answer(body: shapes.JsonObject, status: int = 200) -> Answer:
    """Return a JSON answer of GWS."""
    code = body["statusCode"]
    return Answer(status, encode_json(body), status_code=code if isinstance(code, int) else None)


class Gate:
    """Lets requests in and answers out, or not, as the faults say.

    Attributes:
        closing: Set when the server stops; ends every hang.
    """

    def __init__(self, faults: FaultBox, logins: Logins) -> None:
        self.closing = asyncio.Event()
        self._faults = faults
        self._logins = logins

    async def before(self, visit: Visit) -> web.StreamResponse | None:
        """Return the answer of a request that goes wrong before anything is done, else None."""
        if self._strikes(FaultKind.DROP_BEFORE, visit):
            return drop(visit.request)
        if self._strikes(FaultKind.HANG, visit):
            return await self.hang(visit)
        answer = self._broken(visit)
        if answer is None and visit.request.method != "GET":
            self._spoil_csrf(visit)
        return None if answer is None else answer.response()

    async def after(self, visit: Visit, answer: Answer) -> web.StreamResponse:
        """Send the answer, by drips or with a load-balancer cookie under those faults."""
        response = answer.response()
        if self._strikes(FaultKind.LB_COOKIE, visit):
            response.set_cookie(LB_COOKIE, self._logins.move(visit.jsession), path="/")
        if self._strikes(FaultKind.SLOW_DRIP, visit):
            return await self._drip(visit, response)
        return response

    async def hang(self, visit: Visit) -> web.StreamResponse:
        """Stay silent for long, then drop the connection."""
        await self._pause(self._faults.of(visit.user).hang_s)
        return drop(visit.request)

    async def lag(self, visit: Visit) -> None:
        """Wait while the notification overtakes the reply."""
        await self._pause(self._faults.of(visit.user).early_notice_s)

    def _broken(self, visit: Visit) -> Answer | None:
        if self._strikes(FaultKind.HTML_502, visit):
            return Answer(502, _HTML_502, "text/html")
        if self._strikes(FaultKind.UNAVAILABLE, visit):
            return Answer(503)
        if self._strikes(FaultKind.ERROR_BEFORE, visit):
            return json_answer(shapes.error(4, "Internal error"), 500)
        if self._strikes(FaultKind.SESSION_LOST, visit):
            self._logins.forget(visit.user)
            return json_answer(shapes.error(20, "Access denied"), 403)
        return None

    def _spoil_csrf(self, visit: Visit) -> None:
        if self._strikes(FaultKind.CSRF_ROTATED, visit):
            self._logins.rotate_csrf(visit.jsession)

    async def _drip(self, visit: Visit, whole: web.Response) -> web.StreamResponse:
        pause_s = self._faults.of(visit.user).drip_s
        response = web.StreamResponse(status=whole.status, headers=whole.headers)
        response.cookies.update(whole.cookies)
        body = whole.body if isinstance(whole.body, bytes) else b""
        await response.prepare(visit.request)
        with suppress(ConnectionResetError):  # the client has had enough
            for place in range(len(body)):
                await response.write(body[place : place + 1])
                await self._pause(pause_s)
            await response.write_eof()
        return response

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.closing.wait()
        except TimeoutError:
            return

    def _strikes(self, kind: FaultKind, visit: Visit) -> bool:
        return self._faults.strikes(kind, visit.user, visit.name)


def drop(request: web.Request) -> web.StreamResponse:
    """Close the connection under the request; the response returned reaches nobody."""
    if request.transport is not None:
        request.transport.close()
    return web.Response(status=500)
