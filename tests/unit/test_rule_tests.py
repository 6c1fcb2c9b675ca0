"""Tests of rules are played, compared and told: what an author may rely on."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imbot.loading import Wanted
from imbot.pluginhost import PluginSettings, find_plugins
from imbot.problems import Place
from imbot.testing.comparing import compare, fits
from imbot.testing.playing import Effect, Played
from imbot.testing.reporting import as_github, as_json, as_junit, as_text, summary
from imbot.testing.rule_tests import Given, rules_among, run_tests, test_files
from imbot.testing.script import Expected, RuleTest
from imbot.testing.script_reading import START

ROOT = Path(__file__).parents[2]
WANTED = Wanted(find_plugins(PluginSettings(), with_options=False), timezone="Europe/Berlin")

GREET = """
version: 1
rules:
  - id: greet
    trigger: {state: Talking}
    once: session
    do:
      - reply: Hello {{ participant.phoneNumber }}, I am {{ bot.nickname }}.
      - set: {greeted: "yes"}
"""


@pytest.fixture
def played(tmp_path, monkeypatch):
    """Write rules and tests, play the tests; return the report."""
    monkeypatch.chdir(tmp_path)

    def play(book, tests, *, head="", coverage=False, more=(), rules="[r.yaml]"):
        Path("r.yaml").write_text(book, encoding="utf-8")
        for name, text in dict(more).items():
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_text(text, encoding="utf-8")
        text = f"rules: {rules}\n{head}\ntests:\n{tests}"
        Path("t.test.yaml").write_text(text, encoding="utf-8")
        return run_tests([Path("t.test.yaml")], Given(WANTED), with_coverage=coverage)

    return play


@pytest.fixture
def passes(played):
    """Play one test; it must pass."""

    def play(book, events, expect, **options):
        report = played(book, one(events, expect), **options)
        assert list(as_text(report))[-1] == "1 test in 1 file: 1 passed, 0 failed", "\n".join(
            as_text(report)
        )

    return play


def one(events, expect, name="t", only=""):
    """Return one test, its events and expectations a line each."""

    def lines(text):
        return (
            "".join(f"      - {line.strip()}\n" for line in text.strip().splitlines()) or "      []"
        )

    head = f"  - name: {name}\n    start: 2026-03-02T09:00:00+01:00\n{only}"
    return f"{head}    events:\n{lines(events)}\n    expect:\n{lines(expect)}\n"


def rules(*found):
    return "version: 1\nrules:\n" + "".join(found)


def rule(trigger, *do, name="r", more=""):
    steps = "".join(f"      - {step}\n" for step in do)
    return f"  - id: {name}\n    trigger: {trigger}\n{more}    do:\n{steps}"


TALKING = "{at: 0s, session: s1, state: Talking}"
GREETING = """{at: 0s, session: s1, reply: "Hello 3002, I am Bot."}
              {at: 0s, session: s1, set: {greeted: "yes"}}"""


# Playing --------------------------------------------------------------------------------------


def test_the_example_of_the_specification_passes(passes):
    """One greeting, although CometD reconnects."""
    passes(
        GREET,
        f"""{TALKING}
        {{at: 3s, connection: lost}}
        {{at: 8s, connection: restored, snapshot: [{{session: s1, state: Talking}}]}}""",
        GREETING,
    )


def test_without_a_snapshot_every_session_is_over(passes):
    passes(
        rules(rule("{state: Completed}", 'http: {post: "https://x.test/over"}')),
        f"{TALKING}\n{{at: 1s, connection: lost}}\n{{at: 2s, connection: restored}}",
        "{at: 2s, session: s1, http: {post: https://x.test/over}}",
    )


def test_what_is_said_while_the_connection_is_lost_is_lost(passes):
    """As in life; the snapshot shows states and user data, not words."""
    passes(
        rules(rule("{message: any}", "reply: I heard you.")),
        f"""{TALKING}
        {{at: 1s, connection: lost}}
        {{at: 2s, session: s1, message: hello?}}
        {{at: 3s, connection: restored, snapshot: [{{session: s1, state: Talking}}]}}
        {{at: 4s, session: s1, message: hello?}}""",
        "{at: 4s, session: s1, reply: I heard you.}",
    )


def test_own_words_come_back_and_own_writes_show(passes):
    """After 10 ms: the echo starts no message rule, the user data one that asks for own writes."""
    passes(
        rules(
            rule("{message: any}", "reply: again", name="echo"),
            rule("{state: Talking}", "reply: hi", "set: {a: '1'}", name="begin"),
            rule("{userdata: [a], own: true}", "set: {b: '2'}", name="own"),
            rule("{userdata: any}", "set: {c: '3'}", name="foreign"),
        ),
        f"{TALKING}\n{{at: 1s, session: s1, userdata: {{x: y}}}}",
        """{at: 0s, session: s1, reply: hi}
        {at: 0s, session: s1, set: {a: "1"}}
        {at: 10ms, session: s1, set: {b: "2"}}
        {at: 1s, session: s1, set: {c: "3"}}""",
    )


def test_what_we_complete_is_over_ten_milliseconds_later(passes):
    passes(
        rules(
            rule("{message: any}", "unset: [a]", "complete: done", name="end"),
            rule("{state: Completed}", 'http: {put: "https://x.test/{{ session.id }}"}', name="o"),
        ),
        """{at: 0s, session: s1, state: Talking, userData: {a: "1"}}
        {at: 1s, session: s1, message: bye}
        {at: 2s, restart: stop}""",
        """{at: 1s, session: s1, unset: a}
        {at: 1s, session: s1, complete: done}
        {at: 1010ms, session: s1, http: {put: /s1$/}}""",
    )


def test_what_is_so_already_is_no_effect(passes):
    """Nothing is sent, so nothing is expected."""
    passes(
        rules(rule("{message: any}", "set: {a: '1'}")),
        """{at: 0s, session: s1, state: Talking, userData: {a: "1"}}
        {at: 1s, session: s1, message: hi}""",
        "",
    )


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_restart_forgets_nothing(how, passes):
    """The once mark is on disk, the session is as it was, and the clock goes on."""
    passes(
        GREET,
        f"{TALKING}\n{{at: 5s, restart: {how}}}\n{{at: 6s, session: s1, message: hi}}",
        GREETING,
    )


def test_other_rules_are_in_force_after_a_reload(passes):
    answer = rules(rule("{message: any}", "reply: New."))
    passes(
        rules(rule("{message: any}", "reply: Old.")),
        f"""{TALKING}
        {{at: 1s, session: s1, message: a}}
        {{at: 2s, reload: [new.yaml]}}
        {{at: 3s, session: s1, message: b}}""",
        "{at: 1s, session: s1, reply: Old.}\n{at: 3s, session: s1, reply: New.}",
        more={"new.yaml": answer},
    )


def test_sessions_that_the_bot_begins_have_the_names_that_are_expected(passes):
    """And are begun by the agent, with the number and the user data that the step names."""
    passes(
        rules(
            rule(
                "{message: call}".replace("call", "{equals: call}"),
                "initiate: {to: 3003, userData: {why: x}, agent: bot2}",
                "reply: Hi {{ session.id }}.",
            )
        ),
        f"""{TALKING}
        {{at: 1s, session: s1, message: call, agent: bot1}}
        {{at: 9s, session: out, state: Talking}}
        {{at: 9s, session: s1, message: call}}""",
        """{at: 1s, session: out, agent: bot2, initiate: {to: 3003, userData: {why: x}}}
        {at: 9s, session: out, reply: Hi s1.}
        {at: 9s, session: n2, initiate: {}}""",
    )


def test_answers_of_http_are_those_of_the_test(passes):
    """The latest in force, and of those of one moment the first that is not used up."""
    get = "http: {get: \"{{ secret('SHOP') }}/stock\"}"
    passes(
        rules(rule("{message: any}", get, "reply: '{{ got.json.n }}'", name="r")).replace(
            '/stock"}\n', '/stock"}\n        as: got\n'
        ),
        f"""{TALKING}
        {{http: {{match: shop.test/stock, json: {{n: 1}}, times: 1}}}}
        {{http: {{match: /stock, json: {{n: 2}}}}}}
        {{at: 3s, http: {{match: stock, json: {{n: 3}}}}}}
        {{at: 1s, session: s1, message: a}}
        {{at: 2s, session: s1, message: b}}
        {{at: 3s, session: s1, message: c}}""",
        """{at: 1s, session: s1, http: {get: "https://shop.test/stock"}}
        {at: 1s, session: s1, reply: "1"}
        {at: 2s, session: s1, http: {}}
        {at: 2s, session: s1, reply: 2}
        {at: 3s, session: s1, http: }
        {at: 3s, session: s1, reply: 3}""",
        head="secrets: {SHOP: https://shop.test}",
    )


def test_a_step_that_failed_may_be_expected_and_need_not_be(passes):
    """It reached out, and did nothing that is sure."""
    book = rules(
        rule(
            "{message: any}",
            "http: {get: https://x.test/a}",
            "reply: It is out.",
        )
    ).replace("/a}\n", "/a}\n        on_error: [{log: out}]\n")
    events = f"{TALKING}\n{{http: {{status: 500}}}}\n{{at: 1s, session: s1, message: a}}"
    out = "{at: 1s, session: s1, reply: It is out.}"

    passes(book, events, out)
    passes(book, events, "{at: 1s, session: s1, http: {get: https://x.test/a}}\n" + out)


def test_effects_of_one_moment_in_two_sessions_have_no_order(passes):
    snapshot = "[{session: s1, state: Talking}, {session: s2, state: Talking}]"
    book = rules(rule("{state: Talking}", "reply: a", "set: {b: c}"))
    expect = """{at: 0s, session: s2, reply: a}
        {at: 0s, session: s2, set: {b: c}}
        {at: 0s, session: s1, reply: a}
        {at: 0s, session: s1, set: {b: c}}"""
    passes(book, f"{{at: 0s, connection: gap, snapshot: {snapshot}}}", expect)


def test_more_may_come_where_the_test_says_so(played):
    loose = one(TALKING, '{at: 0s, session: s1, set: {greeted: "/^y/"}}', only="    only: false\n")
    assert played(GREET, loose).has_passed


def test_options_of_plugins_and_the_name_of_the_bot_are_the_file_s(passes):
    book = rules(rule("{state: Talking}", "crm.lookup: {}", "reply: '{{ bot.nickname }}'"))
    passes(
        book,
        f"{{http: {{match: crm.test, json: {{id: 7}}}}}}\n{TALKING}",
        "{at: 0s, session: s1, crm.lookup: {}}\n{at: 0s, session: s1, reply: Robin}",
        head="options: {crm: {url: http://crm.test}}\nbot: {nickname: Robin}",
    )


SHOUT = '''
from imbot.plugin import Model, Plugin, action

class Options(Model):
    end: str

class Text(Model):
    text: str

@action("shout", args=Text)
async def shout(ctx, args):
    """Say it loudly."""
    await ctx.im.send_message(args.text.upper() + ctx.options.end)

plugin = Plugin("shout", actions=(shout,), options=Options)
'''
LOUD = rules(rule("{state: Talking}", "shout: {text: hi}"))


def test_a_test_brings_plugins_of_its_own(passes):
    """Whoever tests a rule of an example has not installed its plugin."""
    passes(
        LOUD,
        TALKING,
        "{at: 0s, session: s1, shout: {text: hi}}",
        head='plugins: [mine]\noptions: {shout: {end: "!"}}',
        more={"mine/shout.py": SHOUT},
    )


@pytest.mark.parametrize(
    ("plugins", "told"),
    [
        ("gone", "plugin gone (gone): this folder of plugins cannot be read: No such file"),
        ("mine", "plugin broken (mine/broken.py): NameError: name 'nonsense' is not defined"),
        ("{a: b}", "'plugins' must be text, not a mapping"),
    ],
)
def test_plugins_that_a_test_brings_in_vain_are_told(plugins, told, played):
    report = played(
        LOUD, one(TALKING, ""), head=f"plugins: {plugins}", more={"mine/broken.py": "nonsense"}
    )

    assert not report.has_passed
    assert any(told in str(problem) for problem in report.problems)


def test_a_hook_that_no_rule_waits_for_fails_the_test(played):
    report = played(GREET, one("{at: 0s, webhook: {name: alarm}}", ""))

    assert not report.has_passed
    (said,) = (line for line in as_text(report) if line.startswith("    !"))
    assert said.startswith("    ! t.test.yaml:7:9: there is no hook 'alarm'")


def test_a_session_that_the_bot_has_not_begun_by_then_is_told(played):
    events = "{at: 0s, session: out, state: Talking}"
    report = played(GREET, one(events, "{at: 0s, session: out, initiate: {}}"))

    told = next(line for line in as_text(report) if line.startswith("    ! "))
    assert told == (
        "    ! t.test.yaml:7:9: there is no session 'out' by then; a session that the bot begins "
        "is named by 'session:' beside the 'initiate' that is expected"
    )


RULE = rules(rule("{message: any}", "wait: 1h", "reply: old"))


def test_a_wait_survives_reload_and_crash_on_the_rule_that_it_began_with(passes):
    """An hour that ends on time, once, with the old words; the new ones are for new runs."""
    passes(
        RULE,
        f"""{TALKING}
        {{at: 1s, session: s1, message: a}}
        {{at: 10m, reload: [new.yaml]}}
        {{at: 20m, restart: kill}}
        {{at: 30m, restart: stop}}
        {{at: 2h, session: s1, message: b}}""",
        "{at: 3601s, session: s1, reply: old}\n{at: 3h, session: s1, reply: new}",
        more={"new.yaml": RULE.replace("old", "new")},
    )


def test_silences_schedules_and_hooks_start_rules(passes):
    """What no agent's wire brings comes at its time, too."""
    passes(
        rules(
            rule("{idle: 5m}", "reply: Still there?", name="idle"),
            rule("{every: 1h}", "http: {post: https://x.test/tick}", name="tick"),
            rule(
                "{webhook: alarm}",
                "initiate: {to: '{{ event.body.number }}', agent: any}",
                name="hook",
            ),
        ),
        f"""{TALKING}
        {{at: 1m, session: s1, message: hm}}
        {{at: 30m, session: s1, state: Completed}}
        {{at: 61m, webhook: {{name: alarm, body: {{number: 3003}}}}}}""",
        """{at: 6m, session: s1, reply: Still there?}
        {at: 1h, http: {post: /tick/}}
        {at: 61m, session: out, initiate: {to: 3003}}""",
    )


