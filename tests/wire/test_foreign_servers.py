"""The foreign servers themselves, by plain HTTP: what the tests of imbot against them rest on."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from tests.wire.foreign import ForeignGws, Json, Kind, NodeMissingError, install

IM = "/v2/me/im-sessions"
CALL_3002 = {"operationName": "InitiateIMSession", "destination": {"phoneNumber": "3002"}}
START = {"operationName": "StartContactCenterSession", "channels": ["voice"]}

rest_only = pytest.mark.parametrize(
    "foreign_kind", [Kind.COMETD]
)  # the GWS half is one and the same


class Browser:
    """One agent's cookies and CSRF token, and the few requests that the tests make with them."""

    def __init__(self, server: ForeignGws, user: str) -> None:
        self.server = server
        self.http = aiohttp.ClientSession(
            server.url,
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            timeout=aiohttp.ClientTimeout(total=15),
        )
        self.login_header = aiohttp.encode_basic_auth(user, f"pw-{user}")
        self.csrf: dict[str, str] = {}
        self.client_id = ""
        self.acked = 0

    async def get(self, path: str) -> tuple[int, Json]:
        headers = {"Authorization": self.login_header}
        async with self.http.get(f"/api/v2/{path}", headers=headers) as response:
            if "X-CSRF-HEADER" in response.headers:
                self.csrf = {response.headers["X-CSRF-HEADER"]: response.headers["X-CSRF-TOKEN"]}
            return response.status, await response.json()

    async def operate(self, path: str, **body: object) -> tuple[int, Json]:
        async with self.http.post(f"/api/v2/{path}", json=body, headers=self.csrf) as response:
            return response.status, await response.json()

    async def bayeux(self, **message: object) -> list[Json]:
        message |= {"clientId": self.client_id} if self.client_id else {}
        url = "/api/v2/notifications"
        async with self.http.post(url, json=[message], headers=self.csrf) as response:
            response.raise_for_status()
            return await response.json(content_type=None)

    async def connect(self, *, hold_ms: int | None = None) -> list[Json]:
        """One poll; gives all that came with it."""
        advice = {} if hold_ms is None else {"advice": {"timeout": hold_ms}}
        ext = {"ext": {"ack": self.acked}} if self.server.kind.acks else {}
        connect = {"id": "9", "channel": "/meta/connect", "connectionType": "long-polling"}
        messages = await self.bayeux(**connect, **advice, **ext)
        reply = next(m for m in messages if m["channel"] == "/meta/connect")
        self.acked = reply.get("ext", {}).get("ack", self.acked)
        return messages

    async def events(self) -> list[Json]:
        """The ``data`` of what waits, or of the first that comes."""
        return [m["data"] for m in await self.connect() if "data" in m]

    async def log_in(self) -> None:
        await self.get("me")
        assert (await self.operate("me", **START))[0] == 200

    async def listen(self) -> None:
        offer = {"version": "1.0", "supportedConnectionTypes": ["long-polling"]}
        self.client_id = ""
        [reply] = await self.bayeux(id="1", channel="/meta/handshake", ext={"ack": True}, **offer)
        assert reply["successful"], reply
        assert reply.get("ext", {}).get("ack", False) is self.server.kind.acks
        self.client_id, self.acked = reply["clientId"], 0
        [reply] = await self.bayeux(id="2", channel="/meta/subscribe", subscription=IM)
        assert (reply["successful"], reply["subscription"]) == (True, IM)
        await self.connect(hold_ms=0)


@pytest.fixture
async def browse() -> AsyncIterator[Callable[..., Browser]]:
    """Browsers that are closed after the test."""
    browsers: list[Browser] = []

    def make(server: ForeignGws, user: str = "bot1") -> Browser:
        browsers.append(Browser(server, user))
        return browsers[-1]

    yield make
    for browser in browsers:
        await browser.http.close()


