"""The reference says what the code says, its examples run, and nothing of the code is left out."""

import ast
import dataclasses
import importlib.util
import re
from datetime import date
from itertools import chain
from pathlib import Path

import pytest
import yaml

from docs.generator import examples, mistakes, names, triggers
from docs.generator.markdown import BEGIN, END, anchor, table
from imbot.durations import format_duration
from imbot.errors import ActionError, FaultClass
from imbot.model import OutcomeKind, Reason
from imbot.pluginhost import PluginSettings, find_plugins
from imbot.problemcodes import CODES, MEANINGS
from imbot.rulebook import acts, calendarreading, loader, policy, shared
from imbot.rulebook.filters import FILTERS, TESTS
from imbot.rulebook.functions import FUNCTIONS, JUNCTIONS, SECRET
from imbot.rulebook.loader import RuleFile, load_rulebook
from imbot.rulebook.namewords import NAMES
from imbot.rulebook.schema import Missed, Mode, OnceScope, Rule, TextTest
from imbot.rulebook.scope import EVENT_FIELDS
from imbot.rulebook.stepkeys import LANGUAGE
from imbot.rulebook.triggers import _OPTIONS, _READERS
from imbot.rulebook.values import STEP_OPTIONS
from imbot.testing import event_reading, script_reading
from imbot.testing.script_reading import read_script

ROOT = Path(__file__).parents[2]
OWN_PLUGIN = ROOT / "examples" / "04-own-plugin"
GUIDE = ROOT / "docs" / "guide" / "write-a-plugin.md"
SHOWN = {".py", ".toml", ".yaml"}
FENCED = re.DOTALL | re.MULTILINE
ACTIONS = find_plugins(PluginSettings(), with_options=False).actions

_spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
generate = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generate)


def page(name):
    return (generate.REFERENCE / name).read_text()


# The pages are written by the code -------------------------------------------------------------


@pytest.mark.parametrize(("name", "lines"), generate.PAGES.items())
def test_the_reference_is_as_the_code_says(name, lines):
    """If this fails: python docs/generate.py."""
    assert generate.filled(page(name), lines()) == page(name)


@pytest.mark.parametrize("name", sorted(set(generate.PAGES) - {"problems.md"}))
def test_every_row_says_what_it_means(name):
    """A key without a meaning is one that nobody dares to touch."""
    rows = [line for line in page(name).splitlines() if line.startswith("| `")]

    assert rows
    assert [row for row in rows if row.endswith("|  |")] == []


def test_what_stands_outside_the_marks_stays():
    """It was written by hand."""
    before = f"a\n{BEGIN}\nold\n{END}\nb\n"

    assert generate.filled(before, iter(["new", ""])) == f"a\n{BEGIN}\n\nnew\n\n{END}\nb\n"


def test_a_table_has_no_column_without_anything_in_it():
    """An empty column makes the others narrow."""
    assert list(table(("a", "b", "c"), [("1", "", "x|y"), ("2", "", "")])) == [
        "| a | c |",
        "|---|---|",
        "| 1 | x\\|y |",
        "| 2 |  |",
        "",
    ]


# Nothing is left out ---------------------------------------------------------------------------

_OF_TESTS = (
    *(script_reading.FILE_KEYS, script_reading.TEST_KEYS, event_reading.EVENT_KEYS),
    *(event_reading.SESSION_KEYS, event_reading.SNAPSHOT_KEYS, event_reading.ANSWER_KEYS),
)
#: Page → every word of the code that it explains.
WORDS = {
    "rule-files.md": [
        *(loader._FILE_KEYS, loader._RULE_KEYS, policy.POLICY_KEYS, policy._THROTTLE),
        *(policy._BUDGET, calendarreading._KEYS, shared._BLOCK_KEYS, Mode, OnceScope),
    ],
    "triggers.md": [_READERS, *_OPTIONS.values(), set(TextTest) - {TextTest.ANY}, Missed],
    "steps.md": [ACTIONS, LANGUAGE, STEP_OPTIONS, acts._RETRY, {"then", "else"}],
    "plugins.md": [ACTIONS],
    "test-files.md": [*_OF_TESTS, script_reading.EXPECT_KEYS],
    "outcomes.md": [
        *(Reason, OutcomeKind, FaultClass),
        {each.kind for each in ActionError.__subclasses__()},
    ],
    "problems.md": [MEANINGS],
}


