"""``trigger:`` and ``wait_for:`` → triggers, or every mistake in them.

Nothing here looks at events; the index does.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from imbot.model import ConnectionChange, SessionState
from imbot.problems import did_you_mean
from imbot.rulebook.functions import compile_pattern
from imbot.rulebook.reading import Desk
from imbot.rulebook.schema import (
    ConnectionTrigger,
    MessageTrigger,
    SessionTrigger,
    StateTrigger,
    TextTest,
    Trigger,
    UserdataTrigger,
)
from imbot.rulebook.texttests import key_of
from imbot.rulebook.timetriggers import (
    OPTIONS,
    read_calendar,
    read_every,
    read_idle,
    read_schedule,
    read_webhook,
)
from imbot.rulebook.values import STEP_OPTIONS
from imbot.yamlfile import Entry, Kind, Node

#: In longer lists nobody looks for what stands in them twice.
_MOST_COMPARED = 100
#: A pattern as other languages write it; one between plain slashes may be about paths.
_IN_SLASHES = re.compile(r"/(\^.*|.*\$|.+(?=/[a-z]+$))/([a-z]*)")
#: From the keys of a trigger to the trigger; None, and a problem, when something is wrong.
_Reader: TypeAlias = Callable[[Mapping[str, Entry], Desk], Trigger | None]

_OPTIONS: Mapping[str, frozenset[str]] = MappingProxyType(
    {"userdata": frozenset({"own"}), **OPTIONS}
)
_ALL_OPTIONS = frozenset().union(*_OPTIONS.values())
_RANK = MappingProxyType({state.value: rank for rank, state in enumerate(SessionState)})
_ANY = "any"
_WAIT_FOR = "wait_for"
#: What other languages call them.
_ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("cron", "at", "time"), "schedule"),
        **dict.fromkeys(("interval", "timer"), "every"),
        **dict.fromkeys(("hook", "post", "http"), "webhook"),
        **dict.fromkeys(("silence", "timeout", "inactive"), "idle"),
    }
)


def read_triggers(entry: Entry, desk: Desk) -> tuple[Trigger, ...]:
    """Return the triggers under the key ``trigger``; none when one of them is wrong."""
    nodes = entry.value.items if entry.value.kind is Kind.LIST else (entry.value,)
    if not nodes:
        desk.error(entry.key.place, "empty", "'trigger' lists nothing", "name what starts the rule")
    found = [_trigger(node, desk) for node in nodes]
    triggers = tuple(trigger for trigger in found if trigger is not None)
    for number, trigger in enumerate(triggers[:_MOST_COMPARED]):
        if len(triggers) == len(found) and trigger in triggers[:number]:
            what, cure = "the same trigger stands in the list already", "leave it out"
            desk.warn(nodes[number].place, "repeated-text", what, cure)
    return triggers if len(triggers) == len(found) else ()


def read_session_trigger(entry: Entry, desk: Desk) -> SessionTrigger | None:
    """Return what a step waits for in the session, under its key."""
    cure = "write it like {message: any} or {state: Completed}"
    found = _read(entry.value, _WAIT_FOR, _OF_SESSIONS, cure, desk)
    return found if isinstance(found, SessionTrigger) else None


def _trigger(node: Node, desk: Desk) -> Trigger | None:
    return _read(
        node, "trigger", _READERS, "write it like {state: Talking} or {message: any}", desk
    )


def _read(
    node: Node, what: str, readers: Mapping[str, _Reader], cure: str, desk: Desk
) -> Trigger | None:
    """Return the trigger of one of the kinds that have a reader."""
    entries = desk.entries(node, what, cure)
    if not entries:
        if node.kind is Kind.MAP:
            desk.error(node.place, "missing-key", f"a {what} without a kind", cure)
        return None
    kinds = [key for key in entries if key in readers]
    if len(kinds) != 1:
        _no_kind(entries, kinds, what, readers, desk)
        return None
    kind = kinds[0]
    if what == _WAIT_FOR:
        entries = _without_options(entries, desk)
    desk.keys(entries, {kind} | _OPTIONS.get(kind, frozenset()), of=f"{_a(kind)} trigger")
    return readers[kind](entries, desk)


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'ei' else 'a'} {kind}"


def _without_options(entries: Mapping[str, Entry], desk: Desk) -> Mapping[str, Entry]:
    """Return what is waited for without options of the step, which are reported."""
    for key in STEP_OPTIONS & entries.keys():
        what, cure = f"'{key}' is no part of a trigger", f"write '{key}:' beside 'wait_for:'"
        desk.error(entries[key].key.place, "unknown-key", what, cure)
    return {key: entry for key, entry in entries.items() if key not in STEP_OPTIONS}


def _no_kind(
    entries: Mapping[str, Entry], kinds: list[str], what: str, readers: Iterable[str], desk: Desk
) -> None:
    """Report a trigger without a kind, or with two."""
    if kinds:
        found = f"{' and '.join(kinds)} in one {what}"
        cure = "wait for one of them" if what == _WAIT_FOR else "make a list of two triggers"
        desk.error(entries[kinds[1]].key.place, "two-kinds", found, cure)
        return
    first = next((entry.key for key, entry in entries.items() if key not in _ALL_OPTIONS), None)
    key = first or next(iter(entries.values())).key
    if key.raw in _READERS:
        found = f"nothing can wait for '{key.raw}' in the middle of a run"
        desk.error(key.place, "unknown-trigger", found, did_you_mean(key.raw, readers))
        return
    cure = did_you_mean(key.raw, readers, elsewhere=_ELSEWHERE)
    desk.error(key.place, "unknown-trigger", f"'{key.raw}' is no kind of trigger", cure)


def _state(entries: Mapping[str, Entry], desk: Desk) -> StateTrigger | None:
    node = entries["state"].value
    if node.kind is not Kind.MAP:
        return StateTrigger(_states(node, desk)) if _good_states(node, desk) else None
    desk.keys(node.entries, {"from", "to"}, of="a state trigger")
    if not node.entries:
        desk.error(entries["state"].key.place, "missing-key", "a state trigger without a state")
        return None
    sides = [node.get("to"), node.get("from")]
    if not all(side is None or _good_states(side, desk) for side in sides):
        return None
    to, before = (None if side is None else _states(side, desk) for side in sides)
    if before is not None and not _is_possible(before, to):
        said = f"a session never comes from {_or(before)} to {'any state' if not to else _or(to)}"
        cure = "states go Initiating, Alerting, Talking, Completed, and never back"
        desk.error(node.place, "impossible-edge", said, cure)
        return None
    return StateTrigger(to, before)


def _good_states(node: Node, desk: Desk) -> bool:
    """Return whether a node names states; reports it if not."""
    texts = desk.texts(node, "state")
    if texts is None or texts == (_ANY,):
        return texts is not None
    nodes = node.items or (node,)
    words = [desk.word(each, SessionState, "session state") for each in nodes]
    _warn_of_repetition(node, desk)
    return None not in words


def _states(node: Node, desk: Desk) -> frozenset[str] | None:
    """Return the states that a good node names; None for any."""
    texts = desk.texts(node, "state") or ()
    return None if texts == (_ANY,) else frozenset(texts)


def _is_possible(before: frozenset[str], to: frozenset[str] | None) -> bool:
    """Return whether a session can come from one of ``before`` to one of ``to``."""
    last = len(_RANK) - 1 if to is None else max(_RANK[state] for state in to)
    return min(_RANK[state] for state in before) < last


def _or(states: frozenset[str]) -> str:
    return " or ".join(sorted(states, key=_RANK.__getitem__))


def _message(entries: Mapping[str, Entry], desk: Desk) -> MessageTrigger | None:
    key, node = entries["message"]
    cure = "write 'any', or one of {contains: …}, {startswith: …}, {equals: …}, {matches: …}"
    if node.kind is not Kind.MAP:
        if node.raw == _ANY:
            return MessageTrigger(TextTest.ANY)
        desk.error(node.place, "wrong-type", "'message' takes 'any' or a test", cure)
        return None
    tests = [test for test in TextTest if test is not TextTest.ANY]
    desk.keys(node.entries, tests, of="a message trigger")
    found = [entry for name, entry in node.entries.items() if name in tests]
    if len(found) != 1:
        if found or not node.entries:
            what = f"a message trigger has exactly one test, not {len(found)}"
            desk.error(found[1].key.place if found else key.place, "message-test", what, cure)
        return None
    return _text_test(TextTest(found[0].key.raw), found[0].value, desk)


def _text_test(test: TextTest, node: Node, desk: Desk) -> MessageTrigger | None:
    texts = desk.texts(node, test.value)
    if texts is None:
        return None
    nodes = node.items or (node,)
    good = [_is_good_text(test, each, desk) for each in nodes]
    if not all(good):
        return None
    _warn_of_idle_texts(test, nodes, desk)
    return MessageTrigger(test, texts)


def _warn_of_idle_texts(test: TextTest, nodes: Sequence[Node], desk: Desk) -> None:
    """Warn of each text of a list that no message passes without another of them."""
    first: list[tuple[str, Node]] = []
    for node in nodes[:_MOST_COMPARED]:
        _, text = key_of(test, node.raw)
        other = next((each for seen, each in first if _covers(test, text, seen)), None)
        if other is not None:
            _warn_of_covered(test, node, other, desk)
            continue
        for seen, each in first:
            if _covers(test, seen, text):
                _warn_of_covered(test, each, node, desk)
        first = [(seen, each) for seen, each in first if not _covers(test, seen, text)]
        first.append((text, node))


def _covers(test: TextTest, longer: str, shorter: str) -> bool:
    """Whether messages that pass a test with the one text pass it with the other, too."""
    if test is TextTest.CONTAINS:
        return shorter in longer
    return longer.startswith(shorter) if test is TextTest.STARTSWITH else longer == shorter


def _warn_of_covered(test: TextTest, idle: Node, by: Node, desk: Desk) -> None:
    """Warn of a text that adds nothing to another one."""
    what = f"'{test}' has '{idle.raw}' twice"
    if key_of(test, idle.raw) != key_of(test, by.raw):
        what = f"'{by.raw}' lets every message pass that '{idle.raw}' does"
    desk.warn(idle.place, "repeated-text", what, f"leave '{idle.raw}' out")


def _warn_of_repetition(node: Node, desk: Desk) -> None:
    """Warn of each word of a list that stands in it already."""
    seen: set[str] = set()
    for each in node.items:
        if each.raw in seen:
            what, cure = f"'{each.raw}' stands in the list already", "leave it out"
            desk.warn(each.place, "repeated-text", what, cure)
        seen.add(each.raw)


def _is_good_text(test: TextTest, node: Node, desk: Desk) -> bool:
    """Return whether a message can be tested with a text; reports it if not."""
    if test is TextTest.MATCHES:
        return _is_good_pattern(node, desk)
    if "{{" in node.raw:
        desk.error(
            node.place, "misplaced-template", "a trigger takes no template", "use 'when' to compare"
        )
        return False
    if not node.raw.strip():
        what = f"'{test}' with an empty text"
        desk.error(node.place, "empty", what, "write {message: any} for every message")
        return False
    return True


def _is_good_pattern(node: Node, desk: Desk) -> bool:
    """Return whether RE2 takes a pattern; reports it if not."""
    if desk.patterns.left < 0:
        return False  # as was told; more of them would keep RE2 busy
    try:
        pattern = compile_pattern(node.raw)
    except ValueError as error:
        what, _, cure = str(error).partition("; ")
        desk.error(node.place, "bad-pattern", what, cure)
        return False
    if (slashed := _IN_SLASHES.fullmatch(node.raw)) is not None:
        cure = f"write {'(?i)' if 'i' in slashed[2] else ''}{slashed[1]}"
        desk.warn(node.place, "odd-text", "the slashes are a part of the pattern", cure)
    if not desk.patterns.take(pattern.programsize):
        what = "the patterns of the triggers are too large together, from this one on"
        cure = "repeat less in them: {1,900} is looked for as if it were written 900 times"
        desk.error(node.place, "bad-pattern", what, cure)
        return False
    return True


def _userdata(entries: Mapping[str, Entry], desk: Desk) -> UserdataTrigger | None:
    texts = desk.texts(entries["userdata"].value, "userdata")
    _warn_of_repetition(entries["userdata"].value, desk)
    own: bool | None = False
    if (entry := entries.get("own")) is not None:
        own = desk.flag(entry.value, "own")
    if texts is None or own is None:
        return None
    return UserdataTrigger(None if texts == (_ANY,) else frozenset(texts), own)


def _connection(entries: Mapping[str, Entry], desk: Desk) -> ConnectionTrigger | None:
    node = entries["connection"].value
    if desk.texts(node, "connection") is None:
        return None
    nodes = node.items or (node,)
    words = [desk.word(each, ConnectionChange, "connection change") for each in nodes]
    if None in words:
        return None
    _warn_of_repetition(node, desk)
    return ConnectionTrigger(frozenset(ConnectionChange(word) for word in words if word))


_OF_SESSIONS: Mapping[str, _Reader] = MappingProxyType(
    {"state": _state, "message": _message, "userdata": _userdata}
)
_READERS: Mapping[str, _Reader] = MappingProxyType(
    {
        **_OF_SESSIONS,
        "connection": _connection,
        "idle": read_idle,
        "calendar": read_calendar,
        "schedule": read_schedule,
        "every": read_every,
        "webhook": read_webhook,
    }
)
