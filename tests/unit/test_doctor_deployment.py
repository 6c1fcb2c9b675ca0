"""GWS from the outside, over real sockets."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from imbot.clock import SystemClock
from imbot.doctor import deployment
from imbot.doctor.deployment import Deployment, certificate, clock
from imbot.doctor.findings import Grade
from imbot.gws.settings import GwsSettings
from imbot.http import AiohttpNetwork
from imbot.simulator import Simulator
from tests.unit.test_http import CERTIFICATE

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def of(url, ca_file=None):
    return Deployment(GwsSettings(url), ca_file=ca_file, clock=SystemClock())


@pytest.fixture
async def door():
    network = AiohttpNetwork()
    yield network.door()
    await network.close()


@pytest.fixture
async def simulator():
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def answering():
    """Return a function that starts a server which answers every request alike."""
    runners = []

    async def start(**answer):
        async def serve(_request):
            return web.Response(**answer)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", serve)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return "http://{}:{}".format(*runner.addresses[0])

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
def pem(tmp_path):
    path = tmp_path / "gws.pem"
    path.write_text(CERTIFICATE)
    return path


@pytest.fixture
async def secure(pem):
    """The origin of a server that speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    async def serve(_reader, writer):
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


# Name, port, certificate ----------------------------------------------------------------------


async def test_the_addresses_of_the_name_are_told():
    assert (await of("http://127.0.0.1:1").dns()).found == "127.0.0.1: 127.0.0.1"


@pytest.mark.parametrize("host", ["gws.invalid", "a" * 70])
async def test_a_name_that_nobody_knows_fails(host):
    found = await of(f"http://{host}:8090").dns()

    assert found.grade is Grade.FAILED
    assert found.cure.startswith("check the host in gws.url")


async def test_a_port_at_which_something_listens_is_fine(simulator):
    assert (await of(simulator.url).port()).grade is Grade.OK


async def test_a_port_at_which_nothing_listens_fails(free_port):
    found = await of(f"http://127.0.0.1:{free_port}").port()

    assert found.grade is Grade.FAILED
    assert found.cure == "check gws.url, whether GWS runs, and firewalls in between"


@pytest.fixture
async def free_port():
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
        return server.sockets[0].getsockname()[1]


async def test_a_firewall_that_drops_packets_is_not_waited_for(monkeypatch):
    async def hang(*_, **__):
        await asyncio.sleep(60)

    monkeypatch.setattr(deployment, "REACH_S", 0.01)
    monkeypatch.setattr(asyncio, "open_connection", hang)

    assert "no answer within 0.01 s" in (await of("http://127.0.0.1:1").port()).found


async def test_on_this_machine_nothing_need_be_secret(simulator):
    assert (await of(simulator.url).tls()).grade is Grade.OK


async def test_elsewhere_passwords_in_clear_are_told():
    found = await of("http://gws.example:8090").tls()

    assert (found.grade, found.found) == (
        Grade.WARNING,
        "none: passwords and messages can be read on their way",
    )


async def test_a_certificate_that_is_vouched_for_is_fine(secure, pem):
    found = await of(secure, pem).tls()

    assert found.grade is Grade.OK
    assert found.found.startswith("TLSv1.3; the certificate ends in ")
    assert found.found.endswith("on 2126-10-29")


async def test_a_certificate_that_nobody_vouches_for_fails(secure):
    found = await of(secure).tls()

    assert found.grade is Grade.FAILED
    assert "gws.ca_file" in found.cure


async def test_a_port_that_does_not_speak_tls_fails(simulator):
    found = await of(simulator.url.replace("http:", "https:")).tls()

    assert found.grade is Grade.FAILED
    assert found.cure.startswith("check that gws.url names the port of https")


async def test_certificates_that_cannot_be_read_fail(tmp_path):
    found = await of("http://127.0.0.1:1", tmp_path / "gone.pem").tls()

    assert found.cure == "name a file of PEM certificates in gws.ca_file"


@pytest.mark.parametrize(
    ("days", "grade"), [(100, Grade.OK), (20, Grade.HINT), (3, Grade.WARNING), (-1, Grade.WARNING)]
)
def test_a_certificate_that_ends_soon_is_told(days, grade):
    ends_at = NOW + timedelta(days=days)
    shown = {"notAfter": f"{ends_at:%b %d %H:%M:%S %Y} GMT"}

    assert certificate(shown, "TLSv1.3", NOW).grade is grade


def test_a_certificate_that_does_not_tell_when_it_ends_is_fine():
    assert certificate({}, "TLSv1.3", NOW).grade is Grade.OK


# Version and clock ----------------------------------------------------------------------------


async def test_gws_tells_its_version_and_the_time(simulator, door):
    gws = of(simulator.url)

    assert (await gws.version(door)).found.startswith("8.5.202.96, told in ")
    assert (await gws.skew()).grade is Grade.OK


async def test_nobody_is_logged_in_for_it(simulator, door):
    """The doctor asks before it has looked at any agent."""
    await of(simulator.url).version(door)

    assert len(simulator._logins) == 0


async def test_what_does_not_answer_fails(free_port, door):
    found = await of(f"http://127.0.0.1:{free_port}").version(door)

    assert found.grade is Grade.FAILED
    assert found.cure.startswith("check gws.url, and whether GWS runs")


async def test_a_page_of_a_proxy_fails(answering, door):
    url = await answering(status=502, text="<html>Bad gateway</html>")
    found = await of(url).version(door)

    assert found.grade is Grade.FAILED
    assert found.cure == "this is no answer of GWS; check gws.url, and whether GWS runs"


async def test_a_gws_that_does_not_tell_its_version_is_a_hint(answering, door):
    url = await answering(status=403, text='{"statusCode": 20}', content_type="application/json")
    assert (await of(url).version(door)).grade is Grade.HINT

    url = await answering(text='{"statusCode": 0}', content_type="application/json")
    assert (await of(url).version(door)).grade is Grade.HINT


async def test_a_wrong_clock_is_told(answering, door):
    url = await answering(
        text='{"version": "1"}', headers={"Date": "Sun, 22 Nov 2020 10:00:00 GMT"}
    )
    gws = of(url)
    await gws.version(door)
    found = await gws.skew()

    assert found.grade is Grade.FAILED
    assert "time server" in found.cure


@pytest.mark.parametrize(
    ("date", "grade"),
    [
        ("Sun, 22 Nov 2026 00:00:00 GMT", Grade.OK),
        ("Sun, 22 Nov 2026 00:00:10 GMT", Grade.WARNING),
        ("Sat, 21 Nov 2026 23:59:50 GMT", Grade.WARNING),
        ("Sat, 21 Nov 2026 23:00:00 GMT", Grade.FAILED),
        ("yesterday", Grade.HINT),
    ],
)
def test_how_far_clocks_may_be_apart(date, grade):
    assert clock({"date": date}, sent_at=NOW, answered_at=NOW).grade is grade


def test_a_slow_answer_is_no_wrong_clock():
    """What the answer took, the clocks may be apart or not: nobody knows."""
    late = clock(
        {"date": "Sun, 22 Nov 2026 00:00:00 GMT"},
        sent_at=NOW,
        answered_at=NOW + timedelta(seconds=30),
    )

    assert (late.grade, late.found) == (Grade.OK, "GWS is ahead by -14.5 s ± 15.5 s")


async def test_a_clock_is_not_compared_before_gws_was_asked():
    with pytest.raises(LookupError):
        await of("http://127.0.0.1:1").skew()
