"""What is erased is gone from the bytes of the store, and nothing is said twice for it."""

import asyncio
import json
import sqlite3
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.cli.erasing import erase
from imbot.errors import StoreError
from imbot.records import Audited
from imbot.store.erasing import Eraser, Number, Whom
from imbot.store.looking import look
from tests.flow.stage import GWS

NUMBER = "+4915123456789"
SPELLED = ("+49 151 23456789", "0151/23456789", "4915123456789", "0049-151-23456789")
OTHER = "+4917000000000"
CANARY = "my name is Rumpelstiltskin"

RULES = """
version: 1
rules:
  - id: greet
    trigger: {state: Talking}
    once: participant
    do: [{reply: "Hello, {{ participant.phoneNumber }}"}]
  - id: answer
    trigger: {message: any}
    key: participant.phoneNumber
    do:
      - set: {from: "{{ participant.phoneNumber }}", said: "{{ message.text }}"}
      - wait: 1s
      - reply: "You said: {{ message.text }}"
      - log: "{{ participant.phoneNumber }}"
"""


def kept(stage):
    """Return what is on disk, the write-ahead log too."""
    paths = sorted(stage.folder.glob("imbot.db*"))
    return b"".join(path.read_bytes() for path in paths).decode("utf-8", "replace")


def settings(stage):
    """Write the settings for commands."""
    told = {
        "gws": {"url": f"http://{GWS}"},
        "agents": [{"user": "bot1", "password": "pw"}],
        "rules": [],
        "store": "sqlite:///imbot.db",
    }
    path = stage.folder / "imbot.yaml"
    path.write_text(json.dumps(told))
    return path


async def talk(stage, number, *texts, hangs_up=True):
    call = stage.ring(number)
    await stage.seconds(2)
    for text in texts:
        call.say(text)
        await stage.seconds(5)
    if hangs_up:
        call.hang_up()
        await stage.seconds(2)
    return call


@pytest.mark.looptime(noop_cycles=1)
async def test_a_number_is_erased_to_the_last_byte_and_greeted_no_second_time(stage, capsys):
    rules = stage.folder / "rules.yaml"
    rules.write_text(RULES)
    imbot = await stage.start(rules)
    await talk(stage, NUMBER, CANARY, "my number is 0151 23456789")
    await talk(stage, OTHER, f"call my friend at {SPELLED[1]}", "and I am Otto")
    await talk(stage, NUMBER, CANARY)
    await stage.seconds(100)
    await imbot.stop()
    before = kept(stage)
    assert CANARY in before
    assert NUMBER in before

    path = settings(stage)
    code = await asyncio.to_thread(erase, SPELLED[0], None, path, is_sure=True)

    after = kept(stage)
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    assert "Erased: 2 sessions" in out
    assert [c for c in (CANARY, NUMBER, *SPELLED, "15123456789", "23456789") if c in after] == []
    assert OTHER in after
    assert "and I am Otto" in after
    looked = look("sqlite:///imbot.db", base=stage.folder)
    assert not looked.damaged

    imbot = await stage.start(rules)
    again = await talk(stage, NUMBER, "hello again")
    other = await talk(stage, OTHER)
    assert again.heard == ["You said: hello again"]
    assert other.heard == []
    await imbot.stop()


@pytest.mark.looptime(noop_cycles=1)
async def test_a_session_is_erased_alone(stage, capsys):
    rules = stage.folder / "rules.yaml"
    rules.write_text(RULES)
    imbot = await stage.start(rules)
    first = await talk(stage, NUMBER, CANARY)
    second = await talk(stage, NUMBER, "and my cat is Mephisto")
    await imbot.stop()

    code = await asyncio.to_thread(erase, None, first.id, settings(stage), is_sure=True)

    assert code == 0
    assert CANARY not in kept(stage)
    assert "Mephisto" in kept(stage)
    assert second.id in kept(stage)
    assert not look("sqlite:///imbot.db", base=stage.folder).damaged
    assert "1 sessions" in capsys.readouterr().out


