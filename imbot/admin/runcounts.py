"""How often each rule ran, as the store knows it."""

from collections.abc import Mapping

from imbot.admin.office import Office
from imbot.store.views import RuleView

#: Counting takes at most such a share of the time, however often somebody asks.
_SHARE = 0.01


class RunCounts:
    """Counts the runs of each rule, and tells it for a while.

    The store has a row for each run: with a long history, counting takes as long as a page may.
    An index would make it short, and each run longer.

    Args:
        office: The imbot whose runs they are.
    """

    def __init__(self, office: Office) -> None:
        self._office = office
        self._counted: Mapping[str, RuleView] = {}
        self._good_until = float("-inf")

    async def counted(self) -> Mapping[str, RuleView]:
        """Return how often each rule ran, by its id; nothing of one that never did.

        Raises:
            StoreError: The store cannot be read.
        """
        began = self._office.clock.monotonic()
        if began >= self._good_until:
            found = await self._office.reader.look(lambda views: views.rules())
            self._counted = {view.rule_id: view for view in found}
            ended = self._office.clock.monotonic()
            self._good_until = ended + (ended - began) * (1 / _SHARE - 1)
        return self._counted
