"""The daemon between its lives: when it stands by, what it tells, and what lets it go on."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

import aiohttp
import pytest

from imbot.config import Loaded
from imbot.daemon import Daemon
from imbot.errors import (
    ConfigError,
    ImbotError,
    RulebookError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
)
from imbot.problems import Place, Problem
from imbot.settings import Settings
from imbot.standby import Standby, stand_by
from imbot.starts import Starts

RULE = "version: 1\nrules:\n  - {id: x, trigger: {state: %s}, do: [{reply: hi}]}\n"
MISTAKE = Problem(Place("rules/a.yaml", 3, 4), "unknown-word", "'Talkin' is no state", "mend it")


class NoTime:
    """A clock on which every wait is over at once."""

    def now(self):
        return datetime(2026, 3, 2, tzinfo=UTC)

    def monotonic(self):
        return 0.0

    async def sleep(self, _seconds):
        await asyncio.sleep(0)


def settings(port=0, **parts):
    return Settings.model_validate(
        {
            "gws": {"url": "http://127.0.0.1:9"},
            "agents": [{"user": "bot1", "password": "pw"}],
            "admin": {"listen": f"127.0.0.1:{port}"},
            "store": "sqlite:///s.db",
            **parts,
        }
    )


class House:
    """A daemon whose lives go as is said: what each raises; None for one that was asked to stop."""

    def __init__(self, folder, *lives, port=0, loaded=True):
        (folder / "rules").mkdir(exist_ok=True)
        (folder / "rules" / "a.yaml").write_text(RULE % "Talking")
        self.loaded = Loaded(settings(port), base=folder, path=folder / "imbot.yaml")
        self.lives = list(lives)
        self.read = []
        self.told = []
        self.stop, self.asked = asyncio.Event(), asyncio.Event()
        self.daemon = Daemon(
            self.load,
            self.live,
            self.loaded if loaded else None,
            clock=NoTime(),
            stop=self.stop,
            asked=self.asked,
            stands_by=self.told.append,
            environment={},
        )

    def load(self):
        self.read.append(True)
        return self.loaded

    async def live(self, loaded, _load, stop):
        assert loaded is self.loaded
        error = self.lives.pop(0)
        if error is not None:
            raise error
        stop.set()

    def serve(self, **how):
        how = {"safe": False, "is_watched": False, **how}
        return asyncio.create_task(self.daemon.serve(**how))


@pytest.fixture
def ports(unused_tcp_port_factory):
    return unused_tcp_port_factory


async def health(port):
    """Return what /health tells, once it is served."""
    for _ in range(200):
        with suppress(aiohttp.ClientError):
            async with (
                aiohttp.ClientSession() as client,
                client.get(f"http://127.0.0.1:{port}/health") as reply,
            ):
                return reply.status, await reply.json()
        await asyncio.sleep(0.02)
    raise AssertionError("nothing is served")


async def test_a_life_that_is_asked_to_stop_is_the_end(tmp_path):
    house = House(tmp_path, None)

    assert await house.serve() == 0
    assert not (tmp_path / "s.db.starts").exists()


@pytest.mark.parametrize(
    "error", [RulebookError([MISTAKE]), ConfigError([MISTAKE]), StoreError("the disk failed")]
)
async def test_what_is_wrong_at_a_start_ends_it_and_counts_as_a_crash(tmp_path, error):
    """Who starts imbot at a prompt is told and has the prompt back."""
    house = House(tmp_path, error)

    with pytest.raises(type(error)):
        await house.serve()
    assert (tmp_path / "s.db.starts").read_text().count("\n") == 1


async def test_after_three_crashes_it_acts_on_nothing_and_says_what_is_wrong(tmp_path, ports):
    port = ports()
    for _ in range(3):
        with pytest.raises(StoreError):
            await House(tmp_path, StoreError("x")).serve()
    house = House(tmp_path, None, port=port)
    (tmp_path / "rules" / "a.yaml").write_text(RULE % "Talkin")
    serving = house.serve()

    status, told = await health(port)

    assert (status, told["status"], told["agents"]) == (503, "safe-mode", 1)
    assert told["reasons"][0] == "3 starts within 5 minutes did not end in order"
    assert [one.startswith("safe-mode: 3 starts within 5 min") for one in house.told] == [True]
    assert "'Talkin' is no session state" in told["reasons"][1]
    assert len(house.lives) == 1
    house.asked.set()
    assert await serving == 0
    assert house.lives == []


async def test_who_watches_it_crash_is_not_surprised_by_another_mode(tmp_path):
    for _ in range(4):
        with pytest.raises(StoreError):
            await House(tmp_path, StoreError("x")).serve(is_watched=True)


async def test_another_imbot_s_starts_are_left_alone(tmp_path):
    """Whoever starts a second one by mistake must not put the first into safe mode."""
    from imbot.store.lock import StoreLock

    lock = StoreLock(tmp_path / "s.db")
    with pytest.raises(StoreError):
        await House(tmp_path, StoreError("another imbot uses it")).serve()
    lock.release()

    assert not (tmp_path / "s.db.starts").exists()


async def test_asked_for_it_acts_on_nothing_until_a_rule_file_changes(tmp_path, ports):
    port = ports()
    house = House(tmp_path, None, port=port)
    serving = house.serve(safe=True)
    assert (await health(port))[1]["reasons"] == ["it was started with --safe-mode"]

    while not serving.done():  # the watch takes a moment to be set
        (tmp_path / "rules" / "a.yaml").write_text(RULE % "Completed")
        await asyncio.sleep(0.3)

    assert serving.result() == 0
    assert house.read == [True]


async def test_mistakes_that_are_still_there_keep_it_in_safe_mode(tmp_path, ports):
    port = ports()
    house = House(tmp_path, RulebookError([MISTAKE]), None, port=port)
    serving = house.serve(safe=True)
    await health(port)
    house.asked.set()

    while "Talkin" not in str(await health(port)):  # noqa: ASYNC110  it is asked over HTTP
        await asyncio.sleep(0.02)

    house.asked.set()
    assert await serving == 0


async def test_wrong_settings_are_told_at_the_usual_place(tmp_path, monkeypatch):
    house = House(tmp_path, None, loaded=False)
    told = []

    async def note(why, **how):
        told.append((list(why.reasons), how["site"].listen, how["changes"]))

    monkeypatch.setattr("imbot.daemon.stand_by", note)

    assert await house.serve(safe=True, mistakes=[MISTAKE]) == 0
    assert told == [(["it was started with --safe-mode", str(MISTAKE)], "127.0.0.1:8081", None)]


async def test_a_damaged_store_is_safe_mode_at_once(tmp_path, ports):
    port = ports()
    house = House(tmp_path, StoreDamagedError("store s.db: it is damaged"), None, port=port)
    serving = house.serve(is_watched=True)

    _, told = await health(port)

    assert (told["status"], told["reasons"]) == ("safe-mode", ["store s.db: it is damaged"])
    house.stop.set()
    assert await serving == 0


async def test_with_room_on_the_disk_again_it_goes_on_by_itself(tmp_path, ports, monkeypatch):
    port, room = ports(), []
    monkeypatch.setattr("imbot.daemon.has_room", lambda _path: bool(room))
    house = House(tmp_path, StoreFullError("the disk is full"), None, port=port)
    serving = house.serve()

    status, told = await health(port)

    assert (status, told["status"], told["reasons"]) == (503, "critical", ["the disk is full"])
    room.append(True)
    assert await serving == 0
    assert house.lives == []


async def test_cancelled_it_has_ended_in_order(tmp_path, ports):
    house = House(tmp_path, None, port=ports())
    serving = house.serve(safe=True)
    await asyncio.sleep(0.05)

    serving.cancel()

    with pytest.raises(asyncio.CancelledError):
        await serving
    assert Starts(tmp_path / "s.db").begin(NoTime().now()) == 0


async def test_files_that_cannot_be_watched_keep_nobody_from_being_asked():
    asked = asyncio.Event()

    async def none():
        raise OSError(24, "too many watches")
        yield

    waiting = asyncio.create_task(
        stand_by(
            Standby("safe-mode", ["x"]),
            site=None,
            clock=NoTime(),
            stop=asyncio.Event(),
            asked=asked,
            changes=none(),
        )
    )
    await asyncio.sleep(0.05)
    assert not waiting.done()

    asked.set()
    await waiting
    assert not asked.is_set()


async def test_a_port_that_is_taken_ends_it(tmp_path, ports):
    port = ports()
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)

    with pytest.raises(ImbotError, match="cannot listen"):
        await House(tmp_path, port=port).serve(safe=True)
    server.close()
    await server.wait_closed()
