"""The schema of triggers: one kind key, and its options beside it."""

from types import MappingProxyType
from typing import Final

from imbot.model import ConnectionChange, SessionState
from imbot.rulebook.schema import Missed, TextTest
from imbot.schemas.parts import (
    Schema,
    described,
    duration,
    exactly_one,
    flag,
    mapped,
    offset,
    one_or_list,
    pattern,
    text,
    words,
)

_ANY = "any"
_CRON = r"^\s*(@[A-Za-z]+|\S+(\s+\S+){4})\s*$"
_SAY_CRON = "Write minute, hour, day, month and weekday, such as 0 9 * * mon-fri."

_WEBHOOK = {
    "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$",
    "patternErrorMessage": "Use up to 80 letters (a to z), digits, '-', '_' and '.'.",
}

_STATES = one_or_list(words([*SessionState, _ANY]))
_TESTS = {
    TextTest.CONTAINS: "The message holds one of these texts; capitals do not matter.",
    TextTest.STARTSWITH: "The message begins with one of these texts; capitals do not matter.",
    TextTest.EQUALS: "The message is one of these texts; capitals and outer blanks do not matter.",
    TextTest.MATCHES: "An RE2 pattern is found in the message.",
}

_ONE_TEST = {
    **mapped(
        {
            test: described(one_or_list(text(minLength=int(test is not TextTest.MATCHES))), told)
            for test, told in _TESTS.items()
        }
    ),
    **exactly_one(_TESTS, f"Write any, or one of {', '.join(_TESTS)}."),
}

#: What can be waited for in the middle of a run, too.
SESSION_KINDS: Final = MappingProxyType(
    {
        "state": described(
            {
                "anyOf": [
                    *_STATES["anyOf"],
                    mapped(
                        {
                            "from": described(_STATES, "The state that it comes from."),
                            "to": described(_STATES, "The state that it comes to."),
                        }
                    )
                    | {"minProperties": 1},
                ]
            },
            "The session comes to a state, or to one of a list; {from: …, to: …} for one edge.",
        ),
        "message": described(
            {"anyOf": [_ONE_TEST, words([_ANY])]},
            "The other party says something: any, or a test of the text.",
        ),
        "userdata": described(
            one_or_list(text()),
            "Attached data changes by another's hand: any, or these keys.",
        ),
    }
)

_KINDS: Final = MappingProxyType(
    {
        **SESSION_KINDS,
        "idle": described(
            duration(), "Talking, and so long nothing was said but by imbot; once per silence."
        ),
        "calendar": described(
            text(), "A calendar opens or closes; say which with opens or closes."
        ),
        "schedule": described(
            pattern(_CRON, _SAY_CRON), "A line as in crontab: minute, hour, day, month, weekday."
        ),
        "every": described(duration(), "At equal distances from midnight."),
        "connection": described(
            one_or_list(words(ConnectionChange)),
            "The agent's event subscription is lost, comes back, or has a gap.",
        ),
        "webhook": described(text(**_WEBHOOK), "Somebody posts to /api/v1/hooks/ and this name."),
    }
)

_TIMED = ("schedule", "every")
_EDGES = ("opens", "closes")
_SAY_EDGES = "Say which edge: opens: 0m after, or closes: 10m before."
#: Option → what it is, and the kinds that it stands beside.
_OPTIONS: Final = MappingProxyType(
    {
        "own": (flag(), "Whether imbot's own changes count; by default false.", ("userdata",)),
        "opens": (offset(), "So long before or after it opens: 10m before.", ("calendar",)),
        "closes": (offset(), "So long before or after it closes: 0m after.", ("calendar",)),
        "timezone": (text(), "Such as Europe/Berlin; by default the settings'.", _TIMED),
        "missed": (
            words(Missed),
            "What becomes of firings while imbot did not run; by default run_once.",
            _TIMED,
        ),
    }
)


def trigger() -> Schema:
    """Return the schema of one trigger of a rule."""
    options = {name: described(schema, told) for name, (schema, told, _) in _OPTIONS.items()}
    dependencies = {name: _beside(kinds) for name, (_, _, kinds) in _OPTIONS.items()}
    return {
        "description": "What starts the rule: {state: Talking}, {message: any}, …",
        **mapped({**_KINDS, **options}),
        **exactly_one(_KINDS, f"Name one of {', '.join(_KINDS)}."),
        "dependencies": {**dependencies, "calendar": exactly_one(_EDGES, _SAY_EDGES)},
    }


def waited_for() -> Schema:
    """Return the schema of what a step can wait for."""
    own = _OPTIONS["own"]
    return {
        **mapped({**SESSION_KINDS, "own": described(own[0], own[1])}),
        **exactly_one(SESSION_KINDS, f"Name one of {', '.join(SESSION_KINDS)}."),
        "dependencies": {"own": ["userdata"]},
    }


def _beside(kinds: tuple[str, ...]) -> Schema | list[str]:
    """Return what an option asks for: one of the kinds that it belongs to."""
    if len(kinds) == 1:
        return list(kinds)
    return exactly_one(kinds, f"It belongs to {' or '.join(kinds)}.")
