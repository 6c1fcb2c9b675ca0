"""The events of a ``*.test.yaml``: what happens, and when.

What is expected, and the file around both, is read by :mod:`imbot.testing.script_reading`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from os.path import normpath
from pathlib import Path
from types import MappingProxyType

from imbot.jsontext import encode_json
from imbot.model import JSON, ConnectionChange, Participant, SessionState
from imbot.problems import did_you_mean, nearest
from imbot.rulebook.reading import Desk
from imbot.rulebook.scope import CAPABILITY
from imbot.testing.script import (
    AGENT,
    Answered,
    Busied,
    Connected,
    Happening,
    Posted,
    Reloaded,
    Restarted,
    Said,
    Shown,
    Timed,
)
from imbot.yamlfile import Entry, Kind, Node

SESSION_KEYS = frozenset({"session", "agent", "participant", "userData", "capabilities"})
SNAPSHOT_KEYS = frozenset({"session", "state", "participant", "userData", "capabilities"})
ANSWER_KEYS = frozenset({"match", "status", "json", "text", "times"})

#: Each kind of event, and what may stand beside it and ``at``.
EVENT_KEYS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "state": SESSION_KEYS,
        "message": SESSION_KEYS | {"own"},
        "userdata": SESSION_KEYS - {"userData"},
        "connection": frozenset({"agent", "snapshot", "reason"}),
        "busy": frozenset({"agent"}),
        "webhook": frozenset(),
        "restart": frozenset(),
        "reload": frozenset(),
        "http": frozenset(),
    }
)


class EventReader:
    """Reads the events of one file.

    Args:
        desk: Keeps every mistake.
        folder: Where the file lies; paths are relative to it.
    """

    def __init__(self, desk: Desk, folder: Path) -> None:
        self._desk = desk
        self._folder = folder
        self._readers: Mapping[str, Callable[[Node], Happening | None]] = {
            "state": self._shown,
            "message": self._said,
            "userdata": self._shown,
            "connection": self._connected,
            "busy": self._busied,
            "webhook": self._posted,
            "restart": self._restarted,
            "reload": self._reloaded,
            "http": self._answered,
        }

    def event(self, node: Node) -> Timed | None:
        """Return one event; None when it cannot be told."""
        desk = self._desk
        cure = "write it like {at: 0s, session: s1, state: Talking}"
        entries = desk.entries(node, "an event", cure)
        kind = self._kind(node) if node.kind is Kind.MAP else None
        if kind is None:
            return None
        beside = EVENT_KEYS[kind] if kind in entries else SESSION_KEYS
        desk.keys(entries, {"at", kind} | beside, of=f"a {kind} event")
        is_from_start = kind == "http" and "at" not in entries
        at_ms = 0 if is_from_start else moment_at(desk, node, "an event")
        what = self._readers[kind](node)
        return None if what is None or at_ms is None else Timed(at_ms, what, node.place)

    def _kind(self, node: Node) -> str | None:
        """Return what happens in an event; reports it where that cannot be told."""
        entries = node.entries
        kinds = [key for key in entries if key in EVENT_KEYS]
        if len(kinds) == 1:
            return kinds[0]
        if kinds:
            what, cure = f"{' and '.join(kinds)} in one event", "make two events of it"
            self._desk.error(entries[kinds[1]].key.place, "two-kinds", what, cure)
            return None
        if "session" in entries and entries.keys() & (SESSION_KEYS - {"session", "agent"}):
            return "userdata"
        known = {"at", *SESSION_KEYS}
        odd = next((entry.key for key, entry in entries.items() if key not in known), None)
        if odd is None:
            cure = f"add one of {', '.join(EVENT_KEYS)}"
            self._desk.error(node.place, "missing-key", "an event in which nothing happens", cure)
        else:
            cure = did_you_mean(odd.raw, EVENT_KEYS)
            self._desk.error(odd.place, "unknown-event", f"'{odd.raw}' is no kind of event", cure)
        return None

    def _shown(self, node: Node) -> Shown | None:
        """Return a session as an event or a snapshot shows it."""
        desk, entries = self._desk, node.entries
        session = self._session(node)
        state = capabilities = None
        if "state" in entries:
            state = desk.word(entries["state"].value, SessionState, "session state")
        if "capabilities" in entries:
            listed = entries["capabilities"].value
            is_none = listed.kind is Kind.LIST and not listed.items
            capabilities = () if is_none else self._capabilities(listed)
        data = node.get("userdata") or node.get("userData")
        if session is None or ("state" in entries and state is None):
            return None
        return Shown(
            session=session,
            state=state,
            user_data={} if data is None else self._user_data(data),
            participant=self._participant(node.get("participant")),
            capabilities=capabilities,
            agent=text_at(self._desk, node, "agent"),
        )

    def _capabilities(self, node: Node) -> tuple[str, ...] | None:
        """Return what GWS lists, which may be more than imbot knows; not what is nearly known."""
        known = sorted(CAPABILITY.words or ())
        for each in node.items or (node,):
            if each.raw not in known and (near := nearest(each.raw, known)) is not None:
                what, cure = f"unknown capability '{each.raw}'", f"did you mean '{near}'?"
                self._desk.error(each.place, "unknown-capability", what, cure)
        return self._desk.texts(node, "capabilities")

    def _session(self, node: Node) -> str | None:
        found = node.get("session")
        if found is not None:
            return self._desk.text(found, "session")
        known = {"at", *EVENT_KEYS, *SESSION_KEYS}
        if self._desk.lacks(node, "session", known=known):
            cure = "add 'session: s1'"
            self._desk.error(node.place, "missing-key", "it does not say which session", cure)
        return None

    def _user_data(self, node: Node) -> dict[str, JSON]:
        cure = "write {key: value}"
        entries = self._desk.entries(node, "user data", cure)
        return {key: _as_user_data(entry.value) for key, entry in entries.items()}

    def _participant(self, node: Node | None) -> Participant | None:
        """Return the other party: one number, or GWS' own four fields."""
        if node is None:
            return None
        if node.kind is not Kind.MAP:
            number = self._desk.text(node, "participant")
            return None if number is None else participant_of(number)
        fields = ("phoneNumber", "digits", "e164Number", "formattedPhoneNumber")
        self._desk.keys(node.entries, fields, of="a participant")
        texts = texts_of(self._desk, node.entries)
        return Participant(**{key: text for key, text in texts.items() if key in fields})

    def _said(self, node: Node) -> Said | None:
        text = self._desk.text(node.entries["message"].value, "message")
        shown = self._shown(node)
        own = node.get("own")
        is_own = own is not None and self._desk.flag(own, "own") is True
        return None if text is None or shown is None else Said(shown, text, is_own)

    def _connected(self, node: Node) -> Connected | None:
        desk = self._desk
        word = desk.word(node.entries["connection"].value, ConnectionChange, "connection change")
        if word is None:
            return None
        change, listed = ConnectionChange(word), node.get("snapshot")
        if change is ConnectionChange.LOST and listed is not None:
            place, cure = (
                node.entries["snapshot"].key.place,
                "write it where the connection is back",
            )
            desk.error(place, "unknown-key", "'snapshot' of a connection that is lost", cure)
        agent = text_at(self._desk, node, "agent") or AGENT
        snapshot = []
        for each in () if listed is None else desk.items(listed, "snapshot"):
            entries = desk.entries(each, "a session of the snapshot")
            desk.keys(entries, SNAPSHOT_KEYS, of="a session of the snapshot")
            if entries and (shown := self._shown(each)) is not None:
                snapshot.append(replace(shown, agent=agent))
        reason = text_at(self._desk, node, "reason") or "the poll failed"
        return Connected(agent, change, tuple(snapshot), reason)

    def _busied(self, node: Node) -> Busied | None:
        is_busy = self._desk.flag(node.entries["busy"].value, "busy")
        agent = text_at(self._desk, node, "agent") or AGENT
        return None if is_busy is None else Busied(agent, is_busy)

    def _posted(self, node: Node) -> Posted | None:
        given = node.entries["webhook"].value
        if given.is_scalar and given.kind is not Kind.NULL:
            return Posted(given.raw)
        entries = self._desk.entries(given, "webhook", "write {name: …, body: …}")
        self._desk.keys(entries, {"name", "body"}, of="a webhook")
        name = text_at(self._desk, given, "name")
        if not name:
            if given.kind is Kind.MAP and "name" not in entries:
                self._desk.error(given.place, "missing-key", "a webhook without 'name'", "add it")
            return None
        return Posted(name, entries["body"].value.plain() if "body" in entries else None)

    def _restarted(self, node: Node) -> Restarted | None:
        word = self._desk.word(node.entries["restart"].value, ("kill", "stop"), "kind of restart")
        return None if word is None else Restarted(is_killed=word == "kill")

    def _reloaded(self, node: Node) -> Reloaded | None:
        paths = paths_of(self._desk, self._folder, node.entries["reload"].value, "reload")
        return Reloaded(paths) if paths else None

    def _answered(self, node: Node) -> Answered | None:
        desk, spec = self._desk, node.entries["http"].value
        entries = desk.entries(spec, "http", "write {match: part of the URL, status: 200, json: …}")
        desk.keys(entries, ANSWER_KEYS, of="an HTTP answer")
        status: int | None = 200
        if (given := spec.get("status")) is not None:
            status = desk.whole(given, "status", least=100, most=599)
        times = None
        if (given := spec.get("times")) is not None:
            times = desk.whole(given, "times", least=1, most=1_000_000)
        body = b""
        if "json" in entries and "text" in entries:
            place, cure = entries["text"].key.place, "remove one: an answer has one body"
            desk.error(place, "two-kinds", "json and text in one answer", cure)
        if (given := spec.get("json")) is not None:
            body = encode_json(given.plain())
        elif "text" in entries:
            body = text_at(self._desk, spec, "text").encode()
        if spec.kind is not Kind.MAP or status is None:
            return None
        return Answered(text_at(self._desk, spec, "match"), status, body, times)


