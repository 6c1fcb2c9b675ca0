"""Why a rule would run for an event, or would not: each trigger, leaf and suppression. Pure.

The decisions are planning's own (:func:`imbot.engine.planning.judged`); here they are asked for
every rule and with every reason, and told.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from imbot.durations import format_duration
from imbot.engine.blaming import LeafView, leaf_told, leaf_views
from imbot.engine.facts import Moment, Surroundings, scope_of
from imbot.engine.guard import LoopGuard
from imbot.engine.matching import rule_scope
from imbot.engine.planning import judged, start_of, suppressions
from imbot.engine.sessions import SessionEntry
from imbot.engine.situation import Situation
from imbot.engine.spending import UNLIMITED, Spent, why_spent
from imbot.engine.withholding import why_withheld
from imbot.model import ALL_RULES, SHADOW_PREFIX, Event, Reason, Scope, Suppressed
from imbot.plugin import Operation
from imbot.ports import AgentFacts
from imbot.rulebook.expressions import Expression
from imbot.rulebook.index import trigger_holds
from imbot.rulebook.schema import (
    Act,
    Budget,
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
from imbot.rulebook.scope import Senses
from imbot.rulebook.tree import Apply, Const, Tree, leaves

#: What an action needs of GWS; None for nothing.
Needs = Callable[[str], Operation | None]

#: Kinds of causes beside those of :class:`imbot.model.Reason`.
TRIGGER, WHEN = "trigger", "when"

_OF_CALENDARS = frozenset({"open", "closed"})


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason why a rule does not run: its kind, and the value that decided."""

    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What becomes of one rule for one event.

    Attributes:
        rule: The rule.
        causes: Why it does not run, the deciding one first; empty when it runs.
        leaves: Every leaf of its ``when`` with its values.
        withheld: Steps that would be withheld, were they reached now.
    """

    rule: Rule
    causes: tuple[Cause, ...]
    leaves: tuple[LeafView, ...] = ()
    withheld: tuple[Cause, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether the rule runs."""
        return not self.causes

    @property
    def runs_in_shadow(self) -> bool:
        """Whether the rule runs in shadow: it would, and nothing of it is sent."""
        return bool(self.causes) and all(one.kind == Reason.SHADOW for one in self.causes)


@dataclass(frozen=True, slots=True)
class Recalled:
    """What planning asks of the past, as a situation tells it.

    Attributes:
        situation: What is known.
        guard: Looks for the marks of other bots.
        budget: That of all rules together.
    """

    situation: Situation
    guard: LoopGuard
    budget: Budget

    def marked(self, rule_id: str, scope: str) -> bool:
        """Whether the rule has acted, acts or may have acted within this scope."""
        return (rule_id, scope) in self.situation.marks

    def marked_at(self, rule_id: str, scope: str) -> datetime | None:
        """When a mark was set; None when it is not."""
        return self.situation.marks.get((rule_id, scope))

    def busy(self, rule_id: str, key: str) -> int:
        """How many runs of the rule with this key go on, or wait."""
        return self.situation.running.count((rule_id, key))

    def spent(self, rule: Rule, event: Event) -> str:
        """Which budget allows the rule no more effects; empty while all do."""
        in_session = event.session_key is not None
        by_rule = {
            rule_id.removeprefix(SHADOW_PREFIX): Spent(session if in_session else 0, minute)
            for rule_id, (session, minute) in self.situation.spent.items()
            if rule_id.startswith(SHADOW_PREFIX) is rule.shadow
        }
        by_all = Spent(
            sum(spent.in_session for spent in by_rule.values()),
            sum(spent.lately for spent in by_rule.values()),
        )
        return why_spent(rule, by_rule.get(rule.id, Spent()), self.budget, by_all)

    def off(self, rule: Rule) -> str:
        """Who switched the rule off: only the decision itself tells."""
        del rule
        return ""

    def halted(self) -> str:
        """Why nothing may be done: only the decision itself tells."""
        return ""

    def broken(self, rule: Rule) -> str:
        """Why the rule's breaker is open; empty while it is not."""
        return self.situation.breakers.get(rule.id, "")

    def loop(self, event: Event) -> str:
        """Why replies must stop: another bot's mark; other signs only the decision itself tells."""
        if event.session is None or event.session_key is None:
            return ""
        now = self.situation.now
        return self.guard.verdict(event.session_key, event.session.user_data, now)

    def quiet(self, event: Event) -> str:
        """Why replies are held back, for a person types; empty when nobody does."""
        del event
        return self.situation.quiet


