"""What the pages show can be copied: their YAML is what imbot reads."""

import re
from datetime import date
from pathlib import Path

import pytest

from imbot.config import load_settings
from imbot.pluginhost import PluginSettings, find_plugins
from imbot.rulebook.loader import RuleFile, load_rulebook

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]


def blocks(beginning: str) -> list[object]:
    """Return the fenced YAML blocks of all pages that begin so, named by page and line."""
    shown: list[object] = []
    for page in sorted(PAGES):
        text = page.read_text()
        for found in re.finditer(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            line = text.count("\n", 0, found.start(1)) + 1
            if found[1].startswith(beginning):
                shown.append(pytest.param(found[1], id=f"{page.relative_to(ROOT)}:{line}"))
    return shown


@pytest.mark.parametrize("block", blocks("version:"))
def test_rules_on_a_page_pass_the_check(block):
    """A rule that a newcomer copies must not greet them with a mistake of ours."""
    _, problems = load_rulebook(
        [RuleFile("page.yaml", block)],
        find_plugins(PluginSettings(), with_options=False).actions,
        secrets=None,
        allowed_hosts=None,
        timezone="UTC",
        country="DE",
        today=date(2026, 3, 2),
    )

    assert problems == []


@pytest.mark.parametrize("block", blocks("gws:"))
def test_settings_on_a_page_load_without_a_warning(block, tmp_path):
    """So are settings, once the environment holds what they ask for."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "imbot.yaml").write_text(block)
    environment = dict.fromkeys(re.findall(r"\$\{env:(\w+)\}", block), "value")

    assert load_settings(tmp_path / "imbot.yaml", environment=environment).warnings == ()
