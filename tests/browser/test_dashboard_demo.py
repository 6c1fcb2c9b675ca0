"""The dashboard of the demo, which a supervisor looks into; and the pictures of every page."""

import re

import pytest

from tests.browser.onstage import demo

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}

NUMBER = "+49 30 5550117"


async def ring(page, stage):
    """Ring whoever is free, as a customer at the chat page; return when the bot has greeted."""
    await page.goto(stage.chat)
    talk = page.get_by_label("Message", exact=True).and_(page.locator(":enabled"))
    busy = page.locator("#trouble:not(:empty)")
    await page.get_by_label("Your number").fill(NUMBER)
    while not await talk.count():  # the other parties may have been quicker
        free = page.locator("#agent option", has_text="free").first
        await free.wait_for(state="attached")
        await page.get_by_label("Agent").select_option(await free.get_attribute("value"))
        await page.get_by_label("Your number").press("Enter")
        await talk.or_(busy).wait_for()
    await page.get_by_text("you reached Robin").wait_for()


async def say(page, text):
    await page.get_by_label("Message", exact=True).fill(text)
    await page.keyboard.press("Enter")


class Clicks:
    """Counts what somebody clicks."""

    def __init__(self):
        self.count = 0

    async def on(self, locator):
        self.count += 1
        await locator.click()


async def ask_why(page):
    """Ask from the number on, and check each answer; return the line that nobody answered."""
    clicks = Clicks()
    await page.get_by_label("Customer's number").fill(NUMBER)
    await clicks.on(page.get_by_role("button", name="Find"))
    await clicks.on(page.get_by_role("link", name=NUMBER))
    again = page.locator(".line.message", has_text="What about my order?")
    await clicks.on(again.get_by_text("Which rules, and why not the others?"))
    why = again.locator(".rules-asked > li", has=page.get_by_role("link", name="order"))
    told = await why.first.inner_text()
    said = page.locator(".line.effect", has_text="I am looking for your order")
    assert clicks.count == 3
    assert re.fullmatch(r"\d\d:\d\d:\d\d", await said.locator(".at").inner_text())
    assert await said.locator(".rule").inner_text() == "order"
    assert "confirmed" in await said.locator(".state").inner_text()
    assert "did not run" in told
    assert re.search(r"throttle it ran .* ago, once within 1m for value", told)
    return again


def picture_places(stage, event):
    """Yield every page that has nothing to wait for, and the name of its picture."""
    yield "why", f"{stage.inside}{event}"
    yield "rule", f"{stage.inside}/rules/order"
    for name in ("sessions", "rules", "parked", "agents", "calendars", "timers"):
        yield name, f"{stage.inside}/{name}"
    for name in ("plugins", "settings"):
        yield name, f"{stage.inside}/{name}"


@pytest.mark.timeout(240)
async def test_a_supervisor_finds_the_reason_in_three_clicks_and_stops_it_all(
    page, new_page, watch, shot
):
    """A customer complains: what did the bot say, when, by which rule, and why not the other?"""
    async with demo() as stage:
        customer = await new_page()
        await ring(customer, stage)
        watch.forgive("Failed to load resource")  # somebody else was quicker
        await say(customer, "Where is my order?")
        await customer.get_by_text("I am looking for your order").wait_for()
        await say(customer, "What about my order?")
        await page.goto(f"{stage.inside}/login")
        await shot(page, "login")
        await page.goto(stage.login)  # where the login is open already, the address does it, too
        await page.get_by_role("heading", name="Overview").wait_for()
        assert page.url == f"{stage.inside}/"

        again = await ask_why(page)
        await shot(page, "session")

        story, event = page.url, await again.locator("details").get_attribute("hx-get")
        for name, place in picture_places(stage, event):
            await page.goto(place)
            await page.get_by_role("heading").first.wait_for()
            await shot(page, name)

        await page.goto(f"{stage.inside}/")
        await page.locator(".chart canvas").nth(2).wait_for()
        await shot(page, "overview")
        await page.emulate_media(color_scheme="dark")
        await shot(page, "overview-dark")
        await page.emulate_media(color_scheme="light")
        await page.get_by_text("Stop all effects").click()
        await page.get_by_label("Why?").fill("wrong prices in the greeting")
        await page.get_by_role("button", name="Stop now").click()
        banner = page.locator("#halted")
        assert "wrong prices in the greeting" in await banner.inner_text()
        await shot(page, "halted")
        await page.goto(f"{stage.inside}/audit")
        assert "PUT /api/v1/halt" in await page.locator("tbody").inner_text()
        await shot(page, "audit")

        phone = await new_page(**PHONE)
        await phone.goto(stage.login)
        await phone.get_by_role("heading", name="Overview").wait_for()
        await phone.goto(story)
        await shot(phone, "session-phone")
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not await phone.evaluate(wide)
    watch.forgive("Failed to fetch")  # it has ended, and these pages are still open
