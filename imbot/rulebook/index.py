"""Event → the rules that it may start, at a cost that does not grow with the other rules.

Rules lie in buckets by what happened: the state and where it came from, the text of a message, the
keys of the user data, the change of a connection, the length of a silence, the edge of a calendar,
the schedule, the name of a hook. In a bucket the facts of ``when`` narrow further. Whether ``when``
holds is for the engine to say.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from imbot.model import Event, EventKind
from imbot.rulebook.expressions import Expression
from imbot.rulebook.narrowing import Filed, Group, narrowed
from imbot.rulebook.schema import (
    CalendarTrigger,
    ConnectionTrigger,
    IdleTrigger,
    MessageTrigger,
    Rule,
    ScheduleTrigger,
    StateTrigger,
    TextTest,
    Trigger,
    UserdataTrigger,
    WebhookTrigger,
)
from imbot.rulebook.texttests import TextTests, key_of, passes

K = TypeVar("K")
T = TypeVar("T")


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
        case _:
            return _name_of(event) in _names_of(trigger)


#: Triggers that wait for something with a name, and for nothing else.
_Plain: TypeAlias = (
    ConnectionTrigger | IdleTrigger | CalendarTrigger | ScheduleTrigger | WebhookTrigger
)


#: The fields of an event that name what happened.
_NAMING = {
    EventKind.CONNECTION: ("change",),
    EventKind.IDLE: ("idle",),
    EventKind.CALENDAR: ("calendar", "edge", "offset_s"),
    EventKind.SCHEDULE: ("schedule",),
    EventKind.WEBHOOK: ("name",),
}


def _name_of(event: Event) -> tuple[Hashable, ...]:
    """Return the name of what happened."""
    return tuple(event.fields.get(field) for field in _NAMING[event.kind])


def _names_of(trigger: _Plain) -> Collection[tuple[Hashable, ...]]:
    """Return the names of what the trigger waits for."""
    match trigger:
        case ConnectionTrigger(changes=changes):
            return [(change,) for change in changes]
        case IdleTrigger(after_s=after_s):
            return ((after_s,),)
        case CalendarTrigger(calendar=calendar, offset_s=offset_s):
            return ((calendar, trigger.edge, offset_s),)
        case ScheduleTrigger(identity=identity):
            return ((identity,),)
        case _:
            return ((trigger.name,),)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule that an event starts if ``when`` holds too.

    Attributes:
        number: Its place among the rules.
        rule: The rule.
        when: What must still be asked; None when it is sure to hold.
    """

    number: int
    rule: Rule
    when: Expression | None


_Filed: TypeAlias = Filed[Candidate]
_Group: TypeAlias = Group[Candidate]


