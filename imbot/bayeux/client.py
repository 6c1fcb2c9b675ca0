"""A Bayeux client that loses nothing silently: the only door to aiocometd.

aiocometd gives message templates, ids, extensions and the matching of replies; its exchange and its
connect loop are replaced by subclassing, and every decision is :mod:`imbot.bayeux.session`'s. What
is not done here: logging in, and reading what a notification means. Both are the owner's.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from aiocometd.constants import (
    CONNECT_MESSAGE,
    DISCONNECT_MESSAGE,
    ConnectionType,
    MetaChannel,
    TransportState,
)
from aiocometd.extensions import Extension
from aiocometd.transports.base import TransportBase
from aiocometd.utils import is_matching_response

from imbot.bayeux.decoding import Payload, elements_of, sorted_out
from imbot.bayeux.replies import Message
from imbot.bayeux.session import (
    BayeuxResume,
    Chance,
    Channel,
    Command,
    Do,
    Down,
    Gap,
    Report,
    Session,
    Up,
    answered,
    failed,
    opening,
    share_of,
)
from imbot.clock import Clock
from imbot.errors import ActionError, Fault, FaultClass, PermanentError, TemporaryError
from imbot.jsontext import encode_json
from imbot.model import JSON, GoodPoll
from imbot.ports import Http, Random, Request

#: Closing takes no longer, whatever the server does.
CLOSE_S = 2.0

#: A reply that is larger is given up while it is read.
REPLY_LIMIT_BYTES = 4 * 1024 * 1024

#: A poll that is to be over at a moment is over so much later, for the next to be sent after it.
_LATER_S = 0.05

_JSON_HEADERS = {
    "Content-Type": "application/json;charset=UTF-8",
    "Accept": "application/json, text/json",
}
#: Opening again would end the same way.
_LASTING = frozenset({FaultClass.INPUT, FaultClass.PERMISSION})


class Listener(Protocol):
    """The owner of a client. Each call is awaited before anything is sent again."""

    async def messages(
        self, elements: Sequence[dict[str, JSON]], client_id: str, ack: int | None
    ) -> None:
        """Keep all notifications of one reply; the next poll acknowledges what was kept.

        Args:
            elements: Every message outside ``/meta/``, in order; at least one.
            client_id: The Bayeux client id they came to.
            ack: Their batch number; None when the ack extension is off.
        """
        ...

    async def gap(self, cause: str, good: GoodPoll) -> None:
        """Learn that the subscription works, and what may be lost.

        Args:
            cause: What broke it.
            good: The last good poll before: messages since it was sent may be lost.
        """
        ...

    async def down(self, cause: str) -> None:
        """Learn that the subscription is broken; mending it goes on."""
        ...

    async def up(self) -> None:
        """Learn that the subscription works again after a ``down``."""
        ...

    async def turn(self) -> None:
        """Return when a new Bayeux session may begin after one that was lost.

        A server that forgets one client id forgets those of all.
        """
        ...

    async def refused(self, fault: Fault) -> None:
        """Learn that polling has stopped: log in again, then open again."""
        ...

    async def warning(self, fault: Fault) -> None:
        """Learn that a channel is refused, or that something is odd; polling goes on."""
        ...


class BayeuxClient:
    """One agent's Bayeux session: one task, one request at a time.

    What a listener raises ends the polling; :meth:`join` raises it.
    """

    def __init__(
        self,
        http: Http,
        url: str,
        *,
        channels: Sequence[Channel],
        listener: Listener,
        clock: Clock,
        random: Random,
        headers: Callable[[], Mapping[str, str]],
    ) -> None:
        """Prepare a client; nothing is sent yet.

        Args:
            http: Where requests go; it stays open when the client closes.
            url: The one URL that every Bayeux message is posted to.
            channels: What to subscribe, in this order.
            listener: Who is told.
            clock: Time.
            random: Jitter.
            headers: Asked for every request, since a CSRF token changes.
        """
        self._http = http
        self._url = url
        self._channels = tuple(channels)
        self._listener = listener
        self._clock = clock
        self._random = random
        self._headers = headers
        self._session: Session | None = None
        self._transport: _Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._skipped = 0
        self._through: set[datetime] = set()
        self._asked_at = 0.0

    @property
    def client_id(self) -> str | None:
        """The client id of the last handshake; None before the first."""
        return None if self._session is None else self._session.client_id

    @property
    def ack_enabled(self) -> bool:
        """Whether the server sends again what was not acknowledged."""
        return self._session is not None and self._session.ack is not None

    @property
    def last_good(self) -> GoodPoll | None:
        """The last poll that was answered well; None before the first."""
        if self._session is None:
            return None
        return self._good_poll(self._session.asked_at, self._session.good_at)

    @property
    def asked_at(self) -> datetime:
        """When the reply that is handed over, or was last, was asked for.

        The server may have made it at any moment since; what happened after that is not in it.
        """
        return self._good_poll(self._asked_at, self._asked_at).asked_at

    @property
    def is_sound(self) -> bool:
        """Whether the last poll was answered well, and none has failed since."""
        return self._session is not None and self._session.is_sound

    @property
    def skipped(self) -> int:
        """How many malformed elements of replies were passed over."""
        return self._skipped

    def export(self) -> BayeuxResume | None:
        """Return what the next process needs to go on with this Bayeux session."""
        if (session := self._session) is None or session.client_id is None:
            return None
        return BayeuxResume(
            session.client_id,
            session.ack,
            self.last_good,
            pending=session.pending,
            gap_cause=session.gap_cause,
        )

    def hear_through(self, moment: datetime) -> None:
        """Have a poll be sent and answered soon after this moment, from the next one on.

        Polls are held no longer than until then, which a server may ignore. Source: CometD
        takes the ``advice.timeout`` of a connect for this one.
        """
        self._through.add(moment)

    async def open(self, *, resume: BayeuxResume | None = None) -> None:
        """Handshake, subscribe each channel, poll once, and go on polling in a task.

        With ``resume`` there is no handshake unless the server has forgotten.

        Raises:
            TemporaryError: It failed for the reason in ``fault``. Nothing is left behind, and it
                may be tried again; after a login where the fault's class is AUTH or CSRF.
            PermanentError: A required channel is denied, or the server knows no long-polling.
        """
        if self._task is not None:
            raise RuntimeError("this Bayeux client is open already; close it first")
        good = None if resume is None else resume.good
        session = opening(
            self._channels,
            asked_at=self._monotonic(None if good is None else good.asked_at),
            good_at=self._monotonic(None if good is None else good.answered_at),
            now=self._clock.monotonic(),
            resume=resume,
        )
        transport = _Transport(
            self._http,
            self._url,
            headers=self._headers,
            clock=self._clock,
            client_id=session.client_id,
        )
        while not session.is_open:
            if (fault := session.command.fault) is not None:
                branch = PermanentError if fault.fault_class in _LASTING else TemporaryError
                raise branch(f"CometD {self._url}: {fault}", fault=fault)
            session = await self._turn(transport, session)
        self._session, self._transport = session, transport
        self._task = asyncio.create_task(self._poll(transport, session), name="bayeux")

    async def join(self) -> None:
        """Return when polling has ended, or raise what a listener raised."""
        if (task := self._task) is None:
            return
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

    async def close(self, *, goodbye: bool = True) -> None:
        """Stop polling within 2 seconds; afterwards nothing is sent.

        Args:
            goodbye: Whether to end the Bayeux session too; without it another process can resume.
        """
        task, self._task = self._task, None
        transport, self._transport = self._transport, None
        if task is None or transport is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                # A listener may close the client from within; the loop then ends by itself.
                if task is not asyncio.current_task():
                    task.cancel()
                    await asyncio.wait([task])
                if goodbye:
                    await transport.disconnect()

    async def _poll(self, transport: "_Transport", session: Session) -> None:
        this = asyncio.current_task()
        while self._task is this:
            if (fault := session.command.fault) is not None:
                self._task = None
                await self._listener.refused(fault)
                return
            session = self._session = await self._turn(transport, session)

    async def _turn(self, transport: "_Transport", session: Session) -> Session:
        """Carry out the session's command, hand over what came, and return what is next."""
        if session.command.delay_s > 0:
            await self._clock.sleep(session.command.delay_s)
        if session.is_open and session.command.do is Do.HANDSHAKE:
            await self._listener.turn()
        asked_at = self._asked_at = self._clock.monotonic()
        received = await transport.carry_out(
            session.command, ack=session.ack, hold_s=self._hold_s(session)
        )
        at = Chance(asked_at, self._clock.monotonic() - received.read_s, self._random)
        payload = received.payload
        share = share_of(session, received.reply, len(payload.events))
        if events := payload.events[share.skip :]:
            ack = session.ack if share.ack is None else share.ack
            await self._listener.messages(events, transport.client_id or "", ack)
        if received.fault is None:
            reply, metas = received.reply, payload.metas
            after, reports = answered(session, reply, metas=metas, share=share, at=at)
        else:
            after, reports = failed(session, received.fault, share=share, at=at)
        if payload.skipped:
            self._skipped += payload.skipped
            text = f"{payload.skipped} elements of a reply are no messages and were passed over"
            await self._listener.warning(Fault(FaultClass.SERVER, text=text))
        for report in reports:
            await self._tell(report)
        return after

    def _hold_s(self, session: Session) -> float | None:
        """Return how long the server is asked to hold a connect; None for as it likes."""
        if not session.command.hold:
            return 0.0
        if not self._through:
            return None
        polled_at = self._good_poll(session.asked_at, session.good_at).asked_at
        self._through = {moment for moment in self._through if moment > polled_at}
        if not self._through:
            return None
        left_s = (min(self._through) - self._clock.now()).total_seconds()
        return left_s + _LATER_S if left_s > 0 else 0.0

    async def _tell(self, report: Report) -> None:
        match report:
            case Down(cause):
                await self._listener.down(cause)
            case Up():
                await self._listener.up()
            case Gap(cause, asked_at, good_at):
                await self._listener.gap(cause, self._good_poll(asked_at, good_at))
            case _:
                await self._listener.warning(report.fault)

    def _good_poll(self, asked_at: float, good_at: float) -> GoodPoll:
        now = self._clock.now()  # read first: should we be held up here, a gap grows
        ages_s = (self._clock.monotonic() - moment for moment in (asked_at, good_at))
        return GoodPoll(*(now - timedelta(seconds=age_s) for age_s in ages_s))

    def _monotonic(self, moment: datetime | None) -> float:
        """Return a moment that another process wrote down, or else now, by this one's clock."""
        monotonic = self._clock.monotonic()  # read first, for the same reason
        away = timedelta() if moment is None else self._clock.now() - moment
        return monotonic - max(timedelta(), away).total_seconds()


