"""What the code of each mistake means. Codes stay what they are: programs and people look for them.

Which mistake it is in a file, and what would be right there, the problem itself says.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Topic(StrEnum):
    """What a mistake is about."""

    YAML = "YAML"
    SHAPE = "Keys and values"
    TRIGGERS = "Triggers"
    EXPRESSIONS = "Expressions and templates"
    STEPS = "Steps"
    ANALYSIS = "What rules do together"
    CALENDARS = "Calendars"
    TESTS = "Tests and events"
    SETTINGS = "Settings and agents"


_CODES: Final[Mapping[Topic, Mapping[str, str]]] = {
    Topic.YAML: {
        "yaml-syntax": "The file is no YAML.",
        "yaml-documents": "A second document (`---`) begins in the file.",
        "yaml-tag": "Tags (`!x`) and directives are not part of imbot's YAML.",
        "yaml-alias": "Aliases (`*x`) are not part of imbot's YAML.",
        "yaml-anchor": "Anchors (`&x`) are not part of imbot's YAML.",
        "yaml-merge": "Merge keys (`<<`) are not part of imbot's YAML.",
        "unquoted-template": "Without quotes, YAML reads `{{ … }}` as a map.",
        "bad-key": "A key is a list or a map, or has no name.",
        "duplicate-key": "A key stands twice in one map; YAML would forget the first.",
        "bad-encoding": "The file is no UTF-8 text.",
        "too-large": "The file, or the number of values in it, is beyond what is read.",
        "too-deep": "Lists and maps stand in each other too deeply.",
    },
    Topic.SHAPE: {
        "unknown-key": "A key is misspelt, or stands where it says nothing.",
        "missing-key": "A key is missing without which the rest says nothing.",
        "wrong-type": "Something of another kind is due there: a text, a list, a map, a flag.",
        "unknown-word": "Only some words are allowed there, and this is none of them.",
        "out-of-range": "A number is too small or too large.",
        "bad-duration": "A duration is none, or no time at all.",
        "empty": "Nothing stands where something is due.",
        "unknown-version": "The file is written for a version of the language that is not known.",
        "bad-id": "The id of a rule has characters that it may not have.",
        "duplicate-id": "Two rules of the rulebook have one id.",
        "bad-name": "What is given there cannot be a name.",
        "taken-name": "A name is given that has a meaning already.",
        "clear-secret": "A secret stands in clear text, for everybody to read.",
        "unused-var": "Nothing uses a constant.",
        "odd-text": "A text was surely meant as a template, or has quotes too many.",
        "unread-folder": "A folder of rules holds another one, which is not read.",
        "no-rules": "A path holds no rule file, or cannot be read.",
    },
    Topic.TRIGGERS: {
        "unknown-trigger": "No kind of trigger, or none that can be waited for, has this name.",
        "two-kinds": "One trigger, or one event of a test, is of one kind; here are two.",
        "message-test": "A message trigger has exactly one test.",
        "repeated-text": "A list says the same twice, or a text of it adds nothing to another.",
        "bad-pattern": "A pattern is none that RE2 takes.",
        "impossible-edge": "No session goes from the one state to the other.",
        "unknown-calendar": "No calendar of the rulebook has this name.",
        "calendar-edge": "A calendar trigger names one edge: `opens` or `closes`.",
        "bad-offset": "A time before or after an edge is none.",
        "bad-schedule": "A schedule is no crontab line, or an interval that cannot be kept.",
        "never-fires": "No day is as the schedule says.",
        "unknown-zone": "There is no such time zone, and no such calendar.",
    },
    Topic.EXPRESSIONS: {
        "bad-expression": "What stands there is no expression of the language.",
        "bad-template": "What stands between `{{` and `}}` is none of the language, or unclosed.",
        "misplaced-template": "Templates stand only in the values of steps.",
        "unknown-name": "Nothing has this name there, or text lacks its quotes.",
        "unknown-field": "What stands before the dot has no such field.",
        "unknown-function": "There is no such function.",
        "unknown-filter": "There is no such filter.",
        "unknown-test": "There is no such test behind `is`.",
        "bad-call": "A function or filter is given too much, too little, or the wrong kind.",
        "not-literal": "An argument must be known before anything runs.",
        "bad-format": "A format of moments has directives that are not known.",
        "bad-country": "There is no such country.",
        "unknown-capability": "GWS has no such capability.",
        "unknown-rule": "No rule of the rulebook has this id.",
        "unknown-secret": "No secret of the settings has this name; a warning without settings.",
        "misplaced-secret": "`secret()` stands only in the arguments of `http` that leave imbot.",
        "impossible-comparison": "The two sides can never be equal, or have no order.",
        "constant-condition": "A value alone stands where a comparison was meant.",
        "no-session": "It is about a session, and no trigger of the rule has one.",
    },
    Topic.STEPS: {
        "no-action": "A step, or an expectation of a test, says nothing that is to be done.",
        "two-actions": "A step, or an expectation of a test, names two actions.",
        "unknown-action": "No plugin has this action, and the language no such step.",
        "unavailable-action": "A plugin has this action, and is not enabled.",
        "unknown-argument": "The action has no such argument.",
        "missing-argument": "The action needs an argument that is not there.",
        "bad-argument": "An argument does not fit the action.",
        "missing-value": "A key of user data has no value.",
        "empty-message": "A message says nothing.",
        "long-message": "A message is longer than GWS takes.",
        "not-repeatable": "A step has `retry` and can never be repeated.",
        "host-not-allowed": "Neither `http.allow` nor `http.internal` lists the host.",
        "open-origin": "An event could choose the host of a request.",
        "unknown-block": "No block has this name.",
        "duplicate-block": "Two blocks of the rulebook have one name.",
        "unknown-input": "The block has no such input.",
        "missing-input": "The call does not give an input of the block.",
        "recursion": "A block comes back to itself.",
        "too-many-steps": "Blocks, written out at each call, make too many steps.",
        "unused-block": "Nothing calls a block.",
        "unused-input": "A block does nothing with an input.",
    },
    Topic.ANALYSIS: {
        "never-runs": "No event can start the rule, or a rule above it takes them all.",
        "dead-step": "In the states that the session can have there, the step cannot succeed.",
        "after-end": "The run is over before the step.",
        "never-ends": "What is waited for cannot come, or only the timeout ends it.",
        "self-trigger": "What the rule does starts it again.",
        "rule-circle": "Rules start each other, without an end.",
        "double-reply": "Two rules reply to the same event; an error where that is certain.",
    },
    Topic.CALENDARS: {
        "duplicate-calendar": "Two calendars of the rulebook have one name.",
        "unknown-day": "There is no such weekday.",
        "duplicate-day": "A weekday stands in two keys.",
        "bad-slot": "Hours are none, or overlap.",
        "empty-slot": "Hours end when they begin.",
        "bad-date": "What stands there is no date, or no moment.",
        "closed-anyway": "An exception closes the calendar on a day on which it is closed.",
        "unknown-country": "No holidays are known of the country.",
        "unknown-region": "No holidays are known of the region.",
        "holidays-end": "No holidays are known for the next year.",
        "bad-ics": "An iCalendar file is none, or cannot be read.",
        "ics-repeats": "Events of an iCalendar file repeat in a way that is not followed.",
    },
    Topic.TESTS: {
        "duplicate-test": "Two tests of a file have one name.",
        "unknown-event": "No kind of event of a test has this name.",
        "unknown-session": "An expectation names a session that nothing begins.",
        "wrong-event": "What `explain` or `replay` is given is no event.",
    },
    Topic.SETTINGS: {
        "no-settings": "The settings file cannot be read.",
        "wrong-value": "A setting cannot have this value.",
        "bad-option": "What follows `--set` is no setting with a value.",
        "bad-options": "The options of a plugin do not fit it.",
        "unknown-plugin": "There is no such plugin.",
        "bad-reference": "What follows `${` refers to nothing.",
        "no-variable": "A variable of the environment is not set.",
        "no-file": "A file that a setting refers to cannot be read.",
        "no-secret": "A secret that a setting refers to is not there.",
        "no-agents": "The agents file cannot be read.",
        "bad-csv": "A row of the agents file is no CSV, or has too many cells.",
        "duplicate-agent": "Two agents have one user name.",
        "bad-auth": "An agent cannot log in in this way.",
        "bad-ca-file": "The file of certificates cannot be used.",
        "store-url": "The store's URL is none that can be used.",
    },
}
#: Topic → code → what it means.
CODES: Final[Mapping[Topic, Mapping[str, str]]] = MappingProxyType(_CODES)
#: Code → what it means.
MEANINGS: Final[Mapping[str, str]] = MappingProxyType(
    {code: meaning for codes in _CODES.values() for code, meaning in codes.items()}
)
