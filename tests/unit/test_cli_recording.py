"""``imbot record``, ``replay``, ``trace`` and ``explain`` on one store, as people use them."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from imbot.cli.recording import moment
from imbot.cli.root import cli
from imbot.errors import ImbotError
from imbot.model import MessageNotice
from imbot.records import RuleSeen
from imbot.store.database import open_store
from imbot.testing.house import build
from imbot.testing.time import LoopClock
from imbot.testing.virtual_loop import VirtualLoop

SETTINGS = {
    "gws": {"url": "http://gws.test"},
    "agents": [{"user": "bot1", "password": "${env:PW}"}],
    "store": "sqlite:///store.db",
    "rules": ["rules.yaml"],
    "bot": {"nickname": "Robin"},
    "timezone": "Europe/Berlin",
    "http": {"allow": ["https://crm.test"]},
    "secrets": {"TOKEN": "${env:PW}"},
}
RULES = """version: 1
rules:
  - id: greet
    trigger: {state: Talking}
    once: session
    do: [{reply: "Hello, I am {{ bot.nickname }}"}, {set: {greeted: "yes"}}]
  - id: vip
    trigger: {message: any}
    when: session.userData.tier == "gold"
    do: [{reply: At once}]
  - id: bye
    trigger: {message: {equals: bye}}
    once: session
    do: [{reply: /bye/}, {complete: bye}]
"""
START = datetime(2026, 3, 2, 9, tzinfo=UTC)


async def live(rules):
    """Let a session happen, and keep it in the store."""
    clock = LoopClock(START)
    store = open_store(SETTINGS["store"], clock=clock, base=Path(), executor="inline")
    house = build(rules, store=store, clock=clock)
    store.note([RuleSeen(r.version, r.id, r.place.path, r.source) for r in house.book.rules])
    await house.state("Talking")
    await clock.sleep(1)
    await house.say("my name is Smith")
    await clock.sleep(1.5)
    await house.say("bye")
    await house.say("bye")
    await house.state("Completed")
    await store.close()


@pytest.fixture
def imbot(tmp_path, monkeypatch):
    """A folder in which imbot has run; a function that runs a command there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PW", "secret")
    (tmp_path / "imbot.yaml").write_text(json.dumps(SETTINGS))
    (tmp_path / "rules.yaml").write_text(RULES)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(live(RULES.replace("{{ bot.nickname }}", "Robin")))

    def run(*words, code=0):
        result = CliRunner().invoke(cli, words)
        assert result.exit_code == code, (result.output, result.exception)
        return result.stdout

    run.home = tmp_path
    return run


def test_a_recording_has_no_names_unless_it_is_asked_for(imbot):
    assert "Smith" not in imbot("record")
    assert "3002" not in imbot("record", "--with-texts")
    assert "Smith" in imbot("record", "--with-texts")
    assert "3002" in imbot("record", "--no-redact")
    assert imbot("record", "--key", "k") == imbot("record", "--key", "k")


def test_a_recording_can_be_of_a_time_or_a_session(imbot):
    def count(*options):
        return len(imbot("record", *options).splitlines())

    assert count() == 5
    assert count("--since", "2026-03-02T09:00:01+00:00") == 4
    assert count("--until", "2026-03-02T09:00:01+00:00") == 1
    assert count("--session", "s9") == 0


def test_rules_of_today_do_on_a_redacted_day_what_they_did(imbot):
    (imbot.home / "day.jsonl").write_text(imbot("record"))

    lines = imbot("replay", "day.jsonl").splitlines()

    assert [line.split("bot1/s1 ")[1].split(" (")[0] for line in lines] == [
        "reply “Hello, I am Robin”",
        "set greeted: yes",
        "reply “/bye/”",
        "complete “bye”",
    ]


def test_a_changed_rulebook_shows_its_effects_and_ends_with_1(imbot):
    (imbot.home / "day.jsonl").write_text(imbot("record"))
    (imbot.home / "new.yaml").write_text(RULES.replace("/bye/", "ciao"))

    told = imbot("replay", "day.jsonl", "--new", "new.yaml", code=1).splitlines()
    rows = imbot("replay", "day.jsonl", "--new", "new.yaml", "--format", "json", code=1)

    assert [line[0] for line in told] == ["-", "+"]
    assert [(row["change"], row["args"]) for row in map(json.loads, rows.splitlines())] == [
        ("gone", "/bye/"),
        ("new", "ciao"),
    ]
    assert imbot("replay", "day.jsonl", "--old", "rules.yaml") == ""


