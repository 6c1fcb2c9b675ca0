"""JSON text in and out: the one place that decides how lenient imbot is, with or without orjson.

orjson decides where it is installed and willing; what it refuses, or would answer otherwise than
:mod:`json`, goes to :mod:`json`. So the extra ``fast`` changes speed and never a result; only the
spelling of a float may differ (``1e-5``, ``0.00001``). Nothing here performs I/O.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable
from datetime import datetime

from imbot.model import JSON

#: Deepest nesting accepted; GWS nests about eight deep and both decoders bear this much.
MAX_DEPTH = 100
#: Most values accepted, about: each takes 50 bytes and more, and two bytes of text make one.
MAX_VALUES = 500_000

_DIGITS = bytes.maketrans(b"123456789", b"000000000")
#: Only an integer of 19 digits or more can leave 64 bits, where orjson answers a float.
_LONG_INTEGER = b"0" * 19
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _no_constant(name: str) -> JSON:
    raise ValueError(f"{name} is no JSON value")


def _finite(text: str) -> float:
    if math.isinf(number := float(text)):
        raise ValueError(f"{text} is too large a number")
    return number


_decoder = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)


def _decode_slowly(text: bytes) -> JSON:
    decoded = text.decode("utf-8", "replace").removeprefix("\ufeff")
    value = _decoder.decode(decoded)
    return _without_surrogates(value) if _ESCAPED_SURROGATE.search(decoded) else value


def _encode_slowly(value: JSON) -> bytes:
    return _utf8(_encoder.encode(value))


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _clean(text).encode()


try:
    import orjson
except ImportError:  # the extra `fast` is not installed
    _decode: Callable[[bytes], JSON] = _decode_slowly
    _encode: Callable[[JSON], bytes] = _encode_slowly
else:
    #: What json refuses is left to json to refuse.
    _OPTIONS = (
        orjson.OPT_PASSTHROUGH_DATACLASS
        | orjson.OPT_PASSTHROUGH_DATETIME
        | orjson.OPT_PASSTHROUGH_SUBCLASS
    )

    def _decode(text: bytes) -> JSON:
        if _LONG_INTEGER in text.translate(_DIGITS):
            return _decode_slowly(text)
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return _decode_slowly(text)

    def _encode(value: JSON) -> bytes:
        try:
            encoded = orjson.dumps(value, option=_OPTIONS)
        except orjson.JSONEncodeError:
            return _encode_slowly(value)
        # orjson writes NaN as null, which json refuses.
        if b"null" in encoded and _holds_no_number([value]):
            return _encode_slowly(value)
        return encoded


def decode_json(text: bytes | str) -> JSON:
    """Return the value of a JSON text.

    Broken UTF-8 and lone surrogates become U+FFFD, a byte order mark is dropped, integers keep
    every digit.

    Raises:
        ValueError: The text is no JSON, holds NaN or an infinite number, nests too deep, or would
            need much more memory than itself.
    """
    raw = _utf8(text) if isinstance(text, str) else text
    brackets = raw.count(b"[") + raw.count(b"{")
    if len(raw) > MAX_VALUES and brackets + raw.count(b",") > MAX_VALUES:
        raise ValueError(f"JSON of more than {MAX_VALUES} values")
    try:
        value = _decode(raw)
    except RecursionError as error:
        raise ValueError(f"JSON nests deeper than {MAX_DEPTH}") from error
    if brackets > MAX_DEPTH and _is_too_deep(value):
        raise ValueError(f"JSON nests deeper than {MAX_DEPTH}")
    return value


def encode_json(value: JSON) -> bytes:
    """Return plain values as compact JSON in UTF-8; lone surrogates become U+FFFD.

    Raises:
        ValueError: A number is NaN or infinite, or the value nests too deep or holds itself.
        TypeError: Something in it is no JSON value.
    """
    # orjson gives its whole buffer of 4 KB away, and a held poll keeps its body.
    return bytes(memoryview(_encoded(value)))


def json_text(value: JSON) -> str:
    """Return what :func:`encode_json` does, as text.

    Raises:
        ValueError: A number is NaN or infinite, or the value nests too deep or holds itself.
        TypeError: Something in it is no JSON value.
    """
    return _encoded(value).decode()


def _encoded(value: JSON) -> bytes:
    try:
        return _encode(value)
    except RecursionError as error:
        raise ValueError("the value nests too deep for JSON") from error


def with_moments_as_text(value: JSON) -> JSON:
    """Return a value with its moments as ISO 8601, as templates write them into text."""
    match value:
        case datetime():
            return value.isoformat(timespec="seconds")
        case dict():
            return {key: with_moments_as_text(one) for key, one in value.items()}
        case list() | tuple():
            return [with_moments_as_text(one) for one in value]
        case _:
            return value


def _holds_no_number(value: JSON) -> bool:
    """Whether a float in it is NaN or infinite."""
    for one in value.values() if isinstance(value, dict) else value:
        if isinstance(one, float):
            if not math.isfinite(one):
                return True
        elif isinstance(one, dict | list | tuple) and _holds_no_number(one):
            return True
    return False


def fingerprint(text: bytes) -> str:
    """Return what may be told of a text that may hold what people said to each other."""
    return f"{len(text)} bytes, sha256 {hashlib.sha256(text).hexdigest()[:12]}"


def _is_too_deep(value: JSON) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [child for node in level for child in _children(node)]
        if not level:
            return False
    return True


def _children(node: JSON) -> list[JSON]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []


def _without_surrogates(value: JSON) -> JSON:
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_clean(key): _without_surrogates(item) for key, item in value.items()}
    return value


def _clean(text: str) -> str:
    return _SURROGATE.sub("\ufffd", text)
