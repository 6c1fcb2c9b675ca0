"""The simulator over HTTP, asked with plain aiohttp as any client would."""

import asyncio
import base64
import logging
import shutil
import socket
from contextlib import AsyncExitStack
from importlib.resources import files

import aiohttp
import pytest

from imbot.errors import ImbotError
from imbot.jsontext import decode_json
from imbot.simulator import AgentAccount, Faults, Simulator, SimulatorSettings
from imbot.simulator.agents import UserState

IM = "/v2/me/im-sessions"
COMETD = "/api/v2/notifications"
ME = "/api/v2/me"
ACCOUNTS = (
    AgentAccount(user="bot1", password="pw", number="1001"),
    AgentAccount(user="bot2", password="pw", number="1002", im_feature=False),
)


class Reply:
    """What came back, read whole."""

    def __init__(self, response, body):
        self.status = response.status
        self.headers = response.headers
        self.cookies = {name: morsel.value for name, morsel in response.cookies.items()}
        self.body = body

    @property
    def json(self):
        return decode_json(self.body)

    @property
    def code(self):
        return self.json["statusCode"]


class Client:
    """A client of one agent: cookie jar, Basic, CSRF token by GET."""

    def __init__(self, sim, *, user="bot1"):
        credentials = base64.b64encode(f"{user}:pw".encode()).decode()
        self.sim = sim
        self.http = aiohttp.ClientSession(
            base_url=sim.url,
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            headers={"Authorization": f"Basic {credentials}"},
            timeout=aiohttp.ClientTimeout(total=5),
        )
        self.csrf = {}
        self.client_id = None
        self.device_path = None

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.http.close()

    async def ask(self, method, path, **options):
        """Return the reply to a request; keep the CSRF token that a GET brings."""
        async with self.http.request(method, path, headers=self.csrf, **options) as response:
            reply = Reply(response, await response.read())
        if name := reply.headers.get("X-CSRF-HEADER"):
            self.csrf = {name: reply.headers["X-CSRF-TOKEN"]}
        return reply

    async def get(self, path):
        return await self.ask("GET", path)

    async def post(self, path, body):
        return await self.ask("POST", path, json=body)

    async def operate(self, session_id, name, **fields):
        """Return the reply to an operation on an IM session."""
        body = {"operationName": name, **fields}
        return await self.post(f"{ME}/im-sessions/{session_id}", body)

    async def send(self, session_id, text, number="3002"):
        return await self.operate(
            session_id,
            "SendMessage",
            text=text,
            destination={"phoneNumber": number},
            devicePath=self.device_path,
        )

    async def bayeux(self, channel, **fields):
        """Return the reply to one Bayeux message."""
        message = {"channel": channel, "id": "1", "clientId": self.client_id, **fields}
        return await self.post(COMETD, [message])

    async def connect(self, **fields):
        return await self.bayeux("/meta/connect", connectionType="long-polling", **fields)

    async def events(self, **fields):
        """Return the events of one poll."""
        return [one["data"] for one in (await self.connect(**fields)).json if "data" in one]

    async def login(self):
        """GET /me, handshake, subscribe, first connect, contact-center session."""
        me = await self.get(f"{ME}?subresources=*")
        self.device_path = f"/devices/{me.json['user']['devices'][0]['id']}"
        (hello,) = (await self.bayeux("/meta/handshake")).json
        self.client_id = hello["clientId"]
        await self.bayeux("/meta/subscribe", subscription=IM)
        await self.connect()
        start = {"operationName": "StartContactCenterSession", "channels": ["voice"]}
        assert (await self.post(ME, start)).code == 0
        return self


@pytest.fixture
async def simulator():
    """Return a function that starts a simulator; all are stopped after the test."""
    async with AsyncExitStack() as stack:

        async def start(**settings):
            settings = {"agents": ACCOUNTS, "poll_timeout_s": 2.0, **settings}
            return await stack.enter_async_context(Simulator(SimulatorSettings(**settings)))

        yield start


