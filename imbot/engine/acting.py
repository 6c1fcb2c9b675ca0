"""Carries out one step: state check, attempts, proof, outcome. Only this stage touches the world.

What surely did not happen is tried again; what may have happened only if that does no harm, or once
it is proven that it did not. What cannot be proven is parked for a person.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

from pydantic import BaseModel, ValidationError

from imbot.durations import format_duration
from imbot.engine.deadlines import within
from imbot.engine.doors import Acting, ImDoor, World
from imbot.engine.proving import Proof, Prover, first_of, left_s
from imbot.engine.shadow import NOT_BEGUN, UnansweredError
from imbot.engine.shadow_doors import ShadowIm, ShadowWeb
from imbot.engine.stepping import Next, Postponed
from imbot.engine.webdoor import WebDoor
from imbot.engine.withholding import why_withheld
from imbot.errors import (
    ActionError,
    AmbiguousError,
    FaultClass,
    PermanentError,
    StoreError,
    TemporaryError,
)
from imbot.jsontext import encode_json
from imbot.model import (
    JSON,
    Outcome,
    OutcomeKind,
    Scope,
    SessionKey,
    SessionState,
    Step,
)
from imbot.plugin import Action, Context, Operation
from imbot.ports import Random
from imbot.records import EffectState
from imbot.rulebook.schema import Retry
from imbot.strangers import Strangers

#: A step that is tried again so soon keeps its place before others; else its run waits, durably.
SHORT_WAIT_S = 5.0

#: How a GWS operation is tried when its step says nothing: for longer than it takes to start a load
#: balancer anew, 9 to 18 s, and keeping its place.
GWS_RETRY = Retry(times=8, first_s=0.25, last_s=SHORT_WAIT_S)

#: How any other action is tried when its step says nothing.
NO_RETRY = Retry(times=1, first_s=0.0, last_s=0.0)

#: However long an answer asks to wait.
LONGEST_WAIT_S = 300.0

#: Seconds that steps wait for a session that we have begun to be answered.
ANSWER_S = 60.0

#: So soon after GWS calls a session gone a snapshot shows whether it is.
GONE = timedelta(seconds=5.0)

_LIVE_DOORS = (ImDoor, WebDoor)

_ABSENT = "proven: it did not happen"

#: What needs no answer: whoever gives up waiting for one hangs up.
_AT_ONCE = frozenset({None, Operation.INITIATE, Operation.COMPLETE})


@dataclass(frozen=True, slots=True)
class Installed:
    """An action that rules can use, with its plugin's options.

    Attributes:
        ships: Whether it is one of imbot's own, which act through their doors and in no other way.
    """

    action: Action[BaseModel]
    options: BaseModel | None = None
    ships: bool = False


class OnUnknown(StrEnum):
    """What a session's later replies do while nobody knows whether an earlier one was said."""

    HOLD = "hold"
    CONTINUE = "continue"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Habits:
    """Settings of acting.

    Attributes:
        strict_capabilities: Whether an operation that GWS does not list is withheld.
        message_limit_bytes: The longest message that GWS is trusted with.
        reason_key: The user-data key under which ``complete`` leaves its reason.
        on_unknown: What later replies do while an earlier one of their session is unknown.
        expires_s: Seconds after which a reply that could not be said is not said any more.
    """

    strict_capabilities: bool = False
    message_limit_bytes: int = 1000
    reason_key: str = "imbot.reason"
    on_unknown: OnUnknown = OnUnknown.HOLD
    expires_s: float = 600.0


