"""The operations of the IM Session API for one login, and what an agent asks GWS besides.

One request in, a value or an error of the tree out; it never decides about logins and never repeats
an operation, except once after a refused CSRF token, which proves that nothing was done.
Source: contract 1, 3, 4; URLs are ``base + /api/v2/me/...``, a ``uri`` of GWS is never followed.
"""

import asyncio
import re
from collections.abc import Mapping
from urllib.parse import quote

from imbot.clock import Clock
from imbot.errors import (
    ActionError,
    AmbiguousError,
    Fault,
    FaultClass,
    PermanentError,
    TemporaryError,
)
from imbot.gws.auth import Auth
from imbot.gws.faults import PARTIAL, fault_of, is_internal, meaning_of, status_code
from imbot.gws.notifications import (
    Device,
    Me,
    parse_annex,
    parse_devices,
    parse_me,
    parse_session,
    parse_sessions,
    session_ids,
)
from imbot.gws.settings import AgentSettings
from imbot.http import retry_after_s
from imbot.jsontext import decode_json, encode_json
from imbot.model import JSON, ImSession
from imbot.ports import Http, Request

_ME = "/api/v2/me"
#: Ids as they are seen, and somewhat more; dots alone would name another path.
_ID = re.compile(r"(?!\.+\Z)[A-Za-z0-9._~@:+=$!*,-]{1,128}")

_IM_SESSIONS = f"{_ME}/im-sessions"

_HEADER_NAME = re.compile("[A-Za-z0-9-]+")

#: How deep user data may nest on its way out; GWS itself nests once.
_USER_DATA_DEPTH = 8


