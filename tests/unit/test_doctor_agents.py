"""One agent as GWS sees it, against the simulator over real sockets.

What the simulator never does wrong is bent on its way back.
"""

import base64
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from imbot.clock import SystemClock
from imbot.doctor import cometd as cometd_checks
from imbot.doctor.account import Account, cure_of_login, token
from imbot.doctor.cometd import CometdSession, held
from imbot.doctor.findings import Check, Grade
from imbot.doctor.tapping import Exchange, Tap
from imbot.errors import Fault, FaultClass, TemporaryError
from imbot.gws.auth import Basic, Bearer
from imbot.gws.settings import AgentSettings, GwsSettings
from imbot.http import AiohttpNetwork
from imbot.ports import Reply, Request
from imbot.simulator import AgentAccount, Faults, Simulator, SimulatorSettings

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ONCE = {"next": 1}
COMETD = "/api/v2/notifications"
#: Polls are held so long by the simulator.
HELD_S = 0.4


class Bent:
    """A door behind which answers are changed."""

    def __init__(self, door, bend):
        self._door, self._bend = door, bend

    async def send(self, request):
        reply = await self._door.send(request)
        body = self._bend(request, json.loads(reply.body))
        is_ok = isinstance(body, dict) and body.get("statusCode") == 0
        return reply._replace(status=200 if is_ok else reply.status, body=json.dumps(body).encode())

    async def close(self):
        await self._door.close()


class Agent:
    """The checks of one agent."""

    def __init__(self, account, cometd, tap, simulator):
        self.account, self.cometd, self.tap, self.simulator = account, cometd, tap, simulator


@asynccontextmanager
async def agent(
    *, bend=None, auth=None, im_feature=True, faults=None, wish=None, is_served=False, **deployed
):
    """Yield the checks of bot1 on a simulator that is deployed and bent like this."""
    account = AgentAccount(user="bot1", password="pw", number="1001", im_feature=im_feature)
    settings = SimulatorSettings(
        agents=(account,),
        faults=Faults(**(faults or {})),
        poll_timeout_s=deployed.pop("poll_timeout_s", HELD_S),
        **deployed,
    )
    clock, network = SystemClock(), AiohttpNetwork()
    async with Simulator(settings) as simulator:
        door = network.door(polls=True)
        tap = Tap(door if bend is None else Bent(door, bend), clock)
        gws = GwsSettings(simulator.url)
        one = AgentSettings("bot1", auth or Basic("bot1", "pw"), **(wish or {}))
        checks = Account(one, gws, tap=tap, clock=clock, is_served=is_served)
        cometd = CometdSession(
            tap,
            simulator.url + COMETD,
            clock=clock,
            random=Random(1),  # noqa: S311  nothing is secret
            headers=checks.client.headers,
            tokens=lambda: checks.client.tokens,
        )
        try:
            yield Agent(checks, cometd, tap, simulator)
        finally:
            await cometd.close()
            await network.close()


def devices(*numbers):
    """Return what has an agent have these devices, and no other."""

    def bend(request, body):
        if "/me?" in request.url:
            kept = body["user"]["devices"][:1]
            body["user"]["devices"] = [
                {**one, "phoneNumber": n, "id": f"id{n}"} for one in kept for n in numbers
            ]
        return body

    return bend


def meta(channel, **changed):
    """Return what changes the replies on a Bayeux channel."""

    def bend(_request, body):
        if not isinstance(body, list):
            return body
        return [{**one, **changed} if one.get("channel") == channel else one for one in body]

    return bend


# Login ----------------------------------------------------------------------------------------


async def test_an_agent_that_gws_knows_is_let_in():
    async with agent() as one:
        found = await one.account.login()

    assert found.grade is Grade.OK
    assert found.found.startswith("bot1 Simulated, in ")


