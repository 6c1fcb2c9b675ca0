"""Runs of rules: each goes from step to step until it ends, taking turns by its key."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NamedTuple

import structlog

from imbot.engine.acting import Actor
from imbot.engine.doors import Acting, World
from imbot.engine.ledger import Ledger
from imbot.engine.once import OnceMarks, Turns
from imbot.engine.planning import Next, Over, Standing, Start, after, lateness, next_step
from imbot.engine.viewing import View
from imbot.engine.watching import Acted, Ended, Logged, Watcher
from imbot.errors import StoreError
from imbot.model import SessionKey
from imbot.ports import Store
from imbot.records import Effect, RunSeen, RunState

log = structlog.get_logger()

#: Starts a task that its owner ends with the daemon.
Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Where a run stood when imbot stopped.

    Attributes:
        standing: Its next step, and what was bound.
        session: The session it acted on.
        effects: What it has done, or may have.
    """

    standing: Standing
    session: SessionKey | None
    effects: tuple[Effect, ...] = ()


class Claim(NamedTuple):
    """A run that has its once scope and its place, and is not yet begun."""

    start: Start
    interrupted: Interrupted | None
    turn: "asyncio.Future[None] | None"


class Runs:
    """Drives every run.

    Attributes:
        marks: Once marks.
        turns: Who is running, by rule and key.
    """

    def __init__(
        self,
        actor: Actor,
        world: World,
        view: View,
        store: Store,
        *,
        marks: OnceMarks,
        watch: Watcher,
        spawn: Spawn,
    ) -> None:
        self.marks = marks
        self.turns = Turns()
        self._actor = actor
        self._world = world
        self._view = view
        self._store = store
        self._watch = watch
        self._spawn = spawn
        self._ledgers: dict[str, Ledger] = {}

    def confirm(self, effect_id: str) -> None:
        """Tell the run of this effect, if it goes on, that the echo came."""
        run_id = effect_id.rsplit("/", 2)[0]
        if (ledger := self._ledgers.get(run_id)) is not None:
            ledger.confirm(effect_id)

    def claim(self, start: Start, interrupted: Interrupted | None = None) -> Claim:
        """Take the run's once scope and its place in the order; to be begun soon."""
        if start.once_scope is not None:
            self.marks.set(start.rule.id, start.once_scope)
        return Claim(start, interrupted, self.turns.take(start.rule.id, start.key))

    async def begin(self, claim: Claim) -> None:
        """Begin a run, or go on with one that a stop interrupted.

        Returns when it is over, or waits so long that others should go on.
        """
        start, interrupted, turn = claim
        from_here = interrupted or Interrupted(Standing(), start.event.session_key)
        ledger = Ledger(start, self._store, self._world.clock)
        ledger.restore(from_here.effects)
        self._ledgers[start.run_id] = ledger
        released = asyncio.get_running_loop().create_future()

        def release() -> None:
            if not released.done():
                released.set_result(None)

        acting = Acting(ledger, from_here.session, start.event.agent)
        if turn is not None:
            release()
        self._spawn(self._live(start, from_here.standing, acting, turn, release))
        await released

    async def _live(
        self,
        start: Start,
        standing: Standing,
        acting: Acting,
        turn: "asyncio.Future[None] | None",
        release: Callable[[], None],
    ) -> None:
        """Wait for the run's turn, go from step to step, write down how it ended."""
        try:
            if turn is not None:
                await turn
            late = "" if acting.ledger.has_begun else lateness(start, self._world.clock.now())
            if late:
                over = Over(RunState.CANCELLED, late, standing)
            else:
                over = await self._steps(start, standing, acting, release)
            self._end(start, over, acting)
        except StoreError:
            raise
        except Exception as error:  # the top of a task: the run fails, not the daemon
            log.exception("run.failed", run=start.run_id)
            self._end(start, Over(RunState.FAILED, f"imbot's own error: {error}", standing), acting)
        finally:
            self.turns.leave(start.rule.id, start.key)
            del self._ledgers[start.run_id]
            release()

    async def _steps(
        self, start: Start, standing: Standing, acting: Acting, release: Callable[[], None]
    ) -> Over:
        begun = standing
        while True:
            scope, senses = await self._view.of_now(start.event)
            planned = next_step(start, standing, scope, senses)
            for text in planned.logs:
                self._watch(Logged(start, text))
            if isinstance(planned, Over):
                return planned
            if standing is not begun:
                # Where a run ends is written down at its end; only what is between is here.
                self._store.note([self._seen(start, RunState.RUNNING, planned.standing, acting)])
            outcome = await self._actor.carry_out(
                planned,
                acting,
                scope,
                is_over=self._is_over(start, planned, acting),
                release=release,
            )
            self._watch(Acted(start, planned.step, outcome))
            reached = after(start, planned.standing, planned.act, outcome)
            if isinstance(reached, Over):
                return reached
            standing = reached

    def _is_over(self, start: Start, planned: Next, acting: Acting) -> Callable[[], str]:
        """Return what tells why the run must end early."""
        event = start.event
        ended_before = event.session is not None and event.session.is_completed

        def is_over() -> str:
            if planned.act.even_if_completed:
                return ""
            for key in dict.fromkeys((event.session_key, acting.session)):
                if key is None or (ended_before and key == event.session_key):
                    continue
                entry = self._world.table.get(key)
                over = entry is not None and entry.session.is_completed
                if over or acting.ledger.completed(key):
                    return f"session {key.session_id} completed"
            return ""

        return is_over

    def _end(self, start: Start, over: Over, acting: Acting) -> None:
        freed = acting.ledger.free_once()
        idle = start.once_scope is not None and not acting.ledger.marked
        if start.once_scope is not None and (freed or idle):
            self.marks.free(start.rule.id, start.once_scope)
        seen = self._seen(start, over.state, over.standing, acting, detail=over.detail)
        self._store.note([*freed, seen])
        self._watch(Ended(start, over))

    def _seen(
        self,
        start: Start,
        state: RunState,
        standing: Standing,
        acting: Acting,
        *,
        detail: str = "",
    ) -> RunSeen:
        return RunSeen(
            run_id=start.run_id,
            event_id=start.event.id,
            rule_id=start.rule.id,
            rule_version=start.rule.version,
            key=start.key,
            state=state,
            pc=standing.pc,
            at=self._world.clock.now(),
            bound=standing.bound,
            session=acting.session,
            detail=detail or standing.failing,
        )
