"""``imbot explain``: why each rule runs or does not, for an event or all of a session."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from imbot.admin.hindsight import Explained, Hindsight
from imbot.admin.telling import told
from imbot.cli.books import open_books
from imbot.cli.formats import Format
from imbot.cli.output import complain, print_table
from imbot.cli.sessions import print_timeline
from imbot.cli.settings import load
from imbot.engine.blaming import leaf_told
from imbot.engine.explaining import Explanation
from imbot.engine.recording import read_situation
from imbot.engine.situation import Situation
from imbot.errors import RulebookError
from imbot.model import JSON, Event
from imbot.problems import Place, Problem
from imbot.rulebook.scope import MISSING
from imbot.store.queries import Views, open_views

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
    hindsight = _hindsight(config, rules)
    situation = read_situation(str(path), _text(path), now=datetime.now(UTC))
    _print(hindsight.of_situation(situation, rule_id), form)
    return 0


def explain_event(
    event_id: str, config: Path | None, *, rules: Sequence[Path], rule_id: str | None, form: Format
) -> int:
    """Explain an event of the store; return 1 when there is no such event."""
    hindsight = _hindsight(config, rules)
    with _views(config) as views:
        explained = hindsight.of_event(views, event_id, rule_id)
    if explained is None:
        complain(f"there is no event {event_id}; `imbot explain --session ID` names events")
        return 1
    _print(explained, form)
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
    hindsight = _hindsight(config, rules)
    with _views(config) as views:
        histories = views.session(session_id)
        for history in histories:
            lines = hindsight.of_session(views, history, rule_id)
            print_timeline(history, lines, as_json=form is Format.JSON)
    if not histories:
        complain(f"there is no session {session_id}; `imbot sessions` lists them")
    return 0 if histories else 1


def _hindsight(config: Path | None, rules: Sequence[Path]) -> Hindsight:
    books = open_books(config)
    book = books.read(rules)
    return Hindsight(
        book,
        books.around(book),
        books.needs,
        books.plugins.actions,
        strict_capabilities=books.strict_capabilities,
        budget=books.budget,
    )


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


def _print(explained: Explained, form: Format) -> None:
    situation, rules, notes = explained
    title = (
        f"{_event_told(situation.event)}, decided {situation.now.astimezone():%Y-%m-%d %H:%M:%S}"
    )
    if form is Format.JSON:
        for each in rules:
            print(json.dumps(_plain(each, situation), default=str))
        return
    if not sys.stdout.isatty():
        print(title)
    rows = [row for each in rules for row in _rows(each, situation, notes)]
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
