"""What an HTTP answer to a Bayeux request holds: messages, or the fault that it holds none.

Pure, and total over any bytes. Nothing of an answer that should be JSON is told: it may hold what
people said to each other. Its length and hash are, so that it can be recognised where it is kept.
"""

from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from typing import NamedTuple

from imbot.errors import Fault, FaultClass, TemporaryError
from imbot.http import retry_after_s
from imbot.jsontext import decode_json, fingerprint
from imbot.model import JSON
from imbot.ports import Reply

META = "/meta/"

_REDIRECTS = range(300, 400)
#: GWS ``statusCode`` of a request that needs a login. Source: contract 4.1.
_NOT_AUTHENTICATED = 20
_TEXT_CHARS = 200


class Payload(NamedTuple):
    """The elements of a Bayeux reply, sorted.

    Attributes:
        events: Every sound message outside ``/meta/``, in order.
        metas: Every sound message of ``/meta/``.
        skipped: How many elements were no sound message.
    """

    events: Sequence[dict[str, JSON]] = ()
    metas: Sequence[dict[str, JSON]] = ()
    skipped: int = 0


def elements_of(reply: Reply, *, now: datetime) -> list[JSON]:
    """Return the elements of a Bayeux reply, sound or not.

    Raises:
        TemporaryError: It is none; the fault has the status and, of what is no JSON by its looks,
            the first 200 characters.
    """
    decoded: JSON = None
    unreadable = "a list with this status"
    try:
        decoded = decode_json(reply.body)
    except ValueError as error:
        unreadable = str(error)
    if reply.status == HTTPStatus.OK and isinstance(decoded, list):
        return decoded
    if reply.status == HTTPStatus.OK and _is_message(decoded):
        return [decoded]
    text = _text(reply.body, unreadable)
    status_code = decoded.get("statusCode") if isinstance(decoded, dict) else None
    fault = Fault(
        _fault_class(reply.status, status_code, text),
        status_code=status_code if isinstance(status_code, int) else None,
        http_status=reply.status,
        text=text,
        retry_after_s=retry_after_s(reply.headers, now=now),
    )
    raise TemporaryError(f"no Bayeux reply: {fault}", fault=fault)


def sorted_out(elements: Sequence[JSON]) -> Payload:
    """Return the sound messages among the elements; a broken one does not cost the others."""
    events: list[dict[str, JSON]] = []
    metas: list[dict[str, JSON]] = []
    for element in elements:
        if _is_message(element):
            (metas if element["channel"].startswith(META) else events).append(element)
    return Payload(events, metas, len(elements) - len(events) - len(metas))


def _is_message(element: JSON) -> bool:
    return isinstance(element, dict) and isinstance(element.get("channel"), str)


def _text(body: bytes, unreadable: str) -> str:
    """Return what may be told of an answer: an error of GWS or of a proxy, but no messages."""
    if body.lstrip()[:1] != b"[":
        return body[: 4 * _TEXT_CHARS].decode("utf-8", "replace")[:_TEXT_CHARS]
    return f"unreadable: {unreadable[:80]}; {fingerprint(body)}"


def _fault_class(status: int, status_code: JSON, text: str) -> FaultClass:
    """Classify what is no Bayeux reply. Source: contract 2.8, 9.5; a redirect leads to a login."""
    if status == HTTPStatus.FORBIDDEN and "csrf" in text.casefold():
        return FaultClass.CSRF
    needs_login = status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN} or status in _REDIRECTS
    if needs_login or status_code == _NOT_AUTHENTICATED:
        return FaultClass.AUTH
    return FaultClass.SERVER
