"""Other ways to find the rules of an event: what imbot's index is measured against.

All of them get the same rules and events, and all must find the same.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from benchmarks.workload import STEP, Key, Plain, Spec, as_number, numbered

#: An event → the ids of the rules that it meets, in order.
Finder: TypeAlias = Callable[[Plain], list[str]]

_WORD = re.compile(r"(?:item|order|code|ticket)\d+")


def indexed_closures(rules: Sequence[Spec]) -> Finder:
    """Return the ideal: dictionaries laid out by hand for just this load, then each rule's test.

    It knows which fields rules ask for and how texts and ranges are built, as no rulebook does.
    """
    filed: dict[Key, list[tuple[int, str, Callable[[Plain], bool]]]] = defaultdict(list)
    for number, rule in enumerate(rules):
        filed[rule.key].append((number, rule.id, rule.test()))

    def find(event: Plain) -> list[str]:
        found = []
        for key in _keys(event):
            for number, rule_id, holds in filed.get(key, ()):
                if holds(event):
                    found.append((number, rule_id))
        if len(found) > 1:
            found = sorted(set(found))
        return [rule_id for _, rule_id in found]

    return find


def _keys(event: Plain) -> Iterator[Key]:
    data = event["data"]
    match event["kind"]:
        case "state":
            state = event["state"]
            for name in ("topic", "skill", "site"):
                if value := data.get(name):
                    yield state, name, value.removesuffix("-b")
            yield state, "score", _range(data["score"])
        case "userdata":
            yield "userdata", "status", data["status"]
        case _:
            for word in _WORD.findall(event["text"].casefold()):
                yield "message", word
            yield "message", "amount", _range(data["amount"])


def _range(value: str) -> str:
    return numbered(int(as_number(value) // STEP))


def compiled_scan(rules: Sequence[Spec]) -> Finder:
    """Return a scan over one code object per rule."""
    tests = [(rule.id, rule.test()) for rule in rules]
    return lambda event: [rule_id for rule_id, holds in tests if holds(event)]


def jinja_scan(rules: Sequence[Spec]) -> Finder:
    """Return a scan over one compiled Jinja expression per rule, as many products have it."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    jinja = ImmutableSandboxedEnvironment()
    jinja.globals |= {"search": re.search, "number": as_number}
    tests = [(rule.id, jinja.compile_expression(rule.python)) for rule in rules]
    return lambda event: [rule_id for rule_id, holds in tests if holds(e=event)]