@pytest.fixture
async def browser(browse: Callable[..., Browser], foreign_server: ForeignGws) -> Browser:
    return browse(foreign_server)


@pytest.fixture
async def listener(browser: Browser) -> Browser:
    """bot1, logged in and subscribed."""
    await browser.log_in()
    await browser.listen()
    return browser


@rest_only
async def test_a_request_without_credentials_is_refused_as_gws_does_it(browser):
    async with browser.http.get("/api/v2/me") as response:
        assert response.status == 403
        assert await response.json() == {"statusCode": 20, "statusMessage": "Access denied"}


@rest_only
async def test_me_shows_device_and_feature_and_opens_an_http_session(browser):
    status, me = await browser.get("me?subresources=features,devices,channels")
    assert (status, me["statusCode"]) == (200, 0)
    assert me["user"]["devices"][0]["phoneNumber"] == "7001"
    assert me["user"]["features"][0]["id"] == "api-voice-instant-messaging"
    assert [c.key for c in browser.http.cookie_jar] == ["JSESSIONID"]


async def test_a_post_without_the_token_is_refused_by_text(browser):
    """REST and CometD alike; the token of a GET makes both pass."""
    await browser.get("me")
    token, browser.csrf = browser.csrf, {}
    status, answer = await browser.operate("me", **START)
    assert (status, answer["statusMessage"]) == (403, "Missing or invalid Csrf token")
    with pytest.raises(aiohttp.ClientResponseError, match="403"):
        await browser.listen()
    browser.csrf = token
    assert (await browser.operate("me", **START))[0] == 200
    await browser.listen()


async def test_cometd_asks_for_the_http_session(browser):
    """The password alone opens no Bayeux session: which agent's it is, the cookie says."""
    with pytest.raises(aiohttp.ClientResponseError, match="403"):
        await browser.listen()


async def test_a_ring_arrives_as_alerting_then_talking(listener):
    session = await listener.server.ring("bot1", "3002", user_data={"vip": "yes"})
    shown = [e["imSession"] for e in await listener.events()]
    assert [s["state"] for s in shown] == ["Alerting", "Talking"]
    assert shown[1]["id"] == session
    assert shown[1]["userData"] == {"vip": "yes"}
    assert [p["phoneNumber"] for p in shown[1]["participants"]] == ["3002"]


async def test_a_straight_ring_starts_with_talking(listener):
    await listener.server.ring("bot1", "3002", straight=True)
    assert [e["imSession"]["state"] for e in await listener.events()] == ["Talking"]


async def test_a_held_poll_is_answered_when_something_happens(listener):
    poll = asyncio.create_task(listener.events())
    await listener.server.until_listening("bot1")
    await listener.server.ring("bot1", "3002", straight=True)
    assert len(await poll) == 1


async def test_events_reach_the_right_agent_only(listener, browse):
    other = browse(listener.server, "bot2")
    await other.log_in()
    await other.listen()
    await listener.server.ring("bot1", "3002", straight=True)
    await listener.server.ring("bot2", "3003", straight=True)
    for agent, number in ((listener, "3002"), (other, "3003")):
        [event] = await agent.events()
        assert event["imSession"]["participants"][0]["phoneNumber"] == number


async def test_a_wildcard_subscription_gets_the_agents_own_events_by_their_plain_names(listener):
    await listener.bayeux(id="3", channel="/meta/unsubscribe", subscription=IM)
    [reply] = await listener.bayeux(id="4", channel="/meta/subscribe", subscription="/v2/me/*")
    assert reply["successful"]
    await listener.server.ring("bot1", "3002", straight=True)
    assert IM in [m["channel"] for m in await listener.connect()]


