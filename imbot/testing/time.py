"""Time and chance for tests: the running loop's time as the world's, chance without surprise."""

import asyncio
from datetime import UTC, datetime, timedelta

#: A Sunday noon; tests that care name their own.
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class LoopClock:
    """The loop's time as the world's: on a virtual-time loop, hours take no time at all."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start

    def now(self) -> datetime:
        """Return the moment."""
        return self._start + timedelta(seconds=asyncio.get_running_loop().time())

    def monotonic(self) -> float:
        """Return the loop's seconds."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Return after so many of the loop's seconds."""
        await asyncio.sleep(seconds)


class SteadyRandom:
    """Chance that always falls in the middle."""

    def random(self) -> float:
        """Return one half."""
        return 0.5

    def uniform(self, a: float, b: float) -> float:
        """Return the middle of both."""
        return (a + b) / 2
