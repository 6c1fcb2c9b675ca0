"""imbot.bayeux.client: what the audit of aiocometd found, each as it must be instead.

A scripted server stands behind the Http port; time is the loop's own virtual time.
"""

import asyncio
import json
from collections import deque
from datetime import timedelta
from functools import partial

import pytest

from imbot.bayeux.client import BayeuxClient
from imbot.bayeux.session import BayeuxResume, Channel, GoodPoll
from imbot.errors import (
    AmbiguousError,
    Fault,
    FaultClass,
    PermanentError,
    StoreError,
    TemporaryError,
)
from imbot.ports import Reply
from imbot.testing.time import START, LoopClock, SteadyRandom

pytestmark = pytest.mark.looptime

EPOCH = START
URL = "http://127.0.0.1:8090/api/v2/notifications"
IM = "/v2/me/im-sessions"
HELD = 30.0
WANTED = (Channel(IM),)


class Server:
    """A Bayeux server in memory: obliging, unless the script of the next request says otherwise.

    A script is an Exception to raise, a Reply to give, or a function of the message that returns
    the elements of the reply. ``connects`` scripts polls, ``others`` everything else.
    """

    def __init__(self, *, ack=None):
        self.ack = ack
        self.connects = deque()
        self.others = deque()
        self.events = asyncio.Queue()
        self.requests = []
        self.at = []
        self.polls = self.most_polls = 0
        self.clients = 0

    async def send(self, request):
        (message,) = json.loads(request.body)
        self.requests.append((request, message))
        self.at.append(asyncio.get_running_loop().time())
        is_connect = message["channel"] == "/meta/connect"
        self.polls += is_connect
        self.most_polls = max(self.most_polls, self.polls)
        try:
            async with asyncio.timeout(request.timeout_s):
                return await self._answer(message)
        except TimeoutError as error:
            fault = Fault(FaultClass.TRANSPORT, text="no answer")
            raise AmbiguousError("no answer", fault=fault) from error
        finally:
            self.polls -= is_connect

    async def close(self):
        raise AssertionError("the client does not own its door")

    async def _answer(self, message):
        scripts = self.connects if message["channel"] == "/meta/connect" else self.others
        script = scripts.popleft() if scripts else None
        if isinstance(script, Exception):
            raise script
        if isinstance(script, Reply):
            return script
        if callable(script):
            answer = script(message)
            elements = await answer if asyncio.iscoroutine(answer) else answer
        else:
            elements = await self._oblige(message)
        return replying(elements)

    async def _oblige(self, message):
        events = []
        if message["channel"] == "/meta/handshake":
            self.clients += 1
            fields = {
                "clientId": f"client{self.clients}",
                "supportedConnectionTypes": ["long-polling"],
                "advice": {"reconnect": "retry", "timeout": HELD * 1000, "interval": 0},
            }
            if self.ack:
                fields["ext"] = {"ack": self.ack}
            return [ok(message, **fields)]
        if message["channel"] == "/meta/connect":
            held_s = message.get("advice", {}).get("timeout", HELD * 1000) / 1000
            events = await self._held(held_s) if held_s else []
        return [*events, ok(message)]

    async def _held(self, held_s):
        try:
            async with asyncio.timeout(held_s):
                return [await self.events.get()]
        except TimeoutError:
            return []

    def channels(self):
        return [message["channel"].removeprefix("/meta/") for _, message in self.requests]


class Owner:
    """A listener that writes down what it is told."""

    def __init__(self):
        self.told = []
        self.batches = []
        self.commit_s = 0.0
        self.turns = 0

    async def messages(self, elements, client_id, ack):
        await asyncio.sleep(self.commit_s)
        self.batches.append((list(elements), client_id, ack))

    async def gap(self, cause, good):
        self.told.append(("gap", cause, good))

    async def down(self, cause):
        self.told.append(("down", cause))

    async def up(self):
        self.told.append(("up",))

    async def turn(self):
        self.turns += 1

    async def refused(self, fault):
        self.told.append(("refused", fault))

    async def warning(self, fault):
        self.told.append(("warning", fault))

    def kinds(self):
        return [kind for kind, *_ in self.told]

    def events(self):
        return [element["data"] for batch, _, _ in self.batches for element in batch]