async def test_a_conversation_leaves_its_operations_in_the_log(listener):
    """SendMessage is echoed to its sender, user data are merged, Complete ends it for both."""
    server = listener.server
    session = await server.ring("bot1", "3002", straight=True)
    path, device = f"me/im-sessions/{session}", (await server.agents())["bot1"]["devicePath"]
    said = {"text": "Grüße 👋", "destination": {"phoneNumber": "3002"}, "devicePath": device}
    await server.say(session, "hello")
    for body in (
        {"operationName": "SendMessage", **said},
        {"operationName": "AttachUserData", "userData": {"a": "1"}},
        {"operationName": "UpdateUserData", "userData": {"b": "2"}},
        {"operationName": "DeleteUserData", "key": "a"},
        {"operationName": "Complete"},
    ):
        assert await listener.operate(path, **body) == (200, {"statusCode": 0})

    events = await listener.events()
    while events[-1].get("imSession", {}).get("state") != "Completed":
        events += await listener.events()
    assert [e["message"] for e in events if "message" in e] == ["hello", "Grüße 👋"]
    data = [e["imSession"].get("userData", {}) for e in events if "imSession" in e]
    assert data == [{}, {"a": "1"}, {"a": "1", "b": "2"}, {"b": "2"}, {"b": "2"}]
    assert (await server.sessions())[session]["userData"] == {"b": "2"}
    [sent] = await server.operations("SendMessage", agent="bot1")
    assert sent["body"] == {"operationName": "SendMessage", **said}
    assert abs(sent["at"] - time.time() * 1000) < 10_000


@rest_only
async def test_both_forms_of_the_list_and_one_session(listener):
    session = await listener.server.ring("bot1", "3002", straight=True)
    _, full = await listener.get("me/im-sessions?fields=*")
    assert [s["id"] for s in full["imSessions"]] == [session]
    _, uris = await listener.get("me/im-sessions")
    assert [uri.rpartition("/")[2] for uri in uris["uris"]] == [session]
    _, one = await listener.get(f"me/im-sessions/{session}")
    assert one["imSession"] == full["imSessions"][0]


REFUSED = [
    ("me/im-sessions/{id}", {"operationName": "SendMessage", "text": "x"}, 1),
    ("me/im-sessions/{id}", {"operationName": "DeleteUserData"}, 1),
    ("me/im-sessions/{id}", {"operationName": "Dance"}, 10),
    ("me/im-sessions/gone", {"operationName": "Complete"}, 6),
    ("me/im-sessions", {"operationName": "InitiateIMSession"}, 1),
    ("me/im-sessions", CALL_3002, 2),
]


@rest_only
async def test_a_wrong_operation_is_refused_by_status_code(listener):
    session = await listener.server.ring("bot1", "3002", straight=True)
    for path, body, status_code in REFUSED:
        status, answer = await listener.operate(path.format(id=session), **body)
        assert status >= 400
        assert answer["statusCode"] == status_code, body


async def test_initiate_goes_from_initiating_to_talking_on_both_ends(listener, browse):
    other = browse(listener.server, "bot2")
    await other.log_in()
    await other.listen()
    call = {"operationName": "InitiateIMSession", "destination": {"phoneNumber": "7002"}}
    assert await listener.operate("me/im-sessions", **call) == (200, {"statusCode": 0})
    assert [e["imSession"]["state"] for e in await listener.events()] == ["Initiating", "Talking"]
    assert [e["imSession"]["state"] for e in await other.events()] == ["Alerting", "Talking"]


async def test_initiate_before_login_fails_and_says_so_twice(browser):
    """HTTP 500 with a text, and an ErrorMessage without one."""
    await browser.get("me")
    await browser.listen()
    await browser.bayeux(id="3", channel="/meta/subscribe", subscription="/v2/me/devices")
    status, answer = await browser.operate("me/im-sessions", **CALL_3002)
    assert (status, answer["statusCode"]) == (500, 4)
    [event] = await browser.events()
    assert event["messageType"] == "ErrorMessage"


