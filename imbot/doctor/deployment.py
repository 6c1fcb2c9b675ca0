"""GWS from the outside: name, port, certificate, version, clock. Nobody is logged in for it."""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from imbot.clock import Clock
from imbot.doctor.findings import Finding
from imbot.doctor.moments import expiry_of_certificate, moment_of, skew_of
from imbot.doctor.tapping import Tap
from imbot.errors import ActionError, ConfigError
from imbot.gws.auth import Headers
from imbot.gws.client import GwsClient
from imbot.gws.login import where_to_look
from imbot.gws.settings import GwsSettings
from imbot.http import tls_context
from imbot.ports import Http

#: A name, a connection and a TLS session that are not there by then are as good as none.
REACH_S = 10.0
#: A connection that is not closed by then is left.
CLOSE_S = 1.0

#: A certificate that ends sooner is worth a warning, and a hint.
SOON, SOME_TIME = timedelta(days=14), timedelta(days=30)

#: Clocks that are surely so far apart are worth a warning; beyond the second, timings are wrong.
APART_S, FAR_APART_S = 2.0, 60.0

_LOOPBACK = ("127.", "::1", "localhost")
_SHOWN = 4


class Deployment:
    """The GWS that the settings name.

    Args:
        gws: The deployment.
        ca_file: Certificates to trust besides the system's.
        clock: Time.
    """

    def __init__(self, gws: GwsSettings, *, ca_file: Path | None, clock: Clock) -> None:
        parts = urlsplit(gws.url)
        self._gws = gws
        self._ca_file = ca_file
        self._clock = clock
        self._host = parts.hostname or ""
        self._is_secure = parts.scheme == "https"
        self._port = parts.port or (443 if self._is_secure else 80)
        self._tap: Tap | None = None

    async def dns(self) -> Finding:
        """Return the addresses behind the name."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(REACH_S):
                found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            cure = "check the host in gws.url, and the name servers of this machine"
            return Finding.failed(f"{self._host}: {_told(error)}", cure)
        addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        return Finding.ok(f"{self._host}: {', '.join(addresses[:_SHOWN])}")

    async def port(self) -> Finding:
        """Return whether something listens there."""
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(REACH_S):
                _reader, writer = await asyncio.open_connection(self._host, self._port)
        except OSError as error:
            cure = "check gws.url, whether GWS runs, and firewalls in between"
            return Finding.failed(f"{self._where}: {_told(error)}", cure)
        await _close(writer)
        took_ms = (self._clock.monotonic() - began) * 1000
        return Finding.ok(f"{self._where}: connected in {took_ms:.0f} ms")

    async def tls(self) -> Finding:
        """Return what is to be said of the certificate; none is needed on this very machine."""
        try:
            context = tls_context(self._ca_file)
        except ConfigError as error:
            return Finding.failed(str(error), "name a file of PEM certificates in gws.ca_file")
        if not self._is_secure:
            if self._host.startswith(_LOOPBACK):
                return Finding.ok("none, on this machine")
            cure = "write https in gws.url, or see to it that nobody can listen in between"
            return Finding.warning("none: passwords and messages can be read on their way", cure)
        try:
            async with asyncio.timeout(REACH_S):
                _reader, writer = await asyncio.open_connection(
                    self._host, self._port, ssl=context, server_hostname=self._host
                )
        except ssl.SSLCertVerificationError as error:
            cure = "name its certificate authority in gws.ca_file, or have GWS show another"
            return Finding.failed(f"{self._where}: {error.verify_message}", cure)
        except OSError as error:
            cure = "check that gws.url names the port of https, and which TLS versions GWS takes"
            return Finding.failed(f"{self._where}: {_told(error)}", cure)
        shown = writer.get_extra_info("peercert")
        spoken = writer.get_extra_info("ssl_object").version()
        await _close(writer)
        return certificate(shown or {}, spoken, self._clock.now())

    async def version(self, http: Http) -> Finding:
        """Return which GWS answers. Source: contract 3.1 [O]: asked without a login.

        Args:
            http: A door.
        """
        self._tap = tap = Tap(http, self._clock)
        client = GwsClient(
            tap,
            self._gws.url,
            Headers({}),
            clock=self._clock,
            timeout_s=self._gws.request_timeout_s,
            contact_center_id=self._gws.contact_center_id,
        )
        try:
            version = await client.version()
        except ActionError as error:
            return _without_version(error)
        took_ms = tap.exchanges[-1].took_s * 1000
        if not version:
            cure = "check that gws.url names GWS; imbot goes on without knowing its version"
            return Finding.hint(f"it answered in {took_ms:.0f} ms without a version", cure)
        return Finding.ok(f"{version}, told in {took_ms:.0f} ms")

    async def skew(self) -> Finding:
        """Return how far GWS's clock is from ours, by what it answered last."""
        if self._tap is None or not self._tap.exchanges:
            raise LookupError("GWS was not asked yet")
        last = self._tap.exchanges[-1]
        return clock(last.headers, sent_at=last.sent_at, answered_at=last.answered_at)

    @property
    def _where(self) -> str:
        return f"{self._host}:{self._port}"


def certificate(shown: Mapping[str, object], spoken: str | None, now: datetime) -> Finding:
    """Return whether a certificate that is good today is so for some time.

    Args:
        shown: As Python's ssl tells it.
        spoken: The TLS version.
        now: Now.
    """
    ends_at = expiry_of_certificate(shown.get("notAfter"))
    if ends_at is None:
        return Finding.ok(f"{spoken}; the certificate does not tell when it ends")
    told = f"{spoken}; the certificate ends in {(ends_at - now).days} days, on {ends_at:%Y-%m-%d}"
    cure = "have it renewed, and the agents of imbot will not notice"
    if ends_at - now < SOON:
        return Finding.warning(told, cure)
    return Finding.hint(told, cure) if ends_at - now < SOME_TIME else Finding.ok(told)


def clock(headers: Mapping[str, str], *, sent_at: datetime, answered_at: datetime) -> Finding:
    """Return how far the clocks are apart, as far as one answer tells.

    Moments in messages of GWS are its own (contract 2.4 [O]); ages and timers are by ours.
    """
    told_at = moment_of(headers.get("date", ""))
    if told_at is None:
        cure = "compare the clocks by hand: date -u on both"
        return Finding.hint("GWS, or the proxy before it, tells no time", cure)
    skew = skew_of(told_at, sent_at=sent_at, answered_at=answered_at)
    cure = "have both machines ask a time server (chrony, systemd-timesyncd)"
    if skew.surely_s > FAR_APART_S:
        return Finding.failed(f"GWS is ahead by {skew}", cure)
    if skew.surely_s > APART_S:
        return Finding.warning(f"GWS is ahead by {skew}", cure)
    return Finding.ok(f"GWS is ahead by {skew}")


def _without_version(error: ActionError) -> Finding:
    fault = error.fault
    if fault is not None and fault.status_code is not None:
        cure = "nothing, if the agents can log in: some proxies keep this page to themselves"
        return Finding.hint(f"it answered, and does not tell its version: {fault}", cure)
    cure = "check gws.url" if fault is None else where_to_look(fault)
    return Finding.failed(str(error), cure)


def _told(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {REACH_S:g} s"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):  # what was to be seen was seen
        async with asyncio.timeout(CLOSE_S):
            await writer.wait_closed()
