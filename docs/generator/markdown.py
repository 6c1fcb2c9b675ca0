"""The Markdown of the reference: tables, links, examples, and the marks around what is written."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

BEGIN: Final = "<!-- written by docs/generate.py: begin -->"
END: Final = "<!-- written by docs/generate.py: end -->"


def filled(page: str, lines: Iterable[str]) -> str:
    """Return a page with these lines between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return "\n".join([f"{before}{BEGIN}", "", *lines, f"{END}{after}"])


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield a table without the columns in which nothing stands."""
    told = list(rows)
    kept = [at for at in range(len(heads)) if any(row[at] for row in told)]
    yield _row(heads[at] for at in kept)
    yield "|" + "---|" * len(kept)
    for row in told:
        yield _row(row[at] for at in kept)
    yield ""


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def fenced(text: str, language: str = "yaml") -> Iterator[str]:
    """Yield an example."""
    yield from (f"```{language}", *text.strip("\n").splitlines(), "```", "")


def contents(headings: Iterable[str]) -> Iterator[str]:
    """Yield a line of links to headings of the page."""
    yield from (" · ".join(f"[{plain(each)}](#{anchor(each)})" for each in headings), "")


def anchor(heading: str) -> str:
    """Return what a link to a heading ends in, as GitHub makes it."""
    kept = (char for char in heading.lower() if char.isalnum() or char in "-_ ")
    return "".join(kept).strip().replace(" ", "-")


def plain(text: str) -> str:
    """Return text without the marks of code."""
    return text.replace("`", "")


def prose(docstring: str | None) -> str:
    """Return a docstring's text as Markdown, on one line."""
    return " ".join((docstring or "").replace("``", "`").split())


def noun(docstring: str | None) -> str:
    """Return what a function gives, from a docstring that says what it returns."""
    told = prose(docstring).removeprefix("Return ")
    return told[:1].upper() + told[1:]
