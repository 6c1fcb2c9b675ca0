"""The guard of imbot.http against requests to where nobody meant them to go (SSRF).

Every way to connect is watched: a vector that makes imbot so much as try is a hit.
"""

import asyncio
import socket

import pytest
from aiohttp import web

from imbot.errors import PermanentError, TemporaryError
from imbot.http import AiohttpNetwork
from imbot.ports import Request

PUBLIC = "93.184.216.34"

#: What somebody could write who wants to reach 127.0.0.1, the cloud's metadata or another host,
#: where http.allow names http://crm.example and http://10.1.2.3:8080 only. {dot} is any dot.
URLS = [
    # addresses, as they are written and as only some read them
    *("http://127.0.0.1/", "http://127.0.0.1:80/", "http://127.1/", "http://127.0.1/"),
    *("http://0/", "http://0.0.0.0/", "http://2130706433/", "http://017700000001/"),
    *("http://0x7f000001/", "http://0x7f.0x0.0x0.0x1/", "http://0177.0.0.1/", "http://127.0.0.1./"),
    *("http://127.0.0.0x1/", "http://00000127.0.0.1/", "http://3232235777/", "http://192.168.257/"),
    *("http://169.254.169.254/latest/meta-data/", "http://2852039166/", "http://0xa9fea9fe/"),
    *(
        "http://169.254.43518/",
        "http://10.1.2.3/",
        "http://10.1.2.3:8081/",
        "http://10.66051:8080/",
    ),
    *("http://167838211:8080/", "http://0x0a010203:8080/", "http://012.1.2.3:8080/"),
    # IPv6
    *("http://[::1]/", "http://[0:0:0:0:0:0:0:1]/", "http://[::]/", "http://[::ffff:127.0.0.1]/"),
    *("http://[::ffff:7f00:1]/", "http://[::127.0.0.1]/", "http://[64:ff9b::7f00:1]/"),
    *("http://[::ffff:10.1.2.3]:8080/", "http://[::ffff:a01:203]:8080/", "http://[fe80::1%25lo]/"),
    *("http://[fe80::1%lo]/", "http://[::1%250]/", "http://[fd00:ec2::254]/", "http://::1/"),
    *(
        "http://[::1]crm.example/",
        "http://[crm.example]/",
        "http://[::1",
        "http://[v1.crm.example]/",
    ),
    # users
    *("http://crm.example@127.0.0.1/", "http://user:pw@crm.example/", "http://@crm.example/"),
    *("http://crm.example:80@127.0.0.1/", "http://127.0.0.1@crm.example/", "http://:@crm.example/"),
    *("http://crm.example%40127.0.0.1/", "http://crm.example%00@127.0.0.1/"),
    # ports
    *("http://crm.example:0/", "http://crm.example:81/", "http://crm.example:65616/"),
    *("http://crm.example:-80/", "http://crm.example:+80/", "http://crm.example:8 0/"),
    *("http://crm.example:\uff18\uff10/", "http://crm.example:80:80/", "https://crm.example:80/"),
    # names that look alike
    *("http://crm\u3002example/", "http://crm\uff0eexample/", "http://crm\uff61example/"),
    *("http://\u0441rm.example/", "http://xn--rm-8cd.example/", "http://crm.ex\u00e4mple/"),
    *(
        "http://\u2460\u2461\u2466.0.0.1/",
        "http://127\u30020\u30020\u30021/",
        "http://crm.examp\u217ce/",
    ),
    *(
        "http://crm.example./",
        "http://crm.example../",
        "http://.crm.example/",
        "http://crm..example/",
    ),
    *("http://crm.example.evil.test/", "http://evil-crm.example/", "http://evil.test/crm.example"),
    *("http://localhost/", "http://LOCALHOST/", "http://crm.example%2eevil.test/"),
    *("http://%31%32%37.0.0.1/", "http://crm%2Eexample/", "http://crm.exam\u00adple/"),
    # what parsers cut in different places
    *("http://127.0.0.1\\@crm.example/", "http://crm.example\\@127.0.0.1/", "http:\\\\127.0.0.1/"),
    *("http://crm.example#@127.0.0.1/", "http://127.0.0.1#@crm.example/", "http://127.0.0.1;crm/"),
    *("http:/127.0.0.1/", "http:127.0.0.1/", "http:///127.0.0.1/", "//127.0.0.1/", "127.0.0.1/"),
    *("http://crm.example\t.evil.test/", "http://crm.example\r\nHost: evil.test/", "http://\n/"),
    *(" http://127.0.0.1/", "http://127.0.0.1 /", "http://crm.example\x00.evil.test/", "http://"),
    *("http://crm.example /", "http://crm.example,evil.test/", "http://crm.example|evil.test/"),
    *("http://crm.example/a b", "http://crm.example/\r\nX: y", "http://crm.example/\u0130", ""),
    # schemes
    *("https://127.0.0.1/", "ftp://crm.example/", "file:///etc/passwd", "gopher://crm.example/"),
    *("ws://crm.example/", "javascript:alert(1)", "data:,x", "unix:///run/x", "HTTP+UNIX://x/"),
    *("http+srv://crm.example/", "dict://127.0.0.1:11211/", "jar:http://crm.example!/"),
]

