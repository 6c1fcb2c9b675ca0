"""imbot as a process: killed at any moment, stopped in order, refused where it must not start."""

import asyncio
import os
import signal
import socket
import time
from contextlib import suppress
from random import Random

import aiohttp
import pytest

from imbot.clock import SystemClock
from imbot.records import RunState
from imbot.simulator import Simulator, SimulatorSettings
from imbot.simulator.parties import Complete, Expect, Wait, play
from imbot.simulator.settings import AgentAccount
from tests.wire.foreign import Kind
from tests.wire.house import Daemon, greetings, settings_file, store_views, tell, until

SEED = int(os.environ.get("IMBOT_SEED", "20260301"))

AGENTS = ("bot1", "bot2", "bot3")
KILLS = 6

#: A person waits so long; imbot needs a few seconds to start and find its place again.
PATIENCE_S = 30.0


@pytest.fixture
async def simulator():
    """A simulated GWS with three agents."""
    accounts = tuple(
        AgentAccount(user=user, password=f"pw-{user}", number=f"100{n}")
        for n, user in enumerate(AGENTS)
    )
    async with Simulator(SimulatorSettings(agents=accounts, seed=SEED)) as simulator:
        yield simulator


def in_service(simulator, *agents):
    """Whether GWS can ring all of these."""
    return all(simulator.world.is_free(agent) for agent in agents)


def starts(daemon):
    """Return how often it came so far that it takes signals."""
    return daemon.text.count('"imbot.started"')


# Killed -----------------------------------------------------------------------------------------


async def ring_until(over, simulator, agent, random):
    """Ring again and again; return how the conversations went."""
    script = (Wait(random.uniform(0, 0.3)), Expect("Hello", timeout_s=PATIENCE_S), Complete())
    done = []
    while not over.is_set():
        went = await play(simulator.world, SystemClock(), agent=agent, number="3002", script=script)
        if went.session_id:
            done.append((agent, went))
        await asyncio.sleep(random.uniform(0.01, 0.1))
    return done


@pytest.mark.timeout(120)
async def test_killed_at_any_moment_it_greets_nobody_twice_and_forgets_nobody(simulator, tmp_path):
    """Each kill hits another moment: before the intent, after it, before the echo."""
    tell(f"IMBOT_SEED={SEED}")
    random, over = Random(SEED), asyncio.Event()  # noqa: S311  reproducible, nothing is secret
    delivery = {"quiesce": "3s"}
    config = settings_file(tmp_path, simulator.url, agents=AGENTS, delivery=delivery)
    async with Daemon(config) as daemon:
        await until(lambda: in_service(simulator, *AGENTS), within_s=60)
        rings = [
            asyncio.create_task(ring_until(over, simulator, agent, random)) for agent in AGENTS
        ]
        for _ in range(KILLS):
            await asyncio.sleep(random.uniform(0.5, 2.5))
            await daemon.kill()
            for crashes in tmp_path.glob("*.starts"):
                crashes.unlink()  # three in five minutes, and it would stand by
            starts_before_last = starts(daemon)
            await daemon.start()
        await until(lambda: starts(daemon) > starts_before_last, within_s=60)
        over.set()
        done = [one for row in await asyncio.gather(*rings) for one in row]
        assert await daemon.signal(signal.SIGTERM) == 0, daemon.text

    counts = [sum("Hello" in text for text in went.heard) for _, went in done]
    tell(f"{len(done)} sessions, {counts.count(0)} of them not greeted")
    assert max(counts) == 1
    with store_views(tmp_path) as views:
        for agent, went in done:
            [history] = views.session(went.session_id, agent=agent)
            assert history.view.seen.completed_at is not None
            assert not {one.run.state for one in history.runs} & {
                RunState.RUNNING,
                RunState.WAITING,
            }
            told = history.view.parked or history.view.gaps
            assert went.heard or told, (agent, went, daemon.text)


async def test_killed_against_a_foreign_server_it_serves_the_session_on(start_foreign, tmp_path):
    """The server knows nothing of the crash: its Bayeux client and its login are still there."""
    server = await start_foreign(Kind.COMETD_ACK)
    # Killed right after the greeting, nobody knows whether it was said; its proof is waited for.
    config = settings_file(tmp_path, server.url, delivery={"quiesce": "3s"})
    async with Daemon(config) as daemon:
        await server.until_listening("bot1")
        session = await server.ring("bot1", "3002")
        await server.until(lambda: greetings(server, session))
        await daemon.kill()
        await server.say(session, "that was all, bye")
        await daemon.start()

        await server.until_listening("bot1")

        async def over():
            await server.say(session, "bye")
            legs = (await server.sessions())[session]["legs"]
            return all(leg["state"] == "Completed" for leg in legs)

        with suppress(ValueError):  # nobody can say anything in a session that is over
            await server.until(over, within_s=30)
        # Each goodbye that was heard completes, until GWS has told that the session is over.
        assert await server.operations("Complete")
        assert len(await greetings(server, session)) == 1
        assert await daemon.signal(signal.SIGTERM) == 0, daemon.text
    with store_views(tmp_path) as views:
        assert views.gaps() == ()  # the server acknowledges, and the subscription was gone on with


