"""One login of one agent: from a fresh cookie jar to being in service, and out again.

Cookie jar, CSRF token, Bayeux session and device live and die with it. When to log in, and what to
do while logged in, is decided elsewhere. Source: contract 3.5 to 3.7, 9.1, 9.2.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import structlog

from imbot.bayeux.client import Listener
from imbot.bayeux.session import BayeuxResume, Channel
from imbot.clock import Clock
from imbot.cookies import Cookies
from imbot.errors import ActionError, Fault, FaultClass, PermanentError, TemporaryError
from imbot.gws.client import GwsClient
from imbot.gws.feed import SERVICES_CHANNEL, Feed
from imbot.gws.left import AWAY, Left
from imbot.gws.notifications import Device, Me
from imbot.gws.settings import AgentSettings, GwsSettings, Leftovers, OnStop
from imbot.model import GoodPoll, Subscription
from imbot.ports import AgentFacts, Http, Network, Random

#: What is listened to; without the first two the bot is deaf. Source: contract 9.1.
CHANNELS = (
    Channel("/v2/me/im-sessions", required=True),
    Channel("/v2/me/devices", required=True),
    Channel("/v2/me/calls", required=False),
    Channel("/v2/me/channels", required=False),
    Channel(SERVICES_CHANNEL, required=False),
)

#: Without it there is no IM. Source: contract 1.1 [D, O].
IM_FEATURE = "api-voice-instant-messaging"

#: A login that is not through by then will not be.
LOGIN_S = 60.0
#: Nor does a server remember an earlier process much longer.
RESUME_S = 30.0
#: Leaving takes no longer than three such steps and the door, together less than 10 s.
_STEP_S = 2.5
_DOOR_S = 1.0
#: How often the device's state is asked for while no notification tells it.
_ASK_AGAIN_S = 1.0

_REDIRECTS = range(300, 400)
_REFUSED = frozenset({401, 403})

#: Source: contract 8, row 23: the two manuals spell it differently.
_SIGNALLING = ("sip-signalling-chat", "sip-signaling-chat")

log = structlog.get_logger()


class Bayeux(Protocol):
    """What a login needs of a Bayeux client; see :class:`imbot.bayeux.client.BayeuxClient`."""

    @property
    def last_good(self) -> GoodPoll | None:
        """The last poll that was answered well."""
        ...

    @property
    def is_sound(self) -> bool:
        """Whether none has failed since."""
        ...

    @property
    def asked_at(self) -> datetime:
        """When the reply that is handed over was asked for."""
        ...

    def export(self) -> BayeuxResume | None:
        """Return what it takes to go on with the Bayeux session; None before the first."""
        ...

    def hear_through(self, moment: datetime) -> None:
        """Have a poll be answered soon after this moment."""
        ...

    async def open(self, *, resume: BayeuxResume | None = None) -> None:
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


class Login:
    """One login; to be entered once.

    Attributes:
        client: GWS for this login.
        facts: Who the agent is, once it is in.
        device: The device to name in operations; None leaves the choice to GWS.
        mends: How often the HTTP session was renewed.
        version: Which GWS this is; empty while it has not said so.
    """

    def __init__(
        self,
        settings: AgentSettings,
        gws: GwsSettings,
        *,
        network: Network,
        feed: Feed,
        clock: Clock,
        random: Random,
        bayeux: BayeuxFactory,
        left: Left | None = None,
    ) -> None:
        """Prepare a login; nothing is sent yet.

        Args:
            settings: The account.
            gws: The deployment.
            network: Gives the door.
            feed: Who listens.
            clock: Time.
            random: Jitter.
            bayeux: Makes the Bayeux client.
            left: What an earlier process left, to go on with; None for a fresh cookie jar.
        """
        self._settings = settings
        self._gws = gws
        self._feed = feed
        self._left = left
        self._is_resumed = False
        self._cookies = Cookies(left.subscription.cookies if left else ())
        self._door = network.door(polls=True, cookies=self._cookies)
        self.client = GwsClient(
            self._door,
            gws.url,
            settings.auth,
            clock=clock,
            timeout_s=gws.request_timeout_s,
            contact_center_id=gws.contact_center_id,
            tokens=left.subscription.tokens if left else None,
        )
        self._bayeux = bayeux(
            self._door,
            gws.url.rstrip("/") + gws.cometd_path,
            channels=CHANNELS,
            listener=feed,
            clock=clock,
            random=random,
            headers=self.client.headers,
        )
        self._is_authenticated = False
        self.facts = AgentFacts(settings.user, place=settings.place)
        self.device: Device | None = None
        self.mends = 0
        self.version = ""

    @property
    def last_good(self) -> GoodPoll | None:
        """The last poll that was answered well; None before the first."""
        return self._bayeux.last_good

    @property
    def is_sound(self) -> bool:
        """Whether none has failed since."""
        return self._bayeux.is_sound

    @property
    def asked_at(self) -> datetime:
        """When the reply that is handed over was asked for."""
        return self._bayeux.asked_at

    def hear_through(self, moment: datetime) -> None:
        """Have a poll be answered soon after this moment."""
        self._bayeux.hear_through(moment)

    def subscription(self) -> Subscription | None:
        """Return what another process needs to go on; None before there is anything."""
        if (held := self._bayeux.export()) is None:
            return None
        return Subscription(
            self._gws.url,
            held.client_id,
            acknowledges=held.ack is not None,
            gap_cause=held.gap_cause,
            pending=tuple(channel.name for channel in held.pending),
            cookies=self._cookies.plain(),
            tokens=self.client.tokens,
        )

    def has_keys_of(self, kept: Subscription) -> bool:
        """Return whether cookies and tokens are still those; quicker than to look at all."""
        return kept.cookies == self._cookies.plain() and kept.tokens == self.client.tokens

    async def resume(self) -> bool:
        """Return whether this login polls with what an earlier process left.

        It is of no use otherwise, and another has to be entered, which will tell the gap.

        Raises:
            StoreError: The intake takes nothing.
        """
        if (left := self._left) is None:
            return False
        self._feed.attach(self, left=left)
        cause = "the store does not tell up to where all was kept"
        try:
            async with asyncio.timeout(RESUME_S):
                if left.resume is not None:
                    await self._bayeux.open(resume=left.resume)
                    self._is_resumed = True
        except (TimeoutError, ActionError) as error:
            cause = str(error)
        if not self._is_resumed:
            log.info("agent.not_resumed", agent=self._settings.user, cause=cause)
            await self._feed.cut(AWAY, left.good)
            return False
        await self._feed.went_on()
        return True

    async def enter(self, *, is_first: bool) -> None:
        """Return when logged in, subscribed and resynced.

        Args:
            is_first: Whether imbot has just started: only then are there leftovers.

        Raises:
            TemporaryError: It did not work out, and may next time.
            PermanentError: An administrator has to do something first.
            AmbiguousError: The contact center session was perhaps started, perhaps not.
            StoreError: The intake takes nothing.
        """
        try:
            async with asyncio.timeout(LOGIN_S):
                await self._enter(is_first=is_first)
        except TimeoutError as error:
            raise TemporaryError(f"the login took more than {LOGIN_S:g} s") from error

    async def mend(self, *, reopens: bool) -> None:
        """Renew the HTTP session and its CSRF token, and go on with the same Bayeux session.

        So nothing is lost where GWS acknowledges; elsewhere the Bayeux client tells the gap.

        Args:
            reopens: Whether polling has stopped.

        Raises:
            ActionError: It takes another login.
        """
        try:
            async with asyncio.timeout(LOGIN_S):
                self._feed.note_devices((await self.client.renew()).devices)
                if reopens:
                    self._feed.let_pass()
                    await self._bayeux.open(resume=self._bayeux.export())
                    await self._feed.up()
        except TimeoutError as error:
            raise TemporaryError(f"renewing took more than {LOGIN_S:g} s") from error
        self.mends += 1

    async def hang_up(self) -> None:
        """Stop polling and forget the cookies, without a word to GWS."""
        await self._try("hang_up", self._bayeux.close(goodbye=False))
        await self._try("close", self._door.close(), limit_s=_DOOR_S)

    async def leave(self) -> None:
        """Say goodbye, each step bounded and best effort."""
        on_stop = self._gws.on_stop
        if on_stop is OnStop.COMPLETE:
            await self._try("complete", self._complete_all())
        if on_stop is OnStop.KEEP:
            await self._feed.beat()
        await self._try("disconnect", self._bayeux.close(goodbye=on_stop is not OnStop.KEEP))
        if self._is_authenticated and on_stop is not OnStop.KEEP:
            # Last of all: it ends the HTTP session.
            await self._try("logout", self.client.end_contact_center_session())
            await self._feed.farewell()
        await self._try("close", self._door.close(), limit_s=_DOOR_S)

    # Steps of entering ------------------------------------------------------------------------

    async def _enter(self, *, is_first: bool) -> None:
        settings, feed = self._settings, self._feed
        if is_first:
            await self._ask_version()
        me = await self._me()
        self._is_authenticated = True
        check_account(me, settings.user)
        if self._is_resumed:
            feed.note_devices(me.devices)
        else:
            feed.attach(self, me.devices)
            await self._bayeux.open()
        feed.hold()
        await self._start_session()
        self.device = await self._choose_device()
        number = self.device.number if self.device else ""
        self.facts = AgentFacts(settings.user, me.name, number, settings.place)
        if settings.agent_state:
            work = self.client.set_agent_state(settings.agent_state)
            await self._try("agent_state", work, limit_s=self._gws.request_timeout_s)
        if is_first and self._gws.leftovers is Leftovers.COMPLETE:
            await self._complete_leftovers()
        await feed.resync(self.client, enters=True)

    async def _ask_version(self) -> None:
        """Ask which GWS this is; nothing depends on it (row 30)."""
        try:
            self.version = await self.client.version()
        except ActionError as error:
            log.debug("gws.version_unknown", agent=self._settings.user, cause=str(error))

    async def _me(self) -> Me:
        """Log in, and return who we are.

        Raises:
            ActionError: It did not work; only GWS's own word is final, since whatever else answers
                at its URL may stand in for a GWS that is starting.
        """
        try:
            return await self.client.me()
        except ActionError as error:
            fault = error.fault
            if fault is None or fault.status_code is not None or fault.http_status in _REFUSED:
                raise
            raise TemporaryError(f"{error}; {where_to_look(fault)}", fault=fault) from error

    async def _start_session(self) -> None:
        """Return when the device is logged in, or GWS does not say that it is not."""
        self._feed.note_devices(await self.client.devices())
        if self._is_logged_in():
            return
        await self.client.start_contact_center_session(self._settings)
        limit_s = self._gws.device_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                await self._wait_for_device()
        except TimeoutError:
            if any(device.is_logged_out for device in self._wanted()):
                raise TemporaryError(
                    f"agent {self._settings.user}: the device is still logged out {limit_s:g} s "
                    "after StartContactCenterSession; check place, login code and queue"
                ) from None
            log.warning("agent.device_unknown", agent=self._settings.user)

    async def _wait_for_device(self) -> None:
        while True:
            self._feed.note_devices(await self.client.devices())
            if self._is_logged_in():
                return
            self._feed.wake.clear()
            await self._feed.wait(_ASK_AGAIN_S)

    async def _choose_device(self) -> Device | None:
        """The only one; of several the one configured, else the only one whose annex allows IM."""
        wanted = self._wanted()
        name, numbers = self._settings.device, ", ".join(device.number for device in wanted)
        if name and not any(map(self._is_named, wanted)):
            facts = {"device": name, "numbers": numbers}
            log.warning("agent.device_missing", agent=self._settings.user, **facts)
        if len(wanted) == 1:
            return wanted[0]
        capable = [device for device in wanted if await self._allows_im(device)]
        if len(capable) == 1:
            return capable[0]
        log.warning("agent.device_open", agent=self._settings.user, numbers=numbers)
        return None

    async def _allows_im(self, device: Device) -> bool:
        """Whether the device's annex has what IM needs; a hint only, access may be forbidden."""
        try:
            annex = await self.client.annex(device.id)
        except ActionError as error:
            log.debug("gws.annex_unknown", agent=self._settings.user, cause=str(error))
            return False
        return not lacking(annex)

    async def _complete_leftovers(self) -> None:
        """Complete every session that began before we listened."""
        for session in await self.client.sessions():
            if not (session.is_completed or self._feed.known.knows(session.id)):
                work = self.client.complete(session.id)
                await self._try("leftover", work, limit_s=self._gws.request_timeout_s)

    # Parts ------------------------------------------------------------------------------------

    def _is_logged_in(self) -> bool:
        return any(device.is_logged_in for device in self._wanted())

    def _wanted(self) -> list[Device]:
        """Return the devices the settings name; all of them when they name none of these."""
        return list(filter(self._is_named, self._feed.devices)) or list(self._feed.devices)

    def _is_named(self, device: Device) -> bool:
        name = self._settings.device
        return bool(name) and name in (device.id, device.path, device.number)

    async def _complete_all(self) -> None:
        """Complete what lives and wait until GWS says so; the caller bounds it."""
        live = self._feed.known.live
        for session_id in tuple(live):
            await self._try("complete", self.client.complete(session_id))
        while live:
            self._feed.wake.clear()
            await self._feed.wake.wait()

    async def _try(self, step: str, work: Awaitable[None], *, limit_s: float = _STEP_S) -> None:
        """Await a step that may fail without harm."""
        try:
            async with asyncio.timeout(limit_s):
                await work
        except (TimeoutError, ActionError) as error:
            log.warning("agent.step_failed", agent=self._settings.user, step=step, cause=str(error))