def test_an_agent_that_is_busy_begins_no_session(passes):
    """Busy is a temporary error: a retry finds the agent free again."""
    step = "initiate: {to: '3003', agent: bot1}\n        retry: {times: 5, backoff: 10s..10s}"
    passes(
        rules(rule("{webhook: go}", step)),
        """{at: 0s, busy: true}
        {at: 1s, webhook: go}
        {at: 5s, agent: bot1, busy: false}""",
        "{at: 8500ms, session: out, initiate: {to: 3003}}",
    )


def test_who_types_under_the_name_of_the_bot_keeps_it_quiet(passes):
    """A person has taken over: the rules are silent for five minutes, and hear nothing new."""
    passes(
        rules(rule("{message: any}", "reply: Hello.")),
        f"""{TALKING}
        {{at: 1s, session: s1, message: I take this one, own: true}}
        {{at: 2s, session: s1, message: hi}}
        {{at: 302s, session: s1, message: still here?}}""",
        "{at: 302s, session: s1, reply: Hello.}",
    )


# Telling --------------------------------------------------------------------------------------


def test_the_same_bytes_every_time(played):
    """Also where much goes wrong: a difference in the output is a difference in the rules."""
    tests = one(f"{TALKING}\n{{at: 1s, restart: kill}}", "{at: 1s, session: s1, reply: x}")
    first = [list(as_text(played(GREET, tests, coverage=True))) for _ in range(2)]
    assert first[0] == first[1]


