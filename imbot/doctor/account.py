"""One agent, as GWS sees it: login, feature, device, sessions. Asks only, and asks each thing once.

A login is a GET with a fresh cookie jar: GWS makes an HTTP session for it, and forgets that some
time later (contract 3.8 [D]: 1,800 s). It is not ended, because the only way to do that would end
the agent's contact center session too (contract 3.7 [D ECCS]).
"""

from datetime import datetime, timedelta

from imbot.clock import Clock
from imbot.doctor.findings import Finding
from imbot.doctor.moments import expiry_of
from imbot.doctor.tapping import Tap
from imbot.errors import ActionError, FaultClass, TemporaryError
from imbot.gws.auth import Auth, Bearer
from imbot.gws.client import GwsClient
from imbot.gws.login import IM_FEATURE, lacking, where_to_look
from imbot.gws.notifications import Device, Me
from imbot.gws.settings import AgentSettings, GwsSettings

#: A token that ends sooner is worth a warning.
SOON = timedelta(hours=1)

_REFUSED = frozenset({401, 403})
_SET_ANEW = "log in once by hand, set a new password, and write it where the old one stands"


class Account:
    """The checks of one agent that are made over REST.

    Args:
        agent: The account.
        gws: The deployment.
        tap: A door with cookies of its own.
        clock: Time.
        is_served: Whether an imbot of this machine is logged in as this agent.

    Attributes:
        client: GWS for this login.
        trouble: Why the login did not work and may next time; None otherwise.
    """

    def __init__(
        self,
        agent: AgentSettings,
        gws: GwsSettings,
        *,
        tap: Tap,
        clock: Clock,
        is_served: bool = False,
    ) -> None:
        self._agent = agent
        self._is_served = is_served
        self._clock = clock
        self._me = Me()
        self._device: Device | None = None
        self.trouble: TemporaryError | None = None
        self.client = GwsClient(
            tap,
            gws.url,
            agent.auth,
            clock=clock,
            timeout_s=gws.request_timeout_s,
            contact_center_id=gws.contact_center_id,
        )

    async def token(self) -> Finding:
        """Return how long the bearer token is good, if there is one and it tells."""
        return token(self._agent.auth, self._clock.now())

    async def login(self) -> Finding:
        """Return whether GWS takes the credentials. Source: contract 3.1, 3.5 [O]."""
        began = self._clock.monotonic()
        try:
            self._me = await self.client.me()
        except ActionError as error:
            if isinstance(error, TemporaryError):
                self.trouble = error
            return Finding.failed(str(error), cure_of_login(error))
        if self._me.must_change_password:
            return Finding.failed("GWS demands a new password", _SET_ANEW)
        name = self._me.name or self._me.user_name or self._agent.user
        took_ms = (self._clock.monotonic() - began) * 1000
        return Finding.ok(f"{name}, in {took_ms:.0f} ms")

    async def feature(self) -> Finding:
        """Return whether the account may do IM. Source: contract 1.1 [D, O]."""
        features = self._me.features
        if features is None:
            cure = "see below whether its sessions can be listed, which needs the feature"
            return Finding.hint("GWS does not list what the account may do", cure)
        if IM_FEATURE not in features:
            cure = f"grant the account the feature {IM_FEATURE} in GWS"
            return Finding.failed(f"{IM_FEATURE} is not among its {len(features)} features", cure)
        return Finding.ok(f"{IM_FEATURE}, among {len(features)}")

    async def device(self) -> Finding:
        """Return which device imbot will use. Source: contract 3.6 [D, O].

        Whoever else works with the account shares its IM sessions. Source: 3.9 [I].
        """
        devices, wish, place = self._me.devices, self._agent.device, self._agent.place
        at = f"; place {place}, taken at the start" if place else ""
        if not devices:
            if place:
                cure = "start imbot once: only StartContactCenterSession tells whether it is right"
                return Finding.warning(f"none yet{at}", cure)
            cure = "give the agent a default place in Genesys, or name a place in its settings"
            return Finding.failed("the agent has no device, and its settings name no place", cure)
        named = [one for one in devices if wish and wish in (one.id, one.path, one.number)]
        numbers = ", ".join(one.number or one.id for one in devices)
        if wish and not named:
            cure = "write one of these as its device, or leave that out"
            return Finding.warning(f"it has no device {wish}; it has {numbers}{at}", cure)
        if len(named or devices) > 1 and not await self._found_capable():
            cure = "write the number of one of them as its device"
            return Finding.warning(f"imbot cannot tell which of {numbers} to use{at}", cure)
        self._device = self._device or (named or devices)[0]
        if self._device.is_logged_in and not self._is_served:
            cure = "see that no person and no other imbot works with this account"
            return Finding.hint(f"{_shown(self._device)}: somebody is logged in there{at}", cure)
        return Finding.ok(f"{_shown(self._device)}{at}")

    async def annex(self) -> Finding:
        """Return whether the DN allows IM. Source: contract 1.3 [D], 3.6 [O], row 23."""
        if self._device is None:
            cure = "see device above"
            return Finding.skipped("there is no device to look at", cure)
        try:
            annex = await self.client.annex(self._device.id)
        except ActionError as error:
            cure = "ask whoever sees the DN for multimedia=true, sip-signaling-chat=none"
            return Finding.hint(f"GWS does not show it: {error.fault or error}", cure)
        if option := lacking(annex):
            cure = f"set {option} in section [TServer] of the DN's annex"
            return Finding.warning(f"{self._device.number}: {option} is missing", cure)
        return Finding.ok(f"{self._device.number}: multimedia=true")

    async def sessions(self) -> Finding:
        """Return how many IM sessions there are. Source: contract 1.10 [D], 4.1 [D Feat]."""
        try:
            found = await self.client.sessions()
        except ActionError as error:
            return Finding.failed(str(error), _cure_of_list(error))
        live = sum(not session.is_completed for session in found)
        return Finding.ok(f"{len(found)}, {live} of them live")

    async def _found_capable(self) -> bool:
        """Find the only one of several devices whose annex allows IM, as a login does."""
        capable = []
        for one in self._me.devices:
            try:
                annex = await self.client.annex(one.id)
            except ActionError:
                continue
            if not lacking(annex):
                capable.append(one)
        self._device = capable[0] if len(capable) == 1 else None
        return self._device is not None


