"""The schemas that ship are as the code makes them; every YAML file that ships names its own."""

import importlib.util
import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from imbot.yamlfile import load

ROOT = Path(__file__).parents[2]
SHIPPED = sorted([*(ROOT / "rules").rglob("*.yaml"), *(ROOT / "examples").rglob("*.yaml")])
TEMPLATES = sorted((ROOT / "imbot" / "templates").rglob("*.yaml.template"))
HEADER = re.compile(r"# yaml-language-server: \$schema=(\S+)\n")

_spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
generate = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generate)


def kind_of(name):
    """Return of which kind a file is, by its name."""
    if name.startswith("imbot.yaml"):
        return "settings"
    return "test" if ".test.yaml" in name else "rules"


@pytest.mark.parametrize(
    ("path", "text"),
    [pytest.param(*each, id=str(each[0].relative_to(ROOT))) for each in generate.schemas.files()],
)
def test_a_schema_that_ships_is_as_the_code_makes_it(path, text):
    """If this fails: python docs/generate.py."""
    assert path.read_text() == text


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_that_ships_names_the_schema_of_its_kind_and_fits_it(path):
    """An editor finds it from there, without being set up."""
    text = path.read_text()
    found = HEADER.match(text)
    assert found, "begin the file with # yaml-language-server: $schema=…"
    schema = path.parent / found[1]
    assert schema.name == f"{kind_of(path.name)}.json"
    tree, _ = load(path.name, text)

    faults = Draft7Validator(json.loads(schema.read_text())).iter_errors(tree.plain())
    assert [fault.message for fault in faults] == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_template_names_the_schema_that_is_written_beside_it(path):
    """`imbot new` writes both."""
    up = "../" if path.parent.name == "rules" else ""

    found = HEADER.match(path.read_text())
    assert found
    assert found[1] == f"{up}schema/{kind_of(path.name)}.json"
