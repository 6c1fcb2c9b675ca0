"""Every seam of the house as a Protocol: what stands behind it can be replaced whole.

The core knows the world only through these; ``run``, ``test``, ``explain`` and the fault
simulation differ in what stands behind them and in nothing else. :class:`imbot.clock.Clock` is the
seam of time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeVar

from imbot.cookies import Cookies
from imbot.model import JSON, Batch, Event, ImSession
from imbot.records import Change, Order, Recovered, Retention

T = TypeVar("T")


class Aside(Protocol):
    """Does beside the event loop what would keep it waiting; ``asyncio.to_thread`` is one."""

    async def __call__(self, work: Callable[[], T], /) -> T:
        """Return what the work returns."""
        ...


class Random(Protocol):
    """Chance as an argument; ``random.Random`` is one."""

    def random(self) -> float:
        """Return a number from 0 up to, but not including, 1."""
        ...

    def uniform(self, a: float, b: float) -> float:
        """Return a number between both."""
        ...


class Request(NamedTuple):
    """One HTTP request; redirects are never followed and bodies never streamed.

    Attributes:
        method: ``GET``, ``POST``, ...
        url: Absolute and already percent-encoded.
        headers: Sent as they are, on top of the door's own.
        body: Bytes to send; None for none.
        timeout_s: Seconds for the whole exchange.
        limit_bytes: The largest decoded response body that is accepted.
    """

    method: str
    url: str
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes | None = None
    timeout_s: float = 10.0
    limit_bytes: int = 8 * 1024 * 1024


class Reply(NamedTuple):
    """One HTTP response, whole.

    Attributes:
        status: HTTP status.
        headers: Names in lower case; of a repeated one the last value.
        body: Decoded bytes.
        read_s: Seconds that the body took to arrive after its head.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    read_s: float = 0.0


class Http(Protocol):
    """A door to HTTP with cookies of its own."""

    async def send(self, request: Request) -> Reply:
        """Return the response to one request, whatever its status.

        Raises:
            TemporaryError: Surely not sent (refused, no such host, TLS).
            AmbiguousError: Bytes were sent and no whole answer came (reset, timeout, too large).
        """
        ...

    async def close(self) -> None:
        """Close what is open; afterwards nothing is sent any more."""
        ...


class Network(Protocol):
    """Gives every agent, and the plugins, a door of their own over shared connections."""

    def door(
        self, *, polls: bool = False, guarded: bool = False, cookies: Cookies | None = None
    ) -> Http:
        """Return a new door.

        Args:
            polls: Whether long polls go through it, which must not use up the pool.
            guarded: Whether only hosts allowed by ``http.allow`` may be reached.
            cookies: What it keeps its cookies in; None for a new jar.
        """
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


class Intake(Protocol):
    """Where an agent's wire hands over what it received."""

    async def accept(self, batch: Batch) -> None:
        """Return when the batch is kept; only then may the wire acknowledge it.

        Raises:
            StoreError: It could not be kept; the wire must not go on.
        """
        ...


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """Who an agent is, for rules: what ``agent`` shows."""

    user: str
    name: str = ""
    number: str = ""
    place: str = ""

    def facts(self) -> dict[str, str]:
        """Return what rules see as ``agent``."""
        return {"user": self.user, "name": self.name, "number": self.number, "place": self.place}


class Hearing(NamedTuple):
    """A stretch of time in which an agent heard all that GWS told: no reply lost, no new handshake.

    What GWS did within it, and would have told of, and of which nothing was heard, was not done.
    A restart does not end it where the Bayeux session was resumed and nothing was lost.

    Attributes:
        since: When it began.
        through: When the last poll was sent that was answered well; all it brought is kept.
    """

    since: datetime
    through: datetime


class Gws(Protocol):
    """The operations of the IM Session API for one agent. Source: contract 1.2.

    Every operation returns when GWS has accepted it; the effect comes later as a notice. Each
    raises TemporaryError, AmbiguousError or PermanentError as :mod:`imbot.errors` says.
    """

    @property
    def facts(self) -> AgentFacts:
        """Who the agent is."""
        ...

    @property
    def is_up(self) -> bool:
        """Whether the agent is logged in and subscribed."""
        ...

    @property
    def hearing(self) -> Hearing | None:
        """How long the agent has heard everything; None while it is not sure to."""
        ...

    async def until_sound(self) -> None:
        """Return when nothing is known to be wrong with the subscription, or after some seconds.

        Of what is done before that nobody can tell later whether it was done.
        """
        ...

    def hear_through(self, moment: datetime) -> None:
        """Have a poll be answered soon after this moment, so that ``hearing`` reaches it."""
        ...

    async def sessions(self) -> Sequence[ImSession]:
        """Return the agent's sessions as GWS lists them now."""
        ...

    async def initiate(self, destination: str, user_data: Mapping[str, JSON]) -> str:
        """Begin a session and return its id, found as contract 1.12 says."""
        ...

    async def send_message(self, session_id: str, text: str, *, destination: str) -> None:
        """Say something to the other party, whose number is ``destination``."""
        ...

    async def attach_user_data(self, session_id: str, user_data: Mapping[str, JSON]) -> None:
        """Add keys that are known to be absent; an existing key would be doubled."""
        ...

    async def update_user_data(self, session_id: str, user_data: Mapping[str, JSON]) -> None:
        """Set keys; others stay."""
        ...

    async def delete_user_data(self, session_id: str, key: str) -> None:
        """Remove one key."""
        ...

    async def complete(self, session_id: str) -> None:
        """End the session; one that is gone already counts as ended."""
        ...


class Condition(NamedTuple):
    """How a store is doing.

    Attributes:
        trouble: What keeps it from writing, or from beginning anything; empty for nothing.
        quarantined: How many rows are in quarantine, since they are not as they were written.
    """

    trouble: str = ""
    quarantined: int = 0


class Store(Protocol):
    """Keeps changes, in the order given, whole groups at a time."""

    @property
    def condition(self) -> Condition:
        """How it is doing."""
        ...

    async def commit(self, changes: Sequence[Change]) -> None:
        """Return when these changes, and all noted before, are durable.

        Raises:
            StoreError: They are not, and nothing may be promised on them.
        """
        ...

    def note(self, changes: Sequence[Change]) -> None:
        """Take these changes; they are durable with the next commit, at the latest shortly after.

        Raises:
            StoreError: An earlier write failed; the store takes nothing more.
        """
        ...

    async def marked(self, marks: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], datetime]:
        """Return which of these (rule id, scope) pairs are marked, and since when."""
        ...

    async def recover(self, now: datetime) -> Recovered:
        """Return what was unfinished, to be called once before anything is written."""
        ...

    async def events_from(self, event_id: str, most: int) -> Sequence[Event]:
        """Return an event and those of its session that came after it, in order; only so many."""
        ...

    async def orders(self) -> Sequence[Order]:
        """Return what people have decided and nobody has taken up, oldest first."""
        ...

    async def forget(self, what: Retention) -> int:
        """Delete what ended too long ago; return how many rows.

        Raises:
            StoreError: The store refused.
        """
        ...

    async def close(self) -> None:
        """Make everything durable and close."""
        ...
