"""What is wrong with a rulebook whose every part is right.

Rules that can never run, steps that can never act, rules that start themselves, two that answer the
same event. An error only where it is certain; what is merely likely is a warning. Nothing here
reads files.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from types import MappingProxyType
from typing import Any, TypeAlias

from imbot.model import SessionState
from imbot.plugin import Action, Operation
from imbot.problems import Place, Problem, Severity
from imbot.rulebook.contradictions import contradiction, terms
from imbot.rulebook.facts import Equals, Fact, Refuted, Steps, Truthy
from imbot.rulebook.functions import STATES_FOR
from imbot.rulebook.schema import (
    Act,
    Branch,
    CalendarTrigger,
    ConnectionTrigger,
    IdleTrigger,
    Let,
    Log,
    MessageTrigger,
    OnceScope,
    Rule,
    ScheduleTrigger,
    StateTrigger,
    Stop,
    TextTest,
    Trigger,
    UserdataTrigger,
    WebhookTrigger,
)
from imbot.rulebook.texttests import key_of
from imbot.rulebook.values import Literal, Mapped

_STATE: Steps = ("session", "state")
#: What a session that we begin comes to, if the other party takes it.
_OF_ANY_NEW_SESSION = frozenset({SessionState.INITIATING, SessionState.TALKING})
#: More is refused by the wire; what templates make is cut off at the same size.
LONGEST_MESSAGE_BYTES = 8192


def problems_of(
    rules: Sequence[Rule],
    actions: Mapping[str, Action[Any]],
    *,
    conditions: Mapping[str, Place] = MappingProxyType({}),
) -> list[Problem]:
    """Return what is wrong with rules that are right by themselves.

    Args:
        rules: In the order in which they are looked at.
        actions: What their steps name.
        conditions: Rule id to where its ``when`` stands.
    """
    live = [rule for rule in rules if rule.enabled]
    dead = {
        rule.id: problem
        for rule in live
        if (problem := _never_runs(rule, conditions.get(rule.id, rule.place))) is not None
    }
    running = [_Running(rule, actions) for rule in live if rule.id not in dead]
    problems = list(dead.values())
    for each in running:
        problems.extend(each.dead_steps())
        problems.extend(each.odd_messages())
        problems.extend(each.loops())
    problems.extend(_between(running))
    return problems


def _error(place: Place, code: str, what: str, cure: str = "") -> Problem:
    return Problem(place, code, what, cure)


def _warning(place: Place, code: str, what: str, cure: str = "") -> Problem:
    return Problem(place, code, what, cure, Severity.WARNING)


# A rule that can never run --------------------------------------------------------------------


def _never_runs(rule: Rule, place: Place) -> Problem | None:
    """Return why no event ever starts a rule; its condition stands at ``place``."""
    facts = terms(rule)
    if (clash := contradiction(facts)) is not None:
        what = f"the rule '{rule.id}' can never run: {clash}"
        return _error(place, "never-runs", what, "mend 'when', or set 'enabled: false'")
    if all(contradiction([*facts, *_facts_of_trigger(each)]) for each in rule.triggers):
        what = f"the rule '{rule.id}' can never run: its 'when' rules its trigger out"
        return _error(place, "never-runs", what, "make the two agree")
    return None


def _facts_of_trigger(trigger: Trigger) -> Iterator[Fact]:
    """Yield what is so whenever a trigger holds."""
    yield Equals(("event", "kind"), frozenset({trigger.kind.value}))
    match trigger:
        case StateTrigger(to=to, before=before):
            if to is not None:
                yield Equals(_STATE, to)
            if before is not None:
                yield Equals(("event", "previous"), before)
        case ConnectionTrigger(changes=changes):
            yield Equals(("event", "change"), frozenset(change.value for change in changes))
        case IdleTrigger():
            yield Equals(_STATE, frozenset({SessionState.TALKING}))
        case _:
            pass


# One rule by itself ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Running:
    """A rule that may run, looked at step by step."""

    rule: Rule
    actions: Mapping[str, Action[Any]]

    @property
    def acts(self) -> list[Act]:
        """Its calls of actions, in written order."""
        return [step for step in self.rule.program.instructions if isinstance(step, Act)]

    def needs(self, act: Act) -> Operation | None:
        """The operation without which a step cannot succeed."""
        return self.actions[act.action].needs

    @property
    def states(self) -> frozenset[str] | None:
        """The states that its triggers leave the session in; None for any."""
        found: set[str] = set()
        for trigger in self.rule.triggers:
            if not isinstance(trigger, StateTrigger) or trigger.to is None:
                return None
            found |= trigger.to
        for fact in terms(self.rule):
            if isinstance(fact, Equals) and fact.path == _STATE:
                found &= fact.values
        return frozenset(found)

    def dead_steps(self) -> Iterator[Problem]:
        """Yield each step that cannot succeed or is never reached."""
        if self.states is not None:
            yield from self._withheld(self.states)
        yield from self._after_the_end()

    def _withheld(self, states: frozenset[str]) -> Iterator[Problem]:
        """Yield each step that the session's state forbids when the rule starts."""
        shown = " or ".join(sorted(states))
        for act in self.acts:
            needs = self.needs(act)
            if needs is Operation.INITIATE:
                return  # from here on steps are about the new session
            if needs is None or STATES_FOR.get(needs, states) & states:
                continue
            if states == {SessionState.COMPLETED}:
                what = f"'{act.action}' cannot succeed: the session is Completed when the rule runs"
                yield _error(act.place, "dead-step", what, "use 'state: Talking', or another step")
            else:
                what = f"'{act.action}' is withheld while the session is {shown}"
                yield _warning(act.place, "dead-step", what, "use 'state: Talking'")

    def _after_the_end(self) -> Iterator[Problem]:
        """Yield the first step of each block that stands after what ends the run."""
        ended: dict[str, Act | Stop] = {}
        for step in self.rule.program.instructions:
            if not isinstance(step, Act | Let | Branch | Stop | Log):
                continue
            block = step.path.rpartition("/")[0]
            if (end := ended.get(block)) is None:
                if isinstance(step, Stop) or (
                    isinstance(step, Act) and self.needs(step) is Operation.COMPLETE
                ):
                    ended[block] = step
            elif isinstance(end, Stop):
                yield _warning(step.place, "after-end", "'stop' before this step ends the run")
                del ended[block]
            elif not (isinstance(step, Act) and step.even_if_completed):
                what = f"'{end.action}' before this step ends the session, and so the run"
                cure = "move it up, or add 'even_if_completed: true' to an action"
                yield _warning(step.place, "after-end", what, cure)
                del ended[block]

    def odd_messages(self) -> Iterator[Problem]:
        """Yield each message that is empty or too long as it is written."""
        for act in self.acts:
            if self.needs(act) is not Operation.SEND_MESSAGE:
                continue
            text = _written(act)
            if text is not None and not text.strip():
                yield _error(act.place, "empty-message", f"'{act.action}' says nothing", "add text")
            elif text is not None and len(text.encode()) > LONGEST_MESSAGE_BYTES:
                what = f"a message of more than {LONGEST_MESSAGE_BYTES} bytes"
                yield _error(act.place, "long-message", what, "shorten it")

    # A rule that starts itself

    def loops(self) -> Iterator[Problem]:
        """Yield each step that starts its own rule again."""
        once = self.rule.once
        own = [t for t in self.rule.triggers if isinstance(t, UserdataTrigger) and t.own]
        for act in self.acts:
            for trigger in own if once is None else ():
                yield from self._writes_what_it_watches(act, trigger.keys)
            # A new session is a new scope, so once for each session does not help.
            if once is None or once.scope is OnceScope.SESSION:
                yield from self._starts_on_what_it_begins(act)

    def _starts_on_what_it_begins(self, act: Act) -> Iterator[Problem]:
        """Yield the problem of a step that surely begins a session which starts the rule again.

        Every session is Completed in the end; whether it comes to be Talking the other party says.
        """
        if self.needs(act) is not Operation.INITIATE or not _is_on_the_way(act) or terms(self.rule):
            return
        states = [t.to for t in self.rule.triggers if isinstance(t, StateTrigger)]
        what = "the session that it begins starts this rule again"
        cure = "add 'when: not session.mine'"
        if any(to is None or SessionState.COMPLETED in to for to in states):
            yield _error(act.place, "self-trigger", what, cure)
        elif any(to is not None and to & _OF_ANY_NEW_SESSION for to in states):
            yield _warning(act.place, "self-trigger", what, cure)

    def _writes_what_it_watches(
        self, act: Act, watched: frozenset[str] | None
    ) -> Iterator[Problem]:
        for key, value in _user_data_written(act):
            if watched is not None and key not in watched:
                continue
            if value is not None and self._is_ruled_out(key, value):
                continue
            what = f"this rule is started by userData.{key} and writes it"
            cure = "leave 'own: true' out, or add 'once'"
            yield _error(act.place, "self-trigger", what, cure)
            return

    def _is_ruled_out(self, key: str, value: str) -> bool:
        """Whether ``when`` does not hold once the key has this value."""
        fact = Equals(("session", "userData", key), frozenset({value}))
        return contradiction([*terms(self.rule), fact]) is not None or any(
            isinstance(each, Refuted) and each.fact in (fact, Truthy(fact.path))
            for each in terms(self.rule)
        )

    # What it says for certain

    @property
    def surely_says(self) -> Act | None:
        """The first reply that every run of the rule comes to."""
        for step in self.rule.program.instructions:
            if not _is_on_the_way(step):
                continue
            if isinstance(step, Stop):
                return None
            if isinstance(step, Act) and self.needs(step) is Operation.SEND_MESSAGE:
                return step
        return None


