"""From what imbot knows to the forms of the admin API."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime

from imbot.admin import forms
from imbot.admin.counts import RuleCount
from imbot.admin.health import Health
from imbot.admin.hindsight import Explained
from imbot.admin.pulse import STEP_S, Series
from imbot.admin.story import Line
from imbot.admin.telling import carried, told
from imbot.engine.blaming import leaf_told
from imbot.engine.explaining import Cause, Explanation
from imbot.engine.openings import Openings
from imbot.engine.orders import why_not_resent
from imbot.engine.switches import Halt, RuleSwitch
from imbot.gws.status import AgentStatus
from imbot.pluginhost import Found
from imbot.records import Audited, Order, TimerSet
from imbot.rulebook.schema import Rule
from imbot.store.views import ParkedView, RuleView, SessionHistory, SessionView


def health(of: Health) -> forms.HealthForm:
    """Show how imbot is doing."""
    return forms.HealthForm(
        status=of.status,
        reasons=list(of.reasons),
        agents=of.agents,
        agents_up=of.agents_up,
        sessions=of.sessions,
        parked=of.parked,
        breakers=dict(of.breakers),
        suppressed=dict(of.suppressed),
        quarantined=of.quarantined,
        undocumented=dict(of.undocumented),
        echoes=of.echoes,
        echo_longest_s=round(of.echo_longest_s, 3),
        quiesce_s=round(of.quiesce_s, 3),
        loop_lag_s=round(of.loop_lag_s, 3),
    )


def pulse(of: Series) -> forms.PulseForm:
    """Show what was done in the last hour."""
    return forms.PulseForm(step_s=STEP_S, **asdict(of))


def halted(halt: Halt | None) -> forms.HaltedForm:
    """Show whether all effects are stopped."""
    if halt is None:
        return forms.HaltedForm(halted=False)
    return forms.HaltedForm(halted=True, by=halt.by, at=halt.at, why=halt.why)


def agent(status: AgentStatus) -> forms.AgentForm:
    """Show an agent."""
    return forms.AgentForm(
        user=status.user,
        state=status.state.value,
        since=status.since,
        cause=status.cause,
        gaps=status.gaps,
        device=status.device_path,
    )


def session(view: SessionView) -> forms.SessionForm:
    """Show a session on one line."""
    return forms.SessionForm(
        id=view.seen.session.id,
        agent=view.seen.agent,
        number=view.number,
        state=view.seen.session.state,
        began_at=view.seen.first_seen_at,
        ended_at=view.seen.completed_at,
        messages=view.messages,
        replies=view.replies,
        parked=len(view.parked),
        gaps=len(view.gaps),
    )


def story(history: SessionHistory, lines: list[Line]) -> forms.StoryForm:
    """Show the story of a session."""
    return forms.StoryForm(
        session=session(history.view),
        user_data=dict(history.view.seen.session.user_data),
        lines=[forms.LineForm(**line._asdict()) for line in lines],
    )


def switch(over: RuleSwitch | None) -> forms.SwitchedForm | None:
    """Show what lies over a rule."""
    if over is None:
        return None
    return forms.SwitchedForm(
        by=over.by,
        at=over.at,
        off=over.is_off,
        shadow=over.shadow,
        per_session=None if over.budget is None else over.budget.per_session,
        per_minute=None if over.budget is None else over.budget.per_minute,
    )


def rule(
    of: Rule,
    *,
    over: RuleSwitch | None,
    ran: RuleView | None,
    breakers: Mapping[str, str],
    count: RuleCount,
) -> forms.RuleForm:
    """Show a rule in force, and how often it ran."""
    return forms.RuleForm(
        id=of.id,
        place=str(of.place),
        version=of.version,
        description=of.description,
        enabled=of.enabled,
        shadow=of.shadow,
        per_session=None if of.budget is None else of.budget.per_session,
        per_minute=None if of.budget is None else of.budget.per_minute,
        switch=switch(over),
        breaker=breakers.get(of.id, ""),
        runs={} if ran is None else {state.value: count for state, count in ran.runs.items()},
        last_at=None if ran is None else ran.last_at,
        since=count.since,
        hits=count.hits,
        shadow_hits=count.shadow_hits,
        suppressed=dict(count.suppressed),
        misses=count.misses,
    )


def why(explained: Explained) -> forms.WhyForm:
    """Show what became of each rule for an event."""
    situation = explained.situation
    ran, key = situation.ran or (), situation.event.session_key
    return forms.WhyForm(
        event=situation.event.id,
        session="" if key is None else key.session_id,
        told=f"{situation.event.kind} {told(situation.event)}".strip(),
        rules=[
            _verdict(each, ran=each.rule.id in ran, note=explained.notes.get(each.rule.id, ""))
            for each in explained.rules
        ],
    )


def _verdict(each: Explanation, *, ran: bool, note: str) -> forms.VerdictForm:
    return forms.VerdictForm(
        rule=each.rule.id,
        place=str(each.rule.place),
        ran=ran,
        causes=[] if ran else [_cause(one) for one in each.causes],
        leaves=[leaf_told(view.leaf) for view in each.leaves],
        withheld=[_cause(one) for one in each.withheld],
        note=note,
    )


def _cause(cause: Cause) -> forms.CauseForm:
    return forms.CauseForm(kind=cause.kind, detail=cause.detail)


def parked(of: ParkedView) -> forms.ParkedForm:
    """Show an effect that waits for a person."""
    effect, seen = of.view.effect, of.session
    intent = effect.intent
    is_over = seen is not None and seen.session.is_completed
    parties = () if seen is None else seen.session.participants
    return forms.ParkedForm(
        id=intent.effect_id,
        agent=intent.agent,
        session=intent.session_id,
        number=next((party.phoneNumber for party in parties), ""),
        rule=intent.rule_id,
        action=intent.action,
        carries=carried(intent),
        why=effect.detail,
        since=of.view.settled_at,
        cannot_be_resent=why_not_resent(intent, is_over=is_over),
        ordered=next((_ordered(order) for order in of.orders if order.taken is None), ""),
    )


def _ordered(order: Order) -> str:
    return f"{order.given.kind} by {order.given.by}"


def timer(of: TimerSet) -> forms.TimerForm:
    """Show something that will be due."""
    return forms.TimerForm(
        id=of.id, kind=of.kind, due_at=of.due_at, agent=of.agent, session=of.session_id
    )


def calendars(openings: Openings, now: datetime) -> forms.CalendarsForm:
    """Show every calendar as it stands."""
    return forms.CalendarsForm(
        calendars=[
            forms.CalendarStateForm(
                name=name,
                open=(is_open := calendar.is_open(now)),
                closed=openings.is_closed(name),
                next_change=calendar.next_close(now) if is_open else calendar.next_open(now),
            )
            for name, calendar in sorted(openings.items())
        ]
    )


def plugin(of: Found) -> forms.PluginForm:
    """Show a plugin that was found."""
    return forms.PluginForm(
        name=of.name,
        origin=of.origin,
        status=of.status.value,
        reason=of.reason,
        actions=[action.name for action in of.actions],
    )


def audited(of: Audited) -> forms.AuditForm:
    """Show what somebody did."""
    return forms.AuditForm(**of._asdict())
