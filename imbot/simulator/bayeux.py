"""The server half of Bayeux over long-polling, as stock CometD 3.1.12 speaks it.

Messages in, messages out; HTTP stays outside (an answer names its HTTP status). A held poll costs
one future and one timer, an idle session nothing. Sources: the GWS contract, 2.6 to 2.9, measured
on the Java server [J].
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from imbot.clock import Clock
from imbot.simulator.cometd import (
    CHANNELS,
    CONNECT,
    DISCONNECT,
    HANDSHAKE,
    SUBSCRIBE,
    UNSUBSCRIBE,
    CometdSession,
    Message,
    PollEnd,
    covers,
    failed,
    reply_to,
    unknown_client,
)
from imbot.simulator.faults import FaultBox, FaultKind
from imbot.simulator.settings import SimulatorSettings

#: Longest hold a client may ask for, so that a held poll always ends.
_LONGEST_HOLD_S = 600.0
#: What an overloaded server may advise to wait between two polls.
_LONG_INTERVAL_S = 60


@dataclass(frozen=True, slots=True)
class Exchange:
    """What to answer one HTTP request with.

    Attributes:
        messages: The reply's messages, in order.
        status: HTTP status; other than 200 the body is empty [J].
        browser: New ``BAYEUX_BROWSER`` cookie to set; empty for none.
        cut: Close the connection instead of answering.
    """

    messages: Sequence[Message] = ()
    status: int = 200
    browser: str = ""
    cut: bool = False


class _AbortedError(Exception):
    """The whole exchange ends with this, whatever else was in the request."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        super().__init__(exchange)


