"""The load: rules as YAML text, the same rules as plain Python for the yardsticks, and events.

Of every ten rules four compare state and user data, four test what was said, two demand a range
and a ``not``. Each event is met by one to three of them; whatever else it carries was never seen
when the index was built: other topics, other words, numbers between the ranges.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from string import Template
from typing import Any, TypeAlias

from imbot.model import Event, EventKind, ImSession, Participant

#: When everything happens.
MOMENT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)

#: The other party of every session.
CUSTOMER = Participant("3002", "3002", "3002", "3002")

#: A message or session as the yardsticks see it.
Plain: TypeAlias = Mapping[str, Any]

#: Where an index made by hand for this load files a rule.
Key: TypeAlias = tuple[str, ...]

#: From the beginning of one range to the next; the first half is the range.
STEP = 100

#: Share of the events that meet rules of several slots.
_SEVERAL = 0.3

_WORDS = ("hello", "please", "since", "monday", "help", "thanks", "again", "office", "number", "my")
_LOG = '{log: "met"}'
_TALKING = "e['kind'] == 'state' and e['state'] == 'Talking' and "
_SAID = "e['kind'] == 'message' and "


@dataclass(frozen=True, slots=True)
class _Slot:
    """One of ten kinds of rules, as templates, and the events that meet them.

    Attributes:
        trigger: The trigger in YAML.
        python: Trigger and condition as a Python expression over ``e``, a :data:`Plain`.
        key: See :data:`Key`.
        when: The conditions.
        kind: What happens.
        state: The state of the session then.
        data: User data that meets the rule.
        text: What is said then.
        also: User data that meets one rule of another slot, too.
    """

    trigger: str
    python: str
    key: Key
    when: tuple[str, ...] = ()
    kind: EventKind = EventKind.STATE
    state: str = "Talking"
    data: Mapping[str, str] = field(default_factory=dict)
    text: str = "$words $strange"
    also: Mapping[str, str] = field(default_factory=dict)


_SLOTS = (
    _Slot(
        "{state: Talking}",
        _TALKING + "e['data'].get('topic') == 'topic-$n'",
        ("Talking", "topic", "topic-$n"),
        when=('session.userData.topic == "topic-$n"',),
        data={"topic": "topic-$n"},
        also={"skill": "skill-$n", "score": "$inside"},
    ),
    _Slot(
        "{state: Talking}",
        _TALKING + "e['data'].get('skill') in ('skill-$n', 'skill-$n-b')",
        ("Talking", "skill", "skill-$n"),
        when=('session.userData.skill in ["skill-$n", "skill-$n-b"]',),
        data={"skill": "skill-$n-b"},
        also={"topic": "topic-$n"},
    ),
    _Slot(
        "{state: Completed}",
        "e['kind'] == 'state' and e['state'] == 'Completed'"
        " and e['data'].get('site') == 'site-$n' and e['data'].get('tier') == 'gold'",
        ("Completed", "site", "site-$n"),
        when=('session.userData.site == "site-$n"', 'session.userData.tier == "gold"'),
        state="Completed",
        data={"site": "site-$n", "tier": "gold"},
    ),
    _Slot(
        "{userdata: [status]}",
        "e['kind'] == 'userdata' and 'status' in e['changed']"
        " and e['data'].get('status') == 'status-$n'",
        ("userdata", "status", "status-$n"),
        when=('session.userData.status == "status-$n"',),
        kind=EventKind.USERDATA,
        data={"status": "status-$n"},
    ),
    _Slot(
        "{message: {contains: item$n}}",
        _SAID + "'item$n' in e['text'].casefold()",
        ("message", "item$n"),
        kind=EventKind.MESSAGE,
        text="$words Item$n $words",
        also={"amount": "$inside"},
    ),
    _Slot(
        "{message: {startswith: order$n}}",
        _SAID + "e['text'].casefold().startswith('order$n')",
        ("message", "order$n"),
        kind=EventKind.MESSAGE,
        text="Order$n $words $strange",
    ),
    _Slot(
        "{message: {equals: code$n please}}",
        _SAID + "e['text'].casefold() == 'code$n please'",
        ("message", "code$n"),
        kind=EventKind.MESSAGE,
        text="CODE$n please",
    ),
    _Slot(
        "{message: {matches: 'ticket$n(-[a-z]+)?'}}",
        _SAID + "search('ticket$n(-[a-z]+)?', e['text'])",
        ("message", "ticket$n"),
        kind=EventKind.MESSAGE,
        text="$words ticket$n-x $strange",
        also={"amount": "$inside"},
    ),
    _Slot(
        "{state: Talking}",
        _TALKING
        + "$low <= number(e['data'].get('score')) < $high and not e['data'].get('blocked')",
        ("Talking", "score", "$n"),
        when=(
            "number(session.userData.score) >= $low",
            "number(session.userData.score) < $high",
            "not session.userData.blocked",
        ),
        data={"score": "$inside"},
    ),
    _Slot(
        "{message: any}",
        _SAID + "$low <= number(e['data'].get('amount')) < $high"
        " and not e['data'].get('site') == 'site-$n'",
        ("message", "amount", "$n"),
        when=(
            "not number(session.userData.amount) < $low",
            "number(session.userData.amount) < $high",
            'not session.userData.site == "site-$n"',
        ),
        kind=EventKind.MESSAGE,
        data={"amount": "$inside"},
    ),
)

#: How many kinds of rules there are; a rulebook holds them in turn.
SLOTS = len(_SLOTS)

#: The first of the slots that test what was said.
TEXT_SLOT = 4


# Rules ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spec:
    """One rule, twice: as it stands in a rule file, and as ``python``; see :class:`_Slot`."""

    id: str
    kind: EventKind
    trigger: str
    when: tuple[str, ...]
    python: str
    key: Key

    def yaml(self, on_message: str) -> str:
        """Return the rule as it stands in a rule file; what is said leads to this step."""
        lines = [f"  - id: {self.id}", f"    trigger: {self.trigger}"]
        if self.when:
            lines += ["    when:", *(f"      - {one}" for one in self.when)]
        step = on_message if self.kind is EventKind.MESSAGE else _LOG
        return "\n".join([*lines, "    loop_guard: false", f"    do: [{step}]"])

    def test(self) -> Callable[[Plain], bool]:
        """Return the rule's trigger and condition as one code object."""
        holds: Callable[[Plain], bool] = eval(  # noqa: S307  our own text, see _SLOTS
            f"lambda e: {self.python}", {"search": re.search, "number": as_number}
        )
        return holds