async def test_a_forgotten_client_is_told_to_shake_hands_again(listener):
    """402 by the CometD project, 401 by faye; the advice comes with connect only."""
    await listener.server.fault("expire", agent="bot1")
    code = "401:" if listener.server.kind is Kind.FAYE else "402:"
    [refused] = await listener.connect(hold_ms=0)
    assert (refused["successful"], refused["error"][:4]) == (False, code)
    assert refused["advice"]["reconnect"] == "handshake"
    [refused] = await listener.bayeux(id="5", channel="/meta/subscribe", subscription=IM)
    assert (refused["successful"], refused["error"][:4]) == (False, code)
    assert "advice" not in refused
    await listener.listen()


async def test_a_poll_in_progress_is_answered_when_its_client_is_forgotten(listener):
    poll = asyncio.create_task(listener.connect())
    await listener.server.until_listening("bot1")
    await listener.server.fault("disconnect")
    messages = await poll
    assert messages[-1]["successful"]
    goodbye = [m for m in messages if m["channel"] == "/meta/disconnect"]
    assert len(goodbye) == (0 if listener.server.kind is Kind.FAYE else 1)


async def test_a_lost_poll_reply_comes_again_only_with_ack(listener):
    server = listener.server
    await server.fault("lose_polls", count=1)
    session = await server.ring("bot1", "3002", straight=True)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await listener.events()
    assert [e["data"]["imSession"]["id"] for e in await server.lost()] == [session]
    await server.say(session, "hello")
    texts = [e.get("message", "the ring") for e in await listener.events()]
    assert texts == (["the ring", "hello"] if server.kind.acks else ["hello"])


async def test_a_lost_http_session_is_refused_and_the_bayeux_client_survives_it(listener):
    await listener.server.fault("end_http", agent="bot1")
    with pytest.raises(aiohttp.ClientResponseError, match="403"):
        await listener.connect(hold_ms=0)
    await listener.get("me")
    assert (await listener.connect(hold_ms=0))[0]["successful"]


@rest_only
async def test_a_changed_csrf_token_is_learned_from_a_get(listener):
    await listener.server.fault("change_csrf")
    assert (await listener.operate("me", **START))[0] == 403
    await listener.get("me")
    assert (await listener.operate("me", **START))[0] == 200


async def test_an_outage_refuses_everything_and_swallows_what_the_held_poll_was_for(listener):
    """The Bayeux server does not see that its poll died: without ack the ring is lost."""
    server = listener.server
    poll = asyncio.create_task(listener.connect())
    await server.until_listening("bot1")
    await server.fault("outage", seconds=0.5)
    with pytest.raises(aiohttp.ClientResponseError, match="503"):
        await poll
    async with listener.http.get("/api/v2/diagnostics/version") as response:
        assert response.status == 503
    await server.ring("bot1", "3002", straight=True)
    await server.until(server.lost)

    async def over() -> bool:
        async with listener.http.get("/api/v2/diagnostics/version") as response:
            return response.ok

    await server.until(over)
    events = [m for m in await listener.connect(hold_ms=0) if "data" in m]
    assert len(events) == (1 if server.kind.acks else 0)


@rest_only
async def test_a_hang_answers_nothing_and_then_closes(listener):
    await listener.server.fault("outage", seconds=0.3, status=None)
    began = time.monotonic()
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await listener.operate("me", **START)
    assert time.monotonic() - began > 0.2
    assert len(await listener.server.operations("StartContactCenterSession")) == 1


@rest_only
async def test_a_lost_operation_reply_leaves_its_effect(listener):
    session = await listener.server.ring("bot1", "3002", straight=True)
    await listener.server.fault("lose_operations", count=1)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await listener.operate(f"me/im-sessions/{session}", operationName="Complete")
    states = [leg["state"] for leg in (await listener.server.sessions())[session]["legs"]]
    assert states == ["Completed", "Completed"]


