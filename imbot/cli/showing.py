"""Commands that show: the settings, plugins and rules in force, and what is in the store."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from imbot.cli.output import complain, one_line, print_problems, print_table
from imbot.config import Loaded, load_settings, masked
from imbot.loading import Wanted, plugin_settings, require_rulebook, rule_secrets
from imbot.pluginhost import Plugins, check_plugins, find_plugins
from imbot.records import Effect, EffectState
from imbot.rulebook.schema import Rule
from imbot.store.queries import SessionHistory, SessionView, open_views
from imbot.yamlfile import dump

_TIME = "%Y-%m-%d %H:%M:%S"


def config(path: Path | None, options: Sequence[str]) -> int:
    """Print the settings in force as YAML, secrets masked; warnings go to standard error."""
    loaded = _load(path, options)
    print(dump(masked(loaded.settings)), end="")
    return 0


def plugins(path: Path | None, *, as_json: bool) -> int:
    """List the plugins; return 1 when one that should work does not."""
    found = _plugins(_load(path)).found
    rows = [
        (
            plugin.name,
            plugin.status.value,
            ", ".join(action.name for action in plugin.actions),
            plugin.reason,
            plugin.origin,
        )
        for plugin in found
    ]
    columns = ("plugin", "status", "actions", "reason", "from")
    print_table("Plugins", columns, rows, as_json=as_json)
    return 0 if all(plugin.status in ("enabled", "disabled") for plugin in found) else 1


def rules(path: Path | None, *, as_json: bool) -> int:
    """List the rules in the order in which they are looked at."""
    loaded = _load(path)
    settings = loaded.settings
    wanted = Wanted(
        _plugins(loaded),
        frozenset(rule_secrets(settings, os.environ)),
        settings.http.allow,
        settings.timezone,
        settings.country,
    )
    book = require_rulebook(settings.rules, loaded.base, wanted, today=datetime.now(UTC).date())
    rows = [
        (
            rule.id,
            " | ".join(trigger.kind for trigger in rule.triggers),
            rule.priority,
            _flags(rule),
            str(rule.place),
            rule.description,
        )
        for rule in book.rules
    ]
    columns = ("rule", "trigger", "priority", "flags", "place", "description")
    print_table("Rules", columns, rows, as_json=as_json)
    print_problems(book.warnings, stream_is_stdout=False)
    return 0


def sessions(
    session: str | None, path: Path | None, *, agent: str | None, limit: int, as_json: bool
) -> int:
    """List the sessions, or show one as a timeline; return 1 when there is no such session."""
    loaded = _load(path)
    with open_views(loaded.settings.store, base=loaded.base) as views:
        if session is None:
            found = views.sessions(limit=limit, agent=agent)
            print_table("Sessions", _SESSION_COLUMNS, map(_session, found), as_json=as_json)
            return 0
        histories = views.session(session, agent=agent)
    if not histories:
        complain(f"there is no session {session!r} in {loaded.settings.store}")
        return 1
    for history in histories:
        key = f"{history.view.seen.agent}/{history.view.seen.session.id}"
        lines = sorted(_timeline(history), key=lambda line: line.at)
        rows = [(line.at.astimezone().strftime(_TIME), line.what, line.told) for line in lines]
        print_table(f"Session {key}", ("when", "what", "details"), rows, as_json=as_json)
    return 0


# Parts ----------------------------------------------------------------------------------------


def _load(path: Path | None, options: Sequence[str] = ()) -> Loaded:
    loaded = load_settings(path, environment=os.environ, options=options)
    print_problems(loaded.warnings, stream_is_stdout=False)
    return loaded


def _plugins(loaded: Loaded) -> Plugins:
    found = find_plugins(plugin_settings(loaded.settings, loaded.base))
    return asyncio.run(check_plugins(found))


def _flags(rule: Rule) -> str:
    flags = {"disabled": not rule.enabled, "shadow": rule.shadow, "final": rule.final}
    return " ".join(flag for flag, is_set in flags.items() if is_set)


_SESSION_COLUMNS = (
    *("agent", "session", "number", "state", "began", "ended", "messages"),
    *("replies", "parked", "gaps"),
)


def _session(view: SessionView) -> tuple[object, ...]:
    seen = view.seen
    replied = view.effects.get(EffectState.CONFIRMED, 0) + view.effects.get(EffectState.ACCEPTED, 0)
    parked = "; ".join(_parked(effect) for effect in view.parked)
    gaps = "; ".join(f"{g.started_at.astimezone():%H:%M:%S} {g.reason}" for g in view.gaps)
    return (
        seen.agent,
        seen.session.id,
        view.number,
        seen.session.state,
        seen.first_seen_at.astimezone().strftime(_TIME),
        "" if seen.completed_at is None else seen.completed_at.astimezone().strftime(_TIME),
        view.messages,
        replied,
        parked,
        gaps,
    )


def _parked(effect: Effect) -> str:
    return f"{effect.intent.action} {_payload(effect)} ({effect.detail})"


def _payload(effect: Effect) -> str:
    payload = effect.intent.payload
    return repr(payload["text"]) if isinstance(payload, dict) and "text" in payload else ""


@dataclass(frozen=True, slots=True)
class _Line:
    at: datetime
    what: str
    told: str


def _timeline(history: SessionHistory) -> Iterator[_Line]:
    """Yield what happened in a session: events, decisions, effects, runs, gaps."""
    for seen in history.events:
        event = seen.event
        told = event.fields.get("text") or (event.session and event.session.state)
        resync = " (by resync)" if event.resync else ""
        yield _Line(event.received_at, f"event {event.kind}", f"{told}{resync}")
        if seen.handled_at is None:
            continue
        for rule_id in seen.rule_ids:
            yield _Line(seen.handled_at, f"rule {rule_id}", "runs")
        for no in seen.suppressed:
            yield _Line(seen.handled_at, f"rule {no.rule_id}", f"not: {no.reason}, {no.detail}")
    for view in history.effects:
        effect = view.effect
        intent = effect.intent
        answer = "" if view.answer_s is None else f", answered in {view.answer_s * 1000:.0f} ms"
        echo = "" if view.echo_s is None else f", echo after {view.echo_s * 1000:.0f} ms"
        detail = f": {effect.detail}" if effect.detail else ""
        told = f"{_payload(effect)} {effect.state}{detail}{answer}{echo}".strip()
        yield _Line(intent.at, f"{intent.action} by {intent.rule_id}", one_line(told))
    for run in history.runs:
        detail = f": {run.run.detail}" if run.run.detail else ""
        yield _Line(run.run.at, f"run of {run.run.rule_id}", f"{run.run.state}{detail}")
    for gap in history.view.gaps:
        lasted = (gap.ended_at - gap.started_at).total_seconds()
        yield _Line(gap.started_at, "gap", f"{gap.reason}, {lasted:.1f} s")
