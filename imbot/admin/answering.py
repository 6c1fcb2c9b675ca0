"""Answers of the admin server: JSON, refusals, and what stands above every answer."""

from aiohttp import web
from pydantic import BaseModel

from imbot.admin.forms import Refusal
from imbot.admin.routing import RefusedError
from imbot.jsontext import encode_json
from imbot.model import JSON

#: The largest body that is read.
MAX_BODY_BYTES = 256 * 1024

#: With every answer that says nothing else: it is kept nowhere, and no browser makes anything of it
#: but what it is.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def answer(form: BaseModel, status: int = 200) -> web.Response:
    """Return a form as JSON."""
    return json_answer(form.model_dump(mode="json"), status)


def json_answer(value: JSON, status: int = 200) -> web.Response:
    """Return a value as JSON."""
    return web.Response(
        body=encode_json(value), status=status, content_type="application/json", charset="utf-8"
    )


def refusal(error: RefusedError) -> web.Response:
    """Return why something is refused, as JSON."""
    refused = answer(Refusal(error=error.error, message=str(error)), error.status)
    if error.status == 401:  # noqa: PLR2004  HTTP
        refused.headers["WWW-Authenticate"] = "Bearer"
    return refused


def refused_by_http(error: web.HTTPException) -> RefusedError:
    """Return in imbot's words what the HTTP server itself refuses."""
    word, told = {
        404: ("path", "there is nothing here"),
        405: ("method", "this cannot be asked in that way"),
        413: ("size", f"a body has at most {MAX_BODY_BYTES} bytes"),
    }.get(error.status, ("request", error.reason))
    return RefusedError(error.status, word, told)


async def with_headers(_request: web.Request, answer: web.StreamResponse) -> None:
    """Put above an answer what every answer has."""
    for name, value in _HEADERS.items():
        answer.headers.setdefault(name, value)
    answer.headers["Server"] = "imbot"
