"""From a request to what is asked: every name, field and content type is checked here."""

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from imbot.admin.forms import LONGEST_NAME, Form
from imbot.admin.keys import Key
from imbot.admin.routing import Asked, RefusedError, Route
from imbot.jsontext import decode_json
from imbot.model import JSON

#: So long a body may take to come.
BODY_S = 30.0


async def asked_by(request: web.Request, route: Route, key: Key) -> Asked:
    """Return a request with everything about it checked.

    Raises:
        RefusedError: Something is wrong with it.
    """
    query = _query(request, route.query)
    return Asked(key.name, names_in(request), query, await _body(request, route.body))


def names_in(request: web.Request) -> Mapping[str, str]:
    """Return what stands in the path, by name.

    Raises:
        RefusedError: Something of it is longer than any name of imbot's.
    """
    named = dict(request.match_info)
    if any(len(name) > LONGEST_NAME for name in named.values()):
        raise RefusedError(400, "path", "a name in the path is too long")
    return named


async def body_of(request: web.Request) -> bytes:
    """Return what a request carries.

    Raises:
        RefusedError: It does not come, or is not as the head of the request says.
    """
    try:
        async with asyncio.timeout(BODY_S):
            return await request.read()
    except TimeoutError as error:
        told = f"the body did not come within {BODY_S:g} s"
        raise RefusedError(408, "body", told) from error
    except web.RequestPayloadError as error:
        raise RefusedError(400, "body", "the body is not as its head says") from error


def filled(form: type[Form], given: JSON, *, strict: bool = False) -> Form:
    """Return a form with what was given.

    Raises:
        RefusedError: It does not fit.
    """
    try:
        return form.model_validate(given, strict=strict)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        told = f"{where}: {first['msg']}" if where else str(first["msg"])
        raise RefusedError(422, "form", told) from error


def _query(request: web.Request, form: type[Form] | None) -> Form | None:
    given: dict[str, str] = {}
    for name, value in request.query.items():
        if name in given:
            raise RefusedError(400, "query", f"{name} is given more than once")
        given[name] = value
    if form is None:
        if given:
            raise RefusedError(400, "query", f"nothing is asked by {', '.join(given)} here")
        return None
    return filled(form, dict(given))


async def _body(request: web.Request, form: Any) -> Any:  # noqa: ANN401  as the route says
    if form is None:
        if request.body_exists and await body_of(request):
            raise RefusedError(400, "body", "this takes no body")
        return None
    if request.content_type != "application/json" or "Content-Encoding" in request.headers:
        raise RefusedError(415, "content-type", "send JSON: Content-Type: application/json")
    try:
        given = decode_json(await body_of(request))
    except ValueError as error:
        raise RefusedError(400, "body", f"this is no JSON: {error}") from error
    return given if form is Any else filled(form, given, strict=True)