class BayeuxServer:
    """Every Bayeux session, by client id and by user.

    Attributes:
        standing: Gives the message that rides on a subscribe reply under that fault.
    """

    def __init__(
        self, settings: SimulatorSettings, *, faults: FaultBox, clock: Clock, random: Random
    ) -> None:
        self.standing: Callable[[str], Message] = lambda _user: {}
        self._settings = settings
        self._faults = faults
        self._clock = clock
        self._random = random
        self._sessions: dict[str, CometdSession] = {}
        self._by_user: dict[str, dict[str, CometdSession]] = {}
        self._held: Counter[str] = Counter()
        self._advice: Message = {
            "interval": round(settings.interval_s * 1000),
            "timeout": round(settings.poll_timeout_s * 1000),
            "reconnect": "retry",
        }

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def held(self) -> int:
        """Return how many polls are held now."""
        return self._held.total()

    def deliver(self, user: str, channel: str, message: Message) -> None:
        """Queue a message for the sessions of this user that subscribe to the channel."""
        for session in self._by_user.get(user, {}).values():
            if session.wants(channel) and not self._strikes(FaultKind.EVENT_DROPPED, session):
                session.unacked.append((session.batch, message))
                session.end_poll(PollEnd.EVENTS)

    async def exchange(self, messages: Sequence[object], *, user: str, browser: str) -> Exchange:
        """Return the answer to one request's messages, after holding a poll if one is among them.

        Args:
            messages: The request's array.
            user: Who sends it, by its HTTP login.
            browser: The ``BAYEUX_BROWSER`` cookie sent; empty for none.
        """
        try:
            return await self._exchange(messages, user=user, browser=browser)
        except _AbortedError as aborted:
            return aborted.exchange

    def end(self, user: str) -> None:
        """Remove this user's sessions, telling held polls: advice ``none`` on a success [J]."""
        for session in list(self._by_user.get(user, {}).values()):
            self._remove(session, PollEnd.ENDED)

    def clear(self) -> None:
        """Remove every session as a crash would: held polls lose their connection."""
        for session in list(self._sessions.values()):
            self._remove(session, PollEnd.CUT)

    def sweep(self) -> None:
        """Remove the sessions that nobody polled in time."""
        now = self._clock.monotonic()
        for session in list(self._sessions.values()):
            if session.poll is None and session.expires_at <= now:
                self._remove(session, PollEnd.CUT)

    async def _exchange(self, messages: Sequence[object], *, user: str, browser: str) -> Exchange:
        asked = [message for message in messages if isinstance(message, dict)]
        if not messages or len(asked) < len(messages):
            raise _AbortedError(Exchange(status=500 if not messages else 400))
        if any(message.get("channel") == HANDSHAKE for message in asked):
            if len(asked) > 1:
                raise _AbortedError(Exchange(status=500))
            return self._handshake(asked[0], user, browser)
        replies: list[Message] = []
        for message in asked:
            replies += await self._answer(message, user=user, browser=browser)
        return Exchange(replies)

    def _handshake(self, message: Message, user: str, browser: str) -> Exchange:
        reply = reply_to(message, HANDSHAKE)
        if self._faults.strikes(FaultKind.HANDSHAKE_DENIED, user, HANDSHAKE):
            denied = failed(reply, "403::Handshake denied")
            return Exchange([{**denied, "advice": {"reconnect": "none"}}])
        session = CometdSession(
            client_id=self._token(),
            user=user,
            browser=browser or self._token(),
            ack=self._settings.ack and _offers_ack(message),
            expires_at=self._deadline(),
        )
        self._sessions[session.client_id] = session
        self._by_user.setdefault(user, {})[session.client_id] = session
        reply |= {
            "version": "1.0",
            "minimumVersion": "1.0",
            "clientId": session.client_id,
            "supportedConnectionTypes": ["long-polling", "callback-polling"],
            "advice": self._advice,
            "successful": True,
        }
        if session.ack:
            is_object = self._faults.strikes(FaultKind.ACK_OBJECT, user, HANDSHAKE)
            reply["ext"] = {"ack": {"enabled": True, "batch": 0} if is_object else True}
        return Exchange([reply], browser="" if browser else session.browser)

    async def _answer(self, message: Message, *, user: str, browser: str) -> list[Message]:
        channel = message.get("channel")
        if not isinstance(channel, str):
            return [failed(reply_to(message, ""), "400::channel_missing")]
        session = self._find(message, user=user, browser=browser)
        self._lose(session, channel)
        if session is None or session.client_id not in self._sessions:
            return [unknown_client(message, channel)]
        if channel == CONNECT:
            return await self._polled(session, message)
        if channel == SUBSCRIBE and self._faults.strikes(
            FaultKind.EVENT_IN_SUBSCRIBE_REPLY, user, channel
        ):
            return [self.standing(user), self._subscribe(session, message)]
        reply = self._act(session, channel, message)
        # With ack on, events are delivered by /meta/connect only [S].
        return [reply] if session.ack else [*session.take(), reply]

    def _find(self, message: Message, *, user: str, browser: str) -> CometdSession | None:
        session = self._sessions.get(str(message.get("clientId")))
        if session is None or session.browser != browser or session.user != user:
            return None
        if session.poll is None and session.expires_at <= self._clock.monotonic():
            self._remove(session, PollEnd.CUT)
            return None
        return session

    def _lose(self, session: CometdSession | None, channel: str) -> None:
        """Remove the session if a fault says that it is gone at this very request."""
        kinds = {
            CONNECT: FaultKind.UNKNOWN_CLIENT_CONNECT,
            SUBSCRIBE: FaultKind.UNKNOWN_CLIENT_SUBSCRIBE,
        }
        kind = kinds.get(channel)
        if session is not None and kind and self._faults.strikes(kind, session.user, channel):
            self._remove(session, PollEnd.CUT)

    def _act(self, session: CometdSession, channel: str, message: Message) -> Message:
        if channel == SUBSCRIBE:
            return self._subscribe(session, message)
        if channel == UNSUBSCRIBE:
            return self._unsubscribe(session, message)
        if channel == DISCONNECT:
            self._remove(session, PollEnd.ENDED)
            return {**reply_to(message, channel), "successful": True}
        reply = reply_to(message, channel)
        if channel.startswith("/meta/"):
            return failed(reply, "404::unknown_meta_channel")
        return failed(reply, "403:denied_by_security_policy:publish_denied")

    def _subscribe(self, session: CometdSession, message: Message) -> Message:
        """Subscribe to one name or a list; one denied name fails the reply, not the others [S]."""
        names = _subscription_names(message)
        reply = {**reply_to(message, SUBSCRIBE), "subscription": message.get("subscription")}
        if not names:
            return failed(reply, "403::subscription_missing")
        allowed = [name for name in names if self._is_known(name)]
        session.subscriptions.update(allowed)
        if len(allowed) < len(names):
            return failed(reply, "403:denied_by_security_policy:subscribe_denied")
        return {**reply, "successful": True}

    def _unsubscribe(self, session: CometdSession, message: Message) -> Message:
        names = _subscription_names(message)
        reply = {**reply_to(message, UNSUBSCRIBE), "subscription": message.get("subscription")}
        if not names:
            return failed(reply, "403::subscription_missing")
        session.subscriptions.difference_update(names)
        return {**reply, "successful": True}

    def _is_known(self, name: str) -> bool:
        if not self._settings.strict or name in CHANNELS:
            return True
        return name.endswith("*") and any(covers(name, channel) for channel in CHANNELS)

    async def _polled(self, session: CometdSession, message: Message) -> list[Message]:
        """Answer a poll, or get it wrong in one of the ways that a server or proxy may."""
        if session.last and self._strikes(FaultKind.ANSWER_TWICE, session):
            return session.last
        if self._strikes(FaultKind.UNKNOWN_CLIENT_403, session):
            self._remove(session, PollEnd.CUT)
            return [failed(reply_to(message, CONNECT), "403::Unknown client")]
        if self._strikes(FaultKind.OTHER_CLIENT, session):
            strange = {**reply_to(message, CONNECT), "successful": True, "clientId": "another"}
            return [{"channel": "/v2/me/devices", "data": {"messageType": "Other"}}, strange]
        before = session.last
        session.last = await self._connect(session, message)
        if before[:-1] and session.ack and self._strikes(FaultKind.BATCH_TWICE, session):
            events, reply = before[:-1], before[-1]
            session.last = [*events, {**session.last[-1], "ext": reply["ext"]}]
        return session.last

    def _strikes(self, kind: FaultKind, session: CometdSession) -> bool:
        return self._faults.strikes(kind, session.user, CONNECT)

    async def _connect(self, session: CometdSession, message: Message) -> list[Message]:
        self._acknowledge(session, message)
        # Two polls at once: the earlier one ends with HTTP 500 [J, L].
        session.end_poll(PollEnd.SUPERSEDED)
        reply = reply_to(message, CONNECT)
        if self._is_crowded(session):
            session.crowded = True
            return self._connected(session, reply, advice=self._crowded_advice())
        advised, hold_s = self._hold_of(session, message)
        session.connected, session.crowded = True, False
        end = PollEnd.EVENTS
        if hold_s > 0 and not session.unacked:
            end = await self._hold(session, hold_s)
        match end:
            case PollEnd.SUPERSEDED:
                raise _AbortedError(Exchange(status=500))
            case PollEnd.CUT:
                raise _AbortedError(Exchange(cut=True))
            case PollEnd.ENDED:
                farewell = {"channel": DISCONNECT, "successful": True}
                ended = {**reply, "successful": True, "advice": {"reconnect": "none"}}
                return [farewell, ended]
            case PollEnd.EVENTS | PollEnd.TIMEOUT:
                return self._connected(session, reply, advice=self._advice if advised else None)

    def _hold_of(self, session: CometdSession, message: Message) -> tuple[bool, float]:
        """Return whether the reply carries advice, and how long to hold the poll.

        The first connect, or one that asks for no time-out, is answered at once with advice; an
        ordinary one is held and carries none [J].
        """
        asked = message.get("advice")
        timeout_ms = asked.get("timeout") if isinstance(asked, dict) else None
        hold_s = self._settings.poll_timeout_s
        if isinstance(timeout_ms, int | float) and timeout_ms >= 0:
            hold_s = min(timeout_ms / 1000, _LONGEST_HOLD_S)
        at_once = not session.connected or hold_s == 0
        return at_once or session.crowded, 0 if at_once else hold_s

    async def _hold(self, session: CometdSession, hold_s: float) -> PollEnd:
        loop = asyncio.get_running_loop()
        poll: asyncio.Future[PollEnd] = loop.create_future()
        end = PollEnd.TIMEOUT
        if self._faults.strikes(FaultKind.POLL_CUT, session.user, CONNECT):
            cut_after_s = self._faults.of(session.user).cut_after_s
            if cut_after_s <= hold_s:
                hold_s, end = cut_after_s, PollEnd.CUT
        timer = loop.call_later(hold_s, _come_back, poll, end)
        session.poll = poll
        self._held[session.browser] += 1
        try:
            return await poll
        finally:
            timer.cancel()
            self._held[session.browser] -= 1
            if not self._held[session.browser]:
                del self._held[session.browser]
            if session.poll is poll:
                session.poll = None
                session.expires_at = self._deadline()

    def _connected(
        self, session: CometdSession, reply: dict[str, object], *, advice: Message | None
    ) -> list[Message]:
        session.expires_at = self._deadline()
        events = session.take()
        if events and self._faults.strikes(FaultKind.POLL_REPLY_LOST, session.user, CONNECT):
            raise _AbortedError(Exchange(cut=True))
        reply["successful"] = True
        if advice is not None:
            reply["advice"] = advice
        if self._strikes(FaultKind.LONG_INTERVAL, session):
            reply["advice"] = {**self._advice, "interval": _LONG_INTERVAL_S * 1000}
            session.expires_at += _LONG_INTERVAL_S
        if session.ack:
            number = 1 if self._strikes(FaultKind.ACK_BACK, session) else session.batch - 1
            is_object = self._strikes(FaultKind.ACK_OBJECT, session)
            reply["ext"] = {"ack": {"enabled": True, "batch": number} if is_object else number}
        return [*events, reply]

    def _acknowledge(self, session: CometdSession, message: Message) -> None:
        ext = message.get("ext")
        batch = ext.get("ack") if isinstance(ext, dict) else None
        if session.ack and isinstance(batch, int):
            session.acknowledge(batch)

    def _is_crowded(self, session: CometdSession) -> bool:
        """Return whether other sessions of the same browser hold as many polls as it may."""
        held = self._held[session.browser] - (session.poll is not None)
        return held >= self._settings.sessions_per_browser or self._faults.strikes(
            FaultKind.MULTIPLE_CLIENTS, session.user, CONNECT
        )

    def _crowded_advice(self) -> Message:
        interval_ms = round(self._settings.multi_session_interval_s * 1000)
        return {"multiple-clients": True, "reconnect": "retry", "interval": interval_ms}

    def _remove(self, session: CometdSession, end: PollEnd) -> None:
        self._sessions.pop(session.client_id, None)
        mine = self._by_user.get(session.user, {})
        mine.pop(session.client_id, None)
        if not mine:
            self._by_user.pop(session.user, None)
        session.end_poll(end)

    def _deadline(self) -> float:
        settings = self._settings
        return self._clock.monotonic() + settings.interval_s + settings.max_interval_s

    def _token(self) -> str:
        return f"1{self._random.getrandbits(120):030x}"


def _come_back(poll: asyncio.Future[PollEnd], end: PollEnd) -> None:
    if not poll.done():
        poll.set_result(end)


def _offers_ack(message: Message) -> bool:
    ext = message.get("ext")
    return isinstance(ext, dict) and bool(ext.get("ack"))


def _subscription_names(message: Message) -> list[str]:
    subscription = message.get("subscription")
    names = subscription if isinstance(subscription, list) else [subscription]
    if any(isinstance(name, str) and not name.startswith("/") for name in names):
        raise _AbortedError(Exchange(status=500))
    return [name for name in names if isinstance(name, str)]
