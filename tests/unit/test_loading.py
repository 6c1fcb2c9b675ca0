"""Rules of imbot/loading.py: files and settings in, one rulebook out."""

import asyncio
from datetime import date

import pytest

from imbot.config import load_settings
from imbot.errors import RulebookError
from imbot.loading import (
    Wanted,
    compile_kept,
    installed,
    make_rulebook,
    plugin_settings,
    require_rulebook,
    rule_changes,
    rule_files,
    rule_paths,
    rule_secrets,
)
from imbot.pluginhost import PluginSettings, find_plugins
from imbot.records import RuleSeen

TODAY = date(2026, 3, 2)
RULES = "version: 1\nrules:\n  - {{id: {}, trigger: {{state: Talking}}, do: [{{log: x}}]}}\n"
SETTINGS = """
gws: {url: "http://gws.test"}
agents: [{user: bot1, password: "${env:PW}"}]
secrets: {A: "${env:PW}"}
plugins: {paths: [own], disabled: [crm], options: {x: {y: 1}}}
http: {allow: ["http://a.test"]}
timezone: Europe/Berlin
country: AT
"""


@pytest.fixture
def plugins():
    return find_plugins(PluginSettings(), with_options=False)


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """Settings in a folder below where imbot was started."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "etc" / "rules").mkdir(parents=True)
    (tmp_path / "etc" / "imbot.yaml").write_text(SETTINGS)
    return load_settings((tmp_path / "etc" / "imbot.yaml").relative_to(tmp_path), environment=ENV)


ENV = {"PW": "pw"}


def test_a_folder_is_read_in_the_order_of_names_without_tests_and_other_files(tmp_path):
    for name in ("b.yaml", "a.yml", "c.test.yaml", "notes.md", "sub.yaml.bak"):
        (tmp_path / name).write_text(name)
    (tmp_path / "sub").mkdir()

    files, problems = rule_files([tmp_path])

    assert [file.name for file in files] == [f"{tmp_path}/a.yml", f"{tmp_path}/b.yaml"]
    assert problems == []


def test_a_folder_inside_is_not_read_and_that_is_told(tmp_path):
    """What was put aside there must not act; what should act must not be missed silently."""
    for name in ("old/a.yaml", "old/b.yml", "tests/a.test.yaml", "..data/a.yaml", "c.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")

    files, problems = rule_files([tmp_path])

    assert [file.name for file in files] == [f"{tmp_path}/c.yaml"]
    (problem,) = problems
    assert (problem.place.path, problem.code) == (f"{tmp_path}/old", "unread-folder")
    assert problem.told.startswith("rule files in it are not read")


def test_settings_that_lie_beside_rules_are_no_rules(tmp_path):
    """``imbot check .`` is what one types in the folder of a bot."""
    (tmp_path / "imbot.yaml").write_text("rules: [rules]\n")
    (tmp_path / "hello.yaml").write_text("version: 1\n")

    files, problems = rule_files([tmp_path])

    assert [file.name for file in files] == [f"{tmp_path}/hello.yaml"]
    assert problems == []


def test_what_cannot_be_read_is_told_and_the_rest_is_read(tmp_path):
    (tmp_path / "a.yaml").write_text("x")
    (tmp_path / "empty").mkdir()
    paths = [tmp_path / name for name in ("gone", "a.yaml", "empty", "nul\0")]

    files, problems = rule_files(paths)

    assert [file.text for file in files] == [b"x"]
    assert [str(problem).split(": ")[1] for problem in problems] == [
        "error[no-rules]",
        "warning[no-rules]",
        "error[no-rules]",
    ]


def test_a_folder_in_the_place_of_a_file_is_told(tmp_path):
    (tmp_path / "odd.yaml").mkdir()

    _, problems = rule_files([tmp_path])

    assert "Is a directory" in problems[0].what


def test_there_is_no_rulebook_with_a_path_that_cannot_be_read(tmp_path, plugins):
    (tmp_path / "a.yaml").write_text(RULES.format("a"))

    book, problems = make_rulebook([tmp_path / "a.yaml"], Wanted(plugins), today=TODAY)
    assert [rule.id for rule in book.rules] == ["a"]
    assert problems == []

    paths = [tmp_path / "a.yaml", tmp_path / "gone"]
    book, problems = make_rulebook(paths, Wanted(plugins), today=TODAY)
    assert book is None
    assert len(problems) == 1


def test_rules_are_named_as_whoever_started_imbot_would_name_them(loaded, plugins, tmp_path):
    """A place in an error must be one that an editor opens."""
    (tmp_path / "etc" / "rules" / "a.yaml").write_text(RULES.format("a"))

    book = require_rulebook(loaded, Wanted(plugins), today=TODAY)

    assert book.rules[0].place.path == "etc/rules/a.yaml"
    assert [str(path) for path in rule_paths(loaded)] == ["etc/rules"]


def test_a_rulebook_that_is_wrong_is_refused_with_every_error(loaded, plugins, tmp_path):
    (tmp_path / "etc" / "rules" / "a.yaml").write_text("rools: []\nversion: 2\n")

    with pytest.raises(RulebookError) as refused:
        require_rulebook(loaded, Wanted(plugins), today=TODAY)

    assert [problem.code for problem in refused.value.problems] == [
        "unknown-key",
        "unknown-version",
    ]


def test_settings_say_what_rules_are_checked_against(loaded, plugins, tmp_path):
    wanted = Wanted.by(loaded.settings, plugins, ["A"])

    assert wanted.secrets == {"A"}
    assert wanted.allowed_hosts == ("http://a.test",)
    assert (wanted.timezone, wanted.country) == ("Europe/Berlin", "AT")
    own = plugin_settings(loaded)
    assert own.paths == (tmp_path / "etc" / "own",)
    assert own.disabled == {"crm"}
    assert own.options["x"].keys() == {"y"}


def test_rules_get_the_secrets_of_the_settings_and_of_the_folder(loaded, tmp_path):
    """The settings' win: who wrote them meant it."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "A").write_text("other")
    (folder / "B").write_text("b\n")

    secrets = rule_secrets(loaded.settings, {"CREDENTIALS_DIRECTORY": str(folder)})

    assert {name: secrets[name] for name in "AB"} == {"A": "pw", "B": "b"}


