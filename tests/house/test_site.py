"""The documentation as a site: nothing is missing in it, and nothing comes from elsewhere."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_spec = importlib.util.spec_from_file_location("publish", ROOT / "docs" / "publish.py")
publish = importlib.util.module_from_spec(_spec)
sys.modules["publish"] = publish  # its dataclass looks there
_spec.loader.exec_module(publish)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make docs` does."""
    pytest.importorskip("zensical", reason="zensical is not installed (the extra `docs`)")
    into = tmp_path_factory.mktemp("docs")
    assert publish.publish(into) == 0
    return into / "site"


@pytest.fixture
def page(tmp_path):
    """Write a page of a site and return what is wrong with the site."""

    def faults(html, name="index.html"):
        (tmp_path / name).write_text(html)
        return list(publish.faults(tmp_path))

    return faults


def in_navigation():
    return re.findall(r"- (?:[\w ]+: )?(\S+\.md)$", publish.CONFIG.read_text(), re.MULTILINE)


def test_every_page_is_in_the_navigation_once():
    """A page that nobody comes across is one that nobody reads."""
    pages = {publish._place(path).as_posix() for path in publish.pages()}

    assert sorted(in_navigation()) == sorted(pages)


def test_the_navigation_goes_from_the_first_step_to_the_last_decision():
    navigation = publish.CONFIG.read_text().partition("nav:")[2]
    parts = re.findall(r"^  - (\w+):$", navigation, re.MULTILINE)

    assert parts == ["Start", "Guide", "Topics", "Reference", "Decisions", "Project"]


@pytest.mark.alone
@pytest.mark.timeout(300)
def test_the_site_is_built_and_whole(site):
    """Strictly: a link or an anchor that leads nowhere ends it."""
    assert list(publish.faults(site)) == []
    for name in in_navigation():
        html = re.sub(r"(^|/)README\.md$", r"\1index.html", name).replace(".md", ".html")
        assert (site / html).is_file(), name


@pytest.mark.alone
@pytest.mark.timeout(300)
def test_each_page_has_search_both_colours_and_forbids_to_load_from_elsewhere(site):
    """The theme's own script knows addresses elsewhere; the browser is told to refuse them."""
    html = (site / "docs" / "guide" / "operate.html").read_text()

    assert "default-src 'self'" in html
    assert 'data-md-color-scheme="slate"' in html
    assert 'data-md-color-scheme="default"' in html
    assert 'data-md-component="search"' in html
    assert "quarantine" in (site / "search.json").read_text()


def test_pictures_are_what_they_are_in_the_checkout(tmp_path):
    """Other files get a page that shows them as text."""
    publish.stage(tmp_path)
    where = Path("docs", "assets", "screens", "chat.png")

    assert (tmp_path / where).read_bytes() == (ROOT / where).read_bytes()
    assert "](../assets/screens/chat.png)" in (tmp_path / "docs/guide/simulator.md").read_text()


def test_links_lead_to_what_stands_for_files_and_folders(tmp_path):
    """A checkout's links to code would lead nowhere in a site."""
    publish.stage(tmp_path)

    flow = (tmp_path / "docs" / "topics" / "flow.md").read_text()
    readme = (tmp_path / "index.md").read_text()

    assert "](../../imbot/app.py.md)" in flow
    assert "````python\n" in (tmp_path / "imbot" / "app.py.md").read_text()
    assert "](docs/adr/index.md)" in readme
    assert "(0005-store.md)" in (tmp_path / "docs" / "adr" / "index.md").read_text()


def test_what_a_fence_shows_stays_as_it_is():
    """A link in an example is no link."""
    text = "[a](x.py)\n```md\n[b](x.py)\n```\n[c](https://x.example/y.py) [d](#e)\n"
    page = ROOT / "docs" / "x.md"

    assert publish._rewritten(page, text, set()) == text.replace("[a](x.py)", "[a](x.py.md)")


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/x.css">',
        '<img src="http://x.example/a.png">',
        "<style>@import 'https://x.example/a.css'</style>",
        '<div style="background: url(https://x.example/a.png)"></div>',
        '<script src="gone.js"></script>',
        '<a href="gone.html">x</a>',
        '<a href="#gone">x</a>',
        '<a href="/gone/">x</a>',
    ],
)
def test_what_is_wrong_with_a_page_is_found(page, html):
    """The checks above must be able to fail."""
    assert len(page(html)) == 1


def test_what_a_stylesheet_loads_is_found(page):
    assert len(page("@font-face { src: url('https://x.example/a.woff2') }", "main.css")) == 1


@pytest.mark.parametrize(
    "html",
    [
        '<a href="https://x.example">x</a><a href="mailto:x@x.example">y</a>',
        '<h2 id="a">x</h2><a href="#a">x</a><a href="index.html#a">y</a><a href="/#a">z</a>',
        '<svg xmlns="http://www.w3.org/2000/svg"></svg>',
    ],
)
def test_what_is_right_is_left_alone(page, html):
    """A link to elsewhere is followed by whoever clicks it, and loads nothing before."""
    assert page(html) == []
