"""What a condition or a template can see: the names of a scope, their types, and the senses.

A *scope* is a plain dict, name to value; its values are text, numbers, bools, None, aware
datetimes, lists and dicts, never objects with methods. What is not there, at any depth, is
``MISSING``. Nothing here reads files or knows a syntax.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias, final

from imbot.model import ConnectionChange, SessionState
from imbot.problems import Place
from imbot.rulebook.calendars import Calendar

Scope: TypeAlias = Mapping[str, Any]


@final
class Missing:
    """The type of ``MISSING``: no value. Every comparison with it is false, ``!=`` too."""

    __slots__ = ()

    def __bool__(self) -> bool:
        """It never holds."""
        return False

    def __eq__(self, other: object) -> bool:
        """Nothing equals it, not even itself."""
        return False

    def __ne__(self, other: object) -> bool:
        """Nothing differs from it either: there is nothing to compare."""
        return False

    def __lt__(self, other: object) -> bool:
        """It has no order."""
        return False

    __le__ = __gt__ = __ge__ = __lt__

    def __hash__(self) -> int:
        """It may be looked up, and is never found."""
        return 0

    def __repr__(self) -> str:
        """Return how *explain* prints it."""
        return "<missing>"


MISSING: Final = Missing()


class Senses(Protocol):
    """What an expression may ask of the world; everything else it sees is in its scope."""

    @property
    def country(self) -> str:
        """Two-letter country of numbers without a country code."""
        ...

    @property
    def timezone(self) -> str:
        """The settings' time zone."""
        ...

    def now(self) -> datetime:
        """Return the moment of the decision, aware, in UTC."""
        ...

    def calendar(self, name: str) -> Calendar:
        """Return the calendar of this name, with an operator's switch applied."""
        ...

    def said(self, text: str) -> bool:
        """Whether the other party said ``text`` in this session; case does not matter."""
        ...

    def once_done(self, rule_id: str) -> bool:
        """Whether the once mark of this rule is set for this session."""
        ...

    def secret(self, name: str) -> str:
        """Return the secret of this name."""
        ...


class Kind(StrEnum):
    """What a value is, as far as the checker cares."""

    TEXT = "text"
    NUMBER = "a number"
    BOOL = "true or false"
    MOMENT = "a moment"
    LIST = "a list"
    MAP = "a map"
    NOTHING = "nothing"
    ANY = "anything"


@dataclass(frozen=True, slots=True)
class Type:
    """What is known of a value before there is one.

    Attributes:
        kind: What it is.
        words: For text out of a closed set: the set.
        called: What such a word is called in messages, for example ``session state``.
        item: What a list holds, or the fields of a map that may have any field.
        fields: The fields of a map that has no others; None when it may have any.
    """

    kind: Kind
    words: frozenset[str] | None = None
    called: str = ""
    item: "Type | None" = None
    fields: Mapping[str, "Type"] | None = None

    def __str__(self) -> str:
        """Return the word for it in messages."""
        return f"a {self.called}" if self.called else self.kind.value

    def of_field(self, name: str) -> "Type | None":
        """Return the type of a map's field; None when there is no such field."""
        if self.kind is Kind.ANY:
            return ANY
        if self.kind is not Kind.MAP:
            return None
        return self.item or ANY if self.fields is None else self.fields.get(name)

    @property
    def of_item(self) -> "Type":
        """The type of what is in it."""
        return self.item or ANY


TEXT = Type(Kind.TEXT)
NUMBER = Type(Kind.NUMBER)
BOOL = Type(Kind.BOOL)
MOMENT = Type(Kind.MOMENT)
NOTHING = Type(Kind.NOTHING)
ANY = Type(Kind.ANY)
LIST = Type(Kind.LIST)
MAP = Type(Kind.MAP)


def one_of(words: Iterable[str], called: str) -> Type:
    """Return the type of a text that is one of ``words``, each of which is a ``called``."""
    return Type(Kind.TEXT, words=frozenset(words), called=called)


