"""``imbot store check``: what is wrong with a store, told beside a running imbot."""

import json
import sqlite3

import pytest

from imbot.cli.store import check
from imbot.errors import StoreDamagedError, StoreError
from imbot.records import EventSeen, OnceMarked
from imbot.store.database import open_store
from imbot.store.looking import look
from tests.unit.store_samples import T0, StoppedClock, event, intent, run

URL = "sqlite:///imbot.db"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Stand in a folder with settings."""
    monkeypatch.setenv("PW", "pw")
    monkeypatch.chdir(tmp_path)
    agents = [{"user": "bot1", "password": "${env:PW}"}]
    text = json.dumps({"gws": {"url": "http://127.0.0.1:9"}, "agents": agents})
    (tmp_path / "imbot.yaml").write_text(text)
    return tmp_path


async def kept(folder, *statements):
    store = open_store(URL, clock=StoppedClock(), base=folder, executor="inline")
    await store.commit([EventSeen(event(1)), run(1), intent(1), OnceMarked("r", "s", "x", T0)])
    await store.close()
    change(folder, *statements)


def change(folder, *statements):
    connection = sqlite3.connect(folder / "imbot.db")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


async def test_a_sound_store_is_told_in_a_line(folder, capsys):
    await kept(folder)

    assert check(None) == 0
    assert "all is as it was written" in capsys.readouterr().err


async def test_what_is_damaged_is_listed_before_and_after_it_is_in_quarantine(folder, capsys):
    """Before, the command fails; afterwards imbot lives with it, and people can still look."""
    await kept(folder, "UPDATE effects SET payload = 'other'")

    assert check(None) == 1
    before = capsys.readouterr().out.splitlines()[1]
    assert before.split("\t")[:3] == ["effects", "bot1-1/greet/0/0", "damaged"]

    store = open_store(URL, clock=StoppedClock(), base=folder, executor="inline")
    assert check(None, as_json=True) == 0
    await store.close()
    row = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (row["table"], row["what"]) == ("effects", "wrong sum")
    assert json.loads(row["values"])["payload"] == "other"

    assert check(None) == 0
    assert "the rest is as it was written" in capsys.readouterr().err


async def test_an_index_that_is_wrong_is_told(folder, capsys):
    await kept(folder)
    change(folder, "PRAGMA writable_schema = ON", "DELETE FROM runs")
    connection = sqlite3.connect(folder / "imbot.db")
    ((root,),) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'runs_open'")
    connection.close()
    content = bytearray((folder / "imbot.db").read_bytes())
    page = slice((root - 1) * 4096, root * 4096)
    other = await _page_of_a_full_index(folder)
    content[page] = other
    (folder / "imbot.db").write_bytes(content)

    assert check(None) == 1
    assert "index runs_open; the next start builds it anew" in capsys.readouterr().err


async def _page_of_a_full_index(folder):
    (folder / "full").mkdir()
    await kept(folder / "full")
    connection = sqlite3.connect(folder / "full" / "imbot.db")
    ((root,),) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'runs_open'")
    connection.close()
    return (folder / "full" / "imbot.db").read_bytes()[(root - 1) * 4096 : root * 4096]


async def test_a_damaged_structure_is_a_sentence(folder, capsys):
    await kept(folder)
    (folder / "imbot.db").write_bytes((folder / "imbot.db").read_bytes()[:9000])

    assert check(None) == 1
    assert "damaged" in capsys.readouterr().err
    with pytest.raises(StoreDamagedError):
        look(URL, base=folder)


def test_without_a_store_there_is_nothing_to_look_at(folder):
    with pytest.raises(StoreError, match="there is none yet"):
        look(URL, base=folder)


async def test_what_opens_doors_is_shown_to_nobody(folder):
    """The row of a subscription holds the cookies of somebody who is logged in."""
    await kept(folder)
    change(
        folder,
        "INSERT INTO subscriptions (agent, url, client_id, gap_cause, acknowledges, cookies, "
        "tokens) VALUES ('bot1', 'u', 'c', '', 1, 'SECRET', 'SECRET')",
    )

    ((row,), _, _) = look(URL, base=folder)

    assert row.table == "subscriptions"
    assert "SECRET" not in row.values
