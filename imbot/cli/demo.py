"""``imbot demo``: a bot at work on this machine, with everything it needs."""

import asyncio
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

from imbot.app import open_app
from imbot.cli.output import one_line
from imbot.cli.running import on_loop, stop_on_signal, system_ports
from imbot.cli.simulating import accounts
from imbot.clock import Clock, SystemClock
from imbot.config import Loaded
from imbot.engine.watching import Acted, Decided, Echoed, Happened, Logged, Sight
from imbot.errors import ImbotError
from imbot.logs import configure_logs
from imbot.model import Event, EventKind, OutcomeKind, SessionKey, SessionState
from imbot.settings import Settings
from imbot.shipped import shipped
from imbot.simulator import Simulator, SimulatorSettings
from imbot.simulator.crm import Crm
from imbot.simulator.parties import Manners, chatter
from imbot.store.database import open_store

_AGENTS = 3
_PARTIES = 2

#: A session that began later than this before the end need not be served any more.
_GRACE_S = 5.0

_ZONE = ZoneInfo("Europe/Berlin")
_OPEN_H, _SHUT_H, _FRIDAY = 8, 16, 4


class ShiftedClock(SystemClock):
    """The machine's clock, some time ahead: the demo happens in office hours."""

    def __init__(self, ahead: timedelta) -> None:
        self._ahead = ahead

    def now(self) -> datetime:
        """Return the moment that the demo happens at."""
        return super().now() + self._ahead


@dataclass(slots=True)
class Tally:
    """What was seen, for the summary.

    Attributes:
        began: When each session was first Talking.
        served: Sessions in which something was said.
        counts: How often each thing happened.
    """

    began: dict[SessionKey, datetime] = field(default_factory=dict)
    served: set[SessionKey] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)

    def watch(self, sight: Sight) -> None:
        """Count what is seen."""
        match sight:
            case Happened(event):
                key = event.session_key
                is_talking = event.session and event.session.state == SessionState.TALKING
                if key is not None and event.kind is EventKind.STATE and is_talking:
                    self.began.setdefault(key, event.at)
            case Acted(start, step, outcome):
                self.counts[f"{step.action} {outcome.kind}"] += 1
                key = start.event.session_key
                if key and step.action == "reply" and outcome.kind is OutcomeKind.DONE:
                    self.served.add(key)
            case Echoed():
                self.counts["echo"] += 1
            case _:
                pass

    def unserved(self, now: datetime) -> list[SessionKey]:
        """Return the sessions that should have been served by now and were not."""
        limit = now - timedelta(seconds=_GRACE_S)
        return [key for key, at in self.began.items() if at < limit and key not in self.served]


def demo(*, seconds: float | None, seed: int, port: int) -> int:
    """Show a bot at work; return 0 when every session was served."""
    configure_logs("error", "text")
    return on_loop(_show(seconds=seconds, seed=seed, port=port))


async def _show(*, seconds: float | None, seed: int, port: int) -> int:
    stop = stop_on_signal()
    clock = ShiftedClock(_until_office_hours(datetime.now(UTC)))
    settings = SimulatorSettings(agents=accounts(_AGENTS), port=port, seed=seed)
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="imbot-demo-") as folder:
        async with Simulator(settings, clock=clock) as simulator, Crm() as crm:
            loaded = _loaded(simulator.url, crm.url, Path(folder))
            _welcome(simulator.url, clock, seconds)

            def watch(sight: Sight) -> None:
                tally.watch(sight)
                if (line := told(sight)) is not None:
                    print(line, flush=True)

            ports = replace(
                system_ports(),
                clock=clock,
                store=lambda url, base: open_store(url, clock=clock, base=base),
                serves_health=False,
            )
            async with open_app(loaded, ports, watch=watch) as app:
                serving = asyncio.create_task(app.run(stop))
                await _all_up(lambda: all(a.is_up for a in app.agents.values()), serving)
                random = Random(seed)  # noqa: S311  reproducible, nothing is secret here
                talking = [
                    asyncio.create_task(
                        chatter(simulator.world, clock, random=random, manners=Manners())
                    )
                    for _ in range(_PARTIES)
                ]
                await _until_end(stop, serving, seconds)
                for task in talking:
                    task.cancel()
                await asyncio.gather(*talking, return_exceptions=True)
                missed = tally.unserved(clock.now())
                stop.set()
                await serving
    return _summary(tally, missed)


def _until_office_hours(now: datetime) -> timedelta:
    """Return how far ahead the next office hour is; nothing within office hours."""
    ahead = timedelta()
    while True:
        local = (now + ahead).astimezone(_ZONE)
        if local.weekday() <= _FRIDAY and _OPEN_H <= local.hour < _SHUT_H - 1:
            return ahead
        ahead += timedelta(minutes=30)


