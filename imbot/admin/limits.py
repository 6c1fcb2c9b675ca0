"""How much one may ask, and how often an address may be wrong. Pure but for the clock."""

from collections import OrderedDict

from imbot.clock import Clock

#: Requests with one token: so many a second in the long run, and at once.
PER_S, AT_ONCE = 20.0, 100.0

#: Wrong tokens of one address: one in so many seconds in the long run, and at once.
WRONG_EACH_S, WRONG_AT_ONCE = 30.0, 5.0

#: So many are remembered; who asked longest ago is forgotten first.
_REMEMBERED = 10_000


class Bucket:
    """A bucket for each who asks, which fills with time and gives one for each request.

    Args:
        clock: Time.
        per_s: How fast a bucket fills.
        at_once: How much it holds.
    """

    def __init__(self, clock: Clock, *, per_s: float, at_once: float) -> None:
        self._clock = clock
        self._per_s = per_s
        self._at_once = at_once
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, who: str) -> float:
        """Return the seconds until they may ask again; zero where they may now."""
        return max(0.0, (1.0 - self._now(who)) / self._per_s)

    def take(self, who: str) -> None:
        """Count one request."""
        self._left[who] = (self._now(who) - 1.0, self._clock.monotonic())
        self._left.move_to_end(who)
        if len(self._left) > _REMEMBERED:
            self._left.popitem(last=False)

    def _now(self, who: str) -> float:
        left, at = self._left.get(who, (self._at_once, 0.0))
        return min(self._at_once, left + (self._clock.monotonic() - at) * self._per_s)
