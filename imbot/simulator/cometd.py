"""The pieces of the Bayeux half: one session with its events, channel names, and replies."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Message = Mapping[str, object]

HANDSHAKE = "/meta/handshake"
CONNECT = "/meta/connect"
SUBSCRIBE = "/meta/subscribe"
UNSUBSCRIBE = "/meta/unsubscribe"
DISCONNECT = "/meta/disconnect"

#: Channels that GWS is known to have, contract 2.3.
CHANNELS = frozenset(
    {
        "/v2/me",
        "/v2/me/im-sessions",
        "/v2/me/devices",
        "/v2/me/calls",
        "/v2/me/channels",
        "/v2/me/chats",
        "/v2/me/emails",
        "/v2/me/interactions",
        "/v2/me/workitems",
        "/v2/me/workbins",
        "/v2/users",
        "/notifications/services",
    }
)


class PollEnd(StrEnum):
    """Why a held poll came back."""

    EVENTS = "events"
    TIMEOUT = "timeout"
    SUPERSEDED = "superseded"
    ENDED = "ended"
    CUT = "cut"


@dataclass(slots=True, eq=False)
class CometdSession:
    """One Bayeux session.

    Attributes:
        unacked: Events not delivered yet, or with ack on not acknowledged, with their batch.
        expires_at: When it is removed unless polled, by the monotonic clock.
        poll: The held ``/meta/connect``, if one is held.
        last: What the last poll was answered with.
    """

    client_id: str
    user: str
    browser: str
    ack: bool
    expires_at: float
    subscriptions: set[str] = field(default_factory=set)
    unacked: deque[tuple[int, Message]] = field(default_factory=deque)
    batch: int = 1
    connected: bool = False
    crowded: bool = False
    poll: asyncio.Future[PollEnd] | None = None
    last: list[Message] = field(default_factory=list)

    def wants(self, channel: str) -> bool:
        """Return whether it subscribes to this channel, by name or by wildcard."""
        return channel in self.subscriptions or any(
            covers(pattern, channel) for pattern in self.subscriptions if pattern.endswith("*")
        )

    def take(self) -> list[Message]:
        """Return the events to deliver; with ack on they stay until acknowledged."""
        events = [message for _, message in self.unacked]
        if self.ack:
            self.batch += 1
        else:
            self.unacked.clear()
        return events

    def acknowledge(self, batch: int) -> None:
        """Forget the events up to this batch."""
        while self.unacked and self.unacked[0][0] <= batch:
            self.unacked.popleft()

    def end_poll(self, end: PollEnd) -> None:
        """Let the held poll come back, if there is one and it has not already."""
        if self.poll is not None and not self.poll.done():
            self.poll.set_result(end)


def covers(pattern: str, channel: str) -> bool:
    """Return whether a wildcard takes in a channel: ``/*`` one segment, ``/**`` all below."""
    if pattern.endswith("/**"):
        return channel.startswith(pattern[:-2])
    return pattern.endswith("/*") and channel.rpartition("/")[0] == pattern[:-2]


def reply_to(message: Message, channel: str) -> dict[str, object]:
    """Return the beginning of a reply: its channel, and the message's id."""
    reply: dict[str, object] = {"channel": channel}
    if "id" in message:
        reply["id"] = message["id"]
    return reply


def failed(reply: Message, error: str) -> dict[str, object]:
    """Return the reply as an unsuccessful one."""
    return {**reply, "error": error, "successful": False}


def unknown_client(message: Message, channel: str) -> Message:
    """Return a 402; only the one for a connect carries advice [J]."""
    reply = failed(reply_to(message, channel), "402::Unknown client")
    if channel in {SUBSCRIBE, UNSUBSCRIBE}:
        reply["subscription"] = message.get("subscription")
    if channel == CONNECT:
        reply["advice"] = {"interval": 0, "reconnect": "handshake"}
    return reply
