"""Finds, loads and checks plugins; a broken one names itself and never stops the rest.

Plugins come from the folder that ships with imbot, from entry points of the group ``imbot.plugins``
and from the settings' ``plugins.paths``, in that order: each module runs once, when it is found.
"""

import asyncio
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, cast
from zlib import crc32

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from imbot.errors import PluginError
from imbot.model import JSON
from imbot.plugin import API_VERSION, Action, Plugin
from imbot.problems import Place, Problem, Severity, did_you_mean
from imbot.settings import Spelled
from imbot.shipped import shipped
from imbot.strangers import Strangers

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
        faults: What is wrong with the options that it was given.
    """

    name: str
    origin: str
    status: PluginStatus
    reason: str = ""
    plugin: Plugin | None = None
    options: BaseModel | None = None
    faults: tuple[Problem, ...] = ()

    @property
    def is_broken(self) -> bool:
        """Whether it should work and does not."""
        return self.status not in (PluginStatus.ENABLED, PluginStatus.DISABLED)

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
        options: Options by plugin name; secrets wrapped, numbers perhaps :class:`Spelled`.
    """

    disabled: frozenset[str] = frozenset()
    paths: tuple[Path, ...] = ()
    options: Mapping[str, Mapping[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Plugins:
    """All plugins that were found, in order.

    Attributes:
        found: The plugins.
        warnings: What is wrong in the settings about plugins; each stands at the setting's path.
    """

    found: tuple[Found, ...]
    warnings: tuple[Problem, ...] = ()

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
    def modules(self) -> dict[str, str]:
        """The plugin that each module with one of its actions belongs to, by the module's name."""
        return {
            action.run.__module__: found.name for found in self.enabled for action in found.actions
        }

    @property
    def unavailable(self) -> dict[str, str]:
        """Why an action that is known may not be used, by action name.

        What a plugin that did not load offers nobody knows; its own name stands for that.
        """
        usable = self.actions
        return {
            name: f"plugin {found.name}: {found.status}: {found.reason}"
            for found in reversed(self.found)
            if found.status is not PluginStatus.ENABLED
            for name in ([action.name for action in found.actions] or [found.name])
            if name not in usable
        }


def find_plugins(settings: PluginSettings, *, with_options: bool = True) -> Plugins:
    """Return every plugin with its status; runs no self-check.

    Args:
        settings: What the settings say.
        with_options: False takes plugins without looking at their options, as ``check`` does when
            there are no settings.
    """
    found: list[Found] = []
    for one in _all(settings.paths):
        found.append(_admitted(one, found, settings, with_options=with_options))
    wrong = [fault for one in found for fault in one.faults]
    return Plugins(tuple(found), (*_unknown(settings, [one.name for one in found]), *wrong))


async def check_plugins(plugins: Plugins) -> Plugins:
    """Return the plugins after their self-checks, all at the same time, each with a limit."""
    checked = await asyncio.gather(*(_self_checked(found) for found in plugins.found))
    return replace(plugins, found=tuple(checked))


# Finding --------------------------------------------------------------------------------------


def _all(paths: Sequence[Path]) -> Iterator[Found]:
    ours = shipped("plugins")
    yield from _in_folder(ours)
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        yield _from_entry_point(point)
    # In a checkout `plugins/` is the folder that ships.
    for path in dict.fromkeys(path for path in paths if path.resolve() != ours.resolve()):
        yield from _in_folder(path)


def _in_folder(folder: Path) -> Iterator[Found]:
    """Yield the plugins of a folder: modules and packages whose names begin with no _ or dot."""
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        told = f"this folder of plugins cannot be read: {error.strerror}"
        yield Found(folder.name, str(folder), PluginStatus.FAILED_TO_LOAD, told)
        return
    for path in paths:
        if path.name.startswith(("_", ".")):
            continue
        if path.suffix == ".py":
            yield _from_file(path, path)
        elif (path / "__init__.py").is_file():
            yield _from_file(path, path / "__init__.py")


def _from_file(path: Path, code: Path) -> Found:
    def load() -> object:
        name = f"{_NAMESPACE}_{crc32(str(path.resolve()).encode()):08x}_{path.stem}"
        loader = SourceFileLoader(name, str(code))
        spec = spec_from_file_location(name, code, loader=loader)
        module = module_from_spec(cast("ModuleSpec", spec))  # with a loader given there is one
        sys.modules[name] = module
        try:
            loader.exec_module(module)
        except BaseException:
            sys.modules.pop(name, None)  # as Python's own import does
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
        told = "it has no 'plugin'; write plugin = Plugin('name', actions=(...,)), or begin the"
        raise PluginError(f"{told} name of a file that is none with _")
    return module.plugin


def _loaded(name: str, origin: str, load: Callable[[], object]) -> Found:
    """Return the plugin, or why it did not load."""
    failed = Found(name, origin, PluginStatus.FAILED_TO_LOAD)
    try:
        plugin = load()
    except PluginError as error:
        return replace(failed, reason=str(error))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  somebody else's module
        return replace(failed, reason=_why(error))
    if not isinstance(plugin, Plugin):
        told = f"'plugin' is a {type(plugin).__name__}, not an imbot.plugin.Plugin"
        return replace(failed, reason=told)
    if plugin.api_version > API_VERSION:
        told = f"it needs plugin API {plugin.api_version}; this imbot has {API_VERSION}"
        return replace(failed, reason=told)
    return Found(plugin.name, origin, PluginStatus.ENABLED, plugin=plugin)


def _why(error: BaseException) -> str:
    """Return what somebody else's code raised, and where."""
    told = f"{type(error).__name__}: {error}".removesuffix(": ")
    if isinstance(error, SyntaxError):
        return told
    frames = traceback.extract_tb(error.__traceback__)
    last = [frame for frame in frames if not frame.filename.startswith("<frozen")][-1]
    return f"{told} ({last.filename}:{last.lineno})"


# Admitting ------------------------------------------------------------------------------------


def _admitted(
    one: Found, earlier: Iterable[Found], settings: PluginSettings, *, with_options: bool
) -> Found:
    """Return a plugin that has loaded as the settings, and those before it, want it."""
    if one.plugin is None or one.status is not PluginStatus.ENABLED:
        return one
    if one.name in settings.disabled:
        return replace(one, status=PluginStatus.DISABLED, reason="listed in plugins.disabled")
    if conflict := _conflict(one, earlier):
        return replace(one, status=PluginStatus.FAILED_TO_LOAD, reason=conflict)
    if not with_options:
        return one
    return _with_options(one, one.plugin.options, (settings.options or {}).get(one.name))


def _conflict(one: Found, earlier: Iterable[Found]) -> str:
    """Return why the plugin cannot stand beside those in use before it; empty when it can."""
    offered = {action.name for action in one.actions}
    for other in earlier:
        if other.status in (PluginStatus.DISABLED, PluginStatus.FAILED_TO_LOAD):
            continue
        if other.name == one.name:
            return f"a plugin of this name comes from {other.origin}"
        if taken := offered.intersection(action.name for action in other.actions):
            return f"the plugin {other.name} offers {', '.join(sorted(taken))} already"
    return ""


def _unknown(settings: PluginSettings, known: Sequence[str]) -> Iterator[Problem]:
    """Yield a warning for each plugin that the settings name and that is not there."""
    named = [(f"plugins.options.{name}", name) for name in settings.options or {}]
    named += [(f"plugins.disabled.{name}", name) for name in sorted(settings.disabled)]
    for where, name in named:
        if name not in known:
            what, cure = f"there is no plugin '{name}'", did_you_mean(name, known)
            yield Problem(Place(where), "unknown-plugin", what, cure, Severity.WARNING)


# Options --------------------------------------------------------------------------------------


def _with_options(
    one: Found, model: type[BaseModel] | None, given: Mapping[str, Any] | None
) -> Found:
    """Return the plugin with its options, or without when they are wrong or missing."""
    if model is None:
        if not given:
            return one
        where = f"plugins.options.{one.name}"
        return _bad(one, "it takes no options", [_fault(where, f"{where}: it takes no options")])
    try:
        return replace(one, options=model.model_validate(_written(given or {}, model)))
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False, include_context=False)
    prefix = f"plugins.options.{one.name}"
    if given is None:
        missing = ", ".join(_dotted(prefix, detail) for detail in details)
        return replace(one, status=PluginStatus.DISABLED, reason=f"set {missing} to use it")
    faults = [_told(_dotted(prefix, detail), detail, model) for detail in details]
    reason = "; ".join("; ".join(filter(None, (each.what, each.cure))) for each in faults)
    return _bad(one, reason, faults)


def _bad(one: Found, reason: str, faults: Sequence[Problem]) -> Found:
    return replace(one, status=PluginStatus.BAD_OPTIONS, reason=reason, faults=tuple(faults))


def _fault(where: str, what: str, cure: str = "") -> Problem:
    return Problem(Place(where), "bad-options", what, cure, Severity.WARNING)


def _written(given: Mapping[str, Any], model: type[BaseModel]) -> JSON:
    """Return options as the model is to see them: secrets laid open, numbers as they are due."""
    try:
        model.model_validate(_laid_open(given, (), ()), strict=True)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False, include_context=False)
        texts = [detail["loc"] for detail in details if detail["type"] == "string_type"]
        return _laid_open(given, (), texts)
    return _laid_open(given, (), ())