@pytest.fixture
async def client(simulator):
    """Return a function that starts a simulator and logs an agent in."""
    async with AsyncExitStack() as stack:

        async def start(*, login=True, user="bot1", **settings):
            sim = await simulator(**settings)
            found = await stack.enter_async_context(Client(sim, user=user))
            return await found.login() if login else found

        yield start


def requests(sim, name):
    """Return the requests of this name that the simulator saw."""
    return [entry for entry in sim.world.log if entry.kind == "request" and entry.name == name]


async def held(agent, key="heldPolls", count=1):
    """Return once the simulator counts so many."""
    async with asyncio.timeout(5):
        while (await agent.get("/_control/stats")).json[key] != count:
            pass


# Who may ask.


async def test_the_version_needs_no_login(client):
    agent = await client(login=False)

    async with aiohttp.ClientSession(agent.sim.url) as nobody:
        reply = await (await nobody.get("/api/v2/diagnostics/version")).json()
    assert reply == {"statusCode": 0, "version": "8.5.202.96"}


@pytest.mark.parametrize("path", [ME, f"{ME}/im-sessions", "/api/v2/nothing"])
async def test_without_credentials_the_answer_is_403_and_no_challenge(client, path):
    """HTTP libraries that wait for a 401 never log in."""
    agent = await client(login=False)

    async with aiohttp.ClientSession(agent.sim.url) as nobody, nobody.get(path) as response:
        assert response.status == 403
        assert "WWW-Authenticate" not in response.headers
        assert await response.json() == {"statusCode": 20, "statusMessage": "Access denied"}


async def test_me_sets_the_session_cookie_and_brings_the_csrf_token(client):
    agent = await client(login=False)
    first, second = await agent.get(f"{ME}/?subresources=devices,features"), await agent.get(ME)

    user = first.json["user"]
    assert "JSESSIONID" in first.cookies
    assert "JSESSIONID" not in second.cookies
    assert first.headers["X-CSRF-HEADER"] == "X-CSRF-TOKEN"
    assert set(user) & {"devices", "features", "channels"} == {"devices", "features"}
    assert any(one["id"] == "api-voice-instant-messaging" for one in user["features"])
    assert "path" not in user["devices"][0]


@pytest.mark.parametrize("path", [ME, COMETD])
async def test_a_post_needs_the_csrf_token_of_its_http_session(client, path):
    agent = await client(login=False)
    await agent.get(ME)
    token, agent.csrf = agent.csrf, {}

    refused = await agent.post(path, [{"channel": "/meta/handshake"}])
    assert (refused.status, refused.json["statusMessage"]) == (403, "Missing or invalid Csrf token")
    agent.csrf = token
    agent.http.cookie_jar.clear()
    assert (await agent.post(path, [{"channel": "/meta/handshake"}])).status == 403


async def test_csrf_can_be_off(client):
    agent = await client(login=False, csrf=False)
    reply = await agent.get(ME)
    agent.csrf = {}

    assert "X-CSRF-TOKEN" not in reply.headers
    assert (await agent.post(ME, {"operationName": "Dance"})).status == 400


# REST.


async def test_a_whole_conversation(client):
    """Ring, greet, tag, complete: what every bot does, and what the log then says."""
    agent = await client()
    session_id = agent.sim.world.ring("bot1", "3002", {"tier": "gold"})

    assert [one["imSession"]["state"] for one in await agent.events()] == ["Alerting", "Talking"]
    assert (await agent.send(session_id, "Hello")).code == 0
    assert [one["message"] for one in await agent.events()] == ["Hello"]
    assert (await agent.operate(session_id, "UpdateUserData", userData={"a": "b"})).code == 0
    assert (await agent.operate(session_id, "Complete")).code == 0
    seen = await agent.events()
    assert seen[0]["imSession"]["userData"] == {"tier": "gold", "a": "b"}
    assert seen[1]["imSession"]["state"] == "Completed"
    (sent,) = requests(agent.sim, "SendMessage")
    assert (sent.agent, sent.session, sent.text) == ("bot1", session_id, "Hello")
    assert (sent.status_code, sent.applied) == (0, True)


