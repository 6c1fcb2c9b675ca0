"""The dashboard of a whole imbot, over real sockets, as a browser without scripts sees it."""

import asyncio
import json
import re
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from imbot.admin.dashboard import serving
from imbot.admin.dashboard.deeds import DEEDS
from imbot.admin.dashboard.pages import PAGES
from imbot.admin.dashboard.standing_by import StandbyPage
from imbot.admin.keys import Key, Role, hash_of, new_token
from imbot.admin.limits import Bucket
from imbot.admin.server import AdminServer
from imbot.admin.site import Site
from imbot.clock import SystemClock
from imbot.simulator import Simulator, SimulatorSettings
from imbot.simulator.settings import AgentAccount
from imbot.standby import Standby
from tests.wire.house import Imbot, running, until
from tests.wire.test_imbot_api import RULES

TOKENS = {role: new_token() for role in ("read", "operate", "admin")}

HTML = {"Accept": "text/html"}

#: Where there is something to see without naming anything.
PLACES = [page.path for page in PAGES if "{" not in page.path and page.path != "/why"]


@dataclass
class Browser:
    """One who keeps cookies and sends forms, of one role."""

    imbot: Imbot
    simulator: Simulator
    http: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return self.imbot.app.server.url

    async def get(self, path: str, **more: Any) -> tuple[int, str]:
        async with self.http.get(f"{self.url}{path}", headers=HTML, **more) as reply:
            return reply.status, await reply.text()

    async def send(self, path: str, fields: Any, **headers: str) -> tuple[int, str]:
        """Send a form as a page of ours does; return the status, and where to or what."""
        sent = {**HTML, "Origin": self.url, "Sec-Fetch-Site": "same-origin", **headers}
        async with self.http.post(
            f"{self.url}{path}", data=fields, headers=sent, allow_redirects=False
        ) as reply:
            return reply.status, reply.headers.get("Location") or await reply.text()

    async def log_in(self, role: str = "admin") -> "Browser":
        assert await self.send("/login", {"token": TOKENS[role]}) == (303, "/")
        return self

    async def csrf(self) -> str:
        _, text = await self.get("/calendars")
        return re.search(r'name="csrf" value="([^"]+)"', text)[1]

    async def do(self, path: str, fields: dict[str, Any] | None = None) -> tuple[int, str]:
        return await self.send(path, {"csrf": await self.csrf(), "back": "/", **(fields or {})})

    def ring(self, number: str = "3002"):
        return self.simulator.world.session(self.simulator.world.ring("bot1", number))


@pytest.fixture
async def browser(tmp_path):
    account = AgentAccount(user="bot1", password="pw-bot1", number="1001")
    tokens = [
        {"name": f"{role}er", "role": role, "sha256": hash_of(token)}
        for role, token in TOKENS.items()
    ]
    async with (
        Simulator(SimulatorSettings(agents=(account,), seed=1)) as simulator,
        running(
            tmp_path, simulator.url, is_served=True, rules=RULES, admin={"tokens": tokens}
        ) as imbot,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http,
    ):
        await imbot.up()
        yield Browser(imbot, simulator, http)


def heard(session) -> list[str]:
    return [line.text for line in session.transcript if line.number == "1001"]


@pytest.mark.parametrize("path", [*PLACES, "/rules/greet", "/sessions/x", "/why?event=x"])
async def test_who_is_not_logged_in_is_asked_for_a_token(browser, path):
    status, text = await browser.get(path)
    assert status == 200
    assert 'name="token"' in text


async def test_after_the_login_one_is_where_one_wanted_to_be(browser):
    async with browser.http.get(
        f"{browser.url}/rules?find=a", headers=HTML, allow_redirects=False
    ) as reply:
        assert reply.headers["Location"] == "/login?next=%2Frules%3Ffind%3Da"
    fields = {"token": TOKENS["read"], "next": "/rules?find=a"}
    assert await browser.send("/login", fields) == (303, "/rules?find=a")


@pytest.mark.parametrize(
    "next_", ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "/\r\nX: y", ""]
)
async def test_nobody_is_sent_elsewhere_by_a_login(browser, next_):
    assert await browser.send("/login", {"token": TOKENS["read"], "next": next_}) == (303, "/")


async def test_a_wrong_token_is_told_so_and_guessing_takes_time(browser):
    found = [await browser.send("/login", {"token": "imbot_no"}) for _ in range(7)]
    assert [status for status, _ in found] == [401] * 5 + [429] * 2
    assert "this token is nobody" in found[0][1]
    assert "too many requests" in found[6][1]
    assert await browser.send("/login", {"token": TOKENS["read"]}) == (303, "/")


