"""What GWS says that no documentation and no capture tells of: counted, and each word told once.

imbot does without it (see :mod:`imbot.gws.notifications`); it may be the first sign of a GWS that
was upgraded, or of a session that is in a state no rule was written for.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final

import structlog

from imbot.gws.notifications import clean_text, envelope
from imbot.model import JSON, SessionState

#: So many words are told; a peer that makes up words does not fill the log.
TOLD_AT_MOST = 100
_WORD_CHARS = 64

_STATES: Final = frozenset(state.value.casefold() for state in SessionState)
_MESSAGE_TYPES: Final = frozenset(
    {
        *("imsessionstatechangemessage", "imlogupdatemessage", "devicestatechangemessage"),
        "errormessage",
    }
)
_NOTIFICATION_TYPES: Final = frozenset(
    {"statuschange", "attacheddatachanged", "newmessage", "error"}
)
#: Of notifications of IM sessions, and of the Bayeux message around them where GWS has no ``data``.
_FIELDS: Final = frozenset(
    {
        *("messageType", "notificationType", "metrics", "imSession", "imSessionPath"),
        *("imSessionUri", "message", "from", "sender", "participant", "devices", "devicePath"),
        *("deviceUri", "phoneNumber", "errorMessage", "statusMessage", "success", "referenceId"),
        *("channel", "data", "id", "ext", "clientId", "timestamp"),
    }
)
_OF_SESSION: Final = frozenset(
    {"id", "path", "uri", "state", "userData", "participants", "capabilities"}
)
#: What comes here is not about IM sessions, and imbot does without all of it.
_NOT_READ: Final = frozenset({"/v2/me/calls", "/v2/me/channels"})

log = structlog.get_logger()


class Kind(StrEnum):
    """What kind of word it is."""

    STATE = "state"
    MESSAGE_TYPE = "message type"
    NOTIFICATION_TYPE = "notification type"
    FIELD = "field"


class Undocumented:
    """Counts such words for all agents together, and logs each once."""

    def __init__(self) -> None:
        self._counts: Counter[Kind] = Counter()
        self._told: set[tuple[Kind, str]] = set()

    @property
    def counts(self) -> Mapping[str, int]:
        """How often each kind was met."""
        return {kind.value: self._counts[kind] for kind in Kind}

    def note(self, element: JSON, agent: str) -> None:
        """Take in one Bayeux element that this agent heard."""
        for found in undocumented(element):
            kind, word = found
            self._counts[kind] += 1
            if found not in self._told and len(self._told) < TOLD_AT_MOST:
                self._told.add(found)
                log.warning("gws.undocumented", agent=agent, kind=kind.value, word=word)


def undocumented(element: JSON) -> Iterator[tuple[Kind, str]]:
    """Yield each word of a notification that is not documented, cut to a size that can be told."""
    if not isinstance(element, dict) or element.get("channel") in _NOT_READ:
        return
    body = envelope(element)
    message_type = _folded(body.get("messageType"))
    if message_type and message_type not in _MESSAGE_TYPES:
        yield Kind.MESSAGE_TYPE, _word(body["messageType"])
    notification_type = _folded(body.get("notificationType"))
    if notification_type and notification_type not in _NOTIFICATION_TYPES:
        yield Kind.NOTIFICATION_TYPE, _word(body["notificationType"])
    yield from _fields(body, _FIELDS)
    session = body.get("imSession")
    if isinstance(session, dict):
        state = _folded(session.get("state"))
        if state and state not in _STATES:
            yield Kind.STATE, _word(session["state"])
        yield from _fields(session, _OF_SESSION)


def _fields(shown: Mapping[str, JSON], known: frozenset[str]) -> Iterator[tuple[Kind, str]]:
    if not shown.keys() <= known:
        for name in sorted(shown.keys() - known)[:TOLD_AT_MOST]:
            yield Kind.FIELD, _word(name)


def _folded(value: JSON) -> str:
    return value.strip().casefold() if isinstance(value, str) else ""


def _word(value: JSON) -> str:
    return clean_text(str(value)[:_WORD_CHARS]).strip()
