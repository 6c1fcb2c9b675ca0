"""Agents as rows of a CSV file: text → rows with their places, and every mistake in the table.

The first line names the keys of ``agents``; ``bearer`` stands for ``auth: {bearer: …}``, channels
are parted by blanks, an empty cell is left out. Knows nothing of the other settings.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from imbot.model import JSON
from imbot.problems import Place, Problem, did_you_mean
from imbot.settings import AgentPart

_COLUMNS = sorted({*AgentPart.model_fields, "bearer"} - {"auth"})


@dataclass(slots=True)
class Table:
    """What a CSV file held.

    Attributes:
        rows: Agents as the settings' ``agents`` would list them.
        places: Where each row, and each value in it, stands.
        problems: Mistakes of the table itself.
    """

    rows: list[dict[str, JSON]] = field(default_factory=list)
    places: dict[tuple[str | int, ...], Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def report(self, place: Place, code: str, what: str, cure: str = "") -> None:
        """Note a mistake."""
        self.problems.append(Problem(place, code, what, cure))


def read_csv(name: str, content: bytes) -> Table:
    """Return the agents of a CSV file.

    Args:
        name: Name of the file in places.
        content: UTF-8; parted by commas, or by semicolons where the first line has no comma.
    """
    table = Table()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        table.report(Place(name, 1, 1), "bad-encoding", "this is no UTF-8 text", "save it as UTF-8")
        return table
    lines = _lines(text, name, table)
    at, header = next(lines, (1, []))
    columns = [cell.strip() for cell in header]
    places = _cells(name, at, header) or [Place(name, 1, 1)]
    if _is_header(columns, places, table):
        for line, cells in lines:
            _add(table, columns, Place(name, line, 1), cells)
    return table


def _lines(text: str, name: str, table: Table) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of every line that has any, with the number of the line."""
    first = text.partition("\n")[0]
    delimiter = ";" if ";" in first and "," not in first else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            if any(cells):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        cure = "look for a quote that is not closed, or not doubled inside a quoted cell"
        table.report(Place(name, line, 1), "bad-csv", f"this row cannot be read: {error}", cure)


def _cells(name: str, line: int, cells: Sequence[str]) -> list[Place]:
    """Return where each cell begins; in a row with quotes, about there."""
    places, column = [], 1
    for cell in cells:
        places.append(Place(name, line, column))
        column += len(cell) + 1
    return places


def _is_header(columns: Sequence[str], places: Sequence[Place], table: Table) -> bool:
    """Return whether rows under these columns can be read; reports every mistake."""
    for number, (column, place) in enumerate(zip(columns, places, strict=False)):
        if column not in _COLUMNS:
            cure = did_you_mean(column, _COLUMNS)
            table.report(place, "unknown-key", f"there is no column '{column}'", cure)
        elif column in columns[:number]:
            table.report(place, "duplicate-key", f"a second column '{column}'", "remove one")
    if "user" not in columns:
        table.report(
            places[0], "missing-key", "there is no column 'user'", "name the columns in line 1"
        )
    elif not {"password", "bearer"}.intersection(columns):
        cure = "add one; its cells may say ${env:NAME}"
        table.report(places[0], "missing-key", "there is no column 'password' or 'bearer'", cure)
    return not table.problems


def _add(table: Table, columns: Sequence[str], place: Place, cells: Sequence[str]) -> None:
    """Add a row to the table."""
    if len(cells) > len(columns):
        what = f"{len(cells)} cells under {len(columns)} columns"
        table.report(place, "bad-csv", what, "quote a cell that holds a comma")
    index = len(table.rows)
    row: dict[str, JSON] = {}
    table.places[index,] = place
    places = _cells(place.path, place.line, cells)
    for column, cell, at in zip(columns, cells, places, strict=False):
        if not cell:
            continue
        table.places[index, column] = at
        if column == "bearer":
            row["auth"] = {"bearer": cell}
            table.places[index, "auth"] = table.places[index, "auth", "bearer"] = at
        else:
            row[column] = cell.split() if column == "channels" else cell
    table.rows.append(row)
