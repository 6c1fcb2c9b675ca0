"""The settings as plain values before they are checked, and where each of them stands."""

from dataclasses import dataclass, field
from typing import Any

from imbot.config.fields import OPTIONS, Path, dotted
from imbot.model import JSON
from imbot.problems import Place, Problem, Severity
from imbot.settings import Spelled
from imbot.yamlfile import Kind, Node


@dataclass(slots=True)
class Tree:
    """What has been read so far.

    Attributes:
        top: The place of the whole.
        values: Lists, dicts and scalars; numbers as they are spelled.
        places: Where each value stands; a node knows it.
        keys: Where the key of each value stands.
        open_to_others: Names of the sources, files and options, that others can read, too.
        filled: Paths of the texts that held references.
        unread: Paths whose values are unknown because of a mistake that is reported already.
        problems: Mistakes, and what is worth a warning.
    """

    top: Place
    values: dict[str, Any] = field(default_factory=dict)
    places: dict[Path, Place | Node] = field(default_factory=dict)
    keys: dict[Path, Place | Node] = field(default_factory=dict)
    open_to_others: set[str] = field(default_factory=set)
    filled: set[Path] = field(default_factory=set)
    unread: set[Path] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def report(self, place: Place, code: str, what: str, cure: str = "") -> None:
        """Note a mistake."""
        self.problems.append(Problem(place, code, what, cure))

    def warn(self, place: Place, code: str, what: str, cure: str = "") -> None:
        """Note what is worth a warning."""
        self.problems.append(Problem(place, code, what, cure, Severity.WARNING))

    def place(self, path: Path) -> Place:
        """Return the place of a value, or of the nearest thing around it that has one."""
        for depth in range(len(path), 0, -1):
            if (at := self.places.get(path[:depth])) is not None:
                return _place(at)
        return self.top

    def key_place(self, path: Path) -> Place:
        """Return the place of a value's key; without one, of the value."""
        return _place(self.keys[path]) if path in self.keys else self.place(path)

    def by_name(self) -> dict[str, Place]:
        """Return where every setting is named, by its path; a text in a list by its words, too.

        Agents are left out: there may be thousands, and nobody asks later.
        """
        found = {}
        for path, at in self.places.items():
            if path and path[0] != "agents":
                found[dotted(path)] = self.key_place(path)
                if isinstance(path[-1], int) and isinstance(at, Node) and at.is_scalar:
                    found.setdefault(dotted((*path[:-1], at.raw)), at.place)
        return found

    def is_unread(self, path: Path) -> bool:
        """Whether a value, or something around it, could not be read."""
        return any(path[:depth] in self.unread for depth in range(len(path) + 1))

    def plain(self, node: Node, path: Path) -> JSON:
        """Return a node as plain values, and note every place; empty values are left out."""
        self.places[path] = node
        if node.kind is Kind.LIST:
            return [self.plain(item, (*path, index)) for index, item in enumerate(node.items)]
        if node.kind is Kind.MAP:
            return self._mapping(node, path)
        if node.kind is not Kind.NUMBER:
            return node.value
        # What a plugin's option is due only the plugin knows.
        return Spelled(node.value, node.raw) if path[:2] == OPTIONS else node.raw

    def _mapping(self, node: Node, path: Path) -> dict[str, JSON]:
        values: dict[str, JSON] = {}
        for key, entry in node.entries.items():
            if entry.value.kind is not Kind.NULL:
                self.keys[*path, key] = entry.key
                values[key] = self.plain(entry.value, (*path, key))
        return values


def _place(at: Place | Node) -> Place:
    return at.place if isinstance(at, Node) else at