def token(auth: Auth, now: datetime) -> Finding:
    """Return how long a bearer token is good; other ways to log in have none."""
    if not isinstance(auth, Bearer):
        return Finding.ok("it logs in without one")
    try:
        ends_at = expiry_of(auth.token())
    except (OSError, ValueError) as error:
        return Finding.failed(f"it cannot be read: {error}", "write it where auth.bearer says")
    if ends_at is None:
        return Finding.ok("it does not tell when it ends")
    cure = "have a new one issued, and start imbot anew with it"
    told = f"{ends_at:%Y-%m-%d %H:%M:%S} UTC"
    if ends_at <= now:
        return Finding.failed(f"it ended on {told}", cure)
    minutes = (ends_at - now) // timedelta(minutes=1)
    if ends_at - now < SOON:
        return Finding.warning(f"it ends in {minutes} minutes, on {told}", cure)
    return Finding.ok(f"it ends in {minutes / 60:.0f} hours, on {told}")


def cure_of_login(error: ActionError) -> str:
    """Return what helps when a login was refused, or not answered."""
    fault = error.fault
    if fault is None:
        return "give the agent credentials that can be sent; see its auth"
    if fault.status_code is None and fault.http_status not in _REFUSED:
        return where_to_look(fault)
    match fault.fault_class:
        case FaultClass.AUTH:
            return (
                "check user and password, or auth; it was tried once only, for GWS may lock the "
                "account"
            )
        case FaultClass.PERMISSION:
            return "have the account enabled in GWS; if it wants a new password, set one by hand"
        case _:
            return "look for the reason in the log of GWS, and whether it has just been started"


def _cure_of_list(error: ActionError) -> str:
    if error.fault is not None and error.fault.fault_class is FaultClass.PERMISSION:
        return f"grant the account the feature {IM_FEATURE} in GWS"
    return "look for the reason in the log of GWS; imbot cannot find out what it has missed"


def _shown(device: Device) -> str:
    state = device.user_state or "state unknown"
    return f"{device.number or 'without a number'} ({device.path}), {state}"