class GwsClient:
    """GWS for one login: one cookie jar, one CSRF token.

    Every method raises TemporaryError (surely not done), AmbiguousError (perhaps done) or
    PermanentError (surely not done, never will be); the error carries the fault.

    Args:
        http: A door whose cookie jar nobody else uses but this login's Bayeux client.
        base_url: ``scheme://host:port``.
        auth: How to log in.
        clock: Time, for moments in ``Retry-After``.
        timeout_s: Seconds for each request.
        contact_center_id: Sent with each request; empty for none.
        tokens: The CSRF token of a login that goes on; empty for a new one.
    """

    def __init__(
        self,
        http: Http,
        base_url: str,
        auth: Auth,
        *,
        clock: Clock,
        timeout_s: float = 10.0,
        contact_center_id: str = "",
        tokens: Mapping[str, str] | None = None,
    ) -> None:
        self._http = http
        self._base_url = base_url.rstrip("/")
        self._auth = auth
        self._clock = clock
        self._timeout_s = timeout_s
        self._extra = {"ContactCenterId": contact_center_id} if contact_center_id else {}
        self._csrf = dict(tokens or {})
        self._csrf_refresh = asyncio.Lock()

    def headers(self) -> dict[str, str]:
        """Return the headers that every POST of this login needs, the CometD ones too.

        Raises:
            TemporaryError: There is no bearer token now.
        """
        return {**self._extra, **self._auth.headers(), **self._csrf}

    @property
    def tokens(self) -> Mapping[str, str]:
        """The CSRF header that GWS last gave; empty before."""
        return self._csrf

    # Asking -----------------------------------------------------------------------------------

    async def version(self) -> str:
        """Return the version of GWS; needs no login. Source: contract 3.1 [O]."""
        body = await self._get("/api/v2/diagnostics/version")
        return str(body.get("version", ""))

    async def me(self) -> Me:
        """Log in, and return who we are with features and devices. Source: contract 3.5 [O]."""
        return parse_me(await self._get(f"{_ME}?subresources=features,devices,channels"))

    async def renew(self) -> Me:
        """Do the same for a lost HTTP session; refused operations wait for its token."""
        async with self._csrf_refresh:
            return await self.me()

    async def devices(self) -> tuple[Device, ...]:
        """Return the agent's devices. Source: contract 3.6 [D]."""
        return parse_devices(await self._get(f"{_ME}/devices?fields=*"))

    async def annex(self, device_id: str) -> dict[str, str]:
        """Return the ``[TServer]`` options of a device, names in lower case. Source: [O]."""
        path = f"{_ME}/devices/{_segment(device_id, 'device id')}/settings/tserver"
        return parse_annex(await self._get(path))

    async def sessions(self) -> tuple[ImSession, ...]:
        """Return every IM session of the agent, whichever form the list has (row 16)."""
        body = await self._get(f"{_IM_SESSIONS}?fields=*", item=False)
        if sessions := parse_sessions(body):
            return sessions
        found = [await self.session(session_id) for session_id in session_ids(body)]
        return tuple(session for session in found if session is not None)

    async def session(self, session_id: str) -> ImSession | None:
        """Return one IM session; None when it is gone."""
        try:
            return parse_session(await self._get(_session_path(session_id)))
        except PermanentError as error:
            if is_gone(error):
                return None
            raise

    # The contact center session ---------------------------------------------------------------

    async def start_contact_center_session(self, agent: AgentSettings) -> None:
        """Log the agent in to its channels; a failed one matters only if it is voice.

        Source: contract 3.7 [D SCCS, O for the partial reply].
        """
        wishes = {"place": agent.place, "loginCode": agent.login_code, "queue": agent.queue}
        body = {
            "operationName": "StartContactCenterSession",
            "channels": list(agent.channels),
            **{name: value for name, value in wishes.items() if value},
        }
        answer = await self._post(_ME, body, partial_is_ok=True)
        if status_code(answer) == PARTIAL:
            _require_voice(answer)

    async def end_contact_center_session(self) -> None:
        """Log the agent out; the HTTP session is over afterwards. Source: [D ECCS]."""
        await self._post(_ME, {"operationName": "EndContactCenterSession"})

    async def set_agent_state(self, operation: str) -> None:
        """Set the state of the voice channel, for example ``NotReady``. Source: contract 6 [O]."""
        await self._post(f"{_ME}/channels/voice", {"operationName": operation})

    # IM sessions ------------------------------------------------------------------------------

    async def initiate(
        self, destination: str, user_data: Mapping[str, JSON], *, device_path: str | None
    ) -> None:
        """Begin a session; the answer does not tell its id. Source: contract 1.3 [D]."""
        body = {
            "operationName": "InitiateIMSession",
            "destination": {"phoneNumber": _required(destination, "destination")},
            **({"userData": clean_user_data(user_data)} if user_data else {}),
            **_device(device_path),
        }
        await self._post(_IM_SESSIONS, body, item=False)

    async def send_message(
        self, session_id: str, text: str, *, destination: str, device_path: str | None
    ) -> None:
        """Say something; destination is mandatory, the device path where known (rows 8 and 9).

        An internal error of GWS proves nothing here: the other party may have read the text.
        """
        body = {
            "text": _required(text, "text"),
            "destination": {"phoneNumber": _required(destination, "destination")},
            **_device(device_path),
        }
        try:
            await self.operate(session_id, "SendMessage", body)
        except TemporaryError as error:
            if error.fault is not None and is_internal(error.fault):
                raise AmbiguousError(str(error), fault=error.fault) from error
            raise

    async def attach_user_data(self, session_id: str, user_data: Mapping[str, JSON]) -> None:
        """Add keys; one that exists already would be doubled. Source: contract 1.5 [D]."""
        await self.operate(session_id, "AttachUserData", {"userData": clean_user_data(user_data)})

    async def update_user_data(self, session_id: str, user_data: Mapping[str, JSON]) -> None:
        """Set keys; others stay. Source: contract 1.6 [D, O]."""
        await self.operate(session_id, "UpdateUserData", {"userData": clean_user_data(user_data)})

    async def delete_user_data(self, session_id: str, key: str) -> None:
        """Remove one key; without a key other channels would remove all. Source: 1.7 [D]."""
        await self.operate(session_id, "DeleteUserData", {"key": _required(key, "key")})

    async def complete(self, session_id: str) -> None:
        """End the session; one that is over already counts as ended. Source: contract 1.8 [I].

        A refusal because of its state means that, or the very opposite: GWS is asked which.
        """
        try:
            await self.operate(session_id, "Complete")
        except ActionError as error:
            if is_gone(error):
                return
            if not is_conflict(error) or not isinstance(error, TemporaryError):
                raise
            session = await self.session(session_id)
            if session is not None and not session.is_completed:
                raise

    async def operate(
        self, session_id: str, operation: str, parameters: Mapping[str, JSON] | None = None
    ) -> None:
        """Carry out any operation of a session."""
        body = {"operationName": operation, **(parameters or {})}
        await self._post(_session_path(session_id), body)

    # Requests ---------------------------------------------------------------------------------

    async def _get(self, path: str, *, item: bool = True) -> JSON:
        return await self._exchange("GET", path, None, item=item)

    async def _post(
        self,
        path: str,
        body: Mapping[str, JSON],
        *,
        item: bool = True,
        partial_is_ok: bool = False,
    ) -> JSON:
        text = encode_json(body)
        used = self._csrf
        try:
            return await self._exchange("POST", path, text, item=item, partial_is_ok=partial_is_ok)
        except TemporaryError as error:
            if error.fault is None or error.fault.fault_class is not FaultClass.CSRF:
                raise
        await self._refresh_csrf(used)
        return await self._exchange("POST", path, text, item=item, partial_is_ok=partial_is_ok)

    async def _refresh_csrf(self, used: Mapping[str, str]) -> None:
        """Have another token than the one used; one GET for all who were refused together."""
        async with self._csrf_refresh:
            if self._csrf is used:
                await self._get(_ME)

    async def _exchange(
        self,
        method: str,
        path: str,
        body: bytes | None,
        *,
        item: bool,
        partial_is_ok: bool = False,
    ) -> JSON:
        writes = method == "POST"
        headers = {"Accept": "application/json", **self.headers()}
        if writes:
            headers["Content-Type"] = "application/json; charset=UTF-8"
        request = Request(method, self._base_url + path, headers, body, self._timeout_s)
        what = f"{method} {path}"
        try:
            reply = await self._http.send(request)
        except AmbiguousError as error:
            if writes:
                raise
            fault = error.fault or Fault(FaultClass.TRANSPORT)
            raise TemporaryError(f"{what}: {error}", fault=fault) from error
        if not writes:
            self._note_csrf(reply.headers)
        answer = _decoded(reply.body)
        trouble = fault_of(
            reply,
            answer,
            writes=writes,
            item=item,
            partial_is_ok=partial_is_ok,
            retry_after_s=retry_after_s(reply.headers, now=self._clock.now()),
        )
        if trouble is None:
            return answer
        fault, error_type = trouble
        raise error_type(f"{what}: {fault}", fault=fault)

    def _note_csrf(self, headers: Mapping[str, str]) -> None:
        """Keep the token that a GET reply carries. Source: contract 3.3 [D CSRF]."""
        name, token = headers.get("x-csrf-header", "").strip(), headers.get("x-csrf-token", "")
        if _HEADER_NAME.fullmatch(name) and token.isprintable() and token:
            self._csrf = {name: token}