def explain(
    situation: Situation,
    rules: Sequence[Rule],
    around: Surroundings,
    *,
    agent: AgentFacts | None = None,
    needs: Needs,
    strict_capabilities: bool = False,
    budget: Budget = UNLIMITED,
) -> tuple[Explanation, ...]:
    """Return what becomes of each rule, in rulebook order.

    Args:
        situation: The event, and what was known.
        rules: In order.
        around: Calendars, bot, zone and country.
        agent: Our agent; None when no more than its name is known.
        needs: What an action needs of GWS.
        strict_capabilities: Whether an operation that GWS does not list is withheld.
        budget: That of all rules together.
    """
    event = situation.event
    scope, senses = look(situation, around, agent or AgentFacts(event.agent))
    past = Recalled(situation, LoopGuard(around.bot.instance), budget)
    matching = [
        start_of(rule, event, scope, senses)
        for rule in rules
        if rule.enabled and _why_not_triggered(rule, event) is None and _holds(rule, scope, senses)
    ]
    verdicts = {
        start.rule.id: tuple(reasons) for start, reasons in judged(matching, situation.now, past)
    }
    return tuple(
        _explained(
            rule,
            past,
            scope,
            senses,
            verdicts.get(rule.id),
            withheld=tuple(_withheld(rule, event, needs, strict=strict_capabilities)),
        )
        for rule in rules
    )


def look(situation: Situation, around: Surroundings, agent: AgentFacts) -> tuple[Scope, Moment]:
    """Return what rules see of a situation."""
    event, now = situation.event, situation.now
    entry = None
    if event.session is not None and event.session_key is not None:
        started_at = situation.started_at or event.received_at
        entry = SessionEntry(
            key=event.session_key,
            session=event.session,
            first_seen_at=started_at,
            seen_at=event.received_at,
            mine=situation.mine,
        )
    scope = scope_of(event, event.session, entry, agent=agent, bot=around.bot, now=now)
    done = frozenset[str]()
    if event.session_key is not None:
        own = f"session {event.session_key.agent}/{event.session_key.session_id}"
        done = frozenset(rule_id for rule_id, scope in situation.marks if scope == own)
    return scope, Moment(now, around, situation.said, done)


def _explained(
    rule: Rule,
    past: Recalled,
    scope: Scope,
    senses: Senses,
    verdict: tuple[Suppressed, ...] | None,
    *,
    withheld: tuple[Cause, ...],
) -> Explanation:
    """Return what becomes of a rule; a verdict is only there when it is enabled and matches."""
    situation = past.situation
    event = situation.event
    seen = rule_scope(scope, rule)
    told = () if rule.when is None else tuple(leaf_views(rule.when, seen, senses))
    causes: list[Cause] = []
    if not rule.enabled:
        causes.append(Cause(Reason.DISABLED, "enabled: false"))
    if (no := _why_not_triggered(rule, event)) is not None:
        causes.append(Cause(TRIGGER, no))
        return Explanation(rule, tuple(causes), told if _is_near(rule, event) else ())
    if rule.when is not None and not rule.when.holds(seen, senses):
        causes += _why_not_when(rule.when, told, seen, senses)
    if verdict is None:
        start = start_of(rule, event, scope, senses)
        verdict = tuple(suppressions(start, situation.now, past))
    causes += _suppressed(rule, situation, verdict)
    return Explanation(rule, tuple(causes), told, withheld)


def _suppressed(rule: Rule, situation: Situation, verdict: Iterable[Suppressed]) -> Iterator[Cause]:
    """Yield what was written down, then what can be told besides."""
    known = [no for no in situation.suppressed if no.rule_id in (rule.id, ALL_RULES)]
    decided = {no.reason for no in known}
    for no in (*known, *(no for no in verdict if no.reason not in decided)):
        yield Cause(no.reason, no.detail)


# Triggers -------------------------------------------------------------------------------------


def trigger_told(trigger: Trigger) -> str:  # noqa: PLR0911  one case per kind
    """Return a trigger in the words of its author."""
    match trigger:
        case StateTrigger(to=to, before=before):
            came = f" from {_either(before)}" if before is not None else ""
            return f"state {'any' if to is None else _either(to)}{came}"
        case MessageTrigger(test=TextTest.ANY):
            return "message any"
        case MessageTrigger(test=test, texts=texts):
            return f"message {test} {_either(map(repr, texts))}"
        case UserdataTrigger(keys=keys, own=own):
            return (
                f"userdata {'any' if keys is None else _either(keys)}{', own too' if own else ''}"
            )
        case ConnectionTrigger(changes=changes):
            return f"connection {_either(changes)}"
        case IdleTrigger(after_s=after_s):
            return f"idle {format_duration(after_s)}"
        case CalendarTrigger(calendar=calendar, opens=opens, offset_s=offset_s):
            return _edge(calendar, offset_s, "opens" if opens else "closes")
        case ScheduleTrigger(identity=identity, missed=missed):
            line, zone = identity.removesuffix(f" {missed}").rsplit(" ", 1)
            return f"{line if line.startswith('every ') else f'schedule {line}'} ({zone})"
        case WebhookTrigger(name=name):
            return f"webhook {name}"