async def test_an_agent_begins_a_session_without_being_told_its_id(client):
    agent = await client()
    body = {"operationName": "InitiateIMSession", "destination": {"phoneNumber": "16001"}}
    first, second = [await agent.post(f"{ME}/im-sessions", body) for _ in range(2)]

    assert first.json == {"statusCode": 0}
    assert (second.status, second.code) == (409, 2)
    assert "Invalid state" in second.json["statusMessage"]
    states = [one["imSession"]["state"] for one in await agent.events()]
    assert states == ["Initiating", "Talking"]


async def test_the_session_list_comes_in_full_as_uris_and_one_by_one(client):
    agent = await client()
    assert (await agent.get(f"{ME}/im-sessions?fields=*")).json["imSessions"] == []
    session_id = agent.sim.world.ring("bot1", "3002")

    full = (await agent.get(f"{ME}/im-sessions?fields=*")).json["imSessions"]
    uris = (await agent.get(f"{ME}/im-sessions")).json["uris"]
    one = (await agent.get(f"{ME}/im-sessions/{session_id}")).json["imSession"]
    assert [one] == full
    assert uris == [one["uri"]]
    assert uris[0].endswith(f"/api/v2/im-sessions/{session_id}")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", f"{ME}/im-sessions/unknown", 404, 6),
        ("POST", f"{ME}/im-sessions/unknown", 404, 6),
        ("POST", "/api/v2/nothing", 404, 6),
        ("GET", f"{ME}/devices/unknown/settings/tserver", 404, 6),
        ("DELETE", ME, 404, 6),
    ],
)
async def test_what_is_not_there_is_404_with_code_6(client, method, path, status, code):
    agent = await client()
    reply = await agent.ask(method, path, json={"operationName": "Complete"})

    assert (reply.status, reply.code) == (status, code)


async def test_reading_resources(client):
    agent = await client()
    device = (await agent.get(f"{ME}/devices?fields=*")).json["devices"][0]
    annex = (await agent.get(f"{ME}{agent.device_path}/settings/tserver")).json

    assert device["userState"]["state"] == "NotReady"
    assert {"name": "multimedia", "value": "true"} in annex["settings"]
    assert (await agent.get(f"/api/v2{agent.device_path}/settings/tserver")).json == annex
    assert (await agent.get("/api/v2/services?fields=*")).json["services"][0]["state"] == "Active"
    assert (await agent.get(f"{ME}/channels")).code == 0


async def test_agent_states_are_set_on_the_voice_channel(client):
    agent = await client()

    assert (await agent.post(f"{ME}/channels/voice", {"operationName": "Ready"})).code == 0
    assert agent.sim.world.agent("bot1").user_state == "Ready"


@pytest.mark.parametrize("body", [b"{", b"[]", b"5"])
async def test_a_body_that_is_no_object_fails_validation(client, body):
    agent = await client()
    reply = await agent.ask("POST", ME, data=body)

    assert (reply.status, reply.code) == (400, 10)


async def test_without_the_feature_the_resource_is_missing_and_operations_are_invalid(client):
    agent = await client(user="bot2")

    assert (await agent.get(f"{ME}/im-sessions")).status == 404
    assert (
        await agent.post(f"{ME}/im-sessions", {"operationName": "InitiateIMSession"})
    ).code == 10


async def test_before_login_an_initiate_fails_with_a_textless_error_message(client):
    agent = await client()
    await agent.bayeux("/meta/subscribe", subscription="/v2/me/devices")
    agent.sim.world.set_user_state(agent.sim.world.agent("bot1"), UserState.LOGGED_OUT)
    body = {"operationName": "InitiateIMSession", "destination": {"phoneNumber": "16001"}}
    reply = await agent.post(f"{ME}/im-sessions", body)

    assert (reply.status, reply.code) == (500, 4)
    error = (await agent.events())[-1]
    assert error["messageType"] == "ErrorMessage"
    assert error["devicePath"] == agent.device_path
    assert set(error) == {"messageType", "devicePath", "deviceUri", "metrics"}


