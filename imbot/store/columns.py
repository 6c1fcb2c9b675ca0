"""How values become columns and come back unchanged: text, JSON and moments.

Each kind of column is one pair of pure functions; SQLAlchemy applies them when reading, the hot
writes apply them directly (:mod:`imbot.store.statements`).
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator, TypeEngine

from imbot.jsontext import MAX_DEPTH, decode_json, json_text
from imbot.model import JSON

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
#: The only key of the object that stands for a moment; the noncharacter keeps it from being met.
_MOMENT = "\ufdd0at"


def encode_text(value: str) -> str:
    """Return the text as a database can hold it: lone surrogates become U+FFFD."""
    if value.isascii():
        return value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def encode_moment(value: datetime) -> int:
    """Return whole microseconds since 1970 in UTC."""
    return (value - _EPOCH) // _MICROSECOND


def decode_moment(value: int) -> datetime:
    """Return the moment of so many microseconds since 1970, aware, in UTC."""
    return _EPOCH + timedelta(microseconds=value)


def encode_plain(value: JSON) -> str:
    """Return a plain value, which may hold moments, as compact JSON.

    Raises:
        TypeError: Something in it is no plain value.
        ValueError: It could not be read back: NaN, an infinite number, nested too deep.
    """
    try:
        text = json_text(value)
    except TypeError:
        text = json_text(_tagged(value))
    # Two characters a level, at least.
    if len(text) > 2 * MAX_DEPTH and text.count("[") + text.count("{") > MAX_DEPTH:
        decode_json(text)
    return text


def decode_plain(text: str) -> JSON:
    """Return the value that :func:`encode_plain` was given; tuples come back as lists."""
    value = decode_json(text)
    return _untagged(value) if _MOMENT in text else value


def _tagged(value: JSON) -> JSON:
    if isinstance(value, datetime):
        return {_MOMENT: value.isoformat()}
    if isinstance(value, Mapping):
        return {key: _tagged(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_tagged(item) for item in value]
    return value


def _untagged(value: JSON) -> JSON:
    if isinstance(value, list):
        return [_untagged(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {_MOMENT}:
        return _moment(value)
    return {key: _untagged(item) for key, item in value.items()}


def _moment(value: dict[str, JSON]) -> JSON:
    # A peer may send what looks like a moment of ours; then it stays what it is.
    try:
        return datetime.fromisoformat(value[_MOMENT])
    except (TypeError, ValueError):
        return value


class _Column(TypeDecorator[Any]):
    """A column whose values pass through a pair of functions; None stays NULL."""

    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]

    def process_bind_param(self, value: object, dialect: sa.Dialect) -> object:
        """Return the value as the database keeps it."""
        del dialect
        return None if value is None else self.encode(value)

    def process_result_value(self, value: object, dialect: sa.Dialect) -> object:
        """Return the value as it was before it was kept."""
        del dialect
        return None if value is None else self.decode(value)


class Text(_Column):
    """Any Python text."""

    impl = sa.Text
    cache_ok = True
    encode = staticmethod(encode_text)
    decode = staticmethod(str)


class Json(_Column):
    """A plain value as compact JSON, moments included."""

    impl = sa.Text
    cache_ok = True
    encode = staticmethod(encode_plain)
    decode = staticmethod(decode_plain)


class Moment(_Column):
    """An aware moment as microseconds since 1970: exact, and it sorts."""

    impl = sa.BigInteger
    cache_ok = True
    encode = staticmethod(encode_moment)
    decode = staticmethod(decode_moment)


def encoder(kind: TypeEngine[Any]) -> Callable[[Any], Any] | None:
    """Return what turns a value of this column type into what is bound; None for as it is."""
    if isinstance(kind, sa.Boolean):
        return int  # as SQLite keeps it, and so as its checksum covers it
    return kind.encode if isinstance(kind, _Column) else None
