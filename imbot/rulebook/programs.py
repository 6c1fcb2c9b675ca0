"""What a run of a program comes to, told without running it."""

from collections.abc import Set as AbstractSet

from imbot.rulebook.schema import (
    Act,
    Branch,
    End,
    Enter,
    Fork,
    Join,
    Jump,
    Leave,
    Program,
    Stop,
)


def on_the_way(program: Program) -> frozenset[int]:
    """Return the instructions that every run comes to, unless it ends before.

    They stand in no branch, neither of the rule nor of a block that is called so.
    """
    found: set[int] = set()
    for pc, step in enumerate(program.instructions):
        above = str(getattr(step, "path", "")).rpartition("/")[0]
        frame = program.frames.get(pc)
        if frame is None:
            is_top = above == "do"
        else:
            enter = program.instructions[frame]
            block = enter.block if isinstance(enter, Enter) else ""
            is_top = frame in found and above == f"blocks/{block}"
        if is_top:
            found.add(pc)
    return frozenset(found)


def end_of(program: Program, pc: int) -> int:
    """Return the instruction behind a step and everything in it."""
    code = program.instructions
    match code[pc]:
        case Enter():
            return code.index(Leave(pc)) + 1
        case Fork(join=join):
            return join
        case Branch(otherwise=otherwise):
            # In front of an else stands the jump around it.
            around = code[otherwise - 1]
            return max(otherwise, around.to) if isinstance(around, Jump) else otherwise
        case _:
            return pc + 1


def with_session(program: Program, begins: AbstractSet[int]) -> frozenset[int]:
    """Return the instructions that a run may come to with a session, having begun without one.

    Args:
        program: The steps.
        begins: The instructions that begin a session.
    """
    reached: dict[int, bool] = {}
    waiting = [(0, False)]
    if program.on_error is not None:
        waiting.append((program.on_error, bool(begins)))
    while waiting:
        pc, has = waiting.pop()
        if pc in reached and reached[pc] >= has:
            continue
        reached[pc] = has
        waiting.extend(_next(program, pc, begins, has=has))
    return frozenset(pc for pc, has in reached.items() if has)


def where_it_began(program: Program, begins: AbstractSet[int]) -> frozenset[int]:
    """Return the instructions that a run may come to before it has begun a session of its own.

    Args:
        program: The steps.
        begins: The instructions that begin a session.
    """
    reached: set[int] = set()
    waiting = [0] if program.on_error is None else [0, program.on_error]
    while waiting:
        pc = waiting.pop()
        if pc in reached:
            continue
        reached.add(pc)
        after = _next(program, pc, begins, has=False)
        # What begins one goes on without it only where it fails.
        waiting.extend(to for to, _ in (after[1:] if pc in begins else after))
    return frozenset(reached)


def _next(  # noqa: PLR0911  one case per kind
    program: Program, pc: int, begins: AbstractSet[int], *, has: bool
) -> list[tuple[int, bool]]:
    """Return where a run goes on from an instruction, and whether it may have a session there."""
    match program.instructions[pc]:
        case Act(on_error=on_error):
            failed = [] if on_error is None else [(on_error, has)]
            return [(pc + 1, has or pc in begins), *failed]
        case Branch(otherwise=otherwise):
            return [(pc + 1, has), (otherwise, has)]
        case Jump(to=to):
            return [(to, has)]
        case Fork(branches=branches, join=join):
            # What one branch begins, the others may meet.
            may = has or any(pc < each < join for each in begins)
            return [(branch, may) for branch in branches]
        case Join(join=join):
            return [(join, has)]
        case Stop() | End():
            return []
        case _:
            return [(pc + 1, has)]
