"""What the daemon does, as log events: names of rules, actions and sessions, and why not.

What people say stays out of the log, and their numbers are pseudonyms there: also where a rule's
``log`` step writes them, or an error quotes them.
"""

from collections.abc import Mapping

import structlog

from imbot.discretion import Discretion
from imbot.engine.planning import Start
from imbot.engine.watching import Acted, Decided, Ended, Happened, Logged, Sight, Watcher
from imbot.model import Event, Outcome, OutcomeKind, Reason, Step, Suppressed

log = structlog.get_logger()


def discreetly(discretion: Discretion) -> Watcher:
    """Return what logs every sight, and has the log know what it is not to tell."""

    def watch(sight: Sight) -> None:
        match sight:
            case Happened(event):
                _introduce(discretion, event)
            case Acted(_, step, _) if isinstance(step.args, Mapping):
                for arg in step.args.values():
                    if isinstance(arg, str):
                        discretion.hear(arg)
        log_sight(sight)

    return watch


def _introduce(discretion: Discretion, event: Event) -> None:
    if isinstance(text := event.fields.get("text"), str):
        discretion.hear(text)
    for party in () if event.session is None else event.session.participants:
        for number in party.facts().values():
            discretion.know(number)


def log_sight(sight: Sight) -> None:
    """Write what was seen to the log: trouble and ``log`` steps always, the rest for debugging."""
    match sight:
        case Happened(event):
            log.debug("event.seen", id=event.id, kind=event.kind, **_where(event))
        case Decided(plan):
            for start in plan.starts:
                log.debug("rule.starts", **_run(start))
            for no in plan.suppressed:
                if no.reason is not Reason.SHADOW:
                    log.debug("rule.suppressed", **_suppressed(plan.event, no))
        case Acted(start, step, outcome):
            _log_step(start, step, outcome)
        case Logged(start, text):
            log.info("rule.log", **_run(start), text=text)
        case Ended(start, over):
            log.debug("run.ended", **_run(start), state=over.state, cause=over.detail)
        case _:
            pass


def _log_step(start: Start, step: Step, outcome: Outcome) -> None:
    facts = {**_run(start), "action": step.action, "place": step.place}
    match outcome.kind:
        case OutcomeKind.SHADOW:
            log.info("step.shadow", **facts)
        case OutcomeKind.DONE:
            log.debug("step.done", **facts)
        case OutcomeKind.WITHHELD:
            log.info("step.withheld", **facts, cause=outcome.detail)
        case OutcomeKind.CANCELLED:
            log.info("step.cancelled", **facts, cause=outcome.detail)
        case OutcomeKind.FAILED:
            log.warning("step.failed", **facts, cause=outcome.detail, attempts=outcome.attempts)
        case OutcomeKind.PARKED:
            log.warning("step.parked", **facts, cause=outcome.detail, attempts=outcome.attempts)


def _where(event: Event) -> dict[str, str]:
    session = {} if event.session is None else {"session": event.session.id}
    return {"agent": event.agent, **session}


def _run(start: Start) -> dict[str, str | bool]:
    shadow = {"shadow": True} if start.in_shadow else {}
    return {"rule": start.rule.id, **shadow, **_where(start.event)}


def _suppressed(event: Event, no: Suppressed) -> dict[str, str]:
    return {"rule": no.rule_id, "reason": no.reason, "cause": no.detail, **_where(event)}