def test_each_action_comes_with_the_options_of_its_plugin(plugins):
    found = installed(plugins)

    assert found["reply"].action.name == "reply"
    assert found.keys() == plugins.actions.keys()


# Changes ----------------------------------------------------------------------------------------


async def test_changes_of_rule_files_are_noticed_and_no_others(tmp_path):
    """Editors put another file in the place of the old one; the store writes beside it."""
    rules = tmp_path / "rules.yaml"
    rules.write_text("a")
    noticed = asyncio.Queue()

    async def watch():
        async for change in rule_changes([rules]):
            noticed.put_nowait(change)

    watching = asyncio.create_task(watch())
    while noticed.empty():  # it begins to look some time after it was asked to
        rules.write_text("b")
        await asyncio.sleep(0.3)
    while not noticed.empty():
        noticed.get_nowait()
        await asyncio.sleep(0.5)
    (tmp_path / "imbot.db").write_text("x")
    (tmp_path / "rules.test.yaml").write_text("x")
    await asyncio.sleep(0.8)
    assert noticed.empty()
    (tmp_path / "rules.yaml~").write_text("c")
    (tmp_path / "rules.yaml~").replace(rules)
    await asyncio.wait_for(noticed.get(), 5)
    watching.cancel()
    await asyncio.wait([watching])


@pytest.mark.parametrize("named", ["conf", "conf/rules.yaml"])
async def test_a_change_behind_a_link_is_noticed(tmp_path, named):
    """Whoever links the rules out of a repository edits them there."""
    for name in ("conf", "repository"):
        (tmp_path / name).mkdir()
    real = tmp_path / "repository" / "ours.yaml"
    real.write_text("a")
    (tmp_path / "conf" / "rules.yaml").symlink_to(real)
    changes = rule_changes([tmp_path / named])

    noticed = asyncio.ensure_future(anext(changes))
    while not noticed.done():  # it begins to look some time after it was asked to
        real.write_text("b")
        await asyncio.sleep(0.3)
    await changes.aclose()


async def test_what_cannot_be_watched_is_an_error_of_the_system(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        await anext(rule_changes([tmp_path / "no" / "folder" / "rules.yaml"]))


# Versions ---------------------------------------------------------------------------------------


def test_a_kept_version_is_compiled_or_given_up(tmp_path, plugins):
    """Stores outlive plugins, and versions of imbot."""
    path = tmp_path / "rules.yaml"
    path.write_text(RULES.format("a"))
    book, _ = make_rulebook([path], Wanted(plugins), today=TODAY)
    [rule] = book.rules
    seen = RuleSeen(rule.version, rule.id, str(path), rule.source)
    compiled = compile_kept(plugins.actions, today=TODAY)

    assert compiled(seen).version == rule.version
    for source in ("rule: greet", "{}", rule.source.replace("log: x", "say: x")):
        assert compiled(RuleSeen("v1", "a", str(path), source)) is None
