"""The contract for plugin authors: everything a plugin may import from imbot.

A plugin is a module with actions and one ``plugin``::

    from imbot.plugin import Context, Model, Plugin, action

    class Options(Model):
        url: str

    class Notify(Model):
        text: str

    @action("notify.send", args=Notify, repeatable=True)
    async def send(ctx: Context, args: Notify) -> None:
        answer = await ctx.http.request("POST", ctx.options.url, json={"text": args.text})
        answer.require()

    plugin = Plugin("notify", actions=(send,), options=Options)

It is found through an entry point of the group ``imbot.plugins`` that names the ``plugin`` object,
or as a file in a directory of the settings' ``plugins.paths``. A plugin never sees credentials:
what it says and sends goes through the doors of its :class:`Context`, which write the intent down
first.
"""

import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from inspect import iscoroutinefunction
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from imbot.errors import (
    ActionError,
    AmbiguousError,
    PermanentError,
    PluginError,
    TemporaryError,
)
from imbot.model import JSON

__all__ = [
    "API_VERSION",
    "JSON",
    "Action",
    "ActionError",
    "AmbiguousError",
    "Context",
    "HttpAnswer",
    "HttpDoor",
    "Im",
    "Model",
    "Operation",
    "PermanentError",
    "Plugin",
    "PluginError",
    "TemporaryError",
    "action",
    "as_user_data",
]

#: The contract's version; a plugin that was written for a newer one is refused.
API_VERSION = 1

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)?")
_PLUGIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")

#: What a step of the rule language says itself; no action can be called so.
_LANGUAGE = frozenset(
    {
        *("let", "if", "then", "else", "parallel", "wait", "wait_for", "stop", "call", "log"),
        *("as", "timeout", "retry", "on_error", "name", "enabled", "even_if_completed"),
    }
)

#: HTTP statuses below 500 that ask to come again: Request Timeout, Too Many Requests.
_TRY_LATER = frozenset({408, 429})
_SERVER_ERROR = 500

#: Seconds an action may take unless it declares otherwise.
DEFAULT_DEADLINE_S = 30.0


class Operation(StrEnum):
    """A GWS operation that an action needs; says in which session states it can succeed."""

    SEND_MESSAGE = "SendMessage"
    ATTACH_USER_DATA = "AttachUserData"
    UPDATE_USER_DATA = "UpdateUserData"
    DELETE_USER_DATA = "DeleteUserData"
    COMPLETE = "Complete"
    INITIATE = "InitiateIMSession"


class HttpAnswer(NamedTuple):
    """What an HTTP request came back with.

    Attributes:
        status: HTTP status.
        headers: Names in lower case.
        text: Body as text.
        json: Body as decoded JSON; None when it is none.
    """

    status: int
    headers: Mapping[str, str]
    text: str
    json: Any = None

    def require(self, expect: Sequence[str | int] = ("2xx",), *, repeatable: bool = True) -> None:
        """Return if the status is expected.

        Args:
            expect: Statuses, or classes of them such as ``2xx``.
            repeatable: Whether the request may be sent again without harm.

        Raises:
            TemporaryError: 408, 429 or 5xx; carries what ``Retry-After`` asks for.
            AmbiguousError: The same, to a request that must not be sent again blindly.
            PermanentError: Any other unexpected status.
        """
        fitting = {str(self.status), f"{self.status // 100}xx"}
        if not fitting.isdisjoint([str(one).lower() for one in expect]):
            return
        told = f"HTTP {self.status}, expected {', '.join(str(one) for one in expect)}"
        if self.status not in _TRY_LATER and self.status < _SERVER_ERROR:
            raise PermanentError(told)
        if not repeatable and self.status >= _SERVER_ERROR:
            raise AmbiguousError(told)
        asked = re.fullmatch("[0-9]{1,6}", self.headers.get("retry-after", "").strip())
        raise TemporaryError(told, retry_after_s=float(asked[0]) if asked else None)


