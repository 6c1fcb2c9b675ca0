"""Gives a made text to the product, and says what must not be.

Wrong is an error that is not told as a problem, a problem without its place in the text, more than
200 ms of CPU in four tries, and a rulebook or expression that does not work although it was taken.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial

from imbot.errors import PermanentError
from imbot.pluginhost import PluginSettings, find_plugins
from imbot.problems import Place, Problem, Severity
from imbot.rulebook.calendarreading import parse_calendar
from imbot.rulebook.calendars import Calendar
from imbot.rulebook.expressions import Expression, parse
from imbot.rulebook.index import Index
from imbot.rulebook.loader import RuleFile, load_rulebook
from imbot.rulebook.schema import Rulebook, ScheduleTrigger
from imbot.rulebook.stored import compile_stored
from imbot.rulebook.templates import LONGEST_RESULT_BYTES, parse_template
from tests.fuzz import decoding
from tests.unit.rule_language import KNOWN, NAMES, SCOPE, STARTED, PlainSenses

CPU_LIMIT_S = 0.2
#: What GWS says is read while it waits: one event must not hold up the others.
DECODER_LIMIT_S = 0.05
#: As often an outlier is tried again: the machine, not the product, may have been slow.
RETRIES = 3

_TODAY = date(2026, 3, 1)
_NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
_PATH = "fuzz.yaml"
_PLACED = re.compile(rf"{re.escape(_PATH)}:[1-9]\d*:[1-9]\d*: ")
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202e\ud800-\udfff]")
_LINE_END = re.compile(r"\r\n|\n|\r")
_CALENDAR_FILES = {
    "days.ics": (
        "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20261224\r\n"
        "END:VEVENT\r\nEND:VCALENDAR\r\n"
    ),
    "broken.ics": "BEGIN:VEVENT\nDTSTART:2026\nRRULE:FREQ=SECONDLY\n",
}
_ACTIONS = find_plugins(PluginSettings(), with_options=False).actions


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a text.

    Attributes:
        is_read: Whether it was YAML; of an expression, whether its syntax is right.
        is_taken: Whether no error was found in it.
        cpu_s: What that took.
    """

    is_read: bool
    is_taken: bool
    cpu_s: float = 0.0


class Fault(Exception):  # noqa: N818  it is what the fuzzer looks for
    """The product did what it must not do."""


def judge(kind: str, text: bytes) -> Verdict:
    """Return what becomes of a text.

    Args:
        kind: ``file``, ``condition`` or ``template``; ``reply``, ``answer`` or ``row``.
        text: In UTF-8; lone surrogates are let through.

    Raises:
        Fault: Something that must not be.
        Exception: The product raised what nobody caught.
    """
    tried = _JUDGES[kind]
    limit_s = limit_of(kind)
    began = time.process_time()
    verdict = tried(text)
    cpu_s = time.process_time() - began
    for _ in range(RETRIES):
        if cpu_s <= limit_s:
            break
        began = time.process_time()
        tried(text)
        cpu_s = min(cpu_s, time.process_time() - began)
    if cpu_s > limit_s:
        raise Fault(f"it takes {cpu_s * 1000:.0f} ms of CPU")
    return Verdict(verdict.is_read, verdict.is_taken, cpu_s)


def limit_of(kind: str) -> float:
    """Return how many seconds of CPU a case may take."""
    return DECODER_LIMIT_S if kind in decoding.READERS else CPU_LIMIT_S


# Rule files


def _calendar_file(name: str) -> str:
    if name not in _CALENDAR_FILES:
        raise FileNotFoundError(name)
    return _CALENDAR_FILES[name]


def _judge_file(text: bytes) -> Verdict:
    book, problems = load_rulebook(
        [RuleFile(_PATH, text, _calendar_file)],
        _ACTIONS,
        secrets=frozenset({"CRM_URL"}),
        allowed_hosts=["https://crm.example", "https://a.example"],
        timezone="Europe/Berlin",
        country="DE",
        today=_TODAY,
    )
    _must_be_placed(problems, text.decode("utf-8", "replace"))
    if (book is None) != any(each.severity is Severity.ERROR for each in problems):
        raise Fault("a rulebook with errors, or none without")
    if book is not None:
        _must_work(book)
    unread = {"yaml-syntax", "bad-encoding"}
    return Verdict(not any(each.code in unread for each in problems), book is not None)


def _must_work(book: Rulebook) -> None:
    """Put a rulebook to its uses."""
    Index(book.rules)
    for rule in book.rules:
        for trigger in rule.triggers:
            if isinstance(trigger, ScheduleTrigger):
                trigger.schedule.next_after(_NOON)
        if rule.when is not None:
            _evaluate(rule.when)
    for rule in book.rules[-1:]:  # one for all: each costs as much as a small file
        if compile_stored(rule.source, _ACTIONS, today=_TODAY).version != rule.version:
            raise Fault(f"the stored rule '{rule.id}' has another version")
    for calendar in book.calendars.values():
        calendar.next_open(_NOON)
        calendar.next_close(_NOON)