def replying(elements, status=200, headers=None):
    body = elements if isinstance(elements, bytes) else json.dumps(elements).encode()
    return Reply(status, headers or {}, body)


def ok(message, **fields):
    return {"channel": message["channel"], "id": message["id"], "successful": True, **fields}


def bad(error, **fields):
    return lambda message: [ok(message, error=error) | {"successful": False} | fields]


def event(number, channel=IM):
    return {"channel": channel, "data": number}


def lost(text="connection reset"):
    return AmbiguousError(text, fault=Fault(FaultClass.TRANSPORT, text=text))


UNKNOWN = bad("402::Unknown client", advice={"reconnect": "handshake", "interval": 0})


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def owner():
    return Owner()


def client_of(server, owner, *, channels=WANTED, headers=dict):
    return BayeuxClient(
        server,
        URL,
        channels=channels,
        listener=owner,
        clock=LoopClock(),
        random=SteadyRandom(),
        headers=headers,
    )


@pytest.fixture
async def client(server, owner):
    client = client_of(server, owner)
    yield client
    await client.close()


async def test_open_handshakes_subscribes_and_polls_without_being_held(client, server, looptime):
    """As shipped the first connect was held: open() took 30 seconds."""
    await client.open()

    assert looptime == 0
    assert server.channels() == ["handshake", "subscribe", "connect"]
    assert [message.get("advice") for _, message in server.requests] == [None, None, {"timeout": 0}]
    assert server.requests[0][1]["supportedConnectionTypes"] == ["long-polling"]
    assert server.requests[0][1]["ext"] == {"ack": True}
    assert (client.client_id, client.ack_enabled) == ("client1", False)
    assert client.last_good == GoodPoll(EPOCH, EPOCH)


async def test_each_channel_is_subscribed_in_a_request_of_its_own(server, owner):
    """Connect and subscribe in one payload lost 2 of 6 events on the Node server with ack."""
    client = client_of(server, owner, channels=[Channel(IM), Channel("/v2/me", required=False)])

    await client.open()
    await client.close()

    subscriptions = [message.get("subscription") for _, message in server.requests]
    assert subscriptions == [None, IM, "/v2/me", None, None]


async def test_one_poll_follows_the_other_and_never_two_at_once(client, server):
    await client.open()
    await asyncio.sleep(10 * HELD + 1)

    assert server.most_polls == 1
    assert server.channels().count("connect") == 12


async def test_interval_advice_is_milliseconds(client, server):
    """As shipped it is read as seconds, so that the server sweeps the session."""
    for _ in range(30):
        server.connects.append(lambda message: [ok(message, advice={"interval": 500})])

    await client.open()
    await asyncio.sleep(10.1)

    assert server.channels().count("connect") == 1 + 20


async def test_all_events_of_a_reply_are_one_batch_kept_before_the_next_poll(client, server, owner):
    """The commit comes first; the next connect is what acknowledges it."""
    server.connects.extend([None, lambda message: [event(1), ok(message), event(2)]])
    owner.commit_s = 3

    await client.open()
    await asyncio.sleep(2)
    polls_before_the_commit = server.channels().count("connect")
    await asyncio.sleep(2)

    assert polls_before_the_commit == 2
    assert server.channels().count("connect") == 3
    assert owner.batches == [([event(1), event(2)], "client1", None)]


async def test_every_element_of_every_reply_is_dispatched_by_its_channel(client, server, owner):
    """Events ride on subscribe replies too, and on channels nobody asked for."""
    server.others.extend([None, lambda message: [event(1), ok(message), event(2, "/other")]])

    await client.open()

    assert owner.events() == [1, 2]


async def test_a_malformed_element_costs_nobody_else_anything(client, server, owner):
    """As shipped one null in the array loses the rest of the batch and counts as a failed poll."""
    poison = [None, 7, {"data": 1}, {"channel": 5}, {"channel": "/meta/subscribe"}, [], "x"]
    failed_event = {**event(2), "successful": False}
    server.connects.append(lambda message: [event(1), *poison, failed_event, ok(message)])

    await client.open()

    assert owner.events() == [1, 2]
    assert client.skipped == 6
    ((kind, fault),) = owner.told
    assert (kind, fault.text[:12]) == ("warning", "6 elements o")


