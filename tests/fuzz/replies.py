"""Writes answers of GWS, real ones by the contract, and what mutation makes of them."""

import json
from collections.abc import Callable, Sequence
from functools import cache
from random import Random

from imbot.model import ImSession, Participant
from imbot.store import rows

#: What a notification is about; the shapes that were seen or are documented. Source: contract 2.5.
_SESSION = {
    "id": "S1", "state": "Talking", "path": "/im-sessions/S1",
    "uri": "http://gws:8090/api/v2/me/im-sessions/S1",
    "participants": [{"phoneNumber": "3001", "digits": "3001", "e164Number": "",
                      "formattedPhoneNumber": "3001"}],
    "capabilities": ["SendMessage", "Complete", "UpdateUserData"],
    "userData": {"tier": "gold", "NESTED": {"path": "/users/1"}, "age": 7},
}  # fmt: skip
_METRICS = {"eventProcessing": {"serverGenerationTimestamp": 1772452800000,
                                "serverProcessingTimeTotalMs": -1}}  # fmt: skip
_DATA = (
    {"messageType": "IMSessionStateChangeMessage", "notificationType": "StatusChange",
     "imSession": _SESSION, "metrics": _METRICS},
    {"messageType": "IMSessionStateChangeMessage", "notificationType": "AttachedDataChanged",
     "imSession": {**_SESSION, "state": " Talking", "userData": []}},
    {"messageType": "IMLogUpdateMessage", "notificationType": "NewMessage",
     "imSessionPath": "/im-sessions/S1", "message": "Hello, I'm \u00e4\u20ac\U0001f600"},
    {"messageType": "IMLogUpdateMessage", "imSessionUri": "http://gws/im-sessions/S1?x=1",
     "message": {"text": "hi", "from": {"phoneNumber": "3001"}, "timestamp": "1772452800000"}},
    {"messageType": "IMLogUpdateMessage", "imSession": {"id": 7}, "message": ["a", {"msg": "b"}]},
    {"messageType": "DeviceStateChangeMessage", "devices": [
        {"id": "D1", "phoneNumber": "1003", "userState": {"state": "LoggedIn"}}]},
    {"messageType": "ErrorMessage", "devicePath": "/devices/D1", "metrics": _METRICS},
    {"notificationType": "Error", "errorMessage": "no", "imSessionPath": "/im-sessions/S1"},
    {"services": [{"id": "x", "state": "Active"}]},
)  # fmt: skip
_CHANNELS = ("/v2/me/im-sessions", "/v2/me/devices", "/v2/me/calls", "/notifications/services")
_ADVICE = {"interval": 0, "timeout": 30000, "reconnect": "retry"}
_METAS = (
    {"channel": "/meta/connect", "id": "4", "successful": True, "ext": {"ack": 5}},
    {"channel": "/meta/connect", "id": "4", "successful": True, "advice": _ADVICE},
    {"channel": "/meta/connect", "id": "4", "successful": False, "error": "402::Unknown client",
     "advice": {"reconnect": "handshake", "interval": 0}},
    {"channel": "/meta/connect", "id": "4", "successful": True,
     "advice": {"multiple-clients": True, "interval": 2000, "reconnect": "retry"}},
    {"channel": "/meta/handshake", "id": "1", "successful": True, "clientId": "c1",
     "version": "1.0", "minimumVersion": "1.0", "supportedConnectionTypes": ["long-polling"],
     "ext": {"ack": True}, "advice": _ADVICE},
    {"channel": "/meta/subscribe", "id": "2", "subscription": "/v2/me/calls", "successful": False,
     "error": "403:denied_by_security_policy:subscribe_denied"},
    {"channel": "/meta/disconnect", "successful": True},
)  # fmt: skip
_BODIES = (
    {"statusCode": 0, "imSessions": [_SESSION, {**_SESSION, "id": "S2", "state": "Completed"}]},
    {"statusCode": 0, "imSession": _SESSION},
    {"statusCode": 0, "uris": ["http://gws/api/v2/me/im-sessions/S1", {"uri": "x/S2"}]},
    {"statusCode": 0, "devices": [{"id": "D1", "path": "/devices/D1", "userState": "Ready"}]},
    {"statusCode": 0, "user": {"userName": "bot1", "firstName": "R", "lastName": "B",
     "features": [{"id": "api-voice-instant-messaging"}], "devices": [{"id": "D1"}],
     "changePasswordOnFirstLogin": "false"}},
    {"statusCode": 0, "settings": [{"name": "multimedia", "value": "true"}]},
    {"statusCode": 4, "statusMessage": "Device '1' is not registered."},
    {"statusCode": "2", "errorDescription": "Invalid state"},
    {"status": "ok"}, {"status": "error", "errorMessage": "x"},
)  # fmt: skip
_ROWS = (
    rows.session_to_plain(
        ImSession("S1", "Talking", {"tier": "gold"}, (Participant("3001"),), ("Complete",), ("x",))
    ),
    {"id": "S1", "state": "Completed"},
    [["greet", "once", "since 12:00"], ["bye", "budget", ""]],
    [[1, None, True, 0, 3], [9, {"\ufdd0at": "2026-03-02T12:00:00+00:00"}, False, 2]],
)
_PLAIN = (
    b"", b"[]", b"{}", b"null", b"true", b"<html><body>502 Bad Gateway</body></html>",
    b"Missing or invalid Csrf token", b"\xef\xbb\xbf[]", b"\xff\xfe[\x00]\x00", b"\x1f\x8b\x08\x00",
)  # fmt: skip

