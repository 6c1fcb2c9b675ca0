"""Events as JSON, one to a line: ``record`` writes them, ``explain`` and ``replay`` read. Pure.

A line holds the event, and what was known when it was decided; a person may write one by hand, and
then hardly anything is needed: ``{"kind": "message", "session": {}, "fields": {"text": "hello"}}``.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
from pydantic_core import ErrorDetails

from imbot import yamlfile
from imbot.durations import LONGEST_S
from imbot.errors import RulebookError
from imbot.jsontext import decode_json, encode_json
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
from imbot.problems import Place, Problem, did_you_mean

_CODE = "wrong-event"

#: Years of moments; beyond, calendars and sums of moments end.
_FIRST_YEAR, _LAST_YEAR = 1970, 2200

#: What a session is when a line does not say.
_SESSION_ID, _TALKING = "s1", "Talking"


@dataclass(frozen=True, slots=True)
class Situation:
    """An event, and what was known when it was decided which rules run.

    Attributes:
        event: The event.
        now: The moment of the decision.
        said: What the other party had said in the session, oldest first.
        mine: Whether our own ``initiate`` began the session.
        started_at: When the session was first seen; None when it is not known.
        marks: Marks of ``once`` and ``throttle`` that were set, and when: by rule id and scope.
        running: Runs that went on, each as rule id and key.
        spent: Effects of rules with a budget: in this session, and within the last minute.
        breakers: Why the breakers of rules were open, by rule id.
        quiet: Why replies were held back, for a person typed under our name; empty for no reason.
        ran: The rules that ran; None when nothing was decided, or nobody wrote it down.
        suppressed: The rules that matched and did not run, as written down then.
    """

    event: Event
    now: datetime
    said: tuple[str, ...] = ()
    mine: bool = False
    started_at: datetime | None = None
    marks: Mapping[tuple[str, str], datetime] = field(default_factory=dict)
    running: tuple[tuple[str, str], ...] = ()
    spent: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    breakers: Mapping[str, str] = field(default_factory=dict)
    quiet: str = ""
    ran: tuple[str, ...] | None = None
    suppressed: tuple[Suppressed, ...] = ()


# Writing --------------------------------------------------------------------------------------


def to_line(situation: Situation) -> str:
    """Return a situation as one line of JSON, without what is empty."""
    event = situation.event
    plain: dict[str, JSON] = {
        "id": event.id,
        "kind": event.kind.value,
        "at": event.at,
        "received_at": event.received_at,
        "now": situation.now,
        "agent": event.agent,
        "session": None if event.session is None else _session(event.session),
        "fields": dict(event.fields),
        "resync": event.resync,
        "own": event.own,
        "started_at": situation.started_at,
        "mine": situation.mine,
        "said": list(situation.said),
        "marks": [
            {"rule": rule, "scope": scope, "at": at}
            for (rule, scope), at in sorted(situation.marks.items())
        ],
        "running": [{"rule": rule, "key": key} for rule, key in situation.running],
        "spent": [
            {"rule": rule, "session": session, "minute": minute}
            for rule, (session, minute) in sorted(situation.spent.items())
        ],
        "breakers": [
            {"rule": rule, "detail": detail} for rule, detail in sorted(situation.breakers.items())
        ],
        "quiet": situation.quiet,
        "ran": None if situation.ran is None else list(situation.ran),
        "suppressed": [
            {"rule": no.rule_id, "reason": no.reason.value, "detail": no.detail}
            for no in situation.suppressed
        ],
    }
    kept = {name: value for name, value in plain.items() if value not in (None, False, {}, [], "")}
    kept["agent"] = event.agent
    if situation.ran is not None:
        kept["ran"] = list(situation.ran)
    return encode_json(_spelled(kept)).decode()


def _session(session: ImSession) -> dict[str, JSON]:
    plain: dict[str, JSON] = {
        "id": session.id,
        "state": session.state,
        "userData": dict(session.user_data),
        "participants": [participant.facts() for participant in session.participants],
    }
    if session.capabilities is not None:
        plain["capabilities"] = list(session.capabilities)
    return plain


def _spelled(value: JSON) -> JSON:
    """Return plain values with moments as text."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _spelled(item) for key, item in value.items()}
    return [_spelled(item) for item in value] if isinstance(value, list | tuple) else value


# Reading --------------------------------------------------------------------------------------


def read_situation(path: str, text: str, *, now: datetime) -> Situation:
    """Return the situation that a JSON file describes.

    Args:
        path: Name of the file, for places.
        text: What it holds.
        now: The moment of what does not say when it was.

    Raises:
        RulebookError: With every mistake and its place.
    """
    situation, problems = _read(path, text, now, first_line=1)
    if situation is None:
        raise RulebookError(problems)
    return situation


