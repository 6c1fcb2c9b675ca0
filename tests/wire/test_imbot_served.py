"""A whole imbot against servers that we did not write: one session from ring to Completed."""

from imbot.model import EventKind
from tests.wire.house import GREETING, greetings, running, until


async def test_a_session_is_greeted_tagged_and_completed(foreign_server, imbot):
    """The whole promise in one session, as the other side saw it."""
    server = foreign_server
    session = await server.ring("bot1", "3002")

    async def tagged():
        return (await server.sessions())[session]["userData"].get("greeted") == "yes"

    await server.until(tagged)
    [greeting] = await greetings(server, session)
    assert greeting["text"] == GREETING
    assert greeting["destination"] == {"phoneNumber": "3002"}
    assert greeting["devicePath"] == (await server.agents())["bot1"]["devicePath"]

    await server.say(session, "that was all, bye")

    async def completed():
        legs = (await server.sessions())[session]["legs"]
        return all(leg["state"] == "Completed" for leg in legs)

    await server.until(completed)
    await until(lambda: len(imbot.events(EventKind.STATE, session)) == 3)
    names = [entry["operation"] for entry in await server.operations(agent="bot1")]
    assert sorted(names) == [
        *("Complete", "SendMessage", "StartContactCenterSession"),
        *("UpdateUserData",) * 3,  # the loop guard's mark, the tag, the reason
    ]
    states = [event.session.state for event in imbot.events(EventKind.STATE, session)]
    assert states == ["Alerting", "Talking", "Completed"]


async def test_login_sends_the_csrf_token_and_subscribes_before_it_starts(foreign_server, imbot):
    """Every POST was taken, so the token was right; a ring right after the start is heard."""
    log = [entry for entry in await foreign_server.log() if entry.get("agent") == "bot1"]
    assert not [entry for entry in log if entry["http"] not in (200, None)]
    first = {name: place for place, entry in enumerate(log) for name in entry.get("meta", ())}
    started = next(n for n, entry in enumerate(log) if entry.get("operation"))
    assert first["/meta/handshake"] < first["/meta/subscribe"] < started
    [client] = (await foreign_server.agents())["bot1"]["clients"]
    assert {"/v2/me/im-sessions", "/v2/me/devices"} <= set(client["subscriptions"])
    assert imbot.app.health().status == "ready"


async def test_our_own_words_come_back_and_never_reach_rules(foreign_server, imbot):
    """GWS echoes what we say without a sender: a rule on messages must not answer itself."""
    session = await foreign_server.ring("bot1", "3002")
    await until(lambda: len(imbot.outcomes("set")) == 1)
    await foreign_server.say(session, "hello")
    await until(lambda: imbot.heard(session))
    assert imbot.heard(session) == ["hello"]
    with imbot.views() as views:
        [history] = views.session(session)
    said = [one for one in history.effects if one.effect.intent.operation == "SendMessage"]
    assert [(one.effect.state, one.echo_at is not None) for one in said] == [("confirmed", True)]


async def test_sessions_one_after_the_other_and_side_by_side(start_foreign, foreign_kind, tmp_path):
    server = await start_foreign(foreign_kind)
    agents = ("bot1", "bot2", "bot3")
    async with running(tmp_path, server.url, agents=agents) as imbot:
        await imbot.up()
        for _ in range(3):
            done = len(imbot.outcomes("set")) + len(agents)
            rung = [await server.ring(agent, "3002") for agent in agents]
            await until(lambda done=done: len(imbot.outcomes("set")) == done)
            for session in rung:
                assert len(await greetings(server, session)) == 1
                await server.complete(session)
            await until(lambda: not any(list(imbot.app.table.live(one)) for one in agents))
    assert not imbot.gaps()


async def test_a_stop_logs_the_agent_out(foreign_server, tmp_path):
    async with running(tmp_path, foreign_server.url) as imbot:
        await imbot.up()
        await foreign_server.ring("bot1", "3002")
        await until(lambda: len(imbot.outcomes("set")) == 1)
    agent = (await foreign_server.agents())["bot1"]
    assert (agent["voiceState"], agent["clients"], agent["httpSessions"]) == ("LoggedOut", [], 0)
