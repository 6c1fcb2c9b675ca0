"""The filters and tests that templates may use, with what each takes and gives.

None can make text longer than ``LONGEST`` characters: what can grow says so before it does.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace as replaced
from datetime import UTC, datetime, tzinfo
from functools import wraps
from types import MappingProxyType
from typing import Any

from imbot.rulebook.functions import Asks, Function, Parameter, Role
from imbot.rulebook.scope import ANY, BOOL, MISSING, NUMBER, TEXT, Kind, Senses
from imbot.zones import time_zone

#: Longer text is worked on by ``truncate``, ``default`` and ``length`` only.
LONGEST = 65_536


class UnfitError(ValueError):
    """A value does not fit a filter; the text says what, and the cure after ``; ``."""


def text_of(value: object) -> str:
    """Return a scalar as it stands in text: flags as ``true`` and ``false``, moments in ISO.

    Raises:
        UnfitError: It is no scalar.
    """
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case datetime():
            return value.isoformat(timespec="seconds")
        case None:
            raise UnfitError("the value is none; use default('…', true)")
        case _:
            raise UnfitError("a list or map is no text; use join, tojson or one of its fields")


def _bounded(size: int) -> None:
    if size > LONGEST:
        raise UnfitError(f"longer than {LONGEST} characters; use truncate first")


def _short_text(value: object) -> str:
    text = text_of(value)
    _bounded(len(text))
    return text


def _zone(senses: Senses, zone: object) -> tzinfo:
    """Return a time zone; a text is the name of a calendar, None the settings' zone."""
    if isinstance(zone, tzinfo):
        return zone
    name = senses.timezone if zone is None else str(zone)
    return time_zone(name) if zone is None else senses.calendar(name).timezone


def _moment(value: object) -> datetime:
    if not isinstance(value, datetime):
        raise UnfitError("it is no moment; only a moment has a local time")
    return value


_DIRECTIVES = re.compile(r"%-?[aAbBdHIjmMpSUwWyYzZfcxXGuV%]|[^%]")


def check_format(pattern: str) -> str:
    """Return a format for moments.

    Raises:
        ValueError: It has directives that are not documented, or is too long. Widths such as
            ``%99999999d`` would fill the memory.
    """
    if len(pattern) > 100 or _DIRECTIVES.sub("", pattern):  # noqa: PLR2004  a line of text
        raise ValueError(f"'{pattern[:40]}' is no format; write such as %Y-%m-%d %H:%M")
    return pattern


def localtime(senses: Senses, moment: object, zone: object, pattern: str) -> str:
    """Return a moment as the clocks of a calendar or time zone show it."""
    return _moment(moment).astimezone(_zone(senses, zone)).strftime(pattern)


def isoformat(senses: Senses, moment: object, zone: object) -> str:
    """Return a moment in ISO 8601, in UTC unless a zone or calendar is given."""
    there = UTC if zone is None else _zone(senses, zone)
    return _moment(moment).astimezone(there).isoformat(timespec="seconds")


def check_country(country: str) -> str:
    """Return a country whose numbers are known.

    Raises:
        ValueError: It is none; countries are two capital letters.
    """
    import phonenumbers

    if country not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError(f"unknown country '{country}'; write two capital letters, such as DE")
    return country


def e164(senses: Senses, number: object, country: object) -> object:
    """Return a number as ``+4930123456``; missing if it is none that can be dialled."""
    import phonenumbers

    text = _short_text(number)
    try:
        read = phonenumbers.parse(text, senses.country if country is None else str(country))
    except phonenumbers.NumberParseException:
        return MISSING
    # Without a country code almost any digits are possible: an extension must not become a number.
    sure = text.lstrip().startswith("+") and phonenumbers.is_possible_number(read)
    if not sure and not phonenumbers.is_valid_number(read):
        return MISSING
    return phonenumbers.format_number(read, phonenumbers.PhoneNumberFormat.E164)


