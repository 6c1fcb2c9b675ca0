"""What people are told of rules in shadow: by commands, in the log, while somebody watches."""

import asyncio
import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from imbot.cli.liveview import LiveView
from imbot.cli.root import cli
from imbot.cli.sightlog import log_sight
from imbot.engine.planning import Plan, Start
from imbot.engine.watching import Acted, Decided
from imbot.loading import Wanted, compile_kept, make_rulebook
from imbot.model import Outcome, OutcomeKind, Reason, Step, Suppressed
from imbot.pluginhost import PluginSettings, find_plugins
from imbot.records import RuleSeen
from imbot.rulebook.stored import compile_stored, in_shadow
from imbot.store.database import open_store
from imbot.testing.house import build, rulebook_of
from imbot.testing.time import START, LoopClock
from imbot.testing.virtual_loop import VirtualLoop
from tests.unit.rulebooks import ACTIONS, rule
from tests.unit.store_samples import T0, StoppedClock, event

RULES = """version: 1
rules:
  - id: greet
    shadow: true
    trigger: {state: Talking}
    once: session
    budget: {per_session: 9}
    do:
      - reply: Hello
      - http: {post: "https://crm.test/x", json: {a: 1}}
      - initiate: {to: "3009", userData: {why: survey}}
  - id: bye
    trigger: {message: {equals: bye}}
    do: [{reply: Bye}]
"""
LIVE = RULES.replace("    shadow: true\n", "")
SETTINGS = {
    "gws": {"url": "http://gws.test"},
    "agents": [{"user": "bot1", "password": "pw"}],
    "store": "sqlite:///store.db",
    "rules": ["rules.yaml"],
    "http": {"allow": ["https://crm.test"]},
    "timezone": "Europe/Berlin",
}
TEST = """rules: [rules.yaml]
tests:
  - name: greeting
    events:
      - {at: 0s, session: s1, state: Talking}
    expect: []
"""


async def happen(rules):
    """Let a session happen, and keep it in the store."""
    clock = LoopClock(START)
    store = open_store(SETTINGS["store"], clock=clock, base=Path(), executor="inline")
    house = build(rules, store=store, clock=clock)
    store.note([RuleSeen(r.version, r.id, r.place.path, r.source) for r in house.book.rules])
    await house.state("Talking")
    await clock.sleep(1)
    await house.say("bye")
    await house.stop()
    await store.close()


