"""A small CRM to try the crm plugin on: a few customers, kept in memory.

It speaks the contract of docs/reference/crm.md.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from imbot.errors import ImbotError
from imbot.simulator.serving import SHUTDOWN_S, Server, served_in_memory

CUSTOMERS: Mapping[str, Mapping[str, str]] = {
    "3001": {"id": "C-17", "firstName": "Ada", "lastName": "Okafor", "tier": "gold"},
    "3002": {"id": "C-18", "firstName": "Bela", "lastName": "Nagy", "tier": "basic"},
    "3003": {"id": "C-19", "firstName": "Chen", "lastName": "Wei", "tier": "silver"},
}


@dataclass(slots=True)
class Crm:
    """Serves the customers while its ``async with`` block runs.

    Attributes:
        customers: By number.
        interactions: What was written, by customer id and session id.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
    """

    customers: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: dict(CUSTOMERS))
    interactions: dict[tuple[str, str], Any] = field(default_factory=dict)
    host: str = "127.0.0.1"
    port: int = 0
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where it listens; empty before."""
        if self._runner is None:
            return ""
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    @asynccontextmanager
    async def in_memory(self) -> AsyncIterator[Server]:
        """Serve without a port, to clients in this process."""
        async with served_in_memory(self._app()) as server:
            yield server

    async def __aenter__(self) -> Self:
        runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.host, self.port).start()
        except OSError as error:
            await runner.cleanup()
            where = f"{self.host}:{self.port}"
            raise ImbotError(
                f"the CRM cannot listen on {where}: {error.strerror or error}; "
                "stop what listens there, or choose another port"
            ) from error
        self._runner = runner
        return self

    async def __aexit__(self, *_error: object) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def _app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/contacts", self._contact)
        app.router.add_put("/contacts/{id}/interactions/{session}", self._interaction)
        return app

    async def _contact(self, request: web.Request) -> web.Response:
        customer = self.customers.get(request.query.get("number", ""))
        if customer is None:
            return web.json_response({"error": "nobody has this number"}, status=404)
        return web.json_response(dict(customer))

    async def _interaction(self, request: web.Request) -> web.Response:
        key = (request.match_info["id"], request.match_info["session"])
        try:
            interaction = await request.json()
        except ValueError:
            return web.json_response({"error": "this is no JSON"}, status=400)
        status = 200 if key in self.interactions else 201
        self.interactions[key] = interaction
        return web.json_response({}, status=status)