async def test_events_can_come_before_the_reply(listener):
    session = await listener.server.ring("bot1", "3002", straight=True)
    await listener.events()
    await listener.server.fault("events_first")
    poll = asyncio.create_task(listener.events())
    await listener.server.until_listening("bot1")
    operation = asyncio.create_task(
        listener.operate(f"me/im-sessions/{session}", operationName="Complete")
    )
    first, _ = await asyncio.wait({poll, operation}, return_when=asyncio.FIRST_COMPLETED)
    assert first == {poll}
    assert (await operation)[0] == 200


async def test_a_denied_subscription_is_a_403(listener):
    await listener.server.fault("deny", channels=["/notifications/services"])
    channel = {"channel": "/meta/subscribe", "subscription": "/notifications/services"}
    [refused] = await listener.bayeux(id="5", **channel)
    assert (refused["successful"], refused["error"][:4]) == (False, "403:")


async def test_odd_bayeux_bodies_do_not_break_a_server(listener):
    """Whatever a client's fault sends, the server lives on and says nothing on stderr."""
    odd = ("[]", "[", "null", "5", "[null]", "[5]", "[{}]", '[{"channel":5}]', '[{"data":{}}]')
    headers = {"Content-Type": "application/json"} | listener.csrf
    for body in odd:
        url = "/api/v2/notifications"
        async with listener.http.post(url, data=body, headers=headers) as response:
            assert response.status in (200, 400), body
    for subscription in (5, [None], "no-slash", []):
        with contextlib.suppress(aiohttp.ClientResponseError):  # CometD's says HTTP 400 to some
            await listener.bayeux(id="5", channel="/meta/subscribe", subscription=subscription)
    await listener.listen()


async def test_a_restart_keeps_port_and_im_sessions_and_forgets_who_was_there(listener):
    server = listener.server
    port, before = server.port, await server.ring("bot1", "3002", straight=True)
    ring = ("ring", {"agent": "bot1", "from": "3003"})
    _, rung = await server.restart(meanwhile=[("complete", {"session": before}), ring])
    assert server.port == port
    with pytest.raises(aiohttp.ClientResponseError, match="403"):
        await listener.connect(hold_ms=0)
    sessions = await server.sessions()
    assert [sessions[i]["legs"][1]["state"] for i in (before, rung["id"])] == [
        "Completed",
        "Talking",
    ]
    agent = (await server.agents())["bot1"]
    assert (agent["voiceState"], agent["clients"], agent["httpSessions"]) == ("NotReady", [], 0)
    assert len(await server.operations("StartContactCenterSession")) == 1


async def test_a_server_that_cannot_start_says_why(start_foreign):
    with pytest.raises(RuntimeError, match="--nonsense"):
        await start_foreign(Kind.FAYE, "--nonsense")


async def test_logout_ends_both_sessions(listener):
    status, _ = await listener.operate("me", operationName="EndContactCenterSession")
    agent = (await listener.server.agents())["bot1"]
    assert (status, agent["voiceState"], agent["clients"]) == (200, "LoggedOut", [])
    with pytest.raises(ValueError, match="busy or logged out"):
        await listener.server.ring("bot1", "3002")


async def test_switches_are_passed_on(start_foreign, browse):
    server = await start_foreign(Kind.COMETD, "--agents", "5", "--no-csrf", "--timeout-ms", "100")
    browser = browse(server, "bot5")
    await browser.log_in()
    assert browser.csrf == {}
    await browser.listen()
    began = time.monotonic()
    assert await browser.events() == []
    assert time.monotonic() - began < 5


async def test_a_server_ends_with_the_test_that_started_it(start_foreign):
    """Even if the test is killed: the end of its stdin ends the server."""
    server = await start_foreign(Kind.FAYE)
    process = server._process
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 5) == 0


def test_a_machine_without_node_is_told_what_it_lacks(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "environ", {"PATH": str(tmp_path)})
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(NodeMissingError, match="node is not installed"):
        install()