def _is_on_the_way(step: object) -> bool:
    """Whether every run comes to a step, unless it ends before: it stands in no branch."""
    path = str(getattr(step, "path", ""))
    return path.startswith("do/") and path.count("/") == 1


def _written(act: Act) -> str | None:
    """Return the text that a message is written out as; None when a template makes it."""
    args = act.args
    value = args.value if isinstance(args, Literal) else None
    if isinstance(value, dict):
        value = value.get("text")
    if isinstance(args, Mapped):
        text = dict(args.entries).get("text")
        value = text.value if isinstance(text, Literal) else None
    return value if isinstance(value, str) else None


def _user_data_written(act: Act) -> list[tuple[str, str | None]]:
    """Return the keys that a step surely writes, with the value where it is written out."""
    args = act.args
    if act.action == "unset":
        listed = args.value if isinstance(args, Literal) else ()
        return [(str(key), None) for key in listed or ()]
    if act.action != "set":
        return []
    if isinstance(args, Mapped):
        return [
            (key, str(value.value) if isinstance(value, Literal) else None)
            for key, value in args.entries
        ]
    written = args.value if isinstance(args, Literal) else {}
    return [(str(key), str(value)) for key, value in (written or {}).items()]


# Rules beside each other ----------------------------------------------------------------------

