"""``http``: send a request to a host that the settings allow."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator
from pydantic.config import JsonDict

from imbot.plugin import Context, Model, Plugin, action

_METHODS = ("get", "post", "put", "patch", "delete")


def _status(given: int | str) -> int | str:
    """Return a status, or a class of them."""
    if not re.fullmatch("[1-5]([0-9]{2}|[xX]{2})", str(given)):
        raise ValueError(f"'{given}' is no status; write such as 404, or 4xx for a class")
    return given


_STATUS = {"type": ["integer", "string"], "pattern": "^[1-5]([0-9]{2}|[xX]{2})$"}
Status = Annotated[int | str, AfterValidator(_status), WithJsonSchema(_STATUS)]

#: Methods that may be sent twice only with an idempotency key.
_NOT_REPEATABLE = frozenset({"post", "patch"})


_ONE_METHOD: JsonDict = {"oneOf": [{"required": [method]} for method in _METHODS]}


class Request(Model, json_schema_extra=_ONE_METHOD):
    """Arguments of ``http``; exactly one method names the URL."""

    get: str | None = None
    """URL to GET."""

    post: str | None = None
    """URL to POST to."""

    put: str | None = None
    """URL to PUT to."""

    patch: str | None = None
    """URL to PATCH."""

    delete: str | None = None
    """URL to DELETE."""

    headers: dict[str, str] = Field(default_factory=dict)
    """Headers to send."""

    json_: Any = Field(default=None, alias="json")
    """Body to send as JSON."""

    form: dict[str, str] | None = None
    """Body to send as a form."""

    idempotency_key: str | None = None
    """Sent as ``Idempotency-Key``; makes POST and PATCH repeatable."""

    expect: tuple[Status, ...] = Field(default=("2xx",), min_length=1)
    """Statuses, or classes such as ``2xx``, that count as success."""

    @model_validator(mode="after")
    def _is_one_request(self) -> "Request":
        given = self.__dict__
        if sum([given[method] is not None for method in _METHODS]) != 1:
            raise ValueError(f"name exactly one of {', '.join(_METHODS)}")
        if self.json_ is not None and self.form is not None:
            raise ValueError("send json or form, not both")
        return self

    @property
    def method(self) -> str:
        """The method that is named."""
        given = self.__dict__
        method = _METHODS[0]
        for method in _METHODS:
            if given[method] is not None:
                break
        return method

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent twice."""
        return self.method not in _NOT_REPEATABLE or self.idempotency_key is not None


class Response(Model):
    """Result of ``http``."""

    status: int
    """HTTP status."""

    headers: dict[str, str]
    """Headers; names in lower case."""

    text: str
    """Body as text."""

    json_: Any = Field(default=None, alias="json")
    """Body as decoded JSON; nothing when it is none."""


@action("http", args=Request, result=Response, repeatable=lambda args: args.repeatable)
async def http(ctx: Context, args: Request) -> dict[str, Any]:
    """Send a request; a status that is not expected fails the step."""
    method = args.method
    answer = await ctx.http.request(
        method,
        getattr(args, method),
        headers=args.headers,
        json=args.json_,
        form=args.form,
        idempotency_key=args.idempotency_key,
    )
    answer.require(args.expect, repeatable=args.repeatable)
    return {
        "status": answer.status,
        "headers": dict(answer.headers),
        "text": answer.text,
        "json": answer.json,
    }


plugin = Plugin("http", actions=(http,))
