"""The world behind the simulated GWS: agents and the IM sessions between two sides.

State only: nothing here knows of HTTP or Bayeux. What happens is told to agents by the notices and
to everybody by the log; waits are given to ``later``.
"""

from collections.abc import Callable, Mapping
from random import Random

from imbot.clock import Clock
from imbot.jsontext import encode_json
from imbot.simulator.agents import Agent, Agents, UserState
from imbot.simulator.conversation import ImSession, Line, RefusedError, Side, State
from imbot.simulator.faults import FaultBox, FaultKind
from imbot.simulator.journal import Entry, Happening, Listener, Log
from imbot.simulator.notices import Later, Notices
from imbot.simulator.settings import SimulatorSettings

__all__ = ["ImSession", "Line", "RefusedError", "State", "World"]

_CALL_UUID_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUV"


class World:
    """Agents, IM sessions, and what happens between them.

    Attributes:
        agents: Every agent.
        faults: The faults in force.
        notices: What agents are told.
        journal: What happened.
    """

    def __init__(
        self, settings: SimulatorSettings, *, clock: Clock, random: Random, later: Later
    ) -> None:
        self.settings = settings
        self.agents = Agents(settings, random)
        self.faults = FaultBox(settings.faults, random)
        self.faults.on_strike = self._note_fault
        self.notices = Notices(self.faults, clock=clock, later=later, uri_base=settings.uri_base)
        self.journal = Log(clock, limit=settings.log_limit)
        self._clock = clock
        self._random = random
        self._later = later
        self._sessions: dict[str, ImSession] = {}
        self._by_path_id: dict[str, ImSession] = {}
        self._busy: dict[str, ImSession] = {}

    @property
    def log(self) -> list[Entry]:
        """Return every entry kept, oldest first."""
        return self.journal.entries

    def agent(self, user: str) -> Agent:
        """Return this agent.

        Raises:
            RefusedError: There is none.
        """
        if (agent := self.agents.find(user)) is None:
            raise RefusedError(6, f"no agent '{user}'")
        return agent

    def session(self, session_id: str) -> ImSession:
        """Return this IM session by id or by the id of its path, completed or not.

        Raises:
            RefusedError: There is none.
        """
        session = self._sessions.get(session_id) or self._by_path_id.get(session_id)
        if session is None:
            raise RefusedError(6, f"no IM session '{session_id}'")
        return session

    def sessions(self) -> list[ImSession]:
        """Return the IM sessions kept, oldest first."""
        return list(self._sessions.values())

    def live_session(self, agent: Agent) -> ImSession | None:
        """Return the one IM session that this agent may have [D SEED-0]."""
        return self._busy.get(agent.user)

    def is_free(self, user: str) -> bool:
        """Return whether this agent could be rung now."""
        agent = self.agents.find(user)
        return agent is not None and agent.logged_in and agent.user not in self._busy

    def listen(self, listener: Listener, *, session: str = "") -> Callable[[], None]:
        """Call ``listener`` with each new entry, of one session if named; return how to stop."""
        return self.journal.listen(listener, session=session)

    async def until(self, holds: Callable[[], bool], *, timeout_s: float = 5.0) -> None:
        """Return once ``holds()``, asked now and after each entry.

        Raises:
            TimeoutError: It did not hold in time.
        """
        await self.journal.until(holds, timeout_s=timeout_s)

    def ring(
        self, agent_user: str, number: str, user_data: Mapping[str, object] | None = None
    ) -> str:
        """Begin an IM session from an outside party to an agent and return its id.

        Raises:
            RefusedError: No such agent, not logged in, or busy.
        """
        agent = self.agent(agent_user)
        if not self.is_free(agent_user):
            raise RefusedError(2, f"agent '{agent_user}' is busy or not logged in")
        return self._begin(Side(number), Side(agent.number, agent), user_data or {}).id

    def say(self, session_id: str, text: str) -> None:
        """Let the outside party say something.

        Raises:
            RefusedError: No such session, or it is not Talking.
        """
        session = self.session(session_id)
        self._speak(session, session.outside(), text)

    def initiate(self, agent: Agent, number: str, user_data: Mapping[str, object]) -> ImSession:
        """Begin an IM session from an agent to whoever has this number.

        Raises:
            RefusedError: 2 when the agent has a session already [D SEED-0] or calls itself, 4 when
                it is not logged in.
        """
        if not agent.logged_in:
            raise RefusedError(4, f"Device '{agent.number}' is not registered.", with_notice=True)
        if agent.user in self._busy or number == agent.number:
            raise RefusedError(2, "Invalid state")
        callee = Side(number, self.agents.at(number))
        return self._begin(Side(agent.number, agent), callee, user_data)

    def send(self, agent: Agent, session: ImSession, text: str) -> None:
        """Say something as an agent; both sides are notified, the sender by its echo.

        Raises:
            RefusedError: The session is not Talking.
        """
        self._speak(session, session.side_of(agent), text)

    def answer(self, session: ImSession) -> None:
        """Make a ringing session Talking; nothing happens when it no longer rings."""
        if session.is_ringing:
            session.accept = ""
            session.was_talking = True
            self._move(session, State.TALKING)

    def set_user_data(
        self, session_id: str, changes: Mapping[str, object], *, by: str = ""
    ) -> None:
        """Merge these keys into the user data and notify both sides; ``by`` is the agent's user.

        Raises:
            RefusedError: No such session, or it is completed.
        """
        session = self._live(session_id)
        session.user_data.update(changes)
        for key, value in changes.items():
            text = value if isinstance(value, str) else encode_json(value).decode()
            self._note_user_data(session, key, text=text, by=by)
        self._tell(session, "AttachedDataChanged")

    def delete_user_data(self, session_id: str, key: str, *, by: str = "") -> None:
        """Remove one key, if it is there, and notify both sides.

        Raises:
            RefusedError: No such session, or it is completed.
        """
        session = self._live(session_id)
        session.user_data.pop(key, None)
        self._note_user_data(session, key, text="", by=by)
        self._tell(session, "AttachedDataChanged")

    def complete(self, session_id: str) -> None:
        """End a session, by either side; both are notified.

        Raises:
            RefusedError: No such session, or it is completed already.
        """
        self._finish(self._live(session_id))

    def set_user_state(self, agent: Agent, state: UserState) -> None:
        """Set the state of the agent's device and notify it; logging out ends its session."""
        agent.user_state = state
        self.journal.add(Happening.DEVICE, agent=agent.user, name=state.value)
        self.notices.device_changed(agent)
        live = self._busy.get(agent.user)
        if not agent.logged_in and live is not None:
            self._finish(live)

    def _begin(self, caller: Side, callee: Side, user_data: Mapping[str, object]) -> ImSession:
        session = self._new_session(caller, callee, user_data)
        reached = callee.agent is None or self.is_free(callee.agent.user)
        for side in session.sides if reached else (caller,):
            if side.agent is not None:
                self._busy[side.agent.user] = session
        user = session.agents[0].user
        if not reached or self.faults.strikes(FaultKind.NOT_ANSWERED, user):
            self._announce(session)
            self._finish(session)
        elif self.faults.strikes(FaultKind.STRAIGHT_TO_TALKING, user):
            self.answer(session)
        else:
            self._ring_until_answered(session)
        return session

    def _new_session(
        self, caller: Side, callee: Side, user_data: Mapping[str, object]
    ) -> ImSession:
        session_id = path_id = uri_id = self._call_uuid()
        session = ImSession(session_id, path_id, uri_id, caller, callee, dict(user_data))
        if self.faults.strikes(FaultKind.IDS_DIFFER, session.agents[0].user):
            session.path_id = str(self._random.randrange(10**22, 10**23))
            session.uri_id = self._call_uuid()
            self._by_path_id[session.path_id] = session
        self._sessions[session_id] = session
        return session

    def _call_uuid(self) -> str:
        return "".join(self._random.choices(_CALL_UUID_DIGITS, k=32))

    def _ring_until_answered(self, session: ImSession) -> None:
        """Ring, and let it be answered: by an operation of the called agent, else by itself."""
        called = session.callee.agent
        if called is not None and self.faults.strikes(FaultKind.ALERTING_ANSWER, called.user):
            session.accept = self.faults.of(called.user).accept_operation
        self._announce(session)
        auto_answer_s = self.faults.of(session.agents[0].user).auto_answer_s
        if not session.accept and auto_answer_s == 0:
            self.answer(session)
            return
        if not session.accept:
            self._later(auto_answer_s, lambda: self.answer(session))
        self._later(self.settings.ring_timeout_s, lambda: self._give_up(session))

    def _announce(self, session: ImSession) -> None:
        """Tell the caller Initiating and the called agent Alerting."""
        if session.caller.agent is not None:
            self._move(session, State.INITIATING, told=(session.caller,))
        if session.callee.agent is not None:
            self._move(session, State.ALERTING, told=(session.callee,))

    def _give_up(self, session: ImSession) -> None:
        if session.is_ringing:
            self._finish(session)

    def _finish(self, session: ImSession) -> None:
        self._move(session, State.COMPLETED)
        for agent in session.agents:
            if self._busy.get(agent.user) is session:
                del self._busy[agent.user]
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        spare = len(self._sessions) - self.settings.keep_completed - len(self._busy)
        if spare <= self.settings.keep_completed // 10:
            return
        for session in [one for one in self._sessions.values() if not one.is_live][:spare]:
            del self._sessions[session.id]
            self._by_path_id.pop(session.path_id, None)

    def _live(self, session_id: str) -> ImSession:
        session = self.session(session_id)
        if not session.is_live:
            raise RefusedError(6, f"no IM session '{session_id}'")
        return session

    def _speak(self, session: ImSession, side: Side, text: str) -> None:
        if not self._live(session.id).was_talking:
            raise RefusedError(2, "Invalid state")
        session.transcript.append(Line(self._clock.now(), side.number, text))
        speaker = side.agent
        self.journal.add(
            Happening.MESSAGE,
            agent=speaker.user if speaker is not None else "",
            session=session.id,
            text=text,
            number=side.number,
        )
        hearer = session.other(side).agent
        if speaker is not None:
            self.notices.echo(speaker, session, text)
        if hearer is not None:
            self.notices.said(hearer, session, text)

    def _move(
        self, session: ImSession, state: State, *, told: tuple[Side, ...] | None = None
    ) -> None:
        session.state = state
        self.journal.add(
            Happening.STATE,
            agent=session.agents[0].user,
            session=session.id,
            name=state.value,
            number=session.caller.number,
        )
        self._tell(session, "StatusChange", told=told)

    def _tell(
        self, session: ImSession, notification_type: str, *, told: tuple[Side, ...] | None = None
    ) -> None:
        """Notify the agents at these sides, both by default, whom the session ever reached."""
        for side in told or session.sides:
            if side.agent is not None and self._busy.get(side.agent.user) is session:
                self.notices.session_changed(side.agent, session, notification_type)

    def _note_user_data(self, session: ImSession, key: str, *, text: str, by: str) -> None:
        self.journal.add(Happening.USER_DATA, agent=by, session=session.id, name=key, text=text)

    def _note_fault(self, kind: FaultKind, agent: str, name: str) -> None:
        self.journal.add(Happening.FAULT, agent=agent, name=kind.value, text=name)
