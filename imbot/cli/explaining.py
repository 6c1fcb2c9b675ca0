"""``imbot explain``: why each rule runs or does not, for an event or all of a session."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from imbot.cli.books import Books, open_books
from imbot.cli.formats import Format
from imbot.cli.output import complain, print_table
from imbot.cli.sessions import Line, print_timeline, timeline
from imbot.cli.settings import load
from imbot.cli.telling import is_mere_mark, told
from imbot.engine.blaming import leaf_told
from imbot.engine.explaining import TRIGGER, Explanation, explain, trigger_told
from imbot.engine.history import situation_of, with_past
from imbot.engine.recording import read_situation
from imbot.engine.situation import Situation
from imbot.errors import ImbotError, RulebookError
from imbot.model import JSON, Event
from imbot.problems import Place, Problem, did_you_mean
from imbot.records import RunState
from imbot.rulebook.schema import Rule, Rulebook, WaitFor
from imbot.rulebook.scope import MISSING
from imbot.rulebook.stored import compile_stored
from imbot.store.queries import Views, open_views
from imbot.store.views import SessionHistory

#: An event is small; a whole day is not to be explained at once.
_LARGEST_BYTES = 1024 * 1024

_COLUMNS = ("rule", "verdict", "because", "details")


def explain_one(
    path: Path | None,
    event_id: str | None,
    session_id: str | None,
    config: Path | None,
    *,
    rules: Sequence[Path],
    rule_id: str | None,
    form: Format,
) -> int:
    """Explain what is named: a file, an event or a session; return 2 unless it is exactly one."""
    if path is not None and event_id is None and session_id is None:
        return explain_file(path, config, rules=rules, rule_id=rule_id, form=form)
    if event_id is not None and path is None and session_id is None:
        return explain_event(event_id, config, rules=rules, rule_id=rule_id, form=form)
    if session_id is not None and path is None and event_id is None:
        return explain_session(session_id, config, rules=rules, rule_id=rule_id, form=form)
    complain("name one of these: EVENT.json, --event ID or --session ID")
    return 2


def explain_file(
    path: Path, config: Path | None, *, rules: Sequence[Path], rule_id: str | None, form: Format
) -> int:
    """Explain an event that a JSON file describes.

    Raises:
        RulebookError: The file, or the rules, with every mistake.
    """
    books = open_books(config)
    book = books.read(rules)
    situation = read_situation(str(path), _text(path), now=datetime.now(UTC))
    _print(situation, _explained(books, book, situation, rule_id), form)
    return 0


def explain_event(
    event_id: str, config: Path | None, *, rules: Sequence[Path], rule_id: str | None, form: Format
) -> int:
    """Explain an event of the store; return 1 when there is no such event."""
    books = open_books(config)
    book = books.read(rules)
    with _views(config) as views:
        seen = views.event(event_id)
        if seen is None:
            complain(f"there is no event {event_id}; `imbot explain --session ID` names events")
            return 1
        situation = with_past(views, situation_of(views, seen), _marked(book))
        then, notes = _as_then(views, books, book, event_id)
    _print(situation, _explained(books, then, situation, rule_id), form, notes)
    return 0


def explain_session(
    session_id: str,
    config: Path | None,
    *,
    rules: Sequence[Path],
    rule_id: str | None,
    form: Format,
) -> int:
    """Tell the story of a session: events, rules considered, leaves, steps, effects, echoes.

    Return 1 when there is no such session.
    """
    books = open_books(config)
    book = books.read(rules)
    with _views(config) as views:
        histories = views.session(session_id)
        for history in histories:
            lines = [
                *timeline(history, with_ids=True),
                *_considered(views, books, book, history, rule_id),
                *_awaited(views, books, book, history),
            ]
            if rule_id is not None:
                lines = [line for line in lines if _is_about(line, rule_id)]
            print_timeline(history, lines, as_json=form is Format.JSON)
    if not histories:
        complain(f"there is no session {session_id}; `imbot sessions` lists them")
    return 0 if histories else 1


# What is explained ----------------------------------------------------------------------------


def _explained(
    books: Books, book: Rulebook, situation: Situation, rule_id: str | None
) -> tuple[Explanation, ...]:
    found = explain(
        situation,
        book.rules,
        books.around(book),
        needs=books.needs,
        strict_capabilities=books.strict_capabilities,
        budget=books.budget,
    )
    if rule_id is None:
        return found
    named = tuple(each for each in found if each.rule.id == rule_id)
    if not named:
        known = [rule.id for rule in book.rules]
        raise ImbotError(f"there is no rule '{rule_id}'; {did_you_mean(rule_id, known)}")
    return named


def _considered(
    views: Views, books: Books, book: Rulebook, history: SessionHistory, rule_id: str | None
) -> Iterator[Line]:
    """Yield, for each event, the rules that it triggered and that did not match, with the leaves.

    What matched is in the timeline as it was written down.
    """
    marked = _marked(book)
    for seen in history.events:
        if seen.handled_at is None or is_mere_mark(seen.event):
            continue
        situation = with_past(views, situation_of(views, seen), marked)
        decided = {*seen.rule_ids, *(no.rule_id for no in seen.suppressed)}
        then, _ = _as_then(views, books, book, seen.event.id)
        for each in _explained(books, then, situation, rule_id):
            leaves = [leaf_told(view.leaf) for view in each.leaves]
            what = f"rule {each.rule.id}"
            if each.rule.id in decided:
                yield from ((seen.handled_at, what, f"when: {leaf}") for leaf in leaves)
            elif rule_id is not None or not any(one.kind == TRIGGER for one in each.causes):
                no = "; ".join(f"{cause.kind}, {cause.detail}" for cause in each.causes)
                yield seen.handled_at, what, f"does not run: {no or 'it was not there then'}"


def _awaited(views: Views, books: Books, book: Rulebook, history: SessionHistory) -> Iterator[Line]:
    """Yield what runs wait for that still wait."""
    now = {(rule.id, rule.version): rule for rule in book.rules}
    for run in (each.run for each in history.runs if each.run.state is RunState.WAITING):
        named = run.rule_id, run.rule_version
        rule = now.get(named) or _stored(views, books, *named)
        for pc in [strand.pc for strand in run.strands] or [run.pc]:
            step = None if rule is None else rule.program.instructions[pc]
            if isinstance(step, WaitFor):
                told_so = f"waits for {trigger_told(step.trigger)}, {step.place}"
                yield run.at, f"run {run.rule_id}", told_so


def _as_then(
    views: Views, books: Books, book: Rulebook, event_id: str
) -> tuple[Rulebook, Mapping[str, str]]:
    """Return the rulebook with the rules that ran for an event as they were, and what was found."""
    now = {rule.id: rule.version for rule in book.rules}
    then, notes = {}, {}
    for rule_id, version in views.versions(event_id).items():
        if now.get(rule_id) == version:
            continue
        notes[rule_id] = f"it was {version} then and is {now.get(rule_id, 'gone')} now"
        if (rule := _stored(views, books, rule_id, version)) is not None:
            then[rule_id] = rule
        else:
            notes[rule_id] += "; what it was cannot be compiled any more"
    rules = [then.pop(rule.id, rule) for rule in book.rules]
    return replace(book, rules=(*rules, *then.values())), notes


def _stored(views: Views, books: Books, rule_id: str, version: str) -> Rule | None:
    """Return a rule as it was; None where the store, or a plugin that it used, has forgotten it."""
    if (seen := views.rule_seen(rule_id, version)) is None:
        return None
    try:
        today = datetime.now(UTC).date()
        return compile_stored(seen.source, books.plugins.actions, today=today)
    except (RulebookError, ValueError, LookupError, TypeError):
        return None  # imbots before this one kept the rule's text alone


def _is_about(line: Line, rule_id: str) -> bool:
    """Whether a line of the story is about a rule, or about none."""
    what = line[1]
    of_some = what.startswith(("rule ", "run ")) or " of " in what
    return not of_some or what.endswith(f" {rule_id}")


def _marked(book: Rulebook) -> list[str]:
    return [rule.id for rule in book.rules if rule.once is not None or rule.throttle is not None]


# Where it comes from --------------------------------------------------------------------------


def _views(config: Path | None) -> Views:
    loaded = load(config)
    return open_views(loaded.settings.store, base=loaded.base)


def _text(path: Path) -> str:
    """Return what a file holds.

    Raises:
        RulebookError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        what = f"it cannot be read: {error.strerror}"
        raise RulebookError([Problem(Place(str(path)), "wrong-event", what)]) from error
    if len(content) > _LARGEST_BYTES:
        what = f"it is larger than {_LARGEST_BYTES} bytes"
        cure = "explain one event at a time"
        raise RulebookError([Problem(Place(str(path)), "wrong-event", what, cure)])
    return content.decode("utf-8", "replace")


