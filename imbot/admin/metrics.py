"""``GET /metrics``: what imbot does, counted, and how it is doing, as Prometheus asks for it.

No name of an agent, a session or a number is in it, and nothing that people said: labels are names
of rules and actions, and words of imbot's own.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from imbot import __version__
from imbot.admin.figures import Spreads, Sums
from imbot.admin.health import STATUSES, Health
from imbot.clock import Clock
from imbot.engine.watching import Acted, Decided, Echoed, Ended, Happened, Kept, Sight
from imbot.model import ConnectionChange, Event, EventKind, OutcomeKind

#: Seconds between an event and what is done for it: from a quick answer to a proof that takes long.
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0)

#: Seconds of a commit: from memory to a disk on which something else goes on.
_COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)

#: Events of which it is remembered when they were received, for the echo of what they led to.
_REMEMBERED = 10_000


class Metrics:
    """Counts what it sees.

    Args:
        clock: Tells how long things took.

    Attributes:
        labels: The names of each metric's labels.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._received_at: OrderedDict[str, datetime] = OrderedDict()
        self._registry = CollectorRegistry()
        self.labels: dict[str, tuple[str, ...]] = {
            "imbot_status": ("status",),
            "imbot_info": ("version",),
            "imbot_undocumented": ("kind",),
        }
        self._events = self._counter("events", "Events that were taken in.", "kind")
        told = "Times that a subscription broke, for each session that the agent had."
        self._lost = self._counter("lost", told)
        told = "Times in which messages of other parties may have been lost, for each session."
        self._gaps = self._counter("gaps", told)
        self._starts = self._counter("runs_started", "Runs that were begun.", "rule", "shadow")
        told = "Rules that matched and did not run."
        self._suppressed = self._counter("suppressed", told, "rule", "reason")
        told = "Steps that were carried out, or not."
        self._steps = self._counter("steps", told, "action", "outcome")
        self._ends = self._counter("runs_ended", "Runs that ended.", "state")
        told = "From the event to the end of a step that was carried out."
        self._step_s = self._histogram("step_seconds", told, "action")
        told = "From the event to the echo of the reply: until the other party surely has it."
        self._echo_s = self._histogram("echo_seconds", told, "rule")
        self._changes = self._counter("changes", "Changes that were written to the store.")
        told = "How long a commit took, with its wait for the commits before it."
        self._commit_s = self._histogram("commit_seconds", told, bounds=_COMMIT_SECONDS)
        ProcessCollector(registry=self._registry)

    def _counter(self, name: str, told: str, *labels: str) -> Sums:
        self.labels[f"imbot_{name}"] = labels
        made = Sums(f"imbot_{name}", told, labels)
        self._registry.register(made)
        return made

    def _histogram(
        self, name: str, told: str, *labels: str, bounds: Sequence[float] = _SECONDS
    ) -> Spreads:
        self.labels[f"imbot_{name}"] = labels
        made = Spreads(f"imbot_{name}", told, labels, bounds=bounds)
        self._registry.register(made)
        return made

    def watch(self, sight: Sight) -> None:
        """Count what was seen."""
        match sight:
            case Happened(event):
                self._note_event(event)
            case Decided(plan):
                for start in plan.starts:
                    self._starts.of[start.rule.id, "true" if start.in_shadow else "false"] += 1
                for no in plan.suppressed:
                    self._suppressed.of[no.rule_id, no.reason.value] += 1
            case Acted(start, step, outcome):
                self._steps.of[step.action, outcome.kind.value] += 1
                if outcome.kind is OutcomeKind.DONE:
                    self._step_s.add((step.action,), self._age_s(start.event.received_at))
            case Echoed(effect_id, _):
                self._note_echo(effect_id)
            case Kept(changes, seconds):
                self._changes.of[()] += changes
                self._commit_s.add((), seconds)
            case Ended(_, over):
                self._ends.of[over.state.value,] += 1
            case _:
                pass

    def text(self, health: Health) -> bytes:
        """Return everything in Prometheus' text format, and that this is how imbot is doing."""
        return generate_latest(self._registry) + generate_latest(_Condition(health))

    def families(self, health: Health) -> Iterator[Metric]:
        """Yield every metric, for whoever describes them."""
        yield from self._registry.collect()
        yield from _Condition(health).collect()

    def _note_event(self, event: Event) -> None:
        self._events.of[event.kind.value,] += 1
        if event.kind is EventKind.CONNECTION:
            self._note_connection(event)
        self._received_at[event.id] = event.received_at
        if len(self._received_at) > _REMEMBERED:
            self._received_at.popitem(last=False)

    def _note_connection(self, event: Event) -> None:
        change = event.fields["change"]
        if change == ConnectionChange.LOST:
            self._lost.of[()] += 1
        elif change == ConnectionChange.GAP:
            self._gaps.of[()] += 1

    def _note_echo(self, effect_id: str) -> None:
        event_id, rule_id, *_ = effect_id.split("/")
        if (received_at := self._received_at.get(event_id)) is not None:
            self._echo_s.add((rule_id,), self._age_s(received_at))

    def _age_s(self, since: datetime) -> float:
        return max(0.0, (self._clock.now() - since).total_seconds())


class _Condition(Collector):
    """How imbot is doing at one moment."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def collect(self) -> Iterator[Metric]:
        """Yield a gauge for each figure of ``/health``."""
        health = self._health
        status = GaugeMetricFamily(
            "imbot_status", "1 for the status that imbot has now.", labels=["status"]
        )
        for each in STATUSES:
            status.add_metric([each], float(each == health.status))
        yield status
        info = GaugeMetricFamily("imbot_info", "Always 1.", labels=["version"])
        info.add_metric([__version__], 1.0)
        yield info
        told = "Words of GWS that are not documented: a new version, or a state without a rule?"
        undocumented = CounterMetricFamily("imbot_undocumented", told, labels=["kind"])
        for kind, often in health.undocumented.items():
            undocumented.add_metric([kind], often)
        yield undocumented
        for name, told, value in (
            ("agents", "Agents of the settings.", health.agents),
            ("agents_up", "Agents that are logged in and subscribed.", health.agents_up),
            ("sessions", "Sessions in progress.", health.sessions),
            ("parked", "Effects that wait for a person.", health.parked),
            ("breakers_open", "Rules that are held back by a breaker.", len(health.breakers)),
            ("quarantined_rows", "Rows of the store in quarantine.", health.quarantined),
            ("loop_lag_seconds", "The worst lag of the last minute.", health.loop_lag_s),
            ("quiesce_seconds", "How long an unknown reply waits.", health.quiesce_s),
            ("echo_longest_seconds", "The slowest echo ever.", health.echo_longest_s),
        ):
            yield GaugeMetricFamily(f"imbot_{name}", told, value=value)