def test_a_failure_shows_both_sides_where_they_are_written_and_why(played):
    """The author reads nothing but this."""
    book = rules(
        rule(
            "{state: Talking}",
            "reply: Hello.",
            name="greet",
            more='    when: session.userData.vip == "yes"\n    once: session\n',
        )
    )
    report = played(
        book,
        one(
            '{at: 0s, session: s1, state: Talking, userData: {vip: "no"}}',
            "{at: 0s, session: s1, reply: Hello.}",
            name="vips are greeted",
        ),
    )
    leaf = 'session.userData.vip == "yes"'
    assert list(as_text(report)) == [
        "FAIL  t.test.yaml:4:11: vips are greeted",
        "      began at 2026-03-02T09:00:00+01:00; - did not come, + was not expected",
        '    - 0s  s1  reply: "Hello."  t.test.yaml:10:9',
        f"        rule 'greet' (r.yaml:3:9): when: {leaf} is false (session.userData.vip = 'no')",
        "1 test in 1 file: 0 passed, 1 failed",
    ]


def test_each_reason_why_something_did_not_come_is_named(played):
    """Late, elsewhere, otherwise, in another order, suppressed, withheld, cancelled, never."""
    book = rules(
        rule("{state: Talking}", "reply: Hello.", name="greet", more="    once: session\n"),
        rule("{message: {equals: x}}", "reply: X", "set: {x: '1'}", name="x"),
        rule("{state: Alerting}", "set: {rang: '1'}", name="ring"),
    )
    events = f"""{TALKING}
        {{at: 1s, connection: lost}}
        {{at: 2s, connection: restored}}
        {{at: 3s, session: s2, state: Talking}}
        {{at: 5s, session: s2, message: x}}"""
    expect = """{at: 1s, session: s1, reply: Hello.}
        {at: 3s, session: s1, reply: Hello.}
        {at: 3s, session: s2, reply: Hi.}
        {at: 5s, session: s2, set: {x: "1"}}
        {at: 5s, session: s2, reply: X}
        {at: 5s, session: s2, set: {rang: "1"}}
        {at: 5s, session: s2, complete: x}"""
    told = [line.strip() for line in as_text(played(book, one(events, expect)))]

    assert "it came at 0s" in told
    assert "it came in session s2" in told
    assert "it came with other arguments" in told
    assert "it came in another order" in told
    assert "no rule has a step 'complete'" in told
    assert any("rule 'ring'" in line and "waits for state Alerting" in line for line in told)