# Output ---------------------------------------------------------------------------------------


def _print(
    situation: Situation,
    explained: Iterable[Explanation],
    form: Format,
    notes: Mapping[str, str] | None = None,
) -> None:
    title = (
        f"{_event_told(situation.event)}, decided {situation.now.astimezone():%Y-%m-%d %H:%M:%S}"
    )
    if form is Format.JSON:
        for each in explained:
            print(json.dumps(_plain(each, situation), default=str))
        return
    if not sys.stdout.isatty():
        print(title)
    rows = [row for each in explained for row in _rows(each, situation, notes or {})]
    print_table(title, _COLUMNS, rows, as_json=False)


def _event_told(event: Event) -> str:
    where = f" in {event.session.id}" if event.session is not None else ""
    whose = f" of {event.agent}" if event.agent else ""
    details = told(event)
    return f"{event.kind} {event.id}{whose}{where}{f': {details}' if details else ''}"


def _verdict(each: Explanation, situation: Situation) -> str:
    if situation.ran is not None and each.rule.id in situation.ran:
        return "ran"
    if each.runs_in_shadow:
        return "would run in shadow" if situation.ran is None else _shadow_then(each, situation)
    if situation.ran is None:
        return "would run" if each.runs else "would not run"
    return "would run now" if each.runs else "did not run"


