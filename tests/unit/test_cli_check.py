"""``imbot check``: each mistake with its place and its cure, and nothing said about right files."""

import json
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imbot.cli import checking
from imbot.cli.checking import check
from imbot.loading import Wanted, make_rulebook
from imbot.pluginhost import PluginSettings, find_plugins

DATA = Path(__file__).parents[1] / "data"
ROOT = Path(__file__).parents[2]

WANTED = Wanted(find_plugins(PluginSettings(), with_options=False))
GREET = "version: 1\nrules:\n  - {id: hi, trigger: {state: Talking}, do: [{reply: Hello}]}\n"


def seeds():
    """Yield each wrong text with the lines that it must bring."""
    for path in sorted((DATA / "mistakes").glob("*.yaml")):
        for seed in path.read_text(encoding="utf-8").split("\n---\n"):
            lines = seed.splitlines()
            told = [line.removeprefix("#> ") for line in lines if line.startswith("#> ")]
            text = "\n".join(line for line in lines if not line.startswith("#> ")) + "\n"
            yield pytest.param(text, told, id=f"{path.stem}: {lines[0].removeprefix('# ')}")


@pytest.fixture(scope="module", autouse=True)
def _plugins_once():
    """Load the standard plugins once, not for each of two hundred checks."""
    with pytest.MonkeyPatch.context() as patch:
        found = find_plugins(PluginSettings(), with_options=False)
        patch.setattr(checking, "find_plugins", lambda *_, **__: found)
        yield


@pytest.fixture
def checked(tmp_path, monkeypatch, capsys):
    """Check texts in a folder without settings; return the exit code and the lines."""
    monkeypatch.chdir(tmp_path)

    def look(*texts, strict=False, config=None, shape="text"):
        names = [f"{'fgh'[number]}.yaml" for number in range(len(texts))]
        for name, text in zip(names, texts, strict=True):
            Path(name).write_text(text, encoding="utf-8")
        code = check([Path(name) for name in names], config, strict=strict, shape=shape)
        return code, capsys.readouterr().out.splitlines()

    return look


@pytest.mark.parametrize(("text", "told"), list(seeds()))
def test_each_mistake_is_told_with_its_place_and_what_would_be_right(text, told, checked):
    """An author who makes a mistake reads these lines and nothing else."""
    code, lines = checked(text)

    assert lines == [f"f.yaml:{line}" for line in told]
    assert code == (1 if any(" error[" in line for line in lines) else 0)


def test_every_kind_of_mistake_is_seeded_in_three_ways_at_least():
    """One seed would only show that one wording is caught."""
    kinds = [seed.id.partition(":")[0] for seed in seeds()]

    assert {kind for kind in kinds if kinds.count(kind) < 3} == set()
    assert len(set(kinds)) >= 19


