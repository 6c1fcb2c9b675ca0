"""Rules of imbot/admin/health.py: whether imbot serves, for who asks by HTTP."""

import socket

import aiohttp
import pytest

from imbot.admin.health import Health
from imbot.admin.server import AdminServer
from imbot.admin.site import Site
from imbot.clock import SystemClock
from imbot.errors import ImbotError

DEGRADED = Health("degraded", ("agent bot2 is locked: no",), 2, 1, {"sync": "http failed"}, 0.25)


@pytest.mark.parametrize(
    ("health", "status"),
    [
        (
            Health(
                "ready",
                (),
                2,
                2,
                parked=3,
                suppressed={"once": 4},
                quarantined=5,
                undocumented={"state": 6},
                sessions=7,
            ),
            200,
        ),
        (Health("ready", (), 2, 2, echoes="heard", echo_longest_s=1.2345, quiesce_s=90.0), 200),
        (DEGRADED, 200),
        (Health("starting", ("x",), 1, 0), 503),
        (Health("safe-mode", ("x",), 1, 0), 503),
        (Health("critical", ("x",), 1, 0), 503),
    ],
    ids=lambda value: getattr(value, "status", value),
)
async def test_health_tells_how_it_is_and_a_start_is_not_ready(health, status):
    """A load balancer waits for 200; one agent that is locked out must not take imbot down."""
    async with (
        AdminServer(Site("127.0.0.1:0"), lambda: health, SystemClock()) as server,
        aiohttp.ClientSession() as client,
        client.get(f"{server.url}/health") as reply,
    ):
        assert reply.status == status
        assert reply.headers["Cache-Control"] == "no-store"
        assert await reply.json() == {
            "status": health.status,
            "reasons": list(health.reasons),
            "agents": health.agents,
            "agents_up": health.agents_up,
            "sessions": health.sessions,
            "breakers": dict(health.breakers),
            "parked": health.parked,
            "suppressed": dict(health.suppressed),
            "quarantined": health.quarantined,
            "undocumented": dict(health.undocumented),
            "echoes": health.echoes,
            "echo_longest_s": round(health.echo_longest_s, 3),
            "quiesce_s": round(health.quiesce_s, 3),
            "loop_lag_s": round(health.loop_lag_s, 3),
        }


async def test_nothing_else_is_served():
    async with (
        AdminServer(Site("[::1]:0"), lambda: DEGRADED, SystemClock()) as server,
        aiohttp.ClientSession() as client,
    ):
        assert server.url.startswith("http://[::1]:")
        async with client.get(f"{server.url}/metrics") as reply:
            assert reply.status == 404
        async with client.post(f"{server.url}/health") as reply:
            assert reply.status == 405


async def test_a_port_in_use_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ImbotError, match=f"admin.listen: cannot listen on 127.0.0.1:{port}"):
            async with AdminServer(Site(f"127.0.0.1:{port}"), lambda: DEGRADED, SystemClock()):
                pass
