"""Every error imbot raises on purpose.

* ImbotError
    * ConfigError            settings, agents file or environment are wrong; carries all problems
    * RulebookError          rule files are wrong; carries all problems
    * PluginError            a plugin failed to load or breaks the plugin contract
    * StoreError             the store cannot keep what it was given; acting must stop
        * StoreFullError     its disk is full; once there is room it goes on
        * StoreDamagedError  what it kept is not what was written; a person must decide
    * ProtocolError          a Bayeux or GWS peer broke its protocol
    * ActionError            an action failed while running
        * TemporaryError     surely not done; try again, after the delay it carries
        * AmbiguousError     perhaps done; only a repeatable action is tried again
        * PermanentError     surely not done; never try again

The branch of an :class:`ActionError` decides what happens next; its text is for people.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from imbot.meaning import Meant
from imbot.problems import Problem


class ImbotError(Exception):
    """The root: anything imbot raises on purpose."""


class _ProblemsError(ImbotError):
    """An error that carries every problem found, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ConfigError(_ProblemsError):
    """The settings, the agents file or the environment are wrong."""


class RulebookError(_ProblemsError):
    """Rule files are wrong."""


class PluginError(ImbotError):
    """A plugin failed to load or breaks the plugin contract."""


class StoreError(ImbotError):
    """The store cannot keep what it was given; nothing may be acted on or acknowledged."""


class StoreFullError(StoreError):
    """The disk of the store is full; with room on it, the store can be opened and goes on."""


class StoreDamagedError(StoreError):
    """The store is not as imbot left it; going on as if it were could do things twice."""


class ProtocolError(ImbotError):
    """A Bayeux or GWS peer broke its protocol."""


class FaultClass(Meant):
    """What kind of trouble a GWS answer means. Source: GWS contract 9.5."""

    AUTH = "auth", "The agent is not logged in, or not any more."
    CSRF = "csrf", "The CSRF token is missing or out of date."
    PERMISSION = "permission", "The agent may not do this."
    CONFLICT = "conflict", "In the state of things it cannot be done now."
    GONE = "gone", "The session, or what else was named, is not there any more."
    INPUT = "input", "GWS does not take what was sent."
    SERVER = "server", "GWS, or what stands behind it, failed."
    TRANSPORT = "transport", "No answer came, or none that can be read."


@dataclass(frozen=True, slots=True)
class Fault:
    """The facts behind a failed request.

    Attributes:
        fault_class: The class that decided what happens next.
        status_code: GWS ``statusCode`` of the body; None when there was no such body.
        http_status: HTTP status; None when no response arrived.
        text: ``statusMessage`` or the first 200 characters of the body; may be empty.
        retry_after_s: Seconds the peer asked to wait (``Retry-After``); None when it did not say.
    """

    fault_class: FaultClass
    status_code: int | None = None
    http_status: int | None = None
    text: str = ""
    retry_after_s: float | None = None

    def __str__(self) -> str:
        """Return the facts on one line."""
        parts = [self.fault_class.value]
        if self.http_status is not None:
            parts.append(f"HTTP {self.http_status}")
        if self.status_code is not None:
            parts.append(f"statusCode {self.status_code}")
        return f"{' '.join(parts)}: {self.text}" if self.text else " ".join(parts)


class ActionError(ImbotError):
    """An action failed while running; use one of its three branches.

    Attributes:
        fault: The facts of the failed request, when a request was the cause.
        retry_after_s: Seconds to wait before trying again; None leaves it to the caller.
    """

    kind = "permanent"

    def __init__(
        self, message: str, *, fault: Fault | None = None, retry_after_s: float | None = None
    ) -> None:
        self.fault = fault
        self.retry_after_s = retry_after_s if fault is None else fault.retry_after_s
        super().__init__(message)


class TemporaryError(ActionError):
    """Surely not done; may be tried again."""

    kind = "temporary"


class AmbiguousError(ActionError):
    """Perhaps done: bytes were sent, no answer tells. Only a repeatable action is tried again."""

    kind = "ambiguous"


class PermanentError(ActionError):
    """Surely not done, and trying again will not help."""

    kind = "permanent"
