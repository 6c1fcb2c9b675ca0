"""The dashboard in a browser: what a person sees there, does, and how soon it takes effect."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from imbot.admin.keys import hash_of, new_token
from imbot.simulator import Simulator, SimulatorSettings
from imbot.simulator.settings import AgentAccount
from tests.hostile_texts import TEXTS
from tests.machine import own_s
from tests.wire.house import Imbot, running, tell, until

RULES = """
version: 1
calendars:
  shop: {timezone: UTC, open: {mon-sun: "00:00-24:00"}}
rules:
  - id: answer
    description: Says again what was said.
    trigger: {message: any}
    when: open("shop")
    do: [{reply: "You said {{ message.text }}"}]
"""

ROLES = ("read", "operate", "admin")
TOKENS = {role: new_token() for role in ROLES}
USERS = [f"bot{number}" for number in range(1, 5)]

#: What a person may wait for the effect of a click, and be behind.
AT_ONCE_S = 1.0


@dataclass
class House:
    """An imbot with its GWS, into which people look."""

    imbot: Imbot
    simulator: Simulator

    @property
    def url(self) -> str:
        return self.imbot.app.server.url

    def ring(self, number="3002", user="bot1", **data):
        return self.simulator.world.session(self.simulator.world.ring(user, number, data))

    def say(self, session, text):
        self.simulator.world.say(session.id, text)

    async def log_in(self, page, role="admin"):
        await page.goto(f"{self.url}/login#{TOKENS[role]}")
        await page.get_by_role("heading", name="Overview").wait_for()
        await live(page)


@asynccontextmanager
async def house(folder) -> AsyncIterator[House]:
    accounts = tuple(
        AgentAccount(user=user, password=f"pw-{user}", number=str(1001 + number))
        for number, user in enumerate(USERS)
    )
    tokens = [
        {"name": f"{role}er", "role": role, "sha256": hash_of(token)}
        for role, token in TOKENS.items()
    ]
    async with (
        Simulator(SimulatorSettings(agents=accounts, seed=1)) as simulator,
        running(
            *(folder, simulator.url),
            agents=USERS,
            is_served=True,
            rules=RULES,
            admin={"tokens": tokens},
        ) as imbot,
    ):
        await imbot.up()
        yield House(imbot, simulator)


def replies(session) -> int:
    """How often the bot said something."""
    return sum(line.number.startswith("10") for line in session.transcript)


async def live(page):
    """Return when the page hears of imbot."""
    await page.get_by_text("live", exact=True).wait_for()


@pytest.mark.timed
async def test_all_effects_are_stopped_from_any_page_at_once(page, new_page, tmp_path):
    async with house(tmp_path) as imbot:
        other = await new_page()
        await imbot.log_in(other, "read")
        await imbot.log_in(page, "operate")
        session = imbot.ring()
        await until(lambda: session.state == "Talking")
        imbot.say(session, "one")
        await until(lambda: replies(session) == 1)

        await page.get_by_text("Stop all effects").click()
        await page.get_by_label("Why?").fill("wrong prices")
        began = own_s()
        await page.get_by_role("button", name="Stop now").click()
        await page.locator("#halted", has_text="wrong prices").wait_for()
        took_s = own_s() - began
        imbot.say(session, "two")
        await other.locator("#halted", has_text="by operateer").wait_for()
        seen_s = own_s() - began
        await asyncio.sleep(0.7)
        assert replies(session) == 1
        tell(f"stopped {took_s:.2f} s after the click; others saw it after {seen_s:.2f} s")
        assert took_s < AT_ONCE_S
        assert seen_s < took_s + AT_ONCE_S
        assert await page.get_by_role("status").inner_text() == "all effects are stopped"

        await page.get_by_text("Go on…").click()
        await page.get_by_role("button", name="Let effects go on").click()
        await page.locator("#halted").wait_for(state="detached")
        await other.locator("#halted").wait_for(state="detached")
        imbot.say(session, "three")
        await until(lambda: replies(session) == 2)


@pytest.mark.timed
async def test_a_calendar_is_closed_by_keyboard_alone(page, tmp_path):
    async with house(tmp_path) as imbot:
        await imbot.log_in(page, "operate")
        session = imbot.ring()
        await until(lambda: session.state == "Talking")
        await page.goto(f"{imbot.url}/calendars")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "Skip to the content"
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "Close now"
        began = own_s()
        await page.keyboard.press("Enter")
        await page.get_by_text("closed by hand", exact=True).wait_for()
        took_s = own_s() - began
        imbot.say(session, "one")
        await asyncio.sleep(0.7)
        assert replies(session) == 0
        tell(f"closed {took_s:.2f} s after the key")
        assert took_s < AT_ONCE_S

        await page.get_by_role("button", name="Let its hours count").press("Enter")
        await page.get_by_text("open", exact=True).wait_for()
        imbot.say(session, "two")
        await until(lambda: replies(session) == 1)
        await page.keyboard.press("/")
        assert await page.evaluate("document.activeElement.id") == "number"
        await page.get_by_text("Stop all effects").press("Enter")
        assert await page.get_by_role("button", name="Stop now").is_visible()
        await page.keyboard.press("Escape")
        assert not await page.get_by_role("button", name="Stop now").is_visible()


@pytest.mark.timed
async def test_open_pages_keep_up_and_lose_nothing_that_a_person_does(page, new_page, tmp_path):
    async with house(tmp_path) as imbot:
        await imbot.log_in(page)
        overview = await new_page()
        await imbot.log_in(overview)
        began = own_s()
        session = imbot.ring("4711")
        await overview.get_by_role("link", name="4711").wait_for()
        tell(f"a session is shown after {own_s() - began:.2f} s")
        await until(lambda: session.state == "Talking")
        imbot.say(session, "one")
        await until(lambda: replies(session) == 1)

        await page.goto(f"{imbot.url}/sessions/{session.id}")
        await live(page)
        first = page.locator(".line.message").first
        await first.get_by_text("Which rules, and why not the others?").click()
        await first.get_by_role("link", name="answer").wait_for()
        await page.get_by_label("Customer's number").fill("12")
        await page.get_by_text("Stop all effects").click()
        await page.get_by_label("Why?").fill("half a")
        behind = []
        for number in range(5):
            began = own_s()
            imbot.say(session, f"line {number}")
            await page.get_by_text(f"You said line {number}", exact=True).wait_for()
            behind.append(own_s() - began)
            await asyncio.sleep(0.3)
        tell("lines and their answers are shown after " + ", ".join(f"{s:.2f} s" for s in behind))
        assert min(behind) < AT_ONCE_S
        assert await first.get_by_role("link", name="answer").is_visible()
        assert await page.get_by_label("Customer's number").input_value() == "12"
        assert await page.get_by_label("Why?").input_value() == "half a"
        assert await page.get_by_label("Why?").evaluate("me => me === document.activeElement")


async def test_a_page_says_when_nobody_answers_and_leads_to_the_login_afterwards(
    page, tmp_path, watch
):
    async with house(tmp_path) as imbot:
        await imbot.log_in(page)
        port = imbot.url.rpartition(":")[2]
    await page.get_by_text("imbot does not answer").wait_for()
    admin = {"listen": f"127.0.0.1:{port}", "token": "another-token"}
    async with running(tmp_path, "http://127.0.0.1:9", is_served=True, admin=admin):
        await page.locator("#token").wait_for()
    watch.forgive("Failed to load resource")


async def test_a_person_sees_what_the_role_may(page, tmp_path, watch):
    async with house(tmp_path) as imbot:
        await page.goto(imbot.url)
        await page.get_by_label("Token").fill("imbot_wrong")
        await page.get_by_role("button", name="Log in").click()
        await page.get_by_text("this token is nobody's").wait_for()
        assert watch.forgive("401") == 1
        await page.get_by_label("Token").fill(TOKENS["read"])
        await page.keyboard.press("Enter")
        await page.get_by_role("heading", name="Overview").wait_for()
        for place in ("", "rules/answer", "calendars", "parked"):
            await page.goto(f"{imbot.url}/{place}")
            buttons = await page.get_by_role("button").all_inner_texts()
            assert set(buttons) <= {"Find", "Log out", "Filter"}, place
        assert not await page.get_by_role("link", name="Settings").count()
        await page.get_by_role("button", name="Log out").click()
        await page.get_by_label("Token").wait_for()


async def test_the_token_of_a_link_stays_nowhere(page, tmp_path):
    async with house(tmp_path) as imbot:
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        await imbot.log_in(page)
        await page.go_back()
        assert TOKENS["admin"] not in page.url
        assert [url for url in asked[1:] if TOKENS["admin"] in url] == []


@pytest.mark.timeout(240)
async def test_hostile_texts_are_texts_on_every_page(page, tmp_path, watch):
    """In what is said, in the number and in user data: nothing of it is more than text."""
    async with house(tmp_path) as imbot:
        world = imbot.simulator.world
        for first in range(0, len(TEXTS), len(USERS)):
            some = TEXTS[first : first + len(USERS)]
            await asyncio.gather(
                *(talk(imbot, user, text) for user, text in zip(USERS, some, strict=False))
            )
        await imbot.log_in(page)
        kinds = await page.evaluate(KINDS)
        sessions = [session.id for session in world.sessions()]
        places = ["", "sessions?limit=500", "parked", "audit", "timers"]
        for place in (*places, *(f"sessions/{one}?why=true" for one in sessions)):
            await page.goto(f"{imbot.url}/{place}", wait_until="domcontentloaded")
            assert set(await page.evaluate(KINDS)) <= {*kinds, *OURS}, place
            assert await page.evaluate(SCRIPTED) == [], place
        shown = await page.locator(".bubble").first.inner_text()
        tell(f"{len(TEXTS)} texts in {len(sessions)} sessions, the last {shown[:40]!r}")
        assert len(sessions) == len(TEXTS) >= 50
        assert watch.troubles == []


#: The kinds of elements on a page, and what pages of ours have beside those of the first one.
KINDS = "[...new Set([...document.querySelectorAll('*')].map(each => each.localName))]"
OURS = ("article", "ol", "q", "select", "option", "br", "em", "code", "strong", "ul", "time", "dl")

#: What would do something: attributes with scripts, and addresses that are none of a page.
SCRIPTED = """
[...document.querySelectorAll('body :not(.chart *)')].flatMap(each => [...each.attributes])
  .filter(one => /^on|^srcdoc$|^style$/.test(one.name)
    || /^(src|href|action|formaction)$/.test(one.name) && !/^\\/([^\\/]|$)|^#/.test(one.value))
  .map(one => `${one.name}=${one.value}`)
"""


async def talk(imbot: House, user: str, text: str) -> None:
    """Say a text, under a number and with user data that hold it, too; hear it again."""
    world = imbot.simulator.world
    await until(lambda: world.is_free(user))
    number = "".join(char for char in text if char >= " ").strip()  # others are no part of a number
    session = imbot.ring(number, user, note=text)
    await until(lambda: session.state == "Talking")
    imbot.say(session, text)
    await until(lambda: replies(session) > 0, what=repr(text))
    world.complete(session.id)
