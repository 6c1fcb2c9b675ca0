"""What people steer while imbot serves; each switch is kept before it is answered.

It takes effect at once, though: who stops all effects must not wait for a disk.
"""

import structlog

from imbot.clock import Clock
from imbot.engine.openings import Openings
from imbot.engine.switches import Halt, RuleSwitch, Switches
from imbot.ports import Store
from imbot.rulebook.schema import Budget

log = structlog.get_logger()


class Steering:
    """Switches, and writes it down.

    Args:
        switches: What rules and effects ask.
        openings: The calendars.
        store: Keeps it.
        clock: Tells when.
    """

    def __init__(self, switches: Switches, openings: Openings, store: Store, clock: Clock) -> None:
        self.switches = switches
        self.openings = openings
        self._store = store
        self._clock = clock

    async def halt(self, by: str, why: str = "") -> None:
        """Stop all effects: what is not sent yet is not sent.

        Raises:
            StoreError: They are stopped, but not over a restart.
        """
        log.warning("effects.halted", by=by, why=why)
        await self._store.commit(self.switches.stop(Halt(by, self._clock.now(), why)))

    async def release(self, by: str) -> None:
        """Let effects go on: those of what happens from now on.

        Raises:
            StoreError: They go on, but not over a restart.
        """
        log.warning("effects.released", by=by)
        await self._store.commit(self.switches.stop(None))

    async def switch_rule(
        self,
        rule_id: str,
        by: str,
        *,
        is_off: bool = False,
        shadow: bool | None = None,
        budget: Budget | None = None,
    ) -> None:
        """Lay a switch over a rule; one that changes nothing takes it away.

        Raises:
            StoreError: It is switched, but not over a restart.
        """
        switch = RuleSwitch(by, self._clock.now(), is_off=is_off, shadow=shadow, budget=budget)
        is_plain = not is_off and shadow is None and budget is None
        log.warning("rule.switched", rule=rule_id, by=by, is_off=is_off, shadow=shadow)
        await self._store.commit(self.switches.switch(rule_id, None if is_plain else switch))

    async def close(self, calendar: str, by: str, *, closed: bool) -> None:
        """Close a calendar, whatever its hours are, or let them count again.

        Raises:
            ImbotError: There is no such calendar; the text names the nearest.
            StoreError: It is switched, but not over a restart.
        """
        changes = self.openings.switch(calendar, closed=closed)
        log.warning("calendar.switched", calendar=calendar, by=by, closed=closed)
        await self._store.commit(changes)
