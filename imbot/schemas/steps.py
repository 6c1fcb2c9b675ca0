"""The schema of steps: exactly one action, or one step of the language, and its options."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from imbot.durations import format_duration
from imbot.plugin import Action
from imbot.rulebook.stepkeys import LANGUAGE
from imbot.rulebook.values import STEP_OPTIONS
from imbot.schemas.models import Models, plain
from imbot.schemas.parts import (
    Schema,
    backoff,
    described,
    duration,
    duration_or,
    exactly_one,
    flag,
    listed,
    mapped,
    named,
    ref,
    text,
    whole,
)

#: The shape of a name that authors give: to a value, an input, a block.
NAME: Final = {
    "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
    "patternErrorMessage": "Use letters (a to z), digits and _.",
}

_LINE: Final = {"type": ["string", "number", "boolean"]}

_STEPS: Final[Mapping[str, Schema]] = MappingProxyType(
    {
        "let": described(
            named(ref("expression"), NAME),
            "Binds names to values for the rest of the rule: an expression, or a template {{ … }}.",
        ),
        "if": described(ref("condition"), "Whether `then` is done, else `else`."),
        "parallel": described(
            listed(ref("steps"), least=1), "Lists of steps that are done side by side."
        ),
        "wait": described(
            duration_or(r"\{\{"), "Goes on after so long; survives a restart and a reload."
        ),
        "wait_for": described(
            ref("waited_for"),
            "Goes on when this happens in the session, or after `timeout`; the result of `as` has "
            "`timed_out` and what the trigger brings.",
        ),
        "stop": described(_LINE, "Ends the run, and says why."),
        "call": described(
            mapped(
                {
                    "block": described(text(), "The name of a block under `blocks`."),
                    "with": described(
                        named({}, NAME),
                        "The block's inputs: each a value, or a template {{ … }}.",
                    ),
                },
                required=["block"],
            ),
            "Does the steps of a block.",
        ),
        "log": described(_LINE, "Writes a line to the log; no effect."),
    }
)
_BRANCHES: Final = MappingProxyType(
    {
        "then": described(ref("steps"), "What is done if the condition holds."),
        "else": described(ref("steps"), "What is done if it does not."),
    }
)
_OPTIONS: Final[Mapping[str, Schema]] = MappingProxyType(
    {
        "as": described(text(**NAME), "The name under which later steps see the result."),
        "timeout": described(
            duration(),
            "How long it may take, or `wait_for` waits; by default the action's time, or for ever.",
        ),
        "retry": described(
            mapped(
                {
                    "times": described(whole(1, 100), "How often it is tried in all."),
                    "backoff": described(
                        backoff(),
                        "The first pause and the longest, each twice the one before; "
                        "by default 1s..1m.",
                    ),
                },
                required=["times"],
            ),
            "Tries again what is surely not done, or safe to repeat.",
        ),
        "on_error": described(
            ref("steps"), "What is done when it has failed; `error` says how. Then the run goes on."
        ),
        "name": described(text(), "What people call the step."),
        "enabled": described(flag(), "Whether it is part of the rule; by default true."),
        "even_if_completed": described(
            flag(), "Whether it is done although the session completed meanwhile; by default false."
        ),
    }
)
#: What may stand beside any step.
_COMMON: Final = frozenset({"name", "enabled"})

#: Arguments that become user data.
_USER_DATA: Final[Mapping[str, str]] = MappingProxyType({"set": "", "initiate": "userData"})


def step(actions: Mapping[str, Action[Any]], models: Models) -> Schema:
    """Return the schema of one step; what the actions' models refer to is kept in ``models``."""
    written = {name: _call(action, models) for name, action in sorted(actions.items())}
    steps = {**written, **_STEPS}
    return {
        "description": "One action, or one step of the language, and its options.",
        **mapped({**steps, **_BRANCHES, **_OPTIONS}),
        **exactly_one(steps, "Name one action, such as reply, or one step such as if."),
        "dependencies": {
            **{name: _without(name) for name in _STEPS},
            **{name: ["if"] for name in _BRANCHES},
        },
    }


def _without(name: str) -> Schema:
    """Return what a step of the language asks for: none of the options that only others take."""
    refused = STEP_OPTIONS - _COMMON - LANGUAGE[name]
    schema: Schema = {"properties": dict.fromkeys(sorted(refused), False)}
    if name == "if":
        schema["anyOf"] = [
            {"required": [branch], "errorMessage": "Add then, or else."} for branch in _BRANCHES
        ]
    return schema


def _call(action: Action[Any], models: Models) -> Schema:
    """Return the schema of an action's arguments."""
    schema = models.value(action.args, action.name)
    if (key := _USER_DATA.get(action.name)) is not None:
        schema = _with_user_data(schema, key)
    limit = f"It may take {format_duration(action.deadline_s)}."
    return described(
        {key: part for key, part in schema.items() if key != "description"},
        f"{plain(action.summary)} {limit}",
    )


def _with_user_data(schema: Schema, key: str) -> Schema:
    """Return the arguments with user data, all of it or below a key, as it can be written."""
    args, *short = schema["anyOf"]
    data = ref("user_data")
    if not key:
        return {"anyOf": [data, *short]}
    told = args["properties"][key].get("description", "")
    args["properties"][key] = described({"anyOf": [data, ref("template")]}, told)
    return schema


def user_data() -> Schema:
    """Return the schema of user data as rules write it: text, or maps of text; never nothing."""
    scalar = ["string", "number", "boolean"]
    value = {"anyOf": [{"type": scalar}, ref("user_data")]}
    return {"description": "User-data keys and their values.", **named(value), "minProperties": 1}