#: What a trigger waits for, cut into parts that are the same or not.
_Edge: TypeAlias = tuple[Any, ...]

#: Nobody reads more than a few warnings about one rule, and a crowd must not slow the check.
_MOST_COMPARED = 100


def _between(running: Sequence[_Running]) -> Iterator[Problem]:
    """Yield each rule that an earlier one hides, or that answers what an earlier one answers."""
    crowds: dict[_Edge, _Crowd] = defaultdict(_Crowd)
    for later in running:
        edges = [edge for trigger in later.rule.triggers for edge in _edges(trigger)]
        hiding = [_hiding(later.rule, edge, crowds) for edge in edges]
        if all(hiding) and hiding[0] is not None:
            yield _unreachable(later.rule, hiding[0])
            continue
        if (found := _answered_before(later, edges, crowds)) is not None:
            yield found
        for edge in dict.fromkeys(edges):
            crowds[edge].add(later)


def _edges(trigger: Trigger) -> list[_Edge]:  # noqa: PLR0911  one case per trigger
    """Return what a trigger waits for; None in an edge stands for anything."""
    match trigger:
        case StateTrigger(to=to, before=before):
            states = sorted(to) if to is not None else list(SessionState)
            return [
                ("state", to, each) for to in states for each in sorted(before or ()) or (None,)
            ]
        case UserdataTrigger(keys=keys, own=own):
            return [("userdata", key, own) for key in sorted(keys or ()) or (None,)]
        case ConnectionTrigger(changes=changes):
            return [("connection", change) for change in sorted(changes)]
        case MessageTrigger(test=TextTest.ANY):
            return [("message", None)]
        case MessageTrigger(test=test, texts=texts):
            return [("message", key_of(test, text)) for text in texts]
        case IdleTrigger(after_s=after_s):
            return [("idle", after_s)]
        case CalendarTrigger(calendar=calendar, opens=opens, offset_s=offset_s):
            return [("calendar", calendar, opens, offset_s)]
        case ScheduleTrigger(identity=identity):
            return [("schedule", identity)]
        case WebhookTrigger(name=name):
            return [("webhook", name)]