def test_a_rule_that_is_still_on_its_way_is_told_to_be(played):
    """Also where it acts in a session that it began, which no event of the rule's was about."""
    book = rules(
        rule(
            "{message: any}",
            "initiate: {to: 3003, agent: bot2}",
            "{wait_for: {state: Talking}, timeout: 1m}",
            "reply: Hi.",
        )
    )
    events = f"{TALKING}\n{{at: 1s, session: s1, message: call}}"
    expect = """{at: 1s, session: out, agent: bot2, initiate: {}}
        {at: 9s, session: out, reply: Hi.}"""

    (reasons,) = (result.reasons for result in played(book, one(events, expect)).results)
    ((told,),) = reasons.values()
    assert told.startswith("rule 'r' (r.yaml:3:9): nothing started it then; ")
    assert told.endswith("; at 1s: it began, and had not come so far")


def test_the_rule_that_nearly_ran_stands_first(played):
    """Ten rules that nothing came near to would bury the one that somebody asks about."""
    others = (rule(f"{{message: {{equals: m{n}}}}}", "reply: Oh.", name=f"r{n}") for n in range(8))
    book = rules(
        *others,
        rule("{message: any}", "reply: Hi.", name="x", more="    when: message.text == '1'\n"),
    )
    report = played(
        book,
        one(
            f"{TALKING}\n{{at: 1s, session: s1, message: no}}",
            "{at: 1s, session: s1, reply: Hi.}",
        ),
    )

    ((first, *others),) = report.results[0].reasons.values()

    assert (
        first == "rule 'x' (r.yaml:35:9): when: message.text == '1' is false (message.text = 'no')"
    )
    assert len(others) == 3


