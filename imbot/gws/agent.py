"""The life of one agent, and the operations of :class:`imbot.ports.Gws` for its account.

It logs in, serves, and logs in again as long as it lives; operations wait, bounded, while it does.
What notifications mean is the feed's; what to do about sessions is the engine's.
Source: contract 1.12, 9.1, 9.2.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

import structlog

from imbot.bayeux.client import BayeuxClient
from imbot.clock import Clock
from imbot.errors import (
    ActionError,
    AmbiguousError,
    ImbotError,
    PermanentError,
    StoreError,
    TemporaryError,
)
from imbot.gws.admission import ONE_REQUEST, Admission
from imbot.gws.client import GwsClient, is_conflict, is_gone
from imbot.gws.feed import Feed
from imbot.gws.flag import Flag
from imbot.gws.initiating import Slot, reaches
from imbot.gws.invitations import Invitations
from imbot.gws.left import Left, left_of
from imbot.gws.login import CHANNELS, BayeuxFactory, Login
from imbot.gws.pace import LoginPace
from imbot.gws.service import Service, is_login_lost
from imbot.gws.settings import AgentSettings, GwsSettings
from imbot.gws.status import AgentState, AgentStatus
from imbot.gws.undocumented import Undocumented
from imbot.model import JSON, ImSession, Subscription
from imbot.ports import AgentFacts, Hearing, Intake, Network, Random
from imbot.records import AckSeen

#: Stopping takes no longer.
STOP_S = 10.0

T = TypeVar("T")

#: So long a message waits for a broken subscription to be mended; most are within a few seconds.
UNSOUND_S = 10.0
_LOOK_S = 0.2

log = structlog.get_logger()


class Agent:
    """One account, its life (:meth:`run`, :meth:`stop`) and its operations (:class:`Gws`).

    Args:
        settings: The account.
        gws: The deployment.
        network: Gives fresh cookies for each login.
        intake: Where everything heard goes.
        clock: Time.
        random: Spreads logins and proofs.
        admission: Gives each agent its turn to log in.
        bayeux: Makes the Bayeux client.
        undocumented: Counts what GWS says that is not documented, for all agents; None: for this.
    """

    def __init__(  # noqa: PLR0913  each is a port, and given by its name
        self,
        settings: AgentSettings,
        gws: GwsSettings,
        *,
        network: Network,
        intake: Intake,
        clock: Clock,
        random: Random,
        admission: Admission,
        bayeux: BayeuxFactory = BayeuxClient,
        undocumented: Undocumented | None = None,
    ) -> None:
        self._settings = settings
        self._gws = gws
        self._network = network
        self._clock = clock
        self._random = random
        self._admission = admission
        self._bayeux = bayeux
        self._feed = Feed(
            settings.user,
            intake,
            clock=clock,
            seen=self._see,
            turn=admission.turn,
            undocumented=Undocumented() if undocumented is None else undocumented,
        )
        self._invitations = Invitations(gws.on_alerting, patience_s=gws.alerting_s)
        self._pace = LoginPace(random, lockout_s=gws.lockout_s)
        self._facts = AgentFacts(settings.user, place=settings.place)
        self._login: Login | None = None
        self._service: Service | None = None
        self._in_service = Flag()
        self._has_served = False
        self._left: Left | None = None
        self._slot: Slot | None = None
        self._life: asyncio.Timeout | None = None
        self._is_stopping = False
        self._ended = Flag()
        self._ended.set()
        self._state = AgentState.STOPPED
        self._since = clock.now()
        self._cause = ""
        self._version = ""

    def go_on_from(self, subscription: Subscription | None, seen: AckSeen | None) -> None:
        """Have the first login go on with what the last process left.

        Args:
            subscription: What the store has of it.
            seen: What was last acknowledged.
        """
        self._left = left_of(subscription, seen, url=self._gws.url, channels=CHANNELS)

    # Who and how --------------------------------------------------------------------------------

    @property
    def facts(self) -> AgentFacts:
        """Who the agent is."""
        return self._facts

    @property
    def is_up(self) -> bool:
        """Whether the agent is logged in and subscribed."""
        return self._in_service.is_set() and self._feed.is_whole

    @property
    def hearing(self) -> Hearing | None:
        """How long the agent has heard everything; None while it is not sure to."""
        good = None if self._login is None else self._login.last_good
        since = self._feed.heard_since
        if not self.is_up or good is None or since is None:
            return None
        return Hearing(since, good.asked_at)

    async def until_sound(self) -> None:
        """Return when the agent surely hears, or after ``UNSOUND_S``, or when it stops."""
        until = self._clock.monotonic() + UNSOUND_S
        while not self._is_stopping and self._clock.monotonic() < until:
            if self.is_up and self._login is not None and self._login.is_sound:
                return
            await self._clock.sleep(_LOOK_S)

    def hear_through(self, moment: datetime) -> None:
        """Have a poll be answered soon after this moment; the next login knows nothing of it."""
        if self._login is not None:
            self._login.hear_through(moment)

    @property
    def status(self) -> AgentStatus:
        """How the agent is doing."""
        feed = self._feed
        state, since, cause = self._state, self._since, self._cause
        if state is AgentState.UP and not feed.is_whole:
            state, since, cause = AgentState.LOST, feed.lost_at or since, feed.cause
        return AgentStatus(self._settings.user, state, since, cause, feed.gaps, self._device_path)

    @property
    def _device_path(self) -> str | None:
        device = None if self._login is None else self._login.device
        return None if device is None else device.path

    # Operations -------------------------------------------------------------------------------

    async def sessions(self) -> Sequence[ImSession]:
        """Return the agent's sessions as GWS lists them now."""
        return await self._operate(lambda client: client.sessions())

    async def initiate(self, destination: str, user_data: Mapping[str, JSON]) -> str:
        """Begin a session and return its id, found as contract 1.12 says.

        Raises:
            TemporaryError: Not done; the agent has another session ("Invalid state"), or is out.
            AmbiguousError: Perhaps done, and no session shows it.
            PermanentError: Not done, and never will be.
        """
        if self._slot is not None:
            raise TemporaryError(f"agent {self._settings.user} is busy initiating another session")
        self._slot = Slot(destination, self._feed.known.live)
        try:
            return await self._initiate(self._slot, destination, user_data)
        finally:
            self._slot = None

    async def send_message(self, session_id: str, text: str, *, destination: str) -> None:
        """Say something to the other party, whose number is ``destination``."""
        await self._operate(
            lambda client: client.send_message(
                session_id, text, destination=destination, device_path=self._device_path
            )
        )

    async def attach_user_data(self, session_id: str, user_data: Mapping[str, JSON]) -> None:
        """Add keys that are known to be absent; an existing key would be doubled."""
        await self._operate(lambda client: client.attach_user_data(session_id, user_data))

    async def update_user_data(self, session_id: str, user_data: Mapping[str, JSON]) -> None:
        """Set keys; others stay."""
        await self._operate(lambda client: client.update_user_data(session_id, user_data))

    async def delete_user_data(self, session_id: str, key: str) -> None:
        """Remove one key."""
        await self._operate(lambda client: client.delete_user_data(session_id, key))

    async def complete(self, session_id: str) -> None:
        """End the session; one that is gone already counts as ended."""
        await self._operate(lambda client: client.complete(session_id))

    async def _operate(self, operation: Callable[[GwsClient], Awaitable[T]]) -> T:
        """Carry out an operation; after a lost login, which proves it was not done, once more."""
        login = await self._ready()
        mends = login.mends
        try:
            return await operation(login.client)
        except ActionError as error:
            if is_gone(error) or is_conflict(error):
                self._feed.want_snapshot()
            is_history = login is not self._login or login.mends != mends
            if is_login_lost(error) and not is_history and self._service is not None:
                self._service.lose(str(error))
            if not isinstance(error, TemporaryError) or not (is_login_lost(error) or is_history):
                raise
        try:
            return await operation((await self._ready()).client)
        except ActionError as error:
            if is_login_lost(error) and self._service is not None:
                self._service.give_up(str(error))
            raise

    async def _ready(self) -> Login:
        if not self._in_service.is_set():
            await self._until_in_service()
        if self._login is None or not self._in_service.is_set():
            why = self._cause or self._state.value
            raise TemporaryError(f"agent {self._settings.user} is not logged in: {why}")
        return self._login

    async def _until_in_service(self) -> None:
        """Return when the agent is in service, or when it has been out of it for too long."""
        try:
            async with asyncio.timeout(0 if self._is_stopping else self._gws.ready_timeout_s):
                while not self._in_service.is_set():
                    await self._in_service.wait()
        except TimeoutError:
            pass

    async def _initiate(self, slot: Slot, destination: str, user_data: Mapping[str, JSON]) -> str:
        doubt: AmbiguousError | None = None
        try:
            await self._operate(
                lambda client: client.initiate(
                    destination, user_data, device_path=self._device_path
                )
            )
            slot.accept()
        except AmbiguousError as error:
            doubt = error
        except TemporaryError as error:
            if not is_conflict(error):
                raise
            return await self._adopt(slot, destination, error)
        if not await self._appeared(slot):
            raise doubt or AmbiguousError(
                f"InitiateIMSession to {destination}: accepted, but no session came of it within "
                f"{self._gws.initiate_timeout_s:g} s"
            )
        return str(slot.session_id)

    async def _appeared(self, slot: Slot) -> bool:
        """Return whether the session showed itself, by notification or else when asked for."""
        try:
            async with asyncio.timeout(self._gws.initiate_timeout_s):
                await slot.found.wait()
        except TimeoutError:
            pass
        else:
            return True
        try:
            sessions = await (await self._ready()).client.sessions()
        except ActionError as error:
            log.warning("agent.initiate_unseen", agent=self._settings.user, cause=str(error))
            return False
        for session in sessions:
            slot.offer(session)
            if slot.session_id == session.id:
                await self._feed.show(session)
        return slot.found.is_set()

    async def _adopt(self, slot: Slot, destination: str, refusal: TemporaryError) -> str:
        """Return the session that makes us busy if the other party began it at the same moment.

        One that was there before has its own story, and is not begun anew by whoever calls again.
        """
        sessions = await (await self._ready()).client.sessions()
        for session in sessions:
            if slot.is_new(session) and reaches(session, destination):
                await self._feed.show(session)
                return session.id
        raise TemporaryError(
            f"agent {self._settings.user} is busy with another session: {refusal}",
            fault=refusal.fault,
        ) from refusal

    def _see(self, session: ImSession) -> None:
        """Look at a session that the intake has just taken in."""
        if self._slot is not None:
            self._slot.offer(session)
        self._invitations.see(session, self._clock.monotonic())
        self._feed.wake.set()

    # Life -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Live until :meth:`stop`.

        Raises:
            StoreError: The intake takes nothing more; the agent has hung up.
        """
        self._ended.clear()
        try:
            async with asyncio.timeout(0 if self._is_stopping else None) as self._life:
                await self._live()
        except TimeoutError:
            if not self._is_stopping:
                raise
            self._mark(AgentState.STOPPING)
            if self._login is not None:
                await self._login.leave()
                self._login = None
        finally:
            self._life = None
            await self._hang_up()
            self._mark(AgentState.STOPPED)
            self._ended.set()

    async def stop(self) -> None:
        """Return when the agent has left, after 10 seconds at the latest."""
        self._is_stopping = True
        self._in_service.clear()
        if self._life is not None:
            life, self._life = self._life, None
            life.reschedule(asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(STOP_S):
                await self._ended.wait()
        except TimeoutError:
            log.warning("agent.stop_late", agent=self._settings.user)

    async def _live(self) -> None:
        while True:
            try:
                cause = await self._log_in_and_serve()
                pause_s = self._pace.after_service(self._in_state_s())
                state = AgentState.WAITING
            except StoreError:
                raise
            except ImbotError as error:
                cause, pause_s = str(error), self._pace.after_failure(error)
                state = self._state_after(error)
            await self._give_up(cause)
            if state is AgentState.LOCKED:
                cause = (
                    f"{cause}; GWS refuses the credentials of {self._settings.user}: check user "
                    f"and password; next try in {pause_s:.0f} s, or the account may be locked out"
                )
            self._mark(state, cause)
            log.warning("agent.waiting", agent=self._settings.user, cause=cause, pause_s=pause_s)
            await self._clock.sleep(pause_s)

    async def _log_in_and_serve(self) -> str:
        """Return why the login must be renewed."""
        self._mark(AgentState.LOGGING_IN, self._cause)
        login = await self._begun()
        service = self._service = Service(
            login,
            feed=self._feed,
            ready=self._in_service,
            invitations=self._invitations,
            clock=self._clock,
            random=self._random,
            admission=self._admission,
            resync_s=self._gws.resync_s,
        )
        try:
            async with self._admission.login():
                await login.enter(is_first=not self._has_served)
        finally:
            self._note_version(login.version)
        self._has_served = True
        self._facts = login.facts
        self._mark(AgentState.UP)
        self._in_service.set()
        log.info("agent.up", agent=self._settings.user, device=self._device_path)
        return await service.serve()

    async def _begun(self) -> Login:
        """Return a login to enter: one that polls already, if the last process left as much."""
        left, self._left = self._left, None
        login = self._login = self._new_login(left)
        if left is not None:
            await self._admission.turn(ONE_REQUEST)
            if not await login.resume():
                await login.hang_up()
                login = self._login = self._new_login()
        return login

    def _new_login(self, left: Left | None = None) -> Login:
        return Login(
            self._settings,
            self._gws,
            network=self._network,
            feed=self._feed,
            clock=self._clock,
            random=self._random,
            bayeux=self._bayeux,
            left=left,
        )

    def _note_version(self, version: str) -> None:
        """Log which GWS this is, once."""
        if version and version != self._version:
            self._version = version
            log.info("gws.version", agent=self._settings.user, version=version)

    async def _give_up(self, cause: str) -> None:
        """Leave a login that is no use any more; what came after its last good poll is in doubt."""
        good = None if self._login is None else self._login.last_good
        await self._hang_up()
        await self._feed.cut(cause, good)

    async def _hang_up(self) -> None:
        self._in_service.clear()
        self._service = None
        if self._login is not None:
            await self._login.hang_up()
        self._login = None

    def _state_after(self, error: ImbotError) -> AgentState:
        if self._pace.is_locked:
            return AgentState.LOCKED
        return AgentState.FAILED if isinstance(error, PermanentError) else AgentState.WAITING

    def _in_state_s(self) -> float:
        return (self._clock.now() - self._since).total_seconds()

    def _mark(self, state: AgentState, cause: str = "") -> None:
        self._state, self._since, self._cause = state, self._clock.now(), cause