async def test_headers_are_asked_for_with_every_request(server, owner):
    """The CSRF token changes during the session."""
    tokens = iter("abcdef")
    client = client_of(server, owner, headers=lambda: {"X-CSRF-TOKEN": next(tokens)})

    await client.open()
    await client.close()

    sent = [request.headers["X-CSRF-TOKEN"] for request, _ in server.requests]
    assert sent == list("abcd")[: len(sent)]
    assert {request.url for request, _ in server.requests} == {URL}


async def test_the_poll_may_take_its_hold_and_ten_seconds_more(client, server):
    await client.open()
    await asyncio.sleep(1)

    assert server.requests[0][0].timeout_s == 10
    assert server.requests[-1][0].timeout_s == HELD + 10


async def test_a_poll_is_answered_soon_after_a_moment_that_somebody_asks_about(client, server):
    """Polls are held until then at most, and one is sent behind it that is not held at all."""
    await client.open()
    await asyncio.sleep(1)
    soon, later = (LoopClock().now() + timedelta(seconds=HELD + n) for n in (5, 9))
    for _ in range(2):  # whoever waits asks again and again
        client.hear_through(soon)
        client.hear_through(later)

    await asyncio.sleep(HELD + 5.2)
    assert client.last_good.asked_at >= soon
    assert server.requests[-1][1]["advice"]["timeout"] == pytest.approx(3950, abs=60)

    await asyncio.sleep(4)
    assert client.last_good.asked_at >= later
    assert "advice" not in server.requests[-1][1]
    assert server.most_polls == 1


async def test_a_server_may_hold_a_poll_longer_than_it_is_asked_to(client, server):
    """Nothing is lost by it: a poll may take as long as ever."""
    await client.open()
    await asyncio.sleep(1)
    moment = LoopClock().now() + timedelta(seconds=HELD + 5)
    client.hear_through(moment)
    server.connects.append(lambda message: asyncio.sleep(HELD, [ok(message)]))

    await asyncio.sleep(2 * HELD)

    assert client.last_good.asked_at >= moment


@pytest.mark.parametrize("ack", [True, {"enabled": True, "batch": 7}])
async def test_the_ack_number_goes_out_only_after_the_batch_is_kept(owner, ack):
    server = Server(ack=ack)
    server.connects.extend(
        [None, lambda message: [event(1), ok(message, ext={"ack": 4})], lost(), None]
    )
    client = client_of(server, owner)

    await client.open()
    await asyncio.sleep(5)

    numbers = [
        message["ext"] for _, message in server.requests if message["channel"] == "/meta/connect"
    ]
    assert client.ack_enabled
    assert numbers[:4] == [{"ack": 0}, {"ack": 0}, {"ack": 4}, {"ack": 4}]
    assert owner.batches == [([event(1)], "client1", 4)]
    assert owner.told == []
    assert client.export() == BayeuxResume("client1", 4)
    await client.close()


async def test_a_lost_poll_without_ack_is_a_gap_once_the_next_one_works(client, server, owner):
    """The server forgets what it sent, and no 402 ever hints at it."""
    server.connects.extend([None, None, lost("reset by peer")])

    await client.open()
    await asyncio.sleep(HELD + 1)

    good = GoodPoll(asked_at=EPOCH, answered_at=EPOCH + timedelta(seconds=HELD))
    assert owner.told == [("gap", "transport: reset by peer", good)]
    assert client.client_id == "client1"
    assert server.requests[5][1]["advice"] == {"timeout": 0}


async def test_what_came_up_while_the_last_good_reply_was_on_its_way_is_in_the_gap(
    client, server, owner
):
    """A network or a machine that is slow, and then a server that forgets what it kept for us."""

    async def reply_on_its_way_for_12_s(message):
        await asyncio.sleep(12)
        return [ok(message)]

    server.connects.extend([None, reply_on_its_way_for_12_s, UNKNOWN])
    await client.open()
    await asyncio.sleep(13)

    good = GoodPoll(asked_at=EPOCH, answered_at=EPOCH + timedelta(seconds=12))
    assert [told[2] for told in owner.told] == [good]


