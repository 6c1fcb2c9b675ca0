"""The page of templates: filters, tests, and what only they may call."""

from collections.abc import Iterator

from docs.generator.functions import of_filters, of_functions
from docs.generator.markdown import contents, table
from imbot.rulebook import filters, jinja, templates
from imbot.rulebook.functions import SECRET
from imbot.rulebook.tree import DEEPEST


def page() -> Iterator[str]:
    """Yield every filter and test, and the limits."""
    yield from contents(("Filters", "Tests", "Secrets", "Limits"))
    yield from ("## Filters", "")
    yield from of_filters(filters.FILTERS.values())
    yield from ("## Tests", "")
    yield from of_filters(filters.TESTS.values(), head="test")
    yield from ("## Secrets", "")
    yield from of_functions((SECRET,))
    yield from ("## Limits", "")
    yield from table(("what", "most"), _limits())


def _limits() -> Iterator[tuple[str, str]]:
    yield "a template, as written", f"{jinja.LONGEST_SOURCE} characters"
    yield "one `{{ … }}`", f"{jinja.LONGEST_HOLE} characters"
    yield "what a template makes", f"{templates.LONGEST_RESULT_BYTES} bytes"
    yield "what a filter makes", f"{filters.LONGEST} characters"
    yield "brackets and operators in each other", f"{DEEPEST} deep"