async def test_the_cookie_is_for_browsers_and_this_site_alone(browser):
    async with browser.http.post(
        f"{browser.url}/login",
        data={"token": TOKENS["read"]},
        headers={"Origin": browser.url},
        allow_redirects=False,
    ) as reply:
        cookie = reply.headers["Set-Cookie"]
    port = browser.url.rpartition(":")[2]
    assert cookie.startswith(f"imbot-{port}=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert TOKENS["read"] not in cookie


@pytest.mark.parametrize("path", PLACES)
async def test_each_page_is_there_and_runs_nobody_elses_scripts(browser, path):
    await browser.log_in()
    async with browser.http.get(f"{browser.url}{path}", headers=HTML) as reply:
        assert reply.status == 200
        policy = reply.headers["Content-Security-Policy"]
        text = await reply.text()
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"\son\w+=|<script>|style=|https?://(?!127\.0\.0\.1)", text)


async def test_a_session_tells_what_was_said_and_why(browser):
    await browser.log_in("read")
    session = browser.ring("3002")
    await until(lambda: heard(session) == ["Hello"])
    browser.simulator.world.say(session.id, "hi <b>there</b>")
    await until(lambda: len(heard(session)) == 2)
    await asyncio.sleep(0.2)

    _, text = await browser.get("/sessions?number=3002")
    assert f"/sessions/{session.id}" in text
    _, text = await browser.get(f"/sessions/{session.id}")
    assert "hi &lt;b&gt;there&lt;/b&gt;" in text
    assert '<p class="bubble">Hello</p>' in text
    event = re.search(r'hx-get="(/why\?event=[^"]+)"', text)[1]
    status, text = await browser.get(event)
    assert status == 200
    assert ">answer</a>" in text


async def test_no_page_shows_a_secret(browser):
    await browser.log_in()
    session = browser.ring()
    await until(lambda: heard(session) == ["Hello"])
    secrets = ["pw-bot1", *TOKENS.values()]
    for path in (*PLACES, "/rules/greet", f"/sessions/{session.id}?why=true"):
        _, text = await browser.get(path)
        assert [secret for secret in secrets if secret in text] == [], path


async def test_what_is_not_there_is_told_on_a_page(browser):
    await browser.log_in()
    for path, status, told in (
        ("/sessions/none", 404, "there is no session none"),
        ("/rules/gret", 404, "did you mean &#39;greet&#39;"),
        ("/nothing", 404, "there is nothing here"),
        ("/rules?x=1", 400, "nothing is asked by x here"),
        ("/sessions?limit=0", 422, "limit: "),
    ):
        found, text = await browser.get(path)
        assert (found, told in text) == (status, True), path


async def test_programs_are_refused_in_json(browser):
    async with browser.http.get(f"{browser.url}/rules") as reply:
        assert (reply.status, (await reply.json())["error"]) == (401, "login")


async def test_all_effects_are_stopped_and_let_go_on_by_a_form(browser):
    await browser.log_in("operate")
    session = browser.ring()
    await until(lambda: heard(session) == ["Hello"])
    assert await browser.do("/do/halt", {"why": "wrong prices"}) == (303, "/")
    browser.simulator.world.say(session.id, "hi")
    await asyncio.sleep(0.7)
    assert heard(session) == ["Hello"]
    _, text = await browser.get("/")
    assert "All effects were stopped by operateer" in text
    assert "wrong prices" in text
    assert "all effects are stopped" in text, "the news of the deed"
    _, text = await browser.get("/")
    assert "all effects are stopped" not in text, "news are told once"
    assert await browser.do("/do/release") == (303, "/")
    assert not browser.imbot.app.steering.switches.why_halted()


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("off", "greet is off"),
        ("shadow", "greet runs in shadow, 3 effects per session"),
        ("live", "greet runs live"),
        ("written", "greet is as its file says"),
    ],
)
async def test_a_rule_is_switched_by_a_form(browser, state, told):
    await browser.log_in("operate")
    fields = {"state": state, "per_session": " 3" if state == "shadow" else "", "back": "/rules"}
    assert await browser.do("/do/rules/greet", fields) == (303, "/rules")
    _, text = await browser.get("/rules/greet")
    assert told in text
    assert ("greet" in browser.imbot.app.steering.switches.rules) is (state != "written")


async def test_a_calendar_is_closed_by_a_form(browser):
    await browser.log_in("operate")
    assert (await browser.do("/do/calendars/shop", {"closed": "yes"}))[0] == 303
    _, text = await browser.get("/calendars")
    assert "closed by hand: shop" in text
    assert (await browser.do("/do/calendars/shop", {"closed": "no"}))[0] == 303
    _, text = await browser.get("/calendars")
    assert "the hours of each calendar count" in text


