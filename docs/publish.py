"""Makes a site of the documentation: ``python docs/publish.py build/docs``, or ``make docs``.

The pages are copied as they lie in the checkout, so that their links stay what they are. A link to
a file that is no page leads to a page that shows the file, one to a folder to a list of what is in
it. What comes out is read again: every link must lead somewhere, and no page may load anything from
elsewhere. Pictures are copied.
"""  # noqa: INP001  a script, not a package

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "docs" / "mkdocs.yml"
THEME = ROOT / "docs" / "theme"

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s#:]+)(#[^)\s]*)?\)")
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".service": "ini"}
_PICTURES = frozenset({".png", ".svg"})
#: What a browser loads without being asked.
_LOADED = {
    *(("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("link", "href")),
    *(("video", "src"), ("audio", "src"), ("embed", "src"), ("object", "data"), ("use", "href")),
}
_FROM_ELSEWHERE = re.compile(r"^(?:https?:)?//")
_CSS_LOADS = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""")


def pages() -> list[Path]:
    """Return every page of the checkout that is part of the site."""
    found = [
        ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
    ]
    for folder in ("docs", "examples"):
        found += sorted((ROOT / folder).rglob("*.md"))
    return found


def stage(source: Path) -> None:
    """Write what the generator reads: the pages, and a page for each other thing that they name."""
    named: set[Path] = set()
    for page in pages():
        text = _rewritten(page, page.read_text(encoding="utf-8"), named)
        _write(source / _place(page), text)
    while named:
        shown = named.pop()
        if shown.suffix in _PICTURES:
            (source / _place(shown)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(shown, source / _place(shown))
        else:
            _write(source / _place(shown), _shown(shown, named))


def _place(path: Path) -> Path:
    """Return where a page, a file that is shown or a folder that is listed stands in the site."""
    relative = path.relative_to(ROOT)
    if relative == Path("README.md"):
        return Path("index.md")
    if path.is_dir():
        return relative / "index.md"
    if path.suffix == ".md" or path.suffix in _PICTURES:
        return relative
    # What begins with a dot is passed over by the generator.
    return relative.with_name(f"{path.name.lstrip('.')}.md")


def _rewritten(page: Path, text: str, named: set[Path]) -> str:
    """Return a page whose links lead to where things stand in the site."""

    def link(found: re.Match[str]) -> str:
        target = (page.parent / found[1]).resolve()
        if target.suffix != ".md":
            named.add(target)
        return f"]({_relative(page, target)}{found[2] or ''})"

    parts, at = [], 0
    for fence in _FENCE.finditer(text):
        parts += [_LINK.sub(link, text[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*parts, _LINK.sub(link, text[at:])])


def _relative(page: Path, target: Path) -> str:
    return Path(os.path.relpath(_place(target), _place(page).parent)).as_posix()


def _shown(path: Path, named: set[Path]) -> str:
    """Return a page that shows a file, or lists a folder."""
    title = f"# `{path.relative_to(ROOT).as_posix()}`\n\n"
    if path.is_dir():
        files = sorted(one for one in path.iterdir() if one.is_file())
        named.update(one for one in files if one.suffix != ".md")
        return title + "".join(f"- [{_title(one)}]({_relative(path, one)})\n" for one in files)
    language = _LANGUAGES.get(path.suffix, "text")
    return f"{title}````{language}\n{path.read_text(encoding='utf-8').rstrip()}\n````\n"


def _title(path: Path) -> str:
    """Return the first heading of a page; of another file, its name."""
    if path.suffix != ".md":
        return path.name
    return path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


# What came out --------------------------------------------------------------------------------


@dataclass(slots=True)
class Page:
    """What a page of the site has and wants.

    Attributes:
        anchors: The places in it that a link may lead to.
        links: Where its links lead.
        loads: What a browser loads with it.
    """

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"id", "name"} and value:
                self.page.anchors.add(value)
            elif name == "href" and tag == "a" and value:
                self.page.links.append(value)
            elif (tag, name) in _LOADED and value:
                self.page.loads.append(value)


def read(html: str) -> Page:
    """Return what a page has and wants."""
    reader = _Reader()
    reader.feed(html)
    page = reader.page
    page.loads += _CSS_LOADS.findall(html)
    return page


def faults(site: Path) -> Iterator[str]:
    """Yield what is wrong with a site: links that lead nowhere, things that come from elsewhere."""
    found = {path: read(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    for path, page in found.items():
        where = path.relative_to(site).as_posix()
        for address in page.loads:
            if _FROM_ELSEWHERE.match(address):
                yield f"{where} loads {address}"
            elif not _target(site, path, address).exists():
                yield f"{where} loads {address}, which is not there"
        for link in page.links:
            if not _leads_somewhere(site, path, link, found):
                yield f"{where} links to {link}, which is not there"
    for path in sorted(site.rglob("*.css")):
        for address in _CSS_LOADS.findall(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(site).as_posix()} loads {address}"


def _leads_somewhere(site: Path, path: Path, link: str, found: Mapping[Path, Page]) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True
    target = _target(site, path, link)
    if not target.exists():
        return False
    anchor = unquote(parts.fragment)
    return target not in found or not anchor or anchor in found[target].anchors


def _target(site: Path, path: Path, link: str) -> Path:
    """Return the file that a link within the site leads to."""
    place = unquote(urlsplit(link).path)
    if not place:
        return path
    folder = site if place.startswith("/") else path.parent
    target = Path(os.path.normpath(folder / place.lstrip("/")))
    return target / "index.html" if target.is_dir() else target


def publish(into: Path) -> int:
    """Build the site anew in a folder; return the exit code."""
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    stage(into / "source")
    shutil.copy(CONFIG, into)
    shutil.copytree(THEME, into / THEME.name)
    words = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", CONFIG.name]
    done = subprocess.run(words, cwd=into, check=False)  # noqa: S603  our own words
    if done.returncode:
        return done.returncode
    wrong = list(faults(into / "site"))
    print(*wrong, f"The site is {into / 'site' / 'index.html'}", sep="\n")  # noqa: T201  it reports
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(publish(Path(sys.argv[1])))
