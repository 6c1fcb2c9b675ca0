"""Finds, loads and checks plugins; a broken one names itself and never stops the rest.

Plugins come from the folder that ships with imbot, from entry points of the group ``imbot.plugins``
and from the settings' ``plugins.paths``, in that order.
"""

import asyncio
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any
from zlib import crc32

from pydantic import BaseModel, ValidationError

from imbot.errors import PluginError
from imbot.plugin import API_VERSION, Action, Plugin
from imbot.shipped import shipped

#: Entry points of this group name a ``plugin`` object.
GROUP = "imbot.plugins"

#: Seconds a plugin may take for its self-check.
SELF_CHECK_S = 10.0

#: Loaded files live under this name, so that a plugin never shadows an installed package.
_NAMESPACE = "imbot_plugin"


class PluginStatus(StrEnum):
    """What became of a plugin."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    FAILED_TO_LOAD = "failed to load"
    BAD_OPTIONS = "bad options"
    FAILED_SELF_CHECK = "failed self-check"


@dataclass(frozen=True, slots=True)
class Found:
    """A plugin that was found, usable or not.

    Attributes:
        name: Its name; the file's or entry point's while it has not loaded.
        origin: The file or distribution it comes from.
        status: What became of it.
        reason: Why it is not enabled; empty when it is.
        plugin: The plugin; None when it did not load.
        options: Its validated options; None without a model.
    """

    name: str
    origin: str
    status: PluginStatus
    reason: str = ""
    plugin: Plugin | None = None
    options: BaseModel | None = None

    @property
    def actions(self) -> tuple[Action[Any], ...]:
        """The actions that it declares; none while it has not loaded."""
        return () if self.plugin is None else self.plugin.actions


@dataclass(frozen=True, slots=True)
class PluginSettings:
    """What the settings say about plugins.

    Attributes:
        disabled: Names of plugins that are not to be used.
        paths: Folders with plugins of one's own.
        options: Options by plugin name.
    """

    disabled: frozenset[str] = frozenset()
    paths: tuple[Path, ...] = ()
    options: Mapping[str, Mapping[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Plugins:
    """All plugins that were found, in order."""

    found: tuple[Found, ...]

    @property
    def enabled(self) -> Iterator[Found]:
        """The plugins that may be used."""
        return (found for found in self.found if found.status is PluginStatus.ENABLED)

    @property
    def actions(self) -> dict[str, Action[Any]]:
        """Every action that rules may use, by name."""
        return {action.name: action for found in self.enabled for action in found.actions}

    @property
    def options(self) -> dict[str, BaseModel | None]:
        """The options that go with each action, by action name."""
        return {action.name: found.options for found in self.enabled for action in found.actions}

    @property
    def unavailable(self) -> dict[str, str]:
        """Why an action that is known may not be used, by action name."""
        usable = self.actions
        return {
            action.name: f"plugin {found.name} is {found.status}: {found.reason}"
            for found in self.found
            for action in found.actions
            if action.name not in usable
        }


def find_plugins(settings: PluginSettings, *, with_options: bool = True) -> Plugins:
    """Return every plugin with its status; runs no self-check.

    Args:
        settings: What the settings say.
        with_options: False takes plugins without looking at their options, as ``check`` does when
            there are no settings.
    """
    found: list[Found] = []
    for loaded in _all(settings.paths):
        found.append(_admitted(_in_conflict(loaded, found), settings, with_options=with_options))
    return Plugins(tuple(found))


async def check_plugins(plugins: Plugins) -> Plugins:
    """Return the plugins after their self-checks, all at the same time, each with a limit."""
    return Plugins(tuple(await asyncio.gather(*(_self_check(found) for found in plugins.found))))


# Finding --------------------------------------------------------------------------------------


def _all(paths: Sequence[Path]) -> Iterator[Found]:
    yield from _in_folder(shipped("plugins"))
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        yield _from_entry_point(point)
    for path in paths:
        yield from _in_folder(path)


def _in_folder(folder: Path) -> Iterator[Found]:
    if not folder.is_dir():
        told = "there is no such folder"
        yield Found(folder.name, str(folder), PluginStatus.FAILED_TO_LOAD, told)
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith(("_", ".")):
            continue
        if path.suffix == ".py":
            yield _from_file(path, path)
        elif (path / "__init__.py").is_file():
            yield _from_file(path, path / "__init__.py")


def _from_file(path: Path, code: Path) -> Found:
    def load() -> object:
        name = f"{_NAMESPACE}_{crc32(str(path.resolve()).encode()):08x}_{path.stem}"
        spec = importlib.util.spec_from_file_location(name, code)
        if spec is None or spec.loader is None:
            raise PluginError("it is no Python module")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return _plugin_of(module)

    return _loaded(path.stem, str(path), load)


def _from_entry_point(point: EntryPoint) -> Found:
    origin = f"{point.dist.name} {point.dist.version}" if point.dist else point.value

    def load() -> object:
        target = point.load()
        return _plugin_of(target) if isinstance(target, ModuleType) else target

    return _loaded(point.name, origin, load)


def _plugin_of(module: ModuleType) -> object:
    if not hasattr(module, "plugin"):
        raise PluginError("it has no 'plugin'; write plugin = Plugin('name', actions=(...,))")
    return module.plugin


def _loaded(name: str, origin: str, load: Callable[[], object]) -> Found:
    """Return the plugin, or why it did not load; a plugin's module may raise anything."""
    failed = Found(name, origin, PluginStatus.FAILED_TO_LOAD)
    try:
        plugin = load()
    except PluginError as error:
        return replace(failed, reason=str(error))
    except Exception as error:  # noqa: BLE001  somebody else's module may raise anything
        return replace(failed, reason=f"{type(error).__name__}: {error}")
    if not isinstance(plugin, Plugin):
        told = f"'plugin' is a {type(plugin).__name__}, not an imbot.plugin.Plugin"
        return replace(failed, reason=told)
    if plugin.api_version > API_VERSION:
        told = f"it needs plugin API {plugin.api_version}; this imbot has {API_VERSION}"
        return replace(failed, reason=told)
    return Found(plugin.name, origin, PluginStatus.ENABLED, plugin=plugin)


