"""Once marks and turns: what a rule has done, is doing and waits to do, by scope and by key."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from imbot.model import SessionKey
from imbot.ports import Store
from imbot.records import Change, OnceMarked

#: Marks remembered as set or not set, besides those that runs hold; the store knows the rest.
REMEMBERED_MARKS = 20_000


class OnceMarks:
    """Since when (rule id, scope) pairs are marked; the store is asked once for each, and kept.

    Attributes:
        lost: Sessions of which nobody knows what rules have done in them: all counts as done.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: OrderedDict[tuple[str, str], datetime | None] = OrderedDict()
        self._held: set[tuple[str, str]] = set()
        self.lost: set[SessionKey] = set()

    async def load(self, marks: Iterable[tuple[str, str]]) -> None:
        """Learn from the store about the pairs that are not known yet; all are known then."""
        asked = []
        for mark in marks:
            if mark in self._known:
                # While the store is asked for others, this one must not be forgotten.
                self._known.move_to_end(mark)
            else:
                asked.append(mark)
        if not asked:
            return
        marked = await self._store.marked(asked)
        for mark in asked:
            self._known.setdefault(mark, marked.get(mark))
        self._trim()

    def presume_set(self, pairs: Iterable[tuple[str, str]], at: datetime) -> list[Change]:
        """Take pairs whose session has lost its marks as set; return what must be kept of it."""
        free = [pair for pair in pairs if not self.is_set(*pair)]
        for rule_id, scope in free:
            self.set(rule_id, scope, at)
        return [OnceMarked(rule_id, scope, "", at) for rule_id, scope in free]

    def presume_free(self, rule_id: str, scope: str) -> None:
        """Take a pair that is not known yet as free: its session has only just begun."""
        self._known.setdefault((rule_id, scope), None)
        self._trim()

    def _trim(self) -> None:
        for _ in range(len(self._known) - REMEMBERED_MARKS):
            mark, at = self._known.popitem(last=False)
            if mark in self._held:
                self._known[mark] = at

    def is_set(self, rule_id: str, scope: str) -> bool:
        """Return whether the rule has acted, or acts, within this scope."""
        return self.set_at(rule_id, scope) is not None

    def set_at(self, rule_id: str, scope: str) -> datetime | None:
        """Return when the pair was marked; None when it is not."""
        return self._known.get((rule_id, scope))

    def set(self, rule_id: str, scope: str, at: datetime) -> None:
        """Take note of a mark that the store has, or is about to have."""
        self._known[rule_id, scope] = at

    def reserve(self, rule_id: str, scope: str, at: datetime) -> None:
        """Hold the scope for a run that begins: until it acts, no store knows of it."""
        self.set(rule_id, scope, at)
        self._held.add((rule_id, scope))

    def keep(self, rule_id: str, scope: str) -> None:
        """Leave the scope marked: the run has ended, and acted."""
        self._held.discard((rule_id, scope))

    def free(self, rule_id: str, scope: str) -> None:
        """Give the scope back: the run has ended, and done nothing."""
        self._held.discard((rule_id, scope))
        self._known[rule_id, scope] = None


@dataclass(slots=True, eq=False)
class Turn:
    """The place of a run among those of its rule and key.

    Attributes:
        run_id: The run.
        is_due: Whether it may go on.
        on_due: Called when it may, if that is later.
    """

    run_id: str
    place: tuple[str, str]
    is_due: bool
    on_due: Callable[[], None] | None = None


class Turns:
    """Runs of one rule with one key take turns, first come first served, or go side by side.

    A run keeps its turn while it waits.
    """

    def __init__(self) -> None:
        self._taken: dict[tuple[str, str], list[Turn]] = {}

    def __len__(self) -> int:
        """Return for how many rules and keys there are runs."""
        return len(self._taken)

    def busy(self, rule_id: str, key: str) -> int:
        """Return how many runs go on or wait."""
        return len(self._taken.get((rule_id, key), ()))

    def of(self, rule_id: str, key: str) -> list[str]:
        """Return the runs that go on or wait."""
        return [turn.run_id for turn in self._taken.get((rule_id, key), ())]

    def take(self, run_id: str, rule_id: str, key: str, *, side_by_side: bool = False) -> Turn:
        """Take a place behind those that have one already."""
        turns = self._taken.setdefault((rule_id, key), [])
        turn = Turn(run_id, (rule_id, key), is_due=side_by_side or not turns)
        turns.append(turn)
        return turn

    def leave(self, turn: Turn) -> None:
        """End a turn; the next run goes on."""
        turns = self._taken[turn.place]
        turns.remove(turn)
        if not turns:
            del self._taken[turn.place]
        elif not turns[0].is_due:
            turns[0].is_due = True
            if turns[0].on_due is not None:
                turns[0].on_due()