def clean_user_data(user_data: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return user data as GWS takes it: texts, integers, and objects of these.

    Source: contract 5 [D, O]. Booleans become ``true`` and ``false``.

    Raises:
        PermanentError: There is no key, an empty one, or a value GWS has no type for.
    """
    if not user_data:
        raise _bad_input("user data: give at least one key")
    return _clean_object(user_data, "", _USER_DATA_DEPTH)


def _clean_object(user_data: Mapping[str, JSON], path: str, depth: int) -> dict[str, JSON]:
    return {
        _required(key, f"key in user data {path}".rstrip()): _clean_value(
            value, f"{path}.{key}".lstrip("."), depth
        )
        for key, value in user_data.items()
    }


def _clean_value(value: JSON, path: str, depth: int) -> JSON:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return value
    if isinstance(value, Mapping) and depth:
        return _clean_object(value, path, depth - 1)
    kind = "null" if value is None else type(value).__name__
    raise _bad_input(f"user data {path!r}: GWS keeps text, integers and objects, not {kind}")


def is_gone(error: ActionError) -> bool:
    """Return whether the session asked for no longer exists."""
    return error.fault is not None and error.fault.fault_class is FaultClass.GONE


def is_conflict(error: ActionError) -> bool:
    """Return whether the state forbids it: ``statusCode`` 2, 18, 19, "Invalid state" (row 17)."""
    return error.fault is not None and error.fault.fault_class is FaultClass.CONFLICT


def _require_voice(answer: Mapping[str, JSON]) -> None:
    """Raise unless voice, on which IM rides, is among what succeeded."""
    failed = [item for item in _items(answer.get("failed")) if item.get("channel") == "voice"]
    if not failed:
        return
    code = status_code(failed[0])
    meaning = meaning_of(code)
    fault = Fault(meaning.fault_class, code, 200, str(failed[0].get("statusMessage", "")))
    raise meaning.error(f"StartContactCenterSession: voice failed: {fault}", fault=fault)


def _items(value: JSON) -> list[dict[str, JSON]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _decoded(body: bytes) -> JSON:
    try:
        return decode_json(body)
    except ValueError:
        return None


def _session_path(session_id: str) -> str:
    return f"{_IM_SESSIONS}/{_segment(session_id, 'session id')}"


def _segment(value: str, name: str) -> str:
    """Return an id as a part of a path; it cannot be more than that, or another path."""
    if _ID.fullmatch(_required(value, name)) is None:
        raise _bad_input(f"{name} {value!r:.80} is none that may stand in a path")
    return quote(value, safe="")


def _device(device_path: str | None) -> dict[str, str]:
    return {"devicePath": device_path} if device_path else {}


def _required(value: JSON, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise _bad_input(f"{name} must be text and not empty")
    return value


def _bad_input(what: str) -> PermanentError:
    return PermanentError(what, fault=Fault(FaultClass.INPUT))
