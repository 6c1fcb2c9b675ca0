"""What a run in shadow sees: the world as it is, its own writes, and no results. Pure.

It decides and writes down what it would do; nothing is sent. So nobody knows what an answer would
have been, and a run that comes to need one ends there, visibly.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from imbot.engine.ledger import Ledger
from imbot.model import JSON, Scope, SessionKey
from imbot.records import Intent
from imbot.rulebook.schema import Act

#: The id of a session that a run in shadow would have begun.
NOT_BEGUN = ""

#: Names of results that nobody knows, each with the step that would bring it.
Unknown = Mapping[str, str]

#: What a run that is not in shadow does not know.
ALL_KNOWN: Unknown = {}


class UnansweredError(Exception):
    """Only somebody who really asks is answered; the text says what would be asked."""


class Shaded(dict[str, Any]):
    """A scope in which some names cannot be looked at."""

    def __init__(self, scope: Scope, unknown: Unknown) -> None:
        super().__init__(scope)
        self._unknown = unknown

    def get(self, name: str, default: object = None) -> Any:  # noqa: ANN401  rule values are of any type
        """Return what has this name.

        Raises:
            UnansweredError: It is a result that nobody knows.
        """
        if name not in self and (step := self._unknown.get(name)) is not None:
            raise UnansweredError(f"the result of {step}")
        return super().get(name, default)


def unknown_names(ledger: Ledger) -> Unknown:
    """Return the names that steps of a run in shadow would have bound."""
    start = ledger.start
    return {
        act.bind: f"{act.path} {act.action}"
        for pc, act in enumerate(start.rule.program.instructions)
        if isinstance(act, Act)
        and act.bind is not None
        and ledger.has_tried(f"{start.run_id}/{pc}")
    }


def with_own_writes(scope: Scope, ledger: Ledger) -> Scope:
    """Return what the steps of a run in shadow see: user data as it would have written it."""
    key, session = ledger.start.event.session_key, scope.get("session")
    if key is None or session is None:
        return scope
    user_data = written_over(session["userData"], ledger.shades, key)
    return {**scope, "session": {**session, "userData": user_data}}


def written_over(
    user_data: Mapping[str, JSON], shades: Iterable[Intent], key: SessionKey
) -> Mapping[str, JSON]:
    """Return user data with what these effects would have written in a session."""
    written = dict(user_data)
    for intent in shades:
        if (intent.agent, intent.session_id) != key:
            continue
        if intent.operation == "UpdateUserData":
            written.update(intent.payload)
        elif intent.operation == "DeleteUserData":
            for name in intent.payload:
                written.pop(name, None)
    return written
