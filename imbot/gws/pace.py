"""When to log in again: full jitter, and a guard against locking the account out. Pure.

Source: contract 9.5; without jitter a thousand agents never get back in, with a fixed pause they
bury the server.
"""

from imbot.errors import ActionError, FaultClass, ImbotError, PermanentError
from imbot.ports import Random

#: The longest pause between logins that may well succeed.
MAX_PAUSE_S = 60.0

#: After so many refusals in a row the credentials are taken to be wrong.
MAX_REFUSALS = 3

#: A login that lasted this long was a good one.
CALM_S = 60.0


class LoginPace:
    """How long to wait before the next login.

    Args:
        random: Spreads the agents.
        lockout_s: Pause where trying sooner could lock the account out or would be no use.
    """

    def __init__(self, random: Random, *, lockout_s: float) -> None:
        self._random = random
        self._lockout_s = lockout_s
        self._tries = 0
        self._refusals = 0

    @property
    def is_locked(self) -> bool:
        """Whether the credentials are taken to be wrong."""
        return self._refusals >= MAX_REFUSALS

    def after_service(self, served_s: float) -> float:
        """Return the pause after a login that worked and lasted so long."""
        self._refusals = 0
        if served_s >= CALM_S:
            self._tries = 0
        return self._next_pause_s()

    def after_failure(self, error: ImbotError) -> float:
        """Return the pause after a login that did not work."""
        fault = error.fault if isinstance(error, ActionError) else None
        if fault is not None and fault.fault_class is FaultClass.AUTH:
            self._refusals += 1
        else:
            self._refusals = 0
        if self.is_locked or isinstance(error, PermanentError):
            return self._lockout_s * self._random.uniform(1.0, 1.1)
        return max(self._next_pause_s(), (fault.retry_after_s if fault else None) or 0.0)

    def _next_pause_s(self) -> float:
        longest_s = min(MAX_PAUSE_S, 2.0**self._tries)
        self._tries = min(self._tries + 1, 6)
        return self._random.uniform(0.0, longest_s)
