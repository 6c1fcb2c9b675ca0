"""The simulated Bayeux half, held against what was measured on the stock CometD server."""

import asyncio
from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.simulator.bayeux import BayeuxServer
from imbot.simulator.faults import FaultBox, Faults
from imbot.simulator.settings import SimulatorSettings

pytestmark = pytest.mark.looptime

IM = "/v2/me/im-sessions"
RETRY = {"interval": 0, "timeout": 30000, "reconnect": "retry"}


class LoopClock:
    """The running loop's time."""

    def now(self):
        return datetime(2026, 1, 5, tzinfo=UTC)

    def monotonic(self):
        return asyncio.get_running_loop().time()


class Peer:
    """One Bayeux client of one user, message by message."""

    def __init__(self, server, *, user="bot1", browser=""):
        self.server, self.user, self.browser = server, user, browser
        self.client_id = None
        self.count = 0

    async def send(self, *messages):
        """Return the whole answer to these messages."""
        return await self.server.exchange(messages, user=self.user, browser=self.browser)

    async def ask(self, channel, **fields):
        """Return the reply's messages to one message of ours."""
        self.count += 1
        message = {"channel": channel, "id": str(self.count), "clientId": self.client_id, **fields}
        exchange = await self.send(message)
        self.browser = exchange.browser or self.browser
        return list(exchange.messages)

    async def handshake(self, **fields):
        """Shake hands and return the reply."""
        (reply,) = await self.ask("/meta/handshake", **fields)
        self.client_id = reply.get("clientId")
        return reply

    async def subscribe(self, name=IM):
        """Subscribe and return the reply's messages."""
        return await self.ask("/meta/subscribe", subscription=name)

    async def connect(self, **fields):
        """Poll once and return the reply's messages."""
        return await self.ask("/meta/connect", connectionType="long-polling", **fields)

    async def ready(self, **fields):
        """Handshake, subscribe, first connect."""
        await self.handshake(**fields)
        await self.subscribe()
        await self.connect()
        return self

    def poll(self, **fields):
        """Return a poll under way."""
        return asyncio.ensure_future(self.send(self.poll_message(**fields)))

    def poll_message(self, **fields):
        """Return a connect message."""
        return {"channel": "/meta/connect", "id": "p", "clientId": self.client_id, **fields}


def make(faults=None, **settings):
    """Return a server."""
    random = Random(1)  # noqa: S311 - reproducible
    box = FaultBox(faults or Faults(), random)
    return BayeuxServer(SimulatorSettings(**settings), faults=box, clock=LoopClock(), random=random)


@pytest.fixture
def server():
    return make()


def event(n):
    return {"data": {"n": n}, "channel": IM}


def say(server, n, user="bot1"):
    server.deliver(user, IM, event(n))


async def until_held(server):
    """Return once the poll just begun is held."""
    await asyncio.sleep(0)
    assert server.held == 1


async def test_handshake_answers_as_the_stock_server_does(server):
    peer = Peer(server)
    reply = await peer.handshake(supportedConnectionTypes=["websocket"])

    assert reply == {
        "channel": "/meta/handshake",
        "id": "1",
        "version": "1.0",
        "minimumVersion": "1.0",
        "clientId": peer.client_id,
        "supportedConnectionTypes": ["long-polling", "callback-polling"],
        "advice": RETRY,
        "successful": True,
    }
    assert peer.browser


async def test_the_first_connect_is_not_held_and_carries_advice(server, looptime):
    peer = Peer(server)
    await peer.handshake()
    (reply,) = await peer.connect()

    assert reply == {"channel": "/meta/connect", "id": "2", "successful": True, "advice": RETRY}
    assert looptime == 0


async def test_an_ordinary_connect_is_held_for_the_timeout_without_advice(server, looptime):
    peer = await Peer(server).ready()
    (reply,) = await peer.connect()

    assert reply == {"channel": "/meta/connect", "id": "4", "successful": True}
    assert looptime == 30
    assert server.held == 0


@pytest.mark.parametrize(("asked_ms", "held_s"), [(0, 0), (5000, 5), (10**9, 600), ("x", 30)])
async def test_a_client_may_ask_for_another_hold(server, looptime, asked_ms, held_s):
    peer = await Peer(server).ready()
    (reply,) = await peer.connect(advice={"timeout": asked_ms})

    assert looptime == held_s
    assert ("advice" in reply) == (asked_ms == 0)