#: What is put in the place of a value: numbers, words and sizes that break things.
_ODD = (
    b"null", b"true", b"false", b"0", b"-1", b"-0.0", b"1e-400", b"9223372036854775807",
    b"9223372036854775808", b"18446744073709551616", b"1" * 400, b"0." + b"3" * 400, b'""', b'" "',
    b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\u0000"', b'"\\u0007\\u001b[31m"', b'"\xed\xa0\x80"',
    b'"\xff"', b'"\xc3"', b'"\\u202e"', b'"\xf0\x9f\x98\x80"', b'"\\ud83d\\ude00"', b"[]", b"{}",
    b'"' + b"x" * 70_000 + b'"', b"[[]]", b'{"":{}}', b'{"id":"S1","id":"S2"}',
    b"[" * 40 + b"]" * 40, b'{"a":' * 40 + b"1" + b"}" * 40, b'"/im-sessions/"', b'"Talking"',
    b'"/im-sessions/S1/../x"', b'" talking "', b'"Completed"', b'"Exploded"', b'"retry"',
    b'"handshake"', b'"none"', b'"402::x"', b'"403::unknown"', b'"1772452800000"', b"1772452800000",
    b"1e12", b"1.5", b'"\xe2\x80\xa8"', b'"\\u2028"', b'"\xd9\xa1"', b'"\xc2\xb2"', b'"S1"', b"7",
    b"{" + b",".join(b'"k%d":%d' % (n, n) for n in range(1100)) + b"}",
    b"[" + b",".join(b"%d" % n for n in range(1100)) + b"]",
)  # fmt: skip
#: What is no JSON, or none that is taken.
_NO_JSON = (
    b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"1" * 5000, b"+1", b"01", b"0x1",
    b".5", b"'a'", b"undefined", b"//", b"[" * 5000, b"[" * 120 + b"]" * 120, b'"\x01"', b"\x00",
)  # fmt: skip
_MARKS = tuple(bytes([n]) for n in b'[]{},:"\\ \t\r\n\x00\x7f\x80\xff0e-')


def _encoded(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


@cache
def _encoded_all() -> dict[str, tuple[bytes, ...]]:
    inner = {
        channel: [{"channel": channel, "data": data} for data in _DATA] for channel in _CHANNELS
    }
    events = [event for each in inner.values() for event in each]
    events += [{"channel": _CHANNELS[0], "data": json.dumps(data)} for data in _DATA]
    events += [{"channel": _CHANNELS[0], **data} for data in _DATA]
    return {
        "event": tuple(map(_encoded, events)),
        "meta": tuple(map(_encoded, _METAS)),
        "body": tuple(map(_encoded, _BODIES)),
        "row": tuple(map(_encoded, _ROWS)),
    }


def reply(random: Random) -> bytes:
    """Return the answer to a Bayeux request, or something like one."""
    samples = _encoded_all()
    if random.random() < 0.02:
        return _bent(random.choice(_PLAIN), random)
    count = random.choice((0, 1, 1, 1, 2, 3))
    elements = [random.choice(samples["event"]) for _ in range(count)]
    elements.insert(random.randint(0, count), random.choice(samples["meta"]))
    return _bent(b"[" + b",".join(elements) + b"]", random)


def answer(random: Random) -> bytes:
    """Return the answer to a request of the API, or something like one."""
    if random.random() < 0.02:
        return _bent(random.choice(_PLAIN), random)
    return _bent(random.choice(_encoded_all()["body"]), random)


def row(random: Random) -> bytes:
    """Return what a column of a store may hold once a disk has changed it."""
    return _bent(random.choice(_encoded_all()["row"]), random)


def _bent(text: bytes, random: Random) -> bytes:
    for _ in range(random.choice((0, 1, 1, 1, 1, 2, 3, 6))):
        text = random.choice(_WAYS)(text, random)
    return text


# Ways of bending


def _value_put(text: bytes, random: Random) -> bytes:
    """Put something odd in the place of a value."""
    start = text.find(b":", random.randrange(len(text) + 1))
    if start < 0:
        return text
    end = start + 1
    while end < len(text) and text[end : end + 1] not in b",}]":
        end += 1
    odd = random.choice(_ODD if random.random() < 0.9 else _NO_JSON)
    return text[: start + 1] + odd + text[end:]


def _inserted(text: bytes, random: Random) -> bytes:
    at = random.randrange(len(text) + 1)
    return text[:at] + random.choice(random.choice((_ODD, _NO_JSON, _MARKS, _MARKS))) + text[at:]


def _flipped(text: bytes, random: Random) -> bytes:
    if not text:
        return text
    at = random.randrange(len(text))
    return text[:at] + bytes([text[at] ^ (1 << random.randrange(8))]) + text[at + 1 :]


def _cut(text: bytes, random: Random) -> bytes:
    start = random.randrange(len(text) + 1)
    return text[:start] + text[start + random.choice((1, 2, 5, 20, 1000)) :]


def _repeated(text: bytes, random: Random) -> bytes:
    start = random.randrange(len(text) + 1)
    piece = text[start : start + random.choice((1, 5, 50, 300))]
    return text[:start] + piece * random.choice((2, 3, 40)) + text[start:]


def _truncated(text: bytes, random: Random) -> bytes:
    return text[: random.randrange(len(text) + 1)]


def _recoded(text: bytes, random: Random) -> bytes:
    decoded = text.decode("utf-8", "replace")
    return decoded.encode(random.choice(("utf-16", "utf-32", "utf-8-sig", "cp1252")), "replace")


_WAYS: Sequence[Callable[[bytes, Random], bytes]] = (
    *(_value_put,) * 14, _inserted, _inserted, _flipped, _flipped, _cut, _repeated, _truncated,
    _recoded,
)  # fmt: skip