def test_a_recording_that_is_not_there_is_told(imbot):
    assert CliRunner().invoke(cli, ["replay", "no.jsonl"]).exception.args[0].startswith("no.jsonl")
    del imbot


def test_a_session_becomes_a_test_that_passes(imbot):
    """The whole point: what went well once stays well."""
    (imbot.home / "s1.test.yaml").write_text(imbot("trace", "s1", "--as-test"))

    imbot("test", "s1.test.yaml")


def test_a_trace_says_when_the_rules_would_do_something_else_now(imbot):
    (imbot.home / "rules.yaml").write_text(RULES.replace("{reply: /bye/}, ", ""))

    imbot("trace", "s1", "--as-test", code=1)
    imbot("trace", "s9", "--as-test", code=1)


CALLS = """version: 1
rules:
  - id: call
    trigger: {message: {equals: call}}
    do:
      - initiate: {to: "3009", agent: bot2}
        on_error: [{reply: Later}]
      - reply: You asked for a call
      - wait_for: {message: any}
        timeout: 1h
        as: answer
      - set: {answer: "{{ answer.message.text }}"}
"""


async def calling():
    """Let the bot begin a session in the midst of another."""
    clock = LoopClock(START)
    store = open_store(SETTINGS["store"], clock=clock, base=Path(), executor="inline")
    house = build(CALLS, agents=("bot1", "bot2"), store=store, clock=clock, marks=False)
    await house.start()
    await house.state("Talking")
    await clock.sleep(1)
    with house.table.beginning("bot2"):
        await house.hear(MessageNotice("s1", "call", clock.now()))
        await house.state("Initiating", "n1", agent="bot2", settle=False)
    await clock.sleep(1)
    await house.state("Talking", "n1", agent="bot2", settle=False)
    await clock.sleep(1)
    await house.hear(MessageNotice("n1", "hello", clock.now()), agent="bot2")
    await house.settle()
    await clock.sleep(1)
    await house.state("Completed", "n1", agent="bot2")
    await house.state("Completed")
    await house.stop()
    await store.close()


@pytest.mark.parametrize("session", ["s1", "n1"])
def test_a_session_that_the_bot_began_is_traced_with_what_led_to_it(session, imbot):
    """From both ends: the one in which it was asked for, and the one that it began."""
    (imbot.home / "store.db").unlink()
    (imbot.home / "rules.yaml").write_text(CALLS)
    agents = [{"user": user, "password": "${env:PW}"} for user in ("bot1", "bot2")]
    (imbot.home / "imbot.yaml").write_text(json.dumps({**SETTINGS, "agents": agents}))
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(calling())

    text = imbot("trace", session, "--as-test")
    (imbot.home / "s.test.yaml").write_text(text)

    assert ("You asked for a call" in text) is (session == "n1")
    assert ("answer: hello" in text) is (session == "n1")
    assert "initiate" in text
    imbot("test", "s.test.yaml")
    assert ": session n1 of bot2" in imbot("explain", "--session", "s1")


async def asking(rules):
    """Let a rule wait for an answer."""
    clock = LoopClock(START)
    store = open_store(SETTINGS["store"], clock=clock, base=Path(), executor="inline")
    house = build(rules, store=store, clock=clock, marks=True)
    await house.start()
    await house.state("Talking", settle=False)
    await clock.sleep(1)
    await house.state("Talking", settle=False, **{"imbot.auto.test.bot1": "1"})
    await clock.sleep(1)
    await house.stop()
    await store.close()


def test_the_story_says_what_a_run_waits_for(imbot):
    """Also on a rule that has changed since."""
    rules = """version: 1
rules:
  - id: ask
    trigger: {state: Talking}
    do: [{reply: "1 to 5?"}, {wait_for: {message: {matches: "^[1-5]$"}}, timeout: 5m}]
  - {id: own, trigger: {userdata: [a]}, do: [{log: x}]}
"""
    (imbot.home / "store.db").unlink()
    (imbot.home / "rules.yaml").write_text(rules.replace("1-5", "1-9"))
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(asking(rules))

    story = imbot("explain", "--session", "s1")

    assert "run ask\twaiting until" in story
    assert "run ask\twaits for message matches '^[1-5]$', rules.yaml:5:31" in story
    assert "imbot.auto" not in imbot("explain", "--session", "s1", "--rule", "own")


