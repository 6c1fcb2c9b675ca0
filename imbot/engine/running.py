"""Runs of rules: each goes from step to step until it ends or waits, taking turns by its key.

A run that waits holds no task. It goes on by a timer, by what happens in its session, or after a
restart, and always by the same way.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

import structlog

from imbot.engine.acting import Actor
from imbot.engine.doors import Acting, World
from imbot.engine.lanes import Release
from imbot.engine.ledger import Ledger
from imbot.engine.past import Past
from imbot.engine.planning import Start, lateness
from imbot.engine.recovering import Interrupted
from imbot.engine.shadow import ALL_KNOWN, NOT_BEGUN, unknown_names, with_own_writes
from imbot.engine.standing import BEGINNING, Standing
from imbot.engine.stepping import (
    Next,
    Over,
    Paused,
    Postponed,
    after,
    cancelled,
    next_step,
    postponed,
    resumed,
)
from imbot.engine.viewing import View
from imbot.engine.waiting import Alarms, Flight, Run, Waiting, heard, met
from imbot.engine.watching import Acted, Ended, Logged, Watcher
from imbot.errors import StoreError
from imbot.model import Event, EventKind, Outcome, OutcomeKind, Scope, Step
from imbot.ports import Store
from imbot.records import Change, EffectState, RunSeen, RunState, Strand, TimerGone
from imbot.rulebook.schema import Mode, WaitFor
from imbot.rulebook.scope import Senses

log = structlog.get_logger()

#: Starts a task that its owner ends with the daemon.
Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]

#: A branch begins when the one before ends, waits, or has not come back for so many seconds.
BRANCHES_APART_S = 0.2

_ENDED = "its run has ended"


@dataclass(frozen=True, slots=True)
class Heard:
    """The runs that an event wakes, and what is to be kept of it with the decision about it."""

    runs: tuple[Run, ...] = ()
    changes: tuple[Change, ...] = ()


_NOTHING = Heard()


class Runs:
    """Drives every run.

    Attributes:
        past: What has happened before.
    """

    def __init__(
        self,
        actor: Actor,
        world: World,
        view: View,
        store: Store,
        *,
        past: Past,
        watch: Watcher,
        spawn: Spawn,
        timers: Alarms,
    ) -> None:
        self.past = past
        self._actor = actor
        self._world = world
        self._view = view
        self._store = store
        self._watch = watch
        self._spawn = spawn
        self._runs: dict[str, Run] = {}
        self._waiting = Waiting(timers)

    def __len__(self) -> int:
        """Return how many runs have not ended."""
        return len(self._runs)

    def get(self, run_id: str) -> Run | None:
        """Return a run that has not ended; None when it has."""
        return self._runs.get(run_id)

    def confirm(self, effect_id: str) -> None:
        """Tell the run of this effect, if it goes on, that the echo came."""
        run_id = effect_id.rsplit("/", 2)[0]
        if (run := self._runs.get(run_id)) is not None:
            run.acting.ledger.confirm(effect_id)

    def remark(self, effect_id: str, told: str) -> bool:
        """Have written down what GWS says of an effect; return whether its run goes on."""
        run = self._runs.get(effect_id.rsplit("/", 2)[0])
        if run is not None:
            run.acting.ledger.remark(effect_id, told)
        return run is not None

    # Beginnings -------------------------------------------------------------------------------

    def claim(self, start: Start, interrupted: Interrupted | None = None) -> Run:
        """Take the run's once scope and its place in the order; to be begun soon."""
        rule, past = start.rule, self.past
        if start.once_scope is not None:
            past.marks.reserve(rule.id, start.once_scope, self._world.clock.now())
        if rule.mode is Mode.RESTART:
            for run_id in past.turns.of(rule.id, start.key):
                self._cancel(self._runs[run_id], f"restarted by {start.event.id}")
        beside = rule.mode is Mode.PARALLEL
        turn = past.turns.take(start.run_id, rule.id, start.key, side_by_side=beside)
        spending = past.shadow_spending if start.in_shadow else past.spending
        ledger = Ledger(
            start,
            self._store,
            self._world.clock,
            spending=spending,
            why_halted=self._world.switches.why_halted,
        )
        from_here = interrupted or Interrupted(BEGINNING, start.event.session_key)
        ledger.restore(from_here.effects)
        acting = Acting(ledger, from_here.session, start.event.agent)
        run = self._runs[start.run_id] = Run(start, acting, from_here.standing, turn)
        if interrupted is None:
            past.breakers.begin(start)
        else:
            run.since = interrupted.known_until if turn.is_due else None
            self._waiting.update(run, ())
        return run

    async def begin(self, run: Run, release: Release) -> None:
        """Begin a run, or go on with one that a stop interrupted; when its turn comes."""
        if run.turn.is_due:
            await self.go_on(run, release)
        elif run.over is None:
            run.turn.on_due = lambda: self._begin_late(run)

    def _begin_late(self, run: Run) -> None:
        # Written down, for its waits count from now and not from when it was decided.
        self._store.note([self._seen(run, RunState.RUNNING)])
        run.is_driven = True
        self._spawn(self._live(run))

    async def go_on(self, run: Run, release: Release) -> None:
        """Let a run go on until it is over or waits; what carries it on already is woken.

        Args:
            run: The run.
            release: Called before it waits so long, in a step, that others should go on.
        """
        if run.is_driven or run.over is not None or run.ready() is None:
            run.wake()
        else:
            run.release = release
            run.is_driven = True
            await self._live(run)

    async def resume(self, run_id: str, pc: int, release: Release) -> None:
        """Let a run whose wait here is over go on: its time has come."""
        run = self._runs.get(run_id)
        strand = None if run is None else run.standing.strand(pc)
        if run is None or strand is None or not strand.waits:
            self._store.note([TimerGone(f"{run_id}/{pc}")])
            return
        standing = resumed(run.start, run.standing, pc, {"timed_out": True})
        run.since = None
        self._store.note(self._stand(run, standing))
        await self.go_on(run, release)

    def hear(self, event: Event, scope: Scope) -> Heard:
        """Return which runs an event lets go on; to be kept, and then they are to go on."""
        if not self._waiting:
            return _NOTHING
        runs, changes = list[Run](), list[Change]()
        for run in self._waiting.of(event.session_key):
            facts = {name: scope[name] for name in ("event", "message") if name in scope}
            standing = heard(run, event, {"timed_out": False, **facts})
            if event.kind is EventKind.STATE and (over := self._completed(run)):
                standing = cancelled(run.start, standing, over)
            if standing is not run.standing:
                run.since = None
                changes += self._stand(run, standing)
                runs.append(run)
        return Heard(tuple(runs), tuple(changes))

    # One run ----------------------------------------------------------------------------------

    async def _live(self, run: Run) -> None:
        """Carry the run on until it waits or ends; write down how it ended."""
        try:
            over = self._too_late(run) or await self._strands(run)
            if over is not None:
                self._end(run, over)
        except StoreError:
            raise
        except Exception as error:  # the top of a task: the run fails, not the daemon
            log.exception("run.failed", run=run.id)
            self._end(run, Over(RunState.FAILED, f"imbot's own error: {error}", run.standing))
        finally:
            run.is_driven = False

    def _too_late(self, run: Run) -> Over | None:
        if not run.is_new or run.acting.ledger.has_begun:
            return None
        if not (late := lateness(run.start, self._world.clock.now())):
            return None
        run.acting.ledger.end(run.id, EffectState.EXPIRED, late)
        return Over(RunState.CANCELLED, late, run.standing)

    async def _strands(self, run: Run) -> Over | None:
        """Carry every strand on; return how the run ended, None when all strands wait."""
        try:
            while run.over is None:
                strand = run.ready()
                if strand is None and not run.flights:
                    return None
                # What stands in no branch begins when all that were begun have come back.
                if strand is None or (run.flights and not strand.forks):
                    await run.stirred()
                elif len(run.standing.strands) == 1:
                    await self._steps(run, Flight(strand.pc))
                else:
                    flight = Flight(strand.pc)
                    task = asyncio.create_task(self._steps(run, flight))
                    await run.take_off(flight, task, BRANCHES_APART_S)
            while run.flights:
                await run.stirred()
        finally:
            if run.flights:
                await run.ground()
        return run.over

    async def _steps(self, run: Run, flight: Flight) -> None:
        """Take one strand from step to step until it waits, comes to branches, or ends."""
        start, known = run.start, run.standing
        while True:
            scope, senses = await self._view.of_now(start.event, start.rule)
            if run.ending:
                run.over = Over(RunState.CANCELLED, run.ending, run.standing)
            if not run.stands_at(flight.pc):
                return
            planned = self._plan(run, flight.pc, scope, senses)
            if isinstance(planned, Over):
                run.over = planned
                return
            is_first = run.standing is known
            if isinstance(planned, Paused) or _must_land(run, planned):
                self._pause(run, planned.standing)
                return
            self._leave_behind(run, planned.standing)
            flight.pc = planned.pc
            if not is_first:
                # Where a run ends is written down at its end; only what is between is here.
                self._store.note([self._seen(run, RunState.RUNNING)])
            outcome = await self._carry_out(run, planned, scope)
            if isinstance(outcome, Postponed):
                self._pause(run, postponed(run.standing, flight.pc, outcome))
                return
            self._note(run, planned, outcome)
            if not run.stands_at(flight.pc):
                return
            reached = after(start, run.standing, planned, outcome)
            if isinstance(reached, Over):
                run.over = reached
                return
            self._leave_behind(run, reached[0])
            flight.pc = reached[1]

    def _note(self, run: Run, planned: Next, outcome: Outcome) -> None:
        """Tell how a step ended whoever watches, counts, or asks later."""
        self._watch(Acted(run.start, self._shown(planned.step), outcome))
        if outcome.kind is OutcomeKind.WITHHELD:
            run.withheld = run.withheld or f"withheld: {outcome.detail}"
        self.past.breakers.note(run.start, planned.pc, planned.step, outcome)

    def _shown(self, step: Step) -> Step:
        """Return a step without secrets."""
        args = self._world.secrets.cut(step.args)
        return step if args is step.args else step._replace(args=args)

    def _plan(self, run: Run, pc: int, scope: Scope, senses: Senses) -> Next | Paused | Over:
        """Return what the strand that stands here is to do."""
        since = None if run.acting.ledger.goes_on else run.since
        unknown = ALL_KNOWN
        if run.start.in_shadow:
            scope = with_own_writes(scope, run.acting.ledger)
            unknown = unknown_names(run.acting.ledger)
        planned = next_step(
            run.start, run.standing, scope, senses, pc=pc, since=since, unknown=unknown
        )
        for text in planned.logs:
            self._watch(Logged(run.start, text))
        is_here = isinstance(planned, Next) and planned.pc == pc
        if not is_here and (strand := run.standing.strand(pc)) is not None:
            _give_up(run, (strand,), "what it is to be done with is not there any more")
        return planned

    async def _carry_out(self, run: Run, planned: Next, scope: Scope) -> Outcome | Postponed:
        ledger, rule = run.acting.ledger, run.start.rule
        spending = self.past.shadow_spending if run.start.in_shadow else self.past.spending
        is_over, key = self._is_over(run, planned), planned.step.key
        if not ledger.has_tried(key):
            if spent := spending.why_not(rule, run.acting.session):
                return Outcome(key, OutcomeKind.WITHHELD, spent)
            breakers = self.past.breakers
            broken = breakers.refuses(run.start, planned.pc) if breakers and not is_over() else ""
            if broken:
                return Outcome(key, OutcomeKind.FAILED, broken, error_kind="temporary", attempts=0)
        if run.start.in_shadow:
            scope = with_own_writes(scope, ledger)
        return await self._actor.carry_out(
            planned,
            run.acting,
            scope,
            is_over=is_over,
            release=run.release,
        )

    def _is_over(self, run: Run, planned: Next) -> Callable[[], str]:
        """Return what tells why a step must not go on."""

        def is_over() -> str:
            if run.ending:
                return run.ending
            if not run.stands_at(planned.pc):
                return "another branch has ended"
            return "" if planned.act.even_if_completed else self._completed(run)

        return is_over

    def _completed(self, run: Run) -> str:
        """Return which completion cancels the run; empty while none does."""
        for key in run.about():
            entry = self._world.table.get(key)
            over = entry is not None and entry.session.is_completed
            if over or run.acting.ledger.completed(key):
                return f"session {key.session_id} completed"
        return ""

    # Where it stands --------------------------------------------------------------------------

    def _pause(self, run: Run, standing: Standing) -> None:
        """Let the run stand where a strand has nothing to carry out now; write down a wait."""
        if len(standing.waiting) > len(run.standing.waiting):
            if over := self._completed(run):
                standing = cancelled(run.start, standing, over)
            elif run.acting.session is None:
                standing = _without_session(run.start, standing)
            elif run.acting.session.session_id == NOT_BEGUN and _listening(run.start, standing):
                told = "in shadow: it would need the session that would be begun"
                run.over = Over(RunState.STOPPED, told, standing)
            else:
                standing = met(run, standing, self._world.table.get(run.acting.session))
        self._leave_behind(run, standing)

    def _leave_behind(self, run: Run, standing: Standing) -> None:
        """Let the run stand here; write it down if that changes what it waits for."""
        was = run.standing
        if (was.is_single and standing.is_single) or was.waiting == standing.waiting:
            run.standing = standing
        else:
            self._store.note(self._stand(run, standing))

    def _stand(self, run: Run, standing: Standing) -> list[Change]:
        """Let the run stand here; return what is to be written down, timers included."""
        before, run.standing = run.standing.waiting, standing
        kept = [strand.pc for strand in standing.strands]
        _give_up(run, [strand for strand in before if strand.pc not in kept], standing.cancelled)
        timers = self._waiting.update(run, before)
        state = RunState.RUNNING
        if all(strand.waits for strand in standing.strands):
            state = RunState.WAITING
        return [self._seen(run, state), *timers]

    def _cancel(self, run: Run, why: str) -> None:
        """End a run before its next step, or now if it waits."""
        run.ending = why
        if run.is_driven:
            run.wake()
        else:
            self._end(run, Over(RunState.CANCELLED, why, run.standing))

    def _end(self, run: Run, over: Over) -> None:
        start, ledger = run.start, run.acting.ledger
        freed = ledger.free_once()
        idle = start.once_scope is not None and not ledger.marked
        if start.once_scope is not None:
            settle = self.past.marks.free if freed or idle else self.past.marks.keep
            settle(start.rule.id, start.once_scope)
        before, run.standing, run.over = run.standing.waiting, over.standing, over
        _give_up(run, before, over.detail)
        # Nobody goes on with what nobody knows the outcome of: it must not be lost in silence.
        for intent in ledger.in_doubt(run.id):
            ledger.close(intent.effect_id, EffectState.PARKED, detail=over.detail or _ENDED)
        timers = self._waiting.update(run, before) if before else ()
        seen = self._seen(run, over.state, over.detail or run.withheld)
        self._store.note([*freed, seen, *timers])
        del self._runs[run.id]
        self.past.turns.leave(run.turn)
        self.past.breakers.end(start, over.state)
        self._watch(Ended(start, over))

    def _seen(self, run: Run, state: RunState, detail: str = "") -> RunSeen:
        start, standing = run.start, run.standing
        is_single = standing.is_single
        return RunSeen(
            run_id=start.run_id,
            event_id=start.event.id,
            rule_id=start.rule.id,
            rule_version=start.rule.version,
            key=start.key,
            state=state,
            pc=standing.strands[0].pc,
            at=self._world.clock.now(),
            bound=standing.bound,
            session=run.acting.session,
            detail=detail or standing.failing,
            due_at=None if is_single else standing.due_at,
            attempts=standing.strands[0].attempts if is_single else 0,
            strands=() if is_single else standing.strands,
            cancelled=standing.cancelled,
            in_shadow=start.in_shadow,
        )


def _give_up(run: Run, strands: Iterable[Strand], why: str) -> None:
    """Park what steps were to try again that are not tried any more."""
    for strand in strands:
        run.acting.ledger.park(f"{run.id}/{strand.pc}", why or "the run has gone on without it")


def _must_land(run: Run, planned: Next) -> bool:
    """Whether a strand has left its branches while others are still on their way."""
    return len(run.flights) > 1 and not planned.standing.forks_at(planned.pc)


def _without_session(start: Start, standing: Standing) -> Standing:
    """Return the standing with no strand that waits for what only a session brings."""
    for strand in _listening(start, standing):
        standing = resumed(start, standing, strand.pc)
    return standing


def _listening(start: Start, standing: Standing) -> list[Strand]:
    """Return the strands that wait for what only a session brings."""
    instructions = start.rule.program.instructions
    return [each for each in standing.waiting if isinstance(instructions[each.pc], WaitFor)]
