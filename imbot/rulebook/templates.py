"""Templates: checked and run like conditions; what is not on a list does not exist.

There are no loops and no arithmetic, all that can grow is bounded, and what an event brings
is a value, never a template: so a template ends soon and small, whoever wrote the data.
"""

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from imbot.errors import PermanentError
from imbot.problems import Place, Problem, Severity
from imbot.rulebook.compiler import MissingValueError, Run, compile_value
from imbot.rulebook.expressions import (
    calendars_used,
    names_needed,
    names_used,
    secrets_used,
)
from imbot.rulebook.filters import FILTERS, TESTS, UnfitError, text_of
from imbot.rulebook.jinja import read_template
from imbot.rulebook.scope import ANY, TEXT, Known, Names, Scope, Senses, Type
from imbot.rulebook.syntax import NotInLanguageError, PlaceOf, Source
from imbot.rulebook.tree import Tree
from imbot.rulebook.typecheck import Checker, Language

#: A reply at most; the source may be somewhat longer.
LONGEST_RESULT_BYTES = 8192

_LINE_END = re.compile(r"\r\n?")
_MARK = re.compile(r"\{\{|\{%|\{#")


@dataclass(frozen=True, slots=True)
class Hole:
    """A ``{{ … }}`` in a text: where its value goes."""

    tree: Tree
    at: int
    type: Type = ANY


@dataclass(frozen=True)
class Template:
    """A checked template.

    Attributes:
        source: Its text, and where it stands.
        parts: Text and holes, in order.
        longest_bytes: How much text it may make, in UTF-8.
    """

    source: Source = field(repr=False)
    parts: tuple[str | Hole, ...]
    longest_bytes: int = LONGEST_RESULT_BYTES

    # Cached, and so not slotted: what no event reaches is never compiled.

    @property
    def place(self) -> Place:
        """Where it stands."""
        return self.source.place(0, 0)

    @property
    def is_literal(self) -> bool:
        """Whether it always gives the same text."""
        return not any(isinstance(part, Hole) for part in self.parts)

    @cached_property
    def names_used(self) -> frozenset[str]:
        """The names it looks at, ``session`` also where a function does."""
        return frozenset().union(*(names_used(hole.tree) for hole in self._holes))

    @cached_property
    def names_needed(self) -> frozenset[str]:
        """The names without which it surely fails."""
        return frozenset().union(*(names_needed(hole.tree) for hole in self._holes))

    @cached_property
    def secrets_used(self) -> frozenset[str]:
        """The secrets it asks for."""
        return frozenset().union(*(secrets_used(hole.tree) for hole in self._holes))

    @cached_property
    def calendars_used(self) -> frozenset[str]:
        """The calendars it asks."""
        return frozenset().union(*(calendars_used(hole.tree) for hole in self._holes))

    @property
    def type(self) -> Type:
        """What its value is, as far as it can be told at load."""
        return self._holes[0].type if self.is_whole else TEXT

    def render(self, scope: Scope, senses: Senses) -> Any:  # noqa: ANN401  rule values of any type
        """Return the text; or, of one whole ``{{ … }}``, the value as it is.

        Raises:
            PermanentError: A value is missing, or does not fit; the text says where and which.
        """
        written: list[str] = []
        at = 0
        room = self.longest_bytes
        try:
            for part in self._runs:
                if isinstance(part, str):
                    written.append(part)
                    continue
                at, run = part
                value = run(scope, senses)
                if self.is_whole and not isinstance(value, str):
                    return value
                written.append(text_of(value))
                # What is too long already is not made longer.
                if (room := room - len(written[-1])) < 0:
                    break
            return self._bounded("".join(written))
        except MissingValueError as error:
            what = f"{error.shown} is missing; use default('…') if it may be"
            raise self._failure(error.at, what) from error
        except (ValueError, OverflowError, RecursionError) as error:
            raise self._failure(at, str(error)) from error

    @cached_property
    def is_whole(self) -> bool:
        """Whether it is one ``{{ … }}``, and so keeps the type of its value."""
        texts = (part for part in self.parts if isinstance(part, str))
        return len(self._holes) == 1 and not any(text.strip() for text in texts)

    @cached_property
    def _holes(self) -> tuple[Hole, ...]:
        return tuple(part for part in self.parts if isinstance(part, Hole))

    @cached_property
    def _runs(self) -> tuple[str | tuple[int, Run], ...]:
        parts = self._holes if self.is_whole else self.parts
        return tuple(
            part if isinstance(part, str) else (part.at, compile_value(part.tree, strict=True))
            for part in parts
        )

    def _bounded(self, text: str) -> str:
        most = self.longest_bytes
        # No character takes more than four bytes, so most texts need not be measured.
        if len(text) * 4 > most and len(text.encode("utf-8", "surrogatepass")) > most:
            raise UnfitError(f"the text is longer than {most} bytes; use truncate")
        return text

    def _failure(self, at: int, what: str) -> PermanentError:
        return PermanentError(f"{self.source.at(at)}: {what}")


def parse_template(
    source: str,
    place: PlaceOf,
    names: Names,
    known: Known,
    *,
    allow_secrets: bool = False,
    longest_bytes: int = LONGEST_RESULT_BYTES,
) -> tuple[Template | None, tuple[Problem, ...]]:
    """Return the template, or None and every mistake in it; warnings come with a template.

    Args:
        source: Its text; without any ``{{`` it is a literal.
        place: Maps (line offset, column offset) in ``source``, from 0, to the place in the file.
        names: What it may look at.
        known: What else it may name.
        allow_secrets: Whether ``secret()`` may stand in it.
        longest_bytes: How much text it may make.
    """
    # Jinja knows one kind of line end, and the offsets are of what it read.
    text = Source(_LINE_END.sub("\n", source), place)
    if _MARK.search(source) is None:
        return Template(text, (source,), longest_bytes), ()
    try:
        written = tuple(read_template(text))
    except NotInLanguageError as refusal:
        return None, (refusal.problem,)
    checker = Checker(text, names, known, Language(FILTERS, TESTS, secrets=allow_secrets))
    parts = tuple(part if isinstance(part, str) else _hole(part, checker) for part in written)
    problems = tuple(checker.problems)
    if any(problem.severity is Severity.ERROR for problem in problems):
        return None, problems
    return Template(text, parts, longest_bytes), problems


def _hole(part: Tree, checker: Checker) -> Hole:
    tree, type_ = checker.check(part)
    return Hole(tree, part.at, type_)