async def test_ending_the_contact_center_session_ends_everything(client):
    agent = await client()
    poll = asyncio.ensure_future(agent.connect())
    await held(agent)
    reply = await agent.post(ME, {"operationName": "EndContactCenterSession"})

    farewell = (await poll).json
    assert reply.code == 0
    assert farewell[-1]["advice"] == {"reconnect": "none"}
    assert farewell[-2] == {"channel": "/meta/disconnect", "successful": True}
    assert (await agent.connect()).status == 403


async def test_accounts_on_demand_take_anybody(simulator):
    sim = await simulator(accounts_on_demand=True)
    async with Client(sim, user="anybody") as agent:
        await agent.login()
        sim.world.ring("anybody", "3002")

        assert len(await agent.events()) == 2


# CometD over HTTP.


async def test_cookies_and_content_type_are_those_of_the_stock_server(client):
    agent = await client(login=False)
    await agent.get(ME)
    async with agent.http.post(
        COMETD, json=[{"channel": "/meta/handshake", "id": "1"}], headers=agent.csrf
    ) as response:
        cookie = response.cookies["BAYEUX_BROWSER"]
        assert response.content_type == "application/json"

    assert (cookie["path"], cookie["httponly"]) == ("/", True)


async def test_one_object_and_sub_paths_are_taken_and_bad_json_is_400(client):
    agent = await client()
    message = {"channel": "/meta/connect", "id": "9", "clientId": agent.client_id}

    assert (await agent.post(f"{COMETD}/connect", {**message, "advice": {"timeout": 0}})).json
    assert (await agent.ask("POST", COMETD, data=b"[")).status == 400
    assert (await agent.ask("POST", COMETD, data=b"[]")).status == 500
    assert (await agent.ask("POST", COMETD, data=b"[1]")).status == 400


async def test_two_polls_at_once_end_the_earlier_with_500(client):
    agent = await client()
    first = asyncio.ensure_future(agent.connect())
    await held(agent)
    second = asyncio.ensure_future(agent.connect())

    assert ((await first).status, (await first).body) == (500, b"")
    agent.sim.world.ring("bot1", "3002")
    assert (await second).status == 200


async def test_an_event_published_to_a_dead_poll_is_lost_without_ack_and_not_with_it(client):
    """The silent loss of the contract, 2.9, is the reason for every resync."""
    for ack in (True, False):
        agent = await client(ack=ack)
        (hello,) = (await agent.bayeux("/meta/handshake", ext={"ack": True})).json
        agent.client_id = hello["clientId"]
        await agent.bayeux("/meta/subscribe", subscription=IM)
        await agent.connect(ext={"ack": 0})
        poll = asyncio.ensure_future(agent.connect(ext={"ack": 1}))
        await held(agent)
        poll.cancel()
        await asyncio.wait({poll})
        agent.sim.world.ring("bot1", "3002")
        await agent.get(ME)

        events = await agent.events(ext={"ack": 1}, advice={"timeout": 0})
        assert len(events) == (2 if ack else 0)


async def test_a_restart_forgets_logins_and_bayeux_and_keeps_conversations(client):
    agent = await client()
    session_id = agent.sim.world.ring("bot1", "3002")
    agent.sim.restart()

    assert (await agent.connect()).status == 403
    await agent.get(ME)
    assert (await agent.connect()).json[0]["error"] == "402::Unknown client"
    one = (await agent.get(f"{ME}/im-sessions?fields=*")).json["imSessions"][0]
    assert (one["id"], one["state"]) == (session_id, "Talking")


async def test_a_lost_login_leaves_bayeux_alone(client):
    agent = await client()
    agent.sim.drop_login("bot1")
    assert (await agent.connect()).status == 403
    await agent.get(ME)

    assert (await agent.connect(advice={"timeout": 0})).json[-1]["successful"]
    agent.sim.drop_cometd("bot1")
    assert (await agent.connect()).json[0]["error"] == "402::Unknown client"


async def test_idle_sessions_are_swept_while_it_runs(client):
    agent = await client(max_interval_s=0.1)
    await held(agent, "cometdSessions", 0)

    assert (await agent.connect()).json[0]["error"] == "402::Unknown client"


