"""What was expected against what the bot did. Pure.

Effects have an order in time and, at one moment, within their session; between sessions there is
none. A step that failed may be expected, and need not be.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from imbot.model import JSON
from imbot.rulebook.functions import compile_pattern, matches
from imbot.testing.playing import Effect, Played
from imbot.testing.script import Expected, RuleTest
from imbot.testing.script_reading import search_of


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the comparison.

    Attributes:
        expected: What was expected; None for what came unexpected.
        effect: What came; None for what did not.
    """

    expected: Expected | None
    effect: Effect | None

    @property
    def at_ms(self) -> int:
        """When it was due, or came."""
        if self.expected is not None:
            return self.expected.at_ms
        return 0 if self.effect is None else self.effect.at_ms

    @property
    def is_missing(self) -> bool:
        """Whether it was expected and did not come."""
        return self.effect is None

    @property
    def is_unexpected(self) -> bool:
        """Whether it came and was not expected."""
        return self.expected is None


def compare(test: RuleTest, played: Played) -> tuple[Line, ...]:
    """Return every expectation and effect of a test, in order of time, in pairs where they fit."""
    due: dict[int, list[int]] = defaultdict(list)
    for number, expected in enumerate(test.expect):
        due[expected.at_ms].append(number)
    came: dict[int, list[int]] = defaultdict(list)
    for at, effect in enumerate(played.effects):
        came[effect.at_ms].append(at)
    pairs: dict[int, int] = {}
    for moment, numbers in due.items():
        wanted = [test.expect[number] for number in numbers]
        effects = [played.effects[at] for at in came[moment]]
        pairs.update((numbers[n], came[moment][at]) for n, at in _pairs(wanted, effects).items())
    taken = {at: number for number, at in pairs.items()}
    lines = [
        Line(expected, played.effects[pairs[number]] if number in pairs else None)
        for number, expected in enumerate(test.expect)
    ]
    lines += (
        Line(None, effect)
        for at, effect in enumerate(played.effects)
        if at not in taken and not effect.failure and test.only
    )
    return tuple(sorted(lines, key=lambda line: line.at_ms))


def _pairs(wanted: Sequence[Expected], effects: Sequence[Effect]) -> dict[int, int]:
    """Return which effect of a moment answers which expectation."""
    pairs: dict[int, int] = {}
    for number, expected in enumerate(wanted):
        taken = set(pairs.values())
        for at, effect in enumerate(effects):
            if at in taken or not fits(expected, effect):
                continue
            if not any(later > at and _same_lane(effects[later], effect) for later in taken):
                pairs[number] = at
                break
    if len(pairs) < min(len(wanted), len(effects)):
        aligned = _aligned(wanted, effects)
        return aligned if len(aligned) > len(pairs) else pairs
    return pairs


def _aligned(wanted: Sequence[Expected], effects: Sequence[Effect]) -> dict[int, int]:
    """Return the longest row of expectations and effects in the same order."""
    longest = [[0] * (len(effects) + 1) for _ in range(len(wanted) + 1)]
    for n in reversed(range(len(wanted))):
        for at in reversed(range(len(effects))):
            both = longest[n + 1][at + 1] + 1 if fits(wanted[n], effects[at]) else 0
            longest[n][at] = max(both, longest[n + 1][at], longest[n][at + 1])
    pairs: dict[int, int] = {}
    n = at = 0
    while n < len(wanted) and at < len(effects):
        if longest[n][at] == longest[n + 1][at]:
            n += 1
        elif longest[n][at] == longest[n][at + 1]:
            at += 1
        else:
            pairs[n] = at
            n, at = n + 1, at + 1
    return pairs


def _same_lane(one: Effect, other: Effect) -> bool:
    """Whether two effects of one moment have an order between them."""
    return (one.agent, one.session) == (other.agent, other.session)


def fits(expected: Expected, effect: Effect) -> bool:
    """Whether an effect is what was expected, whenever it came."""
    return (
        effect.action == expected.action
        and expected.session in ("", effect.session)
        and expected.agent in ("", effect.agent)
        and _fits(expected.value, effect.args)
    )


def _fits(wanted: JSON, given: JSON) -> bool:
    """Whether arguments hold what is wanted; the short form of arguments fits the long one."""
    if wanted is None:
        return True
    if isinstance(wanted, Mapping):
        if not isinstance(given, Mapping):
            return wanted.keys() == {"text"} and _fits(wanted["text"], given)
        return all(name in given and fits_part(part, given[name]) for name, part in wanted.items())
    if isinstance(given, Mapping):
        return _fits(wanted, given["text"]) if "text" in given else False
    if isinstance(given, list):
        listed = wanted if isinstance(wanted, list) else [wanted]
        return sorted(map(str, listed)) == sorted(map(str, given))
    return fits_part(wanted, given)


def fits_part(wanted: JSON, given: JSON) -> bool:
    """Whether a value is what is wanted: maps as a part, searches, other scalars as spelled."""
    if isinstance(wanted, Mapping):
        return isinstance(given, Mapping) and all(
            name in given and fits_part(part, given[name]) for name, part in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(given, list)
            and len(wanted) == len(given)
            and all(map(fits_part, wanted, given))
        )
    if not isinstance(wanted, str) or given is None:
        return wanted is given or spelled(wanted) == given
    if (search := search_of(wanted)) is not None:
        return matches(spelled(given), _compiled(search)) is True
    return wanted.strip() == spelled(given).strip() or _same_number(wanted, given)


@lru_cache(maxsize=1000)
def _compiled(search: str) -> Any:  # noqa: ANN401  re2 has no types
    """Return the pattern; a long test asks for few of them, and often."""
    return compile_pattern(search)


def _same_number(wanted: str, given: JSON) -> bool:
    if isinstance(given, bool) or not isinstance(given, int | float):
        return False
    try:
        return float(wanted) == given
    except ValueError:
        return False


def spelled(value: JSON) -> str:
    """Return a scalar as an author writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
