"""Routes as values: who may ask what, with which form, and what is answered."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from imbot.admin.forms import Form
from imbot.admin.keys import Role


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, after everything about it was checked.

    Attributes:
        who: The name of who asks.
        named: What stands in the path, by name.
        query: The form of the query; None where the route has none.
        body: The form of the body, or what JSON it is for a route that takes any.
    """

    who: str
    named: Mapping[str, str]
    query: Any = None
    body: Any = None


class RefusedError(Exception):
    """What was asked cannot be done.

    Attributes:
        status: The HTTP status.
        error: A word for programs.
    """

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = error


#: Answers what was asked with a form; raises RefusedError.
Answers = Callable[[Asked], Awaitable[Form]]

#: Answers a request; raises RefusedError.
Serves = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """Something that can be asked.

    Attributes:
        method: GET, PUT, POST or DELETE; all but GET change something and are audited.
        path: Below the API's own, with ``{names}``.
        role: What it takes.
        told: What it is good for, in a sentence.
        answers: Does it.
        answer: The form of the answer.
        query: The form of the query; None for none.
        body: The form of the body; None for none, ``Any`` for any JSON.
        refusals: The statuses with which it refuses, beside those of every route.
    """

    method: str
    path: str
    role: Role
    told: str
    answers: Answers
    answer: type[Form]
    query: type[Form] | None = None
    body: Any = None
    refusals: tuple[int, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether it changes anything."""
        return self.method != "GET"