def test_long_texts_are_told_where_they_differ(played):
    """Both are cut to a line: what differs may be behind it."""
    long = "word " * 40
    book = rules(
        rule("{state: Talking}", f"reply: {long}today", "set: {a: b, c: d}"),
    )
    expect = f"""{{at: 0s, session: s1, reply: "{long}tomorrow"}}
        {{at: 0s, session: s1, set: {{a: b, c: e}}}}
        {{at: 0s, session: s1, set: {{x: y}}}}"""
    told = [line.strip() for line in as_text(played(book, one(TALKING, expect)))]

    assert (
        "it came with other arguments: from character 203, “…rd word tomorrow” and “…rd word today”"
    ) in told
    assert "it came with other arguments: c" in told
    assert "it came with other arguments: there is no x" in told


def test_a_folder_of_any_name_gives_xml_that_can_be_read(tmp_path):
    folder = tmp_path / "a\x01b"
    folder.mkdir()
    (folder / "r.yaml").write_text(GREET)
    (folder / "t.test.yaml").write_text("rules: [r.yaml]\ntests: [{name: t}]")
    junit = as_junit(run_tests([folder / "t.test.yaml"], Given(WANTED)))
    (suite,) = ET.fromstring(junit)  # noqa: S314  our own
    assert suite.attrib["name"].endswith("a\ufffdb/t.test.yaml")


def test_rules_that_are_not_there_are_a_mistake_of_whoever_names_them(played):
    one_more = one(f"{TALKING}\n{{at: 1s, reload: [gone.yaml]}}", "")
    report = played(GREET, one_more, rules="[absent.yaml]")
    assert sorted(str(problem).split("'")[0] for problem in report.problems) == [
        "t.test.yaml:1:9: error[no-rules]: ",
        "t.test.yaml:8:9: error[no-rules]: ",
    ]