async def test_events_come_before_the_connect_reply_in_order(server, looptime):
    peer = await Peer(server).ready()
    poll = peer.poll()
    await until_held(server)
    for n in range(3):
        say(server, n)

    messages = (await poll).messages
    assert messages[:3] == [event(0), event(1), event(2)]
    assert messages[3]["channel"] == "/meta/connect"
    assert looptime == 0


async def test_events_between_polls_ride_on_whatever_reply_comes_next(server):
    """A client that listens to connect replies only would lose them."""
    peer = await Peer(server).ready()
    say(server, 1)
    messages = await peer.subscribe("/v2/me/devices")

    assert messages[0] == event(1)
    assert messages[1]["subscription"] == "/v2/me/devices"


async def test_only_subscribers_of_the_same_user_get_an_event(server):
    one, other = await Peer(server).ready(), await Peer(server, user="bot2").ready()
    unsubscribed = Peer(server)
    await unsubscribed.handshake()
    say(server, 1)

    assert (await one.connect())[0] == event(1)
    for quiet in (other, unsubscribed):
        assert len(await quiet.connect(advice={"timeout": 0})) == 1


@pytest.mark.parametrize("pattern", ["/v2/me/*", "/**", "/v2/**"])
async def test_wildcards_subscribe_too(server, pattern):
    peer = Peer(server)
    await peer.handshake()
    (reply,) = await peer.subscribe(pattern)
    say(server, 1)

    assert reply["successful"]
    assert (await peer.connect())[0] == event(1)


async def test_unsubscribed_channels_bring_nothing_more(server):
    peer = await Peer(server).ready()
    (reply,) = await peer.ask("/meta/unsubscribe", subscription=IM)
    say(server, 1)

    assert reply["successful"]
    assert len(await peer.connect(advice={"timeout": 0})) == 1


async def test_one_denied_name_fails_the_reply_and_not_the_other_names(server):
    peer = Peer(server)
    await peer.handshake()
    (reply,) = await peer.subscribe([IM, "/deny/a"])
    say(server, 1)

    assert not reply["successful"]
    assert reply["error"] == "403:denied_by_security_policy:subscribe_denied"
    assert reply["subscription"] == [IM, "/deny/a"]
    assert (await peer.connect())[0] == event(1)


async def test_unknown_channels_are_denied_in_strict_mode_only(server):
    strict, lax = Peer(server), Peer(make(strict=False))
    for peer in (strict, lax):
        await peer.handshake()

    assert not (await strict.subscribe("/v2/me/imsessions"))[0]["successful"]
    assert not (await strict.subscribe("/v3/*"))[0]["successful"]
    assert (await lax.subscribe("/v2/me/imsessions"))[0]["successful"]


@pytest.mark.parametrize("channel", ["/meta/subscribe", "/meta/unsubscribe"])
async def test_a_subscription_needs_a_name(server, channel):
    peer = await Peer(server).ready()
    (reply,) = await peer.ask(channel)

    assert reply["error"] == "403::subscription_missing"


async def test_a_name_without_a_slash_and_other_misuse_are_http_errors(server):
    """Measured: HTTP 500 with an empty body, not a Bayeux reply."""
    peer = await Peer(server).ready()
    hello = {"channel": "/meta/handshake", "id": "1"}

    assert (
        await peer.send(
            {**peer.poll_message(), "channel": "/meta/subscribe", "subscription": "v2/me"}
        )
    ).status == 500
    assert (await peer.send()).status == 500
    assert (await peer.send(hello, peer.poll_message())).status == 500
    assert (await peer.send(None)).status == 400


async def test_clients_may_not_publish_nor_invent_meta_channels(server):
    peer = await Peer(server).ready()

    assert (await peer.ask(IM, data={}))[0]["error"].startswith("403:")
    assert (await peer.ask("/meta/other"))[0]["error"].startswith("404:")
    assert (await peer.ask(None))[0]["error"].startswith("400:")


async def test_402_carries_advice_on_connect_only(server):
    """A client must take the 402 itself as the order to shake hands again."""
    peer = Peer(server, browser="b")
    peer.client_id = "gone"

    (connect,) = await peer.connect()
    (subscribe,) = await peer.subscribe()
    (disconnect,) = await peer.ask("/meta/disconnect")
    assert connect["advice"] == {"interval": 0, "reconnect": "handshake"}
    assert "advice" not in subscribe
    assert subscribe["subscription"] == IM
    assert "subscription" not in disconnect
    for reply in (connect, subscribe, disconnect):
        assert reply["error"] == "402::Unknown client"
        assert reply["successful"] is False