def where_to_look(fault: Fault) -> str:
    """Return the cure of a login that was answered by nobody, or by something that is not GWS."""
    if fault.http_status is None:
        return "check gws.url, and whether GWS runs; for https also gws.ca_file"
    if fault.http_status in _REDIRECTS:
        return "this is a login page, which only people can use; give the agent auth.cookies"
    return "this is no answer of GWS; check gws.url, and whether GWS runs"


def lacking(annex: Mapping[str, str]) -> str:
    """Return which option of a device's annex keeps IM from it, as it should be; empty for none.

    Source: contract 1.3 [D], 3.6 [O], row 23.
    """
    if annex.get("multimedia") != "true":
        return "multimedia=true"
    signalling = next((name for name in _SIGNALLING if name in annex), "")
    return "" if annex.get(signalling, "none") == "none" else f"{signalling}=none"


def check_account(me: Me, user: str) -> None:
    """Return if the account can do IM, as far as GWS tells.

    Raises:
        PermanentError: It cannot; the message says what an administrator must do.
    """
    if me.must_change_password:
        raise PermanentError(
            f"agent {user}: GWS demands a new password; log in once by hand and set it",
            fault=Fault(FaultClass.PERMISSION, text="changePasswordOnFirstLogin"),
        )
    if me.features is not None and IM_FEATURE not in me.features:
        raise PermanentError(
            f"agent {user}: the account lacks the feature {IM_FEATURE}; grant it in GWS",
            fault=Fault(FaultClass.PERMISSION, text=f"feature {IM_FEATURE} is missing"),
        )