@pytest.mark.parametrize("ack", [False, True])
async def test_a_forgotten_client_id_means_handshake_subscribe_and_a_gap(owner, ack):
    server = Server(ack=ack)
    client = client_of(server, owner)
    server.connects.extend([None, UNKNOWN])

    await client.open()
    await asyncio.sleep(0.3)

    assert server.channels() == [
        "handshake", "subscribe", "connect", "connect", "handshake", "subscribe", "connect",
        "connect",
    ]  # fmt: skip
    assert server.at[4] - server.at[3] <= 0.2
    assert owner.kinds() == ["gap"]
    assert "402::Unknown client" in owner.told[0][1]
    assert client.client_id == "client2"
    await client.close()


@pytest.mark.parametrize(
    "failure",
    [
        lost(),
        replying(b"<html>bad gateway</html>", 502),
        replying(b"not json"),
        replying(b"", 500),
        replying(b"[]"),
        replying(b"{}"),
        replying([event(9)]),
        bad("500::oops"),
    ],
    ids=["lost", "html", "no-json", "500", "empty", "object", "no-reply", "unsuccessful"],
)
async def test_a_failing_poll_is_retried_with_its_cause_kept(client, server, owner, failure):
    server.connects.extend([None, failure, failure, failure])

    await client.open()
    await asyncio.sleep(5)

    assert [kind for kind in owner.kinds() if kind != "warning"] == ["down", "up", "gap"]
    assert client.client_id == "client1"
    waits = [after - before for before, after in zip(server.at[3:], server.at[4:7], strict=False)]
    assert waits == pytest.approx([0.05, 0.1, 0.2])


async def test_retry_after_is_obeyed(client, server):
    server.connects.extend([None, replying(b"later", 503, {"retry-after": "7"})])

    await client.open()
    await asyncio.sleep(8)

    assert server.at[4] - server.at[3] == 7


async def test_a_black_hole_is_noticed_after_the_hold_and_ten_seconds(client, server, owner):
    server.connects.extend([None, lambda _: asyncio.sleep(10**6)])

    await client.open()
    await asyncio.sleep(HELD + 10 + 1)

    assert server.channels()[4:6] == ["handshake", "subscribe"]
    assert owner.kinds() == ["down", "up", "gap"]
    assert owner.told[2][2] == GoodPoll(EPOCH, EPOCH)


async def test_a_server_that_is_away_is_polled_first_and_greeted_later(client, server):
    """The same client id is tried until the server must have forgotten it."""
    server.connects.extend([None, *[lost() for _ in range(40)]])

    await client.open()
    await asyncio.sleep(200)

    channels = server.channels()
    handshake = channels.index("handshake", 1)
    assert server.at[handshake] >= HELD + 10
    assert channels[3:handshake].count("connect") >= 9
    assert server.at[9] < 10, "the first retries are fast, or ack is worth nothing"


async def test_a_refused_subscription_is_tried_again_and_stays_wanted(client, server, owner):
    """As shipped it is dropped without a word."""
    server.connects.extend([None, UNKNOWN])

    await client.open()
    server.others.extend([None, bad("403::subscribe_denied"), None, bad("403::subscribe_denied")])
    await asyncio.sleep(10)

    assert server.channels().count("subscribe") == 4
    assert owner.kinds() == ["warning", "down", "warning", "up", "gap"]


async def test_an_optional_channel_that_is_denied_is_a_warning(server, owner):
    client = client_of(server, owner, channels=[Channel("/x", required=False), Channel(IM)])
    server.others.extend([None, bad("403::subscribe_denied")])

    await client.open()
    await client.close()

    ((kind, fault),) = owner.told
    assert (kind, fault.fault_class) == ("warning", FaultClass.PERMISSION)
    assert "/x" in fault.text


async def test_a_required_channel_that_is_denied_fails_the_opening_for_good(client, server):
    server.others.extend([None, bad("403::subscribe_denied")])

    with pytest.raises(PermanentError, match="403::subscribe_denied"):
        await client.open()


