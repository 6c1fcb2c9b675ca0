"""The door to HTTP for plugins: any request but a read is an effect, written down before."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlencode, urlsplit

from imbot.engine.doors import DONE, Acting, World, require_open
from imbot.errors import AmbiguousError, Fault, FaultClass, PermanentError, TemporaryError
from imbot.jsontext import decode_json, encode_json, with_moments_as_text
from imbot.model import JSON, Step
from imbot.plugin import HttpAnswer
from imbot.ports import Reply, Request
from imbot.records import EffectState

#: Methods that change nothing; they are no effects.
_READS = frozenset({"GET", "HEAD"})

#: Of an HTTP answer's text so much is kept in the ledger.
_KEPT_TEXT = 64 * 1024

#: The largest answer that is taken; what a bot looks up is small, and it is all in memory.
_LIMIT_BYTES = 1024 * 1024

#: Seconds for one HTTP request, unless the action says otherwise.
_HTTP_TIMEOUT_S = 10.0


@dataclass(slots=True)
class WebDoor:
    """HTTP for plugins; anything but a read is an effect."""

    world: World
    acting: Acting
    step: Step
    is_shut: bool = field(default=False)
    _calls: int = field(default=0)

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
    ) -> HttpAnswer:
        """Return the answer, whatever its status."""
        json = with_moments_as_text(json)
        request = _request(method, url, headers, json, form, idempotency_key, timeout_s)
        if request.method in _READS:
            return self._answer(await self.world.http.send(request))
        require_open(self.step, is_shut=self.is_shut)
        self._calls += 1
        effect_id = f"{self.step.key}/web{self._calls}"
        ledger = self.acting.ledger
        if ledger.state(effect_id) in DONE and ledger.result(effect_id)["status"] < 400:  # noqa: PLR2004  HTTP
            return HttpAnswer(**ledger.result(effect_id))
        key = self.acting.session
        payload = self.world.secrets.cut({"json": json} if form is None else {"form": form})
        if ledger.was_in_doubt(effect_id) and not _is_same(payload, ledger.payload(effect_id)):
            raise PermanentError(
                f"{self.step.action}: nobody knows whether it was carried out, and what is to be "
                "sent has changed since"
            )
        try:
            await ledger.open(
                effect_id,
                key=key,
                agent=key.agent if key else "",
                action=self.step.action,
                operation=f"{request.method} {origin_of(url)}",
                payload=payload,
            )
            answer = self._answer(await self.world.http.send(request))
        except AmbiguousError as error:
            detail = self.world.secrets.cut_text(str(error))
            ledger.close(effect_id, EffectState.UNKNOWN, detail=detail)
            raise
        except (TemporaryError, PermanentError) as error:
            detail = self.world.secrets.cut_text(str(error))
            ledger.close(effect_id, EffectState.FAILED, detail=detail)
            raise
        kept = {
            "status": answer.status,
            "headers": dict(answer.headers),
            "text": answer.text[:_KEPT_TEXT],
            "json": answer.json,
        }
        ledger.close(effect_id, EffectState.ACCEPTED, detail=f"HTTP {answer.status}", result=kept)
        return answer

    def _answer(self, reply: Reply) -> HttpAnswer:
        """Return an answer as it may be kept: services tell what they were sent."""
        text, cut = reply.body.decode("utf-8", "replace"), self.world.secrets.cut_answer
        try:
            json = decode_json(reply.body) if reply.body else None
        except ValueError:
            json = None
        return HttpAnswer(reply.status, cut(dict(reply.headers)), cut(text), cut(json))


def _is_same(body: JSON, kept: JSON) -> bool:
    """Return whether a body is the one that is kept, whatever JSON makes of lists and the like."""
    return encode_json(body) == encode_json(kept)


def _request(
    method: str,
    url: str,
    headers: Mapping[str, str] | None,
    json: JSON,
    form: Mapping[str, str] | None,
    idempotency_key: str | None,
    timeout_s: float | None,
) -> Request:
    sent = dict(headers or {})
    body: bytes | None = None
    if json is not None:
        body = encode_json(json)
        sent.setdefault("Content-Type", "application/json; charset=UTF-8")
    elif form is not None:
        body = urlencode(form).encode()
        sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
    if idempotency_key is not None:
        sent["Idempotency-Key"] = idempotency_key
    timeout_s = timeout_s or _HTTP_TIMEOUT_S
    return Request(method.upper(), url, sent, body, timeout_s, _LIMIT_BYTES)


@lru_cache(maxsize=1000)
def origin_of(url: str) -> str:
    """Return the URL without anything that could be a secret.

    Raises:
        PermanentError: It is none.
    """
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        told = f"the address of the request is none: {error}"
        raise PermanentError(told, fault=Fault(FaultClass.INPUT)) from error
    return f"{parts.scheme}://{parts.hostname}{port}"
