"""What imbot did in the last hour, in steps of a few seconds, for charts; in memory only.

Prometheus keeps more, and longer, where there is one.
"""

import math
from bisect import bisect_left
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate

from imbot.clock import Clock
from imbot.engine.watching import Acted, Decided, Echoed, Happened, Parked, Sight
from imbot.model import OutcomeKind, Reason, Step

#: Seconds that are counted together, and how many of these steps are kept: an hour.
STEP_S, STEPS = 5, 720

#: The action that says something.
_REPLY = "reply"

#: Durations are told apart by this factor, so a quantile is wrong by half of it at most.
_FACTOR = 1.05
_LOG_FACTOR = math.log(_FACTOR)

#: Shorter and longer durations than these count as these.
_SHORTEST_S, _LONGEST_S = 0.001, 86_400.0

#: Events with runs of which it is remembered when they were received, for their echoes.
_REMEMBERED = 10_000


class Durations:
    """So many durations of each length: any number of them takes little room."""

    __slots__ = ("_known", "_often")

    def __init__(self) -> None:
        self._often: Counter[int] = Counter()
        self._known: dict[float, float] = {}

    def add(self, seconds: float) -> None:
        """Take a duration down."""
        within = _SHORTEST_S if seconds < _SHORTEST_S else min(seconds, _LONGEST_S)
        self._often[round(math.log(within) / _LOG_FACTOR)] += 1
        self._known.clear()

    def quantile(self, share: float) -> float | None:
        """Return the seconds that this share of them took at most; None without any."""
        if self._often and share not in self._known:  # who draws an hour asks time after time
            length = self._length(math.ceil(share * self._often.total()))
            self._known[share] = round(_FACTOR**length, 4)
        return self._known.get(share)

    def _length(self, rank: int) -> int:
        """Return the length of the one with this rank, counted from the shortest, from 1."""
        lengths = sorted(self._often)
        upto = accumulate(self._often[length] for length in lengths)
        return lengths[bisect_left(list(upto), rank)]


@dataclass(slots=True)
class _Bucket:
    """What was seen in one step of time, whose number since 1970 is given."""

    number: int
    events: int = 0
    replies: int = 0
    parked: int = 0
    failed: int = 0
    suppressed: int = 0
    steps: Durations = field(default_factory=Durations)
    echoes: Durations = field(default_factory=Durations)


@dataclass(frozen=True, slots=True)
class Series:
    """Columns of the same length, a step of time in each row, oldest first, none left out.

    Attributes:
        at: When each begins, in seconds since 1970; the last one still goes on.
        events: Events that were taken in.
        replies: Steps with a reply that were carried out.
        parked: Effects that came to wait for a person.
        failed: Steps that failed.
        suppressed: Rules that matched and did not run.
        step_p50_s: From the event to the end of a step: the median; None without any.
        step_p95_s: The same for 95 of 100.
        echo_p50_s: From the event to the echo of a reply: the median; None without any.
        echo_p95_s: The same for 95 of 100.
    """

    at: list[int]
    events: list[int]
    replies: list[int]
    parked: list[int]
    failed: list[int]
    suppressed: list[int]
    step_p50_s: list[float | None]
    step_p95_s: list[float | None]
    echo_p50_s: list[float | None]
    echo_p95_s: list[float | None]


class Pulse:
    """Counts what it sees, by the wall clock.

    A clock that is put back counts on where it counted before.

    Args:
        clock: Tells when something is seen, and how long it took.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ring: dict[int, _Bucket] = {}
        self._began = _number_of(clock.now())
        self._received_at: OrderedDict[str, datetime] = OrderedDict()

    def watch(self, sight: Sight) -> None:
        """Count what was seen."""
        match sight:
            case Happened():
                self._at(self._clock.now()).events += 1
            case Decided(plan):
                if plan.starts:
                    self._remember(plan.event.id, plan.event.received_at)
                if plan.suppressed:
                    live = [no for no in plan.suppressed if no.reason is not Reason.SHADOW]
                    self._at(self._clock.now()).suppressed += len(live)
            case Acted(start, step, outcome):
                self._note_step(start.event.received_at, step, outcome.kind)
            case Echoed(effect_id, _):
                event_id = effect_id.partition("/")[0]
                if (received_at := self._received_at.get(event_id)) is not None:
                    now = self._clock.now()
                    self._at(now).echoes.add((now - received_at).total_seconds())
            case Parked(_):
                self._at(self._clock.now()).parked += 1
            case _:
                pass

    def series(self, since: int = 0) -> Series:
        """Return the steps of the last hour that begin at this second since 1970 or later.

        None is older than this object, for nobody looked before.
        """
        now = _number_of(self._clock.now())
        first = max(now - STEPS + 1, min(self._began, now), -(-since // STEP_S))
        buckets = [self._bucket(number) for number in range(first, now + 1)]
        return Series(
            at=[each.number * STEP_S for each in buckets],
            events=[each.events for each in buckets],
            replies=[each.replies for each in buckets],
            parked=[each.parked for each in buckets],
            failed=[each.failed for each in buckets],
            suppressed=[each.suppressed for each in buckets],
            step_p50_s=[each.steps.quantile(0.5) for each in buckets],
            step_p95_s=[each.steps.quantile(0.95) for each in buckets],
            echo_p50_s=[each.echoes.quantile(0.5) for each in buckets],
            echo_p95_s=[each.echoes.quantile(0.95) for each in buckets],
        )

    def _note_step(self, received_at: datetime, step: Step, outcome: OutcomeKind) -> None:
        now = self._clock.now()
        bucket = self._at(now)
        if outcome is OutcomeKind.FAILED:
            bucket.failed += 1
        elif outcome is OutcomeKind.DONE:
            bucket.replies += step.action == _REPLY
            bucket.steps.add((now - received_at).total_seconds())

    def _remember(self, event_id: str, received_at: datetime) -> None:
        self._received_at[event_id] = received_at
        if len(self._received_at) > _REMEMBERED:
            self._received_at.popitem(last=False)

    def _at(self, now: datetime) -> _Bucket:
        """Return where to count now, in the place of what is older than an hour."""
        number = _number_of(now)
        bucket = self._bucket(number)
        self._ring[number % STEPS] = bucket
        return bucket

    def _bucket(self, number: int) -> _Bucket:
        kept = self._ring.get(number % STEPS)
        return kept if kept is not None and kept.number == number else _Bucket(number)


def _number_of(at: datetime) -> int:
    return int(at.timestamp()) // STEP_S