@pytest.mark.parametrize(
    ("answer", "fault_class"),
    [
        (replying(b'{"statusCode":20,"statusMessage":"Access denied"}', 403), FaultClass.AUTH),
        (replying(b"<html>login</html>", 401), FaultClass.AUTH),
        (replying(b"", 302, {"location": "/login"}), FaultClass.AUTH),
        (replying({"statusCode": 20}), FaultClass.AUTH),
        (replying(b"Missing or invalid Csrf token", 403), FaultClass.CSRF),
        (replying(b"<html>oops</html>", 500), FaultClass.SERVER),
        (replying(b"{bad json"), FaultClass.SERVER),
        (replying({"statusCode": "x"}), FaultClass.SERVER),
        (bad("403::Handshake denied", advice={"reconnect": "none"}), FaultClass.AUTH),
        (lambda message: [ok(message)], FaultClass.SERVER),
        (lambda message: [{"channel": message["channel"], "id": message["id"]}], FaultClass.SERVER),
        (TemporaryError("refused"), FaultClass.TRANSPORT),
    ],
)
async def test_an_opening_that_fails_says_why_and_can_be_tried_again(
    client, server, answer, fault_class
):
    """As shipped: TypeError, then "Session is closed" for ever, with a task that polls on."""
    server.others.append(answer)

    with pytest.raises(TemporaryError) as caught:
        await client.open()
    await asyncio.sleep(100)
    requests_after_the_failure = len(server.requests)
    await client.open()

    assert caught.value.fault.fault_class is fault_class
    assert requests_after_the_failure == 1
    assert client.client_id == "client1"


async def test_the_first_200_characters_of_a_strange_answer_are_kept(client, server):
    server.others.append(replying("ü".encode() * 500, 503, {"retry-after": "3"}))

    with pytest.raises(TemporaryError) as caught:
        await client.open()

    fault = Fault(FaultClass.SERVER, http_status=503, text="ü" * 200, retry_after_s=3.0)
    assert caught.value.fault == fault


async def test_a_server_without_long_polling_is_not_opened(client, server):
    server.others.append(
        lambda message: [ok(message, clientId="x", supportedConnectionTypes=["websocket"])]
    )

    with pytest.raises(PermanentError, match="long-polling"):
        await client.open()


@pytest.mark.parametrize(
    "refusal",
    [
        replying(b"", 401),
        replying(b"csrf", 403),
        lambda message: [
            {"channel": "/meta/disconnect", "successful": True},
            ok(message, advice={"reconnect": "none"}),
        ],
        lambda message: [{"channel": "/meta/disconnect", "successful": True}, ok(message)],
        bad("403::no", advice={"reconnect": "none"}),
        bad("500::no", advice={"reconnect": "sing"}),
    ],
)
async def test_what_needs_a_login_stops_the_loop_and_the_owner_opens_again(
    client, server, owner, refusal
):
    """A client that looks at `successful` only would handshake straight back in."""
    server.connects.extend([None, refusal])

    await client.open()
    await asyncio.sleep(100)
    before = len(server.requests)
    await client.join()
    await client.open()

    ((kind, fault),) = owner.told
    assert (kind, fault.fault_class in {FaultClass.AUTH, FaultClass.CSRF}) == ("refused", True)
    assert before == 4
    assert client.client_id == "client2"


async def test_the_owner_may_open_again_from_within_refused(client, server, owner):
    async def reopened(_fault):
        await client.open()

    owner.refused = reopened
    server.connects.extend([None, replying(b"", 401)])

    await client.open()
    await asyncio.sleep(2 * HELD)

    assert client.client_id == "client2"
    assert server.most_polls == 1
    assert server.polls == 1


async def test_a_rival_on_the_same_cookies_is_obeyed_and_told_once(client, server, owner):
    rival = {"multiple-clients": True, "reconnect": "retry", "interval": 2000}
    server.connects.extend([lambda message: [ok(message, advice=rival)]] * 5)

    await client.open()
    await asyncio.sleep(9)

    assert server.channels().count("connect") == 5
    assert owner.kinds() == ["warning"]


async def test_402_after_every_handshake_does_not_spin(client, server):
    """A refused cookie turned every client of the audit into 400 to 700 requests a second."""
    server.connects.extend([None, *[UNKNOWN] * 100])

    await client.open()
    await asyncio.sleep(60)

    assert 3 <= server.channels().count("handshake") <= 10


