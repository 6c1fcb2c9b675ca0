"""A GWS for tests of rules: the sessions as it has them, and what it tells of each change.

What the bot does shows 10 ms later, as GWS shows it: a message comes back as an echo, user data and
states as notifications. Nothing is refused.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from imbot.cards import masked, masked_value
from imbot.clock import Clock
from imbot.errors import PermanentError, TemporaryError
from imbot.model import (
    JSON,
    ImSession,
    MessageNotice,
    Notice,
    SessionKey,
    SessionNotice,
    SessionState,
)
from imbot.ports import AgentFacts
from imbot.testing.event_reading import participant_of
from imbot.testing.fake_gws import Done, FakeGws
from imbot.testing.script import AGENT, CUSTOMER_NUMBER, ECHO_S, Shown

#: Takes what GWS tells an agent.
Tell = Callable[[str, Notice], None]

_STATUS, _DATA = "StatusChange", "AttachedDataChanged"
_CUSTOMER = (participant_of(CUSTOMER_NUMBER),)


class UnknownSessionError(PermanentError):
    """Nobody has a session of this name yet."""


@dataclass(slots=True)
class SmallGws:
    """The sessions of all agents.

    Attributes:
        clock: Tells the time.
        begun: The names of the sessions that the bot will begin, in order.
        tell: Takes what shows later.
        show: Takes a session that was found by asking; returns when it is kept.
        agents: The operations of each agent, by user name.
    """

    clock: Clock
    begun: Sequence[str]
    tell: Tell
    show: Callable[[str, Notice], Awaitable[None]]
    agents: Mapping[str, "SmallAgent"] = field(default_factory=dict)
    _sessions: dict[SessionKey, ImSession] = field(default_factory=dict)
    _under_way: deque[tuple[str, Notice]] = field(default_factory=deque)
    _count: int = 0

    def add_agents(self, users: Iterable[str]) -> None:
        """Let there be these agents, with numbers of their own."""
        self.agents = {
            user: SmallAgent(facts=AgentFacts(user, name=user, number=str(number)), gws=self)
            for number, user in enumerate(users, start=1001)
        }

    # What others do ---------------------------------------------------------------------------

    def change(self, shown: Shown) -> tuple[str, SessionNotice]:
        """Change a session, and return what GWS tells of it, and whom.

        Raises:
            UnknownSessionError: The bot has not begun it yet.
        """
        key = self.key_of(shown)
        old = self._sessions.get(key)
        if old is None and (shown.state is None or shown.session in self.begun):
            raise UnknownSessionError(
                f"there is no session '{shown.session}' by then; a session that the bot begins "
                "is named by 'session:' beside the 'initiate' that is expected"
            )
        session = self._changed(key, shown)
        is_new = old is None or old.state != session.state
        type_ = _STATUS if is_new or not shown.user_data else _DATA
        return key.agent, SessionNotice(session, self.clock.now(), type_)

    def key_of(self, shown: Shown) -> SessionKey:
        """Return the session that is meant: its agent's, or the one of this name."""
        agents = (key.agent for key in self._sessions if key.session_id == shown.session)
        return SessionKey(shown.agent or next(agents, AGENT), shown.session)

    def said(self, shown: Shown, text: str, *, is_own: bool = False) -> tuple[str, MessageNotice]:
        """Let the other party say something, and return what GWS tells of it, and whom.

        What a person says under the agent's name is told with its number.

        Raises:
            UnknownSessionError: There is no such session.
        """
        agent, notice = self.change(replace(shown, state=None))
        sender = self.agents[agent].facts.number if is_own else None
        return agent, MessageNotice(notice.session.id, masked(text), self.clock.now(), sender)

    def sessions(self, agent: str) -> Iterator[ImSession]:
        """Yield the agent's sessions that are not over."""
        for key, session in self._sessions.items():
            if key.agent == agent and not session.is_completed:
                yield session

    def become(self, agent: str, snapshot: Sequence[Shown]) -> None:
        """Have the agent exactly these sessions."""
        listed = {SessionKey(agent, shown.session) for shown in snapshot}
        for key, session in self._sessions.items():
            if key.agent == agent and key not in listed:
                self._sessions[key] = replace(session, state=SessionState.COMPLETED.value)
        for shown in snapshot:
            self._changed(SessionKey(agent, shown.session), shown)

    def _changed(self, key: SessionKey, shown: Shown) -> ImSession:
        talking = SessionState.TALKING.value
        old = self._sessions.get(key) or ImSession(key.session_id, talking, {}, _CUSTOMER)
        data = {**old.user_data, **shown.user_data}
        session = self._sessions[key] = replace(
            old,
            state=shown.state or old.state,
            user_data=masked_value({n: value for n, value in data.items() if value is not None}),
            participants=(shown.participant,) if shown.participant else old.participants,
            capabilities=old.capabilities if shown.capabilities is None else shown.capabilities,
        )
        return session

    # What the bot does ------------------------------------------------------------------------

    async def begin(self, agent: str, number: str, user_data: Mapping[str, JSON]) -> str:
        """Begin a session, show it, and return its id."""
        self._count += 1
        named = self.begun[self._count - 1 : self._count]
        session_id = (named[0] if named else "") or f"n{self._count}"
        session = ImSession(
            session_id,
            SessionState.INITIATING.value,
            dict(user_data),
            (participant_of(number),),
        )
        self._sessions[SessionKey(agent, session_id)] = session
        await self.show(agent, SessionNotice(session, self.clock.now()))
        return session_id

    def take(self, agent: str, done: Done) -> None:
        """Do what the bot asked for, and tell of it 10 ms later."""
        key = SessionKey(agent, done.session_id)
        at, session = self.clock.now(), self._sessions.get(key)
        if session is None:
            return
        match done.name:
            case "SendMessage":
                self._tell_later(agent, MessageNotice(session.id, done.given["text"], at))
                return
            case "Complete":
                session, type_ = replace(session, state=SessionState.COMPLETED.value), _STATUS
            case "DeleteUserData":
                left = {k: v for k, v in session.user_data.items() if k != done.given}
                session, type_ = replace(session, user_data=left), _DATA
            case _:
                data = {**session.user_data, **masked_value(done.given)}
                session, type_ = replace(session, user_data=data), _DATA
        self._sessions[key] = session
        self._tell_later(agent, SessionNotice(session, at, type_))

    def _tell_later(self, agent: str, notice: Notice) -> None:
        # Timers of one moment come in any order, so each takes the oldest.
        self._under_way.append((agent, notice))
        loop = asyncio.get_running_loop()
        loop.call_later(ECHO_S, lambda: self.tell(*self._under_way.popleft()))


@dataclass(slots=True, kw_only=True)
class SmallAgent(FakeGws):
    """One agent of a small GWS.

    Attributes:
        gws: Where its sessions are.
        is_busy: Whether it can begin none.
    """

    gws: SmallGws
    is_busy: bool = False

    async def initiate(self, destination: str, user_data: Mapping[str, JSON]) -> str:
        """Begin a session.

        Raises:
            TemporaryError: The agent is busy.
        """
        if self.is_busy:
            raise TemporaryError(f"agent {self.facts.user} is busy with another session")
        return await self.gws.begin(self.facts.user, destination, user_data)

    async def _take(self, done: Done) -> None:
        self.gws.take(self.facts.user, done)
