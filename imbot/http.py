"""The only door to aiohttp's client: one port that gws, bayeux and plugins send through.

It answers with whatever HTTP status came. It follows no redirect, retries nothing, reads no proxy
or netrc from the environment and knows nothing of JSON. A failure says exactly whether anything was
sent, since that decides whether an action may be repeated.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import aiohttp
from aiohttp import http_parser
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
from yarl import URL

from imbot import __version__
from imbot.addresses import is_literal, is_own, why_refused
from imbot.clock import Clock, SystemClock
from imbot.cookies import Cookies
from imbot.errors import (
    ActionError,
    AmbiguousError,
    ConfigError,
    Fault,
    FaultClass,
    PermanentError,
    TemporaryError,
)
from imbot.ports import Http, Reply, Request
from imbot.problems import Place, Problem

#: How long to wait for a free connection, or a new one, before it counts as unreachable.
CONNECT_S = 10.0
#: Connections that operations and plugins share; polls have as many as there are agents.
OPERATIONS_LIMIT = 100

#: How many URLs are remembered as they were read: that of polls, and those of sessions at work.
_URLS = 1024
#: How many names of headers, and sets of them, are remembered with what follows from them.
_NAMES = 128

#: Connects a protocol to whoever answers at a host and port, or raises OSError.
Link: TypeAlias = Callable[[str, int, asyncio.Protocol], Awaitable[None]]

#: A peer that vanished is noticed within 10 s instead of at the end of the poll (measured: 9.1 s).
_KEEPALIVE = (
    ("TCP_KEEPIDLE", 4),
    ("TCP_KEEPINTVL", 2),
    ("TCP_KEEPCNT", 3),
    ("TCP_USER_TIMEOUT", 10_000),
)

_URL = re.compile(
    r"https?://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?([/?][!-~]*)?",
    re.IGNORECASE | re.ASCII,
)
_METHOD = re.compile(r"[A-Z]+")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
#: Headers that frame or route the request; a caller who sets them could smuggle another one.
_RESERVED = frozenset({"connection", "content-length", "host", "transfer-encoding", "upgrade"})


def origin_of(url: str) -> str:
    """Return ``scheme://host:port`` of an absolute URL, in lower case, with the port written out.

    Raises:
        ValueError: It is no absolute http(s) URL of plain printable characters, carries a user, or
            writes an address as no other than some systems read it.
    """
    return _origin(_parsed(url))


@lru_cache(_URLS)
def _parsed(url: str) -> URL:
    if _URL.fullmatch(url) is None:
        raise ValueError(f"{url!r:.200} is no http(s)://host[:port]/… URL in percent-encoded ASCII")
    parsed = URL(url, encoded=True)
    is_literal(parsed.host_subcomponent or "")
    return parsed


@lru_cache(_URLS)
def _origin(url: URL) -> str:
    return f"{url.scheme}://{url.host_subcomponent}:{url.port}".lower()


@lru_cache(_NAMES)
def _may_set(header: str) -> bool:
    return _HEADER_NAME.fullmatch(header) is not None and header.lower() not in _RESERVED


def retry_after_s(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Return the seconds that ``Retry-After`` asks for, 0 or more; None when it does not say."""
    if not (value := headers.get("retry-after", "").strip()):
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        moment = parsedate_to_datetime(value).astimezone(now.tzinfo)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (moment - now).total_seconds())


def has_fast_parser() -> bool:
    """Return whether answers are read by aiohttp's parser in C; the one in Python is laxer."""
    return http_parser.HttpResponseParser is not http_parser.HttpResponseParserPy


