"""What a GWS answer means: the class of trouble, and whether the operation surely did not happen.

Pure tables: ``statusCode`` before HTTP status. A JSON error is definite ("an error means nothing
was modified"), 7 and 9 excepted; whatever the tables do not list is not definite.
Source: contract 4.1, 4.2, 9.5.
"""

from collections.abc import Mapping
from typing import NamedTuple

from imbot.errors import (
    ActionError,
    AmbiguousError,
    Fault,
    FaultClass,
    PermanentError,
    TemporaryError,
)
from imbot.jsontext import fingerprint
from imbot.model import JSON
from imbot.ports import Reply

#: ``statusCode`` of StartContactCenterSession when some channels failed. Source: [O].
PARTIAL = 7

#: ``statusCode`` of an internal error, and of a device that is not registered. Source: [O].
_INTERNAL = 4

#: How much of a body without JSON is kept for people.
_TEXT_CHARS = 200


class Meaning(NamedTuple):
    """The class of trouble, and the branch: Temporary and Permanent are definite."""

    fault_class: FaultClass
    error: type[ActionError]


#: Source: contract 4.1 [D RV 8.6.0; 0, 4, 7 and 20 also O].
STATUS_CODES: Mapping[int, Meaning] = {
    1: Meaning(FaultClass.INPUT, PermanentError),
    2: Meaning(FaultClass.CONFLICT, TemporaryError),
    3: Meaning(FaultClass.PERMISSION, PermanentError),
    4: Meaning(FaultClass.SERVER, TemporaryError),
    5: Meaning(FaultClass.PERMISSION, PermanentError),
    6: Meaning(FaultClass.GONE, PermanentError),
    PARTIAL: Meaning(FaultClass.SERVER, AmbiguousError),
    8: Meaning(FaultClass.PERMISSION, PermanentError),
    9: Meaning(FaultClass.SERVER, AmbiguousError),
    10: Meaning(FaultClass.INPUT, PermanentError),
    11: Meaning(FaultClass.INPUT, PermanentError),
    12: Meaning(FaultClass.SERVER, TemporaryError),
    13: Meaning(FaultClass.SERVER, PermanentError),
    14: Meaning(FaultClass.SERVER, PermanentError),
    15: Meaning(FaultClass.SERVER, PermanentError),
    16: Meaning(FaultClass.SERVER, PermanentError),
    17: Meaning(FaultClass.SERVER, PermanentError),
    18: Meaning(FaultClass.CONFLICT, PermanentError),
    19: Meaning(FaultClass.CONFLICT, TemporaryError),
    20: Meaning(FaultClass.AUTH, TemporaryError),
}

#: For answers without a usable ``statusCode``. A redirect is a login page (SAML), which may come
#: after as well as before the work. 404 on a collection means that the feature is off [D Feat].
HTTP_STATUSES: Mapping[int, Meaning] = {
    **dict.fromkeys((301, 302, 303, 307, 308), Meaning(FaultClass.AUTH, AmbiguousError)),
    **dict.fromkeys((400, 405, 406, 411, 413), Meaning(FaultClass.INPUT, PermanentError)),
    **dict.fromkeys((414, 415, 417, 422, 431), Meaning(FaultClass.INPUT, PermanentError)),
    401: Meaning(FaultClass.AUTH, TemporaryError),
    403: Meaning(FaultClass.AUTH, TemporaryError),
    404: Meaning(FaultClass.GONE, PermanentError),
    408: Meaning(FaultClass.SERVER, TemporaryError),
    410: Meaning(FaultClass.GONE, PermanentError),
    429: Meaning(FaultClass.SERVER, TemporaryError),
}

_UNLISTED = Meaning(FaultClass.SERVER, AmbiguousError)
_CSRF = Meaning(FaultClass.CSRF, TemporaryError)
_CONFLICT = STATUS_CODES[2]
_LEGACY_ERROR = STATUS_CODES[4]
_FEATURE_OFF = Meaning(FaultClass.PERMISSION, PermanentError)

