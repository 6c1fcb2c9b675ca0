"""What the files of a rulebook share: calendars and blocks, each unique in it by its name."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from imbot.model import JSON
from imbot.problems import Place
from imbot.rulebook.binding import is_title
from imbot.rulebook.blocks import Block, calls_in, in_order, read_inputs
from imbot.rulebook.calendarreading import PlaceAt, ReadFile, parse_calendar
from imbot.rulebook.calendars import Calendar
from imbot.rulebook.reading import Desk
from imbot.rulebook.steps import Workshop, read_block
from imbot.rulebook.values import nodes_of
from imbot.rulebook.versions import Piece
from imbot.yamlfile import Entry, Kind, Node

_BLOCK_KEYS = frozenset({"description", "inputs", "do"})


@dataclass(frozen=True, slots=True)
class Home:
    """A rule file, as far as it could be read.

    Attributes:
        root: The whole of it.
        beside: Returns the text of a file that it names; None where none can be read.
        constants: Its ``vars``.
        shadow: Whether all its rules are in shadow.
    """

    root: Node
    beside: ReadFile | None = None
    constants: Mapping[str, JSON] = field(default_factory=dict)
    shadow: bool = False

    def piece(self, head: str, key: Node | None, node: Node) -> Piece:
        """Return a part of it that may look at its constants."""
        return Piece(head, key, node, self.root.entries.get("vars"), shadow=self.shadow)


def _named(
    homes: Sequence[Home], head: str, what: str, cure: str, desk: Desk
) -> Iterator[tuple[Home, str, Entry]]:
    """Yield each entry under one key of all files; a name may stand in one of them only."""
    first: dict[str, Place] = {}
    for home in homes:
        if (node := home.root.get(head)) is None:
            continue
        for name, entry in desk.entries(node, head, cure).items():
            if name in first:
                problem = f"a second {what} '{name}'; first at {first[name]}"
                desk.error(entry.key.place, f"duplicate-{what}", problem, "rename one")
                continue
            first[name] = entry.key.place
            yield home, name, entry


def warn_of_unused(
    pieces: Mapping[str, Piece], used: Collection[str], what: str, verb: str, desk: Desk
) -> None:
    """Warn of each block or calendar that nothing calls or asks."""
    for name, piece in pieces.items():
        if name not in used:
            told = f"nothing {verb} the {what} '{name}'"
            desk.warn(piece.place, f"unused-{what}", told, "remove it")


# Calendars ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CalendarReader:
    """Reads calendars; zone and country are the settings' where one names none.

    Attributes:
        timezone: The settings' zone.
        country: The settings' country.
        today: From when calendars are looked at.
        desk: Where mistakes are kept.
    """

    timezone: str
    country: str
    today: date
    desk: Desk

    def read(self, homes: Sequence[Home]) -> dict[str, tuple[Calendar, Piece]]:
        """Return the calendars of all files, each with where it stands."""
        cure = "write each as 'name: {timezone: …, open: {…}}'"
        found = {}
        for home, name, entry in _named(homes, "calendars", "calendar", cure, self.desk):
            texts: dict[str, str] = {}
            calendar = self._calendar(name, entry, _kept(home.beside, texts))
            if calendar is not None:
                found[name] = calendar, Piece("calendars", entry.key, entry.value, beside=texts)
        return found

    def _calendar(self, name: str, entry: Entry, beside: ReadFile | None) -> Calendar | None:
        cure = "write timezone and open below it"
        entries = self.desk.entries(entry.value, name, cure)
        if entry.value.kind is not Kind.MAP:
            return None
        spec = {key: each.value.plain() for key, each in entries.items()}
        spec.setdefault("timezone", self.timezone)
        if isinstance(holidays := spec.get("holidays"), dict):
            holidays.setdefault("country", self.country)
        calendar, problems = parse_calendar(
            name,
            spec,
            _places(entry),
            key_place=_places(entry, of_key=True),
            today=self.today,
            read_file=beside,
        )
        self.desk.problems.extend(problems)
        return calendar


def _kept(beside: ReadFile | None, texts: dict[str, str]) -> ReadFile | None:
    """Return a reader of files that keeps what it read."""
    if beside is None:
        return None

    def read(name: str) -> str:
        texts[name] = beside(name)
        return texts[name]

    return read


def _places(entry: Entry, *, of_key: bool = False) -> PlaceAt:
    """Return what maps the path to a value of a calendar to its place.

    A scalar stands where it is written; a list or map, which may lack something, at its key;
    with ``of_key`` everything does.
    """

    def place(path: tuple[str | int, ...]) -> Place:
        key, node = entry
        for step in path:
            if isinstance(step, int):
                node = node.items[step] if step < len(node.items) else node
            else:
                key, node = node.entries.get(step, (key, node))
        is_written = node.is_scalar and node.kind is not Kind.NULL
        return node.place if is_written and not of_key else key.place

    return place


# Blocks ---------------------------------------------------------------------------------------


def read_blocks(homes: Sequence[Home], workshop: Workshop, desk: Desk) -> dict[str, Piece]:
    """Make the blocks of all files and put them on the workshop's shelf; return where they stand.

    Blocks in a circle are reported, and made as if they did not call each other.
    """
    cure = "write each as 'name: {inputs: {…}, do: [step, …]}'"
    found = {
        name: (home, entry) for home, name, entry in _named(homes, "blocks", "block", cure, desk)
    }
    calls = {
        name: tuple(calls_in(entry.value.entries.get("do"))) for name, (_, entry) in found.items()
    }
    order, circles = in_order(calls)
    for circle in circles:
        what = f"blocks call each other in a circle: {circle}"
        desk.error(circle.call.place, "recursion", what, "a block never comes back to itself")
    for name in order:
        home, entry = found[name]
        workshop.shelf.made[name] = _block(
            name, entry, workshop.with_constants(home.constants), desk
        )
    return {
        name: home.piece("blocks", entry.key, entry.value) for name, (home, entry) in found.items()
    }


def _block(name: str, entry: Entry, workshop: Workshop, desk: Desk) -> Block:
    """Return one block."""
    is_title(entry.key, name, desk, of="the name of a block")
    entries = desk.entries(entry.value, name, "write inputs and do below it")
    desk.keys(entries, _BLOCK_KEYS, of="a block")
    if (description := entries.get("description")) is not None:
        desk.text(description.value, "description")
    inputs = read_inputs(entries.get("inputs"), desk)
    do = entries.get("do")
    _warn_of_unused_inputs(entries, desk)
    if do is None or (do.value.kind is Kind.LIST and not do.value.items):
        is_told = entry.value.kind is not Kind.MAP or not desk.lacks(
            entry.value, "do", known=_BLOCK_KEYS
        )
        if do is not None or not is_told:
            cure = "add 'do:' and a list of steps"
            desk.error(entry.key.place, "missing-key", f"the block '{name}' has no steps", cure)
        return Block(name, inputs)
    return read_block(name, do, inputs, workshop, desk)


def _warn_of_unused_inputs(entries: Mapping[str, Entry], desk: Desk) -> None:
    """Warn of each input of a block that none of its steps names."""
    inputs, do = entries.get("inputs"), entries.get("do")
    if inputs is None or do is None:
        return
    texts = [node.raw for node in nodes_of(do.value) if node.kind is Kind.TEXT]
    for name, (key, _) in inputs.value.entries.items():
        word = re.compile(rf"\b{re.escape(name)}\b")
        if not any(word.search(text) for text in texts):
            what = f"the block does nothing with its input '{name}'"
            desk.warn(key.place, "unused-input", what, "remove it, here and from each call")
