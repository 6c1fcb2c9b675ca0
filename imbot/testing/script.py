"""A test of rules as values: what happens when, and what is expected. Nothing here plays it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from imbot.model import JSON, ConnectionChange, Participant
from imbot.problems import Place

#: Who is meant when a test does not say.
AGENT = "bot1"
CUSTOMER_NUMBER = "3002"
NICKNAME = "Bot"

#: Seconds after which GWS shows what the bot itself has done.
ECHO_S = 0.01


@dataclass(frozen=True, slots=True)
class Shown:
    """A session as GWS shows it; what is None stays as it was.

    Attributes:
        session: Its name in the test.
        state: Its state.
        user_data: Keys that are set; None removes one.
        participant: The other party.
        capabilities: The operations that GWS lists.
        agent: Our agent; empty for the one that has the session, else the default.
    """

    session: str
    state: str | None = None
    user_data: Mapping[str, JSON] = field(default_factory=dict)
    participant: Participant | None = None
    capabilities: tuple[str, ...] | None = None
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """The other party says something; or a person does, under the bot's own name."""

    shown: Shown
    text: str
    is_own: bool = False


@dataclass(frozen=True, slots=True)
class Connected:
    """The agent's subscription changes; after all but ``lost`` it has exactly these sessions."""

    agent: str
    change: ConnectionChange
    snapshot: tuple[Shown, ...] = ()
    reason: str = "the poll failed"


@dataclass(frozen=True, slots=True)
class Busied:
    """From now on GWS lets this agent begin no session, or lets it again."""

    agent: str
    is_busy: bool


@dataclass(frozen=True, slots=True)
class Restarted:
    """imbot stops in order, or is killed, and starts again at once."""

    is_killed: bool


@dataclass(frozen=True, slots=True)
class Reloaded:
    """Other rule files are in force from now on; paths as somebody names them who runs the test."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Posted:
    """Somebody posts to a hook."""

    name: str
    body: JSON = None


@dataclass(frozen=True, slots=True)
class Answered:
    """From now on HTTP requests whose URL contains a text are answered like this.

    Attributes:
        match: Part of the URL.
        status: HTTP status.
        body: The body.
        times: How often; None for always.
    """

    match: str
    status: int = 200
    body: bytes = b""
    times: int | None = None


Happening: TypeAlias = Shown | Said | Connected | Busied | Restarted | Reloaded | Posted | Answered


@dataclass(frozen=True, slots=True)
class Timed:
    """Something that happens so many milliseconds after the start."""

    at_ms: int
    what: Happening
    place: Place


@dataclass(frozen=True, slots=True)
class Expected:
    """An effect that must come.

    Attributes:
        at_ms: When.
        action: The action's name.
        value: Its arguments, or a part of them; a text between slashes is an RE2 search.
        place: Where it stands in the test.
        session: The session acted on; empty for any.
        agent: Our agent; empty for any.
    """

    at_ms: int
    action: str
    value: JSON
    place: Place
    session: str = ""
    agent: str = ""


@dataclass(frozen=True, slots=True)
class RuleTest:
    """One test.

    Attributes:
        name: As its author calls it.
        place: Where it stands.
        start: The moment at which it begins; it knows its zone.
        events: In order of time.
        expect: In order.
        only: Whether nothing else may come.
    """

    name: str
    place: Place
    start: datetime
    events: tuple[Timed, ...] = ()
    expect: tuple[Expected, ...] = ()
    only: bool = True

    @property
    def end_ms(self) -> int:
        """When it is over: at the later of the last event and the last expectation."""
        events = (each.at_ms for each in self.events)
        return max((*events, *(each.at_ms for each in self.expect)), default=0)

    @property
    def agents(self) -> tuple[str, ...]:
        """Every agent that it names, the default one first."""
        named = [each.agent for each in self.expect]
        for timed in self.events:
            what = timed.what.shown if isinstance(timed.what, Said) else timed.what
            if isinstance(what, Shown | Connected | Busied):
                named.append(what.agent)
            if isinstance(what, Connected):
                named += (shown.agent for shown in what.snapshot)
        return tuple(dict.fromkeys([AGENT, *filter(None, named)]))

    @property
    def begun(self) -> tuple[str, ...]:
        """The names of the sessions that the bot begins, in order."""
        return tuple(each.session for each in self.expect if each.action == "initiate")


@dataclass(frozen=True, slots=True)
class Script:
    """A file of tests.

    Attributes:
        path: The file.
        tests: In order.
        rules: The rule files and folders; None where the file names none.
        rules_at: Each of them to where it is named.
        plugins: Folders with plugins of one's own.
        nickname: ``bot.nickname``.
        options: Plugin options, by plugin.
        secrets: Secrets by name; others have a stand-in.
    """

    path: str
    tests: tuple[RuleTest, ...] = ()
    rules: tuple[str, ...] | None = None
    rules_at: Mapping[str, Place] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    nickname: str = NICKNAME
    options: Mapping[str, Mapping[str, JSON]] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