async def test_a_client_without_its_browser_cookie_or_its_user_is_unknown(server):
    peer = await Peer(server).ready()
    cookie = peer.browser
    peer.browser = ""
    assert (await peer.connect())[0]["error"] == "402::Unknown client"
    peer.browser, peer.user = cookie, "bot2"
    assert (await peer.connect())[0]["error"] == "402::Unknown client"


async def test_the_earlier_of_two_polls_ends_with_http_500(server, looptime):
    peer = await Peer(server).ready()
    first = peer.poll()
    await until_held(server)
    second = peer.poll()

    assert (await first).status == 500
    say(server, 1)
    assert (await second).messages[0] == event(1)
    assert looptime == 0


async def test_no_event_is_lost_when_a_poll_is_superseded_in_the_moment_it_comes_back(server):
    peer = await Peer(server).ready()
    first = peer.poll()
    await until_held(server)
    say(server, 1)
    second = peer.poll(advice={"timeout": 0})

    got = [*(await first).messages, *(await second).messages]
    assert got.count(event(1)) == 1


async def test_a_second_session_of_one_browser_is_told_to_wait(server, looptime):
    """A client that ignores the interval spins."""
    first = await Peer(server).ready()
    second = await Peer(server, browser=first.browser).ready()
    poll = first.poll()
    await until_held(server)

    (reply,) = await second.connect()
    assert reply["advice"] == {"multiple-clients": True, "reconnect": "retry", "interval": 2000}
    assert looptime == 0
    await first.ask("/meta/disconnect")
    await poll
    (later,) = await second.connect()
    assert later["advice"] == RETRY


async def test_a_session_not_polled_in_time_is_gone(server, looptime):
    """Also right after a handshake: a slow login between handshake and connect loses it."""
    peer = Peer(server)
    await peer.handshake()
    await asyncio.sleep(10)

    assert (await peer.connect())[0]["error"] == "402::Unknown client"
    assert len(server) == 0
    assert looptime == 10


async def test_sweeping_removes_idle_sessions_and_spares_held_polls(server):
    idle, polling = await Peer(server).ready(), await Peer(server, user="bot2").ready()
    poll = polling.poll()
    await asyncio.sleep(11)
    server.sweep()

    assert len(server) == 1
    assert (await idle.connect())[0]["successful"] is False
    assert (await poll).messages[-1]["successful"]


async def test_a_session_ended_by_the_server_learns_it_from_a_success(server):
    """The trap of the contract: successful, advice none, and a disconnect without id."""
    peer = await Peer(server).ready()
    poll = peer.poll()
    await until_held(server)
    server.end("bot1")

    assert (await poll).messages == [
        {"channel": "/meta/disconnect", "successful": True},
        {
            "channel": "/meta/connect",
            "id": "p",
            "successful": True,
            "advice": {"reconnect": "none"},
        },
    ]
    assert (await peer.connect())[0]["error"] == "402::Unknown client"


async def test_a_crash_cuts_the_held_polls(server):
    peer = await Peer(server).ready()
    poll = peer.poll()
    await until_held(server)
    server.clear()

    assert (await poll).cut
    assert len(server) == server.held == 0


async def test_a_cancelled_poll_leaves_the_session_intact(server):
    peer = await Peer(server).ready()
    poll = peer.poll()
    await until_held(server)
    poll.cancel()
    with pytest.raises(asyncio.CancelledError):
        await poll
    say(server, 1)

    assert server.held == 0
    assert (await peer.connect())[0] == event(1)


# The ack extension.


async def test_ack_is_confirmed_only_if_offered_and_enabled():
    enabled, disabled = make(), make(ack=False)

    assert (await Peer(enabled).handshake(ext={"ack": True}))["ext"] == {"ack": True}
    assert "ext" not in await Peer(enabled).handshake()
    assert "ext" not in await Peer(disabled).handshake(ext={"ack": True})


