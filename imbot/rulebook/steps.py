"""``do:`` and ``on_error:`` → one flat program, or every mistake in them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, RootModel

from imbot.plugin import Action
from imbot.problems import did_you_mean
from imbot.rulebook import origins
from imbot.rulebook.clearsecrets import refuse_clear_secrets
from imbot.rulebook.expressions import Expression
from imbot.rulebook.reading import Desk
from imbot.rulebook.schema import (
    Act,
    Branch,
    End,
    Instruction,
    Jump,
    Let,
    Log,
    Program,
    Retry,
    Stop,
    Value,
)
from imbot.rulebook.scope import ANY, Names, Type, any_map_of, map_of, type_of
from imbot.rulebook.values import (
    PLAIN,
    STEP_OPTIONS,
    Literal,
    Places,
    fit,
    is_template,
    nodes_of,
    read_value,
)
from imbot.yamlfile import Entry, Kind, Node

_LANGUAGE = frozenset({"let", "if", "stop", "log"})
_LATER = frozenset({"parallel", "wait", "wait_for", "call"})
_OF_ACTIONS = STEP_OPTIONS - {"name", "enabled"}
_BRANCHES = frozenset({"then", "else"})
_RETRY = frozenset({"times", "backoff"})
_TAKEN = frozenset({"session", "participant", "event", "message", "agent", "bot", "vars", "error"})
#: What other languages, and GWS itself, call an action.
_ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("send", "say", "answer", "message", "sendmessage"), "reply"),
        **dict.fromkeys(("end", "close", "finish", "hangup"), "complete"),
        **dict.fromkeys(("tag", "update", "attachuserdata", "updateuserdata"), "set"),
        **dict.fromkeys(("untag", "remove", "deleteuserdata"), "unset"),
        **dict.fromkeys(("begin", "start", "dial", "initiateimsession"), "initiate"),
        **dict.fromkeys(("print", "echo", "debug"), "log"),
        **dict.fromkeys(("request", "fetch"), "http"),
    }
)
#: Arguments whose scalars become user data, and so are text as spelled.
_USER_DATA: Mapping[str, str] = MappingProxyType({"set": "", "initiate": "userData"})

#: What looks like text and not like an expression.
_WORDS = re.compile(r"\w+(?:(?:[,.!?]? +|['-])\w+)*[.!?]*")

#: The backoff of a ``retry`` that names none.
_FIRST_S, _LAST_S = 1.0, 60.0


@dataclass(frozen=True, slots=True)
class Workshop:
    """What steps may be made of.

    Attributes:
        actions: By name.
        unavailable: Action to why its plugin is not enabled.
        allowed_hosts: Origins that ``http`` may reach; None when they are not known.
        constants: The rule's ``vars``.
    """

    actions: Mapping[str, Action[Any]]
    unavailable: Mapping[str, str]
    allowed_hosts: Sequence[str] | None
    constants: Mapping[str, Any]


def read_program(
    do: Entry | None, on_error: Entry | None, names: Names, workshop: Workshop, desk: Desk
) -> Program:
    """Return the program of a rule's steps."""
    assembler = _Assembler(workshop, desk)
    if do is not None:
        names = assembler.block(do, "do", names)
    assembler.close()
    if on_error is None:
        return Program(tuple(assembler.code))
    start = len(assembler.code)
    assembler.block(on_error, "on_error", names.with_error())
    assembler.close()
    return Program(tuple(assembler.code), start)


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

    def close(self) -> None:
        """End the program so far, and write the ``on_error`` blocks of its steps."""
        self.code.append(End())
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
        known = self.workshop.actions.keys() | _LANGUAGE
        like = f"{node.raw}: …" if node.raw in known else "reply: text"
        entries = self.desk.entries(node, "step", f"write it like '{like}'")
        key = self._action_key(node, entries)
        if key is None:
            return self._bound(entries, names, ANY)
        size, waiting = len(self.code), len(self.later)
        if key in _LANGUAGE:
            names = self._of_language(key, node, path, names)
        else:
            names = self._act(self.workshop.actions[key], entries, path, names)
        if not self._is_enabled(entries):
            del self.code[size:], self.later[waiting:]
        return names

    def _is_enabled(self, entries: Mapping[str, Entry]) -> bool:
        if (name := entries.get("name")) is not None:
            self.desk.text(name.value, "name")
        entry = entries.get("enabled")
        return entry is None or self.desk.flag(entry.value, "enabled") is not False

    def _action_key(self, node: Node, entries: Mapping[str, Entry]) -> str | None:
        """Return the one key that says what the step does; None, and a problem, without one."""
        known = self.workshop.actions.keys() | _LANGUAGE
        branches = _BRANCHES if "if" in entries else frozenset()
        keys = [key for key in entries if key not in STEP_OPTIONS | branches]
        right = [key for key in keys if key in known]
        if len(right) > 1:
            what = f"'{right[0]}' and '{right[1]}' in one step"
            self.desk.error(
                entries[right[1]].key.place, "two-actions", what, "make two steps of it"
            )
            return None
        for key in keys:
            if key not in right:
                self._unknown(key, entries[key], known if not right else STEP_OPTIONS | branches)
        if not keys and node.kind is Kind.MAP:
            what, cure = "a step that does nothing", "add an action such as 'reply: text'"
            self.desk.error(node.place, "no-action", what, cure)
        return right[0] if right else None

    def _unknown(self, key: str, entry: Entry, known: frozenset[str] | set[str]) -> None:
        """Report a key of a step that is neither option nor action."""
        place, unavailable = entry.key.place, self.workshop.unavailable
        # Of a plugin that did not load only its own name is known, with which its actions begin.
        reason = unavailable.get(key) or unavailable.get(key.partition(".")[0])
        if key in _LATER:
            self.desk.error(place, "not-yet", f"'{key}' is not in this version yet", "leave it out")
        elif reason is not None:
            what = f"the action '{key}' is not available: {reason}"
            is_disabled = "disabled" in reason
            cure = "enable its plugin in the settings" if is_disabled else "put its plugin right"
            self.desk.error(place, "unavailable-action", what, cure)
        elif known <= STEP_OPTIONS | _BRANCHES:
            cure = did_you_mean(key, known)
            self.desk.error(place, "unknown-key", f"unknown key '{key}' in a step", cure)
        elif key in _BRANCHES:
            self.desk.error(place, "unknown-key", f"'{key}' without 'if'", "add 'if: …'")
        else:
            cure = did_you_mean(key, known, elsewhere=_ELSEWHERE)
            if key in origins.METHODS and origins.ACTION in known:
                cure = f"write '{origins.ACTION}: {{{key}: …}}'"
            self.desk.error(place, "unknown-action", f"unknown action '{key}'", cure)

    # Steps of the language

    def _of_language(self, key: str, node: Node, path: str, names: Names) -> Names:
        """Write a step of the language."""
        entries = node.entries
        for option in _OF_ACTIONS & entries.keys():
            what = f"'{option}' says nothing about '{key}'"
            self.desk.error(entries[option].key.place, "unknown-key", what, "leave it out")
        if key == "if":
            return self._if(node, path, names)
        if key == "let":
            return self._let(entries["let"], path, names)
        text = self._line(entries[key], names)
        made = Stop if key == "stop" else Log
        self.code.append(made(text, path, entries[key].key.place))
        return names

    def _line(self, entry: Entry, names: Names) -> Value:
        """Return the text of a ``stop`` or ``log``."""
        node = entry.value
        if not node.is_scalar:
            self.desk.text(node, entry.key.raw)
            return Literal("")
        if not is_template(node):
            return Literal(node.raw)
        return read_value(node, names, self.desk)

    def _let(self, entry: Entry, path: str, names: Names) -> Names:
        values: list[tuple[str, Expression | Value]] = []
        for name, bound in self.desk.entries(entry.value, "let").items():
            type_ = ANY
            if is_template(bound.value):
                values.append((name, read_value(bound.value, names, self.desk)))
            elif (value := self._value(bound.value, names, name)) is not None:
                values.append((name, value))
                type_ = value.type
            names = self._bind(bound.key, names, type_)
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

    def _if(self, node: Node, path: str, names: Names) -> Names:
        """Write a branch, its ``then`` and its ``else``; what either binds is bound after."""
        entries = node.entries
        entry = entries["if"]
        test = self.desk.all_of(entry.value, names, "if")
        if not _BRANCHES & entries.keys() and self.desk.lacks(
            node, "then", known={"if"} | STEP_OPTIONS | _BRANCHES
        ):
            self.desk.error(entry.key.place, "missing-key", "'if' without 'then'", "add 'then:'")
        branch = len(self.code)
        self.code.append(Jump(0))
        after = names
        if (then := entries.get("then")) is not None:
            after = self.block(then, f"{path}/then", names)
        otherwise = len(self.code)
        if (other := entries.get("else")) is not None:
            self.code.append(Jump(0))
            otherwise += 1
            after = _both(after, self.block(other, f"{path}/else", names))
            self.code[otherwise - 1] = Jump(len(self.code))
        if test is not None:
            self.code[branch] = Branch(test, otherwise, path, entry.key.place)
        return after

    # Actions

    def _act(
        self, action: Action[Any], entries: Mapping[str, Entry], path: str, names: Names
    ) -> Names:
        """Write the call of an action."""
        entry = entries[action.name]
        args = self._args(entry, action, names)
        if action.name == origins.ACTION and "retry" in entries:
            origins.warn_of_retry(entry, entries["retry"], self.desk)
        if (bind := entries.get("as")) is not None:
            self._is_name(bind.value)
        act = Act(
            action=action.name,
            args=args,
            path=path,
            place=entry.key.place,
            bind=bind.value.raw if bind is not None else None,
            timeout_s=self._timeout(entries.get("timeout")),
            retry=self._retry(entries.get("retry")),
            even_if_completed=self._even_if_completed(entries),
        )
        self.code.append(act)
        if (on_error := entries.get("on_error")) is not None:
            at = len(self.code) - 1
            self.later.append(_Later(at, on_error, f"{path}/on_error", names))
        return self._bound(entries, names, result_type(action.result))

    def _args(self, entry: Entry, action: Action[Any], names: Names) -> Value:
        """Return an action's arguments, checked as far as they are written out."""
        spelled = frozenset[int]()
        if (key := _USER_DATA.get(action.name)) is not None:
            data = entry.value.get(key) if key else entry.value
            spelled = frozenset() if data is None else self._user_data(data, action.name)
        spelled = fit(entry, action, self.desk, spelled)
        refuse_clear_secrets(entry, self.desk, is_sent_out=action.name == origins.ACTION)
        if action.name == origins.ACTION:
            origins.check_origin(
                entry,
                self.desk,
                constants=self.workshop.constants,
                allowed=self.workshop.allowed_hosts,
            )
        places = _HTTP_PLACES if action.name == origins.ACTION else PLAIN
        return read_value(entry.value, names, self.desk, spelled=spelled, places=places)

    def _user_data(self, data: Node, action: str) -> frozenset[int]:
        """Return the offsets of the scalars of user data; report what cannot be written."""
        for node in nodes_of(data):
            if node.kind is Kind.NULL and node is not data:
                what, cure = f"'{action}' writes a key without a value", 'use unset, or write ""'
                self.desk.error(node.place, "missing-value", what, cure)
        scalars = (Kind.NUMBER, Kind.BOOL, Kind.NULL)
        return frozenset(node.start for node in nodes_of(data) if node.kind in scalars)

    def _timeout(self, entry: Entry | None) -> float | None:
        """Return a step's time limit; None for the action's own."""
        return None if entry is None else self.desk.duration(entry.value, "timeout")

    def _even_if_completed(self, entries: Mapping[str, Entry]) -> bool:
        entry = entries.get("even_if_completed")
        return entry is not None and bool(self.desk.flag(entry.value, "even_if_completed"))

    def _retry(self, entry: Entry | None) -> Retry | None:
        """Return how often a step is tried, and when."""
        if entry is None:
            return None
        entries = self.desk.entries(entry.value, "retry", "write {times: 5, backoff: 1s..1m}")
        self.desk.keys(entries, _RETRY, of="retry")
        if entries and self.desk.lacks(entry.value, "times", known=_RETRY):
            cure = "add 'times: 5'"
            self.desk.error(entry.key.place, "missing-key", "'retry' without 'times'", cure)
        times = entries.get("times")
        tries = self.desk.whole(times.value, "times", least=1, most=100) if times else None
        first_s, last_s = self._backoff(entries.get("backoff"))
        return Retry(tries or 1, first_s, last_s)

    def _backoff(self, entry: Entry | None) -> tuple[float, float]:
        """Return the seconds of the first wait and of the longest."""
        text = None if entry is None else self.desk.text(entry.value, "backoff")
        if entry is None or text is None:
            return _FIRST_S, _LAST_S
        place = entry.value.place
        if ".." not in text and "-" in text.strip("-"):
            self.desk.error(place, "bad-duration", f"'{text}' is no backoff", "write 1s..1m")
            return _FIRST_S, _LAST_S
        bounds = [self.desk.seconds(part.strip(), place) for part in text.split("..", 1)]
        if None in bounds:
            return _FIRST_S, _LAST_S
        first_s, last_s = bounds[0] or _FIRST_S, bounds[-1] or _LAST_S
        if last_s < first_s:
            what = f"the backoff {text} ends before it begins"
            self.desk.error(place, "bad-duration", what, "write the shorter time first")
        return first_s, last_s

    # Names

    def _bound(self, entries: Mapping[str, Entry], names: Names, type_: Type) -> Names:
        """Return the names with the one under which the result is bound."""
        entry = entries.get("as")
        return names if entry is None else names.bind(entry.value.raw, type_)

    def _bind(self, key: Node, names: Names, type_: Type) -> Names:
        self._is_name(key)
        return names.bind(key.raw, type_)

    def _is_name(self, node: Node) -> None:
        """Report a name that cannot be bound."""
        name = self.desk.text(node, "as")
        if name in _TAKEN:
            what, cure = f"'{name}' has a meaning of its own", "choose another name"
            self.desk.error(node.place, "taken-name", what, cure)
        elif name is not None and not (name.isidentifier() and name.isascii()):
            cure = "use letters, digits and _"
            self.desk.error(node.place, "bad-name", f"'{name}' cannot be a name", cure)


_HTTP_PLACES = Places(origins.allows_secrets, origins.is_address)


def _both(names: Names, others: Names) -> Names:
    """Return the names that either of two branches has."""
    for name in others.types.keys() - names.types.keys():
        names = names.bind(name, others.types[name])
    return names


def result_type(model: type[BaseModel] | None) -> Type:
    """Return what rules can see of an action's result."""
    if model is None:
        return ANY
    fields = {
        field.alias or name: _TYPES.get(field.annotation, ANY)
        for name, field in model.model_fields.items()
    }
    is_open = model.model_config.get("extra") == "allow" or issubclass(model, RootModel)
    return any_map_of(ANY) if is_open else map_of(fields)


_TYPES: Mapping[object, Type] = MappingProxyType(
    {str: type_of(""), int: type_of(0), float: type_of(0.0), bool: type_of(True)}
)
