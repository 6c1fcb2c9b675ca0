"""Why each rule ran or did not, for an event or a session of the store, by the rules of then."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from imbot.admin.story import Line, LineKind, timeline
from imbot.admin.telling import is_mere_mark
from imbot.engine.blaming import leaf_told
from imbot.engine.explaining import TRIGGER, Explanation, Needs, explain, trigger_told
from imbot.engine.facts import Surroundings
from imbot.engine.history import situation_of, with_past
from imbot.engine.situation import Situation
from imbot.engine.spending import UNLIMITED
from imbot.errors import ImbotError, RulebookError
from imbot.plugin import Action
from imbot.problems import did_you_mean
from imbot.records import RunState
from imbot.rulebook.schema import Budget, Rule, Rulebook, WaitFor
from imbot.rulebook.stored import compile_stored
from imbot.store.queries import Views
from imbot.store.views import SessionHistory


class Explained(NamedTuple):
    """An event with what became of each rule.

    Attributes:
        situation: The event, and what was known.
        rules: What became of them, in rulebook order.
        notes: What is to be known of the version of a rule, by its id.
    """

    situation: Situation
    rules: tuple[Explanation, ...]
    notes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Hindsight:
    """Explains with a rulebook, and with what the store has of the rules that ran then.

    Attributes:
        book: The rules of now.
        around: Calendars, bot, zone and country.
        needs: What an action needs of GWS.
        actions: What rules can name.
        strict_capabilities: Whether an operation that GWS does not list is withheld.
        budget: That of all rules together.
        today: Says the date, for rules that are compiled again.
    """

    book: Rulebook
    around: Surroundings
    needs: Needs
    actions: Mapping[str, Action[Any]]
    strict_capabilities: bool = False
    budget: Budget = UNLIMITED
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def of_situation(self, situation: Situation, rule_id: str | None) -> Explained:
        """Explain what is described, with the rules of now.

        Raises:
            ImbotError: There is no rule of this id; the text names the nearest.
        """
        return Explained(situation, self._explained(self.book, situation, rule_id), {})

    def of_event(self, views: Views, event_id: str, rule_id: str | None = None) -> Explained | None:
        """Explain an event of the store; None when it has none of this id.

        Raises:
            ImbotError: There is no rule of this id; the text names the nearest.
        """
        if (seen := views.event(event_id)) is None:
            return None
        situation = with_past(views, situation_of(views, seen), self._marked)
        then, notes = self._as_then(views, event_id)
        return Explained(situation, self._explained(then, situation, rule_id), notes)

    def of_session(
        self, views: Views, history: SessionHistory, rule_id: str | None = None
    ) -> list[Line]:
        """Return the story of a session with the leaves of every rule that was asked, in order.

        Raises:
            ImbotError: There is no rule of this id; the text names the nearest.
        """
        lines = [
            *timeline(history, with_ids=True),
            *self._considered(views, history, rule_id),
            *self._awaited(views, history),
        ]
        about = [line for line in lines if rule_id is None or _is_about(line, rule_id)]
        # Sorting keeps the order of what happened at the same moment: events, rules, effects.
        return sorted(about, key=lambda line: line.at)

    def _explained(
        self, book: Rulebook, situation: Situation, rule_id: str | None
    ) -> tuple[Explanation, ...]:
        found = explain(
            situation,
            book.rules,
            self.around,
            needs=self.needs,
            strict_capabilities=self.strict_capabilities,
            budget=self.budget,
        )
        if rule_id is None:
            return found
        named = tuple(each for each in found if each.rule.id == rule_id)
        if not named:
            known = [rule.id for rule in book.rules]
            raise ImbotError(f"there is no rule '{rule_id}'; {did_you_mean(rule_id, known)}")
        return named

    def _considered(
        self, views: Views, history: SessionHistory, rule_id: str | None
    ) -> Iterator[Line]:
        """Yield, for each event, the rules that it triggered and that did not match, and why.

        What matched is in the timeline as it was written down.
        """
        for seen in history.events:
            if seen.handled_at is None or is_mere_mark(seen.event):
                continue
            situation = with_past(views, situation_of(views, seen), self._marked)
            decided = {*seen.rule_ids, *(no.rule_id for no in seen.suppressed)}
            then, _ = self._as_then(views, seen.event.id)
            for each in self._explained(then, situation, rule_id):
                line = Line(seen.handled_at, f"rule {each.rule.id}", "", LineKind.LEAF)
                line = line._replace(rule=each.rule.id, event=seen.event.id)
                if each.rule.id in decided:
                    leaves = [leaf_told(view.leaf) for view in each.leaves]
                    yield from (line._replace(details=f"when: {leaf}") for leaf in leaves)
                elif rule_id is not None or not any(one.kind == TRIGGER for one in each.causes):
                    no = "; ".join(f"{cause.kind}, {cause.detail}" for cause in each.causes)
                    told = f"does not run: {no or 'it was not there then'}"
                    yield line._replace(kind=LineKind.UNMATCHED, details=told)

    def _awaited(self, views: Views, history: SessionHistory) -> Iterator[Line]:
        """Yield what runs wait for that still wait."""
        now = {(rule.id, rule.version): rule for rule in self.book.rules}
        for run in (each.run for each in history.runs if each.run.state is RunState.WAITING):
            named = run.rule_id, run.rule_version
            rule = now.get(named) or self._stored(views, *named)
            for pc in [strand.pc for strand in run.strands] or [run.pc]:
                step = None if rule is None else rule.program.instructions[pc]
                if isinstance(step, WaitFor):
                    told = f"waits for {trigger_told(step.trigger)}, {step.place}"
                    what, about = f"run {run.rule_id}", (run.rule_id, run.event_id)
                    yield Line(run.at, what, told, LineKind.AWAITED, *about)

    def _as_then(self, views: Views, event_id: str) -> tuple[Rulebook, Mapping[str, str]]:
        """Return the rulebook with the rules that ran for an event as they were, and notes."""
        now = {rule.id: rule.version for rule in self.book.rules}
        then, notes = {}, {}
        for rule_id, version in views.versions(event_id).items():
            if now.get(rule_id) == version:
                continue
            notes[rule_id] = f"it was {version} then and is {now.get(rule_id, 'gone')} now"
            if (rule := self._stored(views, rule_id, version)) is not None:
                then[rule_id] = rule
            else:
                notes[rule_id] += "; what it was cannot be compiled any more"
        rules = [then.pop(rule.id, rule) for rule in self.book.rules]
        return replace(self.book, rules=(*rules, *then.values())), notes

    def _stored(self, views: Views, rule_id: str, version: str) -> Rule | None:
        """Return a rule as it was; None where the store, or a plugin of it, has forgotten it."""
        if (seen := views.rule_seen(rule_id, version)) is None:
            return None
        try:
            return compile_stored(seen.source, self.actions, today=self.now().date())
        except (RulebookError, ValueError, LookupError, TypeError):
            return None  # imbots before this one kept the rule's text alone

    @property
    def _marked(self) -> list[str]:
        return [rule.id for rule in self.book.rules if rule.once or rule.throttle]


def _is_about(line: Line, rule_id: str) -> bool:
    """Whether a line of the story is about a rule, or about none."""
    return line.rule in {"", rule_id}
