"""``*.test.yaml`` → a script, and every mistake in it with its place and the cure.

Reads no file: the text is given. What the rules do is not looked at here.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from os.path import normpath
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from imbot.jsontext import encode_json
from imbot.model import JSON, ConnectionChange, Participant, SessionState
from imbot.plugin import Action
from imbot.problems import Place, Problem, did_you_mean, first_causes, nearest
from imbot.rulebook.fitting import argument_names
from imbot.rulebook.functions import compile_pattern
from imbot.rulebook.reading import Desk
from imbot.rulebook.scope import CAPABILITY
from imbot.testing.moments import read_moment
from imbot.testing.script import (
    AGENT,
    NICKNAME,
    Answered,
    Busied,
    Connected,
    Expected,
    Happening,
    Posted,
    Reloaded,
    Restarted,
    RuleTest,
    Said,
    Script,
    Shown,
    Timed,
)
from imbot.yamlfile import Entry, Kind, Limits, Node, load

FILE_KEYS = frozenset({"version", "rules", "plugins", "bot", "options", "secrets", "tests"})
TEST_KEYS = frozenset({"name", "start", "events", "expect", "only"})
SESSION_KEYS = frozenset({"session", "agent", "participant", "userData", "capabilities"})
SNAPSHOT_KEYS = frozenset({"session", "state", "participant", "userData", "capabilities"})
ANSWER_KEYS = frozenset({"match", "status", "json", "text", "times"})
EXPECT_KEYS = frozenset({"at", "session", "agent"})

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

#: A Monday morning; tests that care name their own.
START: Final = datetime.fromisoformat("2026-03-02T09:00:00+00:00")

#: A day may be long: an event each minute, and what comes of it.
LIMITS = Limits(size_bytes=4 * 1024 * 1024, nodes=500_000)


def read_script(
    path: str, text: str | bytes, actions: Mapping[str, Action[Any]]
) -> tuple[Script | None, list[Problem]]:
    """Return the tests of a file, None with a mistake among them, and every mistake.

    Args:
        path: The file, as whoever runs the tests names it.
        text: What it holds.
        actions: The actions that rules may use.
    """
    root, problems = load(path, text, limits=LIMITS)
    reader = _Reader(path, Desk(problems=problems), actions)
    script = None if root is None else reader.script(root)
    found = sorted(first_causes(problems), key=lambda each: each.place)
    return (None if found else script), found


def plugin_folders(path: str, text: bytes) -> tuple[str, ...]:
    """Return the folders whose plugins a test file needs; its mistakes are told when it is read.

    They are wanted first: only with them is known which actions there are.
    """
    root = load(path, text, limits=LIMITS)[0] if b"plugins" in text else None
    return () if root is None else _Reader(path, Desk(), {}).plugins(root)


class _Reader:
    """Reads one file."""

    def __init__(self, path: str, desk: Desk, actions: Mapping[str, Action[Any]]) -> None:
        self._folder = Path(path).parent
        self._path = path
        self._desk = desk
        self._actions = actions

    def script(self, root: Node) -> Script | None:
        """Return the script of a file."""
        desk = self._desk
        cure = "write 'tests:' above the list" if root.items else "begin with 'rules:' and 'tests:'"
        entries = desk.entries(root, "a test file", cure)
        desk.keys(entries, FILE_KEYS, of="a test file")
        tests = root.get("tests")
        if entries and desk.lacks(root, "tests", known=FILE_KEYS):
            first = next(iter(entries.values())).key.place
            desk.error(first, "missing-key", "a test file without 'tests'", "add 'tests:'")
        return Script(
            path=self._path,
            tests=() if tests is None else self._tests(tests),
            rules=None if (rules := root.get("rules")) is None else self._paths(rules, "rules"),
            rules_at={} if rules is None else self._places(rules),
            plugins=self.plugins(root),
            nickname=self._nickname(root),
            options={
                plugin: self._plain_map(entry.value, plugin)
                for plugin, entry in self._map_at(root, "options").items()
            },
            secrets=self._texts_of(self._map_at(root, "secrets")),
        )

    # File -------------------------------------------------------------------------------------

    def plugins(self, root: Node) -> tuple[str, ...]:
        """Return the folders with plugins of one's own."""
        found = root.get("plugins")
        return () if found is None else self._paths(found, "plugins")

    def _map_at(self, root: Node, key: str) -> Mapping[str, Entry]:
        node = root.get(key)
        return {} if node is None else self._desk.entries(node, key)

    def _nickname(self, root: Node) -> str:
        bot = self._map_at(root, "bot")
        self._desk.keys(bot, {"nickname"}, of="'bot'")
        return self._texts_of(bot).get("nickname", NICKNAME)

    def _texts_of(self, entries: Mapping[str, Entry]) -> dict[str, str]:
        read = {name: self._desk.text(entry.value, name) for name, entry in entries.items()}
        return {name: text for name, text in read.items() if text is not None}

    def _plain_map(self, node: Node, what: str) -> Mapping[str, JSON]:
        return {key: entry.value.plain() for key, entry in self._desk.entries(node, what).items()}

    def _paths(self, node: Node, what: str) -> tuple[str, ...]:
        """Return paths, which stand relative to the test file."""
        texts = self._desk.texts(node, what) or ()
        return tuple(normpath(self._folder / text) for text in texts)

    def _places(self, node: Node) -> Mapping[str, Place]:
        """Return where each of some paths is named."""
        return {normpath(self._folder / each.raw): each.place for each in node.items or (node,)}

    # Tests ------------------------------------------------------------------------------------

    def _tests(self, node: Node) -> tuple[RuleTest, ...]:
        desk = self._desk
        nodes = desk.items(node, "tests", "begin each test with '- name: …'")
        if node.kind is Kind.LIST and not nodes:
            desk.error(node.place, "empty", "'tests' lists nothing", "add a test")
        tests = [self._test(each) for each in nodes]
        first: dict[str, Place] = {}
        for test in tests:
            if test.name and (earlier := first.setdefault(test.name, test.place)) != test.place:
                what = f"a second test '{test.name}'; first at {earlier}"
                desk.error(test.place, "duplicate-test", what, "give it another name")
        return tuple(tests)

    def _test(self, node: Node) -> RuleTest:
        desk, before = self._desk, len(self._desk.problems)
        entries = desk.entries(node, "a test", "begin it with '- name: …'")
        desk.keys(entries, TEST_KEYS, of="a test")
        name = None
        if "name" in entries:
            name = desk.text(entries["name"].value, "name")
        elif node.kind is Kind.MAP and desk.lacks(node, "name", known=TEST_KEYS):
            desk.error(node.place, "missing-key", "a test without 'name'", "add 'name: …'")
        if name is not None and not name.strip():
            desk.error(entries["name"].value.place, "empty", "a test without a name", "name it")
        only = desk.flag(entries["only"].value, "only") if "only" in entries else True
        events = tuple(filter(None, map(self._event, self._list(node, "events"))))
        expect = tuple(filter(None, map(self._expected, self._list(node, "expect"))))
        test = RuleTest(
            name=name or "",
            place=entries["name"].value.place if "name" in entries else node.place,
            start=self._start(node.get("start")),
            events=tuple(sorted(events, key=lambda each: each.at_ms)),
            expect=expect,
            only=only is not False,
        )
        if len(desk.problems) == before:  # a mistake may be why a session is not shown
            self._refuse_strangers(test, node)
        return test

    def _list(self, node: Node, key: str) -> tuple[Node, ...]:
        found = node.get(key)
        if found is None or found.kind is Kind.NULL:
            return ()
        return self._desk.items(found, key, "begin each with '- {at: 0s, …}'")

    def _start(self, node: Node | None) -> datetime:
        """Return the moment at which a test begins: with an offset, or a zone of the map."""
        text = None if node is None else self._desk.text(node, "start")
        if node is None or text is None:
            return START
        try:
            return read_moment(text)
        except ValueError as error:
            what, _, cure = str(error).partition("; ")
            self._desk.error(node.place, "bad-date", what, cure)
            return START

    # Events -----------------------------------------------------------------------------------

    def _event(self, node: Node) -> Timed | None:
        desk = self._desk
        cure = "write it like {at: 0s, session: s1, state: Talking}"
        entries = desk.entries(node, "an event", cure)
        kind = self._kind(node) if node.kind is Kind.MAP else None
        if kind is None:
            return None
        beside = EVENT_KEYS[kind] if kind in entries else SESSION_KEYS
        desk.keys(entries, {"at", kind} | beside, of=f"a {kind} event")
        at_ms = 0 if kind == "http" and "at" not in entries else self._at(node, "an event")
        what = self._readers()[kind](node)
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

    def _at(self, node: Node, what: str) -> int | None:
        """Return the milliseconds after the start."""
        at = node.get("at")
        if at is None:
            if self._desk.lacks(node, "at", known={"at", *EVENT_KEYS, *SESSION_KEYS}):
                self._desk.error(node.place, "missing-key", f"{what} without 'at'", "add 'at: 0s'")
            return None
        text = self._desk.text(at, "at")
        if text is None or text in ("0", "0s", "0ms", "0m", "0h", "0d"):
            return None if text is None else 0
        seconds = self._desk.seconds(text, at.place)
        return None if seconds is None else round(seconds * 1000)

    def _readers(self) -> Mapping[str, Callable[[Node], Happening | None]]:
        return {
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
            agent=self._text_at(node, "agent"),
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

    def _text_at(self, node: Node, key: str) -> str:
        found = node.get(key)
        return "" if found is None else self._desk.text(found, key) or ""

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
        texts = self._texts_of(node.entries)
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
        agent = self._text_at(node, "agent") or AGENT
        snapshot = []
        for each in () if listed is None else desk.items(listed, "snapshot"):
            entries = desk.entries(each, "a session of the snapshot")
            desk.keys(entries, SNAPSHOT_KEYS, of="a session of the snapshot")
            if entries and (shown := self._shown(each)) is not None:
                snapshot.append(replace(shown, agent=agent))
        reason = self._text_at(node, "reason") or "the poll failed"
        return Connected(agent, change, tuple(snapshot), reason)

    def _busied(self, node: Node) -> Busied | None:
        is_busy = self._desk.flag(node.entries["busy"].value, "busy")
        return None if is_busy is None else Busied(self._text_at(node, "agent") or AGENT, is_busy)

    def _posted(self, node: Node) -> Posted | None:
        given = node.entries["webhook"].value
        if given.is_scalar and given.kind is not Kind.NULL:
            return Posted(given.raw)
        entries = self._desk.entries(given, "webhook", "write {name: …, body: …}")
        self._desk.keys(entries, {"name", "body"}, of="a webhook")
        name = self._text_at(given, "name")
        if not name:
            if given.kind is Kind.MAP and "name" not in entries:
                self._desk.error(given.place, "missing-key", "a webhook without 'name'", "add it")
            return None
        return Posted(name, entries["body"].value.plain() if "body" in entries else None)

    def _restarted(self, node: Node) -> Restarted | None:
        word = self._desk.word(node.entries["restart"].value, ("kill", "stop"), "kind of restart")
        return None if word is None else Restarted(is_killed=word == "kill")

    def _reloaded(self, node: Node) -> Reloaded | None:
        paths = self._paths(node.entries["reload"].value, "reload")
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
            body = self._text_at(spec, "text").encode()
        if spec.kind is not Kind.MAP or status is None:
            return None
        return Answered(self._text_at(spec, "match"), status, body, times)

    # Expectations -----------------------------------------------------------------------------

    def _expected(self, node: Node) -> Expected | None:
        desk = self._desk
        example = "write it like {at: 0s, session: s1, reply: …}"
        entries = desk.entries(node, "an expectation", example)
        if node.kind is not Kind.MAP:
            return None
        at_ms = self._at(node, "an expectation")
        actions = [entry for key, entry in entries.items() if key not in EXPECT_KEYS]
        known = [entry for entry in actions if entry.key.raw in self._actions]
        for entry in actions:
            if entry not in known:
                key = entry.key
                cure = did_you_mean(key.raw, {*self._actions, *EXPECT_KEYS})
                desk.error(key.place, "unknown-action", f"no action is called '{key.raw}'", cure)
        if len(known) > 1:
            what = f"{' and '.join(each.key.raw for each in known)} in one expectation"
            desk.error(known[1].key.place, "two-actions", what, "make two expectations of it")
        if not actions:
            desk.error(node.place, "no-action", "an expectation without an action", example)
        for entry in known:
            self._refuse_unknown_arguments(entry)
        if at_ms is None or len(known) != 1 or len(actions) != 1:
            return None
        return Expected(
            at_ms=at_ms,
            action=known[0].key.raw,
            value=self._pattern(known[0].value),
            place=node.place,
            session=self._text_at(node, "session"),
            agent=self._text_at(node, "agent"),
        )

    def _refuse_unknown_arguments(self, entry: Entry) -> None:
        """Report each argument that the action of an expectation cannot have."""
        action = self._actions[entry.key.raw]
        names = argument_names(action.args)
        if names is None:
            return
        for name, (key, _) in entry.value.entries.items():
            if name not in names:
                what = f"'{action.name}' has no '{name}'"
                self._desk.error(key.place, "unknown-argument", what, did_you_mean(name, names))

    def _pattern(self, node: Node) -> JSON:
        """Return what an effect is compared with: each scalar as spelled; searches are checked."""
        if node.kind is Kind.LIST:
            return [self._pattern(item) for item in node.items]
        if node.kind is Kind.MAP:
            return {key: self._pattern(entry.value) for key, entry in node.entries.items()}
        if (search := search_of(node.raw)) is not None:
            try:
                compile_pattern(search)
            except ValueError as error:
                what, _, cure = str(error).partition("; ")
                self._desk.error(node.place, "bad-pattern", what, cure)
        return node.value if node.kind in (Kind.BOOL, Kind.NULL) else node.raw

    def _refuse_strangers(self, test: RuleTest, node: Node) -> None:
        """Report each session that is talked about and never shown."""
        shown: set[str] = set(test.begun)
        talked: list[str] = [each.session for each in test.expect]
        for timed in test.events:
            match timed.what:
                case Shown(session=session, state=state):
                    (talked.append if state is None else shown.add)(session)
                case Said(shown=Shown(session=session)):
                    talked.append(session)
                case Connected(snapshot=snapshot):
                    shown.update(each.session for each in snapshot)
                case _:
                    pass
        strangers = set(filter(None, talked)) - shown
        for each in (*self._list(node, "events"), *self._list(node, "expect")):
            named = each.get("session")
            if named is not None and named.raw in strangers:
                what = f"session '{named.raw}' is never shown in this test"
                cure = f"begin with {{at: 0s, session: {named.raw}, state: Talking}}"
                if near := nearest(named.raw, sorted(shown)):
                    cure = f"did you mean '{near}'?"
                self._desk.error(named.place, "unknown-session", what, cure)


def search_of(text: str) -> str | None:
    """Return the RE2 search that a text between slashes is; None for another text."""
    is_search = len(text) > 1 and text.startswith("/") and text.endswith("/")
    return text[1:-1] if is_search else None


def participant_of(number: str) -> Participant:
    """Return the other party that has this number."""
    digits = "".join(filter(str.isdigit, number))
    return Participant(number, digits or number, number, number)


def _as_user_data(node: Node) -> JSON:
    """Return a value as GWS shows it: a scalar as text, spelled as it is; None for null."""
    if node.kind is Kind.NULL:
        return None
    return node.raw if node.is_scalar else node.plain()
