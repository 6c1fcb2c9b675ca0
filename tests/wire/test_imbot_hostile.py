"""Requests as nobody means well with, at everything on which imbot listens, byte for byte.

The routes are those of the running server, so that one which is added is tried, too.
"""

import asyncio
import gzip
import io
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from imbot.admin import asking, server
from imbot.admin.keys import Key, Role, hash_of, new_token
from imbot.admin.limits import Bucket
from imbot.admin.site import Site
from imbot.clock import SystemClock
from imbot.logs import configure_logs
from imbot.simulator import Simulator, SimulatorSettings
from imbot.simulator.settings import AgentAccount
from imbot.standby import Standby
from tests.hostile import HOSTS, LINES, SMUGGLED, TRAVERSALS
from tests.wire.house import Imbot, running, tell
from tests.wire.rawhttp import RawHttp, Reply

RULES = """
version: 1
calendars:
  shop: {timezone: UTC, open: {mon-sun: "00:00-24:00"}}
rules:
  - id: answer
    trigger: {message: any}
    when: open("shop")
    do: [{reply: "You said {{ message.text }}"}]
  - id: called
    trigger: {webhook: ring}
    do: [{log: called}]
# canary-of-the-rules
"""

TOKEN = new_token()

#: What stands in files that no answer may hold: the system's, imbot's own, the store's, its code.
MARKS = (
    b"root:x:0:0",
    b"canary-of-",
    b"SQLite format 3",
    b"PRAGMA",
    b"import asyncio",
    b"[drivers]",
)

#: Names of routes whose answer is the same again only while nothing was changed.
STATE = ("halt", "rules", "calendars", "parked", "timers", "plugins", "settings")

NAME = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True)
class Served:
    """A route as the running server has it."""

    method: str
    path: str

    @property
    def changes(self) -> bool:
        return self.method not in {"GET", "HEAD", "OPTIONS"}

    @property
    def kind(self) -> bytes:
        """The content type that it takes: JSON for the API, forms for the dashboard."""
        is_of_api = self.path.startswith("/api/")
        return b"application/json" if is_of_api else b"application/x-www-form-urlencoded"

    def named(self, *names: str) -> bytes:
        """Return the path with names in their places, the last one in those that are left."""
        given = [*names]
        filled = NAME.sub(lambda _: given.pop(0) if len(given) > 1 else given[0], self.path)
        return filled.encode()


@dataclass
class Target:
    """A running imbot, and a connection to it."""

    imbot: Imbot
    raw: RawHttp
    cookie: bytes

    @property
    def url(self) -> str:
        return self.imbot.app.server.url

    @property
    def port(self) -> bytes:
        return self.url.rpartition(":")[2].encode()

    @property
    def routes(self) -> list[Served]:
        """Every route, without those that only answer HEAD for GET."""
        found = self.imbot.app.server._runner.app.router.routes()
        return [
            Served(route.method, route.resource.canonical)
            for route in found
            if route.resource is not None and route.method != "HEAD"
        ]

    async def ask(self, method: str, target: bytes, body: bytes | None = None, **heads: bytes):
        return await self.raw.ask(request(method, target, body, **{**self.login, **heads}))

    @property
    def login(self) -> dict[str, bytes]:
        """What a page of the dashboard sends with its forms: it is logged in, too."""
        return {"Cookie": self.cookie, "Origin": b"http://localhost"}

    async def state(self) -> dict[str, bytes]:
        """Return what anybody could have changed."""
        found = {name: (await self.ask("GET", f"/api/v1/{name}".encode())).body for name in STATE}
        found["rules"] = re.sub(rb'"quiet_until":[^,}]*', b"", found["rules"])
        files = (path for path in self.imbot.folder.iterdir() if ".db" not in path.name)
        return found | {path.name: path.read_bytes() for path in files}


def request(method: str, target: bytes, body: bytes | None = None, **heads: bytes) -> bytes:
    """Return a request of somebody with a token that is good for all, unless the heads say else."""
    given = {
        b"Host": b"localhost",
        b"Authorization": b"Bearer " + TOKEN.encode(),
        **{name.replace("_", "-").encode(): value for name, value in heads.items()},
    }
    if body is not None:
        given = {b"Content-Type": b"application/json"} | given
        given |= {b"Content-Length": str(len(body)).encode()}
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in given.items() if value)
    return method.encode() + b" " + target + b" HTTP/1.1\r\n" + lines + b"\r\n" + (body or b"")


