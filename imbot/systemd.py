"""Tells systemd how the service is doing, where it is systemd that runs it.

The words are those of sd_notify(3): one datagram of assignments to the socket that the environment
names. Nothing of it can fail the service: whoever does not listen is not told.
"""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

from imbot.clock import Clock

#: Alive is told twice in the time after which systemd takes silence for death.
_BEATS_IN_LIMIT = 2


class Supervisor:
    """The service manager of this process, or nobody.

    Attributes:
        beat_s: How often it wants to be told that imbot is alive; None for never.
    """

    def __init__(self, environment: Mapping[str, str], *, pid: int | None = None) -> None:
        """Find out who supervises.

        Args:
            environment: Variables; ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``.
            pid: This process; that of the caller where none is given.
        """
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        limit_us = environment.get("WATCHDOG_USEC", "")
        mine = environment.get("WATCHDOG_PID", "") in {"", str(os.getpid() if pid is None else pid)}
        is_watched = self._address is not None and mine and limit_us.isdecimal()
        self.beat_s = int(limit_us) / 1e6 / _BEATS_IN_LIMIT if is_watched else None

    def ready(self, status: str) -> None:
        """Tell that imbot serves, or stands by, and in a few words how."""
        self._tell("READY=1", f"STATUS={status}")

    def stopping(self) -> None:
        """Tell that imbot is about to end."""
        self._tell("STOPPING=1")

    async def keep_alive(self, clock: Clock) -> None:
        """Tell again and again that the event loop comes round; a blocked one is started anew."""
        while self.beat_s:
            self._tell("WATCHDOG=1")
            await clock.sleep(self.beat_s)

    def _tell(self, *facts: str) -> None:
        if self._address is None:
            return
        text = "\n".join(fact.replace("\n", " ") for fact in facts)
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.setblocking(False)
            out.sendto(text.encode("utf-8", "replace"), self._address)


def _address(named: str) -> str | None:
    """Return where the socket is; an ``@`` stands for the zero byte of an abstract name."""
    if not named.startswith(("/", "@")) or not hasattr(socket, "AF_UNIX"):
        return None
    return f"\0{named[1:]}" if named.startswith("@") else named