async def test_without_csrf_a_poll_alone_gets_a_new_http_session(client):
    agent = await client(csrf=False)
    agent.sim.drop_login("bot1")
    reply = await agent.connect(advice={"timeout": 0})

    assert reply.cookies["JSESSIONID"]
    assert reply.json[-1]["successful"]


# Faults.


@pytest.mark.parametrize(
    ("fault", "status", "applied"),
    [
        ("error_before", 500, 0),
        ("unavailable", 503, 0),
        ("html_502", 502, 0),
        ("error_after", 500, 1),
    ],
)
async def test_errors_before_do_nothing_and_errors_after_have_done_it(
    client, fault, status, applied
):
    agent = await client()
    session_id = agent.sim.world.ring("bot1", "3002")
    agent.sim.faults = Faults(**{fault: {"next": 1, "only": ["SendMessage"]}})

    assert (await agent.send(session_id, "yo")).status == status
    assert len(agent.sim.world.session(session_id).transcript) == applied
    assert [entry.applied for entry in requests(agent.sim, "SendMessage")] == [bool(applied)]
    assert (await agent.send(session_id, "yo")).code == 0


@pytest.mark.parametrize(("fault", "applied"), [("drop_before", 0), ("drop_after", 1)])
async def test_dropped_connections_tell_the_client_nothing(client, fault, applied, caplog):
    agent = await client()
    session_id = agent.sim.world.ring("bot1", "3002")
    agent.sim.faults = Faults(**{fault: True})

    with caplog.at_level(logging.WARNING), pytest.raises(aiohttp.ClientError):
        await agent.send(session_id, "yo")
    assert len(agent.sim.world.session(session_id).transcript) == applied
    assert caplog.records == []


@pytest.mark.parametrize(("fault", "applied"), [("hang", 0), ("hang_after", 1)])
async def test_hangs_end_in_a_dropped_connection(client, fault, applied):
    agent = await client()
    session_id = agent.sim.world.ring("bot1", "3002")
    agent.sim.faults = Faults(**{fault: True}, hang_s=0.01)

    with pytest.raises(aiohttp.ClientError):
        await agent.send(session_id, "yo")
    assert len(agent.sim.world.session(session_id).transcript) == applied


async def test_faults_strike_polls_too(client):
    agent = await client()
    agent.sim.faults = Faults(html_502={"next": 1, "only": ["/meta/connect"]})
    reply = await agent.connect()

    assert (reply.status, reply.headers["Content-Type"]) == (502, "text/html")
    assert agent.sim.faults.html_502.next == 1
    assert (await agent.connect(advice={"timeout": 0})).status == 200


async def test_a_slow_drip_brings_the_same_body_in_many_pieces(client):
    agent = await client()
    agent.sim.faults = Faults(slow_drip=True, drip_s=0)

    reply = await agent.get(f"{ME}/channels")
    assert reply.json == {"statusCode": 0, "channels": []}
    assert "Content-Length" not in reply.headers


async def test_the_notification_can_overtake_the_reply(client):
    agent = await client()
    session_id = agent.sim.world.ring("bot1", "3002")
    await agent.events()
    agent.sim.faults = Faults(notification_before_reply=True, early_notice_s=30)
    sending = asyncio.ensure_future(agent.send(session_id, "yo"))

    assert [one["message"] for one in await agent.events()] == ["yo"]
    assert not sending.done()
    sending.cancel()


async def test_a_lost_http_session_is_a_403_once_and_a_new_login_after(client):
    agent = await client()
    agent.sim.faults = Faults(session_lost={"next": 1})

    assert (await agent.get(ME)).code == 20
    assert (await agent.post(ME, {"operationName": "Ready"})).status == 403
    reply = await agent.get(ME)
    assert reply.code == 0
    assert (await agent.post(ME, {"operationName": "Ready"})).code == 0


async def test_a_rotated_csrf_token_is_learnt_by_a_get(client):
    agent = await client()
    agent.sim.faults = Faults(csrf_rotated={"next": 1})

    assert "Csrf" in (await agent.post(ME, {"operationName": "Ready"})).json["statusMessage"]
    await agent.get(ME)
    assert (await agent.post(ME, {"operationName": "Ready"})).code == 0