async def test_what_does_not_fit_a_form_is_told(browser):
    await browser.log_in("admin")
    for path, fields, status, told in (
        ("/do/rules/greet", {"state": "live", "per_minute": "many"}, 422, "per_minute"),
        ("/do/rules/gret", {"state": "live"}, 404, "did you mean"),
        ("/do/parked/drop", {}, 422, "effects"),
        ("/do/calendars/none", {"closed": "yes"}, 404, "there is no calendar"),
        ("/do/halt", {"why": "x" * 600}, 422, "why"),
    ):
        found, text = await browser.do(path, fields)
        assert (found, told in text) == (status, True), (path, text)


async def test_a_form_of_somebody_elses_page_does_nothing(browser):
    await browser.log_in("operate")
    csrf = await browser.csrf()
    for fields, headers in (
        ({}, {}),
        ({"csrf": ""}, {}),
        ({"csrf": csrf[:-1]}, {}),
        ({"csrf": csrf}, {"Origin": "https://evil.example"}),
        ({"csrf": csrf}, {"Origin": "null"}),
        ({"csrf": csrf}, {"Origin": ""}),
        ({"csrf": csrf}, {"Origin": "http://[::1"}),
        ({"csrf": csrf}, {"Origin": f"http://x@{browser.url.partition('://')[2]}"}),
        ({"csrf": csrf}, {"Sec-Fetch-Site": "cross-site"}),
        ({"csrf": csrf}, {"Sec-Fetch-Site": "same-site"}),
    ):
        status, _ = await browser.send("/do/halt", fields, **headers)
        assert status == 403, (fields, headers)
    assert not browser.imbot.app.steering.switches.why_halted()
    assert (await browser.send("/do/halt", {"csrf": csrf}))[0] == 303


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data"])
async def test_a_form_is_nothing_else(browser, kind):
    await browser.log_in("operate")
    csrf = await browser.csrf()
    body = json.dumps({"csrf": csrf})
    assert (await browser.send("/do/halt", body, **{"Content-Type": kind}))[0] == 415


async def test_nothing_can_be_done_here_that_the_role_may_not(browser):
    await browser.log_in("read")
    for deed in DEEDS:
        path = deed.path.replace("{rule}", "greet").replace("{calendar}", "shop")
        csrf = re.search(r'name="csrf" value="([^"]+)"', (await browser.get("/"))[1])[1]
        status, text = await browser.send(path, {"csrf": csrf, "effect": "x", "closed": "yes"})
        assert (status, "this takes the role" in text) == (403, True), path
    for path in ("/settings", "/audit"):
        assert (await browser.get(path))[0] == 403
        assert path not in (await browser.get("/"))[1]


async def test_deeds_are_in_the_audit_trail_as_of_the_api(browser):
    await browser.log_in("admin")
    await browser.do("/do/halt", {"why": "a test"})
    await browser.do("/do/calendars/shop", {"closed": "yes"})
    await asyncio.sleep(0.2)
    with browser.imbot.views() as views:
        told = [(one.who, one.request, one.status) for one in views.audit()]
    assert told == [
        ("adminer", 'PUT /api/v1/calendars/shop {"closed":true}', 200),
        ("adminer", 'PUT /api/v1/halt {"why":"a test"}', 200),
    ]


async def test_whoever_logs_out_is_out(browser):
    await browser.log_in()
    assert await browser.do("/logout") == (303, "/login")
    _, text = await browser.get("/rules")
    assert 'name="token"' in text


async def test_a_login_ends(browser):
    await browser.log_in()
    visitors = browser.imbot.app.server._pages._visitors
    for visitor in visitors._visitors.values():
        visitor.until = 0.0
    _, text = await browser.get("/rules")
    assert 'name="token"' in text


async def test_a_login_gives_a_ticket_of_its_own(browser):
    """Whoever slipped somebody a cookie must not be logged in with them."""
    port = browser.url.rpartition(":")[2]
    before = browser.imbot.app.server._pages._visitors.admit(
        Key("somebody", Role.READ, hash_of("x"))
    )
    for slipped in ("chosen", before):
        async with browser.http.post(
            f"{browser.url}/login",
            data={"token": TOKENS["admin"]},
            headers={"Origin": browser.url, "Cookie": f"imbot-{port}={slipped}"},
            allow_redirects=False,
        ) as reply:
            assert reply.status == 303
            assert slipped not in reply.headers["Set-Cookie"]
        browser.http.cookie_jar.clear()
    assert browser.imbot.app.server._pages._visitors.of("chosen") is None
    assert browser.imbot.app.server._pages._visitors.of(before).key.name == "somebody"


@pytest.mark.parametrize("path", ["/", "/login", "/nothing"])
async def test_no_page_is_framed(browser, path):
    """Else somebody clicks on what they do not see."""
    if path != "/login":
        await browser.log_in()
    async with browser.http.get(f"{browser.url}{path}", headers=HTML) as reply:
        assert "frame-ancestors 'none'" in reply.headers["Content-Security-Policy"]