class Actor:
    """Carries out steps.

    Args:
        actions: What rules can use, by name.
        world: What the doors share.
        habits: Settings.
        random: Spreads retries.

    Attributes:
        prover: Waits for the proof of what nobody knows.
    """

    def __init__(
        self,
        actions: Mapping[str, Installed],
        world: World,
        *,
        habits: Habits,
        random: Random,
    ) -> None:
        self._actions = actions
        self._world = world
        self._habits = habits
        self._random = random
        self.prover = Prover(world)
        self.strangers = Strangers()

    async def carry_out(
        self,
        planned: Next,
        acting: Acting,
        scope: Scope,
        *,
        is_over: Callable[[], str],
        release: Callable[[], None],
    ) -> Outcome | Postponed:
        """Carry out one step and say how it ended; never raises for what an action does.

        Args:
            planned: The step.
            acting: The run's ledger and session.
            scope: What rules see now.
            is_over: Says why the run must end early; empty while it goes on.
            release: Called before a long wait: others need not wait for this run any more.

        Raises:
            StoreError: Nothing can be written down, so nothing may be done.
        """
        if over := is_over():
            return _cancelled(acting, planned.step.key, over)
        job = self._job(planned, acting, scope, is_over, release)
        if isinstance(job, ActionError):
            return _untried(acting, _failed(planned.step, job))
        if (untried := await self._why_untried(job)) is not None:
            return untried
        try:
            return await self._attempts(job, planned.standing.attempts_at(planned.pc))
        finally:
            self.prover.settle(job.step.key)

    def _job(
        self,
        planned: Next,
        acting: Acting,
        scope: Scope,
        is_over: Callable[[], str],
        release: Callable[[], None],
    ) -> "_Job | ActionError":
        """Return a step with its action, or why there is none that takes it."""
        step = planned.step
        installed = self._actions.get(step.action)
        if installed is None:
            return PermanentError(f"no plugin offers the action {step.action!r}")
        try:
            args = installed.action.args.model_validate(step.args)
        except ValidationError as error:
            return PermanentError(_why_invalid(step, error))
        if undead := self.strangers.why_not(step.action):
            return TemporaryError(f"{undead}; imbot must be started again")
        retry = planned.act.retry or (NO_RETRY if installed.action.needs is None else GWS_RETRY)
        return _Job(step, installed, args, retry, acting, scope, is_over, release)

    async def _why_untried(self, job: "_Job") -> Outcome | None:
        """Wait until a step can be tried; return how it ended if it never can."""
        acting, key, needs = job.acting, job.step.key, job.installed.action.needs
        if halted := self._why_halted(job):
            return _untried(acting, Outcome(key, OutcomeKind.WITHHELD, halted))
        if await self._until_talking(needs, acting, job.release) and (over := job.is_over()):
            return _cancelled(acting, key, over)
        if withheld := self._withheld(needs, acting.session):
            if self._is_completed(acting.session):
                _cancelled(acting, key, withheld)
            return _untried(acting, Outcome(key, OutcomeKind.WITHHELD, withheld))
        if needs is Operation.SEND_MESSAGE and (loop := self._suspicion(job)):
            return _untried(acting, Outcome(key, OutcomeKind.WITHHELD, loop))
        if needs is Operation.SEND_MESSAGE and self.prover.doubts(acting.session, but=key):
            return await self._behind(job)
        return None

    def wake(self, key: SessionKey) -> None:
        """Tell whoever waits for this session that it has changed."""
        self.prover.wake(key)

    # Attempts ---------------------------------------------------------------------------------

    async def _shade(self, job: "_Job") -> Outcome:
        """Have it written down what a step would do; what is not imbot's own is not even begun."""
        step, acting = job.step, job.acting
        if not job.installed.ships:
            payload = self._world.secrets.cut(step.args)
            what = {"action": step.action, "operation": step.action, "payload": payload}
            acting.ledger.shade(f"{step.key}/all", key=acting.session, **what)
            return Outcome(step.key, OutcomeKind.SHADOW)
        error = await self._attempt(job, 1, repeatable=True)
        if isinstance(error, ActionError):
            told = self._world.secrets.cut_text(str(error))
            return Outcome(step.key, OutcomeKind.FAILED, told, error_kind=error.kind)
        return Outcome(step.key, OutcomeKind.SHADOW)

    async def _attempts(self, job: "_Job", tried: int) -> Outcome | Postponed:
        """Try until it is done, proven, or given up; or until it is to be tried much later."""
        ledger, key = job.acting.ledger, job.step.key
        if ledger.start.in_shadow:
            return await self._shade(job)
        attempt = max(tried, ledger.attempts(key)) + 1
        repeatable = job.installed.action.repeatable(job.args)
        while not (late := self._too_old(job)):
            error = await self._attempt(job, attempt, repeatable=repeatable)
            if not isinstance(error, ActionError):
                return Outcome(key, OutcomeKind.DONE, result=error.value, attempts=attempt)
            if isinstance(error, AmbiguousError) and not repeatable:
                if (doubt := await self._doubt(job, error)) is None:
                    continue
                error = doubt
            is_final = isinstance(error, AmbiguousError) and not repeatable
            if is_final or isinstance(error, PermanentError) or attempt >= job.retry.times:
                return await self._give_up(job, error, attempt)
            if (ended := await self._pause(job, error, attempt)) is not None:
                return ended
            attempt += 1
        ledger.end(key, EffectState.EXPIRED, late)
        return Outcome(key, OutcomeKind.CANCELLED, late, attempts=attempt - 1)

    async def _pause(
        self, job: "_Job", error: ActionError, attempt: int
    ) -> Outcome | Postponed | None:
        """Wait until the next attempt; return what there is instead of one, if anything."""
        pause_s = self._pause_s(job.retry, error, attempt)
        if pause_s <= SHORT_WAIT_S:
            await self._world.clock.sleep(pause_s)
        if over := job.is_over():
            return _cancelled(job.acting, job.step.key, over, attempt)
        if pause_s <= SHORT_WAIT_S:
            return None
        return Postponed(self._world.clock.now() + timedelta(seconds=pause_s), attempt)

    def _too_old(self, job: "_Job") -> str:
        """Return why what is to be said is not said any more; empty while it is."""
        since = job.acting.ledger.unsaid_since(job.step.key)
        limit_s = self._habits.expires_s
        if since is None or (self._world.clock.now() - since).total_seconds() <= limit_s:
            return ""
        return f"it could not be said within {format_duration(limit_s)}"

    async def _attempt(
        self, job: "_Job", attempt: int, *, repeatable: bool
    ) -> "_Result | ActionError":
        """Run the action once; return its result, or the error it failed with."""
        ledger, step, action = job.acting.ledger, job.step, job.installed.action
        if not repeatable and (doubts := ledger.in_doubt(step.key)):
            return AmbiguousError(f"nobody knows whether {doubts[0].operation} was carried out")
        limit_s = step.timeout_s or action.deadline_s
        try:
            result = _plain(await self._run(job, attempt, limit_s))
        except TimeoutError:
            told = f"{step.action} took longer than {limit_s:g} s"
            return AmbiguousError(told) if ledger.in_doubt(step.key) else TemporaryError(told)
        except ActionError as error:
            return error
        except UnansweredError:
            return _Result(None)
        except StoreError:
            raise
        except (Exception, asyncio.CancelledError) as error:  # a plugin may raise anything
            if isinstance(error, asyncio.CancelledError) and _is_being_cancelled():
                raise
            told = f"{step.action} raised {type(error).__name__}: {error}"
            return AmbiguousError(told) if ledger.in_doubt(step.key) else PermanentError(told)
        return _Result(result)

    async def _run(self, job: "_Job", attempt: int, limit_s: float) -> BaseModel | JSON:
        """Return what the action returns; of one that is not imbot's own the doors are then shut.

        Raises:
            TimeoutError: It took longer than it may.
        """
        context = self._context(job, attempt)
        running = job.installed.action.run(context, job.args)
        if job.installed.ships:
            return await within(limit_s, running)
        try:
            return await self.strangers.run(job.step.action, limit_s, running)
        finally:
            for door in (context.im, context.http):
                if isinstance(door, _LIVE_DOORS):
                    door.is_shut = True

    def _context(self, job: "_Job", attempt: int) -> Context:
        scope, acting, step = job.scope, job.acting, job.step
        im, http = (ShadowIm, ShadowWeb) if acting.ledger.start.in_shadow else (ImDoor, WebDoor)
        # In order and not by name: each step comes by here.
        return Context(
            scope["event"],
            scope.get("session"),
            scope.get("participant"),
            scope.get("agent"),
            scope["bot"],
            job.installed.options,
            step.key,
            attempt,
            im(self._world, acting, step),
            http(self._world, acting, step),
            self._habits.message_limit_bytes,
            self._habits.reason_key,
        )

    def _pause_s(self, retry: Retry, error: ActionError, attempt: int) -> float:
        """Return the seconds to the next attempt: doubling, jittered above half, or as asked."""
        pause_s: float = min(retry.first_s * 2 ** (attempt - 1), retry.last_s)
        pause_s *= self._random.uniform(0.5, 1.0)
        return max(pause_s, min(error.retry_after_s or 0.0, LONGEST_WAIT_S))

    async def _give_up(self, job: "_Job", error: ActionError, attempts: int) -> Outcome:
        """Park what was intended; say how the step ended."""
        fault_class = None if error.fault is None else error.fault.fault_class
        if fault_class is FaultClass.GONE:
            await self._until_completed(job)
        over = job.is_over()
        if over and (
            isinstance(error, AmbiguousError)
            or fault_class in (FaultClass.GONE, FaultClass.CONFLICT)
        ):
            return _cancelled(job.acting, job.step.key, over, attempts)
        told = self._world.secrets.cut_text(str(error))
        parked = job.acting.ledger.park(job.step.key, told)
        return Outcome(
            job.step.key,
            OutcomeKind.PARKED if parked else OutcomeKind.FAILED,
            told,
            error_kind=error.kind,
            attempts=attempts,
            fault_class=fault_class,
        )

    # Proof ------------------------------------------------------------------------------------

    async def _doubt(self, job: "_Job", error: AmbiguousError) -> ActionError | None:
        """Wait for the proof of what may have been done; return what remains of the error.

        It is none once all was done, temporary when something surely was not. The run holds its
        place meanwhile: what it says next must not overtake this.
        """
        ledger = job.acting.ledger
        if not (doubts := ledger.in_doubt(job.step.key)):
            return error
        if self._habits.on_unknown is not OnUnknown.HOLD:
            job.release()
        remains: ActionError | None = None
        for intent in doubts:
            if not ledger.is_in_doubt(intent.effect_id):
                continue  # Its echo came while that of another was waited for.
            proven = await self.prover.prove(intent, job.is_over)
            if proven.proof is Proof.NONE:
                return AmbiguousError(
                    f"{error}; {proven.why}".removesuffix("; "), fault=error.fault
                )
            if proven.proof is Proof.CONVERGES:
                ledger.forget_doubt(intent.effect_id)
                remains = TemporaryError(str(error), fault=error.fault)
            elif proven.proof is Proof.ABSENT:
                ledger.close(intent.effect_id, EffectState.FAILED, detail=_ABSENT)
                remains = TemporaryError(f"{error}; {_ABSENT}", fault=error.fault)
            elif proven.found is not None:
                result = {"id": proven.found.id, "agent": intent.agent}
                ledger.close(intent.effect_id, EffectState.ACCEPTED, result=result)
        return remains

    async def _behind(self, job: "_Job") -> Outcome | None:
        """Let a reply wait behind one of its session that is unknown; or say why it is not said."""
        acting, key = job.acting, job.step.key
        if self._habits.on_unknown is OnUnknown.DROP:
            told = "nobody knows whether an earlier reply of the session was said"
            return _cancelled(acting, key, told)
        session = acting.session
        is_held = self._habits.on_unknown is OnUnknown.HOLD and session is not None
        while is_held and self.prover.doubts(session, but=key):
            await self.prover.settled(session, but=key)
        over = job.is_over()
        return _cancelled(acting, key, over) if over else None

    # State ------------------------------------------------------------------------------------

    async def _until_talking(
        self, needs: Operation | None, acting: Acting, release: Callable[[], None]
    ) -> bool:
        """Wait, with a limit, until a session that the run itself began is Talking.

        Return whether it was to be waited for.
        """
        key = acting.session
        begun_here = key is not None and key != acting.ledger.start.event.session_key
        if key is None or not begun_here or needs in _AT_ONCE:
            return False
        if key.session_id == NOT_BEGUN:
            return False
        until = self._world.clock.now() + timedelta(seconds=ANSWER_S)
        while (seconds := left_s(until, self._world.clock.now())) > 0:
            entry = self._world.table.get(key)
            if entry is not None and entry.session.state not in (
                SessionState.INITIATING,
                SessionState.ALERTING,
            ):
                break
            release()
            await first_of(self.prover.change_of(key), timeout_s=seconds)
        return True

    async def _until_completed(self, job: "_Job") -> None:
        """Wait until a session that GWS calls gone is seen to be over; or it comes back."""
        key, until = job.acting.session, self._world.clock.now() + GONE
        while (
            key is not None
            and not (self._is_completed(key) or job.is_over())
            and (seconds := left_s(until, self._world.clock.now()))
        ):
            await first_of(self.prover.change_of(key), timeout_s=seconds)

    def _why_halted(self, job: "_Job") -> str:
        return "" if job.acting.ledger.start.in_shadow else self._world.switches.why_halted()

    def _is_completed(self, key: SessionKey | None) -> bool:
        entry = None if key is None else self._world.table.get(key)
        return entry is not None and entry.session.is_completed

    def _withheld(self, needs: Operation | None, key: SessionKey | None) -> str:
        """Return why a step cannot succeed now; empty when it can."""
        if key is not None and key.session_id == NOT_BEGUN:
            return ""
        entry = None if key is None else self._world.table.get(key)
        no = why_withheld(
            needs, None if entry is None else entry.session, strict=self._habits.strict_capabilities
        )
        return "" if no is None else no[1]

    def _suspicion(self, job: "_Job") -> str:
        """Return why nothing may be said: since the run began, its session has become a loop."""
        ledger, key = job.acting.ledger, job.acting.session
        if key is None or not ledger.start.rule.loop_guard or ledger.has_tried(job.step.key):
            return ""
        return self._world.guard.suspicion(key, self._world.clock.now())