class AiohttpNetwork:
    """Doors over three pools of connections: two bounded ones, and one that polls cannot use up.

    To be made inside a running loop. A door asked for with ``polls`` sends everything over the
    unbounded pool, so that one agent's polls and operations share their cookies. Guarded doors have
    a pool to themselves: a connection there leads to an address that was looked at.
    """

    def __init__(
        self,
        *,
        ca_file: Path | None = None,
        allow: Sequence[str] = (),
        internal: Sequence[str] = (),
        connect_s: float = CONNECT_S,
        operations_limit: int = OPERATIONS_LIMIT,
        link: Link | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Prepare the pools; nothing is connected yet.

        Args:
            ca_file: Certificates to trust besides the system's.
            allow: ``http.allow``: the origins that guarded doors may reach; a name among them only
                at public addresses.
            internal: ``http.internal``: the same, also at private addresses and on this machine.
            connect_s: Seconds for getting a connection.
            operations_limit: Connections of each bounded pool.
            link: What connects instead of sockets; it has no TLS.
            clock: Tells when cookies end; None for the machine's.

        Raises:
            ConfigError: ``ca_file`` cannot be read, or an entry of ``allow`` or ``internal`` is no
                origin.
        """
        inside = _origins("http.internal", internal)
        self._allowed = _origins("http.allow", allow) | inside
        self._clock = clock or SystemClock()
        resolver = _Guard({(url.host or "", url.port or 0) for url in map(URL, inside)})
        limits = ((0, None), (operations_limit, None), (operations_limit, resolver))
        self._polls, self._operations, self._guarded = (
            _Pool(connector, connect_s) for connector in _connectors(ca_file, link, limits)
        )

    def door(
        self, *, polls: bool = False, guarded: bool = False, cookies: Cookies | None = None
    ) -> Http:
        """Return a new door with cookies of its own, or with these."""
        pool, allowed = self._polls if polls else self._operations, None
        if guarded:
            pool, allowed = self._guarded, self._allowed
        return _Door(pool, allowed, clock=self._clock, cookies=cookies or Cookies())

    async def close(self) -> None:
        """Close every connection, and with them every door; what is under way fails."""
        await self._polls.close()
        await self._operations.close()
        await self._guarded.close()


class _RefusedError(Exception):
    """A name leads to an address that nothing may connect to."""


class _Guard(AbstractResolver):
    """Looks names up for guarded doors; the addresses that it gives are the ones connected to.

    One address that is refused refuses the name: who answers for it may choose the order.
    """

    def __init__(self, internal: Collection[tuple[str, int]]) -> None:
        self._internal = internal

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name.

        Raises:
            _RefusedError: One of them is none that the settings allow.
        """
        found = await aiohttp.ThreadedResolver().resolve(host, port, family)
        is_internal = (host.lower(), port) in self._internal
        for each in found:
            if what := why_refused(each["host"], is_internal=is_internal):
                raise _RefusedError(_refusal(host, each["host"], what))
        return found

    async def close(self) -> None:
        """Do nothing: nothing is kept."""


def _refusal(host: str, address: str, what: str) -> str:
    told = f"the name {host} leads to {address}, {what}"
    if is_own(address):
        return f"{told}; if it is meant to be there, list its origin under http.internal"
    return f"{told}; no name that rules send requests to may lead there"


class _LinkConnector(aiohttp.BaseConnector):
    """Connects over a link that is given, as aiohttp's other connectors do over sockets."""

    def __init__(self, link: Link, *, limit: int) -> None:
        super().__init__(limit=limit)
        self._link = link

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[aiohttp.tracing.Trace],  # noqa: ARG002  aiohttp's signature
        timeout: aiohttp.ClientTimeout,  # noqa: ARG002, ASYNC109  aiohttp's signature
    ) -> ResponseHandler:
        protocol = self._factory()
        await self._link(req.url.host or "", req.url.port or 0, protocol)
        return protocol


@dataclass(slots=True)
class _Progress:
    """Whether the request under way may have reached the peer."""

    is_sent: bool = False


class _Pool:
    """Connections, and one exchange over one of them.

    aiohttp's connectors make, limit, lend and keep connections, and its parser in C reads what
    comes. What its client session puts between the two is left out: it takes more time than all the
    rest of an exchange, and would send a request again whose connection was lost.
    """

    def __init__(self, connector: aiohttp.BaseConnector, connect_s: float) -> None:
        self._connector = connector
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_s)
        self._targets: dict[str, aiohttp.ClientRequest] = {}

    @property
    def is_closed(self) -> bool:
        """Whether nothing is sent any more."""
        return self._connector.closed

    async def close(self) -> None:
        """Close every connection; what is under way fails."""
        await self._connector.close()

    async def exchange(
        self, request: Request, url: URL, headers: Mapping[str, str], progress: _Progress
    ) -> tuple[RawResponseMessage, bytes, float]:
        """Send a request once; return the head of the answer, its body and the seconds it took.

        Args:
            request: What to send.
            url: Where to, of the request.
            headers: With cookies, instead of the request's.
            progress: Told when bytes may have been sent.

        Raises:
            aiohttp.ClientError: No connection, or no whole answer.
            HttpProcessingError: What came is no HTTP.
            OSError: No connection.
        """
        sent = _bytes_of(request, url, headers)
        connection = await self._connection(url)
        try:
            answer = await _answer(connection.protocol, request, sent, progress)
        except BaseException:
            connection.close()
            raise
        connection.release()
        return answer

    async def _connection(self, url: URL) -> Connection:
        """Return a connection on which nothing lies that would be taken for the answer."""
        for _ in range(_CONNECTIONS):
            connection = await self._connector.connect(self._target(url), [], self._timeout)
            if connection.protocol is None or not connection.protocol.should_close:
                return connection
            connection.close()
        raise aiohttp.ClientConnectionError("who is there speaks before it is asked")

    def _target(self, url: URL) -> aiohttp.ClientRequest:
        """Return what tells the connector where to connect; the same for all requests there."""
        origin = _origin(url)
        if (target := self._targets.get(origin)) is None:
            if len(self._targets) >= _TARGETS:
                self._targets.clear()
            target = aiohttp.ClientRequest("GET", url.origin(), loop=asyncio.get_running_loop())
            self._targets[origin] = target
        return target