def _edge(calendar: str, offset_s: float, edge: str) -> str:
    side = "before" if offset_s < 0 else "after"
    return f"calendar {calendar} {format_duration(abs(offset_s))} {side} it {edge}"


def _why_not_triggered(rule: Rule, event: Event) -> str | None:
    """Return why no trigger of a rule holds; None when one does."""
    if any(trigger_holds(trigger, event) for trigger in rule.triggers):
        return None
    near = [trigger for trigger in rule.triggers if trigger.kind == event.kind]
    told = "; ".join(trigger_told(trigger) for trigger in near or rule.triggers)
    return f"waits for {told}; this is {_happened(event, in_kind=bool(near))}"


def _is_near(rule: Rule, event: Event) -> bool:
    return any(trigger.kind == event.kind for trigger in rule.triggers)


def _happened(event: Event, *, in_kind: bool) -> str:  # noqa: PLR0911  one case per kind
    """Return what happened, in the words of triggers."""
    fields, kind = event.fields, event.kind.value
    if not in_kind:
        return f"{kind}"
    match kind:
        case "state":
            came = f" from {fields['previous']}" if fields.get("previous") else ", first seen"
            return f"state {event.session.state if event.session else ''}{came}"
        case "message":
            return f"message {fields.get('text', '')!r}"
        case "userdata":
            own = ", our own write" if event.own else ""
            return f"userdata {_either(fields.get('changed', ()))}{own}"
        case "idle":
            return f"idle {format_duration(fields['idle'])}"
        case "calendar":
            return _edge(fields["calendar"], fields.get("offset_s", 0), fields["edge"])
        case _:
            named = fields.get("change") or fields.get("schedule") or fields.get("name")
            return f"{kind} {named}"


def _either(words: Iterable[object]) -> str:
    return " or ".join(sorted(map(str, words)))


# Conditions -----------------------------------------------------------------------------------


def _holds(rule: Rule, scope: Scope, senses: Senses) -> bool:
    return rule.when is None or bool(rule.when.holds(rule_scope(scope, rule), senses))


def _why_not_when(
    when: Expression, told: Sequence[LeafView], scope: Scope, senses: Senses
) -> Iterator[Cause]:
    """Yield each leaf for which the condition fails; calendars and ``can`` under their names."""
    for node, view in zip(leaves(when.tree), told, strict=True):
        if view.decides:
            yield _asked(node, scope, senses) or Cause(WHEN, leaf_told(view.leaf))


def _asked(node: Tree, scope: Scope, senses: Senses) -> Cause | None:
    """Return what a calendar or ``can`` answered; None for any other leaf."""
    if not isinstance(node, Apply) or not (node.args and isinstance(node.args[0], Const)):
        return None
    name = str(node.args[0].value)
    if node.function.name in _OF_CALENDARS:
        return Cause(Reason.CALENDAR, calendar_told(name, senses))
    return _unable(name, scope) if node.function.name == "can" else None


def calendar_told(name: str, senses: Senses) -> str:
    """Return whether a calendar is open, and until when."""
    calendar, now = senses.calendar(name), senses.now()
    if calendar.emergency:
        return f"{name} is closed by an operator"
    is_open = calendar.is_open(now)
    until = calendar.next_close(now) if is_open else calendar.next_open(now)
    when = f" until {until.astimezone(calendar.timezone):%Y-%m-%d %H:%M}" if until else ""
    return f"{name} is {'open' if is_open else 'closed'}{when} ({calendar.timezone.key})"


def _unable(capability: str, scope: Scope) -> Cause:
    session = scope.get("session", {})
    state, listed = session.get("state", "<missing>"), session.get("capabilities")
    if listed is not None and capability not in listed:
        return Cause(Reason.CAPABILITY, f"{capability} is not in {', '.join(listed) or 'none'}")
    return Cause(Reason.STATE, f"{capability} is asked for while the session is {state}")


# Steps ----------------------------------------------------------------------------------------


def _withheld(rule: Rule, event: Event, needs: Needs, *, strict: bool) -> Iterator[Cause]:
    """Yield the steps that cannot succeed in the event's session, up to one that begins another."""
    for instruction in rule.program.instructions:
        if not isinstance(instruction, Act) or "on_error" in instruction.path:
            continue
        needed = needs(instruction.action)
        if needed is Operation.INITIATE:
            return
        if (no := why_withheld(needed, event.session, strict=strict)) is not None:
            yield Cause(no[0], f"{instruction.path} {instruction.action}: {no[1]}")
