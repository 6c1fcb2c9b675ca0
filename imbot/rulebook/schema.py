"""Rules as the engine runs them: frozen, checked, compiled.

Made by the loader from rule files; nothing here knows YAML. A rule's steps are one flat program, so
that where a run stands is a number, and the same on disk.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

from imbot.meaning import Meant
from imbot.model import JSON, ConnectionChange, EventKind
from imbot.problems import Place, Problem
from imbot.rulebook.calendars import Calendar
from imbot.rulebook.expressions import Expression
from imbot.rulebook.schedules import Schedule
from imbot.rulebook.scope import Senses


class Value(Protocol):
    """Step arguments with templates anywhere inside; renders to plain values."""

    def render(self, scope: Mapping[str, Any], senses: Senses) -> JSON:
        """Return the plain value.

        Raises:
            PermanentError: A template failed; the text says where and why.
        """
        ...


# Triggers -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StateTrigger:
    """The session came to a state: ``to`` None for any, ``before`` None for any (also none)."""

    to: frozenset[str] | None
    before: frozenset[str] | None = None
    kind: EventKind = EventKind.STATE


class TextTest(StrEnum):
    """How a message trigger looks at what was said; all but ANY and MATCHES ignore case."""

    ANY = "any"
    CONTAINS = "contains"
    STARTSWITH = "startswith"
    EQUALS = "equals"
    MATCHES = "matches"


@dataclass(frozen=True, slots=True)
class MessageTrigger:
    """The other party said something that passes one test with any of these texts."""

    test: TextTest
    texts: tuple[str, ...] = ()
    kind: EventKind = EventKind.MESSAGE


@dataclass(frozen=True, slots=True)
class UserdataTrigger:
    """User data changed: ``keys`` None for any key; ``own`` whether own writes count too."""

    keys: frozenset[str] | None = None
    own: bool = False
    kind: EventKind = EventKind.USERDATA


@dataclass(frozen=True, slots=True)
class ConnectionTrigger:
    """The agent's subscription changed."""

    changes: frozenset[ConnectionChange]
    kind: EventKind = EventKind.CONNECTION


@dataclass(frozen=True, slots=True)
class IdleTrigger:
    """Talking, and so long nothing said but by imbot; once per silence."""

    after_s: float
    kind: EventKind = EventKind.IDLE


@dataclass(frozen=True, slots=True)
class CalendarTrigger:
    """A calendar opens or closes: ``offset_s`` seconds after it, before it when negative."""

    calendar: str
    opens: bool
    offset_s: float = 0.0
    kind: EventKind = EventKind.CALENDAR

    @property
    def edge(self) -> str:
        """``opens`` or ``closes``, as events have it."""
        return "opens" if self.opens else "closes"


class Missed(Meant):
    """What becomes of the firings that fell into a time when imbot did not run."""

    RUN_ONCE = "run_once", "However many were missed, one is made up for."
    SKIP = "skip", "None is made up for."
    ALL = "all", "Each is made up for, one after another."


@dataclass(frozen=True, slots=True)
class ScheduleTrigger:
    """A moment of a schedule; triggers of one identity are started by the same event.

    Attributes:
        schedule: The moments.
        identity: The schedule as written, its zone and ``missed``: ``0 9 * * mon-fri
            Europe/Berlin run_once``.
        missed: What becomes of missed ones.
    """

    schedule: Schedule
    identity: str
    missed: Missed = Missed.RUN_ONCE
    kind: EventKind = EventKind.SCHEDULE


@dataclass(frozen=True, slots=True)
class WebhookTrigger:
    """Somebody posted to the hook of this name."""

    name: str
    kind: EventKind = EventKind.WEBHOOK


#: What happens in a session and can be waited for in the middle of a run.
SessionTrigger: TypeAlias = StateTrigger | MessageTrigger | UserdataTrigger

Trigger: TypeAlias = (
    SessionTrigger
    | ConnectionTrigger
    | IdleTrigger
    | CalendarTrigger
    | ScheduleTrigger
    | WebhookTrigger
)


# Program --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a step is tried in all, and the seconds between, doubling from first to last."""

    times: int
    first_s: float
    last_s: float


@dataclass(frozen=True, slots=True)
class Act:
    """Call an action.

    Attributes:
        action: Name of the action.
        args: Its arguments.
        path: Where it stands in the rule, for example ``do/2/then/0``.
        place: Where it stands in the file.
        bind: Name for its result (``as``); None for none.
        timeout_s: Seconds; None for the action's own deadline.
        retry: None for one try.
        on_error: Index to go on from after giving up; None ends the run (by the rule's on_error).
        even_if_completed: Whether it is carried out although the session completed meanwhile.
    """

    action: str
    args: Value
    path: str
    place: Place
    bind: str | None = None
    timeout_s: float | None = None
    retry: Retry | None = None
    on_error: int | None = None
    even_if_completed: bool = False


@dataclass(frozen=True, slots=True)
class Let:
    """Bind names, in order, to the values of expressions or templates."""

    values: tuple[tuple[str, "Expression | Value"], ...]
    path: str
    place: Place


@dataclass(frozen=True, slots=True)
class Branch:
    """Go on with the next instruction if the test holds, else at ``otherwise``."""

    test: Expression
    otherwise: int
    path: str
    place: Place


@dataclass(frozen=True, slots=True)
class Jump:
    """Go on at ``to``."""

    to: int


@dataclass(frozen=True, slots=True)
class Stop:
    """End the run, with a reason."""

    reason: Value
    path: str
    place: Place


