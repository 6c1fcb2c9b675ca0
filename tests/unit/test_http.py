"""imbot.http: what a door sends, refuses to send, and says when it fails; over real sockets."""

import asyncio
import contextlib
import gzip
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import http_parser, web
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from imbot import __version__
from imbot.errors import AmbiguousError, ConfigError, FaultClass, PermanentError, TemporaryError
from imbot.http import AiohttpNetwork, _bytes_of, _socket, origin_of, retry_after_s
from imbot.ports import Request
from tests.certificate import CERTIFICATE

NOW = datetime(2025, 1, 1, tzinfo=UTC)
GREETING = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@pytest.fixture
async def network():
    network = AiohttpNetwork(connect_s=0.3, operations_limit=1)
    yield network
    await network.close()


@pytest.fixture
async def door(network):
    return network.door()


class Seen(list):
    """The heads of the requests that a server got, and the address it listens on."""

    def __init__(self):
        super().__init__()
        self.any = asyncio.Event()
        self.url = ""
        self.writers = []


@pytest.fixture
async def peer():
    """Return a function that starts a server which answers as told, byte by byte."""
    servers, writers = [], []

    async def start(*answers):
        """Answer requests with bytes; None closes the connection, ... never answers."""
        seen, scripted = Seen(), list(answers)

        async def serve(reader, writer):
            writers.append(writer)
            seen.writers.append(writer)
            while head := await _head(reader):
                seen.append(head)
                seen.any.set()
                answer = scripted.pop(0) if scripted else GREETING
                if answer is None:
                    break
                if answer is ...:
                    continue
                writer.write(answer)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        servers.append(server)
        seen.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
        return seen

    yield start
    for server in servers:
        server.close()
    for writer in writers:
        writer.close()


async def _head(reader):
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode()
    except (asyncio.IncompleteReadError, ConnectionError):
        return ""


def get(url, **fields):
    return Request("GET", url, **{"timeout_s": 5, **fields})


@pytest.fixture
async def site(aiohttp_server):
    """Return the address of a server that echoes, sets cookies, redirects and packs."""

    async def echo(request):
        answer = web.Response(
            status=int(request.query.get("status", 200)), body=await request.read()
        )
        answer.headers.update({"X-Cookie": request.headers.get("Cookie", ""), "Location": "/gone"})
        answer.headers["X-Agent"] = request.headers["User-Agent"]
        answer.headers["X-Mine"] = request.headers.get("X-Mine", "")
        answer.headers.add("Set-Cookie", "JSESSIONID=abc; Path=/; HttpOnly")
        answer.headers.add("Set-Cookie", "BAYEUX_BROWSER=def; Path=/")
        return answer

    async def packed(_request):
        body = gzip.compress(bytes(20_000_000))
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    async def hold(request):
        await asyncio.sleep(float(request.query["seconds"]))
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/echo", echo)
    app.router.add_get("/packed", packed)
    app.router.add_get("/hold", hold)
    server = await aiohttp_server(app)
    return str(server.make_url("")).rstrip("/")


async def test_a_reply_is_whole_whatever_its_status(door, site):
    request = Request("POST", f"{site}/echo?status=503", {"X-Mine": "ü\tx"}, b"body")

    reply = await door.send(request)

    assert (reply.status, reply.body) == (503, b"body")
    assert reply.headers["x-mine"] == "ü\tx"
    assert reply.headers["x-agent"].startswith("imbot/")


async def test_no_redirect_is_followed(door, site):
    """A POST that turns into a GET of a login page would look like a success."""
    assert (await door.send(get(f"{site}/echo?status=302"))).status == 302


async def test_a_door_keeps_cookies_of_a_numeric_host_and_shares_them_with_no_other(network, site):
    """By default they are dropped, and GWS answers 402 for ever."""
    one, other = network.door(polls=True), network.door(polls=True)
    await one.send(get(f"{site}/echo"))

    mine = await one.send(get(f"{site}/echo"))
    others = await other.send(get(f"{site}/echo"))

    cookies = set(mine.headers["x-cookie"].split("; "))
    assert cookies == {"JSESSIONID=abc", "BAYEUX_BROWSER=def"}
    assert others.headers["x-cookie"] == ""


async def test_a_door_adds_its_cookies_to_those_of_the_request(door, site):
    """Behind SAML the request brings the cookies of somebody else's login."""
    request = get(f"{site}/echo", headers={"cookie": "SAML=x; JSESSIONID=old"})
    assert (await door.send(request)).headers["x-cookie"] == "SAML=x; JSESSIONID=old"

    cookies = (await door.send(request)).headers["x-cookie"].split("; ")

    assert sorted(cookies) == ["BAYEUX_BROWSER=def", "JSESSIONID=abc", "SAML=x"]