@pytest.mark.parametrize(("name", "words"), WORDS.items())
def test_every_word_of_the_code_is_explained(name, words):
    """What is not on a page, an author never finds."""
    explained = set(re.findall(r"^(?:\| |#+ )\[?`([^`]+)`", page(name), re.MULTILINE))

    assert set(map(str, chain(*words))) - explained == set()


@pytest.mark.parametrize(
    ("name", "functions"),
    [
        ("expressions.md", [*FUNCTIONS, *JUNCTIONS]),
        ("templates.md", [*FILTERS, *TESTS, SECRET.name]),
    ],
)
def test_every_function_is_explained(name, functions):
    explained = re.findall(r"^\| `(\w+)[(`]", page(name), re.MULTILINE)

    assert set(functions) - set(explained) == set()


def test_every_name_that_expressions_see_says_what_it_is():
    """The checker knows their types; people want to know what they are."""
    seen = set(names.paths())
    written = page("expressions.md") + page("triggers.md")

    assert set(NAMES) == seen
    assert [name for name in seen if f"`{name}`" not in written] == []


def test_every_kind_of_event_is_that_of_a_trigger():
    assert {triggers._EVENT.get(kind, kind) for kind in _READERS} == set(EVENT_FIELDS)


def test_the_defaults_that_are_told_are_those_of_the_code():
    """They stand in a sentence that the code itself does not read."""
    told = dict(
        re.findall(r"^\| `(\w+)` \|.*?\| `(\w+)` \| [^|]+ \|$", page("rule-files.md"), re.MULTILINE)
    )
    defaults = {field.name: field.default for field in dataclasses.fields(Rule)}
    rule = {key: str(defaults[key]).lower() for key in told}
    backoff = f"`{format_duration(acts._FIRST_S)}..{format_duration(acts._LAST_S)}` |"

    assert told == rule
    assert len(told) >= 6
    assert f"| `max_age` | duration | {format_duration(policy.REPLY_MAX_AGE_S)} where" in (
        page("rule-files.md")
    )
    assert backoff in page("steps.md")


# Examples --------------------------------------------------------------------------------------


def checked(text):
    """Return what the checker says about a rule file, with the secrets that examples ask for."""
    return load_rulebook(
        [RuleFile("page.yaml", text)],
        ACTIONS,
        secrets=frozenset({"CRM_TOKEN"}),
        allowed_hosts=["https://crm.example"],
        timezone="Europe/Berlin",
        country="DE",
        today=date(2026, 3, 2),
    )[1]


@pytest.mark.parametrize(("name", "text"), list(examples.rule_files()))
def test_an_example_is_right(name, text):
    """What is copied from a page works."""
    assert [str(problem) for problem in checked(text)] == [], name


def test_the_example_of_a_test_is_right():
    assert read_script("rules.test.yaml", examples.example("test"), ACTIONS)[1] == []


@pytest.mark.parametrize("function", [*FUNCTIONS.values(), *FILTERS.values(), *TESTS.values()])
def test_the_example_of_a_function_is_right_and_shows_it(function):
    """An author who looks a function up copies this."""
    is_template = "{{" in function.example
    rule = {
        "id": "example",
        "trigger": [{"message": "any"}, {"state": "any"}],
        "vars": {"limit": None} if "vars.limit" in function.example else {},
        **({} if is_template else {"when": function.example}),
        "do": [{"log": function.example if is_template else "it holds"}],
    }
    support = {"timezone": "Europe/Berlin", "open": {"mon-fri": "08:00-18:00"}}
    other = {"id": "greet", "trigger": {"state": "Completed"}, "once": "session"}
    asks = {"when": 'open("support")', "do": [{"log": "bye"}]}
    book = {"version": 1, "calendars": {"support": support}, "rules": [rule, other | asks]}

    assert checked(yaml.safe_dump(book)) == []
    assert function.name in function.example


