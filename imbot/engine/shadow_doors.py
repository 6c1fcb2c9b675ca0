"""The doors of a run in shadow: what would go out is written down, and nothing does.

They number and describe an effect as the doors to the world would. What only an answer tells is
not made up: the action ends there.
"""

from collections.abc import Mapping
from typing import NoReturn

from imbot.engine.doors import ImDoor, is_shown
from imbot.engine.shadow import NOT_BEGUN, UnansweredError, written_over
from imbot.engine.webdoor import WebDoor, origin_of
from imbot.errors import PermanentError
from imbot.jsontext import with_moments_as_text
from imbot.model import JSON, SessionKey


class ShadowIm(ImDoor):
    """The operations of the session that a step would act on."""

    __slots__ = ()

    async def send_message(self, *texts: str, to: str | None = None) -> None:
        """Write down what would be said."""
        key = self._key()
        for text in texts:
            self._write_down("SendMessage", {"text": text, "to": to or self._destination(key)}, key)

    async def update_user_data(self, user_data: Mapping[str, JSON]) -> None:
        """Write down which keys would be set; nothing when they are so already."""
        key = self._key()
        known = self._user_data(key)
        wanted = {
            name: value for name, value in user_data.items() if not is_shown(known, name, value)
        }
        self._write_down("UpdateUserData", wanted, key, is_needed=bool(wanted))

    async def delete_user_data(self, key: str) -> None:
        """Write down which key would be removed; nothing when it is absent."""
        session = self._key()
        is_there = key in self._user_data(session)
        self._write_down("DeleteUserData", {key: None}, session, is_needed=is_there)

    async def complete(self) -> None:
        """Write down that the session would be ended."""
        self._write_down("Complete", None, self._key())

    async def initiate(
        self, to: str, *, user_data: Mapping[str, JSON] | None = None, agent: str | None = None
    ) -> NoReturn:
        """Write down which session would be begun; later steps would act on it."""
        user = self.acting.agent if agent in (None, "any") else agent or ""
        payload = {"to": to, "userData": dict(user_data or {})}
        self._write_down("InitiateIMSession", payload, SessionKey(user, NOT_BEGUN))
        self.acting.session = SessionKey(user, NOT_BEGUN)
        raise UnansweredError("the session that would be begun")

    def _write_down(
        self, operation: str, payload: JSON, key: SessionKey, *, is_needed: bool = True
    ) -> None:
        effect_id = self._next_effect()
        if is_needed:
            self.acting.ledger.shade(
                effect_id, key=key, action=self.step.action, operation=operation, payload=payload
            )

    def _gws(self, agent: str) -> NoReturn:
        raise PermanentError(f"a rule in shadow sends nothing, not even as {agent}")

    def _user_data(self, key: SessionKey) -> Mapping[str, JSON]:
        return written_over(super()._user_data(key), self.acting.ledger.shades, key)

    def _destination(self, key: SessionKey) -> str:
        for intent in reversed(self.acting.ledger.shades):
            if key.session_id == NOT_BEGUN and intent.operation == "InitiateIMSession":
                return str(intent.payload["to"])
        return super()._destination(key)


class ShadowWeb(WebDoor):
    """HTTP for plugins, of which nothing goes out, reads neither."""

    __slots__ = ()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: JSON = None,
        form: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        timeout_s: float | None = None,
    ) -> NoReturn:
        """Write down what would be asked; what would be answered nobody knows."""
        del headers, idempotency_key, timeout_s  # not written down of what is sent either
        self._calls += 1
        operation = f"{method.upper()} {origin_of(url)}"
        payload = with_moments_as_text(json) if form is None else dict(form)
        self.acting.ledger.shade(
            f"{self.step.key}/web{self._calls}",
            key=self.acting.session,
            action=self.step.action,
            operation=operation,
            payload=None
            if payload is None
            else self.world.secrets.cut({"json" if form is None else "form": payload}),
        )
        raise UnansweredError(f"the answer to {operation}")
