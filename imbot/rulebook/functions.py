"""The functions that conditions and templates may call, with what each takes and gives.

A function whose argument is missing, or is not what it takes, gives ``MISSING``. None raises, and
none can make more than a few times what it was given.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import re2

from imbot.durations import parse_duration
from imbot.model import SessionState
from imbot.rulebook.scope import (
    BOOL,
    MISSING,
    MOMENT,
    NUMBER,
    TEXT,
    Kind,
    Scope,
    Senses,
    Type,
)


class Role(StrEnum):
    """What a literal argument is the name of."""

    CAPABILITY = "capability"
    CALENDAR = "calendar"
    RULE = "rule"
    SECRET = "secret"  # noqa: S105  the word, not one
    ZONE = "calendar or time zone"


class Asks(StrEnum):
    """What a function is given before its arguments."""

    NOTHING = "nothing"
    SCOPE = "scope"
    SENSES = "senses"


@dataclass(frozen=True, slots=True)
class Required:
    """The type of ``REQUIRED``: a parameter without a default."""


REQUIRED: Final = Required()


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a function.

    Attributes:
        name: Its name, also as a keyword where keywords are allowed.
        takes: The kinds it takes; empty for any.
        role: What it names; an argument with a role must be a literal.
        prepare: Makes the value to run with from a literal, once, or raises ValueError with what
            is wrong, and the cure after ``; ``; such an argument must be a literal.
        default: Its value when it is not given.
    """

    name: str
    takes: frozenset[Kind] = frozenset()
    role: Role | None = None
    prepare: Callable[[str], object] | None = None
    default: object = REQUIRED


@dataclass(frozen=True, slots=True)
class Function:
    """What a call needs and gives.

    Attributes:
        name: As authors write it.
        parameters: What it takes, in order.
        result: What it gives, or ``MISSING``.
        run: Does it: gets what it asks for, then one value per parameter.
        asks: What it gets first.
        session: Whether it is about the session, and so needs a trigger that has one.
        lenient: Whether what it takes may be missing even where templates are strict.
        example: How it is used, for people.
    """

    name: str
    parameters: tuple[Parameter, ...]
    result: Type
    run: Callable[..., Any]
    asks: Asks = Asks.NOTHING
    session: bool = False
    lenient: bool = False
    example: str = ""

    @property
    def required(self) -> int:
        """How many arguments it must have."""
        return sum(parameter.default is REQUIRED for parameter in self.parameters)


_ALIVE = frozenset(SessionState) - {SessionState.COMPLETED}
#: The states in which GWS carries out each operation. Source: contract 1.6 to 1.9, 9.3 [I].
STATES_FOR: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "SendMessage": frozenset({SessionState.TALKING}),
        "AttachUserData": _ALIVE,
        "UpdateUserData": _ALIVE,
        "DeleteUserData": _ALIVE,
        "Complete": _ALIVE,
    }
)


def can(scope: Scope, capability: str) -> object:
    """Whether the session's state allows it, and GWS lists the capability or sent no list."""
    session = scope.get("session")
    if not isinstance(session, Mapping):
        return MISSING
    listed = session.get("capabilities")
    state_allows = session.get("state") in STATES_FOR[capability]
    return state_allows and (listed is None or capability in listed)


def opened(senses: Senses, name: str) -> bool:
    """Whether the calendar is open now."""
    return senses.calendar(name).is_open(senses.now())


def closed(senses: Senses, name: str) -> bool:
    """Whether the calendar is closed now."""
    return not opened(senses, name)


def next_open(senses: Senses, name: str) -> object:
    """Return when the calendar next opens; missing if it never does."""
    return senses.calendar(name).next_open(senses.now()) or MISSING


def next_close(senses: Senses, name: str) -> object:
    """Return when the calendar next closes; missing if it never does."""
    return senses.calendar(name).next_close(senses.now()) or MISSING


def contains(text: object, part: object) -> object:
    """Whether ``part`` stands in ``text``; capitals matter."""
    return part in text if isinstance(text, str) and isinstance(part, str) else MISSING


def startswith(text: object, part: object) -> object:
    """Whether ``text`` begins with ``part``."""
    return text.startswith(part) if isinstance(text, str) and isinstance(part, str) else MISSING


def endswith(text: object, part: object) -> object:
    """Whether ``text`` ends with ``part``."""
    return text.endswith(part) if isinstance(text, str) and isinstance(part, str) else MISSING