# Stopped in order -------------------------------------------------------------------------------


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_in_order(simulator, tmp_path, signum):
    """Sessions stay, the agent is logged out, and the supervisor sees success."""
    async with Daemon(settings_file(tmp_path, simulator.url)) as daemon:
        await until(lambda: in_service(simulator, "bot1"))
        world = simulator.world
        session = world.session(world.ring("bot1", "3002"))
        await world.until(lambda: session.user_data.get("greeted") == "yes")
        began = time.monotonic()
        assert await daemon.signal(signum) == 0, daemon.text
        assert time.monotonic() - began < 5
    assert not world.agent("bot1").logged_in
    requests = [entry.name for entry in world.log if entry.kind == "request"]
    assert (requests[-1], "Complete" in requests) == ("EndContactCenterSession", False)
    assert '"imbot.stopped"' in daemon.text
    with store_views(tmp_path) as views:
        [history] = views.session(session.id)
        assert [one.effect.state for one in history.effects][:1] == ["confirmed"]


async def test_a_signal_in_the_middle_of_the_login_stops_it_too(simulator, tmp_path):
    simulator.faults = simulator.faults.model_validate({"hang": True, "hang_s": 30})
    async with Daemon(settings_file(tmp_path, simulator.url)) as daemon:
        await until(lambda: simulator.world.faults.struck)
        assert await daemon.signal(signal.SIGTERM) == 0, daemon.text


# Refused ----------------------------------------------------------------------------------------


async def test_a_second_imbot_on_the_same_store_is_refused(simulator, tmp_path):
    """Two of them would greet twice."""
    config = settings_file(tmp_path, simulator.url)
    async with Daemon(config) as first:
        await until(lambda: in_service(simulator, "bot1"))
        second = Daemon(config)
        second.output = tmp_path / "second.txt"
        async with second:
            assert await second.ended() == 75, second.text
        assert f"another imbot uses it (process {first.process.pid})" in second.text
        assert "Traceback" not in second.text
        assert first.process.returncode is None


async def test_a_taken_port_for_health_is_named(simulator, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        config = settings_file(tmp_path, simulator.url, admin={"listen": listen})
        async with Daemon(config) as daemon:
            assert await daemon.ended() == 1, daemon.text
    assert f"admin.listen: cannot listen on {listen}" in daemon.text
    assert "Traceback" not in daemon.text
    assert not [entry for entry in simulator.world.log if entry.kind == "request"]


async def test_a_wrong_password_is_told_and_does_not_storm_the_login(simulator, tmp_path):
    """GWS locks an account out after a few wrong passwords; nobody could then log in by hand."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    config = settings_file(tmp_path, simulator.url, admin={"listen": listen})
    config.write_text(config.read_text().replace("pw-bot1", "mistyped"))
    async with Daemon(config) as daemon, aiohttp.ClientSession() as http:
        await until(lambda: "locked out" in daemon.text, within_s=60)
        refused = [e for e in simulator.world.log if e.status_code == 20]
        assert len(refused) == 3
        async with http.get(f"http://{listen}/health") as response:
            health = await response.json()
        assert (response.status, health["status"]) == (503, "starting")
        assert "refuses the credentials of bot1" in health["reasons"][0]
        await asyncio.sleep(1)
        assert len([e for e in simulator.world.log if e.status_code == 20]) == 3
        assert "mistyped" not in daemon.text
        assert await daemon.signal(signal.SIGTERM) == 0, daemon.text


def give_up_overriding():
    """Let root be bound by permissions, too; runs in the child before imbot."""
    import ctypes

    drop_from_bounding_set, override, read_search = 24, 1, 2
    libc = ctypes.CDLL(None)
    for capability in (override, read_search):
        libc.prctl(drop_from_bounding_set, capability, 0, 0, 0)


async def test_a_store_that_cannot_be_written_is_named(simulator, tmp_path):
    """Without its store imbot could greet twice, so it does not even log in."""
    config = settings_file(tmp_path, simulator.url)
    async with Daemon(config) as daemon:
        await until(lambda: in_service(simulator, "bot1"))
        assert await daemon.signal(signal.SIGTERM) == 0, daemon.text
    requests = len(simulator.world.log)
    (tmp_path / "imbot.db").chmod(0o400)
    daemon = Daemon(config)
    await daemon.start(preexec_fn=give_up_overriding)
    assert await daemon.ended() == 75, daemon.text
    assert "imbot.db: it may not be written to; check its owner and permissions" in daemon.text
    assert "Traceback" not in daemon.text
    assert len(simulator.world.log) == requests