#: Where a name could lead that somebody else may answer for.
ADDRESSES = [
    *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255"),  # noqa: S104  never bound
    *("192.168.0.1", "100.64.0.1", "169.254.169.254", "100.100.100.200", "192.0.0.1"),
    *("198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1"),
    *("::1", "::", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "fe80::1", "fe80::1%1", "fc00::1"),
    *("fd00:ec2::254", "ff02::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::"),
    *("2001:0:7f00:1::", "2001:db8::1", "::7f00:1", "4000::1"),
]


class Wires:
    """Answers for names, and knows where anybody tried to connect to."""

    def __init__(self, loop, monkeypatch):
        self.answers = {}
        self.asked = []
        self.tried = []
        self._connect = loop.sock_connect
        monkeypatch.setattr(loop, "getaddrinfo", self._getaddrinfo)
        monkeypatch.setattr(loop, "sock_connect", self._sock_connect)

    async def _getaddrinfo(self, host, port, **_how):
        self.asked.append(host)
        if host not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        found = self.answers[host].pop(0) if self.answers[host] else ()
        kinds = {False: socket.AF_INET, True: socket.AF_INET6}
        return [
            (kinds[":" in each], socket.SOCK_STREAM, 6, "", _sockaddr(each, port)) for each in found
        ]

    async def _sock_connect(self, sock, address):
        self.tried.append(address[0])
        if address[0] != "127.0.0.1":
            raise ConnectionRefusedError("no test leaves this machine")
        await self._connect(sock, address)


def _sockaddr(address, port):
    if ":" not in address:
        return (address, port)
    bare, _, zone = address.partition("%")
    return (bare, port, 0, int(zone or 0))


@pytest.fixture
async def wires(monkeypatch):
    return Wires(asyncio.get_running_loop(), monkeypatch)


@pytest.fixture
async def guarded():
    """Return a function that makes a guarded door."""
    networks = []

    def make(*allow, internal=()):
        networks.append(AiohttpNetwork(allow=allow, internal=internal, connect_s=1.0))
        return networks[-1].door(guarded=True)

    yield make
    for network in networks:
        await network.close()


@pytest.fixture
async def victim(aiohttp_server):
    """Return the port of a server on this machine, and the paths that it was asked for."""
    hits = []

    async def answer(request):
        hits.append(request.path)
        return web.Response(text="secret")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    server = await aiohttp_server(app)
    return server.port, hits


def get(url):
    return Request("GET", url, timeout_s=2.0)


def test_there_are_enough_vectors():
    print(f"{len(URLS)} URLs, {len(ADDRESSES)} addresses")  # noqa: T201  the figure
    assert len({*URLS}) == len(URLS) >= 70


@pytest.mark.parametrize("url", URLS)
async def test_no_spelling_of_a_url_reaches_what_is_not_allowed(guarded, wires, url):
    door = guarded("http://crm.example", "http://10.1.2.3:8080")
    wires.answers["crm.example"] = [[PUBLIC]]

    with pytest.raises(PermanentError):
        await door.send(get(url))

    assert wires.tried == wires.asked == []


@pytest.mark.parametrize(
    "url", ["http://CRM.example/", "HTTP://crm.EXAMPLE:80/", "http://crm.example:080/a"]
)
async def test_what_is_allowed_is_reached_however_it_is_written(guarded, wires, url):
    wires.answers["crm.example"] = [[PUBLIC]]
    wires.answers["CRM.example"] = wires.answers["crm.EXAMPLE"] = [[PUBLIC]]

    with pytest.raises(TemporaryError):
        await guarded("http://crm.example").send(get(url))

    assert wires.tried == [PUBLIC]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("before", [(), (PUBLIC,)])
