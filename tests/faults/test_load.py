"""Rules that are a hundred times slower than what comes: nothing is lost, and memory is bounded."""

import asyncio
import gc
import tracemalloc

import pytest
from structlog.testing import capture_logs

from imbot.app import Ports, open_app
from imbot.config import Loaded
from imbot.engine import backlog
from imbot.settings import Settings
from imbot.store.database import open_store
from imbot.testing.time import LoopClock, SteadyRandom
from imbot.testing.virtual_loop import VirtualLoop
from tests.faults.fleet import Fleet

RATE, SECONDS, SESSIONS = 1_000, 3, 20

RULES = """
version: 1
rules:
  - id: tag
    trigger: {message: any}
    max_age: 7d
    do:
      - set: {last: "{{ message.text }}"}
"""


class Flooded(Fleet):
    """A GWS that takes 2 s for each operation, and keeps what it carried out, in order."""

    def __init__(self, clock):
        super().__init__(clock)
        self.tagged = {}

    async def answer(self, door, request):
        """Be slow with what rules do."""
        if request.method == "POST" and "/im-sessions/" in request.url:
            await asyncio.sleep(2.0)
        return await super().answer(door, request)

    def _operate(self, account, path, body):
        if body["operationName"] == "UpdateUserData" and "last" in body["userData"]:
            name = path.rpartition("/")[2]
            self.tagged.setdefault(name, []).append(int(body["userData"]["last"]))
        super()._operate(account, path, body)


async def flood(folder):
    """Let a thousand messages a second come for a while; return what became of them."""
    clock = LoopClock()
    fleet = Flooded(clock)
    async with open_app(*house(folder, fleet, clock)) as app:
        life = asyncio.create_task(app.run(asyncio.Event()))
        while not app.agents["bot0"].is_up:
            await asyncio.sleep(1)
        names = [fleet.ring("bot0", str(30_000 + number)) for number in range(SESSIONS)]
        await asyncio.sleep(5)
        gc.collect()
        tracemalloc.start()
        sent = 0
        for _ in range(SECONDS * 10):
            for _ in range(RATE // 10):
                fleet.say("bot0", names[sent % SESSIONS], str(sent))
                sent += 1
            await asyncio.sleep(0.1)
        await asyncio.sleep(30)
        told, in_store = list(app.health().reasons), app.dispatch.backlog.in_store
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        while not app.dispatch.is_idle:
            await asyncio.sleep(60)
        health = app.health()
        fleet.is_down = True
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)
    return fleet.tagged, sent, told, in_store, memory, health


def house(folder, fleet, clock):
    """Return what an imbot is opened with."""
    (folder / "rules.yaml").write_text(RULES)
    settings = Settings.model_validate(
        {
            "gws": {"url": "http://gws.test:8090"},
            "agents": [{"user": "bot0", "password": "pw"}],
            "rules": [folder / "rules.yaml"],
            "store": "sqlite:///imbot.db",
            "budget": {"session_events_per_second": 1000},
        }
    )
    ports = Ports(
        clock=clock,
        random=SteadyRandom(),
        network=lambda _ca_file, _allow, _internal: fleet,
        store=lambda url, base: open_store(url, clock=clock, base=base, executor="inline"),
        serves_health=False,
    )
    return Loaded(settings, base=folder, path=folder / "imbot.yaml"), ports


@pytest.mark.timeout(180)
def test_a_flood_is_taken_whole_in_order_and_in_bounded_memory(tmp_path, monkeypatch):
    """A thousand messages a second, and rules that manage ten: hours behind, and none missing."""
    monkeypatch.setattr(backlog, "IN_MEMORY", 1_000)
    monkeypatch.setattr(backlog, "OF_ONE_SESSION", 100)
    with capture_logs() as logs, asyncio.Runner(loop_factory=VirtualLoop) as runner:
        tagged, sent, told, in_store, memory, health = runner.run(flood(tmp_path))

    assert sent == RATE * SECONDS
    for place, name in enumerate(sorted(tagged, key=lambda name: int(name[1:]))):
        assert tagged[name] == list(range(place, sent, SESSIONS))
    assert len(tagged) == SESSIONS
    assert in_store > sent / 2
    assert any("rules are slower than what comes" in reason for reason in told)
    assert health.reasons == []
    assert memory < 40 * 1024 * 1024
    names = [one["event"] for one in logs]
    assert names.count("events.in_store") == names.count("events.caught_up") == 1
