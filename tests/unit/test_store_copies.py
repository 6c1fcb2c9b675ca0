"""Copies of a store: complete, checked, and put back so that nothing is done twice for them."""

import errno
import json
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from imbot.cli.copying import backup, put_back
from imbot.errors import StoreDamagedError, StoreError
from imbot.model import SessionKey, Subscription
from imbot.records import (
    EffectState,
    EventSeen,
    MarksLost,
    OnceMarked,
    OrderGiven,
    OrderKind,
    RunState,
    SubscriptionKept,
    TimerSet,
    Verdict,
)
from imbot.store.copies import back_up, restore
from imbot.store.database import open_store
from imbot.store.orders import open_orders
from tests.unit.store_samples import T0, StoppedClock, after, event, intent, run

URL = "sqlite:///imbot.db"


def opened(folder, at=T0):
    return open_store(URL, clock=StoppedClock(at), base=folder, executor="inline")


def copied(folder, name="copy.db"):
    back_up(URL, folder / name, base=folder, tell=lambda _done, _pages: None)
    return folder / name


def rows(path, sql):
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


async def filled(folder, count=1):
    """Return a store in which something of every kind is under way, still open."""
    store = opened(folder)
    for number in range(1, count + 1):
        await store.commit([EventSeen(event(number))])
    await store.commit([run(1), intent(1), OnceMarked("greet", "s", "x", T0)])
    await store.commit([intent(2), Verdict(intent(2).effect_id, EffectState.PARKED, T0, "?")])
    await store.commit(
        [
            TimerSet("bot1-1/greet/0", "run", after(60)),
            TimerSet("schedule x", "schedule", after(60)),
            TimerSet("closed support", "closed", after(10**8)),
            SubscriptionKept("bot1", Subscription("http://gws", "client", acknowledges=True)),
            MarksLost(SessionKey("bot1", ""), T0),
        ]
    )
    return store


async def test_a_copy_is_made_while_imbot_writes_and_holds_it_all(tmp_path):
    store = await filled(tmp_path, count=300)
    copy = copied(tmp_path)
    await store.commit([EventSeen(event(999))])
    await store.close()

    assert rows(copy, "SELECT count(*) FROM events") == [(300,)]
    assert copy.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.glob("copy*")) == ["copy.db"]


async def test_a_copy_of_damaged_rows_is_none(tmp_path):
    await (await filled(tmp_path)).close()
    connection = sqlite3.connect(tmp_path / "imbot.db")
    connection.execute("UPDATE effects SET payload = 'other' WHERE seq = 1")
    connection.commit()
    connection.close()

    with pytest.raises(StoreDamagedError, match="effects bot1-1/greet/0/0 is not as it was"):
        copied(tmp_path)
    assert not list(tmp_path.glob("copy*"))


async def test_what_is_there_is_not_written_over(tmp_path):
    await (await filled(tmp_path)).close()
    (tmp_path / "copy.db").write_text("mine")

    with pytest.raises(StoreError, match="is there already"):
        copied(tmp_path)
    assert (tmp_path / "copy.db").read_text() == "mine"


async def test_a_folder_that_is_not_there_is_named(tmp_path):
    await (await filled(tmp_path)).close()

    with pytest.raises(StoreError, match="nowhere"):
        copied(tmp_path, "nowhere/copy.db")


