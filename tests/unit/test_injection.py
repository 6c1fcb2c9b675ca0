"""Nothing that people, rules or GWS write becomes a second request, a header or a path."""

import asyncio
import io
import json
import logging
import re

import pytest
import structlog

from imbot.clock import SystemClock
from imbot.engine.webdoor import origin_of
from imbot.errors import PermanentError
from imbot.gws.auth import Basic
from imbot.gws.client import GwsClient
from imbot.http import AiohttpNetwork
from imbot.logs import FACT_CHARS, configure_logs
from imbot.ports import Reply, Request

#: What ends a line, or what some parser takes for one.
ENDS = ("\r\n", "\n", "\r", "\n\r", "\r\n ", "\x00", "\x0b", "\x0c", "\x1b", "\x7f")
SOFT_ENDS = (
    "\x85",
    "\u2028",
    "\u2029",
    "\u560a",
    "\uff0a",
    "%0d%0a",
    "%0a",
    "\\r\\n",
    "\u010d\u010a",
)
INJECTED = (
    "X-Injected: 1",
    "\r\n\r\nGET /injected HTTP/1.1\r\nHost: x\r\n\r\n",
    "Content-Length: 0",
)

PATHS = [
    *("..", ".", "...", "../me", "..%2fme", "a/b", "a\\b", "/", "", "a?b", "a#b", "a;b", "%2e%2e"),
    *("a b", "a\tb", "a\r\nX-Injected: 1", "a\nb", "a\x00b", "\u2025", "\uff0e\uff0e", "a" * 129),
    *("a%00", "a%0d%0a", "\x1b[2J", "a\u202eb", "<a>", "a'b", 'a"b', "a|b", "{a}", "\u00e9"),
    *("http://evil.test/", "//evil.test", "a&b=c", "..;/", ".%2e", "~/../x"),
]


class Seen:
    """A server that keeps every byte that it is sent."""

    def __init__(self):
        self.got = b""
        self.port = 0

    async def serve(self, reader, writer):
        while chunk := await reader.read(65536):
            self.got += chunk
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()


@pytest.fixture
async def seen():
    seen = Seen()
    server = await asyncio.start_server(seen.serve, "127.0.0.1", 0)
    seen.port = server.sockets[0].getsockname()[1]
    yield seen
    server.close()


@pytest.fixture
async def door(seen):
    network = AiohttpNetwork(allow=[f"http://127.0.0.1:{seen.port}"])
    yield network.door(guarded=True)
    await network.close()


def requests(origin, bad):
    """Yield a request with the text in each place where one could stand."""
    yield Request("GET", f"{origin}/", {"X-Text": f"a{bad}"})
    yield Request("GET", f"{origin}/", {"X-Text": bad})
    yield Request("GET", f"{origin}/", {f"X-Text{bad}": "a"})
    yield Request("GET", f"{origin}/", {"Cookie": f"a={bad}"})
    yield Request("POST", f"{origin}/", {"Idempotency-Key": bad}, b"body")
    yield Request("GET", f"{origin}/{bad}")
    yield Request("GET", f"{origin}/?a={bad}")
    yield Request(f"GET{bad}", f"{origin}/")


@pytest.mark.parametrize("end", [*ENDS, *SOFT_ENDS])
async def test_no_request_becomes_two_nor_has_a_header_that_nobody_set(seen, door, end):
    """Bytes on a real socket: what is not refused has one head with the headers it was given."""
    for injected in INJECTED:
        for request in requests(f"http://127.0.0.1:{seen.port}", end + injected):
            seen.got = b""
            try:
                await door.send(request._replace(timeout_s=5))
            except PermanentError:
                assert seen.got == b""
                continue
            lines = seen.got.removesuffix(b"body").removesuffix(b"\r\n\r\n").split(b"\r\n")
            assert b"\r\n\r\n" not in b"\r\n".join(lines)
            assert not [line for line in lines if line.lower().startswith(b"x-injected")]
            assert len(re.findall(rb"HTTP/1\.1", seen.got.replace(injected.encode(), b""))) == 1
            assert end not in ENDS


