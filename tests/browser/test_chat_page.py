"""The chat page of the simulator, as a person uses it, who has no mouse."""

from datetime import UTC, datetime

import pytest

from imbot.clock import SystemClock
from imbot.simulator import AgentAccount, Simulator, SimulatorSettings
from imbot.simulator.agents import UserState

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg/onload=alert(1)>',
    "</li></ol><iframe src='javascript:alert(1)'></iframe>",
    "<a href=//imbot.example>free</a> {{ 7 * 7 }} ${alert(1)}",
    "<style>body{display:none}</style><meta http-equiv=refresh content=0;//imbot.example>",
]


class Monday(SystemClock):
    """Whenever it is played, pictures of it are alike."""

    def now(self):
        return datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture
def simulator():
    """One agent, not yet listening; ``async with`` starts it."""
    account = AgentAccount(user="bot1", password="pw", number="1001")
    simulator = Simulator(SimulatorSettings(agents=(account,), seed=1), clock=Monday())
    simulator.world.set_user_state(simulator.world.agent("bot1"), UserState.READY)
    return simulator


async def ring(page, simulator):
    """Ring the agent who is free, as somebody who has just opened the page; return the session."""
    await page.goto(f"{simulator.url}/")
    await page.locator("#agent option").wait_for(state="attached")
    await page.get_by_label("Your number").press("Enter")
    await page.get_by_label("Message", exact=True).and_(page.locator(":enabled")).wait_for()
    return simulator.world.sessions()[-1]


async def said(page, count):
    """Return what is shown of the conversation, once there are so many lines."""
    lines = page.locator("#talk li:not(.note)")
    await lines.nth(count - 1).wait_for()
    return await lines.evaluate_all("all => all.map((line) => line.firstChild.data)")


async def test_a_person_and_the_agent_talk(page, shot, simulator):
    """The page is how people try their rules, and what they see first of imbot."""
    async with simulator:
        session = await ring(page, simulator)
        await page.keyboard.type("Is anybody there?")  # where the cursor is by itself
        await page.keyboard.press("Enter")
        await simulator.world.until(lambda: len(session.transcript) == 1)
        simulator.world.send(simulator.world.agent("bot1"), session, "Hello 3002.\nYes.")
        simulator.world.set_user_data(session.id, {"greeted": "yes"})

        assert await said(page, 2) == ["Is anybody there?", "Hello 3002.\nYes."]
        assert session.transcript[0].number == "3002"
        await page.locator("#user-data dd", has_text="yes").wait_for()
        await shot(page, "chat")
        await page.get_by_role("button", name="Hang up").press("Enter")
        await page.get_by_text("The conversation is over.").wait_for()
        assert not session.is_live


async def test_whatever_is_said_is_shown_as_text(page, simulator):
    """What a stranger types is shown to whoever watches, and never becomes part of the page."""
    async with simulator:
        session = await ring(page, simulator)
        for text in HOSTILE:
            await page.get_by_label("Message", exact=True).fill(text)
            await page.keyboard.press("Enter")
            simulator.world.send(simulator.world.agent("bot1"), session, text)
            simulator.world.set_user_data(session.id, {text: text})
            await said(page, len(session.transcript))

        assert sorted(await said(page, 2 * len(HOSTILE))) == sorted(HOSTILE * 2)
        await page.locator("#user-data dd").nth(len(HOSTILE) - 1).wait_for()
        assert await page.locator("#user-data dd").all_inner_texts() == HOSTILE
        assert await page.locator(":is(#talk, #user-data) :not(li, small, dt, dd)").count() == 0
