"""Bugs that the simulation must catch: each takes one rule of delivery out of the product.

A canary is a context in which one function of the product is another; nothing in the product knows
of it. What the checker does not notice of them shows what it could not notice of a real bug. The
first nine are the rules of reliability.md 3.4 that concern one machine.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from imbot.engine.dispatch import Dispatch
from imbot.engine.echoes import Echoes
from imbot.engine.ledger import Ledger
from imbot.engine.sessions import SessionTable
from imbot.engine.timers import Timers
from imbot.errors import FaultClass, TemporaryError
from imbot.gws import faults
from imbot.gws.agent import Agent
from imbot.gws.feed import Feed
from imbot.model import Batch
from imbot.records import Change, EchoesLearnt, EchoSeen, EffectState, OnceMarked
from imbot.store.database import SqlStore

#: Seconds that echoes are written down too late in the canary that does so.
_ECHO_LATE_S = 30.0


@contextmanager
def replaced(owner: Any, name: str, other: Any) -> Iterator[None]:
    """Let an attribute be another one for a while."""
    own = vars(owner)[name]
    setattr(owner, name, other)
    try:
        yield
    finally:
        setattr(owner, name, own)


class _Lazy:
    """A store that promises before it has written."""

    def __init__(self, store: Any) -> None:
        self._store = store

    async def commit(self, changes: Sequence[Change]) -> None:
        self._store.note(changes)

    def note(self, changes: Sequence[Change]) -> None:
        self._store.note(changes)


def no_intent_log() -> AbstractContextManager[None]:
    """Rule 1: the request goes out before its intent is durable."""
    own = Ledger.open

    async def open_(self: Ledger, *given: Any, **named: Any) -> None:
        store, self.store = self.store, _Lazy(self.store)
        try:
            await own(self, *given, **named)
        finally:
            self.store = store

    return replaced(Ledger, "open", open_)


def echoes_apart() -> AbstractContextManager[None]:
    """Rule 2: echoes are not in the transaction of their batch, but are written some time later."""
    own = SqlStore.note

    def note(self: SqlStore, changes: Sequence[Change]) -> None:
        echoes = [change for change in changes if isinstance(change, EchoSeen)]
        if echoes:
            asyncio.get_running_loop().call_later(_ECHO_LATE_S, own, self, echoes)
        own(self, [change for change in changes if not isinstance(change, EchoSeen)])

    return replaced(SqlStore, "note", note)


def no_resume() -> AbstractContextManager[None]:
    """Rule 3: a start begins another Bayeux session."""
    return replaced(Agent, "go_on_from", lambda *_: None)


def short_quiesce() -> AbstractContextManager[None]:
    """Rule 4: what has not taken effect after 10 s is believed never to do so."""
    return replaced(Echoes, "quiesce_s", property(lambda _: 10.0))


@contextmanager
def echoes_for_granted() -> Iterator[None]:
    """Rule 5: a GWS that sends no echoes is believed to send them."""
    own = Echoes.__init__

    def init(self: Echoes, *given: Any) -> None:
        own(self, *given)
        self.learnt = EchoesLearnt(are_heard=True)

    with (
        replaced(Echoes, "__init__", init),
        replaced(Echoes, "_note_trial", lambda *_args, **_options: None),
    ):
        yield


def any_text_is_an_echo() -> AbstractContextManager[None]:
    """Rule 6: one echo proves every message of its text, and so do the other party's words."""
    own = Echoes.take

    def take(self: Echoes, key: Any, text: str, now: Any) -> str | None:
        taken = own(self, key, text, now)
        for other in list(self._awaited.get(key, ())):
            if other.text == text and taken is not None:
                own(self, key, text, now)
        return taken

    return replaced(Echoes, "take", take)


def no_quiesce_at_start() -> AbstractContextManager[None]:
    """Rule 8: what was being sent when imbot died is sent again at once."""
    own = Ledger.restore

    def restore(self: Ledger, effects: Any) -> None:
        own(self, [effect for effect in effects if effect.state is not EffectState.SENDING])

    return replaced(Ledger, "restore", restore)


