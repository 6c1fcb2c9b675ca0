"""``*.test.yaml`` → a script, and every mistake in it with its place and the cure.

Reads no file: the text is given. What the rules do is not looked at here.
"""

from collections.abc import Mapping
from datetime import datetime
from os.path import normpath
from pathlib import Path
from typing import Any, Final

from imbot.model import JSON
from imbot.plugin import Action
from imbot.problems import Place, Problem, did_you_mean, first_causes, nearest
from imbot.rulebook.fitting import argument_names
from imbot.rulebook.functions import compile_pattern
from imbot.rulebook.reading import Desk
from imbot.testing.event_reading import EventReader, moment_at, paths_of, text_at, texts_of
from imbot.testing.moments import read_moment
from imbot.testing.script import (
    NICKNAME,
    Connected,
    Expected,
    RuleTest,
    Said,
    Script,
    Shown,
)
from imbot.yamlfile import Entry, Kind, Limits, Node, load

FILE_KEYS = frozenset({"version", "rules", "plugins", "bot", "options", "secrets", "tests"})
TEST_KEYS = frozenset({"name", "start", "events", "expect", "only"})
EXPECT_KEYS = frozenset({"at", "session", "agent"})

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
        self._events = EventReader(desk, self._folder)

    def script(self, root: Node) -> Script | None:
        """Return the script of a file."""
        desk = self._desk
        cure = "write 'tests:' above the list" if root.items else "begin with 'rules:' and 'tests:'"
        entries = desk.entries(root, "a test file", cure)
        desk.keys(entries, FILE_KEYS, of="a test file")
        tests, rules = root.get("tests"), root.get("rules")
        if entries and desk.lacks(root, "tests", known=FILE_KEYS):
            first = next(iter(entries.values())).key.place
            desk.error(first, "missing-key", "a test file without 'tests'", "add 'tests:'")
        return Script(
            path=self._path,
            tests=() if tests is None else self._tests(tests),
            rules=None if rules is None else paths_of(desk, self._folder, rules, "rules"),
            rules_at={} if rules is None else self._places(rules),
            plugins=self.plugins(root),
            nickname=self._nickname(root),
            options={
                plugin: self._plain_map(entry.value, plugin)
                for plugin, entry in self._map_at(root, "options").items()
            },
            secrets=texts_of(self._desk, self._map_at(root, "secrets")),
        )

    # File -------------------------------------------------------------------------------------

    def plugins(self, root: Node) -> tuple[str, ...]:
        """Return the folders with plugins of one's own."""
        found = root.get("plugins")
        return () if found is None else paths_of(self._desk, self._folder, found, "plugins")

    def _map_at(self, root: Node, key: str) -> Mapping[str, Entry]:
        node = root.get(key)
        return {} if node is None else self._desk.entries(node, key)

    def _nickname(self, root: Node) -> str:
        bot = self._map_at(root, "bot")
        self._desk.keys(bot, {"nickname"}, of="'bot'")
        return texts_of(self._desk, bot).get("nickname", NICKNAME)

    def _plain_map(self, node: Node, what: str) -> Mapping[str, JSON]:
        return {key: entry.value.plain() for key, entry in self._desk.entries(node, what).items()}

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
        events = tuple(filter(None, map(self._events.event, self._list(node, "events"))))
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

    # Expectations -----------------------------------------------------------------------------

    def _expected(self, node: Node) -> Expected | None:
        desk = self._desk
        example = "write it like {at: 0s, session: s1, reply: …}"
        entries = desk.entries(node, "an expectation", example)
        if node.kind is not Kind.MAP:
            return None
        at_ms = moment_at(desk, node, "an expectation")
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
            session=text_at(desk, node, "session"),
            agent=text_at(desk, node, "agent"),
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