@dataclass(frozen=True, slots=True)
class Log:
    """Write a line to the log; no effect."""

    text: Value
    path: str
    place: Place
    even_if_completed: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Go on after so many seconds; durable.

    Attributes:
        seconds: A number, or a template that gives a duration such as ``30s``.
        even_if_completed: Whether it is waited although the session completed meanwhile.
    """

    seconds: "float | Value"
    path: str
    place: Place
    even_if_completed: bool = False


@dataclass(frozen=True, slots=True)
class WaitFor:
    """Go on when something happens in the session, or the time is over; durable.

    Attributes:
        trigger: What is waited for; nothing is consumed.
        timeout_s: None for as long as the session lives.
        bind: Name for the result: ``timed_out`` and the trigger's fields.
    """

    trigger: SessionTrigger
    path: str
    place: Place
    timeout_s: float | None = None
    bind: str | None = None
    even_if_completed: bool = False


@dataclass(frozen=True, slots=True)
class Fork:
    """Go on at each of these at once; all between here and ``join`` belongs to the branches."""

    branches: tuple[int, ...]
    join: int
    path: str
    place: Place


@dataclass(frozen=True, slots=True)
class Join:
    """A branch of the Fork at ``fork`` ends; the last one goes on behind this instruction's join.

    Attributes:
        fork: Index of the Fork.
        join: Where the last branch goes on.
    """

    fork: int
    join: int


@dataclass(frozen=True, slots=True)
class Enter:
    """Go into a block: its inputs are worked out with the caller's names, and only they are seen.

    Attributes:
        block: Its name.
        inputs: In order; ``vars`` is among them where the block looks at its file's constants.
    """

    block: str
    inputs: tuple[tuple[str, "Expression | Value"], ...]
    path: str
    place: Place


@dataclass(frozen=True, slots=True)
class Leave:
    """Come out of the block that was entered at ``enter``; its names are gone."""

    enter: int


@dataclass(frozen=True, slots=True)
class End:
    """The run is over."""


Instruction: TypeAlias = (
    Act | Let | Branch | Jump | Stop | Log | Wait | WaitFor | Fork | Join | Enter | Leave | End
)


@dataclass(frozen=True, slots=True)
class Program:
    """A rule's steps, flat: ``do`` from index 0 to an End, then on_error blocks.

    Attributes:
        instructions: What is done; every block ends in a Jump or an End.
        on_error: Where the rule's ``on_error`` begins; None without one.
        frames: Index of an instruction → index of the Enter of the block that it stands in; an
            instruction of the rule itself is not there. Blocks are written out at each call.
    """

    instructions: tuple[Instruction, ...]
    on_error: int | None = None
    frames: Mapping[int, int] = field(default_factory=dict)


# Rules ----------------------------------------------------------------------------------------


class Mode(Meant):
    """What happens to a match while a run of the same rule and key goes on."""

    SINGLE = "single", "The new match is suppressed."
    QUEUE = "queue", "The new run waits for its turn."
    RESTART = "restart", "The run that goes on is cancelled, and the new one begins."
    PARALLEL = "parallel", "Both go on, at most `max` at a time."


class OnceScope(Meant):
    """Within what a rule acts once."""

    SESSION = "session", "Once in a session."
    PARTICIPANT = "participant", "Once for a participant, in all their sessions."
    DAY = "day", "Once for a participant on a day of the settings' time zone."
    EXPRESSION = "expression", "Once for each value; without a value once in a session."


@dataclass(frozen=True, slots=True)
class Once:
    """``once``; ``by`` is the expression for the scope EXPRESSION."""

    scope: OnceScope
    by: Expression | None = None


@dataclass(frozen=True, slots=True)
class Throttle:
    """At most one run within so many seconds, for each value of ``by``; None: of the run's key."""

    within_s: float
    by: Expression | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """The most effects of a rule in one session, and in any minute; None for any number."""

    per_session: int | None = None
    per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        id: Unique in the rulebook.
        place: Where it stands.
        version: Hash of everything that decides what it does.
        order: Position among all rules: priority, settings entry, file name, position in the file.
        triggers: Any of them starts it.
        program: Its steps.
        when: Must hold too; None for always.
        description: For people.
        enabled: Whether it may run at all.
        shadow: Whether it only decides and records.
        vars: Constants of its file and its own.
        key: What runs take turns by; None for the session (or the agent without one).
        mode: What happens to a match while a run goes on.
        max_runs: The most runs at a time in mode PARALLEL; None for any number.
        throttle: None for none.
        budget: None for none.
        once: None for every time.
        max_age_s: Seconds after which an event is too old; None for never.
        priority: As written.
        final: Whether it ends the search for lower rules.
        loop_guard: Whether the loop guard may suppress it.
        replies: Whether one of its steps can say something.
        calendars: The calendars that it asks, as they were when it was loaded.
        source: A JSON document from which it can be compiled again, whatever became of the files.
    """

    id: str
    place: Place
    version: str
    order: int
    triggers: tuple[Trigger, ...]
    program: Program
    when: Expression | None = None
    description: str = ""
    enabled: bool = True
    shadow: bool = False
    vars: Mapping[str, Any] = field(default_factory=dict)
    key: Expression | None = None
    mode: Mode = Mode.SINGLE
    max_runs: int | None = None
    throttle: Throttle | None = None
    budget: Budget | None = None
    once: Once | None = None
    max_age_s: float | None = None
    priority: int = 0
    final: bool = False
    loop_guard: bool = True
    replies: bool = False
    calendars: Mapping[str, Calendar] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True, slots=True)
class Rulebook:
    """All rules that were loaded together, in the order in which they are looked at.

    Attributes:
        rules: In order.
        calendars: By name.
        warnings: What the checker would rather have otherwise.
    """

    rules: tuple[Rule, ...] = ()
    calendars: Mapping[str, Calendar] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()