async def test_wrong_credentials_fail_and_are_tried_once_only():
    """GWS may lock the account after several."""
    async with agent(auth=Basic("bot1", "wrong")) as one:
        found = await one.account.login()

    assert found.grade is Grade.FAILED
    assert found.cure.startswith("check user and password")
    assert len(one.tap.exchanges) == 1


async def test_a_new_password_has_to_be_set_by_hand():
    def bend(_request, body):
        body["user"]["changePasswordOnFirstLogin"] = True
        return body

    async with agent(bend=bend) as one:
        found = await one.account.login()

    assert (found.grade, found.found) == (Grade.FAILED, "GWS demands a new password")


async def test_an_overloaded_gws_is_told_to_whoever_paces_the_logins():
    async with agent(faults={"unavailable": True}) as one:
        found = await one.account.login()

    assert found.grade is Grade.FAILED
    assert one.account.trouble is not None


@pytest.mark.parametrize(
    ("fault", "cure"),
    [
        (None, "give the agent credentials"),
        (Fault(FaultClass.TRANSPORT), "check gws.url"),
        (Fault(FaultClass.AUTH, http_status=302), "this is a login page"),
        (Fault(FaultClass.AUTH, 20, 403), "check user and password"),
        (Fault(FaultClass.AUTH, http_status=401), "check user and password"),
        (Fault(FaultClass.PERMISSION, 8, 403), "have the account enabled"),
        (Fault(FaultClass.SERVER, 4, 500), "look for the reason in the log of GWS"),
    ],
)
def test_each_refusal_has_a_cure_of_its_own(fault, cure):
    assert cure_of_login(TemporaryError("refused", fault=fault)).startswith(cure)


async def test_the_doctor_neither_begins_nor_ends_a_contact_center_session():
    """The agent may be at work, here or elsewhere."""
    async with agent() as one:
        await one.account.login()
        await one.account.device()
        await one.account.sessions()
        await one.cometd.csrf()
        await one.cometd.close()
        posted = {entry.name for entry in one.simulator.world.log}

        assert posted == {"GET"}
        assert not one.simulator.world.agents.find("bot1").logged_in


# Token ----------------------------------------------------------------------------------------


def jwt(ends_at):
    claims = json.dumps({"exp": int(ends_at.timestamp())}).encode()
    return f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.c2ln"


@pytest.mark.parametrize(
    ("left", "grade"),
    [
        (timedelta(days=2), Grade.OK),
        (timedelta(minutes=10), Grade.WARNING),
        (timedelta(seconds=-1), Grade.FAILED),
    ],
)
def test_a_token_that_ends_is_told(left, grade):
    text = jwt(NOW + left)
    found = token(Bearer(lambda: text), NOW)

    assert found.grade is grade
    assert text not in found.found + found.cure


def test_a_token_that_tells_nothing_is_fine():
    assert token(Bearer(lambda: "opaque"), NOW).grade is Grade.OK


async def test_a_password_is_no_token():
    async with agent() as one:
        assert (await one.account.token()).found == "it logs in without one"


def test_a_token_that_cannot_be_read_fails():
    def gone():
        raise OSError("no such file")

    assert token(Bearer(gone), NOW).grade is Grade.FAILED


# Feature and device ---------------------------------------------------------------------------


async def test_an_account_with_the_feature_may_do_instant_messages():
    async with agent() as one:
        await one.account.login()

        assert (await one.account.feature()).grade is Grade.OK
        assert (await one.account.sessions()).found == "0, 0 of them live"


async def test_an_account_without_the_feature_fails():
    async with agent(im_feature=False) as one:
        await one.account.login()
        found, listed = await one.account.feature(), await one.account.sessions()

    assert found.grade is listed.grade is Grade.FAILED
    assert found.cure == "grant the account the feature api-voice-instant-messaging in GWS"
    assert listed.cure == found.cure


async def test_a_gws_that_lists_no_features_is_a_hint():
    def bend(_request, body):
        body.get("user", {}).pop("features", None)
        return body

    async with agent(bend=bend) as one:
        await one.account.login()

        assert (await one.account.feature()).grade is Grade.HINT