def test_a_suppressed_rule_is_told_with_the_value_that_decided(played):
    book = rules(
        rule("{message: any}", "reply: Hello.", name="greet", more="    once: session\n"),
    )
    events = f"""{TALKING}
        {{at: 1s, session: s1, message: a}}
        {{at: 2s, session: s1, message: b}}"""
    expect = "{at: 1s, session: s1, reply: Hello.}\n{at: 2s, session: s1, reply: Hello.}"
    told = list(as_text(played(book, one(events, expect))))

    assert any("rule 'greet'" in line and "once: done for session bot1/s1" in line for line in told)


def test_an_open_breaker_is_told_with_what_failed(played):
    book = rules(rule("{message: any}", "http: {get: https://x.test/a}", "reply: Fine."))
    events = "\n".join(f"{{at: {n}s, session: s1, message: a}}" for n in range(1, 7))
    expect = "{at: 6s, session: s1, reply: Fine.}"
    head = f"{TALKING}\n{{http: {{status: 404}}}}\n"
    told = "\n".join(as_text(played(book, one(head + events, expect))))

    assert (
        "breaker: http failed 5 times in a row, last: HTTP 404, expected 2xx; open for 1s" in told
    )


def test_a_failing_step_is_told_with_its_error(played):
    book = rules(rule("{message: any}", "http: {get: https://x.test/a}", "reply: Fine."))
    events = f"{TALKING}\n{{http: {{status: 404}}}}\n{{at: 1s, session: s1, message: a}}"
    expect = "{at: 1s, session: s1, http: {}}\n{at: 1s, session: s1, reply: Fine.}"
    told = "\n".join(as_text(played(book, one(events, expect))))

    assert "    failed: HTTP 404, expected 2xx" in told

    assert "its http failed: HTTP 404, expected 2xx" in told
    assert "it ended: failed" in told


def test_mistakes_in_rules_and_tests_are_told_and_fail_the_run(played):
    """What cannot be loaded is no reason to say that all is well."""
    report = played("version: 1\nrules: [{id: a}]\n", one(TALKING, ""))

    assert not report.has_passed
    assert [problem.place.path for problem in report.problems] == ["r.yaml", "r.yaml"]
    assert summary(report) == "0 tests in 0 files: 0 passed, 0 failed, 2 mistakes in files"
    assert "mistakes in files" in as_junit(report)
    assert next(as_github(report)).startswith("::error file=r.yaml,line=2,col=10,title=missing-")
    assert '"problem": "r.yaml:2:' in next(as_json(report))


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ("{crn: {}}", "t.test.yaml: error[unknown-plugin]: no plugin 'crn'; did you mean 'crm'?"),
        (
            "{crm: {url: x}}",
            "t.test.yaml: error[bad-options]: options.crm: plugins.options.crm.url: String",
        ),
    ],
)
def test_bad_options_of_plugins_are_told(options, line, played):
    report = played(GREET, one(TALKING, ""), head=f"options: {options}")
    assert str(report.problems[0]).startswith(line)


def test_the_reports_for_programs(played):
    """JUnit for CI, annotations for GitHub, JSON lines for the rest; the same facts in each."""
    both = one(TALKING, GREETING, name="good") + one(TALKING, "", name='bad <&"')
    report = played(GREET, both)

    junit = as_junit(report)
    assert '<testsuite name="t.test.yaml" tests="2" failures="1" errors="0">' in junit
    assert 'name="bad &lt;&amp;&quot;"' in junit
    assert '<failure message="2 not expected">' in junit
    assert "time=" not in junit
    assert [line[:40] for line in as_json(report)] == [
        '{"test": "good", "place": "t.test.yaml:4',
        '{"test": "bad <&\\"", "place": "t.test.ya',
    ]
    annotation, last = as_github(report)
    assert annotation.startswith('::error file=t.test.yaml,line=13,col=11::bad <&"%0A')
    assert last == "2 tests in 1 file: 1 passed, 1 failed"


# Coverage -------------------------------------------------------------------------------------


