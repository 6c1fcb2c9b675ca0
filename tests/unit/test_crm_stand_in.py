"""The small CRM speaks the contract of docs/reference/crm.md."""

import socket

import aiohttp
import pytest

from imbot.errors import ImbotError
from imbot.simulator.crm import CUSTOMERS, Crm


@pytest.fixture
async def crm():
    async with Crm() as made:
        yield made


@pytest.fixture
async def client():
    async with aiohttp.ClientSession() as made:
        yield made


async def test_a_customer_is_found_by_number(crm, client):
    async with client.get(f"{crm.url}/contacts", params={"number": "3001"}) as reply:
        assert reply.status == 200
        assert await reply.json() == CUSTOMERS["3001"]


@pytest.mark.parametrize("number", ["9", ""])
async def test_nobody_is_404(number, crm, client):
    async with client.get(f"{crm.url}/contacts", params={"number": number}) as reply:
        assert reply.status == 404


async def test_an_interaction_is_written_once_and_then_replaced(crm, client):
    """PUT may be repeated: a retry after a lost answer leaves one."""
    for status, body in ((201, {"n": 1}), (200, {"n": 2})):
        url = f"{crm.url}/contacts/C-17/interactions/s1"
        async with client.put(url, json=body) as reply:
            assert reply.status == status

    assert crm.interactions == {("C-17", "s1"): {"n": 2}}


async def test_what_is_no_json_is_refused(crm, client):
    url = f"{crm.url}/contacts/C-17/interactions/s1"
    async with client.put(url, data=b"no") as reply:
        assert reply.status == 400

    assert crm.interactions == {}


async def test_it_has_no_address_before_and_after():
    crm = Crm()
    assert crm.url == ""
    async with crm:
        assert crm.url.startswith("http://127.0.0.1:")
    assert crm.url == ""


async def test_a_port_in_use_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ImbotError, match=f"the CRM cannot listen on 127.0.0.1:{port}"):
            async with Crm(port=port):
                pass
