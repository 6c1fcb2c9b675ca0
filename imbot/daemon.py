"""The daemon: one life of imbot after the other, standing by in between, from start to end.

A life is :class:`imbot.app.App` from its start to its stop. Between lives nothing is connected.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import structlog

from imbot.admin.site import Site, site_of
from imbot.clock import Clock
from imbot.config import Loaded
from imbot.errors import ConfigError, RulebookError, StoreDamagedError, StoreFullError
from imbot.loading import (
    Wanted,
    plugin_settings,
    require_rulebook,
    rule_changes,
    rule_paths,
    rule_secrets,
)
from imbot.pluginhost import check_plugins, find_plugins
from imbot.problems import Problem
from imbot.settings import AdminPart
from imbot.standby import Standby, stand_by
from imbot.starts import CRASHES, WITHIN, Starts
from imbot.store.database import store_path
from imbot.store.lock import is_used
from imbot.store.reserve import has_room

log = structlog.get_logger()

#: How much of why it stands by is told in a few words.
_STATUS_CHARS = 200

#: Reads the settings; raises a ConfigError with every mistake.
Load: TypeAlias = Callable[[], Loaded]

#: Serves with settings, and with what reads them anew, until asked to stop.
Live: TypeAlias = Callable[[Loaded, Load, asyncio.Event], Awaitable[None]]


class Daemon:
    """Serves, or stands by.

    Args:
        load: Reads the settings anew, when somebody asks to reload while it stands by.
        live: One life.
        loaded: The settings of the start; None when they are wrong.
        clock: Tells when.
        stop: Set when it is to stop.
        asked: Set when somebody asks to reload while it stands by.
        stands_by: Told in a few words each time that it begins to stand by.
        environment: Variables, for secrets folders.
    """

    def __init__(
        self,
        load: Load,
        live: Live,
        loaded: Loaded | None,
        *,
        clock: Clock,
        stop: asyncio.Event,
        asked: asyncio.Event,
        stands_by: Callable[[str], None],
        environment: Mapping[str, str],
    ) -> None:
        self._load = load
        self._live = live
        self._loaded = loaded
        self._clock = clock
        self._stop = stop
        self._asked = asked
        self._stands_by = stands_by
        self._environment = environment

    async def serve(self, *, safe: bool, is_watched: bool, mistakes: Sequence[Problem] = ()) -> int:
        """Return the exit code, once it was asked to stop.

        Args:
            safe: Whether to act on nothing until somebody asks to reload.
            is_watched: Whether a person sees how it ends; then crashes before count for nothing.
            mistakes: What is wrong with the settings, if so.

        Raises:
            ImbotError: Why it cannot serve, unless it stands by for that reason.
        """
        starts = Starts(self._own_store())
        crashes = starts.begin(self._clock.now())
        why = None
        if safe:
            why = self._safe(["it was started with --safe-mode", *map(str, mistakes)])
        elif crashes >= CRASHES and not is_watched:
            minutes = WITHIN.total_seconds() / 60
            why = self._safe(
                [f"{crashes} starts within {minutes:.0f} minutes did not end in order"]
            )
        try:
            await self._serve(why)
        except asyncio.CancelledError:
            starts.end()
            raise
        starts.end()
        return 0

    async def _serve(self, why: Standby | None) -> None:
        if why is not None and self._loaded is not None:
            why = self._safe([*why.reasons, *await self._mistakes(self._loaded)])
        has_stood_by = False
        while not self._stop.is_set():
            try:
                if why is not None:
                    has_stood_by = True
                    await self._stand_by(why)
                    why = None
                elif self._loaded is not None:
                    await self._live(self._loaded, self._load, self._stop)
            except StoreFullError as error:
                why = self._full(error)
            except StoreDamagedError as error:
                why = self._safe([str(error)])
            except (ConfigError, RulebookError) as error:
                if not has_stood_by:
                    raise
                why = self._safe([str(problem) for problem in error.problems])

    async def _stand_by(self, why: Standby) -> None:
        """Act on nothing until there may be a way to go on; read the settings anew then.

        Raises:
            ConfigError: They are wrong.
        """
        loaded = self._loaded
        self._stands_by(f"{why.status}: {', '.join(why.reasons)}"[:_STATUS_CHARS])
        await stand_by(
            why,
            site=Site(AdminPart().listen) if loaded is None else site_of(loaded),
            clock=self._clock,
            stop=self._stop,
            asked=self._asked,
            changes=None if loaded is None else rule_changes(rule_paths(loaded)),
        )
        if not self._stop.is_set():
            self._loaded = self._load()

    async def _mistakes(self, loaded: Loaded) -> list[str]:
        """Return what is wrong with the rules, without beginning anything."""
        try:
            plugins = await check_plugins(find_plugins(plugin_settings(loaded)))
            secrets = rule_secrets(loaded.settings, self._environment)
            wanted = Wanted.by(loaded.settings, plugins, secrets)
            require_rulebook(loaded, wanted, today=self._clock.now().date())
        except (ConfigError, RulebookError) as error:
            return [str(problem) for problem in error.problems]
        return []

    def _own_store(self) -> Path | None:
        """Return where the store is; None for nowhere, or where another imbot works on it."""
        if self._loaded is None:
            return None
        path = store_path(self._loaded.settings.store, self._loaded.base)
        return None if path is None or is_used(path) else path

    def _safe(self, reasons: Sequence[str]) -> Standby:
        return Standby("safe-mode", reasons, self._agents)

    def _full(self, error: StoreFullError) -> Standby:
        loaded = self._loaded
        path = None if loaded is None else store_path(loaded.settings.store, loaded.base)
        room = None if path is None else partial(has_room, path)
        return Standby("critical", [str(error)], self._agents, room)

    @property
    def _agents(self) -> int:
        return 0 if self._loaded is None else len(self._loaded.settings.agents)