async def test_sessions_that_cannot_be_listed_fail():
    async with agent() as one:
        await one.account.login()
        one.simulator.world.faults.replace(Faults(error_before=True))
        found = await one.account.sessions()

    assert found.cure.startswith("look for the reason in the log of GWS")


async def test_the_only_device_is_used():
    async with agent(wish={"place": "P1"}) as one:
        await one.account.login()
        found, annex = await one.account.device(), await one.account.annex()

    assert found.grade is annex.grade is Grade.OK
    assert found.found.startswith("1001 (/devices/")
    assert found.found.endswith("LoggedOut; place P1, taken at the start")
    assert annex.found == "1001: multimedia=true"


@pytest.mark.parametrize(("is_served", "grade"), [(False, Grade.HINT), (True, Grade.OK)])
async def test_whoever_else_is_logged_in_is_told(is_served, grade):
    """A person with the bot's account would answer, and complete, the bot's sessions."""
    async with agent(is_served=is_served) as one:
        await one.account.login()
        await one.account.client.start_contact_center_session(AgentSettings("bot1", None))
        await one.account.login()
        found = await one.account.device()

    assert found.grade is grade
    assert "somebody is logged in there" in found.found or is_served


async def test_an_agent_without_device_and_place_cannot_work():
    async with agent(bend=devices()) as one:
        await one.account.login()
        found = await one.account.device()

    assert found.grade is Grade.FAILED
    assert found.cure.startswith("give the agent a default place")


async def test_a_device_that_only_its_place_brings_cannot_be_seen_yet():
    async with agent(bend=devices(), wish={"place": "P1"}) as one:
        await one.account.login()

        assert (await one.account.device()).grade is Grade.WARNING
        assert (await one.account.annex()).grade is Grade.SKIPPED


async def test_a_device_that_the_agent_does_not_have_is_told():
    async with agent(wish={"device": "4711"}) as one:
        await one.account.login()
        found = await one.account.device()

    assert (found.grade, found.found) == (Grade.WARNING, "it has no device 4711; it has 1001")


async def test_of_several_devices_one_has_to_be_named():
    """All of them allow IM, so GWS would have to choose, and refuses."""
    async with agent(faults={"several_devices": True}) as one:
        await one.account.login()
        found = await one.account.device()

    assert found.grade is Grade.WARNING
    assert found.cure == "write the number of one of them as its device"


async def test_of_several_devices_the_named_one_is_used():
    async with agent(bend=devices("1001", "1002"), wish={"device": "1002"}) as one:
        await one.account.login()

        assert (await one.account.device()).found.startswith("1002 (")


async def test_of_several_devices_the_only_capable_one_is_used():
    def bend(request, body):
        if request.url.endswith("/tserver") and "id1001" not in request.url:
            return {"statusCode": 0, "settings": [{"name": "multimedia", "value": "true"}]}
        return devices("1001", "1002")(request, body)

    async with agent(bend=bend) as one:
        await one.account.login()

        assert (await one.account.device()).found.startswith("1002 (")


@pytest.mark.parametrize(
    ("option", "value", "missing"),
    [
        ("multimedia", "false", "multimedia=true"),
        ("sip-signalling-chat", "info", "sip-signalling-chat=none"),
        ("sip-signaling-chat", "info", "sip-signaling-chat=none"),
    ],
)
async def test_a_device_that_does_not_allow_instant_messages_is_told(option, value, missing):
    def bend(request, body):
        if not request.url.endswith("/tserver"):
            return body
        options = {"multimedia": "true", option: value}
        return {"settings": [{"name": n, "value": v} for n, v in options.items()], "statusCode": 0}

    async with agent(bend=bend) as one:
        await one.account.login()
        await one.account.device()
        found = await one.account.annex()

    assert found.grade is Grade.WARNING
    assert found.cure == f"set {missing} in section [TServer] of the DN's annex"