def moment_at(desk: Desk, node: Node, what: str) -> int | None:
    """Return the milliseconds after the start that an event or an expectation names."""
    at = node.get("at")
    if at is None:
        if desk.lacks(node, "at", known={"at", *EVENT_KEYS, *SESSION_KEYS}):
            desk.error(node.place, "missing-key", f"{what} without 'at'", "add 'at: 0s'")
        return None
    text = desk.text(at, "at")
    if text is None or text in ("0", "0s", "0ms", "0m", "0h", "0d"):
        return None if text is None else 0
    seconds = desk.seconds(text, at.place)
    return None if seconds is None else round(seconds * 1000)


def text_at(desk: Desk, node: Node, key: str) -> str:
    """Return the text of a key; empty without one."""
    found = node.get(key)
    return "" if found is None else desk.text(found, key) or ""


def texts_of(desk: Desk, entries: Mapping[str, Entry]) -> dict[str, str]:
    """Return the texts of a map; what is none is left out."""
    read = {name: desk.text(entry.value, name) for name, entry in entries.items()}
    return {name: text for name, text in read.items() if text is not None}


def paths_of(desk: Desk, folder: Path, node: Node, what: str) -> tuple[str, ...]:
    """Return paths, which stand relative to the test file."""
    texts = desk.texts(node, what) or ()
    return tuple(normpath(folder / text) for text in texts)


def participant_of(number: str) -> Participant:
    """Return the other party that has this number."""
    digits = "".join(filter(str.isdigit, number))
    return Participant(number, digits or number, number, number)


def _as_user_data(node: Node) -> JSON:
    """Return a value as GWS shows it: a scalar as text, spelled as it is; None for null."""
    if node.kind is Kind.NULL:
        return None
    return node.raw if node.is_scalar else node.plain()
