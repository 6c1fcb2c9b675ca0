"""The engine without wires and disks: rules in, notices in, operations out.

For tests of imbot, and for measuring what an event costs without HTTP.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from imbot.clock import Clock
from imbot.engine.acting import Actor, Habits, Installed
from imbot.engine.adopting import adopt, asked_once, rules_seen
from imbot.engine.agenda import Agenda
from imbot.engine.dispatch import Dispatch, Numbers
from imbot.engine.doors import World
from imbot.engine.echoes import Echoes
from imbot.engine.facts import Bot, Surroundings
from imbot.engine.floods import PER_S
from imbot.engine.flow import Flow
from imbot.engine.guard import LoopGuard
from imbot.engine.once import OnceMarks
from imbot.engine.past import Past
from imbot.engine.running import Runs
from imbot.engine.secrecy import Secrets
from imbot.engine.sessions import SessionTable
from imbot.engine.spending import UNLIMITED
from imbot.engine.tasks import Tasks
from imbot.engine.timers import Timers
from imbot.engine.viewing import View
from imbot.engine.watching import Acted, Decided, Sight
from imbot.errors import PermanentError, RulebookError
from imbot.loading import compile_kept, installed
from imbot.model import (
    JSON,
    Batch,
    ConnectionChange,
    ConnectionNotice,
    ImSession,
    MessageNotice,
    Notice,
    Outcome,
    Participant,
    SessionNotice,
    SnapshotNotice,
    Suppressed,
)
from imbot.plugin import Action
from imbot.pluginhost import PluginSettings, find_plugins
from imbot.ports import Http, Reply, Request, Store
from imbot.records import TimerSet
from imbot.rulebook.index import Index
from imbot.rulebook.loader import RuleFile, load_rulebook
from imbot.rulebook.schema import Budget, Rulebook
from imbot.testing.fake_gws import FakeGws
from imbot.testing.memory_store import MemoryStore
from imbot.testing.time import LoopClock, SteadyRandom

#: The other party, unless a test says otherwise.
CUSTOMER = Participant("3002", "3002", "3002", "3002")


class NoHttp:
    """A way out that leads nowhere."""

    async def send(self, request: Request) -> Reply:
        """Refuse."""
        raise PermanentError(f"no HTTP here: {request.method} {request.url}")

    async def close(self) -> None:
        """Do nothing."""


def rulebook_of(text: str, *, actions: Mapping[str, Action[Any]] | None = None) -> Rulebook:
    """Return the rulebook of one file's text, with the shipped plugins.

    Raises:
        RulebookError: With every problem.
    """
    found = find_plugins(PluginSettings(), with_options=False)
    book, problems = load_rulebook(
        [RuleFile("rules.yaml", text)],
        {**found.actions, **(actions or {})},
        secrets=None,
        allowed_hosts=None,
        timezone="Europe/Berlin",
        country="DE",
        today=date(2026, 3, 1),
    )
    if book is None:
        raise RulebookError(problems)
    return book


@dataclass(slots=True)
class House:
    """An engine with fakes behind its ports.

    Made inside a running loop by :func:`build`.

    Attributes:
        gws: The agents, by user name.
        flow: The stages.
        once: What is known of once marks.
        actions: Those that rules may use, by name.
        sights: Everything that was watched, in order.
    """

    book: Rulebook
    gws: Mapping[str, FakeGws]
    store: Store
    clock: Clock
    table: SessionTable
    tasks: Tasks
    flow: Flow
    once: OnceMarks
    dispatch: Dispatch
    timers: Timers
    agenda: Agenda
    actions: Mapping[str, Action[Any]]
    sights: list[Sight] = field(default_factory=list)

    async def start(self) -> None:
        """Go on where the last start stopped."""
        self.store.note(rules_seen(self.book))
        kept = compile_kept(self.actions, today=self.clock.now().date())
        await self.dispatch.recover(self.book.rules, kept)

    async def stop(self) -> None:
        """End every task now."""
        await self.timers.close()
        await self.tasks.cancel()

    async def adopt(self, book: Rulebook, around: Surroundings) -> None:
        """Put other rules in force."""
        self.book = book
        adopt(book, Index(book.rules), self.flow, self.agenda)
        self.flow.view.around = replace(around, calendars=self.agenda.calendars)

    async def post(self, name: str, body: JSON) -> None:
        """Post to a hook.

        Raises:
            UnknownWebhookError: No rule waits for it.
        """
        await self.dispatch.post(name, body)

    async def hear(self, *notices: Notice, agent: str = "bot1") -> None:
        """Take in notices as one batch."""
        await self.dispatch.accept(Batch(agent, notices))

    async def settle(self) -> None:
        """Return when nothing is under way any more."""
        await self.tasks.drain(24 * 3600.0)

    async def state(
        self,
        state: str,
        session_id: str = "s1",
        *,
        agent: str = "bot1",
        settle: bool = True,
        notification_type: str = "StatusChange",
        **user_data: str,
    ) -> None:
        """Show a session in a state."""
        session = ImSession(session_id, state, user_data, (CUSTOMER,))
        self.gws[agent].shown[session_id] = session
        notice = SessionNotice(session, self.clock.now(), notification_type)
        await self.hear(notice, agent=agent)
        if settle:
            await self.settle()

    async def say(self, text: str, session_id: str = "s1", *, agent: str = "bot1") -> None:
        """Let the other party say something."""
        await self.hear(MessageNotice(session_id, text, self.clock.now()), agent=agent)
        await self.settle()

    async def snapshot(self, *sessions: ImSession, since: datetime, agent: str = "bot1") -> None:
        """Show all sessions, as a resync does."""
        now = self.clock.now()
        await self.hear(SnapshotNotice(sessions, now, now, since), agent=agent)
        await self.settle()

    async def connection(self, change: ConnectionChange, *, agent: str = "bot1") -> None:
        """Let the subscription change."""
        notice = ConnectionNotice(change, self.clock.now(), "the poll failed", 3.0)
        await self.hear(notice, agent=agent)
        await self.settle()

    def said(self, agent: str = "bot1") -> list[str]:
        """Return the texts that the agent said."""
        return [done.given["text"] for done in self.gws[agent].named("SendMessage")]

    def outcomes(self) -> list[Outcome]:
        """Return how every step ended."""
        return [sight.outcome for sight in self.sights if isinstance(sight, Acted)]

    def suppressed(self) -> list[Suppressed]:
        """Return why matching rules did not run."""
        plans = [sight.plan for sight in self.sights if isinstance(sight, Decided)]
        return [no for plan in plans for no in plan.suppressed]


def build(  # noqa: PLR0913  a test replaces just what it is about
    rules: str | Rulebook,
    *,
    agents: Sequence[str] | Mapping[str, FakeGws] = ("bot1",),
    store: Store | None = None,
    http: Http | None = None,
    habits: Habits | None = None,
    clock: Clock | None = None,
    actions: Mapping[str, Action[Any]] | None = None,
    usable: Mapping[str, Installed] | None = None,
    marks: bool = False,
    around: Surroundings | None = None,
    secrets: Mapping[str, str] | None = None,
    watch: Callable[[Sight], None] | None = None,
    budget: Budget = UNLIMITED,
    events_per_s: float = PER_S,
) -> House:
    """Return an engine with these rules; to be called inside a running loop."""
    book = rulebook_of(rules, actions=actions) if isinstance(rules, str) else rules
    clock = clock or LoopClock()
    store = store or MemoryStore()
    gws = agents if isinstance(agents, Mapping) else {user: FakeGws() for user in agents}
    tasks, numbers = Tasks(), Numbers()
    table = SessionTable(numbers.next_id)
    sights: list[Sight] = []
    watching = watch or sights.append
    world = World(
        agents=gws,
        table=table,
        echoes=Echoes(),
        guard=LoopGuard("test", marks=marks),
        http=http or NoHttp(),
        clock=clock,
        later=tasks.spawn,
        secrets=Secrets(secrets),
    )
    once = OnceMarks(store)
    around = around or Surroundings(
        bot=Bot("Robin", "test"),
        secrets=secrets or {},
        timezone="Europe/Berlin",
    )

    def fire(timer: TimerSet) -> None:
        dispatch.fire(timer)

    timers = Timers(clock, fire)
    agenda = Agenda(book, timers, table=table, clock=clock, next_id=numbers.next_id)
    around = replace(around, calendars=agenda.calendars)
    view = View(world, once, around, asked_once(book))
    if usable is None:
        shipped = find_plugins(PluginSettings(options={"crm": {"url": "http://crm.test"}}))
        own = {name: Installed(action) for name, action in (actions or {}).items()}
        usable = {**installed(shipped), **own}
    actor = Actor(usable, world, habits=habits or Habits(), random=SteadyRandom())
    runs = Runs(
        actor,
        world,
        view,
        store,
        past=Past.of(once, clock, store, budget=budget, events_per_s=events_per_s),
        watch=watching,
        spawn=tasks.spawn,
        timers=timers,
    )
    flow = Flow(Index(book.rules), view, runs, world, store, watching)
    dispatch = Dispatch(
        world,
        flow,
        actor,
        store,
        agenda=agenda,
        numbers=numbers,
        watch=watching,
        tasks=tasks,
    )
    timers.start()
    kept = {name: one.action for name, one in usable.items()}
    return House(
        book, gws, store, clock, table, tasks, flow, once, dispatch, timers, agenda, kept, sights
    )