def _must_be_placed(
    problems: Iterable[Problem], text: str, line_end: re.Pattern[str] = _LINE_END
) -> None:
    """See that each problem is one line that can be printed, and stands in the text."""
    lines = [len(line) for line in line_end.split(text)]
    for problem in problems:
        told = str(problem)
        if not _PLACED.match(told):
            raise Fault(f"no place: {told[:300]!r}")
        if _UNSHOWN.search(told):
            raise Fault(f"not one line of text: {told[:300]!r}")
        if (
            problem.place.line > len(lines)
            or problem.place.column > lines[problem.place.line - 1] + 1
        ):
            raise Fault(f"a place outside of the file: {told[:300]!r}")


# Conditions and templates


def _calendar(name: str) -> Calendar:
    spec = {"timezone": "Europe/Berlin", "open": {"mon-fri": "09:00-17:00"}}
    made, _ = parse_calendar(name, spec, lambda _: Place(_PATH), today=_TODAY)
    if made is None:
        raise ValueError(name)
    return made


_NAMES = NAMES.with_vars({"parts": ["a", "b"]})
_SENSES = PlainSenses(
    heard="I want my MONEY back",
    calendars={name: _calendar(name) for name in ("support", "sales", "desk", "parts", "shop")},
    secrets={"CRM": "hunter2"},
)
#: What results of steps and bodies of webhooks may be; the rest of a scope is typed.
_ODD_VALUES: tuple[object, ...] = (
    None,
    True,
    7,
    float("nan"),
    "x" * 60_000,
    "\ud800",
    ["a", 1, None],
    {"k": {}},
    STARTED,
)
_SCOPES: tuple[Mapping[str, object], ...] = (
    {},
    SCOPE,
    {**SCOPE, "message": {"text": "\ud800 \x00" * 9_000, "at": STARTED}},
    *(
        {**SCOPE, "crm": dict.fromkeys(("words", "json", "status", "flag", "list"), value)}
        for value in _ODD_VALUES
    ),
    *({**SCOPE, "crm": value, "found": value, "answer": value} for value in _ODD_VALUES),
)


class _AnyCalendar(PlainSenses):
    """Senses that have the calendar of every name."""

    def calendar(self, name: str) -> Calendar:
        return self.calendars.get(name, self.calendars["support"])


_FILE_SENSES = _AnyCalendar(heard="x", calendars=_SENSES.calendars)


def _evaluate(expression: Expression, senses: PlainSenses = _FILE_SENSES) -> None:
    """Evaluate a condition in every scope."""
    for scope in _SCOPES:
        expression.holds(scope, senses)
        expression.value(scope, senses)
    expression.explain(SCOPE, senses)
    _ = expression.tests, expression.leaves, expression.names_used


def _place(line: int, column: int) -> Place:
    return Place(_PATH, line + 1, column + 1)


def _judge_condition(text: bytes) -> Verdict:
    source = text.decode("utf-8", "surrogatepass")
    expression, problems = parse(source, _place, _NAMES, KNOWN)
    _must_be_placed(problems, source, re.compile("\n"))
    if expression is not None:
        _evaluate(expression, _SENSES)
    return Verdict(
        not any(each.code == "bad-expression" for each in problems), expression is not None
    )


def _judge_template(text: bytes) -> Verdict:
    source = text.decode("utf-8", "surrogatepass")
    template, problems = parse_template(source, _place, _NAMES, KNOWN, allow_secrets=True)
    _must_be_placed(problems, source)
    if template is not None:
        for scope in _SCOPES:
            _must_render(partial(template.render, scope, _SENSES))
    return Verdict(not any(each.code == "bad-template" for each in problems), template is not None)


def _must_render(render: Callable[[], object]) -> None:
    try:
        value = render()
    except PermanentError as refusal:
        if not _PLACED.match(str(refusal)):
            raise Fault(f"no place: {refusal}") from refusal
        return
    if (
        isinstance(value, str)
        and len(value.encode("utf-8", "surrogatepass")) > LONGEST_RESULT_BYTES
    ):
        raise Fault("a text that is too long")


# What GWS says


def _judge_bytes(read: Callable[[bytes], bool], text: bytes) -> Verdict:
    is_right = read(text)
    return Verdict(is_right, is_right)


_JUDGES: Mapping[str, Callable[[bytes], Verdict]] = {
    "file": _judge_file,
    "condition": _judge_condition,
    "template": _judge_template,
    **{kind: partial(_judge_bytes, read) for kind, read in decoding.READERS.items()},
}
