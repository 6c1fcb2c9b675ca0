"""A door that remembers how each exchange went, so that a check sees what the client does not say.

Of bodies it keeps Bayeux meta messages only: what people say to each other is never kept.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from imbot.bayeux.decoding import elements_of, sorted_out
from imbot.bayeux.replies import Message
from imbot.clock import Clock
from imbot.errors import ActionError
from imbot.jsontext import decode_json
from imbot.ports import Http, Reply, Request


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what came of it.

    Attributes:
        channel: The Bayeux channel of the message that was sent; empty for other requests.
        subject: What it subscribes to; empty otherwise.
        sent_at: When it was sent.
        answered_at: When it was over.
        took_s: How long it took.
        headers: Of the answer, names in lower case; none without one.
        metas: The meta messages of the answer.
        events: How many other messages there were.
        fault: Why there is no sound answer; empty where there is one.
    """

    channel: str
    subject: str
    sent_at: datetime
    answered_at: datetime
    took_s: float
    headers: Mapping[str, str]
    metas: Sequence[Message] = ()
    events: int = 0
    fault: str = ""

    @property
    def reply(self) -> Message:
        """The meta message that answers it; empty where none does."""
        return next((meta for meta in self.metas if meta.get("channel") == self.channel), {})


class Tap:
    """Passes everything on to another door; see :class:`imbot.ports.Http`.

    Args:
        door: The other door.
        clock: Time.

    Attributes:
        exchanges: What has passed, oldest first.
    """

    def __init__(self, door: Http, clock: Clock) -> None:
        self._door = door
        self._clock = clock
        self._more = asyncio.Event()
        self.exchanges: list[Exchange] = []

    async def send(self, request: Request) -> Reply:
        """Return the response to one request.

        Raises:
            ActionError: As the other door does.
        """
        sent_at, began = self._clock.now(), self._clock.monotonic()
        try:
            reply = await self._door.send(request)
        except ActionError as error:
            self._note(request, sent_at, began, error=str(error))
            raise
        self._note(request, sent_at, began, reply=reply)
        return reply

    async def close(self) -> None:
        """Close the other door."""
        await self._door.close()

    async def until(self, count: int) -> None:
        """Return when so many exchanges have passed."""
        while len(self.exchanges) < count:
            self._more.clear()
            await self._more.wait()

    def _note(
        self,
        request: Request,
        sent_at: datetime,
        began: float,
        *,
        reply: Reply | None = None,
        error: str = "",
    ) -> None:
        channel, subject = _asked(request)
        now, took_s = self._clock.now(), self._clock.monotonic() - began
        headers: Mapping[str, str] = {} if reply is None else reply.headers
        metas: Sequence[Message] = ()
        events = 0
        if reply is not None and channel:
            try:
                payload = sorted_out(elements_of(reply, now=now))
                metas, events = payload.metas, len(payload.events)
            except ActionError as fault:
                error = str(fault)
        self.exchanges.append(
            Exchange(channel, subject, sent_at, now, took_s, headers, metas, events, error)
        )
        self._more.set()


def _asked(request: Request) -> tuple[str, str]:
    """Return the channel of the Bayeux message that a request carries, and what it subscribes."""
    try:
        sent = decode_json(request.body or b"null")
    except ValueError:
        return "", ""
    message = sent[0] if isinstance(sent, list) and sent and isinstance(sent[0], dict) else {}
    return str(message.get("channel", "")), str(message.get("subscription", ""))
