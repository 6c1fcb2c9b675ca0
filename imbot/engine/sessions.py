"""The session table: what imbot knows of each IM session, and the events that a notice makes.

Pure: no I/O, no clock. It tolerates duplicates, reordering, late and missing notices: states only
go forward (Initiating < Alerting < Talking < Completed), Completed is final, and the same state
seen again makes no event. Own writes of user data are laid over what GWS shows until it shows them.
Source: GWS contract 2.10, 8 and 9.4.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from imbot.cards import masked_value
from imbot.engine.ownwrites import OwnWrites, Writes
from imbot.errors import PermanentError, TemporaryError
from imbot.model import (
    JSON,
    ConnectionNotice,
    Event,
    EventKind,
    ImSession,
    MessageNotice,
    SessionKey,
    SessionNotice,
    SessionState,
    SnapshotNotice,
)
from imbot.records import SessionSeen

#: Completed sessions remembered for each agent, so that late notices cannot bring one back.
REMEMBERED_COMPLETED = 100

#: Texts of the other party remembered for each session, for ``said()``.
REMEMBERED_TEXTS = 500

#: States before anybody can say anything.
_EARLY = frozenset({SessionState.INITIATING.value, SessionState.ALERTING.value})

_RANK = {state.value: rank for rank, state in enumerate(SessionState)}

#: The notification type that shows all user data; any other may leave keys out.
_ALL_USER_DATA = "AttachedDataChanged"


@dataclass(slots=True)
class SessionEntry:
    """What the table keeps of one session.

    Attributes:
        key: Agent and session id.
        session: As it stands, own accepted writes included.
        first_seen_at: When it was first seen.
        seen_at: When imbot last saw it, by its own clock.
        mine: Whether our ``initiate`` began it.
        talking_at: When it was first seen Talking.
        completed_at: When it was over.
        said: What the other party said, oldest first.
        is_new: Whether it began before our eyes, and not before a restart.
    """

    key: SessionKey
    session: ImSession
    first_seen_at: datetime
    seen_at: datetime
    mine: bool = False
    talking_at: datetime | None = None
    completed_at: datetime | None = None
    said: list[str] = field(default_factory=list)
    own_writes: OwnWrites = field(default_factory=OwnWrites)
    is_new: bool = True

    def seen(self) -> SessionSeen:
        """Return the entry as the store keeps it."""
        return SessionSeen(
            agent=self.key.agent,
            session=self.session,
            first_seen_at=self.first_seen_at,
            seen_at=self.seen_at,
            mine=self.mine,
            talking_at=self.talking_at,
            completed_at=self.completed_at,
        )


def goes_forward(old: str, new: str) -> bool:
    """Return whether a session in state ``old`` may come to state ``new``.

    States that the documentation does not know may be entered and left freely, except that nothing
    leaves Completed.
    """
    if old in (SessionState.COMPLETED, new):
        return False
    return old not in _RANK or new not in _RANK or _RANK[new] > _RANK[old]


class SessionTable:
    """All sessions of all agents; gives the events that each notice makes.

    Args:
        next_id: Gives the id of the next event of an agent.
    """

    def __init__(self, next_id: Callable[[str], str]) -> None:
        self._next_id = next_id
        self._entries: dict[SessionKey, SessionEntry] = {}
        self._live: dict[str, dict[SessionKey, SessionEntry]] = {}
        self._aliases: dict[SessionKey, SessionKey] = {}
        self._completed: dict[str, OrderedDict[SessionKey, None]] = {}
        self._beginning = Counter[str]()
        self._begun_depth: dict[str, int] = {}
        #: How many runs led to a session, by its id: both ends of it may be ours.
        self._depths: dict[str, int] = {}

    # Reading ----------------------------------------------------------------------------------

    def get(self, key: SessionKey) -> SessionEntry | None:
        """Return what is known of a session, by its id or an alias; None when nothing is."""
        return self._entries.get(key) or self._entries.get(self._aliases.get(key, key))

    def live(self, agent: str) -> Iterator[SessionEntry]:
        """Yield the agent's sessions that are not Completed."""
        return iter(list(self._live.get(agent, {}).values()))

    def live_since(self, agent: str, moment: datetime) -> Iterator[SessionEntry]:
        """Yield the agent's sessions that are not Completed or, as far as imbot saw, were not then.

        By imbot's own clock; the moment of completion is GWS's, whose clock may differ.
        """
        over = (self._entries[key] for key in self._completed.get(agent, ()))
        yield from (entry for entry in over if entry.seen_at >= moment)
        yield from self.live(agent)

    @property
    def in_progress(self) -> int:
        """How many sessions are not Completed, of all agents."""
        return sum(map(len, self._live.values()))

    def __len__(self) -> int:
        """Return how many sessions are kept, completed ones included."""
        return len(self._entries)

    # Notices ----------------------------------------------------------------------------------

    def see_session(
        self,
        agent: str,
        notice: SessionNotice,
        *,
        received_at: datetime,
        resync: bool = False,
    ) -> list[Event]:
        """Take in a session as shown; return the events that this makes, in order."""
        shown = notice.session
        entry = self.get(SessionKey(agent, shown.id))
        if entry is None:
            return [self._first_sight(agent, notice, received_at=received_at, resync=resync)]
        if entry.session.is_completed or _is_stale(entry.session.state, shown.state):
            return []
        previous = entry.session.state
        whole = notice.notification_type == _ALL_USER_DATA or resync
        seen = entry.own_writes.compare(
            entry.session.user_data, shown.user_data, received_at, whole=whole
        )
        entry.session = replace(
            entry.session,
            state=shown.state,
            user_data=seen.user_data,
            participants=shown.participants or entry.session.participants,
            capabilities=(
                entry.session.capabilities if shown.capabilities is None else shown.capabilities
            ),
        )
        entry.seen_at = max(entry.seen_at, received_at)
        self._note_aliases(entry.key, shown)

        depth = self._depth_of(entry.key)

        def event(
            kind: EventKind, fields: Mapping[str, JSON], *, own: bool = False, by: int = 0
        ) -> Event:
            return Event(
                id=self._next_id(agent),
                kind=kind,
                at=notice.at,
                received_at=received_at,
                agent=agent,
                session=entry.session,
                fields=fields,
                resync=resync,
                own=own,
                depth=max(depth, by),
            )

        events = []
        if seen.foreign:
            changed = {"changed": seen.foreign}
            events.append(event(EventKind.USERDATA, changed, by=seen.foreign_depth))
        if seen.own:
            changed = {"changed": seen.own}
            events.append(event(EventKind.USERDATA, changed, own=True, by=seen.own_depth))
        if goes_forward(previous, shown.state):
            self._note_state(entry, notice.at)
            events.append(event(EventKind.STATE, {"previous": previous}))
        return events

    def see_message(
        self, agent: str, notice: MessageNotice, *, received_at: datetime
    ) -> list[Event]:
        """Take in what the other party said; echoes must have been taken out before.

        A message to a session that not even a GET showed makes no event. One that comes after the
        end of its session does: it was said before, and delivered late. Who speaks, talks: where
        the session is still known to ring, the news that it does not any more was lost.
        """
        entry = self.get(SessionKey(agent, notice.session_id))
        if entry is None:
            return []
        events: list[Event] = []
        if entry.session.state in _EARLY:
            talks = replace(entry.session, state=SessionState.TALKING.value, capabilities=None)
            shown = SessionNotice(talks, notice.at)
            events += self.see_session(agent, shown, received_at=received_at)
        entry.said.append(notice.text)
        del entry.said[:-REMEMBERED_TEXTS]
        return [
            *events,
            Event(
                id=self._next_id(agent),
                kind=EventKind.MESSAGE,
                at=notice.at,
                received_at=received_at,
                agent=agent,
                session=entry.session,
                fields={"text": notice.text},
                depth=self._depth_of(entry.key),
            ),
        ]

    def see_snapshot(self, agent: str, notice: SnapshotNotice) -> list[Event]:
        """Take in all sessions that GWS lists; one that it no longer lists is Completed.

        What was seen after the snapshot was asked for is newer than it and stays as it is.
        """
        events: list[Event] = []
        listed = {SessionKey(agent, session.id) for session in notice.sessions}
        for session in notice.sessions:
            entry = self.get(SessionKey(agent, session.id))
            if entry is not None:
                listed.add(entry.key)
                if entry.seen_at > notice.asked_at:
                    continue
            shown = SessionNotice(session, notice.at, _ALL_USER_DATA)
            events += self.see_session(agent, shown, received_at=notice.since, resync=True)
        for entry in self.live(agent):
            if entry.key in listed or entry.seen_at > notice.asked_at:
                continue
            over = replace(entry.session, state=SessionState.COMPLETED.value)
            shown = SessionNotice(over, notice.at, _ALL_USER_DATA)
            events += self.see_session(agent, shown, received_at=notice.since, resync=True)
        return events

    def see_connection(
        self, agent: str, notice: ConnectionNotice, *, received_at: datetime
    ) -> list[Event]:
        """Return one event for each live session of the agent, or one without a session."""
        live = [entry.session for entry in self.live(agent)]
        sessions: list[ImSession | None] = [*live] if live else [None]
        return [
            Event(
                id=self._next_id(agent),
                kind=EventKind.CONNECTION,
                at=notice.at,
                received_at=received_at,
                agent=agent,
                session=session,
                fields={
                    "change": notice.change.value,
                    "reason": notice.reason,
                    "seconds": notice.gap_s,
                },
            )
            for session in sessions
        ]

    # Our own doing ----------------------------------------------------------------------------

    def expect_write(self, key: SessionKey, writes: Writes, *, depth: int = 0) -> None:
        """Lay our own write over the session, before it is sent; ABSENT stands for a deletion.

        It lies there as GWS will show it: what looks like the number of a card is masked.

        Args:
            key: The session.
            writes: What is written.
            depth: How many runs led to it.
        """
        if (entry := self._entries.get(key)) is not None:
            writes = masked_value(writes)
            user_data = entry.own_writes.expect(entry.session.user_data, writes, depth=depth)
            entry.session = replace(entry.session, user_data=user_data)

    def withdraw_write(self, key: SessionKey, writes: Writes) -> None:
        """Take our own write back: it surely did not happen."""
        if (entry := self._entries.get(key)) is not None:
            user_data = entry.own_writes.withdraw(entry.session.user_data, masked_value(writes))
            entry.session = replace(entry.session, user_data=user_data)

    def is_free(self, agent: str) -> bool:
        """Return whether the agent has no session that is not Completed, and begins none."""
        return not self._live.get(agent) and not self._beginning[agent]

    @contextmanager
    def beginning(self, agent: str, *, depth: int = 0) -> Iterator[None]:
        """Take for ours what the agent is first seen to have meanwhile, unless it rings.

        An agent has one session at a time, so when nothing was begun after all, it is another's.

        Args:
            agent: The agent.
            depth: How many runs led to it.
        """
        self._begun_depth[agent] = depth
        before = set(self._live.get(agent, ()))
        self._beginning[agent] += 1
        try:
            yield
        except (TemporaryError, PermanentError):
            for entry in self.live(agent):
                entry.mine &= entry.key in before
            raise
        finally:
            self._beginning[agent] -= 1

    def claim(self, key: SessionKey, *, depth: int = 0) -> None:
        """Note that our own ``initiate`` began the session, and how many runs led to that."""
        if depth:
            self._depths[key.session_id] = depth
        entry = self._entries.get(key)
        if entry is not None:
            entry.mine = True

    def restore(self, seen: SessionSeen, said: tuple[str, ...] = ()) -> None:
        """Put a session back as the store kept it."""
        key = SessionKey(seen.agent, seen.session.id)
        entry = SessionEntry(
            key=key,
            session=seen.session,
            first_seen_at=seen.first_seen_at,
            seen_at=seen.seen_at,
            mine=seen.mine,
            talking_at=seen.talking_at,
            completed_at=seen.completed_at,
            said=list(said),
            is_new=False,
        )
        self._add(entry)
        if seen.session.is_completed:
            self._remember_completed(key)

    # Parts ------------------------------------------------------------------------------------

    def _first_sight(
        self, agent: str, notice: SessionNotice, *, received_at: datetime, resync: bool
    ) -> Event:
        key = SessionKey(agent, notice.session.id)
        mine = bool(self._beginning[agent]) and notice.session.state != SessionState.ALERTING
        entry = SessionEntry(
            key=key,
            session=notice.session,
            first_seen_at=received_at,
            seen_at=received_at,
            mine=mine,
        )
        if mine and (depth := self._begun_depth.get(agent, 0)):
            self._depths[key.session_id] = depth
        self._add(entry)
        self._note_state(entry, notice.at)
        return Event(
            id=self._next_id(agent),
            kind=EventKind.STATE,
            at=notice.at,
            received_at=received_at,
            agent=agent,
            session=notice.session,
            fields={},
            resync=resync,
            depth=self._depth_of(key),
        )

    def _depth_of(self, key: SessionKey) -> int:
        """Return how many runs led to a session."""
        return self._depths.get(key.session_id, 0) if self._depths else 0

    def _add(self, entry: SessionEntry) -> None:
        self._entries[entry.key] = entry
        self._note_aliases(entry.key, entry.session)
        if not entry.session.is_completed:
            self._live.setdefault(entry.key.agent, {})[entry.key] = entry

    def _note_state(self, entry: SessionEntry, at: datetime) -> None:
        if entry.session.state == SessionState.TALKING and entry.talking_at is None:
            entry.talking_at = at
        if entry.session.is_completed:
            entry.completed_at = at
            entry.own_writes.clear()
            self._live.get(entry.key.agent, {}).pop(entry.key, None)
            self._remember_completed(entry.key)

    def _note_aliases(self, key: SessionKey, session: ImSession) -> None:
        for alias in session.aliases:
            self._aliases[SessionKey(key.agent, alias)] = key

    def _remember_completed(self, key: SessionKey) -> None:
        completed = self._completed.setdefault(key.agent, OrderedDict())
        completed[key] = None
        if len(completed) > REMEMBERED_COMPLETED:
            forgotten, _ = completed.popitem(last=False)
            session = self._entries.pop(forgotten).session
            self._depths.pop(forgotten.session_id, None)
            for alias in session.aliases:
                self._aliases.pop(SessionKey(forgotten.agent, alias), None)


def _is_stale(now: str, shown: str) -> bool:
    """Return whether a notice shows a state that the session has already left behind."""
    return now != shown and not goes_forward(now, shown)