def list_of(item: Type) -> Type:
    """Return the type of a list that holds ``item``."""
    return Type(Kind.LIST, item=item)


def map_of(fields: Mapping[str, Type]) -> Type:
    """Return the type of a map that has these fields and no others."""
    return Type(Kind.MAP, fields=MappingProxyType(dict(fields)))


def any_map_of(item: Type) -> Type:
    """Return the type of a map that may have any field, each of type ``item``."""
    return Type(Kind.MAP, item=item)


def type_of(value: object) -> Type:  # noqa: PLR0911  one case per type
    """Return the type of a plain value, such as a constant of a rule file."""
    match value:
        case None:
            return NOTHING
        case bool():
            return BOOL
        case int() | float():
            return NUMBER
        case str():
            return TEXT
        case datetime():
            return MOMENT
        case list() | tuple():
            return LIST
        case Mapping():
            return map_of({str(name): type_of(item) for name, item in value.items()})
        case _:
            return ANY


STATE = one_of(SessionState, "session state")
CAPABILITY = one_of(
    ("SendMessage", "AttachUserData", "UpdateUserData", "DeleteUserData", "Complete"), "capability"
)
PARTICIPANT = map_of(
    dict.fromkeys(("phoneNumber", "digits", "e164Number", "formattedPhoneNumber"), TEXT)
)
SESSION = map_of(
    {
        "id": TEXT,
        "state": STATE,
        "userData": any_map_of(TEXT),
        "participants": list_of(PARTICIPANT),
        "capabilities": list_of(CAPABILITY),
        "started_at": MOMENT,
        "mine": BOOL,
    }
)
MESSAGE = map_of({"text": TEXT, "at": MOMENT})
AGENT = map_of(dict.fromkeys(("user", "name", "number", "place"), TEXT))
BOT = map_of({"nickname": TEXT, "instance": TEXT})
ERROR = map_of(
    {
        "kind": one_of(("temporary", "ambiguous", "permanent"), "kind of error"),
        "message": TEXT,
        "step": TEXT,
    }
)

#: What each kind of trigger adds to ``event``.
EVENT_FIELDS: Mapping[str, Mapping[str, Type]] = MappingProxyType(
    {
        "state": {"previous": STATE},
        "message": {},
        "userdata": {"changed": any_map_of(map_of({"old": TEXT, "new": TEXT}))},
        "idle": {"idle": NUMBER},
        "calendar": {
            "calendar": TEXT,
            "edge": one_of(("opens", "closes"), "calendar's edge"),
            "scheduled_at": MOMENT,
        },
        "schedule": {"scheduled_at": MOMENT},
        "connection": {
            "change": one_of(ConnectionChange, "connection change"),
            "reason": TEXT,
            "seconds": NUMBER,
        },
        "webhook": {"name": TEXT, "body": ANY},
    }
)
TRIGGER_KINDS = frozenset(EVENT_FIELDS)

_EVENT = {
    "kind": one_of(TRIGGER_KINDS, "kind of event"),
    "at": MOMENT,
    "age": NUMBER,
    "resync": BOOL,
}


def awaited(kind: str) -> Type:
    """Return the type of what a ``wait_for`` of this kind binds: what happened, or no time left."""
    message = {"message": MESSAGE} if kind == "message" else {}
    return map_of({"timed_out": BOOL, "event": map_of({**_EVENT, **EVENT_FIELDS[kind]}), **message})


#: The kinds of events that are about no session and no agent.
WITHOUT_SESSION = frozenset({"calendar", "schedule", "webhook"})
_WITH_SESSION = TRIGGER_KINDS - WITHOUT_SESSION
_SUPPLIED_BY: Mapping[str, tuple[Type, frozenset[str]]] = MappingProxyType(
    {
        "session": (SESSION, _WITH_SESSION),
        "participant": (PARTICIPANT, _WITH_SESSION),
        "agent": (AGENT, _WITH_SESSION),
        "message": (MESSAGE, frozenset({"message"})),
        "bot": (BOT, TRIGGER_KINDS),
    }
)


