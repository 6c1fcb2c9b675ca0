"""What GWS says, read into values: notifications and GET bodies, with every known drift of them.

Pure and total: whatever JSON comes in, something comes out and nothing raises. What names no
session, or is not about anything imbot knows, gives nothing. Numbers of payment cards end here:
what people say, user data and errors come out masked.
Source: contract 1.10, 2.4, 2.5, 3.5, 3.6; the rows named in comments are those of its section 8.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from imbot.cards import masked, masked_value
from imbot.jsontext import decode_json, encode_json
from imbot.model import (
    JSON,
    FaultNotice,
    ImSession,
    MessageNotice,
    Participant,
    SessionNotice,
    SessionState,
)

#: Bounds of what is taken over from the wire: beyond them somebody plays a game.
MAX_DEPTH = 32
MAX_ITEMS = 1000
MAX_TEXT_CHARS = 64 * 1024
_MAX_INT_BITS = 1024

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Server times outside 2000 to 2100, in milliseconds, are no times.
_PLAUSIBLE_MS = (946_684_800_000, 4_102_444_800_000)

_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_STATES = {state.value.casefold(): state.value for state in SessionState}

_NAMES_OF_SPEAKER = ("from", "sender", "participant")
_NAMES_OF_TEXT = ("text", "message", "msg")


@dataclass(frozen=True, slots=True)
class Device:
    """A device of the agent.

    Attributes:
        id: GWS id.
        path: ``/devices/{id}``, what operations call ``devicePath``.
        number: Its phone number; may be empty.
        user_state: ``LoggedOut``, ``Ready``, ...; empty when GWS did not say.
    """

    id: str
    path: str
    number: str = ""
    user_state: str = ""

    @property
    def is_logged_out(self) -> bool:
        """Whether GWS says that nobody is logged in there."""
        return self.user_state.casefold() == "loggedout"

    @property
    def is_logged_in(self) -> bool:
        """Whether GWS says that somebody is logged in there."""
        return bool(self.user_state) and not self.is_logged_out


@dataclass(frozen=True, slots=True)
class DeviceNotice:
    """Devices of the agent as GWS shows them; possibly not all of them."""

    devices: tuple[Device, ...]
    at: datetime


Heard: TypeAlias = SessionNotice | MessageNotice | FaultNotice | DeviceNotice


@dataclass(frozen=True, slots=True)
class Me:
    """Who is logged in.

    Attributes:
        user_name: GWS user name; may be empty.
        name: First and last name; may be empty.
        features: Ids of the features granted; None when GWS listed none.
        devices: Devices of the agent.
        must_change_password: Whether GWS demands a new password first.
    """

    user_name: str = ""
    name: str = ""
    features: frozenset[str] | None = None
    devices: tuple[Device, ...] = ()
    must_change_password: bool = False


# Notifications --------------------------------------------------------------------------------


def heard(element: JSON, *, received_at: datetime) -> tuple[Heard, ...]:
    """Return what one Bayeux element says, in order; nothing when it says nothing we know."""
    if not isinstance(element, dict):
        return ()
    body = envelope(element)
    at = _server_time(body) or received_at
    message_type = _word(body.get("messageType")).casefold()
    if message_type == "errormessage" or _is_error(body):
        return (_fault(body, at),)
    match message_type:
        case "imsessionstatechangemessage":
            return _sessions_shown(body, at)
        case "imlogupdatemessage":
            return tuple(_messages(body, element, at))
        case "devicestatechangemessage":
            return _devices_shown(body, at)
        case _:
            return _by_shape(body, element, at)


def envelope(element: dict[str, JSON]) -> dict[str, JSON]:
    """Return the notification inside: ``data``, which may be JSON text or missing (row 4)."""
    inner = element.get("data")
    if isinstance(inner, str):
        try:
            inner = decode_json(inner)
        except ValueError:
            return element
    return inner if isinstance(inner, dict) and inner else element


def _by_shape(body: dict[str, JSON], element: dict[str, JSON], at: datetime) -> tuple[Heard, ...]:
    """Read a message of a type we do not know by what it carries."""
    if "imSession" in body:
        return _sessions_shown(body, at)
    if "devices" in body:
        return _devices_shown(body, at)
    return tuple(_messages(body, element, at))


def _server_time(body: Mapping[str, JSON]) -> datetime | None:
    """Return ``metrics.eventProcessing.serverGenerationTimestamp``: the only server time [O]."""
    if (metrics := body.get("metrics")) is None:
        return None
    timing = _object(_object(metrics).get("eventProcessing"))
    return _moment(timing.get("serverGenerationTimestamp"))


def _is_error(body: Mapping[str, JSON]) -> bool:
    return (
        _word(body.get("notificationType")).casefold() == "error"
        or bool(_word(body.get("errorMessage")))
        or body.get("success") is False
    )


def _fault(body: Mapping[str, JSON], at: datetime) -> FaultNotice:
    """Read an error, which may have no text at all (row 18)."""
    texts = (_word(body.get(name)) for name in ("errorMessage", "statusMessage", "message"))
    device = _last_segment(body.get("devicePath")) or _last_segment(body.get("deviceUri"))
    return FaultNotice(
        text=masked(next(filter(None, texts), "(no text)")),
        at=at,
        session_id=_session_id(body) or None,
        device_path=f"/devices/{device}" if device else None,
    )


def _sessions_shown(body: Mapping[str, JSON], at: datetime) -> tuple[SessionNotice, ...]:
    session = _session(body.get("imSession"))
    if session is None:
        return ()
    return (SessionNotice(session, at, _word(body.get("notificationType")) or "StatusChange"),)


def _devices_shown(body: Mapping[str, JSON], at: datetime) -> tuple[DeviceNotice, ...]:
    devices = parse_devices(body)
    return (DeviceNotice(devices, at),) if devices else ()


def _messages(
    body: Mapping[str, JSON], element: Mapping[str, JSON], at: datetime
) -> Iterator[MessageNotice]:
    """Read text, an object with the text inside, or a list of either (row 6)."""
    session_id = _session_id(body) or _session_id(element)  # row 5
    message = body.get("message")
    if not session_id or message is None:
        return
    sender = _speaker(body)
    for item in message[:MAX_ITEMS] if isinstance(message, list) else [message]:
        text = _spoken_text(item)
        if not (spoken := _object(item)):
            yield MessageNotice(session_id, text, at, sender)
            continue
        said_at = _moment(spoken.get("timestamp")) or at
        yield MessageNotice(session_id, text, said_at, _speaker(spoken) or sender)


def _spoken_text(item: JSON) -> str:
    if isinstance(item, str):
        return masked(clean_text(item))
    texts = (_object(item).get(name) for name in _NAMES_OF_TEXT)
    found = next((text for text in texts if isinstance(text, str)), None)
    if found is None:
        found = encode_json(bounded(item)).decode()
    return masked(clean_text(found))


def _speaker(body: Mapping[str, JSON]) -> str | None:
    for name in _NAMES_OF_SPEAKER:
        if (value := body.get(name)) is None:
            continue
        who = _object(value)
        names = (who.get(key) for key in ("phoneNumber", "digits", "userName", "name", "nickname"))
        for candidate in (value, *names):
            if word := _word(candidate):
                return word
    return None


def _session_id(body: Mapping[str, JSON]) -> str:
    """Return which session a message belongs to, by whatever names it."""
    for name in ("imSessionPath", "imSessionUri"):
        if segment := _last_segment(body.get(name)):
            return segment
    session = _object(body.get("imSession"))
    for name in ("id", "path", "uri"):
        if segment := _last_segment(session.get(name)):
            return segment
    return ""


# Bodies of GET replies ------------------------------------------------------------------------


def parse_sessions(body: JSON) -> tuple[ImSession, ...]:
    """Return the sessions of ``GET /me/im-sessions?fields=*``."""
    listed = _list(_object(body).get("imSessions"))
    return tuple(session for session in map(_session, listed) if session is not None)


def parse_session(body: JSON) -> ImSession | None:
    """Return the session of ``GET /me/im-sessions/{id}``; its shape is not documented (row 15)."""
    outer = _object(body)
    return (
        _session(outer.get("imSession"))
        or next(iter(parse_sessions(outer)), None)
        or _session(outer)
    )


def session_ids(body: JSON) -> tuple[str, ...]:
    """Return the ids of a list reply that holds only ``uris`` (row 16)."""
    uris = _list(_object(body).get("uris"))
    segments = (_last_segment(_object(uri).get("uri", uri)) for uri in uris)
    return tuple(dict.fromkeys(filter(None, segments)))


def parse_devices(body: JSON) -> tuple[Device, ...]:
    """Return the devices of ``GET /me/devices?fields=*``, of a user, or of a notification."""
    listed = _list(_object(body).get("devices"))
    return tuple(device for device in map(_device, listed) if device is not None)


def parse_annex(body: JSON) -> dict[str, str]:
    """Return the ``[TServer]`` options of a device, names in lower case."""
    settings = [_object(item) for item in _list(_object(body).get("settings"))]
    return {
        _word(setting.get("name")).casefold(): _word(setting.get("value")) for setting in settings
    }


def parse_me(body: JSON) -> Me:
    """Return who ``GET /me`` says is logged in."""
    user = _object(_object(body).get("user"))
    names = (_word(user.get("firstName")), _word(user.get("lastName")))
    return Me(
        user_name=_word(user.get("userName")),
        name=" ".join(filter(None, names)),
        features=_features(user.get("features")),
        devices=parse_devices(user),
        must_change_password=user.get("changePasswordOnFirstLogin") in (True, "true"),
    )


def _features(value: JSON) -> frozenset[str] | None:
    if not isinstance(value, list):
        return None
    return frozenset(_word(_object(item).get("id", item)) for item in value)


def _session(value: JSON) -> ImSession | None:
    """Read an IM session; its id is ``id``, else the end of its path or uri (rows 2 and 3)."""
    shown = _object(value)
    segments = [_last_segment(shown.get(name)) for name in ("id", "path", "uri")]
    names = list(dict.fromkeys(filter(None, segments)))
    if not names:
        return None
    return ImSession(
        id=names[0],
        state=_state(shown.get("state")),
        user_data=masked_value(bounded(_object(shown.get("userData")))),  # rows 11 and 29
        participants=tuple(_participants(shown.get("participants"))),
        capabilities=_capabilities(shown.get("capabilities")),
        aliases=tuple(names[1:]),
    )


def _state(value: JSON) -> str:
    """Return the documented spelling, or an unknown state without stray spaces (row 1)."""
    state = _word(value)
    return _STATES.get(state.casefold(), state)


def _participants(value: JSON) -> Iterator[Participant]:
    for item in _list(value):
        shown = _object(item) or {"phoneNumber": item}  # row 27
        digits, e164, formatted = (
            _word(shown.get(name)) for name in ("digits", "e164Number", "formattedPhoneNumber")
        )
        number = _word(shown.get("phoneNumber")) or digits or formatted or e164
        if number:
            yield Participant(number, digits, e164, formatted)


def _capabilities(value: JSON) -> tuple[str, ...] | None:
    if not isinstance(value, list):
        return None
    return tuple(filter(None, map(_word, value[:MAX_ITEMS])))


def _device(value: JSON) -> Device | None:
    shown = _object(value)
    device_id = _last_segment(shown.get("id")) or _last_segment(shown.get("path"))
    if not device_id:
        return None
    state = shown.get("userState")
    return Device(
        id=device_id,
        path=_word(shown.get("path")) or f"/devices/{device_id}",
        number=_word(shown.get("phoneNumber")),
        user_state=_word(_object(state).get("state", state)),
    )


# Values ---------------------------------------------------------------------------------------


def clean_text(text: str) -> str:
    """Return the text without control characters and lone surrogates, and of bounded length."""
    text = text[:MAX_TEXT_CHARS]
    if text.isprintable():
        return text
    return _SURROGATE.sub("\ufffd", _NOT_TEXT.sub("", text))


def bounded(value: JSON, depth: int = MAX_DEPTH) -> JSON:
    """Return the value with clean texts, bounded in size and depth; what is no JSON is None."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        items = list(value.items())[:MAX_ITEMS] if depth else []
        return {clean_text(str(key)): bounded(item, depth - 1) for key, item in items}
    if isinstance(value, list):
        return [bounded(item, depth - 1) for item in (value[:MAX_ITEMS] if depth else [])]
    return value if _is_plain_number(value) else None


