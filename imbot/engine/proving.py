"""What became of an effect whose outcome nobody knows: the proof is waited for, with a limit.

A message is proven by its echo. That it was not said is proven, too: once a request that has not
taken effect never does, by a poll that was sent after that and answered well, when nothing can have
been lost since the message was sent. A session that may have been begun is looked for among those
that GWS lists. What converges may simply be done again. All else is for a person to decide.
Source: reliability 3.2, 3.4.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import NamedTuple

import structlog

from imbot.engine.doors import World
from imbot.errors import ActionError
from imbot.gws.initiating import reaches
from imbot.model import ImSession, SessionKey
from imbot.ports import Hearing
from imbot.records import Intent

log = structlog.get_logger()

#: Once a message can take effect no more, so long is waited for the poll that shows that it did
#: not: one that is held already, the next one, and their delays.
_POLLS = timedelta(seconds=120.0)

#: How often it is looked whether the agent still hears everything.
LOOK_S = 5.0

#: So long is tried to ask GWS which sessions there are; after a start the agent logs in first.
ASK_S = 90.0

#: Clocks and timers are compared no finer than this.
_TICK_S = 0.001

#: What is the same however often it is done; the doors compare before they write again.
_CONVERGES = frozenset({"UpdateUserData", "DeleteUserData", "Complete"})


class Proof(Enum):
    """What is proven of an effect; what converges needs no proof to be done again."""

    DONE = auto()
    ABSENT = auto()
    CONVERGES = auto()
    NONE = auto()


class Proven(NamedTuple):
    """What is proven of an effect, and why no more is.

    Attributes:
        proof: What.
        why: What stood in the way of a proof, for people; empty with one.
        found: What it brought, when that was found.
    """

    proof: Proof
    why: str = ""
    found: ImSession | None = None


_DONE = Proven(Proof.DONE)
_ABSENT = Proven(Proof.ABSENT)


class Prover:
    """Waits for the proofs of what may have been done.

    Args:
        world: The agents, the table and the echoes.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._changed: dict[SessionKey, asyncio.Event] = {}
        self._doubts: dict[SessionKey, dict[str, asyncio.Event]] = {}

    async def prove(self, intent: Intent, is_over: Callable[[], str]) -> Proven:
        """Return what is proven of an effect, after its proof was waited for.

        From now on it is in doubt, until :meth:`settle`.

        Args:
            intent: The effect; nothing of it is under way any more.
            is_over: Says why there is nothing more to wait for; empty while there is.
        """
        if intent.echo is not None:
            key = SessionKey(intent.agent, intent.session_id)
            doubts = self._doubts.setdefault(key, {})
            doubts.setdefault(step_key_of(intent.effect_id), asyncio.Event())
            return await self._heard(intent, is_over)
        if intent.operation == "InitiateIMSession":
            return await self._begun(intent, is_over)
        if intent.operation in _CONVERGES:
            return Proven(Proof.CONVERGES)
        return Proven(Proof.NONE)

    # Doubts -----------------------------------------------------------------------------------

    def doubts(self, key: SessionKey | None, *, but: str) -> bool:
        """Return whether it is not known of a message of this session whether it was said.

        Args:
            key: The session.
            but: Key of a step whose own messages do not count.
        """
        return key is not None and any(each != but for each in self._doubts.get(key, ()))

    async def settled(self, key: SessionKey | None, *, but: str) -> None:
        """Return when one of these doubts is settled."""
        waits = {} if key is None else self._doubts.get(key, {})
        for over in [over for step_key, over in waits.items() if step_key != but][:1]:
            await over.wait()

    def settle(self, step_key: str) -> None:
        """Note that a step is over, whatever became of what it said."""
        for key, doubts in list(self._doubts.items()):
            if (over := doubts.pop(step_key, None)) is not None:
                over.set()
            if not doubts:
                del self._doubts[key]

    # A message --------------------------------------------------------------------------------

    async def _heard(self, intent: Intent, is_over: Callable[[], str]) -> Proven:
        """Wait for the echo of a message, or for the proof that it does not come any more."""
        world, key = self._world, SessionKey(intent.agent, intent.session_id)
        echoes, heard = world.echoes, asyncio.Event()
        echoes.doubt(key, intent.effect_id, None)
        echoes.tell(intent.effect_id, heard.set)
        proven = Proven(Proof.NONE)
        began_at = world.clock.now()
        try:
            while not heard.is_set():
                now, quiet_at = world.clock.now(), echoes.quiet_at(began_at)
                if why := is_over() or self._why_unprovable(intent, now, quiet_at):
                    proven = Proven(Proof.NONE, why)
                    break
                if self._is_absent(intent, quiet_at):
                    proven = _ABSENT
                    break
                if (gws := world.agents.get(intent.agent)) is not None:
                    gws.hear_through(quiet_at)
                next_look_s = min(LOOK_S, left_s(quiet_at, now) or LOOK_S)
                await first_of(heard.wait(), self.change_of(key), timeout_s=next_look_s)
            else:
                proven = _DONE
        finally:
            echoes.hush(intent.effect_id)
            if proven.proof is Proof.ABSENT:
                echoes.withdraw(key, intent.effect_id)
            else:
                echoes.doubt(key, intent.effect_id, echoes.quiet_at(world.clock.now()))
        log.info("effect.proof", effect=intent.effect_id, proof=proven.proof.name, why=proven.why)
        return proven

    def _why_unprovable(self, intent: Intent, now: datetime, quiet_at: datetime) -> str:
        """Return why it can never be proven that the message was not said; empty while it can."""
        echoes, hearing = self._world.echoes, self._hearing(intent)
        key, last_at = SessionKey(intent.agent, intent.session_id), quiet_at + _POLLS
        whys = (
            (echoes.learnt.are_missing, "this GWS sends no echoes"),
            (
                hearing is not None and hearing.since > intent.at,
                "its echo may have been lost in a gap",
            ),
            (
                echoes.is_shared(key, intent.effect_id),
                "the same text was heard, and may have been another's",
            ),
            (
                not echoes.learnt.are_heard and not left_s(last_at, now),
                "too few echoes ever came for it to prove anything that this one did not",
            ),
            (not left_s(last_at, now), "no poll has shown since that its echo did not come"),
        )
        return next((why for is_so, why in whys if is_so), "")

    def _is_absent(self, intent: Intent, quiet_at: datetime) -> bool:
        """Return whether its echo would have been heard by now."""
        hearing = self._hearing(intent)
        if hearing is None or not self._world.echoes.learnt.are_heard:
            return False
        return hearing.since <= intent.at and hearing.through >= quiet_at

    def _hearing(self, intent: Intent) -> Hearing | None:
        gws = self._world.agents.get(intent.agent)
        return None if gws is None else gws.hearing

    # A session --------------------------------------------------------------------------------

    async def _begun(self, intent: Intent, is_over: Callable[[], str]) -> Proven:
        """Look for the session that an InitiateIMSession may have begun; it is never sent again."""
        gws = self._world.agents.get(intent.agent)
        if gws is None:
            return Proven(Proof.NONE, f"there is no agent {intent.agent} any more")
        clock = self._world.clock
        until = clock.now() + timedelta(seconds=ASK_S)
        while left_s(until, clock.now()) and not is_over():
            try:
                found = [each for each in await gws.sessions() if self._may_be(each, intent)]
            except ActionError:
                await clock.sleep(LOOK_S)
                continue
            if len(found) == 1:
                return Proven(Proof.DONE, found=found[0])
            told = f"{len(found)} sessions with" if found else "there is no session with"
            return Proven(Proof.NONE, f"{told} {intent.payload['to']}")
        return Proven(Proof.NONE, "GWS could not be asked which sessions there are")

    def _may_be(self, session: ImSession, intent: Intent) -> bool:
        """Return whether it began after this was sent, and reaches whom it was to reach."""
        if session.is_completed or not reaches(session, intent.payload["to"]):
            return False
        entry = self._world.table.get(SessionKey(intent.agent, session.id))
        return entry is None or entry.first_seen_at >= intent.at

    # Changes ----------------------------------------------------------------------------------

    def wake(self, key: SessionKey) -> None:
        """Tell whoever waits for this session that it has changed."""
        if (changed := self._changed.pop(key, None)) is not None:
            changed.set()

    async def change_of(self, key: SessionKey) -> None:
        """Return when the session has changed."""
        await self._changed.setdefault(key, asyncio.Event()).wait()


def step_key_of(effect_id: str) -> str:
    """Return the key of the step that an effect is of."""
    return effect_id.rpartition("/")[0]


def left_s(until: datetime, now: datetime) -> float:
    """Return the seconds until then; a last tick that rounding leaves over counts as none."""
    seconds = (until - now).total_seconds()
    return seconds if seconds > _TICK_S else 0.0


async def first_of(*waits: Awaitable[object], timeout_s: float) -> None:
    """Return when one of these is over, or the time is; the others are cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
