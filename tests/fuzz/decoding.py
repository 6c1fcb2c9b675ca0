"""Gives bytes to what reads GWS, all the way from an HTTP body to the rows of the store.

Wrong is whatever raises and is no error of ours, a text or size that the edge must not let through,
and a value that the store does not give back as it was.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from itertools import count
from random import Random
from typing import Any

from imbot.bayeux.decoding import elements_of, sorted_out
from imbot.bayeux.session import (
    BayeuxResume,
    Chance,
    Channel,
    Do,
    Session,
    answered,
    failed,
    opening,
    share_of,
)
from imbot.engine.sessions import SessionTable
from imbot.errors import ActionError, Fault, FaultClass
from imbot.gws.faults import fault_of
from imbot.gws.notifications import (
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_TEXT_CHARS,
    Heard,
    heard,
    parse_annex,
    parse_devices,
    parse_me,
    parse_session,
    parse_sessions,
    session_ids,
)
from imbot.jsontext import decode_json
from imbot.model import ImSession, MessageNotice, SessionNotice, SnapshotNotice
from imbot.ports import Reply
from imbot.store import rows
from imbot.store.columns import decode_moment, decode_plain, encode_moment, encode_plain

_NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
_UNCLEAN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
#: First and last name are joined, as are a path and what it leads to.
_JOINED = MAX_TEXT_CHARS + 10
_CHANNELS = (Channel("/v2/me/im-sessions"), Channel("/v2/me/calls", required=False))
_STATUSES = (*(200,) * 30, 302, 401, 403, 404, 500, 502)


class WrongError(Exception):
    """What must not be."""


def _chance(text: bytes) -> Chance:
    return Chance(0.0, 1.0, Random(len(text)))


@cache
def _sessions() -> tuple[Session, ...]:
    """Return sessions that wait for each kind of reply, with and without acknowledgements."""
    fresh = opening(_CHANNELS, good_at=0.0)
    resumed = [opening(_CHANNELS, good_at=0.0, resume=BayeuxResume("c1", ack)) for ack in (None, 4)]
    pending = BayeuxResume("c1", 4, pending=_CHANNELS)
    return fresh, *resumed, opening(_CHANNELS, good_at=0.0, resume=pending)


def _session(body: bytes) -> Session:
    sessions = _sessions()
    return sessions[len(body) % len(sessions)]


def read_reply(body: bytes) -> bool:
    """Take in the body of a Bayeux reply; return whether it was one.

    Raises:
        WrongError: Something came out that must not.
    """
    status = _STATUSES[len(body) % len(_STATUSES)]
    try:
        payload = sorted_out(elements_of(Reply(status, {}, body), now=_NOW))
    except ActionError as error:
        if error.fault is None or len(str(error)) > 500:
            raise WrongError(
                f"a fault that tells too little or too much: {error!r:.200}"
            ) from error
        failed(_session(body), error.fault, at=_chance(body))
        return False
    _answer(_session(body), payload.metas, len(payload.events), _chance(body))
    notices = [one for event in payload.events for one in heard(event, received_at=_NOW)]
    for notice in notices:
        _must_be_clean(notice)
    _take_in(notices)
    return True


def _answer(session: Session, metas: Any, events: int, at: Chance) -> None:
    wanted = f"/meta/{session.command.do}"
    reply = next((meta for meta in metas if meta["channel"] == wanted), {})
    share = share_of(session, reply, events)
    if not 0 <= share.skip <= events:
        raise WrongError(f"{share} of {events}")
    if reply:
        after, _ = answered(session, reply, metas=metas, share=share, at=at)
    else:
        after, _ = failed(session, Fault(FaultClass.SERVER), share=share, at=at)
    if after.command.delay_s < 0 or (after.command.do is Do.STOP) != (
        after.command.fault is not None
    ):
        raise WrongError(f"{after.command}")


def _take_in(notices: Iterable[Heard]) -> None:
    """Make events of it, and see that the store gives them back."""
    numbers = count(1)
    table = SessionTable(lambda agent: f"{agent}:{next(numbers)}")
    for notice in notices:
        if isinstance(notice, SessionNotice):
            events = table.see_session("bot1", notice, received_at=_NOW)
        elif isinstance(notice, MessageNotice):
            events = table.see_message("bot1", notice, received_at=_NOW)
        else:
            continue
        for event in events:
            if event.session is not None:
                _must_come_back(event.session)
            if decode_plain(encode_plain(dict(event.fields))) != dict(event.fields):
                raise WrongError(f"fields {event.fields!r:.300}")
            if decode_moment(encode_moment(event.at)) != event.at:
                raise WrongError(f"moment {event.at}")


def read_answer(body: bytes) -> bool:
    """Take in the body of an answer of the API; return whether it was one that is right.

    Raises:
        WrongError: Something came out that must not.
    """
    try:
        decoded = decode_json(body)
    except ValueError:
        decoded = None
    is_right = False
    for status in (200, _STATUSES[len(body) % len(_STATUSES)]):
        trouble = fault_of(Reply(status, {}, body), decoded, writes=bool(len(body) % 2))
        is_right = is_right or trouble is None
        if trouble is not None and len(trouble[0].text) > 300:
            raise WrongError(f"a fault that tells too much: {trouble[0].text[:100]!r}")
    single = parse_session(decoded)
    sessions = (*parse_sessions(decoded), *(() if single is None else (single,)))
    for session in sessions:
        _must_be_clean(session)
        _must_come_back(session)
    for word in session_ids(decoded):
        _must_be_clean(word)
    _must_be_clean((parse_me(decoded), parse_devices(decoded), parse_annex(decoded)))
    table = SessionTable(lambda agent: f"{agent}:1")
    table.see_snapshot("bot1", SnapshotNotice(sessions, _NOW, _NOW, _NOW))
    return is_right


def read_row(text: bytes) -> bool:
    """Read a column of a row that is not as it was written; return whether it could be read."""
    try:
        plain = decode_plain(text.decode("utf-8", "replace"))
        if isinstance(plain, dict):
            rows.session_from_plain(plain)
        else:
            rows.to_suppressed(plain)
    except (ValueError, TypeError, LookupError, AttributeError):
        return False  # what the store turns into its one error
    return True


def _must_come_back(session: ImSession) -> None:
    plain = encode_plain(rows.session_to_plain(session))
    if rows.session_from_plain(decode_plain(plain)) != session:
        raise WrongError(f"the store does not give back {session!r:.500}")


def _must_be_clean(value: object, depth: int = 0) -> None:
    """See that every text and every size is within the bounds of the edge."""
    if isinstance(value, str):
        if len(value) > MAX_TEXT_CHARS + _JOINED or _UNCLEAN.search(value):
            raise WrongError(f"a text that the edge lets through: {value[:100]!r}")
        return
    inner = _inner(value)
    if len(inner) > 2 * MAX_ITEMS or depth > MAX_DEPTH + 4:
        raise WrongError(f"{len(inner)} items at depth {depth}")
    for item in inner:
        _must_be_clean(item, depth + 1)


def _inner(value: object) -> list[object]:
    """Return what a value is made of."""
    if isinstance(value, dict):
        return [*value, *value.values()]
    if isinstance(value, list | tuple | frozenset):
        return list(value)
    return [getattr(value, name) for name in getattr(value, "__dataclass_fields__", ())]


#: By kind, what reads bytes and tells whether they were right.
READERS: Mapping[str, Callable[[bytes], bool]] = {
    "reply": read_reply,
    "answer": read_answer,
    "row": read_row,
}
