"""Finds the files that test rules, plays every test in them, and judges what came of it.

Files, rules and plugins are read here; a test itself touches nothing outside.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from os.path import normpath
from pathlib import Path

from imbot.engine.acting import Habits, Installed
from imbot.loading import NO_RULES, Wanted, installed, make_rulebook
from imbot.pluginhost import PluginSettings, PluginStatus, find_plugins
from imbot.problems import Place, Problem, Severity, did_you_mean
from imbot.rulebook.loader import TEST_SUFFIXES
from imbot.rulebook.schema import Rulebook
from imbot.testing.comparing import Line, compare
from imbot.testing.coverage import Coverage
from imbot.testing.playing import Setting, Trouble, play
from imbot.testing.reasons import Witness
from imbot.testing.script import Reloaded, RuleTest, Script
from imbot.testing.script_reading import LIMITS, START, plugin_folders, read_script

_RULE_SUFFIXES = (".yaml", ".yml")

#: Folders that hold other people's files.
_FOREIGN = frozenset({"node_modules", "__pycache__"})


@dataclass(frozen=True, slots=True)
class Given:
    """What the tests are run with.

    Attributes:
        wanted: What rulebooks are checked against.
        plugins: What the settings say about plugins.
        habits: Settings of acting.
        rules: Where the rules are whose test does not say.
    """

    wanted: Wanted
    plugins: PluginSettings = field(default_factory=PluginSettings)
    habits: Habits = field(default_factory=Habits)
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one test.

    Attributes:
        path: The test file.
        test: The test.
        lines: Expectations and effects.
        troubles: What could not be brought about.
        reasons: Why something did not come, by the number of its line.
    """

    path: str
    test: RuleTest
    lines: tuple[Line, ...]
    troubles: tuple[Trouble, ...] = ()
    reasons: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    @property
    def has_passed(self) -> bool:
        """Whether everything came, and nothing else."""
        wrong = any(line.is_missing or line.is_unexpected for line in self.lines)
        return not wrong and not self.troubles


@dataclass(frozen=True, slots=True)
class Report:
    """What came of all tests.

    Attributes:
        results: Of each test, in order.
        problems: Mistakes in test files and in the rules that they name.
        coverage: What the tests have seen of conditions; None when nobody asked.
    """

    results: tuple[Result, ...]
    problems: tuple[Problem, ...] = ()
    coverage: Coverage | None = None

    @property
    def has_passed(self) -> bool:
        """Whether every test has passed, and every file could be read."""
        return not self.problems and all(result.has_passed for result in self.results)


# Files ----------------------------------------------------------------------------------------


