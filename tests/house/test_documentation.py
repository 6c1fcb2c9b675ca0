"""The pages tell the truth: their links lead somewhere and their commands exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
        *(ROOT / "benchmarks").rglob("*.md"),
    ]
)
TARGETS = frozenset(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def anchors(markdown: str) -> Iterator[str]:
    """Yield what ``#...`` may point at: explicit anchors, and headings as GitHub slugs them."""
    yield from re.findall(r'<a id="([^"]+)">', markdown)
    for heading in re.findall(r"^#+ +(.+)$", markdown, re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def broken_links(page: Path) -> Iterator[str]:
    """Yield the links of a page that lead to no file, or to no place in it."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            yield link


@each_page
def test_every_link_between_the_pages_leads_somewhere(page):
    """A page that was renamed takes its readers along."""
    assert list(broken_links(page)) == []


@each_page
def test_every_make_command_that_a_page_names_exists(page):
    """The first command that a newcomer types has to work."""
    named = re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(), re.MULTILINE)

    assert set(named) <= TARGETS


def test_the_readme_names_the_two_first_commands():
    """The checks above would pass on an empty page."""
    named = re.findall(r"^make ([a-z]+)", (ROOT / "README.md").read_text(), re.MULTILINE)

    assert {"demo", "test"} <= set(named)


def test_a_broken_link_is_found(tmp_path):
    """The check above must be able to fail."""
    (tmp_path / "there.md").write_text("## Two words\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md#two-words) [b](there.md#three) [c](gone.md) [d](https://x.example)"
    )

    assert list(broken_links(page)) == ["there.md#three", "gone.md"]
