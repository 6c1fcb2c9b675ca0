"""HTTP as bytes: what is sent is what a test wrote, and what is read is what came."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple, Self
from urllib.parse import urlsplit

#: Longer than any answer takes.
PATIENCE_S = 15.0


class Reply(NamedTuple):
    """One answer.

    Attributes:
        status: Its HTTP status; 0 where the server hung up instead.
        heads: By name in small letters; those of one name after each other.
        body: As it came.
    """

    status: int = 0
    heads: Mapping[str, str] = {}
    body: bytes = b""

    @property
    def text(self) -> str:
        """All of it."""
        heads = "".join(f"{name}: {value}\n" for name, value in self.heads.items())
        return f"{self.status}\n{heads}\n{self.body.decode('utf-8', 'replace')}"


class RawHttp:
    """One connection after another to a server; each is kept as long as the server keeps it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = parts.hostname or "", parts.port or 0
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.hang_up()

    async def hang_up(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            with suppress(OSError):
                await self._streams[1].wait_closed()
        self._streams = None

    async def ask(self, sent: bytes) -> Reply:
        """Return the answer to what is sent."""
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await self._connected()
            with suppress(OSError):
                writer.write(sent)
                await writer.drain()
            reply = await _read(reader)
        streams = reply.heads.get("content-type", "").startswith("text/event-stream")
        if reply.status in {0, 400} or streams or reply.heads.get("connection") == "close":
            await self.hang_up()
        return reply

    async def all_of(self, sent: bytes, *, within_s: float = PATIENCE_S) -> bytes:
        """Return all that comes until the server hangs up.

        Raises:
            TimeoutError: It does not.
        """
        await self.hang_up()
        async with asyncio.timeout(within_s):
            reader, writer = await self._connected()
            with suppress(OSError):
                writer.write(sent)
                await writer.drain()
            came = b""
            with suppress(OSError):
                while some := await reader.read(65536):
                    came += some
        await self.hang_up()
        return came

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is not None and self._streams[0].at_eof():
            await self.hang_up()
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        return self._streams


async def _read(reader: asyncio.StreamReader) -> Reply:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        heads: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            before = heads.get(name.lower())
            heads[name.lower()] = value.strip() if before is None else f"{before}\n{value.strip()}"
        body = await reader.readexactly(int(heads.get("content-length", "0")))
    except (asyncio.IncompleteReadError, OSError):
        return Reply()
    return Reply(int(first.split(" ")[1]), heads, body)