async def test_a_balancer_cookie_must_be_kept(client):
    agent = await client()
    agent.sim.faults = Faults(lb_cookie={"next": 1})
    moved = await agent.get(ME)

    assert moved.cookies["SERVERID"]
    assert "JSESSIONID" not in (await agent.get(ME)).cookies
    agent.http.cookie_jar.clear(lambda morsel: morsel.key == "SERVERID")
    assert "JSESSIONID" in (await agent.get(ME)).cookies


async def test_an_operation_can_be_refused_with_an_error_message(client):
    agent = await client()
    session_id = agent.sim.world.ring("bot1", "3002")
    agent.sim.faults = Faults(error_message=True)

    reply = await agent.send(session_id, "yo")
    assert (reply.status, reply.code) == (500, 4)
    assert "not registered" in reply.json["statusMessage"]


async def test_a_lost_poll_reply_closes_the_connection(client):
    agent = await client()
    agent.sim.faults = Faults(poll_reply_lost={"next": 1})
    agent.sim.world.ring("bot1", "3002")

    with pytest.raises(aiohttp.ClientError):
        await agent.connect()


async def test_an_event_rides_on_the_subscribe_reply(client):
    agent = await client()
    agent.sim.faults = Faults(event_in_subscribe_reply=True)
    idle = (await agent.bayeux("/meta/subscribe", subscription="/v2/me/calls")).json
    agent.sim.world.ring("bot1", "3002")
    ringing = (await agent.bayeux("/meta/subscribe", subscription="/v2/me/calls")).json

    assert idle[0]["channel"] == "/v2/me/devices"
    assert ringing[0]["data"]["imSession"]["state"] == "Talking"


# Control.


async def control(agent, method, path, **options):
    return await agent.ask(method, f"/_control{path}", **options)


async def test_a_session_can_be_steered_from_outside(client):
    agent = await client()
    ring = {"agent": "bot1", "number": "3002", "userData": {"a": "b"}}
    session = (await control(agent, "POST", "/sessions", json=ring)).json
    path = f"/sessions/{session['id']}"

    for body in (
        {"operation": "say", "text": "hi"},
        {"operation": "set", "userData": {"c": "d"}},
        {"operation": "unset", "key": "a"},
        {"operation": "answer"},
        {"operation": "complete"},
    ):
        assert (await control(agent, "POST", path, json=body)).status == 200
    seen = (await control(agent, "GET", path)).json
    assert (seen["state"], seen["userData"], seen["outside"]) == ("Completed", {"c": "d"}, "3002")
    assert [line["text"] for line in seen["transcript"]] == ["hi"]
    assert (await control(agent, "GET", "/sessions")).json["sessions"] == [seen]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/sessions", {"agent": "bot1"}, 400),
        ("/sessions", {"agent": "nobody", "number": "1"}, 404),
        ("/sessions", {"agent": "bot2", "number": "1"}, 409),
        ("/sessions", {"agent": "bot1", "number": "1", "userData": []}, 400),
        ("/sessions/unknown", {"operation": "complete"}, 404),
        ("/sessions/unknown", {"operation": "dance"}, 400),
        ("/agents/bot1", {"operation": "dance"}, 400),
        ("/agents/nobody", {"operation": "log-out"}, 404),
        ("/sessions", [], 400),
    ],
)
async def test_wrong_orders_are_refused_with_a_reason(client, path, body, status):
    agent = await client()
    reply = await control(agent, "POST", path, json=body)

    assert reply.status == status
    assert reply.json["error"]


async def test_orders_must_come_as_json(client):
    """A web page of elsewhere can send a form to this machine, but not JSON."""
    agent = await client()

    form = await control(agent, "POST", "/sessions", data={"agent": "bot1"})
    agent.csrf = {"Content-Type": "application/json"}
    broken = await control(agent, "POST", "/sessions", data=b"{")
    assert "application/json" in form.json["error"]
    assert "no JSON" in broken.json["error"]


