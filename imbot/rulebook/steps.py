"""``do:`` and ``on_error:`` → one flat program, or every mistake in them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from imbot.plugin import Action
from imbot.rulebook.acts import ActReader, is_even_if_completed, result_type, timeout_of
from imbot.rulebook.binding import bound_in, check_name, either
from imbot.rulebook.blocks import MOST_IN_PROGRAM, Block, Shelf, read_call, written_out
from imbot.rulebook.clearsecrets import refuse_clear_secrets
from imbot.rulebook.expressions import Expression
from imbot.rulebook.forgotten import warn_of_forgotten_braces
from imbot.rulebook.reading import VALUE_PATH, Desk, shown
from imbot.rulebook.schema import (
    Act,
    Branch,
    End,
    Enter,
    Fork,
    Instruction,
    Join,
    Jump,
    Let,
    Log,
    Program,
    Stop,
    Value,
    Wait,
    WaitFor,
)
from imbot.rulebook.scope import ANY, Names, Type, awaited
from imbot.rulebook.scope import Kind as TypeKind
from imbot.rulebook.stepkeys import BRANCHES, LANGUAGE, action_key
from imbot.rulebook.templates import Template
from imbot.rulebook.triggers import read_session_trigger
from imbot.rulebook.values import STEP_OPTIONS, Literal, is_template, mentions_vars, read_value
from imbot.yamlfile import Entry, Kind, Node

#: Steps of the language that hold others.
_HOLDING_STEPS = frozenset({"if", "parallel", "call"})
_OF_ACTIONS = STEP_OPTIONS - {"name", "enabled"}

#: A text, written out in an expression, that is long enough to be a secret.
_LONG_TEXT = re.compile(r"""(['"])[^'"]{8,}\1""")
#: What looks like text and not like an expression.
_WORDS = re.compile(r"\w+(?:(?:[,.!?]? +|['-])\w+)*[.!?]*")


@dataclass(frozen=True, slots=True)
class Workshop:
    """What steps may be made of.

    Attributes:
        actions: By name.
        unavailable: Action to why its plugin is not enabled.
        allowed_hosts: Origins that ``http`` may reach; None when they are not known.
        constants: The ``vars`` of the rule, or of the block's file.
        shelf: The blocks.
    """

    actions: Mapping[str, Action[Any]]
    unavailable: Mapping[str, str]
    allowed_hosts: Sequence[str] | None
    constants: Mapping[str, Any]
    shelf: Shelf = field(default_factory=Shelf)

    def with_constants(self, constants: Mapping[str, Any]) -> "Workshop":
        """Return the same workshop for a rule or block with other ``vars``."""
        return replace(self, constants=constants)


def read_program(
    do: Entry | None, on_error: Entry | None, names: Names, workshop: Workshop, desk: Desk
) -> Program:
    """Return the program of a rule's steps."""
    assembler = _Assembler(workshop, desk)
    if do is not None:
        names = assembler.block(do, "do", names)
    assembler.close()
    if on_error is None:
        return Program(tuple(assembler.code), frames=assembler.frames)
    start = len(assembler.code)
    assembler.block(on_error, "on_error", names.with_error())
    assembler.close()
    return Program(tuple(assembler.code), start, assembler.frames)


def read_block(
    name: str, do: Entry, inputs: Mapping[str, Type], workshop: Workshop, desk: Desk
) -> Block:
    """Return a block, made of its steps."""
    assembler, asked = _Assembler(workshop, desk), len(desk.calendars)
    names = Names.for_block(inputs).with_vars(workshop.constants)
    names = names.bound_by(partial(bound_in, do.value))
    assembler.inner(do, f"blocks/{name}", names)
    code = tuple(assembler.code)
    within = (workshop.shelf.made[step.block] for step in code if isinstance(step, Enter))
    return Block(
        name=name,
        inputs=inputs,
        code=code,
        frames=assembler.frames,
        constants=workshop.constants if mentions_vars(do.value) else {},
        calendars=frozenset(desk.calendars[asked:]).union(*(each.calendars for each in within)),
    )


@dataclass(slots=True)
class _Later:
    """An ``on_error`` that is written after the End, and the step it belongs to."""

    act: int
    steps: Entry
    path: str
    names: Names


@dataclass(slots=True)
class _Assembler:
    """Writes instructions one after another."""

    workshop: Workshop
    desk: Desk
    code: list[Instruction] = field(default_factory=list)
    later: list[_Later] = field(default_factory=list)
    frames: dict[int, int] = field(default_factory=dict)

    def close(self) -> None:
        """End the program so far, and write the ``on_error`` of its steps behind."""
        self.code.append(End())
        self._write_later()

    def inner(self, entry: Entry, path: str, names: Names) -> Names:
        """Write steps and what they do on error, with nothing else in between or behind."""
        outer, self.later = self.later, []
        names = self.block(entry, path, names)
        if self.later:
            around = len(self.code)
            self.code.append(Jump(0))
            self._write_later()
            self.code[around] = Jump(len(self.code))
        self.later = outer
        return names

    def _write_later(self) -> None:
        while self.later:
            block = self.later.pop(0)
            act = self.code[block.act]
            if isinstance(act, Act):
                self.code[block.act] = replace(act, on_error=len(self.code))
            self.block(block.steps, block.path, block.names.with_error())
            self.code.append(Jump(block.act + 1))

    def block(self, entry: Entry, path: str, names: Names) -> Names:
        """Write a list of steps; return the names that are bound after them."""
        cure = "begin each step with '- '"
        for number, node in enumerate(self.desk.items(entry.value, entry.key.raw, cure)):
            names = self._step(node, f"{path}/{number}", names)
        return names

    def _step(self, node: Node, path: str, names: Names) -> Names:
        known = self.workshop.actions.keys() | LANGUAGE.keys()
        like = f"{node.raw}: …" if node.raw in known else "reply: text"
        entries = self.desk.entries(node, "step", f"write it like '{like}'")
        shop = self.workshop
        key = action_key(node, shop.actions, shop.unavailable, self.desk)
        if key is None:
            return self._bound(entries, names, ANY)
        size, waiting = len(self.code), len(self.later)
        if key in LANGUAGE:
            names = self._of_language(key, node, path, names)
        else:
            names = self._act(self.workshop.actions[key], entries, path, names)
        if not self._is_enabled(entries):
            del self.code[size:], self.later[waiting:]
            self.frames = {pc: frame for pc, frame in self.frames.items() if pc < size}
        return names

    def _is_enabled(self, entries: Mapping[str, Entry]) -> bool:
        if (name := entries.get("name")) is not None:
            self.desk.text(name.value, "name")
        entry = entries.get("enabled")
        return entry is None or self.desk.flag(entry.value, "enabled") is not False

    # Steps of the language

    def _of_language(self, key: str, node: Node, path: str, names: Names) -> Names:
        """Write a step of the language."""
        entries = node.entries
        for option in (_OF_ACTIONS - LANGUAGE[key]) & entries.keys():
            what = f"'{option}' says nothing about '{key}'"
            inside = option == "even_if_completed" and key in _HOLDING_STEPS
            cure = "write it beside the steps in it" if inside else "leave it out"
            self.desk.error(entries[option].key.place, "unknown-key", what, cure)
        write = {
            "if": self._if,
            "let": self._let,
            "wait": self._wait,
            "wait_for": self._wait_for,
            "parallel": self._parallel,
            "call": self._call,
        }.get(key, self._say)
        return write(key, node, path, names)

    def _say(self, key: str, node: Node, path: str, names: Names) -> Names:
        """Write a ``stop`` or ``log``."""
        entry = node.entries[key]
        line, place = self._line(entry, names), entry.key.place
        if key == "stop":
            self.code.append(Stop(line, path, place))
        else:
            always = is_even_if_completed(node.entries, self.desk)
            self.code.append(Log(line, path, place, always))
        return names

    def _line(self, entry: Entry, names: Names) -> Value:
        """Return the text of a ``stop`` or ``log``."""
        node = entry.value
        if not node.is_scalar:
            self.desk.text(node, entry.key.raw)
            return Literal("")
        if not is_template(node):
            warn_of_forgotten_braces(node, names, self.desk)
            return Literal(node.raw)
        return read_value(node, names, self.desk)

    def _let(self, key: str, node: Node, path: str, names: Names) -> Names:
        entry = node.entries[key]
        values: list[tuple[str, Expression | Value]] = []
        for name, bound in self.desk.entries(entry.value, "let").items():
            type_ = ANY
            if is_template(bound.value):
                template = read_value(bound.value, names, self.desk)
                values.append((name, template))
                type_ = template.type if isinstance(template, Template) else ANY
            elif (value := self._value(bound.value, names, name)) is not None:
                values.append((name, value))
                type_ = value.type
            if _LONG_TEXT.fullmatch(bound.value.raw):
                refuse_clear_secrets(bound, self.desk, is_sent_out=False)
            check_name(bound.key, self.desk)
            names = names.bind(bound.key.raw, type_)
        self.code.append(Let(tuple(values), path, entry.key.place))
        return names

    def _value(self, node: Node, names: Names, name: str) -> Expression | None:
        """Return the expression that a name is bound to; words without quotes may mean text."""
        before = len(self.desk.problems)
        value = self.desk.expression(node, names, name)
        if value is None and _WORDS.fullmatch(node.raw):
            first = self.desk.problems[before]
            near = f"{first.cure} " if first.cure.startswith("did you mean") else ""
            cure = f"""{near}For text write '"{node.raw}"', with quotes inside quotes"""
            self.desk.problems[before:] = [replace(first, cure=cure if near else f"f{cure[1:]}")]
        return value

    def _if(self, key: str, node: Node, path: str, names: Names) -> Names:
        """Write a branch, its ``then`` and its ``else``; what either binds is bound after."""
        entries = node.entries
        entry = entries[key]
        test = self.desk.all_of(entry.value, names, "if")
        if not BRANCHES & entries.keys() and self.desk.lacks(
            node, "then", known={"if"} | STEP_OPTIONS | BRANCHES
        ):
            self.desk.error(entry.key.place, "missing-key", "'if' without 'then'", "add 'then:'")
        self._warn_of_nothing_done(entries)
        branch = len(self.code)
        self.code.append(Jump(0))
        after = names
        if (then := entries.get("then")) is not None:
            after = either(names, self.block(then, f"{path}/then", names))
        otherwise = len(self.code)
        if (other := entries.get("else")) is not None:
            self.code.append(Jump(0))
            otherwise += 1
            after = either(after, self.block(other, f"{path}/else", names))
            self.code[otherwise - 1] = Jump(len(self.code))
        if test is not None:
            self.code[branch] = Branch(test, otherwise, path, entry.key.place)
        return after

    def _warn_of_nothing_done(self, entries: Mapping[str, Entry]) -> None:
        """Warn of an ``if`` that does nothing, whatever holds."""
        written = [entries[key] for key in BRANCHES & entries.keys()]
        if written and all(e.value.kind is Kind.LIST and not e.value.items for e in written):
            place = min(entry.key.place for entry in written)
            self.desk.warn(place, "empty", "'if' without a step in it", "add one, or remove it")

    # Waits, branches, blocks

    def _wait(self, key: str, node: Node, path: str, names: Names) -> Names:
        entry = node.entries[key]
        seconds: float | Value | None
        if is_template(entry.value):
            seconds = read_value(entry.value, names, self.desk)
            type_ = seconds.type if isinstance(seconds, Template) else ANY
            if type_.kind not in (TypeKind.TEXT, TypeKind.NUMBER, TypeKind.ANY):
                what = f"'wait' must be a duration, not {type_}"
                self.desk.error(entry.value.place, "wrong-type", what)
        else:
            seconds = self._seconds(entry.value)
        always = is_even_if_completed(node.entries, self.desk)
        self.code.append(Wait(seconds or 0.0, path, entry.key.place, always))
        return names

    def _seconds(self, node: Node) -> float | None:
        """Return the seconds of a ``wait`` that is written out."""
        if node.kind is Kind.TEXT and VALUE_PATH.fullmatch(node.raw):
            what, cure = f"'{node.raw}' is no duration", f'write "{{{{ {node.raw} }}}}" for a value'
            self.desk.error(node.place, "bad-duration", what, cure)
            return None
        return self.desk.duration(node, "wait")

    def _wait_for(self, key: str, node: Node, path: str, names: Names) -> Names:
        entries = node.entries
        trigger = read_session_trigger(entries[key], self.desk)
        timeout_s = timeout_of(entries, self.desk)
        always = is_even_if_completed(entries, self.desk)
        if (bind := entries.get("as")) is not None:
            check_name(bind.value, self.desk)
        if trigger is None:
            return self._bound(entries, names, ANY)
        name = None if bind is None else bind.value.raw
        place = entries[key].key.place
        self.code.append(WaitFor(trigger, path, place, timeout_s, name, always))
        return self._bound(entries, names, awaited(trigger.kind))

    def _parallel(self, key: str, node: Node, path: str, names: Names) -> Names:
        """Write branches one behind the other; what any of them binds is bound after all."""
        entry = node.entries[key]
        cure = "write it like [[step, …], [step, …]]"
        branches = self.desk.items(entry.value, key, cure)
        if entry.value.kind is Kind.LIST and not branches:
            self.desk.error(entry.key.place, "empty", "'parallel' without a branch", cure)
        fork, after, starts = len(self.code), names, []
        self.code.append(Jump(0))
        for number, branch in enumerate(branches):
            if branch.kind is not Kind.LIST:
                if all(each.kind is Kind.LIST for each in branches[:number]):
                    what = f"a branch of 'parallel' must be a list, not {shown(branch)}"
                    self.desk.error(branch.place, "wrong-type", what, cure)
                continue
            starts.append(len(self.code))
            steps = Entry(entry.key, branch)
            after = either(after, self.inner(steps, f"{path}/parallel/{number}", names))
            self.code.append(Join(fork, 0))
        join = len(self.code)
        for pc in range(fork, join):
            if self.code[pc] == Join(fork, 0):
                self.code[pc] = Join(fork, join)
        self.code[fork] = Fork(tuple(starts), join, path, entry.key.place)
        return after

    def _call(self, key: str, node: Node, path: str, names: Names) -> Names:
        """Write a block out."""
        entry, shelf = node.entries[key], self.workshop.shelf
        call = read_call(entry, names, shelf, self.desk)
        if call is None or shelf.room < 0:
            return names
        length = len(call.block.code) + 2
        shelf.room -= length
        if len(self.code) + length > MOST_IN_PROGRAM or shelf.room < 0:
            what = f"with the block '{call.block.name}' written out, there are too many steps"
            cure = f"call fewer blocks: {MOST_IN_PROGRAM} steps are the most"
            self.desk.error(entry.key.place, "too-many-steps", what, cure)
            return names
        at = len(self.code)
        enter = Enter(call.block.name, call.inputs, path, entry.key.place)
        for instruction, frame in written_out(call, at, enter):
            if frame is not None:
                self.frames[len(self.code)] = frame
            self.code.append(instruction)
        return names

    # Actions

    def _act(
        self, action: Action[Any], entries: Mapping[str, Entry], path: str, names: Names
    ) -> Names:
        """Write the call of an action."""
        shop = self.workshop
        reader = ActReader(self.desk, shop.constants, shop.allowed_hosts)
        self.code.append(reader.read(action, entries, path, names))
        if (on_error := entries.get("on_error")) is not None:
            at = len(self.code) - 1
            self.later.append(_Later(at, on_error, f"{path}/on_error", names))
        return self._bound(entries, names, result_type(action.result))

    def _bound(self, entries: Mapping[str, Entry], names: Names, type_: Type) -> Names:
        """Return the names with the one under which the result is bound."""
        entry = entries.get("as")
        return names if entry is None else names.bind(entry.value.raw, type_)