_HTTP_OK = range(200, 300)
_FORBIDDEN = 403
_TOO_MANY = 429
_NOT_FOUND = 404


def status_code(body: JSON) -> int | None:
    """Return the ``statusCode`` of a body, given as number or digits; None when it has none."""
    code = body.get("statusCode") if isinstance(body, dict) else None
    if isinstance(code, str) and (digits := code.strip()).isdecimal():
        return int(digits) if len(code) < len("1000") else None
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def meaning_of(code: int | None) -> Meaning:
    """Return what a ``statusCode`` means; one that nobody listed proves nothing."""
    return _UNLISTED if code is None else STATUS_CODES.get(code, _UNLISTED)


def is_internal(fault: Fault) -> bool:
    """Return whether GWS broke off in the middle of the work, whatever it says of its effect.

    It documents that nothing was modified [D RV]; seen was only the refusal of a device that is not
    registered, before any work [O]. An error after the work is feared (contract 10). Who asks to be
    asked more slowly has not begun.
    """
    is_refused = fault.http_status == _TOO_MANY or "not registered" in fault.text.casefold()
    return fault.status_code == _INTERNAL and not is_refused


def fault_of(
    reply: Reply,
    body: JSON,
    *,
    writes: bool,
    item: bool = True,
    partial_is_ok: bool = False,
    retry_after_s: float | None = None,
) -> tuple[Fault, type[ActionError]] | None:
    """Return what is wrong with an answer and the branch of its error; None when it is right.

    Args:
        reply: The answer.
        body: Its decoded JSON; None when it is none.
        writes: Whether it answers an operation: only then can the outcome be in doubt.
        item: Whether one session was asked for, not the collection.
        partial_is_ok: Whether the caller looks into a partial success itself.
        retry_after_s: Seconds that the answer asked to wait; None when it did not say.
    """
    code = status_code(body)
    if _is_ok(reply.status, code, body, writes=writes, partial_is_ok=partial_is_ok):
        return None
    text = _text(reply, body)
    meaning = _meaning(reply.status, code, text, body)
    if meaning.fault_class is FaultClass.GONE and reply.status == _NOT_FOUND and not item:
        meaning = _FEATURE_OFF
    fault = Fault(meaning.fault_class, code, reply.status, text, retry_after_s)
    in_doubt = meaning.error is AmbiguousError
    return fault, TemporaryError if in_doubt and not writes else meaning.error


def _is_ok(status: int, code: int | None, body: JSON, *, writes: bool, partial_is_ok: bool) -> bool:
    if status not in _HTTP_OK or not isinstance(body, dict):
        return False
    if code is not None:
        return code == 0 or (code == PARTIAL and partial_is_ok)
    if "status" in body:
        return bool(body["status"] == "ok")  # Source: 8.5.0 channel pages [D Agent]
    return not writes  # a bare object answers a GET and proves nothing of an operation


def _meaning(status: int, code: int | None, text: str, body: JSON) -> Meaning:
    folded = text.casefold()
    if status == _FORBIDDEN and "csrf" in folded:
        return _CSRF
    if code:
        if "invalid state" in folded and code in {2, 4, 10}:
            return _CONFLICT
        return meaning_of(code)
    if code is None and isinstance(body, dict):
        if "invalid state" in folded:
            return _CONFLICT
        if body.get("status") == "error":
            return _LEGACY_ERROR
    return HTTP_STATUSES.get(status, _UNLISTED)


def _text(reply: Reply, body: JSON) -> str:
    if isinstance(body, dict):
        for name in ("statusMessage", "errorDescription", "errorMessage"):
            if isinstance(found := body.get(name), str) and found.strip():
                return found.strip()[:_TEXT_CHARS]
        return ""
    if reply.body.lstrip()[:1] in {b"{", b"["}:
        # What people said to each other may be in it.
        return f"unreadable JSON, {fingerprint(reply.body)}"
    return " ".join(reply.body[: 4 * _TEXT_CHARS].decode("utf-8", "replace").split())[:_TEXT_CHARS]
