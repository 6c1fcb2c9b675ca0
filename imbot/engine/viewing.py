"""What rules see at one moment: the scope and the senses, from the tables in memory."""

from collections.abc import Mapping
from dataclasses import replace

from imbot.engine.doors import World
from imbot.engine.facts import Moment, Surroundings, scope_of
from imbot.engine.once import OnceMarks
from imbot.engine.sessions import SessionEntry
from imbot.model import Event, ImSession, Scope
from imbot.ports import AgentFacts
from imbot.rulebook.calendars import Calendar
from imbot.rulebook.schema import Rule

#: Whom ``agent`` shows where there is none.
_NONE = AgentFacts("")


class View:
    """Looks at events and sessions with the eyes of rules.

    Attributes:
        around: What is the same for every event; replaced by a reload.
        asked_once: Ids of the rules that ``once_done()`` asks for.
    """

    def __init__(
        self, world: World, marks: OnceMarks, around: Surroundings, asked_once: frozenset[str]
    ) -> None:
        self._world = world
        self._marks = marks
        self.around = around
        self.asked_once = asked_once

    async def of_event(self, event: Event) -> tuple[Scope, Moment]:
        """Return what rules see of an event, its session as it stood right after."""
        key = event.session_key
        entry = None if key is None else self._world.table.get(key)
        return await self._look(event, event.session, entry, self.around)

    async def of_now(self, event: Event, rule: Rule) -> tuple[Scope, Moment]:
        """Return what the steps of a run see: its trigger, and the session as it stands now.

        The calendars are those that the rule was loaded with, for it ends on its version.
        """
        around = self.around
        if rule.calendars:
            around = replace(around, calendars=_as_loaded(rule.calendars, around.calendars))
        key = event.session_key
        entry = None if key is None else self._world.table.get(key)
        session = event.session if entry is None else entry.session
        return await self._look(event, session, entry, around)

    async def _look(
        self,
        event: Event,
        session: ImSession | None,
        entry: SessionEntry | None,
        around: Surroundings,
    ) -> tuple[Scope, Moment]:
        world = self._world
        now = world.clock.now()
        gws = world.agents.get(event.agent) if event.agent else None
        agent = gws.facts if gws is not None else AgentFacts(event.agent) if event.agent else _NONE
        scope = scope_of(event, session, entry, agent=agent, bot=around.bot, now=now)
        texts = () if entry is None else entry.said
        done = await self._done(event) if self.asked_once else frozenset()
        return scope, Moment(now, around, texts, done)

    async def _done(self, event: Event) -> frozenset[str]:
        """Return which of the rules that are asked for have acted in the event's session."""
        if event.session is None:
            return frozenset()
        asked, scope = self.asked_once, f"session {event.agent}/{event.session.id}"
        await self._marks.load((rule_id, scope) for rule_id in asked)
        return frozenset(rule_id for rule_id in asked if self._marks.is_set(rule_id, scope))


def _as_loaded(
    loaded: Mapping[str, Calendar], in_force: Mapping[str, Calendar]
) -> dict[str, Calendar]:
    """Return calendars as they were loaded; one that an operator has closed now is closed."""
    closed = {name for name, calendar in in_force.items() if calendar.emergency}
    return {
        name: calendar.closed_by_operator() if name in closed else calendar
        for name, calendar in loaded.items()
    }