def test_an_event_of_the_store_is_explained_with_what_was_known_then(imbot):
    story = imbot("explain", "--session", "s1")
    event_id = next(line for line in story.splitlines() if "“bye”" in line).split()[4]

    rows = [line.split("\t") for line in imbot("explain", "--event", event_id).splitlines()[2:]]

    assert [row[:3] for row in rows if row[0]] == [
        ["greet", "did not run", "trigger"],
        ["vip", "did not run", "when"],
        ["bye", "ran", ""],
    ]
    assert "session.userData.tier = <missing>" in rows[1][3]


def test_a_rule_that_ran_is_explained_as_it_was_then(imbot):
    """What it says today is no reason for what it did."""
    when = 'id: bye\n    when: session.id == "s2"'
    (imbot.home / "rules.yaml").write_text(RULES.replace("id: bye", when))
    story = imbot("explain", "--session", "s1")
    event_id = next(line for line in story.splitlines() if "“bye”" in line).split()[4]

    told = imbot("explain", "--event", event_id, "--rule", "bye")

    assert "bye\tran\tversion\tit was " in told
    assert "s2" not in told


def test_the_story_of_a_session_has_considered_rules_and_can_be_about_one(imbot):
    story = imbot("explain", "--session", "s1")
    about = imbot("explain", "--session", "s1", "--rule", "greet")

    assert "rule vip\tdoes not run: when, session.userData.tier" in story
    assert "rule bye\tdoes not run: once, done for session bot1/s1" in story
    assert "vip" not in about
    assert "reply of greet" in about
    assert imbot("trace", "s1") == story


def test_an_event_of_a_recording_is_explained(imbot):
    line = imbot("record").splitlines()[3]
    (imbot.home / "e.json").write_text(line)

    (row,) = imbot("explain", "e.json", "--rule", "bye", "--format", "json").splitlines()

    assert json.loads(row)["verdict"] == "did not run"
    assert json.loads(row)["because"][0]["kind"] == "once"


def test_an_event_by_hand_says_what_would_be(imbot):
    (imbot.home / "e.json").write_text('{"kind": "state", "session": {}}')

    told = imbot("explain", "e.json", "--rules", "rules.yaml")

    assert "greet\twould run\t\trules.yaml:3:9" in told
    assert "bye\twould not run\ttrigger" in told


def test_without_settings_the_rules_beside_are_explained(imbot):
    (imbot.home / "imbot.yaml").unlink()
    (imbot.home / "rules").mkdir()
    (imbot.home / "rules.yaml").rename(imbot.home / "rules" / "rules.yaml")
    (imbot.home / "e.json").write_text('{"kind": "state", "session": {}}')

    assert "greet\twould run" in imbot("explain", "e.json")
    (imbot.home / "day.jsonl").write_text('{"kind": "state", "session": {}}')
    assert "Hello, I am Bot" in imbot("replay", "day.jsonl")


def test_what_cannot_be_explained_is_told(imbot):
    imbot("explain", code=2)
    imbot("explain", "--event", "bot1:99", code=1)
    imbot("explain", "--session", "s9", code=1)
    (imbot.home / "e.json").write_text('{"kind": "state", "session": {}}')
    (imbot.home / "large.json").write_text(" " * 1_100_000)
    for words in (["no.json"], ["large.json"], ["e.json", "--rule", "greed"]):
        error = CliRunner().invoke(cli, ["explain", *words]).exception
        assert isinstance(error, ImbotError)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2h", START - timedelta(hours=2)),
        ("2026-03-02", datetime(2026, 3, 2, tzinfo=ZoneInfo("Europe/Berlin"))),
        ("2026-03-02T09:00:00Z", START),
        (None, None),
    ],
)
def test_moments_are_dates_or_so_long_ago(text, at):
    assert moment(text, START, ZoneInfo("Europe/Berlin")) == at


@pytest.mark.parametrize("text", ["yesterday", "2x", "2026-13-01"])
def test_what_is_no_moment_is_told(text):
    with pytest.raises(ImbotError, match="is no moment; write one such as"):
        moment(text, START, ZoneInfo("UTC"))
