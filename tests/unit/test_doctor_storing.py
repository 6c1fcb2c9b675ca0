"""The store as the doctor sees it, beside a running imbot or without one."""

import shutil
import sqlite3
from typing import NamedTuple

import pytest

from imbot.doctor import storing
from imbot.doctor.findings import Grade
from imbot.errors import ConfigError
from imbot.records import EchoesLearnt
from imbot.store.database import open_store
from tests.unit.store_samples import StoppedClock

URL = "sqlite:///imbot.db"


class Usage(NamedTuple):
    """How full a disk is."""

    total: int
    used: int
    free: int


def begun(folder):
    return open_store(URL, clock=StoppedClock(), base=folder)


@pytest.fixture
async def store(tmp_path):
    store = begun(tmp_path)
    yield store
    await store.close()


async def closed(folder, *changes):
    """Leave a store with these changes in it."""
    store = begun(folder)
    store.note(changes)
    await store.close()


# Folder and permissions -----------------------------------------------------------------------


def test_a_folder_with_room_is_fine(tmp_path):
    found = storing.folder(URL, tmp_path)

    assert found.grade is Grade.OK
    assert found.found.startswith(f"{tmp_path}: ")


def test_a_folder_that_is_not_there_fails(tmp_path):
    found = storing.folder("sqlite:///gone/imbot.db", tmp_path)

    assert (found.grade, found.cure) == (Grade.FAILED, f"make it: mkdir -p {tmp_path / 'gone'}")


def test_a_folder_that_may_not_be_written_to_fails(tmp_path, monkeypatch):
    """Root may write everywhere, so the system's answer stands in."""
    monkeypatch.setattr(storing.os, "access", lambda *_: False)

    assert storing.folder(URL, tmp_path).grade is Grade.FAILED


@pytest.mark.parametrize(
    ("free", "grade"),
    [(2**34, Grade.OK), (2**29, Grade.WARNING), (2**20, Grade.FAILED)],
)
def test_little_space_is_told_before_it_is_too_late(tmp_path, monkeypatch, free, grade):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2**40, 0, free))

    assert storing.folder(URL, tmp_path).grade is grade


def test_a_store_in_memory_ends_with_imbot(tmp_path):
    assert storing.folder("sqlite://", tmp_path).grade is Grade.WARNING
    assert storing.permissions("sqlite://", tmp_path)[0].grade is Grade.OK
    assert storing.soundness("sqlite://", tmp_path)[0].grade is Grade.OK
    assert not storing.is_in_use("sqlite://", tmp_path)


def test_a_url_of_no_store_is_a_mistake_in_the_settings(tmp_path):
    with pytest.raises(ConfigError):
        storing.folder("postgresql://h/db", tmp_path)


async def test_the_files_of_a_store_are_for_their_owner_alone(tmp_path, store):  # noqa: ARG001  it is open
    (found,) = storing.permissions(URL, tmp_path)

    assert found.grade is Grade.OK
    assert found.found.endswith("files, for their owner alone")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
async def test_a_store_that_others_can_reach_is_told(tmp_path, store, mode):  # noqa: ARG001  as above
    """What people say to each other is in it."""
    (tmp_path / "imbot.db").chmod(mode)
    (found,) = storing.permissions(URL, tmp_path)

    assert found.grade is Grade.WARNING
    assert found.cure == f"chmod 600 {tmp_path / 'imbot.db'}"


# Soundness ------------------------------------------------------------------------------------


def test_a_store_that_is_not_begun_is_fine(tmp_path):
    assert storing.soundness(URL, tmp_path)[0].found.startswith("there is none yet")


async def test_a_running_imbot_is_not_disturbed(tmp_path, store):
    (found,) = storing.soundness(URL, tmp_path)

    assert found.found == "all is as it was written; an imbot uses it now"
    assert storing.is_in_use(URL, tmp_path)
    await store.commit([EchoesLearnt(1.0, are_heard=True, are_missing=False)])


async def test_a_stopped_imbot_leaves_a_sound_store(tmp_path):
    await closed(tmp_path)

    assert storing.soundness(URL, tmp_path)[0].found.endswith("no imbot uses it now")


async def test_a_damaged_store_fails(tmp_path):
    await closed(tmp_path)
    (tmp_path / "imbot.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    (found,) = storing.soundness(URL, tmp_path)

    assert found.grade is Grade.FAILED
    assert found.cure.startswith("restore a backup")


async def test_the_store_of_an_earlier_imbot_is_no_failure(tmp_path):
    """Who has just upgraded runs the doctor before the first start."""
    await closed(tmp_path)
    with sqlite3.connect(tmp_path / "imbot.db") as older:
        older.execute("UPDATE meta SET value = '1' WHERE key = 'schema_version'")
    older.close()
    (found,) = storing.soundness(URL, tmp_path)

    assert found.grade is storing.echoes(URL, tmp_path).grade is Grade.HINT
    assert found.cure.endswith("the next start brings it up to date")


async def test_another_programs_database_fails(tmp_path):
    with sqlite3.connect(tmp_path / "imbot.db") as other:
        other.execute("CREATE TABLE t (a)")
    other.close()

    assert storing.soundness(URL, tmp_path)[0].grade is Grade.FAILED


async def test_rows_that_are_not_as_written_and_those_in_quarantine_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(storing, "look", lambda *_, **__: storing_seen())
    await closed(tmp_path)
    damaged, kept = storing.soundness(URL, tmp_path)

    assert (damaged.grade, kept.grade) == (Grade.WARNING, Grade.WARNING)
    assert damaged.found == "1 rows and 0 indices are not as written"
    assert kept.found == "2 rows are in quarantine"


def storing_seen():
    from imbot.store.looking import Seen, Shown

    row = Shown("events", "1", "{}", "wrong sum")
    return Seen((row,), (row, row), ())


# Echoes ---------------------------------------------------------------------------------------


async def echoes(folder, *learnt):
    await closed(folder, *learnt)
    return storing.echoes(URL, folder)


async def test_echoes_that_are_heard_are_fine(tmp_path):
    found = await echoes(tmp_path, EchoesLearnt(0.25, are_heard=True, are_missing=False))

    assert (found.grade, found.found) == (Grade.OK, "heard; the slowest took 0.2 s")


async def test_slow_echoes_are_a_hint(tmp_path):
    found = await echoes(tmp_path, EchoesLearnt(99.0, are_heard=True, are_missing=False))

    assert found.grade is Grade.HINT


async def test_missing_echoes_are_told(tmp_path):
    """Then no reply in doubt can ever be proven."""
    found = await echoes(tmp_path, EchoesLearnt(0.0, are_heard=False, are_missing=True))

    assert found.grade is Grade.WARNING
    assert found.found.startswith("missing")


async def test_what_nobody_can_know_yet_is_a_hint(tmp_path):
    assert storing.echoes(URL, tmp_path).grade is Grade.HINT
    assert (await echoes(tmp_path)).grade is Grade.HINT
    assert storing.echoes(URL, tmp_path).found.startswith("unknown")