async def test_faults_are_read_replaced_and_changed(client):
    agent = await client()
    put = {"no_echo": True, "hang_s": 1}
    assert (await control(agent, "PUT", "/faults", json=put)).json["no_echo"]["probability"] == 1
    changed = (await control(agent, "PATCH", "/faults", json={"no_echo": False})).json
    own = await control(agent, "PATCH", "/faults?agent=bot1", json={"late_echo": {"next": 3}})

    assert (changed["no_echo"]["probability"], changed["hang_s"]) == (0, 1)
    assert own.json["late_echo"]["next"] == 3
    assert (await control(agent, "GET", "/faults")).json["late_echo"]["next"] == 0
    bad = await control(agent, "PUT", "/faults", json={"no_ecko": True})
    assert (bad.status, bad.json["error"]) == (
        400,
        "no_ecko: there is no such knob; did you mean 'no_echo'?",
    )
    bad = await control(agent, "PUT", "/faults", json={"no_echo": {"nex": 1, "probability": 2}})
    assert "no_echo.nex: there is no such knob; did you mean 'next'?" in bad.json["error"]
    assert "no_echo.probability: Input should be less than or equal to 1" in bad.json["error"]
    for method in ("GET", "PUT", "PATCH"):
        nobody = await control(agent, method, "/faults?agent=nobody", json={"no_echo": True})
        assert (nobody.status, nobody.json) == (404, {"error": "no agent 'nobody'"})


async def test_the_control_api_says_what_can_be_asked_for(client):
    """The address that `imbot simulate` prints must lead somewhere."""
    requests = (await control(await client(), "GET", "/")).json["requests"]

    assert "PUT /_control/faults" in requests
    assert "POST /_control/sessions/{id}" in requests


async def test_agents_can_be_looked_at_and_thrown_out(client):
    agent = await client()
    first = (await control(agent, "GET", "/agents")).json["agents"][0]
    assert first == {
        "user": "bot1",
        "number": "1001",
        "userState": "NotReady",
        "free": True,
        "session": None,
    }
    for operation in ("drop-cometd", "drop-login", "log-out"):
        reply = await control(agent, "POST", "/agents/bot1", json={"operation": operation})
        assert reply.status == 200
    stats = (await control(agent, "GET", "/stats")).json
    assert (stats["cometdSessions"], stats["logins"]) == (0, 0)
    assert not reply.json["free"]


async def test_the_log_is_read_from_a_place_and_by_column(client):
    agent = await client()
    session_id = agent.sim.world.ring("bot1", "3002")
    agent.sim.world.say(session_id, "hi")
    every = (await control(agent, "GET", "/log")).json["entries"]

    async def found(query):
        return (await control(agent, "GET", f"/log?{query}")).json["entries"]

    assert await found(f"since={every[2]['seq']}") == every[3:]
    assert [one["text"] for one in await found("kind=message")] == ["hi"]
    assert {one["name"] for one in await found(f"session={session_id}&kind=state")} == {
        "Alerting",
        "Talking",
    }
    assert await found("limit=1&since=x") == every[:1]


async def test_a_restart_can_be_ordered(client):
    agent = await client()

    assert (await control(agent, "POST", "/restart", json={})).status == 200
    assert agent.sim.world.log[-1].kind == "restart"


# The chat page.


async def test_the_chat_page_needs_nothing_from_elsewhere_and_no_markup_from_people(client):
    agent = await client()
    page = await agent.get("/")
    text = page.body.decode()

    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "http://" not in text
    assert "https://" not in text
    for sink in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "style="):
        assert sink not in text


async def next_event(stream):
    """Return the next event of a stream, comments left out."""
    async for line in stream.content:
        if line.startswith(b"data: "):
            return decode_json(line[6:])
    return None


async def test_the_page_is_told_what_happens_in_its_session(client):
    agent = await client()
    session_id = agent.sim.world.ring("bot1", "3002")
    async with agent.http.get(f"/_control/events?session={session_id}") as stream:
        agent.sim.world.say(session_id, "<b>hi</b>")
        agent.sim.world.complete(session_id)

        assert (await next_event(stream))["text"] == "<b>hi</b>"
        assert (await next_event(stream))["name"] == "Completed"