class Index:
    """The rules that may run, ready to be looked up; disabled ones are left out."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        filed = [
            (rule, _filed(number, rule))
            for number, rule in enumerate(rule for rule in rules if rule.enabled)
        ]

        def of_kind(kind: type[T]) -> list[tuple[T, _Filed]]:
            return [
                (trigger, entry)
                for rule, entry in filed
                for trigger in rule.triggers
                if isinstance(trigger, kind)
            ]

        self._groups: dict[EventKind, Callable[[Event], list[_Group]]] = {
            EventKind.STATE: _States(of_kind(StateTrigger)).groups,
            EventKind.MESSAGE: _Messages(of_kind(MessageTrigger)).groups,
            EventKind.USERDATA: _Userdata(of_kind(UserdataTrigger)).groups,
            EventKind.CONNECTION: _Named(of_kind(ConnectionTrigger)).groups,
            EventKind.IDLE: _Named(of_kind(IdleTrigger)).groups,
            EventKind.CALENDAR: _Named(of_kind(CalendarTrigger)).groups,
            EventKind.SCHEDULE: _Named(of_kind(ScheduleTrigger)).groups,
            EventKind.WEBHOOK: _Named(of_kind(WebhookTrigger)).groups,
        }

    def candidates(self, event: Event, scope: Mapping[str, Any]) -> Sequence[Candidate]:
        """Return, in rulebook order, every rule that the event starts, and few others.

        A trigger of each holds for the event.

        Args:
            event: What happened.
            scope: What rules see, without their own ``vars``.
        """
        found = narrowed(self._groups[event.kind](event), scope)
        if len(found) > 1:
            by_number = {each.number: each for each in found}
            found = [by_number[number] for number in sorted(by_number)]
        return found


def _filed(number: int, rule: Rule) -> _Filed:
    return Filed(
        proven=Candidate(number, rule, None),
        open=Candidate(number, rule, rule.when),
        facts=() if rule.when is None else rule.when.tests,
    )


def _grouped(filed: Mapping[K, list[_Filed]]) -> dict[K, _Group]:
    return {key: Group(entries) for key, entries in filed.items()}


class _States:
    """By the new state and the one before; what no trigger names counts as None."""

    def __init__(self, filed: Sequence[tuple[StateTrigger, _Filed]]) -> None:
        named = frozenset[str]().union(*(trigger.to or () for trigger, _ in filed))
        named_before = frozenset[str]().union(*(trigger.before or () for trigger, _ in filed))
        by_edge: dict[str | None, dict[str | None, list[_Filed]]] = {
            to: {before: [] for before in (*named_before, None)} for to in (*named, None)
        }
        for trigger, entry in filed:
            for to in trigger.to or by_edge:
                for before in trigger.before or by_edge[to]:
                    by_edge[to][before].append(entry)
        self._by_state = {to: _grouped(by_before) for to, by_before in by_edge.items()}

    def groups(self, event: Event) -> list[_Group]:
        """Return where to look for the rules that may run."""
        to = None if event.session is None else event.session.state
        by_before = self._by_state.get(to) or self._by_state[None]
        return [by_before.get(event.fields.get("previous")) or by_before[None]]


class _Messages:
    """By what was said."""

    def __init__(self, filed: Sequence[tuple[MessageTrigger, _Filed]]) -> None:
        by_text: dict[tuple[TextTest, str], list[_Filed]] = defaultdict(list)
        for trigger, entry in filed:
            for text in trigger.texts:
                by_text[key_of(trigger.test, text)].append(entry)
        self._any = Group([entry for trigger, entry in filed if trigger.test is TextTest.ANY])
        self._tests = TextTests(_grouped(by_text))

    def groups(self, event: Event) -> list[_Group]:
        """Return where to look for the rules that may run."""
        return [self._any, *self._tests.passed(event.fields.get("text") or "")]


class _Userdata:
    """By the keys that changed."""

    def __init__(self, filed: Sequence[tuple[UserdataTrigger, _Filed]]) -> None:
        own = [(trigger, entry) for trigger, entry in filed if trigger.own]
        self._of_others, self._of_us = map(_by_key, (filed, own))

    def groups(self, event: Event) -> list[_Group]:
        """Return where to look for the rules that may run."""
        by_key = self._of_us if event.own else self._of_others
        changed = event.fields.get("changed") or ()
        return [by_key[None], *(by_key[key] for key in changed if key in by_key)]


def _by_key(filed: Iterable[tuple[UserdataTrigger, _Filed]]) -> dict[str | None, _Group]:
    """Return the groups of each key; under None those of any key."""
    by_key: dict[str | None, list[_Filed]] = defaultdict(list, {None: []})
    for trigger, entry in filed:
        for key in (None,) if trigger.keys is None else trigger.keys:
            by_key[key].append(entry)
    return _grouped(by_key)


class _Named:
    """By the name of what is waited for."""

    def __init__(self, filed: Iterable[tuple[_Plain, _Filed]]) -> None:
        by_name: dict[Hashable, list[_Filed]] = defaultdict(list)
        for trigger, entry in filed:
            for name in _names_of(trigger):
                by_name[name].append(entry)
        self._by_name = _grouped(by_name)

    def groups(self, event: Event) -> list[_Group]:
        """Return where to look for the rules that may run."""
        group = self._by_name.get(_name_of(event))
        return [] if group is None else [group]