def _shadow_then(each: Explanation, situation: Situation) -> str:
    known = [no for no in situation.suppressed if no.rule_id == each.rule.id]
    return "ran in shadow" if known else "would run in shadow now"


def _rows(
    each: Explanation, situation: Situation, notes: Mapping[str, str]
) -> Iterator[tuple[str, str, str, str]]:
    """Yield what becomes of a rule: the first line names it, the others say why."""
    whys = list(_whys(each, situation, notes)) or [("", "")]
    for number, (because, details) in enumerate(whys):
        rule, verdict = ("", "") if number else (each.rule.id, _verdict(each, situation))
        yield rule, verdict, because, details


def _whys(
    each: Explanation, situation: Situation, notes: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    ran = situation.ran is not None and each.rule.id in situation.ran
    if (note := notes.get(each.rule.id)) is not None:
        yield "version", note
    elif ran or each.runs:
        yield "", each.rule.description or str(each.rule.place)
    if not ran:
        yield from ((cause.kind, cause.detail) for cause in each.causes)
    for view in each.leaves:
        if not view.decides:
            yield "leaf", leaf_told(view.leaf)
    if ran or each.runs or each.runs_in_shadow:
        yield from ((f"withheld, {no.kind}", no.detail) for no in each.withheld)


def _plain(each: Explanation, situation: Situation) -> JSON:
    return {
        "rule": each.rule.id,
        "place": str(each.rule.place),
        "verdict": _verdict(each, situation),
        "because": [{"kind": one.kind, "detail": one.detail} for one in each.causes],
        "leaves": [
            {
                "text": view.leaf.text,
                "holds": view.leaf.holds,
                "decides": view.decides,
                "values": {
                    text: "<missing>" if value is MISSING else value
                    for text, value in view.leaf.operands
                },
            }
            for view in each.leaves
        ],
        "withheld": [{"kind": one.kind, "detail": one.detail} for one in each.withheld],
    }