def test_coverage_names_each_leaf_that_was_never_true_or_never_false(played):
    """With the place of the leaf itself, also in a list, in an `if`, and over two lines."""
    book = """
version: 1
rules:
  - id: a
    trigger: {message: any}
    when:
      - contains(message.text, "x") or message.text == "y"
      - >-
        session.state == "Talking"
        and not session.mine
    do:
      - if: message.text == "y"
        then:
          - reply: Y
  - id: b
    trigger: {state: Completed}
    when: session.mine
    do: [{log: over}]
"""
    events = f"""{TALKING}
        {{at: 1s, session: s1, message: x}}
        {{at: 2s, session: s1, message: z}}"""
    lines = list(as_text(played(book, one(events, ""), coverage=True)))

    told = "1 never asked, 1 never false, 1 never ran, 3 never true"
    assert lines[1:-1] == [
        'r.yaml:7:40: never true: message.text == "y"',
        'r.yaml:9:9: never false: session.state == "Talking"',
        "r.yaml:10:17: never true: session.mine",
        'r.yaml:12:13: never true: message.text == "y"',
        "r.yaml:15:9: never ran: rule 'b'",
        "r.yaml:17:11: never asked: session.mine",
        f"coverage: 6 of 12 outcomes of conditions seen (50 %), {told}",
    ]


def test_coverage_of_rules_without_conditions(played):
    lines = list(as_text(played(GREET, one(TALKING, GREETING), coverage=True)))
    assert lines[1] == "coverage: 0 of 0 outcomes of conditions seen"


def test_coverage_looks_into_blocks_and_not_into_rules_that_are_off(played):
    """A block's condition is one, however many rules call it; a rule that is off has none."""
    shared = """
version: 1
blocks:
  thank:
    inputs: {who: text}
    do:
      - if: who == "Ada"
        then:
          - reply: Thank you, Ada.
"""
    ask = "call: {block: thank, with: {who: '{{ message.text }}'}}"
    book = rules(
        rule("{message: {equals: Ada}}", ask, name="a"),
        rule("{message: {equals: Bob}}", ask, name="b"),
        rule("{state: Alerting}", "log: x", name="off", more="    enabled: false\n"),
    )
    events = f"""{TALKING}
        {{at: 1s, session: s1, message: Ada}}
        {{at: 2s, session: s1, message: Bob}}"""
    tests = one(events, "{at: 1s, session: s1, reply: '/Ada/'}")
    Path("shared.yaml").write_text(shared, encoding="utf-8")
    report = played(book, tests, head="", coverage=True, rules="[r.yaml, shared.yaml]")

    assert list(as_text(report))[1:-1] == [
        "coverage: 2 of 2 outcomes of conditions seen (100 %)",
    ]
    assert len(list(as_json(report))) == 1


# Files ----------------------------------------------------------------------------------------


