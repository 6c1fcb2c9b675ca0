"""The steps of a login that decide: device, contact center session, leftovers."""

import asyncio

import pytest
from structlog.testing import capture_logs

from imbot.gws.settings import Leftovers
from imbot.gws.status import AgentState
from imbot.model import SnapshotNotice
from tests.unit.gws_fakes import changed, device, devices_changed, ok, refused, reply, rig, session

pytestmark = pytest.mark.looptime
TWO = [device("NotReady", "D1", "1001"), device("NotReady", "D2", "1002")]
IM = {"multimedia": "true", "sip-signalling-chat": "none"}


@pytest.mark.parametrize(
    ("annexes", "configured", "path"),
    [
        ({"D2": IM}, "", "/devices/D2"),
        ({"D1": {"multimedia": "false"}, "D2": IM}, "", "/devices/D2"),
        ({"D1": IM | {"sip-signalling-chat": "x"}, "D2": IM}, "", "/devices/D2"),
        ({"D2": {"multimedia": "true", "sip-signaling-chat": "none"}}, "", "/devices/D2"),
        ({"D2": {"multimedia": "true"}}, "", "/devices/D2"),
        ({"D1": IM, "D2": IM}, "", None),
        ({}, "", None),
        ({"D1": IM, "D2": IM}, "1002", "/devices/D2"),
        ({}, "D2", "/devices/D2"),
        ({}, "/devices/D2", "/devices/D2"),
        ({"D1": IM}, "9999", "/devices/D1"),
    ],
)
async def test_of_several_capable_devices_one_is_named_or_the_choice_is_left(
    annexes, configured, path
):
    """GWS refuses an Initiate that leaves the choice open; both spellings count (row 23)."""
    async with rig(agent={"device": configured}) as bot:
        bot.gws.devices, bot.gws.annexes = TWO, annexes
        await bot.up()

        assert bot.agent.status.device_path == path
        await bot.agent.send_message("S1", "hi", destination="3")
        assert bot.gws.calls[-1].body.get("devicePath") == path


async def test_a_device_that_the_agent_has_not_is_told():
    """A slip in a list of a thousand agents must not pass for a choice."""
    with capture_logs() as logged:
        async with rig(agent={"device": "9999"}) as bot:
            bot.gws.devices = TWO
            await bot.up()
    missing = [entry for entry in logged if entry["event"] == "agent.device_missing"]
    assert [(entry["device"], entry["numbers"]) for entry in missing] == [("9999", "1001, 1002")]


async def test_an_agent_without_any_device_leaves_it_to_gws():
    async with rig(device_timeout_s=3.0) as bot:
        bot.gws.devices = []
        await bot.up()

        assert (bot.agent.status.device_path, bot.agent.facts.number) == (None, "")


async def test_a_device_that_is_logged_in_is_not_logged_in_again():
    """A bot that restarts finds itself logged in."""
    async with rig() as bot:
        bot.gws.devices = [device("Ready")]
        bot.begin()
        await bot.until(lambda: bot.agent.is_up)

        assert bot.gws.names() == []


async def test_the_configured_device_decides_whether_the_agent_is_logged_in():
    async with rig(agent={"device": "1002", "place": "P"}) as bot:
        bot.gws.devices = [device("Ready", "D1", "1001"), device("LoggedOut", "D2", "1002")]
        bot.begin()
        await bot.until(lambda: bot.agent.is_up)

        (start,) = [call for call in bot.gws.calls if call.operation]
        assert start.body["place"] == "P"


async def test_the_device_may_be_logged_in_by_notification():
    async with rig() as bot:
        stale = reply(200, {"statusCode": 0, "devices": [device("LoggedOut")]})
        bot.gws.answer_next("GET /api/v2/me/devices", *(stale for _ in range(3)))
        bot.begin()
        await bot.until(lambda: bot.gws.count("GET /api/v2/me/devices") == 2)
        await asyncio.sleep(0.1)
        assert not bot.agent.is_up
        bot.gws.script.clear()
        await bot.bayeux.say(devices_changed(device("LoggedIn")))
        await bot.until(lambda: bot.agent.is_up, 0.5)


