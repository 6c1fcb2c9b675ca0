"""What the admin API asks of a running imbot, and what it may steer."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imbot.admin.counts import RuleCount
from imbot.admin.health import Health
from imbot.admin.hindsight import Hindsight
from imbot.admin.pulse import Series
from imbot.admin.reading import Reader
from imbot.clock import Clock
from imbot.engine.steering import Steering
from imbot.gws.status import AgentStatus
from imbot.model import JSON
from imbot.pluginhost import Plugins
from imbot.ports import Aside
from imbot.records import TimerSet
from imbot.rulebook.schema import Rulebook


@dataclass(frozen=True, slots=True)
class Office:
    """A running imbot, as far as people may look into it and steer it.

    Attributes:
        clock: Time.
        aside: Does beside the event loop what takes long.
        reader: Looks into its store.
        store_url: Where orders about what is parked are left.
        base: The folder that the URL starts from.
        settings: The settings in force, every secret masked.
        plugins: What was found.
        steering: What people switch.
        health: How it is doing.
        agents: How each agent is doing.
        book: The rules in force.
        breakers: Why breakers are open, by rule id.
        counts: What was counted of a rule in force, by its id.
        pulse: What was done in the last hour, since a second.
        hindsight: Explains with the rules in force.
        timers: What will be due.
        reload: Reads the rules anew; returns whether they are in force.
        post: Takes a post to a hook.
    """

    clock: Clock
    aside: Aside
    reader: Reader
    store_url: str
    base: Path
    settings: JSON
    plugins: Plugins
    steering: Steering
    health: Callable[[], Health]
    agents: Callable[[], Sequence[AgentStatus]]
    book: Callable[[], Rulebook]
    breakers: Callable[[], Mapping[str, str]]
    counts: Callable[[str], RuleCount]
    pulse: Callable[[int], Series]
    hindsight: Callable[[], Hindsight]
    timers: Callable[[], Sequence[TimerSet]]
    reload: Callable[[], Awaitable[bool]]
    post: Callable[[str, JSON], Awaitable[None]]
