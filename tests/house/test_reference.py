"""The reference says what the code says, and the guide shows code that runs."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OWN_PLUGIN = ROOT / "examples" / "04-own-plugin"
GUIDE = ROOT / "docs" / "guide" / "write-a-plugin.md"

_spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
generate = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generate)


@pytest.mark.parametrize(("name", "lines"), generate.PAGES.items())
def test_the_reference_is_as_the_code_says(name, lines):
    """If this fails: python docs/generate.py."""
    page = (generate.REFERENCE / name).read_text()

    assert generate.filled(page, lines()) == page


@pytest.mark.parametrize("lines", generate.PAGES.values())
def test_every_row_says_what_it_means(lines):
    """A setting without a meaning is one that nobody dares to touch."""
    rows = [line for line in lines() if line.startswith("| `")]

    assert rows
    assert [row for row in rows if row.endswith("|  |")] == []


def test_what_stands_outside_the_marks_stays():
    """It was written by hand."""
    page = f"a\n{generate.BEGIN}\nold\n{generate.END}\nb\n"

    assert generate.filled(page, iter(["new", ""])) == (
        f"a\n{generate.BEGIN}\n\nnew\n\n{generate.END}\nb\n"
    )


def test_the_guide_shows_the_code_of_the_example():
    """What runs there can be copied from here."""
    files = [path.read_text() for path in OWN_PLUGIN.rglob("*") if path.suffix in SHOWN]
    blocks = re.findall(r"^```(?:python|toml|yaml)\n(.*?)^```", GUIDE.read_text(), FENCED)

    strange = [block for block in blocks if not any(block in text for text in files)]
    assert len(blocks) > 5
    assert [block for block in strange if not block.startswith("plugins: {paths")] == []


SHOWN = {".py", ".toml", ".yaml"}
FENCED = re.DOTALL | re.MULTILINE