# Checking -------------------------------------------------------------------------------------


def _in_conflict(one: Found, others: Iterable[Found]) -> Found:
    """Return the plugin, failed if an earlier one has its name or one of its actions."""
    for other in others:
        if other.plugin is None or one.plugin is None:
            continue
        if other.name == one.name:
            told = f"a plugin of this name comes from {other.origin}"
            return replace(one, status=PluginStatus.FAILED_TO_LOAD, reason=told, plugin=None)
        taken = {a.name for a in other.actions} & {a.name for a in one.actions}
        if taken:
            told = f"{other.name} offers {', '.join(sorted(taken))} already"
            return replace(one, status=PluginStatus.FAILED_TO_LOAD, reason=told, plugin=None)
    return one


def _admitted(one: Found, settings: PluginSettings, *, with_options: bool) -> Found:
    """Return the plugin as the settings want it."""
    if one.status is not PluginStatus.ENABLED:
        return one
    if one.name in settings.disabled:
        return replace(one, status=PluginStatus.DISABLED, reason="listed in plugins.disabled")
    return _with_options(one, (settings.options or {}).get(one.name)) if with_options else one


def _with_options(one: Found, given: Mapping[str, Any] | None) -> Found:
    """Return the plugin with its options, or without when they are wrong."""
    model = one.plugin.options if one.plugin is not None else None
    if model is None:
        if not given:
            return one
        return replace(one, status=PluginStatus.BAD_OPTIONS, reason="it takes no options")
    try:
        return replace(one, options=model.model_validate(given or {}))
    except ValidationError as error:
        wrong = [_told(one.name, detail) for detail in error.errors(include_url=False)]
    if given is None:
        missing = f"set {', '.join(where for where, _ in wrong)} to use it"
        return replace(one, status=PluginStatus.DISABLED, reason=missing)
    reason = "; ".join(f"{where}: {what}" for where, what in wrong)
    return replace(one, status=PluginStatus.BAD_OPTIONS, reason=reason)


def _told(name: str, detail: Mapping[str, Any]) -> tuple[str, str]:
    where = ".".join(["plugins", "options", name, *map(str, detail["loc"])])
    return where, str(detail["msg"])


async def _self_check(one: Found) -> Found:
    if one.status is not PluginStatus.ENABLED or one.plugin is None:
        return one
    if one.plugin.self_check is None:
        return one
    try:
        async with asyncio.timeout(SELF_CHECK_S):
            await one.plugin.self_check(one.options)
    except TimeoutError:
        reason = f"its self-check took longer than {SELF_CHECK_S:g} s"
    except PluginError as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001  somebody else's code may raise anything
        reason = f"{type(error).__name__}: {error}"
    else:
        return one
    return replace(one, status=PluginStatus.FAILED_SELF_CHECK, reason=reason)