#: Longer is no search any more, and its automaton costs memory.
LONGEST_PATTERN = 1000
#: {1,90} in each of a hundred alternatives keeps RE2 busy for as long as a large rulebook.
_MOST_REPEATS = 1000
_REPEAT = re.compile(r"\{(?:[0-9]{1,4},)?([0-9]{1,4})\}")
#: In the 8 MiB that RE2 takes by default, \pL{1,100} compiles for a tenth of a second.
_PATTERN_BYTES = 1024 * 1024
_RE2_CURES = {
    "too large": "repeat less, or use a smaller class than \\p",
    "(?=": "RE2 has no lookahead",
    "(?!": "RE2 has no lookahead",
    "(?<": "RE2 has no lookbehind",
    "missing ]": "close the [, or write \\[ for a plain one",
    "missing )": "close the (, or write \\( for a plain one",
    "unexpected )": "leave the ) out, or write \\) for a plain one",
    "repetition operator": "write what is repeated before it, or \\* for a plain one",
    "invalid escape sequence": "RE2 has no backreferences, and \\\\ is a backslash",
}


def compile_pattern(pattern: str) -> Any:  # noqa: ANN401  re2 has no types
    """Return the compiled RE2 pattern.

    Raises:
        ValueError: RE2 refuses it; the message says why.
    """
    if len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"a pattern longer than {LONGEST_PATTERN} characters; split it")
    if sum(map(int, _REPEAT.findall(pattern))) > _MOST_REPEATS:
        raise ValueError(f"a pattern that repeats more than {_MOST_REPEATS} times; repeat less")
    options = re2.Options()
    options.max_mem = _PATTERN_BYTES
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except UnicodeError as error:
        raise ValueError("a pattern with half a character in it") from error
    except re2.error as error:
        reason = str(error.args[0], "utf-8", "replace")
        cures = (cure for sign, cure in _RE2_CURES.items() if sign in reason)
        cure = next(cures, "see RE2's syntax")
        raise ValueError(f"'{pattern[:80]}' is no pattern: {reason}; {cure}") from error


#: Where RE2's cache of states does not suffice, each byte costs each instruction of the pattern
#: some 30 ns. So large a product takes a sixth of a second at most: ``order [0-9]+`` is searched
#: in 300 KB, and what repeats a class 500 times in 10 KB.
_MOST_STEPS = 5_000_000


def matches(text: object, regex: Any) -> object:  # noqa: ANN401  re2 has no types
    """Whether an RE2 pattern is found in ``text``; missing where both are too large."""
    if not isinstance(text, str):
        return MISSING
    # A lone surrogate cannot be said in UTF-8, which is what RE2 reads.
    said = text.encode("utf-8", "replace")
    if len(said) * regex.programsize > _MOST_STEPS:
        return MISSING
    return regex.search(said) is not None


def lower(text: object) -> object:
    """Return ``text`` in lower case."""
    return text.lower() if isinstance(text, str) else MISSING


def upper(text: object) -> object:
    """Return ``text`` in upper case."""
    return text.upper() if isinstance(text, str) else MISSING


def strip(text: object) -> object:
    """Return ``text`` without outer white space."""
    return text.strip() if isinstance(text, str) else MISSING


def length(value: object) -> object:
    """Return how many characters, items or fields there are."""
    return len(value) if isinstance(value, str | list | tuple | Mapping) else MISSING


_NUMBER = re.compile(r"\s*([+-]?[0-9]{1,18})(\.[0-9]{1,18})?\s*")
#: Characters of a text that is worth remembering.
_SHORT = 64


