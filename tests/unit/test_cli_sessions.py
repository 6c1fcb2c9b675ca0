"""``imbot sessions``: what people read about what is and was."""

import json
import re
from dataclasses import replace

import pytest

from imbot.cli.sessions import sessions
from imbot.model import EventKind, Reason, Suppressed
from imbot.records import (
    EchoSeen,
    EffectState,
    EventHandled,
    EventSeen,
    GapSeen,
    OrderGiven,
    OrderKind,
    OrderTaken,
    RunState,
)
from imbot.store.database import open_store
from tests.unit.store_samples import (
    T0,
    StoppedClock,
    after,
    event,
    intent,
    message,
    run,
    seen,
    verdict,
)

SETTINGS = {
    "gws": {"url": "http://gws.test"},
    "agents": [{"user": "bot1", "password": "${env:PW}"}],
    "store": "sqlite:///store.db",
}
CHANGED = {"tier": {"old": "basic", "new": "gold"}, "gone": {"old": "x"}, "note": {"new": ""}}


def userdata(number, changed, *, own=False, at=T0):
    made = event(number, kind=EventKind.USERDATA, at=at, changed=changed)
    return EventSeen(replace(made, own=own))


@pytest.fixture
async def home(tmp_path, monkeypatch):
    """A folder with settings and a store: a session with a long story, and one with trouble."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PW", "pw")
    (tmp_path / "imbot.yaml").write_text(json.dumps(SETTINGS))
    store = open_store(SETTINGS["store"], clock=StoppedClock(), base=tmp_path, executor="inline")
    said, tagged, lost = intent(1), intent(2), intent(3, session_id="s2")
    tagged = tagged._replace(action="set", echo=None, payload={"greeted": "yes"})
    await store.commit(
        [
            seen("s1", talking_at=T0),
            EventSeen(event(1)),
            EventHandled(
                "bot1-1", after(1), ("greet",), (Suppressed("bye", Reason.ONCE, "acted already"),)
            ),
            said,
            verdict(said, EffectState.ACCEPTED, at=after(0.25)),
            EchoSeen(said.effect_id, after(0.5)),
            tagged,
            verdict(tagged, EffectState.ACCEPTED, at=after(0.5)),
            run(1, RunState.DONE, at=after(2)),
            userdata(4, CHANGED, at=after(3)),
            userdata(5, {"imbot.auto.imbot.bot1": {"new": "1"}}, own=True, at=after(4)),
            EventSeen(replace(message(6, "hi \x1b[2J\nthere"), received_at=after(5))),
            seen("s2", first_seen_at=after(10), completed_at=after(20)),
            lost,
            run(3, RunState.FAILED, session_id="s2", at=after(12)),
            verdict(lost, EffectState.PARKED, at=after(12), detail="no echo came"),
            OrderGiven(lost.effect_id, OrderKind.RESEND, "ann", after(14)),
            OrderTaken(1, after(15), "session s2 of bot1 is over"),
            OrderGiven(lost.effect_id, OrderKind.DROP, "bob", after(16)),
            GapSeen("bot1", ("s2",), "a poll was lost", after(11), after(13.5)),
        ]
    )
    await store.close()
    return tmp_path


@pytest.fixture
def shown(home, capsys):  # noqa: ARG001  where commands run
    """Run the command; return its exit code and the cells of each line."""

    def show(session=None, *, agent=None):
        code = sessions(session, None, agent=agent, limit=50, as_json=False)
        return code, [line.split("\t") for line in capsys.readouterr().out.splitlines()]

    return show


def test_a_session_stands_on_one_line_and_only_replies_count_as_replies(shown):
    """User data that was set is no reply."""
    code, (columns, troubled, served) = shown()

    assert code == 0
    assert columns[:4] == ["agent", "session", "number", "state"]
    assert served[:4] == ["bot1", "s1", "+49 30 1", "Talking"]
    assert columns[6:] == ["messages", "replies", "parked", "gaps"]
    assert served[6:] == ["1", "1", "", ""]
    assert troubled[7] == "0"


def test_parked_replies_stand_there_with_their_text_and_gaps_with_their_reason(shown):
    """These are what a person must look at."""
    _, (columns, troubled, _) = shown()
    row = dict(zip(columns, troubled, strict=True))

    assert row["parked"] == "reply “Hello”: no echo came"
    assert re.fullmatch(r"2\.5 s from \d\d:\d\d:11: a poll was lost", row["gaps"])


def test_the_story_of_a_session_tells_what_happened_why_and_why_not(shown):
    code, lines = shown("s1")

    assert code == 0
    assert lines[0] == ["when", "agent", "what", "details"]
    assert {line[1] for line in lines[1:]} == {"bot1"}
    assert [line[2:] for line in lines[1:]] == [
        ["state", "Talking"],
        ["reply of greet", "“Hello” confirmed after 250 ms, echo after 500 ms"],
        ["set of greet", "greeted: yes accepted after 500 ms"],
        ["rule greet", "runs"],
        ["rule bye", "does not run: once, acted already"],
        ["run greet", "done"],
        ["userdata", 'tier: basic → gold, gone: x → removed, note: ""'],
        ["rule", "not decided yet"],
        ["message", "“hi \\x1b[2J\\nthere”"],
        ["rule", "not decided yet"],
    ]


def test_the_story_of_a_session_has_its_gaps_and_what_was_ordered(shown):
    """Whoever wonders why it was said twice finds out who wanted that."""
    _, lines = shown("s2")

    assert [line[2:] for line in lines[1:]] == [
        ["reply of greet", "“Hello” parked after 12000 ms: no echo came"],
        ["gap", "2.5 s, messages may be lost: a poll was lost"],
        ["run greet", "failed"],
        ["reply of greet", "resend ordered by ann"],
        ["reply of greet", "resend ordered by ann refused: session s2 of bot1 is over"],
        ["reply of greet", "drop ordered by bob"],
    ]


def test_a_session_that_is_not_there_is_told(home, capsys):  # noqa: ARG001
    assert sessions("s9", None, agent="bot1", limit=5, as_json=False) == 1
    assert "there is no session s9 of bot1 in sqlite:///store.db" in capsys.readouterr().err


def test_json_has_moments_in_utc_and_lists_as_lists(home, capsys):  # noqa: ARG001
    sessions(None, None, agent="bot1", limit=1, as_json=True)

    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert row["began"] == after(10).isoformat()
    assert row["parked"] == ["reply “Hello”: no echo came"]
    assert row["replies"] == 0


def test_on_a_terminal_it_is_a_table(home, capsys, monkeypatch):  # noqa: ARG001
    """Read by eyes, not by programs."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")

    sessions("s1", None, agent=None, limit=5, as_json=False)

    out = capsys.readouterr().out
    assert "Session s1 of bot1, +49 30 1" in out
    assert "\t" not in out
    assert "\x1b[2J" not in out