@pytest.fixture
def imbot(tmp_path, monkeypatch):
    """A folder in which imbot has run; a function that runs a command there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imbot.yaml").write_text(json.dumps(SETTINGS))
    (tmp_path / "rules.yaml").write_text(RULES)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(happen(RULES))

    def run(*words, code=0):
        result = CliRunner().invoke(cli, words)
        assert result.exit_code == code, (result.output, result.exception)
        return result.stdout

    run.home = tmp_path
    return run


@pytest.mark.parametrize(
    "words", [("sessions", "s1"), ("explain", "--session", "s1"), ("trace", "s1")]
)
def test_the_story_of_a_session_tells_what_would_have_been_done(imbot, words):
    told = imbot(*words)

    for line in (
        "rule greet\truns in shadow: shadow: true, nothing is sent",
        "reply of greet\tshadow: would reply “Hello”",
        "http of greet\tshadow: would http POST https://crm.test json: {a: 1}",
        "initiate of greet\tshadow: would initiate to: 3009, userData: {why: survey}",
        "run greet\tin shadow done",
        "rule bye\truns",
    ):
        assert line in told
    assert told.count("shadow: would") == 3


def test_explain_tells_that_it_ran_or_would_run_in_shadow(imbot):
    (imbot.home / "e.json").write_text('{"kind": "state", "session": {}, "spent": []}')

    assert "greet\twould run in shadow\tshadow\tshadow: true, nothing is sent" in imbot(
        "explain", "e.json"
    )
    assert "greet\tran in shadow\tshadow\tshadow: true, nothing is sent" in imbot(
        "explain", "--event", "bot1:1"
    )
    (imbot.home / "rules.yaml").write_text(RULES.replace("id: bye", "id: ciao\n    shadow: true"))
    assert "ciao\twould run in shadow now" in imbot("explain", "--event", "bot1:2")


def test_what_it_would_have_done_is_counted_for_it_alone(imbot):
    """By explain as by the engine."""
    again = RULES.replace("trigger: {state: Talking}", "trigger: {message: any}")
    again = again.replace("    once: session\n", "").replace("per_session: 9", "per_session: 2")
    (imbot.home / "rules.yaml").write_text(again)
    told = imbot("explain", "--event", "bot1:2")
    assert "greet\tdid not run\tbudget\t2 effects in this session, the rule's budget is 2" in told
    (imbot.home / "rules.yaml").write_text(again.replace("    shadow: true\n", ""))
    assert "greet\twould run now" in imbot("explain", "--event", "bot1:2")


def test_rules_that_are_in_shadow_by_the_settings_say_so(imbot):
    settings = json.dumps({**SETTINGS, "shadow": True})
    (imbot.home / "imbot.yaml").write_text(settings)
    (imbot.home / "rules.yaml").write_text(LIVE)
    (imbot.home / "e.json").write_text('{"kind": "state", "session": {}}')

    assert json.loads(imbot("rules", "--json").splitlines()[0])["flags"] == ["shadow"]
    assert "greet\twould run in shadow" in imbot("explain", "e.json")


def test_an_effect_in_shadow_is_none_for_tests(imbot):
    """The settings do not count: a test is about what the rules do."""
    (imbot.home / "x.test.yaml").write_text(TEST)
    settings = json.dumps({**SETTINGS, "shadow": True})
    (imbot.home / "imbot.yaml").write_text(settings)

    imbot("test", "x.test.yaml")
    assert "rule 'greet'" not in imbot("test", "x.test.yaml", "--coverage")
    (imbot.home / "rules.yaml").write_text(LIVE)
    assert "rule 'greet'" in imbot("test", "x.test.yaml", code=1)


def test_a_test_that_waits_for_an_effect_in_shadow_is_told_why(imbot):
    wanting = TEST.replace("expect: []", "expect: [{at: 0s, reply: Hello}]")
    (imbot.home / "x.test.yaml").write_text(wanting)

    assert "shadow: true, nothing is sent" in imbot("test", "x.test.yaml", code=1)


def test_a_trace_of_a_rulebook_in_shadow_is_a_test_of_what_it_would_do(imbot):
    """What was watched in shadow is kept as a test, and goes live with it."""
    (imbot.home / "store.db").unlink()
    book = rulebook_of(LIVE)
    book = replace(book, rules=tuple(map(in_shadow, book.rules)))
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(happen(book))
    (imbot.home / "rules.yaml").write_text(LIVE)
    (imbot.home / "imbot.yaml").write_text(json.dumps({**SETTINGS, "shadow": True}))

    (imbot.home / "s1.test.yaml").write_text(imbot("trace", "s1", "--as-test"))
    imbot("test", "s1.test.yaml")


# While it runs ----------------------------------------------------------------------------------

RULE = replace(rule("    do: [{reply: hi}]\n", rule_id="greet"), shadow=True)
RUN = Start(RULE, event(1), "bot1-1/greet", "k", in_shadow=True)
REPLY = Step("bot1-1/greet/0", "reply", "Hello", place="r.yaml:5:9")
WOULD = Outcome(REPLY.key, OutcomeKind.SHADOW)
PLAN = Plan(event(1), (RUN,), (Suppressed("greet", Reason.SHADOW, "shadow: true"),))


def test_the_log_has_a_line_for_each_step_and_no_text():
    with capture_logs() as lines:
        log_sight(Decided(PLAN))
        log_sight(Acted(RUN, REPLY, WOULD))

    assert [(line["event"], line["log_level"], line["shadow"]) for line in lines] == [
        ("rule.starts", "debug", True),
        ("step.shadow", "info", True),
    ]
    assert "Hello" not in str(lines)


def test_whoever_watches_sees_it_told_apart(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    view = LiveView(StoppedClock(), ZoneInfo("UTC"))

    shown = [*view.lines(Decided(PLAN)), *view.lines(Acted(RUN, REPLY, WOULD))]

    assert [line[22:] for line in shown] == [
        "rule    greet in shadow: nothing is sent",
        "action  shadow: would reply “Hello”",
    ]


# Versions ---------------------------------------------------------------------------------------


def test_a_rule_in_shadow_by_the_settings_is_a_version_that_can_be_made_again():
    """So that a restart knows that what began with it was in shadow."""
    [live, _] = rulebook_of(LIVE).rules
    shadow = in_shadow(live)

    made = compile_stored(shadow.source, ACTIONS, today=date(2026, 3, 1))
    assert shadow.version != live.version
    assert (made.shadow, made.version, made.source) == (True, shadow.version, shadow.source)
    assert in_shadow(shadow) is shadow


def test_with_settings_in_shadow_no_kept_version_acts():
    [live, _] = rulebook_of(LIVE).rules
    kept = RuleSeen(live.version, live.id, "rules.yaml", live.source)
    shaded = kept._replace(source=in_shadow(live).source)
    compiled = compile_kept(ACTIONS, today=date(2026, 3, 1), shadow=True)

    assert compiled(kept) is None
    assert compiled(shaded).shadow
    assert compile_kept(ACTIONS, today=date(2026, 3, 1))(kept) is not None


def test_what_is_wrong_with_rules_that_act_is_wrong_with_them_in_shadow(tmp_path):
    """Two rules that answer the same are told before they are tried, too."""
    path = tmp_path / "rules.yaml"
    second = LIVE[LIVE.index("  - id: greet") :].replace("greet", "greet2").replace("bye", "by2")
    path.write_text(LIVE + second)
    plugins = find_plugins(PluginSettings(), with_options=False)

    book, problems = make_rulebook([path], Wanted(plugins, shadow=True), today=T0.date())

    assert book is None
    assert any(each.code == "double-reply" for each in problems)
