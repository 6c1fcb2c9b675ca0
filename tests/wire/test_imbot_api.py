"""The admin API of a whole imbot, over real sockets, with the simulator behind it."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from imbot.admin.desk import Desk
from imbot.admin.keys import hash_of, new_token
from imbot.admin.limits import Bucket
from imbot.admin.routing import Route
from imbot.clock import SystemClock
from imbot.simulator import Simulator, SimulatorSettings
from imbot.simulator.settings import AgentAccount
from tests.wire.house import Imbot, running, until

RULES = """
version: 1
calendars:
  shop: {timezone: UTC, open: {mon-sun: "00:00-24:00"}}
rules:
  - id: greet
    trigger: {state: Talking}
    once: session
    do: [{reply: Hello}]
  - id: answer
    trigger: {message: any}
    when: open("shop")
    do: [{reply: "You said {{ message.text }}"}]
  - id: called
    trigger: {webhook: ring}
    do: [{log: "{{ event.body }}"}]
"""

TOKENS = {role: new_token() for role in ("read", "operate", "admin")}


@dataclass
class Api:
    """A running imbot behind its API."""

    imbot: Imbot
    simulator: Simulator
    http: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return self.imbot.app.server.url

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        role: str | None = "admin",
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
    ) -> tuple[int, Any]:
        """Return status and body of an answer."""
        sent = {} if role is None else {"Authorization": f"Bearer {TOKENS[role]}"}
        data = raw
        if body is not None:
            data = json.dumps(body).encode()
        if data is not None:
            sent["Content-Type"] = "application/json"
        sent |= headers or {}
        url = f"{self.url}/api/v1{path}"
        async with self.http.request(method, url, data=data, headers=sent) as reply:
            assert reply.headers["X-Content-Type-Options"] == "nosniff"
            assert reply.headers["Cache-Control"] == "no-store"
            assert reply.headers["Server"] == "imbot"
            return reply.status, await reply.json()

    def ring(self, number: str = "3002") -> Any:
        world = self.simulator.world
        return world.session(world.ring("bot1", number))


@pytest.fixture
async def api(tmp_path) -> AsyncIterator[Api]:
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
        aiohttp.ClientSession() as http,
    ):
        await imbot.up()
        yield Api(imbot, simulator, http)


def heard(session) -> list[str]:
    return [line.text for line in session.transcript if line.number == "1001"]


def unlimited() -> Bucket:
    return Bucket(SystemClock(), per_s=1e9, at_once=1e9)


def routes(api: Api) -> list[Route]:
    return list(Desk(api.imbot.app.office()).routes)


async def test_from_a_number_to_why_a_rule_did_not_run(api):
    session = api.ring("3002")
    await until(lambda: heard(session) == ["Hello"])
    await api.ask("PUT", "/calendars/shop", {"closed": True}, role="operate")
    api.simulator.world.say(session.id, "hi")
    await until(lambda: api.imbot.heard(session.id) == ["hi"])
    await asyncio.sleep(0.2)

    _, found = await api.ask("GET", "/sessions?number=3002", role="read")
    assert [one["id"] for one in found["sessions"]] == [session.id]
    _, story = await api.ask("GET", f"/sessions/{session.id}?why=true", role="read")
    (one,) = story["stories"]
    told = [f"{line['what']} {line['details']}" for line in one["lines"]]
    assert any(line.startswith("reply of greet “Hello”") for line in told)
    (why,) = [line for line in told if line.startswith("rule answer")]
    assert "calendar, shop is closed" in why
    known = {(line["kind"], line["rule"], line["state"]) for line in one["lines"]}
    assert {("ran", "greet", ""), ("run", "greet", "done"), ("unmatched", "answer", "")} <= known
    assert any(line["kind"] == "effect" and line["effect"] for line in one["lines"])
    event = next(line["event"] for line in one["lines"] if line["kind"] == "message")
    _, found = await api.ask("GET", f"/why?event={event}&rule=answer", role="read")
    assert found["rules"][0]["causes"][0]["kind"] == "calendar"


async def test_the_kill_switch_takes_effect_at_once(api):
    session = api.ring()
    await until(lambda: heard(session) == ["Hello"])
    status, halted = await api.ask("PUT", "/halt", {"why": "wrong prices"}, role="operate")
    assert (status, halted["by"], halted["why"]) == (200, "operateer", "wrong prices")
    api.simulator.world.say(session.id, "hi")
    await asyncio.sleep(1.0)
    assert heard(session) == ["Hello"]

    status, halted = await api.ask("DELETE", "/halt", role="operate")
    assert (status, halted["halted"]) == (200, False)
    api.simulator.world.say(session.id, "again")
    await until(lambda: heard(session) == ["Hello", "You said again"])


async def test_a_rule_that_is_switched_is_shown_with_the_runs_that_it_had(api):
    session = api.ring()
    await until(lambda: heard(session) == ["Hello"])
    await asyncio.sleep(0.2)
    _, before = await api.ask("GET", "/rules/greet")
    _, after = await api.ask("PUT", "/rules/greet/switch", {"off": True})
    assert (after["runs"], after["last_at"]) == (before["runs"], before["last_at"])
    assert after["last_at"] is not None


async def test_a_rule_is_switched_and_shown_so(api):
    status, rule = await api.ask("PUT", "/rules/answer/switch", {"off": True, "per_minute": 3})
    assert status == 200
    assert rule["switch"]["off"] is True
    assert rule["switch"]["by"] == "adminer"
    _, found = await api.ask("GET", "/rules")
    by_id = {one["id"]: one for one in found["rules"]}
    assert by_id["answer"]["switch"]["per_minute"] == 3
    assert by_id["greet"]["switch"] is None
    status, rule = await api.ask("PUT", "/rules/answer/switch", {})
    assert (status, rule["switch"]) == (200, None)


async def test_rules_are_found_and_counted(api):
    session = api.ring()
    await until(lambda: heard(session) == ["Hello"])
    api.simulator.world.say(session.id, "hi")
    await until(lambda: len(heard(session)) == 2)

    _, found = await api.ask("GET", "/rules?limit=2", role="read")
    assert (found["total"], [one["id"] for one in found["rules"]]) == (3, ["greet", "answer"])
    greet, answer = found["rules"]
    assert (greet["hits"], greet["suppressed"], answer["hits"], answer["misses"]) == (1, {}, 1, 0)
    assert greet["misses"] >= 1, "the state before Talking"
    _, found = await api.ask("GET", "/rules?find=CALL", role="read")
    assert [(one["id"], one["misses"]) for one in found["rules"]] == [("called", 0)]
    _, found = await api.ask("GET", "/pulse", role="read")
    assert (sum(found["replies"]), len(found["at"])) == (2, len(found["step_p95_s"]))


async def test_a_hook_tells_its_rules(api):
    status, done = await api.ask("POST", "/hooks/ring", {"a": [1, None]}, role="operate")
    assert (status, done) == (200, {"done": "rules that wait for ring are told"})
    status, refused = await api.ask("POST", "/hooks/rang", {}, role="operate")
    assert (status, refused["error"]) == (404, "no-hook")
    assert "did you mean 'ring'" in refused["message"]


async def test_rules_are_reloaded_or_stay(api):
    path = api.imbot.folder / "rules.yaml"
    path.write_text(RULES.replace("Hello", "Welcome"))
    status, done = await api.ask("POST", "/reload")
    assert (status, done["done"]) == (200, "3 rules are in force")
    path.write_text("version: 1\nrules: [{id: x}]\n")
    status, refused = await api.ask("POST", "/reload")
    assert (status, refused["error"]) == (422, "wrong-rules")


TEXT, LIKE_JSON = ({"Content-Type": kind} for kind in ("text/plain", "application/json+x"))

LOOKS = (
    *("/health", "/pulse", "/halt", "/agents", "/sessions", "/rules", "/parked", "/timers"),
    *("/calendars", "/plugins", "/settings", "/audit", "/openapi.json"),
)


@pytest.mark.parametrize("path", LOOKS)
async def test_whatever_there_is_to_see_is_answered(api, path):
    status, found = await api.ask("GET", path)
    assert status == 200
    assert found


async def test_who_has_no_token_does_not_fill_the_audit_trail(api):
    for _ in range(20):
        await api.ask("PUT", "/halt", {}, role=None)
    await api.ask("POST", "/hooks/ring", {"password": "x"}, role="operate")
    await asyncio.sleep(0.2)
    _, found = await api.ask("GET", "/audit")
    told = [(one["who"], one["request"], one["status"]) for one in found["entries"]]
    assert told == [("operateer", "POST /api/v1/hooks/ring", 200)] + 5 * [
        ("", "PUT /api/v1/halt", 401)
    ]


async def test_nobody_is_let_in_without_the_right_token(api, monkeypatch):
    monkeypatch.setattr(api.imbot.app.server.gate, "_wrong", unlimited())
    for route in routes(api):
        path = route.path.replace("{", "").replace("}", "")
        status, refused = await api.ask(route.method, path, role=None)
        assert (status, refused["error"]) == (401, "token"), route
        if route.role.word != "read":
            status, refused = await api.ask(route.method, path, role="read")
            assert (status, refused["error"]) == (403, "role"), route


async def test_who_guesses_tokens_must_wait(api):
    wrong = {"Authorization": "Bearer imbot_guessed"}
    found = [await api.ask("GET", "/health", role=None, headers=wrong) for _ in range(7)]
    assert [status for status, _ in found] == [401] * 5 + [429] * 2
    status, _ = await api.ask("GET", "/health")
    assert status == 200, "somebody else at the same address can always stop all effects"


async def test_who_asks_too_often_waits_and_nobody_else(api):
    found = [await api.ask("GET", "/halt", role="read") for _ in range(130)]
    assert 100 <= sum(status == 200 for status, _ in found) < 130
    assert {refused["error"] for status, refused in found if status != 200} == {"pace"}
    status, _ = await api.ask("PUT", "/halt", {}, role="operate")
    assert status == 200


async def test_what_is_done_is_in_the_audit_trail(api):
    await api.ask("PUT", "/halt", {"why": "a test"}, role="operate")
    await api.ask("PUT", "/halt", {"why": "no"}, role="read")
    await api.ask("DELETE", "/halt", role="operate")
    await asyncio.sleep(0.2)
    _, found = await api.ask("GET", "/audit")
    assert [(one["who"], one["request"], one["status"]) for one in found["entries"]] == [
        ("operateer", "DELETE /api/v1/halt", 200),
        ("reader", "PUT /api/v1/halt", 403),
        ("operateer", 'PUT /api/v1/halt {"why":"a test"}', 200),
    ]


@pytest.mark.parametrize(
    ("method", "path", "how", "status", "error"),
    [
        ("GET", "/nothing", {}, 404, "path"),
        ("PATCH", "/halt", {}, 405, "method"),
        ("HEAD", "/halt", {}, 405, "method"),
        ("GET", "/agents?limit=0", {}, 422, "form"),
        ("GET", "/agents?limit=1&limit=2", {}, 400, "query"),
        ("GET", "/agents?x=1", {}, 422, "form"),
        ("GET", "/rules?x=1", {}, 422, "form"),
        ("GET", "/plugins?x=1", {}, 400, "query"),
        ("PUT", "/halt", {"raw": b"{"}, 400, "body"),
        ("PUT", "/halt", {"raw": b'{"why": NaN}'}, 400, "body"),
        ("PUT", "/halt", {"body": {"why": 1}}, 422, "form"),
        ("PUT", "/halt", {"body": {"whi": "x"}}, 422, "form"),
        ("PUT", "/halt", {"body": {}, "headers": TEXT}, 415, "content-type"),
        ("PUT", "/halt", {"body": {}, "headers": LIKE_JSON}, 415, "content-type"),
        ("PUT", "/halt", {"raw": b'{"why": "' + b"x" * 300_000 + b'"}'}, 413, "size"),
        ("DELETE", "/halt", {"body": {}}, 400, "body"),
        ("GET", "/health", {"headers": {"Host": "evil.example"}}, 421, "host"),
        ("GET", "/sessions/none", {}, 404, "no-session"),
        ("GET", "/sessions/%00", {}, 404, "no-session"),
        ("GET", "/sessions/" + "x" * 301, {}, 400, "path"),
        ("PUT", "/rules/answer/switch", {"body": {"shadow": 0}}, 422, "form"),
        ("GET", "/why?event=none", {}, 404, "no-event"),
        ("GET", "/why?event=none&rule=none", {}, 404, "no-rule"),
        ("GET", "/sessions/none?rule=none", {}, 404, "no-rule"),
        ("PUT", "/rules/none/switch", {"body": {}}, 404, "no-rule"),
        ("PUT", "/calendars/none", {"body": {"closed": True}}, 404, "no-calendar"),
        ("POST", "/parked/drop", {"body": {"effects": []}}, 422, "form"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_told(api, method, path, how, status, error):
    if method == "HEAD":
        async with api.http.head(f"{api.url}/api/v1{path}") as reply:
            assert reply.status == status
        return
    found, refused = await api.ask(method, path, **how)
    assert (found, refused["error"]) == (status, error)


async def test_orders_about_what_is_not_parked_are_refused(api):
    _, found = await api.ask("POST", "/parked/drop", {"effects": ["x", "x", "y"]})
    assert found["ordered"] == []
    assert set(found["refused"]) == {"x", "y"}
