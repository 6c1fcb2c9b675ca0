"""Serving without a port: for clients in the same process, at the other end of a memory network."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias, cast

from aiohttp import web

#: What handlers get to end after held polls and hangs were told to.
SHUTDOWN_S = 1.0

#: Makes the server's end of a new connection.
Server: TypeAlias = Callable[[], asyncio.Protocol]


@asynccontextmanager
async def served_in_memory(app: web.Application) -> AsyncIterator[Server]:
    """Serve the application to whoever connects to what is given; aiohttp's own server does."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        yield cast("Server", runner.server)
    finally:
        await runner.cleanup()
