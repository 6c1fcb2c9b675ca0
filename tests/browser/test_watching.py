"""The watch over each page must be able to find something."""

from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from tests.wire.house import until

POLICY = "default-src 'none'; script-src 'unsafe-inline'; connect-src *"


@asynccontextmanager
async def serving(body):
    """Serve one page on this machine."""

    async def show(_request):
        headers = {"Content-Security-Policy": POLICY}
        return web.Response(text=body, content_type="text/html", headers=headers)

    app = web.Application()
    app.router.add_get("/", show)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield "http://{}:{}/".format(*runner.addresses[0])
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("console.error('oh no')", r"console: oh no"),
        ("nowhere.to_be.found", r"raised: .*nowhere"),
        ("document.body.setAttribute('style', 'color: red')", r"against the policy: style-src"),
        ("alert('here I am')", r"alert: here I am"),
        ("fetch('http://127.0.0.1:9/').catch(() => 0)", r"a page of \S+ asked http://127.0.0.1:9/"),
        ("fetch('//imbot.example/').catch(() => 0)", r"a page of \S+ asked http://imbot.example/"),
        ("new WebSocket('ws://imbot.example/')", r"a page of \S+ asked ws://imbot.example/"),
        ("location = 'http://imbot.example/'", r"a page of \S+ asked http://imbot.example/"),
        ("fetch('/gone')", r"console: .* 404"),
    ],
)
async def test_what_goes_wrong_is_found(page, watch, script, told):
    """Otherwise the tests of the pages would be green whatever the pages did."""
    async with serving(f"<body><script>{script}</script>") as url:
        await page.goto(url)

        await until(lambda: watch.forgive(told))
        await page.context.close()
        watch.troubles.clear()


async def test_a_page_without_trouble_is_let_pass(page, watch):
    async with serving("<title>Fine</title><script>confirm('Really?')</script>") as url:
        await page.goto(url)

        assert (await page.title(), watch.asked, watch.troubles) == ("Fine", ["Really?"], [])


async def test_a_server_that_ends_before_the_page_is_no_trouble(page, watch):
    """A page that asks on and on is closed after its server."""
    ask = "setInterval(() => fetch('/').catch(() => 0), 20)"
    async with serving(f"<script>{ask}</script>") as url:
        await page.goto(url)
    async with page.expect_event("requestfailed"):
        pass

    assert watch.troubles == []
