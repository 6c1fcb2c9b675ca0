"""Tables for people, on a terminal or not, and the same figures as JSON."""

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measuring import Rounds, Spread

#: Stands for what was not measured.
NONE = "-"


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it is printed.

    Attributes:
        title: What was measured.
        columns: Heads; the first names the rows.
        rows: Cells.
        notes: How to read it, one sentence each.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure beside what it should be.

    Attributes:
        what: The goal, with its unit.
        limit: The bound.
        measured: What came out.
        at_least: Whether the bound is from below.
    """

    what: str
    limit: float
    measured: float
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether it is kept."""
        if self.at_least:
            return self.measured >= self.limit
        return self.measured <= self.limit


@dataclass(frozen=True, slots=True)
class Result:
    """What one part found.

    Attributes:
        part: Its name.
        tables: For people.
        goals: What was promised.
        rounds: Every value of every round.
    """

    part: str
    tables: Sequence[Table]
    goals: Sequence[Goal]
    rounds: Rounds = field(default_factory=Rounds)


def number(value: float) -> str:
    """Return a figure with three significant digits, thousands apart."""
    if value >= 100:  # noqa: PLR2004  three digits before the point
        digits = len(str(int(value))) - 3
        return f"{round(value, -digits):,.0f}"
    return f"{value:.3g}"


def cell(spread: Spread | None) -> str:
    """Return the median with its extremes; a dash for what was not measured."""
    if spread is None:
        return NONE
    if spread.low == spread.high:
        return number(spread.median)
    return f"{number(spread.median)} ({number(spread.low)} … {number(spread.high)})"


def times(spread: Spread) -> str:
    """Return a ratio."""
    return f"{spread.median:.2f} x ({spread.low:.2f} … {spread.high:.2f})"


def machine() -> dict[str, str]:
    """Return what the figures depend on beside the code."""
    return {
        "python": platform.python_version(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
    }


def show(results: Sequence[Result], *, as_markdown: bool = False) -> None:
    """Print every table, and at last what was promised."""
    tables = [table for result in results for table in result.tables]
    tables.append(_goals(results))
    if as_markdown:
        for table in tables:
            print("\n".join(_markdown(table)), end="\n\n")
    elif sys.stdout.isatty():
        _show_rich(tables)
    else:
        for table in tables:
            print("\n".join(_plain(table)), end="\n\n")


def write_json(path: Path, results: Sequence[Result]) -> None:
    """Write every value of every round beside the tables."""
    parts: dict[str, Any] = {
        result.part: {
            "goals": [{**asdict(goal), "met": goal.is_met} for goal in result.goals],
            "figures": {name: _figure(values) for name, values in result.rounds.values.items()},
        }
        for result in results
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"machine": machine(), "parts": parts}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def _figure(values: Sequence[float]) -> Mapping[str, object]:
    spread = Spread.of(values)
    return {"median": spread.median, "low": spread.low, "high": spread.high, "rounds": values}


def _goals(results: Sequence[Result]) -> Table:
    rows = [
        (
            result.part,
            goal.what,
            f"{'≥' if goal.at_least else '≤'} {number(goal.limit)}",
            number(goal.measured),
            "yes" if goal.is_met else "NO",
        )
        for result in results
        for goal in result.goals
    ]
    return Table("Goals", ("part", "figure", "goal", "measured", "met"), rows)


def _show_rich(tables: Sequence[Table]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable

    console = Console()
    for table in tables:
        grid = RichTable(title=table.title, title_justify="left", box=box.SIMPLE_HEAD)
        for index, column in enumerate(table.columns):
            grid.add_column(column, justify="left" if index == 0 else "right")
        for row in table.rows:
            grid.add_row(*row)
        console.print(grid)
        for note in table.notes:
            console.print(f"  {note}", style="dim")


def _markdown(table: Table) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    rule = ["---", *("--:" for _ in table.columns[1:])]
    lines = [f"**{table.title}**", "", line(table.columns), line(rule), *map(line, table.rows)]
    return [*lines, "", *table.notes] if table.notes else lines


def _plain(table: Table) -> list[str]:
    widths = [max(map(len, column)) for column in zip(table.columns, *table.rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]
        return "  ".join(padded).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return [table.title, line(table.columns), rule, *map(line, table.rows), *table.notes]
