"""``imbot run``: the daemon on real sockets and disks."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from random import SystemRandom
from typing import Any

import structlog

from imbot.app import App, Ports, open_app
from imbot.cli import EXIT_INTERRUPTED
from imbot.cli.settings import load, load_and_warn
from imbot.cli.sightlog import log_sight
from imbot.clock import SystemClock
from imbot.config import Loaded
from imbot.http import AiohttpNetwork
from imbot.loading import rule_changes
from imbot.logs import configure_logs
from imbot.openfiles import make_room, system_limits
from imbot.store.database import open_store
from imbot.watchdog import Watchdog


def run(config: Path | None, options: Sequence[str]) -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit code."""
    loaded = load_and_warn(config, options)
    configure_logs(loaded.settings.log.level, loaded.settings.log.format)
    make_room(len(loaded.settings.agents), system_limits())
    ports = replace(
        system_ports(), settings=lambda: load(config, options).settings, watchdog=Watchdog
    )
    return on_loop(_serve(loaded, ports))


def system_ports() -> Ports:
    """Return the machine's own clock, chance, network and disk."""
    clock = SystemClock()
    return Ports(
        clock=clock,
        random=SystemRandom(),
        network=lambda ca_file, allow: AiohttpNetwork(ca_file=ca_file, allow=allow),
        store=lambda url, base: open_store(url, clock=clock, base=base),
        environment=os.environ,
        changes=rule_changes,
    )


async def _serve(loaded: Loaded, ports: Ports) -> int:
    log = structlog.get_logger()
    stop = stop_on_signal()
    async with open_app(loaded, ports, watch=log_sight) as app:
        reload_on_signal(app)
        rules = app.rulebook.rules
        in_shadow = sum(rule.shadow for rule in rules)
        log.info("imbot.started", agents=len(app.agents), rules=len(rules), in_shadow=in_shadow)
        await app.run(stop)
    log.info("imbot.stopped")
    return 0


def stop_on_signal() -> asyncio.Event:
    """Return an event that the first SIGTERM or Ctrl-C sets; the second cancels this task."""
    stop = asyncio.Event()
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()

    def asked() -> None:
        if stop.is_set() and task is not None:
            task.cancel()
        stop.set()

    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, asked)
    return stop


def reload_on_signal(app: App) -> None:
    """Let each SIGHUP reload the rules, where there is such a signal."""
    if sys.platform != "win32":
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, app.reloader.ask)


def on_loop(work: Coroutine[Any, Any, int]) -> int:
    """Return the exit code of a coroutine, run on the fastest event loop that is installed."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            return runner.run(work)
        except (KeyboardInterrupt, asyncio.CancelledError):
            return EXIT_INTERRUPTED


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
