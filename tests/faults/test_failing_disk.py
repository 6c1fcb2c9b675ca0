"""The disk fails at each call of a session's life: nothing is done unwritten, lost or twice."""

import asyncio
import os
import sqlite3

import pytest

from imbot.errors import StoreError, StoreFullError
from imbot.records import EventSeen
from imbot.store.database import open_store
from imbot.store.reserve import has_room, reserve_path
from tests.faults.failing_disk import ERRORS, Fault, cases, play
from tests.unit.store_samples import T0, StoppedClock, event, message

URL = "sqlite:///store.db"

#: Every so many calls in the suite; IMBOT_FAILING_DISK=1 plays every one (some 400 lives).
EVERY = int(os.environ.get("IMBOT_FAILING_DISK", "13"))


@pytest.mark.timeout(3600)
def test_whatever_fails_and_for_how_long_nothing_is_lost_or_done_twice(tmp_path):
    first = play(_folder(tmp_path, "calm"), Fault())
    assert first.wrong == []

    told = [
        play(_folder(tmp_path, f"{fault.at}{fault.lasts}"), fault)
        for fault in cases(first.fault.calls, every=EVERY)
    ]

    assert {(t.fault.at, t.fault.name, t.fault.lasts): t.wrong for t in told if t.wrong} == {}
    assert len(told) >= 2 * (first.fault.calls // EVERY)
    assert all(t.fault.is_hit for t in told)


def _folder(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    return folder


@pytest.mark.parametrize("executor", ["thread", "inline"])
@pytest.mark.parametrize("name", [name for name in ERRORS if name != "BUSY"])
async def test_after_a_failure_nothing_is_written_any_more(tmp_path, name, executor):
    """Least of all by the same connection: what it says is on the disk may not be there."""
    fault = Fault(name=name)
    store = open_store(
        URL, clock=StoppedClock(), base=tmp_path, executor=executor, connect=fault.connect
    )
    reserve_path(tmp_path / "store.db").unlink(missing_ok=True)
    fault.at = fault.calls + 2
    with pytest.raises(StoreError):
        await store.commit([EventSeen(event(1))])
    calls = fault.calls

    with pytest.raises(StoreError):
        await store.commit([EventSeen(event(2))])
    with pytest.raises(StoreError):
        store.note([EventSeen(event(3))])

    assert not {sql for sql in fault.statements[calls:] if sql.startswith(("BEGIN", "INSERT"))}
    store.abandon()


async def test_who_is_locked_out_waits_some_more_and_says_so(tmp_path):
    """A backup that takes long is no reason to end."""
    fault = Fault(name="BUSY")
    store = open_store(URL, clock=StoppedClock(), base=tmp_path, connect=fault.connect)
    told = []
    fault.on_failure = lambda: told.append(store.condition.trouble)
    fault.at, fault.until = fault.calls + 1, fault.calls + 3

    await store.commit([EventSeen(event(1))])

    assert told[0] == ""
    assert "another program keeps it locked" in told[1]
    assert store.condition.trouble == ""
    await store.close()


async def test_who_is_locked_out_for_ever_ends(tmp_path):
    fault = Fault(name="BUSY", lasts=True)
    store = open_store(URL, clock=StoppedClock(), base=tmp_path, connect=fault.connect)
    fault.at = fault.calls + 1

    with pytest.raises(StoreError, match="another program keeps it locked"):
        await store.commit([EventSeen(event(1))])
    store.abandon()


async def test_on_a_full_disk_what_is_under_way_is_written_and_nothing_new_begun(tmp_path):
    """A verdict that cannot be written would leave a reply in doubt for ever."""
    fault = Fault(name="FULL")
    store = open_store(URL, clock=StoppedClock(), base=tmp_path, connect=fault.connect)
    assert reserve_path(tmp_path / "store.db").stat().st_size == 16 * 2**20
    fault.at = fault.calls + 2

    await store.commit([EventSeen(event(1))])

    assert "the disk is full" in store.condition.trouble
    assert not reserve_path(tmp_path / "store.db").exists()
    with pytest.raises(StoreFullError):
        await store.commit([EventSeen(event(2))])
    with pytest.raises(StoreFullError):
        await store.commit([])
    store.note([EventSeen(message(3, "a verdict"))])
    await store.close()
    again = open_store(URL, clock=StoppedClock(), base=tmp_path)
    assert [each.id for each in (await again.recover(T0)).events] == ["bot1-1", "bot1-3"]
    assert again.condition.trouble == ""
    await again.close()


async def test_a_store_without_room_is_not_opened(tmp_path, monkeypatch):
    """And once there is room, it can be."""

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "posix_fallocate", full)
        with pytest.raises(StoreFullError, match="the disk is full; free 16 MiB or more"):
            open_store(URL, clock=StoppedClock(), base=tmp_path)
        assert not has_room(tmp_path / "store.db")

    assert has_room(tmp_path / "store.db")
    assert not reserve_path(tmp_path / "store.db").exists()
    await open_store(URL, clock=StoppedClock(), base=tmp_path).close()


async def test_a_backup_that_reads_keeps_nobody_from_writing(tmp_path):
    store = open_store(URL, clock=StoppedClock(), base=tmp_path)
    reader = sqlite3.connect(tmp_path / "store.db")
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM events").fetchall()

    await asyncio.wait_for(store.commit([EventSeen(event(1))]), 5)

    reader.close()
    await store.close()
