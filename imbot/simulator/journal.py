"""What reached the simulated GWS and what came of it: the log that tests count in."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from imbot.clock import Clock


class Happening(StrEnum):
    """What an entry of the log tells of."""

    REQUEST = "request"
    MESSAGE = "message"
    STATE = "state"
    USER_DATA = "user_data"
    DEVICE = "device"
    FAULT = "fault"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened.

    Attributes:
        seq: Number in the order of happening, from 1.
        at: When, by the simulator's clock.
        kind: What the entry tells of.
        agent: Agent that asked, spoke or was struck; empty for an outside party.
        session: IM session id; empty when none is concerned.
        name: Operation or Bayeux channel, state, user-data key or fault.
        text: The message, the user data's value, or what was answered.
        number: Number of the side that spoke; empty elsewhere.
        status_code: GWS status code answered to a request; None elsewhere.
        applied: Whether a request took effect.
    """

    seq: int
    at: datetime
    kind: Happening
    agent: str = ""
    session: str = ""
    name: str = ""
    text: str = ""
    number: str = ""
    status_code: int | None = None
    applied: bool = True


Listener = Callable[[Entry], None]


class Log:
    """Entries, the newest ``limit`` of them, and those who listen for more."""

    def __init__(self, clock: Clock, *, limit: int) -> None:
        self._clock = clock
        self._limit = limit
        self.entries: list[Entry] = []
        self.count = 0
        self._listeners: dict[str, dict[int, Listener]] = {}
        self._next_listener = 0

    def add(
        self,
        kind: Happening,
        *,
        agent: str = "",
        session: str = "",
        name: str = "",
        text: str = "",
        number: str = "",
        status_code: int | None = None,
        applied: bool = True,
    ) -> None:
        """Write one entry and tell the listeners of its session and of everything."""
        self.count += 1
        entry = Entry(
            seq=self.count,
            at=self._clock.now(),
            kind=kind,
            agent=agent,
            session=session,
            name=name,
            text=text,
            number=number,
            status_code=status_code,
            applied=applied,
        )
        if len(self.entries) >= self._limit:
            del self.entries[: self._limit // 2]
        self.entries.append(entry)
        for key in {"", session}:
            for listener in tuple(self._listeners.get(key, {}).values()):
                listener(entry)

    def listen(self, listener: Listener, *, session: str = "") -> Callable[[], None]:
        """Call ``listener`` with each new entry, of one session if named; return how to stop."""
        self._next_listener += 1
        token = self._next_listener
        self._listeners.setdefault(session, {})[token] = listener

        def stop() -> None:
            heard = self._listeners.get(session, {})
            heard.pop(token, None)
            if not heard:
                self._listeners.pop(session, None)

        return stop

    async def until(self, holds: Callable[[], bool], *, timeout_s: float = 5.0) -> None:
        """Return once ``holds()``, asked now and after each entry.

        Raises:
            TimeoutError: It did not hold in time.
        """
        woken = asyncio.Event()
        stop = self.listen(lambda _entry: woken.set())
        try:
            async with asyncio.timeout(timeout_s):
                while not holds():
                    await woken.wait()
                    woken.clear()
        finally:
            stop()