def test_test_files_are_found_in_folders_and_foreign_folders_are_left_alone(tmp_path):
    for name in ("b.test.yaml", "a/c.test.yml", ".venv/d.test.yaml", "node_modules/e.test.yaml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    (tmp_path / "r.yaml").write_text("")
    found = [str(path.relative_to(tmp_path)) for path in test_files([tmp_path])]

    assert found == ["a/c.test.yml", "b.test.yaml"]
    assert list(test_files([tmp_path / "r.yaml", tmp_path / "b.test.yaml"])) == [
        tmp_path / "b.test.yaml"
    ]
    assert rules_among([tmp_path, tmp_path / "a", tmp_path / "r.yaml"]) == (
        str(tmp_path),
        str(tmp_path / "r.yaml"),
    )


def test_rules_that_a_file_does_not_name_are_those_beside_it_or_of_the_call(tmp_path):
    (tmp_path / "r.yaml").write_text(GREET)
    tests = tmp_path / "t.test.yaml"
    tests.write_text(f"tests:\n{one(TALKING, GREETING)}")
    elsewhere = tmp_path / "x" / "t.test.yaml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(tests.read_text())

    assert run_tests([tests], Given(WANTED)).has_passed
    assert run_tests([elsewhere], Given(WANTED, rules=(str(tmp_path / "r.yaml"),))).has_passed


def test_a_word_chooses_tests_by_name(played, tmp_path):
    played(GREET, one(TALKING, GREETING, name="Good") + one(TALKING, "", name="bad"))
    report = run_tests([tmp_path / "t.test.yaml"], Given(WANTED), word="good")
    assert [result.test.name for result in report.results] == ["Good"]
    assert run_tests([tmp_path / "t.test.yaml"], Given(WANTED), word="none").results == ()


def test_rules_and_examples_that_ship_pass_their_tests(monkeypatch):
    """The first thing that a reader does with an example is to test it."""
    monkeypatch.chdir(ROOT)
    report = run_tests(test_files([Path("rules"), Path("examples")]), Given(WANTED))
    assert [str(problem) for problem in report.problems] == []
    assert [result.test.name for result in report.results if not result.has_passed] == []
    assert len(report.results) >= 18


# Comparing ------------------------------------------------------------------------------------


EFFECTS = st.lists(
    st.builds(
        Effect,
        at_ms=st.integers(0, 2),
        agent=st.just("bot1"),
        session=st.sampled_from(["s1", "s2"]),
        action=st.just("reply"),
        args=st.sampled_from(["a", "b", {"text": "a", "to": None}]),
        rule_id=st.just("r"),
        place=st.just("r.yaml:1:1"),
    ),
    max_size=8,
).map(lambda effects: sorted(effects, key=lambda effect: effect.at_ms))


def expecting(effects):
    """Return a test that expects just these effects."""
    expect = tuple(
        Expected(e.at_ms, e.action, e.args, Place("t"), e.session, e.agent) for e in effects
    )
    return RuleTest("t", Place("t"), START, expect=expect)


def told(test, effects):
    lines = compare(test, Played(tuple(effects)))
    missing = [line.expected for line in lines if line.is_missing]
    return missing, [line.effect for line in lines if line.is_unexpected]


@settings(deadline=None)
@given(effects=EFFECTS, data=st.data())
def test_what_is_expected_and_comes_is_right_and_whatever_is_left_out_is_told(effects, data):
    """Each effect answers one expectation, and each expectation one effect."""
    assert told(expecting(effects), effects) == ([], [])
    if not effects:
        return
    number = data.draw(st.integers(0, len(effects) - 1))
    others = [effect for at, effect in enumerate(effects) if at != number]

    missing, unexpected = told(expecting(effects), others)
    assert (len(missing), unexpected) == (1, [])
    missing, unexpected = told(expecting(others), effects)
    assert (missing, len(unexpected)) == ([], 1)


@pytest.mark.parametrize(
    ("wanted", "given_", "fit"),
    [
        ("a", "a\n", True),
        ("a", {"text": "a"}, True),
        ({"text": "/^a/"}, "abc", True),
        ({"to": "3003"}, "abc", False),
        ("a", {"to": "a"}, False),
        ({"n": "5"}, {"n": 5, "m": 1}, True),
        ({"n": "5.0"}, {"n": 5}, True),
        ({"n": "x"}, {"n": 5}, False),
        ({"n": True}, {"n": True}, True),
        ({"n": True}, {"n": "true"}, True),
        ({"n": "1"}, {"n": True}, False),
        ({"n": None}, {"n": None}, True),
        ({"n": "a"}, {"n": None}, False),
        ({"n": "a"}, {"m": "a"}, False),
        ({"n": {"a": "1"}}, {"n": {"a": "1", "b": "2"}}, True),
        ({"n": {"a": "1"}}, {"n": "1"}, False),
        ({"n": ["1", "/2/"]}, {"n": ["1", "22"]}, True),
        ({"n": ["1"]}, {"n": ["1", "2"]}, False),
        ({"n": ["1"]}, {"n": "1"}, False),
        (["b", "a"], ["a", "b"], True),
        ("a", ["a"], True),
        ("a", ["a", "b"], False),
        (None, {"anything": 1}, True),
    ],
)
def test_how_arguments_are_compared(wanted, given_, fit):
    """Maps as a part, searches between slashes, scalars as spelled, short forms as long ones."""
    effect = Effect(0, "bot1", "s1", "x", given_, "r", "r.yaml:1:1")
    assert fits(Expected(0, "x", wanted, Place("t")), effect) is fit


def test_a_day_with_a_schedule_of_minutes_gives_the_same_bytes(played):
    """1,440 firings and 200 events; on a virtual clock this is a matter of a second."""
    book = rules(
        rule("{every: 1m}", "http: {post: https://x.test/tick}", name="tick"),
        rule("{message: any}", "reply: 'You said {{ message.text }}'", name="echo"),
    )
    events = [f"{{at: {7 * n + 1}m, session: s1, message: m{n}}}" for n in range(199)]
    expect = [f"{{at: {7 * n + 1}m, session: s1, reply: You said m{n}}}" for n in range(199)]
    expect.append("{at: 24h, http: {post: /tick/}}")
    tests = one("\n".join([TALKING, *events]), "\n".join(expect), only="    only: false\n")

    first = [list(as_json(report)) for report in (played(book, tests), played(book, tests))]
    assert first[0] == first[1]
    assert '"passed": true' in first[0][0]
