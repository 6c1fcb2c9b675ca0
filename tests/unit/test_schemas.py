"""What the schemas for editors take and refuse; they know every key that the code knows."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match
from pydantic import RootModel

from imbot.durations import format_duration, parse_duration
from imbot.model import ConnectionChange, SessionState
from imbot.plugin import Model, action
from imbot.pluginhost import PluginSettings, find_plugins
from imbot.problems import Severity
from imbot.rulebook import calendarreading, loader, policy, shared, stepkeys, triggers
from imbot.rulebook.functions import FUNCTIONS
from imbot.rulebook.loader import RuleFile, load_rulebook
from imbot.rulebook.namewords import NAMES
from imbot.rulebook.schema import Missed, Mode, TextTest
from imbot.rulebook.values import STEP_OPTIONS
from imbot.schemas import schema_of_rules, schema_of_settings, schema_of_tests
from imbot.testing import event_reading, script_reading
from imbot.yamlfile import load
from tests.unit.rulebooks import ACTIONS, SETTINGS

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
PLUGINS = find_plugins(PluginSettings(), with_options=False)
RULES = schema_of_rules(ACTIONS)
TESTS = schema_of_tests(ACTIONS)
SETTINGS_FILE = schema_of_settings(
    {found.name: found.plugin.options for found in PLUGINS.enabled if found.plugin.options}
)


def mistake(schema, text):
    """Return what is wrong with a YAML text; None where nothing is."""
    node, _ = load("f.yaml", text)
    fault = best_match(Draft7Validator(schema).iter_errors(node.plain()))
    return None if fault is None else fault.message


@pytest.mark.parametrize("schema", [RULES, TESTS, SETTINGS_FILE], ids=lambda s: s["title"])
def test_each_is_a_schema_of_draft_07_whose_references_lead_somewhere(schema):
    """An editor says nothing at all of a schema that it cannot read."""
    Draft7Validator.check_schema(schema)
    named = set(re.findall(r"'#/definitions/([^']+)'", str(schema)))

    assert named <= schema["definitions"].keys()


# Rule files -----------------------------------------------------------------------------------

CORRECT = sorted([*(DATA / "correct").glob("*.yaml"), *(ROOT / "rules").glob("*.yaml")])
CORRECT = [path for path in CORRECT if not path.name.endswith(".test.yaml")]


@pytest.mark.parametrize("path", CORRECT, ids=lambda path: path.stem)
def test_a_correct_rule_file_is_taken(path):
    """A false alarm in the editor teaches authors to look away."""
    assert mistake(RULES, path.read_text()) is None


#: Mistakes of shape: what no key, word, kind or number of the language is.
SHAPE = {
    *("unknown-key", "missing-key", "wrong-type", "unknown-word", "out-of-range"),
    *("unknown-action", "two-actions", "no-action", "unknown-argument", "missing-argument"),
    *("bad-argument", "unknown-trigger", "two-kinds", "message-test", "bad-offset", "bad-slot"),
    *("unknown-day",),
}


#: Where the shape is right, and only the rest of the file shows that something is wrong.
BEYOND = {"branches_and_blocks:inputs of a call", "without_a_session:initiate without its agent"}


def seeded():
    """Yield each seeded mistake of shape alone in its file."""
    for path in sorted((DATA / "mistakes").glob("*.yaml")):
        for text in re.split(r"^---\n", path.read_text(), flags=re.MULTILINE):
            codes = set(re.findall(r"^#> \S+ error\[([a-z-]+)\]", text, re.MULTILINE))
            name = f"{path.stem}:{text.splitlines()[0][2:]}"
            if codes & SHAPE and name not in BEYOND:
                yield pytest.param(text, id=name)


@pytest.mark.parametrize("text", list(seeded()))
def test_a_mistake_of_shape_is_refused(text):
    """The editor tells it while it is typed."""
    assert mistake(RULES, text) is not None


HEAD = "version: 1\nrules:\n  - id: a\n    trigger: "


@pytest.mark.parametrize(
    "trigger",
    [
        "{idle: 5m}",
        "{calendar: support, opens: 10m before}",
        '{schedule: "0 9 * * mon-fri", timezone: Europe/Berlin, missed: skip}',
        '{schedule: "@daily"}',
        "{every: 15m}",
        "{webhook: order-shipped}",
        "[{connection: [lost, gap]}, {userdata: any, own: true}]",
    ],
)
def test_every_kind_of_trigger_is_taken(trigger):
    """Also those that no shipped rule uses."""
    assert mistake(RULES, f"{HEAD}{trigger}\n    do: [{{log: x}}]\n") is None


@pytest.mark.parametrize(
    "trigger",
    [
        "{}",
        "{idle: 5}",
        "{calendar: support}",
        "{calendar: support, opens: 1m before, closes: 1m after}",
        "{calendar: support, opens: soon}",
        "{schedule: daily}",
        "{every: 15m, missed: never}",
        "{state: Talking, timezone: UTC}",
        "{state: Talking, message: any}",
        "{state: {}}",
        "{message: {contains: []}}",
        "{webhook: a/b}",
    ],
)
def test_a_trigger_without_kind_or_with_a_strange_option_is_refused(trigger):
    """As the loader would."""
    assert mistake(RULES, f"{HEAD}{trigger}\n    do: [{{log: x}}]\n") is not None


STEPS = f"{HEAD}{{message: any}}\n    do:\n      - "


@pytest.mark.parametrize(
    "step",
    [
        "wait: 30s",
        'wait: "{{ vars.pause }}"',
        "{wait_for: {message: any}, timeout: 1m, as: answer}",
        "{wait_for: {userdata: [a], own: true}, even_if_completed: true}",
        "parallel: [[{reply: a}], [{log: b}]]",
        "call: {block: greet, with: {who: participant.digits}}",
        "{if: [a, b], else: [{stop: done}], name: x, enabled: false}",
        'crm.lookup: "{{ vars.args }}"',
        'http: {post: x, json: "{{ vars.a }}", expect: [200, "4xx"]}',
        "initiate: {to: 3003, userData: {a: 1, b: {c: true}}}",
    ],
)
def test_every_step_is_taken(step):
    """Templates may stand for whatever is due."""
    assert mistake(RULES, f"{STEPS}{step}\n") is None


@pytest.mark.parametrize(
    "step",
    [
        "{as: x}",
        "{reply: a, log: b}",
        "{wait: 30}",
        "{wait: 0s}",
        "{wait_for: {idle: 5m}}",
        "{wait_for: {message: any}, retry: {times: 2}}",
        "{let: {a: b}, as: c}",
        "{let: {a-b: c}}",
        "{if: x}",
        "{reply: x, then: []}",
        "{call: {with: {}}}",
        "{set: {a: null}}",
        "{set: {a: [1]}}",
        "{initiate: {to: 1, userData: {a: null}}}",
        "{unset: []}",
        "{http: {get: a, post: b}}",
        "{http: {get: a, expect: [4x]}}",
        "{crm.lookup: {}, retry: {times: 101}}",
        "{crm.lookup: {}, retry: {backoff: 1s}}",
        "{crm.lookup: {}, retry: {times: 2, backoff: 1s-2s}}",
        "{crm.lookup: {fields: tier}}",
    ],
)
def test_a_wrong_step_is_refused(step):
    """Each is a mistake that the loader tells, too."""
    assert mistake(RULES, f"{STEPS}{step}\n") is not None


@pytest.mark.parametrize(
    ("policy", "is_right"),
    [
        ("{mode: parallel, max: 3}", True),
        ("{mode: parallel, max: 0}", False),
        ("{max: 3}", False),
        ("{mode: queue, max: 3}", False),
        ("{once: session.userData.order}", True),
        ("{once: true}", False),
        ("{throttle: {once_within: 30s, by: participant.digits}}", True),
        ("{throttle: {by: x}}", False),
        ("{budget: {per_session: 5, per_minute: 60}}", True),
        ("{budget: {}}", False),
        ("{budget: {per_hour: 1}}", False),
        ("{shadow: 'yes'}", False),
        ("{when: []}", False),
    ],
)
def test_policies_are_of_the_right_shape(policy, is_right):
    """What a rule does when, and how often."""
    rule = f"id: a, trigger: {{message: any}}, do: [], {policy[1:-1]}"

    assert (mistake(RULES, f"rules: [{{{rule}}}]\n") is None) is is_right


def test_blocks_and_calendars_are_of_the_right_shape():
    """They stand beside the rules."""
    good = "{inputs: {who: text, times: number}, do: [{reply: Hello}]}"

    assert mistake(RULES, f"shadow: true\nblocks: {{greet: {good}}}\n") is None
    assert mistake(RULES, "blocks: {greet: {inputs: {who: string}, do: []}}\n")
    assert mistake(RULES, "blocks: {greet: {inputs: {who: text}}}\n")
    hours = "{timezone: UTC, open: {sat-mon: '22:00-06:00'}, ics: a.ics}"
    assert mistake(RULES, f"calendars: {{s: {hours}}}\n") is None
    assert mistake(RULES, f"calendars: {{s: {hours.replace('timezone: UTC, ', '')}}}\n")
    assert mistake(RULES, "calendars: {s: {timezone: UTC, opens: {}}}\n")


def test_the_schema_has_the_keys_that_the_loader_has():
    """A key that is new in the one must not be misspelt in the other."""
    definitions = RULES["definitions"]
    calendar = RULES["properties"]["calendars"]["additionalProperties"]["properties"]
    block = RULES["properties"]["blocks"]["additionalProperties"]["properties"]
    triggers_ = definitions["trigger"]["properties"]

    assert RULES["properties"].keys() == loader._FILE_KEYS
    assert definitions["rule"]["properties"].keys() == loader._RULE_KEYS
    assert block.keys() == shared._BLOCK_KEYS
    assert calendar.keys() == calendarreading._KEYS
    assert triggers_.keys() == {*triggers._READERS, *triggers._ALL_OPTIONS}
    words = {*ACTIONS, *stepkeys.LANGUAGE, *STEP_OPTIONS, *stepkeys.BRANCHES}
    assert definitions["step"]["properties"].keys() == words
    for step, taken in stepkeys.LANGUAGE.items():
        refused = definitions["step"]["dependencies"][step]["properties"].keys()
        assert STEP_OPTIONS - refused == taken | {"name", "enabled"}


def test_numbers_have_the_bounds_that_the_loader_has():
    """Told while they are typed."""
    rule = RULES["definitions"]["rule"]["properties"]
    budget = rule["budget"]["properties"]

    assert rule["max"]["maximum"] == policy._MOST_RUNS
    assert rule["priority"]["maximum"] == policy._LARGEST_PRIORITY
    assert {each["maximum"] for each in budget.values()} == {policy._MOST_EFFECTS}


def test_closed_sets_are_those_of_the_code():
    """They are completed by the editor."""
    written = str(RULES)

    for words in (SessionState, ConnectionChange, Mode, Missed, TextTest):
        assert all(f"'{word}'" in written for word in words)
    offered = RULES["definitions"]["expression"]["defaultSnippets"]
    assert [each["label"].partition("(")[0] for each in offered] == [*FUNCTIONS, *NAMES]


def test_every_key_says_what_it_is():
    """The editor shows it when the author asks."""
    for schema in (RULES["definitions"]["rule"], RULES["definitions"]["step"], TESTS):
        told = {key: part.get("description") for key, part in schema["properties"].items()}
        assert [key for key, text in told.items() if not text] == []


# Plugins --------------------------------------------------------------------------------------


class Inner(Model):
    """What stands inside."""

    size: int = 1


class Args(Model):
    """Arguments with everything in them."""

    inner: Inner
    """A model in a model."""
    flag: bool = False
    kind: str = "a"
    until: str | bool = False


class Whole(RootModel[int]):
    """A number."""


@action("own.act", args=Args)
async def act(ctx, args):
    """Do it."""


@action("own.count", args=Whole)
async def count(ctx, args):
    """Count."""


OWN = schema_of_rules({"own.act": act, "own.count": count})


@pytest.mark.parametrize(
    ("step", "is_right"),
    [
        ("own.act: {inner: {size: 2}, flag: true, kind: 5, until: x}", True),
        ('own.act: {inner: "{{ vars.x }}", flag: "{{ vars.y }}"}', True),
        ('own.act: {inner: {size: "{{ vars.x }}"}}', True),
        ('own.count: "{{ vars.x }}"', True),
        ("own.count: 3", True),
        ("own.count: many", False),
        ("own.act: text", False),
        ("own.act: {}", False),
        ("own.act: {inner: {sise: 2}}", False),
        ("own.act: {inner: {}, flag: on}", False),
        ("reply: Hello", False),
    ],
)
def test_arguments_are_those_of_the_plugins_in_force(step, is_right):
    """Also inside models of models, and with templates in them."""
    assert (mistake(OWN, f"{STEPS}{step}\n") is None) is is_right


# Test files -----------------------------------------------------------------------------------

SCRIPT = """
rules: greeting.yaml
bot: {nickname: Robin}
options: {crm: {url: "https://crm.example"}}
secrets: {CRM_URL: "https://crm.example"}
tests:
  - name: all that can happen
    start: 2026-03-02T09:00:00+01:00
    only: false
    events:
      - {http: {match: /contacts, status: 200, json: {id: c1}, times: 2}}
      - {at: 0s, session: s1, agent: bot2, state: Talking, participant: 3005, userData: {a: 1}}
      - {at: 1s, session: s1, message: hello, capabilities: [SendMessage]}
      - {at: 2s, session: s1, userdata: {tier: null}}
      - {at: 2s, session: s1, capabilities: [Complete]}
      - {at: 3s, connection: lost, reason: x}
      - {at: 8s, connection: restored, snapshot: [{session: s1, state: Talking}]}
      - {at: 9s, webhook: {name: order, body: {a: 1}}}
      - {at: 9s, webhook: order}
      - {at: 10s, restart: kill}
      - {at: 1h30m, reload: [other.yaml]}
    expect:
      - {at: 0, session: s1, reply: "/^Hello/"}
      - {at: 1s, agent: bot1, initiate: {to: 3003}, session: s2}
      - {at: 1s, session: s1, set: {a: "1"}}
      - {at: 2s, http: {post: "/contacts/"}}
