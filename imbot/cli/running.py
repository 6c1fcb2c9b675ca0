"""``imbot run``: the daemon on real sockets and disks."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import Any

import structlog

from imbot.app import Ports, open_app
from imbot.cli import EXIT_INTERRUPTED, EXIT_USAGE
from imbot.cli.ending import Ending, leave
from imbot.cli.output import complain
from imbot.cli.settings import load, load_and_warn
from imbot.cli.sightlog import discreetly, log_sight
from imbot.clock import SystemClock
from imbot.config import Loaded, secrets_of
from imbot.daemon import Daemon
from imbot.discretion import Discretion
from imbot.doctor import machine
from imbot.doctor.findings import Grade
from imbot.engine.secrecy import ways_to_write
from imbot.engine.watching import Watcher
from imbot.errors import ConfigError
from imbot.http import AiohttpNetwork
from imbot.loading import rule_changes, rule_secrets
from imbot.logs import configure_logs
from imbot.openfiles import make_room, system_limits
from imbot.problems import Problem
from imbot.settings import LogPart
from imbot.store.database import OnDamage, SqlStore, open_store
from imbot.systemd import Supervisor
from imbot.watchdog import Watchdog


def run(config: Path | None, options: Sequence[str], *, safe_mode: bool = False) -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit code.

    Nothing is served by a Python that leaves out what libraries check, nor with aiohttp's parser in
    Python, which takes more for HTTP than the one with which imbot is tested.

    Args:
        config: The settings file.
        options: Settings of the command line.
        safe_mode: Whether to act on nothing until somebody asks to reload.

    Raises:
        ConfigError: The settings are wrong; in safe mode that is told and nothing is raised.
        RulebookError: The rules are wrong; likewise.
        StoreError: The store failed.
    """
    for found in (machine.own_python(), machine.own_parser()):
        if found.grade is Grade.FAILED:
            complain(f"not started with this Python: {found.found}; {found.cure}")
            return EXIT_USAGE
    mistakes: Sequence[Problem] = ()
    try:
        loaded: Loaded | None = load_and_warn(config, options)
    except ConfigError as error:
        if not safe_mode:
            raise
        loaded, mistakes = None, error.problems
    part = LogPart() if loaded is None else loaded.settings.log
    discretion = Discretion()
    configure_logs(part.level, part.format, discretion=discretion)
    live = partial(_live, discretion)
    return on_loop(
        _keep_serving(lambda: load(config, options), loaded, mistakes, live=live, safe=safe_mode)
    )


async def _keep_serving(
    load_anew: Callable[[], Loaded],
    loaded: Loaded | None,
    mistakes: Sequence[Problem],
    *,
    live: Callable[..., Awaitable[None]],
    safe: bool,
) -> int:
    stop = stop_on_signal()
    asked = asyncio.Event()
    reload_on_signal(asked.set)
    clock, supervisor = SystemClock(), Supervisor(os.environ)
    daemon = Daemon(
        load_anew,
        partial(live, asked, supervisor),
        loaded,
        clock=clock,
        stop=stop,
        asked=asked,
        stands_by=supervisor.ready,
        environment=os.environ,
    )
    alive = asyncio.create_task(supervisor.keep_alive(clock), name="alive")
    try:
        return await daemon.serve(safe=safe, mistakes=mistakes, is_watched=sys.stderr.isatty())
    finally:
        supervisor.stopping()
        alive.cancel()
        await asyncio.wait([alive])


async def _live(
    discretion: Discretion,
    asked: asyncio.Event,
    supervisor: Supervisor,
    loaded: Loaded,
    load_anew: Callable[[], Loaded],
    stop: asyncio.Event,
) -> None:
    """Serve with these settings until asked to stop."""
    introduce(loaded, discretion)
    make_room(len(loaded.settings.agents), system_limits())
    ports = replace(
        system_ports(loaded.settings.store_on_damage, discretion),
        settings=lambda: load_anew().settings,
        watchdog=Watchdog,
    )
    try:
        await _serve(loaded, ports, stop, supervisor, watch=discreetly(discretion))
    finally:
        reload_on_signal(asked.set)


def introduce(loaded: Loaded, discretion: Discretion) -> None:
    """Have the log know the secrets of the settings, and the country of numbers."""
    secrets = {**rule_secrets(loaded.settings, os.environ), **secrets_of(loaded.settings)}
    discretion.hide(form for each in secrets.values() for form in ways_to_write(each))
    discretion.country = loaded.settings.country


def system_ports(on_damage: OnDamage = "stop", discretion: Discretion | None = None) -> Ports:
    """Return the machine's own clock, chance, network and disk.

    Args:
        on_damage: What becomes of a store that cannot be mended.
        discretion: Gets the key of its pseudonyms from the store.
    """
    clock = SystemClock()

    def store(url: str, base: Path) -> SqlStore:
        opened = open_store(url, clock=clock, base=base, on_damage=on_damage)
        if discretion is not None:
            discretion.key = opened.pseudonym_key
        return opened

    return Ports(
        clock=clock,
        random=SystemRandom(),
        network=lambda ca_file, allow, internal: AiohttpNetwork(
            ca_file=ca_file, allow=allow, internal=internal
        ),
        store=store,
        environment=os.environ,
        changes=rule_changes,
        settle=_settle,
    )


def _settle() -> None:
    """Let the garbage collector pass over what is in memory now.

    To look through a thousand rules takes it a tenth of a second, in which nothing is answered.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


async def _serve(
    loaded: Loaded,
    ports: Ports,
    stop: asyncio.Event,
    supervisor: Supervisor,
    *,
    watch: Watcher = log_sight,
) -> None:
    log = structlog.get_logger()
    async with open_app(loaded, ports, watch=watch) as app:
        reload_on_signal(app.reloader.ask)
        rules = app.rulebook.rules
        in_shadow = sum(rule.shadow for rule in rules)
        log.info("imbot.started", agents=len(app.agents), rules=len(rules), in_shadow=in_shadow)
        supervisor.ready(f"{len(app.agents)} agents, {len(rules)} rules")
        await app.run(stop)
        supervisor.stopping()
    log.info("imbot.stopped")


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


def reload_on_signal(ask: Callable[[], None]) -> None:
    """Let each SIGHUP ask to reload from now on, where there is such a signal."""
    if sys.platform != "win32":
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, ask)


def on_loop(work: Coroutine[Any, Any, int]) -> int:
    """Return the exit code of a coroutine, run on the fastest event loop that is installed."""
    runner, ending = asyncio.Runner(loop_factory=_loop_factory()), Ending()
    try:
        code = runner.run(ending.after(work))
    except (KeyboardInterrupt, asyncio.CancelledError):
        code = EXIT_INTERRUPTED
    finally:
        if ending.is_whole:
            runner.close()
        gc.unfreeze()
    if not ending.is_whole:
        leave(code)
    return code


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
