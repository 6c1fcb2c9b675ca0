"""Takes in what the wires bring and hands each event to the flow.

Events stay in order within an IM session and go side by side across sessions. A batch is kept
before anything goes out because of it, and before the wire may ask for the next: its events, the
echoes in it and the acknowledgement number are one transaction. Own echoes are taken out here;
rules never see them.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial

import structlog

from imbot.engine.acting import Actor
from imbot.engine.agenda import Agenda
from imbot.engine.backlog import Backlog
from imbot.engine.doors import World
from imbot.engine.flow import Flow
from imbot.engine.lanes import Lanes, lane_of
from imbot.engine.parked import orphans
from imbot.engine.planning import start_of
from imbot.engine.recovering import CompileStored, by_run, by_version, given_up, interrupted
from imbot.engine.tasks import Tasks
from imbot.engine.waiting import RUN, Run
from imbot.engine.watching import Echoed, Watcher
from imbot.model import (
    JSON,
    Batch,
    ConnectionChange,
    ConnectionNotice,
    Event,
    EventKind,
    FaultNotice,
    MessageNotice,
    Notice,
    SessionKey,
    SessionNotice,
    SessionState,
    SnapshotNotice,
)
from imbot.ports import Store
from imbot.records import (
    AckSeen,
    Change,
    EchoSeen,
    Effect,
    EffectState,
    EventSeen,
    GapSeen,
    MarksLost,
    Recovered,
    RunSeen,
    SubscriptionEnded,
    SubscriptionKept,
    TimerSet,
    Verdict,
)
from imbot.rulebook.schema import Rule

log = structlog.get_logger()

_CHANGES_SESSION = frozenset({EventKind.STATE, EventKind.USERDATA})

#: States of an effect whose echo may still come after a restart.
_MAY_ECHO = frozenset(
    {EffectState.SENDING, EffectState.ACCEPTED, EffectState.UNKNOWN, EffectState.PARKED}
)

#: So much later than it was given may what was said come back, over a restart.
_REDELIVERED = timedelta(seconds=60)

#: A session is seen at most so long after GWS sent the reply that tells of it: on its way, and
#: held until a snapshot was read.
_ON_ITS_WAY = timedelta(seconds=15)

#: By so much at most a moment differs that was told by the wall clock and once by the other.
_CLOCKS_APART = timedelta(seconds=1)


class Numbers:
    """Gives event ids: the agent's name and a number that grows over restarts."""

    def __init__(self) -> None:
        self._last = 0

    def go_on_from(self, last: int) -> None:
        """Give higher numbers than this from now on."""
        self._last = max(self._last, last)

    def next_id(self, agent: str) -> str:
        """Return the id of the agent's next event."""
        self._last += 1
        return f"{agent}:{self._last}"


