"""The demo, as whoever runs it for the first time and opens what it says."""

from tests.browser.onstage import demo


async def test_a_person_is_greeted_and_another_looks_inside(page, watch):
    """The two addresses that are printed are the first two things that anybody tries."""
    async with demo() as stage:
        await page.goto(stage.chat)
        talk = page.get_by_label("Message", exact=True).and_(page.locator(":enabled"))
        busy = page.locator("#trouble:not(:empty)")
        while not await talk.count():  # the other parties may have been quicker
            await page.locator("#agent option", has_text="free").first.wait_for(state="attached")
            free = page.locator("#agent option", has_text="free").first
            await page.get_by_label("Agent").select_option(await free.get_attribute("value"))
            await page.get_by_label("Your number").press("Enter")
            await talk.or_(busy).wait_for()
        watch.forgive("Failed to load resource")
        await page.get_by_text("Hello 3002, you reached Robin.").wait_for()
        await page.keyboard.type("That was all, bye")
        await page.keyboard.press("Enter")
        await page.get_by_text("Thank you, and goodbye.").wait_for()
        await page.get_by_text("The conversation is over.").wait_for()

        shown = {"Authorization": f"Bearer {stage.token}"}
        told = await page.request.get(f"{stage.inside}/api/v1/health", headers=shown)
        assert (told.status, (await told.json())["status"]) == (200, "ready")
