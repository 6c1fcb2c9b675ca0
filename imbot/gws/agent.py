"""The life of one agent: log in, subscribe, resync, serve, and leave in order.

It owns the login and everything that hangs on it: cookie jar, CSRF token, Bayeux session, device.
Operations of :class:`imbot.ports.Gws` wait, bounded, while it logs in again. What notifications
mean is the feed's; what to do about sessions is the engine's. Source: contract 9.1, 9.2.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from imbot.bayeux.client import BayeuxClient, Listener
from imbot.bayeux.session import Channel
from imbot.clock import Clock
from imbot.errors import (
    ActionError,
    AmbiguousError,
    Fault,
    FaultClass,
    ImbotError,
    PermanentError,
    StoreError,
    TemporaryError,
)
from imbot.gws.client import GwsClient, is_conflict, is_gone
from imbot.gws.feed import SERVICES_CHANNEL, Feed
from imbot.gws.initiating import Slot, reaches
from imbot.gws.login import check_account, choose_device, complete_leftovers, start_session
from imbot.gws.pace import LoginPace
from imbot.gws.settings import WAIT, AgentSettings, GwsSettings, Leftovers, OnStop
from imbot.gws.status import AgentState, AgentStatus
from imbot.model import JSON, ImSession, SessionState
from imbot.ports import AgentFacts, Http, Intake, Network, Random

#: What is listened to; without the first two the bot is deaf. Source: contract 9.1.
CHANNELS = (
    Channel("/v2/me/im-sessions", required=True),
    Channel("/v2/me/devices", required=True),
    Channel("/v2/me/calls", required=False),
    Channel("/v2/me/channels", required=False),
    Channel(SERVICES_CHANNEL, required=False),
)

#: Capabilities that name the operation which accepts an invitation. Source: contract 1.9 [I].
ACCEPTING = ("Answer", "Accept")

#: A login that is not through by then will not be.
LOGIN_S = 60.0
#: Stopping takes no longer: three steps and the door.
STOP_S = 10.0
_STOP_STEP_S = 3.0
_CLOSE_S = 1.0

#: A difference between the sessions GWS lists and those it told of may be a notification on its
#: way; only one that is still there after this is a proof that the subscription is dead.
SECOND_LOOK_S = 2.0
#: So long without an answered poll and nobody noticed: whatever polled is dead.
SILENCE_S = 300.0
_MAX_RETRY_S = 30.0

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Bayeux(Protocol):
    """What the agent needs of a Bayeux client; see :class:`imbot.bayeux.client.BayeuxClient`."""

    @property
    def last_good_at(self) -> datetime | None:
        """When a poll was last answered well."""
        ...

    async def open(self) -> None:
        """Return when subscribed and polling."""
        ...

    async def close(self, *, goodbye: bool = True) -> None:
        """Stop polling; say goodbye to the server unless somebody goes on with the session."""
        ...


class BayeuxFactory(Protocol):
    """Makes a Bayeux client for one login; the class itself is one."""

    def __call__(
        self,
        http: Http,
        url: str,
        *,
        channels: Sequence[Channel],
        listener: Listener,
        clock: Clock,
        random: Random,
        headers: Callable[[], Mapping[str, str]],
    ) -> Bayeux:
        """Return a client that is not open yet."""
        ...


class Agent:
    """One account, its life (:meth:`run`, :meth:`stop`) and its operations (:class:`Gws`).

    Args:
        settings: The account.
        gws: The deployment.
        network: Gives a fresh cookie jar for each login.
        intake: Where everything heard goes.
        clock: Time.
        random: Spreads logins and proofs.
        bayeux: Makes the Bayeux client.
    """

    def __init__(
        self,
        settings: AgentSettings,
        gws: GwsSettings,
        *,
        network: Network,
        intake: Intake,
        clock: Clock,
        random: Random,
        bayeux: BayeuxFactory = BayeuxClient,
    ) -> None:
        self._settings = settings
        self._gws = gws
        self._network = network
        self._clock = clock
        self._random = random
        self._bayeux_factory = bayeux
        self._feed = Feed(settings.user, intake, clock=clock, seen=self._see)
        self._pace = LoginPace(random, lockout_s=gws.lockout_s)
        self._facts = AgentFacts(settings.user, place=settings.place)
        self._door: Http | None = None
        self._client: GwsClient | None = None
        self._bayeux: Bayeux | None = None
        self._device_path: str | None = None
        self._is_authenticated = False
        self._has_served = False
        self._again: str = ""
        self._slot: Slot | None = None
        self._rings: dict[str, tuple[float, str]] = {}
        self._tried: deque[str] = deque(maxlen=100)
        self._dialled: deque[str] = deque(maxlen=100)
        self._resync_at = self._proof_at = 0.0
        self._retries = 0
        self._suspicions: frozenset[str] = frozenset()
        self._life: asyncio.Timeout | None = None
        self._is_stopping = False
        self._logged_in = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()
        self._state = AgentState.STOPPED
        self._since = clock.now()
        self._cause = ""

    # Who and how --------------------------------------------------------------------------------

    @property
    def facts(self) -> AgentFacts:
        """Who the agent is."""
        return self._facts

    @property
    def is_up(self) -> bool:
        """Whether the agent is logged in and subscribed."""
        return self._logged_in.is_set() and self._feed.is_whole

    @property
    def status(self) -> AgentStatus:
        """How the agent is doing."""
        state, cause = self._state, self._cause
        if state is AgentState.UP and not self._feed.is_whole:
            state, cause = AgentState.LOST, self._feed.cause
        since = self._feed.lost_at if state is AgentState.LOST else None
        user, path = self._settings.user, self._device_path
        return AgentStatus(user, state, since or self._since, cause, self._feed.gaps, path)

    # Operations -------------------------------------------------------------------------------

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
        client = await self._ready()
        try:
            return await operation(client)
        except ActionError as error:
            if is_gone(error) or is_conflict(error):
                self._feed.want_snapshot()
            if not _lost_login(error):
                raise
            self._want_login(client, str(error))
            if not isinstance(error, TemporaryError):
                raise
        return await operation(await self._ready())

    async def _ready(self) -> GwsClient:
        try:
            async with asyncio.timeout(0 if self._is_stopping else self._gws.ready_timeout_s):
                await self._logged_in.wait()
        except TimeoutError:
            reason = self._cause or self._state.value
            raise TemporaryError(f"agent {self._settings.user} is out: {reason}") from None
        if self._client is None:
            raise TemporaryError(f"agent {self._settings.user} is out")
        return self._client

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
            return await self._adopt(destination, error)
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
            sessions = await (await self._ready()).sessions()
        except ActionError as error:
            logger.warning("agent.initiate_unseen", extra=self._facts_and(cause=str(error)))
            return False
        for session in sessions:
            slot.offer(session)
            if slot.session_id == session.id:
                await self._feed.show(session)
        return slot.found.is_set()

    async def _adopt(self, destination: str, refusal: TemporaryError) -> str:
        """Return the session that makes us busy if the other party began it at the same moment."""
        sessions = await (await self._ready()).sessions()
        for session in sessions:
            if not session.is_completed and reaches(session, destination):
                await self._feed.show(session)
                return session.id
        raise TemporaryError(
            f"agent {self._settings.user} is busy with another session: {refusal}",
            fault=refusal.fault,
        ) from refusal

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
            await self._leave()
        finally:
            self._life = None
            self._logged_in.clear()
            await self._hang_up()
            self._mark(AgentState.STOPPED, self._cause)
            self._ended.set()

    async def stop(self) -> None:
        """Return when the agent has left, after 10 seconds at the latest."""
        self._is_stopping = True
        self._logged_in.clear()
        if self._life is not None:
            life, self._life = self._life, None
            life.reschedule(asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(STOP_S):
                await self._ended.wait()
        except TimeoutError:
            logger.warning("agent.stop_late", extra=self._facts_and())

    async def _live(self) -> None:
        while True:
            try:
                await self._log_in()
                cause, pause_s = await self._serve(), self._pause_after_service()
                state = AgentState.WAITING
            except StoreError:
                raise
            except ImbotError as error:
                cause, pause_s = str(error), self._pace.after_failure(error)
                state = self._state_after(error)
                logger.warning("agent.login_failed", extra=self._facts_and(cause=cause))
            await self._give_up(cause)
            self._mark(state, self._advice(state, cause, pause_s))
            await self._clock.sleep(pause_s)

    def _pause_after_service(self) -> float:
        return self._pace.after_service((self._clock.now() - self._since).total_seconds())

    def _state_after(self, error: ImbotError) -> AgentState:
        if self._pace.is_locked:
            return AgentState.LOCKED
        return AgentState.FAILED if isinstance(error, PermanentError) else AgentState.WAITING

    def _advice(self, state: AgentState, cause: str, pause_s: float) -> str:
        if state is not AgentState.LOCKED:
            return cause
        return (
            f"{cause}; GWS refuses the credentials of {self._settings.user}: check user and "
            f"password; next try in {pause_s:.0f} s, so that the account is not locked out"
        )

    async def _log_in(self) -> None:
        """Go the whole way from a fresh cookie jar to being in service. Source: contract 9.1."""
        self._mark(AgentState.LOGGING_IN, self._cause)
        self._again = ""
        try:
            async with asyncio.timeout(LOGIN_S):
                await self._enter()
        except TimeoutError as error:
            raise TemporaryError(f"the login took more than {LOGIN_S:g} s") from error
        self._has_served = True
        self._mark(AgentState.UP)
        self._logged_in.set()
        logger.info("agent.up", extra=self._facts_and(device=self._device_path))

    async def _enter(self) -> None:
        settings, gws, feed = self._settings, self._gws, self._feed
        client = self._client = self._new_client()
        if not self._has_served:
            await self._log_version(client)
        me = await client.me()
        self._is_authenticated = True
        check_account(me, settings.user)
        feed.attach(client, me.devices)
        self._bayeux = self._new_bayeux(client)
        await self._bayeux.open()
        await start_session(client, feed, settings, timeout_s=gws.device_timeout_s)
        device = await choose_device(client, feed.devices, settings)
        self._device_path = None if device is None else device.path
        number = device.number if device else ""
        self._facts = AgentFacts(settings.user, me.name, number, settings.place)
        if settings.agent_state:
            await self._try("agent_state", client.set_agent_state(settings.agent_state))
        if gws.leftovers is Leftovers.COMPLETE and not self._has_served:
            await complete_leftovers(client, feed)
        feed.begin()
        await feed.resync(client)

    def _new_client(self) -> GwsClient:
        self._door = self._network.door(polls=True)
        return GwsClient(
            self._door,
            self._gws.url,
            self._settings.auth,
            clock=self._clock,
            timeout_s=self._gws.request_timeout_s,
            contact_center_id=self._gws.contact_center_id,
        )

    def _new_bayeux(self, client: GwsClient) -> Bayeux:
        if self._door is None:
            raise RuntimeError("there is no door before the client")
        return self._bayeux_factory(
            self._door,
            self._gws.url.rstrip("/") + self._gws.cometd_path,
            channels=CHANNELS,
            listener=self._feed,
            clock=self._clock,
            random=self._random,
            headers=client.headers,
        )

    async def _log_version(self, client: GwsClient) -> None:
        """Log which GWS this is; nothing depends on it (row 30)."""
        try:
            version = await client.version()
        except ActionError as error:
            logger.debug("gws.version_unknown", extra=self._facts_and(cause=str(error)))
        else:
            logger.info("gws.version", extra=self._facts_and(version=version))

    # Service ----------------------------------------------------------------------------------

    async def _serve(self) -> str:
        """Do what is due until the login must be renewed; return why."""
        self._retries = 0
        self._resync_at = self._proof_at = 0.0
        self._suspicions = frozenset()
        self._plan_proof(frozenset())
        while True:
            self._feed.wake.clear()
            if self._feed.broken is not None:
                raise self._feed.broken
            if cause := self._why_again():
                return cause
            if not await self._did_something():
                await self._wait(self._next_at())

    def _why_again(self) -> str:
        feed = self._feed
        if feed.refusal is not None:
            return f"the subscription was refused: {feed.refusal}"
        if feed.devices and all(device.is_logged_out for device in feed.devices):
            return "the agent was logged out elsewhere"
        return self._again

    async def _did_something(self) -> bool:
        now = self._clock.monotonic()
        if self._feed.services_changed:
            self._feed.services_changed = False
            self._proof_at = now
        ringing = [name for name, (due_at, _) in self._rings.items() if due_at <= now]
        if ringing:
            await self._accept_invitation(ringing[0])
        elif self._feed.is_due and now >= self._resync_at:
            await self._resync()
        elif now >= self._proof_at:
            await self._prove_alive()
        else:
            return False
        return True

    def _next_at(self) -> float:
        resync = (self._resync_at,) if self._feed.is_due else ()
        return min(self._proof_at, *resync, *(due_at for due_at, _ in self._rings.values()))

    async def _wait(self, until: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, until - self._clock.monotonic())):
                await self._feed.wake.wait()
        except TimeoutError:
            return

    async def _resync(self) -> None:
        if self._client is None:
            return
        try:
            await self._feed.resync(self._client)
        except ActionError as error:
            self._note_trouble(self._client, error)
            pause_s = self._random.uniform(0.0, min(_MAX_RETRY_S, 2.0**self._retries))
            self._retries = min(self._retries + 1, 5)
            self._resync_at = self._clock.monotonic() + pause_s
        else:
            self._retries = 0

    async def _prove_alive(self) -> None:
        """Compare what GWS lists with what it told; keeps the HTTP session alive, too."""
        if self._client is None:
            return
        differences: frozenset[str] = frozenset()
        try:
            differences = self._feed.known.differences(await self._client.sessions())
        except ActionError as error:
            self._note_trouble(self._client, error)
        if not self._feed.is_whole:
            differences = frozenset()
        if missed := differences & self._suspicions:
            self._again = f"the subscription is silent: {', '.join(sorted(missed)[:3])}"
        elif self._is_silent():
            self._again = f"no poll was answered for {SILENCE_S:g} s"
        self._plan_proof(differences)

    def _plan_proof(self, differences: frozenset[str]) -> None:
        self._suspicions = differences
        jittered_s = self._gws.resync_s * self._random.uniform(0.9, 1.1)
        pause_s = SECOND_LOOK_S if differences else jittered_s
        self._proof_at = self._clock.monotonic() + pause_s

    def _is_silent(self) -> bool:
        good_at = None if self._bayeux is None else self._bayeux.last_good_at
        if good_at is None or not self._feed.is_whole:
            return False
        return (self._clock.now() - good_at).total_seconds() > SILENCE_S

    def _note_trouble(self, client: GwsClient, error: ActionError) -> None:
        """Log in again where that is the cure; give up where nothing is.

        Raises:
            ActionError: GWS will not do this for anybody: the feature is off.
        """
        if error.fault is not None and error.fault.fault_class is FaultClass.PERMISSION:
            raise error
        logger.warning("agent.resync_failed", extra=self._facts_and(cause=str(error)))
        if _lost_login(error):
            self._want_login(client, str(error))

    def _want_login(self, client: GwsClient, cause: str) -> None:
        """Have the life log in again, unless that has happened since."""
        if client is self._client and self._logged_in.is_set():
            self._logged_in.clear()
            self._again = cause
            self._feed.wake.set()

    # Invitations ------------------------------------------------------------------------------

    def _see(self, session: ImSession) -> None:
        """Look at a session that the intake has just taken in."""
        if self._slot is not None:
            self._slot.offer(session)
        if session.state == SessionState.INITIATING:
            self._dialled.append(session.id)
        if session.state != SessionState.ALERTING:
            self._rings.pop(session.id, None)
        elif session.id not in self._dialled and session.id not in self._tried:
            self._plan_acceptance(session)
        if session.is_completed:
            self._feed.wake.set()

    def _plan_acceptance(self, session: ImSession) -> None:
        """Note when to accept an invitation, and how. Source: contract 1.9."""
        now = self._clock.monotonic()
        named = [name for name in ACCEPTING if name in (session.capabilities or ())]
        if named:
            self._rings[session.id] = (now, named[0])
        elif self._gws.on_alerting != WAIT:
            self._rings.setdefault(session.id, (now + self._gws.alerting_s, self._gws.on_alerting))
        self._feed.wake.set()

    async def _accept_invitation(self, session_id: str) -> None:
        """Try the accepting operation, once for each session."""
        _, operation = self._rings.pop(session_id)
        if self._client is None:
            return
        self._tried.append(session_id)
        facts = self._facts_and(session=session_id, operation=operation)
        try:
            await self._client.operate(session_id, operation)
        except ActionError as error:
            logger.warning("agent.accept_failed", extra={**facts, "cause": str(error)})
            if _lost_login(error):
                # Surely not done; the snapshot after the login shows the invitation again.
                self._tried.remove(session_id)
                self._want_login(self._client, str(error))
        else:
            logger.info("agent.accepted", extra=facts)

    # Leaving ----------------------------------------------------------------------------------

    async def _give_up(self, cause: str) -> None:
        """Leave a login that is no use any more; what came after its last good poll is in doubt."""
        self._logged_in.clear()
        logger.info("agent.relogin", extra=self._facts_and(cause=cause))
        good_at = None if self._bayeux is None else self._bayeux.last_good_at
        await self._hang_up()
        await self._feed.cut(cause, good_at or self._clock.now())

    async def _hang_up(self) -> None:
        """Stop polling and forget the cookies, without a word to GWS."""
        bayeux, self._bayeux = self._bayeux, None
        door, self._door = self._door, None
        self._client = None
        self._is_authenticated = False
        if bayeux is not None:
            await self._try("hang_up", bayeux.close(goodbye=False))
        if door is not None:
            await self._try("close", door.close(), limit_s=_CLOSE_S)

    async def _leave(self) -> None:
        """Say goodbye, each step bounded and best effort. Source: contract 9.2."""
        self._mark(AgentState.STOPPING)
        client, on_stop = self._client, self._gws.on_stop
        if client is not None and on_stop is OnStop.COMPLETE:
            await self._try("complete", self._complete_all(client))
        bayeux, self._bayeux = self._bayeux, None
        if bayeux is not None:
            await self._try("disconnect", bayeux.close(goodbye=on_stop is not OnStop.KEEP))
        if client is not None and self._is_authenticated and on_stop is not OnStop.KEEP:
            await self._try("logout", client.end_contact_center_session())

    async def _complete_all(self, client: GwsClient) -> None:
        """Complete what lives and wait until GWS says so; the caller bounds it."""
        for session_id in tuple(self._feed.known.live):
            await self._try("complete", client.complete(session_id))
        while self._feed.known.live:
            self._feed.wake.clear()
            await self._feed.wake.wait()

    async def _try(
        self, what: str, step: Awaitable[None], *, limit_s: float = _STOP_STEP_S
    ) -> None:
        """Await a step that may fail without harm."""
        try:
            async with asyncio.timeout(limit_s):
                await step
        except (TimeoutError, ActionError) as error:
            logger.warning("agent.step_failed", extra=self._facts_and(step=what, cause=str(error)))

    def _mark(self, state: AgentState, cause: str = "") -> None:
        if state is not self._state:
            self._since = self._clock.now()
        self._state, self._cause = state, cause

    def _facts_and(self, **facts: str | None) -> dict[str, str | None]:
        return {"agent": self._settings.user, **facts}


def _lost_login(error: ActionError) -> bool:
    """Whether only another login helps: a CSRF refusal that a new token did not cure, too."""
    fault: Fault | None = error.fault
    return fault is not None and fault.fault_class in {FaultClass.AUTH, FaultClass.CSRF}
