"""The schema of test files: what happens to rules, and what they are to do then."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from imbot.model import ConnectionChange, SessionState
from imbot.plugin import Action
from imbot.schemas.models import plain
from imbot.schemas.parts import (
    DRAFT,
    Schema,
    described,
    duration,
    exactly_one,
    flag,
    listed,
    mapped,
    named,
    one_or_list,
    pattern,
    ref,
    text,
    whole,
    words,
)

_MOMENT: Final = pattern(
    r"^\s*[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?)?"
    r"(Z|[+-][0-9]{2}:?[0-9]{2}| +[A-Za-z]\S*)\s*$",
    "Write a moment with its zone, such as 2026-03-02T09:00:00+01:00.",
)
_AT: Final = described(
    {"anyOf": [duration(zero=True), {"enum": [0, "0"]}]}, "When, counted from the start."
)
_SESSION: Final = described(text(), "The session, by the name that the test gives it.")
_AGENT: Final = described(text(), "The agent; by default bot1.")
_STATE: Final = described(words(SessionState), "The state that the session has come to.")
_NUMBERS: Final = ("phoneNumber", "digits", "e164Number", "formattedPhoneNumber")

#: What is told of a session beside its state.
_FACTS: Final[Mapping[str, Schema]] = MappingProxyType(
    {
        "session": _SESSION,
        "participant": described(
            {"anyOf": [text(), mapped(dict.fromkeys(_NUMBERS, text()))]},
            "The other party's number; by default 3002.",
        ),
        "userData": described({"type": "object"}, "The session's user data."),
        "capabilities": described(
            {"anyOf": [text(), listed(text())]}, "The operations that GWS lists."
        ),
    }
)

#: What can happen, by its key.
_KINDS: Final[Mapping[str, Schema]] = MappingProxyType(
    {
        "state": _STATE,
        "message": described(text(), "What the other party says."),
        "userdata": described({"type": "object"}, "What somebody else writes to user data."),
        "connection": described(words(ConnectionChange), "What becomes of the connection to GWS."),
        "busy": described(flag(), "Whether GWS lets the agent begin no session from now on."),
        "webhook": described(
            {"anyOf": [mapped({"name": text(), "body": {}}, required=["name"]), text()]},
            "Somebody posts to the hook of this name.",
        ),
        "restart": described(words(("kill", "stop")), "imbot ends in this way, and starts again."),
        "reload": described(one_or_list(text()), "These rule files take the others' place."),
        "http": described(
            mapped(
                {
                    "match": described(text(), "A part of the URL."),
                    "status": described(whole(100, 599), "The status of the answer."),
                    "json": described({}, "The body of the answer, as JSON."),
                    "text": described(text(), "The body of the answer, as text."),
                    "times": described(whole(1), "How often it is given; by default every time."),
                }
            )
            | {"minProperties": 1},
            "How requests to such a URL are answered from now on.",
        ),
    }
)
_BESIDE: Final[Mapping[str, Schema]] = MappingProxyType(
    {
        "snapshot": described(
            listed(mapped({**_FACTS, "state": _STATE}, required=["session"])),
            "The sessions that GWS has when the connection is back.",
        ),
        "reason": described(text(), "Why the connection is so."),
        "own": described(flag(), "A person says it, under the bot's own name."),
    }
)

_OF_SESSIONS: Final = frozenset({"at", "agent", *_FACTS})
#: What may stand beside each kind.
_WITH: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        **dict.fromkeys(_KINDS, frozenset({"at"})),
        "state": _OF_SESSIONS,
        "message": _OF_SESSIONS | {"own"},
        "userdata": _OF_SESSIONS - {"userData"},
        "connection": frozenset({"at", "agent", "snapshot", "reason"}),
        "busy": frozenset({"at", "agent"}),
    }
)


def schema_of_tests(actions: Mapping[str, Action[Any]]) -> Schema:
    """Return the schema of test files.

    Args:
        actions: What rules may name, and tests expect.
    """
    keys = {
        "version": described({"enum": [1, "1"]}, "The version of the rule language: 1."),
        "rules": described(one_or_list(text()), "Rule files and folders, seen from this file."),
        "plugins": described(
            one_or_list(text()), "Folders with plugins of one's own, seen from this file."
        ),
        "bot": described(
            mapped({"nickname": described(text(), "By default Bot.")}), "Who the bot is."
        ),
        "options": described(named({"type": "object"}), "Options of plugins, by plugin."),
        "secrets": described(named(text()), "Secrets that rules may use, by name."),
        "tests": described(listed(ref("test"), least=1), "The tests; none knows of another."),
    }
    return {
        "$schema": DRAFT,
        "title": "imbot test file",
        **described(mapped(keys, required=["tests"]), "Tests of rules, in virtual time."),
        "definitions": {"test": _test(), "event": _event(), "effect": _effect(actions)},
    }


def _test() -> Schema:
    """Return the schema of one test."""
    keys = {
        "name": described(text(), "What is to be shown; unique in the file."),
        "start": described(_MOMENT, "The moment at which the test begins, with its zone."),
        "events": described(listed(ref("event")), "What happens."),
        "expect": described(listed(ref("effect")), "All effects, in order."),
        "only": described(flag(), "False: there may be other effects, too. By default true."),
    }
    return mapped(keys, required=["name"])


def _event() -> Schema:
    """Return the schema of one event of a test."""
    keys = {"at": _AT, "agent": _AGENT, **_FACTS, **_KINDS, **_BESIDE}
    cure = f"Name what happens: {', '.join(_KINDS)}."
    return {
        "description": "Something that happens.",
        **mapped(keys),
        # Of a session that is there already these may be all that is told.
        "anyOf": [
            *exactly_one(_KINDS, cure)["oneOf"],
            *({"required": ["at", "session", fact]} for fact in ("participant", "capabilities")),
        ],
        "dependencies": {kind: _beside(kind, keys) for kind in _KINDS},
    }


def _beside(kind: str, keys: Mapping[str, Schema]) -> Schema:
    """Return what a kind of event asks for beside it, and refuses."""
    needed = [] if kind == "http" else ["at"]
    if "session" in _WITH[kind]:
        needed.append("session")
    refused = [key for key in keys if key != kind and key not in _WITH[kind]]
    return {"required": needed, "properties": dict.fromkeys(refused, False)}


def _effect(actions: Mapping[str, Action[Any]]) -> Schema:
    """Return the schema of one effect that is expected."""
    kinds = {name: _part_of(action) for name, action in sorted(actions.items())}
    return {
        "description": "Something that imbot does.",
        **mapped({"at": _AT, "session": _SESSION, "agent": _AGENT, **kinds}, required=["at"]),
        **exactly_one(kinds, "Name what imbot does, such as reply."),
    }


def _part_of(action: Action[Any]) -> Schema:
    """Return the schema of some of an action's arguments; a text in / / is a search."""
    told = {"description": f"{plain(action.summary)} Some of its arguments; /…/ is a search."}
    written = action.args.model_json_schema()
    if not (properties := written.get("properties")):
        return told
    known = {
        name: {"description": plain(part["description"])} if "description" in part else {}
        for name, part in properties.items()
    }
    return {**told, "anyOf": [mapped(known), text()]}
