"""How fast the agents of one imbot may log in together: GWS is not to be stormed.

They begin one after another, at a rate that falls to half when logins fail as they do where a
server is overloaded or away, and rises with each that succeeds. So nothing is to be set, an outage
is asked about once a second, and what comes back is not buried. Source: contract 9.5;
reliability H4.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import inf

import structlog

from imbot.clock import Clock
from imbot.errors import ActionError, FaultClass, TemporaryError

#: Logins that begin in one second at most, and at least.
LOGINS_PER_S, LEAST_PER_S = 100.0, 1.0

#: Logins at the same time. Where more share a slow server or machine, each takes so long that its
#: Bayeux session expires before it polls, and none gets in.
LOGINS_AT_ONCE = 50

#: So many begin at once when there were none for a while.
BURST = 10

#: A login is about a dozen requests; what takes but one waits for a tenth of its turn.
ONE_REQUEST = 0.1

#: By so many logins in a second the rate rises with each login that succeeds.
_RISE_PER_S = 0.5

#: Between two falls of the rate: what failed together says no more than one.
_FALLS_APART_S = 1.0

#: What an overloaded or missing server answers.
_OF_LOAD = frozenset({FaultClass.SERVER, FaultClass.TRANSPORT, None})

log = structlog.get_logger()


class Admission:
    """Whose turn it is; one for all agents.

    Args:
        clock: Time.
        places: How many may log in at the same time.
        why_halted: Says why nobody may accept a session that rings; empty while they may.

    Attributes:
        why_halted: The same.
        per_s: How many logins may begin in a second now.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        places: int = LOGINS_AT_ONCE,
        why_halted: Callable[[], str] = str,
    ) -> None:
        self.why_halted = why_halted
        self._clock = clock
        self._places = asyncio.Semaphore(places)
        self._turns = asyncio.Lock()
        self._next_at = -inf
        self._fell_at = 0.0
        self.per_s = LOGINS_PER_S

    @asynccontextmanager
    async def login(self) -> AsyncIterator[None]:
        """Wait for a turn and keep a place for the block, whose outcome sets the rate."""
        async with self._places:
            await self.turn()
            began_at = self._clock.monotonic()
            try:
                yield
            except TemporaryError as error:
                self._note_failure(error, began_at)
                raise
            self.per_s = min(LOGINS_PER_S, self.per_s + _RISE_PER_S)

    async def turn(self, share: float = 1.0) -> None:
        """Wait for a turn, or for a share of one."""
        async with self._turns:
            now = self._clock.monotonic()
            since = now - (BURST - 1) / self.per_s
            self._next_at = max(self._next_at, since)
            if self._next_at > now:
                await self._clock.sleep(self._next_at - now)
            self._next_at += share / self.per_s

    def _note_failure(self, error: ActionError, began_at: float) -> None:
        fault_class = None if error.fault is None else error.fault.fault_class
        now = self._clock.monotonic()
        is_old_news = began_at < self._fell_at or now - self._fell_at < _FALLS_APART_S
        if fault_class not in _OF_LOAD or is_old_news:
            return
        self._fell_at = now
        if self.per_s > LEAST_PER_S:
            self.per_s = max(LEAST_PER_S, self.per_s / 2)
            log.info("logins.slower", per_s=self.per_s, cause=str(error))