async def _answer(
    protocol: ResponseHandler | None, request: Request, sent: bytes, progress: _Progress
) -> tuple[RawResponseMessage, bytes, float]:
    if protocol is None or protocol.transport is None:
        raise aiohttp.ClientConnectionError("the connection was lost")
    protocol.set_response_params(skip_payload=request.method == "HEAD", read_until_eof=True)
    progress.is_sent = True
    protocol.transport.write(sent)
    head, content = await protocol.read()
    while head.code in _INTERIM:
        head, content = await protocol.read()
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    body = await _body(content, head.code, request.limit_bytes)
    return head, body, loop.time() - began_at


#: An answer follows these; not 101, after which no HTTP follows.
_INTERIM = frozenset({100, *range(102, 200)})

#: So many connections are looked at for one on which nothing was said yet.
_CONNECTIONS = 5

#: So many places to connect to are remembered.
_TARGETS = 1000

#: What goes with each request that does not bring it itself.
_OWN_HEADERS = (
    ("Accept", "*/*"),
    ("Accept-Encoding", "gzip, deflate"),
    ("User-Agent", f"imbot/{__version__}"),
)


def _bytes_of(request: Request, url: URL, headers: Mapping[str, str]) -> bytes:
    """Return a request as it goes over the wire; its headers were checked."""
    lines = [f"{request.method} {url.raw_path_qs} HTTP/1.1", f"Host: {url.host_port_subcomponent}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += _own_lines(tuple(headers))
    if request.body is not None or request.method not in _WITHOUT_BODY:
        lines.append(f"Content-Length: {len(request.body or b'')}")
    return "\r\n".join((*lines, "", "")).encode() + (request.body or b"")


@lru_cache(_NAMES)
def _own_lines(brought: tuple[str, ...]) -> tuple[str, ...]:
    """Return the lines that go along with headers of these names."""
    names = {name.lower() for name in brought}
    return tuple(f"{name}: {value}" for name, value in _OWN_HEADERS if name.lower() not in names)


#: Methods whose requests tell no length when they have no body. Source: RFC 9110, 8.6.
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class _Door:
    """Sends requests with cookies of its own; see :class:`imbot.ports.Http`."""

    def __init__(
        self,
        pool: _Pool,
        allowed: frozenset[str] | None,
        *,
        clock: Clock,
        cookies: Cookies,
    ) -> None:
        self._pool = pool
        self._allowed = allowed
        self._clock = clock
        self._cookies = cookies
        self._is_closed = False

    async def send(self, request: Request) -> Reply:
        """Return the response to one request, whatever its status.

        Raises:
            PermanentError: The request is malformed, or its host is not allowed.
            TemporaryError: Surely not sent.
            AmbiguousError: Bytes were sent and no whole answer came, or it was too large.
        """
        url = self._checked(request)
        if self._is_closed or self._pool.is_closed:
            raise TemporaryError("the door is closed", fault=Fault(FaultClass.TRANSPORT))
        progress = _Progress()
        try:
            async with asyncio.timeout(request.timeout_s):
                return await self._exchange(request, url, progress)
        except _RefusedError as error:
            raise _unsendable(f"{request.method} {origin_of(request.url)}: {error}") from error
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            raise _converted(request, error, is_sent=progress.is_sent) from error

    async def close(self) -> None:
        """Send nothing any more; what others send goes on."""
        self._is_closed = True

    def _checked(self, request: Request) -> URL:
        """Return where the request goes, if it may be sent."""
        if _METHOD.fullmatch(request.method) is None:
            raise _unsendable(f"{request.method!r:.50} is no HTTP method in capitals")
        try:
            url = _parsed(request.url)
            origin = _origin(url)
        except ValueError as error:
            raise _unsendable(str(error)) from error
        if self._allowed is not None and origin not in self._allowed:
            raise _unsendable(f"{origin} is neither in http.allow nor in http.internal")
        for name, value in request.headers.items():
            if not _may_set(name):
                raise _unsendable(f"a request may not set the header {name!r:.50}")
            if not value.isprintable() and _CONTROL.search(value):
                raise _unsendable(f"the value of the header {name} holds a control character")
        return url

    async def _exchange(self, request: Request, url: URL, progress: _Progress) -> Reply:
        headers = self._with_cookies(request.headers, url)
        head, body, read_s = await self._pool.exchange(request, url, headers, progress)
        if given := head.headers.getall("Set-Cookie", ()):
            self._cookies.keep(url, given, now=self._clock.now())
        told = {name.lower(): value for name, value in head.headers.items()}
        return Reply(head.code, told, body, read_s)

    def _with_cookies(self, headers: Mapping[str, str], url: URL) -> Mapping[str, str]:
        own = "; ".join(value for name, value in headers.items() if name.lower() == "cookie")
        if not (cookies := self._cookies.header(url, now=self._clock.now(), own=own)):
            return headers
        if not own:
            return {**headers, "Cookie": cookies}
        others = {name: value for name, value in headers.items() if name.lower() != "cookie"}
        return {**others, "Cookie": cookies}


class _TooLargeError(aiohttp.ClientPayloadError):
    """An answer came, and is larger than was asked for."""

    def __init__(self, status: int, limit_bytes: int) -> None:
        self.status = status
        super().__init__(f"the answer is larger than {limit_bytes} bytes")


async def _body(content: aiohttp.StreamReader, status: int, limit_bytes: int) -> bytes:
    """Return the decoded body; one that grows too large, by decompression too, is given up."""
    chunks = []
    size = 0
    while chunk := await content.readany():
        size += len(chunk)
        if size > limit_bytes:
            raise _TooLargeError(status, limit_bytes)
        chunks.append(chunk)
    return b"".join(chunks)


#: How aiohttp tells its TLS setting in a failed connection, also where there is no TLS.
_TLS_NOTE = " ssl:default"


def _converted(request: Request, error: Exception, *, is_sent: bool) -> ActionError:
    cause = str(error).replace(_TLS_NOTE, "") or type(error).__name__
    if isinstance(error, TimeoutError):
        cause = f"no whole answer within {request.timeout_s:g} s"
    text = f"{request.method} {origin_of(request.url)}: {cause}"
    branch = AmbiguousError if is_sent else TemporaryError
    status = error.status if isinstance(error, _TooLargeError) else None
    return branch(text, fault=Fault(FaultClass.TRANSPORT, http_status=status, text=cause))


def _unsendable(text: str) -> PermanentError:
    return PermanentError(text, fault=Fault(FaultClass.INPUT, text=text))


def _origins(setting: str, entries: Sequence[str]) -> frozenset[str]:
    origins, problems = set(), []
    for entry in entries:
        try:
            if URL(entry).path_qs not in {"/", ""}:
                raise ValueError(f"{entry!r} has a path")  # noqa: TRY301  one except for both
            origins.add(origin_of(entry))
        except ValueError as error:
            cure = "write scheme://host[:port], nothing after it"
            problems.append(Problem(Place(setting), "wrong-value", str(error), cure))
    if problems:
        raise ConfigError(problems)
    return frozenset(origins)


def _connectors(
    ca_file: Path | None,
    link: Link | None,
    limits: Sequence[tuple[int, AbstractResolver | None]],
) -> list[aiohttp.BaseConnector]:
    if link is not None:
        return [_LinkConnector(link, limit=limit) for limit, _ in limits]
    context = tls_context(ca_file)
    return [
        aiohttp.TCPConnector(limit=limit, ssl=context, socket_factory=_socket, resolver=resolver)
        for limit, resolver in limits
    ]


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return how every connection over TLS is made: verified, and with nothing newer than HTTP/1.1.

    Args:
        ca_file: Certificates to trust besides the system's.

    Raises:
        ConfigError: It cannot be read.
    """
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:
            what = f"the certificates cannot be read: {error}"
            cure = "a file of PEM certificates"
            raise ConfigError([Problem(Place(str(ca_file)), "bad-ca-file", what, cure)]) from error
    return context


def _socket(address: tuple[int, int, int, str, object]) -> socket.socket:
    """Return a socket that finds out by itself when its peer has vanished."""
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        # Not every platform has every one of them.
        if (option := getattr(socket, name, None)) is not None:
            made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made
