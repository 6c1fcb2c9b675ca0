"""Event → the rules that it may start, at a cost that does not grow with the other rules.

Rules lie in buckets by what happened: the state and where it came from, the text of a message, the
keys of the user data, the change of a connection. In a bucket the facts of ``when`` narrow further.
Whether ``when`` holds is for the engine to say.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from imbot.model import Event, EventKind
from imbot.rulebook.narrowing import Filed, Group
from imbot.rulebook.schema import (
    ConnectionTrigger,
    MessageTrigger,
    Rule,
    StateTrigger,
    TextTest,
    Trigger,
    UserdataTrigger,
)
from imbot.rulebook.texttests import TextTests, key_of, passes

_Filed: TypeAlias = dict[Any, list[Filed]]

#: Adds the number of each rule that may run for an event in a scope.
_Collect: TypeAlias = Callable[[Event, Mapping[str, Any], list[int]], None]


def trigger_holds(trigger: Trigger, event: Event) -> bool:
    """Whether the event is what the trigger waits for; the index gives the same answer at once."""
    if trigger.kind != event.kind:
        return False
    match trigger:
        case StateTrigger(to=to, before=before):
            state = None if event.session is None else event.session.state
            previous = event.fields.get("previous")
            return (to is None or state in to) and (before is None or previous in before)
        case MessageTrigger():
            return passes(trigger, event.fields.get("text") or "")
        case UserdataTrigger(keys=keys, own=own):
            changed = event.fields.get("changed") or {}
            return (own or not event.own) and (keys is None or not keys.isdisjoint(changed))
        case ConnectionTrigger(changes=changes):
            return event.fields.get("change") in changes


class Index:
    """The rules that may run, ready to be looked up; disabled ones are left out."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rule for rule in rules if rule.enabled)
        states = _States(self._of_kind(StateTrigger))
        messages = _Messages(self._of_kind(MessageTrigger))
        connections = _Connections(self._of_kind(ConnectionTrigger))
        self._collect: dict[bool, dict[EventKind, _Collect]] = {
            own: {
                EventKind.STATE: states.collect,
                EventKind.MESSAGE: messages.collect,
                EventKind.USERDATA: self._userdata(own=own).collect,
                EventKind.CONNECTION: connections.collect,
            }
            for own in (False, True)
        }

    def candidates(self, event: Event, scope: Mapping[str, Any]) -> Sequence[Rule]:
        """Return, in rulebook order, every rule that the event starts, and few others.

        A trigger of each holds for the event; that its ``when`` holds is not certain.

        Args:
            event: What happened.
            scope: What rules see, without their own ``vars``.
        """
        found: list[int] = []
        self._collect[event.own][event.kind](event, scope, found)
        if len(found) > 1:
            found = sorted(set(found))
        return [self._rules[number] for number in found]

    def _userdata(self, *, own: bool) -> "_Userdata":
        """Return the triggers that wait for the changes of others, or also for our own."""
        filed = self._of_kind(UserdataTrigger)
        return _Userdata((trigger, entry) for trigger, entry in filed if trigger.own or not own)

    def _of_kind(self, kind: type[Any]) -> list[tuple[Any, Filed]]:
        """Return each trigger of one kind with its rule's number and the facts of its ``when``."""
        return [
            (trigger, (number, () if rule.when is None else rule.when.tests))
            for number, rule in enumerate(self._rules)
            for trigger in rule.triggers
            if isinstance(trigger, kind)
        ]


def _groups(filed: Mapping[Any, list[Filed]]) -> dict[Any, Group]:
    return {key: Group(entries) for key, entries in filed.items()}


class _States:
    """By the new state and the one before; what no trigger names counts as None."""

    def __init__(self, filed: Iterable[tuple[StateTrigger, Filed]]) -> None:
        triggers = list(filed)
        self._named = frozenset[str]().union(*(t.to or () for t, _ in triggers))
        self._named_before = frozenset[str]().union(*(t.before or () for t, _ in triggers))
        by_edge: _Filed = defaultdict(list)
        for trigger, entry in triggers:
            for to in trigger.to or (*self._named, None):
                for before in trigger.before or (*self._named_before, None):
                    by_edge[to, before].append(entry)
        self._groups = _groups(by_edge)

    def collect(self, event: Event, scope: Mapping[str, Any], found: list[int]) -> None:
        """Add the number of each rule that may run."""
        to = None if event.session is None else event.session.state
        before = event.fields.get("previous")
        edge = (
            to if to in self._named else None,
            before if before in self._named_before else None,
        )
        if (group := self._groups.get(edge)) is not None:
            group.collect(scope, found)


class _Messages:
    """By what was said."""

    def __init__(self, filed: Iterable[tuple[MessageTrigger, Filed]]) -> None:
        always: list[Filed] = []
        by_text: _Filed = defaultdict(list)
        for trigger, entry in filed:
            if trigger.test is TextTest.ANY:
                always.append(entry)
            for text in trigger.texts:
                by_text[key_of(trigger.test, text)].append(entry)
        self._always = Group(always)
        self._groups = [Group(entries) for entries in by_text.values()]
        self._tests = TextTests({key: number for number, key in enumerate(by_text)})

    def collect(self, event: Event, scope: Mapping[str, Any], found: list[int]) -> None:
        """Add the number of each rule that may run."""
        self._always.collect(scope, found)
        for number in self._tests.passed(event.fields.get("text") or ""):
            self._groups[number].collect(scope, found)


class _Userdata:
    """By the keys that changed."""

    def __init__(self, filed: Iterable[tuple[UserdataTrigger, Filed]]) -> None:
        always: list[Filed] = []
        by_key: _Filed = defaultdict(list)
        for trigger, entry in filed:
            if trigger.keys is None:
                always.append(entry)
            for key in trigger.keys or ():
                by_key[key].append(entry)
        self._always = Group(always)
        self._groups = _groups(by_key)

    def collect(self, event: Event, scope: Mapping[str, Any], found: list[int]) -> None:
        """Add the number of each rule that may run."""
        self._always.collect(scope, found)
        for key in event.fields.get("changed") or ():
            if (group := self._groups.get(key)) is not None:
                group.collect(scope, found)


class _Connections:
    """By what happened to the subscription."""

    def __init__(self, filed: Iterable[tuple[ConnectionTrigger, Filed]]) -> None:
        by_change: _Filed = defaultdict(list)
        for trigger, entry in filed:
            for change in trigger.changes:
                by_change[change].append(entry)
        self._groups = _groups(by_change)

    def collect(self, event: Event, scope: Mapping[str, Any], found: list[int]) -> None:
        """Add the number of each rule that may run."""
        if (group := self._groups.get(event.fields.get("change"))) is not None:
            group.collect(scope, found)