def read_situations(path: str, text: str, *, now: datetime) -> tuple[Situation, ...]:
    """Return the situations of a file with one on each line; see :func:`read_situation`."""
    found = [
        _read(path, line, now, first_line=number)
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    ]
    problems = [problem for _, some in found for problem in some]
    if problems:
        raise RulebookError(problems)
    return tuple(situation for situation, _ in found if situation is not None)


def _read(
    path: str, text: str, now: datetime, *, first_line: int
) -> tuple[Situation | None, list[Problem]]:
    try:
        plain = decode_json(text)
    except ValueError as error:
        return None, [_not_json(path, error, first_line)]
    try:
        line = _Line.model_validate(plain)
    except ValidationError as error:
        root, _ = yamlfile.load(path, text)
        details = error.errors(include_url=False)
        return None, [_problem(path, each, root, first_line) for each in details]
    return line.situation(now), []


def _not_json(path: str, error: ValueError, first_line: int) -> Problem:
    place = Place(path, first_line, 1)
    if isinstance(error, json.JSONDecodeError):
        place = Place(path, first_line + error.lineno - 1, error.colno)
        return Problem(place, _CODE, f"this is no JSON: {error.msg}", "write one event, { … }")
    return Problem(place, _CODE, f"this is no JSON: {error}", "write one event, { … }")


def _problem(
    path: str, detail: ErrorDetails, root: yamlfile.Node | None, first_line: int
) -> Problem:
    """Return a mistake where it stands in the text."""
    loc = detail["loc"]
    place, name = _place(path, root, loc, first_line), ".".join(map(str, loc))
    match detail["type"]:
        case "extra_forbidden":
            cure = did_you_mean(str(loc[-1]), _known_keys(loc[:-1]))
            return Problem(place, "unknown-key", f"an event has no '{name}'", cure)
        case "model_type" | "dict_type":
            what = f"{name or 'an event'}: an object is due here"
            return Problem(place, _CODE, what, "write { … }")
        case "missing":
            return Problem(place, "missing-key", f"'{name}' is missing", f"add '{loc[-1]}'")
        case _:
            said = detail["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
            what, _, cure = said.partition("; ")
            return Problem(place, _CODE, f"{name}: {what}" if name else what, cure)


def _place(
    path: str, root: yamlfile.Node | None, loc: Iterable[int | str], first_line: int
) -> Place:
    """Return where in the text something stands, as far as it is there. JSON is YAML, too."""
    node = root
    for part in loc:
        if node is None:
            break
        of_list = isinstance(part, int) and part < len(node.items)
        below = node.items[part] if isinstance(part, int) and of_list else node.get(str(part))
        if below is None:
            break
        node = below
    if node is None:
        return Place(path, first_line, 1)
    return Place(path, node.place.line + first_line - 1, node.place.column)


def _known_keys(owner: Sequence[int | str]) -> Iterable[str]:
    names = [part for part in owner if isinstance(part, str)]
    model: type[BaseModel] = _MODELS.get(names[-1] if names else "", _Line)
    return model.model_fields


# What a line looks like -----------------------------------------------------------------------


def _moment(value: object) -> object:
    """Refuse numbers: nobody can tell seconds from milliseconds."""
    if not isinstance(value, str | datetime):
        cure = "write one such as 2026-03-02T09:00:00Z"
        raise ValueError(f"must be a moment with a zone; {cure}")  # noqa: TRY004  pydantic's
    return value


def _of_our_times(at: datetime) -> datetime:
    """Refuse moments that nobody can reckon with."""
    if not _FIRST_YEAR <= at.year <= _LAST_YEAR:
        raise ValueError(f"must be a moment from {_FIRST_YEAR} to {_LAST_YEAR}")
    return at


_Moment = Annotated[AwareDatetime, BeforeValidator(_moment), AfterValidator(_of_our_times)]
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
    session: int = 0
    minute: int = 0


class _Breaker(_Part):
    rule: str
    detail: str = Field(default="open", min_length=1)


class _No(_Part):
    rule: str
    reason: Reason
    detail: str = ""


class _Line(_Part):
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
            raise ValueError(f'a {self.kind} event needs a session; add "session": {{}}')
        needed = _NEEDED.get(self.kind, ())
        for name, (kinds, word) in _FIELDS.items():
            if name not in needed and name not in self.fields:
                continue
            if not _fits(self.fields.get(name), kinds):
                what = f"a {self.kind} event needs {word} in fields.{name}"
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


_MODELS: Mapping[str, type[BaseModel]] = {
    "session": _Session,
    "participants": _Participant,
    "marks": _Mark,
    "spent": _Spent,
    "breakers": _Breaker,
    "running": _Running,
    "suppressed": _No,
}
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
