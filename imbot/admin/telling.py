"""Events and effects in a few words, for people."""

from collections.abc import Mapping

from imbot.durations import format_duration
from imbot.engine.guard import MARK_PREFIX
from imbot.model import JSON, Event, EventKind
from imbot.records import Intent

#: Longer texts are cut off: what is told stays on a line.
_WIDTH = 90


def told(event: Event) -> str:
    """Return what happened, and by resync if it was not told at once."""
    resync = " (by resync)" if event.resync else ""
    return f"{_what(event)}{resync}"


def _what(event: Event) -> str:  # noqa: PLR0911  one case per kind
    fields = event.fields
    match event.kind:
        case EventKind.MESSAGE:
            return quoted(fields["text"])
        case EventKind.USERDATA:
            return changes(fields["changed"])
        case EventKind.CONNECTION:
            reason = f": {fields['reason']}" if fields.get("reason") else ""
            return f"{fields['change']}, {fields.get('seconds', 0):.1f} s{reason}"
        case EventKind.STATE:
            return "" if event.session is None else event.session.state
        case EventKind.IDLE:
            return format_duration(fields["idle"])
        case EventKind.CALENDAR:
            offset = fields.get("offset_s", 0)
            side = "before" if offset < 0 else "after"
            away = f", {format_duration(abs(offset))} {side} it" if offset else ""
            return f"{fields['calendar']} {fields['edge']}{away}"
        case EventKind.SCHEDULE:
            return str(fields["schedule"])
        case EventKind.WEBHOOK:
            return f"{fields['name']} {value(fields.get('body'))}"


def changes(changed: Mapping[str, Mapping[str, JSON]]) -> str:
    """Return what changed in user data: ``key: old → new``, without imbot's own marks."""
    shown = [f"{key}: {_change(sides)}" for key, sides in changed.items() if not is_mark(key)]
    return ", ".join(shown)


def _change(sides: Mapping[str, JSON]) -> str:
    new = value(sides["new"]) if "new" in sides else "removed"
    return f"{value(sides['old'])} → {new}" if "old" in sides else new


def is_mark(key: str) -> bool:
    """Whether user data under this key is a mark by which bots know each other."""
    return key.startswith(MARK_PREFIX)


def is_mere_mark(event: Event) -> bool:
    """Whether an event is nothing but a mark that we set; nobody asks about it."""
    return event.own and all(map(is_mark, event.fields["changed"]))


def arguments(given: JSON) -> str:
    """Return the arguments of an action; text is quoted."""
    if isinstance(given, dict):
        if "text" in given and given.keys() <= {"text", "to"}:
            return quoted(given["text"])
        return _pairs(given)
    return quoted(given) if isinstance(given, str) else value(given)


def carried(intent: Intent) -> str:
    """Return what an effect carries, or what it is where it carries nothing."""
    if text := said(intent):
        return quoted(text)
    return arguments(intent.payload) if intent.payload else intent.operation


def said(intent: Intent) -> str:
    """Return what an effect says to the other party; empty where it says nothing."""
    payload = intent.payload
    text = payload.get("text") if isinstance(payload, dict) else None
    return text if isinstance(text, str) else ""


def quoted(text: object) -> str:
    """Return text between quotes, cut to a line."""
    return f"“{cut(str(text))}”"


def value(given: JSON) -> str:
    """Return a value as its author would write it, cut to a line."""
    match given:
        case "":
            return '""'
        case dict():
            return cut(f"{{{_pairs(given)}}}")
        case list():
            return cut(f"[{', '.join(map(value, given))}]")
        case bool():
            return str(given).lower()
        case _:
            return cut(str(given))


def _pairs(given: Mapping[str, JSON]) -> str:
    return cut(", ".join(f"{key}: {value(item)}" for key, item in given.items()))


def cut(text: str, width: int = _WIDTH) -> str:
    """Return text that is not longer than so many characters."""
    return text if len(text) <= width else f"{text[: max(width, 1) - 1]}…"
