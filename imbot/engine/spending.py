"""What the effects of rules that have a budget add up to, by session and by minute."""

from collections import deque
from datetime import datetime, timedelta

from imbot.clock import Clock
from imbot.model import SessionKey
from imbot.rulebook.schema import Rule

_MINUTE = timedelta(minutes=1)


class Spending:
    """Counts effects; one that is tried again counts once.

    Args:
        clock: Tells which minute it is.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._in_session: dict[SessionKey, dict[str, int]] = {}
        self._lately: dict[str, deque[datetime]] = {}

    def note(self, rule: Rule, key: SessionKey | None) -> None:
        """Count an effect of a rule, if it has a budget."""
        if rule.budget is None:
            return
        self._lately.setdefault(rule.id, deque()).append(self._clock.now())
        if key is not None:
            spent = self._in_session.setdefault(key, {})
            spent[rule.id] = spent.get(rule.id, 0) + 1

    def restore(self, rule_id: str, key: SessionKey, effects: int) -> None:
        """Take back what was spent in a session before a restart."""
        self._in_session.setdefault(key, {})[rule_id] = effects

    def why_not(self, rule: Rule, key: SessionKey | None) -> str:
        """Return which part of the rule's budget is spent; empty while none is."""
        budget = rule.budget
        if budget is None:
            return ""
        spent = 0 if key is None else self._in_session.get(key, {}).get(rule.id, 0)
        if budget.per_session is not None and spent >= budget.per_session:
            return f"{spent} effects in this session, the budget is {budget.per_session}"
        lately = len(self._of_last_minute(rule.id))
        if budget.per_minute is not None and lately >= budget.per_minute:
            return f"{lately} effects within a minute, the budget is {budget.per_minute}"
        return ""

    def forget(self, key: SessionKey) -> None:
        """Drop what is kept of a session that is over."""
        self._in_session.pop(key, None)

    def _of_last_minute(self, rule_id: str) -> "deque[datetime]":
        lately = self._lately.get(rule_id, deque())
        since = self._clock.now() - _MINUTE
        while lately and lately[0] <= since:
            lately.popleft()
        return lately
