"""imbot.jsontext: one reading of JSON, whichever decoder is installed."""

import importlib.util
import json
import sys
from datetime import UTC, datetime
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imbot import jsontext


def _without_orjson() -> ModuleType:
    """Return a second copy of the module as it is where orjson is not installed."""
    spec = importlib.util.find_spec("imbot.jsontext")
    module = importlib.util.module_from_spec(spec)
    installed, sys.modules["orjson"] = sys.modules.get("orjson"), None
    try:
        spec.loader.exec_module(module)
    finally:
        sys.modules["orjson"] = installed
    return module


PLAIN = _without_orjson()
BOTH = pytest.mark.parametrize("door", [jsontext, PLAIN], ids=["fast", "plain"])

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


def _outcome(function, argument):
    try:
        return function(argument)
    except (ValueError, TypeError) as error:
        return type(error).__mro__[-3:]  # the branch, not the library's own subclass


def test_the_copy_without_orjson_really_has_none():
    assert jsontext._decode is not jsontext._decode_slowly
    assert PLAIN._decode is PLAIN._decode_slowly


@settings(deadline=None)
@given(VALUES)
def test_what_is_encoded_decodes_the_same_with_and_without_orjson(value):
    """The extra `fast` must never change behaviour."""
    fast, plain = jsontext.encode_json(value), PLAIN.encode_json(value)

    assert jsontext.json_text(value) == fast.decode()
    assert jsontext.decode_json(fast) == PLAIN.decode_json(plain) == PLAIN.decode_json(fast)


@settings(deadline=None)
@given(st.binary(max_size=40) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_mean_the_same_with_and_without_orjson(raw):
    fast = _outcome(jsontext.decode_json, raw)

    assert repr(fast) == repr(_outcome(PLAIN.decode_json, raw))


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["[", "]", "{", "}", '"', ",", ":", "1", "9" * 19, "-", ".", "e", "\\ud83d", "\\ude00"]
        )
    )
)
def test_almost_json_means_the_same_with_and_without_orjson(parts):
    raw = "".join(parts)

    assert _outcome(jsontext.decode_json, raw) == _outcome(PLAIN.decode_json, raw)


@BOTH
@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b'"\\ud800x"', "\ufffdx"),
        (b'{"\\ud800":["\\udc00", 1]}', {"\ufffd": ["\ufffd", 1]}),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\xff"', "\ufffd"),
        (b"18446744073709551616", 2**64),
        ('"\ud800"', "\ufffd"),
        (b'{"a":1,"a":2}', {"a": 2}),
    ],
)
def test_a_flaw_that_can_be_mended_is(door, raw, value):
    """One bad character must not cost a notification."""
    assert door.decode_json(raw) == value


@BOTH
@pytest.mark.parametrize("raw", [b"", b"NaN", b"-Infinity", b"1e400", b"<html>", b"[1", b"nul"])
def test_what_is_no_json_is_a_value_error(door, raw):
    with pytest.raises(ValueError, match=r"\w"):
        door.decode_json(raw)


@BOTH
@pytest.mark.parametrize("depth", [101, 5_000, 200_000])
@pytest.mark.parametrize("pair", [("[", "]"), ('{"a":', "}")])
def test_nesting_beyond_the_bound_is_a_value_error(door, depth, pair):
    """A peer must not be able to exhaust the stack."""
    with pytest.raises(ValueError, match="deep"):
        door.decode_json(pair[0] * depth + "1" + pair[1] * depth)


@BOTH
def test_nesting_up_to_the_bound_is_read(door):
    text = "[" * 100 + "]" * 100

    assert json.dumps(door.decode_json(text)) == text
    assert len(door.decode_json("[" + ",".join(["[]"] * 500) + "]")) == 500


@BOTH
@pytest.mark.parametrize(
    "value", [float("nan"), [None, float("inf")], (loop := []).append(loop) or loop]
)
def test_what_has_no_json_form_is_a_value_error(door, value):
    with pytest.raises(ValueError, match=r"\w"):
        door.encode_json(value)


@BOTH
@pytest.mark.parametrize("value", [datetime.now(UTC), {"a": {1}}, b"x"])
def test_what_is_no_plain_value_is_a_type_error(door, value):
    with pytest.raises(TypeError):
        door.encode_json(value)


@BOTH
def test_a_value_that_nests_too_deep_to_write_is_a_value_error(door):
    value = []
    for _ in range(200_000):
        value = [value]

    with pytest.raises(ValueError, match="deep"):
        door.encode_json(value)


@BOTH
def test_text_goes_out_as_compact_utf8(door):
    assert door.encode_json({"a": ["ä", None, 2**70], "b": "\ud800"}) == (
        '{"a":["ä",null,1180591620717411303424],"b":"\ufffd"}'.encode()
    )


@BOTH
@pytest.mark.parametrize("piece", [b"[],", b"{},", b"0,"])
def test_what_would_need_much_more_memory_than_itself_is_a_value_error(door, piece):
    """Two bytes make a list of 56."""
    with pytest.raises(ValueError, match="more than 500000 values"):
        door.decode_json(b"[" + piece * jsontext.MAX_VALUES + b"0]")


def test_a_text_is_told_by_its_length_and_hash():
    assert jsontext.fingerprint(b"secret") == "6 bytes, sha256 2bb80d537b1d"
