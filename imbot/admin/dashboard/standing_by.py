"""The one page of an imbot that stands by: why it acts on nothing."""

from collections.abc import Callable, Iterable

from aiohttp import web

import imbot
from imbot.admin.dashboard.assets import ASSETS, Assets
from imbot.admin.dashboard.paper import Paper
from imbot.admin.gate import Gate
from imbot.admin.health import Health
from imbot.admin.routing import RefusedError, Serves
from imbot.admin.trail import Trail

_SEE_OTHER, _NOT_FOUND = 303, 404


class StandbyPage:
    """Serves the page.

    Args:
        health: Says why imbot stands by.
    """

    def __init__(self, health: Callable[[], Health]) -> None:
        self._health = health
        self._assets = Assets()
        self._paper = Paper(self._assets)

    def serving(self, gate: Gate, _trail: Trail) -> Iterable[tuple[str, str, Serves]]:
        """Yield the method and path of everything there is to see, and what answers it."""

        async def show(request: web.Request) -> web.StreamResponse:
            gate.require_looker(request)
            shown = {"health": self._health(), "version": imbot.__version__, "told": ""}
            return self._paper.answer("standby.html", {**shown, "page": None}, status=503)

        yield "GET", ASSETS, self._assets.serve
        yield "GET", "/", show

    def refusal(self, request: web.Request, error: RefusedError) -> web.StreamResponse | None:
        """Lead people from pages that were open before to the one there is."""
        if "text/html" not in request.headers.get("Accept", "") or error.status != _NOT_FOUND:
            return None
        return web.Response(status=_SEE_OTHER, headers={"Location": "/"})