async def test_so_many_pages_may_be_open(browser, monkeypatch):
    monkeypatch.setattr(serving, "_MOST_OPEN", 2)
    await browser.log_in("read")
    async with AsyncExitStack() as open_pages:
        for _ in range(2):
            stream = await open_pages.enter_async_context(browser.http.get(f"{browser.url}/live"))
            assert await events(stream, 1)
        status, text = await browser.get("/live")
        assert (status, "close one" in text) == (503, True)
        assert (await browser.get("/"))[0] == 200
        await browser.log_in("operate")
        other = await open_pages.enter_async_context(browser.http.get(f"{browser.url}/live"))
        assert await events(other, 1), "of another token"
        stream.close()
        browser.ring()  # whoever is gone is noticed when something is told
        await until(lambda: browser.imbot.app.server._pages._live.opened("reader") == 1)
    assert (await browser.get("/rules"))[0] == 200


async def events(stream, count: int) -> list[set[str]]:
    """Return the topics of the next server-sent events."""
    found = []
    async with asyncio.timeout(10):
        while len(found) < count:
            line = await stream.content.readline()
            if line.startswith(b"data: "):
                found.append(set(json.loads(line[6:])["moved"]))
    return found


async def test_an_open_page_is_told_what_moves(browser):
    await browser.log_in("read")
    async with browser.http.get(f"{browser.url}/live") as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        assert await events(stream, 1) == [{"condition"}]
        session = browser.ring()
        moved = set()
        while f"session:{session.id}" not in moved:
            (moved,) = await events(stream, 1)
        assert "sessions" in moved
        await browser.imbot.app.steering.halt("somebody", "")
        while "condition" not in moved:
            (moved,) = await events(stream, 1)


async def test_whoever_logs_out_is_told_nothing_more(browser):
    await browser.log_in("read")
    async with browser.http.get(f"{browser.url}/live") as stream:
        assert await events(stream, 1) == [{"condition"}]
        assert await browser.do("/logout") == (303, "/login")
        await browser.imbot.app.steering.halt("somebody", "")
        async with asyncio.timeout(5):
            told = (await stream.content.read()).count(b"data:")
    assert told <= 1, "what was on its way"


async def test_forms_are_paced_as_requests_are_and_fill_no_audit_trail(browser, monkeypatch):
    """Whoever may only read is refused each time; that is written down, and not for ever."""
    await browser.log_in("read")
    two = Bucket(SystemClock(), per_s=1e-6, at_once=2.0)
    monkeypatch.setattr(browser.imbot.app.server.gate, "_asking", two)
    csrf = re.search(r'name="csrf" value="([^"]+)"', (await browser.get("/"))[1])[1]
    assert (await browser.send("/do/release", {"csrf": csrf}))[0] == 403
    assert (await browser.send("/do/release", {"csrf": csrf}))[0] == 429
    assert (await browser.get("/pulse"))[0] == 429
    await asyncio.sleep(0.2)
    with browser.imbot.views() as views:
        assert [one.status for one in views.audit()] == [403]


async def test_what_is_kept_by_browsers_is_named_by_what_it_holds(browser):
    _, text = await browser.get("/login")
    (path,) = set(re.findall(r'href="(/static/imbot\.\w+\.css)"', text))
    async with browser.http.get(f"{browser.url}{path}") as reply:
        assert reply.status == 200
        assert "immutable" in reply.headers["Cache-Control"]
        assert reply.headers["Content-Type"].startswith("text/css")
    for wrong in ("/static/imbot.css", "/static/..%2fpages.py", "/static/", "/static/htmx.LICENSE"):
        async with browser.http.get(f"{browser.url}{wrong}") as reply:
            assert reply.status == 404


# While it stands by ---------------------------------------------------------------------------


async def test_who_looks_at_an_imbot_that_stands_by_is_told_why():
    """An operator whose page stops working must not have to guess."""
    why = Standby("safe-mode", ["imbot.yaml:3:1 <wrong>"])
    async with (
        AdminServer(
            Site("127.0.0.1:0"), why.health, SystemClock(), pages=StandbyPage(why.health)
        ) as server,
        aiohttp.ClientSession() as http,
    ):
        for path in ("/", "/rules", "/sessions/x"):
            async with http.get(f"{server.url}{path}", headers=HTML) as reply:
                assert reply.status == 503
                assert "imbot.yaml:3:1 &lt;wrong&gt;" in await reply.text()
        async with http.get(f"{server.url}/rules") as reply:
            assert (reply.status, (await reply.json())["error"]) == (404, "path")
        passed_on = {**HTML, "X-Forwarded-For": "192.0.2.1"}
        async with http.get(server.url, headers=passed_on) as reply:
            assert reply.status == 401, "who is elsewhere shows a token, as for /health"