def test_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield every test file that the paths name, and that lies anywhere below their folders."""
    for path in paths:
        if path.is_dir():
            yield from sorted(found for found in path.rglob("*") if _is_test(found, path))
        elif path.name.endswith(TEST_SUFFIXES):
            yield path


test_files.__test__ = False  # type: ignore[attr-defined]  # pytest takes it for a test of imbot's


def _is_test(path: Path, root: Path) -> bool:
    folders = path.relative_to(root).parts[:-1]
    is_foreign = any(name.startswith(".") or name in _FOREIGN for name in folders)
    return path.name.endswith(TEST_SUFFIXES) and not is_foreign and path.is_file()


def rules_among(paths: Iterable[Path]) -> tuple[str, ...]:
    """Return the rule files that the paths name, and the folders in which there are some."""
    return tuple(normpath(path) for path in paths if _holds_rules(path))


def _holds_rules(path: Path) -> bool:
    return any(map(_holds_rules, _files_in(path))) if path.is_dir() else _is_rule_file(path)


def _files_in(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if not path.is_dir())


def _is_rule_file(path: Path) -> bool:
    return path.suffix in _RULE_SUFFIXES and not path.name.endswith(TEST_SUFFIXES)


# Running --------------------------------------------------------------------------------------


def run_tests(
    paths: Iterable[Path], given: Given, *, word: str = "", with_coverage: bool = False
) -> Report:
    """Play every test of these files whose name, or whose file's, holds a word.

    Raises:
        OSError: A test file cannot be read.
    """
    runner = _Runner(given, Coverage() if with_coverage else None)
    for path in paths:
        runner.run(path, word)
    problems = tuple(dict.fromkeys(runner.problems))
    return Report(tuple(runner.results), problems, runner.coverage)


@dataclass(slots=True)
class _Runner:
    """Runs file after file; rulebooks that several name are loaded once."""

    given: Given
    coverage: Coverage | None
    results: list[Result] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    _books: dict[tuple[str, ...], Rulebook | None] = field(default_factory=dict)

    def run(self, path: Path, word: str) -> None:
        """Play the tests of one file."""
        with path.open("rb") as file:
            text = file.read(LIMITS.size_bytes + 1)
        runner = self
        if folders := plugin_folders(str(path), text):
            given = self._with_plugins(folders, Place(str(path)))
            runner = _Runner(given, self.coverage, self.results, self.problems)
        runner.play(path, text, word)

    def play(self, path: Path, text: bytes, word: str) -> None:
        """Play the tests of what a file holds."""
        script, problems = read_script(str(path), text, self.given.wanted.plugins.actions)
        self.problems += problems
        if script is None:
            return
        wanted = word.casefold()
        chosen = [t for t in script.tests if wanted in f"{path} {t.name}".casefold()]
        if not chosen:
            return
        setting = self._setting(script, chosen)
        if setting is not None:
            self.results += (self._result(script, test, setting) for test in chosen)

    def _result(self, script: Script, test: RuleTest, setting: Setting) -> Result:
        observers = () if self.coverage is None else (self.coverage,)
        played = play(test, setting, observers)
        lines = compare(test, played)
        missing = {number: line.expected for number, line in enumerate(lines) if line.is_missing}
        reasons = {}
        if missing:
            actions = frozenset(each.action for each in missing.values() if each)
            witness = Witness(actions, setting.books[()].rules)
            play(test, setting, (witness,))
            reasons = {n: witness.why(each, lines) for n, each in missing.items() if each}
        return Result(script.path, test, lines, played.troubles, reasons)

    # What a file needs ------------------------------------------------------------------------

    def _with_plugins(self, folders: Sequence[str], place: Place) -> Given:
        """Return what tests are run with that need plugins of their own."""
        given = self.given
        settings = replace(given.plugins, paths=(*given.plugins.paths, *map(Path, folders)))
        found = find_plugins(settings, with_options=False)
        self.problems += (
            Problem(place, "unknown-plugin", f"plugin {one.name} ({one.origin}): {one.reason}")
            for one in found.found
            if one.plugin is None
        )
        return replace(given, wanted=replace(given.wanted, plugins=found), plugins=settings)

    def _setting(self, script: Script, tests: Sequence[RuleTest]) -> Setting | None:
        """Return what the tests of a file are played in; None where that cannot be had."""
        first = script.rules or self.given.rules or (normpath(Path(script.path).parent),)
        events = (timed for test in tests for timed in test.events)
        reloaded = {
            timed.what.paths: timed.place for timed in events if isinstance(timed.what, Reloaded)
        }
        day = min((test.start for test in tests), default=START).date()
        books = {
            paths: self._book(paths, day, dict.fromkeys(paths, place))
            for paths, place in reloaded.items()
        }
        books[()] = self._book(first, day, script.rules_at)
        usable = self._usable(script)
        found = {name: book for name, book in books.items() if book is not None}
        if usable is None or len(found) < len(books):
            return None
        wanted = self.given.wanted
        return Setting(
            books=found,
            usable=usable,
            nickname=script.nickname,
            secrets=_StandIns(script.secrets),
            timezone=wanted.timezone,
            country=wanted.country,
            habits=self.given.habits,
        )

    def _book(
        self, paths: tuple[str, ...], day: date, named_at: Mapping[str, Place]
    ) -> Rulebook | None:
        """Return the rulebook of these paths; None, and its errors, when it has some.

        A path that leads nowhere is a mistake of whoever names it, at its place.
        """
        if paths not in self._books:
            book, problems = make_rulebook(map(Path, paths), self.given.wanted, today=day)
            self.problems += (
                replace(each, place=named_at.get(each.place.path, each.place))
                if each.code == NO_RULES
                else each
                for each in problems
                if each.severity is Severity.ERROR
            )
            if book is not None and self.coverage is not None:
                book = self.coverage.watched(book)
            self._books[paths] = book
        return self._books[paths]

    def _usable(self, script: Script) -> dict[str, Installed] | None:
        """Return the actions with their plugins' options, those of the test file first."""
        usable = installed(self.given.wanted.plugins)
        if not script.options and not script.plugins:
            return usable
        settings = self.given.plugins
        options = {**(settings.options or {}), **script.options}
        found = find_plugins(replace(settings, options=options))
        names = {one.name for one in found.found}
        place = Place(script.path)
        problems = [
            Problem(place, "unknown-plugin", f"no plugin '{name}'", did_you_mean(name, names))
            for name in script.options
            if name not in names
        ]
        problems += (
            Problem(place, "bad-options", f"options.{one.name}: {one.reason}")
            for one in found.found
            if one.name in script.options and one.status is PluginStatus.BAD_OPTIONS
        )
        self.problems += problems
        return None if problems else {**usable, **installed(found)}


@dataclass(frozen=True)
class _StandIns(Mapping[str, str]):
    """Secrets for tests: what the test says, and for any other name an address that is none."""

    given: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.given.get(name, f"https://{name.lower().replace('_', '-')}.test")

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __iter__(self) -> Iterator[str]:
        return iter(self.given)

    def __len__(self) -> int:
        return len(self.given)
