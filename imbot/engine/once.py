"""Once marks and turns: what a rule has done, is doing and waits to do, by scope and by key."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterable

from imbot.ports import Store

#: Marks remembered as set or not set; the store knows the rest.
REMEMBERED_MARKS = 200_000


class OnceMarks:
    """Which (rule id, scope) pairs are marked; the store's answer is asked for once and kept."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: OrderedDict[tuple[str, str], bool] = OrderedDict()

    async def load(self, marks: Iterable[tuple[str, str]]) -> None:
        """Learn from the store about the pairs that are not known yet."""
        asked = [mark for mark in marks if mark not in self._known]
        if not asked:
            return
        marked = await self._store.marked(asked)
        for mark in asked:
            self._known.setdefault(mark, mark in marked)
        while len(self._known) > REMEMBERED_MARKS:
            self._known.popitem(last=False)

    def presume_free(self, rule_id: str, scope: str) -> None:
        """Take a pair that is not known yet as free: its session has only just begun."""
        self._known.setdefault((rule_id, scope), False)
        self._trim()

    def _trim(self) -> None:
        while len(self._known) > REMEMBERED_MARKS:
            self._known.popitem(last=False)

    def is_set(self, rule_id: str, scope: str) -> bool:
        """Return whether the rule has acted, or acts, within this scope."""
        return self._known.get((rule_id, scope), False)

    def set(self, rule_id: str, scope: str) -> None:
        """Reserve the scope for a run that begins."""
        self._known[rule_id, scope] = True

    def free(self, rule_id: str, scope: str) -> None:
        """Give the scope back: the run has done nothing."""
        self._known[rule_id, scope] = False


class Turns:
    """Runs of one rule with one key take turns, first come first served."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], deque[asyncio.Future[None]]] = {}

    def busy(self, rule_id: str, key: str) -> bool:
        """Return whether a run goes on or waits."""
        return (rule_id, key) in self._waiting

    def take(self, rule_id: str, key: str) -> "asyncio.Future[None] | None":
        """Take a place; return what to wait for until it is our turn, None when it is at once."""
        waiting = self._waiting.get((rule_id, key))
        if waiting is None:
            self._waiting[rule_id, key] = deque()
            return None
        turn = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        return turn

    def leave(self, rule_id: str, key: str) -> None:
        """End our turn; the next run goes on."""
        waiting = self._waiting.get((rule_id, key), ())
        while waiting:
            turn = waiting.popleft()
            if not turn.cancelled():
                turn.set_result(None)
                return
        self._waiting.pop((rule_id, key), None)