async def test_with_ack_events_come_again_until_acknowledged(server):
    peer = await Peer(server).ready(ext={"ack": True})
    say(server, 1)
    first = await peer.connect(ext={"ack": 1})
    say(server, 2)
    again = await peer.connect(ext={"ack": 1})
    acked = await peer.connect(ext={"ack": again[-1]["ext"]["ack"]}, advice={"timeout": 0})

    assert first[:-1] == [event(1)]
    assert again[:-1] == [event(1), event(2)]
    assert again[-1]["ext"]["ack"] > first[-1]["ext"]["ack"]
    assert acked[:-1] == []


async def test_with_ack_events_ride_on_connect_replies_only(server):
    peer = await Peer(server).ready(ext={"ack": True})
    say(server, 1)

    assert len(await peer.subscribe()) == 1
    assert (await peer.connect())[0] == event(1)


@given(st.lists(st.sampled_from(["say", "poll", "lose", "subscribe"]), max_size=30))
def test_with_ack_nothing_is_lost_and_order_is_kept(script):
    """Whatever replies get lost, a client that acknowledges what it read gets every event."""

    async def play():
        server = make()
        peer = await Peer(server).ready(ext={"ack": True})
        acked, said, read, batches = 1, 0, [], set()

        async def poll(*, lost):
            nonlocal acked
            *events, reply = await peer.connect(ext={"ack": acked}, advice={"timeout": 0})
            if not lost and reply["ext"]["ack"] not in batches:
                acked = reply["ext"]["ack"]
                read.extend(message["data"]["n"] for message in events)

        for step in script:
            if step == "say":
                say(server, said)
                said += 1
            elif step == "subscribe":
                await peer.subscribe()
            else:
                await poll(lost=step == "lose")
        await poll(lost=False)
        return read, said

    read, said = asyncio.run(play())
    assert read == list(range(said))


# Faults.


async def test_denied_handshakes_say_none():
    reply = await Peer(make(Faults(handshake_denied=True))).handshake()

    assert reply["error"] == "403::Handshake denied"
    assert reply["advice"] == {"reconnect": "none"}


@pytest.mark.parametrize("fault", ["unknown_client_connect", "unknown_client_subscribe"])
async def test_a_session_can_be_lost_at_a_request(fault):
    server = make(Faults(**{fault: {"next": 1}}))
    peer = Peer(server)
    await peer.handshake()
    replies = [*await peer.subscribe(), *await peer.connect()]

    assert replies[-1]["error"] == "402::Unknown client"
    assert len(server) == 0


async def test_an_event_can_be_made_to_ride_before_a_subscribe_reply():
    server = make(Faults(event_in_subscribe_reply=True))
    server.standing = event
    peer = Peer(server)
    await peer.handshake(ext={"ack": True})

    messages = await peer.subscribe()
    assert messages[0] == event("bot1")
    assert messages[1]["successful"]


@pytest.mark.parametrize("ack", [True, False])
async def test_a_lost_poll_reply_loses_events_without_ack_and_none_with_it(ack):
    server = make(Faults(poll_reply_lost={"next": 1}))
    peer = await Peer(server).ready(ext={"ack": ack})
    say(server, 1)

    assert (await peer.send(peer.poll_message(ext={"ack": 1}))).cut
    *events, _ = await peer.connect(ext={"ack": 1}, advice={"timeout": 0})
    assert events == ([event(1)] if ack else [])


async def test_an_empty_poll_reply_is_never_lost():
    server = make(Faults(poll_reply_lost=True))
    peer = await Peer(server).ready()

    assert len(await peer.connect()) == 1


async def test_a_cut_poll_loses_no_event(looptime):
    server = make(Faults(poll_cut={"next": 1}, cut_after_s=3))
    peer = await Peer(server).ready()

    assert (await peer.send(peer.poll_message())).cut
    assert looptime == 3
    say(server, 1)
    assert (await peer.connect())[0] == event(1)


async def test_a_cut_later_than_the_timeout_is_none(looptime):
    server = make(Faults(poll_cut=True, cut_after_s=31))
    peer = await Peer(server).ready()

    assert (await peer.connect())[-1]["successful"]
    assert looptime == 30


async def test_multiple_clients_can_be_advised_out_of_the_blue():
    server = make(Faults(multiple_clients={"next": 1, "only": ["/meta/connect"]}))
    peer = Peer(server)
    await peer.handshake()

    assert (await peer.connect())[0]["advice"]["multiple-clients"]
