"""The chat page: a person plays the other party and watches the agent answer, live.

One static page, no external resource; what people typed reaches the page as JSON and is shown as
text only. Actions go through the control API.
"""

import asyncio
import base64
import hashlib
import re
from importlib.resources import files

from aiohttp import web

from imbot.jsontext import encode_json
from imbot.simulator.control import entry_view
from imbot.simulator.journal import Entry
from imbot.simulator.world import World

#: Entries a slow page may lag behind before it is cut off; its browser reconnects and reads anew.
_LONGEST_LAG = 1_000

#: Pause after which a comment keeps the stream alive.
_HEARTBEAT_S = 15.0


class ChatPage:
    """The page at ``/`` and its stream of events."""

    def __init__(self, world: World, *, closing: asyncio.Event) -> None:
        self._world = world
        self._closing = closing
        self._page = (files("imbot.simulator") / "chat.html").read_text(encoding="utf-8")
        self._policy = _policy(self._page)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get("/", self._show), web.get("/_control/events", self._stream)]

    async def _show(self, _request: web.Request) -> web.StreamResponse:
        headers = {
            "Content-Security-Policy": self._policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }
        return web.Response(text=self._page, content_type="text/html", headers=headers)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Send each new entry of the log as a server-sent event, of one ``session`` if named."""
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        waiting: asyncio.Queue[Entry] = asyncio.Queue(_LONGEST_LAG)
        late = asyncio.Event()

        def hear(entry: Entry) -> None:
            try:
                waiting.put_nowait(entry)
            except asyncio.QueueFull:
                late.set()

        stop = self._world.listen(hear, session=request.query.get("session", ""))
        try:
            await response.prepare(request)
            while not (late.is_set() or self._closing.is_set()):
                await response.write(await self._next(waiting))
        except ConnectionResetError:
            return response
        finally:
            stop()
        return response

    async def _next(self, waiting: asyncio.Queue[Entry]) -> bytes:
        """Return the next event, or a comment when nothing happens for long or at the end."""
        get = asyncio.ensure_future(waiting.get())
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait(
                {get, closing}, timeout=_HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED
            )
            if not get.done():
                return b": still here\n\n"
            return b"data: " + encode_json(entry_view(get.result())) + b"\n\n"
        finally:
            get.cancel()
            closing.cancel()


def _policy(page: str) -> str:
    """Return a content security policy that allows this page's own script and style only."""
    script, style = (
        base64.b64encode(hashlib.sha256(found.encode()).digest()).decode()
        for found in (_inner("script", page), _inner("style", page))
    )
    return (
        f"default-src 'none'; connect-src 'self'; script-src 'sha256-{script}'; "
        f"style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _inner(tag: str, page: str) -> str:
    found = re.search(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return found.group(1) if found is not None else ""
