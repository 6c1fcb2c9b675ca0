"""``imbot schema``: what it prints and writes, with the plugins in force."""

import json

import pytest
from typer.testing import CliRunner

from imbot.cli.root import cli


@pytest.fixture
def imbot(tmp_path, monkeypatch):
    """Run imbot in a folder of its own; return its result."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(cli, words)


@pytest.mark.parametrize("which", ["rules", "test", "settings"])
def test_one_schema_is_printed(imbot, which):
    """For whoever keeps it elsewhere."""
    result = imbot("schema", which)

    assert result.exit_code == 0
    assert json.loads(result.stdout)["$schema"].endswith("draft-07/schema#")


def test_all_are_printed_by_name(imbot):
    """One document for programs."""
    assert list(json.loads(imbot("schema").stdout)) == ["rules", "test", "settings"]


def test_they_are_written_into_a_folder(imbot, tmp_path):
    """As the first lines of YAML files name them."""
    result = imbot("schema", "--write", "a/schema")

    assert result.stdout.split() == [
        f"a/schema/{name}.json" for name in ("rules", "test", "settings")
    ]
    printed = imbot("schema", "rules").stdout
    assert (tmp_path / "a" / "schema" / "rules.json").read_text() == printed
    assert imbot("schema", "test", "--write", "b").stdout.split() == ["b/test.json"]


def test_the_plugins_are_those_of_the_settings(imbot, tmp_path):
    """A step that would be refused is not offered."""
    settings = 'gws: {url: "http://x"}\nagents: [{user: a, password: "${file:pw}"}]\n'
    (tmp_path / "pw").write_text("pw")
    (tmp_path / "imbot.yaml").write_text(settings + "plugins: {disabled: [http]}\n")
    steps = json.loads(imbot("schema", "rules").stdout)["definitions"]["step"]["properties"]

    assert "reply" in steps
    assert not {"http", "crm.lookup"} & steps.keys()


def test_wrong_settings_are_told_and_the_standard_plugins_taken(imbot, tmp_path):
    """An editor needs the schema to mend the settings."""
    (tmp_path / "imbot.yaml").write_text("gws: {}\n")
    result = imbot("schema", "rules")

    assert result.exit_code == 0
    assert "imbot.yaml:1" in result.stderr
    assert "crm.lookup" in json.loads(result.stdout)["definitions"]["step"]["properties"]
