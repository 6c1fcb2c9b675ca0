"""The doors an action acts through: each call is an effect, written down before it is sent.

What a door carried out on an earlier attempt, or before a restart, it does not do again. An effect
whose outcome nobody knows raises AmbiguousError; whoever runs the action waits for the proof.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from imbot.cards import masked_item
from imbot.clock import Clock
from imbot.engine.echoes import Echoes
from imbot.engine.guard import LoopGuard
from imbot.engine.ledger import Ledger
from imbot.engine.ownwrites import ABSENT, Writes
from imbot.engine.secrecy import Secrets
from imbot.engine.sessions import SessionTable
from imbot.engine.switches import Switches
from imbot.errors import AmbiguousError, Fault, FaultClass, PermanentError, TemporaryError
from imbot.model import JSON, ImSession, SessionKey, Step
from imbot.ports import Gws, Http
from imbot.records import EffectState

#: States of an effect that is not carried out again.
DONE = frozenset({EffectState.ACCEPTED, EffectState.CONFIRMED})


@dataclass(slots=True)
class Acting:
    """What the doors of one run share.

    Attributes:
        ledger: The run's effects.
        session: The session acted on; ``initiate`` changes it.
        agent: The agent that acts.
    """

    ledger: Ledger
    session: SessionKey | None
    agent: str


@dataclass(frozen=True, slots=True)
class World:
    """What the doors of all runs share.

    Attributes:
        agents: The operations of each agent, by user name.
        table: The sessions.
        echoes: The texts whose echo is awaited.
        guard: The loop guard.
        http: The way out for plugins.
        clock: Tells the time.
        later: Takes a coroutine to be carried out beside the run.
        secrets: What is cut out of all that is kept and shown of requests and answers.
        switches: What people have switched.
    """

    agents: Mapping[str, Gws]
    table: SessionTable
    echoes: Echoes
    guard: LoopGuard
    http: Http
    clock: Clock
    later: Callable[[Coroutine[Any, Any, None]], object]
    secrets: Secrets = field(default_factory=Secrets)
    switches: Switches = field(default_factory=Switches)


@dataclass(slots=True)
class ImDoor:
    """The operations of the session that a step acts on."""

    world: World
    acting: Acting
    step: Step
    is_shut: bool = field(default=False)
    _calls: int = field(default=0)

    async def send_message(self, *texts: str, to: str | None = None) -> None:
        """Say something to the other party, in so many messages.

        What was intended on an earlier attempt is said, word for word, whatever is given now.
        """
        key = self._key()
        first = f"{self.step.key}/im{self._calls + 1}"
        if (frozen := self.acting.ledger.payload(first)) is not None:
            said, destination = pieces_of(frozen), frozen["to"]
        else:
            said, destination = texts, to or self._destination(key)
        for number, text in enumerate(said, start=1):
            await self._say(key, text, destination, said[number:])

    async def _say(self, key: SessionKey, text: str, destination: str, rest: Sequence[str]) -> None:
        effect_id = self._next_effect()
        if self._is_done(effect_id):
            return
        gws = self._gws(key.agent)
        world, ledger = self.world, self.acting.ledger
        await gws.until_sound()
        self._leave_mark(key, gws)
        world.echoes.withdraw(key, effect_id)
        echo = world.echoes.expect(key, effect_id, text, world.clock.now())
        try:
            await ledger.open(
                effect_id,
                key=key,
                agent=key.agent,
                action=self.step.action,
                operation="SendMessage",
                payload={"text": text, "to": destination, **({"rest": [*rest]} if rest else {})},
                echo=echo,
            )
            await gws.send_message(key.session_id, text, destination=destination)
        except asyncio.CancelledError:
            world.echoes.doubt(key, effect_id, self._quiet_at())
            raise
        except AmbiguousError as error:
            if ledger.state(effect_id) is EffectState.CONFIRMED:
                return
            world.echoes.doubt(key, effect_id, self._quiet_at())
            ledger.close(effect_id, EffectState.UNKNOWN, detail=str(error))
            raise
        except (TemporaryError, PermanentError) as error:
            # After a server error GWS may have said it all the same; the echo would tell.
            if error.fault is not None and error.fault.fault_class is FaultClass.SERVER:
                world.echoes.doubt(key, effect_id, self._quiet_at())
            else:
                world.echoes.withdraw(key, effect_id)
            ledger.close(effect_id, EffectState.FAILED, detail=str(error))
            raise
        ledger.close(effect_id, EffectState.ACCEPTED)
        world.guard.note_reply(key, world.clock.now(), text=text, step=self.step.key)
        echoes = world.echoes
        if not (learnt := echoes.learnt).are_heard and gws.hearing is not None:
            echoes.note_accepted(key, effect_id, text, world.clock.now())
            if echoes.learnt is not learnt:
                ledger.store.note([echoes.learnt])

    async def update_user_data(self, user_data: Mapping[str, JSON]) -> None:
        """Set keys of the user data; nothing is sent when they are so already."""
        key, effect_id = self._key(), self._next_effect()

        async def send(changes: Writes) -> None:
            await self._gws(key.agent).update_user_data(key.session_id, changes)

        await self._write(effect_id, key, "UpdateUserData", user_data, send)

    async def delete_user_data(self, key: str) -> None:
        """Remove one key of the user data; nothing is sent when it is absent."""
        session, effect_id = self._key(), self._next_effect()

        async def send(changes: Writes) -> None:
            for name in changes:
                await self._gws(session.agent).delete_user_data(session.session_id, name)

        await self._write(effect_id, session, "DeleteUserData", {key: ABSENT}, send)

    async def complete(self) -> None:
        """End the session."""
        key, effect_id = self._key(), self._next_effect()
        ledger = self.acting.ledger
        if self._is_done(effect_id):
            return
        gws = self._gws(key.agent)
        if ledger.was_in_doubt(effect_id) and await self._shown(key) is None:
            ledger.close(effect_id, EffectState.ACCEPTED, detail="it is over")
            return
        await self._effect(effect_id, key, "Complete", None, lambda: gws.complete(key.session_id))

    async def initiate(
        self, to: str, *, user_data: Mapping[str, JSON] | None = None, agent: str | None = None
    ) -> Mapping[str, JSON]:
        """Begin a session; later steps of the run act on it."""
        effect_id = self._next_effect()
        ledger = self.acting.ledger
        if self._is_done(effect_id):
            begun = ledger.result(effect_id)
            self._act_on(SessionKey(begun["agent"], begun["id"]))
            return dict(begun)
        if (frozen := ledger.payload(effect_id)) is not None:
            to, user_data = frozen["to"], frozen["userData"]
        user = self._free_agent() if agent == "any" else agent or self.acting.agent
        gws = self._gws(user)
        try:
            await ledger.open(
                effect_id,
                key=None,
                agent=user,
                action=self.step.action,
                operation="InitiateIMSession",
                payload={"to": to, "userData": dict(user_data or {})},
            )
            with self.world.table.beginning(user, depth=self._depth):
                session_id = await gws.initiate(to, user_data or {})
        except AmbiguousError as error:
            ledger.close(effect_id, EffectState.UNKNOWN, detail=str(error))
            raise
        except (TemporaryError, PermanentError) as error:
            ledger.close(effect_id, EffectState.FAILED, detail=str(error))
            raise
        begun = {"id": session_id, "agent": user}
        ledger.close(effect_id, EffectState.ACCEPTED, result=begun)
        self._act_on(SessionKey(user, session_id))
        return begun

    # Parts ------------------------------------------------------------------------------------

    @property
    def _depth(self) -> int:
        """How many runs led to what this one does."""
        return self.acting.ledger.start.event.depth + 1

    def _next_effect(self) -> str:
        require_open(self.step, is_shut=self.is_shut)
        self._calls += 1
        return f"{self.step.key}/im{self._calls}"

    def _quiet_at(self) -> datetime:
        """Return when a request sent now has taken effect or never will."""
        return self.world.echoes.quiet_at(self.world.clock.now())

    def _is_done(self, effect_id: str) -> bool:
        return self.acting.ledger.state(effect_id) in DONE

    def _key(self) -> SessionKey:
        if self.acting.session is None:
            raise PermanentError(f"{self.step.action}: there is no session to act on")
        return self.acting.session

    def _gws(self, agent: str) -> Gws:
        gws = self.world.agents.get(agent)
        if gws is None:
            raise PermanentError(
                f"{self.step.action}: no agent {agent!r}; known: {', '.join(self.world.agents)}"
            )
        return gws

    def _user_data(self, key: SessionKey) -> Mapping[str, JSON]:
        entry = self.world.table.get(key)
        return {} if entry is None else entry.session.user_data

    def _destination(self, key: SessionKey) -> str:
        entry = self.world.table.get(key)
        participants = () if entry is None else entry.session.participants
        if not participants:
            raise PermanentError(
                f"{self.step.action}: the other party's number is not known; say it with 'to'"
            )
        return participants[0].phoneNumber

    def _free_agent(self) -> str:
        for user, gws in self.world.agents.items():
            if gws.is_up and self.world.table.is_free(user):
                return user
        raise TemporaryError("every agent has a session already or is not logged in")

    def _act_on(self, key: SessionKey) -> None:
        self.acting.session = key
        self.world.table.claim(key, depth=self._depth)

    async def _write(
        self,
        effect_id: str,
        key: SessionKey,
        operation: str,
        writes: Writes,
        send: Callable[[Writes], Awaitable[None]],
    ) -> None:
        """Carry out a write of user data, laid over the session before it is sent.

        What is so already is not written. Nor is, once it was tried, what another has changed
        meanwhile: a repeated write must not undo a newer one.
        """
        if self._is_done(effect_id):
            return
        ledger, table = self.acting.ledger, self.world.table
        known = self._user_data(key)
        if (frozen := ledger.payload(effect_id)) is None:
            changes = {name: v for name, v in writes.items() if not is_shown(known, name, v)}
        else:
            wanted = {name: ABSENT if v is None else v for name, v in frozen.items()}
            changes = await self._still_due(effect_id, key, wanted)
        if not changes:
            return
        before = {name: known.get(name) for name in changes}
        table.expect_write(key, changes, depth=self._depth)
        payload = {name: None if value is ABSENT else value for name, value in changes.items()}
        try:
            await self._effect(
                effect_id, key, operation, frozen or payload, lambda: send(changes), before=before
            )
        except (TemporaryError, PermanentError):
            table.withdraw_write(key, changes)
            raise
        self._keep_shown(key)

    async def _still_due(self, effect_id: str, key: SessionKey, wanted: Writes) -> dict[str, Any]:
        """Return which keys are still to be written, by what GWS shows now."""
        ledger, table = self.acting.ledger, self.world.table
        if (session := await self._shown(key)) is None:
            raise PermanentError(
                f"{self.step.action}: session {key.session_id} is over",
                fault=Fault(FaultClass.GONE),
            )
        table.withdraw_write(key, wanted)
        shown, before = session.user_data, ledger.before(effect_id) or {}
        missing = {n: v for n, v in wanted.items() if not is_shown(shown, n, v)}
        due = {n: v for n, v in missing.items() if shown.get(n) == before.get(n)}
        if not missing:
            ledger.close(effect_id, EffectState.ACCEPTED, detail="it is there")
            table.expect_write(key, wanted, depth=self._depth)
        elif not due:
            told = f"another has changed it since: {', '.join(sorted(missing))}"
            ledger.close(effect_id, EffectState.CANCELLED, detail=told)
        return due

    async def _shown(self, key: SessionKey) -> ImSession | None:
        """Return a session as GWS shows it now; None when it is over."""
        for session in await self._gws(key.agent).sessions():
            if key.session_id in (session.id, *session.aliases):
                return None if session.is_completed else session
        return None

    def _keep_shown(self, key: SessionKey) -> None:
        """Write the session down as it stands.

        After a restart GWS will show our write; it must be known as ours.
        """
        if (entry := self.world.table.get(key)) is not None:
            self.acting.ledger.store.note([entry.seen()])

    async def _effect(
        self,
        effect_id: str,
        key: SessionKey,
        operation: str,
        payload: JSON,
        send: Callable[[], Awaitable[None]],
        *,
        before: JSON = None,
    ) -> None:
        """Carry out an effect that may be repeated without harm."""
        ledger = self.acting.ledger
        try:
            await ledger.open(
                effect_id,
                key=key,
                agent=key.agent,
                action=self.step.action,
                operation=operation,
                payload=payload,
                before=before,
            )
            await send()
        except AmbiguousError as error:
            ledger.close(effect_id, EffectState.UNKNOWN, detail=str(error))
            raise
        except (TemporaryError, PermanentError) as error:
            ledger.close(effect_id, EffectState.FAILED, detail=str(error))
            raise
        ledger.close(effect_id, EffectState.ACCEPTED)

    def _leave_mark(self, key: SessionKey, gws: Gws) -> None:
        """Leave the mark that other bots look for, beside the session's first reply."""
        guard, table = self.world.guard, self.world.table
        if not guard.needs_mark(key, self._user_data(key)):
            return
        mark = {guard.mark(key.agent): "1"}
        table.expect_write(key, mark, depth=self._depth)

        async def leave() -> None:
            try:
                await gws.update_user_data(key.session_id, mark)
            except (TemporaryError, PermanentError):
                table.withdraw_write(key, mark)
            except AmbiguousError:
                pass  # The session will show whether it is there; the next reply looks again.
            else:
                self._keep_shown(key)

        self.world.later(leave())


def require_open(step: Step, *, is_shut: bool) -> None:
    """Return if the action that a door was given to goes on.

    Raises:
        PermanentError: A task that it has left behind acts; the step may have been told as failed.
    """
    if is_shut:
        raise PermanentError(f"{step.action}: its step is over; nothing is done behind it")


def is_shown(user_data: Mapping[str, JSON], name: str, value: object) -> bool:
    """Return whether user data hold this under the name; ABSENT for not at all."""
    name, value = masked_item(name, value)
    return bool(user_data.get(name, ABSENT) == value)


def pieces_of(payload: Mapping[str, JSON]) -> tuple[str, ...]:
    """Return the messages that a SendMessage and those that were to follow it carry."""
    rest = payload.get("rest", ())
    return (payload["text"], *((rest,) if isinstance(rest, str) else rest))