"""


def test_a_test_file_is_taken():
    """Every key that there is."""
    assert mistake(TESTS, SCRIPT) is None
    assert script_reading.read_script("f.test.yaml", SCRIPT, ACTIONS)[1] == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("at: 1s, session: s1, message", "session: s1, message"),
        ("at: 1s, session: s1, message", "at: 1s, message"),
        ("state: Talking, participant", "state: talking, participant"),
        ("connection: lost", "connection: lost, state: Talking"),
        ("restart: kill", "restart: crash"),
        ("restart: kill", "session: s1"),
        ("restart: kill", "restart: kill, agent: bot1"),
        ("name: order, body", "nam: order, body"),
        ("status: 200", "status: OK"),
        ("reply: ", "replied: "),
        ("initiate: {to: 3003}", "initiate: {to: 3003}, reply: x"),
        ("start: 2026-03-02T09:00:00+01:00", "start: 2026-03-02T09:00:00"),
        ("name: all that can happen", "title: all that can happen"),
    ],
)
def test_a_mistake_in_a_test_file_is_refused(right, wrong):
    """As the reader of tests would."""
    assert right in SCRIPT
    text = SCRIPT.replace(right, wrong, 1)

    assert mistake(TESTS, text) is not None
    assert script_reading.read_script("f.test.yaml", text, ACTIONS)[1]


def test_a_misspelt_argument_of_an_expected_effect_is_refused():
    """It would never be met."""
    assert mistake(TESTS, SCRIPT.replace("initiate: {to:", "initiate: {too:"))


def test_the_schema_of_tests_has_the_keys_that_the_reader_has():
    """A key that is new in the one must not be misspelt in the other."""
    event = TESTS["definitions"]["event"]

    assert TESTS["properties"].keys() == script_reading.FILE_KEYS
    assert TESTS["definitions"]["test"]["properties"].keys() == script_reading.TEST_KEYS
    for kind, beside in event_reading.EVENT_KEYS.items():
        refused = event["dependencies"][kind]["properties"].keys()
        assert event["properties"].keys() - refused == {kind, "at", *beside}
    answer = event["properties"]["http"]["properties"]
    assert answer.keys() == event_reading.ANSWER_KEYS


# Settings -------------------------------------------------------------------------------------

GOOD = """
gws: {url: "https://gws.example", resync: 30s, strict_capabilities: "${env:STRICT}"}
agents:
  - {user: bot1, password: "${env:PW}"}
  - {user: 4711, auth: {headers: {X-User: bot2}}}
