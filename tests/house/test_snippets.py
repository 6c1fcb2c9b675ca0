"""What the pages show can be copied: their YAML is what imbot reads."""

import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from imbot.config import load_settings
from imbot.loading import Wanted
from imbot.pluginhost import PluginSettings, find_plugins
from imbot.rulebook.loader import RuleFile, load_rulebook
from imbot.testing.reporting import as_text
from imbot.testing.rule_tests import Given, run_tests

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]


def blocks(beginning: str, pages: Sequence[Path] = PAGES) -> list[ParameterSet]:
    """Return the fenced YAML blocks of pages that begin so, named by page and line."""
    shown: list[ParameterSet] = []
    for page in sorted(pages):
        text = page.read_text()
        for found in re.finditer(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            line = text.count("\n", 0, found.start(1)) + 1
            if found[1].startswith(beginning):
                shown.append(pytest.param(found[1], id=f"{page.relative_to(ROOT)}:{line}"))
    return shown


def with_their_pages() -> list[ParameterSet]:
    """Return the tests that pages show, each with its page."""
    shown = {page: blocks("rules: [", pages=[page]) for page in PAGES}
    return [
        pytest.param(page.read_text(), *found.values, id=found.id)
        for page, several in shown.items()
        for found in several
    ]


@pytest.mark.parametrize("block", blocks("version:"))
def test_rules_on_a_page_pass_the_check(block):
    """A rule that a newcomer copies must not greet them with a mistake of ours."""
    _, problems = load_rulebook(
        [RuleFile("page.yaml", block)],
        find_plugins(PluginSettings(), with_options=False).actions,
        secrets=frozenset(re.findall(r"secret\('(\w+)'\)", block)),  # the settings have them
        allowed_hosts=None,
        timezone="UTC",
        country="DE",
        today=date(2026, 3, 2),
    )

    assert problems == []


@pytest.mark.parametrize(("page", "block"), with_their_pages())
def test_a_test_on_a_page_passes(page, block, tmp_path, monkeypatch):
    """With the rules that stand before it, or else those that ship under this name."""
    monkeypatch.chdir(tmp_path)
    before = page.partition(block)[0]
    name = re.match(r"rules: \[([\w.]+)\]", block)[1]
    shown = re.findall(r"^```yaml\n(version:.*?)^```", before, re.DOTALL | re.MULTILINE)
    rules = shown[-1] if shown else (ROOT / "rules" / name).read_text()
    Path(name).write_text(rules)
    Path("page.test.yaml").write_text(block)
    wanted = Wanted(find_plugins(PluginSettings(), with_options=False))

    report = run_tests([Path("page.test.yaml")], Given(wanted))

    assert report.results
    assert report.has_passed, "\n".join(as_text(report))


@pytest.mark.parametrize("block", blocks("gws:"))
def test_settings_on_a_page_load_without_a_warning(block, tmp_path):
    """So are settings, once the environment holds what they ask for."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "imbot.yaml").write_text(block)
    environment = dict.fromkeys(re.findall(r"\$\{env:(\w+)\}", block), "value")

    assert load_settings(tmp_path / "imbot.yaml", environment=environment).warnings == ()
