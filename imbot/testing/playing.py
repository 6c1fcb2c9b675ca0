"""Plays one test of rules: the real engine in virtual time, with a small GWS behind it.

It brings about what the test says and writes down what the bot did; whether that is right is for
others to say. Played twice, it is the same to the letter.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from imbot.clock import Clock
from imbot.engine.acting import Habits, Installed
from imbot.engine.facts import Bot, Surroundings
from imbot.engine.watching import Acted, Sight
from imbot.errors import ImbotError
from imbot.model import (
    JSON,
    ConnectionChange,
    ConnectionNotice,
    Notice,
    OutcomeKind,
    SessionKey,
    SnapshotNotice,
)
from imbot.plugin import Operation
from imbot.problems import Place
from imbot.rulebook.schema import Rulebook
from imbot.testing.house import House, build
from imbot.testing.memory_store import MemoryStore
from imbot.testing.script import (
    Answered,
    Busied,
    Connected,
    Posted,
    Reloaded,
    Restarted,
    RuleTest,
    Said,
    Shown,
    Timed,
)
from imbot.testing.scripted_http import ScriptedHttp
from imbot.testing.small_gws import SmallGws, UnknownSessionError
from imbot.testing.virtual_loop import VirtualClock, VirtualLoop


@dataclass(frozen=True, slots=True)
class Effect:
    """Something that a step did, or tried in vain; what a rule in shadow would do is none.

    Attributes:
        at_ms: Milliseconds since the start.
        agent: Our agent; empty without one.
        session: The session acted on; empty without one.
        action: The action's name.
        args: Its arguments.
        rule_id: The rule.
        place: Where the step stands.
        failure: Why it failed; empty when it did not.
    """

    at_ms: int
    agent: str
    session: str
    action: str
    args: JSON
    rule_id: str
    place: str
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something in a test that could not be brought about."""

    place: Place
    text: str


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a test: what the bot did, in order, and what could not be brought about."""

    effects: tuple[Effect, ...]
    troubles: tuple[Trouble, ...] = ()


class Observer(Protocol):
    """Whoever looks on while a test is played."""

    def see(self, sight: Sight, house: House, at_ms: int) -> None:
        """Take note of what was seen; nothing may be changed."""
        ...


@dataclass(frozen=True, slots=True)
class Setting:
    """What all tests of a file have in common.

    Attributes:
        books: The rulebooks, by the paths that name them; empty paths for the first.
        usable: The actions that rules may use.
        nickname: ``bot.nickname``.
        secrets: For ``secret()``.
        timezone: The settings' zone.
        country: The settings' country.
        habits: Settings of acting.
        agents: Agents that there are beside those that the test names.
    """

    books: Mapping[tuple[str, ...], Rulebook]
    usable: Mapping[str, Installed]
    nickname: str
    secrets: Mapping[str, str]
    timezone: str
    country: str
    habits: Habits = field(default_factory=Habits)
    agents: tuple[str, ...] = ()

    def around(self, book: Rulebook) -> Surroundings:
        """Return what is the same for every event."""
        bot = Bot(self.nickname, "test")
        return Surroundings(bot, book.calendars, self.secrets, self.country, self.timezone)


def play(test: RuleTest, setting: Setting, observers: Sequence[Observer] = ()) -> Played:
    """Return what comes of a test."""
    loop = VirtualLoop()
    clock = VirtualClock(loop, test.start)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        # Not by run(): it ends with a text of the whole result, for a signal handler to show.
        player = _Player(test, setting, observers, clock)
        return runner.get_loop().run_until_complete(player.play())


class _Player:
    """Plays one test, once."""

    def __init__(
        self, test: RuleTest, setting: Setting, observers: Sequence[Observer], clock: Clock
    ) -> None:
        self._test = test
        self._setting = setting
        self._observers = observers
        self._book = setting.books[()]
        self._clock = clock
        self._gws = SmallGws(self._clock, test.begun, self._tell, self._hear)
        self._gws.add_agents(dict.fromkeys((*setting.agents, *test.agents)))
        answers = [timed for timed in test.events if isinstance(timed.what, Answered)]
        self._http = ScriptedHttp(answers, self._now_ms)
        self._lost: dict[str, float] = {}
        self._effects: dict[str, Effect] = {}
        self._sessions: dict[str, SessionKey] = {}
        self._troubles: list[Trouble] = []
        self._is_ending = False

    async def play(self) -> Played:
        """Bring about each event at its time, and stop at the end."""
        await self._start(MemoryStore())
        for timed in self._test.events:
            if not isinstance(timed.what, Answered):
                await self._until(timed.at_ms)
                await self._bring_about(timed)
        await self._until(self._test.end_ms)
        await self._end()
        return Played(tuple(self._effects.values()), tuple(self._troubles))

    def _now_ms(self) -> int:
        return round(self._clock.monotonic() * 1000)

    async def _until(self, at_ms: int) -> None:
        """Return at this time, when what was due then is done."""
        await asyncio.sleep(max(0.0, at_ms / 1000 - self._clock.monotonic()))
        await _quiet()

    # What happens -----------------------------------------------------------------------------

    async def _bring_about(self, timed: Timed) -> None:
        """Let one thing happen; return when all that takes no time has come of it."""
        try:
            await self._happen(timed)
        except (UnknownSessionError, ImbotError) as error:
            self._troubles.append(Trouble(timed.place, str(error)))
        await _quiet()
        if self._house.tasks.failed.done():
            failed = self._house.tasks.failed.result()
            self._troubles.append(Trouble(timed.place, f"imbot's own error: {failed!r}"))

    async def _happen(self, timed: Timed) -> None:
        match timed.what:
            case Shown():
                await self._hear(*self._gws.change(timed.what))
            case Said(shown=shown, text=text, is_own=is_own):
                await self._hear(*self._gws.said(shown, text, is_own=is_own))
            case Connected():
                await self._connect(timed.what)
            case Busied(agent=agent, is_busy=is_busy):
                self._gws.agents[agent].is_busy = is_busy
            case Restarted(is_killed=is_killed):
                await self._restart(is_killed=is_killed)
            case Reloaded(paths=paths):
                self._book = self._setting.books[paths]
                await self._house.adopt(self._book, self._setting.around(self._book))
            case Posted(name=name, body=body):
                await self._house.post(name, body)
            case Answered():
                pass  # it is in force already

    async def _hear(self, agent: str, *notices: Notice) -> None:
        """Let imbot hear what GWS tells, unless the agent's connection is lost."""
        if agent not in self._lost:
            await self._house.hear(*notices, agent=agent)

    def _tell(self, agent: str, notice: Notice) -> None:
        self._house.tasks.spawn(self._hear(agent, notice))

    async def _connect(self, what: Connected) -> None:
        now, agent = self._clock.now(), what.agent
        if what.change is ConnectionChange.LOST:
            await self._hear(agent, ConnectionNotice(what.change, now, what.reason))
            self._lost[agent] = self._clock.monotonic()
            self._gws.agents[agent].is_up = False
            return
        lost_s = self._clock.monotonic() - self._lost.pop(agent, self._clock.monotonic())
        self._gws.agents[agent].is_up = True
        self._gws.become(agent, what.snapshot)
        told = ConnectionNotice(what.change, now, what.reason, lost_s)
        await self._hear(agent, told, self._snapshot(agent, lost_s))

    def _snapshot(self, agent: str, lost_s: float = 0.0) -> SnapshotNotice:
        now = self._clock.now()
        sessions = tuple(self._gws.sessions(agent))
        return SnapshotNotice(sessions, now, now, now - timedelta(seconds=lost_s))

    async def _restart(self, *, is_killed: bool) -> None:
        store = self._store
        if is_killed:
            store.abandon()
        else:
            await store.commit(())
        await self._end()
        await self._start(store.reopened())
        self._lost.clear()
        for agent, gws in self._gws.agents.items():
            gws.is_up = True
            await self._hear(agent, self._snapshot(agent))

    # Processes --------------------------------------------------------------------------------

    async def _start(self, store: MemoryStore) -> None:
        """Start an imbot on this store; it goes on where the last one stopped."""
        self._store = store
        self._house = build(
            self._book,
            agents=self._gws.agents,
            store=store,
            http=self._http,
            habits=self._setting.habits,
            clock=self._clock,
            usable=self._setting.usable,
            around=self._setting.around(self._book),
            watch=self._see,
        )
        await self._house.start()

    async def _end(self) -> None:
        """End the imbot that runs; what its tasks do while they end is not looked at."""
        self._is_ending = True
        await self._house.stop()
        self._is_ending = False

    def _see(self, sight: Sight) -> None:
        if self._is_ending:
            return
        if isinstance(sight, Acted) and not sight.start.in_shadow:
            self._note_effect(sight)
        for observer in self._observers:
            observer.see(sight, self._house, self._now_ms())

    # Effects ----------------------------------------------------------------------------------

    def _note_effect(self, acted: Acted) -> None:
        step, outcome, event = acted.step, acted.outcome, acted.start.event
        run_id = acted.start.run_id
        needs = self._setting.usable[step.action].action.needs
        if needs is Operation.INITIATE and outcome.kind is OutcomeKind.DONE:
            self._sessions[run_id] = SessionKey(outcome.result["agent"], outcome.result["id"])
        if step.key in self._effects or not self._is_effect(acted, needs):
            return
        key = self._sessions.get(run_id, event.session_key)
        self._effects[step.key] = Effect(
            at_ms=self._now_ms(),
            agent=key.agent if key else event.agent,
            session=key.session_id if key else "",
            action=step.action,
            args=step.args,
            rule_id=acted.start.rule.id,
            place=step.place,
            failure="" if outcome.kind is OutcomeKind.DONE else outcome.detail,
        )

    def _is_effect(self, acted: Acted, needs: Operation | None) -> bool:
        """Whether a step did something: what is so already is not written again."""
        if acted.outcome.kind is OutcomeKind.DONE:
            run = self._house.flow.runs.get(acted.start.run_id)
            return needs is None or (
                run is not None and run.acting.ledger.has_tried(acted.step.key)
            )
        return acted.outcome.kind in (OutcomeKind.FAILED, OutcomeKind.PARKED)


async def _quiet() -> None:
    """Return once everything is done that takes no time."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualLoop):
        await loop.quiet()