async def test_what_was_under_way_is_given_up_and_nothing_is_taken_up_again(tmp_path):
    """It was perhaps done since, and nobody knows."""
    store = await filled(tmp_path)
    order = OrderGiven(intent(2).effect_id, OrderKind.RESEND, "me", T0)
    with open_orders(URL, base=tmp_path) as orders:
        assert orders.give(order, lambda _about: "") == ""
    copy = copied(tmp_path)
    for number in range(5, 50):  # more commits than the copy has
        await store.commit([EventSeen(event(number))])
    await store.close()

    before = restore(copy, tmp_path / "imbot.db", after(3600))
    store = opened(tmp_path, after(3700))
    found = await store.recover(after(3700))
    await store.close()

    assert (found.events, found.runs, found.subscriptions) == ((), (), {})
    assert [timer.kind for timer in found.timers] == ["closed"]
    assert found.parked == {intent(1).effect_id, intent(2).effect_id}
    assert (found.lost_since, found.marks_lost) == (T0, frozenset())
    assert rows(tmp_path / "imbot.db", "SELECT state, detail FROM runs") == [
        (RunState.CANCELLED, "its store was restored from a copy")
    ]
    assert rows(tmp_path / "imbot.db", "SELECT taken_at IS NULL FROM orders") == [(0,)]
    assert rows(tmp_path / "imbot.db", "SELECT count(*) FROM once_marks") == [(1,)]
    assert before.name == "imbot.db.replaced-20260301T103000"
    assert rows(before, "SELECT count(*) FROM events") == [(46,)]
    assert rows(copy, "SELECT state FROM runs") != [(RunState.CANCELLED,)]


async def test_a_store_that_is_in_use_is_not_replaced(tmp_path):
    store = await filled(tmp_path)
    copy = copied(tmp_path)

    with pytest.raises(StoreError, match="another imbot uses it"):
        restore(copy, tmp_path / "imbot.db", after(1))
    await store.close()
    assert not list(tmp_path.glob("*.restoring*"))


@pytest.mark.parametrize("content", [b"no database at all" * 100, b""])
async def test_what_is_no_copy_changes_nothing(tmp_path, content):
    await (await filled(tmp_path)).close()
    (tmp_path / "copy.db").write_bytes(content)
    before = (tmp_path / "imbot.db").read_bytes()

    with pytest.raises(StoreError):
        restore(tmp_path / "copy.db", tmp_path / "imbot.db", after(1))

    assert (tmp_path / "imbot.db").read_bytes() == before
    assert not list(tmp_path.glob("*.restoring*"))


async def test_where_the_copy_cannot_take_its_place_the_store_is_as_it_was(tmp_path, monkeypatch):
    await (await filled(tmp_path)).close()
    copy = copied(tmp_path)
    before, own = (tmp_path / "imbot.db").read_bytes(), Path.replace

    def refuses(path, target):
        if path.name.endswith(".restoring"):
            raise OSError(errno.EIO, "Input/output error")
        return own(path, target)

    monkeypatch.setattr(Path, "replace", refuses)
    with pytest.raises(StoreError, match="Input/output error"):
        restore(copy, tmp_path / "imbot.db", after(1))

    assert (tmp_path / "imbot.db").read_bytes() == before
    assert not [*tmp_path.glob("*.restoring*"), *tmp_path.glob("*.replaced*")]


async def test_where_nothing_was_the_copy_is_the_store(tmp_path):
    await (await filled(tmp_path)).close()
    copy = copied(tmp_path)
    for path in tmp_path.glob("imbot.db*"):
        path.unlink()

    assert restore(copy, tmp_path / "imbot.db", T0 + timedelta(days=1)) is None
    await opened(tmp_path).close()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Stand in a folder with settings."""
    monkeypatch.setenv("PW", "pw")
    monkeypatch.chdir(tmp_path)
    agents = [{"user": "bot1", "password": "${env:PW}"}]
    text = json.dumps({"gws": {"url": "http://127.0.0.1:9"}, "agents": agents})
    (tmp_path / "imbot.yaml").write_text(text)
    return tmp_path


async def test_the_commands_say_what_they_did(folder, capsys):
    await (await filled(folder)).close()

    assert backup(folder / "copy.db", None) == 0
    assert "MiB, every row of it as it was written" in capsys.readouterr().out
    assert put_back(folder / "copy.db", None) == 0
    told = capsys.readouterr()
    assert "restored from" in told.out
    assert "imbot.db.replaced-" in told.out
    assert "`imbot parked list` shows it" in told.err


@pytest.mark.parametrize(
    ("store", "words"), [("sqlite://", "in memory"), (URL, "there is no such file")]
)
async def test_what_cannot_be_restored_is_told(folder, store, words):
    with pytest.raises(StoreError, match=words):
        put_back(folder / "copy.db", None, [f"store={store}"])
