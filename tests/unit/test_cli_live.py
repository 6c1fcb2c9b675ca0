"""What the demo shows, what it counts, and what the daemon writes to its log."""

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from structlog.testing import capture_logs

from imbot.cli.demo import ShiftedClock, _until_office_hours
from imbot.cli.liveview import LiveView, Tally
from imbot.cli.sightlog import log_sight
from imbot.engine.planning import Plan, Start
from imbot.engine.stepping import Over
from imbot.engine.watching import Acted, Decided, Echoed, Ended, Happened, Logged
from imbot.model import (
    EventKind,
    Outcome,
    OutcomeKind,
    Reason,
    SessionKey,
    Step,
    Suppressed,
)
from imbot.records import RunState
from tests.unit.rulebooks import rule
from tests.unit.store_samples import T0, StoppedClock, event, message

RULE = rule("    do: [{reply: hi}]\n", rule_id="greet")
TALKING = event(1, session_id="ABCDEFGH")
START = Start(RULE, TALKING, "bot1-1/greet", "k")
REPLY = Step("bot1-1/greet/0", "reply", {"text": "Hello", "to": None}, place="r.yaml:5:9")
DONE = Outcome(REPLY.key, OutcomeKind.DONE)
NO = Suppressed("bye", Reason.ONCE, "acted already")
KEY = SessionKey("bot1", "ABCDEFGH")


@pytest.fixture
def lines(monkeypatch):
    """Show what is seen, without colours."""
    monkeypatch.setenv("NO_COLOR", "1")
    view = LiveView(StoppedClock(), ZoneInfo("UTC"), width=80)
    return lambda *sights: [line for sight in sights for line in view.lines(sight)]


def test_each_stage_of_an_event_stands_on_a_line_of_its_own(lines):
    """Event, rule, action, echo: the way through the house, to be watched."""
    shown = lines(
        Happened(TALKING),
        Decided(Plan(TALKING, (START,), (NO,))),
        Acted(START, REPLY, DONE),
        Logged(START, "two\nlines"),
        Echoed("e", KEY),
        Ended(START, Over(RunState.DONE, "", None)),
    )

    assert [line[:20] for line in shown] == ["09:30:00  bot1 EFGH "] * 6
    assert [line[22:] for line in shown] == [
        "event   state of +49 30 1: Talking",
        "rule    greet",
        "rule    bye does not run: once, acted already",
        "action  reply “Hello”",
        "log     two\\nlines",
        "echo    what we said came back",
    ]


def test_what_went_wrong_and_what_came_out_is_shown(lines):
    parked = DONE._replace(kind=OutcomeKind.PARKED, detail="no echo came")
    found = DONE._replace(result={"found": True})
    lookup = REPLY._replace(action="crm.lookup", args={})

    assert [
        line[30:] for line in lines(Acted(START, REPLY, parked), Acted(START, lookup, found))
    ] == [
        "reply “Hello” parked: no echo came",
        "crm.lookup → {found: true}",
    ]


def test_our_own_user_data_is_an_echo_and_marks_are_not_shown(lines):
    own = {"greeted": {"new": "yes"}}
    mark = {"imbot.auto.imbot.bot1": {"new": "1"}}
    ours = [replace(event(2, kind=EventKind.USERDATA, changed=c), own=True) for c in (own, mark)]

    (line,) = lines(*map(Happened, ours))
    assert line.endswith("echo    what we set came back: greeted: yes")


def test_a_line_never_is_wider_than_the_terminal(lines):
    shown = lines(Happened(message(1, "x" * 500)), Logged(START, "y" * 500))

    assert [len(line) for line in shown] == [80, 80]


def test_an_event_without_a_session_names_the_agent(lines):
    lost = event(3, kind=EventKind.CONNECTION, session_id=None, change="lost", seconds=0.0)

    assert lines(Happened(lost)) == ["09:30:00  bot1        event   connection: lost, 0.0 s"]