@dataclass(frozen=True, slots=True)
class _Received:
    """What came back for one command.

    Attributes:
        payload: Its messages; none of a reply that is not to us.
        reply: The meta message that answers the command; empty when ``fault`` says why not.
        fault: Why there is no reply; None when there is one.
        read_s: Seconds that the reply took to arrive after its head.
    """

    payload: Payload
    reply: Message
    fault: Fault | None
    read_s: float


class _AckExtension(Extension):
    """Offers acknowledgements with the handshake and sends the last number with each connect."""

    number: int | None = None

    async def outgoing(
        self,
        payload: list[dict[str, Any]],
        headers: dict[str, str],  # noqa: ARG002  aiocometd's signature
    ) -> None:
        """Add ``ext.ack`` where it belongs."""
        for message in payload:
            if message["channel"] == MetaChannel.HANDSHAKE:
                message["ext"] = {"ack": True}
            elif message["channel"] == MetaChannel.CONNECT and self.number is not None:
                message["ext"] = {"ack": self.number}

    async def incoming(
        self, payload: list[dict[str, Any]], headers: dict[str, str] | None = None
    ) -> None:
        """Do nothing: the session reads the number once the batch is kept."""


class _Transport(TransportBase):
    """aiocometd's transport with an exchange of our own and without its connect loop."""

    def __init__(
        self,
        http: Http,
        url: str,
        *,
        headers: Callable[[], Mapping[str, str]],
        clock: Clock,
        client_id: str | None,
    ) -> None:
        self._ack = _AckExtension()
        super().__init__(
            url=url, incoming_queue=asyncio.Queue(), client_id=client_id, extensions=[self._ack]
        )
        # Its own loop would set this; subscribing is refused in any other state.
        self._state = TransportState.CONNECTED
        # Nobody here waits for a state or a queue, and they are 8 KB for every agent.
        self._state_events.clear()
        del self.incoming_queue
        self._http = http
        self._headers = headers
        self._clock = clock
        self._timeout_s = CLOSE_S
        self._hold_s: float | None = None
        self._payload = Payload()
        self._read_s = 0.0

    @property
    def connection_type(self) -> ConnectionType:
        """Long-polling: all that GWS has. Source: contract 2.1."""
        return ConnectionType.LONG_POLLING

    async def carry_out(
        self, command: Command, *, ack: int | None, hold_s: float | None
    ) -> _Received:
        """Send one command and return what came back, trouble included."""
        self._ack.number = ack
        self._hold_s = hold_s
        self._timeout_s = command.timeout_s
        self._payload, self._read_s = Payload(), 0.0
        reply: Message = {}
        fault = None
        try:
            reply = await self._send(command)
        except ActionError as error:
            fault = error.fault or Fault(FaultClass.TRANSPORT, text=str(error))
        return _Received(self._payload, reply, fault, self._read_s)

    async def disconnect(self) -> None:
        """Say goodbye; what becomes of it does not matter any more."""
        self._timeout_s = CLOSE_S
        with suppress(ActionError):
            await self._send_message(DISCONNECT_MESSAGE.copy())

    async def _send(self, command: Command) -> Message:
        match command.do:
            case Do.HANDSHAKE:
                return await self.handshake([self.connection_type])
            case Do.SUBSCRIBE:
                return await self.subscribe(command.channel)
            case _:
                held = {} if self._hold_s is None else {"timeout": round(self._hold_s * 1000)}
                advice = {"advice": held} if held else {}
                return await self._send_message(CONNECT_MESSAGE.copy(), **advice)

    async def _send_final_payload(
        self, payload: list[dict[str, Any]], *, headers: dict[str, str]
    ) -> dict[str, Any]:
        reply = await self._http.send(
            Request(
                "POST",
                self._url,
                {**_JSON_HEADERS, **self._headers(), **headers},
                encode_json(payload),
                self._timeout_s,
                REPLY_LIMIT_BYTES,
            )
        )
        elements, self._read_s = elements_of(reply, now=self._clock.now()), reply.read_s
        self._payload, sent = sorted_out(elements), payload[0]
        response = _reply_to(sent, self._payload.metas)
        if response is None or not self._is_ours(response, sent):
            text = f"no reply to {sent['channel'].value} among {len(elements)} messages"
            if response is not None or any(_is_like(meta, sent) for meta in self._payload.metas):
                # It answers another request, and whoever made that one has it already.
                self._payload = Payload()
                text = f"the reply to {sent['channel'].value} is one to another request"
            raise TemporaryError(text, fault=Fault(FaultClass.SERVER, text=text))
        return response

    def _is_ours(self, response: Message, sent: Message) -> bool:
        """Return whether a reply is not to another client; most do not say."""
        named = response.get("clientId", self.client_id)
        return sent["channel"] is MetaChannel.HANDSHAKE or bool(named == self.client_id)


def _reply_to(sent: dict[str, Any], metas: Sequence[dict[str, JSON]]) -> dict[str, Any] | None:
    """Return the first that answers what was sent, by its channel and id."""
    for meta in metas:
        # A meta reply that does not say so has failed; aiocometd looks without asking.
        meta.setdefault("successful", False)
        if is_matching_response(meta, sent):
            return meta
    return None


def _is_like(meta: Message, sent: Message) -> bool:
    """Return whether a message is a reply to what was sent, but for its id."""
    return meta["channel"] == sent["channel"] and "id" in meta