def _loaded(gws_url: str, crm_url: str, folder: Path) -> Loaded:
    settings = Settings.model_validate(
        {
            "gws": {"url": gws_url},
            "bot": {"nickname": "Robin"},
            "agents": [{"user": a.user, "password": a.password} for a in accounts(_AGENTS)],
            "rules": [shipped("rules")],
            "plugins": {"options": {"crm": {"url": crm_url}}},
            "http": {"allow": [crm_url]},
            "timezone": "Europe/Berlin",
        }
    )
    return Loaded(settings, base=folder, path=folder / "imbot.yaml")


def _welcome(url: str, clock: Clock, seconds: float | None) -> None:
    print("imbot demo: a simulated GWS, three agents, the shipped rules and two talkative parties.")
    print(f"Open {url}/ to play the other party yourself.")
    local = clock.now().astimezone(_ZONE)
    if clock.now() - datetime.now(UTC) > timedelta(minutes=1):
        print(f"It is outside office hours; here it is {local:%A %H:%M} in Berlin.")
    print(f"It ends after {seconds:g} s." if seconds else "Ctrl-C ends it.", flush=True)
    print()


async def _all_up(holds: Callable[[], bool], serving: asyncio.Task[None]) -> None:
    """Return when all agents are up; raise what ended the daemon before."""
    for _ in range(600):
        if holds():
            return
        if serving.done():
            serving.result()
        await asyncio.sleep(0.05)
    raise ImbotError("the agents did not come up within 30 s")


async def _until_end(
    stop: asyncio.Event, serving: asyncio.Task[None], seconds: float | None
) -> None:
    waiting = asyncio.create_task(stop.wait())
    with suppress(asyncio.CancelledError):
        await asyncio.wait([waiting, serving], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


# The live view --------------------------------------------------------------------------------

_COLOURS = {"event": "36", "rule": "33", "done": "32", "bad": "31", "dim": "2"}


def told(sight: Sight) -> str | None:
    """Return what was seen as one line; None for what is not worth one."""
    match sight:
        case Happened(event):
            return f"{_head(event)} {_paint('event', _event(event))}"
        case Decided(plan):
            rules = [start.rule.id for start in plan.starts]
            rules += [f"{s.rule_id} (not: {s.reason}, {s.detail})" for s in plan.suppressed]
            return f"{'':10}  rule    {_paint('rule', ', '.join(rules))}" if rules else None
        case Acted(start, step, outcome):
            is_done = outcome.kind is OutcomeKind.DONE
            what = f"{step.action} {_args(step.args)}"
            result = "" if is_done else f": {outcome.kind} {outcome.detail}"
            painted = _paint("done" if is_done else "bad", f"{what}{result}")
            return f"{'':10}  action  {start.rule.id}: {painted}"
        case Logged(start, text):
            return f"{'':10}  log     {start.rule.id}: {one_line(text)}"
        case Echoed(_, session):
            return f"{'':10}  echo    {_paint('dim', f'{session.agent} said it')}"
        case _:
            return None


def _head(event: Event) -> str:
    session = event.session.id[-4:] if event.session else "-"
    return f"{event.at.astimezone(_ZONE):%H:%M:%S}    {event.agent} {session}"


def _event(event: Event) -> str:
    if event.kind is EventKind.MESSAGE:
        return f"message “{one_line(event.fields['text'])}”"
    if event.kind is EventKind.STATE and event.session is not None:
        return f"state {event.session.state}"
    if event.kind is EventKind.USERDATA:
        return f"userdata {', '.join(event.fields['changed'])}"
    return f"connection {event.fields.get('change', '')}"


def _args(args: object) -> str:
    text = args if isinstance(args, str) else repr(args)
    return one_line(text if len(text) <= 90 else f"{text[:89]}…")  # noqa: PLR2004  a line's width


def _paint(role: str, text: str) -> str:
    is_plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return text if is_plain else f"\x1b[{_COLOURS[role]}m{text}\x1b[0m"


def _summary(tally: Tally, missed: list[SessionKey]) -> int:
    counts = tally.counts
    print()
    print(
        f"{len(tally.began)} sessions, {len(tally.served)} served: "
        f"{counts['reply done']} replies ({counts['echo']} echoes), "
        f"{counts['set done']} tags, {counts['complete done']} completed by the bot, "
        f"{sum(n for what, n in counts.items() if what.endswith('parked'))} parked."
    )
    if missed:
        print(f"Not served: {', '.join(f'{agent}/{session}' for agent, session in missed)}")
    return 1 if missed or not tally.served else 0
