"""A store that is a list: every change in order, and one loop over them to recover.

It keeps the promises of :class:`imbot.ports.Store`, a crash included; the same tests hold for it
and for the store on SQLite.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import dropwhile, islice, takewhile

from imbot.errors import StoreError
from imbot.model import Event, EventKind, SessionKey, Subscription
from imbot.ports import Condition
from imbot.records import (
    AckSeen,
    Change,
    EchoesLearnt,
    EchoSeen,
    Effect,
    EffectState,
    EventHandled,
    EventSeen,
    Intent,
    MarksLost,
    OnceMarked,
    OnceTakenBack,
    Order,
    OrderGiven,
    OrderTaken,
    Recovered,
    Retention,
    RuleSeen,
    RunSeen,
    RunState,
    SessionSeen,
    SubscriptionEnded,
    SubscriptionKept,
    TimerGone,
    TimerSet,
    Verdict,
)
from imbot.store.recovery import COMPLETED_KEPT, COMPLETED_PER_AGENT, LATELY
from imbot.store.rows import event_number
from imbot.store.writer import NOTE_DELAY_S

_OPEN_RUNS = {RunState.RUNNING, RunState.WAITING}
_UNSETTLED = {EffectState.SENDING, EffectState.UNKNOWN}
_MAY_ECHO = {EffectState.ACCEPTED, EffectState.PARKED}


class MemoryStore:
    """Keeps changes in a list.

    Attributes:
        broken: Once set, the sentence of the StoreError that every call raises: a full disk.
    """

    def __init__(self, durable: Sequence[Change] = ()) -> None:
        self.broken = ""
        self._durable: list[Change] = list(durable)
        self._noted: list[Change] = []
        self._due_at_s = 0.0
        self._found = _Found()
        self._looked_at = 0

    @property
    def durable(self) -> list[Change]:
        """What a crash would leave, in order."""
        self._settle()
        return self._durable

    @property
    def condition(self) -> Condition:
        """How it is doing."""
        return Condition(self.broken)

    async def commit(self, changes: Sequence[Change]) -> None:
        """Make these changes, and all noted before, durable."""
        if self.broken:
            raise StoreError(self.broken)
        self._noted += changes
        self._flush()

    def note(self, changes: Sequence[Change]) -> None:
        """Take these changes; they become durable with the next commit or 50 ms later."""
        if self.broken:
            raise StoreError(self.broken)
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._due_at_s:
            self._flush()
        if not self._noted:
            self._due_at_s = now_s + NOTE_DELAY_S
        self._noted += changes

    async def marked(self, marks: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], datetime]:
        """Return which of these (rule id, scope) pairs are marked, and since when."""
        await self.commit(())
        found = self._look()
        return {mark: found.marks[mark] for mark in marks if mark in found.marks}

    async def recover(self, now: datetime) -> Recovered:
        """Return what was unfinished, to be called once before anything is written."""
        await self.commit(())
        return self._look().recovered(now)

    async def events_from(self, event_id: str, most: int) -> Sequence[Event]:
        """Return an event and those of its session that came after it, in order; only so many."""
        await self.commit(())
        events = self._look().events
        if (first := events.get(event_id)) is None:
            return ()
        of_session = (one for one in events.values() if one.session_key == first.session_key)
        return tuple(islice(dropwhile(lambda one: one.id != event_id, of_session), most))

    async def orders(self) -> Sequence[Order]:
        """Return what people have decided and nobody has taken up, oldest first."""
        await self.commit(())
        return self._look().waiting_orders()

    async def forget(self, what: Retention) -> int:  # noqa: ARG002  a test is over before then
        """Forget nothing."""
        return 0

    async def close(self) -> None:
        """Make everything durable and close."""
        if self.broken != _CLOSED:
            await self.commit(())
        self.broken = _CLOSED

    def abandon(self) -> None:
        """Close as a crash would: what is not yet durable is lost."""
        self._settle()
        self._noted.clear()
        self.broken = _CLOSED

    def reopened(self) -> "MemoryStore":
        """Return a store that holds what this one made durable: the next start."""
        return MemoryStore(self.durable)

    def _look(self) -> "_Found":
        """Return what all changes leave; each is looked at once."""
        for change in self._durable[self._looked_at :]:
            self._found.apply(change)
        self._looked_at = len(self._durable)
        return self._found

    def _settle(self) -> None:
        """Make durable what is so by now: nobody sees that it was not done at that very moment."""
        if asyncio.get_running_loop().time() >= self._due_at_s:
            self._flush()

    def _flush(self) -> None:
        self._durable += self._noted
        self._noted.clear()


_CLOSED = "store: it is closed"


class _Found:
    """What a list of changes leaves, the newest of each key."""

    def __init__(self) -> None:
        self.events: dict[str, Event] = {}
        self.decided: set[str] = set()
        self.runs: dict[str, RunSeen] = {}
        self.marks: dict[tuple[str, str], datetime] = {}
        self.effects: dict[str, Effect] = {}
        self.sessions: dict[SessionKey, SessionSeen] = {}
        self.timers: dict[str, TimerSet] = {}
        self.rules: dict[tuple[str, str], RuleSeen] = {}
        self.acks: dict[str, AckSeen] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.orders: list[Order] = []
        self.echoes: EchoesLearnt | None = None
        self.marks_lost: set[SessionKey] = set()

    def apply(self, change: Change) -> None:
        """Add the next change."""
        match change:
            case EventSeen(event):
                self.events.setdefault(event.id, event)
            case EventHandled(event_id):
                # A decision about an event never seen decides nothing.
                self.decided |= {event_id} & self.events.keys()
            case RunSeen(run_id):
                self.runs[run_id] = change
            case MarksLost(session):
                self.marks_lost.add(session)
            case OnceMarked(rule_id, scope):
                self.marks[rule_id, scope] = change.at
            case OnceTakenBack(rule_id, scope):
                self.marks.pop((rule_id, scope), None)
            case Intent(effect_id):
                state = EffectState.SHADOW if change.in_shadow else EffectState.SENDING
                self.effects[effect_id] = Effect(change, state)
            case Verdict() | EchoSeen():
                self._settle(change)
            case SessionSeen(agent, session):
                self.sessions[SessionKey(agent, session.id)] = change
            case _:
                self._keep(change)

    def _keep(self, change: Change) -> None:
        match change:
            case TimerSet(timer_id):
                self.timers[timer_id] = change
            case TimerGone(timer_id):
                self.timers.pop(timer_id, None)
            case RuleSeen(version, rule_id):
                self.rules[rule_id, version] = change
            case OrderGiven():
                self.orders.append(Order(len(self.orders) + 1, change))
            case OrderTaken(number) if number <= len(self.orders):
                self.orders[number - 1] = self.orders[number - 1]._replace(taken=change)
            case _:
                self._go_on(change)

    def _go_on(self, change: Change) -> None:
        match change:
            case AckSeen(agent):
                self.acks[agent] = change
            case SubscriptionKept(agent, subscription):
                self.subscriptions[agent] = subscription
            case SubscriptionEnded(agent):
                self.subscriptions.pop(agent, None)
            case EchoesLearnt():
                self.echoes = change
            case _:
                pass  # gaps are not given back

    def _settle(self, change: Verdict | EchoSeen) -> None:
        effect = self.effects.get(change.effect_id)
        if effect is None:
            return
        if isinstance(change, EchoSeen):
            settled = replace(effect, state=EffectState.CONFIRMED)
        else:
            proven = effect.state is EffectState.CONFIRMED
            state = effect.state if proven else change.state
            settled = replace(effect, state=state, result=change.result, detail=change.detail)
        self.effects[change.effect_id] = settled

    def recovered(self, now: datetime) -> Recovered:
        """Return what is unfinished."""
        return Recovered(
            events=tuple(e for e in self.events.values() if e.id not in self.decided),
            runs=tuple((run, self.events[run.event_id]) for run in self._open_runs()),
            effects=tuple(e for e in self.effects.values() if self._is_unfinished(e)),
            sessions=self._kept_sessions(now),
            said=self._said(),
            heard_at={event.agent: event.received_at for event in self._said_in_open_sessions()},
            timers=tuple(sorted(self.timers.values(), key=lambda timer: (timer.due_at, timer.id))),
            rules=self._versions(),
            spent=self._spent(),
            lately=self._lately(now - LATELY),
            parked=frozenset(
                effect_id
                for effect_id, effect in self.effects.items()
                if effect.state is EffectState.PARKED
            ),
            acks=dict(self.acks),
            subscriptions=dict(self.subscriptions),
            echoes=self.echoes,
            last_event_number=max(map(event_number, self.events), default=0),
            marks_lost=frozenset(self.marks_lost),
        )

    def waiting_orders(self) -> tuple[Order, ...]:
        """Return the orders that nobody has taken up, each with its effect."""
        waiting = [order for order in self.orders if order.taken is None]
        return tuple(
            order._replace(effect=self.effects.get(order.given.effect_id)) for order in waiting
        )

    def _open_runs(self) -> list[RunSeen]:
        return [
            r for r in self.runs.values() if r.state in _OPEN_RUNS and r.event_id in self.events
        ]

    def _versions(self) -> tuple[RuleSeen, ...]:
        # As on the disk, where the event of a run is not asked for.
        wanted = {
            (run.rule_id, run.rule_version) for run in self.runs.values() if run.state in _OPEN_RUNS
        }
        return tuple(self.rules[key] for key in sorted(wanted & self.rules.keys()))

    def _spent(self) -> dict[tuple[str, SessionKey], int]:
        held = [effect.intent for effect in self.effects.values()]
        intents = [intent for intent in held if not intent.in_shadow]
        spent = Counter((one.rule_id, SessionKey(one.agent, one.session_id)) for one in intents)
        return {(rule, key): times for (rule, key), times in spent.items() if self._is_open(key)}

    def _lately(self, since: datetime) -> tuple[tuple[str, datetime], ...]:
        held = [one.intent for one in self.effects.values() if not one.intent.in_shadow]
        newest = reversed([(intent.rule_id, intent.at) for intent in held])
        return tuple(takewhile(lambda begun: begun[1] > since, newest))[::-1]

    def _is_unfinished(self, effect: Effect) -> bool:
        intent = effect.intent
        run = self.runs.get(intent.run_id)
        if effect.state in _UNSETTLED or (run is not None and run.state in _OPEN_RUNS):
            return True
        may_echo = intent.echo is not None and effect.state in _MAY_ECHO
        return may_echo and self._is_open(SessionKey(intent.agent, intent.session_id))

    def _is_open(self, key: SessionKey) -> bool:
        session = self.sessions.get(key)
        return session is not None and session.completed_at is None

    def _kept_sessions(self, now: datetime) -> tuple[SessionSeen, ...]:
        kept = [session for key, session in self.sessions.items() if self._is_open(key)]
        completed: dict[str, list[tuple[datetime, SessionSeen]]] = defaultdict(list)
        for session in self.sessions.values():
            over_at = session.completed_at
            if over_at is not None and over_at >= now - COMPLETED_KEPT:
                completed[session.agent].append((over_at, session))
        for of_agent in completed.values():
            of_agent.sort(key=lambda timed: timed[0], reverse=True)
            kept += [session for _, session in of_agent[:COMPLETED_PER_AGENT]]
        return tuple(sorted(kept, key=lambda s: (s.first_seen_at, s.agent, s.session.id)))

    def _said(self) -> dict[SessionKey, tuple[str, ...]]:
        texts: dict[SessionKey, list[str]] = defaultdict(list)
        for event in self._said_in_open_sessions():
            if (key := event.session_key) is not None:
                texts[key].append(event.fields.get("text", ""))
        return {key: tuple(spoken) for key, spoken in texts.items()}

    def _said_in_open_sessions(self) -> Iterator[Event]:
        for event in self.events.values():
            key = event.session_key
            if event.kind is EventKind.MESSAGE and key is not None and self._is_open(key):
                yield event