async def test_every_handshake_but_the_first_waits_for_its_turn(client, server, owner):
    """A server that forgets one client id forgets those of all: thousands begin anew together."""
    server.connects.extend([None, UNKNOWN])

    await client.open()
    assert owner.turns == 0
    await asyncio.sleep(60)

    assert server.channels().count("handshake") == 2
    assert owner.turns == 1


async def test_close_is_silent_and_nothing_is_sent_afterwards(client, server, owner, looptime):
    await client.open()
    await asyncio.sleep(1)
    await client.close()
    sent = len(server.requests)
    await asyncio.sleep(100)

    assert server.channels()[-1] == "disconnect"
    assert len(server.requests) == sent
    assert (server.polls, looptime) == (0, 101)
    assert owner.told == []
    assert len(asyncio.all_tasks()) == 1


async def test_close_takes_two_seconds_at_most_whatever_the_server_does(client, server, looptime):
    """As shipped 36 seconds and a TimeoutError."""
    await client.open()
    server.others.append(lambda _: asyncio.sleep(10**6))
    await client.close()

    assert looptime == 2


async def test_close_does_not_mind_a_server_that_is_gone(client, server):
    await client.open()
    server.others.append(lost())

    await client.close()
    await client.close()


async def test_close_waits_two_seconds_at_most_for_a_stubborn_listener(
    client, server, owner, looptime
):
    async def stubborn(*_batch):
        until = asyncio.get_running_loop().time() + 10
        while (left := until - asyncio.get_running_loop().time()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                continue

    owner.messages = stubborn
    await client.open()
    server.events.put_nowait(event(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0.1)
    await client.close()
    closed_at = float(looptime)
    sent = len(server.requests)
    await asyncio.sleep(100)

    assert closed_at == pytest.approx(2.1)
    assert len(server.requests) == sent


async def test_a_listener_may_close_the_client(client, server, owner):
    async def closing(*_batch):
        await client.close()

    owner.messages = closing
    await client.open()
    server.events.put_nowait(event(1))
    await asyncio.sleep(100)

    assert server.channels()[-1] == "disconnect"
    assert server.channels().count("connect") == 2


async def test_what_a_listener_raises_ends_the_polling_and_is_raised_by_join(client, server, owner):
    """A batch that could not be kept must not be acknowledged by the next poll."""

    async def full(*_batch):
        raise StoreError("disk full")

    owner.messages = full
    await client.open()
    server.events.put_nowait(event(1))

    with pytest.raises(StoreError, match="disk full"):
        await client.join()
    assert server.channels().count("connect") == 2


async def test_join_returns_when_the_client_is_closed(client):
    await client.join()
    await client.open()
    joining = asyncio.create_task(client.join())
    await asyncio.sleep(1)
    await client.close()

    assert await joining is None


async def test_an_open_client_cannot_be_opened_twice(client):
    await client.open()

    with pytest.raises(RuntimeError, match="open already"):
        await client.open()


async def test_cancelling_open_leaves_nothing_behind(client, server):
    server.others.append(lambda _: asyncio.sleep(10**6))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.open(), 1)
    sent = len(server.requests)
    await asyncio.sleep(100)

    assert len(server.requests) == sent == 1
    assert client.export() is None
    assert (client.client_id, client.ack_enabled, client.last_good) == (None, False, None)


async def test_another_process_goes_on_with_the_same_session(server, owner):
    first = client_of(server, owner)
    await first.open()
    await first.close(goodbye=False)
    left = first.export()
    await asyncio.sleep(5)

    second = client_of(server, owner)
    await second.open(resume=left)

    assert server.channels()[-1] == "connect"
    assert server.channels().count("handshake") == 1
    assert second.client_id == "client1"
    # Without ack, what the first one's last poll brought is lost.
    assert owner.told == [("gap", "resumed without acknowledgements", GoodPoll(EPOCH, EPOCH))]
    await second.close()


async def test_a_resumed_session_that_is_forgotten_is_begun_anew(client, server, owner):
    server.connects.append(UNKNOWN)

    before = EPOCH - timedelta(hours=1)
    good = GoodPoll(asked_at=before - timedelta(seconds=HELD), answered_at=before)
    await client.open(resume=BayeuxResume("old", 3, good))

    assert server.requests[0][1]["ext"] == {"ack": 3}
    assert server.channels() == ["connect", "handshake", "subscribe", "connect"]
    assert client.client_id == "client1"
    assert owner.kinds() == ["gap"]
    assert owner.told[0][2] == good


async def test_with_ack_a_resumed_session_has_no_gap(client, owner):
    await client.open(resume=BayeuxResume("old", 3))

    assert client.export() == BayeuxResume("old", 3)
    assert owner.told == []


async def test_a_login_lost_while_subscribing_anew_leaves_the_rest_to_who_goes_on(
    client, server, owner
):
    """The new Bayeux session is alive but deaf, and its gap is not yet told."""
    await client.open()
    server.connects.append(UNKNOWN)
    server.others.extend([None, TemporaryError("403", fault=Fault(FaultClass.AUTH))])
    await asyncio.sleep(100)
    assert owner.kinds()[-1] == "refused"

    await client.open(resume=client.export())

    assert server.channels()[-2:] == ["subscribe", "connect"]
    assert owner.kinds()[-1] == "gap"


# Replies that must not be taken for what they are not ------------------------------------------


async def test_a_reply_to_another_request_brings_nothing(client, server, owner):
    """A proxy may repeat an answer; its events were taken when it came first."""
    await client.open()
    server.connects.append(lambda message: [event(1), ok(message)])
    server.connects.append(lambda _: [event(1), ok({"channel": "/meta/connect", "id": "2"})])
    await asyncio.sleep(5)

    assert owner.events() == [1]
    assert owner.kinds() == ["gap"]


async def test_a_reply_to_another_client_brings_nothing(client, server, owner):
    await client.open()
    server.connects.append(lambda message: [event(1), ok(message, clientId="somebody")])
    await asyncio.sleep(5)

    assert owner.events() == []
    assert owner.kinds() == ["gap"]


async def test_a_batch_that_comes_again_is_taken_once(owner):
    server = Server(ack=True)
    client = client_of(server, owner)
    for texts in ([], [7, 7], [7, 7], [7]):
        number = {"ack": 1 if len(texts) == 2 else 2 if texts else 0}
        elements = partial(numbered, texts, number)
        server.connects.append(elements)
    await client.open()
    await asyncio.sleep(5)
    await client.close()

    assert owner.events() == [7, 7, 7]
    assert [ack for _, _, ack in owner.batches] == [1, 2]


def numbered(texts, number, message):
    return [*map(event, texts), ok(message, ext=number)]


async def test_messages_ride_on_any_reply(owner):
    """Also on those to a handshake and to a subscription; they are kept before the next request."""
    server = Server()
    server.others.extend(
        [
            lambda message: [event(1), ok(message, clientId="c")],
            lambda message: [event(2), ok(message), event(3)],
        ]
    )
    client = client_of(server, owner)
    asked = []
    owner.messages = lambda elements, *_: kept(asked, server, elements)
    await client.open()
    await client.close()

    assert asked == [([1], 1), ([2, 3], 2)]


async def kept(asked, server, elements):
    await asyncio.sleep(1)
    asked.append(([element["data"] for element in elements], len(server.requests)))


@pytest.mark.parametrize(
    "body", [b'[{"channel":', b"<html>login</html>", b"\x1f\x8b", b"[NaN]", b""]
)
async def test_an_answer_that_can_never_be_read_does_not_make_it_deaf(owner, body):
    """The server would send it for ever; after three times the session begins anew."""
    server = Server(ack=True)
    client = client_of(server, owner)
    await client.open()
    server.connects.extend([Reply(200, {}, body)] * 3)
    await asyncio.sleep(10)
    await client.close()

    assert owner.kinds() == ["warning", "warning", "down", "warning", "up", "gap"]
    assert server.clients == 2


async def test_a_single_message_may_come_without_its_list(client, server):
    await client.open()
    server.connects.append(ok)
    await asyncio.sleep(1)

    assert client.last_good is not None


async def test_what_people_said_is_in_no_log(client, server, owner):
    """An answer that breaks off in the middle may hold anything."""
    await client.open()
    server.connects.extend([Reply(200, {}, b'[{"data":{"message":"my card is 4111')] * 2)
    await asyncio.sleep(5)

    assert "4111" not in str(owner.told)
    assert "sha256" in str(owner.told)