async def test_an_annex_that_may_not_be_seen_is_a_hint():
    async with agent(bend=devices("1001")) as one:  # of an id that the simulator does not know
        await one.account.login()
        await one.account.device()

        assert (await one.account.annex()).grade is Grade.HINT


# CometD ---------------------------------------------------------------------------------------


async def looked_at(**deployed):
    """Return what each check of CometD finds, held poll included."""
    async with agent(**deployed) as one:
        await one.account.login()
        found = {Check.CSRF: await one.cometd.csrf()}
        for check in (
            Check.HANDSHAKE,
            Check.TRANSPORT,
            Check.CHANNELS,
            Check.CONNECT,
            Check.ACK,
            Check.HOLD,
        ):
            found[check] = await getattr(one.cometd, check.value)()
            if (
                found[check] if check is not Check.CHANNELS else found[check][0]
            ).grade is Grade.FAILED:
                break
        return found


async def test_a_good_cometd_is_fine_in_every_respect():
    found = await looked_at()
    (channels,) = found.pop(Check.CHANNELS)

    assert {each.grade for each in (*found.values(), channels)} == {Grade.OK}
    assert found[Check.CSRF].found == "demanded (X-CSRF-TOKEN), and taken"
    assert found[Check.TRANSPORT].found.startswith("long-polling")
    assert channels.found == "5 of 5"
    assert "polls are held 0.4 s" in found[Check.HANDSHAKE].found
    assert found[Check.HOLD].found == "answered after 0.4 s of 0.4"


async def test_where_no_token_is_demanded_that_is_told():
    assert (await looked_at(csrf=False))[Check.CSRF].found == "not demanded"


async def test_a_token_that_is_not_taken_fails():
    """A proxy that drops the header, or the cookie that it belongs to."""
    found = await looked_at(faults={"csrf_rotated": True})

    assert found[Check.CSRF].grade is Grade.FAILED
    assert found[Check.CSRF].found.startswith("demanded (X-CSRF-TOKEN), and refused: csrf HTTP 403")


async def test_a_denied_handshake_fails():
    found = await looked_at(faults={"handshake_denied": True})

    assert found[Check.HANDSHAKE].found == "403::Handshake denied"
    assert found[Check.CSRF].found.endswith("and taken")


async def test_what_is_no_cometd_fails():
    found = await looked_at(faults={"html_502": {"probability": 1, "only": ["/meta/handshake"]}})

    assert found[Check.HANDSHAKE].cure.startswith("check gws.cometd_path")
    assert found[Check.CSRF].found == "demanded (X-CSRF-TOKEN)"


async def test_a_cometd_without_long_polling_fails():
    """Its handshake succeeds all the same."""
    websocket = meta("/meta/handshake", supportedConnectionTypes=["websocket"])
    found = await looked_at(bend=websocket)

    assert found[Check.HANDSHAKE].grade is Grade.OK
    assert found[Check.TRANSPORT].grade is Grade.FAILED
    assert found[Check.TRANSPORT].found == "it offers ['websocket']"


def denied(channel):
    def bend(_request, body):
        if isinstance(body, list) and body[0].get("subscription") == channel:
            return [{**body[0], "successful": False, "error": "403:denied"}]
        return body

    return bend


async def test_a_channel_that_imbot_needs_must_be_allowed():
    (found, *_) = (await looked_at(bend=denied("/v2/me/im-sessions")))[Check.CHANNELS]

    assert (found.grade, found.found) == (Grade.FAILED, "/v2/me/im-sessions: 403:denied")


async def test_a_channel_that_imbot_can_do_without_is_a_hint():
    (found,) = (await looked_at(bend=denied("/v2/me/calls")))[Check.CHANNELS]

    assert (found.grade, found.found) == (Grade.HINT, "/v2/me/calls: 403:denied")


async def test_polls_that_reach_another_node_fail():
    """It does not know the session that was begun on the first one."""
    found = await looked_at(faults={"unknown_client_connect": True})

    assert found[Check.CONNECT].found == "402::Unknown client"
    assert found[Check.CONNECT].cure.endswith("the cookies must be sticky")


