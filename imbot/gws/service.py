"""What an agent does while it is logged in: resync, prove that it hears, accept invitations.

One coroutine does one thing after the other, woken by the feed or by time, until the login must be
renewed. Source: contract 1.9, 2.10, 3.9; reliability I8.
"""

import structlog

from imbot.clock import Clock
from imbot.errors import ActionError, FaultClass
from imbot.gws.admission import ONE_REQUEST, Admission
from imbot.gws.feed import Feed
from imbot.gws.flag import Flag
from imbot.gws.invitations import Invitations
from imbot.gws.login import Login
from imbot.ports import Random

#: A difference between the sessions GWS lists and those it told of may be a notification on its
#: way; only one that is still there after this is a proof that the subscription is dead.
SECOND_LOOK_S = 2.0
#: So long without an answered poll and nobody noticed: whatever polled is dead.
SILENCE_S = 300.0
_MAX_RETRY_S = 30.0
#: An HTTP session that has to be renewed more often within a minute is no good.
MAX_MENDS = 30
_MEND_WINDOW_S = 60.0
#: Nothing here is finer; a timer that fires a rounding error early counts as due.
_TICK_S = 0.001

log = structlog.get_logger()


class Service:
    """The time of one login.

    Args:
        login: Its login.
        feed: What it hears.
        ready: Set while operations may go out.
        invitations: What rings.
        clock: Time.
        random: Spreads proofs and retries.
        admission: Gives each agent its turn, for what all may do at the same moment.
        resync_s: Time between two proofs.
    """

    def __init__(
        self,
        login: Login,
        *,
        feed: Feed,
        ready: Flag,
        invitations: Invitations,
        clock: Clock,
        random: Random,
        admission: Admission,
        resync_s: float,
    ) -> None:
        self._user = login.facts.user
        self._login = login
        self._feed = feed
        self._ready = ready
        self._invitations = invitations
        self._clock = clock
        self._random = random
        self._admission = admission
        self._resync_s = resync_s
        self._lost = ""
        self._again = ""
        self._mended_at: list[float] = []
        self._retries = 0
        self._resync_at = 0.0
        self._proof_at = 0.0
        self._suspicions: frozenset[str] = frozenset()

    def lose(self, cause: str) -> None:
        """Note that GWS does not know the HTTP session any more; operations wait for another."""
        self._ready.clear()
        self._lost = self._lost or cause
        self._feed.wake.set()

    def give_up(self, cause: str) -> None:
        """Note that another HTTP session did not help: it takes another login."""
        self._ready.clear()
        self._again = self._again or cause
        self._feed.wake.set()

    async def serve(self) -> str:
        """Return why the login must be renewed, when it must.

        Raises:
            ActionError: GWS refuses for good: the feature is off.
            StoreError: The intake takes nothing more.
        """
        self._plan_proof(frozenset())
        while True:
            self._feed.wake.clear()
            if self._feed.broken is not None:
                raise self._feed.broken
            if cause := self._why_mend():
                if not await self._mended():
                    return cause
            elif cause := self._why_end():
                return cause
            elif not await self._did_something():
                await self._feed.wait(self._next_at() - self._clock.monotonic())

    def _why_mend(self) -> str:
        fault = self._feed.refusal
        # Without an HTTP status the server ended the Bayeux session: nothing to go on with.
        if fault is None or fault.http_status is None:
            return self._lost
        return f"the subscription was refused: {fault}"

    def _why_end(self) -> str:
        if (fault := self._feed.refusal) is not None:
            return f"the subscription was refused: {fault}"
        devices = self._feed.devices
        if devices and all(device.is_logged_out for device in devices):
            return "the agent was logged out elsewhere"
        return self._again

    async def _mended(self) -> bool:
        """Return whether a new HTTP session was enough."""
        now = self._clock.monotonic()
        self._mended_at = [at for at in self._mended_at if now - at < _MEND_WINDOW_S] + [now]
        if len(self._mended_at) > MAX_MENDS:
            return False
        self._ready.clear()
        try:
            async with self._admission.login():
                await self._login.mend(reopens=self._feed.refusal is not None)
        except ActionError as error:
            log.info("agent.mend_failed", agent=self._user, cause=str(error))
            return False
        self._lost = ""
        self._ready.set()
        await self._feed.beat()
        log.info("agent.mended", agent=self._user)
        return True

    async def _did_something(self) -> bool:
        now = self._clock.monotonic() + _TICK_S
        if self._feed.services_changed:
            self._feed.services_changed = False
            self._proof_at = now
        if (invitation := self._invitations.take(now)) is not None:
            await self._accept(*invitation)
        elif self._feed.is_due and now >= self._resync_at:
            await self._resync()
        elif now >= self._proof_at:
            await self._prove_alive()
        else:
            return False
        return True

    def _next_at(self) -> float:
        resync_at = self._resync_at if self._feed.is_due else None
        moments = (self._proof_at, resync_at, self._invitations.next_at())
        return min(moment for moment in moments if moment is not None)

    async def _accept(self, session_id: str, operation: str) -> None:
        facts = {"agent": self._user, "session": session_id, "operation": operation}
        if halted := self._admission.why_halted():
            self._invitations.give_back(session_id)
            log.warning("agent.rings_on", agent=self._user, session=session_id, cause=halted)
            return
        if not operation:
            log.warning("agent.rings_on", agent=self._user, session=session_id)
            return
        try:
            await self._login.client.operate(session_id, operation)
        except ActionError as error:
            log.warning("agent.accept_failed", **facts, cause=str(error))
            if is_login_lost(error):
                self._invitations.give_back(session_id)
                self._feed.want_snapshot()
                self.lose(str(error))
        else:
            log.info("agent.accepted", **facts)

    async def _resync(self) -> None:
        try:
            await self._admission.turn(ONE_REQUEST)
            await self._feed.resync(self._login.client)
        except ActionError as error:
            self._note_trouble(error)
            pause_s = self._random.uniform(0.0, min(_MAX_RETRY_S, 2.0**self._retries))
            self._retries = min(self._retries + 1, 5)
            self._resync_at = self._clock.monotonic() + pause_s
        else:
            self._retries = 0

    async def _prove_alive(self) -> None:
        """Compare what GWS lists with what it told; keeps the HTTP session alive, too."""
        differences: frozenset[str] = frozenset()
        try:
            sessions = await self._login.client.sessions()
        except ActionError as error:
            self._note_trouble(error)
        else:
            if self._feed.is_whole:
                differences = self._feed.known.differences(sessions)
            if not differences:
                await self._feed.beat()
        if missed := differences & self._suspicions:
            self._feed.note_silence()
            self.give_up(f"the subscription is silent: {', '.join(sorted(missed)[:3])}")
        elif self._is_silent():
            self.give_up(f"no poll was answered for {SILENCE_S:g} s")
        self._plan_proof(differences)

    def _plan_proof(self, differences: frozenset[str]) -> None:
        self._suspicions = differences
        jittered_s = self._resync_s * self._random.uniform(0.9, 1.1)
        pause_s = SECOND_LOOK_S if differences else jittered_s
        self._proof_at = self._clock.monotonic() + pause_s

    def _is_silent(self) -> bool:
        good = self._login.last_good
        if good is None or not self._feed.is_whole:
            return False
        return (self._clock.now() - good.answered_at).total_seconds() > SILENCE_S

    def _note_trouble(self, error: ActionError) -> None:
        """Log in again where that is the cure; give up where nothing is."""
        if error.fault is not None and error.fault.fault_class is FaultClass.PERMISSION:
            raise error
        log.warning("agent.resync_failed", agent=self._user, cause=str(error))
        if is_login_lost(error):
            self.lose(str(error))


def is_login_lost(error: ActionError) -> bool:
    """Return whether only another login helps; a second CSRF refusal is such a case, too."""
    lost = {FaultClass.AUTH, FaultClass.CSRF}
    return error.fault is not None and error.fault.fault_class in lost
