"""Reloads the rules while imbot serves, in two phases: load and check, then put in force.

Whatever is wrong, the rules in force stay. The settings and the plugins are those of the start; it
is told which settings would be others after a restart.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import structlog
from pydantic import BaseModel

from imbot.engine.adopting import adopt
from imbot.engine.agenda import Agenda
from imbot.engine.flow import Flow
from imbot.errors import ConfigError, StoreError
from imbot.loading import NO_RULES
from imbot.ports import Aside
from imbot.problems import Problem, Severity
from imbot.rulebook.index import Index
from imbot.rulebook.schema import Rulebook
from imbot.settings import Settings

log = structlog.get_logger()

#: Reads the rule files: their rulebook, None with an error among them, and every problem.
Load = Callable[[], tuple[Rulebook | None, list[Problem]]]

#: Reads the settings anew; raises a ConfigError with every mistake.
LoadSettings = Callable[[], Settings]


@dataclass(frozen=True, slots=True)
class _Read:
    """What the files hold now.

    Attributes:
        book: Their rulebook; None with an error among them.
        index: Of its rules.
        problems: All of them.
        waiting: The settings that would be others after a restart.
    """

    book: Rulebook | None
    index: Index
    problems: Sequence[Problem]
    waiting: Sequence[str]


class Reloader:
    """Reloads when it is asked to, one time after another.

    Args:
        book: The rules of the start, in force already.
        load: Reads the rule files anew.
        aside: Where that is done, for it takes long.
        flow: The stages.
        agenda: What rules wait for.
        settings: Those of the start.
        load_settings: Reads them anew; None: nobody looks whether they have changed.
        settle: Called when other rules have come into force.

    Attributes:
        book: The rules in force.
    """

    def __init__(
        self,
        book: Rulebook,
        load: Load,
        aside: Aside,
        *,
        flow: Flow,
        agenda: Agenda,
        settings: Settings,
        load_settings: LoadSettings | None = None,
        settle: Callable[[], None],
    ) -> None:
        self.book = book
        self._load = load
        self._aside = aside
        self._flow = flow
        self._agenda = agenda
        self._settings = settings
        self._load_settings = load_settings
        self._settle = settle
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Let the rules be reloaded soon."""
        self._asked.set()

    async def serve(self, changes: AsyncIterator[None] | None = None) -> None:
        """Reload whenever it is asked for, or files have changed; never ends by itself.

        Raises:
            StoreError: The store failed.
        """
        watching = asyncio.create_task(self._watch(changes))
        try:
            while True:
                await self._asked.wait()
                self._asked.clear()
                await self.reload()
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    async def reload(self) -> bool:
        """Return whether the rules that the files hold now are in force.

        Raises:
            StoreError: The store failed.
        """
        try:
            read = await self._aside(self._read)
            if read.waiting:
                log.warning("reload.settings_wait", settings=list(read.waiting))
            if read.book is None or self._is_lost(read.book, read.problems):
                wrong = [each for each in read.problems if _is_grave(each)]
                log.error("reload.refused", problems=[str(each) for each in wrong])
                return False
            adopt(read.book, read.index, self._flow, self._agenda)
        except StoreError:
            raise
        except Exception as error:  # the top of a reload: whatever it is, imbot serves on
            log.exception("reload.refused", problems=[f"imbot's own error: {error!r}"])
            return False
        self._tell(self.book, read.book)
        tell_warnings(read.problems)
        self.book = read.book
        self._settle()
        return True

    def _read(self) -> _Read:
        book, problems = self._load()
        index = Index(() if book is None else book.rules)
        return _Read(book, index, problems, list(self._waiting()))

    def _waiting(self) -> Iterator[str]:
        """Yield the settings that would be others after a restart; no value, it may be secret."""
        if self._load_settings is None:
            return
        try:
            settings = self._load_settings()
        except ConfigError as error:
            log.warning("reload.settings_wrong", problems=[str(each) for each in error.problems])
            return
        yield from _changed(self._settings, settings)

    def _is_lost(self, book: Rulebook, problems: Iterable[Problem]) -> bool:
        """Whether all rule files are gone: on their way, or with their disk, and not withdrawn."""
        has_no_file = any(each.code == NO_RULES for each in problems)
        return has_no_file and not book.rules and bool(self.book.rules)

    def _tell(self, before: Rulebook, book: Rulebook) -> None:
        old = {rule.id: rule.version for rule in before.rules}
        new = {rule.id: rule.version for rule in book.rules}
        log.info(
            "reload.done",
            rules=len(new),
            added=sorted(new.keys() - old.keys()),
            changed=sorted(each for each in new.keys() & old.keys() if new[each] != old[each]),
            removed=sorted(old.keys() - new.keys()),
        )

    async def _watch(self, changes: AsyncIterator[None] | None) -> None:
        if changes is None:
            return
        try:
            async for _ in changes:
                self.ask()
        except Exception as error:  # noqa: BLE001  the top of a task; a signal still reloads
            log.warning("reload.unwatched", cause=str(error))


def tell_warnings(problems: Iterable[Problem]) -> None:
    """Log what is worth a warning in the rules that are in force from now on."""
    warnings = [str(each) for each in problems if each.severity is Severity.WARNING]
    if warnings:
        log.warning("rules.warned", problems=warnings)


def _changed(old: BaseModel, new: BaseModel, above: str = "") -> Iterator[str]:
    """Yield the dotted names of what two settings differ in."""
    theirs = dict(new)
    for name, value in old:
        yield from _differing(f"{above}{name}", value, theirs[name])


def _differing(name: str, ours: object, theirs: object) -> Iterator[str]:
    match ours, theirs:
        case (BaseModel(), BaseModel()):
            yield from _changed(ours, theirs, f"{name}.")
        case (Mapping(), Mapping()):
            for key in sorted(ours.keys() | theirs.keys()):
                if ours.get(key) != theirs.get(key):
                    yield f"{name}.{key}"
        case _:
            if ours != theirs:
                yield name


def _is_grave(problem: Problem) -> bool:
    return problem.severity is Severity.ERROR or problem.code == NO_RULES