def _wider(edge: _Edge) -> list[_Edge]:
    """Return the edge itself and those that hold whenever it does."""
    match edge:
        case ("state", to, _):
            return [edge, ("state", to, None)]
        case ("userdata", key, own):
            return [
                ("userdata", k, o) for k in (key, None) for o in ((True,) if own else (False, True))
            ]
        case ("message", _):
            return [edge, ("message", None)]
        case _:
            return [edge]


class _Crowd:
    """Earlier rules on one edge, filed by one equality of each, so that few must be compared."""

    def __init__(self) -> None:
        self._finals: dict[frozenset[Fact], Rule] = {}
        self._plain: list[_Running] = []
        self._filed: dict[Steps, dict[Any, list[_Running]]] = defaultdict(lambda: defaultdict(list))

    def add(self, each: _Running) -> None:
        """Add a rule."""
        rule = each.rule
        if rule.shadow:
            return
        if rule.final:
            self._finals.setdefault(frozenset(terms(rule)), rule)
        elif rule.replies:
            equal = _equalities(rule)
            if not equal:
                self._plain.append(each)
            for value in equal[0].values if equal else ():
                self._filed[equal[0].path][value].append(each)

    def hiding(self, rule: Rule) -> Rule | None:
        """Return a final rule that holds whenever ``rule`` does."""
        facts = frozenset(terms(rule))
        return next((final for demands, final in self._finals.items() if demands <= facts), None)

    def beside(self, rule: Rule) -> Iterator[_Running]:
        """Yield the rules that reply and may hold together with ``rule``."""
        yield from self._plain
        equal = {fact.path: fact.values for fact in _equalities(rule)}
        for path, by_value in self._filed.items():
            for value in equal.get(path, by_value):
                yield from by_value.get(value, ())


def _equalities(rule: Rule) -> list[Equals]:
    """Return the equalities of a rule, the session's state last: it tells little."""
    equal = [fact for fact in terms(rule) if isinstance(fact, Equals)]
    return sorted(equal, key=lambda fact: fact.path == _STATE)


def _hiding(rule: Rule, edge: _Edge, crowds: Mapping[_Edge, _Crowd]) -> Rule | None:
    """Return a final rule that stops every event of one edge before it comes to ``rule``."""
    around = (crowds[wider] for wider in _wider(edge) if wider in crowds)
    return next((final for crowd in around if (final := crowd.hiding(rule)) is not None), None)


def _unreachable(rule: Rule, final: Rule) -> Problem:
    what = (
        f"the rule '{rule.id}' can never run: "
        f"'{final.id}' ({final.place}) is final and holds whenever it does"
    )
    return _error(rule.place, "never-runs", what, "give it a higher priority, or narrow the other")


def _answered_before(
    later: _Running, edges: Sequence[_Edge], crowds: Mapping[_Edge, _Crowd]
) -> Problem | None:
    """Return the problem of an event that an earlier rule answers, too."""
    if later.rule.shadow or not later.rule.replies:
        return None
    facts = terms(later.rule)
    around = (crowds[edge].beside(later.rule) for edge in edges if edge in crowds)
    doubtful: Rule | None = None
    for earlier in islice(chain.from_iterable(around), _MOST_COMPARED):
        demands = terms(earlier.rule)
        if set(demands) <= set(facts) and earlier.surely_says and later.surely_says:
            return _double(earlier.rule, later.rule, is_certain=True)
        if doubtful is None and contradiction([*demands, *facts]) is None:
            doubtful = earlier.rule
    return None if doubtful is None else _double(doubtful, later.rule, is_certain=False)


def _double(earlier: Rule, later: Rule, *, is_certain: bool) -> Problem:
    verb = "both reply" if is_certain else "may both reply"
    what = f"'{later.id}' and '{earlier.id}' ({earlier.place}) {verb} to the same event"
    cure = "set 'final: true' on the earlier one, or narrow 'when'"
    report = _error if is_certain else _warning
    return report(later.place, "double-reply", what, cure)