async def test_a_cometd_that_does_not_send_again_is_told():
    found = await looked_at(ack=False)

    assert found[Check.ACK].grade is Grade.WARNING


async def test_a_held_poll_that_is_cut_fails():
    """A proxy that thinks the connection idle."""
    cut = {"probability": 1, "only": ["/meta/connect"]}
    found = await looked_at(faults={"poll_cut": cut, "cut_after_s": 0.1})

    assert found[Check.HOLD].grade is Grade.FAILED
    assert found[Check.HOLD].found.startswith("broken after 0.1 s of 0.4: ")
    assert found[Check.HOLD].cure.startswith("raise the idle timeout")


async def test_a_poll_that_is_never_answered_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(cometd_checks, "NETWORK_DELAY_S", -1.0)
    never = meta("/meta/connect", advice={"timeout": 100, "reconnect": "retry"})
    async with agent(bend=never, poll_timeout_s=5) as one:
        await one.account.login()
        await one.cometd.csrf()
        found = await one.cometd.hold()

    assert found.grade is Grade.FAILED


async def test_a_poll_that_is_held_too_long_is_not_waited_for():
    found = await looked_at(poll_timeout_s=300)

    assert found[Check.HOLD].grade is Grade.HINT


async def test_the_doctor_says_goodbye_to_cometd():
    """A session that nobody polls is one that GWS may reap with the agent's login."""
    async with agent() as one:
        await one.account.login()
        await one.cometd.csrf()
        assert len(one.simulator._bayeux._sessions) == 1
        await one.cometd.close()

        assert len(one.simulator._bayeux._sessions) == 0


async def test_without_any_exchange_the_checks_say_why():
    """A bearer that vanished between two requests."""
    async with agent() as one:
        with pytest.raises(LookupError, match="nothing was sent to /meta/handshake"):
            await one.cometd.handshake()
        assert (await one.cometd.connect()).grade is Grade.FAILED


def poll(took_s, *, events=0, fault="", **reply):
    meta = {"channel": "/meta/connect", "successful": True, **reply}
    return Exchange(
        "/meta/connect", "", NOW, NOW, took_s, {}, metas=[meta], events=events, fault=fault
    )


@pytest.mark.parametrize(
    ("exchange", "grade"),
    [
        (poll(30.0), Grade.OK),
        (poll(2.0, events=1), Grade.OK),
        (poll(0.1), Grade.WARNING),
        (poll(30.0, successful=False, error="500"), Grade.FAILED),
        (poll(20.0, fault="HTTP 504"), Grade.FAILED),
    ],
)
def test_a_poll_is_held_and_then_answered(exchange, grade):
    assert held(exchange, 30.0).grade is grade


# What has passed a tap -------------------------------------------------------------------------


async def test_a_tap_keeps_no_word_that_people_say():
    """Whoever debugs the doctor must not read them either."""
    async with agent() as one:
        await one.account.login()
        await one.cometd.csrf()
        await one.cometd.hold()

        assert "successful" in repr(one.tap.exchanges)
        assert not any(hasattr(each, "body") for each in one.tap.exchanges)


async def test_a_tap_lets_pass_what_it_does_not_understand():
    """It looks on, and decides nothing."""

    class Door:
        async def send(self, _request):
            return Reply(200, {}, b"<html>")

        async def close(self):
            pass

    tap = Tap(Door(), SystemClock())
    for body in (None, b"{", b"[]", b"[1]", b'{"channel": "x"}', b'[{"channel": "/meta/connect"}]'):
        await tap.send(Request("POST", "http://h/", body=body))
    await tap.close()

    assert [each.channel for each in tap.exchanges] == [""] * 5 + ["/meta/connect"]
    assert tap.exchanges[-1].fault.startswith("no Bayeux reply")
    assert tap.exchanges[-1].reply == {}
