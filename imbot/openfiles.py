"""Room for open files: each agent holds a connection open, and most systems allow 1,024 of them."""

import sys
from typing import Protocol

from imbot.errors import ImbotError

#: Open files of an agent: the poll that is held, and what it does meanwhile.
_OF_AGENT = 2

#: Open files of everything else: the store, plugins, the health endpoint and who asks it.
_OF_HOUSE = 200


class Limits(Protocol):
    """The system's limits of this process; the module ``resource`` is one."""

    RLIMIT_NOFILE: int

    def getrlimit(self, resource: int, /) -> tuple[int, int]:
        """Return the limit in force, and how far it may be raised."""
        ...

    def setrlimit(self, resource: int, limits: tuple[int, int], /) -> None:
        """Set both."""
        ...


def system_limits() -> Limits | None:
    """Return the limits of this process; None where the system has none."""
    if sys.platform == "win32":
        return None
    import resource  # it is not there on Windows

    return resource


def files_needed(agents: int) -> int:
    """Return how many files an imbot with so many agents holds open at most."""
    return _OF_AGENT * agents + _OF_HOUSE


def make_room(agents: int, limits: Limits | None) -> None:
    """Raise the limit of open files to what so many agents need.

    Raises:
        ImbotError: It may not be raised so far; with too few, logins fail one by one.
    """
    if limits is None:
        return
    needed = files_needed(agents)
    soft, hard = limits.getrlimit(limits.RLIMIT_NOFILE)
    if is_enough(soft, needed):
        return
    if not is_enough(hard, needed):
        raise ImbotError(
            f"{agents} agents need {needed} open files, and this process may have {hard}; raise "
            "the limit (LimitNOFILE= of the systemd unit, ulimit -n of the shell) or have fewer "
            "agents here"
        )
    try:
        limits.setrlimit(limits.RLIMIT_NOFILE, (needed, hard))
    except (OSError, ValueError) as error:
        raise ImbotError(
            f"{agents} agents need {needed} open files, this process may have {soft}, and the "
            f"system does not let it raise that: {error}; raise the limit with ulimit -n"
        ) from error


def is_enough(limit: int, needed: int) -> bool:
    """Whether a limit allows so many; a negative one is none."""
    return limit < 0 or limit >= needed
