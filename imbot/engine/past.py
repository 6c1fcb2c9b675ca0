"""What has happened before, as far as it limits what may happen now."""

from datetime import datetime
from typing import NamedTuple, Self

from imbot.clock import Clock
from imbot.engine.breaking import Breakers
from imbot.engine.doors import World
from imbot.engine.floods import PER_S, Floods
from imbot.engine.once import OnceMarks, Turns
from imbot.engine.spending import UNLIMITED, Spending
from imbot.model import Event, SessionKey
from imbot.ports import Store
from imbot.rulebook.schema import Budget, Rule


class Past(NamedTuple):
    """What is kept of it in memory.

    Attributes:
        marks: Where rules have acted.
        turns: Who is running, by rule and key.
        spending: What budgets are spent.
        shadow_spending: What of them would be spent by rules in shadow.
        breakers: What fails.
        floods: What each session brings.
    """

    marks: OnceMarks
    turns: Turns
    spending: Spending
    shadow_spending: Spending
    breakers: Breakers
    floods: Floods

    @classmethod
    def of(
        cls,
        marks: OnceMarks,
        clock: Clock,
        store: Store,
        *,
        budget: Budget = UNLIMITED,
        events_per_s: float = PER_S,
    ) -> Self:
        """Return a past of which only the store knows anything yet.

        Args:
            marks: Once marks.
            clock: Tells when.
            store: Keeps what fails.
            budget: That of all rules together.
            events_per_s: How many events of a session rules are asked about each second.
        """
        spending, in_shadow = Spending(clock, budget), Spending(clock, budget)
        return cls(
            marks, Turns(), spending, in_shadow, Breakers(clock, store), Floods(events_per_s)
        )

    def forget(self, key: SessionKey) -> None:
        """Drop what is kept of a session that is over."""
        self.spending.forget(key)
        self.shadow_spending.forget(key)


class Known:
    """What planning asks of the past, from the tables in memory.

    Args:
        past: What happened.
        world: The sessions, and who speaks in them.
    """

    def __init__(self, past: Past, world: World) -> None:
        self._past = past
        self._world = world

    def marked(self, rule_id: str, scope: str) -> bool:
        """Return whether the rule has acted, acts or may have acted within this scope."""
        return self._past.marks.is_set(rule_id, scope)

    def marked_at(self, rule_id: str, scope: str) -> datetime | None:
        """Return when a mark was set; None when it is not."""
        return self._past.marks.set_at(rule_id, scope)

    def busy(self, rule_id: str, key: str) -> int:
        """Return how many runs of the rule with this key go on, or wait."""
        return self._past.turns.busy(rule_id, key)

    def spent(self, rule: Rule, event: Event) -> str:
        """Return which budget allows the rule no more effects now; empty while all do."""
        past = self._past
        spending = past.shadow_spending if rule.shadow else past.spending
        return spending.why_not(rule, event.session_key)

    def off(self, rule: Rule) -> str:
        """Return who switched the rule off; empty when nobody did."""
        return self._world.switches.why_off(rule.id)

    def halted(self) -> str:
        """Return why nothing may be done; empty while it may."""
        return self._world.switches.why_halted()

    def broken(self, rule: Rule) -> str:
        """Return why the rule's breaker is open; empty while it is not."""
        return self._past.breakers.why_not(rule)

    def loop(self, event: Event) -> str:
        """Return why replies must stop in the event's session; empty when they need not."""
        key = event.session_key
        entry = None if key is None else self._world.table.get(key)
        if key is None or entry is None:
            return ""
        now = self._world.clock.now()
        return self._world.guard.verdict(key, entry.session.user_data, now)

    def quiet(self, event: Event) -> str:
        """Return why replies are held back, for a person types; empty when nobody does."""
        key = event.session_key
        return "" if key is None else self._world.guard.quiet(key, self._world.clock.now())
