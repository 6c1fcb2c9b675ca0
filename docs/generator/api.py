"""The page of the admin API: every route with its role, and the fields of its forms."""

from collections.abc import Iterator
from typing import Any

import imbot
from docs.generator.keys import meanings
from docs.generator.markdown import table
from imbot.admin.desk import Desk
from imbot.admin.openapi import described
from imbot.admin.routing import Route
from imbot.admin.site import PREFIX
from imbot.admin.story import LineKind
from imbot.meaning import Meant

#: The closed sets of words among the forms.
_WORDS: dict[str, type[Meant]] = {"LineKind": LineKind}


def page() -> Iterator[str]:
    """Yield the routes, then the forms."""
    routes = Desk(None).routes  # nothing is asked
    forms = described(routes, version=imbot.__version__)["components"]["schemas"]
    yield from table(("route", "role", "it", "takes", "answers"), map(_row, routes))
    for name, form in sorted(forms.items()):
        yield from ("", f"### {name}", "", form.get("description", ""), "")
        if name in _WORDS:
            yield from meanings(_WORDS[name])
            continue
        fields = form.get("properties", {}).items()
        yield from table(
            ("field", "type", "meaning"),
            ((f"`{field}`", _type(of), of.get("description", "")) for field, of in fields),
        )


def _row(route: Route) -> tuple[str, ...]:
    query = (
        "" if route.query is None else ", ".join(f"`?{each}`" for each in route.query.model_fields)
    )
    body = getattr(route.body, "__name__", "")
    takes = _link(body) if body and body != "Any" else "any JSON" if body else query
    what = f"`{route.method} {PREFIX}{route.path}`"
    return what, route.role.word, route.told, takes, _link(route.answer.__name__)


def _link(form: str) -> str:
    return f"[{form}](#{form.lower()})"


def _type(of: dict[str, Any]) -> str:
    if "anyOf" in of:
        return " or ".join(map(_type, of["anyOf"]))
    if "$ref" in of:
        return _link(of["$ref"].rpartition("/")[2])
    if of.get("type") == "array":
        return f"list of {_type(of['items'])}"
    return of.get("format") or of.get("type") or "any"