# Codes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", MEANINGS)
def test_the_example_of_a_code_brings_it_at_a_place(code):
    """Whoever looks a code up sees what it means in a file, and that imbot finds it."""
    found = [each for each in mistakes.mistake_of(code).problems if each.code == code]

    assert found
    assert all(problem.place.path and problem.what for problem in found)


@pytest.mark.parametrize("code", sorted(set(MEANINGS) - {"unread-folder"}))
def test_the_example_of_a_code_shows_that_mistake_alone(code):
    """A second mistake in it would teach the wrong thing."""
    assert {problem.code for problem in mistakes.mistake_of(code).problems} == {code}


def test_a_code_is_about_one_topic_and_says_so_in_one_sentence():
    """Under two topics it would have two meanings, of which the page shows both."""
    told = list(chain.from_iterable(codes.items() for codes in CODES.values()))

    assert sorted(told) == sorted(MEANINGS.items())
    assert [code for code, means in told if not re.fullmatch(r"[A-Z`].*\.", means)] == []


#: Who makes problems → which of its arguments is the code.
_MAKERS = {
    **dict.fromkeys(("Problem", "problem", "error", "warn", "warning", "report", "surely"), 1),
    **dict.fromkeys(("_add", "_add_of_key", "_report", "_stop"), 1),
    "_UnfilledError": 0,
}


def codes_in(source):
    """Yield each code that a module writes out; what is worked out in it, as a pattern."""
    tree = ast.parse(source)
    constants = {
        ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target): node.value
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        maker = ast.unparse(node.func).rpartition(".")[2]
        at = _MAKERS.get(maker, len(node.args))
        given = node.args[at] if at < len(node.args) else None
        match constants.get(given.id, given) if isinstance(given, ast.Name) else given:
            case ast.Constant(value=str(code)):
                yield re.escape(code)
            case ast.JoinedStr(values=[ast.Constant(value=str(begin)), *_]):
                yield f"{re.escape(begin)}.+"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "imbot").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_every_code_of_the_code_says_what_it_means(path):
    """`imbot check --format json` tells it, and the page is made of it."""
    patterns = [] if "simulator" in path.parts else list(codes_in(path.read_text()))

    assert [each for each in patterns if not any(map(re.compile(each).fullmatch, MEANINGS))] == []


def test_codes_are_found_in_all_the_ways_in_which_they_are_given():
    """The check above would pass on a module that it does not understand."""
    source = "A = 'x-y'\ndesk.error(p, 'a-b', w)\nself._add(p, f'bad-{n}', w)\nProblem(p, A, w)"

    assert list(codes_in(source)) == ["a\\-b", "bad\\-.+", "x\\-y"]


def test_a_code_is_linked_to_where_it_is_explained():
    assert anchor("`bad-key`") == "bad-key"
    assert "[`bad-key`](#bad-key)" in page("problems.md")


# Guide -----------------------------------------------------------------------------------------


def test_the_guide_shows_the_code_of_the_example():
    """What runs there can be copied from here."""
    files = [path.read_text() for path in OWN_PLUGIN.rglob("*") if path.suffix in SHOWN]
    blocks = re.findall(r"^```(?:python|toml|yaml)\n(.*?)^```", GUIDE.read_text(), FENCED)

    strange = [block for block in blocks if not any(block in text for text in files)]
    assert len(blocks) > 5
    assert [block for block in strange if not block.startswith("plugins: {paths")] == []