@pytest.mark.looptime(noop_cycles=1)
async def test_the_audit_trail_tells_of_the_erased_no_more(stage):
    """Whoever steers writes why, and may name the number or the session; that they did stays."""
    rules = stage.folder / "rules.yaml"
    rules.write_text(RULES)
    imbot = await stage.start(rules)
    call = await talk(stage, NUMBER, CANARY)
    told = [f'PUT /api/v1/halt {{"why":"{SPELLED[0]} complains"}}', f"POST /api/v1/x/{call.id}"]
    told.append(f'PUT /api/v1/halt {{"why":"{OTHER} complains"}}')
    await imbot.app.dispatch._store.commit(
        [Audited(stage.clock.now(), "alice", "operate", "::1", each, 200) for each in told]
    )
    await imbot.stop()

    assert await asyncio.to_thread(erase, NUMBER, None, settings(stage), is_sure=True) == 0

    with stage.views() as views:
        entries = views.audit()
    assert [(each.who, each.request) for each in entries] == [
        ("alice", f'PUT /api/v1/halt {{"why":"{OTHER} complains"}}'),
        ("alice", "POST /api/v1/x/[erased]"),
        ("alice", 'PUT /api/v1/halt {"why":"[erased] complains"}'),
    ]
    assert [written for written in SPELLED if written in kept(stage)] == []
    assert not look("sqlite:///imbot.db", base=stage.folder).damaged


@pytest.mark.looptime(noop_cycles=1)
async def test_what_is_not_over_stays_and_is_told(stage, capsys):
    rules = stage.folder / "rules.yaml"
    rules.write_text(RULES)
    imbot = await stage.start(rules)
    await talk(stage, NUMBER, CANARY)
    call = await talk(stage, NUMBER, "I am still here", hangs_up=False)
    with pytest.raises(StoreError, match="another imbot uses it"):
        Eraser(stage.folder / "imbot.db", datetime.now(UTC))
    imbot.kill()
    await imbot.end()

    code = await asyncio.to_thread(erase, NUMBER, None, settings(stage), is_sure=True)

    assert code == 1
    assert CANARY not in kept(stage)
    assert "I am still here" in kept(stage)
    assert f"session {call.id} of bot1: it is not over" in capsys.readouterr().err
    imbot = await stage.start(rules)
    await stage.seconds(60)
    call.say("go on")
    await stage.seconds(5)
    assert call.heard == ["You said: I am still here", "You said: go on"]
    await imbot.stop()


@pytest.mark.looptime(noop_cycles=1)
async def test_a_session_that_has_just_ended_stays(stage):
    """Its last echoes may be under way, and must be known."""
    rules = stage.folder / "rules.yaml"
    rules.write_text(RULES)
    imbot = await stage.start(rules)
    await talk(stage, NUMBER, CANARY)
    await imbot.stop()

    with Eraser(stage.folder / "imbot.db", stage.clock.now()) as eraser:
        found = eraser.erase(Whom(Number(NUMBER, "DE")))

    assert not found.sessions
    assert "only just ended" in found.kept[0]


@pytest.mark.looptime(noop_cycles=1)
async def test_what_is_parked_stays(stage):
    rules = stage.folder / "rules.yaml"
    rules.write_text(RULES)
    imbot = await stage.start(rules)
    stage.faults(hang_after=1.0, no_echo=1.0)
    call = await talk(stage, NUMBER, CANARY, hangs_up=False)
    await stage.seconds(1000)
    call.hang_up()
    await stage.seconds(100)
    parked = imbot.app.health().parked
    await imbot.stop()

    with Eraser(stage.folder / "imbot.db", datetime.now(UTC)) as eraser:
        found = eraser.erase(Whom(Number(NUMBER, "DE")))

    assert parked
    assert "imbot parked" in found.kept[0]
    assert not found.sessions