def number(value: object) -> object:
    """Return the number that a text spells, such as ``12`` or ``-3.5``; else missing."""
    if isinstance(value, str):
        return _spelled(value) if len(value) <= _SHORT else _read(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else MISSING


def _read(text: str) -> object:
    found = _NUMBER.fullmatch(text)
    if found is None:
        return MISSING
    return float(found[0]) if found[2] else int(found[1])


#: One event's value is asked for by many rules. Bounded in texts, and by ``_SHORT`` in bytes.
_spelled = lru_cache(maxsize=1024)(_read)


def now(senses: Senses) -> datetime:
    """Return the moment of the decision."""
    return senses.now()


def age(senses: Senses, moment: object) -> object:
    """Return the seconds since ``moment``; negative when it is to come."""
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        return MISSING
    return (senses.now() - moment).total_seconds()


def duration(seconds: float) -> float:
    """Return the seconds that a duration lasts."""
    return seconds


def said(senses: Senses, text: object) -> object:
    """Whether the other party said ``text`` in this session; capitals do not matter."""
    return senses.said(text) if isinstance(text, str) else MISSING


def once_done(senses: Senses, rule_id: str) -> bool:
    """Whether that rule's once mark is set for this session."""
    return senses.once_done(rule_id)


def secret(senses: Senses, name: str) -> str:
    """Return the secret of this name."""
    return senses.secret(name)


_TEXT = frozenset({Kind.TEXT})
_TEXTS = (Parameter("text", _TEXT), Parameter("part", _TEXT))
_ONE_TEXT = (Parameter("text", _TEXT),)
_CALENDAR = (Parameter("calendar", _TEXT, Role.CALENDAR),)
_COUNTABLE = frozenset({Kind.TEXT, Kind.LIST, Kind.MAP})

_ALL = (
    Function(
        "can",
        (Parameter("capability", _TEXT, Role.CAPABILITY),),
        BOOL,
        can,
        Asks.SCOPE,
        session=True,
        example='can("SendMessage")',
    ),
    Function("open", _CALENDAR, BOOL, opened, Asks.SENSES, example='open("support")'),
    Function("closed", _CALENDAR, BOOL, closed, Asks.SENSES, example='closed("support")'),
    Function(
        "next_open",
        _CALENDAR,
        MOMENT,
        next_open,
        Asks.SENSES,
        example='age(next_open("support")) > -3600',
    ),
    Function(
        "next_close",
        _CALENDAR,
        MOMENT,
        next_close,
        Asks.SENSES,
        example='age(next_close("support")) > -600',
    ),
    Function("contains", _TEXTS, BOOL, contains, example='contains(message.text, "order")'),
    Function("startswith", _TEXTS, BOOL, startswith, example='startswith(agent.user, "bot")'),
    Function("endswith", _TEXTS, BOOL, endswith, example='endswith(message.text, "?")'),
    Function(
        "matches",
        (Parameter("text", _TEXT), Parameter("pattern", _TEXT, prepare=compile_pattern)),
        BOOL,
        matches,
        example='matches(message.text, "(?i)order [0-9]+")',
    ),
    Function("lower", _ONE_TEXT, TEXT, lower, example='lower(message.text) == "stop"'),
    Function("upper", _ONE_TEXT, TEXT, upper, example='upper(session.userData.country) == "DE"'),
    Function("strip", _ONE_TEXT, TEXT, strip, example='strip(message.text) == "?"'),
    Function(
        "len",
        (Parameter("value", _COUNTABLE),),
        NUMBER,
        length,
        example="len(message.text) > 500",
    ),
    Function(
        "number",
        (Parameter("text", frozenset({Kind.TEXT, Kind.NUMBER})),),
        NUMBER,
        number,
        example="number(session.userData.orders) >= 10",
    ),
    Function("now", (), MOMENT, now, Asks.SENSES, example="event.at < now()"),
    Function(
        "age",
        (Parameter("moment", frozenset({Kind.MOMENT})),),
        NUMBER,
        age,
        Asks.SENSES,
        example="age(session.started_at) > 60",
    ),
    Function(
        "duration",
        (Parameter("duration", _TEXT, prepare=parse_duration),),
        NUMBER,
        duration,
        example='age(session.started_at) > duration("1h30m")',
    ),
    Function("said", _ONE_TEXT, BOOL, said, Asks.SENSES, session=True, example='said("thank you")'),
    Function(
        "once_done",
        (Parameter("rule", _TEXT, Role.RULE),),
        BOOL,
        once_done,
        Asks.SENSES,
        session=True,
        example='not once_done("greet")',
    ),
)
#: What conditions and templates may call, by name.
FUNCTIONS: Mapping[str, Function] = MappingProxyType({each.name: each for each in _ALL})
#: What only templates may call, and only where the caller allows secrets.
SECRET = Function(
    "secret",
    (Parameter("name", _TEXT, Role.SECRET),),
    TEXT,
    secret,
    Asks.SENSES,
    example="{{ secret('CRM_TOKEN') }}",
)
#: Not functions but ways to write ``or`` and ``and``; they take conditions.
JUNCTIONS: Mapping[str, bool] = MappingProxyType({"any_of": False, "all_of": True})
