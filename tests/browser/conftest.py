"""A browser for each worker and a page for each test, watched for whatever nobody would see.

All tests here run on one event loop, that of the browser. An asynchronous fixture beside them needs
it, too: ``@pytest_asyncio.fixture(loop_scope="session")``; an ``async with`` in a test just has it.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.browser.watching import TELL_VIOLATIONS, Watch
from tests.machine import lacks, program

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

ROOT = Path(__file__).parents[2]
SCREENS = ROOT / "docs" / "assets" / "screens"

#: The start of a browser is part of the first test.
TEST_S = 120
#: Nothing on this machine takes as long, and the first failure should not take a minute.
WAIT_MS = 15_000

#: A person who sits in front of a common screen; what moves or differs from day to day does not.
PERSON = {
    "viewport": {"width": 1280, "height": 800},
    "color_scheme": "light",
    "reduced_motion": "reduce",
    "locale": "en-GB",
    "timezone_id": "UTC",
    "service_workers": "block",
}

ARGUMENTS = [
    "--no-proxy-server",
    # No other name is looked up, so nothing goes out even where a page would.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--font-render-hinting=none",
    "--force-color-profile=srgb",
]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    """Have the tests here share the loop of the browser, and give them time to start it."""
    for item in items:
        if not item.path.is_relative_to(Path(__file__).parent):
            continue
        if item.get_closest_marker("asyncio"):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(TEST_S))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> "AsyncIterator[Browser]":
    """Debian's Chromium, or another one that is on the path; nothing is ever downloaded."""
    chromium = program("chromium", "chromium-browser", package="chromium")
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        lacks("the package playwright is not installed (make setup)")
    home = str(tmp_path_factory.mktemp("chromium"))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium,
            args=ARGUMENTS,
            # It shows our own pages only; root, as in a container, cannot have the sandbox at all.
            chromium_sandbox=False,
            env={**os.environ, "HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home},
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def watch() -> AsyncIterator[Watch]:
    """What goes wrong in the pages of this test; the test fails if anything is left."""
    watch = Watch()
    yield watch
    if watch.troubles:
        pytest.fail("\n".join(["nothing may go wrong in a page:", *watch.troubles]), pytrace=False)


@pytest_asyncio.fixture(loop_scope="session")
async def new_page(
    browser: "Browser", watch: Watch
) -> "AsyncIterator[Callable[..., Awaitable[Page]]]":
    """What makes a page of another person, who has other cookies.

    What the person is like is told in the words of Playwright's ``new_context``, as in
    ``await new_page(color_scheme="dark")``.
    """
    contexts = []

    async def new_page(**person: Any) -> "Page":
        context = await browser.new_context(**{**PERSON, **person})
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        context.on("page", watch.follow)
        await context.add_init_script(TELL_VIOLATIONS)
        return await context.new_page()

    yield new_page
    for context in contexts:
        await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(new_page: "Callable[..., Awaitable[Page]]") -> "Page":
    """A page that shows nothing yet."""
    return await new_page()


@pytest.fixture
def shot() -> "Callable[..., Awaitable[None]]":
    """What takes a picture of a page, under a name.

    It is always taken, so that it cannot break unnoticed, and kept for the documentation where
    ``KEEP_SCREENS`` is set, which is what ``make screens`` does: ``await shot(page, "overview")``.
    """

    async def shot(page: "Page", name: str, **options: Any) -> None:
        await page.evaluate("document.fonts.ready")
        picture = await page.screenshot(animations="disabled", scale="css", **options)
        if "KEEP_SCREENS" in os.environ:
            SCREENS.mkdir(parents=True, exist_ok=True)
            (SCREENS / f"{name}.png").write_bytes(picture)

    return shot
