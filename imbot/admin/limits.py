"""How much one address may ask, and how often it may be wrong. Pure but for the clock."""

from collections import OrderedDict

from imbot.clock import Clock

#: Requests of one address: so many a second in the long run, and at once.
PER_S, AT_ONCE = 20.0, 100.0

#: Wrong tokens of one address: one in so many seconds in the long run, and at once.
WRONG_EACH_S, WRONG_AT_ONCE = 30.0, 5.0

#: So many addresses are remembered; the one that asked longest ago is forgotten first.
_REMEMBERED = 10_000


class Bucket:
    """A token bucket for each address.

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

    def wait_s(self, address: str) -> float:
        """Return the seconds until this address may ask again; zero where it may now."""
        return max(0.0, (1.0 - self._now(address)) / self._per_s)

    def take(self, address: str) -> None:
        """Count one request of an address."""
        self._left[address] = (self._now(address) - 1.0, self._clock.monotonic())
        self._left.move_to_end(address)
        if len(self._left) > _REMEMBERED:
            self._left.popitem(last=False)

    def _now(self, address: str) -> float:
        left, at = self._left.get(address, (self._at_once, 0.0))
        return min(self._at_once, left + (self._clock.monotonic() - at) * self._per_s)