@pytest.fixture
async def target(tmp_path, monkeypatch) -> AsyncIterator[Target]:
    account = AgentAccount(user="bot1", password="pw-bot1", number="1001")
    tokens = [{"name": "red", "role": "admin", "sha256": hash_of(TOKEN)}]
    admin = {"tokens": tokens, "hosts": ["imbot.example"]}
    (tmp_path / "notes.txt").write_text("canary-of-a-file")
    async with (
        Simulator(SimulatorSettings(agents=(account,), seed=1)) as simulator,
        running(tmp_path, simulator.url, is_served=True, rules=RULES, admin=admin) as imbot,
    ):
        with (tmp_path / "imbot.yaml").open("a") as settings:
            settings.write("# canary-of-the-settings\n")
        await imbot.up()
        served = imbot.app.server
        for bucket in ("_asking", "_wrong"):
            pace = Bucket(SystemClock(), per_s=1e9, at_once=1e9)
            monkeypatch.setattr(served.gate, bucket, pace)
        async with RawHttp(served.url) as raw:
            ticket = served._pages._visitors.admit(Key("red", Role.ADMIN, hash_of(TOKEN)))
            port = served.url.rpartition(":")[2]
            yield Target(imbot, raw, f"imbot-{port}={ticket}".encode())


def harm(reply: Reply) -> str:
    """Return what an answer did that none may do; empty for nothing."""
    if reply.status == 0 or reply.status >= 500:
        return f"HTTP {reply.status}"
    if found := [mark for mark in MARKS if mark in reply.body]:
        return f"tells {found}"
    place = reply.heads.get("location", "/")
    if not place.startswith("/") or place.startswith(("//", "/\\")):
        return f"leads to {place}"
    if "x-injected" in reply.heads:
        return "has a header of somebody else"
    return ""


# Paths ------------------------------------------------------------------------------------------


