"""The whole way of an event on one screen: match → plan → record the decision → act → record.

Everything between the stages is a frozen value, and every decision is taken before anything acts.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from imbot.engine.doors import World
from imbot.engine.lanes import Work
from imbot.engine.matching import match
from imbot.engine.past import Known
from imbot.engine.planning import Plan, Start, plan, start_of
from imbot.engine.running import Heard, Runs
from imbot.engine.viewing import View
from imbot.engine.watching import Decided, Happened, Watcher
from imbot.model import ALL_RULES, Event, Reason, Suppressed
from imbot.ports import Store
from imbot.records import Change, EventHandled, OnceMarked, RunSeen, RunState
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
        suppressed: How often a rule was suppressed since the start, by reason.
    """

    index: Index
    view: View
    runs: Runs
    world: World
    store: Store
    watch: Watcher
    suppressed: Counter[Reason] = field(default_factory=Counter)
    _known: Known = field(init=False)

    def __post_init__(self) -> None:
        self._known = Known(self.runs.past, self.world)

    async def take(self, event: Event) -> list[Work]:
        """Take one event up to the last stage; return its runs, to be carried on in its lane."""
        self.watch(Happened(event))
        scope, senses = await self.view.of_event(event)

        now = senses.now()
        if flooded := self.runs.past.floods.why_not(event):
            decision = Plan(event, suppressed=(Suppressed(ALL_RULES, Reason.FLOOD, flooded),))
        else:
            over = self.world.switches.over
            rules = [over(rule) for rule in match(event, self.index, scope, senses)]
            candidates = [start_of(rule, event, scope, senses) for rule in rules]
            await self._learn_marks(candidates)
            decision = plan(event, candidates, now, self._known)

        waking = self.runs.hear(event, scope)
        self._record(decision, waking, now)

        begun = [self.runs.claim(start) for start in decision.starts]
        work: list[Work] = [partial(self.runs.go_on, run) for run in waking.runs]
        work += [partial(self.runs.begin, run) for run in begun]
        return work

    async def _learn_marks(self, candidates: Sequence[Start]) -> None:
        """Make sure that the once marks which planning asks for are known."""
        marks = self.runs.past.marks
        asked, lost = [], []
        for start in candidates:
            if start.throttle_scope is not None:
                asked.append((start.rule.id, start.throttle_scope))
            if start.once_scope is None or start.rule.once is None:
                continue
            key = start.event.session_key
            entry = None if key is None else self.world.table.get(key)
            pair = start.rule.id, start.once_scope
            if key in marks.lost:
                asked.append(pair)
                lost.append(pair)
            elif start.rule.once.scope is OnceScope.SESSION and entry is not None and entry.is_new:
                marks.presume_free(*pair)
            else:
                asked.append(pair)
        if asked:
            await marks.load(asked)
        if lost:
            self.store.note(marks.presume_set(lost, self.world.clock.now()))

    def _record(self, decision: Plan, waking: Heard, now: datetime) -> None:
        """Write the decision down together with the runs that it begins and those that it wakes."""
        rule_ids = tuple([start.rule.id for start in decision.starts if not start.in_shadow])
        handled = EventHandled(decision.event.id, now, rule_ids, decision.suppressed)
        changes: list[Change] = [handled]
        for start in decision.starts:
            changes.append(_begun(start, now))
            if start.throttle_scope is not None:
                self.runs.past.marks.set(start.rule.id, start.throttle_scope, now)
                mark = OnceMarked(start.rule.id, start.throttle_scope, start.run_id, now)
                changes.append(mark)
        self.store.note([*changes, *waking.changes])
        if decision.suppressed:
            self.suppressed.update([no.reason for no in decision.suppressed])
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
        in_shadow=start.in_shadow,
    )