class HttpDoor(Protocol):
    """HTTP for plugins: only hosts that ``http.allow`` or ``http.internal`` lists; no redirect."""

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
        """Return the answer, whatever its status.

        GET and HEAD are plain reads. Anything else is an effect: its intent is written down first.

        Raises:
            TemporaryError: Surely not sent.
            AmbiguousError: Sent, and no whole answer came.
            PermanentError: The host is not allowed.
        """
        ...


class Im(Protocol):
    """The IM session a step acts on. Every call is an effect: its intent is written down first."""

    async def send_message(self, *texts: str, to: str | None = None) -> None:
        """Say something to the other party.

        Args:
            texts: One message each, said in this order, at most ``message_limit_bytes`` long. If
                one is given up, those behind it are parked with it.
            to: The number to send to; by default the other party's.
        """
        ...

    async def update_user_data(self, user_data: Mapping[str, Any]) -> None:
        """Set keys of the user data; nothing is sent when they are so already."""
        ...

    async def delete_user_data(self, key: str) -> None:
        """Remove one key of the user data; nothing is sent when it is absent."""
        ...

    async def complete(self) -> None:
        """End the session."""
        ...

    async def initiate(
        self, to: str, *, user_data: Mapping[str, Any] | None = None, agent: str | None = None
    ) -> Mapping[str, Any]:
        """Begin a session and return it as rules see it; later steps act on it.

        Args:
            to: Number to reach.
            user_data: Attached from the start.
            agent: User name of the agent to use, ``any`` for a free one; by default the run's own.
        """
        ...


class Context(NamedTuple):
    """What an action is given: facts to read and doors to act through.

    Attributes:
        event: The trigger, as rules see it.
        session: The session as it stands now; None without one.
        participant: The other party; None without one.
        agent: Our agent; None without one.
        bot: ``nickname`` and ``instance``.
        options: The plugin's options, an instance of its ``options`` model; None without a model.
        step_key: Names this step of this run; the same on every attempt.
        attempt: 1 for the first.
        message_limit_bytes: The longest message that GWS is trusted with.
        reason_key: The user-data key under which ``complete`` leaves its reason.
        im: The session's operations.
        http: HTTP.
    """

    event: Mapping[str, Any]
    session: Mapping[str, Any] | None
    participant: Mapping[str, Any] | None
    agent: Mapping[str, Any] | None
    bot: Mapping[str, Any]
    options: Any
    step_key: str
    attempt: int
    im: Im
    http: HttpDoor
    message_limit_bytes: int = 1000
    reason_key: str = "imbot.reason"