def ways(routes: list[Served], part: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield every way to ask with a part of a path: in each name, behind each path, on its own."""
    for route in routes:
        if (places := len(NAME.findall(route.path))) == 0:
            yield route.method, route.named("x") + part
            yield route.method, route.named("x") + b"/" + part
        for place in range(places):
            names = ["x"] * places
            names[place] = "HERE"
            yield route.method, route.named(*names).replace(b"HERE", part)
            yield route.method, route.named(*names).replace(b"HERE", b"x/" + part)
    for method in ("GET", "PUT", "POST", "DELETE"):
        yield method, part
        yield method, b"/" + part
        yield method, b"/api/v1/" + part


def may_be_that_route(sent: bytes) -> bool:
    """Whether it is a way to write a path itself: what follows ? or # is none of it."""
    return re.fullmatch(rb"[^?#]*[?#].*", sent) is not None


@pytest.mark.timeout(300)
async def test_no_path_leads_to_a_file_or_changes_anything(target):
    before, asked, found = await target.state(), 0, []
    for part in TRAVERSALS:
        for method, sent in ways(target.routes, part):
            if method != "GET" and may_be_that_route(sent):
                continue
            body = b"{}" if method in {"PUT", "POST"} else None
            reply = await target.ask(method, sent, body)
            asked += 1
            if why := harm(reply):
                found.append((method, sent[:80], why))
    tell(f"{asked} requests: {len(TRAVERSALS)} parts of paths at {len(target.routes)} routes")
    assert len(TRAVERSALS) >= 40
    assert found == []
    assert await target.state() == before


async def test_the_routes_are_those_that_are_served(target):
    """Else the tests above would try nothing, and be green."""
    served = {(route.method, route.path) for route in target.routes}
    assert len(served) > 20
    assert {
        ("GET", "/health"),
        ("GET", "/metrics"),
        ("PUT", "/api/v1/rules/{rule}/switch"),
    } < served
    assert harm(Reply(200, {}, b"\nroot:x:0:0:root:/root:/bin/sh\n"))
    assert harm(Reply(500))
    assert harm(Reply(303, {"location": "//evil.example"}))


# Lines ------------------------------------------------------------------------------------------


async def test_no_line_of_somebody_else_gets_into_an_answer(target):
    before, found = await target.state(), []
    for line in LINES:
        for route in target.routes:
            path = route.named("x")
            sent = (path + line, path + b"?x=" + line, route.named("x" + line.decode("latin-1")))
            asked = [request("GET", each) for each in sent]
            asked += [
                request("GET", path, X_A=b"a" + line),
                request("GET", path, Cookie=b"a=b" + line),
            ]
            for each in asked:
                whole = await target.raw.ask(each)
                await target.raw.hang_up()  # what could stand behind it is for nobody
                if why := harm(whole):
                    found.append((each[:120], why))
    assert found == []
    assert await target.state() == before


# Hosts ------------------------------------------------------------------------------------------

OWN_HOSTS = (b"localhost", b"LOCALHOST", b"127.0.0.1", b"[::1]", b"imbot.example", b"Imbot.Example")


async def test_no_other_name_is_served(target):
    """A page elsewhere that has its name lead here (DNS rebinding) must not read what is told."""
    found, paths = [], ("/health", "/metrics", "/api/v1/halt", "/nothing")
    hosts = [host.replace(b"{port}", target.port) for host in HOSTS]
    for host in hosts:
        for path in paths:
            # An empty one cannot be left out of the head as others are.
            sent = request("GET", path.encode(), Host=b"HOST").replace(b"HOST", host)
            reply = await target.raw.ask(sent)
            if reply.status not in {400, 421}:
                found.append((host[:40], path, reply.status))
    tell(f"{len(hosts)} names")
    assert len(hosts) >= 20
    assert found == []
    for host in OWN_HOSTS:
        for own in (host, host + b":" + target.port):
            assert (await target.ask("GET", b"/health", Host=own)).status == 200


TWO = (b"Host: localhost\r\nHost: evil.example\r\n", b"Host: evil.example\r\nHost: localhost\r\n")


async def test_there_is_one_host(target):
    for heads in (*TWO, b"Host: localhost\r\nhost: localhost\r\n", b""):
        reply = await target.raw.ask(b"GET /health HTTP/1.1\r\n" + heads + b"\r\n")
        assert reply.status == 400, heads


ELSEWHERE = (
    *("http://evil.example/health", "https://evil.example/health", "ftp://evil.example/health"),
    *("http://localhost@evil.example/health", "http://evil.example:80/api/v1/halt"),
    *("http://[::1]@evil.example/health", "http://localhost.evil.example/health", "http:///health"),
    *("http://localhost%2eevil.example/health", "http://evil.example#localhost/health"),
    *("//evil.example/health", "http://[::1/health", "http://[x]/health", "evil.example:80", "*"),
    *("http:health", "health", "?", "#", "http://evil.example:99999/health", "\\\\evil.example\\x"),
)


async def test_what_is_asked_of_another_place_is_not_answered(target):
    """A whole address as the target counts, whatever the head says."""
    for place in ELSEWHERE:
        for method in ("GET", "CONNECT", "OPTIONS", "TRACE"):
            reply = await target.ask(method, place.encode())
            assert reply.status in {400, 404, 421}, (method, place)
            assert harm(reply) == ""


# Requests that are two --------------------------------------------------------------------------


async def test_no_request_hides_in_another(target):
    """Whoever stands before imbot may cut it in another place: it is refused."""
    hidden = request("PUT", b"/api/v1/halt", b"{}")
    for name, head in SMUGGLED.items():
        heads = head.replace(b"{n}", str(len(hidden)).encode())
        first = request("PUT", b"/api/v1/halt", b"").replace(b"Content-Length: 0\r\n", heads)
        came = await target.raw.all_of(first + b"0\r\n\r\n" + hidden, within_s=8)
        statuses = re.findall(rb"^HTTP/1\.[01] (\d+)", came, re.MULTILINE)
        assert statuses == [b"400"], name
    assert target.imbot.app.steering.switches.halt is None
    tell(f"{len(SMUGGLED)} requests that are two")


# Sites and forms --------------------------------------------------------------------------------

SITES = (
    *({"Origin": b"https://evil.example"}, {"Origin": b"null"}, {"Origin": b"http://localhost:1"}),
    *({"Referer": b"https://evil.example/x"}, {"Sec_Fetch_Site": b"cross-site"}, {}),
)
COOKIES = (b"imbot=x", b"session=" + b"x" * 43, b"imbot_session=x; imbot_csrf=x", b"token={token}")
KINDS = (
    *(b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x", b"text/plain", b""),
    *(b"text/plain; application/json", b"application/jsonx", b"application/json, text/plain"),
    *(b"text/json", b"application/xml", b"application/x-json", b"*/*", b"application"),
)


async def test_no_other_site_changes_anything(target):
    """A browser sends cookies of its own accord, and never a token."""
    before, found, tried = await target.state(), [], 0
    for route in target.routes:
        if not route.changes:
            continue
        for heads in SITES:
            for cookie in (target.cookie, *COOKIES):
                for kind in (b"application/json", *KINDS[:3]):
                    cookies = cookie.replace(b"{token}", TOKEN.encode())
                    sent = {"Origin": b"", "Cookie": cookies, **heads}
                    sent |= {"Authorization": b"", "Content_Type": kind}
                    reply = await target.ask(route.method, route.named("answer"), b"{}", **sent)
                    tried += 1
                    if reply.status not in {401, 403}:
                        found.append((route, heads, reply.status))
    tell(f"{tried} requests of other sites")
    assert found == []
    assert await target.state() == before


async def test_no_answer_lets_another_site_read_it(target):
    for route in target.routes:
        for method in (route.method, "OPTIONS"):
            heads = {"Origin": b"https://evil.example", "Access_Control_Request_Method": b"PUT"}
            reply = await target.ask(method, route.named("x"), **heads, Authorization=b"")
            assert not [name for name in reply.heads if name.startswith("access-control-")]
            assert reply.heads["cross-origin-resource-policy"] == "same-origin"


async def test_a_body_of_another_kind_is_refused(target):
    """A form of another site is one of three kinds, and none of them is JSON."""
    for route in target.routes:
        if not route.changes or not route.path.startswith("/api/"):
            continue
        path = route.named("shop" if "calendar" in route.path else "answer")
        for kind in KINDS:
            reply = await target.ask(route.method, path, b'{"x": 1}', Content_Type=kind)
            assert reply.status in {400, 415}, (route, kind)
    assert target.imbot.app.steering.switches.halt is None


# Too much ---------------------------------------------------------------------------------------


HUGE = {
    "one long head": b"X-A: " + b"a" * 100_000,
    "a long name": b"a" * 100_000 + b": x",
    "many heads": b"\r\n".join(b"X-%d: x" % n for n in range(5000)),
    "a long cookie": b"Cookie: " + b"a=b; " * 20_000,
    "a head without end": b"X-A: " + b"a" * 2_000_000,
}


async def test_a_huge_head_is_refused(target):
    for name, head in HUGE.items():
        sent = request("GET", b"/api/v1/halt").removesuffix(b"\r\n") + head + b"\r\n\r\n"
        reply = await target.raw.ask(sent)
        assert reply.status in {0, 400, 431}, name
        assert (await target.ask("GET", b"/api/v1/halt")).status == 200


async def test_a_body_that_breaks_is_refused(target, monkeypatch):
    """The head was sound, and what follows is not what it said; aiohttp tells nobody that waits."""
    monkeypatch.setattr(asking, "BODY_S", 0.5)
    path, halted = b"/api/v1/halt", b"Transfer-Encoding: chunked\r\n"
    for method in ("PUT", "DELETE"):
        sent = request(method, path, b"").replace(b"Content-Length: 0\r\n", halted)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(target.port))
        writer.write(sent + b'2\r\n{"\r\n')
        await asyncio.sleep(0.1)
        writer.write(b"zz\r\nwhy\r\n")
        answer = await reader.readline()
        writer.close()
        assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 408"))
    assert target.imbot.app.steering.switches.halt is None


async def test_many_requests_on_one_connection_are_each_answered(target):
    one, last = (
        request("GET", b"/api/v1/halt"),
        request("GET", b"/api/v1/halt", Connection=b"close"),
    )
    came = await target.raw.all_of(one * 499 + last)
    assert came.count(b"HTTP/1.1 200") == 500


def _rss_kib() -> int:
    with open("/proc/self/status") as status:  # noqa: PTH123  it is no file
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


async def test_a_body_that_swells_is_refused(target):
    """50 MB of zeros are 50 KB on the way."""
    body, before = gzip.compress(bytes(50_000_000)), _rss_kib()
    assert len(body) < server.MAX_BODY_BYTES
    for coding in (b"gzip", b"deflate", b"br", b"zstd", b"gzip, gzip", b"x"):
        for route in target.routes:
            if route.changes:
                heads = {"Content_Encoding": coding, "Content_Type": route.kind}
                reply = await target.ask(route.method, route.named("x"), body, **heads)
                assert reply.status in {400, 404, 413, 415}, (route, coding)
                await target.raw.hang_up()
    assert _rss_kib() - before < 30_000
    assert (await target.ask("GET", b"/api/v1/halt")).status == 200


BODIES = (b'{"why": "' + b"x" * 250_000 + b'"}', b"[" * 100_000, b'{"a":' * 40_000, b"9" * 200_000)
ODD = (b'"\\ud800"', b"NaN", b"\xff\xfe{}", b"\x00", b'{"why":1,"why":2}', b"1e999", b"")


async def test_a_body_that_is_odd_is_refused(target):
    for body in (*BODIES, *ODD):
        for path in (b"/api/v1/halt", b"/api/v1/calendars/shop"):
            reply = await target.ask("PUT", path, body)
            assert reply.status in {400, 413, 422}, body[:40]
            assert harm(reply) == ""
    assert target.imbot.app.steering.switches.halt is None


# Never coming to an end -------------------------------------------------------------------------


async def test_a_body_that_never_comes_is_not_waited_for_long(target, monkeypatch):
    """Somebody with a token, or a program of theirs that hangs."""
    monkeypatch.setattr(asking, "BODY_S", 0.3)
    for route in target.routes:
        if route.changes:
            heads = {**target.login, "Content_Type": route.kind}
            sent = request(route.method, route.named("x"), b"{}", **heads)
            reply = await target.raw.ask(sent.replace(b"Length: 2", b"Length: 200"))
            assert reply.status in {404, 408}, route
            await target.raw.hang_up()


async def test_a_request_that_never_comes_is_not_waited_for_long(target):
    """Each is a connection that nobody else can have; what drips in does not keep it open."""
    kept = target.imbot.app.server._runner.server._kwargs
    assert kept["keepalive_timeout"] == server.HEAD_S <= 75
    kept["keepalive_timeout"] = 0.5
    for sent in (b"", b"GET", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: "):
        assert await target.raw.all_of(sent, within_s=5) == b""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(target.port))
    writer.write(b"GET /health HTTP/1.1\r\nX-A: ")
    with suppress(OSError):
        for _ in range(100):
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(0.05)
    assert reader.at_eof() or reader.exception()
    writer.close()


# What is told of it -----------------------------------------------------------------------------

UNREAD = (
    b"Authorization: Bearer {token}\x00",
    b"Authorization: Bearer {token}\r x",
    b"{token}\x01: x",
)


async def test_no_log_quotes_what_could_not_be_read(target):
    """It may be the head with the token; and nobody fills the log by it."""
    out = io.StringIO()
    configure_logs("debug", "text", out)
    for head in UNREAD:
        line = head.replace(b"{token}", TOKEN.encode())
        sent = b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + line + b"\r\n\r\n"
        assert (await target.raw.ask(sent)).status == 400
        assert (
            await target.raw.ask(b"GET /" + TOKEN.encode() + b"\x01 HTTP/1.1\r\n\r\n")
        ).status == 400
    told = out.getvalue()
    assert told.count("admin.unread") == 2 * len(UNREAD)
    assert TOKEN not in told
    assert "Traceback" not in told
    for _ in range(300):
        await target.raw.ask(b"x\r\n\r\n")
    assert out.getvalue().count("\n") < 100


# While it stands by -----------------------------------------------------------------------------


async def test_an_imbot_that_stands_by_is_as_careful():
    """It serves its health only, and by the same server."""
    why = Standby("safe-mode", ["canary"])
    async with (
        server.AdminServer(Site("127.0.0.1:0"), why.health, SystemClock()) as served,
        RawHttp(served.url) as raw,
    ):
        for host in HOSTS:
            sent = request("GET", b"/health", Host=b"HOST").replace(b"HOST", host)
            assert (await raw.ask(sent)).status in {400, 421}, host[:40]
        for part in TRAVERSALS:
            for sent in (b"/" + part, b"/health/" + part, part):
                reply = await raw.ask(request("GET", sent))
                assert reply.status in {400, 404, 421}, sent[:80]
                assert b"canary" not in reply.body
        assert b"canary" in (await raw.ask(request("GET", b"/health"))).body
