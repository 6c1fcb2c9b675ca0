"""The ledger of one run: what it is about to do, what became of it, what need not be done again.

Every effect has an id that is the same on every attempt and after a restart: event, rule, index of
the step, number of the call inside it. So an action may simply be run again: what was carried out
already is skipped. The first intent of a run is written together with the rule's once mark.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from imbot.clock import Clock
from imbot.engine.planning import Start
from imbot.engine.spending import Spending
from imbot.errors import PermanentError
from imbot.model import JSON, SessionKey
from imbot.ports import Store
from imbot.records import (
    Change,
    Effect,
    EffectState,
    Intent,
    OnceMarked,
    OnceTakenBack,
    Verdict,
)

#: States in which an effect was, or may have been, carried out.
_MAYBE_DONE = frozenset(
    {
        EffectState.SENDING,
        EffectState.ACCEPTED,
        EffectState.CONFIRMED,
        EffectState.UNKNOWN,
        EffectState.SHADOW,
    }
)

#: What ends a session, or would.
_COMPLETED = frozenset({EffectState.ACCEPTED, EffectState.SHADOW})

#: States in which nobody knows whether an effect was carried out.
_IN_DOUBT = frozenset({EffectState.SENDING, EffectState.UNKNOWN})

#: States of an effect that nobody has given up yet, and that is not done.
_UNDONE = _IN_DOUBT | {EffectState.FAILED}

_CARRIED_OUT = frozenset({EffectState.ACCEPTED, EffectState.CONFIRMED, EffectState.SHADOW})

#: What is done in a session, and not any more once it is over.
_IN_SESSION = frozenset({"SendMessage", "UpdateUserData", "DeleteUserData", "Complete"})

_DOUBT = "; nobody knows whether it was carried out"


@dataclass(slots=True)
class _Entry:
    intent: Intent
    state: EffectState
    result: JSON = None
    #: Whether it was in doubt when it was parked.
    doubtful: bool = False
    #: When its first attempt began.
    first_at: datetime | None = None


@dataclass(slots=True)
class Ledger:
    """The effects of one run.

    Attributes:
        start: The run.
        store: Where they are kept.
        clock: Tells when.
        spending: Counts what budgets are spent on; None where nothing is counted.
        marked: Whether the once mark is written.
        goes_on: Whether it has begun an effect of which nothing was known when it was made.
        why_halted: Says why nothing may be sent; empty while it may.
    """

    start: Start
    store: Store
    clock: Clock
    spending: Spending | None = None
    marked: bool = False
    goes_on: bool = False
    why_halted: Callable[[], str] = str
    _entries: dict[str, _Entry] = field(default_factory=dict)

    @property
    def has_begun(self) -> bool:
        """Whether the run has done anything, or may have."""
        if not self._entries:
            return False
        return any(entry.state in _MAYBE_DONE or entry.doubtful for entry in self._entries.values())

    def restore(self, effects: Iterable[Effect]) -> None:
        """Take back what the store knows of this run's effects."""
        for effect in effects:
            self._entries[effect.intent.effect_id] = _Entry(
                effect.intent,
                effect.state,
                effect.result,
                doubtful=effect.state is EffectState.PARKED,
            )
            self.marked = True

    def state(self, effect_id: str) -> EffectState | None:
        """Return where the effect stands; None when it was never intended."""
        entry = self._entries.get(effect_id)
        return None if entry is None else entry.state

    def payload(self, effect_id: str) -> JSON:
        """Return what the effect carries; None when it carries nothing or was never intended."""
        entry = self._entries.get(effect_id)
        return None if entry is None else entry.intent.payload

    def before(self, effect_id: str) -> JSON:
        """Return what stood where the effect writes before its first attempt."""
        return self._entries[effect_id].intent.before

    def forget_doubt(self, effect_id: str) -> None:
        """Let an effect that converges be tried again, though nobody knows what became of it."""
        self.close(effect_id, EffectState.FAILED, detail="nobody knows whether it was carried out")
        self._entries[effect_id].doubtful = True

    def was_in_doubt(self, effect_id: str) -> bool:
        """Return whether nobody knew, now or on an earlier attempt, what became of the effect."""
        entry = self._entries.get(effect_id)
        return entry is not None and (entry.doubtful or entry.state in _IN_DOUBT)

    def is_in_doubt(self, effect_id: str) -> bool:
        """Return whether nobody knows what became of the effect."""
        entry = self._entries.get(effect_id)
        return entry is not None and entry.state in _IN_DOUBT

    def result(self, effect_id: str) -> JSON:
        """Return what the effect brought."""
        return self._entries[effect_id].result

    async def open(  # the parts of an intent
        self,
        effect_id: str,
        *,
        key: SessionKey | None,
        agent: str,
        action: str,
        operation: str,
        payload: JSON,
        echo: str | None = None,
        before: JSON = None,
    ) -> None:
        """Return when the intent is durable; only then may the effect be sent.

        Raises:
            PermanentError: All effects are stopped; nothing may be sent.
            StoreError: It is not; nothing may be sent.
        """
        now = self.clock.now()
        last = self._entries.get(effect_id)
        intent = Intent(
            effect_id=effect_id,
            run_id=self.start.run_id,
            agent=agent,
            session_id=key.session_id if key else "",
            rule_id=self.start.rule.id,
            action=action,
            operation=operation,
            payload=payload,
            at=now,
            echo=echo,
            attempt=1 if last is None else last.intent.attempt + 1,
            before=before if last is None else last.intent.before,
        )
        entry = self._entries[effect_id] = _Entry(intent, EffectState.SENDING)
        if last is None:
            self._begin(key)
        else:
            entry.doubtful = last.doubtful or last.state in _IN_DOUBT
            entry.first_at = last.first_at or last.intent.at
        await self.store.commit([*self._mark(now), intent])
        # Behind the wait, and so the last thing before it is sent.
        if halted := self.why_halted():
            raise PermanentError(halted)

    def shade(
        self, effect_id: str, *, key: SessionKey | None, action: str, operation: str, payload: JSON
    ) -> None:
        """Write down, once, an effect that is never sent: the run is in shadow."""
        if effect_id in self._entries:
            return
        now = self.clock.now()
        intent = Intent(
            effect_id=effect_id,
            run_id=self.start.run_id,
            agent=key.agent if key else "",
            session_id=key.session_id if key else "",
            rule_id=self.start.rule.id,
            action=action,
            operation=operation,
            payload=payload,
            at=now,
            in_shadow=True,
        )
        self._entries[effect_id] = _Entry(intent, EffectState.SHADOW)
        self._begin(key)
        self.store.note([*self._mark(now), intent])

    @property
    def shades(self) -> list[Intent]:
        """The effects that are never sent, in order."""
        return [entry.intent for entry in self._entries.values() if entry.intent.in_shadow]

    def _begin(self, key: SessionKey | None) -> None:
        self.goes_on = True
        if self.spending is not None:
            self.spending.note(self.start.rule, key)

    def close(
        self, effect_id: str, state: EffectState, *, detail: str = "", result: JSON = None
    ) -> None:
        """Note what became of the effect; a confirmed one stays confirmed."""
        entry = self._entries[effect_id]
        if entry.state is EffectState.CONFIRMED:
            return
        # A refusal settles an attempt; being parked settles nothing.
        if state is EffectState.PARKED and entry.state in _IN_DOUBT:
            entry.doubtful = True
        entry.state = state
        entry.result = result
        self.store.note([Verdict(effect_id, state, self.clock.now(), detail, result)])

    def remark(self, effect_id: str, told: str) -> None:
        """Write down what was heard of an accepted effect; it stays what it is."""
        entry = self._entries.get(effect_id)
        if entry is not None and entry.state is EffectState.ACCEPTED:
            self.close(effect_id, entry.state, detail=told, result=entry.result)

    def confirm(self, effect_id: str) -> None:
        """Note that the echo of the effect came; the store learns it with the echo's batch."""
        entry = self._entries.get(effect_id)
        if entry is not None:
            entry.state = EffectState.CONFIRMED

    def completed(self, key: SessionKey) -> bool:
        """Return whether the run itself has ended this session, or in shadow would have."""
        if not self._entries:
            return False
        return any(
            entry.intent.operation == "Complete"
            and (entry.intent.agent, entry.intent.session_id) == key
            and entry.state in _COMPLETED
            for entry in self._entries.values()
        )

    def attempts(self, step_key: str) -> int:
        """Return how often the step was surely tried, by what is not done of it."""
        if not self._entries:
            return 0
        tried = [
            entry.intent.attempt - (entry.state in _IN_DOUBT)
            for effect_id, entry in self._entries.items()
            if entry.state not in _CARRIED_OUT and effect_id.startswith(f"{step_key}/")
        ]
        return max(tried, default=0)

    def unsaid_since(self, step_key: str) -> datetime | None:
        """Return since when a message of the step is surely not said; None when none is."""
        if not self._entries:
            return None
        since = [
            entry.first_at or entry.intent.at
            for effect_id, entry in self._entries.items()
            if entry.state is EffectState.FAILED
            and entry.intent.echo is not None
            and effect_id.startswith(f"{step_key}/")
        ]
        return min(since, default=None)

    def has_tried(self, step_key: str) -> bool:
        """Return whether an effect of the step was begun already."""
        if not self._entries:
            return False
        return any(effect_id.startswith(f"{step_key}/") for effect_id in self._entries)

    def in_doubt(self, step_key: str) -> list[Intent]:
        """Return the step's effects that nobody knows the outcome of."""
        if not self._entries:
            return []
        return [
            entry.intent
            for effect_id, entry in self._entries.items()
            if effect_id.startswith(f"{step_key}/") and entry.state in _IN_DOUBT
        ]

    def park(self, step_key: str, detail: str) -> bool:
        """Park what the step could not carry out, for a person to decide; return if it was any."""
        return self.end(step_key, EffectState.PARKED, detail)

    def end(
        self, step_key: str, state: EffectState, detail: str, *, in_session: bool = False
    ) -> bool:
        """Give up what the step could not carry out; return if it was anything.

        Args:
            step_key: The step.
            state: What becomes of it.
            detail: Why.
            in_session: Whether only what is done in a session is given up.
        """
        undone = [
            effect_id
            for effect_id, entry in self._entries.items()
            if effect_id.startswith(f"{step_key}/")
            and (entry.state in _UNDONE or _was_refused(entry.result))
            and not (in_session and entry.intent.operation not in _IN_SESSION)
        ]
        for effect_id in undone:
            doubt = _DOUBT if self.is_in_doubt(effect_id) and in_session else ""
            self.close(effect_id, state, detail=f"{detail}{doubt}")
        return bool(undone)

    def free_once(self) -> list[Change]:
        """Return the change that takes the once mark back, if nothing was or may have been done."""
        scope = self.start.once_scope
        if scope is None or not self.marked:
            return []
        if self.has_begun:
            return []
        return [OnceTakenBack(self.start.rule.id, scope)]

    def _mark(self, now: datetime) -> list[Change]:
        if self.marked or self.start.once_scope is None:
            return []
        self.marked = True
        return [OnceMarked(self.start.rule.id, self.start.once_scope, self.start.run_id, now)]


def _was_refused(result: JSON) -> bool:
    """Return whether this is an HTTP answer that says no."""
    return isinstance(result, dict) and result.get("status", 0) >= 400  # noqa: PLR2004  HTTP
