"""The whole way of an event on one screen: match → plan → record the decision → act → record.

Everything between the stages is a frozen value, and every decision is taken before anything acts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from imbot.engine.doors import World
from imbot.engine.matching import match
from imbot.engine.once import OnceMarks, Turns
from imbot.engine.planning import Plan, Start, plan, start_of
from imbot.engine.running import Runs
from imbot.engine.viewing import View
from imbot.engine.watching import Decided, Happened, Watcher
from imbot.model import Event
from imbot.ports import Store
from imbot.records import EventHandled, RunSeen, RunState
from imbot.rulebook.index import Index
from imbot.rulebook.schema import OnceScope


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
        decision = plan(event, candidates, senses.now(), _Limits(self.world, self.runs))

        self._record(decision)

        claims = [self.runs.claim(start) for start in decision.starts]
        for claim in claims:
            await self.runs.begin(claim)

    async def _learn_marks(self, candidates: Sequence[Start]) -> None:
        """Make sure that the once marks which planning asks for are known."""
        marks = self.runs.marks
        asked = []
        for start in candidates:
            if start.once_scope is None or start.rule.once is None:
                continue
            key = start.event.session_key
            entry = None if key is None else self.world.table.get(key)
            if start.rule.once.scope is OnceScope.SESSION and entry is not None and entry.is_new:
                marks.presume_free(start.rule.id, start.once_scope)
            else:
                asked.append((start.rule.id, start.once_scope))
        await marks.load(asked)

    def _record(self, decision: Plan) -> None:
        """Write the decision down together with the runs that it begins."""
        now, event = self.world.clock.now(), decision.event
        rule_ids = tuple(start.rule.id for start in decision.starts)
        begun = [_begun(start, now) for start in decision.starts]
        self.store.note([EventHandled(event.id, now, rule_ids, decision.suppressed), *begun])
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

    def __init__(self, world: World, runs: Runs) -> None:
        self._world = world
        self._marks: OnceMarks = runs.marks
        self._turns: Turns = runs.turns

    def marked(self, rule_id: str, scope: str) -> bool:
        """Return whether the rule has acted, acts or may have acted within this scope."""
        return self._marks.is_set(rule_id, scope)

    def busy(self, rule_id: str, key: str) -> bool:
        """Return whether a run of the rule with this key goes on."""
        return self._turns.busy(rule_id, key)

    def loop(self, event: Event) -> str:
        """Return why replies must stop in the event's session; empty when they need not."""
        key = event.session_key
        entry = None if key is None else self._world.table.get(key)
        if key is None or entry is None:
            return ""
        return self._world.guard.verdict(key, entry.session.user_data)
