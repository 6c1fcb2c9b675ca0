"""Where a run stands: its strands and what is bound so far. Pure.

A run has one strand; ``parallel`` gives it one for each branch until the last of them has ended. A
block that was entered has names of its own, kept under a name that no author can write; so is the
error of a step, for its ``on_error`` alone: in another branch another step may fail meanwhile.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from imbot.model import JSON
from imbot.records import RunSeen, Strand
from imbot.rulebook.schema import Program


class Standing(NamedTuple):
    """Where a run stands.

    Attributes:
        strands: In the order in which the branches are written; none when only the end is due.
        bound: Names bound so far; in the rule's ``on_error``, what sent the run there as ``error``.
        failing: The error that sent the run into the rule's ``on_error``; empty before.
        cancelled: Why only steps marked ``even_if_completed`` are still due; empty before.
    """

    strands: tuple[Strand, ...] = (Strand(),)
    bound: Mapping[str, JSON] = {}
    failing: str = ""
    cancelled: str = ""

    @property
    def is_single(self) -> bool:
        """Whether it is one place that the run goes on from."""
        strands = self.strands
        return len(strands) == 1 and not strands[0].waits

    @property
    def waiting(self) -> tuple[Strand, ...]:
        """The strands that wait."""
        return tuple([strand for strand in self.strands if strand.waits])

    def strand(self, pc: int) -> Strand | None:
        """Return the strand that stands here; None when none does."""
        for strand in self.strands:
            if strand.pc == pc:
                return strand
        return None

    @property
    def due_at(self) -> datetime | None:
        """When the first of the strands that wait goes on; None without such a moment."""
        due = [strand.due_at for strand in self.strands if strand.due_at is not None]
        return min(due, default=None)

    def moved(self, pc: int, *to: Strand, bound: Mapping[str, JSON] | None = None) -> "Standing":
        """Return the standing with these in the place of the strand that stands here."""
        if len(self.strands) == 1:
            strands = to
        else:
            at = next(i for i, strand in enumerate(self.strands) if strand.pc == pc)
            strands = (*self.strands[:at], *to, *self.strands[at + 1 :])
        return Standing(
            strands, self.bound if bound is None else bound, self.failing, self.cancelled
        )

    def forks_at(self, pc: int) -> tuple[int, ...]:
        """Return the Forks whose branches the strand that stands here stands in."""
        for strand in self.strands:
            if strand.pc == pc:
                return strand.forks
        return ()

    def attempts_at(self, pc: int) -> int:
        """Return how often the step of the strand that stands here was tried already."""
        strand = self.strand(pc)
        return 0 if strand is None else strand.attempts

    def is_last_in(self, fork: int) -> bool:
        """Whether no more than one strand stands in the branches of this Fork."""
        return sum(fork in strand.forks for strand in self.strands) <= 1


#: Where every run begins.
BEGINNING = Standing()


def standing_of(seen: RunSeen) -> Standing:
    """Return where a run stands that was written down."""
    strands = seen.strands or (Strand(seen.pc, attempts=seen.attempts),)
    return Standing(strands, seen.bound, seen.detail, seen.cancelled)


# Names ----------------------------------------------------------------------------------------


def names_at(program: Program, pc: int, bound: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """Return the names that an instruction sees: its block's own, else the rule's."""
    enter = program.frames.get(pc)
    names = bound if enter is None else bound.get(frame_name(enter), {})
    failed, is_handling, _ = getattr(program.instructions[pc], "path", "").rpartition("/on_error/")
    if is_handling and (error := names.get(error_name(failed))) is not None:
        return {**names, "error": error}
    return names


def with_names(
    program: Program, pc: int, bound: Mapping[str, JSON], names: Mapping[str, JSON]
) -> Mapping[str, JSON]:
    """Return what is bound, with these names too where this instruction binds."""
    return with_all_names(program, pc, bound, {**names_at(program, pc, bound), **names})


def with_all_names(
    program: Program, pc: int, bound: Mapping[str, JSON], names: Mapping[str, JSON]
) -> Mapping[str, JSON]:
    """Return what is bound, with just these names where this instruction binds."""
    enter = program.frames.get(pc)
    return names if enter is None else {**bound, frame_name(enter): names}


def frame_name(enter: int | str) -> str:
    """Return the name under which the names of the block entered here are kept."""
    return f"@{enter}"


def error_name(path: str) -> str:
    """Return the name under which the error of the step at this path is kept."""
    return f"@error {path}"


def errors_in(bound: Mapping[str, JSON]) -> Iterator[Mapping[str, str]]:
    """Yield the errors of steps with an ``on_error`` of their own: kind, message and step."""
    for name, value in bound.items():
        if name.startswith(error_name("")):
            yield value
        elif name.startswith(frame_name("")):
            yield from errors_in(value)


def without_frames(bound: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return what is bound outside of every block."""
    return {name: value for name, value in bound.items() if not name.startswith("@")}
