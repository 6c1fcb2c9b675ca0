"""CPU time in interleaved rounds: what a figure is, and nothing of what is measured.

A machine is busy, throttled or shared, so wall time says little and one sample says nothing. Every
figure is the median of several rounds with its spread; a ratio is taken inside each round, where
both sides saw the same machine, and then its median.
"""

import gc
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

US = 1e6
MS = 1e3


@dataclass(frozen=True, slots=True)
class Spread:
    """A median and the extremes around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Return the spread of at least one value."""
        found = sorted(values)
        return cls(median(found), found[0], found[-1])


@dataclass(slots=True)
class Rounds:
    """What was measured, by name, one value for each round."""

    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, value: float) -> None:
        """Add the value of one round."""
        self.values[name].append(value)

    def spread(self, name: str) -> Spread:
        """Return the spread of one name."""
        return Spread.of(self.values[name])

    def has(self, name: str) -> bool:
        """Return whether anything was measured under this name."""
        return name in self.values

    def ratio(self, over: str, under: str) -> Spread:
        """Return the spread of the ratio of two names, taken round by round."""
        pairs = zip(self.values[over], self.values[under], strict=True)
        return Spread.of(one / other for one, other in pairs)


def cpu_us(work: Callable[[], object]) -> float:
    """Return the microseconds of CPU that one call takes, all threads of the process counted."""
    gc.collect()
    began = time.process_time()
    work()
    return (time.process_time() - began) * US


def cpu_us_each(once: Callable[[], int], *, at_least_s: float) -> float:
    """Return the microseconds of CPU for each of the things that a call does and counts.

    The call is repeated until it has taken so many seconds, for the clock is coarse.
    """
    gc.collect()
    done = 0
    began = time.process_time()
    while (taken_s := time.process_time() - began) < at_least_s or not done:
        done += once()
    return taken_s * US / done


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that this share of all does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
