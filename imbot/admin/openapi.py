"""The description of the admin API, made of its routes and forms. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from imbot.admin.forms import LONGEST_NAME, Form, Refusal
from imbot.admin.routing import Route
from imbot.admin.site import PREFIX

#: With what any request may be refused.
_ANY_REFUSAL = (400, 401, 403, 408, 413, 415, 421, 422, 429, 500, 503)

_NAMES = re.compile(r"\{(\w+)\}")
_REF = "#/components/schemas/{model}"


def described(routes: Iterable[Route], *, version: str) -> dict[str, Any]:
    """Return the OpenAPI description of these routes.

    Args:
        routes: All of them.
        version: imbot's.
    """
    routes = list(routes)
    models: set[type[BaseModel]] = {Refusal}
    models.update(model for route in routes for model in _models(route))
    ordered = sorted(models, key=lambda model: model.__name__)
    refs, definitions = models_json_schema(
        [(model, "validation") for model in ordered], ref_template=_REF
    )
    schemas = {model: refs[model, "validation"] for model in ordered}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operation = _operation(route, schemas, definitions["$defs"])
        paths.setdefault(f"{PREFIX}{route.path}", {})[route.method.lower()] = operation
    queries = {route.query.__name__ for route in routes if route.query is not None}
    shown = {name: one for name, one in definitions["$defs"].items() if name not in queries}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "imbot",
            "version": version,
            "description": "Looks into a running imbot, and steers it.",
        },
        "paths": paths,
        "security": [{"token": []}],
        "components": {
            "schemas": shown,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _models(route: Route) -> Iterator[type[Form]]:
    yield route.answer
    for model in (route.query, route.body):
        if isinstance(model, type) and issubclass(model, Form):
            yield model


def _operation(
    route: Route, schemas: Mapping[type[BaseModel], Any], definitions: Mapping[str, Any]
) -> dict[str, Any]:
    refused = {"$ref": _REF.format(model="Refusal")}
    answers: dict[str, Any] = {
        str(status): _content(HTTPStatus(status).phrase, refused)
        for status in sorted({*_ANY_REFUSAL, *route.refusals})
    }
    operation: dict[str, Any] = {
        "operationId": operation_id(route),
        "summary": route.told,
        "description": f"Takes a token with the role {route.role.word}.",
        "parameters": [*_in_path(route), *_in_query(route, definitions)],
        "responses": {"200": _content("Done.", schemas[route.answer]), **answers},
    }
    if route.body is not None:
        schema = schemas.get(route.body, {})
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    return operation


def operation_id(route: Route) -> str:
    """Return the name of a route for programs."""
    words = [word for word in re.split(r"\W+", route.path) if word]
    return "_".join([route.method.lower(), *words])


def _in_path(route: Route) -> Iterator[dict[str, Any]]:
    for name in _NAMES.findall(route.path):
        schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _in_query(route: Route, definitions: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if route.query is None:
        return
    form = definitions[route.query.__name__]
    for name, schema in form["properties"].items():
        yield {
            "name": name,
            "in": "query",
            "required": name in form.get("required", ()),
            "description": schema.get("description", ""),
            "schema": _given(schema),
        }


def _given(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of what is given in a query: what is left out is not null there."""
    kept = {key: value for key, value in schema.items() if key not in {"description", "title"}}
    choices = [one for one in kept.pop("anyOf", ()) if one.get("type") != "null"]
    if choices and kept.get("default", "") is None:
        del kept["default"]
    return {**kept, **(choices[0] if choices else {})}


def _content(told: str, schema: Any) -> dict[str, Any]:  # noqa: ANN401  a JSON Schema
    return {"description": told, "content": {"application/json": {"schema": schema}}}