def as_number(value: object) -> float:
    """Return what ``number()`` of the rule language makes of a text; NaN for none."""
    try:
        return float(str(value))
    except ValueError:
        return float("nan")


def numbered(n: int) -> str:
    """Return the number of a rule within its slot as it stands in texts."""
    return f"{n:05d}"


def specs(count: int) -> list[Spec]:
    """Return so many rules."""
    return [_spec(number % SLOTS, number // SLOTS) for number in range(count)]


def rule_files(rules: Sequence[Spec], *, on_message: str = _LOG) -> list[str]:
    """Return the texts of files with these rules, a thousand in each."""
    return [
        "\n".join(
            ["version: 1", "rules:", *(rule.yaml(on_message) for rule in rules[at : at + 1000])]
        )
        for at in range(0, len(rules), 1000)
    ]


def _spec(slot: int, n: int) -> Spec:
    """Return the n-th rule of a slot."""
    form = _SLOTS[slot]
    values = {"n": numbered(n), "low": str(n * STEP), "high": str(n * STEP + STEP // 2)}

    def filled(text: str) -> str:
        return Template(text).substitute(values)

    return Spec(
        f"slot{slot}-{numbered(n)}",
        form.kind,
        filled(form.trigger),
        tuple(map(filled, form.when)),
        filled(form.python),
        tuple(map(filled, form.key)),
    )


def said(rules: int, random: Random) -> str:
    """Return a text that meets one of the rules that test texts, among so many of all slots."""
    slots = range(TEXT_SLOT, TEXT_SLOT + (4 if rules > 1 else 1))
    values = _values(max(1, rules // SLOTS), random)
    return Template(_SLOTS[random.choice(slots)].text).substitute(values)


# Events ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    """One event, as imbot has it and as the yardsticks see it.

    Attributes:
        slot: The kind of rules that one of is met by it; at most two others may be.
    """

    slot: int
    event: Event
    plain: Plain


def cases(rules: int, count: int, *, seed: int) -> list[Case]:
    """Return so many events for a rulebook of so many rules, each slot as often as any other."""
    random = Random(seed)
    of_slot = max(1, rules // SLOTS)
    return [_case(index, index % SLOTS, of_slot, random) for index in range(count)]


def _case(index: int, slot: int, of_slot: int, random: Random) -> Case:
    """Return an event that meets one rule of its slot."""
    form = _SLOTS[slot]
    met = _values(of_slot, random)
    data = _strange_data(of_slot, random) | _filled(form.data, met)
    if random.random() < _SEVERAL:
        data |= _filled(form.also, _values(of_slot, random))
    text = Template(form.text).substitute(met)
    return Case(slot, *_both(index, form, data, text))


def _values(of_slot: int, random: Random) -> dict[str, str]:
    """Return what the templates of one rule are filled with."""
    n = random.randrange(of_slot)
    return {
        "n": numbered(n),
        "inside": f"{n * STEP + random.uniform(0, STEP / 2 - 1):.2f}",
        "words": " ".join(random.choices(_WORDS, k=4)),
        "strange": str(random.randrange(10**5, 10**6)),
    }


def _strange_data(of_slot: int, random: Random) -> dict[str, str]:
    """Return user data that no rule is about."""
    strange = random.randrange(10**5, 10**6)
    return {
        "customerId": str(strange),
        "language": random.choice(("de", "en", "fr")),
        "note": f"{random.choice(_WORDS)} {strange}",
        "topic": f"topic-{strange}",
        "site": f"site-{strange}",
        "score": f"{random.randrange(of_slot) * STEP + random.uniform(STEP / 2 + 1, STEP - 1):.2f}",
        "amount": f"{-1 - random.random() * STEP * of_slot:.2f}",
    }


def _filled(texts: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    return {key: Template(text).substitute(values) for key, text in texts.items()}


def _both(index: int, form: _Slot, data: dict[str, str], text: str) -> tuple[Event, Plain]:
    changed = {"status": {"old": "new", "new": data.get("status")}}
    by_kind: dict[EventKind, dict[str, Any]] = {
        EventKind.STATE: {"previous": "Alerting"},
        EventKind.MESSAGE: {"text": text},
        EventKind.USERDATA: {"changed": changed},
    }
    capabilities = ("Complete", "SendMessage", "UpdateUserData")
    session = ImSession(f"s{index}", form.state, data, (CUSTOMER,), capabilities)
    event = Event(f"bot1:{index}", form.kind, MOMENT, MOMENT, "bot1", session, by_kind[form.kind])
    plain = {
        "kind": form.kind.value,
        "state": form.state,
        "data": data,
        "text": text,
        "changed": changed,
    }
    return event, plain