def mask(value: object, shown: object) -> str:
    """Return text with stars for all but its last characters."""
    text = _short_text(value)
    kept = min(max(_whole(shown), 0), len(text) // 2)
    return "*" * (len(text) - kept) + text[len(text) - kept :]


def default(value: object, fallback: object, boolean: object) -> object:
    """Return ``fallback`` where the value is missing, or with ``boolean`` where it is empty."""
    return fallback if value is MISSING or (boolean and not value) else value


def truncate(value: object, length: object, killwords: object, end: object) -> str:
    """Return text cut to at most ``length`` characters, ``end`` included, between words."""
    text, tail, most = text_of(value), _short_text(end), _whole(length)
    if len(text) <= most:
        return text
    cut = text[: max(most - len(tail), 0)]
    if not killwords and " " in cut:
        cut = cut.rsplit(" ", 1)[0]
    return (cut + tail)[: max(most, 0)]


def _whole(value: object) -> int:
    if not isinstance(value, int | float) or not abs(value) <= LONGEST:
        raise UnfitError("that is no length; write a whole number")
    return int(value)


def lower(value: object) -> str:
    """Return text in lower case."""
    return _short_text(value).lower()


def upper(value: object) -> str:
    """Return text in upper case."""
    return _short_text(value).upper()


_WORD = re.compile(r"[^\s(\[{<-]+")


def title(value: object) -> str:
    """Return text with a capital at the beginning of each word."""
    return _WORD.sub(lambda word: word[0].capitalize(), _short_text(value))


def trim(value: object) -> str:
    """Return text without outer white space."""
    return text_of(value).strip()


def replace(value: object, old: object, new: object) -> str:
    """Return text with every ``old`` replaced by ``new``."""
    text, before, after = _short_text(value), _short_text(old), _short_text(new)
    _bounded(len(text) + text.count(before) * max(len(after) - len(before), 0))
    return text.replace(before, after)


def _items(value: object) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise UnfitError("it is no list")
    return value


def join(value: object, separator: object) -> str:
    """Return a list's items as one text."""
    items, between = _items(value), _short_text(separator)
    _bounded(len(items) * (len(between) + 1))
    texts = [text_of(item) for item in items]
    _bounded(sum(map(len, texts)) + len(texts) * len(between))
    return between.join(texts)


def first(value: object) -> object:
    """Return the first item, or character; missing if there is none."""
    items: Any = value if isinstance(value, str) else _items(value)
    return items[0] if items else MISSING


def last(value: object) -> object:
    """Return the last item, or character; missing if there is none."""
    items: Any = value if isinstance(value, str) else _items(value)
    return items[-1] if items else MISSING


def length(value: object) -> int:
    """Return how many characters, items or fields there are."""
    if not isinstance(value, str | list | tuple | Mapping):
        raise UnfitError("it has no length")
    return len(value)


def _json_of(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def tojson(value: object) -> str:
    """Return a value as JSON; moments as ISO text."""
    written: list[str] = []
    size = 0
    encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_json_of)
    try:
        for piece in encoder.iterencode(value):
            size += len(piece)
            _bounded(size)
            written.append(piece)
    except (TypeError, RecursionError) as error:
        raise UnfitError("it cannot be written as JSON") from error
    return "".join(written)


def defined(value: object) -> bool:
    """Whether there is a value."""
    return value is not MISSING


def undefined(value: object) -> bool:
    """Whether there is no value."""
    return value is MISSING


def is_none(value: object) -> bool:
    """Whether the value is none."""
    return value is None


_SCALAR = frozenset({Kind.TEXT, Kind.NUMBER, Kind.BOOL, Kind.MOMENT})
_TEXT = frozenset({Kind.TEXT})
_NUMBER = frozenset({Kind.NUMBER})
_MOMENT = Parameter("moment", frozenset({Kind.MOMENT}))
_VALUE = Parameter("value")
_INPUT = Parameter("text", _SCALAR)
_SEQUENCE = frozenset({Kind.LIST, Kind.TEXT})
_ZONE = Parameter("zone", _TEXT, Role.ZONE, default=None)
_FORMAT = Parameter("format", _TEXT, prepare=check_format, default="%Y-%m-%d %H:%M")
_COUNTRY = Parameter("country", _TEXT, prepare=check_country, default=None)


def _text_filter(run: Callable[..., str], example: str, *more: Parameter) -> Function:
    return Function(run.__name__, (_INPUT, *more), TEXT, run, example=example)


def _passing(function: Function) -> Function:
    """Return a filter that passes on what is missing, so that a later ``default`` sees it."""
    run = function.run

    @wraps(run)
    def passing(*args: object) -> object:
        return MISSING if any(arg is MISSING for arg in args) else run(*args)

    return function if function.lenient else replaced(function, run=passing)


_FILTERS = (
    Function(
        "localtime",
        (_MOMENT, _ZONE, _FORMAT),
        TEXT,
        localtime,
        Asks.SENSES,
        example="{{ next_open('support') | localtime('support', '%H:%M') }}",
    ),
    Function(
        "isoformat",
        (_MOMENT, _ZONE),
        TEXT,
        isoformat,
        Asks.SENSES,
        example="{{ now() | isoformat }}",
    ),
    Function(
        "e164",
        (_INPUT, _COUNTRY),
        TEXT,
        e164,
        Asks.SENSES,
        example="{{ participant.digits | e164('DE') }}",
    ),
    _text_filter(
        mask, "{{ participant.phoneNumber | mask }}", Parameter("shown", _NUMBER, default=4)
    ),
    Function(
        "default",
        (_VALUE, Parameter("fallback", default=""), Parameter("boolean", default=False)),
        ANY,
        default,
        lenient=True,
        example="{{ session.userData.firstName | default('there', true) }}",
    ),
    _text_filter(
        truncate,
        "{{ message.text | truncate(40) }}",
        Parameter("length", _NUMBER, default=255),
        Parameter("killwords", default=False),
        Parameter("end", _TEXT, default="..."),
    ),
    _text_filter(lower, "{{ message.text | lower }}"),
    _text_filter(upper, "{{ session.userData.country | upper }}"),
    _text_filter(title, "{{ session.userData.city | title }}"),
    _text_filter(trim, "{{ message.text | trim }}"),
    _text_filter(
        replace,
        "{{ participant.phoneNumber | replace('+', '00') }}",
        Parameter("old", _SCALAR),
        Parameter("new", _SCALAR),
    ),
    Function(
        "join",
        (Parameter("list", frozenset({Kind.LIST})), Parameter("separator", _TEXT, default="")),
        TEXT,
        join,
        example="{{ session.capabilities | join(', ') }}",
    ),
    Function(
        "first",
        (Parameter("list", _SEQUENCE),),
        ANY,
        first,
        example="{{ session.capabilities | first }}",
    ),
    Function(
        "last",
        (Parameter("list", _SEQUENCE),),
        ANY,
        last,
        example="{{ participant.digits | last }}",
    ),
    Function(
        "length",
        (Parameter("value", _SEQUENCE | {Kind.MAP}),),
        NUMBER,
        length,
        example="{{ session.participants | length }}",
    ),
    Function("tojson", (_VALUE,), TEXT, tojson, example="{{ session.userData | tojson }}"),
)
_TESTS = (
    Function(
        "defined",
        (_VALUE,),
        BOOL,
        defined,
        lenient=True,
        example="{{ session.userData.tier is defined }}",
    ),
    Function(
        "undefined",
        (_VALUE,),
        BOOL,
        undefined,
        lenient=True,
        example="{{ 'new' if session.userData.tier is undefined else 'known' }}",
    ),
    Function("none", (_VALUE,), BOOL, is_none, example="{{ vars.limit is none }}"),
)
#: What may stand after ``|``, by name.
FILTERS: Mapping[str, Function] = MappingProxyType({each.name: _passing(each) for each in _FILTERS})
#: What may stand after ``is``, by name.
TESTS: Mapping[str, Function] = MappingProxyType({each.name: _passing(each) for each in _TESTS})
