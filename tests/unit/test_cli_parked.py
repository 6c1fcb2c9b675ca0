"""``imbot parked``: what waits for a person, and what a person decides."""

import json
import os
import pwd

import pytest

from imbot.cli.parked import parked
from imbot.engine.orders import why_not_resent
from imbot.errors import StoreError
from imbot.plugin import Operation
from imbot.records import EffectState, OrderKind, OrderTaken
from imbot.store.database import open_store
from tests.unit.store_samples import T0, StoppedClock, after, intent, seen, verdict

SETTINGS = {
    "gws": {"url": "http://gws.test"},
    "agents": [{"user": "bot1", "password": "pw"}],
    "store": "sqlite:///store.db",
}
LOST, SAID, LATE = intent(1), intent(2), intent(3, session_id="s2")
POSTED = intent(4)._replace(action="http", operation="POST http://crm.test", echo=None)
ME = pwd.getpwuid(os.getuid()).pw_name


def opened(folder):
    return open_store(SETTINGS["store"], clock=StoppedClock(), base=folder, executor="inline")


@pytest.fixture
async def home(tmp_path, monkeypatch):
    """A folder with settings and a store in which three effects are parked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SUDO_USER", raising=False)
    (tmp_path / "imbot.yaml").write_text(json.dumps(SETTINGS))
    store = opened(tmp_path)
    await store.commit([seen("s1"), seen("s2", completed_at=after(5))])
    for one in (LOST, LATE, POSTED):
        await store.commit([one, verdict(one, EffectState.PARKED, detail="no echo came")])
    await store.commit([SAID, verdict(SAID, EffectState.CONFIRMED)])
    await store.close()
    return tmp_path


@pytest.fixture
def imbot(home, capsys):  # noqa: ARG001  where commands run
    """Run the command; return its exit code, what it printed, and what it complained of."""

    def run(deed, *ids, **more):
        code = parked(deed, ids, None, **more)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


async def orders(home):
    """Return the orders that wait."""
    store = opened(home)
    found = await store.orders()
    await store.close()
    return [(order.given.effect_id, order.given.kind, order.given.by) for order in found]


def test_all_that_waits_is_listed_with_the_reason(imbot):
    code, out, _ = imbot("list")

    rows = [line.split("\t") for line in out.splitlines()]
    assert code == 0
    assert [row[0] for row in rows] == ["id", LOST.effect_id, LATE.effect_id, POSTED.effect_id]
    assert rows[1][1:7] == ["bot1", "s1", "greet", "reply", "“Hello”", "no echo came"]


def test_for_programs_each_is_an_object(imbot):
    _, out, _ = imbot("list", as_json=True)

    first = json.loads(out.splitlines()[0])
    assert (first["id"], first["since"]) == (LOST.effect_id, T0.isoformat())
    assert first["order"] is None


def test_one_is_shown_with_all_that_a_person_must_know(imbot):
    code, out, _ = imbot("show", LATE.effect_id)

    facts = dict(line.split("\t") for line in out.splitlines())
    assert code == 0
    assert facts["session is"] == "Completed"
    assert facts["number"] == "+49 30 1"
    assert facts["cannot be resent"] == "session s2 of bot1 is over; drop it"
    assert json.loads(imbot("show", LATE.effect_id, as_json=True)[1])["payload"] == LATE.payload


def test_what_is_not_there_cannot_be_shown(imbot):
    code, _, err = imbot("show", "nothing")

    assert (code, err) == (
        1,
        "imbot: nothing: there is no such effect in sqlite:///store.db\n",
    )


@pytest.mark.parametrize(("deed", "becomes"), [("resend", "sent"), ("drop", "dropped")])
async def test_an_order_waits_in_the_store_for_the_next_start(home, imbot, deed, becomes):
    """Who gave it and when is kept with it."""
    code, out, _ = imbot(deed, LOST.effect_id)

    assert (code, out) == (0, f"{LOST.effect_id}: will be {becomes} when imbot is started\n")
    assert await orders(home) == [(LOST.effect_id, OrderKind(deed), ME)]
    assert f"{deed} by {ME}" in imbot("list")[1]


async def test_a_running_imbot_is_told_apart(home, imbot):
    """Its store takes the order beside it."""
    store = opened(home)

    assert "will be sent by the running imbot" in imbot("resend", LOST.effect_id)[1]
    assert [order.given.kind for order in await store.orders()] == [OrderKind.RESEND]
    await store.close()


async def test_the_last_order_counts(home, imbot):
    imbot("resend", LOST.effect_id)
    imbot("drop", LOST.effect_id)

    assert await orders(home) == [(LOST.effect_id, OrderKind.DROP, ME)]
    facts = dict(line.split("\t") for line in imbot("show", LOST.effect_id)[1].splitlines())
    assert f"refused: {ME} ordered otherwise" in facts["orders"]


async def test_an_order_that_was_taken_up_says_so(home, imbot):
    imbot("drop", LOST.effect_id)
    store = opened(home)
    store.note([OrderTaken(1, T0)])
    await store.close()

    assert "taken up" in imbot("show", LOST.effect_id)[1]
    assert await orders(home) == []


@pytest.mark.parametrize(
    ("deed", "effect_id", "why"),
    [
        ("resend", "nothing", "there is no such effect"),
        ("drop", SAID.effect_id, "it is confirmed and does not wait for a person"),
        ("resend", LATE.effect_id, "session s2 of bot1 is over"),
        ("resend", POSTED.effect_id, "repeat it by hand"),
    ],
)
async def test_what_cannot_be_done_is_refused(home, imbot, deed, effect_id, why):
    code, out, err = imbot(deed, effect_id)

    assert (code, out) == (1, "")
    assert why in err
    assert await orders(home) == []


async def test_of_several_each_is_ordered_or_refused(home, imbot):
    code, out, err = imbot("drop", LATE.effect_id, "nothing", POSTED.effect_id)

    assert (code, out.count("will be dropped"), err.count("no such effect")) == (1, 2, 1)
    assert len(await orders(home)) == 2


@pytest.mark.parametrize(("deed", "ids"), [("list", ["x"]), ("show", []), ("resend", [])])
def test_ids_that_are_missing_or_too_many_are_a_wrong_usage(imbot, deed, ids):
    assert imbot(deed, *ids)[0] == 2


def test_a_store_that_is_not_there_is_no_store(home, imbot):
    (home / "store.db").unlink()
    with pytest.raises(StoreError, match="there is none yet"):
        imbot("drop", LOST.effect_id)


def test_an_older_store_is_left_to_its_next_start(home, imbot):
    import sqlite3

    with sqlite3.connect(home / "store.db") as raw:
        raw.execute("UPDATE meta SET value = '1' WHERE key = 'schema_version'")
    raw.close()
    with pytest.raises(StoreError, match="start `imbot run` once"):
        imbot("drop", LOST.effect_id)


def test_who_acts_for_somebody_else_is_named_with_them(imbot, monkeypatch):
    """Else every order on a server was given by root."""
    monkeypatch.setenv("SUDO_USER", "ann")
    imbot("drop", LOST.effect_id)

    assert f"drop by ann as {ME}" in imbot("list")[1]


def test_a_user_without_a_name_has_a_number(imbot, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_001)
    imbot("drop", LOST.effect_id)

    assert "drop by user 4000000001" in imbot("list")[1]


@pytest.mark.parametrize("operation", list(Operation))
def test_only_what_needs_no_session_is_sent_again_without_it(operation):
    one = LOST._replace(operation=operation.value)

    assert why_not_resent(one, is_over=False) == ""
    assert bool(why_not_resent(one, is_over=True)) is (operation is not Operation.INITIATE)


def test_what_imbot_cannot_repeat_is_left_to_the_person():
    assert "how to repeat own.call" in why_not_resent(
        LOST._replace(operation="own.call"), is_over=False
    )
