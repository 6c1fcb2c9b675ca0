"""What the admin API takes and answers, field by field; its description is made of these."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from imbot.admin.story import LineKind

#: Names and ids in requests: nothing of imbot's is longer.
LONGEST_NAME = 300

_Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]


def _whole(given: object) -> object:
    """Return a number that JSON writes with a fraction of nothing as what it is."""
    return int(given) if isinstance(given, float) and given.is_integer() else given


_Budget = Annotated[int, Field(ge=1, le=10**9), BeforeValidator(_whole)]


class Form(BaseModel):
    """What every form has in common: nothing that it does not know, and nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# Asked ----------------------------------------------------------------------------------------


class Page(Form):
    """How much of a list."""

    limit: int = Field(default=50, ge=1, le=1000, description="How many at most.")


class AgentQuery(Page):
    """Which agents."""

    user: str | None = Field(default=None, description="A part of the user name.", max_length=300)
    state: str | None = Field(default=None, description="Where its life stands.", max_length=30)


class SessionQuery(Page):
    """Which sessions, newest first."""

    agent: _Name | None = Field(default=None, description="Of this agent.")
    state: str | None = Field(default=None, description="In this state.", max_length=30)
    number: str | None = Field(
        default=None, description="With this other party's number, or a part of it.", max_length=50
    )


class PulseQuery(Form):
    """Since when."""

    since: int = Field(
        default=0,
        ge=0,
        le=10**12,
        description="Only steps that begin at this second since 1970, or later.",
    )


class StoryQuery(Form):
    """Which part of a session's story."""

    rule: _Name | None = Field(default=None, description="Only what is about this rule.")
    why: bool = Field(
        default=False, description="Also the rules that did not match, with what decided."
    )


class WhyQuery(Form):
    """Which event is to be explained."""

    event: _Name = Field(description="The id of an event, as stories name it.")
    rule: _Name | None = Field(default=None, description="Only this rule.")


class RuleQuery(Form):
    """Which rules, in rulebook order."""

    find: str | None = Field(
        default=None, description="A part of the id or the description.", max_length=300
    )
    limit: int | None = Field(
        default=None, ge=1, le=100_000, description="How many at most; all when left out."
    )


class HaltForm(Form):
    """Why all effects are to stop."""

    why: str = Field(default="", max_length=500, description="In your words; everybody sees it.")


class SwitchForm(Form):
    """What is to lie over a rule; nothing of it takes the switch away."""

    off: bool = Field(default=False, description="Whether it does not run.")
    shadow: bool | None = Field(
        default=None, description="Whether it runs in shadow; null for what its file says."
    )
    per_session: _Budget | None = Field(default=None, description="Its effects in one session.")
    per_minute: _Budget | None = Field(default=None, description="Its effects in any minute.")


class CalendarForm(Form):
    """Whether a calendar is closed, whatever its hours are."""

    closed: bool


class OrderForm(Form):
    """What is to become of parked effects."""

    effects: list[_Name] = Field(min_length=1, max_length=100, description="Their ids.")


# Answered -------------------------------------------------------------------------------------


class Refusal(Form):
    """Why a request is refused."""

    error: str = Field(description="A word for programs.")
    message: str = Field(description="A sentence for people.")


class Done(Form):
    """What was done."""

    done: str = Field(description="A sentence for people.")


class HealthForm(Form):
    """How imbot is doing."""

    status: str
    reasons: list[str]
    agents: int
    agents_up: int
    sessions: int
    parked: int
    breakers: dict[str, str]
    suppressed: dict[str, int]
    quarantined: int
    undocumented: dict[str, int]
    echoes: str
    echo_longest_s: float
    quiesce_s: float
    loop_lag_s: float


class PulseForm(Form):
    """What imbot did in the last hour, or since its start if that is later: columns for a chart.

    All have the same length, oldest first. The last step of time still goes on, so who asks again
    begins with it.
    """

    step_s: int = Field(description="Seconds that are counted together.")
    at: list[int] = Field(description="When each step of time begins, in seconds since 1970.")
    events: list[int] = Field(description="Events that were taken in.")
    replies: list[int] = Field(description="Steps with `reply` whose messages GWS accepted.")
    parked: list[int] = Field(description="Effects that came to wait for a person.")
    failed: list[int] = Field(description="Steps that failed.")
    suppressed: list[int] = Field(description="Rules that matched and did not run.")
    step_p50_s: list[float | None] = Field(
        description="Seconds from the event to the end of a step: half of them took no longer."
    )
    step_p95_s: list[float | None] = Field(description="The same for 95 of 100.")
    echo_p50_s: list[float | None] = Field(
        description="Seconds from the event to the echo of a reply: half of them took no longer."
    )
    echo_p95_s: list[float | None] = Field(description="The same for 95 of 100.")


class HaltedForm(Form):
    """Whether all effects are stopped."""

    halted: bool
    by: str = ""
    at: datetime | None = None
    why: str = ""


class AgentForm(Form):
    """An agent and its subscription."""

    user: str
    state: str
    since: datetime
    cause: str
    gaps: int
    device: str | None


class AgentsForm(Form):
    """Agents: those that are not up first, then by name; and how many there are in each state."""

    agents: list[AgentForm] = Field(description="Those that were asked for.")
    states: dict[str, int] = Field(description="How many of all agents are in each state.")