plugins: {disabled: [initiate], options: {crm: {url: "https://crm.example", token: 12}}}
delivery: {message_bytes: 500}
log: {level: debug}
"""


def test_settings_are_taken_with_references_and_plugins_options():
    """A reference may stand for any single value."""
    assert mistake(SETTINGS_FILE, GOOD) is None
    assert mistake(SETTINGS_FILE, 'gws: {url: "https://x"}\nagents: agents.csv\n') is None


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("resync: 30s", "resync: 30"),
        ("resync: 30s", "resinc: 30s"),
        ('password: "${env:PW}"', "place: x"),
        ('password: "${env:PW}"', 'password: "${env:PW}", auth: {bearer: x}'),
        ("headers: {X-User: bot2}", "{}"),
        ("[initiate]", "initiate"),
        ("{crm: {url", "{crn: {url"),
        ("token: 12", "tokn: 12"),
        ("message_bytes: 500", "message_bytes: 50"),
        ("message_bytes: 500", "message_bytes: many"),
        ("level: debug", "level: verbose"),
        ("gws: {", "http: {}\ngw: {"),
    ],
)
def test_a_mistake_in_settings_is_refused(right, wrong):
    """Misspelt, of the wrong kind, out of range, or one of two."""
    assert right in GOOD

    assert mistake(SETTINGS_FILE, GOOD.replace(right, wrong, 1)) is not None


# Properties -----------------------------------------------------------------------------------


@given(st.integers(1, 10**9).map(lambda ms: ms / 1000))
def test_every_duration_that_imbot_writes_is_taken(seconds):
    """And means what was written."""
    written = format_duration(seconds)

    assert parse_duration(written) == pytest.approx(seconds)
    assert mistake(RULES, f"{STEPS}wait: {written}\n") is None


@given(st.sampled_from(sorted(loader._RULE_KEYS)), st.data())
def test_what_the_schema_refuses_the_loader_refuses(key, data):
    """No value is an alarm in the editor only; loose ones are the loader's to find."""
    values = ["x", "5", "5m", "[]", "{}", "true", "session", "[{state: Talking}]", "[{log: x}]"]
    keys = {"id": "a", "trigger": "{message: any}", "do": "[{log: x}]"}
    keys[key] = data.draw(st.sampled_from(values))
    text = "version: 1\nrules: [{" + ", ".join(f"{k}: {v}" for k, v in keys.items()) + "}]\n"

    _, problems = load_rulebook([RuleFile("f.yaml", text)], ACTIONS, **SETTINGS)
    is_wrong = any(problem.severity is Severity.ERROR for problem in problems)
    assert mistake(RULES, text) is None or is_wrong, text


def keys_of(node):
    """Yield the offset behind each key of a tree that is written plainly."""
    for key, value in node.entries.values():
        if not key.style:
            yield key.end
        yield from keys_of(value)
    for item in node.items:
        yield from keys_of(item)


KEYS = [(path, at) for path in CORRECT for at in keys_of(load(path.name, path.read_text())[0])]


@settings(deadline=None)  # the first calendar loads every country's holidays
@given(st.sampled_from(KEYS))
def test_a_misspelt_key_is_found_by_both_or_by_none(key):
    """Where keys are the author's own, in user data for example, no one can know."""
    path, at = key
    text = path.read_text()
    text = f"{text[:at]}q{text[at:]}"

    _, problems = load_rulebook([RuleFile("f.yaml", text)], ACTIONS, **SETTINGS)
    is_wrong = any(problem.severity is Severity.ERROR for problem in problems)
    is_unknown = any(problem.code in SHAPE for problem in problems)
    is_refused = mistake(RULES, text) is not None
    assert is_refused <= is_wrong, text[at - 60 : at + 60]
    assert is_unknown <= is_refused, text[at - 60 : at + 60]
