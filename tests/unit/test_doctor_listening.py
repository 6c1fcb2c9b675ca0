"""The address for operators, over real sockets."""

import asyncio
import socket

import pytest

from imbot.admin.health import Health
from imbot.admin.server import AdminServer
from imbot.admin.site import Site
from imbot.clock import SystemClock
from imbot.doctor.findings import Grade
from imbot.doctor.listening import address
from imbot.http import AiohttpNetwork


@pytest.fixture
async def look():
    network = AiohttpNetwork()

    async def looked(listen, *, is_in_use=False):
        return await address(listen, network.door(), is_in_use=is_in_use)

    yield looked
    await network.close()


def served(status="ready", reasons=()):
    return AdminServer(
        Site("127.0.0.1:0"), lambda: Health(status, reasons, 3, 3 - len(reasons)), SystemClock()
    )


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


async def test_a_free_address_is_fine_and_stays_free(look):
    listen = f"127.0.0.1:{free_port()}"

    for _ in range(2):
        assert (await look(listen)).found == f"{listen}: free"


async def test_any_port_is_always_free(look):
    assert (await look("127.0.0.1:0")).grade is Grade.OK


async def test_the_imbot_of_this_store_may_listen_there(look):
    async with served() as server:
        listen = server.url.removeprefix("http://")
        found = await look(listen, is_in_use=True)

    assert (found.grade, found.found) == (
        Grade.OK,
        f"{listen}: an imbot listens there, ready, 3 of 3 agents up",
    )


async def test_an_imbot_that_is_not_well_says_why(look):
    """Its agents are not looked at while it runs; it knows best how they are."""
    async with served("degraded", ["agent bot3 is waiting"]) as server:
        found = await look(server.url.removeprefix("http://"), is_in_use=True)

    assert found.grade is Grade.WARNING
    assert found.found.endswith("degraded, 2 of 3 agents up: agent bot3 is waiting")


async def test_the_imbot_of_another_store_is_in_the_way(look):
    async with served() as server:
        _, _, port = server.url.rpartition(":")
        found = await look(f"0.0.0.0:{port}")

    assert found.grade is Grade.FAILED
    assert "it is none that uses this store" in found.found


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", b"HTTP/1.1 404 No\r\n\r\n"],
)
async def test_another_program_is_in_the_way(look, answer):
    async def serve(_reader, writer):
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        found = await look(f"127.0.0.1:{port}")

    assert found.grade is Grade.FAILED
    assert found.cure.startswith("stop what listens there")


async def test_an_address_of_another_machine_fails(look):
    assert (await look("192.0.2.1:8081")).grade is Grade.FAILED


async def test_ipv6_is_fine(look):
    assert (await look(f"[::1]:{free_port()}")).grade is Grade.OK
