"""The steps of a login that ask GWS and decide: account, contact center session, device, leftovers.

Each is a function of the client and of what the feed has heard; the agent calls them in order.
Source: contract 3.5 to 3.7, 9.1.
"""

import asyncio
import logging
from collections.abc import Sequence

from imbot.errors import ActionError, Fault, FaultClass, PermanentError, TemporaryError
from imbot.gws.client import GwsClient
from imbot.gws.feed import Feed
from imbot.gws.notifications import Device, Me
from imbot.gws.settings import AgentSettings

#: Without it there is no IM. Source: contract 1.1 [D, O].
IM_FEATURE = "api-voice-instant-messaging"

#: How often the device's state is asked for while no notification tells it.
_ASK_AGAIN_S = 1.0

#: Source: contract 8, row 23: the two manuals spell it differently.
_SIGNALLING = ("sip-signalling-chat", "sip-signaling-chat")

logger = logging.getLogger(__name__)


def check_account(me: Me, user: str) -> None:
    """Return if the account can do IM, as far as GWS tells.

    Raises:
        PermanentError: It cannot; the message says what an administrator must do.
    """
    if me.must_change_password:
        fault = Fault(FaultClass.PERMISSION, text="changePasswordOnFirstLogin")
        raise PermanentError(
            f"agent {user}: GWS demands a new password; log in once by hand and set it", fault=fault
        )
    if me.features is not None and IM_FEATURE not in me.features:
        fault = Fault(FaultClass.PERMISSION, text=f"feature {IM_FEATURE} is missing")
        raise PermanentError(
            f"agent {user}: the account lacks the feature {IM_FEATURE}; grant it in GWS",
            fault=fault,
        )


async def start_session(
    client: GwsClient, feed: Feed, settings: AgentSettings, *, timeout_s: float
) -> None:
    """Return when the agent's device is logged in, or GWS does not say that it is not.

    Raises:
        TemporaryError: The device stayed logged out.
    """
    feed.note_devices(await client.devices())
    if any(device.is_logged_in for device in _wanted(feed.devices, settings)):
        return
    await client.start_contact_center_session(settings)
    try:
        async with asyncio.timeout(timeout_s):
            await _wait_for_device(client, feed, settings)
    except TimeoutError:
        devices = _wanted(feed.devices, settings)
        if any(device.is_logged_out for device in devices):
            raise TemporaryError(
                f"agent {settings.user}: the device is still logged out {timeout_s:g} s after "
                "StartContactCenterSession; check place, login code and queue"
            ) from None
        logger.warning("agent.device_unknown", extra={"agent": settings.user})


async def choose_device(
    client: GwsClient, devices: Sequence[Device], settings: AgentSettings
) -> Device | None:
    """Return the device to name in operations; None leaves the choice to GWS.

    The only one; of several the configured one, else the only one whose annex allows IM.
    """
    if len(devices) == 1:
        return devices[0]
    if settings.device and len(wanted := _wanted(devices, settings)) == 1:
        return wanted[0]
    capable = [device for device in devices if await _allows_im(client, device)]
    if len(capable) == 1:
        return capable[0]
    logger.warning(
        "agent.device_open", extra={"agent": settings.user, "numbers": [d.number for d in devices]}
    )
    return None


async def complete_leftovers(client: GwsClient, feed: Feed) -> None:
    """Complete every session that began before we listened."""
    for session in await client.sessions():
        if not (session.is_completed or feed.known.knows(session.id)):
            await client.complete(session.id)


async def _wait_for_device(client: GwsClient, feed: Feed, settings: AgentSettings) -> None:
    while True:
        feed.note_devices(await client.devices())
        if any(device.is_logged_in for device in _wanted(feed.devices, settings)):
            return
        feed.wake.clear()
        try:
            async with asyncio.timeout(_ASK_AGAIN_S):
                await feed.wake.wait()
        except TimeoutError:
            continue


async def _allows_im(client: GwsClient, device: Device) -> bool:
    """Whether the device's annex has what IM needs; a hint only, access may be forbidden."""
    try:
        annex = await client.annex(device.id)
    except ActionError as error:
        logger.debug("agent.annex_unknown", extra={"cause": str(error), "device": device.path})
        return False
    signalling = next((annex[name] for name in _SIGNALLING if name in annex), "none")
    return annex.get("multimedia") == "true" and signalling == "none"


def _wanted(devices: Sequence[Device], settings: AgentSettings) -> list[Device]:
    """Return the devices the settings name; all of them when they name none of these."""
    named = [d for d in devices if settings.device in (d.id, d.path, d.number)]
    return named if settings.device and named else list(devices)