async def test_the_environment_sets_no_proxy(door, site, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    assert (await door.send(get(f"{site}/echo"))).status == 200


async def test_nobody_there_is_surely_not_sent(door):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"

        with pytest.raises(TemporaryError, match=r"GET http://127\.0\.0\.1:") as caught:
            await door.send(get(url))

    assert caught.value.fault.fault_class is FaultClass.TRANSPORT
    assert "ssl" not in str(caught.value)  # there was none


def test_the_origin_of_a_numeric_host_is_one_again():
    """Without its brackets nobody could tell the port of an IPv6 address from the address."""
    assert origin_of("http://[::1]:8090/api") == "http://[::1]:8090"
    assert origin_of(origin_of("https://[FE80::1]/")) == "https://[fe80::1]:443"


async def test_a_peer_without_tls_is_surely_not_sent(door, peer):
    seen = await peer()

    with pytest.raises(TemporaryError):
        await door.send(get(seen.url.replace("http", "https")))

    assert seen == []


async def test_a_certificate_is_trusted_only_if_the_settings_say_so(aiohttp_server, tmp_path):
    pem = tmp_path / "loopback.pem"
    pem.write_text(CERTIFICATE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = await aiohttp_server(web.Application(), ssl=context)
    strict, trusting = AiohttpNetwork(), AiohttpNetwork(ca_file=pem)
    url = str(server.make_url("/"))

    with pytest.raises(TemporaryError, match="certificate"):
        await strict.door().send(get(url))
    assert (await trusting.door().send(get(url))).status == 404
    await strict.close()
    await trusting.close()


async def test_a_name_that_cannot_be_looked_up_is_surely_not_sent(door):
    with pytest.raises(TemporaryError):
        await door.send(get(f"http://{'a' * 70}.example/"))


async def test_a_connection_that_does_not_come_about_is_surely_not_sent(door):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        with socket.create_connection(address), pytest.raises(TemporaryError):
            await door.send(get(f"http://127.0.0.1:{address[1]}/"))


@pytest.mark.parametrize("timeout_s", [0.1, 5])
async def test_waiting_for_a_free_connection_is_surely_not_sent(door, site, timeout_s):
    holding = asyncio.create_task(door.send(get(f"{site}/hold?seconds=0.5")))
    await asyncio.sleep(0.05)

    with pytest.raises(TemporaryError):
        await door.send(get(f"{site}/echo", timeout_s=timeout_s))
    await holding


async def test_polls_never_use_up_the_connections(network, site):
    """With a shared limit of 100, 120 agents hang at start."""
    polls, operations = network.door(polls=True), network.door()
    held = [polls.send(get(f"{site}/hold?seconds=0.2")) for _ in range(5)]
    replies = await asyncio.gather(*held, operations.send(get(f"{site}/echo")))

    assert [reply.status for reply in replies] == [200] * 6


@pytest.mark.parametrize(
    "answer",
    [None, ..., b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"garbage\r\n\r\n"],
    ids=["closed", "silent", "half", "garbage"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_a_request_without_a_whole_answer_is_ambiguous_and_sent_once(
    door, peer, method, answer
):
    """Left alone, aiohttp silently sends a GET or PUT again when a kept connection breaks."""
    seen = await peer(GREETING, answer)
    await door.send(get(seen.url))

    with pytest.raises(AmbiguousError) as caught:
        await door.send(Request(method, seen.url, timeout_s=0.3))

    assert len(seen) == 2
    assert caught.value.fault.fault_class is FaultClass.TRANSPORT
    assert caught.value.fault.text


async def test_a_request_goes_out_as_it_stands(door, peer):
    seen = await peer()
    await door.send(Request("POST", f"{seen.url}?a=%20b#c", {"X-Mine": "ü", "Accept": "a/b"}))

    first, *rest = seen[0].removesuffix("\r\n\r\n").split("\r\n")
    assert first == "POST /x?a=%20b HTTP/1.1"
    assert rest == [
        f"Host: {seen.url.split('/')[2]}",
        "X-Mine: ü",
        "Accept: a/b",
        "Accept-Encoding: gzip, deflate",
        f"User-Agent: imbot/{__version__}",
        "Content-Length: 0",
    ]


@given(
    method=st.from_regex(r"[A-Z]{1,8}", fullmatch=True),
    path=st.from_regex(r"/[!-\"$->@-~]{0,20}", fullmatch=True),
    headers=st.dictionaries(
        st.from_regex(r"X-[a-z0-9]{1,8}", fullmatch=True),
        st.from_regex(r"[!-~][ -~]{0,9}[!-~]", fullmatch=True),
    ),
    body=st.none() | st.binary(),
)
def test_any_request_is_read_as_it_was_written(method, path, headers, body):
    """By a parser that others wrote."""
    request = Request(method, f"http://gws:8090{path}", headers, body)
    parser = http_parser.HttpRequestParserPy(None, None, 2**16)
    written = _bytes_of(request, URL(request.url, encoded=True), headers)
    head, _, rest = written.partition(b"\r\n\r\n")
    message = parser.parse_message([*head.split(b"\r\n"), b""])

    assert (message.method, message.path) == (method, path)
    assert message.headers["Host"] == "gws:8090"
    assert headers.items() <= dict(message.headers).items()
    assert rest == (body or b"")
    assert int(message.headers.get("Content-Length", 0)) == len(rest)


@pytest.mark.parametrize(
    ("method", "answer", "status"),
    [
        ("GET", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + GREETING, 200),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 200),
        ("DELETE", b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304),
        ("POST", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 400 No\r\n\r\n", 200),
    ],
    ids=["interim", "head", "no content", "not modified", "two answers"],
)
async def test_an_answer_ends_where_it_ends(door, peer, method, answer, status):
    """The request that follows gets its own answer."""
    seen = await peer(answer)
    first = await door.send(Request(method, seen.url, timeout_s=5))
    following = await door.send(get(seen.url))

    assert first.status == status
    assert first.body in {b"", b"hi"}
    assert (following.status, following.body) == (200, b"hi")


async def test_what_nobody_asked_for_is_no_answer(door, peer):
    """Some servers say 408 on a connection that was idle for long; then nothing goes over it."""
    seen = await peer()
    await door.send(get(seen.url))
    seen.writers[0].write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    await asyncio.sleep(0.05)

    assert (await door.send(Request("POST", seen.url, body=b"hi"))).status == 200
    assert len(seen) == len(seen.writers) == 2


class Nowhere(asyncio.Transport):
    """Leads nowhere."""

    def close(self):
        """Do nothing."""

    def is_closing(self):
        """It never is."""
        return False


async def test_who_speaks_first_is_not_asked_for_ever():
    """A server of mail, or of files, at the port that the settings name."""
    calls = []

    async def greeted(_host, _port, protocol):
        calls.append(protocol)
        protocol.connection_made(Nowhere())
        protocol.data_received(b"220 mail.example\r\n")

    network = AiohttpNetwork(link=greeted)
    with pytest.raises(TemporaryError, match="speaks before it is asked"):
        await network.door().send(get("http://mail.example/"))
    await network.close()
    assert len(calls) == 5


async def test_a_body_that_grows_too_large_is_given_up(door, site):
    with pytest.raises(AmbiguousError, match="larger than 3 bytes"):
        await door.send(Request("POST", f"{site}/echo", body=b"four", limit_bytes=3))

    reply = await door.send(Request("POST", f"{site}/echo", body=b"four", limit_bytes=4))
    assert reply.body == b"four"


async def test_a_packed_body_is_measured_unpacked(door, site):
    """20 MB of nothing fit into 20 kB."""
    with pytest.raises(AmbiguousError, match="larger than"):
        await door.send(get(f"{site}/packed", limit_bytes=1_000_000))

    assert len((await door.send(get(f"{site}/packed", limit_bytes=20_000_000))).body) == 20_000_000


@pytest.mark.parametrize(
    "request_",
    [
        get("http://127.0.0.1:1/a b"),
        get("http://127.0.0.1:1/a\r\nX: y"),
        get("http://user:pw@127.0.0.1:1/"),
        get("http://127.0.0.1\\@evil/"),
        get("http://127.0.0.1:99999/"),
        get("ftp://127.0.0.1/"),
        get("/relative"),
        get("http://\u217cocalhost/"),
        get("http://127.0.0.1:1/", headers={"X": "a\r\nY: b"}),
        get("http://127.0.0.1:1/", headers={"X": "a\0"}),
        get("http://127.0.0.1:1/", headers={"X:": "a"}),
        get("http://127.0.0.1:1/", headers={"": "a"}),
        get("http://127.0.0.1:1/", headers={"Host": "other"}),
        get("http://127.0.0.1:1/", headers={"content-length": "0"}),
        Request("GET / HTTP/1.1\r\nX: y", "http://127.0.0.1:1/"),
    ],
)
async def test_what_could_smuggle_a_second_request_is_never_sent(door, request_):
    with pytest.raises(PermanentError) as caught:
        await door.send(request_)

    assert caught.value.fault.fault_class is FaultClass.INPUT


async def test_a_guarded_door_reaches_exactly_the_origins_allowed(peer):
    seen = await peer()
    port = seen.url.split(":")[2].removesuffix("/x")
    network = AiohttpNetwork(allow=[f"HTTP://127.0.0.1:{port}"])
    guarded = network.door(guarded=True)

    assert (await guarded.send(get(seen.url))).body == b"hi"
    for url in (
        f"http://2130706433:{port}/",
        f"http://0x7f.1:{port}/",
        f"http://localhost:{port}/",
        f"http://127.0.0.1.:{port}/",
        f"https://127.0.0.1:{port}/",
        f"http://[::ffff:127.0.0.1]:{port}/",
        "http://127.0.0.1/",
    ):
        with pytest.raises(PermanentError, match=r"neither in http\.allow|no address as it must"):
            await guarded.send(get(url))
    assert (await network.door().send(get(seen.url.replace("/x", "/any")))).status == 200
    assert len(seen) == 2
    await network.close()


def test_a_bad_setting_is_named_with_its_cure(tmp_path):
    bad = ["crm.example", "https://crm.example/api", "https://me@crm.example", "https://[/"]
    with pytest.raises(ConfigError) as caught:
        AiohttpNetwork(allow=["https://crm.example", *bad])

    assert len(caught.value.problems) == len(bad)
    assert "scheme://host[:port]" in str(caught.value)

    (tmp_path / "empty.pem").write_text("no certificate")
    for name in ("empty.pem", "missing.pem"):
        with pytest.raises(ConfigError, match=name):
            AiohttpNetwork(ca_file=tmp_path / name)


async def test_nothing_is_sent_through_a_closed_door_or_network(network, peer):
    seen = await peer()
    door, other = network.door(), network.door(polls=True)
    await door.close()
    with pytest.raises(TemporaryError, match="closed"):
        await door.send(get(seen.url))

    await network.close()
    with pytest.raises(TemporaryError, match="closed"):
        await other.send(get(seen.url))
    assert seen == []


async def test_a_cancelled_request_stays_cancelled(door, peer):
    seen = await peer(...)
    sending = asyncio.create_task(door.send(get(seen.url)))
    await seen.any.wait()
    sending.cancel()

    with pytest.raises(asyncio.CancelledError):
        await sending


def test_a_socket_notices_by_itself_that_its_peer_vanished(monkeypatch):
    """A held poll would notice after 40 seconds only."""
    address = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 1))
    with _socket(address) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000

    monkeypatch.delattr(socket, "TCP_USER_TIMEOUT")
    with _socket(address) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Wed, 01 Jan 2025 00:01:00 GMT", 60.0),
        ("Tue, 31 Dec 2024 00:00:00 GMT", 0.0),
        ("-5", None),
        ("soon", None),
        ("²", None),
        ("Wed, 01 Jan 2025 00:01:00 +999999999999999999", None),
        ("9" * 400, 999_999_999.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value, seconds):
    assert retry_after_s({"retry-after": value}, now=NOW) == seconds


def test_no_retry_after_is_none():
    assert retry_after_s({}, now=NOW) is None


@settings(deadline=None)
@given(st.text() | st.datetimes().map(lambda at: at.strftime("%a, %d %b %Y %H:%M:%S -0000")))
def test_retry_after_is_never_negative_whatever_a_peer_writes(value):
    seconds = retry_after_s({"retry-after": value}, now=NOW)

    assert seconds is None or 0 <= seconds <= timedelta.max.total_seconds()


URLS = st.from_regex(r"https?://[^/]{0,12}(:[0-9]{0,6})?/?.{0,4}") | st.text()


@settings(deadline=None)
@given(URLS)
def test_an_origin_has_one_spelling(url):
    """What the guard compares is what the connection is made to."""
    try:
        origin = origin_of(url)
    except ValueError:
        return

    assert origin_of(origin) == origin == origin.lower()
    assert "@" not in origin


def resident_kib():
    """Return how much memory this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells so")
@pytest.mark.parametrize("is_packed", [True, False], ids=["gzip bomb", "endless chunks"])
async def test_a_bomb_takes_no_memory(door, is_packed):
    """A gigabyte of nothing fits into a megabyte, and chunks need never end."""
    piece = gzip.compress(bytes(64 << 20)) if is_packed else b"[" * 65_536
    packed = b"Content-Encoding: gzip\r\n" if is_packed else b""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + packed + b"Transfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(10_000):
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address, port = server.sockets[0].getsockname()
    before_kib = resident_kib()
    for _ in range(3):
        with pytest.raises(AmbiguousError, match="larger than") as caught:
            await door.send(get(f"http://{address}:{port}/", timeout_s=20))
        assert caught.value.fault.http_status == 200
    server.close()

    assert resident_kib() - before_kib < 20 * 1024
