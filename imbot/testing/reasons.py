"""Why an expected effect did not come: what became of each rule that could have brought it.

A test that fails is played a second time with a witness; it is the same to the letter, and nobody
pays for reasons that nobody asks for.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import InitVar, dataclass, field, replace
from itertools import takewhile
from operator import eq

from imbot.durations import format_duration
from imbot.engine.explaining import Explanation, explain, trigger_told
from imbot.engine.planning import Plan
from imbot.engine.situation import Situation
from imbot.engine.watching import Acted, Decided, Ended, Sight
from imbot.model import JSON, Event, OutcomeKind
from imbot.plugin import Operation
from imbot.records import RunState
from imbot.rulebook.schema import Act, Rule
from imbot.testing.comparing import Line, fits, fits_part
from imbot.testing.coverage import acted_in
from imbot.testing.house import House
from imbot.testing.playing import Effect
from imbot.testing.script import Expected
from imbot.testing.script_reading import search_of

#: More reasons help nobody.
_MOST = 4

#: How long ago something happened that never did.
_NEVER_MS = float("inf")

#: Characters of two texts that are shown where they differ, and how many of them are the same.
_SHOWN, _CONTEXT = 40, 10

#: The action that begins a session.
_INITIATE = "initiate"

_NOT_DONE = frozenset({OutcomeKind.WITHHELD, OutcomeKind.CANCELLED})


@dataclass(frozen=True, slots=True)
class _Told:
    """One thing that became of a rule.

    Attributes:
        at_ms: When.
        session: The session of the event; empty without one.
        rule: The rule.
        text: What became of it.
        awaited: Whether the rule was started, or nearly.
        run_id: The run that began; empty when none did.
    """

    at_ms: int
    session: str
    rule: Rule
    text: str
    awaited: bool
    run_id: str = ""


@dataclass(slots=True)
class Witness:
    """Watches a test and knows afterwards why something did not come.

    Args:
        actions: The actions that somebody will ask about.
        rules: The rules in force at the start.
    """

    actions: frozenset[str]
    rules: InitVar[Iterable[Rule]] = ()
    _told: list[_Told] = field(default_factory=list)
    _rules: dict[str, Rule] = field(default_factory=dict)
    _ended: dict[str, int] = field(default_factory=dict)

    def __post_init__(self, rules: Iterable[Rule]) -> None:
        self._rules.update((rule.id, rule) for rule in rules)

    def see(self, sight: Sight, house: House, at_ms: int) -> None:
        """Take note of what was decided, withheld and ended."""
        match sight:
            case Decided(plan=plan):
                self._told += self._decided(plan, house, at_ms)
            case Acted(start=start, step=step, outcome=outcome) if outcome.kind in _NOT_DONE:
                told = f"its {step.action} was {outcome.kind}: {outcome.detail}"
                self._note(at_ms, start.event, start.rule, told)
            case Acted(start=start, step=step, outcome=outcome) if outcome.error_kind:
                told = f"its {step.action} failed: {outcome.detail}"
                self._note(at_ms, start.event, start.rule, told)
            case Ended(start=start, over=over):
                self._ended[start.run_id] = at_ms
                if over.state is not RunState.DONE:
                    told = f"it ended: {over.state}, {over.detail}"
                    self._note(at_ms, start.event, start.rule, told)
            case _:
                pass

    def _note(self, at_ms: int, event: Event, rule: Rule, text: str) -> None:
        session = event.session.id if event.session else ""
        self._told.append(_Told(at_ms, session, rule, text, awaited=True))

    def _decided(self, plan: Plan, house: House, at_ms: int) -> Iterator[_Told]:
        event = plan.event
        rules = [rule for rule in house.book.rules if self.actions & _actions_of(rule)]
        self._rules.update((rule.id, rule) for rule in rules)
        session = event.session.id if event.session else ""
        ran = {start.rule.id: start.run_id for start in plan.starts if not start.in_shadow}
        around = house.flow.view.around
        for found in explain(_situation(plan, house), rules, around, needs=_nothing):
            run_id = ran.get(found.rule.id, "")
            text = "it ran" if run_id else _why_not(found)
            yield _Told(at_ms, session, found.rule, text, _is_awaited(found), run_id)

    def why(self, expected: Expected, lines: Iterable[Line]) -> tuple[str, ...]:
        """Return why what was expected did not come, the likeliest reason first."""
        came = [line.effect for line in lines if line.is_unexpected and line.effect is not None]
        if near := tuple(_near(expected, came)):
            return near[:_MOST]
        rules = [rule for rule in self._rules.values() if expected.action in _actions_of(rule)]
        if not rules:
            return (f"no rule has a step '{expected.action}'",)
        found = sorted((self._of_rule(rule, expected) for rule in rules), key=lambda one: one[0])
        return tuple(told for _, told in found[:_MOST])

    def _of_rule(self, rule: Rule, expected: Expected) -> tuple[float, str]:
        """Return what became of a rule last until the effect was due, and how long before."""
        begins = _INITIATE in _actions_of(rule)  # and what it does then is done in another session
        told = [
            each
            for each in self._told
            if each.rule.id == rule.id
            and each.at_ms <= expected.at_ms
            and (begins or not expected.session or each.session in ("", expected.session))
        ]
        found = [each for each in told if each.awaited]
        named = f"rule '{rule.id}' ({rule.place})"
        if not found:
            waits = "; ".join(map(trigger_told, rule.triggers))
            return _NEVER_MS, f"{named} waits for {waits}, and that did not happen"
        last_ms = found[-1].at_ms
        texts = (self._text(each, expected.at_ms) for each in found if each.at_ms == last_ms)
        what = "; ".join(dict.fromkeys(texts))
        if last_ms == expected.at_ms:
            return 0, f"{named}: {what}"
        told_so = f"{named}: nothing started it then; at {_at(last_ms)}: {what}"
        return expected.at_ms - last_ms, told_so

    def _text(self, told: _Told, at_ms: int) -> str:
        """Return what became of a rule, as it stood at a time."""
        goes_on = told.run_id and self._ended.get(told.run_id, at_ms + 1) > at_ms
        return "it began, and had not come so far" if goes_on else told.text


def _near(expected: Expected, came: Iterable[Effect]) -> Iterator[str]:
    """Yield how what came unexpected differs from what was expected."""
    for effect in came:
        at = _at(effect.at_ms)
        is_then = effect.at_ms == expected.at_ms
        if fits(expected, effect):
            yield "it came in another order" if is_then else f"it came at {at}"
        elif is_then and fits(replace(expected, session="", agent=""), effect):
            yield f"it came in session {effect.session or '-'}"
        elif is_then and fits(replace(expected, value=None), effect):
            yield f"it came with other arguments{_difference(expected.value, effect.args)}"


def _difference(wanted: JSON, given: JSON) -> str:
    """Return where arguments first differ; empty where both lines show it."""
    if isinstance(wanted, Mapping) and isinstance(given, Mapping):
        for name, part in wanted.items():
            if name not in given:
                return f": there is no {name}"
            if not fits_part(part, given[name]):
                return f": {name}{_difference(part, given[name])}"
        return ""
    if not isinstance(wanted, str) or not isinstance(given, str) or search_of(wanted) is not None:
        return ""
    same = sum(1 for _ in takewhile(lambda pair: eq(*pair), zip(wanted, given, strict=False)))
    if same < _SHOWN:
        return ""
    there, came = wanted[same - _CONTEXT :], given[same - _CONTEXT :]
    return f": from character {same + 1}, “…{there[:_SHOWN]}” and “…{came[:_SHOWN]}”"


def _why_not(found: Explanation) -> str:
    return "; ".join(f"{cause.kind}: {cause.detail}" for cause in found.causes) or "it may run"


def _is_awaited(found: Explanation) -> bool:
    """Whether the event was one that the rule waits for."""
    return all(cause.kind != "trigger" for cause in found.causes)


def _situation(plan: Plan, house: House) -> Situation:
    event, key = plan.event, plan.event.session_key
    entry = None if key is None else house.table.get(key)
    scope = f"session {key.agent}/{key.session_id}" if key else ""
    return Situation(
        event=event,
        now=house.clock.now(),
        said=() if entry is None else tuple(entry.said),
        mine=entry is not None and entry.mine,
        started_at=None if entry is None else entry.first_seen_at,
        marks={(rule_id, scope): house.clock.now() for rule_id in acted_in(house, key)},
        ran=tuple(start.rule.id for start in plan.starts if not start.in_shadow),
        suppressed=plan.suppressed,
    )


def _actions_of(rule: Rule) -> frozenset[str]:
    steps = rule.program.instructions
    return frozenset(step.action for step in steps if isinstance(step, Act))


def _nothing(action: str) -> Operation | None:
    """Return what an action needs of GWS: steps are told when they are withheld, not before."""
    del action
    return None


def _at(at_ms: int) -> str:
    return format_duration(at_ms / 1000)
