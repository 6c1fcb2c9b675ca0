"""The schema of rule files: every key of the language, and the actions of the plugins."""

from collections.abc import Mapping
from typing import Any, Final

from imbot.durations import format_duration
from imbot.plugin import Action
from imbot.rulebook.blocks import INPUT_TYPES
from imbot.rulebook.policy import REPLY_MAX_AGE_S
from imbot.rulebook.schema import Mode, OnceScope
from imbot.schemas.expressions import condition, expression, template
from imbot.schemas.models import Models
from imbot.schemas.parts import (
    DRAFT,
    Schema,
    described,
    duration,
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
from imbot.schemas.steps import NAME, step, user_data
from imbot.schemas.triggers import trigger, waited_for

_ID: Final = {
    "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$",
    "patternErrorMessage": "Use up to 80 letters (a to z), digits, '-', '_' and '.'.",
}
_PRIORITIES: Final = 10**9
_MOST_RUNS: Final = 10_000
_MOST_EFFECTS: Final = 1_000_000
_ONCE: Final = [scope for scope in OnceScope if scope is not OnceScope.EXPRESSION]

_DAY = "|".join(
    f"[{d[0].upper()}{d[0]}]{d[1:]}" for d in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
)
_DAYS = rf"\s*({_DAY})\s*(-\s*({_DAY})\s*)?"
_SLOT = r"\s*[0-9]{1,2}:[0-9]{2}\s*-\s*[0-9]{1,2}:[0-9]{2}\s*"
_HOURS: Final = pattern(
    f"^(closed|{_SLOT}(,{_SLOT})*)$", "Write closed, or such as 08:00-12:00, 13:00-16:00."
)


def schema_of_rules(actions: Mapping[str, Action[Any]]) -> Schema:
    """Return the schema of rule files.

    Args:
        actions: What steps may name.
    """
    models = Models(hole=ref("template"))
    one_step = step(actions, models)
    keys = {
        "version": described({"enum": [1, "1"]}, "The version of the rule language: 1."),
        "shadow": described(
            flag(), "Whether the rules of this file only decide and record; by default false."
        ),
        "vars": _VARS,
        "calendars": described(
            named(_calendar()),
            "Opening hours, by name; all files of a rulebook share them.",
        ),
        "blocks": described(
            named(_block(), _ID),
            "Steps that rules can call, by name; all files of a rulebook share them. A block sees "
            "its inputs, its file's `vars`, session, participant, agent, bot and event; no name "
            "that the caller has bound.",
        ),
        "rules": described(
            listed(ref("rule")),
            "The rules, looked at in this order; all that match run.",
        ),
    }
    return {
        "$schema": DRAFT,
        "title": "imbot rule file",
        **described(mapped(keys), "Rules of imbot: what starts them, when, and what they do."),
        "definitions": {
            "rule": _rule(),
            "trigger": trigger(),
            "waited_for": waited_for(),
            "steps": listed(ref("step")),
            "step": one_step,
            "expression": expression(),
            "condition": condition(ref("expression")),
            "template": template(),
            "user_data": user_data(),
            **models.definitions,
        },
    }


_VARS: Final = described(
    {"type": "object"}, "Constants, seen as `vars.name`; a rule's own hide those of its file."
)


def _rule() -> Schema:
    """Return the schema of one rule."""
    keys = {
        "id": described(text(**_ID), "Its name; unique in all files."),
        "description": described(text(), "What it is for, for people."),
        "enabled": described(flag(), "Whether it may run; by default true."),
        "shadow": described(flag(), "Whether it only decides and records; by default false."),
        "trigger": described(one_or_list(ref("trigger")), "What starts it; any of a list."),
        "when": described(ref("condition"), "What must hold, too; all of a list."),
        "vars": _VARS,
        "key": described(
            ref("expression"),
            "What runs take turns by; by default the session, the agent, or the rule.",
        ),
        "mode": described(
            words(Mode), "What becomes of a match while a run goes on; by default single."
        ),
        "max": described(
            whole(1, _MOST_RUNS), "The most runs at a time in mode parallel; by default any number."
        ),
        "once": described(
            {"anyOf": [words(_ONCE), {"type": "string"}]},
            "Acts once within a session, for a participant, or for each value of an expression. "
            "That it has acted is kept over restarts, and forgotten only if nothing was done.",
        ),
        "throttle": described(
            mapped(
                {
                    "once_within": described(duration(), "The shortest time between two runs."),
                    "by": described(ref("expression"), "For each value of this; else of the key."),
                },
                required=["once_within"],
            ),
            "Runs at most once within a time.",
        ),
        "max_age": described(
            duration(),
            "Events older than this do not start it; "
            f"by default {format_duration(REPLY_MAX_AGE_S)} where it replies, else any age.",
        ),
        "priority": described(
            whole(-_PRIORITIES, _PRIORITIES), "Higher ones are looked at first; by default 0."
        ),
        "final": described(
            flag(), "Whether lower rules do not see an event that starts it; by default false."
        ),
        "budget": described(
            mapped(
                {
                    "per_session": described(
                        whole(1, _MOST_EFFECTS), "The most effects in one session."
                    ),
                    "per_minute": described(
                        whole(1, _MOST_EFFECTS), "The most effects in any minute."
                    ),
                }
            )
            | {"minProperties": 1},
            "The most effects that it may have.",
        ),
        "loop_guard": described(flag(), "Whether the loop guard may stop it; by default true."),
        "do": described(ref("steps"), "What it does, in order."),
        "on_error": described(ref("steps"), "What is done when a step has failed; ends the run."),
    }
    return {
        **mapped(keys, required=["id", "trigger", "do"]),
        "dependencies": {
            "max": {"required": ["mode"], "properties": {"mode": {"const": Mode.PARALLEL.value}}}
        },
    }


def _block() -> Schema:
    """Return the schema of a block."""
    keys = {
        "description": described(text(), "What it is for."),
        "inputs": described(
            named(words(INPUT_TYPES), NAME), "Its inputs by name, each with its type."
        ),
        "do": described(ref("steps"), "What it does, in order."),
    }
    return mapped(keys, required=["do"])


def _calendar() -> Schema:
    """Return the schema of a calendar."""
    days = pattern(f"^{_DAYS}(,{_DAYS})*$", "Write mon, mon-thu or sat, sun.")
    dates = pattern("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "Write such as 2026-12-24.")
    keys = {
        "timezone": described({"type": "string"}, "Such as Europe/Berlin."),
        "open": described(
            named(_HOURS, days),
            'Hours by day: {mon-fri: "09:00-17:00"}; "22:00-02:00" ends on the next day.',
        ),
        "holidays": described(
            mapped(
                {
                    "country": described({"type": "string"}, "Two letters, such as DE."),
                    "region": described({"type": "string"}, "Its state or province, such as BY."),
                },
                required=["country"],
            ),
            "Public holidays, on which it is closed.",
        ),
        "exceptions": described(
            named(_HOURS, dates),
            "Days with hours of their own, or closed; they win over holidays and days off.",
        ),
        "ics": described(
            {"type": "string"},
            "An iCalendar file with days and hours off, seen from the folder of this file.",
        ),
    }
    return mapped(keys, required=["timezone", "open"])
