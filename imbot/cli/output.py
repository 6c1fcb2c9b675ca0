"""What commands print: tables for people on a terminal, tab-separated or JSON lines elsewhere."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence

from imbot.model import JSON
from imbot.problems import Problem, Severity


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, as_json: bool
) -> None:
    """Print rows in the way that suits where they go; cells are text from anywhere."""
    if as_json:
        for row in rows:
            print(json.dumps(dict(zip(columns, row, strict=True)), default=str))
    elif sys.stdout.isatty():
        _print_rich(title, columns, rows)
    else:
        print("\t".join(columns))
        for row in rows:
            print("\t".join(one_line(cell) for cell in row))


def print_facts(facts: Mapping[str, JSON]) -> None:
    """Print one JSON object, readable."""
    print(json.dumps(facts, indent=2, default=str, ensure_ascii=False))


def print_problems(problems: Iterable[Problem], *, stream_is_stdout: bool = True) -> int:
    """Print each problem on a line of its own, unwrapped; return how many are errors."""
    out = sys.stdout if stream_is_stdout else sys.stderr
    errors = 0
    for problem in problems:
        print(one_line(problem), file=out)
        errors += problem.severity is Severity.ERROR
    return errors


def complain(text: object) -> None:
    """Print what went wrong to standard error."""
    print(f"imbot: {text}", file=sys.stderr)


def one_line(cell: object) -> str:
    """Return text that stays on one line and cannot steer the terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(cell))


def _print_rich(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    Console().print(table)
