"""What can be asked of a running imbot: every route of the admin API, and what it does."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from imbot.admin import forms, showing
from imbot.admin.keys import Role
from imbot.admin.office import Office
from imbot.admin.routing import Asked, RefusedError, Route
from imbot.admin.runcounts import RunCounts
from imbot.admin.story import timeline
from imbot.engine.agenda import UnknownWebhookError
from imbot.engine.orders import why_not_resent
from imbot.errors import ImbotError
from imbot.gws.status import AgentState, AgentStatus
from imbot.problems import did_you_mean
from imbot.records import OrderGiven, OrderKind
from imbot.rulebook.schema import Budget, Rule
from imbot.store.orders import About, open_orders
from imbot.store.queries import Views
from imbot.store.views import RuleView

_NOT_FOUND, _WRONG = 404, 422


class Desk:
    """Answers what is asked.

    Args:
        office: The imbot.
    """

    def __init__(self, office: Office) -> None:
        self._office = office
        self._runs = RunCounts(office)

    @property
    def routes(self) -> Sequence[Route]:
        """Everything that can be asked."""
        read, operate, admin = Role.READ, Role.OPERATE, Role.ADMIN
        return (
            Route(
                *("GET", "/health", read, "How imbot is doing.", self._health),
                forms.HealthForm,
            ),
            Route(
                *("GET", "/pulse", read, "What imbot did in the last hour.", self._pulse),
                forms.PulseForm,
                query=forms.PulseQuery,
            ),
            Route(
                *("GET", "/halt", read, "Whether all effects are stopped.", self._halted),
                forms.HaltedForm,
            ),
            Route(
                *("PUT", "/halt", operate, "Stops all effects, queued ones too.", self._halt),
                forms.HaltedForm,
                body=forms.HaltForm,
            ),
            Route(
                *("DELETE", "/halt", operate, "Lets effects go on.", self._release),
                forms.HaltedForm,
            ),
            Route(
                *("GET", "/agents", read, "The agents and their subscriptions.", self._agents),
                forms.AgentsForm,
                query=forms.AgentQuery,
            ),
            Route(
                *("GET", "/sessions", read, "The sessions, newest first.", self._sessions),
                forms.SessionsForm,
                query=forms.SessionQuery,
            ),
            Route(
                *("GET", "/sessions/{session}", read, "The story of a session.", self._story),
                forms.StoriesForm,
                query=forms.StoryQuery,
                refusals=(_NOT_FOUND,),
            ),
            Route(
                *("GET", "/why", read, "Why each rule ran for an event or did not.", self._why),
                forms.WhyForm,
                query=forms.WhyQuery,
                refusals=(_NOT_FOUND,),
            ),
            Route(
                *("GET", "/rules", read, "The rules in force.", self._rules),
                forms.RulesForm,
                query=forms.RuleQuery,
            ),
            Route(
                *("GET", "/rules/{rule}", read, "A rule in force.", self._rule),
                forms.RuleForm,
                refusals=(_NOT_FOUND,),
            ),
            Route(
                *("PUT", "/rules/{rule}/switch", operate, "Switches a rule.", self._switch),
                forms.RuleForm,
                body=forms.SwitchForm,
                refusals=(_NOT_FOUND,),
            ),
            Route(
                *("POST", "/reload", admin, "Reads the rules anew.", self._reload),
                forms.Done,
                refusals=(_WRONG,),
            ),
            Route(
                *("GET", "/parked", read, "The effects that wait for a person.", self._parked),
                forms.ParkedListForm,
                query=forms.Page,
            ),
            Route(
                *("GET", "/failed", read, "The effects that failed, newest first.", self._failed),
                forms.FailedListForm,
                query=forms.Page,
            ),
            Route(
                *("POST", "/parked/resend", operate, "Sends parked effects again.", self._resend),
                forms.OrderedForm,
                body=forms.OrderForm,
            ),
            Route(
                *("POST", "/parked/drop", operate, "Gives parked effects up.", self._drop),
                forms.OrderedForm,
                body=forms.OrderForm,
            ),
            Route(
                *("GET", "/timers", read, "What will be due.", self._timers),
                forms.TimersForm,
                query=forms.Page,
            ),
            Route(
                *("GET", "/calendars", read, "The calendars as they stand.", self._calendars),
                forms.CalendarsForm,
            ),
            Route(
                *("PUT", "/calendars/{calendar}", operate, "Closes a calendar, or opens it again."),
                self._close,
                forms.CalendarsForm,
                body=forms.CalendarForm,
                refusals=(_NOT_FOUND,),
            ),
            Route(
                *("GET", "/plugins", read, "The plugins that were found.", self._plugins),
                forms.PluginsForm,
            ),
            Route(
                *("GET", "/settings", admin, "The settings in force, without secrets."),
                self._settings,
                forms.SettingsForm,
            ),
            Route(
                *("GET", "/audit", admin, "What people did here, newest first.", self._audit),
                forms.AuditListForm,
                query=forms.Page,
            ),
            Route(
                *("POST", "/hooks/{name}", operate, "Tells rules that wait for it.", self._post),
                forms.Done,
                body=Any,
                refusals=(_NOT_FOUND,),
            ),
        )

    # Looking ----------------------------------------------------------------------------------

    async def _health(self, _: Asked) -> forms.HealthForm:
        return showing.health(self._office.health())

    async def _pulse(self, asked: Asked) -> forms.PulseForm:
        return showing.pulse(self._office.pulse(asked.query.since))

    async def _halted(self, _: Asked) -> forms.HaltedForm:
        return showing.halted(self._office.steering.switches.halt)

    async def _agents(self, asked: Asked) -> forms.AgentsForm:
        query: forms.AgentQuery = asked.query
        statuses = self._office.agents()
        wanted = [
            status
            for status in statuses
            if query.state in (None, status.state) and (query.user or "") in status.user
        ]
        return forms.AgentsForm(
            agents=[showing.agent(each) for each in sorted(wanted, key=_trouble)[: query.limit]],
            states=Counter(status.state for status in statuses),
        )

    async def _sessions(self, asked: Asked) -> forms.SessionsForm:
        query: forms.SessionQuery = asked.query

        def look(views: Views) -> forms.SessionsForm:
            found = views.sessions(
                query.limit, agent=query.agent, state=query.state, number=query.number
            )
            return forms.SessionsForm(sessions=[showing.session(view) for view in found])

        return await self._office.reader.look(look)

    async def _story(self, asked: Asked) -> forms.StoriesForm:
        query: forms.StoryQuery = asked.query
        session, hindsight = asked.named["session"], self._office.hindsight()

        def look(views: Views) -> list[forms.StoryForm]:
            return [
                showing.story(
                    history,
                    hindsight.of_session(views, history, query.rule)
                    if query.why or query.rule is not None
                    else sorted(timeline(history, with_ids=True), key=lambda line: line.at),
                )
                for history in views.session(session)
            ]

        self._require_rule(query.rule)
        if not (stories := await self._office.reader.look(look)):
            raise RefusedError(_NOT_FOUND, "no-session", f"there is no session {session}")
        return forms.StoriesForm(stories=stories)

    async def _why(self, asked: Asked) -> forms.WhyForm:
        query: forms.WhyQuery = asked.query
        hindsight = self._office.hindsight()
        self._require_rule(query.rule)
        explained = await self._office.reader.look(
            lambda views: hindsight.of_event(views, query.event, query.rule)
        )
        if explained is None:
            raise RefusedError(_NOT_FOUND, "no-event", f"there is no event {query.event}")
        return showing.why(explained)

    async def _rules(self, asked: Asked) -> forms.RulesForm:
        query: forms.RuleQuery = asked.query
        book, breakers = self._office.book(), self._office.breakers()
        wanted = [rule for rule in book.rules if _is_found(rule, query.find)]
        shown = wanted[: query.limit]
        ran = await self._runs.counted()
        return forms.RulesForm(
            rules=[self._shown(rule, ran.get(rule.id), breakers) for rule in shown],
            total=len(wanted),
            warnings=[str(problem) for problem in book.warnings],
        )

    def _shown(
        self, rule: Rule, ran: RuleView | None, breakers: Mapping[str, str]
    ) -> forms.RuleForm:
        over = self._office.steering.switches.rules.get(rule.id)
        count = self._office.counts(rule.id)
        return showing.rule(rule, over=over, ran=ran, breakers=breakers, count=count)

    async def _rule(self, asked: Asked) -> forms.RuleForm:
        rule = self._named_rule(asked.named["rule"])
        ran = await self._runs.counted()
        return self._shown(rule, ran.get(rule.id), self._office.breakers())

    async def _failed(self, asked: Asked) -> forms.FailedListForm:
        found = await self._office.reader.look(lambda views: views.failed_views(asked.query.limit))
        return forms.FailedListForm(failed=[showing.parked(each) for each in found])

    async def _parked(self, asked: Asked) -> forms.ParkedListForm:
        found = await self._office.reader.look(lambda views: views.parked_views(asked.query.limit))
        return forms.ParkedListForm(parked=[showing.parked(each) for each in found])

    async def _timers(self, asked: Asked) -> forms.TimersForm:
        waiting = self._office.timers()[: asked.query.limit]
        return forms.TimersForm(timers=[showing.timer(each) for each in waiting])

    async def _calendars(self, _: Asked) -> forms.CalendarsForm:
        return showing.calendars(self._office.steering.openings, self._office.clock.now())

    async def _plugins(self, _: Asked) -> forms.PluginsForm:
        found = self._office.plugins.found
        return forms.PluginsForm(plugins=[showing.plugin(each) for each in found])

    async def _settings(self, _: Asked) -> forms.SettingsForm:
        return forms.SettingsForm(settings=self._office.settings)

    async def _audit(self, asked: Asked) -> forms.AuditListForm:
        found = await self._office.reader.look(lambda views: views.audit(asked.query.limit))
        return forms.AuditListForm(entries=[showing.audited(each) for each in found])

    # Steering ---------------------------------------------------------------------------------

    async def _halt(self, asked: Asked) -> forms.HaltedForm:
        await self._office.steering.halt(asked.who, asked.body.why)
        return await self._halted(asked)

    async def _release(self, asked: Asked) -> forms.HaltedForm:
        await self._office.steering.release(asked.who)
        return await self._halted(asked)

    async def _switch(self, asked: Asked) -> forms.RuleForm:
        rule, body = self._named_rule(asked.named["rule"]), asked.body
        has_budget = body.per_session is not None or body.per_minute is not None
        await self._office.steering.switch_rule(
            rule.id,
            asked.who,
            is_off=body.off,
            shadow=body.shadow,
            budget=Budget(body.per_session, body.per_minute) if has_budget else None,
        )
        return await self._rule(asked)

    async def _close(self, asked: Asked) -> forms.CalendarsForm:
        try:
            await self._office.steering.close(
                asked.named["calendar"], asked.who, closed=asked.body.closed
            )
        except ImbotError as error:
            raise RefusedError(_NOT_FOUND, "no-calendar", str(error)) from error
        return await self._calendars(asked)

    async def _reload(self, _: Asked) -> forms.Done:
        if not await self._office.reload():
            told = "the rule files are not in force; the log and `imbot check` tell why"
            raise RefusedError(_WRONG, "wrong-rules", told)
        return forms.Done(done=f"{len(self._office.book().rules)} rules are in force")

    async def _resend(self, asked: Asked) -> forms.OrderedForm:
        return await self._order(asked, OrderKind.RESEND)

    async def _drop(self, asked: Asked) -> forms.OrderedForm:
        return await self._order(asked, OrderKind.DROP)

    async def _order(self, asked: Asked, kind: OrderKind) -> forms.OrderedForm:
        now = self._office.clock.now()
        wanted = dict.fromkeys(asked.body.effects)

        def why_not(about: About) -> str:
            if kind is OrderKind.DROP:
                return ""
            seen = about.session
            is_over = seen is not None and seen.session.is_completed
            return why_not_resent(about.effect.intent, is_over=is_over)

        def give() -> dict[str, str]:
            with open_orders(self._office.store_url, base=self._office.base) as book:
                return {
                    each: book.give(OrderGiven(each, kind, asked.who, now), why_not)
                    for each in wanted
                }

        given = await self._office.aside(give)
        return forms.OrderedForm(
            ordered=[each for each, refused in given.items() if not refused],
            refused={each: refused for each, refused in given.items() if refused},
        )

    async def _post(self, asked: Asked) -> forms.Done:
        name = asked.named["name"]
        try:
            await self._office.post(name, asked.body)
        except UnknownWebhookError as error:
            raise RefusedError(_NOT_FOUND, "no-hook", str(error)) from error
        return forms.Done(done=f"rules that wait for {name} are told")

    def _named_rule(self, rule_id: str) -> Rule:
        """Return a rule in force.

        Raises:
            RefusedError: There is none of this id; the text names the nearest.
        """
        self._require_rule(rule_id)
        return next(each for each in self._office.book().rules if each.id == rule_id)

    def _require_rule(self, rule_id: str | None) -> None:
        """Return if there is such a rule, or none is asked for.

        Raises:
            RefusedError: There is none; the text names the nearest.
        """
        known = [rule.id for rule in self._office.book().rules]
        if rule_id is not None and rule_id not in known:
            cure = did_you_mean(rule_id, known) or "there is none at all"
            raise RefusedError(_NOT_FOUND, "no-rule", f"there is no rule '{rule_id}'; {cure}")


def _trouble(status: AgentStatus) -> tuple[bool, str]:
    """Return what sorts agents: those that are not up come first, then by name."""
    return status.state is AgentState.UP, status.user


def _is_found(rule: Rule, part: str | None) -> bool:
    """Whether the id or the description of a rule has this in it, in capitals or not."""
    asked = (part or "").casefold()
    return asked in rule.id.casefold() or asked in rule.description.casefold()