def rendered_again() -> AbstractContextManager[None]:
    """Rule 9: what is sent again is rendered anew."""
    return replaced(Ledger, "payload", lambda *_: None)


def unlisted_is_definite() -> AbstractContextManager[None]:
    """Rule 10: an answer that nobody listed is taken for a refusal."""
    return replaced(faults, "_UNLISTED", faults.Meaning(FaultClass.SERVER, TemporaryError))


def no_resync() -> AbstractContextManager[None]:
    """Sessions are not read again after trouble."""

    async def resync(self: Feed, client: Any, *, enters: bool = False) -> None:
        del client
        self.is_due = False
        if enters:
            self._is_in_service = True
            self._restore()
            self.is_due = False
        if owed := self._take_owed():
            await self._hand(Batch(self._user, owed))
        self._may_pass.set()

    return replaced(Feed, "resync", resync)


def no_gap() -> AbstractContextManager[None]:
    """Gaps are not written down."""
    return replaced(Dispatch, "_gaps", lambda *_: iter(()))


def deduplicated_by_text() -> AbstractContextManager[None]:
    """What the other party says twice is taken for a repetition of the wire."""
    own = SessionTable.see_message

    def see_message(self: SessionTable, agent: str, notice: Any, **named: Any) -> Any:
        entry = self.get((agent, notice.session_id))  # type: ignore[arg-type]  # as good as a key
        if entry is not None and notice.text in entry.said[-1:]:
            return []
        return own(self, agent, notice, **named)

    return replaced(SessionTable, "see_message", see_message)


def poll_before_commit() -> AbstractContextManager[None]:
    """A batch is acknowledged before it is durable."""
    own = SqlStore.commit

    async def commit(self: SqlStore, changes: Sequence[Change]) -> None:
        if changes:
            await own(self, changes)

    return replaced(SqlStore, "commit", commit)


def mark_after_effect() -> AbstractContextManager[None]:
    """The once mark is not written with the intent, but with the verdict."""

    @contextmanager
    def canary() -> Iterator[None]:
        own = Ledger.close

        def close(self: Ledger, effect_id: str, state: EffectState, **named: Any) -> None:
            own(self, effect_id, state, **named)
            scope = self.start.once_scope
            if scope is not None and state is EffectState.ACCEPTED:
                mark = OnceMarked(self.start.rule.id, scope, self.start.run_id, self.clock.now())
                self.store.note([mark])

        with replaced(Ledger, "_mark", lambda *_: []), replaced(Ledger, "close", close):
            yield

    return canary()


def timer_twice() -> AbstractContextManager[None]:
    """A timer that was fired is fired again."""
    own = Timers._serve

    def serve(self: Timers) -> None:
        fire, fired = self._fire, []

        def noting(timer: Any) -> None:
            fired.append(timer)
            fire(timer)

        self._fire = noting
        try:
            own(self)
        finally:
            self._fire = fire
        for timer in fired:
            fire(timer)

    return replaced(Timers, "_serve", serve)


#: The canaries by name.
CANARIES: Mapping[str, Callable[[], AbstractContextManager[None]]] = {
    "no-intent-log": no_intent_log,
    "echoes-apart": echoes_apart,
    "no-resume": no_resume,
    "short-quiesce": short_quiesce,
    "echoes-for-granted": echoes_for_granted,
    "any-text-is-an-echo": any_text_is_an_echo,
    "no-quiesce-at-start": no_quiesce_at_start,
    "rendered-again": rendered_again,
    "unlisted-is-definite": unlisted_is_definite,
    "no-resync": no_resync,
    "no-gap": no_gap,
    "deduplicated-by-text": deduplicated_by_text,
    "poll-before-commit": poll_before_commit,
    "mark-after-effect": mark_after_effect,
    "timer-twice": timer_twice,
}