class SessionForm(Form):
    """A session on one line."""

    id: str
    agent: str
    number: str
    state: str
    began_at: datetime
    ended_at: datetime | None
    messages: int
    replies: int
    parked: int
    gaps: int


class SessionsForm(Form):
    """Sessions, newest first."""

    sessions: list[SessionForm]


class LineForm(Form):
    """A line of a story."""

    at: datetime = Field(description="When.")
    what: str = Field(description="The kind of thing, in words for people.")
    details: str = Field(description="What, in words for people.")
    kind: LineKind = Field(description="What the line is about.")
    rule: str = Field(description="The id of its rule; empty for none.")
    event: str = Field(
        description="The id of the event that happened, was decided or led to it; empty for none."
    )
    effect: str = Field(description="The id of its effect; empty for none.")
    state: str = Field(description="Where the effect or the run stands; empty for other lines.")
    text: str = Field(description="What was said, whole; empty for other lines.")
    became: str = Field(
        description="What became of an effect, without what it carries; empty for other lines."
    )


class StoryForm(Form):
    """What happened in a session, with one of our agents."""

    session: SessionForm = Field(description="The session as it stands.")
    user_data: dict[str, Any] = Field(description="Its user data as it stands.")
    lines: list[LineForm] = Field(description="What happened, oldest first.")


class StoriesForm(Form):
    """The story of a session with each agent of ours that held an end of it."""

    stories: list[StoryForm]


class SwitchedForm(SwitchForm):
    """What lies over a rule."""

    by: str = Field(description="Who switched it.")
    at: datetime = Field(description="When.")


class RuleForm(Form):
    """A rule in force, and how often it ran."""

    id: str = Field(description="Its id.")
    place: str = Field(description="Where it stands.")
    version: str = Field(description="Changes with whatever changes what it does.")
    description: str = Field(description="What its author says of it.")
    enabled: bool = Field(description="What its file says.")
    shadow: bool = Field(description="What its file or the settings say.")
    per_session: int | None = Field(description="Its own budget of effects in one session.")
    per_minute: int | None = Field(description="Its own budget of effects in any minute.")
    switch: SwitchedForm | None = Field(description="What lies over it; null for nothing.")
    breaker: str = Field(description="Why its breaker is open; empty while it is not.")
    runs: dict[str, int] = Field(description="Runs that the store knows, by where they stand.")
    last_at: datetime | None = Field(description="When one of them last moved.")
    since: datetime = Field(
        description="When this version of it came into force: from then on counts what follows."
    )
    hits: int = Field(description="Events for which it ran.")
    shadow_hits: int = Field(description="Events for which it ran in shadow.")
    suppressed: dict[str, int] = Field(
        description="Events that it matched and did not run for, by the deciding reason."
    )
    misses: int = Field(
        description="The other events of a kind that a trigger of it waits for: none held, or its"
        " `when` did not."
    )


class RulesForm(Form):
    """The rules in force, in rulebook order."""

    rules: list[RuleForm] = Field(description="Those that were asked for.")
    total: int = Field(description="How many match, beyond the limit too.")
    warnings: list[str] = Field(description="What is worth a warning in all rules.")


class CauseForm(Form):
    """A reason."""

    kind: str
    detail: str


class VerdictForm(Form):
    """What became of a rule for an event."""

    rule: str
    place: str
    ran: bool
    causes: list[CauseForm]
    leaves: list[str]
    withheld: list[CauseForm]
    note: str


class WhyForm(Form):
    """What became of each rule for an event."""

    event: str = Field(description="Its id.")
    session: str = Field(description="The session that it happened in; empty for none.")
    told: str = Field(description="What happened, in words for people.")
    rules: list[VerdictForm] = Field(description="What became of each, in rulebook order.")


class ParkedForm(Form):
    """An effect that waits for a person."""

    id: str
    agent: str
    session: str
    number: str
    rule: str
    action: str
    carries: str
    why: str
    since: datetime | None
    cannot_be_resent: str
    ordered: str


class ParkedListForm(Form):
    """What waits for a person, oldest first; `/health` says how many there are."""

    parked: list[ParkedForm]


class FailedListForm(Form):
    """What failed, newest first."""

    failed: list[ParkedForm]


class OrderedForm(Form):
    """What became of orders: the ids that were taken down, and why others were not."""

    ordered: list[str]
    refused: dict[str, str]


class TimerForm(Form):
    """Something that will be due."""

    id: str
    kind: str
    due_at: datetime
    agent: str
    session: str


class TimersForm(Form):
    """What will be due, soonest first."""

    timers: list[TimerForm]


class CalendarStateForm(Form):
    """A calendar as it stands."""

    name: str = Field(description="Its name.")
    open: bool = Field(description="Whether it is open now.")
    closed: bool = Field(description="Whether a person closed it.")
    next_change: datetime | None = Field(description="When that changes next; null for never.")


class CalendarsForm(Form):
    """The calendars, by name."""

    calendars: list[CalendarStateForm]


class PluginForm(Form):
    """A plugin that was found."""

    name: str
    origin: str
    status: str
    reason: str
    actions: list[str]


class PluginsForm(Form):
    """The plugins, in order."""

    plugins: list[PluginForm]


class SettingsForm(Form):
    """The settings in force, every secret masked."""

    settings: Any


class AuditForm(Form):
    """Something that somebody did through the API."""

    at: datetime
    who: str
    role: str
    address: str
    request: str
    status: int


class AuditListForm(Form):
    """What people did, newest first."""

    entries: list[AuditForm]