def test_colours_do_not_count_and_end_where_they_began(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)

    (line,) = LiveView(StoppedClock(), ZoneInfo("UTC"), width=40).lines(Logged(START, "y" * 99))

    assert line.count("\x1b[") == 2 * line.count("\x1b[0m")


# The summary ----------------------------------------------------------------------------------


def test_the_tally_counts_and_knows_whom_nobody_served():
    tally = Tally()
    other = event(2, session_id="other")
    for sight in (
        Happened(TALKING),
        Happened(other),
        Happened(message(3, "hi")),
        Acted(START, REPLY, DONE),
        Acted(START, REPLY, DONE._replace(kind=OutcomeKind.PARKED)),
        Echoed("e", KEY),
        Decided(Plan(TALKING)),
    ):
        tally.see(sight)

    assert tally.unserved(T0 + timedelta(seconds=4)) == []
    assert tally.unserved(T0 + timedelta(seconds=6)) == [SessionKey("bot1", "other")]
    assert tally.summary() == (
        "2 sessions, 1 served: 1 replies, 1 echoes, 0 tags, 0 completed, 1 parked, 0 failed."
    )


def test_whom_the_bot_has_called_need_not_be_served():
    tally = Tally()
    begun = DONE._replace(result={"agent": "bot1", "id": "out"})
    tally.see(Happened(event(1, session_id="out")))
    tally.see(Acted(START, REPLY._replace(action="initiate"), begun))

    assert tally.unserved(T0 + timedelta(seconds=6)) == []


@pytest.mark.parametrize(
    ("moment", "due"),
    [
        ("2026-03-02T09:00:00+01:00", "2026-03-02T09:00:00+01:00"),
        ("2026-03-02T03:10:00+01:00", "2026-03-02T08:10:00+01:00"),
        ("2026-03-06T16:00:00+01:00", "2026-03-09T08:00:00+01:00"),
    ],
)
def test_the_demo_happens_in_office_hours(moment, due):
    """Whoever tries it at night wants to be greeted, too."""
    now = T0.fromisoformat(moment)

    assert now + _until_office_hours(now) == T0.fromisoformat(due)
    assert ShiftedClock(timedelta(hours=5)).now() > ShiftedClock(timedelta()).now()


# The log --------------------------------------------------------------------------------------


def logged(*sights):
    with capture_logs() as entries:
        for sight in sights:
            log_sight(sight)
    return [(entry.pop("log_level"), entry.pop("event"), entry) for entry in entries]


def test_what_a_rule_logs_is_in_the_log_with_where_it_was():
    """It is all that some rules do."""
    run = {"rule": "greet", "agent": "bot1", "session": "ABCDEFGH"}

    assert logged(Logged(START, "seen")) == [("info", "rule.log", {**run, "text": "seen"})]


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        (OutcomeKind.DONE, "debug"),
        (OutcomeKind.WITHHELD, "info"),
        (OutcomeKind.CANCELLED, "info"),
        (OutcomeKind.FAILED, "warning"),
        (OutcomeKind.PARKED, "warning"),
    ],
)
def test_trouble_with_a_step_is_a_warning(kind, level):
    """An operator who reads warnings only must meet each reply that was not said."""
    ((found, name, facts),) = logged(Acted(START, REPLY, DONE._replace(kind=kind, detail="why")))

    assert (found, name) == (level, f"step.{kind}")
    assert facts["action"] == "reply"
    assert "Hello" not in str(facts)


def test_the_rest_is_for_debugging():
    names = [
        (level, name)
        for level, name, _ in logged(
            Happened(TALKING),
            Happened(replace(TALKING, session=None)),
            Decided(Plan(TALKING, (START,), (NO,))),
            Ended(START, Over(RunState.DONE, "", None)),
            Echoed("e", KEY),
        )
    ]

    assert names == [
        ("debug", "event.seen"),
        ("debug", "event.seen"),
        ("debug", "rule.starts"),
        ("debug", "rule.suppressed"),
        ("debug", "run.ended"),
    ]