@pytest.mark.looptime(noop_cycles=1)
async def test_a_damaged_row_does_not_become_sound_by_it(stage):
    rules = stage.folder / "rules.yaml"
    rules.write_text(RULES)
    imbot = await stage.start(rules)
    await talk(stage, NUMBER, CANARY)
    await imbot.stop()
    database = sqlite3.connect(stage.folder / "imbot.db")
    database.execute("UPDATE sessions SET state = 'Talking', completed_at = completed_at")
    database.commit()
    database.close()

    with (
        Eraser(stage.folder / "imbot.db", datetime.now(UTC)) as eraser,
        pytest.raises(StoreError, match="not as it was written"),
    ):
        eraser.erase(Whom(Number(NUMBER, "DE")))

    assert CANARY in kept(stage)


@pytest.mark.looptime(noop_cycles=1)
async def test_it_is_asked_before_and_copies_are_told(stage, capsys, monkeypatch):
    rules = stage.folder / "rules.yaml"
    rules.write_text(RULES)
    imbot = await stage.start(rules)
    await talk(stage, NUMBER, CANARY)
    await imbot.stop()
    (stage.folder / "imbot.db.replaced-20260101T000000").write_bytes(b"")
    path, answers = settings(stage), [False]
    monkeypatch.setattr("typer.confirm", lambda _question: answers.pop())

    assert await asyncio.to_thread(erase, NUMBER, None, path, is_sure=False) == 1
    assert CANARY in kept(stage)
    assert await asyncio.to_thread(erase, OTHER, None, path, is_sure=False) == 0
    out, err = capsys.readouterr()
    assert "Nothing to be erased" in out
    assert "replaced-20260101T000000 may be a copy" in err
    assert await asyncio.to_thread(erase, "nobody", None, path, is_sure=True) == 2
    assert answers == []


@pytest.mark.looptime(noop_cycles=1)
async def test_another_session_that_lives_and_mentions_the_number_stays(stage, capsys):
    """What its rules wait for, and its echoes, are compared by what is kept."""
    rules = stage.folder / "rules.yaml"
    rules.write_text(RULES.replace("wait: 1s", "wait: 1d"))
    imbot = await stage.start(rules)
    await talk(stage, NUMBER, CANARY)
    await talk(stage, OTHER, f"call {SPELLED[1]}", hangs_up=False)
    imbot.kill()
    await imbot.end()

    assert await asyncio.to_thread(erase, NUMBER, None, settings(stage), is_sure=True) == 1

    assert CANARY not in kept(stage)
    assert SPELLED[1] in kept(stage)
    assert "mentions the number and is not over" in capsys.readouterr().err


def test_whom_to_erase_is_named_once(capsys):
    assert erase(None, None, None, is_sure=True) == 2
    assert erase(NUMBER, "s1", None, is_sure=True) == 2
    assert "imbot erase --number" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "abc", "12a", "+", "'; DROP TABLE events"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(ValueError, match="is no phone number"):
        Number(text, "DE")


@pytest.mark.parametrize("spelled", [NUMBER, *SPELLED, "(0151) 2345 67 89", "+49 (0)151 23456789"])
def test_a_number_is_known_however_it_is_written(spelled):
    for number in (Number(NUMBER, "DE"), Number(spelled, "DE")):
        assert number.is_meant(spelled)
        assert number.without(f"a {spelled}, b") == "a [erased], b"


def test_another_number_is_another():
    number = Number(NUMBER, "DE")

    assert not number.is_in("+49151234567890 14915123456789 +4915123456788 0251 23456789")
    assert number.without({"a": [4915123456789, 5, True, None]}) == {
        "a": ["[erased]", 5, True, None]
    }
    assert not Number("3001", "DE").is_in("3001")
    assert Number("3001", "DE").is_meant("3001")


@given(st.text(st.sampled_from("0123456789+ ()-/."), min_size=1), st.text())
def test_any_number_and_any_text_can_be_compared(text, other):
    try:
        number = Number(text, "DE")
    except ValueError:
        return

    assert isinstance(number.without(other), str)
    assert number.is_meant(other) in {True, False}