class Recorder:
    """Keeps requests, and answers as GWS does."""

    def __init__(self):
        self.urls = []

    async def send(self, request):
        self.urls.append(request.url)
        return Reply(200, {}, b'{"statusCode": 0}', 0.0)

    async def close(self):
        pass


@pytest.mark.parametrize("bad", PATHS)
async def test_an_id_is_no_path_of_its_own(bad):
    """GWS and rules name sessions and devices; one that is odd is refused before it is sent."""
    http = Recorder()
    client = GwsClient(http, "http://gws.test", Basic("bot1", "pw"), clock=SystemClock())

    for call in (client.session, client.complete, client.annex):
        with pytest.raises(PermanentError):
            await call(bad)

    assert http.urls == []


@pytest.mark.parametrize("good", ["J8TVPS9NSLF3DJTUFR8PH0NCQL0FR7AR", "a-1_2.3", "im:1@x", "~a"])
async def test_an_id_as_gws_gives_them_is_sent(good):
    http = Recorder()
    client = GwsClient(http, "http://gws.test", Basic("bot1", "pw"), clock=SystemClock())

    await client.complete(good)

    assert len(http.urls) == 1


@pytest.mark.parametrize("url", ["http://[::1", "http://a:99999/", "http://a:x/", "http://[a]/"])
def test_an_address_that_is_none_is_told_as_such(url):
    with pytest.raises(PermanentError, match="address of the request"):
        origin_of(url)


# Log ------------------------------------------------------------------------------------------

FORGED = [
    *(f"a{end}2026-01-01 [error] imbot.stopped" for end in (*ENDS, *SOFT_ENDS[:3])),
    *(
        "\x1b[2J\x1b[1;1H",
        "\x1b]0;title\x07",
        "\x9b31m",
        "\x08\x08\x08",
        "\u202eabc\u202c",
        "\u2066a",
    ),
    *("\u200b", "\ufeff", "\ud800", "\x00", '", "level": "error', "a=b level=error", "\u0000"),
    *("x" * 10_000, "\U0001f600" * 5000, "\n" * 5000),
]


@pytest.fixture
def lines():
    """Return a function that logs, and returns what was written."""
    before = logging.getLogger().handlers[:], logging.getLogger().level

    def written(style, log):
        out = io.StringIO()
        configure_logs("debug", style, out)
        log(structlog.get_logger("imbot.test"))
        return out.getvalue()

    yield written
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = before[0]
    logging.getLogger().setLevel(before[1])


def raised(text):
    """Return an error that says this."""
    return ValueError(text)


def size(value):
    """Return how many characters a fact has."""
    if isinstance(value, dict):
        return sum(map(size, value.values()))
    return sum(map(size, value)) if isinstance(value, list) else len(str(value))


@pytest.mark.parametrize("text", FORGED)
@pytest.mark.parametrize("style", ["json", "text"])
def test_no_text_forges_a_line_or_steers_a_terminal(lines, style, text):
    def log(logger):
        logger.warning("step.failed", cause=text, problems=[text, {"a": text}], text=text)
        logging.getLogger("library").warning("%s", text)
        logger.error("run.failed", exc_info=raised(text))

    told = lines(style, log)

    assert all(char.isprintable() or char == "\n" for char in told)
    for line in told.splitlines():
        assert line.startswith(("{" if style == "json" else "20", "  "))
        assert not line.startswith("2026-01-01 [error]")
    if style == "json":
        facts = [json.loads(line) for line in told.splitlines()]
        assert [fact["level"] for fact in facts] == ["warning", "warning", "error"]
        for fact in facts:
            assert all(size(value) <= FACT_CHARS + 60 for value in fact.values())


@pytest.mark.parametrize("style", ["json", "text"])
def test_a_trace_shows_no_values_of_variables(lines, style):
    def log(logger):
        password = "canary-of-a-variable"  # noqa: F841  it is what must not be shown
        try:
            raise ValueError("no")  # noqa: TRY301  here the variable is
        except ValueError:
            logger.exception("run.failed")

    told = lines(style, log)

    assert "ValueError" in told
    assert told.count("canary-of-a-variable") <= told.count('password = "canary')
