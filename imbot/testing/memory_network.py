"""imbot's way out without sockets: connections are pairs of transports on the running loop.

Both halves of HTTP are the real ones: imbot's own client at one end, a server's protocol at the
other. So hours pass in no time on a virtual-time loop, and a lost connection is a lost connection.
It knows no names but those it is given, and no TLS.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from imbot.http import AiohttpNetwork

#: Gives the seconds that the next piece of a connection is under way.
Delay = Callable[[], float]


def at_once() -> float:
    """Return no delay."""
    return 0.0


class MemoryNetwork(AiohttpNetwork):
    """Doors to servers in this process; to be made inside a running loop.

    Args:
        servers: By ``host:port``, what makes the server's end of a new connection; looked up for
            each, so that servers may come and go.
        allow: ``http.allow``: the origins that guarded doors may reach.
        delay: How long each piece is under way; pieces never overtake each other.

    Attributes:
        is_cut: Whether nobody can be reached.
    """

    def __init__(
        self,
        servers: Mapping[str, Callable[[], asyncio.Protocol]],
        *,
        allow: Sequence[str] = (),
        delay: Delay = at_once,
    ) -> None:
        super().__init__(allow=allow, link=self._connect)
        self._servers = servers
        self._delay = delay
        self._open: list[End] = []
        self.is_cut = False

    def cut(self) -> None:
        """Lose every connection now, and make no new one until :meth:`mend`.

        What was under way to servers arrives, what was under way from them does not.
        """
        self.is_cut = True
        ends, self._open = self._open, []
        for end in ends:
            end.close()

    def mend(self) -> None:
        """Let connections be made again."""
        self.is_cut = False

    async def _connect(self, host: str, port: int, protocol: asyncio.Protocol) -> None:
        await asyncio.sleep(self._delay())
        server = self._servers.get(f"{host}:{port}")
        if self.is_cut or server is None:
            raise ConnectionRefusedError(f"nobody listens at {host}:{port}")
        self._open = [end for end in self._open if not end.is_closing()]
        self._open.append(connected(protocol, server(), delay=self._delay))


class End(asyncio.Transport):
    """One end of a connection in memory; made by :func:`connected`."""

    def __init__(self, protocol: asyncio.Protocol, delay: Delay) -> None:
        super().__init__()
        self._protocol = protocol
        self._delay = delay
        self._loop = asyncio.get_running_loop()
        self._under_way: deque[bytes] = deque()
        self._arrived: deque[bytes] = deque()
        self._due_at = 0.0
        self._peer = self
        self._is_closing = False
        self._is_paused = False

    def join(self, peer: "End") -> None:
        """Send what is written here to that end."""
        self._peer = peer

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Put a piece on its way; nothing once the end is closing."""
        if data and not self._is_closing:
            self._send(bytes(data))

    def close(self) -> None:
        """Lose the connection here at once, and there after what is under way."""
        if self._is_closing:
            return
        self._is_closing = True
        self._send(b"")
        self._loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        """Do the same: there is no buffer that could be thrown away."""
        self.close()

    def is_closing(self) -> bool:
        """Return whether the end is closed."""
        return self._is_closing

    def pause_reading(self) -> None:
        """Keep what arrives until :meth:`resume_reading`."""
        self._is_paused = True

    def resume_reading(self) -> None:
        """Give the protocol what arrived meanwhile."""
        self._is_paused = False
        self._loop.call_soon(self._read)

    def _send(self, piece: bytes) -> None:
        """Put a piece on its way; an empty one is the end."""
        self._under_way.append(piece)
        self._due_at = max(self._due_at, self._loop.time() + self._delay())
        self._loop.call_at(self._due_at, self._hand_over)

    def _hand_over(self) -> None:
        # Timers of one moment come in any order, so each takes the oldest piece.
        self._peer.arrive(self._under_way.popleft())

    def arrive(self, piece: bytes) -> None:
        """Take in a piece from the other end."""
        self._arrived.append(piece)
        self._read()

    def _read(self) -> None:
        while self._arrived and not self._is_paused and not self._is_closing:
            piece = self._arrived.popleft()
            if piece:
                self._protocol.data_received(piece)
            elif not self._protocol.eof_received():
                self.close()


def connected(client: asyncio.Protocol, server: asyncio.Protocol, *, delay: Delay = at_once) -> End:
    """Connect two protocols and return the client's end."""
    near, far = End(client, delay), End(server, delay)
    near.join(far)
    far.join(near)
    server.connection_made(far)
    client.connection_made(near)
    return near
