"""The audit trail: who wanted to change what through the admin server, and what came of it."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from imbot.admin.forms import Form
from imbot.admin.gate import require_role
from imbot.admin.keys import Key
from imbot.admin.routing import Asked, RefusedError, Route
from imbot.admin.site import PREFIX
from imbot.clock import Clock
from imbot.records import Audited

#: How much of a body is kept.
_AUDITED_CHARS = 1000

_TOO_MANY = 429


class Trail:
    """Lets routes do what they do, and takes it down.

    Args:
        keep: Keeps what somebody did.
        clock: Time.
    """

    def __init__(self, keep: Callable[[Audited], None], clock: Clock) -> None:
        self._keep = keep
        self._clock = clock

    async def done(
        self,
        request: web.Request,
        route: Route,
        who: Callable[[], Key],
        what: Callable[[Key], Awaitable[Asked]],
    ) -> Form:
        """Do what changes something; return the answer.

        Args:
            request: As it came.
            route: What is to be done.
            who: Says who asks; raises RefusedError.
            what: Says what they ask; raises RefusedError.

        Raises:
            RefusedError: They may not, or it cannot be done.
        """
        key, asked, status = None, None, 500
        try:
            key = who()
            require_role(key, route.role)
            asked = await what(key)
            answer = await route.answers(asked)
            status = 200
        except RefusedError as error:
            status = error.status
            raise
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            # Nobody fills the store by asking without a token: those are few, and then none.
            if key is not None or status != _TOO_MANY:
                self._take_down(request, route, key, asked, status)
        return answer

    def _take_down(
        self, request: web.Request, route: Route, key: Key | None, asked: Asked | None, status: int
    ) -> None:
        # What a webhook brings is kept as its event, and by its rules.
        form = asked.body if asked is not None and isinstance(asked.body, Form) else None
        body = "" if form is None else form.model_dump_json()
        path = f"{PREFIX}{route.path}".format_map(request.match_info)
        self._keep(
            Audited(
                self._clock.now(),
                "" if key is None else key.name,
                "" if key is None else key.role.word,
                request.remote or "",
                f"{route.method} {path} {body}".strip()[:_AUDITED_CHARS],
                status,
            )
        )