class Dispatch:
    """The intake of every agent, and the lanes in which events wait their turn."""

    def __init__(
        self,
        world: World,
        flow: Flow,
        actor: Actor,
        store: Store,
        *,
        agenda: Agenda,
        numbers: Numbers,
        watch: Watcher,
        tasks: Tasks,
    ) -> None:
        self._world = world
        self._flow = flow
        self._actor = actor
        self._store = store
        self._agenda = agenda
        self._numbers = numbers
        self._watch = watch
        self._lanes = Lanes(tasks.spawn)
        self.backlog = Backlog(self._lanes, store, flow)
        self._holds_back = False
        self._away_since: dict[str, datetime] = {}
        self._idle_since: dict[str, datetime] = {}
        self._began_at = world.clock.now()
        self._without_past: set[str] = set()

    async def accept(self, batch: Batch) -> None:
        """Return when the batch is kept; its events are on their way by then."""
        now = self._world.clock.now()
        changes: list[Change] = []
        events: list[Event] = []
        notices = (*self._absence(batch, now), *batch.notices)
        for notice in notices:
            made = self._take_in(batch.agent, notice, now, changes)
            changes += (EventSeen(event) for event in made)
            events += made
        # Last: the snapshot with a gap shows which sessions began and ended in it.
        changes += self._gaps(batch.agent, notices)
        changes += self._sessions_of(events)
        changes += self._agenda.of_batch(events)
        changes += _to_go_on(batch)
        if changes:
            # Whatever the events lead to is written behind them, perhaps in the same commit.
            self._store.note(changes)
            self._begin(events)
            await self._store.commit(())
            await self.backlog.make_room(events)

    def _begin(self, events: Iterable[Event]) -> None:
        if self._holds_back:
            return
        for event in events:
            self.backlog.add(event)

    def hold_back(self) -> None:
        """Begin nothing new: events are still kept, and are taken up by the next start."""
        self._holds_back = True
        self.backlog.hold_back()

    def fire(self, timer: TimerSet) -> None:
        """Take a timer that is due; what is held back is fired by the next start."""
        if self._holds_back:
            return
        if timer.kind != RUN:
            fired = self._agenda.fired(timer)
            self._store.note(fired.changes)
            self._begin(() if fired.event is None else (fired.event,))
            return
        run_id, pc = timer.payload["run_id"], timer.payload["pc"]
        run, resume = self._flow.runs.get(run_id), partial(self._flow.runs.resume, run_id, pc)
        if run is None or run.is_driven:
            # Its lane may be waiting for another strand of this very run.
            self._lanes.beside(resume)
        else:
            self._lanes.add(lane_of(run.start.event), resume)

    async def post(self, name: str, body: JSON) -> None:
        """Return when a post to the hook of this name is kept; its event is on its way by then.

        Raises:
            UnknownWebhookError: No rule waits for it.
            StoreError: It could not be kept.
        """
        event = self._agenda.webhook(name, body)
        self._store.note((EventSeen(event),))
        self._begin((event,))
        await self._store.commit(())

    async def recover(
        self, rules: Sequence[Rule], compile_stored: CompileStored = lambda _seen: None
    ) -> Recovered:
        """Read back what was unfinished and go on with it; to be called before any agent starts.

        Args:
            rules: The rules in force.
            compile_stored: Makes a rule of a version that the store kept; a run goes on with the
                rule that it began with.
        """
        found = await self._store.recover(self._world.clock.now())
        self._numbers.go_on_from(found.last_event_number)
        self._restore_sessions(found)
        self._store.note(self._agenda.restore(found))
        self._restore_effects(found)
        past = self._flow.runs.past
        past.spending.restore(found.spent, found.lately)
        past.breakers.restore(found.timers, rules)
        self._world.guard.restore(found.timers)
        self._world.switches.restore(found.timers)
        versions = by_version(rules, found.rules, compile_stored)
        effects = by_run(found.effects)
        claimed = [
            await self._claim(
                seen, event, versions.get(seen.rule_version), effects.get(seen.run_id, ())
            )
            for seen, event in found.runs
        ]
        for run in claimed:
            if run is not None:
                self._lanes.add(lane_of(run.start.event), partial(self._flow.runs.begin, run))
        for event in found.events:
            self.backlog.add(event)
        return found

    @property
    def is_idle(self) -> bool:
        """Whether no event waits or is being taken."""
        return not self._lanes

    # Notices ----------------------------------------------------------------------------------

    def _take_in(
        self, agent: str, notice: Notice, now: datetime, changes: list[Change]
    ) -> list[Event]:
        """Return the events that one notice makes; add what else must be kept to the changes."""
        table = self._world.table
        match notice:
            case SessionNotice():
                return table.see_session(agent, notice, received_at=now)
            case MessageNotice():
                return self._hear(agent, notice, now, changes)
            case SnapshotNotice():
                changes += self._lose_marks(agent, notice, now)
                return table.see_snapshot(agent, notice)
            case ConnectionNotice():
                if notice.change is ConnectionChange.GAP:
                    echoes = self._world.echoes
                    echoes.expire_agent(agent, echoes.quiet_at(now))
                return table.see_connection(agent, notice, received_at=now)
            case FaultNotice():
                changes += self._blame(agent, notice, now)
                return []

    def _blame(self, agent: str, notice: FaultNotice, now: datetime) -> list[Change]:
        """Tell what GWS complains of, and write it down with the effect that it is likely about.

        That is what was said last in its session and not heard back; an agent has one session at a
        time. Source: contract 2.5, 8 row 18.
        """
        live = [entry.key for entry in self._world.table.live(agent)]
        named = self._world.table.get(SessionKey(agent, notice.session_id or ""))
        key = named.key if named is not None else live[0] if len(live) == 1 else None
        effect_id = None if key is None else self._world.echoes.newest(key)
        facts = {"session": notice.session_id, "effect": effect_id}
        log.warning("gws.error", agent=agent, text=notice.text, **facts)
        told = f"GWS reports an error: {notice.text}"
        if effect_id is None or self._flow.runs.remark(effect_id, told):
            return []
        return [Verdict(effect_id, EffectState.ACCEPTED, now, told)]

    def _lose_marks(self, agent: str, notice: SnapshotNotice, now: datetime) -> list[Change]:
        """Return what is kept of sessions that began before a new store took a damaged one's place.

        Nobody knows what rules have done in them; the agent's first snapshot shows which they are.
        """
        if agent not in self._without_past:
            return []
        self._without_past.discard(agent)
        keys = [SessionKey(agent, session.id) for session in notice.sessions]
        lost = [key for key in keys if self._world.table.get(key) is None]
        self._flow.runs.past.marks.lost.update(lost)
        return [MarksLost(key, now) for key in (*lost, SessionKey(agent, ""))]

    def _absence(self, batch: Batch, now: datetime) -> list[ConnectionNotice]:
        """Return the gap between two starts, once, when the agent's sessions are seen again.

        Nobody heard what was said in them meanwhile, unless the agent goes on where the last
        process ended. It begins when GWS last told of them, or of what was said in them, or when a
        poll last proved that there was nothing. An agent that had none has a gap only with sessions
        that began meanwhile.
        """
        listed = [notice for notice in batch.notices if isinstance(notice, SnapshotNotice)]
        if not (listed or batch.is_unbroken):
            return []
        idle_since = self._idle_since.pop(batch.agent, None)
        since = self._away_since.pop(batch.agent, None)
        if since is None and any(self._is_talked_in(batch.agent, each) for each in listed):
            since = idle_since
        if since is None or batch.is_unbroken or _tells_of(batch.notices, since):
            return []
        gap_s = (now - since + _ON_ITS_WAY).total_seconds()
        return [ConnectionNotice(ConnectionChange.GAP, now, "imbot was not running", gap_s)]

    def _hear(
        self, agent: str, notice: MessageNotice, now: datetime, changes: list[Change]
    ) -> list[Event]:
        """Tell an own echo from the other party's words."""
        world = self._world
        entry = world.table.get(SessionKey(agent, notice.session_id))
        key = SessionKey(agent, notice.session_id) if entry is None else entry.key
        is_ours = self._is_ours(agent, notice.sender)
        if is_ours is not False:
            learnt = world.echoes.learnt
            effect_id = world.echoes.take(key, notice.text, now)
            if world.echoes.learnt is not learnt:
                changes.append(world.echoes.learnt)
            if effect_id is not None:
                self._flow.runs.confirm(effect_id)
                changes.append(EchoSeen(effect_id, now))
                self._watch(Echoed(effect_id, key))
                return []
        if is_ours:
            # Said by somebody else under our name: not the other party's words, but no silence.
            if entry is not None and not entry.session.is_completed:
                world.guard.note_person(key, now)
            changes += self._agenda.of_batch((), (key,))
            return []
        if (found := world.guard.note_message(key, now, notice.text)) is not None:
            log.warning("session.loop", agent=agent, session=key.session_id, **found.payload)
            changes.append(found)
        return world.table.see_message(agent, notice, received_at=now)

    def _is_ours(self, agent: str, sender: str | None) -> bool | None:
        """Return whether the sender is our agent; None when the notice does not say who spoke."""
        if sender is None:
            return None
        gws = self._world.agents.get(agent)
        return sender == agent or (gws is not None and sender == gws.facts.number)

    def _is_talked_in(self, agent: str, listed: SnapshotNotice) -> bool:
        """Return whether people talk in a listed session that nobody saw begin.

        A message may have brought it to our notice a moment before: then it was talking at once.
        """
        for session in listed.sessions:
            entry = self._world.table.get(SessionKey(agent, session.id))
            is_met_talking = entry is None or (
                entry.first_seen_at >= self._began_at and entry.talking_at == entry.first_seen_at
            )
            if session.state == SessionState.TALKING and is_met_talking:
                return True
        return False

    def _gaps(self, agent: str, notices: Iterable[Notice]) -> Iterator[GapSeen]:
        """Yield each gap with the sessions it concerns.

        These are not just the live ones: the reply that shows that the subscription works again
        may have told that a session is over, and what was said in it before is lost all the same.
        """
        for notice in notices:
            if isinstance(notice, ConnectionNotice) and notice.change is ConnectionChange.GAP:
                log.warning("agent.gap", agent=agent, reason=notice.reason, seconds=notice.gap_s)
                began_at = notice.at - timedelta(seconds=notice.gap_s)
                concerned = self._world.table.live_since(agent, began_at)
                names = tuple(entry.key.session_id for entry in concerned)
                yield GapSeen(agent, names, notice.reason, began_at, notice.at)

    def _sessions_of(self, events: list[Event]) -> list[Change]:
        """Return the sessions that these events changed, as they stand; wake who waits for them."""
        keys = dict.fromkeys(
            event.session_key
            for event in events
            if event.session_key is not None and event.kind in _CHANGES_SESSION
        )
        changes: list[Change] = []
        for key in keys:
            entry = self._world.table.get(key)
            if entry is None:
                continue
            changes.append(entry.seen())
            self._actor.wake(key)
            if entry.session.is_completed:
                echoes = self._world.echoes
                echoes.forget(key, echoes.quiet_at(entry.seen_at))
                changes += self._world.guard.forget(key)
                self._flow.runs.past.forget(key)
        return changes

    # Recovery ---------------------------------------------------------------------------------

    def _restore_sessions(self, found: Recovered) -> None:
        """Put the sessions back, and remember since when nobody heard what was said in them."""
        for session in found.sessions:
            key = SessionKey(session.agent, session.session.id)
            self._world.table.restore(session, found.said.get(key, ()))
            if not session.session.is_completed:
                heard_at = found.heard_at.get(session.agent, session.seen_at)
                since = self._away_since.get(session.agent, heard_at)
                self._away_since[session.agent] = max(since, session.seen_at)
        self._flow.runs.past.marks.lost |= found.marks_lost
        if found.lost_since is not None:
            known = {agent for agent, session_id in found.marks_lost if not session_id}
            self._without_past = self._world.agents.keys() - known
            self._away_since |= dict.fromkeys(self._without_past, found.lost_since)
        # An agent that was never served lost nothing.
        now = self._world.clock.now()
        for agent in self._world.agents.keys() & found.acks.keys():
            good = found.acks[agent].good
            if agent not in self._away_since:
                self._idle_since[agent] = now if good is None else good.asked_at
            elif good is not None:
                self._away_since[agent] = max(self._away_since[agent], good.asked_at)

    def _restore_effects(self, found: Recovered) -> None:
        """Await the echoes that may still come; park what nobody goes on with."""
        if found.echoes is not None:
            self._world.echoes.learnt = found.echoes
        for effect in found.effects:
            self._await_echo(effect)
        open_runs = {seen.run_id for seen, _ in found.runs}
        self._store.note(orphans(found.effects, open_runs, self._world.clock.now()))

    def _await_echo(self, effect: Effect) -> None:
        intent = effect.intent
        if intent.echo is None or effect.state not in _MAY_ECHO:
            return
        key = SessionKey(intent.agent, intent.session_id)
        echoes = self._world.echoes
        until = echoes.quiet_at(intent.at + _REDELIVERED)
        echoes.expect(key, intent.effect_id, intent.echo, until=until)
        if effect.state is not EffectState.ACCEPTED:
            echoes.doubt(key, intent.effect_id, until)

    async def _claim(
        self, seen: RunSeen, event: Event, rule: Rule | None, effects: Sequence[Effect]
    ) -> Run | None:
        """Return an interrupted run; None if the rule that it began with cannot be had."""
        if rule is None:
            log.warning("run.cancelled", run=seen.run_id, reason="the rule has changed")
            self._store.note(given_up(seen, effects, self._world.clock.now()))
            return None
        scope, senses = await self._flow.view.of_event(event)
        # What the run took its turn and its once scope by is as it was when it began.
        start = start_of(rule, event, scope, senses._replace(at=event.received_at))
        # Nothing of what began in shadow is ever sent, whatever its rule says now.
        start = start._replace(key=seen.key, in_shadow=seen.in_shadow or start.in_shadow)
        return self._flow.runs.claim(start, interrupted(seen, effects))


def _to_go_on(batch: Batch) -> Iterator[Change]:
    """Yield what another process needs to go on where this batch ends."""
    if batch.is_farewell:
        yield SubscriptionEnded(batch.agent)
    elif batch.subscription is not None:
        yield SubscriptionKept(batch.agent, batch.subscription)
    if batch.client_id is not None and (batch.ack is not None or batch.good is not None):
        yield AckSeen(batch.agent, batch.client_id, batch.ack, batch.good)


def _tells_of(notices: Iterable[Notice], since: datetime) -> bool:
    """Return whether one of these tells of a gap that began as early."""
    return any(
        isinstance(notice, ConnectionNotice)
        and notice.change is ConnectionChange.GAP
        and notice.at - timedelta(seconds=notice.gap_s) <= since + _CLOCKS_APART
        for notice in notices
    )
