"""What effects add up to, by session and by minute: of each rule that has a budget, and of all.

A budget is asked for when a match is decided on and before each step. An effect that is tried
again counts once.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from imbot.clock import Clock
from imbot.model import SessionKey
from imbot.rulebook.schema import Budget, Rule

#: No budget at all.
UNLIMITED = Budget()

#: Sessions that are over whose counts are kept: their last events are still to be decided on.
REMEMBERED_COMPLETED = 1000

#: Sessions whose effects are counted; beyond that the one that was begun on first is forgotten.
#: A run may act long after its session is over, and nobody tells when that was for the last time.
COUNTED_SESSIONS = 20_000

_MINUTE_S = 60.0

#: Stands for all rules where counts go by rule.
_ALL = ""


class Spent(NamedTuple):
    """How many effects there were in one session, and within the last minute."""

    in_session: int = 0
    lately: int = 0


def why_spent(rule: Rule, by_rule: Spent, most: Budget, by_all: Spent) -> str:
    """Return which budget is spent: the rule's, the session's or the daemon's; empty for none.

    Args:
        rule: Whose budget is asked first.
        by_rule: What its effects add up to.
        most: The budget of all rules together.
        by_all: What the effects of all rules add up to.
    """
    if rule.budget is not None and (why := _why(rule.budget, by_rule, "", ("rule", "rule"))):
        return why
    return _why(most, by_all, " of all rules", ("session", "daemon"))


def _why(budget: Budget, spent: Spent, whose: str, owners: tuple[str, str]) -> str:
    most, lately = budget.per_session, budget.per_minute
    if most is not None and spent.in_session >= most:
        told = f"{spent.in_session} effects{whose} in this session"
        return f"{told}, the {owners[0]}'s budget is {most}"
    if lately is not None and spent.lately >= lately:
        told = f"{spent.lately} effects{whose} within a minute"
        return f"{told}, the {owners[1]}'s budget is {lately}"
    return ""


class Spending:
    """Counts effects.

    Args:
        clock: Tells how long ago a minute is, whatever the clock on the wall is set to.
        most: The budget of all rules together.
    """

    def __init__(self, clock: Clock, most: Budget = UNLIMITED) -> None:
        self._clock = clock
        self._most = most
        self._is_limited = most != UNLIMITED
        self._in_session: dict[SessionKey, Counter[str]] = {}
        self._lately: defaultdict[str, deque[float]] = defaultdict(deque)
        self._over: deque[SessionKey] = deque()

    def note(self, rule: Rule, key: SessionKey | None) -> None:
        """Count an effect, if a budget may ask for it."""
        if rule.budget is not None:
            self._add(rule.id, key)
        if self._is_limited:
            self._add(_ALL, key)

    def restore(
        self,
        spent: Mapping[tuple[str, SessionKey], int],
        lately: Iterable[tuple[str, datetime]],
    ) -> None:
        """Take back what was spent before a restart.

        Args:
            spent: The effects of each rule in each session that goes on.
            lately: The rule and the moment of each effect of the last minute, the oldest first.
        """
        for (rule_id, key), effects in spent.items():
            self._in_session.setdefault(key, Counter()).update({rule_id: effects, _ALL: effects})
        now, here = self._clock.now(), self._clock.monotonic()
        for rule_id, at in lately:
            began = here - max((now - at).total_seconds(), 0.0)
            self._lately[rule_id].append(began)
            self._lately[_ALL].append(began)

    def why_not(self, rule: Rule, key: SessionKey | None) -> str:
        """Return which budget allows the rule no more effects now; empty while all do."""
        if rule.budget is None and not self._is_limited:
            return ""
        return why_spent(rule, self._spent(rule.id, key), self._most, self._spent(_ALL, key))

    def forget(self, key: SessionKey) -> None:
        """Let go of what is kept of a session that is over, in a while."""
        self._over.append(key)
        if len(self._over) > REMEMBERED_COMPLETED:
            self._in_session.pop(self._over.popleft(), None)

    def _add(self, owner: str, key: SessionKey | None) -> None:
        self._lately[owner].append(self._clock.monotonic())
        # A session that a run in shadow would have begun is another one each time.
        if key is not None and key.session_id:
            self._in_session.setdefault(key, Counter())[owner] += 1
            if len(self._in_session) > COUNTED_SESSIONS:
                del self._in_session[next(iter(self._in_session))]

    def _spent(self, owner: str, key: SessionKey | None) -> Spent:
        counts = None if key is None else self._in_session.get(key)
        return Spent(0 if counts is None else counts[owner], self._of_last_minute(owner))

    def _of_last_minute(self, owner: str) -> int:
        lately = self._lately[owner]
        since = self._clock.monotonic() - _MINUTE_S
        while lately and lately[0] <= since:
            lately.popleft()
        return len(lately)