async def test_a_name_that_leads_inside_is_refused(guarded, wires, before, address):
    """Also where a public address stands before it: who answers for the name chooses the order."""
    wires.answers["crm.example"] = [[*before, address]]

    with pytest.raises(PermanentError, match=r"the name crm\.example leads to"):
        await guarded("http://crm.example").send(get("http://crm.example/"))

    assert wires.tried == []


async def test_the_address_that_was_looked_at_is_the_one_connected_to(guarded, wires, victim):
    """A name that answers differently the second time gains nothing: nobody asks twice."""
    port, hits = victim
    door = guarded(f"http://crm.example:{port}")
    wires.answers["crm.example"] = [[PUBLIC], ["127.0.0.1"], ["127.0.0.1"]]

    for _ in range(3):
        with pytest.raises((TemporaryError, PermanentError)):
            await door.send(get(f"http://crm.example:{port}/"))

    assert {*wires.tried} == {PUBLIC}
    assert not hits


async def test_a_connection_of_gws_is_not_lent_to_rules(wires, victim):
    """GWS may be anywhere; a rule that names its host goes where rules may go."""
    port, hits = victim
    wires.answers["both.example"] = [["127.0.0.1"]] * 2
    network = AiohttpNetwork(allow=[f"http://both.example:{port}"])
    url = f"http://both.example:{port}/gws"
    try:
        assert (await network.door().send(get(url))).body == b"secret"
        with pytest.raises(PermanentError, match=r"http\.internal"):
            await network.door(guarded=True).send(get(url))
    finally:
        await network.close()
    assert hits == ["/gws"]


async def test_an_internal_origin_is_reached_and_only_that_one(guarded, wires, victim):
    """A CRM in the same network is the rule, not the exception; the setting names it."""
    port, hits = victim
    door = guarded(f"http://other.internal:{port}", internal=[f"http://CRM.internal:{port}"])
    for name in ("crm.internal", "CRM.internal", "other.internal"):
        wires.answers[name] = [["127.0.0.1"]]

    assert (await door.send(get(f"http://crm.internal:{port}/a"))).status == 200
    assert (await door.send(get(f"http://CRM.internal:{port}/b"))).status == 200
    with pytest.raises(PermanentError, match=r"list its origin under http\.internal"):
        await door.send(get(f"http://other.internal:{port}/c"))
    assert hits == ["/a", "/b"]


@pytest.mark.parametrize("address", ["169.254.169.254", "100.100.100.200", "fd00:ec2::254"])
async def test_an_internal_name_leads_to_no_metadata_of_a_cloud(guarded, wires, address):
    wires.answers["crm.internal"] = [[address]]

    with pytest.raises(PermanentError, match="no name that rules send requests to may lead there"):
        await guarded(internal=["http://crm.internal"]).send(get("http://crm.internal/"))

    assert wires.tried == []


async def test_an_address_that_the_settings_write_is_meant(guarded, victim):
    """As in the demo: http://127.0.0.1 needs no second setting."""
    port, hits = victim

    reply = await guarded(f"http://127.0.0.1:{port}").send(get(f"http://127.0.0.1:{port}/x"))

    assert (reply.body, hits) == (b"secret", ["/x"])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_no_redirect_leads_on(guarded, aiohttp_server, victim, status, method):
    """Real sockets: the chain ends at its first link, the victim is never asked."""
    port, hits = victim
    links = []

    async def redirect(request):
        links.append(request.path)
        target = f"http://127.0.0.1:{port}/" if request.path == "/last" else "/last"
        return web.Response(status=status, headers={"Location": target, "Refresh": f"0;{target}"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", redirect)
    server = await aiohttp_server(app)
    origin = f"http://127.0.0.1:{server.port}"
    door = guarded(origin)

    replies = [await door.send(Request(method, f"{origin}/{path}")) for path in ("first", "last")]

    assert [reply.status for reply in replies] == [status, status]
    assert links == ["/first", "/last"]
    assert not hits


async def test_no_proxy_of_the_environment_is_asked(guarded, victim, monkeypatch, aiohttp_server):
    port, hits = victim
    asked = []

    async def proxy(request):
        asked.append(request.path)
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", proxy)
    server = await aiohttp_server(app)
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{server.port}")

    await guarded(f"http://127.0.0.1:{port}").send(get(f"http://127.0.0.1:{port}/x"))

    assert (hits, asked) == (["/x"], [])
