"""What commands print: tables for people on a terminal, tab-separated or JSON lines elsewhere.

Whatever is printed may come from anywhere; nothing of it can steer the terminal.
"""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import TextIO

from imbot.harmless import harmless
from imbot.problems import Problem

_COLOURS = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}

#: Shorter cells stay in one piece; longer ones are folded where a terminal is narrow.
_UNBROKEN = 20


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, as_json: bool
) -> None:
    """Print rows in the way that suits where they go.

    A cell is text, a number, a moment, nothing, or a tuple of texts. In JSON each stays what it is,
    moments in UTC; for people moments are local, and several texts stand behind each other.
    """
    if as_json:
        for row in rows:
            print(json.dumps(dict(zip(columns, row, strict=True)), default=_plain))
    elif sys.stdout.isatty():
        _print_rich(title, columns, rows)
    else:
        print("\t".join(columns))
        for row in rows:
            print("\t".join(map(_text, row)))


def print_problems(problems: Iterable[Problem], *, to_stderr: bool = False) -> None:
    """Print each problem on a line of its own, unwrapped."""
    for problem in problems:
        print(one_line(problem), file=sys.stderr if to_stderr else sys.stdout)


def complain(text: object) -> None:
    """Print what went wrong to standard error."""
    print(f"imbot: {one_line(text)}", file=sys.stderr)


def one_line(cell: object) -> str:
    """Return text that stays on one line and cannot steer the terminal."""
    return harmless(str(cell))


def painted(text: str, colour: str) -> str:
    """Return text for standard output, coloured where it is a terminal that wants colours."""
    if not colour or not has_colours(sys.stdout):
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def has_colours(stream: TextIO) -> bool:
    """Whether a stream is a terminal that wants colours; see no-color.org."""
    environment = os.environ
    is_plain = "NO_COLOR" in environment or environment.get("TERM") == "dumb"
    return stream.isatty() and not is_plain


def _plain(cell: object) -> object:
    return cell.isoformat() if isinstance(cell, datetime) else str(cell)


def _text(cell: object) -> str:
    match cell:
        case None:
            return ""
        case datetime():
            return f"{cell.astimezone():%Y-%m-%d %H:%M:%S}"
        case Enum():
            return str(cell.value)
        case tuple():
            return "; ".join(map(_text, cell))
        case _:
            return one_line(cell)


def _print_rich(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table for eyes: columns without anything in them are left out."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = [[_short(cell) for cell in row] for row in rows]
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.header_style = "bold underline"
    used = [at for at in range(len(columns)) if not shown or any(row[at] for row in shown)]
    for at in used:
        widest = max(len(cells[at]) for cells in [columns, *shown])
        table.add_column(columns[at], overflow="fold", no_wrap=widest <= _UNBROKEN)
    for row in shown:
        table.add_row(*(Text(row[at]) for at in used))
    Console(highlight=False).print(table)


def _short(cell: object) -> str:
    """Return a cell for eyes: a moment of today without its date."""
    if isinstance(cell, datetime):
        local = cell.astimezone()
        is_today = local.date() == datetime.now(UTC).astimezone().date()
        return f"{local:%H:%M:%S}" if is_today else f"{local:%Y-%m-%d %H:%M}"
    return _text(cell)
