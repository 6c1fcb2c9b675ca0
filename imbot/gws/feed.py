"""What one agent's wire brings, in order: notifications and snapshots become batches of notices.

It listens to the Bayeux client, holds notifications back while a snapshot is being read, asks GWS
about sessions that nobody announced, and hands everything to the intake. It decides nothing about
logins: the agent looks at what it remembers. Source: contract 2.9, 2.10, 9.4.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Protocol

import structlog

from imbot.clock import Clock
from imbot.errors import ActionError, Fault, StoreError
from imbot.gws.client import GwsClient
from imbot.gws.flag import Flag
from imbot.gws.known import REMEMBERED, KnownSessions, is_early
from imbot.gws.left import AWAY, Left
from imbot.gws.notifications import Device, DeviceNotice, heard
from imbot.gws.remembered import Remembered
from imbot.gws.undocumented import Undocumented
from imbot.model import (
    JSON,
    Batch,
    ConnectionChange,
    ConnectionNotice,
    GoodPoll,
    ImSession,
    MessageNotice,
    Notice,
    SessionNotice,
    SessionState,
    SnapshotNotice,
    Subscription,
)
from imbot.ports import Intake

#: Longest that notifications wait for a snapshot: a poll not answered by the next one within
#: CometD's maxInterval (10 s) ends the Bayeux session.
HOLD_S = 4.0

SERVICES_CHANNEL = "/notifications/services"

log = structlog.get_logger()


class Wire(Protocol):
    """What a feed needs of the login that it listens for."""

    @property
    def client(self) -> GwsClient:
        """GWS for this login."""
        ...

    @property
    def last_good(self) -> GoodPoll | None:
        """The last poll that was answered well."""
        ...

    @property
    def asked_at(self) -> datetime:
        """When the reply that is handed over was asked for."""
        ...

    @property
    def is_sound(self) -> bool:
        """Whether the last poll was answered well, and none has failed since."""
        ...

    def subscription(self) -> Subscription | None:
        """Return what another process needs to go on; None before there is anything."""
        ...

    def has_keys_of(self, kept: Subscription) -> bool:
        """Return whether cookies and tokens are still those; quicker than to look at all."""
        ...


class Feed:
    """The listener of one agent's Bayeux clients, one after the other.

    Args:
        user: The agent.
        intake: Where batches go.
        clock: Time.
        seen: Called with each session, after the intake has it.
        turn: Returns when it is the agent's turn to begin anew.
        undocumented: Counts what GWS says that is not documented.

    Attributes:
        known: The sessions that the agent was told of.
        devices: The agent's devices as last shown.
        wake: Set whenever the agent should look here.
        refusal: Why GWS does not want this login any more; None while it does.
        broken: Why the intake takes nothing more; None while it does.
        is_whole: Whether notifications arrive.
        cause: Why they do not, or last did not.
        lost_at: When they last stopped arriving; None while they never did.
        gaps: How often some may have been lost.
        is_due: Whether a snapshot is due.
        services_changed: Whether GWS told of a change in its services.
        heard_since: Since when nothing can have been lost; None while something is.
    """

    def __init__(
        self,
        user: str,
        intake: Intake,
        *,
        clock: Clock,
        seen: Callable[[ImSession], None],
        turn: Callable[[], Awaitable[None]],
        undocumented: Undocumented,
    ) -> None:
        self._user = user
        self._intake = intake
        self._clock = clock
        self._seen = seen
        self._turn = turn
        self._undocumented = undocumented
        self._wire: Wire | None = None
        self._is_in_service = False
        self._cut: GoodPoll | None = None
        self._gap_good: GoodPoll | None = None
        self._left_good: GoodPoll | None = None
        self._goes_on = False
        self._is_silent = False
        self._kept: Subscription | None = None
        self._acknowledged: tuple[str, int | None] = ("", None)
        self._heard_at = clock.now()
        self._owed: list[ConnectionNotice] = []
        self._since: datetime | None = None
        self._strangers = Remembered(REMEMBERED)
        self._may_pass = Flag()
        self.known = KnownSessions()
        self.devices: tuple[Device, ...] = ()
        self.wake = Flag()
        self.refusal: Fault | None = None
        self.broken: StoreError | None = None
        self.is_whole = False
        self.cause = ""
        self.lost_at: datetime | None = None
        self.gaps = 0
        self.is_due = False
        self.services_changed = False
        self.heard_since: datetime | None = None

    # What the Bayeux client calls -------------------------------------------------------------

    async def messages(
        self, elements: Sequence[JSON], client_id: str | None, ack: int | None
    ) -> None:
        """Return when what one reply brought is kept.

        Raises:
            StoreError: It could not be kept.
        """
        notices = self._read(elements)
        if notices:
            await self._wait_for_snapshot()
            notices = await self._introduced(notices)
        if notices or ack is not None:
            await self._hand(Batch(self._user, tuple(notices), client_id, ack))

    async def gap(self, cause: str, good: GoodPoll) -> None:
        """Note that messages may have been lost; the agent reads a snapshot."""
        self.heard_since = self._clock.now()
        if self._goes_on:
            self._goes_on = False
            cause = cause if cause == AWAY else f"{AWAY}: {cause}"
        self._owe_gap(cause, good)

    async def down(self, cause: str) -> None:
        """Tell that notifications do not arrive, once."""
        if not self.is_whole:
            return
        self.is_whole = False
        self.cause = cause
        self.lost_at = self._clock.now()
        log.warning("agent.lost", agent=self._user, cause=cause)
        lost = ConnectionNotice(ConnectionChange.LOST, self.lost_at, cause)
        await self._hand(Batch(self._user, (lost,), is_farewell=self._is_silent))

    async def up(self) -> None:
        """Note that notifications arrive again; while the agent logs in, it decides when."""
        if self._is_in_service:
            self._restore()

    async def turn(self) -> None:
        """Return when it is the agent's turn to begin a new Bayeux session."""
        await self._turn()

    async def refused(self, fault: Fault) -> None:
        """Note that GWS wants another login."""
        self.refusal = fault
        self.wake.set()

    async def warning(self, fault: Fault) -> None:
        """Log what went wrong without harm."""
        log.warning("bayeux.warning", agent=self._user, cause=str(fault))

    # What the agent calls ---------------------------------------------------------------------

    def attach(
        self, wire: Wire, devices: tuple[Device, ...] = (), *, left: Left | None = None
    ) -> None:
        """Begin with a new login.

        Args:
            wire: The login.
            devices: The agent's devices.
            left: What an earlier process left, if the login goes on with it.
        """
        self._wire = wire
        self._is_silent = False
        self._heard_at = self._clock.now()
        self._left_good = None
        if left is not None and left.resume is not None:
            self._goes_on = True
            self._left_good = left.good
            self._heard_at = left.good.asked_at
            self._kept = left.subscription
            self._acknowledged = left.resume.client_id, left.resume.ack
            self.heard_since = left.subscription.since
        self.devices = devices
        self.let_pass()

    def hold(self) -> None:
        """Have notifications wait for the next snapshot."""
        self._may_pass.clear()

    def let_pass(self) -> None:
        """Have notifications pass: who reads the snapshot is waiting for them itself."""
        self.refusal = None
        self._may_pass.set()

    async def cut(self, cause: str, good: GoodPoll | None) -> None:
        """Note that the login is given up; messages after its last good poll may be lost."""
        self._is_in_service = self._goes_on = False
        self.is_due = False
        self.heard_since = None
        await self.down(cause)
        self.cause = self.cause or cause
        self._cut = self._cut or good

    def note_silence(self) -> None:
        """Note that good polls prove nothing: GWS stopped telling, perhaps right after it last did.

        The login must be given up; its gap begins there.
        """
        self.heard_since = None
        self._is_silent = True
        self._cut = GoodPoll(self._heard_at, answered_at=self._clock.now())

    async def went_on(self) -> None:
        """Tell that nothing was lost between an earlier process and this one, if nothing was."""
        if self._goes_on:
            self._goes_on = False
            log.info("agent.resumed", agent=self._user)
            await self._hand(Batch(self._user, (), is_unbroken=True))

    async def beat(self) -> None:
        """Keep up to when nothing was lost, for whoever goes on without this process."""
        if self._is_in_service:
            await self._hand(self._positioned(Batch(self._user, ()), self._held()))

    async def farewell(self) -> None:
        """Keep that nobody can go on; at a stop, so that a store that fails stops nothing more."""
        self._is_in_service = False
        with suppress(StoreError):
            await self._hand(Batch(self._user, (), is_farewell=True))

    def want_snapshot(self) -> None:
        """Have the agent read a snapshot."""
        self.is_due = True
        self.hold()
        self.wake.set()

    async def resync(self, client: GwsClient, *, enters: bool = False) -> None:
        """Read all sessions and hand them over, after the news that made it necessary.

        Args:
            client: GWS.
            enters: Whether the agent is in service from now on, if this succeeds.

        Raises:
            ActionError: GWS did not answer.
            StoreError: The intake takes nothing.
        """
        self.is_due = False
        asked_at, before = self._clock.now(), tuple(self.known.live)
        try:
            sessions = await client.sessions()
        except ActionError:
            # The news waits: only the snapshot tells which sessions began in a gap.
            self.is_due = True
            self._may_pass.set()
            raise
        if enters:
            self.heard_since = self.heard_since or asked_at
            self._is_in_service, is_due = True, self.is_due
            self._restore()
            self.is_due = is_due  # what is restored needs no snapshot but this one
        since = self._since or asked_at
        snapshot = SnapshotNotice(sessions, self._clock.now(), asked_at, since)
        await self._hand(Batch(self._user, (*self._take_owed(), snapshot)))
        self.known.note_snapshot(sessions, before)
        for session in sessions:
            self._seen(session)
        if not self.is_due:
            self._since = None
            self._may_pass.set()

    async def show(self, session: ImSession) -> None:
        """Hand over a session that was found by asking."""
        await self._hand(Batch(self._user, (SessionNotice(session, self._clock.now()),)))

    async def wait(self, limit_s: float) -> None:
        """Return when there is something to look at, or after so many seconds."""
        timer = asyncio.get_running_loop().call_later(max(0.0, limit_s), self.wake.set)
        try:
            await self.wake.wait()
        finally:
            timer.cancel()

    def note_devices(self, devices: Iterable[Device]) -> None:
        """Take in devices as shown; others stay."""
        by_id = {device.id: device for device in self.devices}
        by_id.update((device.id, device) for device in devices)
        self.devices = tuple(by_id.values())
        self.wake.set()

    # Parts ------------------------------------------------------------------------------------

    def _read(self, elements: Sequence[JSON]) -> list[Notice]:
        received_at = self._clock.now()
        notices: list[Notice] = []
        for element in elements:
            if isinstance(element, dict) and element.get("channel") == SERVICES_CHANNEL:
                self.services_changed = True
                self.wake.set()
            else:
                self._undocumented.note(element, self._user)
            for one in heard(element, received_at=received_at):
                if isinstance(one, DeviceNotice):
                    self.note_devices(one.devices)
                else:
                    notices.append(one)
        if notices and self._wire is not None:
            # GWS may have made the reply long before it was read.
            self._heard_at = self._wire.asked_at
        return notices

    async def _wait_for_snapshot(self) -> None:
        if self._may_pass.is_set():
            return
        try:
            async with asyncio.timeout(HOLD_S):
                await self._may_pass.wait()
        except TimeoutError:
            log.info("agent.snapshot_late", agent=self._user)

    async def _introduced(self, notices: list[Notice]) -> list[Notice]:
        """Put before each message of an unknown session the session, as GWS shows it when asked.

        Who speaks, talks: so does one known to ring, whose notification was lost.
        """
        met: set[str] = set()
        introduced: list[Notice] = []
        for notice in notices:
            if isinstance(notice, SessionNotice):
                met.update((notice.session.id, *notice.session.aliases))
            elif isinstance(notice, MessageNotice) and notice.session_id not in met:
                met.add(notice.session_id)
                introduced += await self._before(notice.session_id)
            introduced.append(notice)
        return introduced

    async def _before(self, name: str) -> list[SessionNotice]:
        """Return what has to be known of a session before a message in it is."""
        if (early := self.known.early(name)) is not None:
            shown = next((notice.session for notice in await self._look_up(name)), early)
            if is_early(shown):
                shown = replace(shown, state=SessionState.TALKING.value, capabilities=None)
            return [SessionNotice(shown, self._clock.now())]
        if name in self._strangers or self.known.knows(name):
            return []
        return await self._look_up(name)

    async def _look_up(self, name: str) -> list[SessionNotice]:
        """Return the session, if GWS lists it; a name that it does not list is asked for once."""
        try:
            async with asyncio.timeout(HOLD_S):
                sessions = await self._wire.client.sessions() if self._wire else ()
        except (TimeoutError, ActionError) as error:
            log.warning("agent.look_up_failed", agent=self._user, cause=str(error))
            return []
        now = self._clock.now()
        found = [SessionNotice(one, now) for one in sessions if name in (one.id, *one.aliases)]
        if not found:
            self._strangers.add(name)
        return found

    async def _hand(self, batch: Batch) -> None:
        batch = self._told(batch)
        try:
            await self._intake.accept(batch)
        except StoreError as error:
            self.broken = error
            self.wake.set()
            raise
        for notice in batch.notices:
            if isinstance(notice, SessionNotice):
                self.known.note(notice.session)
                self._seen(notice.session)

    def _told(self, batch: Batch) -> Batch:
        """Return the batch with what another process needs to go on, where that has changed."""
        if batch.ack is not None:
            self._acknowledged = batch.client_id or "", batch.ack
            batch = replace(batch, good=self._good())
        if self._is_as_kept(batch):
            return batch
        held = self._held()
        if held is None or held == self._kept:
            return batch
        self._kept = held
        return replace(self._positioned(batch, held), subscription=held)

    def _is_as_kept(self, batch: Batch) -> bool:
        """Return whether nothing has changed but the number, as with almost every batch.

        Without numbers a poll that failed makes a gap, which has to be kept.
        """
        kept = self._kept
        return (
            kept is not None
            and self._wire is not None
            and self._gap_good is None
            and (kept.client_id, kept.since) == (batch.client_id, self.heard_since)
            and (batch.ack is not None or self._wire.is_sound)
            and not (kept.gap_cause or kept.pending)
            and self._wire.has_keys_of(kept)
        )

    def _held(self) -> Subscription | None:
        """Return what another process needs to go on, with the gap that nobody told of yet."""
        held = self._wire.subscription() if self._is_in_service and self._wire else None
        if held is None:
            return None
        cause = held.gap_cause or (self.cause or AWAY if self._gap_good else "")
        return replace(held, since=self.heard_since, gap_cause=cause)

    def _positioned(self, batch: Batch, held: Subscription | None) -> Batch:
        """Return the batch with up to where all is kept, also by batches that are on their way."""
        if batch.good is not None or held is None:
            return batch
        client_id, ack = self._acknowledged
        if client_id != held.client_id:
            ack = 0 if held.acknowledges else None
        return replace(batch, client_id=held.client_id, ack=ack, good=self._good())

    def _good(self) -> GoodPoll | None:
        """Return from when on messages can be lost, those of gaps nobody told of yet included."""
        untold = self._cut or self._gap_good
        if untold is not None or self._wire is None or self.heard_since is None:
            return untold
        # What the first poll brings is kept before that poll counts as a good one.
        return self._wire.last_good or self._left_good

    def _take_owed(self) -> tuple[ConnectionNotice, ...]:
        owed, self._owed = tuple(self._owed), []
        self._gap_good = None
        return owed

    def _restore(self) -> None:
        if self.is_whole:
            return
        self.is_whole = True
        if self._cut is not None:
            good, self._cut = self._cut, None
            self._owe_gap(self.cause, good)
        if self.lost_at is not None:
            self._owe(ConnectionChange.RESTORED, self.cause, self.lost_at)
            lost_s = self._owed[-1].gap_s
            log.info("agent.restored", agent=self._user, lost_s=lost_s)

    def _owe_gap(self, cause: str, good: GoodPoll) -> None:
        self._gap_good = self._gap_good or good
        self._owe(ConnectionChange.GAP, cause, good.asked_at)
        self._since = min(filter(None, (self._since, good.answered_at)))
        self.gaps += 1

    def _owe(self, change: ConnectionChange, cause: str, since: datetime) -> None:
        now = self._clock.now()
        seconds = (now - since).total_seconds()
        self._owed.append(ConnectionNotice(change, now, cause, seconds))
        self.want_snapshot()