async def test_a_device_that_stays_logged_out_is_a_failed_login():
    """The bot would be deaf and say that all is well."""
    async with rig(device_timeout_s=5.0) as bot:
        bot.gws.answer_next("StartContactCenterSession", ok())
        bot.begin()
        await bot.until(lambda: bot.agent.status.state is AgentState.WAITING)

        assert "still logged out 5 s after" in bot.agent.status.cause
        await bot.until(lambda: bot.agent.is_up)


async def test_a_device_whose_state_is_never_told_does_not_stop_the_agent():
    async with rig(device_timeout_s=5.0) as bot:
        bot.gws.answer_next("StartContactCenterSession", ok())
        bot.gws.devices = [{"id": "D1"}]
        await bot.up()

        assert bot.agent.status.device_path == "/devices/D1"


async def test_a_login_without_voice_is_no_login():
    """StatusCode 7: some channels failed; IM rides on voice."""
    failed = [
        {"channel": "voice", "statusCode": 4, "statusMessage": "Device '5' is not registered."}
    ]
    async with rig() as bot:
        partial = reply(200, {"statusCode": 7, "failed": failed})
        bot.gws.answer_next("StartContactCenterSession", partial)
        bot.begin()
        await bot.until(lambda: bot.agent.status.state is AgentState.WAITING)

        assert "voice failed: server HTTP 200 statusCode 4" in bot.agent.status.cause


async def test_a_login_without_chat_is_a_login():
    async with rig() as bot:
        failed = [{"channel": "multimedia", "statusCode": 4}]

        def partly(_):
            bot.gws.devices = [device("LoggedIn")]
            return reply(200, {"statusCode": 7, "failed": failed})

        bot.gws.answer_next("StartContactCenterSession", partly)
        await bot.up()


async def test_an_agent_state_that_is_refused_is_no_reason_to_stay_away():
    async with rig(agent={"agent_state": "Ready"}) as bot:
        bot.gws.answer_next("Ready", refused(4, "Device is not registered."))
        await bot.up()


async def test_leftovers_are_adopted():
    async with rig() as bot:
        bot.gws.sessions = [session("OLD")]
        bot.begin()
        await bot.until(lambda: bot.agent.is_up)

        assert [one.id for one in bot.taken.of(SnapshotNotice)[0].sessions] == ["OLD"]
        assert bot.gws.count("Complete") == 0


async def test_leftovers_can_be_completed_but_not_what_began_while_we_logged_in():
    """A party that comes just now is no leftover; one that can not be completed is no obstacle."""
    async with rig(leftovers=Leftovers.COMPLETE) as bot:
        bot.gws.sessions = [
            session("OLD"),
            session("STUCK"),
            session("NEW"),
            session("OVER", "Completed"),
        ]
        bot.gws.answer_next("StartContactCenterSession", lambda _: asyncio.sleep(6, ok()))
        bot.gws.answer_next("Complete", None, refused(4))
        bot.begin()
        await bot.until(lambda: bot.gws.count("StartContactCenterSession"))
        await bot.bayeux.say(changed(session("NEW")))
        bot.gws.devices = [device("LoggedIn")]
        await bot.until(lambda: bot.agent.is_up)

        completed = [call.path for call in bot.gws.calls if call.operation == "Complete"]
        assert [path.rpartition("/")[2] for path in completed] == ["OLD", "STUCK"]
        (snapshot,) = bot.taken.of(SnapshotNotice)
        assert [one.id for one in snapshot.sessions] == ["STUCK", "NEW", "OVER"]


async def test_leftovers_are_only_those_of_the_first_login():
    """After a lost login they are our own conversations."""
    async with rig(leftovers=Leftovers.COMPLETE) as bot:
        await bot.up()
        bot.gws.sessions = [session("S1")]
        bot.gws.answer_next("UpdateUserData", refused(20, status=403))
        await bot.agent.update_user_data("S1", {"a": "b"})

        assert bot.gws.count("Complete") == 0