def _nowhere(_name: str) -> Place | None:
    return None


@dataclass(frozen=True, slots=True)
class Names:
    """The names that an expression at some place of a rule may use, with their types.

    Attributes:
        types: Name to type.
        elsewhere: Names and ``event.`` fields that only other triggers supply, to their kinds;
            to none of them what a block does not see.
        constants: What is known of ``vars`` before anything runs.
        of_block: Whether they are what a block sees.
        binder: Returns where a name is bound that is not bound here; None where nothing binds it.
    """

    types: Mapping[str, Type] = field(default_factory=lambda: MappingProxyType({}))
    elsewhere: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    constants: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    of_block: bool = False
    binder: Callable[[str], Place | None] = field(default=_nowhere, compare=False)

    @classmethod
    @cache
    def for_trigger(cls, kinds: frozenset[str]) -> "Names":
        """Return what a rule with triggers of these kinds sees before its first step.

        A name that only some of them supply is allowed, and missing for the others.
        """
        types = {name: type_ for name, (type_, by) in _SUPPLIED_BY.items() if by & kinds}
        elsewhere = {name: by for name, (_, by) in _SUPPLIED_BY.items() if not by & kinds}
        fields = dict(_EVENT)
        for kind, added in EVENT_FIELDS.items():
            if kind in kinds:
                fields.update(added)
        for kind, added in EVENT_FIELDS.items():
            for name in added.keys() - fields.keys():
                path = f"event.{name}"
                elsewhere[path] = elsewhere.get(path, frozenset()) | {kind}
        types |= {"event": map_of(fields), "vars": map_of({})}
        return cls(MappingProxyType(types), MappingProxyType(elsewhere))

    @classmethod
    def for_block(cls, inputs: Mapping[str, Type]) -> "Names":
        """Return what a block sees: the common names and its inputs, not the caller's results."""
        names = cls.for_trigger(TRIGGER_KINDS)
        types = {name: type_ for name, type_ in names.types.items() if name != "message"}
        unseen = MappingProxyType({"message": frozenset[str]()})
        return cls(MappingProxyType(types | dict(inputs)), unseen, of_block=True)

    def bind(self, name: str, type_: Type = ANY) -> "Names":
        """Return these names and one more, which hides an older one of the same name."""
        return replace(self, types=MappingProxyType({**self.types, name: type_}))

    def bound_by(self, binder: Callable[[str], Place | None]) -> "Names":
        """Return these names, with who knows where others are bound."""
        return replace(self, binder=binder)

    def with_error(self) -> "Names":
        """Return what an ``on_error`` sees."""
        return self.bind("error", ERROR)

    def with_vars(self, values: Mapping[str, object]) -> "Names":
        """Return these names with constants; a value may be a plain value or its :class:`Type`."""
        older = self.types.get("vars", MAP).fields or {}
        newer = {
            name: value if isinstance(value, Type) else type_of(value)
            for name, value in values.items()
        }
        types = {**self.types, "vars": map_of({**older, **newer})}
        constants = MappingProxyType({**self.constants, **values})
        return replace(self, types=MappingProxyType(types), constants=constants)


@dataclass(frozen=True, slots=True)
class Known:
    """What else an expression may name; None is "not known here": such a name is not checked.

    Attributes:
        calendars: Names of the rulebook's calendars.
        rules: Ids of the rulebook's rules.
        secrets: Names of secrets.
        secrets_are_all: Whether the settings were read; else an unknown secret is a warning.
    """

    calendars: frozenset[str] | None = frozenset()
    rules: frozenset[str] | None = None
    secrets: frozenset[str] | None = frozenset()
    secrets_are_all: bool = True
