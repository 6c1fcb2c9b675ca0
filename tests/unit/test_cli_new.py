"""``imbot new``: what it writes passes check and test at once, and nothing is overwritten."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from imbot.cli.new import TEMPLATES, _wrong_name
from imbot.cli.root import cli


@pytest.fixture
def imbot(tmp_path, monkeypatch):
    """Run imbot in a folder of its own; return the exit code and what it said."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        result = CliRunner().invoke(cli, words)
        return result.exit_code, result.output

    return run


def files(folder):
    """Return the files below a folder, as one reads them."""
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def passes(imbot):
    """Assert that check finds nothing here, not even a warning, and that all tests pass."""
    assert imbot("check", "--strict") == (0, "")
    code, said = imbot("test", "rules")
    assert (code, "failed" in said.replace("0 failed", "")) == (0, False), said


@pytest.mark.parametrize("name", ["robin", "my-2nd_bot"])
def test_a_new_bot_passes(imbot, tmp_path, monkeypatch, name):
    """The first thing that a newcomer runs must not be red."""
    code, said = imbot("new", "bot", name)
    assert (code, f"cd {name} && imbot check" in said) == (0, True)
    monkeypatch.chdir(tmp_path / name)

    passes(imbot)


@pytest.mark.parametrize("name", ["no", "a-b_c"])
def test_a_new_rule_passes_alone_and_beside_others(imbot, tmp_path, monkeypatch, name):
    """Two of them do not answer the same words."""
    assert imbot("new", "rule", name)[0] == 0
    passes(imbot)
    assert imbot("new", "rule", "other")[0] == 0
    passes(imbot)
    imbot("new", "bot", "robin")
    monkeypatch.chdir(tmp_path / "robin")
    assert imbot("new", "rule", name)[0] == 0

    passes(imbot)


def test_a_new_plugin_passes_with_its_rule_and_its_own_tests(imbot, tmp_path, monkeypatch):
    """Found from its source folder, without being installed."""
    name = "order-status"
    assert imbot("new", "plugin", name)[0] == 0
    folder = tmp_path / f"imbot-{name}"
    monkeypatch.chdir(folder)

    passes(imbot)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert "order_status.echo" in (folder / "schema" / "rules.json").read_text()


def test_a_new_plugin_can_be_installed(imbot, tmp_path):
    """Its wheel names the plugin, so that imbot finds it."""
    imbot("new", "plugin", "faq")
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(words, cwd=tmp_path / "imbot-faq", check=True, capture_output=True)  # noqa: S603
    (wheel,) = tmp_path.glob("*.whl")
    asked = (
        "from imbot.pluginhost import *\n"
        "print(*(one.name for one in find_plugins(PluginSettings()).found))"
    )
    subprocess.run(  # noqa: S603  our own words
        [sys.executable, "-m", "zipfile", "-e", str(wheel), str(tmp_path / "site")], check=True
    )
    found = subprocess.run(  # noqa: S603  our own words
        [sys.executable, "-c", asked],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        check=True,
        capture_output=True,
        text=True,
    )

    assert "faq" in found.stdout.split()


def test_what_was_written_is_told_file_by_file(imbot, tmp_path):
    """Nobody should have to look for it."""
    _, said = imbot("new", "bot", "robin")
    *written, then = said.splitlines()

    assert sorted(written) == [f"robin/{name}" for name in files(tmp_path / "robin")]
    assert then.startswith("Next: cd robin && imbot check")


@pytest.mark.parametrize("what", ["bot", "rule", "plugin"])
def test_nothing_is_overwritten(imbot, tmp_path, what):
    """What an author wrote since is not lost."""
    imbot("new", what, "robin")
    before = {path: (tmp_path / path).read_bytes() for path in files(tmp_path)}
    code, said = imbot("new", what, "robin")

    assert (code, "is there already" in said) == (1, True)
    assert {path: (tmp_path / path).read_bytes() for path in files(tmp_path)} == before


def test_one_file_that_is_there_stops_all(imbot, tmp_path):
    """Half a rule is none."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "ping.test.yaml").write_text("mine")

    assert imbot("new", "rule", "ping")[0] == 1
    assert files(tmp_path) == ["rules/ping.test.yaml"]


def test_it_is_written_into_another_folder(imbot, tmp_path):
    """And the way there is told."""
    code, said = imbot("new", "rule", "ping", "--into", "some where")

    assert code == 0
    assert (tmp_path / "some where" / "rules" / "ping.yaml").is_file()
    assert "Next: cd 'some where' && imbot check" in said


@pytest.mark.parametrize("name", ["", "Robin", "../x", "a b", "2nd", "-x", "a.test", "null", "é"])
def test_a_name_that_cannot_be_one_is_refused(imbot, tmp_path, name):
    """It becomes a file, an id and a Python module."""
    code, said = imbot("new", "rule", "--", name)

    assert (code, "cannot be a name" in said, files(tmp_path)) == (2, True, [])


def test_a_plugin_with_the_name_of_another_is_refused(imbot):
    """The second of them would never be used."""
    code, said = imbot("new", "plugin", "crm")

    assert (code, "there is a plugin 'crm' already" in said) == (2, True)


def test_a_template_says_nothing_that_was_left_to_fill_in(imbot, tmp_path):
    """Neither in texts nor in names of files."""
    for what in ("bot", "rule", "plugin"):
        imbot("new", what, "robin")
    texts = [*files(tmp_path), *((tmp_path / path).read_text() for path in files(tmp_path))]

    assert [text for text in texts if "@name@" in text or "@module@" in text] == []
    assert not [
        path for path in TEMPLATES.rglob("*") if path.is_file() and path.suffix != ".template"
    ]


@given(st.from_regex(r"[a-z][a-z0-9_-]{0,39}", fullmatch=True))
def test_every_right_name_is_taken_but_for_what_yaml_reads_otherwise(name):
    """And so it is text in every file."""
    assert (_wrong_name("rule", name) == "") is (name not in ("null", "true", "false"))


@given(st.text(max_size=60))
def test_no_name_leads_out_of_the_folder(name):
    """Whatever was typed."""
    assert _wrong_name("bot", name) or Path(name).name == name
