"""Figures for Prometheus that are counted with every event, and asked for now and then.

The classes of prometheus_client lock, and check their labels, each time that something is counted;
here everything is counted in one thread, and the metric is made when somebody asks.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

#: The values of a metric's labels, in their order.
Labels = tuple[str, ...]


class Sums(Collector):
    """A counter; one without labels is there from the start.

    Args:
        name: Of the metric.
        told: What is counted.
        labels: Names of the labels.

    Attributes:
        of: The sum for each set of labels, to be added to.
    """

    def __init__(self, name: str, told: str, labels: Sequence[str] = ()) -> None:
        self._name = name
        self._told = told
        self._labels = labels
        self.of: Counter[Labels] = Counter() if labels else Counter({(): 0})

    def collect(self) -> Iterator[Metric]:
        """Yield the metric as it stands."""
        family = CounterMetricFamily(self._name, self._told, labels=self._labels)
        for labels, total in self.of.items():
            family.add_metric(labels, total)
        yield family


class Spreads(Collector):
    """A histogram of durations; one without labels is there from the start.

    Args:
        name: Of the metric.
        told: What is measured.
        labels: Names of the labels.
        bounds: The longest duration of each bucket, in seconds, ascending.
    """

    def __init__(
        self, name: str, told: str, labels: Sequence[str] = (), *, bounds: Sequence[float]
    ) -> None:
        self._name = name
        self._told = told
        self._labels = labels
        self._bounds = bounds
        self._often: dict[Labels, list[int]] = {}
        self._sums_s: dict[Labels, float] = {}
        if not labels:
            self._begin(())

    def add(self, labels: Labels, seconds: float) -> None:
        """Take a duration down."""
        if labels not in self._often:
            self._begin(labels)
        self._often[labels][bisect_left(self._bounds, seconds)] += 1
        self._sums_s[labels] += seconds

    def collect(self) -> Iterator[Metric]:
        """Yield the metric as it stands."""
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        family = HistogramMetricFamily(self._name, self._told, labels=self._labels)
        for labels, often in self._often.items():
            upto = accumulate(map(float, often))
            family.add_metric(labels, list(zip(names, upto, strict=True)), self._sums_s[labels])
        yield family

    def _begin(self, labels: Labels) -> None:
        self._often[labels] = [0] * (len(self._bounds) + 1)
        self._sums_s[labels] = 0.0
