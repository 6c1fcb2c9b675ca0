"""The whole way of an event on one screen: match → plan → record the decision → act → record.

Everything between the stages is a frozen value, and every decision is taken before anything acts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from imbot.engine.doors import World
from imbot.engine.matching import match
from imbot.engine.planning import Plan, Start, plan, start_of
from imbot.engine.running import Heard, Past, Runs
from imbot.engine.viewing import View
from imbot.engine.watching import Decided, Happened, Watcher
from imbot.model import Event
from imbot.ports import Store
from imbot.records import Change, EventHandled, OnceMarked, RunSeen, RunState
from imbot.rulebook.index import Index
from imbot.rulebook.schema import OnceScope, Rule


@dataclass(slots=True)
class Flow:
    """Takes events through the stages.

    Attributes:
        index: The rulebook in force; replaced whole by a reload.
        view: What rules see.
        runs: Drives the runs; each records its steps and its end.
        world: The tables in memory.
        store: Where decisions are written.
        watch: Is told of every stage.
    """

    index: Index
    view: View
    runs: Runs
    world: World
    store: Store
    watch: Watcher

    async def take(self, event: Event) -> None:
        """Take one event through all stages; return when its runs are over, or wait."""
        self.watch(Happened(event))
        scope, senses = await self.view.of_event(event)

        rules = match(event, self.index, scope, senses)

        candidates = [start_of(rule, event, scope, senses) for rule in rules]
        await self._learn_marks(candidates)
        decision = plan(event, candidates, senses.now(), _Limits(self.world, self.runs.past))

        waking = self.runs.hear(event, scope)
        self._record(decision, waking)

        begun = [self.runs.claim(start) for start in decision.starts]
        for run in waking.runs:
            await self.runs.go_on(run)
        for run in begun:
            await self.runs.begin(run)

    async def _learn_marks(self, candidates: Sequence[Start]) -> None:
        """Make sure that the once marks which planning asks for are known."""
        marks = self.runs.past.marks
        asked = []
        for start in candidates:
            if start.throttle_scope is not None:
                asked.append((start.rule.id, start.throttle_scope))
            if start.once_scope is None or start.rule.once is None:
                continue
            key = start.event.session_key
            entry = None if key is None else self.world.table.get(key)
            if start.rule.once.scope is OnceScope.SESSION and entry is not None and entry.is_new:
                marks.presume_free(start.rule.id, start.once_scope)
            else:
                asked.append((start.rule.id, start.once_scope))
        await marks.load(asked)

    def _record(self, decision: Plan, waking: Heard) -> None:
        """Write the decision down together with the runs that it begins and those that it wakes."""
        now, event = self.world.clock.now(), decision.event
        rule_ids = tuple(start.rule.id for start in decision.starts)
        changes: list[Change] = [EventHandled(event.id, now, rule_ids, decision.suppressed)]
        for start in decision.starts:
            changes.append(_begun(start, now))
            if start.throttle_scope is not None:
                self.runs.past.marks.set(start.rule.id, start.throttle_scope, now)
                mark = OnceMarked(start.rule.id, start.throttle_scope, start.run_id, now)
                changes.append(mark)
        self.store.note([*changes, *waking.changes])
        self.watch(Decided(decision))


def _begun(start: Start, now: datetime) -> RunSeen:
    return RunSeen(
        run_id=start.run_id,
        event_id=start.event.id,
        rule_id=start.rule.id,
        rule_version=start.rule.version,
        key=start.key,
        state=RunState.RUNNING,
        pc=0,
        at=now,
        session=start.event.session_key,
    )


class _Limits:
    """What planning asks of the past, from the tables in memory."""

    def __init__(self, world: World, past: Past) -> None:
        self._world = world
        self._past = past

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
        return self._past.spending.why_not(rule, event.session_key)

    def broken(self, rule: Rule) -> str:
        """Return why the rule's breaker is open; empty while it is not."""
        return self._past.breakers.why_not(rule)

    def loop(self, event: Event) -> str:
        """Return why replies must stop in the event's session; empty when they need not."""
        key = event.session_key
        entry = None if key is None else self._world.table.get(key)
        if key is None or entry is None:
            return ""
        return self._world.guard.verdict(key, entry.session.user_data)

    def quiet(self, event: Event) -> str:
        """Return why replies are held back, for a person types; empty when nobody does."""
        key = event.session_key
        return "" if key is None else self._world.guard.quiet(key, self._world.clock.now())
