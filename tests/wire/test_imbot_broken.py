"""A whole imbot against servers that we did not write, while things break.

What is promised: nobody is greeted twice, nobody is left out, and a lost line is inside a gap that
people can see; where the server resends what was not acknowledged, no line is lost.
"""

import asyncio

import pytest

from imbot.model import EventKind
from imbot.testing.time import SteadyRandom
from tests.wire.foreign import Kind
from tests.wire.house import Party, greetings, running, until

#: Faults after which the server still has the Bayeux session, and with ack every event.
KEEPS_THE_CLIENT = {
    "end_http": {"agent": "bot1"},
    "change_csrf": {},
    "outage": {"seconds": 0.5},
    "lose_polls": {"count": 2},
    "events_first": {},
}

#: Faults after which imbot must shake hands again.
FORGETS_THE_CLIENT = {"expire": {"agent": "bot1"}, "disconnect": {"agent": "bot1"}}

EVERY_FAULT = KEEPS_THE_CLIENT | FORGETS_THE_CLIENT


async def talk(party, seconds):
    """Say a line every 100 ms, whatever happens meanwhile."""
    for _ in range(round(seconds / 0.1)):
        await party.say()
        await asyncio.sleep(0.1)


async def greeted(server, imbot, number="3002"):
    """Ring and return the session once its greeting was carried out and tagged."""
    done = len(imbot.outcomes("set"))
    session = await server.ring("bot1", number)
    await until(lambda: len(imbot.outcomes("set")) > done, within_s=40, what="greeted")
    return session


async def say_until_heard(party, imbot, *, within_s=40.0):
    """Say lines until imbot hears one: then it is whole again."""
    said = []
    async with asyncio.timeout(within_s):
        while not set(said) & set(imbot.heard(party.session)):
            said.append((await party.say()).text)
            await asyncio.sleep(0.1)
    await until(lambda: party.said[-1].text in imbot.heard(party.session))


async def served_to_the_end(server, imbot, party):
    """Let the party say goodbye, and imbot complete the session."""

    async def completed():
        legs = (await server.sessions())[party.session]["legs"]
        return all(leg["state"] == "Completed" for leg in legs)

    await party.say("that was all, bye")
    await server.until(completed)
    ends = imbot.app.agents["bot1"]
    await until(lambda: ends.is_up and not list(imbot.app.table.live("bot1")))


@pytest.mark.parametrize("fault", EVERY_FAULT)
async def test_a_session_outlives_the_fault_and_one_rung_in_its_middle_is_greeted(
    foreign_server, imbot, fault
):
    server = foreign_server
    party = Party(server, await greeted(server, imbot))
    await party.say()
    await server.fault(fault, **EVERY_FAULT[fault])
    await talk(party, 0.8)
    await say_until_heard(party, imbot)
    await served_to_the_end(server, imbot, party)

    await server.fault(fault, **EVERY_FAULT[fault])
    later = Party(server, await greeted(server, imbot))
    await say_until_heard(later, imbot)

    for one in (party, later):
        assert len(await greetings(server, one.session)) == 1
        assert await one.unaccounted(imbot) == []
        assert len(imbot.heard(one.session)) == len(set(imbot.heard(one.session)))
        if server.kind.acks and fault in KEEPS_THE_CLIENT:
            assert one.lost(imbot) == []


async def test_a_restarted_server_finds_the_session_served_on(foreign_server, imbot):
    """The IM session goes on, HTTP and Bayeux sessions are gone: log in, resync, greet nobody."""
    server = foreign_server
    party = Party(server, await greeted(server, imbot))
    line = await party.say("before")
    await until(lambda: line.text in imbot.heard(party.session))
    await server.restart(down_s=0.3)
    await say_until_heard(party, imbot)
    await served_to_the_end(server, imbot, party)
    assert len(await greetings(server, party.session)) == 1
    assert await party.unaccounted(imbot) == []


async def test_a_session_that_began_while_the_server_was_away_is_greeted(foreign_server, imbot):
    """And the one that ended meanwhile is known to be over."""
    server = foreign_server
    before = await greeted(server, imbot)
    ring = ("ring", {"agent": "bot1", "from": "3003"})
    _, rung = await server.restart(down_s=0.3, meanwhile=[("complete", {"session": before}), ring])
    await until(lambda: len(imbot.outcomes("set")) > 1, within_s=40, what="greeted")
    assert [len(await greetings(server, one)) for one in (before, rung["id"])] == [1, 1]
    [over] = [e for e in imbot.events(EventKind.STATE, before) if e.session.is_completed]
    assert over.resync


async def ten_seconds_of_503(server, folder):
    """Talk into an outage of 10 s, end the session, and begin another meanwhile."""
    folder.mkdir()
    # Bad luck with its back-off would have imbot wait for another minute.
    async with running(folder, server.url, chance=SteadyRandom()) as imbot:
        await imbot.up()
        party = Party(server, await greeted(server, imbot))
        await server.until_listening("bot1")  # so that the outage cuts a poll off
        await server.fault("outage", seconds=10.0)
        await talk(party, 3.0)
        await server.complete(party.session)
        session = await server.ring("bot1", "3003")
        await until(lambda: len(imbot.outcomes("set")) > 1, within_s=40, what="greeted")
        assert [len(await greetings(server, one)) for one in (party.session, session)] == [1, 1]
        assert await party.unaccounted(imbot) == []


async def test_ten_seconds_of_503(start_foreign, tmp_path):
    """As long as a proxy needs to notice that its backend restarts; here in real time."""
    servers = [await start_foreign(kind) for kind in Kind]
    async with asyncio.TaskGroup() as group:
        for server in servers:
            group.create_task(ten_seconds_of_503(server, tmp_path / server.kind))


async def test_a_greeting_whose_reply_is_lost_is_proven_by_its_echo(foreign_server, imbot):
    """GWS said it and the connection broke: sending it again would greet twice."""
    server = foreign_server
    await server.fault("lose_operations", count=1)
    session = await greeted(server, imbot)
    assert len(await greetings(server, session)) == 1
    with imbot.views() as views:
        assert views.parked() == ()


async def test_a_greeting_is_parked_when_its_reply_and_its_echo_are_lost(start_foreign, tmp_path):
    """Nobody knows whether it was said: a person decides, and nobody is greeted twice."""
    server = await start_foreign(Kind.FAYE)
    delivery = {"quiesce": "2s", "mark": False}
    async with running(tmp_path, server.url, delivery=delivery) as imbot:
        await imbot.up()
        session = await server.ring("bot1", "3002", answered=False)
        await until(lambda: imbot.events(EventKind.STATE, session))
        await server.fault("lose_operations", count=1)
        await server.fault("lose_polls", count=2)  # Talking, which a resync finds, and the echo
        await server.answer(session)
        await until(lambda: imbot.outcomes("reply"))
        [outcome] = imbot.outcomes("reply")
        assert outcome.kind == "parked"
        assert len(await greetings(server, session)) == 1
        with imbot.views() as views:
            await until(views.parked)
            assert [effect.intent.session_id for effect in views.parked()] == [session]
