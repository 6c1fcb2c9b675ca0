"""Events as JSON, one to a line: ``record`` writes them, ``explain`` and ``replay`` read. Pure.

A line holds the event, and what was known when it was decided; a person may write one by hand, and
then hardly anything is needed: ``{"kind": "message", "session": {}, "fields": {"text": "hello"}}``.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from imbot import yamlfile
from imbot.engine.recordedlines import MODELS, Line
from imbot.engine.situation import Situation
from imbot.errors import RulebookError
from imbot.jsontext import decode_json, encode_json
from imbot.model import JSON, ImSession
from imbot.problems import Place, Problem, did_you_mean

_CODE = "wrong-event"


# Writing --------------------------------------------------------------------------------------


def to_line(situation: Situation) -> str:
    """Return a situation as one line of JSON, without what is empty."""
    event = situation.event
    plain: dict[str, JSON] = {
        "id": event.id,
        "kind": event.kind.value,
        "at": event.at,
        "received_at": event.received_at,
        "now": situation.now,
        "agent": event.agent,
        "session": None if event.session is None else _session(event.session),
        "fields": dict(event.fields),
        "resync": event.resync,
        "own": event.own,
        "depth": event.depth or None,
        "started_at": situation.started_at,
        "mine": situation.mine,
        "said": list(situation.said),
        "marks": [
            {"rule": rule, "scope": scope, "at": at}
            for (rule, scope), at in sorted(situation.marks.items())
        ],
        "running": [{"rule": rule, "key": key} for rule, key in situation.running],
        "spent": [
            {"rule": rule, "session": session, "minute": minute}
            for rule, (session, minute) in sorted(situation.spent.items())
        ],
        "breakers": [
            {"rule": rule, "detail": detail} for rule, detail in sorted(situation.breakers.items())
        ],
        "quiet": situation.quiet,
        "ran": None if situation.ran is None else list(situation.ran),
        "suppressed": [
            {"rule": no.rule_id, "reason": no.reason.value, "detail": no.detail}
            for no in situation.suppressed
        ],
    }
    kept = {name: value for name, value in plain.items() if value not in (None, False, {}, [], "")}
    kept["agent"] = event.agent
    if situation.ran is not None:
        kept["ran"] = list(situation.ran)
    return encode_json(_spelled(kept)).decode()


def _session(session: ImSession) -> dict[str, JSON]:
    plain: dict[str, JSON] = {
        "id": session.id,
        "state": session.state,
        "userData": dict(session.user_data),
        "participants": [participant.facts() for participant in session.participants],
    }
    if session.capabilities is not None:
        plain["capabilities"] = list(session.capabilities)
    return plain


def _spelled(value: JSON) -> JSON:
    """Return plain values with moments as text."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _spelled(item) for key, item in value.items()}
    return [_spelled(item) for item in value] if isinstance(value, list | tuple) else value


# Reading --------------------------------------------------------------------------------------


def read_situation(path: str, text: str, *, now: datetime) -> Situation:
    """Return the situation that a JSON file describes.

    Args:
        path: Name of the file, for places.
        text: What it holds.
        now: The moment of what does not say when it was.

    Raises:
        RulebookError: With every mistake and its place.
    """
    situation, problems = _read(path, text, now, first_line=1)
    # A person wrote it: of a key that stands there twice, one is not what was meant.
    _, spelled = yamlfile.load(path, text)
    problems += (each for each in spelled if each.code == "duplicate-key")
    if situation is None or problems:
        raise RulebookError(problems)
    return situation


def read_situations(path: str, text: str, *, now: datetime) -> tuple[Situation, ...]:
    """Return the situations of a file with one on each line; see :func:`read_situation`."""
    found = [
        _read(path, line, now, first_line=number)
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    ]
    problems = [problem for _, some in found for problem in some]
    if problems:
        raise RulebookError(problems)
    return tuple(situation for situation, _ in found if situation is not None)


def _read(
    path: str, text: str, now: datetime, *, first_line: int
) -> tuple[Situation | None, list[Problem]]:
    try:
        plain = decode_json(text)
    except ValueError as error:
        return None, [_not_json(path, error, first_line)]
    try:
        line = Line.model_validate(plain)
    except ValidationError as error:
        root, _ = yamlfile.load(path, text)
        details = error.errors(include_url=False)
        return None, [_problem(path, each, root, first_line) for each in details]
    return line.situation(now), []


def _not_json(path: str, error: ValueError, first_line: int) -> Problem:
    place = Place(path, first_line, 1)
    if isinstance(error, json.JSONDecodeError):
        place = Place(path, first_line + error.lineno - 1, error.colno)
        return Problem(place, _CODE, f"this is no JSON: {error.msg}", "write one event, { … }")
    return Problem(place, _CODE, f"this is no JSON: {error}", "write one event, { … }")


def _problem(
    path: str, detail: ErrorDetails, root: yamlfile.Node | None, first_line: int
) -> Problem:
    """Return a mistake where it stands in the text."""
    loc = detail["loc"]
    place, name = _place(path, root, loc, first_line), ".".join(map(str, loc))
    match detail["type"]:
        case "extra_forbidden":
            cure = did_you_mean(str(loc[-1]), _known_keys(loc[:-1]))
            return Problem(place, "unknown-key", f"an event has no '{name}'", cure)
        case "model_type" | "dict_type":
            what = f"{name or 'an event'}: an object is due here"
            return Problem(place, _CODE, what, "write { … }")
        case "missing":
            return Problem(place, "missing-key", f"'{name}' is missing", f"add '{loc[-1]}'")
        case _:
            said = detail["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
            what, _, cure = said.partition("; ")
            return Problem(place, _CODE, f"{name}: {what}" if name else what, cure)


def _place(
    path: str, root: yamlfile.Node | None, loc: Iterable[int | str], first_line: int
) -> Place:
    """Return where in the text something stands, as far as it is there. JSON is YAML, too."""
    node = root
    for part in loc:
        if node is None:
            break
        of_list = isinstance(part, int) and part < len(node.items)
        below = node.items[part] if isinstance(part, int) and of_list else node.get(str(part))
        if below is None:
            break
        node = below
    if node is None:
        return Place(path, first_line, 1)
    return Place(path, node.place.line + first_line - 1, node.place.column)


def _known_keys(owner: Sequence[int | str]) -> Iterable[str]:
    names = [part for part in owner if isinstance(part, str)]
    model: type[BaseModel] = MODELS.get(names[-1] if names else "", Line)
    return model.model_fields
