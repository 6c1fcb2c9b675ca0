"""Agents, their devices and their HTTP logins: who may ask, and as whom.

Nothing here knows of IM sessions or of HTTP beyond the values of headers and cookies.
"""

import base64
import binascii
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

from imbot.clock import Clock
from imbot.simulator.settings import AgentAccount, SimulatorSettings

#: First number given to an account made on demand; above those people write into settings.
_FIRST_NUMBER = 20_000


class UserState(StrEnum):
    """A device's ``userState.state``."""

    LOGGED_OUT = "LoggedOut"
    LOGGED_IN = "LoggedIn"
    READY = "Ready"
    NOT_READY = "NotReady"


@dataclass(slots=True, eq=False)
class Agent:
    """One agent: an account, a device, and what it does now.

    Attributes:
        user_id: Hex id of the user resource.
        device_id: UUID of its device; a second capable one is ``spare_device_id``.
        user_state: State on the voice channel, which is where IM rides.
    """

    account: AgentAccount
    user_id: str
    device_id: str
    spare_device_id: str
    user_state: UserState = UserState.LOGGED_OUT

    @property
    def user(self) -> str:
        """Return the user name."""
        return self.account.user

    @property
    def number(self) -> str:
        """Return the number of its device."""
        return self.account.number

    @property
    def logged_in(self) -> bool:
        """Return whether a contact-center session is open."""
        return self.user_state is not UserState.LOGGED_OUT


@dataclass(slots=True, eq=False)
class Login:
    """One HTTP session: JSESSIONID, its CSRF token and the load-balancer cookie it depends on."""

    jsession: str
    agent: Agent
    csrf: str
    expires_at: float
    lb_cookie: str = ""


@dataclass(slots=True)
class Agents:
    """All agents, by user and by number; more on demand if the settings say so."""

    settings: SimulatorSettings
    random: Random
    _by_user: dict[str, Agent] = field(default_factory=dict)
    _by_number: dict[str, Agent] = field(default_factory=dict)
    _by_token: dict[str, Agent] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for account in self.settings.agents:
            self._add(account)

    def __iter__(self) -> Iterator[Agent]:
        return iter(self._by_user.values())

    def find(self, user: str) -> Agent | None:
        """Return this user's agent."""
        return self._by_user.get(user)

    def admit(self, user: str, password: str) -> Agent | None:
        """Return the agent with these credentials, made on demand if that is allowed."""
        agent = self._by_user.get(user)
        if agent is None and user and self.settings.accounts_on_demand:
            number = str(_FIRST_NUMBER + len(self._by_user))
            agent = self._add(AgentAccount(user=user, password=password, number=number))
        return agent if agent is not None and agent.account.password == password else None

    def at(self, number: str) -> Agent | None:
        """Return the agent whose device has this number."""
        return self._by_number.get(number)

    def by_token(self, token: str) -> Agent | None:
        """Return the agent with this bearer token."""
        return self._by_token.get(token)

    def _add(self, account: AgentAccount) -> Agent:
        agent = Agent(
            account=account,
            user_id=f"{self.random.getrandbits(128):032x}",
            device_id=_uuid(self.random),
            spare_device_id=_uuid(self.random),
        )
        self._by_user[account.user] = agent
        self._by_number[account.number] = agent
        if account.bearer is not None:
            self._by_token[account.bearer] = agent
        return agent


class Logins:
    """The HTTP sessions, by JSESSIONID."""

    def __init__(self, agents: Agents, *, clock: Clock, random: Random) -> None:
        self._agents = agents
        self._clock = clock
        self._random = random
        self._idle_s = agents.settings.http_session_s
        self._by_jsession: dict[str, Login] = {}

    def __len__(self) -> int:
        return len(self._by_jsession)

    def whose(self, jsession: str, authorization: str) -> str:
        """Return the user that a request claims to come from, unchecked; empty when it does not."""
        login = self._by_jsession.get(jsession)
        if login is not None:
            return login.agent.user
        agent = self._credentials(authorization)
        return agent.user if agent is not None else ""

    def enter(self, jsession: str, authorization: str, lb_cookie: str = "") -> Login | None:
        """Return the HTTP session of a request, a new one for good credentials, None for neither.

        Wrong credentials are refused even beside a valid cookie; a cookie of another agent's
        session does not outlive them.
        """
        login = self._current(jsession, lb_cookie)
        if not authorization:
            return login
        agent = self._credentials(authorization)
        if agent is None:
            return None
        return login if login is not None and login.agent is agent else self._open(agent)

    def leave(self, login: Login) -> None:
        """Forget this HTTP session."""
        self._by_jsession.pop(login.jsession, None)

    def forget(self, user: str) -> None:
        """Forget every HTTP session of this user."""
        for login in [one for one in self._by_jsession.values() if one.agent.user == user]:
            self.leave(login)

    def rotate_csrf(self, jsession: str) -> None:
        """Give this HTTP session a new CSRF token."""
        if (login := self._by_jsession.get(jsession)) is not None:
            login.csrf = self._token()

    def move(self, jsession: str) -> str:
        """Tie this HTTP session to a new load-balancer cookie and return its value."""
        cookie = f"node{self._random.randrange(2, 10**6)}"
        if (login := self._by_jsession.get(jsession)) is not None:
            login.lb_cookie = cookie
        return cookie

    def sweep(self) -> None:
        """Forget the HTTP sessions that nobody used for long."""
        now = self._clock.monotonic()
        for login in [one for one in self._by_jsession.values() if one.expires_at <= now]:
            self.leave(login)

    def clear(self) -> None:
        """Forget every HTTP session."""
        self._by_jsession.clear()

    def _current(self, jsession: str, lb_cookie: str) -> Login | None:
        login = self._by_jsession.get(jsession)
        if login is None or (login.lb_cookie and login.lb_cookie != lb_cookie):
            return None
        now = self._clock.monotonic()
        if login.expires_at <= now:
            self.leave(login)
            return None
        login.expires_at = now + self._idle_s
        return login

    def _open(self, agent: Agent) -> Login:
        jsession = f"{self._token()}.node1"
        expires_at = self._clock.monotonic() + self._idle_s
        login = Login(jsession, agent, csrf=self._token(), expires_at=expires_at)
        self._by_jsession[jsession] = login
        return login

    def _credentials(self, authorization: str) -> Agent | None:
        scheme, _, value = authorization.partition(" ")
        if scheme.casefold() == "bearer":
            return self._agents.by_token(value.strip())
        user, colon, password = _decoded(value).partition(":")
        if scheme.casefold() != "basic" or not colon:
            return None
        return self._agents.admit(user, password)

    def _token(self) -> str:
        return f"{self._random.getrandbits(128):032x}"


def _decoded(value: str) -> str:
    """Return a Basic value's ``user:password``: UTF-8, else Latin-1, as nobody documents which."""
    try:
        raw = base64.b64decode(value.strip(), validate=True)
    except binascii.Error:
        return ""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _uuid(random: Random) -> str:
    return str(uuid.UUID(int=random.getrandbits(128), version=4))
