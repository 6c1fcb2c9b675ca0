"""One agent's GWS without a wire: takes operations, and answers or fails as scripted."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from imbot.errors import ActionError
from imbot.model import JSON, ImSession
from imbot.ports import AgentFacts, Hearing


@dataclass(frozen=True, slots=True)
class Done:
    """An operation that was asked for.

    Attributes:
        name: The GWS operation.
        session_id: The session; empty for InitiateIMSession.
        given: What it carried.
    """

    name: str
    session_id: str
    given: JSON


@dataclass(slots=True)
class FakeGws:
    """Implements :class:`imbot.ports.Gws`.

    Attributes:
        facts: Who the agent is.
        is_up: Whether it is logged in.
        done: Every operation asked for, in order, also those that failed.
        failures: Errors that the next operations fail with, one each; None lets one through.
        on_done: Called with each operation that is let through.
        hangs: Whether operations are taken and never answered.
        hearing: How long it has heard everything; None for not sure to.
        shown: The sessions that it lists when asked, by id.
        unasked: Errors that the next questions for them fail with.
        hears_through: The moments that ``hearing`` was to reach.
    """

    facts: AgentFacts = field(default_factory=lambda: AgentFacts("bot1", number="1001"))
    is_up: bool = True
    done: list[Done] = field(default_factory=list)
    failures: deque[ActionError | None] = field(default_factory=deque)
    on_done: Callable[[Done], None] | None = None
    hangs: bool = False
    hearing: Hearing | None = None
    shown: dict[str, ImSession] = field(default_factory=dict)
    unasked: deque[ActionError] = field(default_factory=deque)
    hears_through: set[datetime] = field(default_factory=set)
    _begun: int = 0

    def named(self, name: str) -> list[Done]:
        """Return the operations of one name."""
        return [done for done in self.done if done.name == name]

    async def until_sound(self) -> None:
        """Nothing is ever wrong."""

    def hear_through(self, moment: datetime) -> None:
        """Note that it is to hear through this moment."""
        self.hears_through.add(moment)

    async def sessions(self) -> Sequence[ImSession]:
        """Return the sessions that there are."""
        if self.unasked:
            raise self.unasked.popleft()
        return list(self.shown.values())

    async def initiate(self, destination: str, user_data: Mapping[str, JSON]) -> str:
        """Begin a session: n1, n2, …."""
        await self._take(Done("InitiateIMSession", "", {"to": destination, **user_data}))
        self._begun += 1
        return f"n{self._begun}"

    async def send_message(self, session_id: str, text: str, *, destination: str) -> None:
        """Take a message."""
        await self._take(Done("SendMessage", session_id, {"text": text, "to": destination}))

    async def attach_user_data(self, session_id: str, user_data: Mapping[str, JSON]) -> None:
        """Take user data."""
        await self._take(Done("AttachUserData", session_id, dict(user_data)))

    async def update_user_data(self, session_id: str, user_data: Mapping[str, JSON]) -> None:
        """Take user data."""
        await self._take(Done("UpdateUserData", session_id, dict(user_data)))

    async def delete_user_data(self, session_id: str, key: str) -> None:
        """Take a key."""
        await self._take(Done("DeleteUserData", session_id, key))

    async def complete(self, session_id: str) -> None:
        """Take the end of a session."""
        await self._take(Done("Complete", session_id, None))

    async def _take(self, done: Done) -> None:
        self.done.append(done)
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        if self.failures and (error := self.failures.popleft()) is not None:
            raise error
        if self.on_done is not None:
            self.on_done(done)
