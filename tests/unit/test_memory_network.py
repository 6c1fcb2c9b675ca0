"""Connections in memory behave as those over sockets do, faults included."""

import asyncio
from random import Random

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from imbot.errors import AmbiguousError, PermanentError, TemporaryError
from imbot.ports import Request
from imbot.simulator.serving import served_in_memory
from imbot.testing.memory_network import MemoryNetwork, connected

pytestmark = pytest.mark.looptime

HERE = "http://here.test:80"


def app():
    """Return a server that echoes, hangs up, hangs, or answers with something large."""

    async def echo(request):
        return web.Response(body=await request.read())

    async def drop(request):
        request.transport.close()
        return web.Response()

    async def hang(_request):
        await asyncio.sleep(3600)

    async def large(_request):
        return web.Response(body=b"x" * 1_000_000)

    async def cookie(request):
        response = web.Response(text=request.cookies.get("seen", ""))
        response.set_cookie("seen", "yes")
        return response

    made = web.Application()
    for handler in (echo, drop, hang, large, cookie):
        made.router.add_route("*", f"/{handler.__name__}", handler)
    return made


@pytest.fixture
async def servers():
    """Serve under one name."""
    async with served_in_memory(app()) as server:
        yield {"here.test:80": server}


@pytest.fixture
async def network(servers):
    """Make a network with one server in it."""
    made = MemoryNetwork(servers, allow=(HERE,))
    yield made
    await made.close()


async def test_a_request_is_answered_without_any_time_passing(network, looptime):
    """Nothing in memory takes time of its own."""
    reply = await network.door().send(Request("POST", f"{HERE}/echo", body=b"hello"))

    assert (reply.status, reply.body) == (200, b"hello")
    assert looptime == 0


async def test_pieces_are_under_way_as_long_as_asked(servers, looptime):
    """Events can happen while something is on its way."""
    network = MemoryNetwork(servers, delay=lambda: 0.5)

    await network.door().send(Request("POST", f"{HERE}/echo", body=b"hello"))

    assert looptime == pytest.approx(1.5)  # connect, there, back
    await network.close()


async def test_a_door_keeps_its_cookies(network):
    """The HTTP is the real one."""
    door = network.door()
    await door.send(Request("GET", f"{HERE}/cookie"))

    assert (await door.send(Request("GET", f"{HERE}/cookie"))).body == b"yes"


async def test_a_large_answer_comes_whole(network):
    """The HTTP client pauses a transport that is faster than its reader."""
    door = network.door()

    assert len((await door.send(Request("GET", f"{HERE}/large"))).body) == 1_000_000


async def test_nobody_there_means_surely_not_sent(network):
    """As a refused connection."""
    with pytest.raises(TemporaryError, match=r"nobody listens at there\.test:80"):
        await network.door().send(Request("GET", "http://there.test/"))


async def test_a_dropped_connection_means_perhaps_done(network):
    """As a reset after the request was sent."""
    with pytest.raises(AmbiguousError):
        await network.door().send(Request("POST", f"{HERE}/drop", body=b"x"))


async def test_silence_ends_at_the_limit(network, looptime):
    """In virtual time at once."""
    with pytest.raises(AmbiguousError, match="no whole answer within 10 s"):
        await network.door().send(Request("GET", f"{HERE}/hang"))

    assert looptime == pytest.approx(10)


async def test_a_host_that_is_not_allowed_is_refused(network):
    """The guard of plugins stands in front of this network too."""
    with pytest.raises(PermanentError, match=r"neither in http\.allow nor in http\.internal"):
        await network.door(guarded=True).send(Request("GET", "http://there.test/"))


async def test_a_cut_loses_what_is_under_way_and_refuses_the_next(network):
    """As a killed process or a pulled cable; afterwards it can be mended."""
    door = network.door()
    asked = asyncio.create_task(door.send(Request("GET", f"{HERE}/hang")))
    await asyncio.sleep(1)
    network.cut()

    with pytest.raises(AmbiguousError):
        await asked
    with pytest.raises(TemporaryError):
        await door.send(Request("GET", f"{HERE}/echo"))
    network.mend()
    assert (await door.send(Request("GET", f"{HERE}/echo"))).status == 200


class Ear(asyncio.Protocol):
    """Writes down what it hears."""

    def __init__(self):
        self.heard = b""
        self.lost = 0
        self.over = asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.heard += data

    def connection_lost(self, error):
        assert error is None
        self.lost += 1
        self.over.set()


async def test_each_end_is_lost_once():
    """Protocols count on it."""
    near, far = Ear(), Ear()
    end = connected(near, far)

    end.write(b"last words")
    end.close()
    end.close()
    end.write(b"too late")
    far.transport.abort()
    await asyncio.sleep(1)

    assert (near.lost, far.lost) == (1, 1)
    assert end.is_closing()


async def test_what_was_written_before_the_end_arrives():
    """A close is no reset."""
    near, far = Ear(), Ear()
    end = connected(near, far, delay=lambda: 0.1)

    end.write(b"last words")
    end.close()
    await asyncio.sleep(1)

    assert far.heard == b"last words"
    assert far.lost == 1


async def test_a_paused_end_keeps_what_arrives():
    """Flow control of the real protocols."""
    near, far = Ear(), Ear()
    end = connected(near, far)
    far.transport.pause_reading()

    end.write(b"a")
    end.write(b"b")
    await asyncio.sleep(1)
    assert far.heard == b""
    far.transport.resume_reading()
    await asyncio.sleep(1)

    assert far.heard == b"ab"


@given(pieces=st.lists(st.binary(max_size=5), max_size=30), seed=st.integers())
def test_pieces_never_overtake_each_other(pieces, seed):
    """Whatever the delays: a stream is a stream."""
    chance = Random(seed)  # noqa: S311  reproducible, nothing is secret here

    async def heard():
        near, far = Ear(), Ear()
        end = connected(near, far, delay=lambda: chance.choice((0, 0, 0.0001, 0.0005)))
        for piece in pieces:
            end.write(piece)
        end.close()
        await far.over.wait()
        return far.heard

    assert asyncio.run(heard()) == b"".join(pieces)