def _is_plain_number(value: JSON) -> bool:
    """Whether it is a boolean or a number that JSON and any store can bear."""
    if isinstance(value, int):
        return value.bit_length() <= _MAX_INT_BITS
    return isinstance(value, float) and math.isfinite(value)


def _object(value: JSON) -> dict[str, JSON]:
    """Return an object; anything else, ``[]`` first of all (row 29), is an empty one."""
    return value if isinstance(value, dict) else {}


def _list(value: JSON) -> list[JSON]:
    """Return a list; a lone object or word is a list of one."""
    if isinstance(value, list):
        return value[:MAX_ITEMS]
    return [value] if value and isinstance(value, dict | str) else []


def _word(value: JSON) -> str:
    """Return stripped text; numbers are read as text, anything else is empty."""
    if value is None:
        return ""
    if isinstance(value, str):
        return clean_text(value).strip()
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number and value.bit_length() <= _MAX_INT_BITS else ""


def _last_segment(value: JSON) -> str:
    """Return the id at the end of a path or uri (row 3); of a bare id, the id."""
    return _word(value).partition("?")[0].rstrip("/ ").rpartition("/")[2].strip()


def _moment(value: JSON) -> datetime | None:
    """Return the moment of epoch milliseconds, given as number or digits (row 29)."""
    text = _word(value)
    if not text.isdecimal() or not text.isascii():
        return None
    lowest, highest = _PLAUSIBLE_MS
    if len(text) > len(str(highest)) or not lowest <= (number := int(text)) < highest:
        return None
    return _EPOCH + timedelta(milliseconds=number)