class _Job(NamedTuple):
    """One step with all that its attempts share."""

    step: Step
    installed: Installed
    args: BaseModel
    retry: Retry
    acting: Acting
    scope: Scope
    is_over: Callable[[], str]
    release: Callable[[], None]


class _Result(NamedTuple):
    value: JSON


def _untried(acting: Acting, outcome: Outcome) -> Outcome:
    """Return how a step ended that is not tried; what it did before a stop waits for a person."""
    acting.ledger.park(outcome.step_key, outcome.detail)
    return outcome


def _cancelled(acting: Acting, step_key: str, over: str, attempts: int = 1) -> Outcome:
    """Return how a step ended that there is nobody to do for any more.

    What it has begun is given up; of that, what does not end with the session waits for a person.
    """
    acting.ledger.end(step_key, EffectState.CANCELLED, over, in_session=True)
    acting.ledger.park(step_key, over)
    return Outcome(step_key, OutcomeKind.CANCELLED, over, attempts=attempts)


def _is_being_cancelled() -> bool:
    """Whether somebody cancels this task; else an action came across a task of its own that was."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _failed(step: Step, error: ActionError) -> Outcome:
    return Outcome(step.key, OutcomeKind.FAILED, str(error), error_kind=error.kind)


def _why_invalid(step: Step, error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{step.action}: {f'{where}: ' if where else ''}{first['msg']}"


def _plain(result: BaseModel | JSON) -> JSON:
    """Return a result as it can be kept.

    Raises:
        PermanentError: It cannot.
    """
    if result is None:
        return None
    plain = result.model_dump(mode="json") if isinstance(result, BaseModel) else result
    try:
        encode_json(plain)
    except (TypeError, ValueError) as error:
        raise PermanentError(f"a result that cannot be kept: {error}") from error
    return plain
