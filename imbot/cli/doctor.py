"""``imbot doctor``: prints what each check finds as soon as it does, and what helps."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from imbot.cli import EXIT_INTERRUPTED
from imbot.cli.formats import Format
from imbot.cli.output import complain, has_colours, one_line
from imbot.cli.running import on_loop, system_ports
from imbot.doctor.examining import Examination, Progress, UnknownAgentError, Wish
from imbot.doctor.findings import Check, Grade, Result
from imbot.doctor.rounds import Tell
from imbot.openfiles import system_limits

if TYPE_CHECKING:
    from rich.console import Console

#: Wrong usage.
_USAGE = 2

_COLUMNS = ("grade", "check", "about", "found", "cure")
_STYLES = {
    Grade.OK: "green",
    Grade.HINT: "cyan",
    Grade.SKIPPED: "dim",
    Grade.WARNING: "yellow",
    Grade.FAILED: "bold red",
}
_GRADE_WIDTH, _CHECK_WIDTH = max(map(len, Grade)), max(map(len, Check))

#: So many agents are shown in full; of the others, one row where all is well.
_IN_FULL = 3


def examine(
    config: Path | None, options: Sequence[str], *, agents: Sequence[str], form: Format
) -> int:
    """Make all checks; return 0, 1 when one failed, or 2 for an agent that there is not.

    Args:
        config: The settings file.
        options: Settings of the command line.
        agents: Names of the only agents to look at; empty for all.
        form: For people, or JSON lines.
    """
    wish, grades = Wish(config, options, agents), Counter[Grade]()
    try:
        with _printing(form) as (tell, progress):

            def counted(result: Result) -> None:
                grades[result.finding.grade] += 1
                tell(result)

            code = on_loop(_made(wish, counted, progress))
    except UnknownAgentError as error:
        complain(f"{error}; imbot config shows which it has")
        return _USAGE
    if form is Format.TEXT:
        broken_off = "broken off after " if code == EXIT_INTERRUPTED else ""
        complain(broken_off + ", ".join(f"{grades[each]} {each}" for each in Grade if grades[each]))
    return code or int(grades[Grade.FAILED] > 0)


async def _made(wish: Wish, tell: Tell, progress: Progress) -> int:
    limits = system_limits()
    await Examination(wish, system_ports(), limits=limits, tell=tell, progress=progress).make()
    return 0


@contextmanager
def _printing(form: Format) -> Iterator[tuple[Tell, Progress]]:
    """Yield what prints a result, and what tells how many agents are through."""
    if form is Format.JSON:
        yield _print_json, _no_progress
    elif sys.stdout.isatty():
        with _on_terminal() as both:
            yield both
    else:
        print("\t".join(_COLUMNS))
        yield _print_tabbed, _no_progress


def _print_json(result: Result) -> None:
    told = dict(zip(_COLUMNS, _cells(result), strict=True))
    print(json.dumps(told | {"means": result.check.means}), flush=True)


def _print_tabbed(result: Result) -> None:
    print("\t".join(_cells(result)), flush=True)


def _cells(result: Result) -> tuple[str, ...]:
    finding = result.finding
    told = (finding.grade, result.check, result.about, finding.found, finding.cure)
    return tuple(map(one_line, told))


def _no_progress(_done: int, _of: int) -> None:
    """Tell nobody."""


@contextmanager
def _on_terminal() -> Iterator[tuple[Tell, Progress]]:
    """Yield the same for eyes: rows as they come, and what is being done below them."""
    from rich.console import Console

    console = Console(highlight=False, no_color=not has_colours(sys.stdout))
    rows = Rows(lambda cells: _print_row(console, cells))
    with console.status("looking") as status:

        def progress(done: int, of: int) -> None:
            rows.flush()
            status.update(f"{done} of {of} agents")

        try:
            yield rows.take, progress
        finally:
            rows.flush()


class Rows:
    """Results as rows for eyes: an agent's beside each other, and what is skipped in one row.

    Args:
        print_row: Takes grade, check, what was found and the cure.
    """

    def __init__(self, print_row: Callable[[Sequence[str]], None]) -> None:
        self._print = print_row
        self._held: list[Result] = []
        self._agents = 0

    def take(self, result: Result) -> None:
        """Print a result, or keep it until those that it belongs to are together."""
        if self._held and self._held[0].about != result.about:
            self.flush()
        self._held.append(result)
        if not result.about and result.finding.grade is not Grade.SKIPPED:
            self.flush()

    def flush(self) -> None:
        """Print what is kept."""
        held, self._held = self._held, []
        about = held[0].about if held else ""
        self._agents += bool(about)
        if about and self._agents > _IN_FULL:
            bad = [each for each in held if each.finding.grade is not Grade.OK]
            found = f"{one_line(about)}: {len(held) - len(bad)} checks are ok"
            self._print((Grade.OK, "agent", found, ""))
            held = bad
        for _, alike in groupby(held, _kind):
            self._print(_row(list(alike)))


def _kind(result: Result) -> object:
    """Return what results have in common that share a row: why they were skipped."""
    return result.finding if result.finding.grade is Grade.SKIPPED else result


def _row(alike: Sequence[Result]) -> tuple[str, str, str, str]:
    grade, check, about, found, cure = _cells(alike[0])
    if len(alike) > 1:
        check, found = f"{len(alike)} checks", f"{found}: {check} to {alike[-1].check}"
    return grade, check, f"{about}: {found}" if about else found, cure


def _print_row(console: "Console", cells: Sequence[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    grade, check, found, cure = cells
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_column(width=_GRADE_WIDTH)
    row.add_column(width=_CHECK_WIDTH)
    row.add_column(overflow="fold")
    row.add_row(Text(grade, style=_STYLES[Grade(grade)]), Text(check), Text(found))
    if cure:
        row.add_row("", "", Text(f"→ {cure}", style="bold"))
    console.print(row)
