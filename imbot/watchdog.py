"""Watches this process from a thread of its own: a loop that stands still, memory that grows.

A plugin that computes or sleeps for long keeps every agent waiting. While it does so, only another
thread can say where. It mends nothing: what is blocked goes on when it is done.
"""

import asyncio
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

import structlog

#: The loop is to come round so often, in seconds; the thread looks as often.
BEAT_S = 0.25

#: An event loop that has not come round for so many seconds is blocked.
BLOCKED_S = 1.0

#: A block is told for so many seconds after it is over, and so is the worst lag.
TOLD_S = 60.0

#: What memory may grow to: so many times what it was at its highest in the first hour, and more ...
GROWN_TIMES, GROWN_MIB = 2, 256

#: ... which is the time in which rules, connections and caches take their places.
WARM_UP_S = 3_600.0

#: Frames of a stack that are told, the innermost ones.
_FRAMES = 25

_MIB = 1024 * 1024

log = structlog.get_logger()


class Growth:
    """Says once, and at each further doubling, that memory has grown too far. Pure."""

    def __init__(self) -> None:
        self._began_at: float | None = None
        self._base_mib = 0
        self._limit_mib = 0
        self.told = ""

    def note(self, rss_mib: int, at: float) -> bool:
        """Take in how much there is; return whether this is to be told now."""
        self._began_at = at if self._began_at is None else self._began_at
        if at - self._began_at < WARM_UP_S:
            self._base_mib = max(self._base_mib, rss_mib)
            self._limit_mib = GROWN_TIMES * self._base_mib + GROWN_MIB
            return False
        if rss_mib <= self._limit_mib:
            self.told = self.told if rss_mib > self._base_mib + GROWN_MIB else ""
            return False
        self._limit_mib = 2 * rss_mib
        self.told = f"memory has grown from {self._base_mib} to {rss_mib} MiB"
        return True


class Watchdog:
    """Watches the running event loop while its ``with`` block runs.

    Args:
        plugins: The plugin that each module belongs to, to name who blocks.
        clock: Monotonic seconds; not the loop's own, which stand still with it.
        rss_mib: Tells how much memory there is; 0 where nobody knows.
    """

    def __init__(
        self,
        plugins: Mapping[str, str],
        *,
        clock: Callable[[], float] = time.monotonic,
        rss_mib: Callable[[], int] | None = None,
    ) -> None:
        self._plugins = plugins
        self._clock = clock
        self._rss_mib = rss_mib or resident_mib
        self._growth = Growth()
        self._stopping = threading.Event()
        self._beat_at = clock()
        self._worst: tuple[float, float] = (0.0, self._beat_at)
        self._blocked = ""
        self._blocked_until = -TOLD_S
        self._loop: asyncio.AbstractEventLoop | None = None
        self._beating: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._beat()
        watched = threading.get_ident()
        self._thread = threading.Thread(
            target=self._watch, args=(watched,), name="imbot-watchdog", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        if self._beating is not None:
            self._beating.cancel()
        if self._thread is not None:
            self._thread.join(timeout=BEAT_S * 4)

    @property
    def lag_s(self) -> float:
        """The worst that the loop was late within the last minute."""
        lag_s, at = self._worst
        return lag_s if self._clock() - at < TOLD_S else 0.0

    @property
    def reasons(self) -> Sequence[str]:
        """What is wrong with this process; empty when nothing is."""
        is_recent = self._clock() - self._blocked_until < TOLD_S
        blocked = self._blocked if is_recent else ""
        return [reason for reason in (blocked, self._growth.told) if reason]

    # On the event loop ------------------------------------------------------------------------

    def _beat(self) -> None:
        now = self._clock()
        lag_s = max(0.0, now - self._beat_at - BEAT_S)
        if lag_s >= self.lag_s:
            self._worst = lag_s, now
        self._beat_at = now
        if self._loop is not None:
            self._beating = self._loop.call_later(BEAT_S, self._beat)

    # On the thread ----------------------------------------------------------------------------

    def _watch(self, watched: int) -> None:
        blocked_at = 0.0
        while not self._stopping.wait(BEAT_S):
            now, beat_at = self._clock(), self._beat_at
            if blocked_at and beat_at > blocked_at:
                self._note_free(beat_at - blocked_at)
                blocked_at = 0.0
            elif not blocked_at and now - beat_at > BLOCKED_S + BEAT_S:
                blocked_at = beat_at
                self._note_block(sys._current_frames().get(watched))  # noqa: SLF001  documented by Python
            if blocked_at:
                self._blocked_until = now
            if self._growth.note(self._rss_mib(), now):
                log.warning("process.memory_grown", cause=self._growth.told)

    def _note_block(self, frame: FrameType | None) -> None:
        """Say where the loop stands still, as long as it does."""
        plugin = _plugin_of(frame, self._plugins)
        by = f" by the plugin {plugin}" if plugin else ""
        self._blocked = f"the event loop was blocked{by}"
        stack = "".join(traceback.format_stack(frame, _FRAMES)) if frame else ""
        log.error("process.blocked", plugin=plugin, seconds=BLOCKED_S, stack=stack)

    def _note_free(self, seconds: float) -> None:
        self._blocked += f" for {seconds:.1f} s"
        log.warning("process.free", seconds=round(seconds, 1))


def _plugin_of(frame: FrameType | None, plugins: Mapping[str, str]) -> str:
    """Return the plugin whose code is on the stack, the innermost; empty for none."""
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if plugin := plugins.get(module):
            return plugin
        frame = frame.f_back
    return ""


def resident_mib() -> int:
    """Return the resident memory of this process; 0 where the system does not tell."""
    with suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") // _MIB
    return 0
