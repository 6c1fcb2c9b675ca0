"""What one line of a recording may say, and what of it does not fit together. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from imbot.durations import LONGEST_S
from imbot.engine.situation import Situation
from imbot.model import (
    JSON,
    ConnectionChange,
    Event,
    EventKind,
    ImSession,
    Participant,
    Reason,
    Suppressed,
)
from imbot.problems import did_you_mean

#: Years of moments; beyond, calendars and sums of moments end.
_FIRST_YEAR, _LAST_YEAR = 1970, 2200

#: More effects of one rule than any budget allows.
_MOST_EFFECTS = 100_000

#: What a session is when a line does not say.
_SESSION_ID, _TALKING = "s1", "Talking"


def _moment(value: object) -> object:
    """Refuse numbers: nobody can tell seconds from milliseconds."""
    if not isinstance(value, str | datetime):
        cure = "write one such as 2026-03-02T09:00:00Z"
        raise ValueError(f"must be a moment with a zone; {cure}")  # noqa: TRY004  pydantic's
    return value


def _with_zone(value: object) -> object:
    """Refuse moments that nobody can place."""
    if isinstance(value, str):
        try:
            is_local = datetime.fromisoformat(value).tzinfo is None
        except ValueError:
            return value
        if is_local:
            raise ValueError("does not say in which zone; write one such as 2026-03-02T09:00:00Z")
    return value


def _of_our_times(at: datetime) -> datetime:
    """Refuse moments that nobody can reckon with."""
    if not _FIRST_YEAR <= at.year <= _LAST_YEAR:
        raise ValueError(f"must be a moment from {_FIRST_YEAR} to {_LAST_YEAR}")
    return at


_Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_with_zone),
    BeforeValidator(_moment),
    AfterValidator(_of_our_times),
]
_MOMENT = TypeAdapter(_Moment)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Participant(_Part):
    phoneNumber: str = ""  # noqa: N815  the wire's and the rule author's spelling
    digits: str = ""
    e164Number: str = ""  # noqa: N815
    formattedPhoneNumber: str = ""  # noqa: N815


class _Session(_Part):
    id: str = _SESSION_ID
    state: str = _TALKING
    userData: dict[str, Any] = {}  # noqa: N815
    participants: tuple[_Participant, ...] = ()
    capabilities: tuple[str, ...] | None = None

    def value(self) -> ImSession:
        """Return the session."""
        return ImSession(
            id=self.id,
            state=self.state,
            user_data=self.userData,
            participants=tuple(Participant(**each.model_dump()) for each in self.participants),
            capabilities=self.capabilities,
        )


class _Mark(_Part):
    rule: str
    scope: str
    at: _Moment | None = None


class _Running(_Part):
    rule: str
    key: str


class _Spent(_Part):
    rule: str
    session: int = Field(default=0, ge=0, le=_MOST_EFFECTS)
    minute: int = Field(default=0, ge=0, le=_MOST_EFFECTS)


class _Breaker(_Part):
    rule: str
    detail: str = Field(default="open", min_length=1)


class _No(_Part):
    rule: str
    reason: Reason
    detail: str = ""


class Line(_Part):
    """One line, as it is written."""

    id: str = Field(default="event:1", min_length=1)
    kind: EventKind
    at: _Moment | None = None
    received_at: _Moment | None = None
    now: _Moment | None = None
    agent: str = "bot1"
    session: _Session | None = None
    fields: dict[str, Any] = {}
    resync: bool = False
    own: bool = False
    depth: int = Field(default=0, ge=0)
    started_at: _Moment | None = None
    mine: bool = False
    said: tuple[str, ...] = ()
    marks: tuple[_Mark, ...] = ()
    running: tuple[_Running, ...] = ()
    spent: tuple[_Spent, ...] = ()
    breakers: tuple[_Breaker, ...] = ()
    quiet: str = ""
    ran: tuple[str, ...] | None = None
    suppressed: tuple[_No, ...] = Field(default=())

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.kind in _IN_SESSION and self.session is None:
            raise ValueError(f'{_named(self.kind)} needs a session; add "session": {{}}')
        needed = _NEEDED.get(self.kind, ())
        for name, (kinds, word) in _FIELDS.items():
            if name not in needed and name not in self.fields:
                continue
            if not _fits(self.fields.get(name), kinds):
                what = f"{_named(self.kind)} needs {word} in fields.{name}"
                raise ValueError(f'{what}; add "fields": {{"{name}": …}}')
        self._check_changes()
        return self

    def _check_changes(self) -> None:
        changed = self.fields.get("changed", {}) if self.kind is EventKind.USERDATA else {}
        if not all(isinstance(sides, dict) for sides in changed.values()):
            raise ValueError(
                "fields.changed must say for each key what it was and is; "
                'write {"tier": {"old": "basic", "new": "gold"}}'
            )
        change = self.fields.get("change")
        if self.kind is EventKind.CONNECTION and change not in set(ConnectionChange):
            raise ValueError(
                f"fields.change must be one of {', '.join(ConnectionChange)}; "
                f"{did_you_mean(str(change), ConnectionChange)}"
            )

        edge = self.fields.get("edge")
        if self.kind is EventKind.CALENDAR and edge not in _EDGES:
            cure = did_you_mean(str(edge), _EDGES)
            raise ValueError(f"fields.edge must be one of {', '.join(_EDGES)}; {cure}")

    def situation(self, now: datetime) -> Situation:
        """Return what the line describes; it happened now unless it says when."""
        at = self.at or self.received_at or self.now or now
        received_at = self.received_at or at
        event = Event(
            id=self.id,
            kind=self.kind,
            at=at.astimezone(UTC),
            received_at=received_at.astimezone(UTC),
            agent="" if self.kind in _OF_NOBODY else self.agent,
            session=None if self.session is None else self.session.value(),
            fields=_with_moments(self.fields),
            resync=self.resync,
            own=self.own,
            depth=self.depth,
        )
        return Situation(
            event,
            (self.now or received_at).astimezone(UTC),
            said=self.said or _words_of(event),
            mine=self.mine,
            started_at=self.started_at,
            marks={(mark.rule, mark.scope): mark.at or at for mark in self.marks},
            running=tuple((run.rule, run.key) for run in self.running),
            spent={each.rule: (each.session, each.minute) for each in self.spent},
            breakers={each.rule: each.detail for each in self.breakers},
            quiet=self.quiet,
            ran=self.ran,
            suppressed=tuple(Suppressed(no.rule, no.reason, no.detail) for no in self.suppressed),
        )


MODELS: Mapping[str, type[BaseModel]] = {
    "session": _Session,
    "participants": _Participant,
    "marks": _Mark,
    "spent": _Spent,
    "breakers": _Breaker,
    "running": _Running,
    "suppressed": _No,
}
_EDGES = ("opens", "closes")
_OF_NOBODY = frozenset({EventKind.SCHEDULE, EventKind.CALENDAR, EventKind.WEBHOOK})
_IN_SESSION = frozenset({EventKind.STATE, EventKind.MESSAGE, EventKind.USERDATA, EventKind.IDLE})
_TEXT, _NUMBER, _OBJECT = ((str,), "text"), ((int, float), "a number"), ((dict,), "an object")
_FIELDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(("text", "previous", "change", "reason", "name"), _TEXT),
    **dict.fromkeys(("calendar", "edge", "schedule"), _TEXT),
    **dict.fromkeys(("idle", "seconds", "offset_s"), _NUMBER),
    "changed": _OBJECT,
}
_NEEDED: Mapping[EventKind, tuple[str, ...]] = {
    EventKind.MESSAGE: ("text",),
    EventKind.USERDATA: ("changed",),
    EventKind.CONNECTION: ("change",),
    EventKind.IDLE: ("idle",),
    EventKind.CALENDAR: ("calendar", "edge"),
    EventKind.SCHEDULE: ("schedule",),
    EventKind.WEBHOOK: ("name",),
}


def _named(kind: EventKind) -> str:
    """Return an event of this kind in words."""
    return f"{'an' if kind.value[0] in 'aeio' else 'a'} {kind} event"


def _fits(given: object, kinds: tuple[type, ...]) -> bool:
    """Whether a field is of its kind; a number also small enough to reckon with."""
    if isinstance(given, bool) or not isinstance(given, kinds):
        return False
    return not isinstance(given, int | float) or abs(given) <= LONGEST_S


def _with_moments(fields: Mapping[str, Any]) -> dict[str, JSON]:
    """Return the fields, ``scheduled_at`` as a moment where it is one."""
    scheduled_at = fields.get("scheduled_at")
    try:
        moment = _MOMENT.validate_python(scheduled_at)
    except ValidationError:
        return dict(fields)
    return {**fields, "scheduled_at": moment}


def _words_of(event: Event) -> tuple[str, ...]:
    """Return what was surely said: the message itself."""
    return (event.fields["text"],) if event.kind is EventKind.MESSAGE else ()