class Model(BaseModel):
    """What options, arguments and results are best made of; any pydantic model will do.

    Unknown keys are refused, values never change, a number is taken where text is due, and the text
    below a field is shown as its meaning. No message shows a value.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        coerce_numbers_to_str=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )


A = TypeVar("A", bound=BaseModel)


def _is_model(given: object) -> bool:
    return isinstance(given, type) and issubclass(given, BaseModel)


@dataclass(frozen=True, slots=True)
class Action(Generic[A]):
    """One action that rules can name; made by :func:`action`.

    Attributes:
        name: As written in rules.
        args: Model of its arguments; a root model for a short form.
        result: Model of what it returns; None when it returns nothing.
        repeatable: Whether doing it twice equals doing it once, possibly by its arguments.
        deadline_s: Seconds it may take.
        needs: The GWS operation without which it cannot succeed; None for none.
        run: The function.
    """

    name: str
    args: type[A]
    result: type[BaseModel] | None
    repeatable: Callable[[A], bool]
    deadline_s: float
    needs: Operation | None
    run: Callable[[Context, A], Coroutine[Any, Any, Any]] = field(repr=False)

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (self.run.__doc__ or "").strip().partition("\n")[0]


def action(
    name: str,
    *,
    args: type[A],
    result: type[BaseModel] | None = None,
    repeatable: bool | Callable[[A], bool] = False,
    deadline_s: float = DEFAULT_DEADLINE_S,
    needs: Operation | None = None,
) -> Callable[[Callable[[Context, A], Coroutine[Any, Any, Any]]], Action[A]]:
    """Declare an async function of a context and its arguments as an action.

    Args:
        name: As written in rules: ``word`` or ``plugin.word``.
        args: Model of its arguments; a root model for a short form.
        result: Model of what it returns; None when it returns nothing.
        repeatable: Whether doing it twice equals doing it once, possibly by its arguments. Only
            then is it tried again when nobody knows whether it was done.
        deadline_s: Seconds it may take, unless the step says otherwise.
        needs: The GWS operation without which it cannot succeed.

    Raises:
        PluginError: One of these is wrong, or the function is not async.
    """
    if not _NAME.fullmatch(name):
        raise PluginError(f"action name {name!r}: write 'word' or 'plugin.word'")
    if name in _LANGUAGE:
        raise PluginError(f"action name {name!r}: it has a meaning of its own in rules")
    if deadline_s <= 0:
        raise PluginError(f"action {name!r}: deadline_s must be more than 0, not {deadline_s}")
    for model in (args, result or args):
        if not _is_model(model):
            raise PluginError(f"action {name!r}: {model!r} is no pydantic model")

    def always(_args: A) -> bool:
        return bool(repeatable)

    is_repeatable = repeatable if callable(repeatable) else always

    def declare(run: Callable[[Context, A], Coroutine[Any, Any, Any]]) -> Action[A]:
        if not iscoroutinefunction(run):
            raise PluginError(f"action {name!r}: declare it on an 'async def'")
        return Action(name, args, result, is_repeatable, deadline_s, needs, run)

    return declare


@dataclass(frozen=True, slots=True)
class Plugin:
    """A named set of actions with options of its own.

    Attributes:
        name: Unique among the plugins; by custom the first word of its actions' dotted names.
        actions: What rules can do through it.
        options: Model of ``plugins.options.<name>`` in the settings; None when it has no options.
        self_check: Awaited once before the daemon starts with the options; raises PluginError with
            the reason when the plugin cannot work here. None when there is nothing to check.
        api_version: The version of this contract that it was written for.

    Raises:
        PluginError: One of these is wrong, or an action stands there twice.
    """

    name: str
    actions: tuple[Action[Any], ...] = ()
    options: type[BaseModel] | None = None
    self_check: Callable[[Any], Awaitable[None]] | None = None
    api_version: int = API_VERSION

    def __post_init__(self) -> None:
        if not _PLUGIN_NAME.fullmatch(self.name):
            raise PluginError(f"plugin name {self.name!r}: write letters, digits, '_' and '-'")
        for one in self.actions:
            if not isinstance(one, Action):
                raise PluginError(f"{one!r} is no action; declare it with @action")
        names = [one.name for one in self.actions]
        if len(set(names)) < len(names):
            raise PluginError(f"an action stands twice among {', '.join(names)}")
        if self.self_check is not None and not iscoroutinefunction(self.self_check):
            raise PluginError("declare self_check as an 'async def'")


def as_user_data(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as user data holds them: each a text, or a mapping of such.

    Numbers become text as Python writes them, flags ``true`` and ``false``, moments ISO 8601.

    Raises:
        PermanentError: A value is missing, null or a list.
    """
    return {key: _as_user_data(key, value) for key, value in values.items()}


def _as_user_data(name: str, value: JSON) -> str | dict[str, Any]:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case datetime():
            return value.isoformat()
        case Mapping():
            return {key: _as_user_data(f"{name}.{key}", item) for key, item in value.items()}
        case _:
            told = "must be text, a number, true, false or a mapping"
            raise PermanentError(f"user data '{name}' {told}")
