"""What waits for a person, sent again as the person orders, or given up.

It is sent as its intent tells it, word for word, as one more attempt; what was to follow a message
follows it. The run that it was of goes on as it did without it.
"""

from collections.abc import Container, Iterable
from datetime import datetime

import structlog

from imbot.engine.doors import World, pieces_of
from imbot.engine.echoes import normalised
from imbot.engine.orders import why_not_resent
from imbot.engine.proving import Proof, Prover, step_key_of
from imbot.errors import ActionError, AmbiguousError, PermanentError
from imbot.model import JSON, SessionKey
from imbot.ports import Store
from imbot.records import Change, Effect, EffectState, Intent, Verdict

log = structlog.get_logger()

_STOPPED = "imbot was stopped while it was sent again; nobody knows whether it was carried out"


class Parked:
    """Carries out what people order about parked effects.

    Args:
        world: The agents, the sessions and the echoes.
        store: Where effects are kept.
        prover: Waits for the proof of what becomes uncertain again.
    """

    def __init__(self, world: World, store: Store, prover: Prover) -> None:
        self._world = world
        self._store = store
        self._prover = prover

    async def resend(self, effect: Effect) -> EffectState:
        """Send a parked effect again; return what came of it, UNKNOWN until that is proven.

        Raises:
            PermanentError: It is not sent, and the message says why; it stays as it was.
            StoreError: Nothing can be written down, so nothing was sent.
        """
        intent = effect.intent
        why = _why_not_parked(effect) or why_not_resent(intent, is_over=self._is_over(intent))
        if why := why or self._world.switches.why_halted():
            raise PermanentError(why)
        if intent.operation != "SendMessage":
            return await self._attempt(intent)
        said, to = pieces_of(intent.payload), intent.payload["to"]
        state = EffectState.PARKED
        for number, text in enumerate(said):
            rest = {"rest": [*said[number + 1 :]]} if said[number + 1 :] else {}
            payload = {"text": text, "to": to, **rest}
            one = _numbered(intent, number)._replace(payload=payload, echo=normalised(text))
            state = await self._attempt(one)
            if state is not EffectState.ACCEPTED:
                break
        return state

    def drop(self, effect: Effect, *, by: str = "") -> None:
        """Give a parked effect up for good.

        Raises:
            PermanentError: It is not parked.
            StoreError: The store takes nothing more.
        """
        if why := _why_not_parked(effect):
            raise PermanentError(why)
        told = f"dropped by {by}" if by else "dropped"
        self._settle(effect.intent, EffectState.CANCELLED, told)

    # Sending ----------------------------------------------------------------------------------

    async def _attempt(self, parked: Intent) -> EffectState:
        world, key = self._world, SessionKey(parked.agent, parked.session_id)
        now = world.clock.now()
        intent = parked._replace(at=now, attempt=parked.attempt + 1)
        if intent.echo is not None:
            world.echoes.withdraw(key, intent.effect_id)
            world.echoes.expect(key, intent.effect_id, intent.payload["text"], now)
        await self._store.commit([intent])
        try:
            result = await self._send(intent)
        except AmbiguousError as error:
            self._settle(intent, EffectState.UNKNOWN, str(error))
            world.later(self._prove(intent))
            return EffectState.UNKNOWN
        except ActionError as error:
            world.echoes.withdraw(key, intent.effect_id)
            return self._settle(intent, EffectState.PARKED, f"sent again, and refused: {error}")
        if intent.operation == "SendMessage":
            world.guard.note_reply(key, world.clock.now())
        return self._settle(intent, EffectState.ACCEPTED, result=result)

    async def _send(self, intent: Intent) -> JSON:
        """Send what an intent tells, once; return what it brought."""
        gws = self._world.agents.get(intent.agent)
        if gws is None:
            raise PermanentError(f"there is no agent {intent.agent} any more")
        key, payload = SessionKey(intent.agent, intent.session_id), intent.payload
        match intent.operation:
            case "SendMessage":
                to = payload["to"]
                await gws.send_message(key.session_id, payload["text"], destination=to)
            case "UpdateUserData":
                self._world.table.expect_write(key, payload)
                await gws.update_user_data(key.session_id, payload)
            case "DeleteUserData":
                for name in payload:
                    await gws.delete_user_data(key.session_id, name)
            case "Complete":
                await gws.complete(key.session_id)
            case "InitiateIMSession":
                with self._world.table.beginning(intent.agent):
                    begun = await gws.initiate(payload["to"], payload["userData"])
                self._world.table.claim(SessionKey(intent.agent, begun))
                return {"id": begun, "agent": intent.agent}
            case other:
                raise PermanentError(f"nobody knows how to repeat {other}")
        return None

    async def _prove(self, intent: Intent) -> None:
        """Wait for the proof of what was sent again; without it, it is parked again."""
        proven = await self._prover.prove(intent, lambda: "")
        self._prover.settle(step_key_of(intent.effect_id))
        match proven.proof:
            case Proof.DONE:
                found = proven.found
                result = None if found is None else {"id": found.id, "agent": intent.agent}
                if intent.echo is None:
                    self._settle(intent, EffectState.ACCEPTED, result=result)
            case Proof.ABSENT:
                told = "sent again, and surely not carried out"
                self._settle(intent, EffectState.PARKED, told)
            case _:
                told = "sent again, and nobody knows whether it was carried out"
                self._settle(intent, EffectState.PARKED, f"{told}; {proven.why}".rstrip("; "))

    def _settle(
        self, intent: Intent, state: EffectState, detail: str = "", *, result: JSON = None
    ) -> EffectState:
        told = self._world.secrets.cut_text(detail)
        at = self._world.clock.now()
        self._store.note([Verdict(intent.effect_id, state, at, told, result)])
        log.info("parked.settled", effect=intent.effect_id, state=state.value, detail=told)
        return state

    def _is_over(self, intent: Intent) -> bool:
        entry = self._world.table.get(SessionKey(intent.agent, intent.session_id))
        return entry is None or entry.session.is_completed


def orphans(effects: Iterable[Effect], run_ids: Container[str], now: datetime) -> list[Change]:
    """Return what parks the effects that are under way and belong to no run that goes on."""
    return [
        Verdict(effect.intent.effect_id, EffectState.PARKED, now, _STOPPED)
        for effect in effects
        if effect.state in (EffectState.SENDING, EffectState.UNKNOWN)
        and effect.intent.run_id not in run_ids
    ]


def _why_not_parked(effect: Effect) -> str:
    if effect.state is EffectState.PARKED:
        return ""
    return f"it is not parked: {effect.state.means}"


def _numbered(intent: Intent, number: int) -> Intent:
    """Return the intent of the message so many after this one."""
    if not number:
        return intent
    step_key, _, call = intent.effect_id.rpartition("/im")
    return intent._replace(effect_id=f"{step_key}/im{int(call) + number}", attempt=0)