@pytest.mark.parametrize(
    "path",
    [
        *sorted((DATA / "correct").glob("*.yaml")),
        *sorted((ROOT / "rules").glob("*.yaml")),
        *sorted((ROOT / "examples").glob("0[123]*/rules/*.yaml")),
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_nothing_is_said_about_a_correct_file(path, monkeypatch, tmp_path, capsys):
    """A false alarm teaches people to look away."""
    monkeypatch.chdir(tmp_path)

    assert check([path], None, strict=True) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("example", sorted(ROOT.glob("examples/0[123]*/imbot.yaml")), ids=str)
def test_nothing_is_said_about_an_example_with_its_settings(example, monkeypatch, capsys):
    """The first thing that a reader does with an example is to check it."""
    monkeypatch.setenv("BOT1_PASSWORD", "pw")

    assert check([], example, strict=True) == 0
    assert capsys.readouterr() == ("", "")


def test_warnings_are_errors_only_when_asked_for(checked):
    text = "version: 1\nvars: {unused: 1}\nrules: []\n"

    assert checked(text)[0] == 0
    assert checked(text, strict=True)[0] == 1


def test_programs_and_github_are_told_the_code_and_its_place(checked):
    """The code is what a program looks for, and what a person looks up."""
    text = "version: 1\nvars: {unused: 1}\nrules: []\n"

    _, (line,) = checked(text, shape="json")
    assert json.loads(line) == {
        "path": "f.yaml",
        "line": 2,
        "column": 8,
        "severity": "warning",
        "code": "unused-var",
        "what": "nothing uses 'vars.unused'",
        "cure": "remove it",
        "means": "Nothing uses a constant.",
    }
    assert checked(text, shape="github")[1] == [
        "::warning file=f.yaml,line=2,col=8,title=unused-var::nothing uses 'vars.unused'; remove it"
    ]


def test_all_paths_are_one_rulebook(checked):
    """Two files that are right alone may be wrong together."""
    code, lines = checked(GREET, GREET)

    assert code == 1
    assert lines[0] == (
        "g.yaml:3:10: error[duplicate-id]: a second rule 'hi'; first at f.yaml:3:10; "
        "give it another id"
    )


def test_two_files_that_surely_reply_to_the_same_are_told(checked):
    code, lines = checked(GREET, GREET.replace("hi,", "ho,"))

    assert code == 1
    assert lines[0].startswith("g.yaml:3:10: error[double-reply]: 'ho' and 'hi' (f.yaml:3:10)")


SETTINGS = """
gws: {url: "https://gws.example"}
agents: [{user: bot1, password: "${env:PW}"}]
secrets: {CRM_URL: "${env:PW}"}
http: {allow: ["https://crm.example"]}
plugins: {disabled: [tagging], options: {crm: {url: "https://crm.example"}}}
rules: [rules]
"""


@pytest.fixture
def with_settings(tmp_path, monkeypatch, checked):
    """Check texts beside settings."""
    monkeypatch.setenv("PW", "pw")
    (tmp_path / "rules").mkdir()
    (tmp_path / "imbot.yaml").write_text(SETTINGS, encoding="utf-8")
    return checked


DISABLED = "plugin tagging: disabled: listed in plugins.disabled"


def steps(*written):
    head = "version: 1\nrules:\n  - id: r\n    trigger: {state: Talking}\n    do:\n"
    return head + "".join(f"      - {step}\n" for step in written)


def test_settings_say_which_secrets_hosts_and_plugins_there_are(with_settings):
    """What only a warning can be without settings is an error beside them."""
    code, lines = with_settings(
        steps(
            "set: {a: b}",
            "http: {get: \"{{ secret('CRM_URI') }}/x\"}",
            "http: {get: https://other.example/x}",
            "http: {get: https://crm.example/x}",
        )
    )

    assert code == 1
    assert [line.split("; ")[0] for line in lines] == [
        f"f.yaml:6:9: error[unavailable-action]: the action 'set' is not available: {DISABLED}",
        "f.yaml:7:32: error[unknown-secret]: unknown secret 'CRM_URI'",
        "f.yaml:8:21: error[host-not-allowed]: http may not reach https://other.example",
    ]
    assert [line.split("; ")[1] for line in lines] == [
        "enable its plugin in the settings",
        "did you mean 'CRM_URL'?",
        (
            "did you mean 'https://crm.example'? Else add it to the settings' http.allow, "
            "or to http.internal if it is in your own network"
        ),
    ]


def test_what_is_wrong_about_plugins_in_the_settings_stands_there(with_settings, tmp_path):
    """A name, an option or a folder that is misspelt is looked for in the settings."""
    text = SETTINGS.replace("tagging", "taging").replace("crm: {", "rply: {a: b}, crm: {toke: x, ")
    (tmp_path / "imbot.yaml").write_text(text, encoding="utf-8")

    code, lines = with_settings(GREET)

    assert code == 0
    assert lines == [
        f"imbot.yaml:6:{rest}"
        for rest in (
            "41: warning[unknown-plugin]: there is no plugin 'rply'; did you mean 'reply'?",
            "22: warning[unknown-plugin]: there is no plugin 'taging'; did you mean 'tagging'?",
            (
                "61: warning[bad-options]: plugins.options.crm.toke is no option; "
                "did you mean 'token'?"
            ),
        )
    ]


@pytest.mark.usefixtures("with_settings")
def test_rules_that_are_not_there_are_told_where_the_settings_name_them(tmp_path, capsys):
    text = SETTINGS.replace("[rules]", "\n  - rules\n  - ruls")
    (tmp_path / "imbot.yaml").write_text(text, encoding="utf-8")

    assert check([], None, strict=False) == 1
    assert [line.partition(";")[0] for line in capsys.readouterr().out.splitlines()] == [
        "imbot.yaml:8:5: warning[no-rules]: no rule file in 'rules'",
        "imbot.yaml:9:5: error[no-rules]: 'ruls' cannot be read: No such file or directory",
    ]


CALENDAR = """version: 1
calendars:
  desk: {timezone: Europe/Berlin, open: {mon-fri: "09:00-17:00"}, ics: off.ics}
rules:
  - {id: hi, trigger: {state: Talking}, when: open("desk"), do: [{reply: Hello}]}
"""
FEED = """BEGIN:VCALENDAR
BEGIN:VEVENT
DTSTART;VALUE=DATE:29991224
END:VEVENT
END:VCALENDAR
"""


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (FEED.encode(), []),
        (None, ["'off.ics' cannot be read: No such file or directory"]),
        (b"hello", ["'off.ics' cannot be read: no iCalendar file: it does not begin with BEGIN"]),
        (b"\xff\xfe", ["'off.ics' cannot be read: it is no UTF-8 text"]),
        (b"x" * 300_000, ["'off.ics' cannot be read: it is larger than 262144 bytes"]),
    ],
)
def test_a_calendar_takes_its_days_off_from_a_file_beside_it(content, told, tmp_path, monkeypatch):
    """From the rule file's folder, wherever check was called."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.yaml").write_text(CALENDAR, encoding="utf-8")
    if content is not None:
        (tmp_path / "rules" / "off.ics").write_bytes(content)

    book, problems = make_rulebook([Path("rules")], WANTED, today=date(2026, 1, 1))

    assert (book is None) == bool(told)
    assert [problem.what.partition(":VCAL")[0] for problem in problems] == told
    assert all(str(problem.place) == "rules/a.yaml:3:72" for problem in problems)


@pytest.mark.usefixtures("with_settings")
def test_without_paths_the_rules_of_the_settings_are_checked(tmp_path, capsys):
    (tmp_path / "rules" / "x.yaml").write_text("version: 3\n", encoding="utf-8")

    assert check([], None, strict=False) == 1
    assert capsys.readouterr().out.startswith("rules/x.yaml:1:10: error[unknown-version]")


def test_without_paths_and_settings_the_folder_rules_is_checked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert check([], None, strict=False) == 1
    assert capsys.readouterr().out.startswith("rules: error[no-rules]")

    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "x.yaml").write_text(GREET, encoding="utf-8")
    assert check([], None, strict=False) == 0


def test_a_path_that_cannot_be_read_is_told_beside_the_mistakes_of_the_others(checked, capsys):
    checked(GREET.replace("Talking", "Taking"))
    Path("folder").mkdir()

    assert check([Path("gone.yaml"), Path("f.yaml"), Path("folder")], None, strict=False) == 1
    assert [line.partition(";")[0] for line in capsys.readouterr().out.splitlines()] == [
        "gone.yaml: error[no-rules]: 'gone.yaml' cannot be read: No such file or directory",
        "folder: warning[no-rules]: no rule file in 'folder'",
        "f.yaml:3:31: error[unknown-word]: 'Taking' is no session state",
    ]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_right_or_bring_a_line_with_a_place(content, tmp_path_factory, capsys):
    """Whatever is pasted into a rule file, check answers."""
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)

    code = check([path], None, strict=False)

    lines = capsys.readouterr().out.splitlines()
    assert (code == 1) == any(" error[" in line for line in lines)
    assert all(line.startswith(f"{path}:") for line in lines)


def test_a_folder_of_rulebooks_says_which_to_name(tmp_path, monkeypatch, capsys):
    """A rulebook is a folder; ``imbot test`` finds tests in all of them, ``check`` takes one."""
    monkeypatch.chdir(tmp_path)
    rules = tmp_path / "bots" / "one" / "rules"
    rules.mkdir(parents=True)
    (rules / "a.yaml").write_text(GREET, encoding="utf-8")

    assert check([Path("bots")], None, strict=False) == 0
    assert (
        capsys.readouterr()
        .out.rstrip()
        .endswith(
            "no rule file in 'bots'; a rulebook is one folder: name that, such as 'bots/one/rules'"
        )
    )