async def test_a_page_that_went_away_is_forgotten(client):
    agent = await client()
    session_id = agent.sim.world.ring("bot1", "3002")
    async with agent.http.get("/_control/events") as stream:
        agent.sim.world.say(session_id, "one")
        await next_event(stream)
    await agent.get(ME)
    agent.sim.world.say(session_id, "two")
    await agent.get(ME)
    agent.sim.world.say(session_id, "three")


async def test_a_page_that_lags_too_far_behind_is_cut_off(client):
    """Its browser connects again and reads the session anew; the server keeps no endless queue."""
    agent = await client()
    session_id = agent.sim.world.ring("bot1", "3002")
    async with agent.http.get("/_control/events") as stream:
        for n in range(2_000):
            agent.sim.world.say(session_id, str(n))
        while await next_event(stream):
            pass


async def test_the_pages_script_is_sound():
    """No build step looks at it, so Node does where there is one."""
    if (node := shutil.which("node")) is None:
        pytest.skip("needs Node")
    page = (files("imbot.simulator") / "chat.html").read_text()
    script = page.partition("<script>")[2].partition("</script>")[0]
    check = await asyncio.create_subprocess_exec(node, "--check", "-", stdin=-1, stderr=-1)
    _, errors = await check.communicate(script.encode())

    assert (check.returncode, errors) == (0, b"")


# Starting and stopping.


async def test_stopping_ends_held_polls_hangs_and_streams_at_once(caplog):
    """A test suite that starts hundreds of simulators must not wait for each."""
    settings = SimulatorSettings(agents=ACCOUNTS)
    loop = asyncio.get_running_loop()
    with caplog.at_level(logging.DEBUG):
        async with Simulator(settings) as sim, Client(sim) as agent:
            await agent.login()
            sim.faults = Faults(hang={"probability": 1, "only": ["Ready"]})
            polls = [
                asyncio.ensure_future(work)
                for work in (agent.connect(), agent.post(ME, {"operationName": "Ready"}))
            ]
            stream = await agent.http.get("/_control/events")
            await sim.world.until(lambda: sim.world.faults.struck["hang"] == 1)
            began = loop.time()
            await sim.__aexit__(None, None, None)
            assert loop.time() - began < 1
            found = await asyncio.gather(*polls, return_exceptions=True)
            while await next_event(stream):
                pass

    assert all(isinstance(one, aiohttp.ClientError) for one in found)
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def test_an_address_taken_says_so():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ImbotError, match=f"cannot listen on 127.0.0.1:{port}"):
            async with Simulator(SimulatorSettings(port=port)):
                pass


def test_there_is_no_address_before_it_listens():
    with pytest.raises(ImbotError, match="async with"):
        _ = Simulator().url


async def test_it_listens_on_ipv6_too():
    async with Simulator(SimulatorSettings(host="::1")) as sim, aiohttp.ClientSession() as http:
        assert sim.url.startswith("http://[::1]:")
        assert (await http.get(f"{sim.url}/api/v2/diagnostics/version")).status == 200


async def test_timers_still_running_at_the_end_are_gone():
    """A late echo after the end would write into a world that nobody looks at."""
    async with Simulator(
        SimulatorSettings(agents=ACCOUNTS, faults=Faults(auto_answer_s=60))
    ) as sim:
        sim.world.set_user_state(sim.world.agent("bot1"), UserState.NOT_READY)
        sim.world.ring("bot1", "3002")
    assert not sim._timers._handles


async def test_timers_fire_while_it_runs():
    settings = SimulatorSettings(agents=ACCOUNTS, faults=Faults(auto_answer_s=0.01))
    async with Simulator(settings) as sim:
        sim.world.set_user_state(sim.world.agent("bot1"), UserState.NOT_READY)
        session = sim.world.session(sim.world.ring("bot1", "3002"))
        await sim.world.until(lambda: session.was_talking)
