"""One agent's CometD session, begun, looked at and ended again; imbot's own client does it all."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from imbot.bayeux.client import BayeuxClient
from imbot.bayeux.replies import (
    LONG_POLLING,
    NETWORK_DELAY_S,
    Advice,
    error_of,
    is_successful,
    offers_ack,
)
from imbot.clock import Clock
from imbot.doctor.findings import Finding
from imbot.doctor.tapping import Exchange, Tap
from imbot.errors import ActionError, Fault, FaultClass
from imbot.gws.login import CHANNELS
from imbot.model import JSON, GoodPoll
from imbot.ports import Random

#: A poll that is held longer is not waited for.
MOST_HELD_S = 90.0
#: A poll that is answered before this share of the time is over, with nothing to tell, was not
#: held.
_HELD = 0.9

_HANDSHAKE, _SUBSCRIBE, _CONNECT = "/meta/handshake", "/meta/subscribe", "/meta/connect"
_REQUIRED = frozenset(channel.name for channel in CHANNELS if channel.required)

_IDLE_CURE = (
    "raise the idle timeout of what stands between (proxy, load balancer, firewall) above that, or "
    "lower the timeout of CometD in GWS"
)


class _Deaf:
    """Who listens for the doctor: what GWS tells is for imbot."""

    async def messages(
        self, elements: Sequence[dict[str, JSON]], client_id: str, ack: int | None
    ) -> None:
        """Forget them."""

    async def gap(self, cause: str, good: GoodPoll) -> None:
        """Nothing was wanted."""

    async def down(self, cause: str) -> None:
        """The exchange tells."""

    async def up(self) -> None:
        """The exchange tells."""

    async def turn(self) -> None:
        """There is nobody else."""

    async def refused(self, fault: Fault) -> None:
        """The exchange tells."""

    async def warning(self, fault: Fault) -> None:
        """The exchange tells."""


class CometdSession:
    """The checks of one agent that are made over CometD.

    Args:
        tap: The door of the login.
        url: Of the CometD endpoint.
        clock: Time.
        random: Jitter.
        headers: Those of the login, asked for every request.
        tokens: The CSRF header of the login; empty without one.
    """

    def __init__(
        self,
        tap: Tap,
        url: str,
        *,
        clock: Clock,
        random: Random,
        headers: Callable[[], Mapping[str, str]],
        tokens: Callable[[], Mapping[str, str]],
    ) -> None:
        self._tap = tap
        self._tokens = tokens
        self._error: ActionError | None = None
        self._from = self._until = 0
        self._client = BayeuxClient(
            tap,
            url,
            channels=CHANNELS,
            listener=_Deaf(),
            clock=clock,
            random=random,
            headers=headers,
        )

    async def open(self) -> None:
        """Handshake, subscribe, connect; what came of it is for the checks to say."""
        self._from = len(self._tap.exchanges)
        try:
            await self._client.open()
        except ActionError as error:
            self._error = error
        self._until = len(self._tap.exchanges)

    async def close(self) -> None:
        """End the CometD session, if there is one; within 2 seconds."""
        await self._client.close()

    async def csrf(self) -> Finding:
        """Return whether POSTs need a token, and whether it is taken.

        Source: contract 3.3 [D CSRF], 2.2 [C]: CometD's messages are POSTs, so a handshake is the
        POST that changes nothing.
        """
        await self.open()
        names = ", ".join(self._tokens())
        fault = None if self._error is None else self._error.fault
        if fault is not None and fault.fault_class is FaultClass.CSRF:
            told = f"demanded ({names}), and refused" if names else "demanded, and GWS gave none"
            cure = "let proxies pass X-CSRF-HEADER, X-CSRF-TOKEN and the cookie JSESSIONID"
            return Finding.failed(f"{told}: {fault}", cure)
        if not names:
            return Finding.ok("not demanded")
        is_taken = bool(self._first(_HANDSHAKE).reply)
        return Finding.ok(f"demanded ({names}){', and taken' if is_taken else ''}")

    async def handshake(self) -> Finding:
        """Return whether CometD begins a session. Source: contract 2.6 [J], 2.8 [S]."""
        first = self._first(_HANDSHAKE)
        if is_successful(first.reply):
            advice = self._advice()
            held_s, kept_s = advice.timeout_ms / 1000, advice.max_interval_ms / 1000
            told = f"in {first.took_s * 1000:.0f} ms; polls are held {held_s:g} s"
            return Finding.ok(f"{told}, and a session is kept {kept_s:g} s without one")
        if first.reply:
            cure = "ask why GWS denies CometD to this account; its log tells"
            return Finding.failed(error_of(first.reply), cure)
        cure = "check gws.cometd_path, and that proxies let POST to it pass"
        return Finding.failed(str(self._error or first.fault), cure)

    async def transport(self) -> Finding:
        """Return whether long-polling is offered; success alone says nothing. Source: 2.1 [J]."""
        offered = self._first(_HANDSHAKE).reply.get("supportedConnectionTypes", [LONG_POLLING])
        if isinstance(offered, list) and LONG_POLLING in offered:
            return Finding.ok(", ".join(str(each)[:40] for each in offered[:5]))
        cure = "have GWS offer long-polling in its CometD settings; imbot has no other transport"
        return Finding.failed(f"it offers {offered!r:.200}", cure)

    async def channels(self) -> list[Finding]:
        """Return which channels are denied. Source: contract 2.3 [O, D], 2.8 [S]."""
        asked = {each.subject: each for each in self._own if each.channel == _SUBSCRIBE}
        findings = [
            finding
            for channel in CHANNELS
            if (finding := _denied(channel.name, asked.get(channel.name))) is not None
        ]
        return findings or [Finding.ok(f"{len(asked)} of {len(CHANNELS)}")]

    async def connect(self) -> Finding:
        """Return whether a poll is answered. Source: contract 2.6 [J]."""
        polls = [each for each in self._own if each.channel == _CONNECT]
        if polls and is_successful(polls[-1].reply):
            return Finding.ok(f"in {polls[-1].took_s * 1000:.0f} ms")
        told = polls[-1].fault or error_of(polls[-1].reply) if polls else str(self._error)
        cure = "see that every request reaches the same GWS node: the cookies must be sticky"
        return Finding.failed(told, cure)

    async def ack(self) -> Finding:
        """Return whether what got lost is sent again. Source: contract 2.9 [J]."""
        if offers_ack(self._first(_HANDSHAKE).reply):
            return Finding.ok("offered: what a broken poll takes along is sent again")
        cure = "ask for AcknowledgedMessagesExtension in GWS's CometD; imbot tells each gap"
        return Finding.warning("not offered: what a broken poll takes along is lost", cure)

    async def hold(self) -> Finding:
        """Return whether a poll is held, and answered. Source: contract 2.7 [S], 2.11 [C]."""
        held_s = self._advice().timeout_ms / 1000
        if held_s > MOST_HELD_S:
            cure = "lower the timeout of CometD in GWS, unless everything between allows it"
            return Finding.hint(f"polls are held {held_s:g} s, which was not waited for", cure)
        try:
            async with asyncio.timeout(held_s + NETWORK_DELAY_S + 1.0):
                await self._tap.until(self._until + 1)
        except TimeoutError:
            return Finding.failed(f"no answer {NETWORK_DELAY_S:g} s after {held_s:g} s", _IDLE_CURE)
        return held(self._tap.exchanges[self._until], held_s)

    @property
    def _own(self) -> Sequence[Exchange]:
        return self._tap.exchanges[self._from : self._until]

    def _first(self, channel: str) -> Exchange:
        """Return the first exchange on a channel.

        Raises:
            LookupError: There was none.
        """
        for each in self._own:
            if each.channel == channel:
                return each
        raise LookupError(f"nothing was sent to {channel}: {self._error}")

    def _advice(self) -> Advice:
        advice = Advice()
        for each in self._own:
            for meta in each.metas:
                advice = advice.merged(meta.get("advice"))
        return advice


def held(poll: Exchange, held_s: float) -> Finding:
    """Return whether a poll was held as long as CometD said, and then answered."""
    told = f"after {poll.took_s:.1f} s of {held_s:g}"
    if poll.fault or not is_successful(poll.reply):
        return Finding.failed(f"broken {told}: {poll.fault or error_of(poll.reply)}", _IDLE_CURE)
    if poll.events:
        return Finding.ok(f"answered {told}, with {poll.events} notifications")
    if poll.took_s < _HELD * held_s:
        cure = "see that no other client uses the same cookies, and no proxy answers for GWS"
        return Finding.warning(f"answered {told}, with nothing to tell", cure)
    return Finding.ok(f"answered {told}")


def _denied(name: str, asked: Exchange | None) -> Finding | None:
    """Return what is wrong with a subscription; None for nothing."""
    if asked is not None and is_successful(asked.reply):
        return None
    told = "not reached" if asked is None else asked.fault or error_of(asked.reply)
    if name in _REQUIRED:
        cure = "have GWS allow it to this account; without it imbot hears nothing"
        return Finding.failed(f"{name}: {told}", cure)
    cure = "have GWS allow it to this account, or do without what it tells"
    return Finding.hint(f"{name}: {told}", cure)