def _laid_open(
    value: object, path: tuple[int | str, ...], texts: Sequence[tuple[int | str, ...]]
) -> JSON:
    """Return a value with its secrets in clear and its numbers plain, as spelled at ``texts``."""
    if isinstance(value, Mapping):
        return {key: _laid_open(item, (*path, key), texts) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_laid_open(item, (*path, i), texts) for i, item in enumerate(value)]
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Spelled):
        # A location goes on with the names of a union's branches.
        is_text = any(text[: len(path)] == path for text in texts)
        return value.text if is_text else value.number
    return value


def _dotted(prefix: str, detail: ErrorDetails) -> str:
    return ".".join([prefix, *map(str, detail["loc"])])


def _told(where: str, detail: ErrorDetails, model: type[BaseModel]) -> Problem:
    """Return what is wrong with one option, and the cure."""
    if detail["type"] == "missing":
        return _fault(where, f"{where} is missing")
    if detail["type"] == "extra_forbidden":
        known = [field.alias or name for name, field in model.model_fields.items()]
        return _fault(where, f"{where} is no option", did_you_mean(str(detail["loc"][-1]), known))
    what, _, cure = detail["msg"].removeprefix("Value error, ").partition("; ")
    return _fault(where, f"{where}: {what}", cure)


# Self-checks ----------------------------------------------------------------------------------


async def _self_checked(one: Found) -> Found:
    """Return the plugin, failed if its self-check says so, raises anything or takes too long."""
    check = one.plugin.self_check if one.plugin is not None else None
    if check is None or one.status is not PluginStatus.ENABLED:
        return one
    try:
        reason = await Strangers().run(
            f"{one.name}.self_check", SELF_CHECK_S, _fault_of(check, one)
        )
    except TimeoutError:
        reason = f"its self-check took longer than {SELF_CHECK_S:g} s"
    if not reason:
        return one
    return replace(one, status=PluginStatus.FAILED_SELF_CHECK, reason=reason)


async def _fault_of(check: Callable[[Any], Awaitable[None]], one: Found) -> str:
    """Return why a plugin's self-check fails; empty when it does not."""
    try:
        await check(one.options)
    except PluginError as error:
        return str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001  somebody else's code
        return _why(error)
    return ""
